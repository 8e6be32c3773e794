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
 * takes the queue as it is, flushes up to the log end offset of that moment and calls everyone in
 * it: so all who came during a round share the next one.
 *
 * A round fsyncs what cannot be had again: the logs and transaction indexes of the segments that
 * are not flushed, the leader epochs, and the directory when files came. That is one fsync as a
 * rule, and moves flushed_offset, which waiters wait for. A full round, which is asked for at a
 * roll, in the background and at a stop, also writes and fsyncs the other indexes, and only then
 * the recovery point moves: below it a start trusts the indexes without a look. Storage-format,
 * section 10.6.
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
	uint32_t end_cuts;
	bool full; /* the indexes too */
	bool sync_epochs;
	bool sync_dir;
};

/* Takes what the round works on. */
static int
begin_round_locked(struct log *log, struct flush_round *r)
{
	bool full = log->full_flush_wanted;
	int64_t from = full ? atomic_load(&log->recovery_point) : atomic_load(&log->flushed_offset);
	int64_t at = log_floor_segment_locked(log, from);
	uint32_t first = at < 0 ? 0 : (uint32_t)at;
	int st = 0;

	*r = (struct flush_round){
	    .waiters = log->flush_queue,
	    .end_offset = atomic_load(&log->log_end_offset),
	    .appended_bytes = log->appended_bytes,
	    .end_cuts = log->end_cuts,
	    .full = full,
	    .sync_epochs = log->epochs_unsynced,
	    .sync_dir = log->dir_unsynced,
	};
	log->flush_queue = NULL;
	log->full_flush_wanted = false;
	r->segments = calloc(log->segment_count - first, sizeof(struct segment *));
	if (r->segments == NULL)
		return -ENOMEM;
	if (full)
		st = segment_write_tails(log_active_locked(log), false);
	if (st == -ENOSPC || st == -EDQUOT) {
		/* Tails stay in memory until there is room; the records can be flushed. */
		r->full = full = false;
		st = 0;
	}
	for (uint32_t i = first; i < log->segment_count; i++)
		r->segments[r->count++] = segment_get(log->segments[i]);
	log->epochs_unsynced = false;
	log->dir_unsynced = false;
	if (full)
		log->dirty_since_ms = 0;
	return st;
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
		st = r->full ? segment_sync(r->segments[i]) : segment_sync_data(r->segments[i]);
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
	if (st != 0) {
		log->epochs_unsynced |= r->sync_epochs;
		log->dir_unsynced |= r->sync_dir;
		log->full_flush_wanted |= r->full;
		if (log->dirty_since_ms == 0)
			log->dirty_since_ms = env_monotonic_ms(log_env(log));
		return;
	}
	/* What was flushed may have been cut off meanwhile, and something else written there. */
	if (r->end_cuts != log->end_cuts)
		return;
	if (r->end_offset > atomic_load(&log->flushed_offset))
		atomic_store_explicit(&log->flushed_offset, r->end_offset, memory_order_release);
	if (r->full && r->end_offset > atomic_load(&log->recovery_point)) {
		atomic_store_explicit(&log->recovery_point, r->end_offset, memory_order_release);
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
		more = log->flush_queue != NULL || (st == 0 && log->full_flush_wanted);
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

static int64_t
flushed_offset(const struct log *log)
{
	return atomic_load_explicit(&((struct log *)log)->flushed_offset, memory_order_acquire);
}

void
log_flush_async(struct log *log, int64_t offset, log_flushed_fn *fn, void *arg)
{
	struct flush_waiter *w;
	bool start;
	int st = log_check_usable(log);

	if (st != 0 || offset <= flushed_offset(log)) {
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
	*w = (struct flush_waiter){.fn = fn, .arg = arg};
	lock_acquire(&log->lock);
	w->next = log->flush_queue;
	log->flush_queue = w;
	start = !log->flushing;
	log->flushing = true;
	lock_release(&log->lock);
	if (start)
		log_jobs_submit(log->dir->ctx, flush_job, log_get(log));
}

void
log_flush_fully_async(struct log *log)
{
	bool start;

	lock_acquire(&log->lock);
	log->full_flush_wanted = true;
	start = !log->flushing;
	log->flushing = true;
	lock_release(&log->lock);
	if (start)
		log_jobs_submit(log->dir->ctx, flush_job, log_get(log));
}

/* Waits until it is covered, or runs the rounds itself. */
static int
flush_to(struct log *log, _Atomic int64_t *covered, int64_t offset, bool full)
{
	bool run = false;
	int st;

	lock_acquire(&log->lock);
	for (;;) {
		st = log_check_usable(log);
		if (st != 0 || atomic_load(covered) >= offset)
			break;
		log->full_flush_wanted |= full;
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

int
log_flush(struct log *log, int64_t offset)
{
	return flush_to(log, &log->flushed_offset, offset, false);
}

int
log_flush_fully(struct log *log)
{
	return flush_to(log, &log->recovery_point, log_end_offset(log), true);
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
		log_flush_fully_async(log);
}
