/* JoinGroup: who gets in, when the join phase ends, and which protocol is chosen. */
#include <stdio.h>

#include "group/group_internal.h"
#include "tests/unit/group/group_fixture.h"

static void
a_group_waits_for_more_members_before_its_first_generation(void **state)
{
	struct world *w = *state;

	assert_state(w, "Empty");
	join(w, 1, (struct joiner){.new_id = "a"});
	assert_state(w, "PreparingRebalance");
	assert_int_equal(w->fx.rebalances, 1);
	pass(w, DELAY_MS - 1);
	assert_effects(w, "");
	pass(w, 1);
	assert_effects(w, "J1 ok gen=1 range leader=a id=a members=a");
	assert_state(w, "CompletingRebalance");
}

static void
new_members_extend_the_initial_delay_up_to_the_rebalance_timeout(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .rebalance_ms = 2 * DELAY_MS + 500});
	pass(w, 2000);
	join(w, 2, (struct joiner){.new_id = "b", .rebalance_ms = 1});
	pass(w, DELAY_MS); /* extended once, by the whole delay */
	assert_effects(w, "");
	join(w, 3, (struct joiner){.new_id = "c", .rebalance_ms = 1});
	pass(w, 1000 + 499); /* and by what is left */
	assert_effects(w, "");
	join(w, 4, (struct joiner){.new_id = "d", .rebalance_ms = 1});
	pass(w, 1); /* nothing is left */
	assert_effects(
	    w, "J2 ok gen=1 range leader=a id=b; J3 ok gen=1 range leader=a id=c; J4 ok gen=1 "
	       "range leader=a id=d; J1 ok gen=1 range leader=a id=a members=a,b,c,d");
}

static void
without_an_initial_delay_the_first_member_is_answered_at_the_next_tick(void **state)
{
	struct world *w = *state;

	w->settings.initial_rebalance_delay_ms = 0;
	join(w, 1, (struct joiner){.new_id = "a"});
	pass(w, 0);
	assert_effects(w, "J1 ok gen=1 range leader=a id=a members=a");
}

static void
a_new_dynamic_member_comes_twice(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .needs_id = true});
	assert_effects(w, "J1 MEMBER_ID_REQUIRED gen=-1 id=a");
	assert_state(w, "Empty");
	assert_false(group_is_unused(w->g));
	join(w, 2, (struct joiner){.id = "a", .needs_id = true});
	pass(w, DELAY_MS);
	assert_effects(w, "J2 ok gen=1 range leader=a id=a members=a");
}

static void
a_new_static_member_comes_once(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "i1", .instance = "i", .needs_id = true});
	pass(w, DELAY_MS);
	assert_effects(w, "J1 ok gen=1 range leader=i1 id=i1 members=i1");
}

static void
a_pending_member_is_forgotten_after_its_session_timeout(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .needs_id = true});
	pass(w, SESSION_MS - 1);
	assert_false(group_is_unused(w->g));
	pass(w, 1);
	assert_true(group_is_unused(w->g));
	forget_effects(w);
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "J2 UNKNOWN_MEMBER_ID gen=-1 id=a");
}

static void
a_pending_member_holds_up_the_join_phase_until_it_comes_or_expires(void **state)
{
	struct world *w = *state;

	make_stable(w, "a");
	join(w, 1, (struct joiner){.new_id = "b", .needs_id = true, .session_ms = 20000});
	forget_effects(w);
	join(w, 2, (struct joiner){.id = "a"}); /* the leader */
	pass(w, 19999);
	assert_effects(w, "");
	pass(w, 1);
	assert_effects(w, "J2 ok gen=2 range leader=a id=a members=a");
}

/* Asks for so many ids as the next members to come: p<from>, p<from + 1>... */
static void
ask_for_ids(struct world *w, int from, int count)
{
	char id[16];

	for (int i = from; i < from + count; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		join(w, 1, (struct joiner){.new_id = id, .needs_id = true});
		forget_effects(w);
	}
}

static void
of_too_many_pending_members_the_oldest_is_forgotten(void **state)
{
	struct world *w = *state;

	ask_for_ids(w, 0, GROUP_PENDING_MAX);
	assert_int_equal(w->g->pending.count, GROUP_PENDING_MAX);
	assert_false(w->g->told_of_pending);
	ask_for_ids(w, GROUP_PENDING_MAX, 2);
	assert_int_equal(w->g->pending.count, GROUP_PENDING_MAX);
	assert_true(w->g->told_of_pending);
	join(w, 2, (struct joiner){.id = "p1"});
	assert_effects(w, "J2 UNKNOWN_MEMBER_ID gen=-1 id=p1");
	/* The others are still expected, whenever they come. */
	join(w, 3, (struct joiner){.id = "p2"});
	join(w, 4, (struct joiner){.id = "p10001"});
	pass(w, DELAY_MS);
	forget_effects(w);
	assert_int_equal(w->g->members.count, 2);
	assert_int_equal(w->g->pending.count, GROUP_PENDING_MAX - 2);
	pass(w, SESSION_MS);
	assert_int_equal(w->g->pending.count, 0);
	assert_null(w->g->first_pending);
	assert_null(w->g->last_pending);
	assert_false(w->g->told_of_pending);
}

static void
a_pending_member_is_no_static_member(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .needs_id = true});
	forget_effects(w);
	join(w, 2, (struct joiner){.id = "a", .instance = "i"});
	assert_effects(w, "J2 UNKNOWN_MEMBER_ID gen=-1 id=a");
}

static void
an_empty_group_needs_a_protocol_type_and_a_protocol(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .type = ""});
	join(w, 2, (struct joiner){.new_id = "a", .protocols = ""});
	assert_effects(w, "J1 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=; "
			  "J2 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=");
	assert_true(group_is_unused(w->g));
}

static void
a_member_must_share_the_type_and_a_protocol_with_all_others(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .protocols = "range,rr"});
	join(w, 2, (struct joiner){.new_id = "b", .protocols = "rr,sticky"});
	join(w, 3, (struct joiner){.new_id = "c", .protocols = "range"});
	join(w, 4, (struct joiner){.new_id = "d", .protocols = "rr", .type = "connect"});
	assert_effects(w, "J3 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=; "
			  "J4 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=");
	/* Checked before whether it is a member. */
	join(w, 5, (struct joiner){.id = "nobody", .protocols = "range"});
	assert_effects(w, "J5 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=nobody");
	pass(w, 2 * DELAY_MS);
	assert_string_equal(group_protocol_name(w->g), "rr");
}

static void
members_vote_for_the_first_protocol_that_all_have(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .protocols = "mine,range,rr"});
	join(w, 2, (struct joiner){.new_id = "b", .protocols = "rr,range"});
	join(w, 3, (struct joiner){.new_id = "c", .protocols = "rr,range"});
	pass(w, 2 * DELAY_MS);
	assert_string_equal(group_protocol_name(w->g), "rr");
}

static void
a_protocol_named_twice_counts_once(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a", .protocols = "rr,rr,range"});
	join(w, 2, (struct joiner){.new_id = "b", .protocols = "range,range"});
	pass(w, 2 * DELAY_MS);
	assert_string_equal(group_protocol_name(w->g), "range");
	forget_effects(w);
	/* It was one member that named it twice: the other does not have it. */
	join(w, 3, (struct joiner){.new_id = "c", .protocols = "rr"});
	assert_effects(w, "J3 INCONSISTENT_GROUP_PROTOCOL gen=-1 id=");
}

static void
names_with_a_nul_are_refused(void **state)
{
	struct world *w = *state;
	struct group_protocol protocols[] = {{{"r\0nge", 5}, {NULL, 0}}};
	struct group_join request = {
	    .member_id = str_of(""),
	    .new_member_id = str_of("a"),
	    .client_id = {"c\0d", 3},
	    .client_host = str_of("h"),
	    .protocol_type = str_of("consumer"),
	    .session_timeout_ms = SESSION_MS,
	    .protocols = protocols,
	    .protocol_count = 1,
	    .waiter = (void *)1,
	};

	group_join(w->g, &request, now_of(w), &w->fx);
	protocols[0].name = str_of("range");
	request.instance_id = (struct str){"i\0j", 3};
	request.waiter = (void *)2;
	group_join(w->g, &request, now_of(w), &w->fx);
	assert_effects(w, "J1 INVALID_REQUEST gen=-1 id=; J2 INVALID_REQUEST gen=-1 id=");
	request.instance_id = (struct str){NULL, 0};
	group_join(w->g, &request, now_of(w), &w->fx);
	assert_effects(w, "");
	assert_int_equal(group_member_count(w->g), 1);
}

static void
who_is_not_a_member_is_told_so(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.id = "a"});
	assert_effects(w, "J1 UNKNOWN_MEMBER_ID gen=-1 id=a");
	make_stable(w, "a,i");
	join(w, 1, (struct joiner){.id = "b"});
	join(w, 2, (struct joiner){.id = "a", .instance = "j"});
	join(w, 3, (struct joiner){.id = "a", .instance = "i"});
	assert_effects(w, "J1 UNKNOWN_MEMBER_ID gen=-1 id=b; J2 UNKNOWN_MEMBER_ID gen=-1 id=a; "
			  "J3 FENCED_INSTANCE_ID gen=-1 id=a");
}

static void
a_follower_that_joins_again_unchanged_gets_the_present_generation(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "b"});
	assert_effects(w, "J1 ok gen=1 range leader=a id=b");
	assert_state(w, "Stable");
}

static void
a_follower_that_changes_its_metadata_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "b", .topic = "u"});
	assert_state(w, "PreparingRebalance");
	assert_int_equal(heartbeat(w, "a", NULL, 1), K_REBALANCE_IN_PROGRESS);
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(
	    w, "J1 ok gen=2 range leader=a id=b; J2 ok gen=2 range leader=a id=a members=a,b");
	assert_true(group_subscribes(w->g, str_of("u")));
}

static void
a_leader_that_joins_again_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "a"});
	assert_state(w, "PreparingRebalance");
}

static void
a_lost_join_answer_is_repeated(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a"});
	join(w, 2, (struct joiner){.new_id = "b"});
	pass(w, 2 * DELAY_MS);
	forget_effects(w);
	join(w, 3, (struct joiner){.id = "a"});
	join(w, 4, (struct joiner){.id = "b"});
	assert_effects(w, "J3 ok gen=1 range leader=a id=a members=a,b; "
			  "J4 ok gen=1 range leader=a id=b");
	sync(w, 5, "b", NULL, 1, NULL);
	join(w, 6, (struct joiner){.id = "b", .protocols = "range,rr"});
	assert_effects(w, "S5 REBALANCE_IN_PROGRESS");
	assert_state(w, "PreparingRebalance");
}

static void
of_two_joins_of_one_member_the_older_ends(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "a"});
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "J1 REBALANCE_IN_PROGRESS gen=-1 id=a");
	join(w, 3, (struct joiner){.id = "b"});
	assert_effects(
	    w, "J3 ok gen=2 range leader=a id=b; J2 ok gen=2 range leader=a id=a members=a,b");
}

static void
dynamic_members_that_do_not_come_back_are_out(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "b", .topic = "u"});
	for (int i = 0; i < 10; i++) {
		pass(w, REBALANCE_MS / 10 - 1);
		assert_int_equal(heartbeat(w, "a", NULL, 1), K_REBALANCE_IN_PROGRESS);
	}
	assert_effects(w, "");
	pass(w, 10);
	assert_effects(w, "J1 ok gen=2 range leader=b id=b members=b");
	assert_int_equal(heartbeat(w, "a", NULL, 1), K_UNKNOWN_MEMBER_ID);
}

static void
static_members_that_do_not_come_back_keep_their_place(void **state)
{
	struct world *w = *state;

	make_stable(w, "i,b");
	join(w, 1, (struct joiner){.id = "b", .topic = "u"});
	for (int i = 0; i < 10; i++) {
		assert_int_equal(heartbeat(w, "i1", "i", 1), K_REBALANCE_IN_PROGRESS);
		pass(w, REBALANCE_MS / 10);
	}
	assert_effects(w, "J1 ok gen=2 range leader=b id=b members=i1,b");
	/* Its session begins anew with the generation. */
	pass(w, SESSION_MS - 1);
	assert_int_equal(group_member_count(w->g), 2);
}

static void
when_nobody_has_joined_the_join_phase_goes_on(void **state)
{
	struct world *w = *state;

	make_stable(w, "i,b");
	assert_int_equal(leave(w, "b", NULL), 0);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(heartbeat(w, "i1", "i", 1), K_REBALANCE_IN_PROGRESS);
		pass(w, REBALANCE_MS / 10);
	}
	assert_effects(w, "");
	assert_state(w, "PreparingRebalance");
	join(w, 1, (struct joiner){.id = "i1", .instance = "i"});
	assert_effects(w, "J1 ok gen=2 range leader=i1 id=i1 members=i1");
}

static void
a_join_phase_without_any_timeout_does_not_spin(void **state)
{
	struct world *w = *state;

	make_stable(w, "i");
	join(w, 1, (struct joiner){.id = "i1", .instance = "i", .rebalance_ms = -1});
	sync(w, 2, "i1", "i", 2, "i1");
	stored(w, 0);
	assert_state(w, "Stable");
	join(w, 3, (struct joiner){.new_id = "b", .rebalance_ms = -1});
	assert_int_equal(leave(w, "b", NULL), 0);
	forget_effects(w);
	pass(w, SESSION_MS - 1); /* asserts that each tick moves the deadline on */
	assert_state(w, "PreparingRebalance");
	pass(w, 1); /* the session ends it */
	assert_effects(w, "store");
	assert_state(w, "Empty");
}

static void
a_waiting_member_lives_longer_than_its_session(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "b", .topic = "u"});
	for (int i = 0; i < 5; i++) {
		pass(w, SESSION_MS - 1);
		assert_int_equal(heartbeat(w, "a", NULL, 1), K_REBALANCE_IN_PROGRESS);
	}
	join(w, 2, (struct joiner){.id = "a"});
	assert_int_equal(group_member_count(w->g), 2);
	forget_effects(w);
	pass(w, SESSION_MS - 1);
	assert_int_equal(heartbeat(w, "b", NULL, 2), 0);
}

static void
a_brand_new_member_waits_five_minutes_at_most(void **state)
{
	struct world *w = *state;

	make_stable(w, "i");
	join(w, 1, (struct joiner){.id = "i1", .instance = "i", .rebalance_ms = 3600 * 1000});
	sync(w, 2, "i1", "i", 2, "i1");
	stored(w, 0);
	forget_effects(w);
	join(w, 3, (struct joiner){.new_id = "b"});
	for (int i = 0; i < 60; i++) {
		assert_effects(w, "");
		assert_int_equal(heartbeat(w, "i1", "i", 2), K_REBALANCE_IN_PROGRESS);
		pass(w, i == 59 ? 4999 : 5000);
	}
	assert_effects(w, "");
	pass(w, 1);
	assert_effects(w, "J3 UNKNOWN_MEMBER_ID gen=-1 id=");
}

static void
an_expired_session_begins_a_rebalance_or_ends_the_join_phase(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i");
	pass(w, SESSION_MS - 1 - DELAY_MS);
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	pass(w, DELAY_MS + 1); /* a static one too */
	assert_int_equal(group_member_count(w->g), 1);
	assert_state(w, "PreparingRebalance");
	assert_effects(w, "");
	pass(w, SESSION_MS); /* now nobody is left */
	assert_effects(w, "store");
	assert_state(w, "Empty");
	assert_int_equal(group_generation(w->g), 2);
	assert_null(group_protocol_name(w->g));
	assert_string_equal(group_protocol_type(w->g), "consumer");
}

static void
a_stable_group_at_its_size_takes_no_new_member(void **state)
{
	struct world *w = *state;

	w->settings.max_size = 2;
	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.new_id = "c"});
	assert_effects(w, "J1 GROUP_MAX_SIZE_REACHED gen=-1 id=");
	join(w, 2, (struct joiner){.id = "b"});
	assert_effects(w, "J2 ok gen=1 range leader=a id=b");
}

static void
of_too_many_the_last_to_come_back_is_out(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b,c");
	w->settings.max_size = 2;
	join(w, 1, (struct joiner){.id = "a"});
	join(w, 2, (struct joiner){.id = "c"});
	join(w, 3, (struct joiner){.id = "c"}); /* it waits already: it may */
	assert_effects(w, "J2 REBALANCE_IN_PROGRESS gen=-1 id=c");
	join(w, 4, (struct joiner){.id = "b"});
	assert_effects(w, "J4 GROUP_MAX_SIZE_REACHED gen=-1 id=; J3 ok gen=2 range leader=a id=c; "
			  "J1 ok gen=2 range leader=a id=a members=a,c");
}

static void
a_pending_member_that_finds_no_room_holds_nobody_up(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.new_id = "c", .needs_id = true});
	w->settings.max_size = 2;
	forget_effects(w);
	join(w, 2, (struct joiner){.id = "a"});
	join(w, 3, (struct joiner){.id = "b"});
	assert_effects(w, "");
	join(w, 4, (struct joiner){.id = "c"});
	assert_effects(w, "J4 GROUP_MAX_SIZE_REACHED gen=-1 id=; J3 ok gen=2 range leader=a id=b; "
			  "J2 ok gen=2 range leader=a id=a members=a,b");
}

static void
a_dead_group_answers_that_it_is_not_available(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "a"});
	join(w, 2, (struct joiner){.new_id = "c", .needs_id = true});
	forget_effects(w);
	group_unload(w->g, K_NOT_COORDINATOR, &w->fx);
	assert_effects(w, "J1 NOT_COORDINATOR gen=-1 id=a");
	assert_true(group_deadline_ms(w->g) == INT64_MAX);
	join(w, 3, (struct joiner){.new_id = "d"});
	join(w, 4, (struct joiner){.id = "a"});
	sync(w, 5, "a", NULL, 1, NULL);
	assert_effects(w, "J3 COORDINATOR_NOT_AVAILABLE gen=-1 id=; "
			  "J4 COORDINATOR_NOT_AVAILABLE gen=-1 id=a; "
			  "S5 COORDINATOR_NOT_AVAILABLE");
	assert_int_equal(heartbeat(w, "a", NULL, 1), K_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(commit(w, "a", NULL, 1), K_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(leave(w, "a", NULL), K_COORDINATOR_NOT_AVAILABLE);
}

static void
the_generation_does_not_overflow(void **state)
{
	struct world *w = *state;
	struct group_metadata_value value;

	group_metadata_value_init(&value);
	value.protocol_type = str_of("consumer");
	value.generation = INT32_MAX;
	group_restore(w->g, &value);
	join(w, 1, (struct joiner){.new_id = "a"});
	pass(w, DELAY_MS);
	assert_effects(w, "J1 ok gen=1 range leader=a id=a members=a");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_group_waits_for_more_members_before_its_first_generation),
	    T(new_members_extend_the_initial_delay_up_to_the_rebalance_timeout),
	    T(without_an_initial_delay_the_first_member_is_answered_at_the_next_tick),
	    T(a_new_dynamic_member_comes_twice),
	    T(a_new_static_member_comes_once),
	    T(a_pending_member_is_forgotten_after_its_session_timeout),
	    T(a_pending_member_holds_up_the_join_phase_until_it_comes_or_expires),
	    T(of_too_many_pending_members_the_oldest_is_forgotten),
	    T(a_pending_member_is_no_static_member),
	    T(an_empty_group_needs_a_protocol_type_and_a_protocol),
	    T(a_member_must_share_the_type_and_a_protocol_with_all_others),
	    T(members_vote_for_the_first_protocol_that_all_have),
	    T(a_protocol_named_twice_counts_once),
	    T(names_with_a_nul_are_refused),
	    T(who_is_not_a_member_is_told_so),
	    T(a_follower_that_joins_again_unchanged_gets_the_present_generation),
	    T(a_follower_that_changes_its_metadata_begins_a_rebalance),
	    T(a_leader_that_joins_again_begins_a_rebalance),
	    T(a_lost_join_answer_is_repeated),
	    T(of_two_joins_of_one_member_the_older_ends),
	    T(dynamic_members_that_do_not_come_back_are_out),
	    T(static_members_that_do_not_come_back_keep_their_place),
	    T(when_nobody_has_joined_the_join_phase_goes_on),
	    T(a_join_phase_without_any_timeout_does_not_spin),
	    T(a_waiting_member_lives_longer_than_its_session),
	    T(a_brand_new_member_waits_five_minutes_at_most),
	    T(an_expired_session_begins_a_rebalance_or_ends_the_join_phase),
	    T(a_stable_group_at_its_size_takes_no_new_member),
	    T(of_too_many_the_last_to_come_back_is_out),
	    T(a_pending_member_that_finds_no_room_holds_nobody_up),
	    T(a_dead_group_answers_that_it_is_not_available),
	    T(the_generation_does_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
