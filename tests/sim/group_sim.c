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
#include "tests/sim/group_world.h"

#define SEEDS_DEFAULT 2000
#define CHAOS_STEPS 400
#define CALM_MS (20 * 60 * 1000)

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
		world_make_group();
	group_effects_init(&fx);
	st = group_commit(w.g, &nobody, now(), &fx);
	world_apply(&fx);
	HOLDS((st == 0) == (group_state(w.g) == GROUP_EMPTY));
	if (st == 0)
		world_write_offset(p, below(100), true);
}

static void
chaos(void)
{
	struct client *c = &w.clients[below(CLIENTS)];
	uint32_t what = below(100);

	if (c->state == GONE) {
		if (what < 30)
			client_start(c);
	} else if (what < 6) {
		c->state = GONE; /* crashes */
	} else if (what < 9) {
		client_leave(c, false);
	} else if (what < 11) {
		client_leave(c, true);
	} else if (what < 16 && c->act_ms != INT64_MAX) {
		c->act_ms += below(percent(50) ? 20000 : 60000); /* stalls */
	} else if (what < 22 && c->state == MEMBER) {
		c->reads = (uint8_t)below(8);
		c->state = TO_JOIN;
		client_forget_assignment(c);
		client_act_in(c, 10);
	} else if (what < 24 && c->state == JOINING) {
		client_join(c); /* again: its connection broke */
	}
	if (percent(2))
		world_move_away();
	if (percent(2))
		reset_offset();
	if (percent(3))
		world_expire();
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
step(int64_t latest_ms)
{
	int64_t next = next_ms();
	struct group_effects fx;

	if (next > latest_ms)
		next = latest_ms;
	if (next > w.now_ms)
		w.now_ms = next;
	if (w.away && w.back_ms <= w.now_ms)
		world_come_back();
	world_run_acks();
	if (w.g != NULL && group_deadline_ms(w.g) <= w.now_ms) {
		group_effects_init(&fx);
		group_tick(w.g, now(), &fx);
		HOLDS(group_deadline_ms(w.g) > w.now_ms);
		world_apply(&fx);
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
			client_act_in(c, 100); /* no longer stalled */
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
		world_forget_group();
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
