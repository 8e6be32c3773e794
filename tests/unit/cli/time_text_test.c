/* Times and durations as ISO 8601 writes them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/time_text.h"

static void
assert_time(const char *text, int64_t expected_ms)
{
	int64_t ms = -1;

	assert_int_equal(time_parse(text, &ms), 0);
	assert_int_equal(ms, expected_ms);
}

static void
a_time_is_milliseconds_or_iso_8601(void **state)
{
	(void)state;
	assert_time("0", 0);
	assert_time("1732104000123", 1732104000123);
	assert_time("1970-01-01", 0);
	assert_time("2024-11-20T12:00:00Z", 1732104000000);
	assert_time("2024-11-20T12:00:00", 1732104000000);
	assert_time("2024-11-20 12:00", 1732104000000);
	assert_time("2024-11-20T13:00:00+01:00", 1732104000000);
	assert_time("2024-11-20T06:30-0530", 1732104000000);
	assert_time("2024-11-20T12:00:00.25Z", 1732104000250);
	assert_time("2024-11-20T12:00:00.123456Z", 1732104000123);
	assert_time("2000-02-29T00:00:00Z", 951782400000);
	assert_time("2100-03-01", 4107542400000);
}

static void
a_time_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "-1",
					  "12x",
					  "2024-13-01",
					  "2023-02-29",
					  "2100-02-29",
					  "2024-11-20T25:00",
					  "2024-11-20T12",
					  "2024-11-20T12:00:60",
					  "2024-11-20T12:00:00.Z",
					  "2024-11-20T12:00:00 UTC",
					  "2024-11-20Z+01:00",
					  "1969-12-31",
					  "99999999999999999999"};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(time_parse(bad[i], &ms), -EINVAL);
	assert_int_equal(ms, 7);
}

static void
assert_duration(const char *text, int64_t expected_ms)
{
	int64_t ms = -1;

	assert_int_equal(duration_parse(text, &ms), 0);
	assert_int_equal(ms, expected_ms);
}

static void
a_duration_is_days_hours_minutes_and_seconds(void **state)
{
	(void)state;
	assert_duration("P1D", 86400000);
	assert_duration("PT1H", 3600000);
	assert_duration("PT90M", 5400000);
	assert_duration("PT20.345S", 20345);
	assert_duration("PT0,5S", 500);
	assert_duration("PT1.S", 1000);
	assert_duration("PT0.123456789S", 123);
	assert_duration("P2DT3H4M5S", 183845000);
	assert_duration("p1dt1h1m1s", 90061000);
	assert_duration("P0DT0H0M0S", 0);
	assert_duration("P36500D", 3153600000000);
}

static void
a_duration_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "P",
					  "PT",
					  "P1DT",
					  "1D",
					  "P1H",
					  "PT1D",
					  "P1M",
					  "P1Y",
					  "P1",
					  "PT1",
					  "PD",
					  "PT.5S",
					  "PT1.5H",
					  "P1.5D",
					  "PT0.1234567890S",
					  "PT1S1M",
					  "PT1M1M",
					  "PT1HT1M",
					  "P-1D",
					  "-P1D",
					  "PT+1S",
					  " P1D",
					  "P1D ",
					  "P999999999999999D",
					  "P9999999999999999999D"};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(duration_parse(bad[i], &ms), -EINVAL);
	assert_int_equal(ms, 7);
}

static void
times_and_durations_are_written_for_people(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} durations[] = {{-5, "0 ms"},           {250, "250 ms"},       {59999, "59 s"},
			 {60000, "1 min"},       {185000, "3 min 5 s"}, {7200000, "2 h"},
			 {7260000, "2 h 1 min"}, {442800000, "5 d 3 h"}};
	char text[DURATION_TEXT_LEN];
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(durations); i++)
		assert_string_equal(duration_format(durations[i].ms, text, sizeof(text)),
				    durations[i].text);
	assert_int_equal(time_parse("2026-11-20T12:00:07.250Z", &ms), 0);
	assert_string_equal(time_format(ms, text, sizeof(text)), "2026-11-20T12:00:07Z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_time_is_milliseconds_or_iso_8601),
	    cmocka_unit_test(a_time_that_is_none_is_refused),
	    cmocka_unit_test(a_duration_is_days_hours_minutes_and_seconds),
	    cmocka_unit_test(a_duration_that_is_none_is_refused),
	    cmocka_unit_test(times_and_durations_are_written_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
