/* What a leader knows of its followers, and what it decides from it. */
#include "replica/isr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "wire/kerr.h"

#define LAG_MAX_MS 30000

struct world {
	struct isr isr;
	int32_t dead; /* a broker that is not alive; -1: none */
};

static const int32_t all[] = {1, 2, 3};

static bool
is_alive(void *arg, int32_t broker_id)
{
	const struct world *w = arg;

	return broker_id != w->dead;
}

/* Broker 1 leads at time 0 with an empty log; the first `count` are in sync. */
static void
begin(struct world *w, int32_t count)
{
	*w = (struct world){.dead = -1};
	assert_int_equal(isr_lead(&w->isr, 1, 4, all, 3, all, count, 0, 0), 0);
}

static int64_t
high_watermark(struct world *w, int64_t leader_end, int64_t now_ms)
{
	return isr_high_watermark(&w->isr, leader_end, LAG_MAX_MS, now_ms, is_alive, w);
}

static bool
expands(struct world *w, int32_t broker_id, int64_t high, int64_t epoch_start)
{
	return isr_propose_expansion(&w->isr, broker_id, high, epoch_start, is_alive, w);
}

static void
the_high_watermark_is_what_all_in_sync_have(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3);
	assert_int_equal(high_watermark(&w, 10, 0), ISR_UNKNOWN_OFFSET); /* nobody has fetched */
	assert_true(isr_fetched(&w.isr, 2, -1, 10, 0, 10, 5));
	assert_true(isr_fetched(&w.isr, 3, -1, 7, 0, 10, 5));
	assert_int_equal(high_watermark(&w, 10, 5), 7);
	assert_true(isr_fetched(&w.isr, 3, -1, 10, 0, 12, 6));
	assert_int_equal(high_watermark(&w, 12, 6), 10);
	assert_false(isr_fetched(&w.isr, 9, -1, 10, 0, 12, 6)); /* no replica of this partition */
	isr_fini(&w.isr);
}

static void
a_follower_outside_the_isr_is_waited_for_only_while_it_is_close_and_alive(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2);
	isr_fetched(&w.isr, 2, -1, 100, 0, 100, LAG_MAX_MS * 2);
	isr_fetched(&w.isr, 3, -1, 50, 0, 100, LAG_MAX_MS * 2);
	assert_int_equal(high_watermark(&w, 100, LAG_MAX_MS * 2), 100); /* far behind */
	isr_fetched(&w.isr, 3, -1, 100, 0, 100, LAG_MAX_MS * 2);
	assert_int_equal(high_watermark(&w, 120, LAG_MAX_MS * 2), 100);
	isr_fetched(&w.isr, 2, -1, 120, 0, 120, LAG_MAX_MS * 2);
	assert_int_equal(high_watermark(&w, 120, LAG_MAX_MS * 2), 100); /* it is about to join */
	w.dead = 3;
	assert_int_equal(high_watermark(&w, 120, LAG_MAX_MS * 2), 120);
	isr_fini(&w.isr);
}

static void
who_reaches_the_high_watermark_and_the_epochs_start_is_proposed(void **state)
{
	int32_t members[3];
	struct world w;

	(void)state;
	begin(&w, 2);
	isr_fetched(&w.isr, 3, -1, 5, 0, 10, 1);
	assert_false(expands(&w, 3, 6, 0)); /* below the high watermark */
	assert_false(expands(&w, 3, 5, 6)); /* has nothing of this epoch yet */
	w.dead = 3;
	assert_false(expands(&w, 3, 5, 5));
	w.dead = -1;
	assert_true(expands(&w, 3, 5, 5));
	assert_false(expands(&w, 3, 5, 5)); /* one at a time */
	assert_int_equal(isr_size(&w.isr), 2);
	assert_int_equal(isr_maximal_size(&w.isr), 3);
	assert_int_equal(isr_members(&w.isr, 1, true, members), 3);
	assert_int_equal(isr_members(&w.isr, 1, false, members), 2);
	isr_commit(&w.isr, all, 3);
	assert_int_equal(isr_size(&w.isr), 3);
	isr_fini(&w.isr);
}

static void
the_high_watermark_minds_a_proposal_that_may_be_committed(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 1);
	isr_fetched(&w.isr, 3, -1, 5, 0, 10, 1);
	assert_true(expands(&w, 3, 5, 0));
	w.dead = 3; /* were it only waited for, it would not count now */
	assert_int_equal(high_watermark(&w, 10, 1), 5);
	assert_false(isr_refused(&w.isr, K_INELIGIBLE_REPLICA));
	assert_int_equal(high_watermark(&w, 10, 1), 10);
	isr_fini(&w.isr);
}

static void
a_refused_proposal_is_given_up_or_stands_or_is_sent_again(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 1);
	isr_fetched(&w.isr, 3, -1, 10, 0, 10, 1);
	assert_true(expands(&w, 3, 5, 0));
	assert_true(isr_refused(&w.isr, K_NOT_CONTROLLER));
	assert_int_equal(w.isr.change, ISR_EXPANDING);
	assert_false(isr_refused(&w.isr, K_FENCED_LEADER_EPOCH)); /* LeaderAndIsr is to come */
	assert_int_equal(w.isr.change, ISR_EXPANDING);
	assert_false(isr_refused(&w.isr, K_OPERATION_NOT_ATTEMPTED));
	assert_int_equal(w.isr.change, ISR_STABLE);
	isr_fini(&w.isr);
}

static void
who_is_behind_for_too_long_is_proposed_to_leave(void **state)
{
	int32_t members[3];
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 1000);
	isr_fetched(&w.isr, 3, -1, 9, 0, 10, 1000);
	assert_false(isr_propose_shrink(&w.isr, 10, LAG_MAX_MS, LAG_MAX_MS));
	assert_true(isr_propose_shrink(&w.isr, 10, LAG_MAX_MS, LAG_MAX_MS + 1));
	assert_int_equal(isr_members(&w.isr, 1, true, members), 2);
	assert_int_equal(members[1], 2);
	/* Until the controller agrees it counts as before. */
	assert_int_equal(high_watermark(&w, 10, LAG_MAX_MS + 1), 9);
	isr_commit(&w.isr, members, 2);
	assert_int_equal(high_watermark(&w, 10, LAG_MAX_MS + 1), 10);
	assert_false(isr_has(&w.isr, 3));
	isr_fini(&w.isr);
}

static void
one_who_reaches_the_former_end_with_each_fetch_stays(void **state)
{
	struct world w;
	int64_t end = 0;

	(void)state;
	begin(&w, 3);
	/* Always a thousand behind a busy leader, but never more than one fetch. */
	for (int64_t now = 0; now < LAG_MAX_MS * 4; now += 1000, end += 1000) {
		isr_fetched(&w.isr, 2, -1, end, 0, end + 1000, now);
		isr_fetched(&w.isr, 3, -1, end + 1000, 0, end + 1000, now);
		assert_false(isr_propose_shrink(&w.isr, end + 1000, LAG_MAX_MS, now));
	}
	isr_fini(&w.isr);
}

static void
a_new_leader_knows_nothing_and_an_old_one_keeps_what_it_knew(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 5);
	isr_fetched(&w.isr, 3, -1, 10, 0, 10, 5);
	assert_int_equal(isr_lead(&w.isr, 1, 5, all, 3, all, 2, 10, 6), 0);
	assert_int_equal(high_watermark(&w, 10, 6), 10);
	assert_int_equal(isr_size(&w.isr), 2);
	isr_resign(&w.isr);
	assert_int_equal(isr_lead(&w.isr, 1, 6, all, 3, all, 3, 10, 7), 0);
	assert_int_equal(high_watermark(&w, 10, 7), ISR_UNKNOWN_OFFSET);
	isr_fini(&w.isr);
}

static void
since_when_a_follower_is_out_is_remembered(void **state)
{
	struct isr_follower *third;
	int32_t members[3];
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 1000);
	isr_fetched(&w.isr, 3, -1, 9, 0, 10, 1000);
	assert_true(isr_propose_shrink(&w.isr, 10, LAG_MAX_MS, 40000));
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 40000);
	isr_commit(&w.isr, members, isr_members(&w.isr, 1, true, members));
	third = &w.isr.followers[1];
	assert_false(third->in_isr);
	assert_int_equal(third->out_since_ms, 40000);
	assert_false(third->out_before);
	/* The same leader at its next epoch knows it still; of a new replica it knows all. */
	assert_int_equal(isr_lead(&w.isr, 1, 5, (int32_t[]){1, 2, 3, 4}, 4, all, 2, 10, 50000), 0);
	assert_int_equal(w.isr.followers[1].out_since_ms, 40000);
	assert_int_equal(w.isr.followers[2].out_since_ms, 50000);
	assert_false(w.isr.followers[2].out_before);
	/* Another one knows only that it was before its time, but for a new partition. */
	isr_resign(&w.isr);
	assert_int_equal(isr_lead(&w.isr, 1, 7, all, 3, all, 2, 10, 60000), 0);
	assert_int_equal(w.isr.followers[1].out_since_ms, 60000);
	assert_true(w.isr.followers[1].out_before);
	isr_resign(&w.isr);
	assert_int_equal(isr_lead(&w.isr, 1, 0, all, 3, all, 2, 10, 70000), 0);
	assert_false(w.isr.followers[1].out_before);
	isr_fini(&w.isr);
}

static void
a_proposal_names_the_lives_whose_fetches_it_rests_on(void **state)
{
	int64_t epochs[3];
	struct world w;

	(void)state;
	begin(&w, 2);
	isr_fetched(&w.isr, 3, 70, 10, 0, 10, 1);
	assert_true(expands(&w, 3, 10, 0));
	isr_fetched(&w.isr, 3, 71, 4, 0, 10, 2); /* it is back, with less */
	isr_proposed_epochs(&w.isr, epochs);
	assert_int_equal(epochs[1], -1); /* broker 2 has not said */
	assert_int_equal(epochs[2], 70);
	isr_fini(&w.isr);
}

static void
a_leader_that_missed_an_epoch_knows_nothing_of_its_followers(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 0, 10, 5);
	isr_fetched(&w.isr, 3, -1, 10, 0, 10, 5);
	/* Somebody led at epoch 5, to whose log they may have cut back theirs. */
	assert_int_equal(isr_lead(&w.isr, 1, 6, all, 3, all, 3, 10, 6), 0);
	assert_int_equal(high_watermark(&w, 10, 6), ISR_UNKNOWN_OFFSET);
	isr_fini(&w.isr);
}

static void
a_consumer_is_sent_to_the_replica_that_is_furthest(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 0, 12, 5);
	isr_fetched(&w.isr, 3, -1, 12, 4, 12, 5);
	assert_int_equal(isr_preferred_replica(&w.isr, 8, is_alive, &w), 3);
	assert_int_equal(isr_preferred_replica(&w.isr, 2, is_alive, &w), 2); /* 3 begins at 4 */
	assert_int_equal(isr_preferred_replica(&w.isr, 13, is_alive, &w), -1);
	w.dead = 3;
	assert_int_equal(isr_preferred_replica(&w.isr, 11, is_alive, &w), -1);
	isr_fini(&w.isr);
}

static void
the_low_watermark_is_the_smallest_start_of_the_living(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3);
	isr_fetched(&w.isr, 2, -1, 10, 3, 10, 5);
	isr_fetched(&w.isr, 3, -1, 10, 6, 10, 5);
	assert_int_equal(isr_low_watermark(&w.isr, 8, is_alive, &w), 3);
	w.dead = 2;
	assert_int_equal(isr_low_watermark(&w.isr, 8, is_alive, &w), 6);
	isr_fini(&w.isr);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_high_watermark_is_what_all_in_sync_have),
	    TEST(a_follower_outside_the_isr_is_waited_for_only_while_it_is_close_and_alive),
	    TEST(who_reaches_the_high_watermark_and_the_epochs_start_is_proposed),
	    TEST(the_high_watermark_minds_a_proposal_that_may_be_committed),
	    TEST(a_refused_proposal_is_given_up_or_stands_or_is_sent_again),
	    TEST(who_is_behind_for_too_long_is_proposed_to_leave),
	    TEST(one_who_reaches_the_former_end_with_each_fetch_stays),
	    TEST(a_new_leader_knows_nothing_and_an_old_one_keeps_what_it_knew),
	    TEST(a_leader_that_missed_an_epoch_knows_nothing_of_its_followers),
	    TEST(since_when_a_follower_is_out_is_remembered),
	    TEST(a_proposal_names_the_lives_whose_fetches_it_rests_on),
	    TEST(a_consumer_is_sent_to_the_replica_that_is_furthest),
	    TEST(the_low_watermark_is_the_smallest_start_of_the_living),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
