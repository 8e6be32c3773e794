/* When segments begin and when they go: storage-format, sections 7.3 and 13. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "storage/log_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define NOW 1700000000000

static void
append_at(struct log *log, int64_t timestamp_ms)
{
	const struct batch_spec spec = {.timestamp_ms = timestamp_ms};

	assert_int_equal(append_batch(log, &spec, NULL), 0);
}

static int32_t
retain(struct log *log)
{
	int32_t deleted = -1;

	assert_int_equal(log_delete_old_segments(log, &deleted), 0);
	return deleted;
}

static void
a_segment_may_become_exactly_as_large_as_it_may(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	build_batch(&spec, &b);
	s->config.segment_bytes = (int32_t)b.len * 3;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 3);
	assert_int_equal(log_segment_count(log), 1);
	append_many(log, 1);
	assert_int_equal(log_segment_count(log), 2);
	assert_true(storage_has_file(s, "orders-0/00000000000000000003.log"));
	assert_true(storage_has_file(s, "orders-0/00000000000000000003.snapshot"));
	buf_fini(&b);
	log_put(log);
}

static void
segments_roll_by_the_records_time_not_by_the_clock(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.segment_ms = 1000;
	storage_start(s);
	log = storage_log(s);
	append_at(log, NOW);
	append_at(log, NOW + 1000);
	atomic_store(&s->machine.now_ms, NOW + 100000);
	append_at(log, NOW + 500);
	assert_int_equal(log_segment_count(log), 1);
	append_at(log, NOW + 1001);
	assert_int_equal(log_segment_count(log), 2);
	/* Without timestamps the age of the segment counts. */
	assert_int_equal(log_truncate_fully_and_start_at(log, 0), 0);
	append_at(log, 0);
	atomic_store(&s->machine.now_ms, NOW + 101000);
	append_at(log, 0);
	assert_int_equal(log_segment_count(log), 1);
	atomic_store(&s->machine.now_ms, NOW + 101001);
	append_at(log, 0);
	assert_int_equal(log_segment_count(log), 2);
	/* Compacted topics roll earlier if max.compaction.lag.ms says so. */
	s->config.cleanup_policy = LOG_CLEANUP_COMPACT;
	s->config.max_compaction_lag_ms = 10;
	log_configure(log, &s->config);
	assert_int_equal(log_truncate_fully_and_start_at(log, 0), 0);
	append_at(log, NOW);
	append_at(log, NOW + 11);
	assert_int_equal(log_segment_count(log), 2);
	log_put(log);
}

static void
segments_roll_when_an_index_is_full(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.segment_index_bytes = 40; /* five offsets, three times, one of them reserved */
	s->config.index_interval_bytes = 0;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 6);
	assert_int_equal(log_segment_count(log), 1);
	append_many(log, 1);
	assert_int_equal(log_segment_count(log), 2);
	assert_int_equal(storage_file_size(s, "orders-0/00000000000000000000.index"), 40);
	log_put(log);
}

static void
offsets_that_do_not_fit_the_segment_begin_a_new_one(void **state)
{
	const struct batch_spec far = {.base_offset = (int64_t)INT32_MAX + 1};
	struct log_append_result result;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 1);
	build_batch(&far, &b);
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), 0);
	assert_int_equal(log_segment_count(log), 2);
	assert_true(storage_has_file(s, "orders-0/00000000002147483648.log"));
	assert_int_equal(log_end_offset(log), (int64_t)INT32_MAX + 2);
	assert_int_equal(count_records(log, 1), 1);
	buf_fini(&b);
	log_put(log);
}

static void
retention_by_size_keeps_what_fits(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;
	int32_t segment;

	build_batch(&spec, &b);
	segment = (int32_t)b.len * 2;
	s->config.segment_bytes = segment;
	s->config.retention_bytes = segment * 3;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 12); /* six segments */
	/* Nothing goes that the high watermark has not passed. */
	assert_int_equal(retain(log), 0);
	log_set_high_watermark(log, 3);
	assert_int_equal(retain(log), 1);
	assert_int_equal(log_start_offset(log), 2);
	log_set_high_watermark(log, 12);
	assert_int_equal(retain(log), 2);
	assert_int_equal(log_start_offset(log), 6);
	assert_int_equal(log_size_bytes(log), segment * 3);
	assert_int_equal(retain(log), 0);
	assert_false(storage_has_file(s, "orders-0/00000000000000000004.snapshot"));
	assert_true(storage_has_file(s, "orders-0/00000000000000000006.snapshot"));
	assert_int_equal(count_records(log, 6), 6);
	/* The files go after a while. */
	assert_true(storage_has_file(s, "orders-0/00000000000000000000.log.deleted"));
	trash_run(log->dir->ctx->trash, env_monotonic_ms(&s->machine.env) + 59999);
	assert_true(storage_has_file(s, "orders-0/00000000000000000000.log.deleted"));
	trash_run(log->dir->ctx->trash, env_monotonic_ms(&s->machine.env) + 60000);
	assert_false(storage_has_file(s, "orders-0/00000000000000000000.log.deleted"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000000.index.deleted"));
	buf_fini(&b);
	log_put(log);
}

static void
retention_by_time_stops_at_the_first_young_segment(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.retention_ms = 1000;
	storage_start(s);
	log = storage_log(s);
	append_at(log, NOW - 5000);
	assert_int_equal(log_roll(log), 0);
	append_at(log, NOW - 100);
	assert_int_equal(log_roll(log), 0);
	append_at(log, NOW - 5000);
	log_set_high_watermark(log, 3);
	assert_int_equal(retain(log), 1);
	assert_int_equal(log_start_offset(log), 1);
	/* In the end all is old: a new segment begins and everything else goes. */
	atomic_store(&s->machine.now_ms, NOW + 10000);
	assert_int_equal(retain(log), 2);
	assert_int_equal(log_start_offset(log), 3);
	assert_int_equal(log_end_offset(log), 3);
	assert_int_equal(log_segment_count(log), 1);
	assert_int_equal(retain(log), 0);
	append_at(log, NOW + 10000);
	assert_int_equal(count_records(log, 3), 1);
	log_put(log);
}

static void
compacted_topics_lose_only_what_is_below_the_start(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.cleanup_policy = LOG_CLEANUP_COMPACT;
	s->config.retention_ms = 1;
	s->config.retention_bytes = 1;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 4; i++) {
		append_at(log, NOW - 100000);
		assert_int_equal(log_roll(log), 0);
	}
	log_set_high_watermark(log, 4);
	assert_int_equal(retain(log), 0);
	assert_int_equal(log_raise_start_offset(log, 5), K_OFFSET_OUT_OF_RANGE);
	assert_int_equal(log_raise_start_offset(log, 2), 0);
	assert_int_equal(log_raise_start_offset(log, 1), 0);
	assert_int_equal(log_start_offset(log), 2);
	assert_int_equal(retain(log), 2);
	assert_int_equal(log_segment_count(log), 3);
	log_put(log);
}

static void
a_start_within_a_segment_is_known_after_a_stop(void **state)
{
	struct log_read read;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 10);
	log_set_high_watermark(log, 10);
	assert_int_equal(log_raise_start_offset(log, 7), 0);
	log_put(log);
	storage_stop(s, true);
	storage_read_file(s, "log-start-offset-checkpoint", &b);
	assert_string_equal(buf_text(&b), "0\n1\norders 0 7\n");
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_start_offset(log), 7);
	assert_int_equal(log_read(log, 6, 100, true, LOG_READ_LOG_END, false, &read),
			 K_OFFSET_OUT_OF_RANGE);
	buf_fini(&b);
	log_put(log);
}

/* ---- flushing ---- */

static _Atomic int flushed_count;

static void
note_flushed(void *arg, int status)
{
	assert_int_equal(status, 0);
	(void)arg;
	atomic_fetch_add(&flushed_count, 1);
}

static void
appends_during_a_flush_share_the_next_one(void **state)
{
	struct storage *s = *state;
	struct log *log;
	int64_t before;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 1);
	assert_int_equal(log_flush(log, 1), 0);
	before = atomic_load(&s->machine.flushes);
	atomic_store(&flushed_count, 0);
	atomic_store(&s->machine.flushes_pause, true);
	append_many(log, 1);
	log_flush_async(log, 2, note_flushed, NULL);
	while (atomic_load(&s->machine.flushes) == before)
		sched_yield();
	/* The first flush stands in its fsync: these fifty come too late for it. */
	for (int i = 0; i < 50; i++) {
		append_many(log, 1);
		log_flush_async(log, log_end_offset(log), note_flushed, NULL);
	}
	atomic_store(&s->machine.flushes_pause, false);
	while (atomic_load(&flushed_count) < 51)
		sched_yield();
	assert_int_equal(atomic_load(&s->machine.flushes) - before, 2);
	log_put(log);
}

static void
flush_messages_asks_for_a_flush(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct log_append_result result;
	struct storage *s = *state;
	struct log *log;

	s->config.flush_messages = 3;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(append_batch(log, &spec, &result), 0);
		assert_int_equal(result.flush_due, i % 3 == 2);
		if (result.flush_due)
			assert_int_equal(log_flush(log, result.last_offset + 1), 0);
	}
	log_put(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(a_segment_may_become_exactly_as_large_as_it_may),
	    T(segments_roll_by_the_records_time_not_by_the_clock),
	    T(segments_roll_when_an_index_is_full),
	    T(offsets_that_do_not_fit_the_segment_begin_a_new_one),
	    T(retention_by_size_keeps_what_fits),
	    T(retention_by_time_stops_at_the_first_young_segment),
	    T(compacted_topics_lose_only_what_is_below_the_start),
	    T(a_start_within_a_segment_is_known_after_a_stop),
	    T(appends_during_a_flush_share_the_next_one),
	    T(flush_messages_asks_for_a_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
