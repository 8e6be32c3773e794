#include "tests/sim/group_world.h"

#include <stdio.h>

#include "wire/kerr.h"

static struct str
instance_of(const struct client *c)
{
	return c->is_static ? str_of(c->instance) : (struct str){NULL, 0};
}

static struct group_identity
identity_of(const struct client *c)
{
	return (struct group_identity){str_of(c->id), instance_of(c), c->generation};
}

void
client_act_in(struct client *c, uint32_t at_most_ms)
{
	c->act_ms = w.now_ms + 1 + below(at_most_ms);
}

void
client_forget_assignment(struct client *c)
{
	memset(c->owns, 0, sizeof(c->owns));
	memset(c->fetched, 0, sizeof(c->fetched));
}

/* What any error means for a client: to join again, as whom, or to give up. */
static void
client_failed(struct client *c, int error)
{
	switch (error) {
	case K_FENCED_INSTANCE_ID:
	case K_INCONSISTENT_GROUP_PROTOCOL:
	case K_GROUP_MAX_SIZE_REACHED:
		c->state = GONE;
		return;
	case K_UNKNOWN_MEMBER_ID:
		c->id[0] = '\0';
		break;
	case K_REBALANCE_IN_PROGRESS:
	case K_ILLEGAL_GENERATION:
	case K_NOT_COORDINATOR:
	case K_COORDINATOR_NOT_AVAILABLE:
		break;
	default:
		world_failed(__FILE__, __LINE__, kerr_name(kerr_of(error)));
	}
	client_forget_assignment(c);
	c->state = TO_JOIN;
	client_act_in(c, 500);
}

static int32_t
encode_metadata(uint8_t reads, uint8_t *out)
{
	static const uint8_t both[] = {0, 1, 0, 0, 0, 2, 0, 1, 't', 0, 1, 'u', 0, 0, 0, 1};
	static const uint8_t one[] = {0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1};
	bool u = (reads & READS_U) != 0;
	int32_t len = u ? sizeof(both) : sizeof(one);

	memcpy(out, u ? both : one, (size_t)len);
	out[len] = reads;
	return len + 1;
}

void
client_join(struct client *c)
{
	static const char *const names[4][2] = {
	    {"range", NULL}, {"range", "rr"}, {"rr", "range"}, {"rr", NULL}};
	struct group_protocol protocols[2];
	struct group_effects fx;
	uint8_t metadata[32];
	char new_id[32];
	struct group_join join = {
	    .member_id = str_of(c->id),
	    .instance_id = instance_of(c),
	    .new_member_id = {new_id, 0},
	    .client_id = str_of("c"),
	    .client_host = str_of("/127.0.0.1"),
	    .protocol_type = str_of(GROUP_PROTOCOL_TYPE_CONSUMER),
	    .session_timeout_ms = c->session_ms,
	    .rebalance_timeout_ms = c->rebalance_ms,
	    .require_known_member_id = c->needs_id,
	    .support_skipping_assignment = c->skips,
	    .protocols = protocols,
	    .waiter = NULL,
	};

	if (w.away || (w.g == NULL && c->id[0] != '\0')) {
		client_failed(c, w.away ? K_NOT_COORDINATOR : K_UNKNOWN_MEMBER_ID);
		return;
	}
	if (w.g == NULL)
		world_make_group();
	join.new_member_id.len = (size_t)sprintf(new_id, "m%u", ++w.next_id);
	for (int i = 0; i < 2 && names[c->protocols][i] != NULL; i++)
		protocols[join.protocol_count++] = (struct group_protocol){
		    str_of(names[c->protocols][i]),
		    {metadata, (size_t)encode_metadata(c->reads, metadata)}};
	c->state = JOINING;
	c->act_ms = INT64_MAX;
	join.waiter = world_wait(c, true);
	group_effects_init(&fx);
	group_join(w.g, &join, now(), &fx);
	world_apply(&fx);
}

void
client_joined(struct client *c, const struct group_joined *joined)
{
	if (c->state != JOINING)
		return; /* the older of two requests */
	if (joined->error == K_REBALANCE_IN_PROGRESS)
		return; /* the same: the newer one waits */
	if (joined->error == K_MEMBER_ID_REQUIRED) {
		HOLDS(c->needs_id && !c->is_static && c->id[0] == '\0');
		snprintf(c->id, sizeof(c->id), "%s", joined->member_id.data);
		c->state = TO_JOIN;
		client_act_in(c, 200);
		return;
	}
	if (joined->error != 0) {
		client_failed(c, joined->error);
		return;
	}
	snprintf(c->id, sizeof(c->id), "%s", joined->member_id.data);
	snprintf(c->protocol, sizeof(c->protocol), "%s", joined->protocol_name.data);
	c->generation = joined->generation;
	HOLDS(c->generation > 0 && c->generation < GENERATIONS);
	c->leads = str_equal(joined->leader, joined->member_id) && !joined->skip_assignment;
	HOLDS(joined->member_count == 0 || str_equal(joined->leader, joined->member_id));
	HOLDS(!c->leads || joined->member_count > 0);
	HOLDS(joined->member_count <= CLIENTS * 2);
	c->joined_count = joined->member_count;
	for (int32_t i = 0; i < joined->member_count; i++) {
		const struct group_joined_member *m = &joined->members[i];

		snprintf(c->joined_id_text[i], sizeof(c->joined_id_text[i]), "%s", m->id.data);
		c->joined_ids[i] = str_of(c->joined_id_text[i]);
		HOLDS(m->metadata.len > 0);
		c->joined_reads[i] = m->metadata.data[m->metadata.len - 1];
	}
	client_forget_assignment(c);
	c->state = TO_SYNC;
	client_act_in(c, 300);
}

/* Some assignment in which every partition that somebody reads has one owner. */
static int32_t
assign(const struct client *c, struct group_assignment *assignments, uint8_t bytes[][PARTITIONS])
{
	for (int32_t i = 0; i < c->joined_count; i++)
		assignments[i] = (struct group_assignment){c->joined_ids[i], {bytes[i], 0}};
	for (int p = 0; p < PARTITIONS; p++) {
		int32_t first = (int32_t)below((uint32_t)c->joined_count);

		for (int32_t k = 0; k < c->joined_count; k++) {
			int32_t i = (first + k) % c->joined_count;

			if (p >= PARTITIONS / 2 && (c->joined_reads[i] & READS_U) == 0)
				continue;
			bytes[i][assignments[i].assignment.len++] = (uint8_t)p;
			break;
		}
	}
	return c->joined_count;
}

static void
send_sync(struct client *c)
{
	struct group_assignment assignments[CLIENTS * 2];
	uint8_t bytes[CLIENTS * 2][PARTITIONS];
	struct group_effects fx;
	struct group_sync sync = {
	    .from = identity_of(c),
	    .protocol_type = str_of(GROUP_PROTOCOL_TYPE_CONSUMER),
	    .protocol_name = str_of(c->protocol),
	    .assignments = assignments,
	};

	if (w.away || w.g == NULL) {
		client_failed(c, w.away ? K_NOT_COORDINATOR : K_UNKNOWN_MEMBER_ID);
		return;
	}
	if (c->leads)
		sync.assignment_count = assign(c, assignments, bytes);
	c->state = SYNCING;
	c->act_ms = INT64_MAX;
	sync.waiter = world_wait(c, false);
	group_effects_init(&fx);
	group_sync(w.g, &sync, now(), &fx);
	world_apply(&fx);
}

void
client_synced(struct client *c, const struct group_synced *synced)
{
	const char *me = c->is_static ? c->instance : c->id;

	if (c->state != SYNCING)
		return;
	if (synced->error != 0) {
		client_failed(c, synced->error);
		return;
	}
	for (size_t i = 0; i < synced->assignment.len; i++) {
		int p = synced->assignment.data[i];
		char *owner = w.owner[c->generation][p];

		HOLDS(owner[0] == '\0' || strcmp(owner, me) == 0); /* invariant 1 */
		snprintf(owner, sizeof(w.owner[0][0]), "%s", me);
		c->owns[p] = true;
	}
	c->state = MEMBER;
	client_act_in(c, 500);
}

static void
fetch_and_commit(struct client *c)
{
	struct group_identity from = identity_of(c);
	int p = (int)below(PARTITIONS);
	struct group_effects fx;
	struct offset_view view;
	int st;

	if (!c->owns[p])
		return;
	if (!c->fetched[p]) {
		group_offsets_look(group_offsets(w.g), topic_of(p), p, &view);
		if (view.is_unstable)
			return;
		c->fetched[p] = true;
		c->pos[p] = view.is_committed ? view.committed.offset : 0;
		return;
	}
	c->pos[p] += below(10);
	group_effects_init(&fx);
	st = group_commit(w.g, &from, now(), &fx);
	world_apply(&fx);
	if (st == 0)
		world_write_offset(p, c->pos[p], false);
	else if (st != K_REBALANCE_IN_PROGRESS)
		client_failed(c, st);
}

static void
send_heartbeat(struct client *c)
{
	struct group_identity from = identity_of(c);
	struct group_effects fx;
	int st = K_UNKNOWN_MEMBER_ID;

	if (w.away) {
		client_act_in(c, 500); /* finds the coordinator first */
		return;
	}
	/* Perhaps it commits before it hears how things are. */
	for (int i = 0; w.g != NULL && percent(50) && i < PARTITIONS; i++) {
		fetch_and_commit(c);
		if (c->state != MEMBER)
			return;
	}
	if (w.g != NULL) {
		group_effects_init(&fx);
		st = group_heartbeat(w.g, &from, now(), &fx);
		world_apply(&fx);
	}
	if (st != 0) {
		/* Commits what it has before it lets go. */
		if (st == K_REBALANCE_IN_PROGRESS && percent(50))
			fetch_and_commit(c);
		if (c->state == MEMBER)
			client_failed(c, st);
		return;
	}
	client_act_in(c, (uint32_t)c->session_ms / 3);
	for (int i = 0; c->state == MEMBER && i < 2 * PARTITIONS; i++)
		fetch_and_commit(c);
}

void
client_acts(struct client *c)
{
	switch (c->state) {
	case TO_JOIN:
		client_join(c);
		break;
	case TO_SYNC:
		send_sync(c);
		break;
	case MEMBER:
		send_heartbeat(c);
		break;
	default:
		c->act_ms = INT64_MAX;
	}
}

void
client_leave(struct client *c, bool by_operator)
{
	struct str nobody = str_of("");
	struct group_effects fx;
	int st;

	if (w.g != NULL && !w.away && (c->is_static || c->id[0] != '\0')) {
		by_operator = by_operator && c->is_static;
		group_effects_init(&fx);
		st = group_leave(w.g, by_operator ? nobody : str_of(c->id), instance_of(c),
				 str_of("done"), now(), &fx);
		world_apply(&fx);
		HOLDS(st == 0 || st == K_UNKNOWN_MEMBER_ID || st == K_FENCED_INSTANCE_ID);
		if (by_operator)
			return; /* it will hear of it */
	}
	c->state = GONE;
}

void
client_start(struct client *c)
{
	*c = (struct client){
	    .state = TO_JOIN,
	    .process = ++w.next_process,
	    .is_static = percent(40),
	    .needs_id = percent(70),
	    .skips = percent(50),
	    .session_ms = 6000 + (int32_t)below(24000),
	    .rebalance_ms = percent(5) ? (int32_t)below(3) - 1
				       : REBALANCE_MIN_MS + (int32_t)below(w.rebalance_span_ms),
	    .reads = (uint8_t)below(4),
	    .protocols = (uint8_t)(percent(5) ? 3 : below(3)),
	};
	if (c->is_static)
		sprintf(c->instance, "i%u", below(4));
	client_act_in(c, 1000);
}
