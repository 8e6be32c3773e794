/*
 * The life of a group, its effects, and what others may see of it. Joining is in group_join.c, the
 * assignment and the sessions in group_sync.c, the table of members in group_members.c.
 *
 * Timers are the group's own heap: a join or sync phase has one, each member a session. The
 * coordinator asks only for the earliest.
 */
#include "group/group.h"

#include <assert.h>

#include "base/diag.h"
#include "group/group_internal.h"
#include "group/group_memory.h"
#include "wire/generated/consumer_offsets.h"
#include "wire/kerr.h"

const char *
group_state_name(enum group_state state)
{
	static const char *const names[GROUP_STATE_COUNT] = {
	    [GROUP_EMPTY] = "Empty",
	    [GROUP_PREPARING_REBALANCE] = "PreparingRebalance",
	    [GROUP_COMPLETING_REBALANCE] = "CompletingRebalance",
	    [GROUP_STABLE] = "Stable",
	    [GROUP_DEAD] = "Dead",
	};

	return names[state];
}

/* ---- effects ---- */

void
group_effects_init(struct group_effects *fx)
{
	arena_init(&fx->arena, SIZE_MAX / 2); /* bounded by what the group holds */
	fx->first = NULL;
	fx->last = &fx->first;
	fx->rebalances = 0;
}

void
group_effects_fini(struct group_effects *fx)
{
	arena_fini(&fx->arena);
}

static void *
effect_memory(struct group_effects *fx, size_t count, size_t size)
{
	void *memory = arena_calloc(&fx->arena, count, size);

	if (memory == NULL)
		abort();
	return memory;
}

struct group_effect *
group_effect_add(struct group_effects *fx, enum group_effect_kind kind)
{
	struct group_effect *effect = effect_memory(fx, 1, sizeof(*effect));

	effect->kind = kind;
	*fx->last = effect;
	fx->last = &effect->next;
	return effect;
}

struct str
group_effect_text(struct group_effects *fx, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);
	char *copy;

	if (text == NULL)
		return (struct str){NULL, 0};
	copy = effect_memory(fx, 1, len + 1);
	memcpy(copy, text, len);
	return (struct str){copy, len};
}

static struct slice
effect_bytes(struct group_effects *fx, struct slice bytes)
{
	uint8_t *copy = effect_memory(fx, 1, bytes.len);

	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	return (struct slice){copy, bytes.len};
}

static struct str
effect_str(struct group_effects *fx, struct str text)
{
	return text.data == NULL ? text : group_effect_text(fx, text.data);
}

/* What the leader needs to assign: all members with their metadata of the selected protocol. */
static void
add_members(const struct group *g, struct group_effects *fx, struct group_joined *joined)
{
	int32_t i = 0;

	joined->members = effect_memory(fx, g->members.count, sizeof(*joined->members));
	for (const struct group_member *m = g->first; m != NULL; m = m->next, i++)
		joined->members[i] = (struct group_joined_member){
		    .id = group_effect_text(fx, m->id),
		    .instance_id = group_effect_text(fx, m->instance_id),
		    .metadata = effect_bytes(fx, group_member_metadata(m, g->protocol_name)),
		};
	joined->member_count = i;
}

void
group_answer_join(struct group *g, struct group_member *m, const struct group_joined *joined)
{
	struct group_effect *effect;

	if (m->join_waiter == NULL)
		return;
	effect = group_effect_add(g->fx, GROUP_EFFECT_JOINED);
	effect->waiter = m->join_waiter;
	effect->joined = *joined;
	effect->joined.member_id = effect_str(g->fx, joined->member_id);
	effect->joined.leader = effect_str(g->fx, joined->leader);
	effect->joined.protocol_type = effect_str(g->fx, joined->protocol_type);
	effect->joined.protocol_name = effect_str(g->fx, joined->protocol_name);
	if (joined->member_count > 0)
		add_members(g, g->fx, &effect->joined);
	m->join_waiter = NULL;
	g->joined_count--;
}

void
group_refuse_join(struct group *g, void *waiter, struct str member_id, int error)
{
	struct group_effect *effect = group_effect_add(g->fx, GROUP_EFFECT_JOINED);

	effect->waiter = waiter;
	effect->joined.error = error;
	effect->joined.generation = GROUP_NO_GENERATION;
	effect->joined.member_id = effect_str(g->fx, member_id);
}

void
group_answer_sync(struct group *g, struct group_member *m, int error)
{
	struct group_effect *effect;

	if (m->sync_waiter == NULL)
		return;
	effect = group_effect_add(g->fx, GROUP_EFFECT_SYNCED);
	effect->waiter = m->sync_waiter;
	effect->synced.error = error;
	if (error == 0) {
		effect->synced.protocol_type = group_effect_text(g->fx, g->protocol_type);
		effect->synced.protocol_name = group_effect_text(g->fx, g->protocol_name);
		effect->synced.assignment = effect_bytes(g->fx, m->assignment);
	}
	m->sync_waiter = NULL;
}

/* ---- records on their way ---- */

struct group_store *
group_store_add(struct group *g, enum store_kind kind)
{
	struct group_store *store = must_calloc(1, sizeof(*store));

	store->id = ++g->last_store_id;
	store->kind = kind;
	store->generation = g->generation;
	*g->last_store = store;
	g->last_store = &store->next;
	group_effect_add(g->fx, GROUP_EFFECT_STORE)->store_id = store->id;
	return store;
}

void
group_store_free(struct group_store *store)
{
	group_protocols_free(store->old_protocols, store->old_protocol_count);
	free(store->member_id);
	free(store->old_member_id);
	free(store->old_leader);
	free(store);
}

/* The leader's assignment is in the log: it holds, and everybody who waits for it gets his part. */
static void
assignment_stored(struct group *g, int error)
{
	if (error != 0) {
		group_reset_assignments(g, error);
		group_maybe_rebalance(g, "the assignment could not be stored", g->leader->id);
		return;
	}
	for (struct group_member *m = g->first; m != NULL; m = m->next) {
		free_bytes(&m->assignment);
		m->assignment = m->next_assignment;
		m->next_assignment = (struct slice){NULL, 0};
	}
	group_transition(g, GROUP_STABLE);
	for (struct group_member *m = g->first; m != NULL; m = m->next) {
		bool waited = m->sync_waiter != NULL;

		group_answer_sync(g, m, 0);
		if (waited)
			group_renew_session(g, m);
	}
}

void
group_stored(struct group *g, uint64_t store_id, int error, struct group_now now,
	     struct group_effects *fx)
{
	struct group_store **link = &g->stores, *store;

	while (*link != NULL && (*link)->id != store_id)
		link = &(*link)->next;
	store = *link;
	if (store == NULL)
		return; /* the group was unloaded meanwhile */
	*link = store->next;
	if (store->next == NULL)
		g->last_store = link;
	g->now = now;
	g->fx = fx;
	switch (store->kind) {
	case STORE_ASSIGNMENT:
		if (g->state == GROUP_COMPLETING_REBALANCE && store->generation == g->generation)
			assignment_stored(g, error);
		break;
	case STORE_EMPTY:
		/* Nobody has the old generation any more: losing the new one does no harm. */
		if (error != 0)
			diag_warn(DIAG_GROUP, "cannot store that a group is empty",
				  "group=%s generation=%d error=%s", g->id, store->generation,
				  kerr_name(kerr_of(error)));
		break;
	case STORE_STATIC_MEMBER:
		group_static_member_stored(g, store, error);
		break;
	}
	group_store_free(store);
}

/* ---- life ---- */

void
group_transition(struct group *g, enum group_state to)
{
	static const uint8_t allowed_from[GROUP_STATE_COUNT] = {
	    [GROUP_EMPTY] = 1 << GROUP_PREPARING_REBALANCE,
	    [GROUP_PREPARING_REBALANCE] =
		1 << GROUP_STABLE | 1 << GROUP_COMPLETING_REBALANCE | 1 << GROUP_EMPTY,
	    [GROUP_COMPLETING_REBALANCE] = 1 << GROUP_PREPARING_REBALANCE,
	    [GROUP_STABLE] = 1 << GROUP_COMPLETING_REBALANCE,
	    [GROUP_DEAD] = 0xff,
	};

	assert((allowed_from[to] & 1 << g->state) != 0);
	g->state = to;
	g->state_timestamp_ms = g->now.wall_ms;
}

struct group *
group_new(const char *id, const struct group_settings *settings, struct group_now now)
{
	struct group *g = must_calloc(1, sizeof(*g));

	g->id = must_copy_text(str_of(id));
	g->settings = settings;
	g->last_store = &g->stores;
	g->state = GROUP_EMPTY;
	g->state_timestamp_ms = now.wall_ms;
	timers_init(&g->timers);
	timer_init(&g->join_timer, group_on_join_timer, g);
	timer_init(&g->sync_timer, group_on_sync_timer, g);
	return g;
}

static void
forget_pending(struct group *g)
{
	struct map_iter iter = {0};
	struct pending_member *p;

	while ((p = map_next(&g->pending, &iter)) != NULL)
		group_remove_pending(g, p);
}

void
group_free(struct group *g)
{
	struct group_store *next;

	if (g == NULL)
		return;
	while (g->last != NULL)
		group_remove_member(g, g->last);
	forget_pending(g);
	for (struct group_store *store = g->stores; store != NULL; store = next) {
		next = store->next;
		group_store_free(store);
	}
	group_offsets_fini(&g->offsets);
	map_fini(&g->members);
	map_fini(&g->static_members);
	map_fini(&g->pending);
	map_fini(&g->supported);
	map_fini(&g->subscribed);
	timers_fini(&g->timers);
	free(g->protocol_type);
	free(g->protocol_name);
	free(g->id);
	free(g);
}

static void
restore_member(struct group *g, const struct member_metadata *from,
	       const struct group_metadata_value *value)
{
	struct group_protocol protocol = {value->protocol, from->subscription};
	struct group_join join = {
	    .instance_id = from->group_instance_id,
	    .client_id = from->client_id,
	    .client_host = from->client_host,
	    .protocol_type = value->protocol_type,
	    .session_timeout_ms = from->session_timeout,
	    .rebalance_timeout_ms =
		from->rebalance_timeout < 0 ? from->session_timeout : from->rebalance_timeout,
	    .protocols = &protocol,
	    .protocol_count = value->protocol.data == NULL ? 0 : 1,
	};
	struct group_member *m;

	if (has_nul(from->member_id) || has_nul(from->group_instance_id) ||
	    group_find_member(g, from->member_id) != NULL ||
	    (from->group_instance_id.data != NULL &&
	     group_find_static(g, from->group_instance_id) != NULL))
		return; /* a record that names one twice, or by no name */
	m = group_add_member(g, from->member_id.data, &join);
	m->assignment = must_copy_bytes(from->assignment);
}

void
group_restore(struct group *g, const struct group_metadata_value *value)
{
	assert(g->state == GROUP_EMPTY && g->first == NULL);
	g->generation = value->generation > 0 ? value->generation : 0;
	g->state_timestamp_ms = value->current_state_timestamp;
	if (value->protocol_type.len > 0) {
		free(g->protocol_type);
		g->protocol_type = must_copy_text(value->protocol_type);
	}
	/* Members without a protocol that they share cannot be: then nobody is a member. */
	for (int32_t i = 0; value->protocol.data != NULL && i < value->members_count; i++)
		restore_member(g, &value->members[i], value);
	if (g->first != NULL) {
		struct group_member *leader =
		    value->leader.data == NULL ? NULL : group_find_member(g, value->leader);

		g->leader = leader != NULL ? leader : g->first;
		g->protocol_name = must_copy_text(value->protocol);
		g->state = GROUP_STABLE;
	}
	group_compute_subscribed(g);
}

void
group_loaded(struct group *g, struct group_now now, struct group_effects *fx)
{
	g->now = now;
	g->fx = fx;
	if (g->state == GROUP_STABLE && (int64_t)g->members.count > g->settings->max_size)
		group_prepare_rebalance(g, "the group is larger than group.max.size", "-");
	for (struct group_member *m = g->first; m != NULL; m = m->next)
		group_renew_session(g, m);
}

void
group_unload(struct group *g, int error, struct group_effects *fx)
{
	g->fx = fx;
	g->state = GROUP_DEAD;
	for (struct group_member *m = g->first; m != NULL; m = m->next) {
		struct group_joined refusal = {
		    .error = error, .generation = GROUP_NO_GENERATION, .member_id = str_of(m->id)};

		group_answer_join(g, m, &refusal);
		group_answer_sync(g, m, error);
		timers_cancel(&g->timers, &m->session);
	}
	forget_pending(g);
	timers_cancel(&g->timers, &g->join_timer);
	timers_cancel(&g->timers, &g->sync_timer);
}

/* ---- time ---- */

int64_t
group_deadline_ms(const struct group *g)
{
	return timers_next_ms(&g->timers);
}

void
group_tick(struct group *g, struct group_now now, struct group_effects *fx)
{
	g->now = now;
	g->fx = fx;
	timers_run(&g->timers, now.monotonic_ms);
}

/* ---- offsets ---- */

struct group_offsets *
group_offsets(struct group *g)
{
	return &g->offsets;
}

bool
group_subscribes(const struct group *g, struct str topic)
{
	return !g->has_subscribed || map_get(&g->subscribed, topic.data, topic.len) != NULL;
}

bool
group_is_unused(const struct group *g)
{
	return g->state == GROUP_EMPTY && g->pending.count == 0 && !group_offsets_any(&g->offsets);
}

struct expiry {
	const struct group *group;
	int64_t retention_ms, now_ms;
};

/* Kafka: GroupMetadata.removeExpiredOffsets. */
static bool
has_expired(void *arg, struct str topic, const struct committed_offset *committed)
{
	const struct expiry *expiry = arg;
	const struct group *g = expiry->group;
	int64_t since = committed->commit_timestamp_ms, age_ms;

	if (g->protocol_type != NULL && g->state == GROUP_EMPTY) {
		if (g->state_timestamp_ms >= 0)
			since = g->state_timestamp_ms;
	} else if (g->protocol_type != NULL) {
		if (g->state != GROUP_STABLE || group_subscribes(g, topic))
			return false;
	}
	if (committed->expire_timestamp_ms >= 0)
		return expiry->now_ms >= committed->expire_timestamp_ms;
	if (__builtin_sub_overflow(expiry->now_ms, since, &age_ms))
		return true; /* a client's timestamp, long before all time */
	return age_ms >= expiry->retention_ms;
}

bool
group_expire(struct group *g, int64_t retention_ms, struct group_now now, group_offsets_fn *fn,
	     void *arg)
{
	struct expiry expiry = {g, retention_ms, now.wall_ms};

	if (g->state == GROUP_DEAD)
		return false;
	group_offsets_take(&g->offsets, has_expired, &expiry, fn, arg);
	return group_is_unused(g);
}

/* ---- a look ---- */

const char *
group_id(const struct group *g)
{
	return g->id;
}

enum group_state
group_state(const struct group *g)
{
	return g->state;
}

int32_t
group_generation(const struct group *g)
{
	return g->generation;
}

int32_t
group_member_count(const struct group *g)
{
	return (int32_t)g->members.count;
}

const char *
group_protocol_type(const struct group *g)
{
	return g->protocol_type == NULL ? "" : g->protocol_type;
}

const char *
group_protocol_name(const struct group *g)
{
	return g->protocol_name;
}

const struct group_member *
group_next_member(const struct group *g, const struct group_member *m)
{
	return m == NULL ? g->first : m->next;
}

void
group_look_at_member(const struct group *g, const struct group_member *m,
		     struct group_member_view *ret_view)
{
	*ret_view = (struct group_member_view){
	    .id = str_of(m->id),
	    .instance_id = str_of(m->instance_id),
	    .client_id = str_of(m->client_id),
	    .client_host = str_of(m->client_host),
	    .metadata = group_member_metadata(m, g->protocol_name),
	    .assignment = m->assignment,
	};
}

void
group_describe(const struct group *g, struct arena *arena, struct group_metadata_value *ret_value)
{
	bool assigning = g->state == GROUP_COMPLETING_REBALANCE;
	int32_t i = 0;

	group_metadata_value_init(ret_value);
	ret_value->protocol_type = str_of(group_protocol_type(g));
	ret_value->generation = g->generation;
	ret_value->protocol = str_of(g->protocol_name);
	ret_value->leader = str_of(g->leader == NULL ? NULL : g->leader->id);
	ret_value->current_state_timestamp = g->state_timestamp_ms;
	ret_value->members = member_metadata_new(arena, (int32_t)g->members.count);
	if (ret_value->members == NULL)
		abort();
	for (const struct group_member *m = g->first; m != NULL; m = m->next, i++)
		ret_value->members[i] = (struct member_metadata){
		    .member_id = str_of(m->id),
		    .group_instance_id = str_of(m->instance_id),
		    .client_id = str_of(m->client_id),
		    .client_host = str_of(m->client_host),
		    .rebalance_timeout = m->rebalance_timeout_ms,
		    .session_timeout = m->session_timeout_ms,
		    .subscription = group_member_metadata(m, g->protocol_name),
		    .assignment = assigning ? m->next_assignment : m->assignment,
		};
	ret_value->members_count = i;
}
