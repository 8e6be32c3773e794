/* SyncGroup, Heartbeat, LeaveGroup, who may commit; storing and loading; what expires. */
#include "tests/unit/group/group_fixture.h"

/* ---- SyncGroup ---- */

static void
make_completing(struct world *w)
{
	join(w, 91, (struct joiner){.new_id = "a"});
	join(w, 92, (struct joiner){.new_id = "b"});
	pass(w, 2 * DELAY_MS);
	assert_state(w, "CompletingRebalance");
	forget_effects(w);
}

static void
everybody_gets_his_assignment_once_it_is_stored(void **state)
{
	struct world *w = *state;
	struct group_metadata_value value;
	struct arena arena;

	make_completing(w);
	sync(w, 1, "b", NULL, 1, NULL);
	assert_effects(w, "");
	sync(w, 2, "a", NULL, 1, "a,nobody");
	assert_effects(w, "store");
	arena_init(&arena, SIZE_MAX / 2);
	group_describe(w->g, &arena, &value);
	assert_int_equal(value.members_count, 2);
	assert_int_equal(value.members[0].assignment.len, 1); /* before anybody has it */
	assert_string_equal(value.leader.data, "a");
	arena_fini(&arena);
	assert_state(w, "CompletingRebalance");
	stored(w, 0);
	assert_effects(w, "S2 ok x; S1 ok "); /* the leader forgot b */
	assert_state(w, "Stable");
	sync(w, 3, "a", NULL, 1, "b");
	assert_effects(w, "S3 ok x"); /* too late to change anything */
}

static void
a_leader_that_asks_twice_is_stored_once(void **state)
{
	struct world *w = *state;

	make_completing(w);
	sync(w, 1, "a", NULL, 1, "a,b");
	sync(w, 2, "a", NULL, 1, "b");
	assert_effects(w, "store; S1 REBALANCE_IN_PROGRESS");
	stored(w, 0);
	assert_effects(w, "S2 ok x");
}

static void
an_assignment_that_cannot_be_stored_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	make_completing(w);
	sync(w, 1, "b", NULL, 1, NULL);
	sync(w, 2, "a", NULL, 1, "a,b");
	stored(w, K_COORDINATOR_NOT_AVAILABLE);
	assert_effects(w, "store; S2 COORDINATOR_NOT_AVAILABLE; S1 COORDINATOR_NOT_AVAILABLE");
	assert_state(w, "PreparingRebalance");
	join(w, 3, (struct joiner){.id = "a"});
	join(w, 4, (struct joiner){.id = "b"});
	assert_int_equal(group_generation(w->g), 2);
	sync(w, 5, "a", NULL, 2, "a,b");
	stored(w, 0);
	assert_state(w, "Stable");
}

static void
a_store_that_ends_after_the_next_rebalance_began_changes_nothing(void **state)
{
	struct world *w = *state;
	uint64_t first;

	make_completing(w);
	sync(w, 1, "a", NULL, 1, "a,b");
	assert_effects(w, "store");
	first = w->store_id;
	join(w, 2, (struct joiner){.new_id = "c"});
	assert_effects(w, "S1 REBALANCE_IN_PROGRESS");
	join(w, 3, (struct joiner){.id = "a"});
	join(w, 4, (struct joiner){.id = "b"});
	sync(w, 5, "a", NULL, 2, "a,b,c");
	forget_effects(w);
	group_stored(w->g, first, 0, now_of(w), &w->fx);
	group_stored(w->g, 12345, 0, now_of(w), &w->fx); /* not of this group */
	assert_effects(w, "");
	assert_state(w, "CompletingRebalance");
	stored(w, 0);
	assert_effects(w, "S5 ok x");
}

static void
a_sync_is_checked_in_kafkas_order(void **state)
{
	struct world *w = *state;
	struct group_sync request = {.from = {str_of("a"), {NULL, 0}, 1},
				     .protocol_type = str_of("consumer"),
				     .protocol_name = str_of("rr"),
				     .waiter = (void *)9};

	sync(w, 1, "a", NULL, 0, NULL);
	assert_effects(w, "S1 UNKNOWN_MEMBER_ID");
	make_stable(w, "a,i");
	sync(w, 1, "nobody", NULL, 7, NULL);
	sync(w, 2, "a", "j", 7, NULL);
	sync(w, 3, "a", "i", 7, NULL);
	sync(w, 4, "a", NULL, 7, NULL);
	assert_effects(w, "S1 UNKNOWN_MEMBER_ID; S2 UNKNOWN_MEMBER_ID; S3 FENCED_INSTANCE_ID; "
			  "S4 ILLEGAL_GENERATION");
	group_sync(w->g, &request, now_of(w), &w->fx);
	request.protocol_type = str_of("connect");
	request.protocol_name = str_of("range");
	group_sync(w->g, &request, now_of(w), &w->fx);
	assert_effects(w, "S9 INCONSISTENT_GROUP_PROTOCOL; S9 INCONSISTENT_GROUP_PROTOCOL");
	request.protocol_type = str_of("consumer");
	group_sync(w->g, &request, now_of(w), &w->fx);
	assert_effects(w, "S9 ok x");
	join(w, 5, (struct joiner){.id = "a"});
	group_sync(w->g, &request, now_of(w), &w->fx);
	assert_effects(w, "S9 REBALANCE_IN_PROGRESS");
}

static void
who_never_syncs_is_out_static_or_not(void **state)
{
	struct world *w = *state;

	join(w, 1, (struct joiner){.new_id = "a"});
	join(w, 2, (struct joiner){.new_id = "b"});
	join(w, 3, (struct joiner){.new_id = "i1", .instance = "i"});
	pass(w, 2 * DELAY_MS);
	forget_effects(w);
	sync(w, 4, "a", NULL, 1, "a,b,i1");
	stored(w, 0);
	assert_effects(w, "store; S4 ok x");
	for (int i = 0; i < 12; i++) {
		assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
		assert_int_equal(heartbeat(w, "b", NULL, 1), 0);
		assert_int_equal(heartbeat(w, "i1", "i", 1), 0);
		pass(w, REBALANCE_MS / 12 - (i == 11));
	}
	assert_state(w, "Stable");
	pass(w, 1);
	assert_state(w, "PreparingRebalance");
	assert_int_equal(group_member_count(w->g), 1);
	join(w, 5, (struct joiner){.id = "a"});
	assert_effects(w, "J5 ok gen=2 range leader=a id=a members=a");
}

static void
when_nobody_syncs_the_group_becomes_empty(void **state)
{
	struct world *w = *state;

	join(w, 91, (struct joiner){.new_id = "a", .session_ms = 2 * REBALANCE_MS});
	pass(w, DELAY_MS);
	forget_effects(w);
	pass(w, REBALANCE_MS);
	assert_effects(w, "store");
	assert_state(w, "Empty");
	assert_int_equal(group_generation(w->g), 2);
	stored(w, K_NOT_COORDINATOR); /* does no harm */
	assert_effects(w, "");
}

static void
who_waits_for_his_assignment_lives(void **state)
{
	struct world *w = *state;

	make_completing(w);
	sync(w, 1, "b", NULL, 1, NULL);
	pass(w, SESSION_MS - 1);
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	pass(w, SESSION_MS - 1);
	assert_int_equal(group_member_count(w->g), 2);
	sync(w, 2, "a", NULL, 1, "a,b");
	stored(w, 0);
	assert_effects(w, "store; S2 ok x; S1 ok x");
	pass(w, SESSION_MS - 1);
	assert_state(w, "Stable");
	pass(w, 1);
	assert_state(w, "Empty");
}

/* ---- Heartbeat, commit ---- */

static void
a_heartbeat_is_checked_in_kafkas_order(void **state)
{
	struct world *w = *state;

	assert_int_equal(heartbeat(w, "a", NULL, 0), K_UNKNOWN_MEMBER_ID);
	make_stable(w, "a,i");
	assert_int_equal(heartbeat(w, "nobody", NULL, 7), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(heartbeat(w, "a", "j", 7), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(heartbeat(w, "a", "i", 7), K_FENCED_INSTANCE_ID);
	assert_int_equal(heartbeat(w, "a", NULL, 7), K_ILLEGAL_GENERATION);
	assert_int_equal(heartbeat(w, "a", NULL, 1), 0);
	join(w, 1, (struct joiner){.id = "a"});
	assert_int_equal(heartbeat(w, "i1", "i", 1), K_REBALANCE_IN_PROGRESS);
	join(w, 2, (struct joiner){.id = "i1", .instance = "i"});
	assert_state(w, "CompletingRebalance");
	assert_int_equal(heartbeat(w, "i1", "i", 2), 0);
}

static void
a_commit_is_checked_in_kafkas_order(void **state)
{
	struct world *w = *state;

	assert_int_equal(commit(w, "", NULL, -1), 0);
	assert_int_equal(commit(w, "whoever", "x", -1), 0);
	assert_int_equal(commit(w, "a", NULL, 0), K_UNKNOWN_MEMBER_ID);
	make_stable(w, "a,i");
	assert_int_equal(commit(w, "", NULL, -1), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(commit(w, "a", NULL, -1), K_ILLEGAL_GENERATION);
	assert_int_equal(commit(w, "a", "j", 1), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(commit(w, "a", "i", 1), K_FENCED_INSTANCE_ID);
	assert_int_equal(commit(w, "a", NULL, 2), K_ILLEGAL_GENERATION);
	pass(w, SESSION_MS - 1);
	assert_int_equal(commit(w, "a", NULL, 1), 0);
	assert_int_equal(commit(w, "i1", "i", 1), 0);
	pass(w, SESSION_MS - 1); /* it renewed their sessions */
	assert_int_equal(group_member_count(w->g), 2);
	join(w, 1, (struct joiner){.id = "a"});
	assert_int_equal(commit(w, "i1", "i", 1), 0);
	join(w, 2, (struct joiner){.id = "i1", .instance = "i"});
	assert_int_equal(commit(w, "a", NULL, 2), K_REBALANCE_IN_PROGRESS);
}

/* ---- LeaveGroup ---- */

static void
a_member_that_leaves_begins_a_rebalance(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	assert_int_equal(leave(w, "nobody", NULL), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(leave(w, "a", NULL), 0);
	assert_state(w, "PreparingRebalance");
	join(w, 1, (struct joiner){.id = "b"});
	assert_effects(w, "J1 ok gen=2 range leader=b id=b members=b");
	sync(w, 2, "b", NULL, 2, "b");
	stored(w, 0);
	forget_effects(w);
	assert_int_equal(leave(w, "b", NULL), 0);
	assert_effects(w, "store");
	assert_state(w, "Empty");
	assert_int_equal(group_generation(w->g), 3);
}

static void
a_static_member_leaves_by_id_or_by_its_instance_alone(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,i,ii");
	assert_int_equal(leave(w, "", "nobody"), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(leave(w, "", NULL), K_UNKNOWN_MEMBER_ID);
	assert_int_equal(leave(w, "a", "i"), K_FENCED_INSTANCE_ID);
	assert_int_equal(leave(w, "i1", "i"), 0);
	assert_int_equal(leave(w, "", "ii"), 0);
	assert_int_equal(group_member_count(w->g), 1);
}

static void
a_pending_member_may_leave(void **state)
{
	struct world *w = *state;

	make_stable(w, "a");
	join(w, 1, (struct joiner){.new_id = "b", .needs_id = true});
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "J1 MEMBER_ID_REQUIRED gen=-1 id=b");
	assert_int_equal(leave(w, "b", NULL), 0);
	assert_effects(w, "J2 ok gen=2 range leader=a id=a members=a");
}

static void
a_member_that_waits_and_leaves_is_answered(void **state)
{
	struct world *w = *state;

	make_stable(w, "a,b");
	join(w, 1, (struct joiner){.id = "a"});
	assert_int_equal(leave(w, "a", NULL), 0);
	assert_effects(w, "J1 UNKNOWN_MEMBER_ID gen=-1 id=");
	join(w, 2, (struct joiner){.id = "b"});
	join(w, 3, (struct joiner){.new_id = "c"});
	join(w, 4, (struct joiner){.id = "b"});
	forget_effects(w);
	sync(w, 5, "c", NULL, 3, NULL);
	assert_int_equal(leave(w, "c", NULL), 0);
	assert_effects(w, "S5 UNKNOWN_MEMBER_ID");
}

/* ---- stored and loaded ---- */

static struct member_metadata
member_of(const char *id, const char *instance)
{
	return (struct member_metadata){
	    .member_id = str_of(id),
	    .group_instance_id = str_of(instance),
	    .client_id = str_of("client"),
	    .client_host = str_of("/h"),
	    .session_timeout = SESSION_MS,
	    .rebalance_timeout = REBALANCE_MS,
	    .subscription = subscription("t"),
	    .assignment = {(const uint8_t *)"y", 1},
	};
}

static struct group_metadata_value
value_of(struct member_metadata *members, int32_t count)
{
	struct group_metadata_value value;

	group_metadata_value_init(&value);
	value.protocol_type = str_of("consumer");
	value.generation = 7;
	value.protocol = str_of("range");
	value.leader = count == 0 ? str_of(NULL) : members[count - 1].member_id;
	value.current_state_timestamp = WALL_MS - 5;
	value.members = members;
	value.members_count = count;
	return value;
}

static void
a_loaded_group_goes_on_where_it_was(void **state)
{
	struct world *w = *state;
	struct member_metadata members[] = {member_of("a", NULL), member_of("i1", "i")};
	struct group_metadata_value value = value_of(members, 2);

	group_restore(w->g, &value);
	group_loaded(w->g, now_of(w), &w->fx);
	assert_effects(w, "");
	assert_state(w, "Stable");
	assert_int_equal(group_generation(w->g), 7);
	assert_true(group_subscribes(w->g, str_of("t")));
	assert_false(group_subscribes(w->g, str_of("u")));
	assert_int_equal(heartbeat(w, "a", NULL, 7), 0);
	sync(w, 1, "i1", "i", 7, NULL);
	assert_effects(w, "S1 ok y");
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "J2 ok gen=7 range leader=i1 id=a");
	pass(w, SESSION_MS - 1);
	assert_state(w, "Stable");
	pass(w, 1); /* sessions began with the load */
	assert_state(w, "Empty");
}

static void
a_loaded_group_that_is_too_large_rebalances(void **state)
{
	struct world *w = *state;
	struct member_metadata members[] = {member_of("a", NULL), member_of("b", NULL)};
	struct group_metadata_value value = value_of(members, 2);

	w->settings.max_size = 1;
	group_restore(w->g, &value);
	group_loaded(w->g, now_of(w), &w->fx);
	assert_state(w, "PreparingRebalance");
	join(w, 1, (struct joiner){.id = "b"});
	join(w, 2, (struct joiner){.id = "a"});
	assert_effects(w, "J2 GROUP_MAX_SIZE_REACHED gen=-1 id=; "
			  "J1 ok gen=8 range leader=b id=b members=b");
}

static void
odd_records_are_loaded_as_far_as_they_make_sense(void **state)
{
	struct world *w = *state;
	struct member_metadata members[] = {member_of("a", "i"), member_of("a", NULL),
					    member_of("b", "i"), member_of("x", NULL),
					    member_of("c", NULL)};
	struct group_metadata_value value = value_of(members, 5);

	members[3].member_id = (struct str){"x\0y", 3};
	members[4].rebalance_timeout = -1;
	value.leader = str_of("nobody");
	value.generation = -3;
	group_restore(w->g, &value);
	group_loaded(w->g, now_of(w), &w->fx);
	assert_int_equal(group_member_count(w->g), 2);
	assert_int_equal(group_generation(w->g), 0);
	join(w, 1, (struct joiner){.id = "a", .instance = "i"}); /* the first leads */
	assert_state(w, "PreparingRebalance");
}

static void
members_without_a_protocol_are_not_loaded(void **state)
{
	struct world *w = *state;
	struct member_metadata members[] = {member_of("a", NULL)};
	struct group_metadata_value value = value_of(members, 1);

	value.protocol = str_of(NULL);
	group_restore(w->g, &value);
	group_loaded(w->g, now_of(w), &w->fx);
	assert_state(w, "Empty");
	assert_int_equal(group_generation(w->g), 7);
}

static void
an_unloaded_group_answers_everybody(void **state)
{
	struct world *w = *state;

	make_completing(w);
	sync(w, 1, "a", NULL, 1, "a,b");
	sync(w, 2, "b", NULL, 1, NULL);
	assert_effects(w, "store");
	group_unload(w->g, K_NOT_COORDINATOR, &w->fx);
	assert_effects(w, "S1 NOT_COORDINATOR; S2 NOT_COORDINATOR");
	stored(w, 0);
	assert_effects(w, "");
	assert_state(w, "Dead");
	assert_true(group_deadline_ms(w->g) == INT64_MAX);
}

/* ---- what expires ---- */

#define RETENTION_MS 1000

static void
put(struct world *w, const char *topic, int64_t committed_ms, int64_t expire_ms)
{
	struct committed_offset committed = {.offset = 5,
					     .commit_timestamp_ms = committed_ms,
					     .expire_timestamp_ms = expire_ms,
					     .metadata = str_of("")};

	group_offsets_put(group_offsets(w->g), str_of(topic), 0, &committed);
}

static void
count_one(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	(void)topic;
	(void)partition;
	assert_true(view->is_committed);
	++*(int *)arg;
}

static int
expire_at(struct world *w, int64_t wall_ms, bool *ret_unused)
{
	int count = 0;

	*ret_unused =
	    group_expire(w->g, RETENTION_MS, (struct group_now){w->ms, wall_ms}, count_one, &count);
	return count;
}

static void
offsets_of_a_simple_consumer_expire_by_their_commit(void **state)
{
	struct world *w = *state;
	bool unused;

	put(w, "t", WALL_MS, -1);
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS - 1, &unused), 0);
	assert_false(unused);
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS, &unused), 1);
	assert_true(unused);
}

static void
offsets_of_an_empty_group_expire_by_when_it_became_empty(void **state)
{
	struct world *w = *state;
	bool unused;

	make_stable(w, "a");
	put(w, "t", WALL_MS - 100 * RETENTION_MS, -1);
	assert_int_equal(leave(w, "a", NULL), 0);
	assert_int_equal(expire_at(w, WALL_MS + w->ms + RETENTION_MS - 1, &unused), 0);
	assert_int_equal(expire_at(w, WALL_MS + w->ms + RETENTION_MS, &unused), 1);
	assert_true(unused);
}

static void
without_that_time_they_expire_by_their_commit(void **state)
{
	struct world *w = *state;
	struct group_metadata_value value = value_of(NULL, 0);
	bool unused;

	value.current_state_timestamp = -1;
	group_restore(w->g, &value);
	put(w, "t", WALL_MS, -1);
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS - 1, &unused), 0);
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS, &unused), 1);
}

static void
a_stable_group_loses_offsets_of_topics_that_nobody_reads(void **state)
{
	struct world *w = *state;
	bool unused;

	make_stable(w, "a");
	put(w, "t", 0, -1);
	put(w, "u", 0, -1);
	put(w, "v", WALL_MS, -1);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 1);
	assert_false(unused);
	join(w, 1, (struct joiner){.new_id = "b"}); /* not while it rebalances */
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS, &unused), 0);
	join(w, 2, (struct joiner){.id = "a"});
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS, &unused), 0);
	sync(w, 3, "a", NULL, 2, "a,b");
	stored(w, 0);
	assert_int_equal(expire_at(w, WALL_MS + RETENTION_MS, &unused), 1);
}

static void
nothing_expires_while_it_is_unknown_what_members_read(void **state)
{
	struct world *w = *state;
	static const uint8_t odd[][8] = {{0}, {0, 0, 0, 0, 0, 9, 0, 1}, {0, 0, 0x7f, 0xff, 0xff}};
	bool unused;

	for (size_t i = 0; i < 3; i++) {
		join(w, 1,
		     (struct joiner){.id = i == 0 ? NULL : "a",
				     .new_id = "a",
				     .metadata = {odd[i], i == 0 ? 1 : 8}});
		pass(w, DELAY_MS);
		sync(w, 2, "a", NULL, (int32_t)i + 1, "a");
		stored(w, 0);
		assert_state(w, "Stable");
		put(w, "u", 0, -1);
		assert_int_equal(expire_at(w, WALL_MS, &unused), 0);
		assert_true(group_subscribes(w->g, str_of("u")));
	}
}

static void
groups_of_other_protocol_types_keep_their_offsets_while_they_live(void **state)
{
	struct world *w = *state;
	bool unused;

	join(w, 1, (struct joiner){.new_id = "a", .type = "connect"});
	pass(w, DELAY_MS);
	sync(w, 2, "a", NULL, 1, "a");
	stored(w, 0);
	put(w, "u", 0, -1);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 0);
}

static void
a_time_of_expiry_of_its_own_wins(void **state)
{
	struct world *w = *state;
	bool unused;

	put(w, "t", 0, WALL_MS + 50);
	assert_int_equal(expire_at(w, WALL_MS + 49, &unused), 0);
	assert_int_equal(expire_at(w, WALL_MS + 50, &unused), 1);
}

static void
pending_offsets_and_members_keep_a_group(void **state)
{
	struct world *w = *state;
	bool unused;

	put(w, "t", 0, -1);
	group_offsets_begin(group_offsets(w->g), str_of("t"), 0);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 0);
	group_offsets_end(group_offsets(w->g), str_of("t"), 0, NULL);
	join(w, 1, (struct joiner){.new_id = "a", .needs_id = true});
	assert_int_equal(expire_at(w, WALL_MS, &unused), 1);
	assert_false(unused);
	pass(w, SESSION_MS);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 0);
	assert_true(unused);
	group_unload(w->g, K_NOT_COORDINATOR, &w->fx);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 0);
	assert_false(unused);
}

static void
a_client_may_send_any_timestamp(void **state)
{
	struct world *w = *state;
	bool unused;

	put(w, "t", INT64_MIN, -1);
	put(w, "u", INT64_MAX, -1);
	assert_int_equal(expire_at(w, WALL_MS, &unused), 1);
	assert_false(unused);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(everybody_gets_his_assignment_once_it_is_stored),
	    T(a_leader_that_asks_twice_is_stored_once),
	    T(an_assignment_that_cannot_be_stored_begins_a_rebalance),
	    T(a_store_that_ends_after_the_next_rebalance_began_changes_nothing),
	    T(a_sync_is_checked_in_kafkas_order),
	    T(who_never_syncs_is_out_static_or_not),
	    T(when_nobody_syncs_the_group_becomes_empty),
	    T(who_waits_for_his_assignment_lives),
	    T(a_heartbeat_is_checked_in_kafkas_order),
	    T(a_commit_is_checked_in_kafkas_order),
	    T(a_member_that_leaves_begins_a_rebalance),
	    T(a_static_member_leaves_by_id_or_by_its_instance_alone),
	    T(a_pending_member_may_leave),
	    T(a_member_that_waits_and_leaves_is_answered),
	    T(a_loaded_group_goes_on_where_it_was),
	    T(a_loaded_group_that_is_too_large_rebalances),
	    T(odd_records_are_loaded_as_far_as_they_make_sense),
	    T(members_without_a_protocol_are_not_loaded),
	    T(an_unloaded_group_answers_everybody),
	    T(offsets_of_a_simple_consumer_expire_by_their_commit),
	    T(offsets_of_an_empty_group_expire_by_when_it_became_empty),
	    T(without_that_time_they_expire_by_their_commit),
	    T(a_stable_group_loses_offsets_of_topics_that_nobody_reads),
	    T(nothing_expires_while_it_is_unknown_what_members_read),
	    T(groups_of_other_protocol_types_keep_their_offsets_while_they_live),
	    T(a_time_of_expiry_of_its_own_wins),
	    T(pending_offsets_and_members_keep_a_group),
	    T(a_client_may_send_any_timestamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
