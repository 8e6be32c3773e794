/*
 * record_batch.h - record batches of magic 2: the unit of the log and of Produce and Fetch.
 *
 *	 0  8  base offset			   27  8  base timestamp
 *	 8  4  batch length, bytes after this one  35  8  max timestamp
 *	12  4  partition leader epoch		   43  8  producer id
 *	16  1  magic				   51  2  producer epoch
 *	17  4  CRC-32C of bytes 21 to the end	   53  4  base sequence
 *	21  2  attributes			   57  4  record count
 *	23  4  last offset delta		   61     records, compressed as one block
 *
 * Base offset and leader epoch lie outside the CRC, so a leader sets them in place.
 *
 * A reader of a log or a request looks at record_entry_peek() first, which tells the size and the
 * magic of whatever comes next, and then at record_batch_parse() or legacy_message_parse().
 *
 * Threads  none of these is shared; all functions may be called from any thread.
 * Source   storage-format, sections 2 and 3; Kafka protocol guide, "Record Batch".
 */
#ifndef KLAMM_WIRE_RECORD_BATCH_H
#define KLAMM_WIRE_RECORD_BATCH_H

#include "base/bytes.h"
#include "wire/compression.h"

#define RECORD_BATCH_MAGIC 2
/* Bytes before the records. */
#define RECORD_BATCH_OVERHEAD 61
/* Offset and length: what every entry of a log begins with, of any magic. */
#define LOG_OVERHEAD 12
/* How much must be there to see size and magic. */
#define LOG_ENTRY_PEEK 17
/* The smallest length that any magic may claim: a magic 0 message without key and value. */
#define LOG_ENTRY_MIN_LENGTH 14

#define NO_TIMESTAMP (-1)
#define NO_PRODUCER_ID (-1)
#define NO_PRODUCER_EPOCH (-1)
#define NO_SEQUENCE (-1)
#define NO_LEADER_EPOCH (-1)

enum timestamp_type { CREATE_TIME = 0, LOG_APPEND_TIME = 1 };

/* Bits of the attributes. */
#define BATCH_COMPRESSION_MASK 0x07
#define BATCH_LOG_APPEND_TIME 0x08
#define BATCH_TRANSACTIONAL 0x10
#define BATCH_CONTROL 0x20
#define BATCH_DELETE_HORIZON 0x40

struct record_entry {
	int64_t offset;    /* base offset (magic 2) or the message's own (0 and 1) */
	size_t size_bytes; /* the whole entry, offset and length included */
	int8_t magic;
};

/*
 * What comes next in data. Returns 0; -ENODATA when data ends before LOG_ENTRY_PEEK bytes (the
 * entry itself may reach beyond data: compare size_bytes); K_CORRUPT_MESSAGE when the length is
 * below the smallest possible or the magic is unknown.
 */
MUST_CHECK int record_entry_peek(struct slice data, struct record_entry *ret_entry);

struct record_batch {
	struct slice whole;   /* borrowed: the batch from its first byte to its last */
	struct slice payload; /* what follows the header, compressed or not */
	size_t size_bytes;    /* whole.len */
	int64_t base_offset;
	int64_t base_timestamp; /* ms; the delete horizon where that bit is set */
	int64_t max_timestamp;  /* ms */
	int64_t producer_id;
	int32_t leader_epoch;
	int32_t last_offset_delta;
	int32_t base_sequence;
	int32_t record_count;
	uint32_t crc;
	int16_t attributes;
	int16_t producer_epoch;
	int8_t magic;
};

/*
 * Reads the header of the batch at the start of data; the batch must be there as a whole. Neither
 * the CRC nor the records are looked at.
 *
 * Returns 0; -ENODATA when data ends before the batch does; K_CORRUPT_MESSAGE when the length is
 * too small or the magic is not 2.
 */
MUST_CHECK int record_batch_parse(struct slice data, struct record_batch *ret_batch);
/* The same from the header's RECORD_BATCH_OVERHEAD bytes alone: whole and payload are null. */
MUST_CHECK int record_batch_parse_header(struct slice header, struct record_batch *ret_batch);
/* Returns 0 or K_CORRUPT_MESSAGE. */
MUST_CHECK int record_batch_check_crc(const struct record_batch *batch);

static inline int64_t
record_batch_last_offset(const struct record_batch *batch)
{
	return batch->base_offset + batch->last_offset_delta;
}

/* The number may be none of the codecs (5-7). */
static inline enum compression
record_batch_compression(const struct record_batch *batch)
{
	return (enum compression)(batch->attributes & BATCH_COMPRESSION_MASK);
}

static inline enum timestamp_type
record_batch_timestamp_type(const struct record_batch *batch)
{
	return (batch->attributes & BATCH_LOG_APPEND_TIME) != 0 ? LOG_APPEND_TIME : CREATE_TIME;
}

static inline bool
record_batch_is_transactional(const struct record_batch *batch)
{
	return (batch->attributes & BATCH_TRANSACTIONAL) != 0;
}

static inline bool
record_batch_is_control(const struct record_batch *batch)
{
	return (batch->attributes & BATCH_CONTROL) != 0;
}

static inline bool
record_batch_has_producer_id(const struct record_batch *batch)
{
	return batch->producer_id > NO_PRODUCER_ID;
}

/* The sequence number delta places after sequence, wrapping from INT32_MAX to 0. */
int32_t sequence_add(int32_t sequence, int32_t delta);

static inline int32_t
record_batch_last_sequence(const struct record_batch *batch)
{
	return batch->base_sequence == NO_SEQUENCE
		   ? NO_SEQUENCE
		   : sequence_add(batch->base_sequence, batch->last_offset_delta);
}

/*
 * Setters in place; batch points at the first byte of a whole batch. The first two lie outside the
 * CRC; the third writes max timestamp and timestamp type and computes the CRC anew, and does
 * nothing when both are there already.
 */
void record_batch_set_base_offset(uint8_t *batch, int64_t base_offset);
void record_batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch);
void record_batch_set_max_timestamp(uint8_t *batch, size_t size_bytes, enum timestamp_type type,
				    int64_t max_timestamp);

/* One record, its parts borrowed from the payload. Null keys and values have data == NULL. */
struct record {
	struct slice key;
	struct slice value;
	struct slice headers; /* header_count headers, undecoded but checked */
	int64_t timestamp_delta;
	int32_t offset_delta;
	int32_t header_count;
	int32_t size_bytes; /* with its length prefix */
	int8_t attributes;
};

/* The record's timestamp in ms: base plus delta, or the batch's under LogAppendTime. */
int64_t record_timestamp(const struct record_batch *batch, const struct record *record);

/*
 * Walks an uncompressed payload:
 *
 *	record_iter_init(&it, payload, batch.record_count);
 *	while (record_iter_next(&it, &record))
 *		...
 *	if (it.status != 0)
 *		return it.status;
 *
 * Every check a reader has to make is made: lengths, header counts and keys, that each record is
 * as long as it says, that exactly record_count records fill the payload. status is 0 or
 * K_INVALID_RECORD.
 */
struct record_iter {
	const uint8_t *next;
	const uint8_t *end;
	int32_t left;
	int status;
};

void record_iter_init(struct record_iter *it, struct slice payload, int32_t record_count);
MUST_CHECK bool record_iter_next(struct record_iter *it, struct record *ret_record);

/* Takes the next header off *headers, which a record of record_iter_next() gave. */
bool record_header_next(struct slice *headers, struct str *ret_key, struct slice *ret_value);

/*
 * The payload as it was before compression: the batch's own bytes when there is none, otherwise
 * appended to scratch (emptied first), from which ret_payload borrows.
 *
 * limit_bytes  of the decompressed payload
 * Returns 0, or what compression_decompress() returns.
 */
MUST_CHECK int record_batch_payload(const struct record_batch *batch, size_t limit_bytes,
				    struct buf *scratch, struct slice *ret_payload);

/*
 * What a leader must know of a record to accept a batch as it is, keys and values skipped. Memory
 * is a window of this thread's, however large the records are.
 */
struct record_facts {
	int64_t timestamp_delta;
	int32_t offset_delta;
	int32_t index; /* 0 for the batch's first record */
	bool has_key;
};

/* Returns 0 to go on; anything else ends the walk with that status. */
typedef int record_facts_fn(void *arg, const struct record_facts *facts);

/*
 * Walks the records of a batch, compressed or not, with the same checks as record_iter_next().
 *
 * limit_bytes  of the decompressed payload
 * Returns 0, fn's status, K_INVALID_RECORD for malformed records, or what decompressor_read()
 * returns. fn must not walk a batch itself.
 */
MUST_CHECK int record_batch_walk(const struct record_batch *batch, size_t limit_bytes,
				 record_facts_fn *fn, void *arg);

#endif
