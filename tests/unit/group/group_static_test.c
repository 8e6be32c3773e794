/* Static members: their new process takes the place of the old one. */
#include "tests/unit/group/group_fixture.h"

static void
a_new_process_takes_the_place_of_the_old_without_a_rebalance(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i", .skips = true});
	assert_effects(w, "store");
	stored(w, 0);
	assert_effects(w, "J1 ok gen=1 range leader=a id=i2");
	assert_state(w, "Stable");
	assert_int_equal(group_generation(w->g), 1);
	sync(w, 2, "i2", "i", 1, NULL);
	assert_effects(w, "S2 ok x");
	assert_int_equal(heartbeat(w, "i2", "i", 1), 0);
	assert_int_equal(heartbeat(w, "i1", "i", 1), K_FENCED_INSTANCE_ID);
	assert_int_equal(commit(w, "i1", "i", 1), K_FENCED_INSTANCE_ID);
	assert_int_equal(leave(w, "i1", "i"), K_FENCED_INSTANCE_ID);
	sync(w, 3, "i1", "i", 1, NULL);
	join(w, 4, (struct joiner){.id = "i1", .instance = "i"});
	assert_effects(w, "S3 FENCED_INSTANCE_ID; J4 FENCED_INSTANCE_ID gen=-1 id=i1");
}

static void
a_leader_that_can_skip_the_assignment_is_told_to(void **state)
{
	struct world *w = *state;

	make_stable(w, "i,b");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i", .skips = true});
	stored(w, 0);
	assert_effects(w, "store; J1 ok gen=1 range leader=i2 id=i2 members=i2,b skip");
}

static void
a_leader_that_cannot_skip_takes_its_former_self_for_the_leader(void **state)
{
	struct world *w = *state;

	make_stable(w, "i,b");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i"});
	stored(w, 0);
	assert_effects(w, "store; J1 ok gen=1 range leader=i1 id=i2");
	/* But it is: when it joins again the group rebalances. */
	join(w, 2, (struct joiner){.id = "i2", .instance = "i"});
	assert_state(w, "PreparingRebalance");
}

static void
what_cannot_be_stored_is_undone(void **state)
{
	struct world *w = *state;

	make_stable(w, "i,b");
	join(w, 1,
	     (struct joiner){.new_id = "i2",
			     .instance = "i",
			     .skips = true,
			     .protocols = "range,rr",
			     .session_ms = 1});
	stored(w, K_NOT_COORDINATOR);
	assert_effects(w, "store; J1 NOT_COORDINATOR gen=1 id=");
	assert_state(w, "Stable");
	assert_int_equal(heartbeat(w, "i2", "i", 1), K_FENCED_INSTANCE_ID);
	pass(w, SESSION_MS - 1);
	assert_int_equal(heartbeat(w, "i1", "i", 1), 0);
	join(w, 2, (struct joiner){.id = "b", .protocols = "rr"});
	assert_effects(w, "J2 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=b");
}

static void
a_process_replaced_before_its_record_is_written_is_fenced(void **state)
{
	struct world *w = *state;
	uint64_t first;

	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i"});
	assert_effects(w, "store");
	first = w->store_id;
	join(w, 2, (struct joiner){.new_id = "i3", .instance = "i"});
	assert_effects(w, "J1 FENCED_INSTANCE_ID gen=-1 id=i2; store");
	group_stored(w->g, first, 0, now_of(w), &w->fx);
	assert_effects(w, "");
	stored(w, 0);
	assert_effects(w, "J2 ok gen=1 range leader=a id=i3");
}

static void
a_rebalance_that_comes_between_takes_the_new_process_along(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i"});
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "store; J1 ok gen=2 range leader=a id=i2; J2 ok gen=2 range leader=a "
			  "id=a members=a,i2");
	stored(w, K_NOT_COORDINATOR); /* too late to matter */
	assert_effects(w, "");
	assert_int_equal(heartbeat(w, "i2", "i", 2), 0);
}

static void
the_session_begins_anew_with_the_answer_however_late(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.new_id = "i2", .instance = "i"});
	for (int i = 0; i < 3; i++) {
		pass(w, SESSION_MS - 1);
		assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	}
	stored(w, 0);
	forget_effects(w);
	pass(w, SESSION_MS - 1);
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	assert_int_equal(group_member_count(w->g), 2);
	pass(w, 1); /* and ends, when nothing more is heard of it */
	assert_int_equal(group_member_count(w->g), 1);
}

static void
another_choice_of_protocol_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "i1", .instance = "i", .protocols = "range,rr"});
	pass(w, DELAY_MS);
	sync(w, 2, "i1", "i", 1, "i1");
	stored(w, 0);
	forget_effects(w);
	join(w, 3, (struct joiner){.new_id = "i2", .instance = "i", .protocols = "rr,range"});
	assert_effects(w, "J3 ok gen=2 rr leader=i2 id=i2 members=i2");
}

static void
while_the_assignment_is_made_a_new_process_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a"});
	join(w, 2, (struct joiner){.new_id = "i1", .instance = "i"});
	pass(w, 2 * DELAY_MS);
	sync(w, 3, "i1", "i", 1, NULL);
	forget_effects(w);
	join(w, 4, (struct joiner){.new_id = "i2", .instance = "i"});
	assert_effects(w, "S3 FENCED_INSTANCE_ID");
	assert_state(w, "PreparingRebalance");
	join(w, 5, (struct joiner){.id = "a"});
	assert_effects(
	    w, "J4 ok gen=2 range leader=a id=i2; J5 ok gen=2 range leader=a id=a members=a,i2");
}

static void
while_members_join_a_new_process_waits_with_them(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.id = "i1", .instance = "i", .topic = "u"});
	join(w, 2, (struct joiner){.new_id = "i2", .instance = "i"});
	assert_effects(w, "J1 FENCED_INSTANCE_ID gen=-1 id=i1");
	join(w, 3, (struct joiner){.id = "a"});
	assert_effects(
	    w, "J2 ok gen=2 range leader=a id=i2; J3 ok gen=2 range leader=a id=a members=a,i2");
}

static void
a_new_process_that_waits_survives_the_sync_timer(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a"});
	join(w, 2, (struct joiner){.new_id = "i1", .instance = "i"});
	pass(w, 2 * DELAY_MS);
	sync(w, 3, "a", NULL, 1, "a,i1");
	stored(w, 0); /* Stable, and i1 never asked for its assignment */
	for (int i = 0; i < 5; i++) {
		assert_int_equal(heartbeat(w, "i1", "i", 1), 0);
		assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
		pass(w, SESSION_MS - 1);
	}
	forget_effects(w);
	join(w, 4, (struct joiner){.new_id = "i2", .instance = "i"});
	assert_effects(w, "store");
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	pass(w, SESSION_MS / 2);
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	assert_state(w, "Stable");
	pass(w, SESSION_MS - 1); /* past the rebalance timeout */
	assert_state(w, "PreparingRebalance");
	join(w, 5, (struct joiner){.id = "a"});
	assert_effects(
	    w, "J4 ok gen=2 range leader=a id=i2; J5 ok gen=2 range leader=a id=a members=a,i2");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_new_process_takes_the_place_of_the_old_without_a_rebalance),
	    T(a_leader_that_can_skip_the_assignment_is_told_to),
	    T(a_leader_that_cannot_skip_takes_its_former_self_for_the_leader),
	    T(what_cannot_be_stored_is_undone),
	    T(a_process_replaced_before_its_record_is_written_is_fenced),
	    T(a_rebalance_that_comes_between_takes_the_new_process_along),
	    T(the_session_begins_anew_with_the_answer_however_late),
	    T(another_choice_of_protocol_begins_a_rebalance),
	    T(while_the_assignment_is_made_a_new_process_begins_a_rebalance),
	    T(while_members_join_a_new_process_waits_with_them),
	    T(a_new_process_that_waits_survives_the_sync_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
