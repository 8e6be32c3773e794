/*
 * Joining: from a first JoinGroup to a completed join phase, and the sessions of the members.
 *
 * A join phase begins with group_prepare_rebalance() and ends with complete_join(): when all
 * members have joined, or when its timer fires. The first phase of an empty group has a timer of
 * its own kind: it never ends early, so that a group that starts does not rebalance for each of its
 * members.
 *
 * Kafka: GroupCoordinator.doJoinGroup and below, DelayedJoin, InitialDelayedJoin.
 */
#include <assert.h>

#include "base/diag.h"
#include "group/group_internal.h"
#include "group/group_memory.h"
#include "wire/kerr.h"

/* Between two looks whether one of the static members that are left has come. */
#define NOBODY_JOINED_MIN_MS 1000

/* How long a brand-new member may wait in a join phase before it is taken for dead. */
#define NEW_MEMBER_JOIN_TIMEOUT_MS (5 * 60 * 1000)

/* ---- who it is ---- */

int
group_check_member(const struct group *g, struct str member_id, struct str instance_id)
{
	if (instance_id.data != NULL) {
		const struct group_member *m = group_find_static(g, instance_id);

		if (m == NULL)
			return K_UNKNOWN_MEMBER_ID;
		return str_equal(str_of(m->id), member_id) ? 0 : K_FENCED_INSTANCE_ID;
	}
	return group_find_member(g, member_id) == NULL ? K_UNKNOWN_MEMBER_ID : 0;
}

/* ---- sessions ---- */

void
group_renew_session(struct group *g, struct group_member *m)
{
	timers_arm(&g->timers, &m->session, g->now.monotonic_ms + m->session_timeout_ms);
}

void
group_on_session_expired(struct timer *timer, void *arg)
{
	struct group_member *m = arg;

	(void)timer;
	/* Who waits in JoinGroup or SyncGroup lives; its session begins anew with the answer. */
	if (!m->is_new && (m->join_waiter != NULL || m->sync_waiter != NULL))
		return;
	group_lose_member(m->group, m, "its session has expired");
}

void
group_on_pending_expired(struct timer *timer, void *arg)
{
	struct pending_member *p = arg;
	struct group *g = p->group;

	(void)timer;
	group_remove_pending(g, p);
	group_maybe_complete_join(g);
}

void
group_lose_member(struct group *g, struct group_member *m, const char *why)
{
	struct group_joined refusal = {.error = K_UNKNOWN_MEMBER_ID,
				       .generation = GROUP_NO_GENERATION,
				       .member_id = str_of("")};
	char *id = must_copy_text(str_of(m->id));

	group_answer_join(g, m, &refusal);
	group_answer_sync(g, m, K_UNKNOWN_MEMBER_ID);
	group_remove_member(g, m);
	if (g->state == GROUP_PREPARING_REBALANCE)
		group_maybe_complete_join(g);
	else
		group_maybe_rebalance(g, why, id);
	free(id);
}

/* ---- the join phase ---- */

static bool
can_rebalance(const struct group *g)
{
	return g->state == GROUP_STABLE || g->state == GROUP_COMPLETING_REBALANCE ||
	       g->state == GROUP_EMPTY;
}

void
group_prepare_rebalance(struct group *g, const char *why, const char *who)
{
	int32_t timeout_ms = group_rebalance_timeout_ms(g);

	if (g->state == GROUP_COMPLETING_REBALANCE)
		group_reset_assignments(g, K_REBALANCE_IN_PROGRESS);
	group_forget_syncs(g);
	if (g->state == GROUP_EMPTY) {
		int32_t delay_ms = g->settings->initial_rebalance_delay_ms;

		g->join_phase = JOIN_INITIAL;
		g->initial_delay_left_ms = timeout_ms > delay_ms ? timeout_ms - delay_ms : 0;
		timeout_ms = delay_ms;
	} else {
		g->join_phase = JOIN_ALL;
	}
	diag_info(DIAG_GROUP, "rebalance begins",
		  "group=%s generation=%d members=%zu reason=\"%s\" member=%s", g->id,
		  g->generation, g->members.count, why, who);
	group_transition(g, GROUP_PREPARING_REBALANCE);
	g->fx->rebalances++;
	timers_arm(&g->timers, &g->join_timer, g->now.monotonic_ms + timeout_ms);
	group_maybe_complete_join(g);
}

void
group_maybe_rebalance(struct group *g, const char *why, const char *who)
{
	if (can_rebalance(g))
		group_prepare_rebalance(g, why, who);
}

/* Dynamic members that did not come back are out; static ones keep their place. */
static void
remove_absent_members(struct group *g)
{
	struct group_member *next;

	for (struct group_member *m = g->first; m != NULL; m = next) {
		next = m->next;
		if (m->join_waiter != NULL || m->instance_id != NULL)
			continue;
		diag_info(DIAG_GROUP, "a member did not join the rebalance and is out",
			  "group=%s member=%s", g->id, m->id);
		group_remove_member(g, m);
	}
}

/* A leader that has joined: the old one, or else the oldest of those who have. */
static bool
elect_joined_leader(struct group *g)
{
	struct group_member *m = g->leader;

	if (m == NULL || m->join_waiter != NULL)
		return m != NULL;
	for (m = g->first; m != NULL && m->join_waiter == NULL; m = m->next)
		;
	if (m != NULL)
		g->leader = m;
	return m != NULL;
}

static void
answer_joined(struct group *g, struct group_member *m)
{
	bool leads = m == g->leader;
	struct group_joined joined = {
	    .generation = g->generation,
	    .protocol_type = str_of(g->protocol_type),
	    .protocol_name = str_of(g->protocol_name),
	    .leader = str_of(g->leader->id),
	    .member_id = str_of(m->id),
	    .member_count = leads ? (int32_t)g->members.count : 0,
	};

	group_answer_join(g, m, &joined);
}

static void
complete_join(struct group *g)
{
	int32_t timeout_ms;

	timers_cancel(&g->timers, &g->join_timer);
	remove_absent_members(g);
	if (g->first != NULL && !elect_joined_leader(g)) {
		/* Static members alone, and none has come: until one does or its session ends. */
		diag_warn(DIAG_GROUP, "no member has joined the rebalance; it goes on",
			  "group=%s generation=%d members=%zu", g->id, g->generation,
			  g->members.count);
		g->join_phase = JOIN_ALL;
		timeout_ms = group_rebalance_timeout_ms(g);
		if (timeout_ms < NOBODY_JOINED_MIN_MS)
			timeout_ms = NOBODY_JOINED_MIN_MS;
		timers_arm(&g->timers, &g->join_timer, g->now.monotonic_ms + timeout_ms);
		return;
	}
	g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
	g->new_member_added = false;
	free(g->protocol_name);
	g->protocol_name =
	    g->first == NULL ? NULL : must_copy_text(str_of(group_select_protocol(g)));
	group_compute_subscribed(g);
	if (g->first == NULL) {
		group_transition(g, GROUP_EMPTY);
		diag_info(DIAG_GROUP, "the group is empty", "group=%s generation=%d", g->id,
			  g->generation);
		group_store_add(g, STORE_EMPTY);
		return;
	}
	group_transition(g, GROUP_COMPLETING_REBALANCE);
	diag_info(DIAG_GROUP, "all members have joined",
		  "group=%s generation=%d members=%zu protocol=%s", g->id, g->generation,
		  g->members.count, g->protocol_name);
	for (struct group_member *m = g->first; m != NULL; m = m->next) {
		if (m != g->leader)
			answer_joined(g, m);
		group_renew_session(g, m);
		m->is_new = false;
	}
	/*
	 * The leader last: what it does next ends the phase, and a follower whose SyncGroup comes
	 * after a cooperative leader's next JoinGroup has to join once more.
	 */
	answer_joined(g, g->leader);
	group_await_syncs(g);
}

void
group_maybe_complete_join(struct group *g)
{
	if (g->state == GROUP_PREPARING_REBALANCE && g->join_phase == JOIN_ALL &&
	    g->joined_count == (int32_t)g->members.count && g->pending.count == 0)
		complete_join(g);
}

void
group_on_join_timer(struct timer *timer, void *arg)
{
	struct group *g = arg;

	if (g->join_phase == JOIN_INITIAL && g->new_member_added && g->initial_delay_left_ms > 0) {
		int32_t delay_ms = g->settings->initial_rebalance_delay_ms;

		if (delay_ms > g->initial_delay_left_ms)
			delay_ms = g->initial_delay_left_ms;
		g->initial_delay_left_ms -= delay_ms;
		g->new_member_added = false;
		timers_arm(&g->timers, timer, g->now.monotonic_ms + delay_ms);
		return;
	}
	complete_join(g);
}

/* ---- JoinGroup ---- */

/* Two requests of one member: the older one's connection is most likely gone. */
static void
set_join_waiter(struct group *g, struct group_member *m, void *waiter)
{
	struct group_joined refusal = {.error = K_REBALANCE_IN_PROGRESS,
				       .generation = GROUP_NO_GENERATION,
				       .member_id = str_of(m->id)};

	group_answer_join(g, m, &refusal);
	m->join_waiter = waiter;
	g->joined_count++;
}

static bool
has_room_for(const struct group *g, struct str member_id)
{
	const struct group_member *m = group_find_member(g, member_id);

	switch (g->state) {
	case GROUP_PREPARING_REBALANCE:
		/* Counted by who has joined: the last to come back of too many is out. */
		return (m != NULL && m->join_waiter != NULL) ||
		       g->joined_count < g->settings->max_size;
	case GROUP_COMPLETING_REBALANCE:
	case GROUP_STABLE:
		return m != NULL || (int64_t)g->members.count < g->settings->max_size;
	default:
		return true;
	}
}

static void
refuse_for_size(struct group *g, const struct group_join *join)
{
	struct group_member *m = group_find_member(g, join->member_id);
	struct pending_member *p = group_find_pending(g, join->member_id);

	if (p != NULL) /* it will not come: nobody need wait for it */
		group_remove_pending(g, p);
	if (m != NULL) {
		/* Only in PreparingRebalance, and it does not wait: it has no place to come back
		 * to. */
		group_answer_sync(g, m, K_UNKNOWN_MEMBER_ID);
		group_remove_member(g, m);
	}
	group_refuse_join(g, join->waiter, str_of(""), K_GROUP_MAX_SIZE_REACHED);
	group_maybe_complete_join(g);
}

static void
add_and_rebalance(struct group *g, const struct group_join *join, const char *id)
{
	struct group_member *m;

	if (g->state == GROUP_PREPARING_REBALANCE && g->generation == 0)
		g->new_member_added = true;
	m = group_add_member(g, id, join);
	m->is_new = true;
	set_join_waiter(g, m, join->waiter);
	timers_arm(&g->timers, &m->session, g->now.monotonic_ms + NEW_MEMBER_JOIN_TIMEOUT_MS);
	if (g->state == GROUP_PREPARING_REBALANCE)
		group_maybe_complete_join(g);
	else
		group_maybe_rebalance(g, "a member joins", id);
}

static void
update_and_rebalance(struct group *g, struct group_member *m, const struct group_join *join,
		     const char *why)
{
	group_set_protocols(g, m, join->protocols, join->protocol_count);
	m->rebalance_timeout_ms = join->rebalance_timeout_ms;
	m->session_timeout_ms = join->session_timeout_ms;
	set_join_waiter(g, m, join->waiter);
	if (g->state == GROUP_PREPARING_REBALANCE)
		group_maybe_complete_join(g);
	else
		group_maybe_rebalance(g, why, m->id);
}

/*
 * A static member's new process takes the place of the old one, whose requests are fenced from now
 * on. As long as the group would choose the same protocol nobody else need notice.
 *
 * Kafka: GroupCoordinator.updateStaticMemberAndRebalance.
 */
static void
replace_static_member(struct group *g, struct group_member *m, const struct group_join *join)
{
	struct group_joined fenced = {.error = K_FENCED_INSTANCE_ID,
				      .generation = GROUP_NO_GENERATION,
				      .member_id = str_of(m->id)};
	char *old_id = must_copy_text(str_of(m->id));
	char *old_leader = must_copy_text(str_of(g->leader->id));
	int32_t old_session_ms = m->session_timeout_ms, old_rebalance_ms = m->rebalance_timeout_ms;
	struct group_protocol *old_protocols;
	struct group_store *store;
	int32_t old_count;

	diag_info(DIAG_GROUP, "a static member came back",
		  "group=%s instance=%s former=%s member=%s state=%s", g->id, m->instance_id, m->id,
		  join->new_member_id.data, group_state_name(g->state));
	group_answer_join(g, m, &fenced);
	group_answer_sync(g, m, K_FENCED_INSTANCE_ID);
	group_rename_member(g, m, join->new_member_id);
	old_protocols = group_take_protocols(g, m, &old_count);
	group_set_protocols(g, m, join->protocols, join->protocol_count);
	m->session_timeout_ms = join->session_timeout_ms;
	m->rebalance_timeout_ms = join->rebalance_timeout_ms;
	group_renew_session(g, m);
	set_join_waiter(g, m, join->waiter);
	if (g->state == GROUP_STABLE && strcmp(g->protocol_name, group_select_protocol(g)) == 0) {
		store = group_store_add(g, STORE_STATIC_MEMBER);
		store->member_id = must_copy_text(str_of(m->id));
		store->old_member_id = old_id;
		store->old_leader = old_leader;
		store->old_protocols = old_protocols;
		store->old_protocol_count = old_count;
		store->old_session_timeout_ms = old_session_ms;
		store->old_rebalance_timeout_ms = old_rebalance_ms;
		store->support_skipping_assignment = join->support_skipping_assignment;
		return;
	}
	group_protocols_free(old_protocols, old_count);
	free(old_leader);
	free(old_id);
	if (g->state == GROUP_PREPARING_REBALANCE)
		group_maybe_complete_join(g);
	else
		group_maybe_rebalance(g, "a static member came back with other protocols", m->id);
}

static void
join_new(struct group *g, const struct group_join *join)
{
	struct group_member *m =
	    join->instance_id.data == NULL ? NULL : group_find_static(g, join->instance_id);

	if (g->state == GROUP_DEAD) {
		group_refuse_join(g, join->waiter, str_of(""), K_COORDINATOR_NOT_AVAILABLE);
	} else if (!group_supports(g, join->protocol_type, join->protocols, join->protocol_count)) {
		group_refuse_join(g, join->waiter, str_of(""), K_INCONSISTENT_GROUP_PROTOCOL);
	} else if (m != NULL) {
		replace_static_member(g, m, join);
	} else if (join->instance_id.data == NULL && join->require_known_member_id) {
		group_add_pending(g, join->new_member_id,
				  g->now.monotonic_ms + join->session_timeout_ms);
		group_refuse_join(g, join->waiter, join->new_member_id, K_MEMBER_ID_REQUIRED);
	} else {
		add_and_rebalance(g, join, join->new_member_id.data);
	}
}

/* Somebody who is a member already, by the state of the group. */
static void
join_again(struct group *g, struct group_member *m, const struct group_join *join)
{
	bool same = group_member_has_protocols(m, join->protocols, join->protocol_count);

	switch (g->state) {
	case GROUP_PREPARING_REBALANCE:
		update_and_rebalance(g, m, join, "");
		break;
	case GROUP_COMPLETING_REBALANCE:
		if (!same) {
			update_and_rebalance(g, m, join, "a member changes what it supports");
			break;
		}
		/* Its answer got lost. */
		set_join_waiter(g, m, join->waiter);
		answer_joined(g, m);
		break;
	case GROUP_STABLE:
		if (m == g->leader) {
			update_and_rebalance(g, m, join, "the leader joins again");
		} else if (!same) {
			update_and_rebalance(g, m, join, "a member changes what it supports");
		} else {
			set_join_waiter(g, m, join->waiter);
			answer_joined(g, m);
		}
		break;
	default:
		group_refuse_join(g, join->waiter, join->member_id, K_UNKNOWN_MEMBER_ID);
	}
}

static void
join_known(struct group *g, const struct group_join *join)
{
	struct pending_member *p = group_find_pending(g, join->member_id);
	int st = 0;

	if (g->state == GROUP_DEAD)
		st = K_COORDINATOR_NOT_AVAILABLE;
	else if (!group_supports(g, join->protocol_type, join->protocols, join->protocol_count))
		st = K_INCONSISTENT_GROUP_PROTOCOL;
	else if (p == NULL || join->instance_id.data != NULL)
		st = group_check_member(g, join->member_id, join->instance_id);
	if (st != 0) {
		group_refuse_join(g, join->waiter, join->member_id, st);
	} else if (p != NULL && join->instance_id.data == NULL) {
		char *id = must_copy_text(join->member_id);

		group_remove_pending(g, p);
		add_and_rebalance(g, join, id);
		free(id);
	} else {
		join_again(g, group_find_member(g, join->member_id), join);
	}
}

/* What we keep as C strings. */
static bool
has_plain_names(const struct group_join *join)
{
	bool plain = !has_nul(join->member_id) && !has_nul(join->instance_id) &&
		     !has_nul(join->protocol_type);

	for (int32_t i = 0; plain && i < join->protocol_count; i++)
		plain = !has_nul(join->protocols[i].name);
	return plain;
}

void
group_join(struct group *g, const struct group_join *join, struct group_now now,
	   struct group_effects *fx)
{
	assert(join->waiter != NULL);
	g->now = now;
	g->fx = fx;
	if (!has_plain_names(join))
		group_refuse_join(g, join->waiter, str_of(""), K_INVALID_REQUEST);
	else if (!has_room_for(g, join->member_id))
		refuse_for_size(g, join);
	else if (join->member_id.len == 0)
		join_new(g, join);
	else
		join_known(g, join);
}
