/*
 * log_internal.h - struct log, for the files that make it up and the log manager.
 *
 *	log.c		life, settings, offsets, high watermark, epochs, producers' view, rolling
 *	log_append.c	as leader and as follower
 *	log_read.c	fetches, offsets for timestamps, aborted transactions
 *	log_flush.c	group commit, snapshots in the background
 *	log_shorten.c	truncation, log start offset, retention
 *	log_load.c	opening what is on disk, recovery
 *
 * Functions named *_locked are called with log->lock held.
 */
#ifndef KLAMM_STORAGE_LOG_INTERNAL_H
#define KLAMM_STORAGE_LOG_INTERNAL_H

#include <limits.h>

#include "base/lock.h"
#include "storage/leader_epochs.h"
#include "storage/log.h"
#include "storage/log_dir.h"
#include "storage/producer_state.h"
#include "storage/segment.h"

/* How many of the batches appended last are found without looking at a file. */
#define RECENT_BATCHES 16

struct recent_batch {
	int64_t base_offset;
	int64_t last_offset;
	int32_t pos;
	int32_t size_bytes;
};

struct recent_batches {
	int64_t segment_base_offset; /* all lie in this segment */
	uint32_t count;              /* ever added */
	struct recent_batch ring[RECENT_BATCHES];
};

struct flush_waiter {
	struct flush_waiter *next;
	log_flushed_fn *fn;
	void *arg;
};

struct retired_config {
	struct retired_config *next;
	struct log_config config;
};

struct log {
	struct log_dir *dir;
	struct partition_dir *part; /* counted */
	char *topic;
	char *name; /* "topic-3" */
	int32_t partition;
	bool is_future;
	_Atomic uint32_t refs;
	_Atomic bool gone; /* deleted or closed */

	/*
	 * Read without the lock, replaced under it; those replaced live as long as the log, since
	 * someone may still read them.
	 */
	_Atomic(struct retired_config *) config;

	/* Written under the lock, read by anyone. */
	_Atomic int64_t log_start_offset;
	_Atomic int64_t high_watermark;
	_Atomic int64_t log_end_offset;
	_Atomic int64_t last_stable_offset;
	_Atomic int64_t recovery_point; /* below it all is on the disk, indexes too */
	_Atomic int64_t flushed_offset; /* below it all is on the disk that cannot be had again */
	_Atomic int64_t size_bytes;

	struct lock lock;          /* LOCK_LOG: all below */
	struct segment **segments; /* by base offset; at least one in an open log */
	uint32_t segment_count;
	uint32_t segment_cap;
	uint32_t truncations;          /* how often what was there has changed under readers */
	uint32_t end_cuts;             /* how often the end was cut off, under a flush */
	struct recent_batches *recent; /* NULL when quiet */
	struct leader_epochs epochs;
	struct producer_state producers;
	int64_t *snapshots; /* offsets of the snapshot files, rising */
	uint32_t snapshot_count;
	uint32_t snapshot_cap;
	struct uuid topic_id;
	bool epochs_unsynced;            /* leader-epoch-checkpoint was written and not fsynced */
	bool dir_unsynced;               /* files came since the directory was fsynced */
	bool flushing;                   /* a flush round runs */
	bool full_flush_wanted;          /* the next round is a full one */
	bool cleaning;                   /* the cleaner works on it */
	_Atomic bool high_watermark_set; /* by the partition: not just what a load begins with */
	bool uncleanable;                /* cleaning failed: not again until restart */
	int64_t cleaner_offset;          /* first dirty offset as recorded, -1 for none */
	pthread_cond_t flushed;          /* a round ended */
	struct flush_waiter *flush_queue;
	int64_t dirty_since_ms; /* monotonic: first append since the last flush; 0 for none */
	int64_t snapshot_bytes; /* size_bytes-like counter at the newest snapshot */
	int64_t appended_bytes; /* since it was opened */
	int64_t flushed_bytes;  /* appended_bytes at the last flush */
	int64_t last_append_ms; /* monotonic */
};

/* The settings of now. Valid as long as the log. */
static inline const struct log_config *
log_config_now(const struct log *log)
{
	return &atomic_load_explicit(&((struct log *)log)->config, memory_order_acquire)->config;
}

static inline struct env *
log_env(const struct log *log)
{
	return log->dir->ctx->env;
}

static inline struct segment *
log_active_locked(const struct log *log)
{
	return log->segments[log->segment_count - 1];
}

/* ---- log.c ---- */

/* An empty shell without segments; dir_name is the directory below the log directory. */
MUST_CHECK int log_new(struct log_dir *dir, const char *dir_name, const char *topic,
		       int32_t partition, bool is_future, const struct log_config *config,
		       struct log **ret_log);
/* A log that did not exist: makes its directory and first segment. */
MUST_CHECK int log_create(struct log_dir *dir, const char *topic, int32_t partition,
			  const struct log_config *config, struct log **ret_log);
/*
 * Judges an I/O status (log_dir_judge) and reports a failed directory. Without the lock.
 */
int log_judge(struct log *log, int st, const char *doing);
/* K_KAFKA_STORAGE_ERROR for a log that is gone or offline, else 0. */
int log_check_usable(const struct log *log);

MUST_CHECK int log_add_segment_locked(struct log *log, struct segment *seg);
/* Index of the segment with the largest base <= offset; -1 when there is none. */
int64_t log_floor_segment_locked(const struct log *log, int64_t offset);
/* Begins a new segment at max(base_offset, log end offset). */
MUST_CHECK int log_roll_locked(struct log *log, int64_t base_offset);
/* The log ends at `end_offset` now; the high watermark follows downwards. */
void log_set_end_offset_locked(struct log *log, int64_t end_offset);
void log_set_high_watermark_locked(struct log *log, int64_t high_watermark);
void log_update_stable_offset_locked(struct log *log);
void log_set_start_offset_locked(struct log *log, int64_t offset);
/* Writes leader-epoch-checkpoint when the epochs have changed. */
MUST_CHECK int log_write_epochs_locked(struct log *log);
/*
 * Only one of retention and cleaning works on a log at a time. False when the other does.
 */
bool log_try_pause_cleaning(struct log *log);
void log_resume_cleaning(struct log *log);
/* Takes segments [from, from + count) out; their files are renamed and go to the trash. */
MUST_CHECK int log_remove_segments_locked(struct log *log, uint32_t from, uint32_t count);
/* Remembers a batch for readers near the end. */
void log_remember_batch_locked(struct log *log, const struct recent_batch *batch);

/* Snapshot files. A new one only if the state has advanced since the newest. */
MUST_CHECK int log_write_snapshot_locked(struct log *log, bool sync);
MUST_CHECK int log_note_snapshot_locked(struct log *log, int64_t offset);
/* Deletes snapshots with from <= offset < to. */
MUST_CHECK int log_delete_snapshots_locked(struct log *log, int64_t from, int64_t to);
/* Newest snapshot's offset, -1 for none. */
int64_t log_newest_snapshot_locked(const struct log *log);

/*
 * Everything to the disk, last index entries and a snapshot at the end; after that the log is gone.
 * clean: false only drops it.
 */
MUST_CHECK int log_close(struct log *log, bool clean);
/* Renames the directory for deletion and marks the log as gone. */
MUST_CHECK int log_delete(struct log *log);

/* ---- log_append.c ---- */

/*
 * Counts in a batch that is in the log now. index: the segment whose transaction index a marker
 * goes to; NULL when it is there already.
 */
MUST_CHECK int log_update_producers_locked(struct log *log, struct segment *index,
					   const struct record_batch *batch, int64_t base_offset);

/* ---- log_flush.c ---- */

/* Everything written so far, with the indexes; the recovery point follows. */
MUST_CHECK int log_flush_fully(struct log *log);
void log_flush_fully_async(struct log *log);

/* Writes tails and snapshot that a quiet log still holds in memory; flushes what waits too long. */
struct log_tick {
	int64_t now_ms; /* monotonic */
	int64_t background_flush_ms;
	int64_t background_flush_bytes;
};
/* True when log_background_flush() should run on a worker. Cheap. */
bool log_needs_background_flush(struct log *log, const struct log_tick *tick);
void log_background_flush(struct log *log);

/* ---- log_load.c ---- */

struct log_load {
	struct log_config config;
	int64_t recovery_point;   /* as checkpointed, 0 if not */
	int64_t log_start_offset; /* as checkpointed, 0 if not */
	bool clean;               /* the directory was shut down cleanly */
	bool same_boot;           /* unclean, but the kernel has not stopped since */
};

/*
 * Opens what is on disk and recovers it: producers, epochs, offsets. The high watermark is the log
 * start offset until the partition sets it. K_KAFKA_STORAGE_ERROR: this log alone cannot be used;
 * the files stay as they are.
 */
MUST_CHECK int log_load(struct log_dir *dir, const char *dir_name, const char *topic,
			int32_t partition, bool is_future, const struct log_load *load,
			struct log **ret_log);

/*
 * After a truncation: the producers' state anew, from the newest snapshot that is not above the log
 * end offset and the batches since.
 */
MUST_CHECK int log_reload_producers_locked(struct log *log);

/* ---- log_files.c ---- */

/* One segment as the directory's listing shows it. */
struct found_segment {
	int64_t base_offset;
	bool log;
	struct segment_files files;
};

struct found_files {
	struct found_segment *segments; /* by base offset, those with a .log */
	size_t segment_count;
	int64_t *snapshots; /* rising */
	size_t snapshot_count;
};

/*
 * Lists a partition's directory and brings to an end what a crash has interrupted: deletions, and
 * replacements by the cleaner. Storage-format, section 10.2.
 */
MUST_CHECK int log_list_files(struct env *env, int root_fd, const char *dir_name,
			      struct found_files *ret_files);
void found_files_fini(struct found_files *files);

#endif
