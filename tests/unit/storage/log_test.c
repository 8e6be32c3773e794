#include <errno.h>
#include <unistd.h>

#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define NOW 1700000000000

static void
offsets_are_assigned_and_records_come_back(void **state)
{
	struct storage *s = *state;
	struct batch_spec spec = {.count = 3, .timestamp_ms = NOW};
	struct log_append_result result;
	struct log_offsets offsets;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	assert_int_equal(append_batch(log, &spec, &result), 0);
	assert_int_equal(result.first_offset, 0);
	assert_int_equal(result.last_offset, 2);
	assert_int_equal(result.max_timestamp_ms, NOW + 2);
	assert_int_equal(result.log_append_time_ms, -1);
	assert_int_equal(append_batch(log, &spec, &result), 0);
	assert_int_equal(result.first_offset, 3);
	assert_int_equal(result.log_end_offset, 6);
	log_offsets(log, &offsets);
	assert_int_equal(offsets.log_end_offset, 6);
	assert_int_equal(offsets.high_watermark, 0);
	assert_int_equal(count_records(log, 0), 6);
	/* From within a batch: the batch that holds the offset. */
	assert_int_equal(count_records(log, 4), 3);
	log_put(log);
}

static void
consumers_read_up_to_the_high_watermark(void **state)
{
	struct storage *s = *state;
	struct log_read read;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 40);
	assert_int_equal(log_read(log, 0, 1000, true, LOG_READ_HIGH_WATERMARK, false, &read), 0);
	assert_int_equal(read.len, 0);
	assert_null(read.file);
	assert_int_equal(log_set_high_watermark(log, 7), 7);
	read_all(log, 0, LOG_READ_HIGH_WATERMARK, &b);
	assert_int_equal(b.len, 7 * (b.len / 7));
	{
		struct buf whole = {0};

		read_all(log, 0, LOG_READ_LOG_END, &whole);
		assert_int_equal(whole.len, b.len / 7 * 40);
		buf_fini(&whole);
	}
	assert_true(log_advance_high_watermark(log, 40));
	assert_false(log_advance_high_watermark(log, 39));
	read_all(log, 35, LOG_READ_HIGH_WATERMARK, &b);
	assert_true(b.len > 0);
	assert_int_equal(log_read(log, 41, 1000, true, LOG_READ_LOG_END, false, &read),
			 K_OFFSET_OUT_OF_RANGE);
	assert_int_equal(log_read(log, -1, 1000, true, LOG_READ_LOG_END, false, &read),
			 K_OFFSET_OUT_OF_RANGE);
	buf_fini(&b);
	log_put(log);
}

static void
a_clean_stop_and_start_keeps_everything_and_scans_nothing(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.segment_bytes = 2000;
	s->config.index_interval_bytes = 100;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 200);
	log_set_high_watermark(log, 150);
	assert_true(log_segment_count(log) > 3);
	log_put(log);
	storage_stop(s, true);
	assert_true(storage_has_file(s, ".kafka_cleanshutdown"));
	assert_true(storage_has_file(s, "orders-0/00000000000000000200.snapshot"));
	storage_start(s);
	assert_false(storage_has_file(s, ".kafka_cleanshutdown"));
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 200);
	assert_int_equal(log_recovery_point(log), 200);
	assert_int_equal(log_manager_checkpointed_high_watermark(s->lm, "orders", 0), 150);
	assert_int_equal(count_records(log, 0), 200);
	append_many(log, 5);
	assert_int_equal(count_records(log, 0), 205);
	log_put(log);
}

static void
a_killed_process_loses_nothing_that_was_written(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.segment_bytes = 2000;
	s->config.index_interval_bytes = 100;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 200);
	log_put(log);
	storage_crash(s);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 200);
	assert_int_equal(count_records(log, 0), 200);
	append_many(log, 3);
	log_put(log);
	storage_crash(s);
	/* The same after a reboot: here the disk has everything. */
	s->boot_id = "boot-2";
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(count_records(log, 0), 203);
	log_put(log);
}

static void
a_torn_tail_is_cut_off(void **state)
{
	struct storage *s = *state;
	struct buf file = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 10);
	log_put(log);
	storage_crash(s);
	storage_read_file(s, "orders-0/00000000000000000000.log", &file);
	storage_write_file(s, "orders-0/00000000000000000000.log", file.data, file.len - 5);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 9);
	assert_int_equal(count_records(log, 0), 9);
	append_many(log, 1);
	assert_int_equal(count_records(log, 0), 10);
	log_put(log);
	buf_fini(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(offsets_are_assigned_and_records_come_back),
	    T(consumers_read_up_to_the_high_watermark),
	    T(a_clean_stop_and_start_keeps_everything_and_scans_nothing),
	    T(a_killed_process_loses_nothing_that_was_written),
	    T(a_torn_tail_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
