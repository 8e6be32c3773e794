/*
 * group.h - one group of members that share work: who belongs to it, which generation it is in,
 * and who was assigned what.
 *
 * This module decides and does not act. An event and the time go in; what is to be done comes out
 * as effects: answer this waiting JoinGroup, store this group. It holds no lock, and reads neither
 * clock nor chance; ids of new members are made by the caller.
 *
 *	Empty -> PreparingRebalance -> CompletingRebalance -> Stable, and any of them -> Dead
 *
 * Empty: no members, perhaps offsets. PreparingRebalance: members join, until all have or time is
 * up. CompletingRebalance: everybody knows the generation and waits for the leader's assignment.
 * Stable: the assignment is stored and handed out. Dead: deleted, or coordinated elsewhere.
 *
 * Invariants
 *  1. The generation only rises, once for each completed join phase.
 *  2. A group with members has a leader, which is a member.
 *  3. Whoever waits is answered exactly once.
 *  4. In one generation every member gets the assignment of that generation or none.
 *
 * Threads    one at a time: the coordinator's lock.
 * Ownership  texts and bytes that go in are copied. What comes out in effects lives in them.
 * Memory     a process without memory for a group aborts.
 * Source     wire-protocol, sections 14.2 to 14.6; Kafka's GroupCoordinator, GroupMetadata.
 */
#ifndef KLAMM_GROUP_GROUP_H
#define KLAMM_GROUP_GROUP_H

#include "base/arena.h"
#include "base/bytes.h"
#include "group/group_offsets.h"

struct group;
struct group_metadata_value; /* wire/generated/consumer_offsets.h */

#define GROUP_PROTOCOL_TYPE_CONSUMER "consumer"
#define GROUP_NO_GENERATION (-1)

/*
 * Members that have only been told their id may be so many in one group; Kafka has no bound, and
 * whoever asks for ids and never joins could fill the memory until group.max.session.timeout.ms.
 * Each takes some 270 bytes. A client comes back within a round trip; one that does not find its
 * id any more is answered UNKNOWN_MEMBER_ID and begins anew.
 */
#define GROUP_PENDING_MAX 10000

enum group_state {
	GROUP_EMPTY,
	GROUP_PREPARING_REBALANCE,
	GROUP_COMPLETING_REBALANCE,
	GROUP_STABLE,
	GROUP_DEAD,
	GROUP_STATE_COUNT
};

/* "PreparingRebalance", as ListGroups says it. */
const char *group_state_name(enum group_state state);

/* The coordinator's settings; they outlive the group and may change between events. */
struct group_settings {
	int32_t initial_rebalance_delay_ms;
	int32_t max_size; /* members */
};

struct group_now {
	int64_t monotonic_ms; /* what timers go by */
	int64_t wall_ms;      /* ms since the epoch, for what is stored */
};

/* ---- effects ---- */

enum group_effect_kind {
	GROUP_EFFECT_JOINED, /* answer the JoinGroup of `waiter` */
	GROUP_EFFECT_SYNCED, /* answer the SyncGroup of `waiter` */
	GROUP_EFFECT_STORE,  /* write the group's record, then tell group_stored() */
};

struct group_joined_member {
	struct str id, instance_id;
	struct slice metadata;
};

struct group_joined {
	int error; /* 0 or K_... */
	int32_t generation;
	struct str protocol_type, protocol_name, leader, member_id; /* null where not known */
	bool skip_assignment;
	struct group_joined_member *members; /* for the leader alone */
	int32_t member_count;
};

struct group_synced {
	int error; /* 0 or K_... */
	struct str protocol_type, protocol_name;
	struct slice assignment;
};

struct group_effect {
	struct group_effect *next;
	enum group_effect_kind kind;
	void *waiter;      /* JOINED, SYNCED: from the request */
	uint64_t store_id; /* STORE */
	union {
		struct group_joined joined;
		struct group_synced synced;
	};
};

struct group_effects {
	struct arena arena;
	struct group_effect *first, **last;
	int32_t rebalances; /* begun by this event; for the metrics */
};

void group_effects_init(struct group_effects *fx);
void group_effects_fini(struct group_effects *fx);

/* ---- life ---- */

/* An empty group without a protocol type. */
struct group *group_new(const char *id, const struct group_settings *settings,
			struct group_now now);
/* Nobody may wait any more. Accepts NULL. */
void group_free(struct group *g);

/*
 * Takes the state of a stored record, just after group_new(). The group is Stable when it has
 * members, else Empty.
 */
void group_restore(struct group *g, const struct group_metadata_value *value);
/* All records have been read: the members' sessions begin, and a group that is too large shrinks.
 */
void group_loaded(struct group *g, struct group_now now, struct group_effects *fx);
/* Coordinated elsewhere from now on, or gone: whoever waits gets `error`. Dead afterwards. */
void group_unload(struct group *g, int error, struct group_effects *fx);

/* ---- requests ---- */

struct group_protocol {
	struct str name;
	struct slice metadata;
};

struct group_join {
	struct str member_id;     /* empty for a new member */
	struct str instance_id;   /* null: a dynamic member */
	struct str new_member_id; /* what a new member is to be called */
	struct str client_id, client_host, protocol_type;
	struct str reason; /* of the client, or null */
	int32_t session_timeout_ms, rebalance_timeout_ms;
	bool require_known_member_id;     /* JoinGroup v4: a new dynamic member comes twice */
	bool support_skipping_assignment; /* JoinGroup v9 */
	const struct group_protocol *protocols;
	int32_t protocol_count;
	void *waiter; /* not NULL */
};

/* Answered now or later by GROUP_EFFECT_JOINED. */
void group_join(struct group *g, const struct group_join *join, struct group_now now,
		struct group_effects *fx);

/* Which member of which generation a request says to come from. */
struct group_identity {
	struct str member_id;
	struct str instance_id; /* null: none given */
	int32_t generation;
};

struct group_assignment {
	struct str member_id;
	struct slice assignment;
};

struct group_sync {
	struct group_identity from;
	struct str protocol_type, protocol_name; /* null: not checked */
	const struct group_assignment *assignments;
	int32_t assignment_count;
	void *waiter; /* not NULL */
};

/* Answered now or later by GROUP_EFFECT_SYNCED. */
void group_sync(struct group *g, const struct group_sync *sync, struct group_now now,
		struct group_effects *fx);

/* K_COORDINATOR_NOT_AVAILABLE, K_FENCED_INSTANCE_ID, K_UNKNOWN_MEMBER_ID, K_ILLEGAL_GENERATION,
 * K_REBALANCE_IN_PROGRESS; 0 while all is well. */
MUST_CHECK int group_heartbeat(struct group *g, const struct group_identity *from,
			       struct group_now now, struct group_effects *fx);

/* One member of a LeaveGroup: by its id, or by its instance id alone. 0 or an error as above. */
MUST_CHECK int group_leave(struct group *g, struct str member_id, struct str instance_id,
			   struct str reason, struct group_now now, struct group_effects *fx);

/*
 * May these offsets be committed? Renews the member's session where it may. Errors as for
 * group_heartbeat(), with K_REBALANCE_IN_PROGRESS while the assignment is being made.
 */
MUST_CHECK int group_commit(struct group *g, const struct group_identity *from,
			    struct group_now now, struct group_effects *fx);

/* The record of GROUP_EFFECT_STORE was written (0), or was not: what SyncGroup is to answer. */
void group_stored(struct group *g, uint64_t store_id, int error, struct group_now now,
		  struct group_effects *fx);

/* ---- time ---- */

/* When group_tick() is next needed, monotonic ms; INT64_MAX: not by itself. */
int64_t group_deadline_ms(const struct group *g);
void group_tick(struct group *g, struct group_now now, struct group_effects *fx);

/* ---- offsets and the end ---- */

struct group_offsets *group_offsets(struct group *g);

/* Empty, without offsets, and nobody is about to join: it may be forgotten. */
bool group_is_unused(const struct group *g);
/* Takes out the offsets that have expired, calls fn for each, and returns group_is_unused(). */
bool group_expire(struct group *g, int64_t retention_ms, struct group_now now, group_offsets_fn *fn,
		  void *arg);
/* The members, as far as is known, read this topic. */
bool group_subscribes(const struct group *g, struct str topic);

/* ---- a look ---- */

const char *group_id(const struct group *g);
enum group_state group_state(const struct group *g);
int32_t group_generation(const struct group *g);
int32_t group_member_count(const struct group *g);
/* "" and NULL when there is none. */
const char *group_protocol_type(const struct group *g);
const char *group_protocol_name(const struct group *g);

struct group_member_view {
	struct str id, instance_id, client_id, client_host;
	struct slice metadata, assignment; /* of the protocol in use */
};
/* The members in the order of joining: start with NULL; NULL at the end. */
struct group_member;
const struct group_member *group_next_member(const struct group *g, const struct group_member *m);
void group_look_at_member(const struct group *g, const struct group_member *m,
			  struct group_member_view *ret_view);

/*
 * What is to be stored, in arena: for GROUP_EFFECT_STORE the assignment that waits for it, else
 * what the group has.
 */
void group_describe(const struct group *g, struct arena *arena,
		    struct group_metadata_value *ret_value);

#endif
