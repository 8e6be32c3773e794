#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "wire/kerr.h"

/*
 * Taking away from a log: at its end (a follower whose leader knows better), at its start
 * (retention, DeleteRecords), or all of it.
 *
 * At the start, the log start offset rises before any file is touched. At the end, whole segments
 * go first, the last first, then the remaining one is cut: a crash in between leaves a log that is
 * whole up to some offset at or above the target.
 */

static int
leave(struct log *log, int st, const char *doing)
{
	lock_release(&log->lock);
	return st == 0 ? 0 : log_judge(log, st, doing);
}

/* Like leave(), for what may have lowered the recovery point from `before`. */
static int
leave_shortened(struct log *log, int64_t before, int st, const char *doing)
{
	const struct log_context *ctx = log->dir->ctx;
	bool lowered = atomic_load(&log->recovery_point) < before;

	st = leave(log, st, doing);
	if (lowered && ctx->recovery_point_lowered != NULL)
		ctx->recovery_point_lowered(ctx->arg);
	return st;
}

/* ---- at the end ---- */

static int
truncate_fully_locked(struct log *log, int64_t offset)
{
	struct segment *seg;
	int st;

	/* Snapshots and epochs speak of what is going. */
	leader_epochs_clear(&log->epochs);
	st = log_write_epochs_locked(log);
	if (st == 0)
		st = log_delete_snapshots_locked(log, 0, INT64_MAX);
	if (st == 0)
		st = log_remove_segments_locked(log, 0, log->segment_count);
	if (st != 0)
		return st;
	log->end_cuts++;
	log->cleaner_offset = -1;
	producer_state_clear(&log->producers, offset);
	free(log->recent);
	log->recent = NULL;
	st = segment_create(log->part, offset, LOG_FILE_PLAIN, log_config_now(log), &seg);
	if (st != 0)
		return st;
	st = log_add_segment_locked(log, seg);
	if (st != 0) {
		segment_put(seg);
		return st;
	}
	log->dir_unsynced = true;
	atomic_store(&log->log_start_offset, offset);
	atomic_store(&log->log_end_offset, offset);
	atomic_store(&log->recovery_point, offset);
	atomic_store(&log->flushed_offset, offset);
	atomic_store(&log->dir->log_starts_changed, true);
	atomic_store(&log->dir->recovery_points_changed, true);
	log_set_high_watermark_locked(log, offset);
	return 0;
}

static int
truncate_end_locked(struct log *log, int64_t offset)
{
	int64_t keep = log_floor_segment_locked(log, offset);
	int64_t end, bytes;
	int st;

	/* The first offset to go may lie in the gap before a later segment. */
	if ((uint32_t)keep + 1 < log->segment_count) {
		st = log_remove_segments_locked(log, (uint32_t)keep + 1,
						log->segment_count - (uint32_t)keep - 1);
		if (st != 0)
			return st;
	}
	log->truncations++;
	log->end_cuts++;
	free(log->recent);
	log->recent = NULL;
	st = segment_truncate_to(log_active_locked(log), offset, &bytes);
	if (st != 0)
		return st;
	atomic_fetch_sub(&log->size_bytes, bytes);
	end = offset;
	leader_epochs_truncate_from_end(&log->epochs, end);
	st = log_write_epochs_locked(log);
	if (st == 0)
		st = log_delete_snapshots_locked(log, end + 1, INT64_MAX);
	if (st != 0)
		return st;
	if (log->cleaner_offset > end)
		log->cleaner_offset = end;
	if (atomic_load(&log->log_start_offset) > end) {
		atomic_store(&log->log_start_offset, end);
		atomic_store(&log->dir->log_starts_changed, true);
	}
	log_set_end_offset_locked(log, end);
	if (atomic_load(&log->high_watermark) > end)
		log_set_high_watermark_locked(log, end);
	return log_reload_producers_locked(log);
}

int
log_truncate_to(struct log *log, int64_t offset)
{
	int64_t point = log_recovery_point(log);
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	if (offset < 0)
		return -EINVAL;
	lock_acquire(&log->lock);
	if (offset >= atomic_load(&log->log_end_offset)) {
		leader_epochs_truncate_from_end(&log->epochs, atomic_load(&log->log_end_offset));
		st = log_write_epochs_locked(log);
		return leave(log, st, "truncating leader epochs");
	}
	diag_info(DIAG_STORAGE, "truncating log", "partition=%s to=%" PRId64 " from=%" PRId64,
		  log->name, offset, atomic_load(&log->log_end_offset));
	if (offset < log->segments[0]->base_offset)
		st = truncate_fully_locked(log, offset);
	else
		st = truncate_end_locked(log, offset);
	return leave_shortened(log, point, st, "truncating");
}

int
log_truncate_fully_and_start_at(struct log *log, int64_t offset)
{
	int64_t point = log_recovery_point(log);
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	if (offset < 0)
		return -EINVAL;
	diag_info(DIAG_STORAGE, "starting log anew", "partition=%s at=%" PRId64, log->name, offset);
	lock_acquire(&log->lock);
	st = truncate_fully_locked(log, offset);
	return leave_shortened(log, point, st, "starting a log anew");
}

/* ---- at the start ---- */

bool
log_try_pause_cleaning(struct log *log)
{
	bool paused;

	lock_acquire(&log->lock);
	paused = !log->cleaning;
	if (paused)
		log->cleaning = true;
	lock_release(&log->lock);
	return paused;
}

void
log_resume_cleaning(struct log *log)
{
	lock_acquire(&log->lock);
	log->cleaning = false;
	lock_release(&log->lock);
}

static int
raise_start_locked(struct log *log, int64_t offset)
{
	log_set_start_offset_locked(log, offset);
	leader_epochs_truncate_from_start(&log->epochs, offset);
	producer_state_replicated(&log->producers, offset);
	log_update_stable_offset_locked(log);
	return log_write_epochs_locked(log);
}

int
log_raise_start_offset(struct log *log, int64_t offset)
{
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	lock_acquire(&log->lock);
	if (offset > atomic_load(&log->high_watermark))
		st = K_OFFSET_OUT_OF_RANGE;
	else if (offset > atomic_load(&log->log_start_offset))
		st = raise_start_locked(log, offset);
	return leave(log, st, "raising the log start offset");
}

/* How one step of retention judges a segment; next is NULL for the last one. */
struct retention {
	int64_t now_ms;
	int64_t excess_bytes;
	const struct log_config *config;
	int (*breached)(struct log *log, struct retention *r, struct segment *seg,
			const struct segment *next, bool *ret_breached);
	const char *reason;
};

static int
start_breached(struct log *log, struct retention *r, struct segment *seg,
	       const struct segment *next, bool *ret_breached)
{
	(void)r;
	(void)seg;
	*ret_breached = next != NULL && next->base_offset <= atomic_load(&log->log_start_offset);
	return 0;
}

static int
size_breached(struct log *log, struct retention *r, struct segment *seg, const struct segment *next,
	      bool *ret_breached)
{
	(void)log;
	(void)next;
	*ret_breached = r->excess_bytes - segment_size(seg) >= 0;
	if (*ret_breached)
		r->excess_bytes -= segment_size(seg);
	return 0;
}

static int
time_breached(struct log *log, struct retention *r, struct segment *seg, const struct segment *next,
	      bool *ret_breached)
{
	int64_t largest_ms;
	int st = segment_largest_timestamp(seg, &largest_ms);

	(void)log;
	(void)next;
	if (st == 0)
		*ret_breached = r->now_ms - largest_ms > r->config->retention_ms;
	return st;
}

/* How many of the first segments go. */
static int
count_breached_locked(struct log *log, struct retention *r, uint32_t *ret_count)
{
	int64_t high_watermark = atomic_load(&log->high_watermark);
	uint32_t n = 0;

	for (; n < log->segment_count; n++) {
		struct segment *seg = log->segments[n];
		bool last = n + 1 == log->segment_count;
		const struct segment *next = last ? NULL : log->segments[n + 1];
		int64_t end = last ? atomic_load(&log->log_end_offset) : next->base_offset;
		bool breached;
		int st;

		if (high_watermark < end || (last && segment_size(seg) == 0))
			break;
		st = r->breached(log, r, seg, next, &breached);
		if (st != 0)
			return st;
		if (!breached)
			break;
	}
	*ret_count = n;
	return 0;
}

static int
delete_first_locked(struct log *log, uint32_t count, const char *reason)
{
	int64_t start;
	int st;

	if (count == log->segment_count) {
		st = log_roll_locked(log, 0);
		if (st != 0)
			return st;
	}
	start = log->segments[count]->base_offset;
	diag_info(DIAG_STORAGE, "deleting segments",
		  "partition=%s count=%" PRIu32 " below=%" PRId64 " reason=\"%s\"", log->name,
		  count, start, reason);
	if (start > atomic_load(&log->log_start_offset)) {
		st = raise_start_locked(log, start);
		if (st != 0)
			return st;
	}
	st = log_remove_segments_locked(log, 0, count);
	if (st == 0)
		st = log_delete_snapshots_locked(log, 0, start);
	metric_add(log->dir->ctx->metrics.deleted_segments, count);
	return st;
}

static int
run_step(struct log *log, struct retention *r, int32_t *deleted)
{
	uint32_t count;
	int st;

	lock_acquire(&log->lock);
	st = count_breached_locked(log, r, &count);
	if (st == 0 && count > 0)
		st = delete_first_locked(log, count, r->reason);
	if (st == 0)
		*deleted += (int32_t)count;
	return leave(log, st, "retention");
}

int
log_delete_old_segments(struct log *log, int32_t *ret_deleted)
{
	struct log_config config = *log_config_now(log);
	bool deletes = (config.cleanup_policy & LOG_CLEANUP_DELETE) != 0;
	struct retention r = {.config = &config, .now_ms = env_now_ms(log_env(log))};
	int32_t deleted = 0;
	int st = log_check_usable(log);

	r.breached = start_breached;
	r.reason = "below the log start offset";
	if (st == 0)
		st = run_step(log, &r, &deleted);
	if (st == 0 && deletes && config.retention_bytes >= 0 &&
	    log_size_bytes(log) >= config.retention_bytes) {
		r.breached = size_breached;
		r.reason = "retention.bytes";
		r.excess_bytes = log_size_bytes(log) - config.retention_bytes;
		st = run_step(log, &r, &deleted);
	}
	if (st == 0 && deletes && config.retention_ms >= 0) {
		r.breached = time_breached;
		r.reason = "retention.ms";
		st = run_step(log, &r, &deleted);
	}
	if (st == 0)
		*ret_deleted = deleted;
	return st;
}
