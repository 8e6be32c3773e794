#include "wire/record_batch.h"

#include <errno.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/crc32c.h"
#include "wire/kerr.h"
#include "wire/record_batch_builder.h"

#define NO_LIMIT ((size_t)1 << 30)
#define NOW 1700000000000

/* storage-format, section 21: written by Kafka's own classes. */
#define CLIENT_BATCH                                                                               \
	"0000000000000000 00000049 ffffffff 02 f1759baf 0000 00000001 0000018bcfe56800 "           \
	"0000018bcfe56805 ffffffffffffffff ffff ffffffff 00000002 "                                \
	"1c 00 00 00 04 6b31 04 7631 02 02 68 02 78 10 00 0a 02 04 6b32 01 00"
#define TRANSACTIONAL_BATCH                                                                        \
	"0000000000000064 0000003c 00000005 02 708fee67 0010 00000000 0000018bcfe56800 "           \
	"0000018bcfe56800 0000000000000fa0 0003 00000007 00000001 "                                \
	"14 00 00 00 04 6b31 04 7631 00"
#define COMMIT_MARKER                                                                              \
	"0000000000000065 00000042 00000005 02 881496e7 0030 00000000 0000018bcfe56864 "           \
	"0000018bcfe56864 0000000000000fa0 0003 ffffffff 00000001 "                                \
	"20 00 00 00 08 0000 0001 0c 0000 00000009 00"
#define EMPTY_BATCH                                                                                \
	"0000000000000064 00000031 00000005 02 61ba8c47 0010 00000000 ffffffffffffffff "           \
	"0000018bcfe56800 0000000000000fa0 0003 00000007 00000000"
#define TOMBSTONE_BATCH                                                                            \
	"0000000000000032 0000003d 00000005 02 817756ee 0040 00000000 0000018bd50bc400 "           \
	"0000018bcfe56800 ffffffffffffffff ffff ffffffff 00000001 "                                \
	"16 00 ffefb252 00 04 6b32 01 00"

static struct slice
text(const char *s)
{
	return (struct slice){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

static void
parse_hex(const char *hex, struct buf *b, struct record_batch *batch)
{
	append_hex(b, hex);
	assert_int_equal(record_batch_parse(buf_slice(b), batch), 0);
	assert_int_equal(record_batch_check_crc(batch), 0);
}

static void
kafkas_client_batch_is_read_field_by_field(void **state)
{
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct slice headers;
	struct slice value;
	struct str key;
	struct buf b = {0};

	(void)state;
	parse_hex(CLIENT_BATCH, &b, &batch);
	assert_int_equal(batch.base_offset, 0);
	assert_int_equal(batch.size_bytes, b.len);
	assert_int_equal(batch.leader_epoch, -1);
	assert_int_equal(batch.crc, 0xf1759baf);
	assert_int_equal(batch.attributes, 0);
	assert_int_equal(record_batch_last_offset(&batch), 1);
	assert_int_equal(batch.base_timestamp, NOW);
	assert_int_equal(batch.max_timestamp, NOW + 5);
	assert_false(record_batch_has_producer_id(&batch));
	assert_int_equal(record_batch_last_sequence(&batch), NO_SEQUENCE);
	record_iter_init(&it, batch.payload, batch.record_count);
	assert_true(record_iter_next(&it, &record));
	assert_slices_equal(record.key, text("k1"));
	assert_slices_equal(record.value, text("v1"));
	assert_int_equal(record.header_count, 1);
	headers = record.headers;
	assert_true(record_header_next(&headers, &key, &value));
	assert_true(str_equal(key, str_of("h")));
	assert_slices_equal(value, text("x"));
	assert_false(record_header_next(&headers, &key, &value));
	assert_true(record_iter_next(&it, &record));
	assert_int_equal(record.offset_delta, 1);
	assert_int_equal(record_timestamp(&batch, &record), NOW + 5);
	assert_null(record.value.data);
	assert_false(record_iter_next(&it, &record));
	assert_int_equal(it.status, 0);
	buf_fini(&b);
}

static void
the_builder_writes_what_kafka_writes(void **state)
{
	struct record_header h = {{"h", 1}, {(const uint8_t *)"x", 1}};
	struct record_batch_builder b;
	struct buf out = {0};
	struct buf want = {0};

	(void)state;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	record_batch_builder_append(&b, NOW, text("k1"), text("v1"), &h, 1);
	record_batch_builder_append(&b, NOW + 5, text("k2"), text(NULL), NULL, 0);
	assert_int_equal(record_batch_builder_finish(&b, &out), 0);
	append_hex(&want, CLIENT_BATCH);
	assert_slices_equal(buf_slice(&out), buf_slice(&want));

	out.len = want.len = 0;
	b.base_offset = 100;
	b.leader_epoch = 5;
	b.producer_id = 4000;
	b.producer_epoch = 3;
	b.base_sequence = 7;
	b.transactional = true;
	record_batch_builder_append(&b, NOW, text("k1"), text("v1"), NULL, 0);
	assert_int_equal(record_batch_builder_size(&b), 72);
	assert_int_equal(record_batch_builder_finish(&b, &out), 0);
	append_hex(&want, TRANSACTIONAL_BATCH);
	assert_slices_equal(buf_slice(&out), buf_slice(&want));
	assert_int_equal(b.base_offset, 101);
	record_batch_builder_fini(&b);
	buf_fini(&out);
	buf_fini(&want);
}

static void
a_tombstones_timestamp_counts_from_the_delete_horizon(void **state)
{
	struct record_batch_builder b;
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct buf bytes = {0};
	struct buf out = {0};

	(void)state;
	parse_hex(TOMBSTONE_BATCH, &bytes, &batch);
	record_iter_init(&it, batch.payload, batch.record_count);
	assert_true(record_iter_next(&it, &record));
	assert_int_equal(record_timestamp(&batch, &record), NOW);

	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	b.base_offset = 50;
	b.leader_epoch = 5;
	b.delete_horizon_ms = NOW + 86400000;
	record_batch_builder_append_record(&b, NOW, 0, &record);
	assert_int_equal(record_batch_builder_finish(&b, &out), 0);
	assert_slices_equal(buf_slice(&out), buf_slice(&bytes));
	record_batch_builder_fini(&b);
	buf_fini(&bytes);
	buf_fini(&out);
}

static void
a_batch_that_lost_all_records_keeps_its_header(void **state)
{
	struct record_batch batch;
	struct buf bytes = {0};
	struct buf out = {0};
	struct buf want = {0};
	struct slice payload;
	struct buf scratch = {0};
	struct record_iter it;
	struct record record;

	(void)state;
	parse_hex(TRANSACTIONAL_BATCH, &bytes, &batch);
	assert_int_equal(record_batch_build_empty(&batch, &out), 0);
	append_hex(&want, EMPTY_BATCH);
	assert_slices_equal(buf_slice(&out), buf_slice(&want));
	assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
	assert_int_equal(record_batch_payload(&batch, NO_LIMIT, &scratch, &payload), 0);
	record_iter_init(&it, payload, batch.record_count);
	assert_false(record_iter_next(&it, &record));
	assert_int_equal(it.status, 0);
	buf_fini(&bytes);
	buf_fini(&out);
	buf_fini(&want);
}

static void
markers_are_written_and_read_as_kafka_does(void **state)
{
	struct end_txn_marker marker = {CONTROL_COMMIT, 9};
	struct end_txn_marker read;
	struct record_batch batch;
	struct buf out = {0};
	struct buf want = {0};

	(void)state;
	assert_int_equal(end_txn_marker_build(&marker, 101, 5, NOW + 100, 4000, 3, &out), 0);
	append_hex(&want, COMMIT_MARKER);
	assert_slices_equal(buf_slice(&out), buf_slice(&want));
	assert_int_equal(record_batch_parse(buf_slice(&want), &batch), 0);
	assert_int_equal(end_txn_marker_read(&batch, &read), 0);
	assert_int_equal(read.type, CONTROL_COMMIT);
	assert_int_equal(read.coordinator_epoch, 9);
	/* An ordinary batch holds no marker, nor does a control record of another type. */
	want.data[21 + 1] &= (uint8_t)~BATCH_CONTROL;
	assert_int_equal(record_batch_parse(buf_slice(&want), &batch), 0);
	assert_int_equal(end_txn_marker_read(&batch, &read), K_INVALID_RECORD);
	want.data[21 + 1] |= BATCH_CONTROL;
	want.data[61 + 8] = CONTROL_LEADER_CHANGE;
	assert_int_equal(record_batch_parse(buf_slice(&want), &batch), 0);
	assert_int_equal(end_txn_marker_read(&batch, &read), K_INVALID_RECORD);
	buf_fini(&out);
	buf_fini(&want);
}

static void
a_leader_sets_offset_and_epoch_without_touching_the_crc(void **state)
{
	struct record_batch batch;
	struct buf b = {0};

	(void)state;
	parse_hex(CLIENT_BATCH, &b, &batch);
	record_batch_set_base_offset(b.data, 1234567890123);
	record_batch_set_leader_epoch(b.data, 42);
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), 0);
	assert_int_equal(record_batch_check_crc(&batch), 0);
	assert_int_equal(batch.base_offset, 1234567890123);
	assert_int_equal(batch.leader_epoch, 42);
	assert_int_equal(batch.crc, 0xf1759baf);
	buf_fini(&b);
}

static void
setting_the_max_timestamp_computes_the_crc_anew(void **state)
{
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct buf b = {0};

	(void)state;
	parse_hex(CLIENT_BATCH, &b, &batch);
	record_batch_set_max_timestamp(b.data, b.len, CREATE_TIME, NOW + 5);
	assert_int_equal(get_be32(b.data + 17), 0xf1759baf); /* nothing changed */
	record_batch_set_max_timestamp(b.data, b.len, LOG_APPEND_TIME, NOW + 777);
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), 0);
	assert_int_equal(record_batch_check_crc(&batch), 0);
	assert_int_equal(record_batch_timestamp_type(&batch), LOG_APPEND_TIME);
	assert_int_equal(batch.base_timestamp, NOW);
	record_iter_init(&it, batch.payload, batch.record_count);
	assert_true(record_iter_next(&it, &record));
	assert_int_equal(record_timestamp(&batch, &record), NOW + 777);
	record_batch_set_max_timestamp(b.data, b.len, CREATE_TIME, NOW + 5);
	assert_int_equal(get_be32(b.data + 17), 0xf1759baf); /* as it was */
	buf_fini(&b);
}

static void
a_changed_byte_after_the_crc_is_found(void **state)
{
	struct record_batch batch;
	struct buf b = {0};

	(void)state;
	append_hex(&b, CLIENT_BATCH);
	for (size_t i = 21; i < b.len; i++) {
		b.data[i] ^= 0x10;
		if (record_batch_parse(buf_slice(&b), &batch) == 0)
			assert_int_equal(record_batch_check_crc(&batch), K_CORRUPT_MESSAGE);
		b.data[i] ^= 0x10;
	}
	buf_fini(&b);
}

static void
too_short_is_told_from_corrupt(void **state)
{
	struct record_entry entry;
	struct record_batch batch;
	struct buf b = {0};

	(void)state;
	append_hex(&b, CLIENT_BATCH);
	for (size_t len = 0; len < b.len; len++) {
		struct slice part = {b.data, len};

		assert_int_equal(record_batch_parse(part, &batch), -ENODATA);
		assert_int_equal(record_entry_peek(part, &entry), len < 17 ? -ENODATA : 0);
	}
	assert_int_equal(entry.size_bytes, b.len);
	assert_int_equal(entry.magic, 2);
	put_be32(b.data + 8, 48); /* one byte less than a header */
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), K_CORRUPT_MESSAGE);
	put_be32(b.data + 8, 13);
	assert_int_equal(record_entry_peek(buf_slice(&b), &entry), K_CORRUPT_MESSAGE);
	put_be32(b.data + 8, 0x80000000u);
	assert_int_equal(record_entry_peek(buf_slice(&b), &entry), K_CORRUPT_MESSAGE);
	put_be32(b.data + 8, 0x49);
	b.data[16] = 3;
	assert_int_equal(record_entry_peek(buf_slice(&b), &entry), K_CORRUPT_MESSAGE);
	b.data[16] = 1; /* legacy: peeked at, but no batch */
	assert_int_equal(record_entry_peek(buf_slice(&b), &entry), 0);
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), K_CORRUPT_MESSAGE);
	buf_fini(&b);
}

static void
sequences_wrap_from_the_largest_int_to_zero(void **state)
{
	(void)state;
	assert_int_equal(sequence_add(5, 3), 8);
	assert_int_equal(sequence_add(INT32_MAX, 0), INT32_MAX);
	assert_int_equal(sequence_add(INT32_MAX, 1), 0);
	assert_int_equal(sequence_add(INT32_MAX - 1, 5), 3);
}

struct walked {
	int32_t count;
	int32_t without_key;
	int64_t timestamp_sum;
	int32_t stop_at;
};

static int
note(void *arg, const struct record_facts *facts)
{
	struct walked *w = arg;

	if (facts->index == w->stop_at)
		return K_INVALID_TIMESTAMP;
	assert_int_equal(facts->index, w->count);
	assert_int_equal(facts->offset_delta, w->count);
	w->count++;
	w->without_key += facts->has_key ? 0 : 1;
	w->timestamp_sum += facts->timestamp_delta;
	return 0;
}

static int
count_only(void *arg, const struct record_facts *facts)
{
	int *seen = arg;

	(void)facts;
	(*seen)++;
	return 0;
}

static int
iterate(const struct record_batch *batch)
{
	struct buf scratch = {0};
	struct slice payload;
	struct record_iter it;
	struct record record;
	int st;

	st = record_batch_payload(batch, NO_LIMIT, &scratch, &payload);
	if (st == 0) {
		record_iter_init(&it, payload, batch->record_count);
		while (record_iter_next(&it, &record))
			;
		st = it.status;
	}
	buf_fini(&scratch);
	return st;
}

/* Both ways of reading a payload, which must agree. Returns the status of both. */
static int
read_both_ways(const struct record_batch *batch, struct walked *w)
{
	int st = iterate(batch);
	int walk_st;

	*w = (struct walked){.stop_at = -1};
	walk_st = record_batch_walk(batch, NO_LIMIT, note, w);
	/* Corrupt bytes may come after a malformed record. */
	if (st != K_CORRUPT_MESSAGE)
		assert_int_equal(walk_st, st);
	else
		assert_int_not_equal(walk_st, 0);
	return st;
}

/* Sizes around the walk's window of 128 KiB and what it shows of it. */
static void
records_of_any_size_are_walked_in_every_codec(void **state)
{
	static const size_t sizes[] = {0, 10, 1000, 65500, 65536, 70000, 131072, 140000, 500000};
	uint64_t seed = test_seed();
	uint8_t *bytes = malloc(500000);

	(void)state;
	for (size_t i = 0; i < 500000; i++)
		bytes[i] = (uint8_t)("klam"[random_below(&seed, 4)]);
	for (int codec = 0; codec < COMPRESSION_COUNT * 20; codec++) {
		struct record_batch_builder b;
		struct record_batch batch;
		struct walked w;
		struct buf out = {0};
		int64_t sum = 0;
		int32_t without_key = 0;
		int32_t count = 1 + (int32_t)random_below(&seed, 12);

		record_batch_builder_init(&b, (enum compression)(codec % COMPRESSION_COUNT), 1);
		for (int32_t i = 0; i < count; i++) {
			size_t len = sizes[random_below(&seed, ARRAY_LEN(sizes))];
			struct record_header h[2] = {{{"one", 3}, {bytes, len / 2}},
						     {{"two", 3}, {NULL, 0}}};
			bool no_key = random_below(&seed, 3) == 0;
			int64_t ts = NOW + (int64_t)random_below(&seed, 1000);

			record_batch_builder_append(
			    &b, i == 0 ? NOW : ts,
			    no_key ? text(NULL) : (struct slice){bytes, len / 3},
			    (struct slice){bytes, len}, h, (int32_t)random_below(&seed, 3));
			sum += i == 0 ? 0 : ts - NOW;
			without_key += no_key ? 1 : 0;
		}
		assert_int_equal(record_batch_builder_finish(&b, &out), 0);
		assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
		assert_int_equal(read_both_ways(&batch, &w), 0);
		assert_int_equal(w.count, count);
		assert_int_equal(w.without_key, without_key);
		assert_int_equal(w.timestamp_sum, sum);
		w = (struct walked){.stop_at = count - 1};
		assert_int_equal(record_batch_walk(&batch, NO_LIMIT, note, &w),
				 K_INVALID_TIMESTAMP);
		record_batch_builder_fini(&b);
		buf_fini(&out);
	}
	free(bytes);
}

/* A batch around a payload given as is. */
static void
wrap_payload(enum compression codec, int32_t record_count, struct slice payload, struct buf *out,
	     struct record_batch *batch)
{
	struct record_batch_builder b;

	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	assert_int_equal(record_batch_builder_finish(&b, out), 0);
	record_batch_builder_fini(&b);
	assert_int_equal(compression_compress(codec, 1, payload, out), 0);
	put_be32(out->data + 8, (uint32_t)(out->len - LOG_OVERHEAD));
	put_be16(out->data + 21, (uint16_t)codec);
	put_be32(out->data + 57, (uint32_t)record_count);
	put_be32(out->data + 17, crc32c(0, out->data + 21, out->len - 21));
	assert_int_equal(record_batch_parse(buf_slice(out), batch), 0);
}

static void
malformed_records_are_invalid_in_every_codec_and_both_ways(void **state)
{
	static const struct {
		int32_t count;
		const char *records;
	} bad[] = {
	    {1, ""},                     /* no record where there should be one */
	    {2, "0c 00 00 00 01 01 00"}, /* fewer records than the count */
	    {1, "0c 00 00 00 01 01 00 0c 00 00 00 01 01 00"}, /* more */
	    {1, "0c 00 00 00 01 01 00 00"},                   /* a byte after the last */
	    {1, "0e 00 00 00 01 01 00 00"},                   /* a length one too large */
	    {1, "0a 00 00 00 01 01 00"},                      /* one too small */
	    {1, "01 00 00 00 01 01 00"},                      /* a length of -1 */
	    {1, "00"},                                        /* a length of 0 */
	    {1, "0c 00 00 00 14 01 00"},                      /* a key longer than the record */
	    {1, "0c 00 00 00 01 14 00"},                      /* a value longer than the record */
	    {1, "0c 00 00 00 01 01 01"},                      /* -1 headers */
	    {1, "0c 00 00 00 01 01 02"},                      /* a header that is not there */
	    {1, "10 00 00 00 01 01 02 01 00"},                /* a header without key */
	    {1, "10 00 00 00 01 01 02 08 00"},                /* its key too long */
	    {1, "10 00 00 00 01 01 02 00 04"},                /* its value too long */
	    {1, "ffffffff0f 00 00 00 01 01 00"},              /* a huge negative length */
	    {1, "feffffff0f 00 00 00 01 01 00"},              /* a huge length */
	    {1, "808080808000 00 00 00 01 01 00"},            /* a varint of six bytes */
	    {-1, ""},                                         /* a count below zero */
	    {INT32_MAX, "0c 00 00 00 01 01 00"},              /* a count beyond all reason */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad) * COMPRESSION_COUNT; i++) {
		const char *hex = bad[i / COMPRESSION_COUNT].records;
		struct record_batch batch;
		struct walked w;
		struct buf payload = {0};
		struct buf out = {0};

		append_hex(&payload, hex);
		wrap_payload((enum compression)(i % COMPRESSION_COUNT),
			     bad[i / COMPRESSION_COUNT].count, buf_slice(&payload), &out, &batch);
		assert_int_equal(read_both_ways(&batch, &w), K_INVALID_RECORD);
		buf_fini(&payload);
		buf_fini(&out);
	}
}

/* Kafka reads any length below zero as null. */
static void
a_negative_length_of_key_or_value_is_null(void **state)
{
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct walked w;
	struct buf payload = {0};
	struct buf out = {0};

	(void)state;
	append_hex(&payload, "0c 00 00 00 03 09 00");
	wrap_payload(COMPRESSION_NONE, 1, buf_slice(&payload), &out, &batch);
	assert_int_equal(read_both_ways(&batch, &w), 0);
	assert_int_equal(w.without_key, 1);
	record_iter_init(&it, batch.payload, 1);
	assert_true(record_iter_next(&it, &record));
	assert_null(record.key.data);
	assert_null(record.value.data);
	buf_fini(&payload);
	buf_fini(&out);
}

static void
damaged_payloads_end_in_an_error_never_elsewhere(void **state)
{
	uint64_t seed = test_seed();

	(void)state;
	for (int i = 0; i < 4000; i++) {
		enum compression codec = (enum compression)(i % COMPRESSION_COUNT);
		struct record_batch_builder b;
		struct record_batch batch;
		struct buf out = {0};
		uint8_t *copy;
		int seen;
		int st;

		record_batch_builder_init(&b, codec, 1);
		for (int k = 0; k < 5; k++)
			record_batch_builder_append(&b, NOW, text("key"), text("value value value"),
						    NULL, 0);
		assert_int_equal(record_batch_builder_finish(&b, &out), 0);
		for (uint64_t n = 1 + random_below(&seed, 3); n > 0; n--)
			out.data[61 + random_below(&seed, out.len - 61)] =
			    (uint8_t)next_random(&seed);
		copy = malloc(out.len); /* of exactly this size, for a sanitizer to watch */
		memcpy(copy, out.data, out.len);
		assert_int_equal(record_batch_parse((struct slice){copy, out.len}, &batch), 0);
		seen = 0;
		st = record_batch_walk(&batch, NO_LIMIT, count_only, &seen);
		assert_true(st == 0 || st == K_INVALID_RECORD || st == K_CORRUPT_MESSAGE ||
			    st == -EFBIG);
		assert_true(seen <= 5);
		/* Damage may lie in a key or a value, or change nothing; both ways agree on that.
		 */
		assert_int_equal(st == 0, iterate(&batch) == 0);
		free(copy);
		record_batch_builder_fini(&b);
		buf_fini(&out);
	}
}

static void
a_bomb_is_walked_to_its_limit_only(void **state)
{
	size_t len = (size_t)64 << 20;
	uint8_t *zeros = calloc(1, len);

	(void)state;
	for (int codec = COMPRESSION_GZIP; codec <= COMPRESSION_ZSTD; codec++) {
		struct record_batch_builder b;
		struct record_batch batch;
		struct walked w = {.stop_at = -1};
		struct buf out = {0};

		record_batch_builder_init(&b, (enum compression)codec, 1);
		record_batch_builder_append(&b, NOW, text("k"), (struct slice){zeros, len}, NULL,
					    0);
		assert_int_equal(record_batch_builder_finish(&b, &out), 0);
		assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
		assert_int_equal(record_batch_walk(&batch, 1 << 20, note, &w), -EFBIG);
		assert_int_equal(record_batch_walk(&batch, len + 100, note, &w), 0);
		record_batch_builder_fini(&b);
		buf_fini(&out);
	}
	free(zeros);
}

static void
log_append_time_of_a_rebuilt_batch_is_its_max_timestamp(void **state)
{
	struct record_batch_builder b;
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct buf out = {0};

	(void)state;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	b.timestamp_type = LOG_APPEND_TIME;
	b.log_append_time_ms = NOW + 9;
	record_batch_builder_append(&b, NOW, text("k"), text("v"), NULL, 0);
	assert_int_equal(record_batch_builder_finish(&b, &out), 0);
	assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
	assert_int_equal(batch.max_timestamp, NOW + 9);
	assert_int_equal(batch.base_timestamp, NOW);
	record_iter_init(&it, batch.payload, 1);
	assert_true(record_iter_next(&it, &record));
	assert_int_equal(record_timestamp(&batch, &record), NOW + 9);
	record_batch_builder_fini(&b);
	buf_fini(&out);
}

static void
a_record_too_large_for_the_format_is_refused_by_the_finish(void **state)
{
	struct record_batch_builder b;
	struct buf out = {0};

	(void)state;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	record_batch_builder_append(
	    &b, NOW, text("k"), (struct slice){(const uint8_t *)"", (size_t)INT32_MAX}, NULL, 0);
	assert_int_equal(record_batch_builder_finish(&b, &out), K_MESSAGE_TOO_LARGE);
	assert_int_equal(out.len, 0);
	record_batch_builder_append(&b, NOW, text("k"), text("v"), NULL, 0);
	assert_int_equal(record_batch_builder_finish(&b, &out), 0); /* usable again */
	record_batch_builder_fini(&b);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(kafkas_client_batch_is_read_field_by_field),
	    cmocka_unit_test(the_builder_writes_what_kafka_writes),
	    cmocka_unit_test(a_tombstones_timestamp_counts_from_the_delete_horizon),
	    cmocka_unit_test(a_batch_that_lost_all_records_keeps_its_header),
	    cmocka_unit_test(markers_are_written_and_read_as_kafka_does),
	    cmocka_unit_test(a_leader_sets_offset_and_epoch_without_touching_the_crc),
	    cmocka_unit_test(setting_the_max_timestamp_computes_the_crc_anew),
	    cmocka_unit_test(a_changed_byte_after_the_crc_is_found),
	    cmocka_unit_test(too_short_is_told_from_corrupt),
	    cmocka_unit_test(sequences_wrap_from_the_largest_int_to_zero),
	    cmocka_unit_test(records_of_any_size_are_walked_in_every_codec),
	    cmocka_unit_test(malformed_records_are_invalid_in_every_codec_and_both_ways),
	    cmocka_unit_test(a_negative_length_of_key_or_value_is_null),
	    cmocka_unit_test(damaged_payloads_end_in_an_error_never_elsewhere),
	    cmocka_unit_test(a_bomb_is_walked_to_its_limit_only),
	    cmocka_unit_test(log_append_time_of_a_rebuilt_batch_is_its_max_timestamp),
	    cmocka_unit_test(a_record_too_large_for_the_format_is_refused_by_the_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
