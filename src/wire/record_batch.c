/*
 * record_batch.c - reading batches: header, CRC, records.
 *
 * Records are read in two ways. The iterator needs the whole payload in memory and hands out keys
 * and values. The walk reads a compressed payload through a window and skips keys and values, which
 * is all that a leader needs to accept a batch; it must find the same faults. Both know a record
 * by its prefix: everything up to the key, at most RECORD_PREFIX_MAX bytes.
 */
#include "wire/record_batch.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/codec_thread.h"
#include "wire/crc32c.h"
#include "wire/kerr.h"
#include "wire/varint.h"

#define CRC_POS 17
#define ATTRIBUTES_POS 21
#define MAX_TIMESTAMP_POS 35

/* Attributes, timestamp delta, offset delta, key length. */
#define RECORD_PREFIX_MAX (1 + VARLONG_MAX_BYTES + VARINT_MAX_BYTES + VARINT_MAX_BYTES)

/* lz4 blocks of 64 KiB are decoded into the window without a copy when half of it is free. */
#define WINDOW_BYTES (128 * 1024)
#define WINDOW_REFILL (64 * 1024)

int
record_entry_peek(struct slice data, struct record_entry *ret_entry)
{
	int32_t length;
	int8_t magic;

	if (data.len < LOG_ENTRY_PEEK)
		return -ENODATA;
	length = (int32_t)get_be32(data.data + 8);
	magic = (int8_t)data.data[16];
	if (length < LOG_ENTRY_MIN_LENGTH || magic < 0 || magic > RECORD_BATCH_MAGIC)
		return K_CORRUPT_MESSAGE;
	*ret_entry = (struct record_entry){
	    .offset = (int64_t)get_be64(data.data),
	    .size_bytes = LOG_OVERHEAD + (size_t)length,
	    .magic = magic,
	};
	return 0;
}

int
record_batch_parse_header(struct slice header, struct record_batch *ret_batch)
{
	const uint8_t *p = header.data;
	int32_t length;

	if (header.len < LOG_ENTRY_PEEK)
		return -ENODATA;
	length = (int32_t)get_be32(p + 8);
	if ((int8_t)p[16] != RECORD_BATCH_MAGIC || length < RECORD_BATCH_OVERHEAD - LOG_OVERHEAD)
		return K_CORRUPT_MESSAGE;
	if (header.len < RECORD_BATCH_OVERHEAD)
		return -ENODATA;
	*ret_batch = (struct record_batch){
	    .size_bytes = LOG_OVERHEAD + (size_t)length,
	    .base_offset = (int64_t)get_be64(p),
	    .leader_epoch = (int32_t)get_be32(p + 12),
	    .magic = (int8_t)p[16],
	    .crc = get_be32(p + CRC_POS),
	    .attributes = (int16_t)get_be16(p + ATTRIBUTES_POS),
	    .last_offset_delta = (int32_t)get_be32(p + 23),
	    .base_timestamp = (int64_t)get_be64(p + 27),
	    .max_timestamp = (int64_t)get_be64(p + MAX_TIMESTAMP_POS),
	    .producer_id = (int64_t)get_be64(p + 43),
	    .producer_epoch = (int16_t)get_be16(p + 51),
	    .base_sequence = (int32_t)get_be32(p + 53),
	    .record_count = (int32_t)get_be32(p + 57),
	};
	return 0;
}

int
record_batch_parse(struct slice data, struct record_batch *ret_batch)
{
	struct record_batch batch;
	int st;

	st = record_batch_parse_header(data, &batch);
	if (st != 0)
		return st;
	if (batch.size_bytes > data.len)
		return -ENODATA;
	batch.whole = (struct slice){data.data, batch.size_bytes};
	batch.payload = (struct slice){data.data + RECORD_BATCH_OVERHEAD,
				       batch.size_bytes - RECORD_BATCH_OVERHEAD};
	*ret_batch = batch;
	return 0;
}

static uint32_t
compute_crc(const uint8_t *batch, size_t size_bytes)
{
	return crc32c(0, batch + ATTRIBUTES_POS, size_bytes - ATTRIBUTES_POS);
}

int
record_batch_check_crc(const struct record_batch *batch)
{
	return compute_crc(batch->whole.data, batch->whole.len) == batch->crc ? 0
									      : K_CORRUPT_MESSAGE;
}

int32_t
sequence_add(int32_t sequence, int32_t delta)
{
	if (sequence > INT32_MAX - delta)
		return delta - (INT32_MAX - sequence) - 1;
	return sequence + delta;
}

void
record_batch_set_base_offset(uint8_t *batch, int64_t base_offset)
{
	put_be64(batch, (uint64_t)base_offset);
}

void
record_batch_set_leader_epoch(uint8_t *batch, int32_t leader_epoch)
{
	put_be32(batch + LOG_OVERHEAD, (uint32_t)leader_epoch);
}

void
record_batch_set_max_timestamp(uint8_t *batch, size_t size_bytes, enum timestamp_type type,
			       int64_t max_timestamp)
{
	uint16_t old = get_be16(batch + ATTRIBUTES_POS);
	uint16_t attributes = old & (uint16_t)~BATCH_LOG_APPEND_TIME;

	if (type == LOG_APPEND_TIME)
		attributes |= BATCH_LOG_APPEND_TIME;
	if (attributes == old && max_timestamp == (int64_t)get_be64(batch + MAX_TIMESTAMP_POS))
		return;
	put_be16(batch + ATTRIBUTES_POS, attributes);
	put_be64(batch + MAX_TIMESTAMP_POS, (uint64_t)max_timestamp);
	put_be32(batch + CRC_POS, compute_crc(batch, size_bytes));
}

int64_t
record_timestamp(const struct record_batch *batch, const struct record *record)
{
	if (record_batch_timestamp_type(batch) == LOG_APPEND_TIME)
		return batch->max_timestamp;
	return (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)record->timestamp_delta);
}

/* Takes a length and as many bytes; below zero is null, where that is allowed. */
static bool
take_bytes(const uint8_t **p, const uint8_t *end, bool nullable, struct slice *ret_bytes)
{
	int32_t len;

	if (!varint_read(p, end, &len))
		return false;
	if (len < 0) {
		*ret_bytes = (struct slice){NULL, 0};
		return nullable;
	}
	if (len > end - *p)
		return false;
	*ret_bytes = (struct slice){*p, (size_t)len};
	*p += len;
	return true;
}

static bool
take_headers(const uint8_t **p, const uint8_t *end, struct record *record)
{
	const uint8_t *start;
	struct slice part;
	int32_t count;

	if (!varint_read(p, end, &count) || count < 0 || count > end - *p)
		return false;
	start = *p;
	for (int32_t i = 0; i < count; i++) {
		if (!take_bytes(p, end, false, &part) || !take_bytes(p, end, true, &part))
			return false;
	}
	record->headers = (struct slice){start, (size_t)(*p - start)};
	record->header_count = count;
	return true;
}

/* The first part of a record, after its length: all but key, value and headers. */
static bool
take_prefix(const uint8_t **p, const uint8_t *end, struct record *record)
{
	if (*p == end)
		return false;
	record->attributes = (int8_t) * (*p)++;
	return varlong_read(p, end, &record->timestamp_delta) &&
	       varint_read(p, end, &record->offset_delta);
}

void
record_iter_init(struct record_iter *it, struct slice payload, int32_t record_count)
{
	*it = (struct record_iter){
	    .next = payload.data,
	    .end = payload.data + payload.len,
	    .left = record_count,
	    .status = record_count < 0 ? K_INVALID_RECORD : 0,
	};
}

static bool
iter_failed(struct record_iter *it)
{
	it->status = K_INVALID_RECORD;
	it->left = 0;
	return false;
}

bool
record_iter_next(struct record_iter *it, struct record *ret_record)
{
	const uint8_t *start = it->next;
	const uint8_t *end;
	struct record record;
	int32_t len;

	if (it->left <= 0) {
		if (it->status == 0 && it->next != it->end)
			it->status = K_INVALID_RECORD; /* bytes after the last record */
		return false;
	}
	if (!varint_read(&it->next, it->end, &len) || len < 0 || len > it->end - it->next)
		return iter_failed(it);
	end = it->next + len;
	if (!take_prefix(&it->next, end, &record) ||
	    !take_bytes(&it->next, end, true, &record.key) ||
	    !take_bytes(&it->next, end, true, &record.value) ||
	    !take_headers(&it->next, end, &record) || it->next != end)
		return iter_failed(it);
	record.size_bytes = (int32_t)(end - start);
	it->left--;
	*ret_record = record;
	return true;
}

bool
record_header_next(struct slice *headers, struct str *ret_key, struct slice *ret_value)
{
	const uint8_t *p = headers->data;
	const uint8_t *end = p + headers->len;
	struct slice key;

	if (headers->len == 0 || !take_bytes(&p, end, false, &key) ||
	    !take_bytes(&p, end, true, ret_value))
		return false;
	*ret_key = (struct str){(const char *)key.data, key.len};
	*headers = (struct slice){p, (size_t)(end - p)};
	return true;
}

int
record_batch_payload(const struct record_batch *batch, size_t limit_bytes, struct buf *scratch,
		     struct slice *ret_payload)
{
	enum compression codec = record_batch_compression(batch);
	int st;

	if (codec == COMPRESSION_NONE || batch->payload.len == 0) {
		*ret_payload = batch->payload;
		return 0;
	}
	scratch->len = 0;
	scratch->failed = false;
	st = compression_decompress(codec, batch->payload, limit_bytes, scratch);
	if (st == 0)
		*ret_payload = buf_slice(scratch);
	return st;
}

/* A compressed payload, seen through a window that moves forward only. */
struct window {
	struct decompressor *d;
	uint8_t *data; /* WINDOW_BYTES */
	const uint8_t *next;
	const uint8_t *end;
	bool at_end;
};

/* Makes at least n bytes visible, or as many as there are. */
static int
window_see(struct window *w, size_t n)
{
	size_t have = (size_t)(w->end - w->next);
	size_t got;
	int st;

	if (have >= n || w->at_end)
		return 0;
	memmove(w->data, w->next, have);
	w->next = w->data;
	w->end = w->data + have;
	while (have < n && !w->at_end) {
		st = decompressor_read(w->d, w->data + have, WINDOW_BYTES - have, &got);
		if (st != 0)
			return st;
		have += got;
		w->end += got;
		w->at_end = got == 0;
	}
	return 0;
}

static int
window_skip(struct window *w, size_t n)
{
	int st;

	while (n > (size_t)(w->end - w->next)) {
		n -= (size_t)(w->end - w->next);
		w->next = w->end;
		if (w->at_end)
			return K_INVALID_RECORD;
		st = window_see(w, 1);
		if (st != 0)
			return st;
	}
	w->next += n;
	return 0;
}

/*
 * A length of a part of the record and the part itself. left: what the record has left, made
 * smaller. ret_len: -1 for null.
 */
static int
window_skip_bytes(struct window *w, int64_t *left, bool nullable, int32_t *ret_len)
{
	const uint8_t *start;
	int32_t len;
	int st;

	st = window_see(w, VARINT_MAX_BYTES);
	if (st != 0)
		return st;
	start = w->next;
	if (!varint_read(&w->next, w->end, &len))
		return K_INVALID_RECORD;
	*left -= w->next - start;
	if ((len < 0 && !nullable) || *left < (len > 0 ? len : 0))
		return K_INVALID_RECORD;
	*ret_len = len;
	if (len <= 0)
		return 0;
	*left -= len;
	return window_skip(w, (size_t)len);
}

static int
window_skip_headers(struct window *w, int64_t *left)
{
	const uint8_t *start;
	int32_t count;
	int32_t len;
	int st;

	st = window_see(w, VARINT_MAX_BYTES);
	if (st != 0)
		return st;
	start = w->next;
	if (!varint_read(&w->next, w->end, &count))
		return K_INVALID_RECORD;
	*left -= w->next - start;
	if (count < 0 || count > *left)
		return K_INVALID_RECORD;
	for (int32_t i = 0; i < count; i++) {
		st = window_skip_bytes(w, left, false, &len);
		if (st == 0)
			st = window_skip_bytes(w, left, true, &len);
		if (st != 0)
			return st;
	}
	return 0;
}

/* The next record when it lies in the window as a whole: without a copy, as the iterator does. */
static bool
window_whole_record(struct window *w, int32_t len, struct record *record)
{
	const uint8_t *end = w->next + len;

	return take_prefix(&w->next, end, record) &&
	       take_bytes(&w->next, end, true, &record->key) &&
	       take_bytes(&w->next, end, true, &record->value) &&
	       take_headers(&w->next, end, record) && w->next == end;
}

/* The next record when it is larger than what the window shows. */
static int
window_part_record(struct window *w, int32_t len, struct record *record, bool *ret_has_key)
{
	int64_t left = len;
	const uint8_t *start;
	int32_t key_len;
	int32_t value_len;
	int st;

	st = window_see(w, RECORD_PREFIX_MAX);
	if (st != 0)
		return st;
	start = w->next;
	if (!take_prefix(&w->next, w->end, record))
		return K_INVALID_RECORD;
	left -= w->next - start;
	if (left < 0)
		return K_INVALID_RECORD;
	st = window_skip_bytes(w, &left, true, &key_len);
	if (st == 0)
		st = window_skip_bytes(w, &left, true, &value_len);
	if (st == 0)
		st = window_skip_headers(w, &left);
	if (st != 0)
		return st;
	if (left != 0)
		return K_INVALID_RECORD;
	*ret_has_key = key_len >= 0;
	return 0;
}

static int
window_next_record(struct window *w, struct record_facts *facts)
{
	struct record record;
	int32_t len;
	int st;

	st = window_see(w, VARINT_MAX_BYTES);
	if (st != 0)
		return st;
	if (!varint_read(&w->next, w->end, &len) || len < 0)
		return K_INVALID_RECORD;
	if ((size_t)len <= WINDOW_REFILL) {
		st = window_see(w, (size_t)len);
		if (st != 0)
			return st;
	}
	if (len <= w->end - w->next) {
		if (!window_whole_record(w, len, &record))
			return K_INVALID_RECORD;
		facts->has_key = record.key.data != NULL;
	} else {
		st = window_part_record(w, len, &record, &facts->has_key);
		if (st != 0)
			return st;
	}
	facts->offset_delta = record.offset_delta;
	facts->timestamp_delta = record.timestamp_delta;
	return 0;
}

static int
walk_compressed(const struct record_batch *batch, size_t limit_bytes, record_facts_fn *fn,
		void *arg)
{
	struct codec_thread *t = codec_thread();
	struct record_facts facts;
	struct window w = {0};
	int st;

	if (t == NULL)
		return -ENOMEM;
	if (t->walk_window == NULL)
		t->walk_window = malloc(WINDOW_BYTES);
	if (t->walk_window == NULL)
		return -ENOMEM;
	w.data = t->walk_window;
	w.next = w.data;
	w.end = w.data;
	st = decompressor_open(record_batch_compression(batch), batch->payload, limit_bytes, &w.d);
	if (st != 0)
		return st;
	for (int32_t i = 0; st == 0 && i < batch->record_count; i++) {
		facts.index = i;
		st = window_next_record(&w, &facts);
		if (st == 0)
			st = fn(arg, &facts);
	}
	if (st == 0)
		st = window_see(&w, 1);
	if (st == 0 && w.next != w.end)
		st = K_INVALID_RECORD; /* bytes after the last record */
	decompressor_close(w.d);
	return st;
}

static int
walk_plain(const struct record_batch *batch, record_facts_fn *fn, void *arg)
{
	struct record_facts facts;
	struct record_iter it;
	struct record record;
	int st;

	facts.index = 0;
	record_iter_init(&it, batch->payload, batch->record_count);
	while (record_iter_next(&it, &record)) {
		facts.offset_delta = record.offset_delta;
		facts.timestamp_delta = record.timestamp_delta;
		facts.has_key = record.key.data != NULL;
		st = fn(arg, &facts);
		if (st != 0)
			return st;
		facts.index++;
	}
	return it.status;
}

int
record_batch_walk(const struct record_batch *batch, size_t limit_bytes, record_facts_fn *fn,
		  void *arg)
{
	if (batch->record_count < 0)
		return K_INVALID_RECORD;
	if (record_batch_compression(batch) == COMPRESSION_NONE || batch->payload.len == 0)
		return walk_plain(batch, fn, arg);
	return walk_compressed(batch, limit_bytes, fn, arg);
}
