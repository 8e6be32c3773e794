#include "storage/log_validator.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "wire/kerr.h"
#include "wire/legacy_message.h"
#include "wire/record_batch_builder.h"

/*
 * A batch goes through these steps:
 *
 * 1. analyze(): every entry, shallowly: base offset, size, CRC. What is no whole entry at the end
 * is cut off.
 * 2. check_batch(): the header's counts and flags.
 * 3. The records. Where the batch can stay as it is, they are walked without their keys and values
 *    (walk_in_place()); otherwise they are read and a new batch is built (rebuild()). Old formats
 *    are checked message by message and always built anew (convert()).
 *
 * Errors of records are collected, and refuse the batch as a whole.
 */

/*
 * How much a batch may hold decompressed. Kafka has no bound; a batch that a client filled up to
 * its own limits stays far below this one, a bomb does not.
 */
#define DECOMPRESSED_MIN ((size_t)128 << 20)
#define DECOMPRESSED_FACTOR 16
/* Errors told per batch; the answer to a request must stay small. */
#define RECORD_ERRORS_MAX 100

struct validation {
	const struct log_append *append;
	const struct log_config *config;
	struct arena *arena;
	struct log_append_refusal *refusal;
	int64_t now_ms;
	size_t limit_bytes;
	enum compression source;
	enum compression target;
	/* Over all records. */
	const struct record_batch *batch;
	int64_t max_timestamp_ms;
	int32_t next_delta;
	bool deltas_in_order;
	/* The records that were refused. */
	struct log_record_error *errors;
	size_t error_count;
	bool invalid_timestamp;
};

static int
refuse(struct validation *v, int st, const char *message)
{
	v->refusal->message = message;
	return st;
}

static bool
compacted(const struct validation *v)
{
	return (v->config->cleanup_policy & LOG_CLEANUP_COMPACT) != 0;
}

/* ---- records ---- */

static void
add_error(struct validation *v, int32_t index, const char *message, bool is_timestamp)
{
	v->invalid_timestamp |= is_timestamp;
	if (v->error_count >= RECORD_ERRORS_MAX || v->arena == NULL)
		return;
	if (v->errors == NULL)
		v->errors = arena_calloc(v->arena, RECORD_ERRORS_MAX, sizeof(*v->errors));
	if (v->errors != NULL && message != NULL)
		v->errors[v->error_count++] = (struct log_record_error){index, message};
}

static int64_t
subtract(int64_t a, int64_t b)
{
	int64_t d;

	if (__builtin_sub_overflow(a, b, &d))
		return a < b ? INT64_MIN : INT64_MAX;
	return d;
}

static bool
timestamp_in_window(const struct validation *v, int64_t timestamp_ms)
{
	return subtract(v->now_ms, timestamp_ms) <= v->config->timestamp_before_max_ms &&
	       subtract(timestamp_ms, v->now_ms) <= v->config->timestamp_after_max_ms;
}

/* False when the record is refused; the error is noted. */
static bool
check_record(struct validation *v, int32_t index, bool has_key, int64_t timestamp_ms,
	     enum timestamp_type claimed)
{
	if (compacted(v) && !has_key) {
		add_error(v, index, "a record of a compacted topic must have a key", false);
		return false;
	}
	if (v->config->timestamp_type == CREATE_TIME && timestamp_ms != NO_TIMESTAMP) {
		if (!timestamp_in_window(v, timestamp_ms)) {
			add_error(v, index,
				  v->arena == NULL
				      ? NULL
				      : arena_printf(v->arena,
						     "timestamp %" PRId64
						     " is out of the window around %" PRId64,
						     timestamp_ms, v->now_ms),
				  true);
			return false;
		}
	} else if (claimed == LOG_APPEND_TIME) {
		add_error(v, index, "a producer must not set the timestamp type LogAppendTime",
			  true);
		return false;
	}
	if (timestamp_ms > v->max_timestamp_ms)
		v->max_timestamp_ms = timestamp_ms;
	return true;
}

static bool
any_refused(const struct validation *v)
{
	return v->error_count > 0 || v->invalid_timestamp;
}

/* The status of a batch, some of whose records were refused. */
static int
refused_records(struct validation *v)
{
	v->refusal->errors = v->errors;
	v->refusal->error_count = v->error_count;
	if (v->invalid_timestamp)
		return refuse(v, K_INVALID_TIMESTAMP,
			      "records were refused because of their timestamps");
	return refuse(v, K_INVALID_RECORD, "records were refused");
}

static int
walk_record(void *arg, const struct record_facts *facts)
{
	struct validation *v = arg;
	const struct record record = {.timestamp_delta = facts->timestamp_delta};

	if (facts->offset_delta != v->next_delta)
		v->deltas_in_order = false;
	v->next_delta++;
	(void)check_record(v, facts->index, facts->has_key, record_timestamp(v->batch, &record),
			   record_batch_timestamp_type(v->batch));
	return 0;
}

/* What a walk over compressed records means to the client. */
static int
codec_status(struct validation *v, int st)
{
	switch (st) {
	case K_CORRUPT_MESSAGE:
		return refuse(v, K_UNKNOWN_SERVER_ERROR, "the records cannot be decompressed");
	case K_INVALID_RECORD:
		return refuse(v, st, "the records do not fit what the batch's header says");
	case K_UNSUPPORTED_COMPRESSION_TYPE:
		return refuse(v, st, "the compression codec is unknown");
	case -EFBIG:
		return refuse(v, K_MESSAGE_TOO_LARGE, "the records are too large decompressed");
	default:
		return st;
	}
}

/* ---- a batch that stays as it is ---- */

static int
finish_in_place(struct validation *v, uint8_t *bytes, size_t len, struct validated_batch *out)
{
	bool log_append = v->config->timestamp_type == LOG_APPEND_TIME;

	if (log_append) {
		v->max_timestamp_ms = v->now_ms;
		out->log_append_time_ms = v->now_ms;
	}
	record_batch_set_leader_epoch(bytes, v->append->leader_epoch);
	record_batch_set_max_timestamp(bytes, len, (enum timestamp_type)v->config->timestamp_type,
				       v->max_timestamp_ms);
	out->bytes = bytes;
	out->len = len;
	out->max_timestamp_ms = v->max_timestamp_ms;
	return record_batch_parse((struct slice){bytes, len}, &out->header);
}

static int
walk_in_place(struct validation *v, const struct record_batch *batch, bool *ret_in_place)
{
	int st;

	v->batch = batch;
	st = record_batch_walk(batch, v->limit_bytes, walk_record, v);
	if (st != 0)
		return codec_status(v, st);
	if (any_refused(v))
		return refused_records(v);
	/* In an uncompressed batch nobody has ever looked at the deltas. */
	*ret_in_place = v->deltas_in_order || v->source == COMPRESSION_NONE;
	return 0;
}

/* ---- a batch that is built anew ---- */

static void
init_builder(const struct validation *v, struct record_batch_builder *b)
{
	int level = compression_default_level(v->target);

	if (v->target == COMPRESSION_GZIP)
		level = v->config->gzip_level;
	else if (v->target == COMPRESSION_LZ4)
		level = v->config->lz4_level;
	else if (v->target == COMPRESSION_ZSTD)
		level = v->config->zstd_level;
	record_batch_builder_init(b, v->target, level);
	b->leader_epoch = v->append->leader_epoch;
	b->timestamp_type = (enum timestamp_type)v->config->timestamp_type;
	b->log_append_time_ms = v->now_ms;
}

static int
finish_rebuilt(struct validation *v, struct validated_batch *out)
{
	int st;

	out->bytes = out->rebuilt.data;
	out->len = out->rebuilt.len;
	if (out->len > (size_t)v->config->max_message_bytes)
		return refuse(v, K_MESSAGE_TOO_LARGE,
			      "the batch is larger than max.message.bytes in the topic's form");
	st = record_batch_parse(buf_slice(&out->rebuilt), &out->header);
	if (st != 0)
		return st;
	out->max_timestamp_ms = out->header.max_timestamp;
	if (v->config->timestamp_type == LOG_APPEND_TIME)
		out->log_append_time_ms = v->now_ms;
	return 0;
}

static int
append_records(struct validation *v, const struct record_batch *batch, struct slice payload,
	       struct record_batch_builder *b)
{
	struct record_iter it;
	struct record record;
	int32_t index = 0;

	record_iter_init(&it, payload, batch->record_count);
	while (record_iter_next(&it, &record)) {
		int64_t timestamp_ms = record_timestamp(batch, &record);

		if (check_record(v, index, record.key.data != NULL, timestamp_ms,
				 record_batch_timestamp_type(batch)) &&
		    !any_refused(v))
			record_batch_builder_append_record(b, timestamp_ms, index, &record);
		index++;
	}
	return it.status;
}

static int
rebuild(struct validation *v, const struct record_batch *batch, struct validated_batch *out)
{
	struct record_batch_builder b;
	struct buf scratch = {0};
	struct slice payload;
	int st;

	init_builder(v, &b);
	b.producer_id = batch->producer_id;
	b.producer_epoch = batch->producer_epoch;
	b.base_sequence = batch->base_sequence;
	b.transactional = record_batch_is_transactional(batch);
	b.control = record_batch_is_control(batch);
	v->max_timestamp_ms = NO_TIMESTAMP;
	st = record_batch_payload(batch, v->limit_bytes, &scratch, &payload);
	if (st == 0)
		st = append_records(v, batch, payload, &b);
	if (st != 0)
		st = codec_status(v, st);
	else if (any_refused(v))
		st = refused_records(v);
	if (st == 0)
		st = record_batch_builder_finish(&b, &out->rebuilt);
	record_batch_builder_fini(&b);
	buf_fini(&scratch);
	return st != 0 ? st : finish_rebuilt(v, out);
}

/* ---- magic 2 ---- */

static int
check_batch(struct validation *v, const struct record_batch *batch)
{
	if (v->append->origin != LOG_APPEND_CLIENT)
		return 0;
	if (batch->last_offset_delta < 0 || batch->last_offset_delta == INT32_MAX)
		return refuse(v, K_INVALID_RECORD, "the batch's offset range is not valid");
	if (batch->record_count <= 0)
		return refuse(v, K_INVALID_RECORD, "the batch's record count is not valid");
	if (batch->record_count != batch->last_offset_delta + 1)
		return refuse(v, K_INVALID_RECORD,
			      "the batch's offset range contradicts its record count");
	if (record_batch_is_control(batch))
		return refuse(v, K_INVALID_RECORD, "clients must not write control records");
	if (record_batch_has_producer_id(batch) && batch->base_sequence < 0)
		return refuse(v, K_INVALID_RECORD,
			      "a batch with a producer id must have a base sequence");
	return 0;
}

static int
validate_batch(struct validation *v, uint8_t *bytes, size_t len, struct validated_batch *out)
{
	struct record_batch batch;
	bool in_place;
	int st;

	st = record_batch_parse((struct slice){bytes, len}, &batch);
	if (st != 0)
		return st;
	st = check_batch(v, &batch);
	if (st != 0)
		return st;
	in_place = v->source == v->target ||
		   (v->source == COMPRESSION_NONE && record_batch_is_control(&batch));
	if (in_place) {
		st = walk_in_place(v, &batch, &in_place);
		if (st != 0)
			return st;
	}
	return in_place ? finish_in_place(v, bytes, len, out) : rebuild(v, &batch, out);
}

/* ---- magic 0 and 1 ---- */

static int
check_message(struct validation *v, const struct legacy_message *outer)
{
	struct legacy_message inner;
	struct legacy_iter it;
	int32_t index = 0;
	int st;

	st = legacy_iter_init(&it, outer, v->limit_bytes);
	if (st != 0)
		return codec_status(v, st);
	while (legacy_iter_next(&it, &inner)) {
		(void)check_record(v, index++, inner.key.data != NULL,
				   inner.magic > 0 ? inner.timestamp : NO_TIMESTAMP,
				   legacy_message_timestamp_type(outer));
	}
	st = it.status;
	legacy_iter_fini(&it);
	if (st == K_CORRUPT_MESSAGE)
		return refuse(v, st, "a message inside a compressed one is corrupt");
	if (st != 0)
		return codec_status(v, st);
	return any_refused(v) ? refused_records(v) : 0;
}

static int
convert(struct validation *v, struct slice set, struct validated_batch *out)
{
	struct record_batch_builder b;
	struct slice rest = set;
	int st = 0;

	while (rest.len > 0) {
		struct legacy_message message;

		st = legacy_message_parse(rest, &message);
		if (st == 0)
			st = check_message(v, &message);
		if (st != 0)
			return st;
		rest.data += message.size_bytes;
		rest.len -= message.size_bytes;
	}
	init_builder(v, &b);
	st = legacy_up_convert(set, v->limit_bytes, &b, &out->rebuilt);
	record_batch_builder_fini(&b);
	return st != 0 ? codec_status(v, st) : finish_rebuilt(v, out);
}

/* ---- all of a request's entries ---- */

struct analysis {
	size_t len; /* of whole entries */
	size_t count;
	int8_t magic;
	bool mixed_magic;
};

static int
analyze_entry(struct validation *v, struct slice bytes, const struct record_entry *entry)
{
	bool client = v->append->origin == LOG_APPEND_CLIENT;
	struct legacy_message message;
	struct record_batch batch;

	if (entry->magic >= RECORD_BATCH_MAGIC && client && entry->offset != 0)
		return refuse(v, K_INVALID_RECORD, "the batch's base offset must be 0");
	if (entry->size_bytes > (size_t)v->config->max_message_bytes)
		return refuse(v, K_MESSAGE_TOO_LARGE, "the batch is larger than max.message.bytes");
	if (entry->magic >= RECORD_BATCH_MAGIC) {
		if (record_batch_parse(bytes, &batch) != 0 || record_batch_check_crc(&batch) != 0)
			return K_CORRUPT_MESSAGE;
		if (record_batch_compression(&batch) != COMPRESSION_NONE)
			v->source = record_batch_compression(&batch);
		return 0;
	}
	if (legacy_message_parse(bytes, &message) != 0 || legacy_message_check_crc(&message) != 0)
		return K_CORRUPT_MESSAGE;
	if (legacy_message_compression(&message) != COMPRESSION_NONE)
		v->source = legacy_message_compression(&message);
	return 0;
}

static int
analyze(struct validation *v, struct analysis *ret)
{
	struct slice rest = {v->append->records, v->append->len};
	int st;

	while (rest.len > 0) {
		struct record_entry entry;

		st = record_entry_peek(rest, &entry);
		if (st == -ENODATA || (st == 0 && entry.size_bytes > rest.len))
			break;
		if (st != 0)
			return st;
		st = analyze_entry(v, (struct slice){rest.data, entry.size_bytes}, &entry);
		if (st != 0)
			return st;
		if (ret->count == 0)
			ret->magic = entry.magic;
		else if (entry.magic != ret->magic)
			ret->mixed_magic = true;
		ret->count++;
		rest.data += entry.size_bytes;
		rest.len -= entry.size_bytes;
	}
	ret->len = v->append->len - rest.len;
	return 0;
}

int
log_validate(const struct log_append *append, const struct log_config *config, int64_t now_ms,
	     struct arena *arena, struct validated_batch *ret_batch,
	     struct log_append_refusal *ret_refusal)
{
	size_t limit = (size_t)config->max_message_bytes * DECOMPRESSED_FACTOR;
	struct log_append_refusal unasked = {0};
	struct validation v = {
	    .append = append,
	    .config = config,
	    .arena = arena,
	    .refusal = ret_refusal != NULL ? ret_refusal : &unasked,
	    .now_ms = now_ms,
	    .limit_bytes = limit > DECOMPRESSED_MIN ? limit : DECOMPRESSED_MIN,
	    .max_timestamp_ms = NO_TIMESTAMP,
	    .deltas_in_order = true,
	};
	struct analysis a = {0};
	int st;

	*v.refusal = (struct log_append_refusal){0};
	*ret_batch = (struct validated_batch){.log_append_time_ms = -1};
	st = analyze(&v, &a);
	if (st != 0 || a.count == 0)
		return st;
	if (a.mixed_magic)
		return refuse(&v, K_INVALID_RECORD, "the batches are of different formats");
	if (a.count > 1 && (a.magic >= RECORD_BATCH_MAGIC || v.source != COMPRESSION_NONE))
		return refuse(&v, K_INVALID_RECORD, "there may be one batch only");
	v.target = config->compression == LOG_COMPRESSION_PRODUCER
		       ? v.source
		       : (enum compression)config->compression;
	if (a.magic >= RECORD_BATCH_MAGIC)
		return validate_batch(&v, append->records, a.len, ret_batch);
	return convert(&v, (struct slice){append->records, a.len}, ret_batch);
}

void
validated_batch_fini(struct validated_batch *batch)
{
	buf_fini(&batch->rebuilt);
}
