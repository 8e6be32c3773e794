#include <errno.h>

#include "storage/log_internal.h"
#include "storage/log_validator.h"
#include "wire/kerr.h"

/*
 * A leader's append is checked, and rebuilt where it must be, before the lock is taken; under the
 * lock the base offset is stamped, the segment chosen, the producer asked, the bytes written. What
 * happens in this order:
 *
 *	leader epoch (before the batch that has it), roll, producer check, write, end offset,
 *	producer update, transaction index, last stable offset
 *
 * A failure up to and including the write leaves the log as it was, but for a new epoch and a new
 * segment, which do no harm. After the write nothing fails but for want of memory or an I/O error
 *on the transaction index; that one takes the directory offline.
 */

/* What both kinds of append have in common once the bytes are final. */
struct appending {
	struct segment_chunk chunk;
	int64_t first_offset;
	int64_t last_offset;
	int64_t now_ms;
	bool legacy; /* the first offset is not known: magic 0 and 1 */
};

/* Ends a lock's tenure: says what an error means, without the lock. */
static int
leave(struct log *log, int st, const char *doing)
{
	lock_release(&log->lock);
	return st == 0 ? 0 : log_judge(log, st, doing);
}

static int
maybe_roll(struct log *log, const struct appending *a, bool *ret_rolled)
{
	struct segment *active = log_active_locked(log);
	int64_t base_offset = a->first_offset;
	bool roll;
	int st;

	*ret_rolled = false;
	st = segment_should_roll(active, log_config_now(log), &a->chunk, a->now_ms, &roll);
	if (st != 0 || !roll)
		return st;
	if (a->legacy)
		base_offset = a->last_offset - INT32_MAX;
	st = log_roll_locked(log, base_offset);
	*ret_rolled = st == 0;
	return st;
}

/* Writes and moves the end. */
static int
write_locked(struct log *log, const struct appending *a)
{
	const struct log_metrics *m = &log->dir->ctx->metrics;
	int64_t len = (int64_t)a->chunk.bytes.len;
	int st;

	st = segment_append(log_active_locked(log), &a->chunk, log_config_now(log));
	if (st != 0)
		return st;
	atomic_store_explicit(&log->size_bytes, atomic_load(&log->size_bytes) + len,
			      memory_order_relaxed);
	log->appended_bytes += len;
	log->last_append_ms = env_monotonic_ms(log_env(log));
	if (log->dirty_since_ms == 0)
		log->dirty_since_ms = log->last_append_ms;
	atomic_store_explicit(&log->log_end_offset, a->last_offset + 1, memory_order_release);
	metric_add(m->appended_bytes, len);
	metric_add(m->appended_batches, 1);
	return 0;
}

int
log_update_producers_locked(struct log *log, struct segment *index,
			    const struct record_batch *batch, int64_t base_offset)
{
	struct completed_txn txn;
	bool ended;
	int st;

	st = producer_state_update(&log->producers, batch, base_offset, &ended, &txn);
	if (st == 0 && ended && txn.aborted && index != NULL) {
		const struct aborted_txn aborted = {
		    .producer_id = txn.producer_id,
		    .first_offset = txn.first_offset,
		    .last_offset = txn.last_offset,
		    .last_stable_offset = producer_state_stable_offset_after(&log->producers, &txn),
		};

		st = segment_add_aborted_txn(index, &aborted);
		log->dir_unsynced = true;
	}
	return st;
}

static void
fill_result(struct log *log, const struct appending *a, struct log_append_result *ret)
{
	int64_t unflushed = a->last_offset + 1 - atomic_load(&log->flushed_offset);

	*ret = (struct log_append_result){
	    .first_offset = a->first_offset,
	    .last_offset = a->last_offset,
	    .max_timestamp_ms = a->chunk.max_timestamp_ms,
	    .log_append_time_ms = -1,
	    .log_start_offset = atomic_load(&log->log_start_offset),
	    .log_end_offset = atomic_load(&log->log_end_offset),
	    .bytes = (int64_t)a->chunk.bytes.len,
	    .flush_due = unflushed >= log_config_now(log)->flush_messages,
	};
}

/* ---- as leader ---- */

static void
fill_duplicate(struct log *log, const struct producer_batch *earlier, struct log_append_result *ret)
{
	*ret = (struct log_append_result){
	    .first_offset = earlier->last_offset - earlier->offset_delta,
	    .last_offset = earlier->last_offset,
	    .max_timestamp_ms = earlier->timestamp_ms,
	    .log_append_time_ms = earlier->timestamp_ms,
	    .log_start_offset = atomic_load(&log->log_start_offset),
	    .log_end_offset = atomic_load(&log->log_end_offset),
	    .duplicate = true,
	};
}

static int
check_producer(struct log *log, const struct log_append *append, const struct record_batch *batch,
	       bool *ret_duplicate, struct producer_batch *ret_earlier)
{
	*ret_duplicate = false;
	if (!record_batch_has_producer_id(batch))
		return 0;
	return producer_state_check(&log->producers, batch,
				    append->origin == LOG_APPEND_CLIENT ? PRODUCER_CLIENT
									: PRODUCER_COORDINATOR,
				    log_config_now(log)->transaction_verification,
				    append->verification_guard, ret_duplicate, ret_earlier);
}

static void
remember_batch(struct log *log, const struct appending *a)
{
	int32_t size = (int32_t)a->chunk.bytes.len;
	const struct recent_batch recent = {
	    .base_offset = a->first_offset,
	    .last_offset = a->last_offset,
	    .pos = segment_size(log_active_locked(log)) - size,
	    .size_bytes = size,
	};

	log_remember_batch_locked(log, &recent);
}

/*
 * The part under the lock. ret_rolled: set when a new segment began: what is before it should be
 * flushed.
 */
static int
append_locked(struct log *log, const struct log_append *append, struct validated_batch *batch,
	      int64_t now_ms, struct log_append_result *ret_result, bool *ret_rolled)
{
	struct producer_batch earlier;
	struct appending a;
	bool duplicate;
	int st;

	a.first_offset = atomic_load(&log->log_end_offset);
	if (__builtin_add_overflow(a.first_offset, batch->header.last_offset_delta, &a.last_offset))
		return K_INVALID_RECORD;
	a.now_ms = now_ms;
	a.legacy = false;
	a.chunk = (struct segment_chunk){
	    .bytes = {batch->bytes, batch->len},
	    .last_offset = a.last_offset,
	    .max_timestamp_ms = batch->max_timestamp_ms,
	    .max_timestamp_offset = a.last_offset,
	};
	record_batch_set_base_offset(batch->bytes, a.first_offset);

	st = leader_epochs_assign(&log->epochs, append->leader_epoch, a.first_offset);
	if (st == 0)
		st = log_write_epochs_locked(log);
	if (st == 0)
		st = maybe_roll(log, &a, ret_rolled);
	if (st != 0)
		return st;
	st = check_producer(log, append, &batch->header, &duplicate, &earlier);
	if (st != 0)
		return st;
	if (duplicate) {
		fill_duplicate(log, &earlier, ret_result);
		return 0;
	}
	st = write_locked(log, &a);
	if (st != 0) {
		if (record_batch_has_producer_id(&batch->header))
			producer_state_abandon(&log->producers, &batch->header);
		return st;
	}
	remember_batch(log, &a);
	st = log_update_producers_locked(log, log_active_locked(log), &batch->header,
					 a.first_offset);
	log_update_stable_offset_locked(log);
	if (st != 0)
		return st;
	fill_result(log, &a, ret_result);
	ret_result->log_append_time_ms = batch->log_append_time_ms;
	return 0;
}

static int
append_validated(struct log *log, const struct log_append *append, struct validated_batch *batch,
		 int64_t now_ms, struct log_append_result *ret_result)
{
	bool rolled = false;
	int st;

	if (batch->len > (size_t)log_config_now(log)->segment_bytes)
		return K_RECORD_LIST_TOO_LARGE;
	lock_acquire(&log->lock);
	st = log_check_usable(log);
	if (st == 0)
		st = append_locked(log, append, batch, now_ms, ret_result, &rolled);
	st = leave(log, st, "appending");
	if (rolled)
		log_flush_fully_async(log);
	return st;
}

int
log_append_as_leader(struct log *log, const struct log_append *append, struct arena *arena,
		     struct log_append_result *ret_result, struct log_append_refusal *ret_refusal)
{
	struct validated_batch batch;
	int64_t now_ms;
	int st = log_check_usable(log);

	if (st != 0) {
		if (ret_refusal != NULL)
			*ret_refusal = (struct log_append_refusal){0};
		return st;
	}
	now_ms = env_now_ms(log_env(log));
	st = log_validate(append, log_config_now(log), now_ms, arena, &batch, ret_refusal);
	if (st == 0 && batch.len > 0) {
		st = append_validated(log, append, &batch, now_ms, ret_result);
	} else if (st == 0) {
		*ret_result = (struct log_append_result){
		    .first_offset = -1,
		    .last_offset = -1,
		    .max_timestamp_ms = NO_TIMESTAMP,
		    .log_append_time_ms = -1,
		    .log_start_offset = log_start_offset(log),
		    .log_end_offset = log_end_offset(log),
		};
	}
	validated_batch_fini(&batch);
	return st;
}

/* ---- as follower ---- */

/* What is learnt of a leader's batches before the lock is taken. */
static int
examine(struct slice records, struct appending *ret)
{
	struct slice rest = records;
	struct batch_info info;
	bool first = true;
	int st;

	*ret = (struct appending){.chunk = {.max_timestamp_ms = NO_TIMESTAMP}};
	while (rest.len > 0) {
		struct slice bytes = rest;

		st = batch_info_read(rest, &info);
		if (st == -ENODATA)
			break;
		if (st != 0)
			return st;
		bytes.len = (size_t)info.size_bytes;
		st = batch_check(&info, bytes);
		if (st != 0)
			return st;
		if (first) {
			ret->first_offset = info.base_offset;
			ret->legacy = info.magic < RECORD_BATCH_MAGIC;
		} else if (info.last_offset <= ret->last_offset) {
			return -EILSEQ;
		}
		first = false;
		ret->last_offset = info.last_offset;
		if (info.max_timestamp > ret->chunk.max_timestamp_ms) {
			ret->chunk.max_timestamp_ms = info.max_timestamp;
			ret->chunk.max_timestamp_offset = info.last_offset;
		}
		rest.data += bytes.len;
		rest.len -= bytes.len;
	}
	ret->chunk.bytes = (struct slice){records.data, records.len - rest.len};
	ret->chunk.last_offset = ret->last_offset;
	return 0;
}

/* Epochs of batches about to be written. */
static int
assign_epochs(struct log *log, struct slice records)
{
	struct batch_info info;
	int st = 0;

	while (st == 0 && records.len > 0 && batch_info_read(records, &info) == 0) {
		if (info.magic >= RECORD_BATCH_MAGIC)
			st =
			    leader_epochs_assign(&log->epochs, info.leader_epoch, info.base_offset);
		else
			/* A format that has none: what was known is not to be relied on. */
			leader_epochs_clear(&log->epochs);
		records.data += info.size_bytes;
		records.len -= (size_t)info.size_bytes;
	}
	return st != 0 ? st : log_write_epochs_locked(log);
}

static int
update_from_leader(struct log *log, struct slice records)
{
	struct batch_info info;
	int st = 0;

	while (st == 0 && records.len > 0 && batch_info_read(records, &info) == 0) {
		struct record_batch batch;

		if (info.magic >= RECORD_BATCH_MAGIC) {
			st = record_batch_parse(records, &batch);
			if (st == 0)
				st = log_update_producers_locked(log, log_active_locked(log),
								 &batch, batch.base_offset);
		} else {
			producer_state_set_end_offset(&log->producers, info.last_offset + 1);
		}
		records.data += info.size_bytes;
		records.len -= (size_t)info.size_bytes;
	}
	return st;
}

static int
append_from_leader_locked(struct log *log, struct appending *a,
			  struct log_append_result *ret_result, bool *ret_rolled)
{
	int st;

	if (a->first_offset < atomic_load(&log->log_end_offset))
		return -EILSEQ;
	if (a->chunk.bytes.len > (size_t)log_config_now(log)->segment_bytes)
		return K_RECORD_LIST_TOO_LARGE;
	a->now_ms = env_now_ms(log_env(log));
	st = assign_epochs(log, a->chunk.bytes);
	if (st == 0)
		st = maybe_roll(log, a, ret_rolled);
	if (st != 0)
		return st;
	st = write_locked(log, a);
	if (st != 0)
		return st;
	st = update_from_leader(log, a->chunk.bytes);
	log_update_stable_offset_locked(log);
	if (st == 0)
		fill_result(log, a, ret_result);
	return st;
}

int
log_append_as_follower(struct log *log, struct slice records, struct log_append_result *ret_result)
{
	struct appending a;
	bool rolled = false;
	int st = log_check_usable(log);

	if (st == 0)
		st = examine(records, &a);
	if (st != 0)
		return st;
	if (a.chunk.bytes.len == 0) {
		*ret_result = (struct log_append_result){
		    .first_offset = -1,
		    .last_offset = -1,
		    .max_timestamp_ms = NO_TIMESTAMP,
		    .log_append_time_ms = -1,
		    .log_start_offset = log_start_offset(log),
		    .log_end_offset = log_end_offset(log),
		};
		return 0;
	}
	lock_acquire(&log->lock);
	st = log_check_usable(log);
	if (st == 0)
		st = append_from_leader_locked(log, &a, ret_result, &rolled);
	st = leave(log, st, "appending from the leader");
	if (rolled)
		log_flush_fully_async(log);
	return st;
}
