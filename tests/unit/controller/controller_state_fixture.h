/*
 * controller_state_fixture.h - what the tests of the controller's decisions share: one controller,
 * the effects it asked for, and events in a word each.
 */
#ifndef KLAMM_TESTS_CONTROLLER_STATE_FIXTURE_H
#define KLAMM_TESTS_CONTROLLER_STATE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/controller_state.h"

#define JUST_SENT UINT64_MAX /* the deletion of a request that came after all else */

struct world {
	struct controller_state *cs;
	struct effects fx;
};

extern const struct uuid topic_id; /* of every topic that topic_is() makes */
extern const int32_t all[3];       /* 1, 2, 3 */

/* cmocka's setup and teardown of one struct world: broker 1 in office, controller epoch 5. */
int controller_state_setup(void **state);
int controller_state_teardown(void **state);

void forget_effects(struct world *w);
/* Brokers ids[0..count), each with its id as epoch, plus `life` for those from `reborn` on. */
void brokers_from(struct world *w, const int32_t *ids, size_t count, size_t reborn, int64_t life);
/* The same, with `life` for all. */
void brokers_are(struct world *w, const int32_t *ids, size_t count, int64_t life);
/* A topic of one partition. */
void topic_is(struct world *w, const char *name, const int32_t *replicas, int32_t count);
/* "leader/epoch [isr]" of the only state to be written, "" for none; until the next call. */
const char *written(struct world *w);
/* Partition 0's state is in the znode, at this version; the effects are forgotten. */
void write_succeeds(struct world *w, const char *topic, int32_t version);
/* What a leader asks for, and what becomes of it; the effects before it are forgotten. */
int leader_wants(struct world *w, int32_t leader, int32_t leader_epoch, int32_t partition_epoch,
		 const int32_t *isr, int32_t count);

/* How many requests of a kind go to a broker at the flush. */
int count_sends(const struct world *w, int32_t broker_id, int16_t api_key);
/* The last of them, NULL when there is none. */
const void *request_to(const struct world *w, int32_t broker_id, int16_t api_key);

#endif
