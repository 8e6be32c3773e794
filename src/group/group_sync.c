/*
 * From the leader's assignment on: SyncGroup, Heartbeat, LeaveGroup, and whether a commit may be.
 *
 * Kafka: GroupCoordinator.doSyncGroup, handleHeartbeat, handleLeaveGroup, validateOffsetCommit.
 */
#include <assert.h>

#include "base/diag.h"
#include "group/group_internal.h"
#include "group/group_memory.h"
#include "wire/kerr.h"

/* ---- who has not sent SyncGroup ---- */

void
group_await_syncs(struct group *g)
{
	for (struct group_member *m = g->first; m != NULL; m = m->next)
		m->pending_sync = true;
	g->pending_sync_count = (int32_t)g->members.count;
	timers_arm(&g->timers, &g->sync_timer, g->now.monotonic_ms + group_rebalance_timeout_ms(g));
}

void
group_forget_syncs(struct group *g)
{
	for (struct group_member *m = g->first; m != NULL; m = m->next)
		m->pending_sync = false;
	g->pending_sync_count = 0;
	timers_cancel(&g->timers, &g->sync_timer);
}

static void
has_synced(struct group *g, struct group_member *m)
{
	if (!m->pending_sync)
		return;
	m->pending_sync = false;
	if (--g->pending_sync_count == 0)
		timers_cancel(&g->timers, &g->sync_timer);
}

void
group_on_sync_timer(struct timer *timer, void *arg)
{
	struct group *g = arg;
	struct group_member *next;

	(void)timer;
	if (g->pending_sync_count == 0)
		return;
	for (struct group_member *m = g->first; m != NULL; m = next) {
		next = m->next;
		/* A static member's new process that waits for its JoinGroup has just come. */
		if (!m->pending_sync || m->join_waiter != NULL)
			continue;
		diag_info(DIAG_GROUP, "a member never asked for its assignment and is out",
			  "group=%s member=%s", g->id, m->id);
		group_remove_member(g, m);
	}
	group_prepare_rebalance(g, "members never asked for their assignment", "-");
}

/* ---- SyncGroup ---- */

void
group_reset_assignments(struct group *g, int error)
{
	for (struct group_member *m = g->first; m != NULL; m = m->next) {
		bool waited = m->sync_waiter != NULL;

		free_bytes(&m->assignment);
		free_bytes(&m->next_assignment);
		group_answer_sync(g, m, error);
		if (waited)
			group_renew_session(g, m);
	}
}

static bool
other_protocol(const char *ours, struct str theirs)
{
	return theirs.data != NULL && (ours == NULL || !str_equal(str_of(ours), theirs));
}

/* A member of the present generation. */
static int
check_identity(const struct group *g, const struct group_identity *from)
{
	int st;

	if (g->state == GROUP_DEAD)
		return K_COORDINATOR_NOT_AVAILABLE;
	st = group_check_member(g, from->member_id, from->instance_id);
	if (st != 0)
		return st;
	return from->generation == g->generation ? 0 : K_ILLEGAL_GENERATION;
}

static int
check_sync(const struct group *g, const struct group_sync *sync)
{
	int st = check_identity(g, &sync->from);

	if (st != 0)
		return st;
	if (other_protocol(g->protocol_type, sync->protocol_type) ||
	    other_protocol(g->protocol_name, sync->protocol_name))
		return K_INCONSISTENT_GROUP_PROTOCOL;
	switch (g->state) {
	case GROUP_EMPTY:
		return K_UNKNOWN_MEMBER_ID;
	case GROUP_PREPARING_REBALANCE:
		return K_REBALANCE_IN_PROGRESS;
	default:
		return 0;
	}
}

/* Members that the leader forgot get nothing; names that are no members are passed over. */
static void
take_assignments(struct group *g, const struct group_sync *sync)
{
	int32_t missing = 0;

	for (struct group_member *m = g->first; m != NULL; m = m->next)
		free_bytes(&m->next_assignment);
	for (int32_t i = 0; i < sync->assignment_count; i++) {
		struct group_member *m = group_find_member(g, sync->assignments[i].member_id);

		if (m == NULL)
			continue;
		free_bytes(&m->next_assignment);
		m->next_assignment = must_copy_bytes(sync->assignments[i].assignment);
	}
	for (const struct group_member *m = g->first; m != NULL; m = m->next)
		missing += m->next_assignment.len == 0;
	if (missing > 0)
		diag_info(DIAG_GROUP, "members without an assignment",
			  "group=%s generation=%d members=%d", g->id, g->generation, missing);
}

void
group_sync(struct group *g, const struct group_sync *sync, struct group_now now,
	   struct group_effects *fx)
{
	struct group_member *m;
	int st = check_sync(g, sync);

	g->now = now;
	g->fx = fx;
	if (st != 0) {
		struct group_effect *effect = group_effect_add(fx, GROUP_EFFECT_SYNCED);

		effect->waiter = sync->waiter;
		effect->synced.error = st;
		return;
	}
	m = group_find_member(g, sync->from.member_id);
	has_synced(g, m);
	group_answer_sync(g, m, K_REBALANCE_IN_PROGRESS); /* an older request of the same member */
	m->sync_waiter = sync->waiter;
	if (g->state == GROUP_STABLE) {
		group_answer_sync(g, m, 0);
		group_renew_session(g, m);
	} else if (m == g->leader && g->assigned_generation != g->generation) {
		/* Once: it may ask again while its assignment is on its way to the log. */
		take_assignments(g, sync);
		group_store_add(g, STORE_ASSIGNMENT);
		g->assigned_generation = g->generation;
	}
}

/* ---- a static member's new process ---- */

/* The record could not be written: the old process has its place back. */
static void
undo_replacement(struct group *g, struct group_member *m, struct group_store *store, int error)
{
	struct group_joined refusal = {.error = error,
				       .generation = g->generation,
				       .protocol_type = str_of(g->protocol_type),
				       .protocol_name = str_of(g->protocol_name),
				       .leader = str_of(store->old_leader),
				       .member_id = str_of("")};

	group_answer_join(g, m, &refusal);
	group_set_protocols(g, m, store->old_protocols, store->old_protocol_count);
	m->session_timeout_ms = store->old_session_timeout_ms;
	m->rebalance_timeout_ms = store->old_rebalance_timeout_ms;
	group_rename_member(g, m, str_of(store->old_member_id));
	group_renew_session(g, m);
}

void
group_static_member_stored(struct group *g, struct group_store *store, int error)
{
	struct group_member *m = group_find_member(g, str_of(store->member_id));
	bool leads = m != NULL && m == g->leader && store->support_skipping_assignment;
	struct group_joined joined = {
	    .generation = g->generation,
	    .protocol_type = str_of(g->protocol_type),
	    .protocol_name = str_of(g->protocol_name),
	    /* Who cannot be told to skip the assignment must not take itself for the leader. */
	    .leader =
		str_of(store->support_skipping_assignment && g->leader != NULL ? g->leader->id
									       : store->old_leader),
	    .member_id = str_of(store->member_id),
	    .skip_assignment = leads,
	    .member_count = leads ? (int32_t)g->members.count : 0,
	};

	/* Replaced again, or the group rebalances: then it waits for that as the others do. */
	if (m == NULL || m->join_waiter == NULL || g->state != GROUP_STABLE ||
	    store->generation != g->generation)
		return;
	if (error != 0) {
		undo_replacement(g, m, store, error);
	} else {
		group_answer_join(g, m, &joined);
		group_renew_session(g, m); /* which may have ended while it waited */
	}
}

/* ---- Heartbeat, commits, LeaveGroup ---- */

int
group_heartbeat(struct group *g, const struct group_identity *from, struct group_now now,
		struct group_effects *fx)
{
	int st = check_identity(g, from);

	g->now = now;
	g->fx = fx;
	if (st != 0)
		return st;
	if (g->state == GROUP_EMPTY)
		return K_UNKNOWN_MEMBER_ID;
	group_renew_session(g, group_find_member(g, from->member_id));
	return g->state == GROUP_PREPARING_REBALANCE ? K_REBALANCE_IN_PROGRESS : 0;
}

int
group_commit(struct group *g, const struct group_identity *from, struct group_now now,
	     struct group_effects *fx)
{
	int st;

	g->now = now;
	g->fx = fx;
	/* A consumer without a group, or an operator: whatever it calls itself. */
	if (from->generation < 0 && g->state == GROUP_EMPTY)
		return 0;
	if (g->state != GROUP_DEAD && from->generation < 0 && from->member_id.len == 0 &&
	    from->instance_id.data == NULL)
		return K_UNKNOWN_MEMBER_ID;
	st = check_identity(g, from);
	if (st != 0)
		return st;
	if (g->state == GROUP_COMPLETING_REBALANCE)
		return K_REBALANCE_IN_PROGRESS;
	group_renew_session(g, group_find_member(g, from->member_id));
	return 0;
}

int
group_leave(struct group *g, struct str member_id, struct str instance_id, struct str reason,
	    struct group_now now, struct group_effects *fx)
{
	struct pending_member *p = group_find_pending(g, member_id);
	struct group_member *m;
	int st;

	g->now = now;
	g->fx = fx;
	if (g->state == GROUP_DEAD)
		return K_COORDINATOR_NOT_AVAILABLE;
	if (member_id.len == 0) { /* by an operator */
		m = instance_id.data == NULL ? NULL : group_find_static(g, instance_id);
		if (m == NULL)
			return K_UNKNOWN_MEMBER_ID;
	} else if (p != NULL) {
		group_remove_pending(g, p);
		group_maybe_complete_join(g);
		return 0;
	} else {
		st = group_check_member(g, member_id, instance_id);
		if (st != 0)
			return st;
		m = group_find_member(g, member_id);
	}
	diag_info(DIAG_GROUP, "a member leaves", "group=%s member=%s reason=\"%s\"", g->id, m->id,
		  reason.data == NULL ? "" : reason.data);
	group_lose_member(g, m, "a member has left");
	return 0;
}
