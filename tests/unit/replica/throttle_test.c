/* When throttled replicas have moved too much, and which are throttled; the times are the test's.
 */
#include "replica/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WINDOWS 11
#define WINDOW_MS 1000
#define START_MS 7000000
#define MAX_MS 1000
#define RATE 1000
#define BATCH 700

static struct throttle throttle;
static struct throttled_topics topics;

static int
open_throttle(void **state)
{
	*state = &throttle;
	return throttle_init(&throttle, "test", WINDOWS, WINDOW_MS);
}

static int
close_throttle(void **state)
{
	throttle_fini(*state);
	return 0;
}

static int
close_topics(void **state)
{
	(void)state;
	throttled_topics_fini(&topics);
	topics = (struct throttled_topics){0};
	return 0;
}

static void
the_rate_is_exceeded_only_above_the_limit_and_until_enough_time_has_passed(void **state)
{
	struct throttle *t = *state;

	assert_false(throttle_is_exceeded(t, RATE, START_MS));
	throttle_record(t, RATE, START_MS);
	assert_false(throttle_is_exceeded(t, RATE, START_MS));
	throttle_record(t, RATE * 2, START_MS + 10);
	assert_true(throttle_is_exceeded(t, RATE, START_MS + 10));
	assert_true(throttle_is_exceeded(t, RATE, START_MS + 2999));
	assert_false(throttle_is_exceeded(t, RATE, START_MS + 3000));
}

static void
without_a_limit_nothing_is_too_much(void **state)
{
	struct throttle *t = *state;

	throttle_record(t, INT64_MAX / 2, START_MS);
	assert_false(throttle_is_exceeded(t, INT64_MAX, START_MS));
	assert_int_equal(throttle_pause_ms(t, INT64_MAX, MAX_MS, START_MS), 0);
	assert_true(throttle_is_exceeded(t, INT64_MAX - 1, START_MS) ||
		    throttle_is_exceeded(t, RATE, START_MS));
}

static void
a_limit_of_nothing_lets_one_batch_pass_and_then_none_until_it_is_forgotten(void **state)
{
	struct throttle *t = *state;

	assert_false(throttle_is_exceeded(t, 0, START_MS));
	throttle_record(t, BATCH, START_MS);
	assert_true(throttle_is_exceeded(t, 0, START_MS));
	assert_int_equal(throttle_pause_ms(t, 0, MAX_MS, START_MS), MAX_MS);
	assert_true(throttle_is_exceeded(t, 0, START_MS + (int64_t)WINDOWS * WINDOW_MS - 1));
	assert_false(throttle_is_exceeded(t, 0, START_MS + (int64_t)WINDOWS * WINDOW_MS));
}

/* Two followers that copy as fast as they may move what the limit says, whatever a batch's size. */
static void
whoever_obeys_moves_at_the_rate(void **state)
{
	static const int64_t batches[] = {10, 700, 5000, 9000};

	for (size_t b = 0; b < ARRAY_LEN(batches); b++) {
		struct throttle *t = *state;
		int64_t moved = 0, seconds = 100;

		for (int64_t now_ms = START_MS; now_ms < START_MS + seconds * 1000; now_ms++) {
			if (throttle_is_exceeded(t, RATE, now_ms))
				continue;
			throttle_record(t, batches[b], now_ms);
			moved += batches[b];
			/* At any moment: the limit and one batch; a window that ends gives a part.
			 */
			assert_true(moved <= RATE * (1 + (now_ms - START_MS) / 1000 + 1) +
						 batches[b] + moved / WINDOWS);
		}
		assert_in_range(moved, RATE * seconds * 9 / 10,
				RATE * seconds * 12 / 10 + batches[b]);
		throttle_fini(t);
		assert_int_equal(throttle_init(t, "test", WINDOWS, WINDOW_MS), 0);
	}
}

static void
the_pause_lasts_until_the_rate_is_no_longer_exceeded(void **state)
{
	struct throttle *t = *state;
	int64_t pause_ms;

	throttle_record(t, RATE * 3 / 2, START_MS);
	pause_ms = throttle_pause_ms(t, RATE, MAX_MS, START_MS + 1000);
	assert_int_equal(pause_ms, 500);
	assert_true(throttle_is_exceeded(t, RATE, START_MS + 1000 + pause_ms - 1));
	assert_false(throttle_is_exceeded(t, RATE, START_MS + 1000 + pause_ms));
	assert_int_equal(throttle_pause_ms(t, RATE, MAX_MS, START_MS + 1000 + pause_ms), 0);
}

static void
a_list_names_partitions_of_this_broker(void **state)
{
	(void)state;
	topics.broker_id = 2;
	assert_false(throttled_topics_have(&topics, "t", "", 0));
	assert_false(throttled_topics_have(&topics, "t", NULL, 0));
	assert_true(throttled_topics_have(&topics, "t", "*", 0));
	assert_true(throttled_topics_have(&topics, "t", " * ", 99));
	assert_true(throttled_topics_have(&topics, "t", "7:1, 5:2,0:2 ,9:22", 0));
	assert_true(throttled_topics_have(&topics, "t", "7:1, 5:2,0:2 ,9:22", 5));
	assert_false(throttled_topics_have(&topics, "t", "7:1, 5:2,0:2 ,9:22", 7));
	assert_false(throttled_topics_have(&topics, "t", "7:1, 5:2,0:2 ,9:22", 9));
	assert_false(throttled_topics_have(&topics, "other", "7:1", 0));
}

static void
what_is_no_list_names_nobody(void **state)
{
	static const char *const wrong[] = {"0:2,x",   "0",    "0:2:2",        "*,0:2",
					    "0:2;1:2", "-1:2", "0:99999999999"};

	(void)state;
	topics.broker_id = 2;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(throttled_topics_have(&topics, "t", wrong[i], 0));
}

static void
a_list_that_changes_is_read_again_and_one_that_goes_is_forgotten(void **state)
{
	(void)state;
	topics.broker_id = 2;
	assert_true(throttled_topics_have(&topics, "t", "1:2", 1));
	assert_false(throttled_topics_have(&topics, "t", "3:2", 1));
	assert_true(throttled_topics_have(&topics, "t", "3:2", 3));
	assert_int_equal(topics.by_name.count, 1);
	assert_false(throttled_topics_have(&topics, "t", "", 3));
	assert_int_equal(topics.by_name.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_throttle, close_throttle)
#define LIST_TEST(name) cmocka_unit_test_teardown(name, close_topics)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_rate_is_exceeded_only_above_the_limit_and_until_enough_time_has_passed),
	    TEST(without_a_limit_nothing_is_too_much),
	    TEST(a_limit_of_nothing_lets_one_batch_pass_and_then_none_until_it_is_forgotten),
	    TEST(whoever_obeys_moves_at_the_rate),
	    TEST(the_pause_lasts_until_the_rate_is_no_longer_exceeded),
	    LIST_TEST(a_list_names_partitions_of_this_broker),
	    LIST_TEST(what_is_no_list_names_nobody),
	    LIST_TEST(a_list_that_changes_is_read_again_and_one_that_goes_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
