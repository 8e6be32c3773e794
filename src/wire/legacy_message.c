/*
 * legacy_message.c - reading, writing and converting messages of magic 0 and 1.
 */
#include "wire/legacy_message.h"

#include <errno.h>
#include <zlib.h>

#include "wire/kerr.h"

#define CRC_POS 12
#define MAGIC_POS 16
#define ATTRIBUTES_POS 17
#define BODY_POS 18

/* Of a message without key and value, offset and size included. */
#define OVERHEAD_V0 (LOG_OVERHEAD + 14)
#define OVERHEAD_V1 (LOG_OVERHEAD + 22)

static size_t
overhead(int8_t magic)
{
	return magic == 0 ? OVERHEAD_V0 : OVERHEAD_V1;
}

/* An int32 length, below zero for null, and as many bytes. */
static bool
take_bytes(const uint8_t **p, const uint8_t *end, struct slice *ret_bytes)
{
	int32_t len;

	if (end - *p < 4)
		return false;
	len = (int32_t)get_be32(*p);
	*p += 4;
	if (len < 0) {
		*ret_bytes = (struct slice){NULL, 0};
		return true;
	}
	if (len > end - *p)
		return false;
	*ret_bytes = (struct slice){*p, (size_t)len};
	*p += len;
	return true;
}

int
legacy_message_parse(struct slice data, struct legacy_message *ret_message)
{
	struct legacy_message m = {.timestamp = NO_TIMESTAMP};
	struct record_entry entry;
	const uint8_t *end;
	const uint8_t *p;
	int st;

	st = record_entry_peek(data, &entry);
	if (st != 0)
		return st;
	if (entry.magic > 1 || entry.size_bytes < overhead(entry.magic))
		return K_CORRUPT_MESSAGE;
	if (entry.size_bytes > data.len)
		return -ENODATA;
	m.whole = (struct slice){data.data, entry.size_bytes};
	m.size_bytes = entry.size_bytes;
	m.offset = entry.offset;
	m.magic = entry.magic;
	m.crc = get_be32(data.data + CRC_POS);
	m.attributes = (int8_t)data.data[ATTRIBUTES_POS];
	p = data.data + BODY_POS;
	end = data.data + entry.size_bytes;
	if (entry.magic == 1) {
		m.timestamp = (int64_t)get_be64(p);
		p += 8;
	}
	if (!take_bytes(&p, end, &m.key) || !take_bytes(&p, end, &m.value) || p != end)
		return K_INVALID_RECORD;
	*ret_message = m;
	return 0;
}

static uint32_t
compute_crc(const uint8_t *message, size_t size_bytes)
{
	return (uint32_t)crc32_z(0, message + MAGIC_POS, size_bytes - MAGIC_POS);
}

int
legacy_message_check_crc(const struct legacy_message *message)
{
	return compute_crc(message->whole.data, message->whole.len) == message->crc
		   ? 0
		   : K_CORRUPT_MESSAGE;
}

static uint8_t *
put_bytes(uint8_t *p, struct slice bytes)
{
	put_be32(p, bytes.data == NULL ? UINT32_MAX : (uint32_t)bytes.len);
	if (bytes.len > 0)
		memcpy(p + 4, bytes.data, bytes.len);
	return p + 4 + bytes.len;
}

int
legacy_message_build(int8_t magic, int64_t offset, int64_t timestamp, int8_t attributes,
		     struct slice key, struct slice value, struct buf *out)
{
	uint8_t *message;
	uint8_t *p;
	size_t size;

	if (key.len > INT32_MAX || value.len > INT32_MAX)
		return K_MESSAGE_TOO_LARGE;
	size = overhead(magic) + key.len + value.len;
	if (size > INT32_MAX)
		return K_MESSAGE_TOO_LARGE;
	message = buf_extend(out, size);
	if (message == NULL)
		return -ENOMEM;
	put_be64(message, (uint64_t)offset);
	put_be32(message + 8, (uint32_t)(size - LOG_OVERHEAD));
	message[MAGIC_POS] = (uint8_t)magic;
	message[ATTRIBUTES_POS] = (uint8_t)attributes;
	p = message + BODY_POS;
	if (magic == 1) {
		put_be64(p, (uint64_t)timestamp);
		p += 8;
	}
	p = put_bytes(p, key);
	put_bytes(p, value);
	put_be32(message + CRC_POS, compute_crc(message, size));
	return 0;
}

/* Reads the next inner message, structure only. False at the end, a cut-off one included. */
static bool
next_inner(struct legacy_iter *it, struct legacy_message *ret_inner)
{
	int st;

	st = legacy_message_parse(it->rest, ret_inner);
	if (st == -ENODATA)
		return false;
	if (st == 0 && ret_inner->magic != it->outer.magic)
		st = K_INVALID_RECORD;
	if (st == 0 && legacy_message_compression(ret_inner) != COMPRESSION_NONE)
		st = K_INVALID_RECORD;
	if (st != 0) {
		it->status = st;
		return false;
	}
	it->rest.data += ret_inner->size_bytes;
	it->rest.len -= ret_inner->size_bytes;
	return true;
}

/*
 * Walks the inner messages once to learn the last relative offset, by which those of magic 1
 * become absolute. A wrapper at offset 0 comes from a client that numbers inner messages itself.
 */
static int
find_offset_shift(struct legacy_iter *it)
{
	struct slice all = it->rest;
	struct legacy_message inner;
	int64_t last = -1;
	bool any = false;

	while (next_inner(it, &inner)) {
		last = inner.offset;
		any = true;
	}
	it->rest = all;
	if (it->status != 0)
		return it->status;
	if (!any)
		return K_INVALID_RECORD;
	if (it->outer.magic == 0 || it->outer.offset == 0)
		return 0;
	if (last < 0 || it->outer.offset < last)
		return K_INVALID_RECORD;
	it->offset_shift = it->outer.offset - last;
	return 0;
}

static int
open_wrapper(struct legacy_iter *it, size_t limit_bytes)
{
	enum compression codec = legacy_message_compression(&it->outer);
	struct decompressor *d;
	size_t n = 1;
	int st;

	if (codec == COMPRESSION_ZSTD || it->outer.value.data == NULL)
		return K_INVALID_RECORD;
	st = decompressor_open(codec, it->outer.value, limit_bytes, &d);
	if (st != 0)
		return st;
	if (it->outer.magic == 0)
		decompressor_ignore_lz4_header_checksum(d);
	while (st == 0 && n > 0) {
		uint8_t *room = buf_reserve(&it->scratch, 64 * 1024);

		if (room == NULL)
			st = -ENOMEM;
		else
			st = decompressor_read(d, room, it->scratch.cap - it->scratch.len, &n);
		if (st == 0)
			it->scratch.len += n;
	}
	decompressor_close(d);
	if (st != 0)
		return st;
	it->rest = buf_slice(&it->scratch);
	return find_offset_shift(it);
}

int
legacy_iter_init(struct legacy_iter *it, const struct legacy_message *message, size_t limit_bytes)
{
	int st = 0;

	*it = (struct legacy_iter){.outer = *message};
	if (legacy_message_compression(message) != COMPRESSION_NONE) {
		it->wrapped = true;
		st = open_wrapper(it, limit_bytes);
	}
	if (st != 0)
		legacy_iter_fini(it);
	return st;
}

bool
legacy_iter_next(struct legacy_iter *it, struct legacy_message *ret_inner)
{
	struct legacy_message inner;

	if (it->ended || it->status != 0)
		return false;
	if (!it->wrapped) {
		it->ended = true;
		*ret_inner = it->outer;
		return true;
	}
	if (!next_inner(it, &inner)) {
		it->ended = true;
		return false;
	}
	it->status = legacy_message_check_crc(&inner);
	if (it->status != 0)
		return false;
	inner.offset = (int64_t)((uint64_t)inner.offset + (uint64_t)it->offset_shift);
	if (legacy_message_timestamp_type(&it->outer) == LOG_APPEND_TIME) {
		inner.timestamp = it->outer.timestamp;
		inner.attributes |= BATCH_LOG_APPEND_TIME;
	}
	*ret_inner = inner;
	return true;
}

void
legacy_iter_fini(struct legacy_iter *it)
{
	buf_fini(&it->scratch);
	it->ended = true;
}

/* The inner messages of a conversion, then wrapped. */
struct down_conversion {
	const struct record_batch *batch;
	int8_t magic;
	int8_t timestamp_bit;
	bool wrap;
	int64_t first_offset; /* of those converted; relative offsets count from it */
	int64_t last_offset;
	int64_t max_timestamp;
	bool any;
};

static int
convert_records(struct down_conversion *c, struct slice payload, int64_t from_offset,
		struct buf *out)
{
	struct record_iter it;
	struct record record;

	record_iter_init(&it, payload, c->batch->record_count);
	while (record_iter_next(&it, &record)) {
		int64_t offset = c->batch->base_offset + record.offset_delta;
		int64_t timestamp = record_timestamp(c->batch, &record);
		int st;

		if (!c->wrap && offset < from_offset)
			continue;
		if (!c->any)
			c->first_offset = offset;
		c->any = true;
		c->last_offset = offset;
		if (timestamp > c->max_timestamp)
			c->max_timestamp = timestamp;
		if (c->wrap && c->magic == 1)
			offset -= c->first_offset;
		st = legacy_message_build(c->magic, offset, timestamp, c->timestamp_bit, record.key,
					  record.value, out);
		if (st != 0)
			return st;
	}
	return it.status;
}

static int
wrap_messages(const struct down_conversion *c, enum compression codec, struct slice inner,
	      struct buf *out)
{
	struct buf value = {0};
	int st;

	st = compression_compress(codec, compression_default_level(codec), inner, &value);
	if (st == 0) {
		if (codec == COMPRESSION_LZ4 && c->magic == 0)
			compression_break_lz4_header_checksum(value.data);
		st = legacy_message_build(c->magic, c->last_offset, c->max_timestamp,
					  (int8_t)(c->timestamp_bit | (int8_t)codec),
					  (struct slice){NULL, 0}, buf_slice(&value), out);
	}
	buf_fini(&value);
	return st;
}

int
record_batch_down_convert(const struct record_batch *batch, int8_t magic, int64_t first_offset,
			  size_t limit_bytes, struct buf *out)
{
	enum compression codec = record_batch_compression(batch);
	struct down_conversion c = {
	    .batch = batch,
	    .magic = magic,
	    .timestamp_bit =
		magic == 1 ? (int8_t)(batch->attributes & BATCH_LOG_APPEND_TIME) : (int8_t)0,
	    .wrap = codec != COMPRESSION_NONE,
	    .max_timestamp = NO_TIMESTAMP,
	};
	size_t start = out->len;
	struct buf scratch = {0};
	struct buf inner = {0};
	struct slice payload;
	int st;

	if (record_batch_is_control(batch))
		return 0;
	if (codec == COMPRESSION_ZSTD)
		return K_UNSUPPORTED_COMPRESSION_TYPE;
	st = record_batch_payload(batch, limit_bytes, &scratch, &payload);
	if (st == 0)
		st = convert_records(&c, payload, first_offset, c.wrap ? &inner : out);
	if (st == 0 && c.wrap && c.any)
		st = wrap_messages(&c, codec, buf_slice(&inner), out);
	if (st != 0 && out->len > start)
		out->len = start;
	buf_fini(&scratch);
	buf_fini(&inner);
	return st;
}

static int
up_convert_entry(const struct legacy_message *message, size_t limit_bytes,
		 struct record_batch_builder *b)
{
	struct legacy_message inner;
	struct legacy_iter it;
	int st;

	st = legacy_message_check_crc(message);
	if (st != 0)
		return st;
	st = legacy_iter_init(&it, message, limit_bytes);
	if (st != 0)
		return st;
	while (legacy_iter_next(&it, &inner))
		record_batch_builder_append(b, inner.timestamp, inner.key, inner.value, NULL, 0);
	st = it.status;
	legacy_iter_fini(&it);
	return st;
}

int
legacy_up_convert(struct slice set, size_t limit_bytes, struct record_batch_builder *b,
		  struct buf *out)
{
	struct buf none = {0};
	int st = 0;

	while (set.len > 0) {
		struct legacy_message message;

		st = legacy_message_parse(set, &message);
		if (st == -ENODATA) {
			st = 0; /* a cut-off message at the end is ignored */
			break;
		}
		if (st == 0)
			st = up_convert_entry(&message, limit_bytes, b);
		if (st != 0)
			break;
		set.data += message.size_bytes;
		set.len -= message.size_bytes;
	}
	if (st == 0)
		return record_batch_builder_finish(b, out);
	/* Empties the builder. */
	b->status = st;
	return record_batch_builder_finish(b, &none);
}
