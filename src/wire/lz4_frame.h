/*
 * lz4_frame.h - reads the LZ4 frame as Kafka does: block by block, and stricter in some things and
 * laxer in others than the library's own frame reader.
 *
 * Version 01 and independent blocks only; the header checksum is checked (unless magic 0 says not
 * to), block checksums are checked where flagged, the content checksum is not; what follows the
 * first end mark is not looked at.
 *
 * Threads  any.
 * Source   storage-format, section 5; LZ4 frame format 1.6; Kafka's Lz4BlockInputStream.
 */
#ifndef KLAMM_WIRE_LZ4_FRAME_H
#define KLAMM_WIRE_LZ4_FRAME_H

#include "base/bytes.h"

struct lz4_frame {
	const uint8_t *next;
	const uint8_t *end;
	size_t max_block_bytes; /* 64 KiB to 4 MiB */
	bool block_checksum;
	bool finished; /* the end mark was read */
};

struct lz4_block {
	struct slice data;
	bool compressed; /* otherwise data is the content itself */
};

/* Reads the frame's header. 0 or K_CORRUPT_MESSAGE. in is borrowed. */
MUST_CHECK int lz4_frame_open(struct lz4_frame *f, struct slice in, bool check_header);
/* The next block, or finished set and an empty one. 0 or K_CORRUPT_MESSAGE. */
MUST_CHECK int lz4_frame_next(struct lz4_frame *f, struct lz4_block *ret_block);

/* xxHash32, by which the frame is checked. */
uint32_t xxhash32(uint32_t seed, const void *data, size_t len);

#endif
