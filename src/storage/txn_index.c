#include "storage/txn_index.h"

#include <errno.h>

int
txn_index_open(struct txn_index *ix, struct log_file *file)
{
	struct stat stat;
	int st;

	*ix = (struct txn_index){.file = file};
	if (file == NULL)
		return 0;
	st = log_file_stat(file, &stat);
	if (st != 0)
		return st;
	if (stat.st_size / TXN_INDEX_ENTRY_SIZE > UINT32_MAX)
		return -EFBIG;
	ix->count = (uint32_t)(stat.st_size / TXN_INDEX_ENTRY_SIZE);
	if (stat.st_size % TXN_INDEX_ENTRY_SIZE != 0)
		return log_file_truncate(file, (int64_t)ix->count * TXN_INDEX_ENTRY_SIZE);
	return 0;
}

void
txn_index_fini(struct txn_index *ix)
{
	log_file_disown(ix->file);
	*ix = (struct txn_index){0};
}

void
aborted_txn_encode(const struct aborted_txn *txn, uint8_t *ret_entry)
{
	put_be16(ret_entry, 0);
	put_be64(ret_entry + 2, (uint64_t)txn->producer_id);
	put_be64(ret_entry + 10, (uint64_t)txn->first_offset);
	put_be64(ret_entry + 18, (uint64_t)txn->last_offset);
	put_be64(ret_entry + 26, (uint64_t)txn->last_stable_offset);
}

int
txn_index_append(struct txn_index *ix, struct partition_dir *dir, int64_t base_offset,
		 enum log_file_stage stage, const struct aborted_txn *txn)
{
	uint8_t entry[TXN_INDEX_ENTRY_SIZE];
	int st;

	if (ix->file == NULL) {
		ix->file = log_file_new(dir, base_offset, LOG_FILE_TXN_INDEX, stage, true);
		if (ix->file == NULL)
			return -ENOMEM;
	}
	aborted_txn_encode(txn, entry);
	st = log_file_pwrite(ix->file, entry, sizeof(entry),
			     (int64_t)ix->count * TXN_INDEX_ENTRY_SIZE);
	if (st != 0)
		return st;
	ix->count++;
	return 0;
}

int
txn_index_read(struct log_file *file, uint32_t index, int64_t base_offset,
	       struct aborted_txn *ret_txn)
{
	uint8_t entry[TXN_INDEX_ENTRY_SIZE];
	ssize_t n = log_file_pread(file, entry, sizeof(entry), (int64_t)index * sizeof(entry));

	if (n < 0)
		return (int)n;
	if (n != sizeof(entry) || get_be16(entry) != 0 ||
	    (int64_t)get_be64(entry + 18) < base_offset)
		return -EBADMSG;
	ret_txn->producer_id = (int64_t)get_be64(entry + 2);
	ret_txn->first_offset = (int64_t)get_be64(entry + 10);
	ret_txn->last_offset = (int64_t)get_be64(entry + 18);
	ret_txn->last_stable_offset = (int64_t)get_be64(entry + 26);
	return 0;
}

int
txn_index_check(const struct txn_index *ix, int64_t base_offset)
{
	int64_t last = -1;

	for (uint32_t i = 0; i < ix->count; i++) {
		struct aborted_txn txn = {0};
		int st = txn_index_read(ix->file, i, base_offset, &txn);

		if (st != 0)
			return st;
		if (txn.last_offset <= last)
			return -EBADMSG;
		last = txn.last_offset;
	}
	return 0;
}

int
txn_index_truncate_to(struct txn_index *ix, int64_t base_offset, int64_t offset)
{
	uint32_t count = ix->count;
	int st;

	while (count > 0) {
		struct aborted_txn txn = {0};

		st = txn_index_read(ix->file, count - 1, base_offset, &txn);
		if (st != 0 && st != -EBADMSG)
			return st;
		if (st == 0 && txn.last_offset < offset)
			break;
		count--;
	}
	if (count == ix->count)
		return 0;
	st = log_file_truncate(ix->file, (int64_t)count * TXN_INDEX_ENTRY_SIZE);
	if (st != 0)
		return st;
	ix->count = count;
	return 0;
}
