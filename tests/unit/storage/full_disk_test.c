/* Logs that could not be loaded or made because the disk was full come when there is room. */
#include <errno.h>

#include "storage/log_manager_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define NO_ROOM 0

static void
set_room(struct storage *s, int64_t bytes)
{
	atomic_store(&s->machine.room_bytes, bytes);
}

/* A while later the broker ticks, and what is due then has been done. */
static void
pass(struct storage *s, int64_t ms)
{
	atomic_fetch_add(&s->machine.monotonic_us, ms * 1000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	log_jobs_wait(&s->lm->jobs);
}

/* Two logs with ten records each, of a machine that lost its power, on a disk that is full now. */
static void
start_full(struct storage *s)
{
	struct log *log, *other;

	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_manager_get_or_create(s->lm, "other", 7, NULL, true, &other), 0);
	append_many(log, 10);
	append_many(other, 10);
	log_put(log);
	log_put(other);
	storage_crash(s);
	s->boot_id = "boot-2";
	set_room(s, NO_ROOM);
	atomic_store(&s->logs_loaded, 0);
	storage_start(s);
}

static void
logs_that_could_not_be_loaded_are_when_there_is_room(void **state)
{
	struct storage *s = *state;
	struct log *log;

	start_full(s);
	assert_int_equal(s->logs_loaded, 0);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, NULL, false, &log),
			 K_KAFKA_STORAGE_ERROR);
	for (int i = 0; i < 5; i++)
		pass(s, 1000);
	assert_int_equal(s->logs_loaded, 0);
	assert_int_equal(s->rooms_came, 0);
	set_room(s, INT64_MAX);
	pass(s, 1000);
	assert_int_equal(s->logs_loaded, 2);
	assert_true(s->rooms_came > 0);
	assert_int_equal(s->dir_failures, 0);
	log = storage_log(s);
	assert_int_equal(count_records(log, 0), 10);
	append_many(log, 1);
	log_put(log);
	/* Nothing is missing: the stop is a clean one. */
	storage_stop(s, true);
	assert_true(storage_has_file(s, CLEAN_SHUTDOWN_MARK));
	assert_false(storage_has_file(s, ".klamm_room"));
}

static void
a_stop_while_logs_wait_for_room_is_not_marked_clean(void **state)
{
	struct storage *s = *state;
	struct log *log;

	start_full(s);
	pass(s, 1000);
	set_room(s, INT64_MAX);
	storage_stop(s, true);
	assert_false(storage_has_file(s, CLEAN_SHUTDOWN_MARK));
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(count_records(log, 0), 10);
	log_put(log);
}

static void
a_new_log_that_found_no_room_may_come_when_there_is_some(void **state)
{
	const struct uuid id = {{1, 2, 3}};
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	set_room(s, NO_ROOM);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log), -ENOSPC);
	pass(s, 1000);
	pass(s, 1000);
	assert_int_equal(s->rooms_came, 0);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log), -ENOSPC);
	set_room(s, INT64_MAX);
	pass(s, 1000);
	assert_int_equal(s->rooms_came, 1);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log), 0);
	append_many(log, 1);
	log_put(log);
	pass(s, 1000);
	assert_int_equal(s->rooms_came, 1);
}

/* Room for what is written to look for it, but not for the logs: they are tried less and less. */
static void
looks_that_do_not_help_come_later_each_time(void **state)
{
	const struct uuid id = {{1, 2, 3}};
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	for (int second = 0; second < 100; second++) {
		set_room(s, NO_ROOM);
		assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log),
				 -ENOSPC);
		set_room(s, INT64_MAX);
		pass(s, 1000);
	}
	assert_true(s->rooms_came >= 5);
	assert_true(s->rooms_came <= 8);
}

static void
a_new_log_goes_where_there_is_room(void **state)
{
	struct storage *s = *state;
	struct log *log, *next;

	s->dir_count = 2;
	storage_start(s);
	machine_fail_at(&s->machine, 0, ENOSPC);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, NULL, true, &log), 0);
	assert_string_equal(log_parent_dir(log), s->dirs[1]);
	/* The first has fewer logs, but it is full as far as is known. */
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 1, NULL, true, &next), 0);
	assert_string_equal(log_parent_dir(next), s->dirs[1]);
	log_put(next);
	pass(s, 1000);
	assert_int_equal(s->rooms_came, 1);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 2, NULL, true, &next), 0);
	assert_string_equal(log_parent_dir(next), s->dirs[0]);
	log_put(next);
	log_put(log);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, storage_setup, storage_teardown)
	const struct CMUnitTest tests[] = {
	    T(logs_that_could_not_be_loaded_are_when_there_is_room),
	    T(a_stop_while_logs_wait_for_room_is_not_marked_clean),
	    T(a_new_log_that_found_no_room_may_come_when_there_is_some),
	    T(looks_that_do_not_help_come_later_each_time),
	    T(a_new_log_goes_where_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
