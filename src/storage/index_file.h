/*
 * index_file.h - a file of fixed-size sorted entries: what the offset and the time index share.
 *
 * Entries are appended to a small tail in memory, which is written when it is full, when the
 * segment becomes inactive, before a flush and when the log is quiet. So the file holds nothing
 * but whole entries at any time, is never longer than they are, and needs no mapping. What a crash
 * loses of the tail is found again by scanning the log from the last entry that is in the file.
 *
 * Readers take a struct index_view under the log's lock, which copies the tail, and search it
 * without: entries in the file do not change, except by a truncation, after which a view may find
 * entries that are gone. Whoever uses what a view found checks it against the log file. A view
 * that must not wait keeps what it read of the file for the thread's next one (index_window.h).
 *
 * Threads  struct index_file under its log's lock; a view belongs to its thread.
 */
#ifndef KLAMM_STORAGE_INDEX_FILE_H
#define KLAMM_STORAGE_INDEX_FILE_H

#include "storage/file_cache.h"

#define INDEX_TAIL_ENTRIES 16
#define INDEX_ENTRY_MAX 12

struct index_file {
	struct log_file *file; /* owned */
	uint64_t generation;   /* of what is in the file: another one after each cut */
	uint8_t *tail;         /* INDEX_TAIL_ENTRIES entries, NULL when there was none yet */
	uint32_t disk_count;   /* entries in the file */
	uint32_t capacity;     /* how many Kafka's setting allows */
	uint8_t tail_count;
	uint8_t entry_size;
	bool last_known;
	uint8_t last[INDEX_ENTRY_MAX]; /* the newest entry */
};

struct index_view {
	struct log_file *file; /* counted */
	uint64_t generation;
	uint32_t disk_count;
	uint8_t tail_count;
	uint8_t entry_size;
	bool nowait;
	uint8_t tail[INDEX_TAIL_ENTRIES * INDEX_ENTRY_MAX];
};

/*
 * Takes an existing or a new file; `file` becomes the index's, also on failure. A partial entry at
 * the end is cut off.
 * max_bytes  segment.index.bytes
 * created    the file is new: do not look for one
 */
MUST_CHECK int index_file_open(struct index_file *ix, struct log_file *file, uint8_t entry_size,
			       int32_t max_bytes, bool created);
/* Frees without writing. */
void index_file_fini(struct index_file *ix);
uint32_t index_file_count(const struct index_file *ix);
void index_file_set_capacity(struct index_file *ix, int32_t max_bytes);

/*
 * Appends. The order is the caller's to guarantee. -ENOSPC: the disk is full and the tail as well,
 * nothing was added.
 */
MUST_CHECK int index_file_append(struct index_file *ix, const uint8_t *entry);
/* The newest entry, valid until the next change; NULL when there is none. */
MUST_CHECK int index_file_last(struct index_file *ix, const uint8_t **ret_entry);
MUST_CHECK int index_file_read(struct index_file *ix, uint32_t index, uint8_t *ret_entry);
/* Writes the tail to the file; release also frees its memory. */
MUST_CHECK int index_file_write_tail(struct index_file *ix, bool release);
/* Keeps the first `count` entries. */
MUST_CHECK int index_file_truncate(struct index_file *ix, uint32_t count);
/*
 * Drops entries of only zero bytes at the end: what an unclean stop of Kafka leaves, which creates
 * the file at its full capacity.
 */
MUST_CHECK int index_file_drop_zeros(struct index_file *ix);

void index_file_view(struct index_file *ix, bool nowait, struct index_view *ret_view);
void index_view_close(struct index_view *v);
/*
 * The last entry whose big-endian key of key_size (4 or 8) bytes at key_pos is <= key.
 * ret_found  false when there is none; then the others are untouched
 * ret_entry  INDEX_ENTRY_MAX bytes
 */
MUST_CHECK int index_view_floor(const struct index_view *v, size_t key_pos, size_t key_size,
				int64_t key, bool *ret_found, uint32_t *ret_index,
				uint8_t *ret_entry);
MUST_CHECK int index_view_read(const struct index_view *v, uint32_t index, uint8_t *ret_entry);

#endif
