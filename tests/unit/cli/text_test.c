/* Settings lists, records parted from a stream, latencies counted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/latency.h"
#include "cli/record_splitter.h"
#include "cli/settings_text.h"

static void
settings_are_parted_by_commas_but_not_within_brackets(void **state)
{
	struct settings s = {0};

	(void)state;
	assert_int_equal(settings_parse(&s, "a=1, b = [x,y] ,c="), 0);
	assert_int_equal(s.count, 3);
	assert_string_equal(settings_get(&s, "a"), "1");
	assert_string_equal(settings_get(&s, "b"), "x,y");
	assert_string_equal(settings_get(&s, "c"), "");
	assert_int_equal(settings_parse_one(&s, "a=x,y=[z]"), 0);
	assert_string_equal(settings_get(&s, "a"), "x,y=[z]");
	assert_int_equal(s.count, 3);
	settings_fini(&s);
}

static void
settings_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"a", "=1", "a=1,b", "a=[x,y", ",", " =x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct settings s = {0};

		assert_int_equal(settings_parse(&s, bad[i]), -EINVAL);
		settings_fini(&s);
	}
}

static void
a_removed_setting_is_gone_and_others_stay(void **state)
{
	struct settings s = {0};

	(void)state;
	assert_int_equal(settings_parse(&s, "a=1,b=2,c=3"), 0);
	assert_true(settings_remove(&s, "b"));
	assert_false(settings_remove(&s, "b"));
	assert_null(settings_get(&s, "b"));
	assert_string_equal(settings_get(&s, "a"), "1");
	assert_string_equal(settings_get(&s, "c"), "3");
	settings_fini(&s);
}

/* Feeds text through a pipe, `step` bytes at a time, and expects the records of `expected`. */
static void
assert_splits(const char *text, const char *delimiter, size_t step, const char *const *expected,
	      size_t count)
{
	struct slice record;
	struct splitter s;
	size_t seen = 0, len = strlen(text), at = 0;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	splitter_init(&s, (struct slice){(const uint8_t *)delimiter, strlen(delimiter)});
	while (!s.ended) {
		size_t n = len - at < step ? len - at : step;

		if (n > 0)
			assert_int_equal(write(fds[1], text + at, n), (ssize_t)n);
		else
			close(fds[1]);
		at += n;
		assert_int_equal(splitter_read(&s, fds[0]), 0);
		while (splitter_next(&s, &record)) {
			assert_true(seen < count);
			assert_int_equal(record.len, strlen(expected[seen]));
			assert_memory_equal(record.data, expected[seen], record.len);
			seen++;
		}
	}
	assert_int_equal(seen, count);
	splitter_fini(&s);
	close(fds[0]);
}

static void
records_are_parted_wherever_the_stream_is_cut(void **state)
{
	static const char *const lines[] = {"one", "", "three", "rest"};
	static const char *const parts[] = {"a", "b-", "c"};

	(void)state;
	for (size_t step = 1; step <= 20; step++) {
		assert_splits("one\n\nthree\nrest", "\n", step, lines, 4);
		assert_splits("one\n\nthree\n", "\n", step, lines, 3);
		assert_splits("a--b---c", "--", step, (const char *const[]){"a", "b", "-c"}, 3);
		assert_splits("a<>b-<>c<>", "<>", step, parts, 3);
		assert_splits("", "\n", step, NULL, 0);
	}
}

static void
a_key_ends_at_the_first_delimiter(void **state)
{
	const struct slice colon = {(const uint8_t *)":", 1};
	struct slice key, value;

	(void)state;
	record_split_key((struct slice){(const uint8_t *)"a:b:c", 5}, colon, &key, &value);
	assert_int_equal(key.len, 1);
	assert_int_equal(value.len, 3);
	record_split_key((struct slice){(const uint8_t *)":b", 2}, colon, &key, &value);
	assert_non_null(key.data);
	assert_int_equal(key.len, 0);
	assert_int_equal(value.len, 1);
	record_split_key((struct slice){(const uint8_t *)"plain", 5}, colon, &key, &value);
	assert_null(key.data);
	assert_int_equal(value.len, 5);
}

static void
percentiles_are_within_one_part_in_a_hundred(void **state)
{
	static struct latencies l;

	(void)state;
	for (int64_t us = 1; us <= 100000; us++)
		latencies_add(&l, us);
	assert_int_equal(l.count, 100000);
	assert_int_equal(l.max_us, 100000);
	assert_in_range(latencies_percentile(&l, 0.5), 50000, 50500);
	assert_in_range(latencies_percentile(&l, 0.99), 99000, 99990);
	assert_int_equal(latencies_percentile(&l, 1.0), 100000);
	assert_in_range((uint64_t)latencies_mean_us(&l), 50000, 50001);
}

static void
latencies_beyond_any_bound_are_counted(void **state)
{
	static struct latencies l;

	(void)state;
	assert_int_equal(latencies_percentile(&l, 0.5), 0);
	latencies_add(&l, -5);
	latencies_add(&l, 255);
	latencies_add(&l, 256);
	latencies_add(&l, INT64_MAX);
	assert_int_equal(l.count, 4);
	assert_int_equal(latencies_percentile(&l, 0.25), 0);
	assert_int_equal(latencies_percentile(&l, 0.5), 255);
	assert_int_equal(latencies_percentile(&l, 0.75), 257);
	assert_int_equal(l.max_us, (uint64_t)INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_are_parted_by_commas_but_not_within_brackets),
	    cmocka_unit_test(settings_that_are_none_are_refused),
	    cmocka_unit_test(a_removed_setting_is_gone_and_others_stay),
	    cmocka_unit_test(records_are_parted_wherever_the_stream_is_cut),
	    cmocka_unit_test(a_key_ends_at_the_first_delimiter),
	    cmocka_unit_test(percentiles_are_within_one_part_in_a_hundred),
	    cmocka_unit_test(latencies_beyond_any_bound_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
