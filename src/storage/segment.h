/*
 * segment.h - one append-only file of record batches and its sparse indexes.
 *
 * A log is a row of segments of which only the last, the active one, grows. This module knows
 * offsets, positions and timestamps, not leaders, producers or requests.
 *
 * Threads  a segment is guarded by its log's lock. Readers take a struct segment_view under it and
 *          work without: bytes below the view's size do not change unless the log is truncated,
 *          and then what they find may be gone (they get K_CORRUPT_MESSAGE, -ENODATA or -EIO).
 * Disk     <20-digit base offset>.log, .index, .timeindex, .txnindex, as Kafka names them.
 * Source   storage-format, section 7; Kafka's LogSegment.
 */
#ifndef KLAMM_STORAGE_SEGMENT_H
#define KLAMM_STORAGE_SEGMENT_H

#include <stdatomic.h>

#include "storage/batch_scan.h"
#include "storage/log_config.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"
#include "storage/txn_index.h"

/* A timestamp that was not read from the files yet. */
#define SEGMENT_UNREAD INT64_MIN

struct segment {
	struct log_file *log; /* owned, as the indexes' files are */
	struct offset_index offsets;
	struct time_index times;
	struct txn_index txns;
	struct partition_dir *dir; /* counted */
	int64_t base_offset;
	int64_t created_ms;           /* when it was created or opened */
	int64_t jitter_ms;            /* taken off segment.ms */
	int64_t max_timestamp_ms;     /* SEGMENT_UNREAD, or -1 when no record has one */
	int64_t max_timestamp_offset; /* last offset of the batch that holds it */
	int64_t first_timestamp_ms;   /* max timestamp of the first batch; SEGMENT_UNREAD */
	int64_t bytes_since_index;
	_Atomic int32_t size_bytes; /* of the log file, without what was preallocated */
	_Atomic uint32_t refs;
	_Atomic bool txns_unsynced; /* entries came since the last fsync */
	uint8_t stage;              /* enum log_file_stage */
	bool preallocated;
	bool created_files; /* and the directory was not fsynced since */
};

/* Which indexes a segment has on disk when it is opened. */
struct segment_files {
	bool index;
	bool time_index;
	bool txn_index;
};

/* Makes a new empty one: its files, none of which may exist with content. Counted once. */
MUST_CHECK int segment_create(struct partition_dir *dir, int64_t base_offset,
			      enum log_file_stage stage, const struct log_config *config,
			      struct segment **ret_seg);
/*
 * Opens what is on disk; .log must be there, the index and the time index are made, empty, where
 * they are not in `files`. -EFBIG: a log larger than INT32_MAX bytes; -EBADMSG: the transaction
 * index cannot be read.
 */
MUST_CHECK int segment_open(struct partition_dir *dir, int64_t base_offset,
			    const struct segment_files *files, const struct log_config *config,
			    struct segment **ret_seg);
struct segment *segment_get(struct segment *seg);
/* The last one frees it; nothing is written. Accepts NULL. */
void segment_put(struct segment *seg);

static inline int32_t
segment_size(const struct segment *seg)
{
	return atomic_load_explicit(&seg->size_bytes, memory_order_acquire);
}

/* A set of whole batches that goes to the end of a segment. */
struct segment_chunk {
	struct slice bytes;
	int64_t last_offset;
	int64_t max_timestamp_ms;     /* -1: none has one */
	int64_t max_timestamp_offset; /* last offset of the batch that holds it */
};

/* Would Kafka begin a new segment before appending this chunk? Storage-format, section 7.3. */
MUST_CHECK int segment_should_roll(struct segment *seg, const struct log_config *config,
				   const struct segment_chunk *chunk, int64_t now_ms,
				   bool *ret_roll);
/*
 * Appends. In the page cache on return. -ENOSPC, -EIO, ...: nothing was added, the file is as long
 * as before; -EUCLEAN: and it could not be cut back.
 */
MUST_CHECK int segment_append(struct segment *seg, const struct segment_chunk *chunk,
			      const struct log_config *config);
/* An aborted transaction whose marker lies in this segment. */
MUST_CHECK int segment_add_aborted_txn(struct segment *seg, const struct aborted_txn *txn);
/* An index entry for a chunk that stands in the file at pos; for recovery. */
MUST_CHECK int segment_index_chunk(struct segment *seg, int64_t last_offset, int32_t pos,
				   int64_t max_timestamp_ms, int64_t max_timestamp_offset,
				   int32_t size_bytes, const struct log_config *config);

/*
 * The segment will not grow, or the log is closed: last time index entry, tails written and
 * released, what was preallocated given back.
 */
MUST_CHECK int segment_seal(struct segment *seg);
/* Writes the tails of the indexes; release also frees their memory. */
MUST_CHECK int segment_write_tails(struct segment *seg, bool release);
/*
 * Fsyncs what cannot be had again from elsewhere: the log and the transaction index. Needs no lock.
 */
MUST_CHECK int segment_sync_data(struct segment *seg);
/* Fsyncs all its files. The tails must have been written; needs no lock. */
MUST_CHECK int segment_sync(struct segment *seg);

/* The largest timestamp of its records, -1 for none, and where. */
MUST_CHECK int segment_max_timestamp(struct segment *seg, struct timestamp_offset *ret_max);
/* The same, or the file's modification time when no record has a timestamp. */
MUST_CHECK int segment_largest_timestamp(struct segment *seg, int64_t *ret_ms);
/* Max timestamp of its first batch; -1 for an empty segment or none. */
MUST_CHECK int segment_first_timestamp(struct segment *seg, int64_t *ret_ms);
/*
 * The offset after its last record: reads from the last index entry on. K_CORRUPT_MESSAGE when
 * there is anything but whole batches.
 */
MUST_CHECK int segment_next_offset(struct segment *seg, int64_t *ret_offset);

/*
 * Cuts the file before the first batch whose last offset is >= offset, and the indexes with it.
 * ret_bytes  how many bytes went
 */
MUST_CHECK int segment_truncate_to(struct segment *seg, int64_t offset, int64_t *ret_bytes);
/* Cuts the log file at pos, which is a batch's start, and drops index entries of offset and up. */
MUST_CHECK int segment_truncate_at(struct segment *seg, int32_t pos, int64_t offset);

/* Renames all files to another stage. */
MUST_CHECK int segment_rename(struct segment *seg, enum log_file_stage stage);
/* Removes all files. Tries them all; returns the first error. */
MUST_CHECK int segment_unlink(struct segment *seg);

/* ---- reading, without the lock ---- */

struct segment_view {
	struct segment *seg; /* counted */
	struct index_view offsets;
	int32_t size_bytes;
	bool nowait;
};

void segment_view_open(struct segment *seg, bool nowait, struct segment_view *ret_view);
void segment_view_close(struct segment_view *v);
/* The first batch whose last offset is >= offset. -ENODATA when there is none. */
MUST_CHECK int segment_view_locate(const struct segment_view *v, int64_t offset,
				   struct batch_info *ret_batch);
/*
 * The first record with a timestamp >= timestamp_ms and an offset >= start_offset, searching from
 * `from`, an offset that the time index gave. -ENODATA when there is none.
 */
MUST_CHECK int segment_view_find_timestamp(const struct segment_view *v, int64_t from,
					   int64_t timestamp_ms, int64_t start_offset,
					   struct timestamp_offset *ret_found,
					   int32_t *ret_leader_epoch);

#endif
