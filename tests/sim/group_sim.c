/*
 * A group in a random world: clients that join, leave, crash, stall, come back under the same
 * instance id and change what they read; records that are acknowledged late or refused; a
 * coordinator that moves and reads its log again; time that passes.
 *
 *	group_sim [--seed N] [--seeds COUNT]
 *
 * At every step
 *  1. no partition is handed to two members in one generation;
 *  2. no commit is accepted that is behind the last one, unless somebody reset it;
 *  3. every JoinGroup and SyncGroup is answered exactly once, and all of them when the group goes;
 *  4. the generation only rises while one coordinator has the group, and what is loaded is what the
 *     log says;
 * and when the chaos ends, the group becomes Stable with exactly the clients that are left, each of
 * them with its assignment, within CALM_MS.
 *
 * One seed is one world. A failure prints it, and --seed replays it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "group/group.h"
#include "group/group_records.h"
#include "wire/kerr.h"

#define SEEDS_DEFAULT 2000
#define CLIENTS 8
#define PARTITIONS 6 /* the first half of topic t, the rest of topic u */
#define GENERATIONS 1024
#define CHAOS_STEPS 400
#define CALM_MS (20 * 60 * 1000)
#define WALL_MS INT64_C(1700000000000)
#define RETENTION_MS 120000
#define REBALANCE_MIN_MS 5000
#define READS_U 1

enum client_state { GONE, TO_JOIN, JOINING, TO_SYNC, SYNCING, MEMBER };

struct client {
	enum client_state state;
	uint32_t process; /* answers to earlier processes in this place are nobody's */
	char id[32], instance[16];
	bool is_static, needs_id, skips, leads;
	int32_t generation, session_ms, rebalance_ms;
	int64_t act_ms;
	uint8_t reads;     /* READS_U, and bits that only make the metadata different */
	uint8_t protocols; /* 0: range; 1: range, rr; 2: rr, range; 3: rr alone */
	char protocol[8];
	struct str joined_ids[CLIENTS * 2];
	char joined_id_text[CLIENTS * 2][32];
	uint8_t joined_reads[CLIENTS * 2];
	int32_t joined_count;
	bool owns[PARTITIONS], fetched[PARTITIONS];
	int64_t pos[PARTITIONS];
};

struct waiter {
	struct waiter *next;
	int client;
	uint32_t process;
	bool is_join, answered;
};

/* A record on its way: acknowledged at due_ms. */
struct ack {
	struct ack *next;
	int64_t due_ms, batch_offset, offset;
	int partition; /* -1: the group's record */
	uint64_t store_id;
	bool refused;
};

struct log_entry {
	struct buf batch;
	int partition;
	int64_t offset;
};

static struct world {
	uint64_t seed, random;
	int64_t now_ms;
	bool calm, away;
	int64_t back_ms;
	struct group *g;
	struct group_settings settings;
	int32_t last_generation;
	struct client clients[CLIENTS];
	struct waiter *waiters;
	int32_t waiting;
	struct ack *acks;
	struct log_entry *log;
	int64_t log_count, log_cap;
	int64_t last_logged[PARTITIONS]; /* -1: none, or reset */
	int64_t last_batch[PARTITIONS];  /* what was visible last */
	char owner[GENERATIONS][PARTITIONS][32];
	uint32_t next_id, next_process, rebalance_span_ms;
	int refuse_percent, late_ms;
	uint64_t steps, stables, moves, replaced;
} w;

static void __attribute__((noreturn)) failed(int line, const char *what)
{
	fprintf(stderr, "group_sim.c:%d: seed %" PRIu64 " at %" PRId64 " ms: not true: %s\n", line,
		w.seed, w.now_ms, what);
	exit(1);
}

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			failed(__LINE__, #condition);                                              \
	} while (0)

static uint32_t
below(uint32_t bound)
{
	uint64_t z = w.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

static bool
percent(uint32_t chance)
{
	return below(100) < chance;
}

static struct group_now
now(void)
{
	return (struct group_now){w.now_ms, WALL_MS + w.now_ms};
}

static struct str
topic_of(int partition)
{
	return str_of(partition < PARTITIONS / 2 ? "t" : "u");
}

/* ---- the log ---- */

static void
log_append(struct record_batch_builder *b, int partition, int64_t offset)
{
	struct log_entry *e;

	if (w.log_count == w.log_cap) {
		w.log_cap = w.log_cap == 0 ? 64 : w.log_cap * 2;
		w.log = realloc(w.log, (size_t)w.log_cap * sizeof(*w.log));
		HOLDS(w.log != NULL);
	}
	e = &w.log[w.log_count];
	*e = (struct log_entry){.partition = partition, .offset = offset};
	b->base_offset = w.log_count++;
	HOLDS(record_batch_builder_finish(b, &e->batch) == 0);
	record_batch_builder_fini(b);
}

static void
send_ack(struct ack *from)
{
	struct ack *ack = malloc(sizeof(*ack));

	HOLDS(ack != NULL);
	*ack = *from;
	ack->due_ms = w.now_ms + below((uint32_t)w.late_ms + 1);
	ack->next = w.acks;
	w.acks = ack;
}

static void
store_group(uint64_t store_id)
{
	struct ack ack = {.partition = -1, .store_id = store_id};
	struct group_metadata_value value;
	struct record_batch_builder b;
	struct arena arena;

	/* Refused: not in the log. Some that are refused get there all the same: timed out. */
	ack.refused = percent((uint32_t)w.refuse_percent);
	if (!ack.refused || percent(50)) {
		arena_init(&arena, SIZE_MAX / 2);
		group_describe(w.g, &arena, &value);
		record_batch_builder_init(&b, COMPRESSION_NONE, 0);
		group_records_add_group(&b, WALL_MS + w.now_ms, group_id(w.g), &value);
		arena_fini(&arena);
		log_append(&b, -1, 0);
	}
	send_ack(&ack);
}

static void apply(struct group_effects *fx);

static void
acknowledge(struct ack *ack)
{
	struct committed_offset committed = {.offset = ack->offset,
					     .commit_timestamp_ms = WALL_MS + w.now_ms,
					     .expire_timestamp_ms = -1,
					     .batch_offset = ack->batch_offset,
					     .metadata = str_of(""),
					     .leader_epoch = -1};
	struct group_effects fx;

	HOLDS(w.g != NULL);
	if (ack->partition >= 0) {
		group_offsets_end(group_offsets(w.g), topic_of(ack->partition), ack->partition,
				  ack->refused ? NULL : &committed);
		return;
	}
	group_effects_init(&fx);
	group_stored(w.g, ack->store_id, ack->refused ? K_COORDINATOR_NOT_AVAILABLE : 0, now(),
		     &fx);
	apply(&fx);
}

static void
forget_acks(void)
{
	while (w.acks != NULL) {
		struct ack *ack = w.acks;

		w.acks = ack->next;
		free(ack);
	}
}

static void
write_offset(int partition, int64_t offset, bool reset)
{
	struct committed_offset committed = {.offset = offset,
					     .commit_timestamp_ms = WALL_MS + w.now_ms,
					     .expire_timestamp_ms = -1,
					     .metadata = str_of(""),
					     .leader_epoch = -1};
	struct ack ack = {.partition = partition, .offset = offset};
	struct record_batch_builder b;

	HOLDS(reset || offset >= w.last_logged[partition]); /* invariant 2 */
	group_offsets_begin(group_offsets(w.g), topic_of(partition), partition);
	ack.refused = percent((uint32_t)w.refuse_percent);
	if (!ack.refused) {
		record_batch_builder_init(&b, COMPRESSION_NONE, 0);
		group_records_add_offset(&b, WALL_MS + w.now_ms, group_id(w.g), topic_of(partition),
					 partition, &committed);
		ack.batch_offset = w.log_count;
		log_append(&b, partition, offset);
		w.last_logged[partition] = offset;
	}
	send_ack(&ack);
}

/* ---- the coordinator ---- */

static struct client *
client_of(const struct waiter *waiter)
{
	struct client *c = &w.clients[waiter->client];

	return c->process == waiter->process && c->state != GONE ? c : NULL;
}

static void client_joined(struct client *c, const struct group_joined *joined);
static void client_synced(struct client *c, const struct group_synced *synced);

static void
apply(struct group_effects *fx)
{
	for (struct group_effect *e = fx->first; e != NULL; e = e->next) {
		struct waiter *waiter = e->waiter;
		struct client *c;

		if (e->kind == GROUP_EFFECT_STORE) {
			store_group(e->store_id);
			continue;
		}
		HOLDS(waiter != NULL && !waiter->answered); /* invariant 3 */
		HOLDS(waiter->is_join == (e->kind == GROUP_EFFECT_JOINED));
		waiter->answered = true;
		w.waiting--;
		c = client_of(waiter);
		if (c != NULL && e->kind == GROUP_EFFECT_JOINED)
			client_joined(c, &e->joined);
		else if (c != NULL)
			client_synced(c, &e->synced);
	}
	group_effects_fini(fx);
}

static struct waiter *
new_waiter(const struct client *c, bool is_join)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	HOLDS(waiter != NULL);
	waiter->client = (int)(c - w.clients);
	waiter->process = c->process;
	waiter->is_join = is_join;
	waiter->next = w.waiters;
	w.waiters = waiter;
	w.waiting++;
	return waiter;
}

static void
forget_group(void)
{
	struct group_effects fx;

	group_effects_init(&fx);
	group_unload(w.g, K_NOT_COORDINATOR, &fx);
	HOLDS(group_deadline_ms(w.g) == INT64_MAX);
	apply(&fx);
	HOLDS(w.waiting == 0);
	forget_acks();
	group_free(w.g);
	w.g = NULL;
	w.last_generation = 0;
}

static void
move_away(void)
{
	if (w.away)
		return;
	if (w.g != NULL)
		forget_group();
	w.away = true;
	w.back_ms = w.now_ms + 1 + below(5000);
	w.moves++;
}

static void
make_group(void)
{
	w.g = group_new("g", &w.settings, now());
	w.last_generation = 0;
}

/* The last value of the group's record, in arena; false when there is none. */
static bool
read_log(struct group_metadata_value *value, struct arena *arena)
{
	bool found = false;

	for (int64_t i = 0; i < w.log_count; i++) {
		struct record_batch batch;
		struct group_record r;
		struct record_iter it;
		struct record record;
		struct slice payload;

		HOLDS(record_batch_parse(buf_slice(&w.log[i].batch), &batch) == 0);
		HOLDS(record_batch_payload(&batch, SIZE_MAX, NULL, &payload) == 0);
		record_iter_init(&it, payload, batch.record_count);
		while (record_iter_next(&it, &record)) {
			group_record_read(&record, arena, &r);
			HOLDS(r.kind == GROUP_RECORD_OFFSET || r.kind == GROUP_RECORD_GROUP);
			if (r.kind == GROUP_RECORD_GROUP) {
				found = !r.is_tombstone;
				*value = r.value;
			} else if (r.is_tombstone) {
				group_offsets_remove(group_offsets(w.g), r.topic, r.partition);
			} else {
				r.committed.batch_offset = i;
				group_offsets_put(group_offsets(w.g), r.topic, r.partition,
						  &r.committed);
			}
		}
		HOLDS(it.status == 0);
	}
	return found;
}

static void
come_back(void)
{
	struct group_metadata_value value;
	struct group_effects fx;
	struct arena arena;

	w.away = false;
	make_group();
	arena_init(&arena, SIZE_MAX / 2);
	if (read_log(&value, &arena))
		group_restore(w.g, &value);
	arena_fini(&arena);
	for (int p = 0; p < PARTITIONS; p++) { /* invariant 4 */
		struct offset_view view;

		group_offsets_look(group_offsets(w.g), topic_of(p), p, &view);
		HOLDS((view.is_committed ? view.committed.offset : -1) == w.last_logged[p]);
		w.last_batch[p] = view.is_committed ? view.committed.batch_offset : -1;
	}
	w.last_generation = group_generation(w.g);
	group_effects_init(&fx);
	group_loaded(w.g, now(), &fx);
	apply(&fx);
}

static void
bury_offset(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	struct record_batch_builder *b = arg;

	HOLDS(view->is_committed && !view->is_unstable);
	group_records_add_offset_tombstone(b, WALL_MS + w.now_ms, group_id(w.g), topic, partition);
	w.last_logged[partition] = -1;
	w.last_batch[partition] = -1;
}

static void
expire(void)
{
	struct record_batch_builder b;
	bool unused;

	if (w.g == NULL)
		return;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	unused = group_expire(w.g, RETENTION_MS, now(), bury_offset, &b);
	if (unused)
		group_records_add_group_tombstone(&b, WALL_MS + w.now_ms, group_id(w.g));
	if (b.record_count > 0)
		log_append(&b, -1, 0);
	else
		record_batch_builder_fini(&b);
	if (unused) {
		forget_group();
		memset(w.owner, 0, sizeof(w.owner)); /* another group of that name begins at 1 */
	}
}

/* ---- a client ---- */

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

static void
act_in(struct client *c, uint32_t at_most_ms)
{
	c->act_ms = w.now_ms + 1 + below(at_most_ms);
}

static void
forget_assignment(struct client *c)
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
		failed(__LINE__, kerr_name(kerr_of(error)));
	}
	forget_assignment(c);
	c->state = TO_JOIN;
	act_in(c, 500);
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

static void
send_join(struct client *c)
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
		make_group();
	join.new_member_id.len = (size_t)sprintf(new_id, "m%u", ++w.next_id);
	for (int i = 0; i < 2 && names[c->protocols][i] != NULL; i++)
		protocols[join.protocol_count++] = (struct group_protocol){
		    str_of(names[c->protocols][i]),
		    {metadata, (size_t)encode_metadata(c->reads, metadata)}};
	c->state = JOINING;
	c->act_ms = INT64_MAX;
	join.waiter = new_waiter(c, true);
	group_effects_init(&fx);
	group_join(w.g, &join, now(), &fx);
	apply(&fx);
}

static void
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
		act_in(c, 200);
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
	forget_assignment(c);
	c->state = TO_SYNC;
	act_in(c, 300);
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
	sync.waiter = new_waiter(c, false);
	group_effects_init(&fx);
	group_sync(w.g, &sync, now(), &fx);
	apply(&fx);
}

static void
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
	act_in(c, 500);
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
	apply(&fx);
	if (st == 0)
		write_offset(p, c->pos[p], false);
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
		act_in(c, 500); /* finds the coordinator first */
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
		apply(&fx);
	}
	if (st != 0) {
		/* Commits what it has before it lets go. */
		if (st == K_REBALANCE_IN_PROGRESS && percent(50))
			fetch_and_commit(c);
		if (c->state == MEMBER)
			client_failed(c, st);
		return;
	}
	act_in(c, (uint32_t)c->session_ms / 3);
	for (int i = 0; c->state == MEMBER && i < 2 * PARTITIONS; i++)
		fetch_and_commit(c);
}

static void
client_acts(struct client *c)
{
	switch (c->state) {
	case TO_JOIN:
		send_join(c);
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

static void
leave(struct client *c, bool by_operator)
{
	struct str nobody = str_of("");
	struct group_effects fx;
	int st;

	if (w.g != NULL && !w.away && (c->is_static || c->id[0] != '\0')) {
		by_operator = by_operator && c->is_static;
		group_effects_init(&fx);
		st = group_leave(w.g, by_operator ? nobody : str_of(c->id), instance_of(c),
				 str_of("done"), now(), &fx);
		apply(&fx);
		HOLDS(st == 0 || st == K_UNKNOWN_MEMBER_ID || st == K_FENCED_INSTANCE_ID);
		if (by_operator)
			return; /* it will hear of it */
	}
	c->state = GONE;
}

static void
start_client(struct client *c)
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
	act_in(c, 1000);
}

/* ---- the world ---- */

static void
reset_offset(void)
{
	struct group_identity nobody = {str_of(""), {NULL, 0}, -1};
	int p = (int)below(PARTITIONS);
	struct group_effects fx;
	int st;

	if (w.away)
		return;
	if (w.g == NULL)
		make_group();
	group_effects_init(&fx);
	st = group_commit(w.g, &nobody, now(), &fx);
	apply(&fx);
	HOLDS((st == 0) == (group_state(w.g) == GROUP_EMPTY));
	if (st == 0)
		write_offset(p, below(100), true);
}

static void
chaos(void)
{
	struct client *c = &w.clients[below(CLIENTS)];
	uint32_t what = below(100);

	if (c->state == GONE) {
		if (what < 30)
			start_client(c);
	} else if (what < 6) {
		c->state = GONE; /* crashes */
	} else if (what < 9) {
		leave(c, false);
	} else if (what < 11) {
		leave(c, true);
	} else if (what < 16 && c->act_ms != INT64_MAX) {
		c->act_ms += below(percent(50) ? 20000 : 60000); /* stalls */
	} else if (what < 22 && c->state == MEMBER) {
		c->reads = (uint8_t)below(8);
		c->state = TO_JOIN;
		forget_assignment(c);
		act_in(c, 10);
	} else if (what < 24 && c->state == JOINING) {
		send_join(c); /* again: its connection broke */
	}
	if (percent(2))
		move_away();
	if (percent(2))
		reset_offset();
	if (percent(3))
		expire();
	if (percent(2)) {
		w.refuse_percent = percent(50) ? 0 : (int)below(40);
		w.late_ms = percent(50) ? 0 : (int)below(20000);
	}
	if (percent(1))
		w.settings.max_size = percent(50) ? CLIENTS * 2 : 2 + (int32_t)below(4);
}

static void
check_group(void)
{
	int32_t count = 0;

	if (w.g == NULL)
		return;
	HOLDS(group_generation(w.g) >= w.last_generation); /* invariant 4 */
	w.last_generation = group_generation(w.g);
	for (const struct group_member *m = NULL; (m = group_next_member(w.g, m)) != NULL;)
		count++;
	HOLDS(count == group_member_count(w.g));
	HOLDS((group_state(w.g) == GROUP_EMPTY) <= (count == 0));
	HOLDS(count > 0 ||
	      (group_state(w.g) != GROUP_STABLE && group_state(w.g) != GROUP_COMPLETING_REBALANCE));
	for (int p = 0; p < PARTITIONS; p++) {
		struct offset_view view;

		group_offsets_look(group_offsets(w.g), topic_of(p), p, &view);
		if (!view.is_committed)
			continue;
		HOLDS(view.committed.batch_offset >= w.last_batch[p]);
		HOLDS(w.log[view.committed.batch_offset].partition == p);
		HOLDS(w.log[view.committed.batch_offset].offset == view.committed.offset);
		w.last_batch[p] = view.committed.batch_offset;
	}
}

/* The next thing that happens by itself. */
static int64_t
next_ms(void)
{
	int64_t next = w.away ? w.back_ms : INT64_MAX;

	if (w.g != NULL && group_deadline_ms(w.g) < next)
		next = group_deadline_ms(w.g);
	for (const struct ack *ack = w.acks; ack != NULL; ack = ack->next)
		if (ack->due_ms < next)
			next = ack->due_ms;
	for (int i = 0; i < CLIENTS; i++)
		if (w.clients[i].state != GONE && w.clients[i].act_ms < next)
			next = w.clients[i].act_ms;
	return next;
}

static void
run_acks(void)
{
	for (struct ack **link = &w.acks; *link != NULL;) {
		struct ack *ack = *link;

		if (ack->due_ms > w.now_ms) {
			link = &ack->next;
			continue;
		}
		*link = ack->next;
		acknowledge(ack);
		free(ack);
		link = &w.acks; /* the list may have changed */
	}
}

static void
step(int64_t latest_ms)
{
	int64_t next = next_ms();
	struct group_effects fx;

	if (next > latest_ms)
		next = latest_ms;
	if (next > w.now_ms)
		w.now_ms = next;
	if (w.away && w.back_ms <= w.now_ms)
		come_back();
	run_acks();
	if (w.g != NULL && group_deadline_ms(w.g) <= w.now_ms) {
		group_effects_init(&fx);
		group_tick(w.g, now(), &fx);
		HOLDS(group_deadline_ms(w.g) > w.now_ms);
		apply(&fx);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (w.clients[i].state != GONE && w.clients[i].act_ms <= w.now_ms)
			client_acts(&w.clients[i]);
	check_group();
	w.steps++;
}

static bool
is_member(const struct client *c)
{
	struct group_member_view view;

	for (const struct group_member *m = NULL; (m = group_next_member(w.g, m)) != NULL;) {
		group_look_at_member(w.g, m, &view);
		if (str_equal(view.id, str_of(c->id)))
			return true;
	}
	return false;
}

static bool
all_is_well(void)
{
	bool owned[PARTITIONS] = {0}, reads_u = false;
	int32_t alive = 0;

	for (int i = 0; i < CLIENTS; i++) {
		const struct client *c = &w.clients[i];

		if (c->state == GONE)
			continue;
		if (c->state != MEMBER || w.g == NULL || c->generation != group_generation(w.g) ||
		    !is_member(c))
			return false;
		alive++;
		/* What a static member's new process reads counts from the next generation on. */
		reads_u = reads_u || (!c->is_static && (c->reads & READS_U) != 0);
		for (int p = 0; p < PARTITIONS; p++)
			owned[p] = owned[p] || c->owns[p];
	}
	if (w.away || (w.g != NULL && group_member_count(w.g) != alive))
		return false;
	for (int p = 0; alive > 0 && p < PARTITIONS; p++)
		if (!owned[p] && (p < PARTITIONS / 2 || reads_u))
			return false;
	return alive == 0 ? w.g == NULL || group_state(w.g) == GROUP_EMPTY
			  : group_state(w.g) == GROUP_STABLE;
}

static void
calm_down(void)
{
	int64_t end_ms = w.now_ms + CALM_MS;

	w.refuse_percent = 0;
	w.late_ms = 20;
	w.settings.max_size = CLIENTS * 2;
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &w.clients[i];

		if (c->rebalance_ms < REBALANCE_MIN_MS)
			c->state = GONE; /* gives the others no time */
		if (c->act_ms != INT64_MAX)
			act_in(c, 100); /* no longer stalled */
	}
	while (!all_is_well()) {
		HOLDS(w.now_ms < end_ms);
		step(end_ms);
	}
	HOLDS(w.waiting == 0);
	/* And it stays so, whatever still hung in the air. */
	end_ms = w.now_ms + 60000;
	for (int32_t generation = w.g == NULL ? 0 : group_generation(w.g);
	     w.now_ms < end_ms && next_ms() != INT64_MAX;) {
		step(end_ms);
		HOLDS(w.g == NULL || group_generation(w.g) == generation);
	}
	w.stables += w.g != NULL && group_state(w.g) == GROUP_STABLE;
}

static void
end_world(void)
{
	if (w.g != NULL)
		forget_group();
	HOLDS(w.waiting == 0);
	while (w.waiters != NULL) {
		struct waiter *next = w.waiters->next;

		HOLDS(w.waiters->answered);
		free(w.waiters);
		w.waiters = next;
	}
	for (int64_t i = 0; i < w.log_count; i++)
		buf_fini(&w.log[i].batch);
	free(w.log);
}

static void
run_world(uint64_t seed)
{
	uint64_t steps = w.steps, stables = w.stables, moves = w.moves;

	memset(&w, 0, sizeof(w));
	w.steps = steps;
	w.stables = stables;
	w.moves = moves;
	w.seed = seed;
	w.random = seed * 0x2545f4914f6cdd1dULL;
	w.now_ms = 1;
	w.settings.initial_rebalance_delay_ms = percent(30) ? 0 : (int32_t)below(4000);
	w.settings.max_size = CLIENTS * 2;
	w.rebalance_span_ms = percent(50) ? 2000 : 55000; /* longer than sessions, or not */
	for (int p = 0; p < PARTITIONS; p++)
		w.last_logged[p] = w.last_batch[p] = -1;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < CHAOS_STEPS; i++) {
			step(w.now_ms + below(percent(2) ? 60000 : 2000));
			chaos();
		}
		calm_down();
	}
	end_world();
}

int
main(int argc, char **argv)
{
	uint64_t first = 1, count = SEEDS_DEFAULT;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			first = strtoull(argv[i + 1], NULL, 10);
			count = 1;
		} else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
			count = strtoull(argv[i + 1], NULL, 10);
		} else {
			fprintf(stderr, "usage: group_sim [--seed N] [--seeds COUNT]\n");
			return 2;
		}
	}

	diag_set_level(DIAG_GROUP, DIAG_OFF);
	for (uint64_t seed = first; seed < first + count; seed++)
		run_world(seed);
	printf("%" PRIu64 " worlds: %" PRIu64 " steps, %" PRIu64 " moves of the coordinator, "
	       "%" PRIu64 " times Stable in the end\n",
	       count, w.steps, w.moves, w.stables);
	return 0;
}
