/* Which partition of an internal topic an id belongs to, as Java computes it. */
#include "cluster/internal_topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
ids_have_the_partitions_that_java_gives_them(void **state)
{
	/* storage-format, section 12.1 */
	static const struct {
		const char *id;
		int32_t partition;
	} known[] = {
	    {"", 0},
	    {"a", 47},
	    {"group1", 40},
	    {"my-group", 12},
	    {"test-consumer-group", 31},
	    {"console-consumer-12345", 6},
	    {"polygenelubricants", 0}, /* its hash is the smallest integer */
	    {"\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87", 32},
	    {"\xf0\x9f\x98\x80", 49}, /* two surrogates */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(internal_topic_partition_for(str_of(known[i].id), 50),
				 known[i].partition);
}

static void
bytes_that_are_no_text_have_a_partition_too(void **state)
{
	static const char *const broken[] = {
	    "\xff\xfe", "\xc3",    "\xe2\x82", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80",
	    "\x80",     "\xc0\xaf"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		int32_t partition = internal_topic_partition_for(str_of(broken[i]), 50);

		assert_in_range(partition, 0, 49);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids_have_the_partitions_that_java_gives_them),
	    cmocka_unit_test(bytes_that_are_no_text_have_a_partition_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
