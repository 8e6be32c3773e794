/* Compaction: storage-format, section 14. */
#include "storage/log_cleaner.h"

#include <errno.h>
#include <unistd.h>

#include "storage/log_manager_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"
#include "wire/record_batch_builder.h"

#define NOW 1700000000000
#define DAY INT64_C(86400000)

/* One record; value NULL is a tombstone. */
static void
put(struct log *log, const char *key, const char *value, enum compression codec)
{
	struct record_batch_builder b;
	struct buf bytes = {0};

	record_batch_builder_init(&b, codec, compression_default_level(codec));
	record_batch_builder_append(
	    &b, NOW, (struct slice){(const uint8_t *)key, strlen(key)},
	    (struct slice){(const uint8_t *)value, value != NULL ? strlen(value) : 0}, NULL, 0);
	assert_int_equal(record_batch_builder_finish(&b, &bytes), 0);
	record_batch_builder_fini(&b);
	assert_int_equal(append_bytes(log, &bytes, LOG_APPEND_CLIENT, NULL, NULL), 0);
	buf_fini(&bytes);
}

static void
put_number(struct log *log, int key, int value)
{
	char k[24], v[24];

	snprintf(k, sizeof(k), "key%d", key);
	snprintf(v, sizeof(v), "value%d", value);
	put(log, k, v, COMPRESSION_NONE);
}

/* Compacts what may be compacted: everything below the high watermark and the active segment. */
static int
try_clean(struct storage *s, struct log *log, size_t map_entries)
{
	static const _Atomic bool go_on;
	const struct clean_pace pace = {1e18, &go_on};
	struct clean_stats stats;
	struct log_to_clean what;
	struct offset_map *map;
	int64_t end_offset;
	int st;

	if (log_check_usable(log) != 0)
		return K_KAFKA_STORAGE_ERROR;
	log_set_high_watermark(log, log_end_offset(log));
	st = log_find_cleanable(log, log->cleaner_offset, env_now_ms(&s->machine.env), &what);
	if (st != 0)
		return st;
	assert_int_equal(offset_map_open(&s->machine.env,
					 (map_entries * 10 / 9 + 2) * OFFSET_MAP_SLOT_BYTES, 0.9,
					 &map),
			 0);
	st = log_clean(log, &what, map, &pace, &stats, &end_offset);
	offset_map_close(map);
	if (st == 0)
		log->cleaner_offset = end_offset;
	log_jobs_wait(&s->lm->jobs);
	return st;
}

static void
clean(struct storage *s, struct log *log)
{
	assert_int_equal(try_clean(s, log, 100000), 0);
}

struct found {
	int count; /* records with this key */
	int64_t last_offset;
	char value[32]; /* the last one's; "" for a tombstone */
};

/* What a reader sees of a key. */
static struct found
find_key(struct log *log, const char *key)
{
	struct found found = {.last_offset = -1};
	struct buf b = {0}, scratch = {0};
	struct slice rest;

	read_all(log, log_start_offset(log), LOG_READ_LOG_END, &b);
	for (rest = buf_slice(&b); rest.len > 0;) {
		struct record_batch batch;
		struct record_iter it;
		struct record record;
		struct slice payload;

		assert_int_equal(record_batch_parse(rest, &batch), 0);
		rest.data += batch.size_bytes;
		rest.len -= batch.size_bytes;
		if (record_batch_is_control(&batch))
			continue;
		assert_int_equal(record_batch_payload(&batch, 1 << 24, &scratch, &payload), 0);
		record_iter_init(&it, payload, batch.record_count);
		while (record_iter_next(&it, &record)) {
			if (record.key.len != strlen(key) ||
			    memcmp(record.key.data, key, record.key.len) != 0)
				continue;
			found.count++;
			assert_true(batch.base_offset + record.offset_delta > found.last_offset);
			found.last_offset = batch.base_offset + record.offset_delta;
			snprintf(found.value, sizeof(found.value), "%.*s", (int)record.value.len,
				 record.value.data != NULL ? (const char *)record.value.data : "");
		}
		assert_int_equal(it.status, 0);
	}
	buf_fini(&b);
	buf_fini(&scratch);
	return found;
}

static void
compacted(struct storage *s)
{
	s->config.cleanup_policy = LOG_CLEANUP_COMPACT;
	s->config.segment_bytes = 2000;
	s->config.index_interval_bytes = 200;
	s->config.transaction_verification = false;
}

static void
of_each_key_the_last_record_stays_at_its_offset(void **state)
{
	struct storage *s = *state;
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 400; i++)
		put_number(log, i % 7, i);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(log_end_offset(log), 400);
		for (int key = 0; key < 7; key++) {
			char k[24], v[24];
			struct found found;
			int last = 399 - (399 - key) % 7;

			snprintf(k, sizeof(k), "key%d", key);
			snprintf(v, sizeof(v), "value%d", last);
			found = find_key(log, k);
			assert_int_equal(found.count, 1);
			assert_int_equal(found.last_offset, last);
			assert_string_equal(found.value, v);
		}
		assert_true(log_size_bytes(log) < 1000);
		/* The same after a stop, and after a kill. */
		log_put(log);
		if (round == 0)
			storage_stop(s, true);
		else
			storage_crash(s);
		storage_start(s);
		log = storage_log(s);
	}
	log_put(log);
}

static void
a_second_pass_goes_on_where_the_first_ended(void **state)
{
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 100; i++)
		put_number(log, i % 10, i);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	assert_int_equal(log->cleaner_offset, 100);
	for (int i = 100; i < 150; i++)
		put_number(log, i % 5, i);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	assert_int_equal(log->cleaner_offset, 150);
	assert_int_equal(find_key(log, "key3").count, 1);
	assert_string_equal(find_key(log, "key3").value, "value148");
	assert_string_equal(find_key(log, "key7").value, "value97");
	log_put(log);
	atomic_store(&log->dir->cleaner_offsets_changed, true);
	storage_stop(s, true);
	storage_read_file(s, "cleaner-offset-checkpoint", &b);
	assert_string_equal(buf_text(&b), "0\n1\norders 0 150\n");
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log->cleaner_offset, 150);
	/* A truncation takes the mark back. */
	assert_int_equal(log_truncate_to(log, 120), 0);
	assert_int_equal(log->cleaner_offset, 120);
	buf_fini(&b);
	log_put(log);
}

static void
a_small_map_takes_several_passes(void **state)
{
	struct storage *s = *state;
	struct log *log;
	int passes = 0;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 300; i++)
		put_number(log, i % 60, i);
	assert_int_equal(log_roll(log), 0);
	while (log->cleaner_offset < 300) {
		assert_int_equal(try_clean(s, log, 25), 0);
		passes++;
		assert_true(passes < 100);
	}
	assert_true(passes > 3);
	for (int key = 0; key < 60; key++) {
		char k[24], v[24];

		snprintf(k, sizeof(k), "key%d", key);
		snprintf(v, sizeof(v), "value%d", 240 + key);
		assert_string_equal(find_key(log, k).value, v);
		assert_int_equal(find_key(log, k).last_offset, 240 + key);
	}
	log_put(log);
}

static void
batches_lose_records_and_keep_their_codec_and_range(void **state)
{
	struct storage *s = *state;
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		const struct batch_spec spec = {.count = 6,
						.timestamp_ms = NOW,
						.codec = (enum compression)codec,
						.leader_epoch = 0};
		struct record_batch batch;
		struct buf b = {0};

		assert_int_equal(log_truncate_fully_and_start_at(log, 0), 0);
		assert_int_equal(append_batch(log, &spec, NULL), 0); /* k0 to k5 */
		put(log, "k0", "later", COMPRESSION_NONE);
		put(log, "k3", "later", COMPRESSION_NONE);
		put(log, "k5", "later", COMPRESSION_NONE);
		assert_int_equal(log_roll(log), 0);
		clean(s, log);
		read_all(log, 0, LOG_READ_LOG_END, &b);
		assert_int_equal(record_batch_parse(buf_slice(&b), &batch), 0);
		assert_int_equal(batch.record_count, 3);
		assert_int_equal(batch.base_offset, 0);
		assert_int_equal(batch.last_offset_delta, 5);
		assert_int_equal(batch.max_timestamp, NOW + 4);
		assert_int_equal(record_batch_compression(&batch), codec);
		assert_int_equal(find_key(log, "k1").last_offset, 1);
		assert_int_equal(find_key(log, "k4").last_offset, 4);
		assert_int_equal(find_key(log, "k5").last_offset, 8);
		buf_fini(&b);
	}
	log_put(log);
}

static void
tombstones_stay_for_a_day_and_then_go(void **state)
{
	struct storage *s = *state;
	struct record_batch batch;
	struct buf b = {0};
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	put(log, "gone", "value", COMPRESSION_NONE);
	put(log, "gone", NULL, COMPRESSION_NONE);
	put(log, "stays", "value", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	put(log, "active", "value", COMPRESSION_NONE);
	clean(s, log);
	assert_int_equal(find_key(log, "gone").count, 1);
	assert_int_equal(find_key(log, "gone").last_offset, 1);
	read_all(log, 1, LOG_READ_LOG_END, &b);
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), 0);
	assert_true(batch.attributes & BATCH_DELETE_HORIZON);
	assert_int_equal(batch.base_timestamp, NOW + DAY);
	/* Until then another pass changes nothing. */
	atomic_store(&s->machine.now_ms, NOW + DAY - 1);
	put(log, "active", "value", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	assert_int_equal(find_key(log, "gone").count, 1);
	atomic_store(&s->machine.now_ms, NOW + DAY);
	put(log, "active", "value", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	assert_int_equal(find_key(log, "gone").count, 0);
	assert_int_equal(find_key(log, "stays").count, 1);
	assert_int_equal(find_key(log, "active").count, 1);
	buf_fini(&b);
	log_put(log);
}

/* ---- producers and transactions ---- */

static void
send_keyed(struct log *log, int64_t producer_id, int32_t sequence, bool transactional)
{
	const struct batch_spec spec = {.producer_id = producer_id,
					.producer_epoch = 3,
					.base_sequence = sequence,
					.transactional = transactional,
					.timestamp_ms = NOW};

	assert_int_equal(append_batch(log, &spec, NULL), 0);
}

static void
the_last_batch_of_a_producer_stays_even_when_empty(void **state)
{
	/* storage-format, section 21, at another offset and epoch. */
	struct log_append_result result;
	struct storage *s = *state;
	struct record_batch batch;
	struct buf b = {0};
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	send_keyed(log, 4000, 6, false);
	send_keyed(log, 4000, 7, false);
	put(log, "k0", "later", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	read_all(log, 0, LOG_READ_LOG_END, &b);
	assert_int_equal(record_batch_parse(buf_slice(&b), &batch), 0);
	assert_int_equal(batch.base_offset, 1);
	assert_int_equal(batch.record_count, 0);
	assert_int_equal(batch.base_timestamp, -1);
	assert_int_equal(batch.base_sequence, 7);
	assert_int_equal(batch.size_bytes, RECORD_BATCH_OVERHEAD);
	/* So a retry is still known after the state was built from the log alone. */
	log_put(log);
	storage_crash(s);
	storage_start(s);
	log = storage_log(s);
	{
		const struct batch_spec again = {.producer_id = 4000,
						 .producer_epoch = 3,
						 .base_sequence = 7,
						 .timestamp_ms = NOW};

		assert_int_equal(append_batch(log, &again, &result), 0);
		assert_true(result.duplicate);
		assert_int_equal(result.first_offset, 1);
	}
	buf_fini(&b);
	log_put(log);
}

static void
aborted_records_go_and_their_marker_a_day_later(void **state)
{
	struct log_aborted_txn *txns;
	struct storage *s = *state;
	struct log_read read;
	struct arena arena;
	struct log *log;
	size_t count;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	put(log, "k0", "before", COMPRESSION_NONE);              /* 0 */
	send_keyed(log, 1, 0, true);                             /* 1: k0, aborted */
	assert_int_equal(append_marker(log, 1, 3, true, 1), 0);  /* 2 */
	send_keyed(log, 1, 1, true);                             /* 3: k0, committed */
	assert_int_equal(append_marker(log, 1, 3, false, 1), 0); /* 4 */
	send_keyed(log, 2, 0, true);                             /* 5: k0, aborted */
	assert_int_equal(append_marker(log, 2, 3, true, 1), 0);  /* 6 */
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	/* The last record of producer 2 is kept as an empty batch, and so is its transaction. */
	assert_int_equal(find_key(log, "k0").count, 1);
	assert_int_equal(find_key(log, "k0").last_offset, 3);
	log_set_high_watermark(log, 7);
	arena_init(&arena, 4096);
	assert_int_equal(log_read(log, 0, 1 << 20, true, LOG_READ_COMMITTED, false, &read), 0);
	assert_int_equal(log_aborted_transactions(log, 0, &read, &arena, &txns, &count), 0);
	log_file_put(read.file);
	assert_int_equal(count, 2);
	arena_fini(&arena);
	/* When nothing of a transaction is left, the markers get a horizon, and then go too. */
	put(log, "k1", "x", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	atomic_store(&s->machine.now_ms, NOW + 2 * DAY);
	put(log, "k1", "x", COMPRESSION_NONE);
	assert_int_equal(log_roll(log), 0);
	clean(s, log);
	{
		struct buf b = {0};
		struct slice rest;
		int markers = 0;

		read_all(log, 0, LOG_READ_LOG_END, &b);
		for (rest = buf_slice(&b); rest.len > 0;) {
			struct record_batch batch;

			assert_int_equal(record_batch_parse(rest, &batch), 0);
			if (record_batch_is_control(&batch) && batch.base_offset == 2)
				markers++;
			rest.data += batch.size_bytes;
			rest.len -= batch.size_bytes;
		}
		assert_int_equal(markers, 0);
		buf_fini(&b);
	}
	assert_int_equal(find_key(log, "k0").last_offset, 3);
	log_put(log);
}

static void
what_is_not_stable_yet_is_not_compacted(void **state)
{
	struct log_to_clean what;
	struct storage *s = *state;
	struct log *log;

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 60; i++)
		put_number(log, 1, i);
	assert_int_equal(log_roll(log), 0);
	log_set_high_watermark(log, 30);
	assert_int_equal(log_find_cleanable(log, -1, NOW, &what), 0);
	assert_int_equal(what.first_uncleanable_offset, 30);
	log_set_high_watermark(log, 60);
	assert_int_equal(log_find_cleanable(log, -1, NOW, &what), 0);
	assert_int_equal(what.first_uncleanable_offset, 60);
	/* Nor what min.compaction.lag.ms protects. */
	s->config.min_compaction_lag_ms = 1000;
	log_configure(log, &s->config);
	assert_int_equal(log_find_cleanable(log, -1, NOW + 999, &what), 0);
	assert_int_equal(what.first_uncleanable_offset, 0);
	assert_int_equal(what.cleanable_bytes, 0);
	assert_int_equal(log_find_cleanable(log, -1, NOW + 1000, &what), 0);
	assert_int_equal(what.first_uncleanable_offset, 60);
	/* What max.compaction.lag.ms demands is overdue. */
	assert_false(what.overdue);
	s->config.max_compaction_lag_ms = 5000;
	log_configure(log, &s->config);
	assert_int_equal(log_find_cleanable(log, -1, NOW + 5000, &what), 0);
	assert_false(what.overdue);
	assert_int_equal(log_find_cleanable(log, -1, NOW + 5001, &what), 0);
	assert_true(what.overdue);
	log_put(log);
}

static void
the_cleaners_settings_may_change_while_it_waits(void **state)
{
	struct log_cleaner_settings settings;
	struct storage *s = *state;
	struct log *log;
	int64_t size;

	compacted(s);
	s->cleaner_enable = true;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 300; i++)
		put_number(log, i % 3, i);
	log_set_high_watermark(log, 300);
	size = log_size_bytes(log);
	settings = log_manager_cleaner_settings(s->lm);
	settings.backoff_ms = INT64_C(86400000);
	log_manager_set_cleaner(s->lm, &settings);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	atomic_fetch_add(&s->machine.monotonic_us, INT64_C(80000) * 1000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	log_jobs_wait(&s->lm->jobs);
	assert_int_equal(log_size_bytes(log), size);
	settings.backoff_ms = 1000;
	log_manager_set_cleaner(s->lm, &settings);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	log_jobs_wait(&s->lm->jobs);
	assert_true(log_size_bytes(log) < size);
	log_put(log);
}

static void
the_manager_compacts_the_dirtiest_log_and_remembers_it(void **state)
{
	struct storage *s = *state;
	struct log *log;
	struct buf b = {0};

	compacted(s);
	s->cleaner_enable = true;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 300; i++)
		put_number(log, i % 3, i);
	log_set_high_watermark(log, 300);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	atomic_fetch_add(&s->machine.monotonic_us, 15000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	while (!storage_has_file(s, "cleaner-offset-checkpoint"))
		sched_yield();
	log_jobs_wait(&s->lm->jobs);
	storage_read_file(s, "cleaner-offset-checkpoint", &b);
	assert_non_null(strstr(buf_text(&b), "orders 0 "));
	assert_true(log_size_bytes(log) < 4500);
	assert_string_equal(find_key(log, "key2").value, "value299");
	buf_fini(&b);
	log_put(log);
}

static void
a_process_that_dies_at_any_call_of_a_compaction_loses_no_key(void **state)
{
	for (int64_t n = 0;; n++) {
		struct storage *s;
		struct log *log;
		int64_t calls;
		void *own;
		int st;

		assert_int_equal(storage_setup(&own), 0);
		s = own;
		compacted(s);
		s->config.segment_bytes = 700;
		storage_start(s);
		log = storage_log(s);
		for (int i = 0; i < 60; i++)
			put_number(log, i % 9, i);
		assert_int_equal(log_roll(log), 0);
		log_jobs_wait(&s->lm->jobs);
		machine_kill_at(&s->machine, n, n % 2 == 0);
		st = try_clean(s, log, 1000);
		calls = atomic_load(&s->machine.calls);
		log_put(log);
		storage_stop(s, false);
		machine_repair(&s->machine);
		storage_start(s);
		log = storage_log(s);
		assert_int_equal(log_end_offset(log), 60);
		for (int key = 0; key < 9; key++) {
			char k[24], v[24];
			int last = 59 - (59 - key) % 9;

			snprintf(k, sizeof(k), "key%d", key);
			snprintf(v, sizeof(v), "value%d", last);
			assert_string_equal(find_key(log, k).value, v);
			assert_int_equal(find_key(log, k).last_offset, last);
		}
		put_number(log, 1, 1000);
		assert_string_equal(find_key(log, "key1").value, "value1000");
		log_put(log);
		assert_int_equal(storage_teardown(&own), 0);
		if (calls < n) {
			assert_int_equal(st, 0);
			break;
		}
		assert_true(n < 3000);
	}
	(void)state;
}

static void
readers_go_on_while_a_log_is_compacted(void **state)
{
	struct storage *s = *state;
	struct log_read read;
	struct log *log;
	uint8_t first[61];

	compacted(s);
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 200; i++)
		put_number(log, i % 5, i);
	assert_int_equal(log_roll(log), 0);
	/* A response in flight has its file until it is sent. */
	assert_int_equal(log_read(log, 0, 500, true, LOG_READ_LOG_END, false, &read), 0);
	clean(s, log);
	trash_run(log->dir->ctx->trash, INT64_MAX);
	assert_int_equal(pread(log_file_fd(read.file), first, sizeof(first), read.pos),
			 sizeof(first));
	assert_int_equal(get_be64(first), 0);
	log_file_put(read.file);
	/* Offsets that are gone lead to the next that is there. */
	assert_int_equal(log_read(log, 3, 500, true, LOG_READ_LOG_END, false, &read), 0);
	assert_int_equal(pread(log_file_fd(read.file), first, sizeof(first), read.pos),
			 sizeof(first));
	assert_true(get_be64(first) >= 195);
	log_file_put(read.file);
	log_put(log);
}

static void
the_offset_map_finds_what_was_put(void **state)
{
	struct storage *s = *state;
	struct offset_map *m;
	char key[32];

	assert_int_equal(offset_map_open(&s->machine.env, 1000 * OFFSET_MAP_SLOT_BYTES, 0.9, &m),
			 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 900; i++) {
			struct slice k = {(const uint8_t *)key, 0};

			k.len = (size_t)snprintf(key, sizeof(key), "%0*d", 1 + i % 20, i);
			assert_true(offset_map_put(m, k, round * 10000 + i));
		}
	}
	assert_int_equal(offset_map_count(m), 900);
	assert_false(offset_map_put(m, (struct slice){(const uint8_t *)"new", 3}, 1));
	assert_int_equal(offset_map_get(m, (struct slice){(const uint8_t *)"new", 3}), -1);
	for (int i = 0; i < 900; i++) {
		struct slice k = {(const uint8_t *)key, 0};

		k.len = (size_t)snprintf(key, sizeof(key), "%0*d", 1 + i % 20, i);
		assert_int_equal(offset_map_get(m, k), 10000 + i);
		assert_true(offset_map_put(m, k, 5)); /* an earlier one does not count */
		assert_int_equal(offset_map_get(m, k), 10000 + i);
	}
	offset_map_close(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(of_each_key_the_last_record_stays_at_its_offset),
	    T(a_second_pass_goes_on_where_the_first_ended),
	    T(a_small_map_takes_several_passes),
	    T(batches_lose_records_and_keep_their_codec_and_range),
	    T(tombstones_stay_for_a_day_and_then_go),
	    T(the_last_batch_of_a_producer_stays_even_when_empty),
	    T(aborted_records_go_and_their_marker_a_day_later),
	    T(what_is_not_stable_yet_is_not_compacted),
	    T(the_cleaners_settings_may_change_while_it_waits),
	    T(the_manager_compacts_the_dirtiest_log_and_remembers_it),
	    cmocka_unit_test(a_process_that_dies_at_any_call_of_a_compaction_loses_no_key),
	    T(readers_go_on_while_a_log_is_compacted),
	    T(the_offset_map_finds_what_was_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
