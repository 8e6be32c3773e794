/* The controller's decisions: events and facts go in, effects come out. */
#include <errno.h>
#include <stdlib.h>

#include "base/env.h"
#include "controller/assignment.h"
#include "controller/controller_state.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct uuid topic_id = {{1}};

struct world {
	struct controller_state *cs;
	struct effects fx;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(controller_state_new(1, "PLAINTEXT", &w->cs), 0);
	controller_state_reset(w->cs, 5);
	effects_init(&w->fx);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	struct controller_counts kept, anew;

	controller_state_count(w->cs, &kept);
	controller_state_recount(w->cs, &anew);
	assert_memory_equal(&kept, &anew, sizeof(kept));
	effects_fini(&w->fx);
	controller_state_free(w->cs);
	free(w);
	return 0;
}

static void
forget_effects(struct world *w)
{
	effects_fini(&w->fx);
	effects_init(&w->fx);
}

/* Brokers ids[0..count), each with its id as epoch, plus `life` for those from `reborn` on. */
static void
brokers_from(struct world *w, const int32_t *ids, size_t count, size_t reborn, int64_t life)
{
	static const struct controller_endpoint endpoint = {"PLAINTEXT", "h", 9092, 0};
	struct controller_broker brokers[8] = {0};

	for (size_t i = 0; i < count; i++)
		brokers[i] = (struct controller_broker){.id = ids[i],
							.epoch = ids[i] + (i >= reborn ? life : 0),
							.endpoints = &endpoint,
							.endpoint_count = 1};
	controller_state_brokers(w->cs, brokers, count, &w->fx);
}

static void
brokers_are(struct world *w, const int32_t *ids, size_t count, int64_t life)
{
	brokers_from(w, ids, count, 0, life);
}

static void
topic_is(struct world *w, const char *name, const int32_t *replicas, int32_t count)
{
	struct controller_assignment a = {
	    .partition = 0, .replicas = replicas, .replica_count = count};

	controller_state_topic(w->cs, name, &topic_id, &a, 1, &w->fx);
}

/* "leader/epoch [isr]" of the only state to be written, "" when there is none. */
static const char *
written(struct world *w)
{
	static char out[128];
	int n = 0;

	out[0] = '\0';
	for (const struct effect *e = w->fx.first; e != NULL; e = e->next) {
		if (e->kind != EFFECT_WRITE_STATE)
			continue;
		assert_int_equal(n, 0);
		n = snprintf(out, sizeof(out), "%s%d/%d [", e->create ? "new " : "",
			     e->state.leader, e->state.leader_epoch);
		for (int32_t i = 0; i < e->state.isr_count; i++)
			n += snprintf(out + n, sizeof(out) - (size_t)n, "%s%d", i ? "," : "",
				      e->state.isr[i]);
		snprintf(out + n, sizeof(out) - (size_t)n, "]");
		assert_int_equal(e->state.controller_epoch, 5);
	}
	return out;
}

static void
write_succeeds(struct world *w, const char *topic, int32_t version)
{
	controller_state_written(w->cs, topic, 0, 0, version);
	forget_effects(w);
}

/* How many requests of a kind go to a broker at the flush. */
static int
count_sends(const struct world *w, int32_t broker_id, int16_t api_key)
{
	int n = 0;

	for (const struct effect *e = w->fx.first; e != NULL; e = e->next)
		n += e->kind == EFFECT_SEND && e->broker_id == broker_id && e->api_key == api_key;
	return n;
}

static const void *
request_to(const struct world *w, int32_t broker_id, int16_t api_key)
{
	const void *request = NULL;

	for (const struct effect *e = w->fx.first; e != NULL; e = e->next)
		if (e->kind == EFFECT_SEND && e->broker_id == broker_id && e->api_key == api_key)
			request = e->request;
	return request;
}

static const int32_t all[] = {1, 2, 3};

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

/* What a leader asks for, and what becomes of it. */
static int
leader_wants(struct world *w, int32_t leader, int32_t leader_epoch, int32_t partition_epoch,
	     const int32_t *isr, int32_t count)
{
	struct controller_leadership wanted = {.leader_epoch = leader_epoch,
					       .isr = isr,
					       .isr_count = count,
					       .partition_epoch = partition_epoch};

	forget_effects(w);
	return controller_state_alter_partition(w->cs, leader, &topic_id, 0, &wanted, &w->fx);
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
	controller_state_replica_deleted(w->cs, "t", 0, 2, true, &w->fx);
	assert_null(w->fx.first);
	brokers_are(w, all, 3, 100); /* 1 comes back and is told again */
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 1, API_STOP_REPLICA), 1);
	assert_int_equal(count_sends(w, 2, API_STOP_REPLICA), 0);
	forget_effects(w);
	controller_state_replica_deleted(w->cs, "t", 0, 1, true, &w->fx);
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

/* ---- what is counted and told ---- */

static void
remember_offline(void *arg, const struct controller_offline *offline)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s-%d since %lld isr %d:", offline->topic, offline->partition,
		(long long)offline->since_ms, offline->isr[0]);
	for (int32_t i = 0; i < offline->replica_count; i++)
		sprintf(text + strlen(text), " %d=%d", offline->replicas[i], offline->reasons[i]);
}

static const char *
told_offline(struct world *w)
{
	static char text[256];

	text[0] = '\0';
	controller_state_each_offline(w->cs, remember_offline, text);
	return text;
}

static void
what_has_no_leader_is_told_with_the_time_and_the_reasons(void **state)
{
	struct controller_counts n;
	struct world *w = *state;

	controller_state_set_time(w->cs, 1000);
	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	controller_state_flush(w->cs, &w->fx);
	assert_string_equal(told_offline(w), "");
	controller_state_replica_offline(w->cs, &topic_id, 0, 3, true, &w->fx);
	write_succeeds(w, "t", 1);
	brokers_are(w, (int32_t[]){1, 3}, 2, 0);
	write_succeeds(w, "t", 2);
	controller_state_set_time(w->cs, 2000);
	brokers_are(w, (int32_t[]){3}, 1, 0);
	write_succeeds(w, "t", 3);
	controller_state_set_time(w->cs, 3000);
	brokers_are(w, (int32_t[]){2, 3}, 2, 0);
	assert_string_equal(told_offline(w), "t-0 since 2000 isr 1: 1=1 2=8 3=2");
	controller_state_count(w->cs, &n);
	assert_int_equal(n.offline_partitions, 1);
	assert_int_equal(n.elections, 0);
	controller_state_set_unclean(w->cs, "t", true, &w->fx);
	write_succeeds(w, "t", 4);
	assert_string_equal(told_offline(w), "");
	controller_state_count(w->cs, &n);
	assert_int_equal(n.offline_partitions, 0);
	assert_int_equal(n.preferred_imbalance, 1);
	assert_int_equal(n.elections, 1);
	assert_int_equal(n.unclean_elections, 1);
}

static void
the_next_controller_knows_from_the_znode_since_when(void **state)
{
	struct world *w = *state;
	struct controller_leadership l = {.leader = -1,
					  .leader_epoch = 3,
					  .isr = (int32_t[]){1},
					  .isr_count = 1,
					  .changed_ms = 777};
	struct controller_assignment a = {.partition = 0, .replicas = all, .replica_count = 3};

	controller_state_set_time(w->cs, 5000);
	controller_state_topic(w->cs, "t", &topic_id, &a, 1, NULL);
	controller_state_put_leadership(w->cs, "t", 0, &l);
	assert_string_equal(told_offline(w), "t-0 since 777 isr 1: 1=1 2=1 3=1");
}

/* ---- elections that somebody asks for ---- */

/* Led by 2, with 1 preferred, alive and in the ISR again. */
static void
led_by_another(struct world *w)
{
	brokers_are(w, all, 3, 0);
	topic_is(w, "t", all, 3);
	write_succeeds(w, "t", 0);
	brokers_from(w, (int32_t[]){2, 3, 1}, 3, 2, 100);
	write_succeeds(w, "t", 1);
	assert_int_equal(leader_wants(w, 2, 1, 1, (int32_t[]){2, 3, 1}, 3), 0);
	write_succeeds(w, "t", 2);
	controller_state_flush(w->cs, &w->fx);
	forget_effects(w);
}

static void
the_preferred_replica_leads_again_when_asked_for(void **state)
{
	struct world *w = *state;

	led_by_another(w);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, false, &w->fx), 0);
	assert_string_equal(written(w), "1/2 [2,3,1]");
	write_succeeds(w, "t", 3);
	assert_int_equal(controller_state_leader(w->cs, "t", 0), 1);
	controller_state_flush(w->cs, &w->fx);
	assert_int_equal(count_sends(w, 3, API_LEADER_AND_ISR), 1);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, false, &w->fx),
			 K_ELECTION_NOT_NEEDED);
}

static void
an_election_that_cannot_be_has_its_reason(void **state)
{
	struct world *w = *state;

	assert_int_equal(controller_state_elect(w->cs, "t", 0, false, &w->fx),
			 K_UNKNOWN_TOPIC_OR_PARTITION);
	led_by_another(w);
	assert_int_equal(controller_state_elect(w->cs, "t", 1, false, &w->fx),
			 K_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, true, &w->fx),
			 K_ELECTION_NOT_NEEDED);
	brokers_from(w, (int32_t[]){2, 3, 1}, 2, 2, 100); /* the preferred one goes */
	write_succeeds(w, "t", 3);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, false, &w->fx),
			 K_PREFERRED_LEADER_NOT_AVAILABLE);
	controller_state_delete(w->cs, "t", &w->fx);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, false, &w->fx),
			 K_INVALID_TOPIC_EXCEPTION);
}

static void
an_unclean_election_takes_whoever_is_there(void **state)
{
	struct world *w = *state;

	brokers_are(w, all, 3, 0);
	topic_is(w, "t", (int32_t[]){1, 2}, 2);
	write_succeeds(w, "t", 0);
	brokers_are(w, (int32_t[]){1, 3}, 2, 0); /* 2 leaves the ISR */
	write_succeeds(w, "t", 1);
	brokers_are(w, (int32_t[]){3}, 1, 0);
	assert_string_equal(written(w), "-1/2 [1]");
	write_succeeds(w, "t", 2);
	assert_int_equal(controller_state_elect(w->cs, "t", 0, true, &w->fx),
			 K_ELIGIBLE_LEADERS_NOT_AVAILABLE);
	brokers_are(w, (int32_t[]){2, 3}, 2, 100);
	assert_string_equal(written(w), "");
	assert_int_equal(controller_state_elect(w->cs, "t", 0, true, &w->fx), 0);
	assert_string_equal(written(w), "2/3 [2]");
	assert_true(w->fx.first->state.recovering);
}

static void
leaders_are_balanced_where_too_many_are_elsewhere(void **state)
{
	struct world *w = *state;

	led_by_another(w);
	assert_int_equal(controller_state_balance(w->cs, 100, &w->fx), 0); /* strictly more */
	assert_string_equal(written(w), "");
	assert_int_equal(controller_state_balance(w->cs, 99, &w->fx), 1);
	assert_string_equal(written(w), "1/2 [2,3,1]");
	write_succeeds(w, "t", 3);
	assert_int_equal(controller_state_balance(w->cs, 0, &w->fx), 0);
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
	controller_state_replica_deleted(w->cs, "t", 0, 1, false, &w->fx); /* its disk is ill */
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
	controller_state_replica_deleted(w->cs, "t", 0, 1, true, &w->fx);
	assert_null(w->fx.first);
	controller_state_replica_deleted(w->cs, "t", 0, 2, true, &w->fx);
	assert_int_equal(w->fx.first->kind, EFFECT_DELETE_TOPIC);
}

/* ---- reassignment ---- */

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
	assert_string_equal(carried_out(w, &version),
			    "topic [1,2]+[]-[] state 1/3 [1,2] tell 1 tell 2 delete at 4 "
			    "topic [1,2]+[]-[] done");
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
	controller_state_replica_deleted(w->cs, "t", 0, 2, true, &w->fx);
	controller_state_replica_deleted(w->cs, "t", 0, 3, true, &w->fx);
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

/* ---- assignment ---- */

static void
replicas_are_spread_evenly(void **state)
{
	struct assignment_broker brokers[5];
	struct topic_assignment ta = {0};
	int leads[5] = {0}, holds[5] = {0};

	(void)state;
	for (int i = 0; i < 5; i++)
		brokers[i] = (struct assignment_broker){.id = i};
	assert_int_equal(assignment_make(env_system(), brokers, 5, 0, 20, 3, -1, -1, &ta), 0);
	for (int i = 0; i < 20; i++) {
		const int32_t *r = ta.partitions[i].replicas;

		assert_int_equal(ta.partitions[i].replica_count, 3);
		assert_true(r[0] != r[1] && r[1] != r[2] && r[0] != r[2]);
		leads[r[0]]++;
		for (int k = 0; k < 3; k++)
			holds[r[k]]++;
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(leads[i], 4);
		assert_int_equal(holds[i], 12);
	}
	topic_assignment_fini(&ta);
}

static void
replicas_stand_in_different_racks(void **state)
{
	static const char *const racks[] = {"a", "b", "c"};
	struct assignment_broker brokers[6];
	struct topic_assignment ta = {0};

	(void)state;
	for (int i = 0; i < 6; i++)
		brokers[i] = (struct assignment_broker){.id = i, .rack = racks[i / 2]};
	assert_int_equal(assignment_make(env_system(), brokers, 6, 0, 12, 3, -1, -1, &ta), 0);
	for (int i = 0; i < 12; i++) {
		const int32_t *r = ta.partitions[i].replicas;

		assert_true(r[0] / 2 != r[1] / 2 && r[1] / 2 != r[2] / 2 && r[0] / 2 != r[2] / 2);
	}
	topic_assignment_fini(&ta);
	brokers[3].rack = NULL;
	assert_int_equal(assignment_make(env_system(), brokers, 6, 0, 1, 1, 0, 0, &ta),
			 K_UNKNOWN_SERVER_ERROR);
	assert_int_equal(assignment_make(env_system(), brokers, 2, 0, 1, 3, 0, 0, &ta),
			 K_INVALID_REPLICATION_FACTOR);
	topic_assignment_fini(&ta);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
	    TEST(what_has_no_leader_is_told_with_the_time_and_the_reasons),
	    TEST(the_next_controller_knows_from_the_znode_since_when),
	    TEST(the_preferred_replica_leads_again_when_asked_for),
	    TEST(an_election_that_cannot_be_has_its_reason),
	    TEST(an_unclean_election_takes_whoever_is_there),
	    TEST(leaders_are_balanced_where_too_many_are_elsewhere),
	    TEST(an_event_is_told_of_what_it_changed_alone),
	    TEST(a_deletion_that_failed_is_tried_again_when_a_broker_of_the_topic_starts),
	    TEST(a_partition_moves_when_its_new_replicas_have_caught_up),
	    TEST(a_leader_that_stays_hears_that_the_others_went),
	    TEST(a_reassignment_is_taken_back_or_replaced),
	    TEST(a_reassignment_that_cannot_be_has_its_reason),
	    TEST(the_next_controller_goes_on_with_a_reassignment),
	    TEST(a_topic_on_the_move_is_deleted_when_it_has_arrived),
	    cmocka_unit_test(in_a_random_world_leaders_live_and_epochs_rise),
	    cmocka_unit_test(replicas_are_spread_evenly),
	    cmocka_unit_test(replicas_stand_in_different_racks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
