/* Rates over windows; the times are the test's own. */
#include "base/rate.h"

#include <math.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WINDOWS 11
#define WINDOW_MS 1000
#define MAX_MS 1000
#define START_MS 5000000

static struct rate rate;

static int
open_rate(void **state)
{
	*state = &rate;
	return rate_init(&rate, WINDOWS, WINDOW_MS);
}

static int
close_rate(void **state)
{
	rate_fini(*state);
	return 0;
}

static void
assert_rate(struct rate *r, double per_second, int64_t now_ms)
{
	double got = rate_per_second(r, now_ms);

	if (fabs(got - per_second) > 1e-9)
		fail_msg("%f a second, not %f", got, per_second);
}

static void
a_young_rate_is_spread_over_all_windows_but_one(void **state)
{
	struct rate *r = *state;

	assert_rate(r, 0, START_MS);
	rate_record(r, 30, START_MS);
	assert_rate(r, 3, START_MS);
	assert_rate(r, 30 / 10.4, START_MS + 400);
	assert_rate(r, 30 / 10.0, START_MS + 10000);
}

static void
what_is_older_than_all_windows_is_forgotten(void **state)
{
	struct rate *r = *state;

	rate_record(r, 22, START_MS);
	rate_record(r, 11, START_MS + 5000);
	assert_rate(r, 33 / 10.999, START_MS + 10999);
	assert_rate(r, 11 / 10.0, START_MS + 11000); /* as if only one window were missing */
	assert_rate(r, 0, START_MS + 16000);
	rate_record(r, 10, START_MS + 99000);
	assert_rate(r, 1, START_MS + 99000);
}

static void
what_is_taken_back_was_never_there(void **state)
{
	struct rate *r = *state;

	rate_record(r, 10, START_MS);
	rate_record(r, 7, START_MS + 10);
	rate_record(r, -7, START_MS + 20);
	assert_rate(r, 1, START_MS);
}

static void
the_pause_is_as_long_as_the_limit_needs_and_never_above_its_own_limit(void **state)
{
	struct rate *r = *state;

	rate_record(r, 20, START_MS);
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS, START_MS), 0);
	rate_record(r, 1, START_MS);
	/* 21 in 10 s at 2 a second: half a second too early. */
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS, START_MS), 500);
	assert_int_equal(rate_throttle_ms(r, 2, 300, START_MS), 300);
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS, START_MS + 500), 0);
	rate_record(r, 100, START_MS);
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS, START_MS), MAX_MS);
	assert_int_equal(rate_throttle_ms(r, 0, MAX_MS, START_MS), MAX_MS);
}

/* Whoever obeys the pauses stays at the limit, however eager. */
static void
pauses_that_are_obeyed_hold_the_limit(void **state)
{
	struct rate *r = *state;
	int64_t now_ms = START_MS, count = 0;

	while (now_ms < START_MS + 100000) {
		int64_t pause_ms;

		rate_record(r, 1, now_ms);
		count++;
		pause_ms = rate_throttle_ms(r, 5, MAX_MS, now_ms);
		now_ms += pause_ms;
	}
	assert_in_range(count, 500, 550); /* with the burst at the start */
}

static void
a_simple_rate_is_spread_over_the_time_since_it_began(void **state)
{
	struct rate simple, *r = &simple;

	(void)state;
	assert_int_equal(rate_init_simple(r, WINDOWS, WINDOW_MS), 0);
	assert_rate(r, 0, START_MS);
	rate_record(r, 30, START_MS);
	assert_rate(r, 30, START_MS);
	assert_rate(r, 30, START_MS + 1000);
	assert_rate(r, 10, START_MS + 3000);
	/* At 2 a second they are worth 15 seconds; after eleven they are forgotten. */
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS * 60, START_MS + 3000), 12000);
	assert_int_equal(rate_throttle_ms(r, 2, MAX_MS, START_MS + 3000), MAX_MS);
	assert_rate(r, 0, START_MS + 11000);
	rate_fini(r);
}

static void
one_window_alone_is_enough(void **state)
{
	struct rate one;

	(void)state;
	assert_int_equal(rate_init(&one, 1, 100), 0);
	rate_record(&one, 5, START_MS);
	assert_rate(&one, 5000, START_MS);
	assert_rate(&one, 100, START_MS + 50);
	assert_rate(&one, 0, START_MS + 100);
	rate_record(&one, 1, START_MS + 100);
	assert_rate(&one, 20, START_MS + 150);
	rate_fini(&one);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rate, close_rate)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_young_rate_is_spread_over_all_windows_but_one),
	    TEST(what_is_older_than_all_windows_is_forgotten),
	    TEST(what_is_taken_back_was_never_there),
	    TEST(the_pause_is_as_long_as_the_limit_needs_and_never_above_its_own_limit),
	    TEST(pauses_that_are_obeyed_hold_the_limit),
	    cmocka_unit_test(a_simple_rate_is_spread_over_the_time_since_it_began),
	    cmocka_unit_test(one_window_alone_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
