/*
 * group_internal.h - the inside of a group, for the files that decide: group*.c.
 */
#ifndef KLAMM_GROUP_GROUP_INTERNAL_H
#define KLAMM_GROUP_GROUP_INTERNAL_H

#include "base/map.h"
#include "base/timers.h"
#include "group/group.h"

struct group_member {
	struct group_member *next, *prev; /* in the group's order of joining */
	struct group *group;
	char *id, *instance_id; /* instance_id NULL: dynamic */
	char *client_id, *client_host;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	struct group_protocol *protocols; /* names and metadata owned, in the member's order */
	int32_t protocol_count;
	struct slice assignment;      /* owned; of the present generation */
	struct slice next_assignment; /* owned; the leader's, until it is stored */
	void *join_waiter, *sync_waiter;
	bool is_new;       /* has not completed a join phase yet */
	bool pending_sync; /* has not sent SyncGroup in this generation */
	struct timer session;
};

/* Got its id by MEMBER_ID_REQUIRED and has not come back yet. */
struct pending_member {
	struct pending_member *next, *prev; /* in the order in which they got their ids */
	struct group *group;
	char *id;
	struct timer session;
};

enum join_phase {
	JOIN_INITIAL, /* the first rebalance of an empty group waits for more members */
	JOIN_ALL,     /* ends when all members have joined, or at the rebalance timeout */
};

enum store_kind { STORE_ASSIGNMENT, STORE_EMPTY, STORE_STATIC_MEMBER };

/* A record on its way to the log. */
struct group_store {
	struct group_store *next;
	uint64_t id;
	enum store_kind kind;
	int32_t generation;
	/* STORE_STATIC_MEMBER: how things were before the new process came. */
	char *member_id, *old_member_id, *old_leader;
	struct group_protocol *old_protocols;
	int32_t old_protocol_count;
	int32_t old_session_timeout_ms, old_rebalance_timeout_ms;
	bool support_skipping_assignment;
};

struct group {
	char *id;
	const struct group_settings *settings;
	enum group_state state;
	int64_t state_timestamp_ms; /* wall clock; -1: unknown */
	int32_t generation;
	char *protocol_type; /* NULL: none yet */
	char *protocol_name; /* NULL: none selected */

	struct map members;        /* id -> struct group_member */
	struct map static_members; /* instance id -> struct group_member */
	struct map pending;        /* id -> struct pending_member */
	struct map supported;      /* protocol name -> how many members have it */
	struct pending_member *first_pending, *last_pending;
	struct group_member *first, *last;
	struct group_member *leader; /* NULL: none */
	int32_t joined_count;        /* members with a join_waiter */
	int32_t pending_sync_count;

	enum join_phase join_phase;
	int32_t initial_delay_left_ms;
	bool new_member_added; /* during the first join phase */
	struct timer join_timer, sync_timer;
	struct timers timers;

	struct map subscribed; /* topic -> itself; valid when has_subscribed */
	bool has_subscribed;   /* the members' topics are known */
	bool told_of_pending;  /* that GROUP_PENDING_MAX was reached; until nobody is pending */
	struct group_offsets offsets;
	struct group_store *stores, **last_store; /* in the order in which they were sent */
	uint64_t last_store_id;
	int32_t assigned_generation; /* the last one whose leader has sent its assignment */

	/* While an event is handled. */
	struct group_now now;
	struct group_effects *fx;
};

/* ---- group.c ---- */

void group_transition(struct group *g, enum group_state to);
struct group_effect *group_effect_add(struct group_effects *fx, enum group_effect_kind kind);
struct str group_effect_text(struct group_effects *fx, const char *text);
/* Answers a waiter, and takes it from the member. No effect when it does not wait. */
void group_answer_join(struct group *g, struct group_member *m, const struct group_joined *joined);
void group_answer_sync(struct group *g, struct group_member *m, int error);
void group_refuse_join(struct group *g, void *waiter, struct str member_id, int error);
/* Asks for the group's record to be written. */
struct group_store *group_store_add(struct group *g, enum store_kind kind);
void group_store_free(struct group_store *store);

/* ---- group_members.c ---- */

struct group_member *group_find_member(const struct group *g, struct str id);
struct group_member *group_find_static(const struct group *g, struct str instance_id);
struct group_member *group_add_member(struct group *g, const char *id,
				      const struct group_join *join);
/* Forgets it; the leader's place goes to the oldest member. Nothing may wait in it. */
void group_remove_member(struct group *g, struct group_member *m);
void group_rename_member(struct group *g, struct group_member *m, struct str id);
void group_set_protocols(struct group *g, struct group_member *m,
			 const struct group_protocol *protocols, int32_t count);
/* Hands the present list to the caller, leaving the member none. */
struct group_protocol *group_take_protocols(struct group *g, struct group_member *m,
					    int32_t *ret_count);
void group_protocols_free(struct group_protocol *protocols, int32_t count);
bool group_member_has_protocols(const struct group_member *m,
				const struct group_protocol *protocols, int32_t count);
bool group_supports(const struct group *g, struct str protocol_type,
		    const struct group_protocol *protocols, int32_t count);
/* The protocol with the most votes among those that all members have; borrowed. */
const char *group_select_protocol(const struct group *g);
struct slice group_member_metadata(const struct group_member *m, const char *protocol);
int32_t group_rebalance_timeout_ms(const struct group *g);
void group_compute_subscribed(struct group *g);
/* At GROUP_PENDING_MAX the one that has waited longest goes. */
struct pending_member *group_add_pending(struct group *g, struct str id, int64_t deadline_ms);
void group_remove_pending(struct group *g, struct pending_member *p);
struct pending_member *group_find_pending(const struct group *g, struct str id);

/* ---- group_join.c ---- */

/* 0 when the request comes from the member it says. */
MUST_CHECK int group_check_member(const struct group *g, struct str member_id,
				  struct str instance_id);
/* The session begins anew. */
void group_renew_session(struct group *g, struct group_member *m);
void group_prepare_rebalance(struct group *g, const char *why, const char *who);
/* The same where the state allows it. */
void group_maybe_rebalance(struct group *g, const char *why, const char *who);
/* The member is gone: whoever waits under it is told so, and the others rebalance. */
void group_lose_member(struct group *g, struct group_member *m, const char *why);
void group_maybe_complete_join(struct group *g);
/* Timers. */
void group_on_session_expired(struct timer *timer, void *arg);
void group_on_pending_expired(struct timer *timer, void *arg);
void group_on_join_timer(struct timer *timer, void *arg);

/* ---- group_sync.c ---- */

void group_await_syncs(struct group *g);
void group_forget_syncs(struct group *g);
/* Everybody who waits in SyncGroup gets the error, and nobody has an assignment. */
void group_reset_assignments(struct group *g, int error);
void group_on_sync_timer(struct timer *timer, void *arg);
/* A static member's new process gets its answer from what was stored. */
void group_static_member_stored(struct group *g, struct group_store *store, int error);

#endif
