/* The table of members, and what follows from their protocols. */
#include <assert.h>

#include "base/diag.h"
#include "group/group_internal.h"
#include "group/group_memory.h"
#include "wire/codec.h"
#include "wire/generated/consumer_protocol.h"

/* Bytes of a decoded subscription: a list of topics is at most so much larger than its bytes. */
#define SUBSCRIPTION_ARENA_BYTES ((size_t)64 << 20)

struct group_member *
group_find_member(const struct group *g, struct str id)
{
	return map_get(&g->members, id.data, id.len);
}

struct group_member *
group_find_static(const struct group *g, struct str instance_id)
{
	return map_get(&g->static_members, instance_id.data, instance_id.len);
}

/* ---- protocols ---- */

static intptr_t
supporters(const struct group *g, struct str name)
{
	return (intptr_t)map_get(&g->supported, name.data, name.len);
}

static void
count_protocols(struct group *g, const struct group_member *m, intptr_t change)
{
	for (int32_t i = 0; i < m->protocol_count; i++) {
		struct str name = m->protocols[i].name;
		intptr_t count = supporters(g, name) + change;

		if (count == 0)
			map_remove(&g->supported, name.data, name.len);
		else if (map_put(&g->supported, name.data, name.len, (void *)count, NULL) != 0)
			abort();
	}
}

void
group_protocols_free(struct group_protocol *protocols, int32_t count)
{
	for (int32_t i = 0; i < count; i++) {
		free((char *)(uintptr_t)protocols[i].name.data);
		free_bytes(&protocols[i].metadata);
	}
	free(protocols);
}

struct group_protocol *
group_take_protocols(struct group *g, struct group_member *m, int32_t *ret_count)
{
	struct group_protocol *protocols = m->protocols;

	count_protocols(g, m, -1);
	*ret_count = m->protocol_count;
	m->protocols = NULL;
	m->protocol_count = 0;
	return protocols;
}

void
group_set_protocols(struct group *g, struct group_member *m, const struct group_protocol *protocols,
		    int32_t count)
{
	int32_t old_count;
	struct group_protocol *old = group_take_protocols(g, m, &old_count);
	struct map seen = {0};

	m->protocols = must_calloc((size_t)count, sizeof(*m->protocols));
	for (int32_t i = 0; i < count; i++) {
		struct str name = protocols[i].name;
		struct group_protocol *mine = &m->protocols[m->protocol_count];

		/* A name that comes twice would have more supporters than there are members. */
		if (map_get(&seen, name.data, name.len) != NULL)
			continue;
		if (map_put(&seen, name.data, name.len, m, NULL) != 0)
			abort();
		mine->name = (struct str){must_copy_text(name), name.len};
		mine->metadata = must_copy_bytes(protocols[i].metadata);
		m->protocol_count++;
	}
	map_fini(&seen);
	count_protocols(g, m, 1);
	group_protocols_free(old, old_count);
}

bool
group_member_has_protocols(const struct group_member *m, const struct group_protocol *protocols,
			   int32_t count)
{
	if (m->protocol_count != count)
		return false;
	for (int32_t i = 0; i < count; i++) {
		const struct group_protocol *mine = &m->protocols[i], *theirs = &protocols[i];

		if (!str_equal(mine->name, theirs->name) ||
		    mine->metadata.len != theirs->metadata.len ||
		    (mine->metadata.len > 0 &&
		     memcmp(mine->metadata.data, theirs->metadata.data, mine->metadata.len) != 0))
			return false;
	}
	return true;
}

bool
group_supports(const struct group *g, struct str protocol_type,
	       const struct group_protocol *protocols, int32_t count)
{
	if (g->state == GROUP_EMPTY)
		return protocol_type.len > 0 && count > 0;
	if (g->protocol_type == NULL || !str_equal(str_of(g->protocol_type), protocol_type))
		return false;
	for (int32_t i = 0; i < count; i++)
		if (supporters(g, protocols[i].name) == (intptr_t)g->members.count)
			return true;
	return false;
}

/* The member's first protocol that all others have too. */
static const char *
vote(const struct group *g, const struct group_member *m)
{
	for (int32_t i = 0; i < m->protocol_count; i++)
		if (supporters(g, m->protocols[i].name) == (intptr_t)g->members.count)
			return m->protocols[i].name.data;
	return NULL;
}

const char *
group_select_protocol(const struct group *g)
{
	struct map votes = {0};
	const char *winner = NULL;
	intptr_t most = 0;

	for (const struct group_member *m = g->first; m != NULL; m = m->next) {
		const char *choice = vote(g, m);
		intptr_t count;

		/* Joining was refused without a protocol that all have: there is one. */
		assert(choice != NULL);
		count = (intptr_t)map_get_text(&votes, choice) + 1;
		if (map_put_text(&votes, choice, (void *)count, NULL) != 0)
			abort();
		if (count > most) {
			most = count;
			winner = choice;
		}
	}
	map_fini(&votes);
	return winner;
}

struct slice
group_member_metadata(const struct group_member *m, const char *protocol)
{
	for (int32_t i = 0; protocol != NULL && i < m->protocol_count; i++)
		if (strcmp(m->protocols[i].name.data, protocol) == 0)
			return m->protocols[i].metadata;
	return (struct slice){NULL, 0};
}

/* ---- the table ---- */

struct group_member *
group_add_member(struct group *g, const char *id, const struct group_join *join)
{
	struct group_member *m = must_calloc(1, sizeof(*m));

	m->group = g;
	m->id = must_copy_text(str_of(id));
	m->instance_id = must_copy_text(join->instance_id);
	m->client_id = must_copy_text(join->client_id);
	m->client_host = must_copy_text(join->client_host);
	m->session_timeout_ms = join->session_timeout_ms;
	m->rebalance_timeout_ms = join->rebalance_timeout_ms;
	timer_init(&m->session, group_on_session_expired, m);
	if (g->first == NULL) {
		free(g->protocol_type);
		g->protocol_type = must_copy_text(join->protocol_type);
	}
	m->prev = g->last;
	if (g->last != NULL)
		g->last->next = m;
	else
		g->first = m;
	g->last = m;
	if (map_put_text(&g->members, m->id, m, NULL) != 0 ||
	    (m->instance_id != NULL &&
	     map_put_text(&g->static_members, m->instance_id, m, NULL) != 0))
		abort();
	group_set_protocols(g, m, join->protocols, join->protocol_count);
	if (g->leader == NULL)
		g->leader = m;
	return m;
}

void
group_remove_member(struct group *g, struct group_member *m)
{
	int32_t count;
	struct group_protocol *protocols = group_take_protocols(g, m, &count);

	assert(m->join_waiter == NULL && m->sync_waiter == NULL);
	group_protocols_free(protocols, count);
	timers_cancel(&g->timers, &m->session);
	map_remove_text(&g->members, m->id);
	if (m->instance_id != NULL)
		map_remove_text(&g->static_members, m->instance_id);
	if (m->next != NULL)
		m->next->prev = m->prev;
	else
		g->last = m->prev;
	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		g->first = m->next;
	if (m->pending_sync)
		g->pending_sync_count--;
	if (g->leader == m)
		g->leader = g->first;
	free_bytes(&m->assignment);
	free_bytes(&m->next_assignment);
	free(m->client_host);
	free(m->client_id);
	free(m->instance_id);
	free(m->id);
	free(m);
}

void
group_rename_member(struct group *g, struct group_member *m, struct str id)
{
	map_remove_text(&g->members, m->id);
	free(m->id);
	m->id = must_copy_text(id);
	if (map_put_text(&g->members, m->id, m, NULL) != 0)
		abort();
}

int32_t
group_rebalance_timeout_ms(const struct group *g)
{
	int32_t longest = 0;

	for (const struct group_member *m = g->first; m != NULL; m = m->next)
		if (m->rebalance_timeout_ms > longest)
			longest = m->rebalance_timeout_ms;
	return longest;
}

/* ---- pending members ---- */

struct pending_member *
group_find_pending(const struct group *g, struct str id)
{
	return map_get(&g->pending, id.data, id.len);
}

static void
make_room_for_pending(struct group *g)
{
	if (g->pending.count < GROUP_PENDING_MAX)
		return;
	if (!g->told_of_pending)
		diag_warn(DIAG_GROUP,
			  "many got a member id and did not join: the oldest ids are forgotten",
			  "group=%s count=%zu", g->id, g->pending.count);
	g->told_of_pending = true;
	group_remove_pending(g, g->first_pending);
}

struct pending_member *
group_add_pending(struct group *g, struct str id, int64_t deadline_ms)
{
	struct pending_member *p = must_calloc(1, sizeof(*p));

	make_room_for_pending(g);
	p->group = g;
	p->id = must_copy_text(id);
	timer_init(&p->session, group_on_pending_expired, p);
	if (map_put_text(&g->pending, p->id, p, NULL) != 0)
		abort();
	p->prev = g->last_pending;
	*(p->prev != NULL ? &p->prev->next : &g->first_pending) = p;
	g->last_pending = p;
	timers_arm(&g->timers, &p->session, deadline_ms);
	return p;
}

void
group_remove_pending(struct group *g, struct pending_member *p)
{
	timers_cancel(&g->timers, &p->session);
	map_remove_text(&g->pending, p->id);
	*(p->prev != NULL ? &p->prev->next : &g->first_pending) = p->next;
	*(p->next != NULL ? &p->next->prev : &g->last_pending) = p->prev;
	if (g->pending.count == 0)
		g->told_of_pending = false;
	free(p->id);
	free(p);
}

/* ---- subscriptions ---- */

/* Adds what one member reads. False when its metadata is not what consumers send. */
static bool
add_subscription(struct group *g, struct slice metadata, struct arena *arena)
{
	struct consumer_protocol_subscription subscription;
	struct wire_in in;

	if (metadata.len < 2)
		return false;
	/* Each version begins with the fields of version 0. */
	wire_in_init(&in, (struct slice){metadata.data + 2, metadata.len - 2}, arena);
	if (consumer_protocol_subscription_decode(&subscription, 0, &in) != 0)
		return false;
	for (int32_t i = 0; i < subscription.topics_count; i++) {
		struct str topic = subscription.topics[i];

		if (map_put(&g->subscribed, topic.data, topic.len, g, NULL) != 0)
			abort();
	}
	return true;
}

void
group_compute_subscribed(struct group *g)
{
	struct arena arena;

	map_fini(&g->subscribed);
	g->subscribed = (struct map){0};
	g->has_subscribed = g->protocol_type != NULL &&
			    strcmp(g->protocol_type, GROUP_PROTOCOL_TYPE_CONSUMER) == 0 &&
			    (g->first == NULL || g->protocol_name != NULL);
	if (!g->has_subscribed || g->first == NULL)
		return;
	arena_init(&arena, SUBSCRIPTION_ARENA_BYTES);
	for (const struct group_member *m = g->first; m != NULL && g->has_subscribed; m = m->next) {
		g->has_subscribed =
		    add_subscription(g, group_member_metadata(m, g->protocol_name), &arena);
		if (!g->has_subscribed)
			diag_warn(DIAG_GROUP, "cannot tell what a member reads from its metadata",
				  "group=%s member=%s protocol=%s", g->id, m->id, g->protocol_name);
		arena_reset(&arena);
	}
	arena_fini(&arena);
}
