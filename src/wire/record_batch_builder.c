/*
 * record_batch_builder.c - writing batches: records are laid out as they come, the header and the
 * codec are settled at the end.
 */
#include "wire/record_batch_builder.h"

#include <errno.h>

#include "wire/crc32c.h"
#include "wire/kerr.h"
#include "wire/varint.h"

void
record_batch_builder_init(struct record_batch_builder *b, enum compression codec, int level)
{
	*b = (struct record_batch_builder){
	    .leader_epoch = NO_LEADER_EPOCH,
	    .producer_id = NO_PRODUCER_ID,
	    .producer_epoch = NO_PRODUCER_EPOCH,
	    .base_sequence = NO_SEQUENCE,
	    .timestamp_type = CREATE_TIME,
	    .log_append_time_ms = NO_TIMESTAMP,
	    .delete_horizon_ms = NO_TIMESTAMP,
	    .last_offset_delta = -1,
	    .codec = codec,
	    .level = level,
	    .base_timestamp = NO_TIMESTAMP,
	    .max_timestamp = NO_TIMESTAMP,
	};
}

void
record_batch_builder_fini(struct record_batch_builder *b)
{
	buf_fini(&b->records);
}

static size_t
bytes_size(size_t len, bool is_null)
{
	return is_null ? 1 : (size_t)varint_size((int32_t)len) + len;
}

static uint8_t *
put_bytes(uint8_t *p, const void *data, size_t len, bool is_null)
{
	if (is_null)
		return varint_write(p, -1);
	p = varint_write(p, (int32_t)len);
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

/* What both ways of appending have in common: everything but the headers' bytes. */
struct record_plan {
	int64_t timestamp_delta;
	int32_t offset_delta;
	int8_t attributes;
	struct slice key;
	struct slice value;
	int32_t header_count;
	size_t headers_len;
};

static void
note_timestamp(struct record_batch_builder *b, int64_t timestamp_ms)
{
	if (b->record_count == 0)
		b->base_timestamp = b->delete_horizon_ms >= 0 ? b->delete_horizon_ms : timestamp_ms;
	if (timestamp_ms > b->max_timestamp)
		b->max_timestamp = timestamp_ms;
}

/* Writes all of the record but its headers. Returns where these go, or NULL. */
static uint8_t *
begin_record(struct record_batch_builder *b, const struct record_plan *plan)
{
	uint64_t body;
	uint8_t *p;

	/* No sum below can overflow: each part is below 2^31. */
	if (plan->key.len > INT32_MAX || plan->value.len > INT32_MAX ||
	    plan->headers_len > INT32_MAX) {
		b->status = K_MESSAGE_TOO_LARGE;
		return NULL;
	}
	body = 1 + (uint64_t)varlong_size(plan->timestamp_delta) +
	       (uint64_t)varint_size(plan->offset_delta) +
	       bytes_size(plan->key.len, plan->key.data == NULL) +
	       bytes_size(plan->value.len, plan->value.data == NULL) +
	       (uint64_t)varint_size(plan->header_count) + plan->headers_len;
	if (body > INT32_MAX - RECORD_BATCH_OVERHEAD - VARINT_MAX_BYTES - b->records.len) {
		b->status = K_MESSAGE_TOO_LARGE;
		return NULL;
	}
	p = buf_extend(&b->records, (size_t)varint_size((int32_t)body) + (size_t)body);
	if (p == NULL) {
		b->status = -ENOMEM;
		return NULL;
	}
	p = varint_write(p, (int32_t)body);
	*p++ = (uint8_t)plan->attributes;
	p = varlong_write(p, plan->timestamp_delta);
	p = varint_write(p, plan->offset_delta);
	p = put_bytes(p, plan->key.data, plan->key.len, plan->key.data == NULL);
	p = put_bytes(p, plan->value.data, plan->value.len, plan->value.data == NULL);
	p = varint_write(p, plan->header_count);
	b->record_count++;
	if (plan->offset_delta > b->last_offset_delta)
		b->last_offset_delta = plan->offset_delta;
	return p;
}

void
record_batch_builder_append(struct record_batch_builder *b, int64_t timestamp_ms, struct slice key,
			    struct slice value, const struct record_header *headers,
			    int32_t header_count)
{
	struct record_plan plan = {.key = key, .value = value, .header_count = header_count};
	uint8_t *p;

	if (b->status != 0)
		return;
	if (b->last_offset_delta == INT32_MAX) {
		b->status = K_MESSAGE_TOO_LARGE;
		return;
	}
	note_timestamp(b, timestamp_ms);
	plan.timestamp_delta = (int64_t)((uint64_t)timestamp_ms - (uint64_t)b->base_timestamp);
	plan.offset_delta = b->last_offset_delta + 1;
	for (int32_t i = 0; i < header_count; i++) {
		if (headers[i].key.len > INT32_MAX || headers[i].value.len > INT32_MAX) {
			b->status = K_MESSAGE_TOO_LARGE;
			return;
		}
		plan.headers_len += bytes_size(headers[i].key.len, false);
		plan.headers_len += bytes_size(headers[i].value.len, headers[i].value.data == NULL);
	}
	p = begin_record(b, &plan);
	for (int32_t i = 0; p != NULL && i < header_count; i++) {
		p = put_bytes(p, headers[i].key.data, headers[i].key.len, false);
		p = put_bytes(p, headers[i].value.data, headers[i].value.len,
			      headers[i].value.data == NULL);
	}
}

void
record_batch_builder_append_record(struct record_batch_builder *b, int64_t timestamp_ms,
				   int32_t offset_delta, const struct record *record)
{
	struct record_plan plan = {
	    .offset_delta = offset_delta,
	    .attributes = record->attributes,
	    .key = record->key,
	    .value = record->value,
	    .header_count = record->header_count,
	    .headers_len = record->headers.len,
	};
	uint8_t *p;

	if (b->status != 0)
		return;
	note_timestamp(b, timestamp_ms);
	plan.timestamp_delta = (int64_t)((uint64_t)timestamp_ms - (uint64_t)b->base_timestamp);
	p = begin_record(b, &plan);
	if (p != NULL && record->headers.len > 0)
		memcpy(p, record->headers.data, record->headers.len);
}

size_t
record_batch_builder_size(const struct record_batch_builder *b)
{
	return RECORD_BATCH_OVERHEAD + b->records.len;
}

static uint16_t
attributes_of(const struct record_batch_builder *b)
{
	uint16_t attributes = (uint16_t)b->codec;

	if (b->timestamp_type == LOG_APPEND_TIME)
		attributes |= BATCH_LOG_APPEND_TIME;
	if (b->transactional)
		attributes |= BATCH_TRANSACTIONAL;
	if (b->control)
		attributes |= BATCH_CONTROL;
	if (b->delete_horizon_ms >= 0)
		attributes |= BATCH_DELETE_HORIZON;
	return attributes;
}

/* Fills the header of a batch whose payload is in place. */
static void
put_header(const struct record_batch_builder *b, uint8_t *p, size_t size_bytes)
{
	int64_t max_timestamp =
	    b->timestamp_type == LOG_APPEND_TIME ? b->log_append_time_ms : b->max_timestamp;

	put_be64(p, (uint64_t)b->base_offset);
	put_be32(p + 8, (uint32_t)(size_bytes - LOG_OVERHEAD));
	put_be32(p + 12, (uint32_t)b->leader_epoch);
	p[16] = RECORD_BATCH_MAGIC;
	put_be16(p + 21, attributes_of(b));
	put_be32(p + 23, (uint32_t)b->last_offset_delta);
	put_be64(p + 27, (uint64_t)b->base_timestamp);
	put_be64(p + 35, (uint64_t)max_timestamp);
	put_be64(p + 43, (uint64_t)b->producer_id);
	put_be16(p + 51, (uint16_t)b->producer_epoch);
	put_be32(p + 53, (uint32_t)b->base_sequence);
	put_be32(p + 57, (uint32_t)b->record_count);
	put_be32(p + 17, crc32c(0, p + 21, size_bytes - 21));
}

int
record_batch_builder_finish(struct record_batch_builder *b, struct buf *out)
{
	size_t start = out->len;
	size_t size_bytes;
	int st = b->status;

	if (st == 0 && buf_extend(out, RECORD_BATCH_OVERHEAD) == NULL)
		st = -ENOMEM;
	if (st == 0)
		st = compression_compress(b->codec, b->level, buf_slice(&b->records), out);
	size_bytes = out->len - start;
	if (st == 0 && size_bytes > INT32_MAX)
		st = K_MESSAGE_TOO_LARGE;
	if (st == 0) {
		put_header(b, out->data + start, size_bytes);
		b->base_offset += b->last_offset_delta + 1;
	} else if (out->len > start) {
		out->len = start;
	}
	b->records.len = 0;
	b->records.failed = false;
	b->record_count = 0;
	b->last_offset_delta = -1;
	b->base_timestamp = NO_TIMESTAMP;
	b->max_timestamp = NO_TIMESTAMP;
	b->status = 0;
	return st;
}

int
record_batch_build_empty(const struct record_batch *of, struct buf *out)
{
	uint8_t *p = buf_extend(out, RECORD_BATCH_OVERHEAD);

	if (p == NULL)
		return -ENOMEM;
	memcpy(p, of->whole.data, RECORD_BATCH_OVERHEAD);
	put_be32(p + 8, RECORD_BATCH_OVERHEAD - LOG_OVERHEAD);
	put_be64(p + 27, (uint64_t)(int64_t)NO_TIMESTAMP);
	put_be32(p + 57, 0);
	put_be32(p + 17, crc32c(0, p + 21, RECORD_BATCH_OVERHEAD - 21));
	return 0;
}

int
end_txn_marker_build(const struct end_txn_marker *marker, int64_t base_offset, int32_t leader_epoch,
		     int64_t timestamp_ms, int64_t producer_id, int16_t producer_epoch,
		     struct buf *out)
{
	struct record_batch_builder b;
	uint8_t key[4];
	uint8_t value[6];
	int st;

	put_be16(key, 0);
	put_be16(key + 2, (uint16_t)marker->type);
	put_be16(value, 0);
	put_be32(value + 2, (uint32_t)marker->coordinator_epoch);
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	b.base_offset = base_offset;
	b.leader_epoch = leader_epoch;
	b.producer_id = producer_id;
	b.producer_epoch = producer_epoch;
	b.transactional = true;
	b.control = true;
	record_batch_builder_append(&b, timestamp_ms, (struct slice){key, sizeof(key)},
				    (struct slice){value, sizeof(value)}, NULL, 0);
	st = record_batch_builder_finish(&b, out);
	record_batch_builder_fini(&b);
	return st;
}

int
control_record_type(const struct record *record, int *ret_type)
{
	if (record->key.data == NULL || record->key.len < 4 ||
	    (int16_t)get_be16(record->key.data) < 0)
		return K_INVALID_RECORD;
	*ret_type = (int16_t)get_be16(record->key.data + 2);
	return 0;
}

int
end_txn_marker_parse(const struct record *record, struct end_txn_marker *ret_marker)
{
	int type;
	int st;

	st = control_record_type(record, &type);
	if (st != 0)
		return st;
	if ((type != CONTROL_ABORT && type != CONTROL_COMMIT) || record->value.data == NULL ||
	    record->value.len < 6 || (int16_t)get_be16(record->value.data) < 0)
		return K_INVALID_RECORD;
	*ret_marker = (struct end_txn_marker){
	    .type = (enum control_type)type,
	    .coordinator_epoch = (int32_t)get_be32(record->value.data + 2),
	};
	return 0;
}

int
end_txn_marker_read(const struct record_batch *batch, struct end_txn_marker *ret_marker)
{
	struct record_iter it;
	struct record record;

	if (!record_batch_is_control(batch) || record_batch_compression(batch) != COMPRESSION_NONE)
		return K_INVALID_RECORD;
	record_iter_init(&it, batch->payload, batch->record_count);
	if (!record_iter_next(&it, &record))
		return K_INVALID_RECORD;
	return end_txn_marker_parse(&record, ret_marker);
}
