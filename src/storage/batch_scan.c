#include "storage/batch_scan.h"

#include <assert.h>
#include <errno.h>

#include "wire/kerr.h"
#include "wire/legacy_message.h"

/* The offset of a magic 1 message's timestamp from the entry's first byte. */
#define LEGACY_TIMESTAMP_POS 18
/* As much of any entry as batch_info needs. */
#define HEADER_BYTES RECORD_BATCH_OVERHEAD

/* head: the entry's first bytes, HEADER_BYTES of them unless the entry is shorter. */
static int
read_info(struct slice head, const struct record_entry *entry, struct batch_info *ret_info)
{
	int st;

	if (entry->size_bytes > INT32_MAX)
		return K_CORRUPT_MESSAGE;
	ret_info->size_bytes = (int32_t)entry->size_bytes;
	ret_info->magic = entry->magic;
	if (entry->magic == RECORD_BATCH_MAGIC) {
		if (entry->size_bytes < RECORD_BATCH_OVERHEAD)
			return K_CORRUPT_MESSAGE;
		st = record_batch_parse_header((struct slice){head.data, HEADER_BYTES},
					       &ret_info->header);
		if (st != 0)
			return K_CORRUPT_MESSAGE;
		ret_info->base_offset = ret_info->header.base_offset;
		if (__builtin_add_overflow(ret_info->base_offset,
					   ret_info->header.last_offset_delta,
					   &ret_info->last_offset))
			return K_CORRUPT_MESSAGE;
		ret_info->max_timestamp = ret_info->header.max_timestamp;
		ret_info->leader_epoch = ret_info->header.leader_epoch;
		return 0;
	}
	ret_info->base_offset = ret_info->last_offset = entry->offset;
	ret_info->leader_epoch = NO_LEADER_EPOCH;
	ret_info->max_timestamp = NO_TIMESTAMP;
	if (entry->magic == 1) {
		if (entry->size_bytes < LEGACY_TIMESTAMP_POS + 8)
			return K_CORRUPT_MESSAGE;
		ret_info->max_timestamp = (int64_t)get_be64(head.data + LEGACY_TIMESTAMP_POS);
	}
	return 0;
}

int
batch_info_read(struct slice bytes, struct batch_info *ret_info)
{
	struct record_entry entry;
	int st = record_entry_peek(bytes, &entry);

	if (st != 0)
		return st;
	if (entry.size_bytes > bytes.len)
		return -ENODATA;
	ret_info->pos = 0;
	return read_info(bytes, &entry, ret_info);
}

void
batch_scan_init(struct batch_scan *scan, struct log_file *file, int64_t pos, int64_t end,
		uint8_t *window, size_t window_cap, bool nowait)
{
	assert(window_cap >= HEADER_BYTES);
	*scan = (struct batch_scan){
	    .file = file,
	    .pos = pos,
	    .end = end,
	    .window = window,
	    .window_cap = window_cap,
	    .nowait = nowait,
	};
}

/* Makes len bytes at pos stand in the window, which they fit. */
static int
fill_window(struct batch_scan *scan, int64_t pos, size_t len)
{
	size_t want = scan->window_cap;
	ssize_t n;

	if (pos >= scan->window_pos &&
	    pos + (int64_t)len <= scan->window_pos + (int64_t)scan->window_len)
		return 0;
	if ((int64_t)want > scan->end - pos)
		want = (size_t)(scan->end - pos);
	scan->window_len = 0;
	n = scan->nowait ? log_file_pread_nowait(scan->file, scan->window, want, pos)
			 : log_file_pread(scan->file, scan->window, want, pos);
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return -EIO;
	scan->window_pos = pos;
	scan->window_len = (size_t)n;
	return 0;
}

int
batch_scan_next(struct batch_scan *scan, struct batch_info *ret_info)
{
	int64_t left = scan->end - scan->pos;
	struct record_entry entry;
	struct slice head;
	int st;

	if (left < LOG_ENTRY_PEEK)
		return -ENODATA;
	head.len = left < HEADER_BYTES ? (size_t)left : HEADER_BYTES;
	st = fill_window(scan, scan->pos, head.len);
	if (st != 0)
		return st;
	head.data = scan->window + (scan->pos - scan->window_pos);
	st = record_entry_peek(head, &entry);
	if (st != 0)
		return st;
	if ((int64_t)entry.size_bytes > left)
		return -ENODATA;
	st = read_info(head, &entry, ret_info);
	if (st != 0)
		return st;
	ret_info->pos = (int32_t)scan->pos;
	scan->pos += (int64_t)entry.size_bytes;
	return 0;
}

int
batch_scan_bytes(struct batch_scan *scan, const struct batch_info *info, struct buf *scratch,
		 struct slice *ret_bytes)
{
	size_t len = (size_t)info->size_bytes;
	uint8_t *room;
	ssize_t n;
	int st;

	if (len <= scan->window_cap) {
		st = fill_window(scan, info->pos, len);
		if (st != 0)
			return st;
		*ret_bytes = (struct slice){scan->window + (info->pos - scan->window_pos), len};
		return 0;
	}
	scratch->len = 0;
	room = buf_reserve(scratch, len);
	if (room == NULL)
		return -ENOMEM;
	n = log_file_pread(scan->file, room, len, info->pos);
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return -EIO;
	*ret_bytes = (struct slice){room, len};
	return 0;
}

int
batch_check(const struct batch_info *info, struct slice bytes)
{
	struct legacy_message message;
	struct record_batch batch;

	if (info->magic == RECORD_BATCH_MAGIC)
		return record_batch_parse(bytes, &batch) == 0 && record_batch_check_crc(&batch) == 0
			   ? 0
			   : K_CORRUPT_MESSAGE;
	return legacy_message_parse(bytes, &message) == 0 && legacy_message_check_crc(&message) == 0
		   ? 0
		   : K_CORRUPT_MESSAGE;
}
