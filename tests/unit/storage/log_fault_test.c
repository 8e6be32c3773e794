/*
 * Every call to the disk fails in turn, or the process dies at it, with and without a torn write;
 * after each, a new start must find all that was acknowledged, and go on.
 */
#include <errno.h>

#include "storage/log_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define NOW 1700000000000

/* What the scenario was told by the log. */
struct acknowledged {
	int64_t end_offset;   /* every offset below it was acknowledged */
	int64_t start_offset; /* the highest log start offset that was asked for */
	int64_t tried_end;    /* the highest end offset that may be there */
	int64_t cut_to;       /* a truncation to here was asked for; INT64_MAX for none */
};

static bool
append_some(struct log *log, int n, struct acknowledged *acked)
{
	const struct batch_spec spec = {.timestamp_ms = NOW, .count = 2};

	for (int i = 0; i < n; i++) {
		struct log_append_result result;
		int64_t end = log_end_offset(log) + 2;

		if (end > acked->tried_end)
			acked->tried_end = end;
		if (append_batch(log, &spec, &result) != 0)
			return false;
		acked->end_offset = result.log_end_offset;
	}
	return true;
}

/* A log's life in small: rolls, a flush, a new start, a cut end, retention. Stops at a failure. */
static void
live(struct storage *s, struct acknowledged *acked)
{
	struct log *log;
	int32_t deleted;

	if (storage_try_start(s) != 0)
		return;
	if (log_manager_get_or_create(s->lm, "orders", 0, NULL, true, &log) != 0)
		return;
	if (!append_some(log, 12, acked) || log_flush(log, log_end_offset(log)) != 0 ||
	    log_assign_epoch_start_offset(log, 3, log_end_offset(log)) != 0 ||
	    !append_some(log, 12, acked))
		goto out;
	log_set_high_watermark(log, log_end_offset(log));
	acked->start_offset = 15;
	if (log_raise_start_offset(log, 15) != 0 || log_delete_old_segments(log, &deleted) != 0)
		goto out;
	acked->cut_to = 30;
	if (log_truncate_to(log, 30) != 0)
		goto out;
	acked->cut_to = INT64_MAX;
	acked->end_offset = 30;
	if (!append_some(log, 8, acked))
		goto out;
	log_flush_async(log, log_end_offset(log), NULL, NULL);
out:
	log_put(log);
}

/* What a new start finds must agree with what was acknowledged. */
static void
check(struct storage *s, const struct acknowledged *acked)
{
	struct log_offsets offsets;
	struct log *log;
	int64_t from;

	storage_start(s);
	log = storage_log(s);
	log_offsets(log, &offsets);
	if (acked->cut_to == INT64_MAX)
		assert_true(offsets.log_end_offset >= acked->end_offset);
	else
		assert_true(offsets.log_end_offset >= acked->cut_to);
	assert_true(offsets.log_end_offset <= acked->tried_end);
	assert_true(offsets.log_start_offset <= acked->start_offset);
	/* Reading may begin within a batch, at the start of which counting begins. */
	from = offsets.log_start_offset;
	assert_true(count_records(log, from) >= offsets.log_end_offset - from);
	append_many(log, 3);
	assert_int_equal(log_end_offset(log), offsets.log_end_offset + 3);
	assert_true(log_latest_epoch(log) >= 0 || acked->end_offset == 0);
	log_put(log);
}

static void
small_segments(struct storage *s)
{
	s->config.segment_bytes = 500;
	s->config.index_interval_bytes = 150;
	s->config.file_delete_delay_ms = 0;
}

/*
 * Runs the scenario again and again, `arm` deciding what goes wrong at call n, until nothing does.
 */
static void
for_every_call(void **state, void (*arm)(struct machine *m, int64_t n), bool clean_stop)
{
	for (int64_t n = 0;; n++) {
		struct acknowledged acked = {.cut_to = INT64_MAX};
		struct storage *s;
		int64_t calls;
		void *own;

		assert_int_equal(storage_setup(&own), 0);
		s = own;
		small_segments(s);
		arm(&s->machine, n);
		live(s, &acked);
		storage_stop(s, clean_stop);
		calls = atomic_load(&s->machine.calls);
		machine_repair(&s->machine);
		check(s, &acked);
		assert_int_equal(storage_teardown(&own), 0);
		/* The manager's last calls are in the background: stop well after the end. */
		if (calls < n)
			break;
		assert_true(n < 5000);
	}
	(void)state;
}

static void
arm_kill(struct machine *m, int64_t n)
{
	machine_kill_at(m, n, false);
}

static void
arm_torn_kill(struct machine *m, int64_t n)
{
	machine_kill_at(m, n, true);
}

static void
arm_error(struct machine *m, int64_t n)
{
	machine_fail_at(m, n, EIO);
}

static void
arm_full(struct machine *m, int64_t n)
{
	machine_fail_at(m, n, ENOSPC);
}

static void
a_process_that_dies_at_any_call_loses_nothing_acknowledged(void **state)
{
	for_every_call(state, arm_kill, false);
}

static void
a_write_torn_at_any_call_is_cut_off(void **state)
{
	for_every_call(state, arm_torn_kill, false);
}

static void
an_io_error_at_any_call_loses_nothing_acknowledged(void **state)
{
	for_every_call(state, arm_error, true);
}

static void
want_of_room_at_any_call_loses_nothing_acknowledged(void **state)
{
	for_every_call(state, arm_full, true);
}

static void
a_full_disk_refuses_appends_and_goes_on_when_there_is_room(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW, .value_bytes = 300};
	struct storage *s = *state;
	struct log *log;
	int64_t size;
	int refused = 0;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 5);
	/* Room for less than a batch: a part of it is written, and cut off again. */
	for (int64_t room = 0; room < 360; room += 7) {
		size = storage_file_size(s, "orders-0/00000000000000000000.log");
		atomic_store(&s->machine.room_bytes, room);
		assert_int_equal(append_batch(log, &spec, NULL), -ENOSPC);
		refused++;
		assert_int_equal(storage_file_size(s, "orders-0/00000000000000000000.log"), size);
		assert_false(log_is_offline(log));
		atomic_store(&s->machine.room_bytes, INT64_MAX);
		assert_int_equal(append_batch(log, &spec, NULL), 0);
	}
	assert_int_equal(count_records(log, 0), 5 + refused);
	assert_int_equal(s->dir_failures, 0);
	log_put(log);
}

static void
a_full_disk_takes_nothing_offline_that_need_not_be_written(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW, .value_bytes = 300};
	struct storage *s = *state;
	struct log *log;

	s->config.index_interval_bytes = 100; /* index entries wait in memory */
	storage_start(s);
	log = storage_log(s);
	append_many(log, 5);
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	atomic_store(&s->machine.room_bytes, 0);
	/* Records are flushed, leaders come and go; appends wait for room. */
	assert_int_equal(log_flush(log, log_end_offset(log)), 0);
	assert_int_equal(log_flush_fully(log), 0);
	assert_int_equal(log_assign_epoch_start_offset(log, 7, log_end_offset(log)), 0);
	assert_int_equal(append_batch(log, &spec, NULL), -ENOSPC);
	atomic_store(&s->machine.room_bytes, INT64_MAX);
	assert_int_equal(append_batch(log, &spec, NULL), 0);
	assert_false(log_is_offline(log));
	assert_int_equal(s->dir_failures, 0);
	log_put(log);
}

static void
an_io_error_takes_the_directory_offline_and_tells_once(void **state)
{
	const struct batch_spec spec = {.timestamp_ms = NOW};
	struct storage *s = *state;
	struct log *log, *other;
	struct log_read read;

	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_manager_get_or_create(s->lm, "other", 0, NULL, true, &other), 0);
	append_many(log, 3);
	machine_fail_at(&s->machine, 0, EIO);
	assert_int_equal(append_batch(log, &spec, NULL), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(append_batch(log, &spec, NULL), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(append_batch(other, &spec, NULL), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(log_read(log, 0, 100, true, LOG_READ_LOG_END, false, &read),
			 K_KAFKA_STORAGE_ERROR);
	assert_true(log_is_offline(log));
	assert_int_equal(s->dir_failures, 1);
	log_put(log);
	log_put(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    cmocka_unit_test(a_process_that_dies_at_any_call_loses_nothing_acknowledged),
	    cmocka_unit_test(a_write_torn_at_any_call_is_cut_off),
	    cmocka_unit_test(an_io_error_at_any_call_loses_nothing_acknowledged),
	    cmocka_unit_test(want_of_room_at_any_call_loses_nothing_acknowledged),
	    T(a_full_disk_refuses_appends_and_goes_on_when_there_is_room),
	    T(a_full_disk_takes_nothing_offline_that_need_not_be_written),
	    T(an_io_error_takes_the_directory_offline_and_tells_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
