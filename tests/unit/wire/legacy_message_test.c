#include "wire/legacy_message.h"

#include <errno.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/kerr.h"

#define NO_LIMIT ((size_t)1 << 30)
#define NOW 1700000000000

static struct slice
text(const char *s)
{
	return (struct slice){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

/*
 * Made by hand from the format: the CRC is that of Python's zlib.crc32 over the bytes after it.
 */
#define MAGIC_0 "0000000000000007 00000011 61505427 00 00 00000001 6b 00000002 7631"
#define MAGIC_1                                                                                    \
	"0000000000000007 00000019 3e731674 01 00 0000018bcfe56800 00000001 6b 00000002 7631"

static void
messages_of_both_magics_are_read_and_written_byte_for_byte(void **state)
{
	static const char *const hex[] = {MAGIC_0, MAGIC_1};

	(void)state;
	for (int8_t magic = 0; magic <= 1; magic++) {
		struct legacy_message m;
		struct buf b = {0};
		struct buf out = {0};

		append_hex(&b, hex[magic]);
		assert_int_equal(legacy_message_parse(buf_slice(&b), &m), 0);
		assert_int_equal(legacy_message_check_crc(&m), 0);
		assert_int_equal(m.offset, 7);
		assert_int_equal(m.magic, magic);
		assert_int_equal(m.timestamp, magic == 0 ? -1 : NOW);
		assert_slices_equal(m.key, text("k"));
		assert_slices_equal(m.value, text("v1"));
		assert_int_equal(
		    legacy_message_build(magic, 7, NOW, 0, text("k"), text("v1"), &out), 0);
		assert_slices_equal(buf_slice(&out), buf_slice(&b));
		buf_fini(&b);
		buf_fini(&out);
	}
}

static void
a_changed_byte_is_found_and_a_missing_one_is_missed(void **state)
{
	struct legacy_message m;
	struct buf b = {0};

	(void)state;
	append_hex(&b, MAGIC_1);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(legacy_message_parse((struct slice){b.data, len}, &m), -ENODATA);
	for (size_t i = 17; i < b.len; i++) {
		b.data[i] ^= 1;
		if (legacy_message_parse(buf_slice(&b), &m) == 0)
			assert_int_equal(legacy_message_check_crc(&m), K_CORRUPT_MESSAGE);
		b.data[i] ^= 1;
	}
	put_be32(b.data + 8, 21); /* too small for magic 1 */
	assert_int_equal(legacy_message_parse(buf_slice(&b), &m), K_CORRUPT_MESSAGE);
	put_be32(b.data + 8, 0x19);
	put_be32(b.data + 26, 100); /* a key beyond the message */
	assert_int_equal(legacy_message_parse(buf_slice(&b), &m), K_INVALID_RECORD);
	b.data[16] = 2;
	assert_int_equal(legacy_message_parse(buf_slice(&b), &m), K_CORRUPT_MESSAGE);
	buf_fini(&b);
}

/* Three messages at relative offsets 0, 1, 3, wrapped. */
static void
build_wrapper(int8_t magic, enum compression codec, int64_t offset, int8_t attributes,
	      int8_t inner_attributes, struct buf *out)
{
	struct buf inner = {0};
	struct buf packed = {0};
	static const int64_t relative[] = {0, 1, 3};

	for (int i = 0; i < 3; i++)
		assert_int_equal(legacy_message_build(
				     magic, magic == 0 ? offset - 3 + relative[i] : relative[i],
				     NOW + i, inner_attributes, text("k"), text("value"), &inner),
				 0);
	assert_int_equal(compression_compress(codec, 1, buf_slice(&inner), &packed), 0);
	if (magic == 0 && codec == COMPRESSION_LZ4)
		compression_break_lz4_header_checksum(packed.data);
	assert_int_equal(legacy_message_build(magic, offset, NOW + 50,
					      (int8_t)(attributes | (int8_t)codec), text(NULL),
					      buf_slice(&packed), out),
			 0);
	buf_fini(&inner);
	buf_fini(&packed);
}

static int
open_iter(struct buf *b, struct legacy_iter *it)
{
	struct legacy_message m;

	assert_int_equal(legacy_message_parse(buf_slice(b), &m), 0);
	assert_int_equal(legacy_message_check_crc(&m), 0);
	return legacy_iter_init(it, &m, NO_LIMIT);
}

static void
messages_in_a_wrapper_have_absolute_offsets_and_settled_timestamps(void **state)
{
	static const int64_t offsets[] = {97, 98, 100};

	(void)state;
	for (int8_t magic = 0; magic <= 1; magic++) {
		for (int codec = COMPRESSION_GZIP; codec <= COMPRESSION_LZ4; codec++) {
			struct legacy_message inner;
			struct legacy_iter it;
			struct buf b = {0};

			build_wrapper(magic, (enum compression)codec, 100, 0, 0, &b);
			assert_int_equal(open_iter(&b, &it), 0);
			for (int i = 0; i < 3; i++) {
				assert_true(legacy_iter_next(&it, &inner));
				assert_int_equal(inner.offset, offsets[i]);
				assert_int_equal(inner.timestamp, magic == 0 ? -1 : NOW + i);
				assert_slices_equal(inner.value, text("value"));
			}
			assert_false(legacy_iter_next(&it, &inner));
			assert_int_equal(it.status, 0);
			legacy_iter_fini(&it);
			buf_fini(&b);
		}
	}
}

static void
a_wrapper_with_log_append_time_gives_its_timestamp_to_all(void **state)
{
	struct legacy_message inner;
	struct legacy_iter it;
	struct buf b = {0};

	(void)state;
	build_wrapper(1, COMPRESSION_GZIP, 100, BATCH_LOG_APPEND_TIME, 0, &b);
	assert_int_equal(open_iter(&b, &it), 0);
	while (legacy_iter_next(&it, &inner)) {
		assert_int_equal(inner.timestamp, NOW + 50);
		assert_int_equal(legacy_message_timestamp_type(&inner), LOG_APPEND_TIME);
	}
	assert_int_equal(it.status, 0);
	legacy_iter_fini(&it);
	buf_fini(&b);
}

static void
a_wrapper_at_offset_0_keeps_the_inner_offsets_as_they_are(void **state)
{
	struct legacy_message inner;
	struct legacy_iter it;
	struct buf b = {0};

	(void)state;
	build_wrapper(1, COMPRESSION_SNAPPY, 0, 0, 0, &b);
	assert_int_equal(open_iter(&b, &it), 0);
	assert_true(legacy_iter_next(&it, &inner));
	assert_int_equal(inner.offset, 0);
	legacy_iter_fini(&it);
	buf_fini(&b);
}

static void
wrappers_that_lie_are_refused(void **state)
{
	struct legacy_message m;
	struct legacy_iter it;
	struct buf b = {0};

	(void)state;
	build_wrapper(1, COMPRESSION_GZIP, 2, 0, 0, &b); /* the last inner one is at 3 */
	assert_int_equal(open_iter(&b, &it), K_INVALID_RECORD);
	b.len = 0;
	build_wrapper(1, COMPRESSION_GZIP, 100, 0, 1, &b); /* compressed in compressed */
	assert_int_equal(open_iter(&b, &it), K_INVALID_RECORD);
	b.len = 0; /* zstd did not exist then */
	assert_int_equal(
	    legacy_message_build(1, 0, NOW, COMPRESSION_ZSTD, text(NULL), text("x"), &b), 0);
	assert_int_equal(open_iter(&b, &it), K_INVALID_RECORD);
	b.len = 0; /* nothing inside */
	assert_int_equal(
	    legacy_message_build(1, 0, NOW, COMPRESSION_GZIP, text(NULL), text(NULL), &b), 0);
	assert_int_equal(open_iter(&b, &it), K_INVALID_RECORD);
	b.len = 0; /* no gzip inside */
	assert_int_equal(
	    legacy_message_build(1, 0, NOW, COMPRESSION_GZIP, text(NULL), text("zip"), &b), 0);
	assert_int_equal(open_iter(&b, &it), K_CORRUPT_MESSAGE);
	b.len = 0;
	build_wrapper(1, COMPRESSION_GZIP, 100, 0, 0, &b);
	assert_int_equal(legacy_message_parse(buf_slice(&b), &m), 0);
	assert_int_equal(legacy_iter_init(&it, &m, 10), -EFBIG);
	buf_fini(&b);
}

static void
an_inner_message_with_a_wrong_crc_is_corrupt(void **state)
{
	struct legacy_message inner;
	struct legacy_iter it;
	struct buf messages = {0};
	struct buf packed = {0};
	struct buf b = {0};

	(void)state;
	assert_int_equal(legacy_message_build(1, 0, NOW, 0, text("k"), text("value"), &messages),
			 0);
	messages.data[messages.len - 1] ^= 1;
	assert_int_equal(compression_compress(COMPRESSION_GZIP, 1, buf_slice(&messages), &packed),
			 0);
	assert_int_equal(
	    legacy_message_build(1, 0, NOW, COMPRESSION_GZIP, text(NULL), buf_slice(&packed), &b),
	    0);
	assert_int_equal(open_iter(&b, &it), 0);
	assert_false(legacy_iter_next(&it, &inner));
	assert_int_equal(it.status, K_CORRUPT_MESSAGE);
	legacy_iter_fini(&it);
	buf_fini(&messages);
	buf_fini(&packed);
	buf_fini(&b);
}

/* A batch at offset 1000 of five records with headers. */
static void
build_batch(enum compression codec, int64_t base_timestamp, struct buf *out)
{
	struct record_header h = {{"h", 1}, {(const uint8_t *)"x", 1}};
	struct record_batch_builder b;

	record_batch_builder_init(&b, codec, compression_default_level(codec));
	b.base_offset = 1000;
	for (int i = 0; i < 5; i++)
		record_batch_builder_append(&b, base_timestamp + i, i == 2 ? text(NULL) : text("k"),
					    i == 3 ? text(NULL) : text("value"), &h, 1);
	assert_int_equal(record_batch_builder_finish(&b, out), 0);
	record_batch_builder_fini(&b);
}

static void
a_batch_goes_down_to_messages_and_up_again(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		enum compression codec = (enum compression)(i / 2);
		int8_t magic = (int8_t)(i % 2);
		struct record_batch_builder b;
		struct record_batch batch;
		struct record_iter it;
		struct record record;
		struct slice payload;
		struct buf first = {0};
		struct buf messages = {0};
		struct buf second = {0};
		struct buf scratch = {0};
		int n = 0;

		build_batch(codec, NOW, &first);
		assert_int_equal(record_batch_parse(buf_slice(&first), &batch), 0);
		assert_int_equal(record_batch_down_convert(&batch, magic, 0, NO_LIMIT, &messages),
				 0);
		record_batch_builder_init(&b, codec, compression_default_level(codec));
		b.base_offset = 1000;
		assert_int_equal(legacy_up_convert(buf_slice(&messages), NO_LIMIT, &b, &second), 0);
		assert_int_equal(record_batch_parse(buf_slice(&second), &batch), 0);
		assert_int_equal(record_batch_check_crc(&batch), 0);
		assert_int_equal(record_batch_compression(&batch), codec);
		assert_int_equal(batch.record_count, 5);
		assert_int_equal(batch.max_timestamp, magic == 0 ? -1 : NOW + 4);
		assert_int_equal(record_batch_payload(&batch, NO_LIMIT, &scratch, &payload), 0);
		record_iter_init(&it, payload, batch.record_count);
		while (record_iter_next(&it, &record)) {
			assert_int_equal(record.offset_delta, n);
			assert_int_equal(record_timestamp(&batch, &record),
					 magic == 0 ? -1 : NOW + n);
			assert_int_equal(record.key.data == NULL, n == 2);
			assert_int_equal(record.value.data == NULL, n == 3);
			assert_int_equal(record.header_count, 0);
			n++;
		}
		assert_int_equal(n, 5);
		record_batch_builder_fini(&b);
		buf_fini(&first);
		buf_fini(&messages);
		buf_fini(&second);
		buf_fini(&scratch);
	}
}

static void
a_converted_wrapper_has_its_last_offset_and_largest_timestamp(void **state)
{
	struct record_batch batch;
	struct legacy_message m;
	struct legacy_message inner;
	struct legacy_iter it;
	struct buf first = {0};
	struct buf messages = {0};

	(void)state;
	build_batch(COMPRESSION_GZIP, NOW, &first);
	assert_int_equal(record_batch_parse(buf_slice(&first), &batch), 0);
	assert_int_equal(record_batch_down_convert(&batch, 1, 1003, NO_LIMIT, &messages), 0);
	assert_int_equal(legacy_message_parse(buf_slice(&messages), &m), 0);
	assert_int_equal(m.size_bytes, messages.len);
	assert_int_equal(m.offset, 1004);
	assert_int_equal(m.timestamp, NOW + 4);
	assert_int_equal(legacy_iter_init(&it, &m, NO_LIMIT), 0);
	assert_true(legacy_iter_next(&it, &inner));
	assert_int_equal(inner.offset, 1000);
	legacy_iter_fini(&it);
	buf_fini(&first);
	buf_fini(&messages);
}

static void
records_below_the_wanted_offset_are_left_out_of_a_plain_batch(void **state)
{
	struct record_batch batch;
	struct legacy_message m;
	struct buf first = {0};
	struct buf messages = {0};

	(void)state;
	build_batch(COMPRESSION_NONE, NOW, &first);
	assert_int_equal(record_batch_parse(buf_slice(&first), &batch), 0);
	assert_int_equal(record_batch_down_convert(&batch, 1, 1003, NO_LIMIT, &messages), 0);
	assert_int_equal(legacy_message_parse(buf_slice(&messages), &m), 0);
	assert_int_equal(m.offset, 1003);
	messages.len = 0;
	assert_int_equal(record_batch_down_convert(&batch, 1, 1005, NO_LIMIT, &messages), 0);
	assert_int_equal(messages.len, 0);
	buf_fini(&first);
	buf_fini(&messages);
}

static void
control_batches_are_left_out_and_zstd_cannot_go_down(void **state)
{
	struct end_txn_marker marker = {CONTROL_ABORT, 1};
	struct record_batch batch;
	struct buf first = {0};
	struct buf messages = {0};

	(void)state;
	assert_int_equal(end_txn_marker_build(&marker, 5, 1, NOW, 9, 0, &first), 0);
	assert_int_equal(record_batch_parse(buf_slice(&first), &batch), 0);
	assert_int_equal(record_batch_down_convert(&batch, 1, 0, NO_LIMIT, &messages), 0);
	assert_int_equal(messages.len, 0);
	first.len = 0;
	build_batch(COMPRESSION_ZSTD, NOW, &first);
	assert_int_equal(record_batch_parse(buf_slice(&first), &batch), 0);
	assert_int_equal(record_batch_down_convert(&batch, 1, 0, NO_LIMIT, &messages),
			 K_UNSUPPORTED_COMPRESSION_TYPE);
	assert_int_equal(messages.len, 0);
	buf_fini(&first);
	buf_fini(&messages);
}

static void
a_bad_message_in_a_set_leaves_nothing_behind(void **state)
{
	struct record_batch_builder b;
	struct record_batch batch;
	struct buf set = {0};
	struct buf out = {0};

	(void)state;
	append_hex(&set, MAGIC_1 MAGIC_1);
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	set.data[set.len - 1] ^= 1;
	assert_int_equal(legacy_up_convert(buf_slice(&set), NO_LIMIT, &b, &out), K_CORRUPT_MESSAGE);
	assert_int_equal(out.len, 0);
	set.data[set.len - 1] ^= 1;
	/* The builder can be used again; a cut-off message at the end does not count. */
	assert_int_equal(
	    legacy_up_convert((struct slice){set.data, set.len - 1}, NO_LIMIT, &b, &out), 0);
	assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
	assert_int_equal(batch.record_count, 1);
	record_batch_builder_fini(&b);
	buf_fini(&set);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_of_both_magics_are_read_and_written_byte_for_byte),
	    cmocka_unit_test(a_changed_byte_is_found_and_a_missing_one_is_missed),
	    cmocka_unit_test(messages_in_a_wrapper_have_absolute_offsets_and_settled_timestamps),
	    cmocka_unit_test(a_wrapper_with_log_append_time_gives_its_timestamp_to_all),
	    cmocka_unit_test(a_wrapper_at_offset_0_keeps_the_inner_offsets_as_they_are),
	    cmocka_unit_test(wrappers_that_lie_are_refused),
	    cmocka_unit_test(an_inner_message_with_a_wrong_crc_is_corrupt),
	    cmocka_unit_test(a_batch_goes_down_to_messages_and_up_again),
	    cmocka_unit_test(a_converted_wrapper_has_its_last_offset_and_largest_timestamp),
	    cmocka_unit_test(records_below_the_wanted_offset_are_left_out_of_a_plain_batch),
	    cmocka_unit_test(control_batches_are_left_out_and_zstd_cannot_go_down),
	    cmocka_unit_test(a_bad_message_in_a_set_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
