/*
 * txn_index.h - .txnindex: the aborted transactions whose marker lies in a segment.
 *
 * Entries of 34 bytes: int16 version 0, int64 producer id, first offset, last offset (the
 * marker's), and the last stable offset after the abort. Last offsets rise strictly. There is a
 * file only once there is an entry.
 *
 * Threads  struct txn_index under its log's lock. Readers take the file and the count under it and
 *          read without.
 * Source   storage-format, section 8.3: Kafka's TransactionIndex, AbortedTxn.
 */
#ifndef KLAMM_STORAGE_TXN_INDEX_H
#define KLAMM_STORAGE_TXN_INDEX_H

#include "storage/file_cache.h"

#define TXN_INDEX_ENTRY_SIZE 34

struct txn_index {
	struct log_file *file; /* owned; NULL when there is none */
	uint32_t count;
};

struct aborted_txn {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset;
	int64_t last_stable_offset;
};

/* Takes `file`, also on failure; NULL is an index without a file. A partial entry is cut off. */
MUST_CHECK int txn_index_open(struct txn_index *ix, struct log_file *file);
void txn_index_fini(struct txn_index *ix);
/* Writes through. dir, base_offset and stage name the file when it has to be made. */
MUST_CHECK int txn_index_append(struct txn_index *ix, struct partition_dir *dir,
				int64_t base_offset, enum log_file_stage stage,
				const struct aborted_txn *txn);
/*
 * Reads entry `index` of a file. -EBADMSG: a version that we do not know, or an offset below
 * base_offset.
 */
MUST_CHECK int txn_index_read(struct log_file *file, uint32_t index, int64_t base_offset,
			      struct aborted_txn *ret_txn);
/* Every entry can be read and they rise. -EBADMSG when not. */
MUST_CHECK int txn_index_check(const struct txn_index *ix, int64_t base_offset);
/* Drops entries whose last offset is >= offset. */
MUST_CHECK int txn_index_truncate_to(struct txn_index *ix, int64_t base_offset, int64_t offset);

void aborted_txn_encode(const struct aborted_txn *txn, uint8_t *ret_entry);

#endif
