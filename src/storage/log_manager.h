/*
 * log_manager.h - the log directories of a broker and all the logs in them.
 *
 * The order of a start: log_manager_open() takes the directories' locks; log_manager_identity()
 * and log_manager_write_identity() settle whose they are; log_manager_load() loads and, after an
 * unclean stop, recovers every log on the workers, in parallel, reporting each as it is ready;
 * log_manager_tick() is called about once a second from then on, from any one thread; and
 * log_manager_close() flushes, closes, writes the checkpoints and last the clean-shutdown marks.
 *
 * A directory on which an I/O error happens goes offline: its logs answer K_KAFKA_STORAGE_ERROR,
 * dir_failed() is called once. It is not tried again until the next start. One whose disk is full
 * stays online: logs that could not be loaded or made for it come when there is room.
 *
 * Threads   any, unless a function says otherwise. Callbacks come without a lock held, on the
 *           thread that found the event (workers, mostly): post to a mailbox.
 * Source    storage-format, sections 1, 9, 10, 13; design.md section 5.
 */
#ifndef KLAMM_STORAGE_LOG_MANAGER_H
#define KLAMM_STORAGE_LOG_MANAGER_H

#include "base/env.h"
#include "base/workers.h"
#include "storage/log.h"

struct log_manager;

struct log_manager_callbacks {
	/*
	 * Fill in the settings of a topic's logs; config holds `defaults` of the options. Called
	 * when a log is loaded or created.
	 */
	void (*configure)(void *arg, const char *topic, struct log_config *config);
	/* A log is ready to be served. Borrowed for the call: log_get() to keep it. */
	void (*log_loaded)(void *arg, struct log *log);
	/* All directories are loaded, or have failed. Called once, after the last log_loaded(). */
	void (*all_loaded)(void *arg);
	/*
	 * The disk was full when a log was to be made or loaded, and is not any more: what waited
	 * is loaded, and what log_manager_get_or_create() refused may be tried again. Perhaps
	 * several times in a row.
	 */
	void (*room_came)(void *arg, const char *dir);
	/* The directory went offline; error is the errno. Also for one that cannot be opened. */
	void (*dir_failed)(void *arg, const char *dir, int error);
};

/* log.cleaner.*: what may change while the manager runs. */
struct log_cleaner_settings {
	int64_t dedupe_buffer_bytes; /* of one thread */
	double buffer_load_factor;
	int64_t backoff_ms;
	double io_max_bytes_per_second;
};

struct log_manager_options {
	struct env *env;
	const char *const *dirs; /* log.dirs; copied */
	size_t dir_count;
	struct workers *workers; /* outlives the manager */
	struct log_config defaults;
	struct log_manager_callbacks callbacks; /* each may be NULL */
	void *callback_arg;
	size_t max_open_files;               /* 0: FILE_CACHE_DEFAULT_LIMIT */
	int64_t retention_check_interval_ms; /* log.retention.check.interval.ms */
	int64_t flush_offset_checkpoint_ms;  /* log.flush.offset.checkpoint.interval.ms */
	int64_t flush_start_offset_checkpoint_ms;
	int64_t high_watermark_checkpoint_ms; /* replica.high.watermark.checkpoint.interval.ms */
	int64_t producer_expiration_check_ms; /* producer.id.expiration.check.interval.ms */
	int64_t background_flush_ms;          /* no written byte waits longer for the disk */
	int64_t background_flush_bytes;       /* nor do more than these per log */
	int64_t initial_task_delay_ms;        /* log.initial.task.delay.ms */
	bool cleaner_enable;                  /* log.cleaner.enable */
	struct log_cleaner_settings cleaner;
	/* NULL: /proc/sys/kernel/random/boot_id. */
	const char *boot_id;
};

/* Kafka's defaults; env and workers are the caller's to set. */
void log_manager_options_init(struct log_manager_options *options);

/*
 * Opens (creates where missing) and locks every directory. A directory that cannot be used is
 * offline and reported through dir_failed(), unless all are: then this fails with its -errno.
 * -EWOULDBLOCK: another process holds .lock; -EEXIST: the same directory is named twice.
 * ret_dir  may be NULL; on failure the directory that is to blame, borrowed from options.
 */
MUST_CHECK int log_manager_open(const struct log_manager_options *options,
				struct log_manager **ret_manager, const char **ret_dir);

/* What meta.properties say, over all directories that are online. */
struct log_manager_identity {
	char cluster_id[64]; /* "" when no file says */
	int32_t broker_id;   /* -1 when no file says */
};

/*
 * Reads and compares the files. Version 0 is required.
 * Returns 0, or -EINVAL with a sentence for the operator in message (size bytes): wrong version,
 * directories that disagree, a line that cannot be read.
 */
MUST_CHECK int log_manager_identity(struct log_manager *lm,
				    struct log_manager_identity *ret_identity, char *message,
				    size_t size);
/*
 * Writes meta.properties where it is missing or lacks a key; keys of others are kept. -EINVAL with
 * a sentence when a file names another cluster or broker.
 */
MUST_CHECK int log_manager_write_identity(struct log_manager *lm, const char *cluster_id,
					  int32_t broker_id, char *message, size_t size);

/*
 * Starts loading everything; returns at once. log_loaded() and all_loaded() tell the rest. Called
 * once. Fails, before any callback, when a directory holds what is no partition (as Kafka does) or
 * one partition twice: -EINVAL with a sentence in message.
 */
MUST_CHECK int log_manager_load(struct log_manager *lm, char *message, size_t size);
/* done/total logs, for the operator. */
void log_manager_progress(struct log_manager *lm, size_t *ret_done, size_t *ret_total);
/* Waits for all_loaded(). For tools and tests. */
void log_manager_wait_loaded(struct log_manager *lm);

/* From the next log on that is compacted. Any thread. */
void log_manager_set_cleaner(struct log_manager *lm, const struct log_cleaner_settings *settings);

/*
 * The log, counted, or NULL when there is none or it is not loaded yet.
 */
struct log *log_manager_find(struct log_manager *lm, const char *topic, int32_t partition);
/* The same of the one that is being built for a move between directories. */
struct log *log_manager_find_future(struct log_manager *lm, const char *topic, int32_t partition);
/*
 * The log, made in the online directory with the fewest logs when there is none. K_KAFKA_STORAGE_
 * ERROR when no directory is online, or while directories are offline and is_new is false (the log
 * may lie in one of them, as in Kafka). -EBUSY while it is still being loaded; -ENOSPC, -EDQUOT:
 * see room_came(). Blocks. topic_id  may be NULL; otherwise as log_assign_topic_id().
 */
MUST_CHECK int log_manager_get_or_create(struct log_manager *lm, const char *topic,
					 int32_t partition, const struct uuid *topic_id,
					 bool is_new, struct log **ret_log);
/*
 * Takes the log out, renames its directory to "-delete" and removes it after file.delete.delay.ms.
 * 0 also when there is none. Blocks.
 */
MUST_CHECK int log_manager_delete(struct log_manager *lm, const char *topic, int32_t partition);
/* Calls fn for every loaded log, each counted during the call. */
void log_manager_each(struct log_manager *lm, void (*fn)(void *arg, struct log *log), void *arg);
/* The same, and for those that are being built for a move between directories. */
void log_manager_each_or_future(struct log_manager *lm, void (*fn)(void *arg, struct log *log),
				void *arg);
size_t log_manager_count(struct log_manager *lm);

/* What replication-offset-checkpoint said at the start, 0 when nothing. */
int64_t log_manager_checkpointed_high_watermark(struct log_manager *lm, const char *topic,
						int32_t partition);

/* One log directory, for DescribeLogDirs and metrics. */
struct log_dir_info {
	const char *path;    /* absolute, as log_parent_dir(); borrowed from the manager */
	int error;           /* 0, or why it is offline */
	int64_t total_bytes; /* of the volume; -1 when unknown */
	int64_t usable_bytes;
};
size_t log_manager_dir_count(const struct log_manager *lm);
/* Asks the file system: blocks. */
void log_manager_dir_info(struct log_manager *lm, size_t index, struct log_dir_info *ret_info);

/*
 * What is due as of now (ms, the env's monotonic clock): retention, flushes, checkpoints, expiry of
 * producers, delayed deletion, cleaning. The work runs on the workers; this returns at once.
 */
void log_manager_tick(struct log_manager *lm, int64_t now_ms);

/*
 * Stops. Nobody may append any more. clean: write the clean-shutdown marks; false leaves the
 * directories as a crash would. Waits for the workers' jobs that belong to it. Accepts NULL. Logs
 * still held by others stay valid memory, but are offline.
 */
void log_manager_close(struct log_manager *lm, bool clean);

#endif
