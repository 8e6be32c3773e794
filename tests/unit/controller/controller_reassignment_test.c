/* Partitions on the move: what the controller writes and tells, in order. */
#include <stdio.h>

#include "tests/unit/controller/controller_state_fixture.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/kerr.h"

static size_t
append_ids(char *out, size_t n, size_t size, const int32_t *ids, int32_t count)
{
	n += (size_t)snprintf(out + n, size - n, "[");
	for (int32_t i = 0; i < count; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%d", i ? "," : "", ids[i]);
	return n + (size_t)snprintf(out + n, size - n, "]");
}

static size_t
append_effect(char *out, size_t n, size_t size, const struct effect *e)
{
	const struct controller_assignment *a = e->assignments;

	if (e->kind == EFFECT_WRITE_STATE) {
		n += (size_t)snprintf(out + n, size - n, " state %d/%d ", e->state.leader,
				      e->state.leader_epoch);
		n = append_ids(out, n, size, e->state.isr, e->state.isr_count);
	} else if (e->kind == EFFECT_WRITE_TOPIC) {
		n += (size_t)snprintf(out + n, size - n, " topic ");
		n = append_ids(out, n, size, a->replicas, a->replica_count);
		n += (size_t)snprintf(out + n, size - n, "+");
		n = append_ids(out, n, size, a->adding, a->adding_count);
		n += (size_t)snprintf(out + n, size - n, "-");
		n = append_ids(out, n, size, a->removing, a->removing_count);
	} else if (e->kind == EFFECT_SEND && e->api_key == API_LEADER_AND_ISR) {
		const struct leader_and_isr_request *req = e->request;

		n += (size_t)snprintf(out + n, size - n, " tell %d%s", e->broker_id,
				      req->topic_states[0].partition_states[0].is_new ? "(new)"
										      : "");
	} else if (e->kind == EFFECT_SEND && e->api_key == API_STOP_REPLICA) {
		n += (size_t)snprintf(out + n, size - n, " delete at %d", e->broker_id);
	} else if (e->kind == EFFECT_REASSIGNED) {
		n += (size_t)snprintf(out + n, size - n, " done");
	} else if (e->kind == EFFECT_DELETE_TOPIC) {
		n += (size_t)snprintf(out + n, size - n, " gone");
	}
	return n;
}

/*
 * Carries everything out, as the office does, writes succeeding from `version` on. What happened,
 * in order.
 */
static const char *
carried_out(struct world *w, int32_t *version)
{
	static char out[1024];
	size_t n = 0;

	out[0] = '\0';
	for (;;) {
		struct effects next;

		effects_init(&next);
		for (const struct effect *e = w->fx.first; e != NULL; e = e->next) {
			n = append_effect(out, n, sizeof(out), e);
			assert_true(n < sizeof(out));
			if (e->kind == EFFECT_WRITE_STATE)
				controller_state_written(w->cs, e->topic, e->partition, 0,
							 e->create ? 0 : ++*version);
			else if (e->kind == EFFECT_WRITE_TOPIC)
				controller_state_topic_written(w->cs, e->topic, 0, &next);
		}
		if (next.first == NULL)
			controller_state_flush(w->cs, &next);
		effects_fini(&w->fx);
		w->fx = next;
		if (w->fx.first == NULL)
			break;
	}
	forget_effects(w);
	return out[0] == ' ' ? out + 1 : out;
}

/* Brokers 1 to 4; "t" is on 1 and 2. */
static void
on_two_of_four(struct world *w, int32_t *version)
{
	brokers_are(w, (int32_t[]){1, 2, 3, 4}, 4, 0);
	topic_is(w, "t", (int32_t[]){1, 2}, 2);
	*version = 0;
	carried_out(w, version);
}

static int
isr_becomes(struct world *w, int32_t leader, int32_t epoch, int32_t *version, const int32_t *isr,
	    int32_t count)
{
	return leader_wants(w, leader, epoch, *version, isr, count);
}

static void
a_partition_moves_when_its_new_replicas_have_caught_up(void **state)
{
	struct world *w = *state;
	struct controller_assignment a;
	int32_t version;

	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){3, 2}, 2, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "topic [3,2,1]+[3]-[1] state 1/1 [1,2] tell 1 tell 2 tell 3(new)");
	assert_int_equal(isr_becomes(w, 1, 1, &version, (int32_t[]){1, 2, 3}, 3), 0);
	/* 1 led and goes; the znode of the topic comes last. */
	assert_string_equal(carried_out(w, &version),
			    "state 1/1 [1,2,3] state 3/2 [2,3] delete at 1 tell 2 tell 3 "
			    "topic [3,2]+[]-[] done");
	assert_true(controller_state_assignment(w->cs, "t", 0, &a));
	assert_int_equal(a.replica_count, 2);
	assert_int_equal(a.adding_count + a.removing_count, 0);
}

static void
a_leader_that_stays_hears_that_the_others_went(void **state)
{
	struct world *w = *state;
	int32_t version;

	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){1}, 1, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "topic [1,2]+[]-[2] state 1/1 [1] tell 1 delete at 2 "
			    "topic [1]+[]-[] done");
	/* Another order alone. */
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){1, 4}, 2, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "topic [1,4]+[4]-[] state 1/2 [1] tell 1 tell 4(new)");
	assert_int_equal(isr_becomes(w, 1, 2, &version, (int32_t[]){1, 4}, 2), 0);
	carried_out(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){4, 1}, 2, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "topic [4,1]+[]-[] state 1/4 [1,4] tell 1 tell 4 topic [4,1]+[]-[] "
			    "done");
}

static void
a_reassignment_is_taken_back_or_replaced(void **state)
{
	struct world *w = *state;
	int32_t version;

	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, -1, true),
			 K_NO_REASSIGNMENT_IN_PROGRESS);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){3}, 1, true), 0);
	carried_out(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){4}, 1, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "topic [4,1,2]+[4]-[1,2] state 1/2 [1,2] tell 1 tell 2 "
			    "delete at 3 tell 4(new)");
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, -1, true), 0);
	/* The znode last: until then the next controller would go on with what it says. */
	assert_string_equal(carried_out(w, &version),
			    "state 1/3 [1,2] tell 1 tell 2 delete at 4 topic [1,2]+[]-[] done");
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, -1, true),
			 K_NO_REASSIGNMENT_IN_PROGRESS);
}

static void
a_cancellation_waits_for_nobody_who_is_not_there(void **state)
{
	struct world *w = *state;
	int32_t version;

	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){2, 3}, 2, true), 0);
	carried_out(w, &version);
	brokers_are(w, (int32_t[]){1, 3, 4}, 3, 0);
	carried_out(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, -1, true), 0);
	assert_string_equal(carried_out(w, &version),
			    "state 1/3 [1] tell 1 delete at 3 topic [2,1]+[]-[] done");
}

static void
a_reassignment_that_cannot_be_has_its_reason(void **state)
{
	struct world *w = *state;
	int32_t version;

	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){1}, 1, false),
			 K_UNKNOWN_TOPIC_OR_PARTITION);
	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, 0, true),
			 K_INVALID_REPLICA_ASSIGNMENT);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){1, 1}, 2, true),
			 K_INVALID_REPLICA_ASSIGNMENT);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){-1}, 1, true),
			 K_INVALID_REPLICA_ASSIGNMENT);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){1, 9}, 2, true),
			 K_INVALID_REPLICA_ASSIGNMENT);
	/* With 1 and 2 dead, 3 alone holds the records: it cannot be given up. */
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){3, 4}, 2, true), 0);
	carried_out(w, &version);
	assert_int_equal(isr_becomes(w, 1, 1, &version, (int32_t[]){1, 2, 3}, 3), 0);
	carried_out(w, &version);
	brokers_are(w, (int32_t[]){3, 4}, 2, 0);
	assert_string_equal(carried_out(w, &version), "state 3/2 [3] tell 3 tell 4(new)");
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, NULL, -1, true),
			 K_INVALID_REPLICA_ASSIGNMENT);
	controller_state_delete(w->cs, "t", &w->fx);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){3}, 1, true),
			 K_UNKNOWN_TOPIC_OR_PARTITION);
}

static void
the_next_controller_goes_on_with_a_reassignment(void **state)
{
	struct world *w = *state;
	struct controller_assignment a = {.replicas = (int32_t[]){3, 2, 1},
					  .replica_count = 3,
					  .adding = (int32_t[]){3},
					  .adding_count = 1,
					  .removing = (int32_t[]){1},
					  .removing_count = 1};
	struct controller_leadership l = {
	    .leader = 1, .isr = (int32_t[]){1, 2, 3}, .isr_count = 2, .partition_epoch = 4};
	int32_t version = 4;

	brokers_are(w, all, 3, 0);
	controller_state_topic(w->cs, "t", &topic_id, &a, 1, NULL);
	controller_state_put_leadership(w->cs, "t", 0, &l);
	controller_state_take_office(w->cs, &w->fx);
	assert_string_equal(carried_out(w, &version), "state 1/1 [1,2] tell 1 tell 2 tell 3(new)");
	/* And once more, with all in the ISR: the former ended before it wrote the znode. */
	controller_state_reset(w->cs, 5);
	brokers_are(w, all, 3, 0);
	controller_state_topic(w->cs, "t", &topic_id, &a, 1, NULL);
	l.isr_count = 3;
	controller_state_put_leadership(w->cs, "t", 0, &l);
	controller_state_take_office(w->cs, &w->fx);
	assert_string_equal(carried_out(w, &version),
			    "state 3/1 [2,3] delete at 1 tell 2 tell 3 topic [3,2]+[]-[] done");
}

static void
a_topic_on_the_move_is_deleted_when_it_has_arrived(void **state)
{
	struct world *w = *state;
	int32_t version;

	on_two_of_four(w, &version);
	assert_int_equal(controller_state_reassign(w->cs, "t", 0, (int32_t[]){2, 3}, 2, true), 0);
	carried_out(w, &version);
	controller_state_delete(w->cs, "t", &w->fx);
	assert_string_equal(carried_out(w, &version), "");
	assert_int_equal(isr_becomes(w, 1, 1, &version, (int32_t[]){1, 2, 3}, 3), 0);
	assert_string_equal(carried_out(w, &version),
			    "state 1/1 [1,2,3] state 2/2 [2,3] delete at 1 tell 2 tell 3 "
			    "topic [2,3]+[]-[] done delete at 2 delete at 3");
	controller_state_replica_deleted(w->cs, "t", 0, 2, JUST_SENT, true, &w->fx);
	controller_state_replica_deleted(w->cs, "t", 0, 3, JUST_SENT, true, &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_TOPIC);
}

int
main(void)
{
#define TEST(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, controller_state_setup, controller_state_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_partition_moves_when_its_new_replicas_have_caught_up),
	    TEST(a_leader_that_stays_hears_that_the_others_went),
	    TEST(a_reassignment_is_taken_back_or_replaced),
	    TEST(a_cancellation_waits_for_nobody_who_is_not_there),
	    TEST(a_reassignment_that_cannot_be_has_its_reason),
	    TEST(the_next_controller_goes_on_with_a_reassignment),
	    TEST(a_topic_on_the_move_is_deleted_when_it_has_arrived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
