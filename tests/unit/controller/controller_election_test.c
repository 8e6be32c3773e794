/* Partitions without a leader, and elections that somebody asks for. */
#include <stdio.h>

#include "tests/unit/controller/controller_state_fixture.h"
#include "wire/api_table.h"
#include "wire/kerr.h"

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

int
main(void)
{
#define TEST(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, controller_state_setup, controller_state_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_has_no_leader_is_told_with_the_time_and_the_reasons),
	    TEST(the_next_controller_knows_from_the_znode_since_when),
	    TEST(the_preferred_replica_leads_again_when_asked_for),
	    TEST(an_election_that_cannot_be_has_its_reason),
	    TEST(an_unclean_election_takes_whoever_is_there),
	    TEST(leaders_are_balanced_where_too_many_are_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
