#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_internal.h"
#include "wire/kerr.h"

/*
 * Group commit: at most one flush round of a log runs at a time. Whoever wants an offset on the
 * disk queues; if no round runs, he (or a worker) runs rounds until the queue is empty. A round
 * takes the queue as it is, flushes up to the log end offset of that moment, moves the recovery
 * point and calls those whose offset is covered: so everyone who came during a round shares the
 * next one.
 *
 * A round fsyncs, in this order: every file of segments that do not grow any more and end above the
 * recovery point, the active segment's log and transaction index (the other indexes can be rebuilt
 * from there on), the leader epochs, and the directory when files came. Then the recovery point may
 * move: storage-format, section 10.6.
 */

/* A quiet log gives back its tails and recent batches after this long without an append. */
#define QUIET_MS 5000
/* A producer snapshot in the background, so that recovery has no more than this to replay. */
#define SNAPSHOT_EVERY_BYTES ((int64_t)16 << 20)

struct flush_round {
	struct flush_waiter *waiters;
	struct segment **segments; /* counted; the last may be the active one */
	uint32_t count;
	int64_t end_offset;
	int64_t appended_bytes;
	uint32_t truncations;
	bool active; /* the last of segments grows */
	bool sync_epochs;
	bool sync_dir;
};

/* Takes what the round works on. */
static int
begin_round_locked(struct log *log, struct flush_round *r)
{
	int64_t from = log_floor_segment_locked(log, atomic_load(&log->recovery_point));
	uint32_t first = from < 0 ? 0 : (uint32_t)from;

	*r = (struct flush_round){
	    .waiters = log->flush_queue,
	    .end_offset = atomic_load(&log->log_end_offset),
	    .appended_bytes = log->appended_bytes,
	    .truncations = log->truncations,
	    .active = true,
	    .sync_epochs = log->epochs_unsynced,
	    .sync_dir = log->dir_unsynced,
	};
	log->flush_queue = NULL;
	r->segments = calloc(log->segment_count - first, sizeof(struct segment *));
	if (r->segments == NULL)
		return -ENOMEM;
	for (uint32_t i = first; i < log->segment_count; i++)
		r->segments[r->count++] = segment_get(log->segments[i]);
	log->epochs_unsynced = false;
	log->dir_unsynced = false;
	log->dirty_since_ms = 0;
	return 0;
}

static int
sync_path(struct env *env, int root_fd, const char *path, int flags)
{
	int fd = env_openat(env, root_fd, path, flags, 0);
	int st;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	st = env_fsync(env, fd);
	env_close(env, fd);
	return st;
}

static int
run_round(struct log *log, const struct flush_round *r)
{
	struct env *env = log_env(log);
	char path[2 * NAME_MAX + 2];
	size_t len;
	int st = 0;

	for (uint32_t i = 0; i < r->count && st == 0; i++) {
		bool grows = r->active && i + 1 == r->count;

		st = grows ? segment_sync_growing(r->segments[i]) : segment_sync(r->segments[i]);
		/* Retention may have taken it away meanwhile: then it need not be on the disk. */
		if (st == -ENOENT && r->segments[i]->stage != LOG_FILE_PLAIN)
			st = 0;
	}
	partition_dir_name(log->part, path);
	len = strlen(path);
	if (st == 0 && r->sync_epochs) {
		snprintf(path + len, sizeof(path) - len, "/" LEADER_EPOCH_CHECKPOINT);
		st = sync_path(env, log->dir->fd, path, O_RDONLY);
		path[len] = '\0';
	}
	if (st == 0 && r->sync_dir)
		st = sync_path(env, log->dir->fd, path, O_RDONLY | O_DIRECTORY);
	return st;
}

static void
end_round_locked(struct log *log, const struct flush_round *r, int st)
{
	int64_t end = atomic_load(&log->log_end_offset);
	int64_t point = r->end_offset < end ? r->end_offset : end;

	if (st != 0) {
		log->epochs_unsynced |= r->sync_epochs;
		log->dir_unsynced |= r->sync_dir;
		if (log->dirty_since_ms == 0)
			log->dirty_since_ms = env_monotonic_ms(log_env(log));
	} else if (r->truncations == log->truncations &&
		   point > atomic_load(&log->recovery_point)) {
		atomic_store_explicit(&log->recovery_point, point, memory_order_release);
		atomic_store(&log->dir->recovery_points_changed, true);
		log->flushed_bytes = r->appended_bytes;
	}
}

static void
free_round(struct flush_round *r, int st)
{
	while (r->waiters != NULL) {
		struct flush_waiter *w = r->waiters;

		r->waiters = w->next;
		if (w->fn != NULL)
			w->fn(w->arg, st);
		free(w);
	}
	for (uint32_t i = 0; i < r->count; i++)
		segment_put(r->segments[i]);
	free(r->segments);
}

/*
 * Runs rounds until nobody waits. Called with log->flushing set by the caller. Returns the status
 * of the first round.
 */
static int
run_rounds(struct log *log)
{
	int ret = 0;

	for (bool first = true;; first = false) {
		struct env *env = log_env(log);
		int64_t begin_us = env_monotonic_us(env);
		struct flush_round r;
		bool more;
		int st;

		lock_acquire(&log->lock);
		st = begin_round_locked(log, &r);
		lock_release(&log->lock);
		if (st == 0)
			st = log_check_usable(log);
		if (st == 0)
			st = run_round(log, &r);
		histogram_observe(log->dir->ctx->metrics.flush_time,
				  env_monotonic_us(env) - begin_us);
		lock_acquire(&log->lock);
		end_round_locked(log, &r, st);
		/* ENOSPC or its like at an fsync: the data may be gone, as after EIO. */
		if (st == -ENOSPC || st == -EDQUOT)
			st = -EIO;
		more = log->flush_queue != NULL;
		log->flushing = more;
		pthread_cond_broadcast(&log->flushed);
		lock_release(&log->lock);
		st = log_judge(log, st, "flushing");
		if (first)
			ret = st;
		free_round(&r, st);
		if (!more)
			return ret;
	}
}

static void
flush_job(void *arg)
{
	struct log *log = arg;
	struct log_jobs *jobs = log->dir->ctx->jobs;

	(void)run_rounds(log);
	log_put(log);
	log_jobs_end(jobs);
}

void
log_flush_async(struct log *log, int64_t offset, log_flushed_fn *fn, void *arg)
{
	struct flush_waiter *w;
	bool start;
	int st = log_check_usable(log);

	if (st != 0 || offset <= log_recovery_point(log)) {
		if (fn != NULL)
			fn(arg, st);
		return;
	}
	w = malloc(sizeof(*w));
	if (w == NULL) {
		if (fn != NULL)
			fn(arg, -ENOMEM);
		return;
	}
	*w = (struct flush_waiter){.offset = offset, .fn = fn, .arg = arg};
	lock_acquire(&log->lock);
	w->next = log->flush_queue;
	log->flush_queue = w;
	start = !log->flushing;
	log->flushing = true;
	lock_release(&log->lock);
	if (start)
		log_jobs_submit(log->dir->ctx, flush_job, log_get(log));
}

int
log_flush(struct log *log, int64_t offset)
{
	bool run = false;
	int st;

	lock_acquire(&log->lock);
	for (;;) {
		st = log_check_usable(log);
		if (st != 0 || atomic_load(&log->recovery_point) >= offset)
			break;
		run = !log->flushing;
		if (run) {
			log->flushing = true;
			break;
		}
		lock_wait(&log->lock, &log->flushed);
	}
	lock_release(&log->lock);
	return run ? run_rounds(log) : st;
}

/* ---- in the background ---- */

bool
log_needs_background_flush(struct log *log, const struct log_tick *tick)
{
	const struct log_config *config = log_config_now(log);
	int64_t wait_ms = tick->background_flush_ms;
	bool need;

	if (log_check_usable(log) != 0)
		return false;
	if (config->flush_ms < wait_ms)
		wait_ms = config->flush_ms;
	lock_acquire(&log->lock);
	need = !log->flushing &&
	       ((log->dirty_since_ms != 0 && tick->now_ms - log->dirty_since_ms >= wait_ms) ||
		log->appended_bytes - log->flushed_bytes >= tick->background_flush_bytes ||
		(log->recent != NULL && tick->now_ms - log->last_append_ms >= QUIET_MS));
	lock_release(&log->lock);
	return need;
}

/* What a quiet log keeps in memory goes to its files. */
static int
settle_locked(struct log *log)
{
	struct segment *active = log_active_locked(log);
	bool quiet = env_monotonic_ms(log_env(log)) - log->last_append_ms >= QUIET_MS;
	int64_t newest = log_newest_snapshot_locked(log);
	int st;

	st = segment_write_tails(active, quiet);
	if (quiet) {
		free(log->recent);
		log->recent = NULL;
	}
	if (st != 0 || log->appended_bytes - log->snapshot_bytes < SNAPSHOT_EVERY_BYTES)
		return st;
	st = log_write_snapshot_locked(log, false);
	/* Between segments' bases only the newest one may stay: storage-format, section 10.4. */
	if (st == 0 && newest > active->base_offset)
		st = log_delete_snapshots_locked(log, newest, newest + 1);
	return st;
}

void
log_background_flush(struct log *log)
{
	bool dirty;
	int st;

	lock_acquire(&log->lock);
	st = settle_locked(log);
	dirty = log->dirty_since_ms != 0;
	lock_release(&log->lock);
	/* No room for tails is no fault: they stay in memory. */
	if (st == -ENOSPC || st == -EDQUOT)
		st = 0;
	if (log_judge(log, st, "writing index entries") == 0 && dirty)
		log_flush_async(log, log_end_offset(log), NULL, NULL);
}
