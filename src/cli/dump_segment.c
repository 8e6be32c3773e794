/*
 * dump_segment.c - .log files: batches, and the records in them.
 *
 * Lengths are checked against the file before anything is read. After a header that is none, there
 * is no telling where the next batch begins: the rest is told as invalid bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "cli/dump.h"
#include "cli/text_escape.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"
#include "wire/record_batch.h"

/* Of one batch, decompressed: what the protocol can carry. */
#define PAYLOAD_MAX ((size_t)INT32_MAX)

struct segment_dump {
	struct dump *d;
	struct buf out;
	struct buf scratch;
	int64_t pos;
	int64_t last_offset; /* of the batches so far; -1 */
};

static const char *
bool_text(bool value)
{
	return value ? "true" : "false";
}

static const char *
codec_text(int attributes)
{
	const char *name =
	    compression_name((enum compression)(attributes & BATCH_COMPRESSION_MASK));

	return name != NULL ? name : "unknown";
}

static void
append_json_bytes(struct buf *out, const char *name, struct slice bytes)
{
	bool utf8 = bytes.data == NULL || text_is_utf8(bytes);

	buf_printf(out, ",\"%s%s\":", name, utf8 ? "" : "_base64");
	if (bytes.data == NULL)
		buf_printf(out, "null");
	else if (utf8)
		json_append_string(out, bytes);
	else
		json_append_base64(out, bytes);
}

static long long
size_of(struct slice bytes)
{
	return bytes.data == NULL ? -1 : (long long)bytes.len;
}

/* ---- records ---- */

/* A record of any magic, in one shape. */
struct dumped_record {
	struct slice key;
	struct slice value;
	struct slice headers;
	int64_t offset;
	int64_t timestamp;
	int32_t sequence;
	bool legacy;
	bool control;
	bool log_append_time;
};

/* A control record's key is a version and a type, its value a version and the epoch. */
static void
append_control(struct buf *out, const struct dumped_record *r, bool json)
{
	int type = r->key.len >= 4 ? get_be16(r->key.data + 2) : -1;
	const char *name = type == 0 ? "ABORT" : type == 1 ? "COMMIT" : NULL;
	int32_t epoch = r->value.len >= 6 ? (int32_t)get_be32(r->value.data + 2) : -1;

	if (name == NULL)
		buf_printf(out, json ? ",\"control_type\":%d" : " controlType: %d", type);
	else if (json)
		buf_printf(out, ",\"end_txn_marker\":\"%s\",\"coordinator_epoch\":%d", name, epoch);
	else
		buf_printf(out, " endTxnMarker: %s coordinatorEpoch: %d", name, epoch);
}

static void
append_header_keys(struct buf *out, struct slice headers, bool json)
{
	struct slice value;
	struct str key;

	for (bool first = true; headers.len > 0 && record_header_next(&headers, &key, &value);
	     first = false) {
		struct slice bytes = {(const uint8_t *)key.data, key.len};

		if (!first)
			buf_append_u8(out, ',');
		if (json && text_is_utf8(bytes))
			json_append_string(out, bytes);
		else if (json)
			json_append_base64(out, bytes);
		else
			text_append_printable(out, bytes);
	}
}

static void
append_data(struct segment_dump *s, const struct dumped_record *r)
{
	enum dump_decoder decoder = s->d->decoder;

	if (decoder != DUMP_PLAIN && dump_decode(decoder, r->key, r->value, s->d->json, &s->out))
		return;
	if (s->d->json) {
		append_json_bytes(&s->out, "key", r->key);
		append_json_bytes(&s->out, "payload", r->value);
		return;
	}
	if (r->key.data != NULL) {
		buf_printf(&s->out, " key: ");
		text_append_printable(&s->out, r->key);
	}
	if (r->value.data != NULL) {
		buf_printf(&s->out, " payload: ");
		text_append_printable(&s->out, r->value);
	}
}

static void
print_record(struct segment_dump *s, const struct dumped_record *r)
{
	bool json = s->d->json;

	if (json)
		buf_printf(&s->out,
			   "{\"type\":\"record\",\"offset\":%lld,\"timestamp\":%lld,"
			   "\"key_size\":%lld,\"value_size\":%lld",
			   (long long)r->offset, (long long)r->timestamp, size_of(r->key),
			   size_of(r->value));
	else
		buf_printf(&s->out, "| offset: %lld %s: %lld keySize: %lld valueSize: %lld",
			   (long long)r->offset,
			   r->log_append_time ? "LogAppendTime" : "CreateTime",
			   (long long)r->timestamp, size_of(r->key), size_of(r->value));
	if (!r->legacy) {
		buf_printf(&s->out,
			   json ? ",\"sequence\":%d,\"header_keys\":["
				: " sequence: %d headerKeys: [",
			   r->sequence);
		append_header_keys(&s->out, r->headers, json);
		buf_append_u8(&s->out, ']');
	}
	if (r->control)
		append_control(&s->out, r, json);
	else if (s->d->print_data)
		append_data(s, r);
	if (json)
		buf_append_u8(&s->out, '}');
	dump_line(&s->out);
}

static void
dump_records(struct segment_dump *s, const struct record_batch *batch)
{
	struct record_iter it;
	struct slice payload;
	struct record record;
	int st;

	st = record_batch_payload(batch, PAYLOAD_MAX, &s->scratch, &payload);
	if (st != 0) {
		dump_fault(s->d, "batch at position %lld: its records cannot be decompressed: %s",
			   (long long)s->pos, st > 0 ? kerr_text(st) : strerror(-st));
		return;
	}
	record_iter_init(&it, payload, batch->record_count);
	while (record_iter_next(&it, &record)) {
		struct dumped_record r = {
		    .key = record.key,
		    .value = record.value,
		    .headers = record.headers,
		    .offset = batch->base_offset + record.offset_delta,
		    .timestamp = record_timestamp(batch, &record),
		    .sequence = batch->base_sequence == NO_SEQUENCE
				    ? NO_SEQUENCE
				    : sequence_add(batch->base_sequence, record.offset_delta),
		    .control = record_batch_is_control(batch),
		    .log_append_time = record_batch_timestamp_type(batch) == LOG_APPEND_TIME};

		print_record(s, &r);
	}
	if (it.status != 0)
		dump_fault(s->d, "batch at position %lld: %s", (long long)s->pos,
			   kerr_text(it.status));
}

static void
dump_messages(struct segment_dump *s, const struct legacy_message *message)
{
	struct legacy_message inner;
	struct legacy_iter it;
	int st;

	st = legacy_iter_init(&it, message, PAYLOAD_MAX);
	if (st == 0) {
		while (legacy_iter_next(&it, &inner)) {
			struct dumped_record r = {.key = inner.key,
						  .value = inner.value,
						  .offset = inner.offset,
						  .timestamp = inner.timestamp,
						  .legacy = true,
						  .log_append_time =
						      legacy_message_timestamp_type(&inner) ==
						      LOG_APPEND_TIME};

			print_record(s, &r);
		}
		st = it.status;
		legacy_iter_fini(&it);
	}
	if (st != 0)
		dump_fault(s->d, "message at position %lld: %s", (long long)s->pos,
			   st > 0 ? kerr_text(st) : strerror(-st));
}

/* ---- batches ---- */

static void
print_batch(struct segment_dump *s, const struct record_batch *b, bool valid)
{
	bool json = s->d->json;

	buf_printf(
	    &s->out,
	    json ? "{\"type\":\"batch\",\"base_offset\":%lld,\"last_offset\":%lld,\"count\":%d,"
		   "\"base_sequence\":%d,\"last_sequence\":%d,\"producer_id\":%lld,"
		   "\"producer_epoch\":%d,\"partition_leader_epoch\":%d,\"transactional\":%s,"
		   "\"control\":%s,\"delete_horizon_ms\":"
		 : "baseOffset: %lld lastOffset: %lld count: %d baseSequence: %d lastSequence: %d "
		   "producerId: %lld producerEpoch: %d partitionLeaderEpoch: %d "
		   "isTransactional: %s isControl: %s deleteHorizonMs: ",
	    (long long)b->base_offset, (long long)record_batch_last_offset(b), b->record_count,
	    b->base_sequence, record_batch_last_sequence(b), (long long)b->producer_id,
	    b->producer_epoch, b->leader_epoch, bool_text(record_batch_is_transactional(b)),
	    bool_text(record_batch_is_control(b)));
	if ((b->attributes & BATCH_DELETE_HORIZON) != 0)
		buf_printf(&s->out, json ? "%lld" : "OptionalLong[%lld]",
			   (long long)b->base_timestamp);
	else
		buf_printf(&s->out, json ? "null" : "OptionalLong.empty");
	buf_printf(
	    &s->out,
	    json ? ",\"position\":%lld,\"timestamp_type\":\"%s\",\"max_timestamp\":%lld,"
		   "\"size\":%zu,\"magic\":%d,\"compression\":\"%s\",\"crc\":%u,\"valid\":%s}"
		 : " position: %lld %s: %lld size: %zu magic: %d compresscodec: %s "
		   "crc: %u isvalid: %s",
	    (long long)s->pos,
	    record_batch_timestamp_type(b) == LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime",
	    (long long)b->max_timestamp, b->size_bytes, b->magic, codec_text(b->attributes), b->crc,
	    bool_text(valid));
	dump_line(&s->out);
}

static void
check_order(struct segment_dump *s, int64_t first, int64_t last)
{
	if (first <= s->last_offset || last < first)
		dump_fault(s->d, "batch at position %lld: offsets %lld to %lld do not follow %lld",
			   (long long)s->pos, (long long)first, (long long)last,
			   (long long)s->last_offset);
	s->last_offset = last;
}

static int
dump_batch(struct segment_dump *s, struct slice bytes)
{
	struct record_batch batch;
	bool valid;
	int st;

	st = record_batch_parse(bytes, &batch);
	if (st != 0)
		return st;
	valid = record_batch_check_crc(&batch) == 0;
	print_batch(s, &batch, valid);
	if (!valid)
		dump_fault(s->d, "batch at position %lld: its CRC is wrong", (long long)s->pos);
	check_order(s, batch.base_offset, record_batch_last_offset(&batch));
	if (s->d->deep && valid)
		dump_records(s, &batch);
	return 0;
}

static int
dump_message(struct segment_dump *s, struct slice bytes)
{
	struct legacy_message m;
	const char *type;
	bool valid;
	int st;

	st = legacy_message_parse(bytes, &m);
	if (st != 0)
		return st;
	valid = legacy_message_check_crc(&m) == 0;
	type = m.magic == 0                                           ? "NoTimestampType"
	       : legacy_message_timestamp_type(&m) == LOG_APPEND_TIME ? "LogAppendTime"
								      : "CreateTime";
	buf_printf(&s->out,
		   s->d->json
		       ? "{\"type\":\"message\",\"offset\":%lld,\"position\":%lld,"
			 "\"timestamp_type\":\"%s\",\"timestamp\":%lld,\"size\":%zu,\"magic\":%d,"
			 "\"compression\":\"%s\",\"crc\":%u,\"valid\":%s}"
		       : "offset: %lld position: %lld %s: %lld size: %zu magic: %d "
			 "compresscodec: %s crc: %u isvalid: %s",
		   (long long)m.offset, (long long)s->pos, type, (long long)m.timestamp,
		   m.size_bytes, m.magic, codec_text(m.attributes), m.crc, bool_text(valid));
	dump_line(&s->out);
	if (!valid)
		dump_fault(s->d, "message at position %lld: its CRC is wrong", (long long)s->pos);
	check_order(s, m.offset, m.offset);
	if (s->d->deep && valid)
		dump_messages(s, &m);
	return 0;
}

/*
 * One entry. Returns 0 with *ret_size set; -ENODATA when no whole one is left; other -errno, or a
 * Kafka code for bytes that are no batch.
 */
static int
dump_entry(struct segment_dump *s, int fd, int64_t size, struct buf *bytes, int64_t *ret_size)
{
	uint8_t head[LOG_ENTRY_PEEK];
	struct record_entry entry;
	ssize_t n;
	int st;

	n = env_pread(s->d->env, fd, head, sizeof(head), s->pos);
	if (n < 0)
		return (int)n;
	st = record_entry_peek((struct slice){head, (size_t)n}, &entry);
	if (st != 0)
		return st;
	if (entry.size_bytes > (size_t)(size - s->pos))
		return -ENODATA;
	bytes->len = 0;
	if (buf_extend(bytes, entry.size_bytes) == NULL)
		return -ENOMEM;
	n = env_pread(s->d->env, fd, bytes->data, entry.size_bytes, s->pos);
	if (n < 0)
		return (int)n;
	if ((size_t)n != entry.size_bytes)
		return -ENODATA;
	st = entry.magic >= RECORD_BATCH_MAGIC ? dump_batch(s, buf_slice(bytes))
					       : dump_message(s, buf_slice(bytes));
	*ret_size = (int64_t)entry.size_bytes;
	return st;
}

static void
tell_invalid_bytes(struct segment_dump *s, int64_t count)
{
	if (s->d->json)
		printf("{\"type\":\"invalid_bytes\",\"position\":%lld,\"count\":%lld}\n",
		       (long long)s->pos, (long long)count);
	else
		printf("Found %lld invalid bytes at the end\n", (long long)count);
	dump_fault(s->d, "%lld bytes from position %lld on are no whole batch", (long long)count,
		   (long long)s->pos);
}

static void
dump_entries(struct segment_dump *s, int fd, int64_t size)
{
	int64_t end = s->d->max_bytes > 0 && s->d->max_bytes < size ? s->d->max_bytes : size;
	struct buf bytes = {0};
	int64_t entry_size = 0;
	int st = 0;

	while (st == 0 && s->pos < end) {
		st = dump_entry(s, fd, size, &bytes, &entry_size);
		if (st == 0)
			s->pos += entry_size;
	}
	if (st == -ENODATA || st > 0)
		tell_invalid_bytes(s, size - s->pos);
	else if (st != 0)
		dump_unreadable(s->d, st);
	buf_fini(&bytes);
}

void
dump_segment(struct dump *d)
{
	struct segment_dump s = {.d = d, .last_offset = -1};
	int64_t base_offset = 0;
	struct stat stat;
	int fd, st;

	fd = env_openat(d->env, AT_FDCWD, d->path, O_RDONLY, 0);
	st = fd < 0 ? fd : env_fstat(d->env, fd, &stat);
	if (st < 0) {
		dump_unreadable(d, st);
		if (fd >= 0)
			env_close(d->env, fd);
		return;
	}
	(void)dump_base_offset(d->path, &base_offset);
	s.last_offset = base_offset - 1;
	if (d->json) {
		buf_printf(&s.out, "{\"type\":\"segment\",\"file\":");
		json_append_string(&s.out,
				   (struct slice){(const uint8_t *)d->path, strlen(d->path)});
		buf_printf(&s.out, ",\"base_offset\":%lld,\"size\":%lld}", (long long)base_offset,
			   (long long)stat.st_size);
		dump_line(&s.out);
	} else {
		printf("Log starting offset: %lld\n", (long long)base_offset);
	}
	dump_entries(&s, fd, stat.st_size);
	env_close(d->env, fd);
	buf_fini(&s.out);
	buf_fini(&s.scratch);
}
