/* A reset: which partitions, and where each is put. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/partition_spec.h"
#include "cli/reset_plan.h"

/* A log of the offsets 100 to 200, committed at 150, in which 180 is the first of a time. */
static const struct reset_input partition = {
    .current = 150, .start = 100, .end = 200, .at_time = 180};

static void
assert_reset(enum reset_kind kind, int64_t value, int64_t offset, enum reset_note note)
{
	struct reset_spec spec = {kind, value};
	struct reset_outcome outcome;

	assert_int_equal(reset_decide(&spec, &partition, &outcome), 0);
	assert_int_equal(outcome.offset, offset);
	assert_int_equal(outcome.note, note);
}

static void
each_kind_of_reset_finds_its_offset(void **state)
{
	(void)state;
	assert_reset(RESET_TO_EARLIEST, 0, 100, RESET_EXACT);
	assert_reset(RESET_TO_LATEST, 0, 200, RESET_EXACT);
	assert_reset(RESET_TO_CURRENT, 0, 150, RESET_EXACT);
	assert_reset(RESET_TO_OFFSET, 120, 120, RESET_EXACT);
	assert_reset(RESET_SHIFT_BY, 10, 160, RESET_EXACT);
	assert_reset(RESET_SHIFT_BY, -10, 140, RESET_EXACT);
	assert_reset(RESET_TO_TIME, 0, 180, RESET_EXACT);
}

static void
an_offset_outside_the_log_is_moved_to_its_nearer_bound(void **state)
{
	(void)state;
	assert_reset(RESET_TO_OFFSET, 100, 100, RESET_EXACT);
	assert_reset(RESET_TO_OFFSET, 99, 100, RESET_RAISED);
	assert_reset(RESET_TO_OFFSET, 200, 200, RESET_EXACT);
	assert_reset(RESET_TO_OFFSET, 201, 200, RESET_LOWERED);
	assert_reset(RESET_SHIFT_BY, 51, 200, RESET_LOWERED);
	assert_reset(RESET_SHIFT_BY, -51, 100, RESET_RAISED);
	assert_reset(RESET_SHIFT_BY, INT64_MAX, 200, RESET_LOWERED);
	assert_reset(RESET_SHIFT_BY, INT64_MIN, 100, RESET_RAISED);
}

static void
what_was_asked_for_is_told_where_it_is_replaced(void **state)
{
	struct reset_spec spec = {RESET_SHIFT_BY, 60};
	struct reset_outcome outcome;

	(void)state;
	assert_int_equal(reset_decide(&spec, &partition, &outcome), 0);
	assert_int_equal(outcome.asked, 210);
}

static void
a_time_after_the_last_record_means_the_end(void **state)
{
	struct reset_spec spec = {RESET_TO_TIME, 1000};
	struct reset_input in = partition;
	struct reset_outcome outcome;

	(void)state;
	in.at_time = RESET_NONE;
	assert_int_equal(reset_decide(&spec, &in, &outcome), 0);
	assert_int_equal(outcome.offset, 200);
	assert_int_equal(outcome.note, RESET_NO_RECORD);
}

static void
without_a_committed_offset_current_is_the_end_and_nothing_can_be_shifted(void **state)
{
	struct reset_spec current = {RESET_TO_CURRENT, 0}, shift = {RESET_SHIFT_BY, 0};
	struct reset_outcome outcome = {.offset = 7};
	struct reset_input in = partition;

	(void)state;
	in.current = RESET_NONE;
	assert_int_equal(reset_decide(&shift, &in, &outcome), -ENOENT);
	assert_int_equal(outcome.offset, 7);
	assert_int_equal(reset_decide(&current, &in, &outcome), 0);
	assert_int_equal(outcome.offset, 200);
}

static void
a_committed_offset_outside_the_log_is_kept_as_current(void **state)
{
	struct reset_spec spec = {RESET_TO_CURRENT, 0};
	struct reset_input in = partition;
	struct reset_outcome outcome;

	(void)state;
	in.current = 5;
	assert_int_equal(reset_decide(&spec, &in, &outcome), 0);
	assert_int_equal(outcome.offset, 5);
	assert_int_equal(outcome.note, RESET_EXACT);
}

static void
a_topic_is_named_alone_or_with_its_partitions(void **state)
{
	struct partition_spec spec;

	(void)state;
	assert_int_equal(partition_spec_parse(&spec, "orders"), 0);
	assert_string_equal(spec.topic, "orders");
	assert_int_equal(spec.count, 0);
	assert_true(partition_spec_has(&spec, "orders", 7));
	assert_false(partition_spec_has(&spec, "order", 7));
	partition_spec_fini(&spec);
	assert_int_equal(partition_spec_parse(&spec, "orders:0,12,2147483647"), 0);
	assert_string_equal(spec.topic, "orders");
	assert_int_equal(spec.count, 3);
	assert_int_equal(spec.partitions[1], 12);
	assert_true(partition_spec_has(&spec, "orders", 2147483647));
	assert_false(partition_spec_has(&spec, "orders", 1));
	partition_spec_fini(&spec);
}

static void
a_malformed_list_of_partitions_is_refused(void **state)
{
	static const char *const bad[] = {"",     ":0",     "t:",   "t:,",         "t:0,",
					  "t:,0", "t:0,,1", "t:-1", "t:+1",        "t:1x",
					  "t:x",  "t:0:1",  "t: 1", "t:2147483648"};
	struct partition_spec spec = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(partition_spec_parse(&spec, bad[i]), -EINVAL);
	assert_null(spec.topic);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_kind_of_reset_finds_its_offset),
	    cmocka_unit_test(an_offset_outside_the_log_is_moved_to_its_nearer_bound),
	    cmocka_unit_test(what_was_asked_for_is_told_where_it_is_replaced),
	    cmocka_unit_test(a_time_after_the_last_record_means_the_end),
	    cmocka_unit_test(
		without_a_committed_offset_current_is_the_end_and_nothing_can_be_shifted),
	    cmocka_unit_test(a_committed_offset_outside_the_log_is_kept_as_current),
	    cmocka_unit_test(a_topic_is_named_alone_or_with_its_partitions),
	    cmocka_unit_test(a_malformed_list_of_partitions_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
