/* Where to begin and to stop: kcat's -o. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/offset_spec.h"

static struct offset_spec
parse(const char *text)
{
	struct offset_spec spec = OFFSET_SPEC_DEFAULT;

	assert_int_equal(offset_spec_parse(text, &spec), 0);
	return spec;
}

static void
each_form_of_an_offset_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse("beginning").kind, OFFSET_BEGINNING);
	assert_int_equal(parse("end").kind, OFFSET_END);
	assert_int_equal(parse("17").kind, OFFSET_AT);
	assert_int_equal(parse("17").value, 17);
	assert_int_equal(parse("0").kind, OFFSET_AT);
	assert_int_equal(parse("-5").kind, OFFSET_TAIL);
	assert_int_equal(parse("-5").value, 5);
	assert_int_equal(parse("s@1000").kind, OFFSET_TIME);
	assert_int_equal(parse("s@1000").value, 1000);
	assert_int_equal(parse("s@1000").stop_ms, -1);
	assert_int_equal(parse("e@1970-01-02").kind, OFFSET_BEGINNING);
	assert_int_equal(parse("e@1970-01-02").stop_ms, 86400000);
}

static void
a_start_and_a_stop_add_up(void **state)
{
	struct offset_spec spec = OFFSET_SPEC_DEFAULT;

	(void)state;
	assert_int_equal(offset_spec_parse("e@2000", &spec), 0);
	assert_int_equal(offset_spec_parse("s@1000", &spec), 0);
	assert_int_equal(spec.kind, OFFSET_TIME);
	assert_int_equal(spec.value, 1000);
	assert_int_equal(spec.stop_ms, 2000);
}

static void
an_offset_that_is_none_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {"",   "foo", "-",  "-0",    "--1",
					  "1x", "s@",  "e@", "s@foo", "99999999999999999999"};
	struct offset_spec spec = OFFSET_SPEC_DEFAULT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(offset_spec_parse(bad[i], &spec), -EINVAL);
	assert_int_equal(spec.kind, OFFSET_BEGINNING);
	assert_int_equal(spec.stop_ms, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_form_of_an_offset_is_read),
	    cmocka_unit_test(a_start_and_a_stop_add_up),
	    cmocka_unit_test(an_offset_that_is_none_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
