/*
 * Records on their way into __consumer_offsets.
 *
 * A batch is appended under the shard's lock, so that what the group holds and what the log says go
 * in step. Most are acknowledged at once. One that must wait for other replicas, or for the disk
 * (flush.messages), becomes an offsets_write: whoever makes its condition true posts to the
 * reactor, and there it ends, as it does at offsets.commit.timeout.ms.
 *
 * A write is counted: once for the shard's list, and once for each message to the reactor that is
 * under way.
 */
#include <assert.h>
#include <errno.h>

#include "base/diag.h"
#include "cluster/topic_name.h"
#include "group/coordinator_internal.h"
#include "group/group_memory.h"
#include "group/group_records.h"
#include "wire/kerr.h"

int
coordinator_store_error(int st, int too_large)
{
	int error = kerr_of(st);

	switch (error) {
	case K_UNKNOWN_TOPIC_OR_PARTITION:
	case K_NOT_ENOUGH_REPLICAS:
	case K_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
		return K_COORDINATOR_NOT_AVAILABLE;
	case K_NOT_LEADER_OR_FOLLOWER:
	case K_KAFKA_STORAGE_ERROR:
		return K_NOT_COORDINATOR;
	case K_MESSAGE_TOO_LARGE:
	case K_RECORD_LIST_TOO_LARGE:
	case K_INVALID_FETCH_SIZE:
		return too_large;
	default:
		return error;
	}
}

void
shard_init_builder(struct group_shard *shard, struct record_batch_builder *b)
{
	const struct broker_conf *conf = conf_store_get(shard->gc->settings.conf);
	enum compression codec = (enum compression)conf->offsets_topic_compression_codec;

	record_batch_builder_init(b, codec, compression_default_level(codec));
}

/* ---- writes that wait ---- */

static void
write_put(struct offsets_write *w)
{
	if (atomic_fetch_sub(&w->references, 1) != 1)
		return;
	partition_put(w->partition);
	free(w->group_id);
	free(w);
}

/* With the shard's lock, on the reactor's thread. */
static void
write_end(struct offsets_write *w, int st)
{
	w->ended = true;
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	partition_wait_end(&w->waiter);
	reactor_cancel(w->shard->gc->settings.reactor, &w->timeout);
	w->done(w, st);
	write_put(w);
}

static int
write_status(struct offsets_write *w)
{
	if (atomic_load(&w->flush_pending))
		return PARTITION_STILL_WAITING;
	if (atomic_load(&w->flush_status) != 0)
		return atomic_load(&w->flush_status);
	return w->acks_pending ? partition_check_acks(w->partition, w->end_offset, w->leader_epoch)
			       : 0;
}

static void
run_write(void *arg)
{
	struct offsets_write *w = arg;
	struct group_shard *shard = w->shard;

	atomic_store(&w->posted, false);
	lock_acquire(&shard->lock);
	if (!w->ended) {
		int st = write_status(w);

		if (st != PARTITION_STILL_WAITING)
			write_end(w, st);
	}
	lock_release(&shard->lock);
	write_put(w);
}

/* Any thread, perhaps with the partition's lock. */
static void
post_write(struct offsets_write *w)
{
	if (atomic_exchange(&w->posted, true))
		return;
	atomic_fetch_add(&w->references, 1);
	reactor_post(w->shard->gc->settings.reactor, run_write, w);
}

static void
on_acks(struct partition_waiter *waiter, int64_t bytes)
{
	(void)bytes;
	post_write(CONTAINER_OF(waiter, struct offsets_write, waiter));
}

static void
on_flushed(void *arg, int status)
{
	struct offsets_write *w = arg;

	atomic_store(&w->flush_status, status);
	atomic_store(&w->flush_pending, false);
	post_write(w);
	write_put(w);
}

static void
on_timeout(struct timer *timer, void *arg)
{
	struct offsets_write *w = arg;
	struct group_shard *shard = w->shard;

	(void)timer;
	lock_acquire(&shard->lock);
	write_end(w, K_REQUEST_TIMED_OUT);
	lock_release(&shard->lock);
}

static void
arm_timeout(void *arg)
{
	struct offsets_write *w = arg;
	struct group_coordinator *gc = w->shard->gc;

	if (!w->ended)
		reactor_arm(gc->settings.reactor, &w->timeout,
			    reactor_now_ms(gc->settings.reactor) +
				conf_store_get(gc->settings.conf)->offsets_commit_timeout_ms);
	write_put(w);
}

/* The log is gone when the broker was made a follower or the disk failed since the append. */
static void
begin_flush(struct offsets_write *w)
{
	struct log *log;
	int st = partition_log(w->partition, PARTITION_NO_EPOCH, false, NULL, &log);

	if (st != 0) {
		atomic_store(&w->flush_status, st);
		post_write(w);
		return;
	}
	atomic_store(&w->flush_pending, true);
	atomic_fetch_add(&w->references, 1);
	log_flush_async(log, w->end_offset, on_flushed, w);
	log_put(log);
}

/* Keeps the write until the log acknowledges it. */
static void
begin_wait(struct group_shard *shard, const struct offsets_write *from, struct partition *p,
	   const struct log_append *append, const struct log_append_result *result,
	   bool acks_pending)
{
	struct offsets_write *w = must_calloc(1, sizeof(*w));

	*w = *from;
	w->group_id = must_copy_text(str_of(from->group_id));
	w->shard = shard;
	w->partition = partition_get(p);
	w->batch_offset = result->first_offset;
	w->end_offset = result->last_offset + 1;
	w->leader_epoch = append->leader_epoch;
	w->acks_pending = acks_pending;
	atomic_init(&w->references, 2); /* the list's, and arm_timeout()'s */
	timer_init(&w->timeout, on_timeout, w);
	w->next = shard->writes;
	w->prev = &shard->writes;
	if (w->next != NULL)
		w->next->prev = &w->next;
	shard->writes = w;
	reactor_post(shard->gc->settings.reactor, arm_timeout, w);
	if (result->flush_due)
		begin_flush(w);
	if (acks_pending) {
		w->waiter = (struct partition_waiter){
		    .kind = PARTITION_WAIT_ACKS, .offset = w->end_offset, .wake = on_acks};
		partition_wait(p, &w->waiter);
		post_write(w); /* what came true before we waited */
	}
}

void
shard_abandon_writes(struct group_shard *shard, int st)
{
	while (shard->writes != NULL)
		write_end(shard->writes, st);
}

/* ---- appending ---- */

static int
append(struct group_shard *shard, struct buf *batch, const struct offsets_write *write,
       int64_t *ret_batch_offset)
{
	const struct broker_conf *conf = conf_store_get(shard->gc->settings.conf);
	int16_t acks = write == NULL ? 0 : (int16_t)conf->offsets_commit_required_acks;
	struct log_append append = {
	    .records = batch->data, .len = batch->len, .origin = LOG_APPEND_COORDINATOR};
	struct log_append_result result;
	struct partition *p;
	bool acks_pending;
	int st = replica_manager_get(shard->gc->settings.replicas, str_of(TOPIC_CONSUMER_OFFSETS),
				     shard->partition, &p);

	if (st != 0)
		return st;
	st = partition_append(p, acks, &append, NULL, &result, NULL);
	if (st == 0) {
		/* Not only what may still come true: a leader that was deposed meanwhile, too. */
		acks_pending = acks == -1 && partition_check_acks(p, result.last_offset + 1,
								  append.leader_epoch) != 0;
		if (write != NULL && (acks_pending || result.flush_due)) {
			begin_wait(shard, write, p, &append, &result, acks_pending);
			st = PARTITION_STILL_WAITING;
		} else {
			*ret_batch_offset = result.first_offset;
		}
	}
	partition_put(p);
	return st;
}

int
shard_append(struct group_shard *shard, struct record_batch_builder *b,
	     const struct offsets_write *write, int64_t *ret_batch_offset)
{
	struct buf batch = {0};
	int st = record_batch_builder_finish(b, &batch);

	if (st == 0 && batch.failed)
		st = -ENOMEM;
	if (st == 0)
		st = append(shard, &batch, write, ret_batch_offset);
	buf_fini(&batch);
	record_batch_builder_fini(b);
	if (st != 0 && st != PARTITION_STILL_WAITING)
		diag_warn(DIAG_GROUP, "cannot append to the partition of groups",
			  "partition=%s-%d error=%s", TOPIC_CONSUMER_OFFSETS, shard->partition,
			  kerr_name(kerr_of(st)));
	return st;
}

/* ---- the record of a group ---- */

static int
store_error(int st)
{
	if (st == 0)
		return 0;
	if (kerr_of(st) == K_REQUEST_TIMED_OUT)
		return K_REBALANCE_IN_PROGRESS;
	return coordinator_store_error(st, K_UNKNOWN_SERVER_ERROR);
}

struct shard_group *
write_group(const struct offsets_write *write)
{
	struct shard_group *sg = shard_find(write->shard, str_of(write->group_id));

	return sg != NULL && sg->serial == write->group_serial ? sg : NULL;
}

static void
store_done(struct offsets_write *write, int st)
{
	struct shard_group *sg = write_group(write);
	struct group_effects fx;

	if (sg == NULL)
		return;
	group_effects_init(&fx);
	group_stored(sg->group, write->store_id, store_error(st), coordinator_now(write->shard->gc),
		     &fx);
	shard_apply(sg, &fx);
}

void
shard_store_group(struct shard_group *sg, uint64_t store_id, struct group_effects *fx)
{
	struct group_shard *shard = sg->shard;
	struct group_coordinator *gc = shard->gc;
	struct offsets_write write = {.done = store_done,
				      .store_id = store_id,
				      .group_id = (char *)(uintptr_t)group_id(sg->group),
				      .group_serial = sg->serial};
	struct group_metadata_value value;
	struct record_batch_builder b;
	int64_t batch_offset;
	struct arena arena;
	int st;

	arena_init(&arena, SIZE_MAX / 2);
	group_describe(sg->group, &arena, &value);
	shard_init_builder(shard, &b);
	group_records_add_group(&b, env_now_ms(gc->settings.env), group_id(sg->group), &value);
	arena_fini(&arena);
	st = shard_append(shard, &b, &write, &batch_offset);
	if (st != PARTITION_STILL_WAITING)
		group_stored(sg->group, store_id, store_error(st), coordinator_now(gc), fx);
}
