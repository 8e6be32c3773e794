/*
 * group_fixture.h - a group for tests: events by short functions, effects as one line of text.
 *
 *	J1 ok gen=1 range leader=a id=a members=a,b	an answer to JoinGroup of waiter 1
 *	J1 UNKNOWN_MEMBER_ID gen=-1 id=			a refusal
 *	S1 ok x						an answer to SyncGroup: the assignment
 *	store						a record to write; stored() is its answer
 */
#ifndef KLAMM_TESTS_GROUP_FIXTURE_H
#define KLAMM_TESTS_GROUP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "group/group.h"
#include "wire/generated/consumer_offsets.h"
#include "wire/kerr.h"

#define WALL_MS INT64_C(1700000000000)
#define DELAY_MS 3000
#define SESSION_MS 10000
#define REBALANCE_MS 60000

struct world {
	struct group *g;
	struct group_settings settings;
	struct group_effects fx;
	int64_t ms;
	uint64_t store_id; /* the last one */
	char text[4096];
};

int setup(void **state);
int teardown(void **state);
struct group_now now_of(const struct world *w);

/* Zeroed: a new dynamic member of protocol range that reads topic t. */
struct joiner {
	const char *id, *instance, *new_id; /* new_id: of a member without id */
	const char *protocols;              /* "range,rr" */
	const char *type;
	const char *topic;                /* in its metadata */
	struct slice metadata;            /* instead */
	int32_t session_ms, rebalance_ms; /* 0: SESSION_MS, REBALANCE_MS; -1: 0 */
	bool needs_id, skips;
};

void join(struct world *w, int waiter, struct joiner j);
/* The leader's assignment is "x" for each of these members: "a,b"; NULL: none. */
void sync(struct world *w, int waiter, const char *id, const char *instance, int32_t generation,
	  const char *members);
void stored(struct world *w, int error);
void pass(struct world *w, int64_t ms); /* time, and the timers that are due */
int heartbeat(struct world *w, const char *id, const char *instance, int32_t generation);
int commit(struct world *w, const char *id, const char *instance, int32_t generation);
int leave(struct world *w, const char *id, const char *instance);

/* What the events since the last look brought. */
void assert_effects_at(struct world *w, const char *expected, const char *file, int line);
#define assert_effects(w, expected) assert_effects_at(w, expected, __FILE__, __LINE__)
void forget_effects(struct world *w);
#define assert_state(w, state) assert_string_equal(group_state_name(group_state((w)->g)), state)

/*
 * A Stable group of these members, "a,b": the first leads. One that begins with i is static, its
 * instance its name, its id the name and "1". Generation 1.
 */
void make_stable(struct world *w, const char *names);
/* Bytes of a consumer's subscription of version 0, in a static buffer. */
struct slice subscription(const char *topic);

#endif
