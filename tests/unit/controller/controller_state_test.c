/* The controller's decisions: events and facts go in, effects come out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/controller/controller_state_fixture.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"

static void
a_new_partition_is_led_by_its_first_live_replica(void **state)
{
	struct world *w = *state;

	brokers_are(w, (int32_t[]){2, 3}, 2, 0);
	topic_is(w, "t", all, 3);
	assert_string_equal(written(w), "new 2/0 [2,3]");
}

static void
a_new_partition_without_live_replicas_waits_for_one(void **state)
{
	struct world *w = *state;

	topic_is(w, "t", (int32_t[]){7}, 1);
	assert_string_equal(written(w), "");
	brokers_are(w, (int32_t[]){7}, 1, 0);
	assert_string_equal(written(w), "new 7/0 [7]");
}

static void
a_dead_leader_is_followed_by_the_next_in_the_isr(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	assert_string_equal(written(w), "new 1/0 [1,2,3]");
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){2, 3}, 2, 0);
	assert_string_equal(written(w), "2/1 [2,3]");
	write_succeeds(w, "t", 1);
	/* It comes back: it leads no more, and must earn the ISR. */
	brokers_from(w, (int32_t[]){2, 3, 1}, 3, 2, 100);
	assert_string_equal(written(w), "");
}

static void
a_broker_that_was_gone_unseen_leads_no_more_and_leaves_the_isr(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	brokers_from(w, (int32_t[]){2, 3, 1}, 3, 2, 100); /* only its epoch tells */
	assert_string_equal(written(w), "2/1 [2,3]");
	write_succeeds(w, "t", 1);
	brokers_from(w, (int32_t[]){2, 1, 3}, 3, 1, 100); /* 1 as before, 3 anew */
	assert_string_equal(written(w), "2/2 [2]");
}

static void
a_broker_that_was_gone_unseen_leads_again_where_nobody_else_can(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1}, 1);
	write_succeeds(w, "t", 0);
	brokers_from(w, (int32_t[]){2, 3, 1}, 3, 2, 100);
	assert_string_equal(written(w), "1/1 [1]");
}

static void
a_leader_changes_its_isr_without_a_new_epoch(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(leader_wants(w, 1, 0, 0, (int32_t[]){1, 3}, 2), 0);
	assert_string_equal(written(w), "1/0 [1,3]");
	write_succeeds(w, "t", 1);
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_LEADER_AND_ISR), 0); /* it knows */
	assert_int_equal(count_sends(w, 2, API_UPDATE_METADATA), 1);
	/* The same once more, as after a lost answer, writes nothing. */
	assert_int_equal(leader_wants(w, 1, 0, 0, (int32_t[]){1, 3}, 2), 0);
	assert_string_equal(written(w), "");
}

static void
a_wish_that_is_out_of_date_or_ineligible_is_refused(void **state)
{
	struct world *w = *state;

	brokers_are(w, (int32_t[]){1, 2}, 2, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	assert_int_equal(leader_wants(w, 1, 1, 0, all, 2), K_NOT_CONTROLLER);
	assert_int_equal(leader_wants(w, 1, 0, 1, all, 2), K_NOT_CONTROLLER);
	assert_int_equal(leader_wants(w, 1, -1, 0, all, 2), K_FENCED_LEADER_EPOCH);
	assert_int_equal(leader_wants(w, 1, 0, -1, all, 1), K_INVALID_UPDATE_VERSION);
	assert_int_equal(leader_wants(w, 1, 0, 0, all, 3), K_INELIGIBLE_REPLICA); /* 3 is dead */
	assert_int_equal(leader_wants(w, 2, 0, 0, all, 1), K_INVALID_REQUEST);
	assert_int_equal(leader_wants(w, 1, 0, 0, all, 0), K_INVALID_REQUEST);
	assert_string_equal(written(w), "");
	assert_int_equal(controller_state_check_broker(w->cs, 1, 1), 0);
	assert_int_equal(controller_state_check_broker(w->cs, 1, 2), K_STALE_BROKER_EPOCH);
	assert_int_equal(controller_state_check_broker(w->cs, 9, 9), K_STALE_BROKER_EPOCH);
}

static void
a_wish_for_a_member_in_another_life_is_refused_or_left_to_who_knows_it(void **state)
{
	const int64_t former[] = {-1, -1, 2}, present[] = {-1, 2, 3}, later[] = {-1, -1, 4};
	struct controller_leadership wanted = {.isr = all, .isr_count = 3, .partition_epoch = 1};
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	assert_int_equal(leader_wants(w, 1, 0, 0, (int32_t[]){1, 2}, 2), 0);
	write_succeeds(w, "t", 1);
	wanted.isr_epochs = former;
	assert_int_equal(controller_state_alter_partition(w->cs, 1, &topic_id, 0, &wanted, &w->fx),
			 K_INELIGIBLE_REPLICA);
	wanted.isr_epochs = later;
	assert_int_equal(controller_state_alter_partition(w->cs, 1, &topic_id, 0, &wanted, &w->fx),
			 K_NOT_CONTROLLER);
	assert_string_equal(written(w), "");
	wanted.isr_epochs = present;
	assert_int_equal(controller_state_alter_partition(w->cs, 1, &topic_id, 0, &wanted, &w->fx),
			 0);
	assert_string_equal(written(w), "1/0 [1,2,3]");
}

static void
a_broker_that_shuts_down_hands_its_leaderships_over(void **state)
{
	struct world *w = *state;
	const struct stop_replica_request *stop;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	controller_state_flush(w->cs, &w->fx);
	forget_effects(w);
	assert_int_equal(controller_state_shut_down(w->cs, 1, 1, &w->fx), 0);
	assert_string_equal(written(w), "2/1 [2,3]");
	write_succeeds(w, "t", 1);
	forget_effects(w);
	assert_int_equal(controller_state_shut_down(w->cs, 3, 3, &w->fx), 0);
	assert_string_equal(written(w), "2/2 [2]");
	write_succeeds(w, "t", 2);
	controller_state_flush(w->cs, &w->fx);
	stop = request_to(w, 3, API_STOP_REPLICA); /* it follows no more */
	assert_non_null(stop);
	assert_false(stop->topic_states[0].partition_states[0].delete_partition);
	/* Nobody is left to take over from the last. */
	forget_effects(w);
	assert_int_equal(controller_state_shut_down(w->cs, 2, 2, &w->fx), 0);
	assert_string_equal(written(w), "");
	assert_int_equal(leader_wants(w, 2, 2, 2, (int32_t[]){2, 3}, 2), K_INELIGIBLE_REPLICA);
	assert_int_equal(controller_state_shut_down(w->cs, 2, 1, &w->fx), K_STALE_BROKER_EPOCH);
}

static void
a_dead_follower_leaves_the_isr(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){1, 2}, 2, 0);
	assert_string_equal(written(w), "1/1 [1,2]");
}

static void
the_last_isr_member_keeps_its_place_when_it_dies(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){2}, 1);
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){1, 3}, 2, 0);
	assert_string_equal(written(w), "-1/1 [2]");
	write_succeeds(w, "t", 1);
	brokers_are(w, all, 3, 100);
	assert_string_equal(written(w), "2/2 [2]");
}

static void
a_replica_outside_the_isr_leads_only_where_it_is_allowed(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1, 2}, 2);
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){1, 3}, 2, 0); /* 2 leaves the ISR */
	write_succeeds(w, "t", 1);
	brokers_are(w, (int32_t[]){2, 3}, 2, 100); /* 1 dies, 2 comes back with old records */
	assert_string_equal(written(w), "-1/2 [1]");
	write_succeeds(w, "t", 2);
	controller_state_set_unclean(w->cs, "t", true, &w->fx);
	assert_string_equal(written(w), "2/3 [2]");
}

static void
a_conflict_is_decided_anew_from_what_is_there(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){2, 3}, 2, 0);
	controller_state_written(w->cs, "t", 0, -EAGAIN, 0); /* somebody wrote before us */
	forget_effects(w);
	controller_state_put_leadership(w->cs, "t", 0,
					&(struct controller_leadership){
					    .leader = 1,
					    .leader_epoch = 9,
					    .controller_epoch = 4,
					    .isr = (int32_t[]){1, 3},
					    .isr_count = 2,
					    .partition_epoch = 30,
					});
	controller_state_decide_again(w->cs, "t", 0, &w->fx);
	assert_string_equal(written(w), "3/10 [3]");
	assert_int_equal(w->fx.first->state.partition_epoch, 30);
}

static void
brokers_are_told_in_order_and_new_ones_everything(void **state)
{
	struct world *w = *state;
	const struct leader_and_isr_request *lisr;
	const struct update_metadata_request *um;

	brokers_are(w, (int32_t[]){1, 2}, 2, 0);
	topic_is(w, "t", (int32_t[]){2, 1}, 2);
	write_succeeds(w, "t", 0);
	controller_state_flush(w->cs, &w->fx);
	lisr = request_to(w, 2, API_LEADER_AND_ISR);
	assert_non_null(lisr);
	assert_int_equal(lisr->controller_epoch, 5);
	assert_int_equal(lisr->broker_epoch, 2);
	assert_int_equal(lisr->topic_states[0].partition_states[0].leader, 2);
	assert_true(lisr->topic_states[0].partition_states[0].is_new);
	assert_int_equal(lisr->live_leaders_count, 1);
	assert_int_equal(w->fx.first->api_key, API_UPDATE_METADATA); /* who lives goes first */
	forget_effects(w);
	controller_state_flush(w->cs, &w->fx);
	assert_null(w->fx.first); /* all is told */
	brokers_are(w, all, 3, 0);
	controller_state_flush(w->cs, &w->fx);
	um = request_to(w, 3, API_UPDATE_METADATA);
	assert_int_equal(um->live_brokers_count, 3);
	assert_int_equal(um->topic_states_count, 1);
	um = request_to(w, 1, API_UPDATE_METADATA);
	assert_int_equal(um->live_brokers_count, 3);
	assert_int_equal(um->topic_states_count, 0);
	assert_int_equal(count_sends(w, 3, API_LEADER_AND_ISR), 0); /* it holds nothing */
}

static void
a_topic_goes_when_every_replica_has_been_deleted(void **state)
{
	struct world *w = *state;
	const struct stop_replica_request *stop;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1, 2}, 2);
	write_succeeds(w, "t", 0);
	controller_state_flush(w->cs, &w->fx);
	forget_effects(w);
	controller_state_delete(w->cs, "t", &w->fx);
	controller_state_flush(w->cs, &w->fx);
	stop = request_to(w, 2, API_STOP_REPLICA);
	assert_true(stop->topic_states[0].partition_states[0].delete_partition);
	assert_int_equal(stop->topic_states[0].partition_states[0].leader_epoch, -2);
	assert_int_equal(count_sends(w, 3, API_STOP_REPLICA), 0);
	assert_int_equal(
	    ((const struct update_metadata_request *)request_to(w, 3, API_UPDATE_METADATA))
		->topic_states[0]
		.partition_states[0]
		.leader,
	    -2);
	forget_effects(w);
	brokers_are(w, (int32_t[]){2, 3}, 2, 0);
	assert_string_equal(written(w), ""); /* no elections any more */
	controller_state_replica_deleted(w->cs, "t", 0, 2, JUST_SENT, true, &w->fx);
	assert_null(w->fx.first);
	brokers_are(w, all, 3, 100); /* 1 comes back and is told again */
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_STOP_REPLICA), 1);
	assert_int_equal(count_sends(w, 2, API_STOP_REPLICA), 0);
	forget_effects(w);
	controller_state_replica_deleted(w->cs, "t", 0, 1, JUST_SENT, true, &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_TOPIC);
	controller_state_topic_deleted(w->cs, "t");
	assert_false(controller_state_knows_topic(w->cs, "t"));
}

static void
a_request_to_delete_what_does_not_exist_is_removed(void **state)
{
	struct world *w = *state;

	controller_state_delete(w->cs, "nothing", &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_REQUEST);
	assert_string_equal(w->fx.first->topic, "nothing");
}

static void
a_failed_directory_costs_its_broker_the_leadership(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	controller_state_replica_offline(w->cs, &topic_id, 0, 1, true, &w->fx);
	assert_string_equal(written(w), "2/1 [2,3]");
}

static void
a_directory_that_failed_is_told_where_nothing_else_changes(void **state)
{
	const struct update_metadata_request *um;
	struct world *w = *state;

	brokers_are(w, (int32_t[]){1, 2}, 2, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	brokers_are(w, all, 3, 0);
	controller_state_flush(w->cs, &w->fx);
	forget_effects(w);
	controller_state_replica_offline(w->cs, &topic_id, 0, 3, true, &w->fx);
	assert_string_equal(written(w), "");
	controller_state_flush(w->cs, &w->fx);
	um = request_to(w, 2, API_UPDATE_METADATA);
	assert_int_equal(um->topic_states[0].partition_states[0].offline_replicas_count, 1);
	assert_int_equal(um->topic_states[0].partition_states[0].offline_replicas[0], 3);
}

/* ---- what an event costs ---- */

static void
an_event_is_told_of_what_it_changed_alone(void **state)
{
	struct world *w = *state;
	const struct update_metadata_request *um;

	brokers_are(w, (int32_t[]){1, 2}, 2, 0);
	for (int i = 0; i < 50; i++) {
		struct controller_assignment a = {
		    .partition = 0, .replicas = (int32_t[]){1, 2}, .replica_count = 2};
		struct uuid id = {{2, (uint8_t)i}};
		char name[8];

		snprintf(name, sizeof(name), "t%d", i);
		controller_state_topic(w->cs, name, &id, &a, 1, &w->fx);
		write_succeeds(w, name, 0);
	}
	controller_state_flush(w->cs, &w->fx);
	um = request_to(w, 2, API_UPDATE_METADATA);
	assert_int_equal(um->topic_states_count, 50);
	forget_effects(w);
	controller_state_replica_offline(w->cs, &(struct uuid){{2, 7}}, 0, 1, true, &w->fx);
	assert_string_equal(written(w), "2/1 [2]");
	write_succeeds(w, "t7", 1);
	controller_state_flush(w->cs, &w->fx);
	um = request_to(w, 2, API_UPDATE_METADATA);
	assert_int_equal(um->topic_states_count, 1);
	assert_string_equal(um->topic_states[0].topic_name.data, "t7");
	assert_int_equal(um->topic_states[0].partition_states[0].offline_replicas_count, 1);
}

/* ---- deletion ---- */

static uint64_t
deletion_sent_to(const struct world *w, int32_t broker_id)
{
	const struct effect *e = w->fx.first;

	while (e->broker_id != broker_id || e->api_key != API_STOP_REPLICA)
		e = e->next;
	return e->deletion;
}

static void
the_answer_to_a_former_deletion_does_not_count_for_a_topic_of_the_same_name(void **state)
{
	struct world *w = *state;
	uint64_t former;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1}, 1);
	write_succeeds(w, "t", 0);
	controller_state_delete(w->cs, "t", &w->fx);
	controller_state_flush(w->cs, &w->fx);
	former = deletion_sent_to(w, 1);
	forget_effects(w);
	controller_state_topic_deleted(w->cs, "t");
	topic_is(w, "t", (int32_t[]){1}, 1);
	write_succeeds(w, "t", 0);
	controller_state_delete(w->cs, "t", &w->fx);
	controller_state_flush(w->cs, &w->fx);
	assert_true(deletion_sent_to(w, 1) > former);
	forget_effects(w);
	controller_state_replica_deleted(w->cs, "t", 0, 1, former, true, &w->fx);
	assert_null(w->fx.first);
	controller_state_replica_deleted(w->cs, "t", 0, 1, former + 1, true, &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_TOPIC);
}

static void
a_deletion_that_failed_is_tried_again_when_a_broker_of_the_topic_starts(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1, 2}, 2);
	write_succeeds(w, "t", 0);
	controller_state_delete(w->cs, "t", &w->fx);
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_STOP_REPLICA), 1);
	forget_effects(w);
	controller_state_replica_deleted(w->cs, "t", 0, 1, JUST_SENT, false,
					 &w->fx); /* its disk is ill */
	controller_state_flush(w->cs, &w->fx);
	assert_null(w->fx.first);
	brokers_from(w, (int32_t[]){1, 2, 3}, 3, 2, 100); /* 3 has nothing to do with it */
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_STOP_REPLICA), 0);
	forget_effects(w);
	brokers_from(w, (int32_t[]){1, 3, 2}, 3, 1, 100);
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_STOP_REPLICA), 1);
	assert_int_equal(count_sends(w, 2, API_STOP_REPLICA), 1);
	forget_effects(w);
	controller_state_replica_deleted(w->cs, "t", 0, 1, JUST_SENT, true, &w->fx);
	assert_null(w->fx.first);
	controller_state_replica_deleted(w->cs, "t", 0, 2, JUST_SENT, true, &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_TOPIC);
}

/* ---- a random world ---- */

static uint64_t
next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

struct model {
	bool exists;
	int32_t leader, epoch, isr_count, isr[3], version;
};

/* Brokers come and go at random; writes fail at random. What is written must keep these. */
static void
check_write(const struct effect *e, const struct model *m, uint32_t alive)
{
	if (e->create) {
		assert_false(m->exists);
	} else {
		assert_int_equal(e->state.leader_epoch, m->epoch + 1);
		assert_int_equal(e->state.partition_epoch, m->version);
	}
	assert_true(e->state.isr_count > 0);
	if (e->state.leader >= 0)
		assert_true(alive & 1u << e->state.leader); /* the leader lives */
	for (int32_t i = 0; m->exists && i < e->state.isr_count; i++) {
		bool was_in = false; /* the ISR only shrinks by the controller's hand */

		for (int32_t k = 0; k < m->isr_count; k++)
			was_in = was_in || m->isr[k] == e->state.isr[i];
		assert_true(was_in);
	}
	if (e->state.leader >= 0) {
		bool in_isr = false;

		for (int32_t i = 0; i < e->state.isr_count; i++)
			in_isr = in_isr || e->state.isr[i] == e->state.leader;
		assert_true(in_isr);
	}
}

static void
run_world(uint64_t seed)
{
	struct world world = {0}, *w = &world;
	struct model m = {0};
	int64_t life[4] = {0};
	uint32_t alive = 0;

	assert_int_equal(controller_state_new(1, "PLAINTEXT", &w->cs), 0);
	controller_state_reset(w->cs, 5);
	effects_init(&w->fx);
	topic_is(w, "t", all, 3);
	for (int step = 0; step < 100; step++) {
		static const struct controller_endpoint endpoint = {"PLAINTEXT", "h", 1, 0};
		struct controller_broker brokers[3];
		uint32_t id = 1 + (uint32_t)(next_random(&seed) % 3);
		size_t count = 0;

		alive ^= 1u << id;
		life[id]++;
		for (int32_t i = 1; i <= 3; i++)
			if (alive & 1u << i)
				brokers[count++] =
				    (struct controller_broker){.id = i,
							       .epoch = life[i],
							       .endpoints = &endpoint,
							       .endpoint_count = 1};
		controller_state_brokers(w->cs, brokers, count, &w->fx);
		for (const struct effect *e = w->fx.first; e != NULL; e = e->next) {
			if (e->kind != EFFECT_WRITE_STATE)
				continue;
			check_write(e, &m, alive);
			if (next_random(&seed) % 5 == 0) {
				controller_state_written(w->cs, "t", 0, -EPROTO, 0);
				continue;
			}
			m.version = m.exists ? m.version + 1 : 0;
			m.exists = true;
			m.leader = e->state.leader;
			m.epoch = e->state.leader_epoch;
			m.isr_count = e->state.isr_count;
			memcpy(m.isr, e->state.isr, (size_t)m.isr_count * sizeof(m.isr[0]));
			controller_state_written(w->cs, "t", 0, 0, m.version);
		}
		forget_effects(w);
		controller_state_flush(w->cs, &w->fx);
		for (const struct effect *e = w->fx.first; e != NULL; e = e->next)
			assert_true(e->kind == EFFECT_SEND && (alive & 1u << e->broker_id));
		forget_effects(w);
	}
	effects_fini(&w->fx);
	controller_state_free(w->cs);
}

static void
in_a_random_world_leaders_live_and_epochs_rise(void **state)
{
	uint64_t first = 1;

	(void)state;
	if (getenv("KLAMM_SEED") != NULL)
		first = strtoull(getenv("KLAMM_SEED"), NULL, 0);
	for (uint64_t seed = first; seed < first + 2000; seed++) {
		if (getenv("KLAMM_SEED") != NULL)
			print_message("seed %llu\n", (unsigned long long)seed);
		run_world(seed);
	}
}

int
main(void)
{
#define TEST(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, controller_state_setup, controller_state_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_new_partition_is_led_by_its_first_live_replica),
	    TEST(a_new_partition_without_live_replicas_waits_for_one),
	    TEST(a_dead_leader_is_followed_by_the_next_in_the_isr),
	    TEST(a_broker_that_was_gone_unseen_leads_no_more_and_leaves_the_isr),
	    TEST(a_broker_that_was_gone_unseen_leads_again_where_nobody_else_can),
	    TEST(a_leader_changes_its_isr_without_a_new_epoch),
	    TEST(a_wish_that_is_out_of_date_or_ineligible_is_refused),
	    TEST(a_wish_for_a_member_in_another_life_is_refused_or_left_to_who_knows_it),
	    TEST(a_broker_that_shuts_down_hands_its_leaderships_over),
	    TEST(a_dead_follower_leaves_the_isr),
	    TEST(the_last_isr_member_keeps_its_place_when_it_dies),
	    TEST(a_replica_outside_the_isr_leads_only_where_it_is_allowed),
	    TEST(a_conflict_is_decided_anew_from_what_is_there),
	    TEST(brokers_are_told_in_order_and_new_ones_everything),
	    TEST(a_topic_goes_when_every_replica_has_been_deleted),
	    TEST(a_request_to_delete_what_does_not_exist_is_removed),
	    TEST(a_failed_directory_costs_its_broker_the_leadership),
	    TEST(a_directory_that_failed_is_told_where_nothing_else_changes),
	    TEST(an_event_is_told_of_what_it_changed_alone),
	    TEST(the_answer_to_a_former_deletion_does_not_count_for_a_topic_of_the_same_name),
	    TEST(a_deletion_that_failed_is_tried_again_when_a_broker_of_the_topic_starts),
	    cmocka_unit_test(in_a_random_world_leaders_live_and_epochs_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
