/*
 * log.h - the log of one partition: a row of segments, of which the last one grows.
 *
 * The log assigns or checks offsets, decides when to roll, keeps the high watermark that the
 * partition tells it, the leader epochs, the producers' state and with it the last stable offset.
 * It knows nothing of replicas, requests or clients. Logs are made and found by log_manager.h.
 *
 * Offsets   log start offset <= last stable offset <= high watermark <= log end offset.
 *           The log end offset is the offset that the next record gets.
 * Threads   every function may be called from any thread. One lock (LOCK_LOG) guards a log; it is
 *           held for an append or for a look at the segments, never across a disk read for a client
 *           or a flush. Functions marked "blocks" read, flush or rename beyond one append: they
 *           belong on a worker.
 * Ownership a struct log is counted: log_get(), log_put(). One that was deleted or whose directory
 *           failed stays valid for those who hold it; its calls answer K_KAFKA_STORAGE_ERROR.
 * Errors    0; positive K_...; negative -errno. After an I/O error other than -ENOSPC the whole log
 *           directory is offline (log_manager.h). After -ENOSPC the append is undone and the log
 *           goes on when there is room.
 * Source    storage-format: Kafka's UnifiedLog, LocalLog, LogValidator.
 */
#ifndef KLAMM_STORAGE_LOG_H
#define KLAMM_STORAGE_LOG_H

#include "base/arena.h"
#include "base/bytes.h"
#include "storage/file_cache.h"
#include "storage/log_config.h"

struct log;

struct log *log_get(struct log *log);
void log_put(struct log *log); /* accepts NULL */

const char *log_topic(const struct log *log);
int32_t log_partition(const struct log *log);
/* "orders-3", for diagnostics. */
const char *log_name(const struct log *log);
/* The log directory (an entry of log.dirs) that it lives in. */
const char *log_parent_dir(const struct log *log);
/* A replica that is being built for a move between directories ("-future"). */
bool log_is_future(const struct log *log);
/* Its directory has failed, or it was deleted: every call answers K_KAFKA_STORAGE_ERROR. */
bool log_is_offline(const struct log *log);

/* Replaces the settings; takes effect with the next append, roll or retention check. */
void log_configure(struct log *log, const struct log_config *config);
void log_config_of(struct log *log, struct log_config *ret_config);

/* ---- offsets ---- */

struct log_offsets {
	int64_t log_start_offset;
	int64_t last_stable_offset;
	int64_t high_watermark;
	int64_t log_end_offset;
};

/* All four, of one moment. */
void log_offsets(struct log *log, struct log_offsets *ret_offsets);
/* Without a lock; each alone may be older than another by the time it is read. */
int64_t log_start_offset(const struct log *log);
int64_t log_end_offset(const struct log *log);
int64_t log_high_watermark(const struct log *log);
int64_t log_last_stable_offset(const struct log *log);
/* Below it everything is known to be on the disk, indexes included. */
int64_t log_recovery_point(const struct log *log);
/* Bytes and number of segments, for metrics and DescribeLogDirs. */
int64_t log_size_bytes(const struct log *log);
int32_t log_segment_count(struct log *log);

/*
 * The partition sets the high watermark: bounded to [log start offset, log end offset]. A fresh log
 * has its log start offset until then, whatever replication-offset-checkpoint says: read
 * that with log_manager_checkpointed_high_watermark(). Returns what it is now.
 */
int64_t log_set_high_watermark(struct log *log, int64_t high_watermark);
/* Only upwards (the leader's way). Returns true when it moved. */
bool log_advance_high_watermark(struct log *log, int64_t high_watermark);

/* ---- append ---- */

enum log_append_origin {
	LOG_APPEND_CLIENT,     /* a Produce request: all checks */
	LOG_APPEND_COORDINATOR /* offset commits, group and transaction records, markers */
};

struct log_append {
	/*
	 * What the request carried, mutable: offsets, epoch and timestamps are stamped in place.
	 * CLIENT: batches as sent. COORDINATOR: one magic-2 batch with offset deltas 0..n-1.
	 */
	uint8_t *records;
	size_t len;
	int32_t leader_epoch;
	enum log_append_origin origin;
	/* From log_start_verification(), 0 for none. */
	uint64_t verification_guard;
};

/* One record that was refused; batch_index counts records from the start of its batch. */
struct log_record_error {
	int32_t batch_index;
	const char *message; /* in the caller's arena, or static */
};

struct log_append_result {
	int64_t first_offset; /* of the first record, or of the earlier batch for a duplicate;
				 -1 when `records` held no whole batch: nothing was done */
	int64_t last_offset;
	int64_t max_timestamp_ms;
	int64_t log_append_time_ms; /* -1 when the topic keeps CreateTime; for a duplicate the
				       earlier batch's timestamp, as Kafka answers it */
	int64_t log_start_offset;
	int64_t log_end_offset; /* after the append */
	int64_t bytes;          /* written; 0 for a duplicate */
	bool duplicate;         /* an idempotent retry: nothing was written */
	bool flush_due;         /* flush.messages is reached: log_flush_async() to last_offset
				   + 1, and answer when it is done */
};

/* Filled when log_append_as_leader() refuses with K_INVALID_RECORD or K_INVALID_TIMESTAMP. */
struct log_append_refusal {
	const char *message; /* NULL, or a sentence in the arena or static */
	const struct log_record_error *errors;
	size_t error_count;
};

/*
 * Append as leader: check, stamp offsets, leader epoch and (LogAppendTime) timestamps, write.
 *
 * The CRC, the records and a recompression are done before the lock is taken. At most one rebuilt
 * copy of the batch is allocated, from the heap.
 * arena        for the refusal's texts; may be NULL when ret_refusal is NULL
 * ret_result   untouched on failure
 * ret_refusal  may be NULL; always filled when given
 *
 * K_CORRUPT_MESSAGE, K_MESSAGE_TOO_LARGE, K_RECORD_LIST_TOO_LARGE, K_INVALID_RECORD,
 * K_INVALID_TIMESTAMP, K_UNSUPPORTED_COMPRESSION_TYPE, K_OUT_OF_ORDER_SEQUENCE_NUMBER,
 * K_INVALID_PRODUCER_EPOCH, K_INVALID_TXN_STATE, K_TRANSACTION_COORDINATOR_FENCED,
 * K_UNKNOWN_SERVER_ERROR (broken compression), K_KAFKA_STORAGE_ERROR; -ENOSPC, -EIO, -ENOMEM.
 * Source  storage-format, section 6.
 */
MUST_CHECK int log_append_as_leader(struct log *log, const struct log_append *append,
				    struct arena *arena, struct log_append_result *ret_result,
				    struct log_append_refusal *ret_refusal);

/*
 * Append what a leader sent: one or more whole batches (a partial one at the end is ignored), with
 * their offsets and epochs. `records` is not changed.
 *
 * K_CORRUPT_MESSAGE; -EILSEQ: the offsets do not rise, or begin below the log end offset (when the
 * log is empty the follower may start it anew: log_truncate_fully_and_start_at());
 * K_RECORD_LIST_TOO_LARGE: larger than segment.bytes.
 * Source  storage-format, section 6.2.
 */
MUST_CHECK int log_append_as_follower(struct log *log, struct slice records,
				      struct log_append_result *ret_result);

/*
 * For a transactional batch of a producer without an open transaction in this partition: remembers
 * that the transaction coordinator is being asked, and returns the guard to append with. 0 when
 * nothing need be asked (a transaction is open, or verification is off).
 * ret_guard  set on 0. K_INVALID_PRODUCER_EPOCH, K_OUT_OF_ORDER_SEQUENCE_NUMBER are found early.
 * Source  storage-format, section 11.3; Kafka's maybeStartTransactionVerification, KIP-890.
 */
MUST_CHECK int log_start_verification(struct log *log, int64_t producer_id, int16_t producer_epoch,
				      int32_t base_sequence, uint64_t *ret_guard);

/* ---- read ---- */

enum log_isolation {
	LOG_READ_LOG_END,        /* followers: up to the log end offset */
	LOG_READ_HIGH_WATERMARK, /* consumers, read_uncommitted */
	LOG_READ_COMMITTED       /* consumers, read_committed: up to the last stable offset */
};

struct log_read {
	/*
	 * Bytes [pos, pos + len) of the file, opened, counted for the caller: log_file_put() when
	 * they have been sent. NULL when len is 0. They start with the batch that holds the offset
	 * (which may begin below it) and may end within a batch, as in Kafka.
	 */
	struct log_file *file;
	int64_t pos;
	int32_t len;
	bool first_batch_incomplete; /* max_bytes cut the first batch: only without min_one */
	int64_t base_offset;         /* of the segment; log_aborted_transactions() needs it */
	struct log_offsets offsets;  /* of the moment of the read */
};

/*
 * Finds the bytes for a fetch from `offset`: at most max_bytes, but with min_one at least the first
 * whole batch. Nothing to read yet gives len 0.
 *
 * nowait  do not wait for the disk: -EAGAIN when the index or a batch header is not in the page
 *         cache. Then call it again from a worker without.
 * K_OFFSET_OUT_OF_RANGE: below the log start offset or above the log end offset.
 * Source  storage-format, section 7.4.
 */
MUST_CHECK int log_read(struct log *log, int64_t offset, int32_t max_bytes, bool min_one,
			enum log_isolation isolation, bool nowait, struct log_read *ret_read);

/*
 * Is what log_read() found in the page cache, as far as a look at its first, middle and last page
 * tells? If not, sending it would block: let a worker read it first.
 */
bool log_read_is_cached(const struct log_read *read);

struct log_aborted_txn {
	int64_t producer_id;
	int64_t first_offset;
};

/*
 * The aborted transactions that a read_committed consumer must know for what log_read() returned
 * for fetch_offset. In the arena. Blocks when a transaction index is not in the page cache.
 * Source  storage-format, section 8.3.
 */
MUST_CHECK int log_aborted_transactions(struct log *log, int64_t fetch_offset,
					const struct log_read *read, struct arena *arena,
					struct log_aborted_txn **ret_txns, size_t *ret_count);

/* The special timestamps of ListOffsets. */
#define LOG_TIMESTAMP_LATEST (-1)
#define LOG_TIMESTAMP_EARLIEST (-2)
#define LOG_TIMESTAMP_MAX (-3)
#define LOG_TIMESTAMP_EARLIEST_LOCAL (-4)
#define LOG_TIMESTAMP_LATEST_TIERED (-5)

struct log_timestamp_offset {
	int64_t timestamp_ms; /* -1 for the special ones except LOG_TIMESTAMP_MAX, or not found */
	int64_t offset;       /* -1: not found */
	int32_t leader_epoch; /* -1: unknown */
};

/*
 * The first record at or after log start whose timestamp is >= timestamp_ms, or what a special one
 * asks for (LATEST gives the log end offset: the caller bounds it by isolation). Blocks.
 * Source  storage-format, section 8.2; Kafka's fetchOffsetByTimestamp.
 */
MUST_CHECK int log_offset_for_timestamp(struct log *log, int64_t timestamp_ms,
					struct log_timestamp_offset *ret_found);

/*
 * ListOffsets version 0: offsets of segments (and the log end) last written before timestamp_ms,
 * newest first, at most max_count. Blocks.
 */
MUST_CHECK int log_offsets_before(struct log *log, int64_t timestamp_ms, size_t max_count,
				  struct arena *arena, int64_t **ret_offsets, size_t *ret_count);

/* ---- leader epochs ---- */

/* On becoming leader: (epoch, log end offset) begins, before any record. Blocks. */
MUST_CHECK int log_assign_epoch_start_offset(struct log *log, int32_t leader_epoch,
					     int64_t start_offset);
/* -1 when none is known. */
int32_t log_latest_epoch(struct log *log);
/*
 * Where leader_epoch ended here: ret_epoch is the largest known epoch <= leader_epoch, ret_offset
 * the start of the next one or the log end offset; both -1 when it cannot be told.
 * Source  wire-protocol, section 12.2.
 */
void log_end_offset_for_epoch(struct log *log, int32_t leader_epoch, int32_t *ret_epoch,
			      int64_t *ret_offset);

/* ---- shortening ---- */

/*
 * Follower: forget everything from `offset` on. No effect at or above the log end offset. Readers
 * beside it may see the end of what goes. Blocks.
 */
MUST_CHECK int log_truncate_to(struct log *log, int64_t offset);
/* Drops all and starts empty at `offset`, which becomes every offset there is. Blocks. */
MUST_CHECK int log_truncate_fully_and_start_at(struct log *log, int64_t offset);
/*
 * DeleteRecords, or the leader's log start offset on a follower: raises the log start offset. A
 * lower one has no effect. K_OFFSET_OUT_OF_RANGE above the high watermark.
 */
MUST_CHECK int log_raise_start_offset(struct log *log, int64_t offset);
/* One round of retention as of now. ret_deleted: number of segments. Blocks. */
MUST_CHECK int log_delete_old_segments(struct log *log, int32_t *ret_deleted);
/* Starts a new segment at the log end offset. Blocks. */
MUST_CHECK int log_roll(struct log *log);

/* ---- durability ---- */

/*
 * Everything below `offset` is on the disk on return. Callers that come while a flush runs share
 * the next one. Blocks.
 */
MUST_CHECK int log_flush(struct log *log, int64_t offset);

typedef void log_flushed_fn(void *arg, int status);

/*
 * The same without waiting: fn (may be NULL) is called once, on a worker's thread (or before return
 * when there is nothing to flush), without a lock held, with the status. Callers that come while a
 * flush runs share the next one.
 */
void log_flush_async(struct log *log, int64_t offset, log_flushed_fn *fn, void *arg);

/* ---- identity ---- */

/* All zero when the partition has no topic id. */
void log_topic_id(struct log *log, struct uuid *ret_id);
/*
 * Writes partition.metadata when there is none. K_INCONSISTENT_TOPIC_ID when it has another id.
 * Blocks.
 */
MUST_CHECK int log_assign_topic_id(struct log *log, const struct uuid *id);

/* ---- producers ---- */

/* What DescribeProducers shows. */
struct log_producer {
	int64_t producer_id;
	int64_t last_timestamp_ms;
	int64_t current_txn_start_offset; /* -1: none */
	int32_t last_sequence;            /* -1: none */
	int32_t coordinator_epoch;        /* -1: none */
	int16_t producer_epoch;
};

/* All producers of this partition, in the arena. */
MUST_CHECK int log_describe_producers(struct log *log, struct arena *arena,
				      struct log_producer **ret_producers, size_t *ret_count);
size_t log_producer_count(struct log *log);
/* Since when the oldest open transaction has been open, ms; -1 when none is open. */
int64_t log_oldest_open_txn_ms(struct log *log);

#endif
