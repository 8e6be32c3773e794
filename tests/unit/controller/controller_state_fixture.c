#include "tests/unit/controller/controller_state_fixture.h"

#include <stdio.h>
#include <stdlib.h>

const struct uuid topic_id = {{1}};
const int32_t all[3] = {1, 2, 3};

int
controller_state_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(controller_state_new(1, "PLAINTEXT", &w->cs), 0);
	controller_state_reset(w->cs, 5);
	effects_init(&w->fx);
	*state = w;
	return 0;
}

int
controller_state_teardown(void **state)
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

void
forget_effects(struct world *w)
{
	effects_fini(&w->fx);
	effects_init(&w->fx);
}

void
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

void
brokers_are(struct world *w, const int32_t *ids, size_t count, int64_t life)
{
	brokers_from(w, ids, count, 0, life);
}

void
topic_is(struct world *w, const char *name, const int32_t *replicas, int32_t count)
{
	struct controller_assignment a = {
	    .partition = 0, .replicas = replicas, .replica_count = count};

	controller_state_topic(w->cs, name, &topic_id, &a, 1, &w->fx);
}

const char *
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

void
write_succeeds(struct world *w, const char *topic, int32_t version)
{
	controller_state_written(w->cs, topic, 0, 0, version);
	forget_effects(w);
}

int
count_sends(const struct world *w, int32_t broker_id, int16_t api_key)
{
	int n = 0;

	for (const struct effect *e = w->fx.first; e != NULL; e = e->next)
		n += e->kind == EFFECT_SEND && e->broker_id == broker_id && e->api_key == api_key;
	return n;
}

const void *
request_to(const struct world *w, int32_t broker_id, int16_t api_key)
{
	const void *request = NULL;

	for (const struct effect *e = w->fx.first; e != NULL; e = e->next)
		if (e->kind == EFFECT_SEND && e->broker_id == broker_id && e->api_key == api_key)
			request = e->request;
	return request;
}

int
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
