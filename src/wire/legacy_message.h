/*
 * legacy_message.h - messages of magic 0 and 1, which clients before 0.11 speak.
 *
 *	 0  8  offset				magic 0: 18 key length, 22 key, value length, value
 *	 8  4  size, bytes after this one	magic 1: 18 8 timestamp, 26 key length, key, ...
 *	12  4  CRC-32 of bytes 16 to the end
 *	16  1  magic
 *	17  1  attributes: bits 0-2 compression, bit 3 timestamp type (magic 1)
 *
 * A compressed message is a wrapper: its value holds the compressed messages. Inner offsets are
 * absolute in magic 0, relative in magic 1, whose wrapper has the offset of its last message.
 *
 * We read them where Produce 0-2 sends them and where an old segment holds them, and write them
 * for Fetch 0-3. The log itself is written with magic 2 only.
 *
 * Threads  any.
 * Source   storage-format, section 4; Kafka's LegacyRecord, AbstractLegacyRecordBatch.
 */
#ifndef KLAMM_WIRE_LEGACY_MESSAGE_H
#define KLAMM_WIRE_LEGACY_MESSAGE_H

#include "wire/record_batch.h"
#include "wire/record_batch_builder.h"

struct legacy_message {
	struct slice whole; /* borrowed, offset and size included */
	struct slice key;   /* null: data == NULL */
	struct slice value;
	int64_t offset;
	int64_t timestamp; /* ms, -1 in magic 0 */
	size_t size_bytes; /* whole.len */
	uint32_t crc;
	int8_t magic;
	int8_t attributes;
};

/*
 * Reads the message at the start of data. The CRC is not looked at.
 *
 * Returns 0; -ENODATA when data ends before the message does; K_CORRUPT_MESSAGE when the size is
 * too small or the magic is neither 0 nor 1; K_INVALID_RECORD when key and value do not fill the
 * message.
 */
MUST_CHECK int legacy_message_parse(struct slice data, struct legacy_message *ret_message);
/* Returns 0 or K_CORRUPT_MESSAGE. */
MUST_CHECK int legacy_message_check_crc(const struct legacy_message *message);

static inline enum compression
legacy_message_compression(const struct legacy_message *message)
{
	return (enum compression)(message->attributes & BATCH_COMPRESSION_MASK);
}

static inline enum timestamp_type
legacy_message_timestamp_type(const struct legacy_message *message)
{
	return message->magic > 0 && (message->attributes & BATCH_LOG_APPEND_TIME) != 0
		   ? LOG_APPEND_TIME
		   : CREATE_TIME;
}

/* Appends one message with its CRC. 0, -ENOMEM or K_MESSAGE_TOO_LARGE. */
MUST_CHECK int legacy_message_build(int8_t magic, int64_t offset, int64_t timestamp,
				    int8_t attributes, struct slice key, struct slice value,
				    struct buf *out);

/*
 * Walks the records of one entry of a log: the message itself, or those inside the wrapper. Their
 * offsets are absolute, their timestamps settled (the wrapper's under LogAppendTime).
 *
 *	st = legacy_iter_init(&it, &message, limit_bytes);
 *	while (legacy_iter_next(&it, &inner))
 *		...
 *	if (it.status == 0) ...
 *	legacy_iter_fini(&it);
 *
 * status is 0, K_CORRUPT_MESSAGE (an inner CRC or size is wrong) or K_INVALID_RECORD (a wrapper in
 * a wrapper, mixed magic, nothing inside).
 */
struct legacy_iter {
	struct legacy_message outer;
	struct buf scratch;
	struct slice rest;
	int64_t offset_shift; /* added to inner offsets */
	int status;
	bool wrapped;
	bool ended;
};

/* limit_bytes: of the decompressed messages. Errors as of compression_decompress(). */
MUST_CHECK int legacy_iter_init(struct legacy_iter *it, const struct legacy_message *message,
				size_t limit_bytes);
MUST_CHECK bool legacy_iter_next(struct legacy_iter *it, struct legacy_message *ret_inner);
void legacy_iter_fini(struct legacy_iter *it);

/*
 * Appends to out the records of a magic 2 batch as messages of magic 0 or 1: from a compressed
 * batch all of them as one wrapper of the same codec, from a plain one those whose offsets are not
 * below first_offset. Control batches and record headers have no form there and are left out; so
 * out may grow by nothing.
 *
 * limit_bytes  of the decompressed payload
 * Returns 0, K_UNSUPPORTED_COMPRESSION_TYPE for zstd, K_INVALID_RECORD, -ENOMEM, or what
 * compression_decompress() returns.
 */
MUST_CHECK int record_batch_down_convert(const struct record_batch *batch, int8_t magic,
					 int64_t first_offset, size_t limit_bytes, struct buf *out);

/*
 * Appends to out one magic 2 batch with all records of a set of legacy messages (any number of
 * plain ones, or wrappers), offsets 0..n-1. What the builder is set to (codec, timestamp type,
 * leader epoch, base offset) is kept. CRCs are checked.
 *
 * limit_bytes  of the decompressed messages of one wrapper
 * Returns 0, K_CORRUPT_MESSAGE, K_INVALID_RECORD, -EFBIG, -ENOMEM or K_MESSAGE_TOO_LARGE.
 */
MUST_CHECK int legacy_up_convert(struct slice set, size_t limit_bytes,
				 struct record_batch_builder *b, struct buf *out);

#endif
