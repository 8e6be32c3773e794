/*
 * log_dir.h - one log directory: its descriptor, and whether it still works.
 *
 * Threads  any; the flags are atomic.
 */
#ifndef KLAMM_STORAGE_LOG_DIR_H
#define KLAMM_STORAGE_LOG_DIR_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/metrics.h"
#include "base/workers.h"
#include "storage/file_cache.h"
#include "storage/trash.h"

struct log_dir;

typedef void log_dir_failed_fn(void *arg, struct log_dir *dir, int error);
typedef void log_dir_lowered_fn(void *arg);

struct log_metrics {
	struct metric *appended_bytes;
	struct metric *appended_batches;
	struct metric *rolls;
	struct metric *deleted_segments;
	struct metric *recovery_bytes;
	struct metric *truncated_bytes;
	struct histogram *flush_time;
};

/* Jobs given to the workers and not yet ended. */
struct log_jobs {
	struct lock lock; /* LOCK_LOG_JOBS */
	pthread_cond_t idle;
	size_t count;
};

/* What all logs of a broker share. */
struct log_context {
	struct env *env;
	struct file_cache *files;
	struct trash *trash;
	struct workers *workers;       /* for flushes that nobody waits for */
	log_dir_failed_fn *dir_failed; /* may be NULL; called once per directory, without a lock */
	/*
	 * A recovery point went down: the checkpoint, which promises more now than is so, should be
	 * written soon. May be NULL; without a lock.
	 */
	log_dir_lowered_fn *recovery_point_lowered;
	void *arg;
	struct log_metrics metrics;
	struct log_jobs *jobs;
};

/* Finds the metrics' series. */
void log_metrics_init(struct log_metrics *m);
void log_jobs_init(struct log_jobs *jobs);
void log_jobs_fini(struct log_jobs *jobs);
/* Submits fn(arg), which must call log_jobs_end() as its last act. */
void log_jobs_submit(const struct log_context *ctx, mailbox_fn *fn, void *arg);
void log_jobs_end(struct log_jobs *jobs);
/* Waits until none is left. */
void log_jobs_wait(struct log_jobs *jobs);

struct log_dir {
	const struct log_context *ctx;
	char *path;        /* absolute */
	int fd;            /* -1 when it could not be opened */
	_Atomic int error; /* 0: online; otherwise the errno that took it offline */
	_Atomic bool reported;
	/* What changed since the checkpoint was written. */
	_Atomic bool recovery_points_changed;
	_Atomic bool log_starts_changed;
	_Atomic bool high_watermarks_changed;
	_Atomic bool cleaner_offsets_changed;
};

static inline bool
log_dir_is_offline(const struct log_dir *dir)
{
	return atomic_load_explicit(&((struct log_dir *)dir)->error, memory_order_relaxed) != 0;
}

/*
 * Judges the status of a disk operation: one that says that the directory is broken takes it
 * offline. Returns what the caller should return: K_KAFKA_STORAGE_ERROR then, otherwise st. May be
 * called with a log's lock held: whoever holds none calls log_dir_report() in the end.
 */
int log_dir_judge(struct log_dir *dir, int st, const char *doing, const char *name);
/* Tells ctx->dir_failed about a directory that went offline, once. Without a lock held. */
void log_dir_report(struct log_dir *dir);

#endif
