/* Where the histories of a leader and a follower part. */
#include "replica/truncation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void
a_follower_diverges_where_the_leader_lacks_its_last_epoch_or_offset(void **state)
{
	(void)state;
	assert_false(truncation_diverges(4, 10, (struct epoch_end){4, 10}));
	assert_false(truncation_diverges(4, 10, (struct epoch_end){4, 12}));
	assert_true(truncation_diverges(4, 10, (struct epoch_end){4, 9}));
	assert_true(truncation_diverges(4, 10, (struct epoch_end){3, 12}));
}

static void
an_epoch_that_both_have_is_kept_as_far_as_the_shorter_goes(void **state)
{
	(void)state;
	assert_int_equal(truncation_end((struct epoch_end){4, 7}, (struct epoch_end){4, 10}, 15),
			 7);
	assert_int_equal(truncation_end((struct epoch_end){4, 12}, (struct epoch_end){4, 10}, 15),
			 10);
	assert_int_equal(truncation_end((struct epoch_end){4, 20}, (struct epoch_end){4, 10}, 10),
			 10);
}

static void
of_an_epoch_that_we_do_not_know_all_that_is_older_is_kept(void **state)
{
	(void)state;
	assert_int_equal(truncation_end((struct epoch_end){4, 7}, (struct epoch_end){3, 9}, 15), 9);
}

static void
without_epochs_the_leaders_end_bounds_the_log(void **state)
{
	struct epoch_end none = {-1, -1};

	(void)state;
	assert_int_equal(truncation_end((struct epoch_end){-1, 7}, (struct epoch_end){4, 10}, 15),
			 7);
	assert_int_equal(truncation_end((struct epoch_end){4, 7}, none, 15), 7);
	assert_int_equal(truncation_end((struct epoch_end){4, 20}, none, 15), 15);
	assert_int_equal(truncation_end((struct epoch_end){4, -1}, none, 15), 15);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_follower_diverges_where_the_leader_lacks_its_last_epoch_or_offset),
	    cmocka_unit_test(an_epoch_that_both_have_is_kept_as_far_as_the_shorter_goes),
	    cmocka_unit_test(of_an_epoch_that_we_do_not_know_all_that_is_older_is_kept),
	    cmocka_unit_test(without_epochs_the_leaders_end_bounds_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
