/* Plans of reassignments in Kafka's JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/assignment_file.h"

static struct arena arena;
static struct assignment got;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static int
parse(const char *text, struct buf *why)
{
	return assignment_parse((struct slice){(const uint8_t *)text, strlen(text)}, &arena, &got,
				why);
}

static void
what_kafkas_tool_writes_is_read_and_sorted(void **state)
{
	struct buf why = {0};

	(void)state;
	assert_int_equal(parse("{\"version\":1,\"partitions\":[{\"topic\":\"b\",\"partition\":10,"
			       "\"replicas\":[3,1],\"log_dirs\":[\"any\",\"any\"]},"
			       "{\"topic\":\"b\",\"partition\":9,\"replicas\":[2]},"
			       "{\"topic\":\"a\",\"partition\":0,\"replicas\":[0]}]}",
			       &why),
			 0);
	assert_int_equal(got.count, 3);
	assert_string_equal(got.items[0].topic, "a");
	assert_int_equal(got.items[1].partition, 9);
	assert_int_equal(got.items[2].replica_count, 2);
	assert_int_equal(got.items[2].replicas[0], 3);
	assert_ptr_equal(assignment_find(&got, "b", 10), &got.items[2]);
	assert_null(assignment_find(&got, "b", 11));
}

static void
what_is_written_is_read_again(void **state)
{
	static const int32_t replicas[] = {3, 1, 2};
	struct assigned_partition items[] = {{"a", 0, replicas, 3},
					     {"a.b-c_d", 12, replicas + 1, 1}};
	struct assignment a = {items, 2};
	struct buf text = {0}, why = {0};

	(void)state;
	assignment_format(&a, &text);
	assert_string_equal(buf_text(&text),
			    "{\"version\":1,\"partitions\":[\n"
			    "{\"topic\":\"a\",\"partition\":0,\"replicas\":[3,1,2]},\n"
			    "{\"topic\":\"a.b-c_d\",\"partition\":12,\"replicas\":[1]}\n]}\n");
	assert_int_equal(parse(buf_text(&text), &why), 0);
	assert_int_equal(got.count, 2);
	assert_int_equal(got.items[1].replicas[0], 1);
	buf_fini(&text);
	a.count = 0;
	assignment_format(&a, &text);
	assert_int_equal(parse(buf_text(&text), &why), 0);
	assert_int_equal(got.count, 0);
	buf_fini(&text);
}

#define ONE(rest) "{\"version\":1,\"partitions\":[{\"topic\":\"t\",\"partition\":0" rest "}]}"

static void
a_file_that_is_no_plan_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"", "line"},
	    {"{\"version\":1,", "line 1"},
	    {"[]", "no partitions"},
	    {"{\"version\":2,\"partitions\":[]}", "version is not 1"},
	    {"{\"version\":1,\"topics\":[{\"topic\":\"t\"}]}", "no partitions"},
	    {ONE(""), "needs a topic"},
	    {ONE(",\"replicas\":[]"), "t-0: replicas is empty"},
	    {ONE(",\"replicas\":[1,2,1]"), "t-0: broker 1 stands twice"},
	    {ONE(",\"replicas\":[-1]"), "numbers of brokers"},
	    {ONE(",\"replicas\":[4294967296]"), "numbers of brokers"},
	    {ONE(",\"replicas\":[\"1\"]"), "numbers of brokers"},
	    {ONE(",\"replicas\":[1],\"log_dirs\":[\"/data/1\"]"), "directory"},
	    {ONE(",\"replicas\":[1],\"log_dirs\":[\"any\",\"any\"]"), "not as long"},
	    {"{\"partitions\":[{\"topic\":\"t\",\"partition\":-1,\"replicas\":[1]}]}", "needs a"},
	    {"{\"partitions\":[{\"topic\":\"\",\"partition\":0,\"replicas\":[1]}]}", "needs a"},
	    {"{\"partitions\":[{\"topic\":\"t\",\"partition\":3,\"replicas\":[1]},"
	     "{\"topic\":\"t\",\"partition\":3,\"replicas\":[2]}]}",
	     "t-3 stands in it twice"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf why = {0};

		assert_int_equal(parse(bad[i].text, &why), -EINVAL);
		if (strstr(buf_text(&why), bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].text, buf_text(&why));
		buf_fini(&why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_kafkas_tool_writes_is_read_and_sorted, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(what_is_written_is_read_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_file_that_is_no_plan_is_refused_with_a_reason, setup,
					    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
