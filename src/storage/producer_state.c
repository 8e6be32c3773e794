#include "storage/producer_state.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "wire/kerr.h"
#include "wire/record_batch_builder.h"

struct verification {
	int64_t started_ms;
	uint64_t guard;
	int32_t lowest_sequence;
	int16_t epoch;
};

/* ---- tables ---- */

static struct producer *
find(const struct producer_state *ps, int64_t producer_id)
{
	return map_get(&ps->producers, &producer_id, sizeof(producer_id));
}

static struct verification *
find_verification(const struct producer_state *ps, int64_t producer_id)
{
	if (ps->verifications.count == 0)
		return NULL;
	return map_get(&ps->verifications, &producer_id, sizeof(producer_id));
}

static void
clear_map(struct map *m)
{
	struct map_iter iter = {0};
	void *value;

	while ((value = map_next(m, &iter)) != NULL)
		free(value);
	map_fini(m);
	*m = (struct map){0};
}

void
producer_state_fini(struct producer_state *ps)
{
	clear_map(&ps->producers);
	clear_map(&ps->verifications);
	free(ps->open.txns);
	free(ps->completed.txns);
	*ps = (struct producer_state){0};
}

void
producer_state_clear(struct producer_state *ps, int64_t end_offset)
{
	clear_map(&ps->producers);
	ps->open.count = 0;
	ps->completed.count = 0;
	ps->end_offset = end_offset;
}

size_t
producer_state_count(const struct producer_state *ps)
{
	return ps->producers.count;
}

/* An entry of which nothing is known yet. */
static struct producer *
add_producer(struct producer_state *ps, int64_t producer_id)
{
	struct producer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->producer_id = producer_id;
	p->last_timestamp_ms = NO_TIMESTAMP;
	p->txn_first_offset = -1;
	p->coordinator_epoch = -1;
	p->epoch = NO_PRODUCER_EPOCH;
	if (map_put(&ps->producers, &producer_id, sizeof(producer_id), p, NULL) != 0) {
		free(p);
		return NULL;
	}
	return p;
}

static int
reserve_txns(struct txn_list *list, uint32_t more)
{
	struct producer_txn *grown;
	uint32_t cap = list->cap > 0 ? list->cap : 2;

	while (cap < list->count + more)
		cap *= 2;
	if (cap <= list->cap)
		return 0;
	grown = realloc(list->txns, cap * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	list->txns = grown;
	list->cap = cap;
	return 0;
}

/* Sorted by first offset; almost always the new one is the last. Room was reserved. */
static void
insert_txn(struct txn_list *list, struct producer_txn txn)
{
	uint32_t at = list->count;

	assert(list->count < list->cap);
	while (at > 0 && list->txns[at - 1].first_offset > txn.first_offset)
		at--;
	memmove(list->txns + at + 1, list->txns + at, (list->count - at) * sizeof(txn));
	list->txns[at] = txn;
	list->count++;
}

static void
remove_txn(struct txn_list *list, uint32_t at)
{
	list->count--;
	memmove(list->txns + at, list->txns + at + 1, (list->count - at) * sizeof(*list->txns));
}

/* ---- one producer ---- */

const struct producer_batch *
producer_newest_batch(const struct producer *p)
{
	return p->batch_count > 0 ? &p->batches[p->newest] : NULL;
}

static void
set_epoch(struct producer *p, int16_t epoch)
{
	if (p->epoch != epoch) {
		p->batch_count = 0;
		p->epoch = epoch;
	}
}

static void
add_batch(struct producer *p, struct producer_batch batch)
{
	p->newest = p->batch_count == 0 ? 0 : (uint8_t)((p->newest + 1) % PRODUCER_BATCHES);
	p->batches[p->newest] = batch;
	if (p->batch_count < PRODUCER_BATCHES)
		p->batch_count++;
}

/* The first sequence number of a batch whose last one and length are known. */
static int32_t
first_sequence(const struct producer_batch *batch)
{
	int64_t first = (int64_t)batch->last_sequence - batch->offset_delta;

	return (int32_t)(first >= 0 ? first : first + INT32_MAX + INT64_C(1));
}

static const struct producer_batch *
find_duplicate(const struct producer *p, const struct record_batch *batch)
{
	int32_t last_sequence = record_batch_last_sequence(batch);

	if (p->epoch != batch->producer_epoch)
		return NULL;
	for (uint8_t i = 0; i < p->batch_count; i++) {
		const struct producer_batch *b = &p->batches[i];

		if (b->last_sequence == last_sequence && first_sequence(b) == batch->base_sequence)
			return b;
	}
	return NULL;
}

/* ---- checks ---- */

static int
check_sequence(const struct producer *p, const struct verification *v,
	       const struct record_batch *batch)
{
	const struct producer_batch *newest;
	int32_t last, first = batch->base_sequence;

	if (v != NULL && first > v->lowest_sequence)
		return K_OUT_OF_ORDER_SEQUENCE_NUMBER;
	if (p == NULL || p->epoch == NO_PRODUCER_EPOCH)
		return 0;
	if (p->epoch != batch->producer_epoch)
		return first == 0 ? 0 : K_OUT_OF_ORDER_SEQUENCE_NUMBER;
	newest = producer_newest_batch(p);
	last = newest != NULL ? newest->last_sequence : NO_SEQUENCE;
	if (first == (int64_t)last + 1 || (first == 0 && last == INT32_MAX))
		return 0;
	return K_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static int
check_marker(const struct producer *p, const struct record_batch *batch)
{
	struct end_txn_marker marker;
	int st = end_txn_marker_read(batch, &marker);

	if (st != 0)
		return K_INVALID_RECORD;
	if (p == NULL)
		return 0;
	if (batch->producer_epoch < p->epoch)
		return K_INVALID_PRODUCER_EPOCH;
	return marker.coordinator_epoch < p->coordinator_epoch ? K_TRANSACTION_COORDINATOR_FENCED
							       : 0;
}

static int
check_data(const struct producer *p, const struct verification *v, const struct record_batch *batch,
	   enum producer_origin origin, bool verify, uint64_t guard)
{
	bool open = p != NULL && p->txn_first_offset >= 0;
	bool transactional = record_batch_is_transactional(batch);
	int st;

	if (transactional && !open && verify && (v == NULL || v->guard != guard))
		return K_INVALID_TXN_STATE;
	if (p != NULL && batch->producer_epoch < p->epoch)
		return K_INVALID_PRODUCER_EPOCH;
	if (origin == PRODUCER_CLIENT) {
		st = check_sequence(p, v, batch);
		if (st != 0)
			return st;
	}
	return open && !transactional ? K_INVALID_TXN_STATE : 0;
}

int
producer_state_check(struct producer_state *ps, const struct record_batch *batch,
		     enum producer_origin origin, bool verify, uint64_t guard, bool *ret_duplicate,
		     struct producer_batch *ret_batch)
{
	struct producer *p = find(ps, batch->producer_id);
	int st;

	*ret_duplicate = false;
	if (origin == PRODUCER_CLIENT && p != NULL) {
		const struct producer_batch *duplicate = find_duplicate(p, batch);

		if (duplicate != NULL) {
			*ret_duplicate = true;
			*ret_batch = *duplicate;
			return 0;
		}
	}
	if (record_batch_is_control(batch))
		st = check_marker(p, batch);
	else
		st = check_data(p, find_verification(ps, batch->producer_id), batch, origin, verify,
				guard);
	if (st != 0)
		return st;
	if (reserve_txns(&ps->open, 1) != 0 || reserve_txns(&ps->completed, 1) != 0)
		return -ENOMEM;
	if (p == NULL && add_producer(ps, batch->producer_id) == NULL)
		return -ENOMEM;
	return 0;
}

void
producer_state_abandon(struct producer_state *ps, const struct record_batch *batch)
{
	struct producer *p = find(ps, batch->producer_id);

	if (p != NULL && p->epoch == NO_PRODUCER_EPOCH)
		free(map_remove(&ps->producers, &batch->producer_id, sizeof(batch->producer_id)));
}

/* ---- updates ---- */

static void
forget_verification(struct producer_state *ps, int64_t producer_id)
{
	if (ps->verifications.count > 0)
		free(map_remove(&ps->verifications, &producer_id, sizeof(producer_id)));
}

/* Moves the open transaction of p to the completed ones. */
static void
complete_txn(struct producer_state *ps, const struct producer *p, int64_t marker_offset)
{
	for (uint32_t i = 0; i < ps->open.count; i++) {
		struct producer_txn txn = ps->open.txns[i];

		if (txn.first_offset != p->txn_first_offset || txn.producer_id != p->producer_id)
			continue;
		remove_txn(&ps->open, i);
		txn.last_offset = marker_offset;
		insert_txn(&ps->completed, txn);
		return;
	}
}

static void
update_by_marker(struct producer_state *ps, struct producer *p, const struct record_batch *batch,
		 const struct end_txn_marker *marker, int64_t offset, bool *ret_ended,
		 struct completed_txn *ret_completed)
{
	if (p->txn_first_offset >= 0) {
		*ret_ended = true;
		*ret_completed = (struct completed_txn){
		    .producer_id = p->producer_id,
		    .first_offset = p->txn_first_offset,
		    .last_offset = offset,
		    .aborted = marker->type == CONTROL_ABORT,
		};
		complete_txn(ps, p, offset);
	}
	set_epoch(p, batch->producer_epoch);
	p->coordinator_epoch = marker->coordinator_epoch;
	p->txn_first_offset = -1;
	p->last_timestamp_ms = batch->max_timestamp;
}

static void
update_by_data(struct producer_state *ps, struct producer *p, const struct record_batch *batch,
	       int64_t base_offset)
{
	set_epoch(p, batch->producer_epoch);
	add_batch(p, (struct producer_batch){
			 .last_offset = base_offset + batch->last_offset_delta,
			 .timestamp_ms = batch->max_timestamp,
			 .last_sequence = record_batch_last_sequence(batch),
			 .offset_delta = batch->last_offset_delta,
		     });
	p->last_timestamp_ms = batch->max_timestamp;
	if (p->txn_first_offset < 0 && record_batch_is_transactional(batch)) {
		p->txn_first_offset = base_offset;
		insert_txn(&ps->open, (struct producer_txn){p->producer_id, base_offset, -1});
	}
}

int
producer_state_update(struct producer_state *ps, const struct record_batch *batch,
		      int64_t base_offset, bool *ret_ended, struct completed_txn *ret_completed)
{
	struct end_txn_marker marker;
	struct producer *p;

	*ret_ended = false;
	if (record_batch_has_producer_id(batch)) {
		p = find(ps, batch->producer_id);
		if (p == NULL)
			p = add_producer(ps, batch->producer_id);
		if (p == NULL || reserve_txns(&ps->open, 1) != 0 ||
		    reserve_txns(&ps->completed, 1) != 0)
			return -ENOMEM;
		/* A compacted control batch may be empty: it changes nothing. */
		if (!record_batch_is_control(batch))
			update_by_data(ps, p, batch, base_offset);
		else if (end_txn_marker_read(batch, &marker) == 0)
			update_by_marker(ps, p, batch, &marker, base_offset, ret_ended,
					 ret_completed);
		else
			producer_state_abandon(ps, batch);
		if (record_batch_is_transactional(batch))
			forget_verification(ps, batch->producer_id);
	}
	ps->end_offset = base_offset + batch->last_offset_delta + 1;
	return 0;
}

void
producer_state_set_end_offset(struct producer_state *ps, int64_t end_offset)
{
	ps->end_offset = end_offset;
}

/* ---- stability ---- */

int64_t
producer_state_stable_offset_after(const struct producer_state *ps, const struct completed_txn *txn)
{
	for (uint32_t i = 0; i < ps->open.count; i++) {
		if (ps->open.txns[i].producer_id != txn->producer_id)
			return ps->open.txns[i].first_offset;
	}
	return txn->last_offset + 1;
}

int64_t
producer_state_first_unstable_offset(const struct producer_state *ps)
{
	int64_t open = ps->open.count > 0 ? ps->open.txns[0].first_offset : -1;
	int64_t completed = ps->completed.count > 0 ? ps->completed.txns[0].first_offset : -1;

	if (open < 0 || completed < 0)
		return open < 0 ? completed : open;
	return open < completed ? open : completed;
}

void
producer_state_replicated(struct producer_state *ps, int64_t offset)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ps->completed.count; i++) {
		if (ps->completed.txns[i].last_offset >= offset)
			ps->completed.txns[kept++] = ps->completed.txns[i];
	}
	ps->completed.count = kept;
}

/* ---- expiry and verification ---- */

static bool
is_expired(const struct producer *p, int64_t now_ms, int64_t expiration_ms)
{
	return p->txn_first_offset < 0 && now_ms - p->last_timestamp_ms >= expiration_ms;
}

void
producer_state_expire(struct producer_state *ps, int64_t now_ms, int64_t expiration_ms)
{
	struct map_iter iter = {0};
	struct verification *v;
	struct producer *p;

	while ((p = map_next(&ps->producers, &iter)) != NULL) {
		if (is_expired(p, now_ms, expiration_ms)) {
			int64_t id = p->producer_id;

			free(map_remove(&ps->producers, &id, sizeof(id)));
		}
	}
	iter = (struct map_iter){0};
	while ((v = map_next(&ps->verifications, &iter)) != NULL) {
		if (now_ms - v->started_ms >= expiration_ms) {
			int64_t id;

			memcpy(&id, map_iter_key(&iter).data, sizeof(id));
			free(map_remove(&ps->verifications, &id, sizeof(id)));
		}
	}
}

uint64_t
producer_state_start_verification(struct producer_state *ps, int64_t producer_id, int16_t epoch,
				  int32_t base_sequence, int64_t now_ms)
{
	static _Atomic uint64_t last_guard;
	struct verification *v = find_verification(ps, producer_id);

	if (v == NULL) {
		v = malloc(sizeof(*v));
		if (v == NULL)
			return 0;
		*v = (struct verification){
		    .started_ms = now_ms,
		    .guard = atomic_fetch_add(&last_guard, 1) + 1,
		    .lowest_sequence = base_sequence,
		    .epoch = epoch,
		};
		if (map_put(&ps->verifications, &producer_id, sizeof(producer_id), v, NULL) != 0) {
			free(v);
			return 0;
		}
	} else if (epoch > v->epoch || (epoch == v->epoch && base_sequence < v->lowest_sequence)) {
		v->epoch = epoch;
		v->lowest_sequence = base_sequence;
	}
	return v->guard;
}

bool
producer_state_has_open_txn(const struct producer_state *ps, int64_t producer_id)
{
	const struct producer *p = find(ps, producer_id);

	return p != NULL && p->txn_first_offset >= 0;
}

/* ---- looking and loading ---- */

const struct producer *
producer_state_find(const struct producer_state *ps, int64_t producer_id)
{
	return find(ps, producer_id);
}

const struct producer *
producer_state_next(const struct producer_state *ps, struct map_iter *iter)
{
	return map_next(&ps->producers, iter);
}

int
producer_state_load(struct producer_state *ps, const struct producer *p)
{
	struct producer *own = find(ps, p->producer_id);

	if (reserve_txns(&ps->open, 1) != 0 || reserve_txns(&ps->completed, 1) != 0)
		return -ENOMEM;
	if (own == NULL)
		own = add_producer(ps, p->producer_id);
	if (own == NULL)
		return -ENOMEM;
	if (own->txn_first_offset < 0 && p->txn_first_offset >= 0)
		insert_txn(&ps->open,
			   (struct producer_txn){p->producer_id, p->txn_first_offset, -1});
	*own = *p;
	return 0;
}
