/* How far reassignments are, from what is seen of them; and lists of throttled replicas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/reassign_progress.h"
#include "cli/replication_throttle.h"

#define MB INT64_C(1000000)

static struct reassign_progress progress;

static int
teardown(void **state)
{
	(void)state;
	reassign_progress_fini(&progress);
	return 0;
}

static struct reassign_status
see(int64_t now_ms, const struct move_seen *seen, size_t count)
{
	struct reassign_status s;

	assert_int_equal(reassign_progress_see(&progress, now_ms, seen, count), 0);
	reassign_progress_status(&progress, now_ms, &s);
	return s;
}

static void
bytes_make_a_rate_and_the_rate_a_time(void **state)
{
	struct move_seen a = {"a", 0, 100 * MB, 10 * MB}, seen[2] = {a, {"a", 1, 100 * MB, 0}};
	struct reassign_status s = see(1000, seen, 2);

	(void)state;
	assert_int_equal(s.partitions, 2);
	assert_int_equal(s.done, 0);
	assert_int_equal(s.total_bytes, 200 * MB);
	assert_int_equal(s.rate, -1);
	assert_int_equal(s.left_ms, -1);
	seen[0].copied_bytes = 40 * MB; /* the 10 of the start do not count as fast */
	seen[1].copied_bytes = 30 * MB;
	s = see(4000, seen, 2);
	assert_int_equal(s.copied_bytes, 70 * MB);
	assert_int_equal(s.rate, 20 * MB);
	assert_int_equal(s.left_ms, 6500);
	assert_int_equal(s.spent_ms, 3000);
}

static void
what_is_not_seen_any_longer_is_done_and_whole(void **state)
{
	struct move_seen seen[] = {{"a", 0, 100 * MB, 0}, {"b", 7, 50 * MB, 20 * MB}};
	struct reassign_status s;

	(void)state;
	see(0, seen, 2);
	s = see(1000, &seen[1], 1);
	assert_int_equal(s.done, 1);
	assert_int_equal(s.copied_bytes, 120 * MB);
	s = see(2000, NULL, 0);
	assert_int_equal(s.done, 2);
	assert_int_equal(s.copied_bytes, 150 * MB);
	assert_int_equal(s.left_ms, 0);
}

static void
what_comes_later_counts_too(void **state)
{
	struct move_seen seen[] = {{"a", 0, MB, MB}, {"a", 10, 3 * MB, 0}};
	struct reassign_status s;

	(void)state;
	see(0, seen, 1);
	s = see(1000, seen, 2);
	assert_int_equal(s.partitions, 2);
	assert_int_equal(s.total_bytes, 4 * MB);
}

static void
sizes_that_are_not_known_add_nothing_and_copied_bytes_never_go_back(void **state)
{
	struct move_seen seen[] = {{"a", 0, -1, -1}, {"b", 0, 10 * MB, 8 * MB}};
	struct reassign_status s = see(0, seen, 2);

	(void)state;
	assert_int_equal(s.total_bytes, 10 * MB);
	seen[1].copied_bytes = 2 * MB; /* retention on the new broker */
	s = see(1000, seen, 2);
	assert_int_equal(s.copied_bytes, 8 * MB);
	seen[1].total_bytes = 5 * MB; /* on the old one */
	s = see(2000, seen, 2);
	assert_int_equal(s.copied_bytes, 5 * MB);
}

static void
the_rate_is_that_of_late(void **state)
{
	struct move_seen seen = {"a", 0, 100000 * MB, 0};
	struct reassign_status s = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		seen.copied_bytes += i < 50 ? 100 * MB : 10 * MB;
		s = see(i * 1000, &seen, 1);
	}
	assert_int_equal(s.rate, 10 * MB);
}

static void
assert_text(const struct reassign_status *s, const char *expected)
{
	struct buf text = {0};

	reassign_status_format(s, &text);
	assert_string_equal(buf_text(&text), expected);
	buf_fini(&text);
}

static void
a_status_reads_as_a_line(void **state)
{
	struct reassign_status s = {12, 3, 4000 * MB, 1500 * MB, 52100000, 48000, 0};

	(void)state;
	assert_text(&s, "3 of 12 partitions, 1.5 GB of 4.0 GB, 52.1 MB/s, 48 s left");
	s.left_ms = 200500;
	assert_text(&s, "3 of 12 partitions, 1.5 GB of 4.0 GB, 52.1 MB/s, 3 min 21 s left");
	s.left_ms = 7500000;
	assert_text(&s, "3 of 12 partitions, 1.5 GB of 4.0 GB, 52.1 MB/s, 2 h 5 min left");
	s.rate = s.left_ms = -1;
	assert_text(&s, "3 of 12 partitions, 1.5 GB of 4.0 GB");
	s.total_bytes = s.copied_bytes = 0;
	assert_text(&s, "3 of 12 partitions");
	s = (struct reassign_status){1, 1, 999960, 999960, 100, 0, 0};
	assert_text(&s, "1 of 1 partition, 1.0 MB of 1.0 MB");
	s = (struct reassign_status){1, 0, 999, 0, 0, -1, 0};
	assert_text(&s, "0 of 1 partition, 0 bytes of 999 bytes, 0 bytes/s");
}

static void
brokers_are_taken_from_a_list_of_throttled_replicas(void **state)
{
	int32_t ids[8] = {5};
	size_t count = 1;

	(void)state;
	assert_true(throttle_list_brokers("0:1,0:2,17:1,3:5", ids, &count));
	assert_int_equal(count, 3);
	assert_int_equal(ids[1], 1);
	assert_int_equal(ids[2], 2);
	assert_true(throttle_list_brokers("", ids, &count));
	assert_int_equal(count, 3);
}

static void
other_lists_are_left_alone(void **state)
{
	static const char *const others[] = {"*",    "none", "1",    "1:",           ":1",
					     "1:2,", ",1:2", "1:-2", "1:4294967296", "1:2;3:4"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		int32_t ids[8];
		size_t count = 0;

		assert_false(throttle_list_brokers(others[i], ids, &count));
		assert_int_equal(count, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(bytes_make_a_rate_and_the_rate_a_time, teardown),
	    cmocka_unit_test_teardown(what_is_not_seen_any_longer_is_done_and_whole, teardown),
	    cmocka_unit_test_teardown(what_comes_later_counts_too, teardown),
	    cmocka_unit_test_teardown(
		sizes_that_are_not_known_add_nothing_and_copied_bytes_never_go_back, teardown),
	    cmocka_unit_test_teardown(the_rate_is_that_of_late, teardown),
	    cmocka_unit_test(a_status_reads_as_a_line),
	    cmocka_unit_test(brokers_are_taken_from_a_list_of_throttled_replicas),
	    cmocka_unit_test(other_lists_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
