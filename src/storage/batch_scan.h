/*
 * batch_scan.h - walks the batches of a log file, header by header.
 *
 * Bytes are read through a window: only headers matter unless batch_scan_bytes() asks for a whole
 * batch. Batches of all magics are told in the same terms.
 *
 * Threads  one at a time. The file may grow meanwhile: the walk ends at `end`.
 * Source   storage-format, sections 2, 4 and 7.1: Kafka's FileLogInputStream.
 */
#ifndef KLAMM_STORAGE_BATCH_SCAN_H
#define KLAMM_STORAGE_BATCH_SCAN_H

#include "storage/file_cache.h"
#include "wire/record_batch.h"

/* Enough for the headers of some batches: what a look for an offset uses, on the stack. */
#define BATCH_SCAN_WINDOW 4096

struct batch_info {
	int64_t base_offset; /* magic 0 and 1: the message's own, which is a wrapper's last */
	int64_t last_offset;
	int64_t max_timestamp;
	int32_t pos;
	int32_t size_bytes;
	int32_t leader_epoch; /* -1 below magic 2 */
	int8_t magic;
	struct record_batch header; /* magic 2: without its bytes */
};

struct batch_scan {
	struct log_file *file; /* borrowed */
	int64_t pos;           /* of the next batch */
	int64_t end;
	uint8_t *window; /* borrowed */
	size_t window_cap;
	size_t window_len;
	int64_t window_pos;
	bool nowait;
};

/* window_cap: BATCH_SCAN_WINDOW or more. nowait: -EAGAIN instead of waiting for the disk. */
void batch_scan_init(struct batch_scan *scan, struct log_file *file, int64_t pos, int64_t end,
		     uint8_t *window, size_t window_cap, bool nowait);
/*
 * The next batch. -ENODATA: none, or only a part of one, is left (then scan->pos < scan->end).
 * K_CORRUPT_MESSAGE: what stands there is no header. scan->pos stays where it is in both cases.
 */
MUST_CHECK int batch_scan_next(struct batch_scan *scan, struct batch_info *ret_info);
/*
 * The whole bytes of the batch that batch_scan_next() told last: from the window, or read into
 * scratch. Valid until the next call. -EIO when the file has become shorter.
 */
MUST_CHECK int batch_scan_bytes(struct batch_scan *scan, const struct batch_info *info,
				struct buf *scratch, struct slice *ret_bytes);
/*
 * Is the batch whole and its CRC right? 0, or K_CORRUPT_MESSAGE. bytes as batch_scan_bytes() gave
 * them.
 */
MUST_CHECK int batch_check(const struct batch_info *info, struct slice bytes);
/* The same facts of a batch in memory; pos is 0. As record_entry_peek(), -ENODATA when partial. */
MUST_CHECK int batch_info_read(struct slice bytes, struct batch_info *ret_info);

#endif
