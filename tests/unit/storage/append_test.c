/* What a leader takes and refuses: storage-format, sections 6.1 and 6.4. */
#include <errno.h>
#include <unistd.h>

#include "storage/batch_scan.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/crc32c.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"

#define NOW 1700000000000

static struct slice
text(const char *s)
{
	return (struct slice){(const uint8_t *)s, strlen(s)};
}

/* Puts the right CRC into a batch that was tampered with. */
static void
seal_crc(struct buf *b)
{
	put_be32(b->data + 17, crc32c(0, b->data + 21, b->len - 21));
}

static int
append(struct log *log, struct buf *b)
{
	return append_bytes(log, b, LOG_APPEND_CLIENT, NULL, NULL);
}

/* The only batch of the log, parsed. */
static void
read_batch(struct log *log, struct buf *bytes, struct record_batch *ret)
{
	read_all(log, 0, LOG_READ_LOG_END, bytes);
	assert_int_equal(record_batch_parse(buf_slice(bytes), ret), 0);
	assert_int_equal(record_batch_check_crc(ret), 0);
}

static void
kafkas_own_batch_is_stored_byte_for_byte(void **state)
{
	/* storage-format, section 21, as a client sends it. */
	static const uint8_t sent[] = {
	    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x49, 0xff,
	    0xff, 0xff, 0xff, 2,    0xf1, 0x75, 0x9b, 0xaf, 0,    0,    0,    0,    0,
	    1,    0,    0,    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0,    0,    0,    0x01, 0x8b,
	    0xcf, 0xe5, 0x68, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff, 0xff, 0xff, 0,    0,    0,    2,    0x1c, 0,    0,    0,
	    4,    0x6b, 0x31, 4,    0x76, 0x31, 2,    2,    0x68, 2,    0x78, 0x10, 0,
	    0x0a, 2,    4,    0x6b, 0x32, 1,    0};
	struct storage *s = *state;
	struct buf b = {0}, got = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 3);
	assert_int_equal(log_truncate_fully_and_start_at(log, 100), 0);
	buf_append(&b, sent, sizeof(sent));
	assert_int_equal(append(log, &b), 0);
	storage_read_file(s, "orders-0/00000000000000000100.log", &got);
	assert_int_equal(got.len, sizeof(sent));
	/* Only the base offset and the leader epoch are the leader's. */
	assert_int_equal(get_be64(got.data), 100);
	assert_int_equal(get_be32(got.data + 12), 0);
	assert_memory_equal(got.data + 8, sent + 8, 4);
	assert_memory_equal(got.data + 16, sent + 16, sizeof(sent) - 16);
	buf_fini(&b);
	buf_fini(&got);
	log_put(log);
}

static void
a_corrupt_batch_is_refused_wherever_it_is_corrupt(void **state)
{
	const struct batch_spec spec = {.count = 2, .timestamp_ms = NOW};
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	for (size_t i = 16; i < b.len; i++) {
		int st;

		b.data[i] ^= 0x40;
		st = append(log, &b);
		assert_int_equal(st, K_CORRUPT_MESSAGE);
		b.data[i] ^= 0x40;
	}
	/* A length too small for anything. */
	put_be32(b.data + 8, 13);
	assert_int_equal(append(log, &b), K_CORRUPT_MESSAGE);
	assert_int_equal(log_end_offset(log), 0);
	buf_fini(&b);
	log_put(log);
}

static void
a_part_of_a_batch_is_no_batch(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct log_append_result result;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	b.len--;
	assert_int_equal(append_bytes(log, &b, LOG_APPEND_CLIENT, &result, NULL), 0);
	assert_int_equal(result.first_offset, -1);
	b.len = 0;
	assert_int_equal(append_bytes(log, &b, LOG_APPEND_CLIENT, &result, NULL), 0);
	assert_int_equal(log_end_offset(log), 0);
	buf_fini(&b);
	log_put(log);
}

static void
false_counts_and_offsets_are_refused(void **state)
{
	const struct batch_spec spec = {.count = 3, .timestamp_ms = NOW};
	static const struct {
		size_t pos;
		uint32_t value;
		int st;
	} cases[] = {
	    {23, 3, K_INVALID_RECORD}, /* last offset delta */
	    {23, (uint32_t)-1, K_INVALID_RECORD},
	    {57, 0, K_INVALID_RECORD}, /* record count */
	    {57, (uint32_t)-1, K_INVALID_RECORD},
	    {57, 2, K_INVALID_RECORD},
	    {57, INT32_MAX, K_INVALID_RECORD},
	    {4, 1, K_INVALID_RECORD}, /* base offset */
	};
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		b.len = 0;
		build_batch(&spec, &b);
		put_be32(b.data + cases[i].pos, cases[i].value);
		seal_crc(&b);
		assert_int_equal(append(log, &b), cases[i].st);
	}
	/* Both counts agree with each other, but not with the records. */
	for (uint32_t count = 2; count <= 4; count += 2) {
		b.len = 0;
		build_batch(&spec, &b);
		put_be32(b.data + 57, count);
		put_be32(b.data + 23, count - 1);
		seal_crc(&b);
		assert_int_equal(append(log, &b), K_INVALID_RECORD);
	}
	assert_int_equal(log_end_offset(log), 0);
	buf_fini(&b);
	log_put(log);
}

static void
flags_that_a_client_must_not_set_are_refused(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW, .producer_id = 5, .base_sequence = -1};
	const struct batch_spec plain = {.timestamp_ms = NOW};
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	assert_int_equal(append(log, &b), K_INVALID_RECORD);
	b.len = 0;
	build_batch(&plain, &b);
	b.data[22] |= BATCH_CONTROL;
	seal_crc(&b);
	assert_int_equal(append(log, &b), K_INVALID_RECORD);
	/* Two batches at once. */
	b.len = 0;
	build_batch(&plain, &b);
	build_batch(&plain, &b);
	assert_int_equal(append(log, &b), K_INVALID_RECORD);
	assert_int_equal(log_end_offset(log), 0);
	buf_fini(&b);
	log_put(log);
}

static void
sizes_are_bounded_before_and_after_recompression(void **state)
{
	struct batch_spec spec = {.timestamp_ms = NOW, .value_bytes = 5000};
	struct storage *s = *state;
	struct log *log;

	s->config.max_message_bytes = 4000;
	s->config.segment_bytes = 3000;
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(append_batch(log, &spec, NULL), K_MESSAGE_TOO_LARGE);
	spec.value_bytes = 3500;
	assert_int_equal(append_batch(log, &spec, NULL), K_RECORD_LIST_TOO_LARGE);
	spec.value_bytes = 2800;
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	/* Small as it comes, too large as the topic wants it. */
	s->config.compression = COMPRESSION_NONE;
	log_configure(log, &s->config);
	spec.value_bytes = 100000;
	spec.codec = COMPRESSION_ZSTD;
	assert_int_equal(append_batch(log, &spec, NULL), K_MESSAGE_TOO_LARGE);
	assert_int_equal(log_end_offset(log), 1);
	log_put(log);
}

static void
every_codec_is_kept_or_changed_as_the_topic_says(void **state)
{
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	for (int target = LOG_COMPRESSION_PRODUCER; target < COMPRESSION_COUNT; target++) {
		s->config.compression = (int8_t)target;
		log_configure(log, &s->config);
		for (int source = 0; source < COMPRESSION_COUNT; source++) {
			const struct batch_spec spec = {
			    .count = 20, .timestamp_ms = NOW, .codec = (enum compression)source};
			struct buf bytes = {0}, scratch = {0};
			struct record_batch batch;
			struct record_iter it;
			struct record record;
			struct slice payload;
			int n = 0;

			assert_int_equal(log_truncate_fully_and_start_at(log, 0), 0);
			assert_int_equal(append_batch(log, &spec, NULL), 0);
			read_batch(log, &bytes, &batch);
			assert_int_equal(record_batch_compression(&batch),
					 target == LOG_COMPRESSION_PRODUCER ? source : target);
			assert_int_equal(batch.record_count, 20);
			assert_int_equal(batch.last_offset_delta, 19);
			assert_int_equal(batch.max_timestamp, NOW + 19);
			assert_int_equal(record_batch_payload(&batch, 1 << 20, &scratch, &payload),
					 0);
			record_iter_init(&it, payload, batch.record_count);
			while (record_iter_next(&it, &record)) {
				char key[16];

				snprintf(key, sizeof(key), "k%d", n);
				assert_true(slice_equal(record.key, text(key)));
				assert_int_equal(record.offset_delta, n);
				assert_int_equal(record_timestamp(&batch, &record), NOW + n);
				n++;
			}
			assert_int_equal(it.status, 0);
			assert_int_equal(n, 20);
			buf_fini(&bytes);
			buf_fini(&scratch);
		}
	}
	log_put(log);
}

static void
a_recompressed_batch_keeps_its_producer(void **state)
{
	const struct batch_spec spec = {.count = 4,
					.timestamp_ms = NOW,
					.producer_id = 4000,
					.producer_epoch = 3,
					.base_sequence = 8};
	struct log_append_result result;
	struct storage *s = *state;
	struct record_batch batch;
	struct buf bytes = {0};
	struct log *log;

	s->config.compression = COMPRESSION_LZ4;
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	read_batch(log, &bytes, &batch);
	assert_int_equal(batch.producer_id, 4000);
	assert_int_equal(batch.producer_epoch, 3);
	assert_int_equal(batch.base_sequence, 8);
	assert_int_equal(append_batch(log, &spec, &result), 0);
	assert_true(result.duplicate);
	buf_fini(&bytes);
	log_put(log);
}

static void
broken_compression_is_refused(void **state)
{
	static const uint8_t garbage[] = "this is not what any codec has written";
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	for (uint8_t codec = 1; codec < 8; codec++) {
		const struct batch_spec spec = {.timestamp_ms = NOW};
		struct buf b = {0};
		int st;

		build_batch(&spec, &b);
		b.len = RECORD_BATCH_OVERHEAD;
		buf_append(&b, garbage, sizeof(garbage));
		put_be32(b.data + 8, (uint32_t)b.len - 12);
		b.data[22] = codec;
		seal_crc(&b);
		st = append(log, &b);
		if (codec >= COMPRESSION_COUNT)
			assert_int_equal(st, K_UNSUPPORTED_COMPRESSION_TYPE);
		else
			assert_true(st == K_UNKNOWN_SERVER_ERROR || st == K_INVALID_RECORD);
		buf_fini(&b);
	}
	assert_int_equal(log_end_offset(log), 0);
	log_put(log);
}

static void
a_decompression_bomb_is_refused(void **state)
{
	struct storage *s = *state;
	struct buf b = {0}, zeros = {0};
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	/* One record that claims a value of 160 MiB, which zstd makes a few KiB of. */
	assert_non_null(buf_extend(&zeros, (size_t)160 << 20));
	memset(zeros.data, 0, zeros.len);
	build_batch(&spec, &b);
	b.len = RECORD_BATCH_OVERHEAD;
	assert_int_equal(compression_compress(COMPRESSION_ZSTD, 3, buf_slice(&zeros), &b), 0);
	assert_true(b.len < 100000);
	put_be32(b.data + 8, (uint32_t)b.len - 12);
	b.data[22] = COMPRESSION_ZSTD;
	seal_crc(&b);
	assert_true(append(log, &b) > 0);
	assert_int_equal(log_end_offset(log), 0);
	buf_fini(&b);
	buf_fini(&zeros);
	log_put(log);
}

static void
log_append_time_is_stamped_on_the_batch(void **state)
{
	const struct batch_spec spec = {.count = 2, .timestamp_ms = 5};
	struct log_append_result result;
	struct storage *s = *state;
	struct record_batch batch;
	struct buf bytes = {0};
	struct log *log;

	s->config.timestamp_type = LOG_APPEND_TIME;
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(append_batch(log, &spec, &result), 0);
	assert_int_equal(result.log_append_time_ms, NOW);
	assert_int_equal(result.max_timestamp_ms, NOW);
	read_batch(log, &bytes, &batch);
	assert_int_equal(record_batch_timestamp_type(&batch), LOG_APPEND_TIME);
	assert_int_equal(batch.max_timestamp, NOW);
	assert_int_equal(batch.base_timestamp, 5);
	buf_fini(&bytes);
	log_put(log);
}

static void
a_producer_must_not_claim_log_append_time(void **state)
{
	struct batch_spec spec = {.count = 2};
	struct log_append_refusal refusal;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	b.data[22] |= BATCH_LOG_APPEND_TIME;
	seal_crc(&b);
	assert_int_equal(append_bytes(log, &b, LOG_APPEND_CLIENT, NULL, &refusal),
			 K_INVALID_TIMESTAMP);
	/* With a timestamp in the window Kafka lets it pass where the topic has CreateTime. */
	b.len = 0;
	spec.timestamp_ms = NOW;
	build_batch(&spec, &b);
	b.data[22] |= BATCH_LOG_APPEND_TIME;
	seal_crc(&b);
	assert_int_equal(append(log, &b), 0);
	buf_fini(&b);
	log_put(log);
}

static void
records_out_of_the_time_window_are_named(void **state)
{
	const struct batch_spec spec = {.count = 5, .timestamp_ms = NOW - 1000};
	struct log_append_refusal refusal;
	struct log_append_result result;
	struct log_append request;
	struct storage *s = *state;
	struct arena arena;
	struct buf b = {0};
	struct log *log;

	s->config.timestamp_before_max_ms = 998;
	s->config.timestamp_after_max_ms = 50;
	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	request = (struct log_append){.records = b.data, .len = b.len};
	arena_init(&arena, 1 << 20);
	assert_int_equal(log_append_as_leader(log, &request, &arena, &result, &refusal),
			 K_INVALID_TIMESTAMP);
	assert_int_equal(refusal.error_count, 2);
	assert_int_equal(refusal.errors[0].batch_index, 0);
	assert_int_equal(refusal.errors[1].batch_index, 1);
	assert_non_null(refusal.errors[1].message);
	assert_non_null(refusal.message);
	atomic_store(&s->machine.now_ms, NOW - 1051);
	assert_int_equal(log_append_as_leader(log, &request, &arena, &result, &refusal),
			 K_INVALID_TIMESTAMP);
	assert_int_equal(refusal.error_count, 5);
	atomic_store(&s->machine.now_ms, NOW - 1000);
	assert_int_equal(log_append_as_leader(log, &request, &arena, &result, &refusal), 0);
	assert_int_equal(refusal.error_count, 0);
	arena_fini(&arena);
	buf_fini(&b);
	log_put(log);
}

static void
records_without_a_key_are_refused_where_the_topic_is_compacted(void **state)
{
	struct batch_spec spec = {.count = 3, .timestamp_ms = NOW, .no_keys = true};
	struct storage *s = *state;
	struct log *log;

	s->config.cleanup_policy = LOG_CLEANUP_COMPACT;
	storage_start(s);
	log = storage_log(s);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		spec.codec = (enum compression)codec;
		assert_int_equal(append_batch(log, &spec, NULL), K_INVALID_RECORD);
	}
	spec.no_keys = false;
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	log_put(log);
}

static void
messages_of_the_old_formats_become_one_batch(void **state)
{
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	for (int8_t magic = 0; magic < 2; magic++) {
		struct log_append_result result;
		struct record_batch batch;
		struct buf b = {0}, bytes = {0};

		assert_int_equal(log_truncate_fully_and_start_at(log, 0), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(legacy_message_build(magic, 77, NOW + i, 0, text("k"),
							      text("value"), &b),
					 0);
		assert_int_equal(append_bytes(log, &b, LOG_APPEND_CLIENT, &result, NULL), 0);
		assert_int_equal(result.first_offset, 0);
		assert_int_equal(result.last_offset, 2);
		assert_int_equal(result.max_timestamp_ms, magic == 0 ? -1 : NOW + 2);
		read_batch(log, &bytes, &batch);
		assert_int_equal(batch.record_count, 3);
		/* A wrong CRC in any. */
		b.data[b.len - 1] ^= 1;
		assert_int_equal(append(log, &b), K_CORRUPT_MESSAGE);
		buf_fini(&b);
		buf_fini(&bytes);
	}
	log_put(log);
}

static void
a_follower_takes_offsets_as_they_come(void **state)
{
	struct batch_spec spec = {.base_offset = 10, .count = 2, .leader_epoch = 4};
	struct log_append_result result;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	spec.base_offset = 15;
	spec.leader_epoch = 6;
	build_batch(&spec, &b);
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), 0);
	assert_int_equal(result.first_offset, 10);
	assert_int_equal(result.last_offset, 16);
	assert_int_equal(log_end_offset(log), 17);
	assert_int_equal(log_latest_epoch(log), 6);
	/* Again: it begins below the end. */
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), -EILSEQ);
	/* Offsets that fall. */
	b.len = 0;
	spec.base_offset = 30;
	build_batch(&spec, &b);
	spec.base_offset = 20;
	build_batch(&spec, &b);
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), -EILSEQ);
	b.data[b.len - 1] ^= 1;
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), K_CORRUPT_MESSAGE);
	/* A part at the end is left out. */
	b.len = 0;
	spec.base_offset = 20;
	build_batch(&spec, &b);
	spec.base_offset = 22;
	build_batch(&spec, &b);
	b.len -= 3;
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), 0);
	assert_int_equal(log_end_offset(log), 22);
	buf_fini(&b);
	log_put(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(kafkas_own_batch_is_stored_byte_for_byte),
	    T(a_corrupt_batch_is_refused_wherever_it_is_corrupt),
	    T(a_part_of_a_batch_is_no_batch),
	    T(false_counts_and_offsets_are_refused),
	    T(flags_that_a_client_must_not_set_are_refused),
	    T(sizes_are_bounded_before_and_after_recompression),
	    T(every_codec_is_kept_or_changed_as_the_topic_says),
	    T(a_recompressed_batch_keeps_its_producer),
	    T(broken_compression_is_refused),
	    T(a_decompression_bomb_is_refused),
	    T(log_append_time_is_stamped_on_the_batch),
	    T(a_producer_must_not_claim_log_append_time),
	    T(records_out_of_the_time_window_are_named),
	    T(records_without_a_key_are_refused_where_the_topic_is_compacted),
	    T(messages_of_the_old_formats_become_one_batch),
	    T(a_follower_takes_offsets_as_they_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
