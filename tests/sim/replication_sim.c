/*
 * Three to five brokers in a random world: processes that are killed at any moment, between an
 * append and its answer and between two writes of the controller; sessions that end later, or
 * under a process that does not know it; an ensemble that is away in the middle of a controller's
 * work, with or without having done what was asked; a controller's node that is deleted; calls
 * that are delayed, overtaken, repeated, dropped and answered to nobody; brokers that stand still;
 * links that are cut; log directories that fail, and come back whole or empty; shutdowns that are
 * controlled; clients that write with acks=all to whoever believes to lead; operators who move
 * partitions by request or by znode, change their minds, delete topics and make them anew.
 *
 *	replication_sim [--seed N [--trace]] [--seeds COUNT]
 *
 * At every step
 *  1. what is below the high watermark of any replica is the same in all logs, for ever;
 *  2. every member of the ISR in the ensemble holds all of it; an acknowledged record is in it;
 *  3. a leader epoch has one leader, who leads only what the ensemble says;
 *  4. the epochs of controllers and leaders only rise;
 *  5. only where a topic allows unclean elections does one who is not in the ISR come to lead:
 *     from then on 1 and 2 hold of what he has;
 *  6. a reassignment ends with just the replicas that were asked for, all of them in the ISR; a
 *     topic goes when its replicas have; one that is made anew shows no record of the former;
 * and when the faults end, somebody leads wherever a member of the ISR has a directory that works;
 * when directories are replaced, all replicas are in the ISR again with equal logs, all committed;
 * what was on the move has arrived, what was to be deleted is gone, the znodes that asked for it
 * are gone, and no broker holds a replica that it could have been told to delete. It could not when
 * its session, or the controller, ended before StopReplica was answered: nobody remembers that, as
 * in Kafka. An operator removes such a stray; until then it must do no harm.
 *
 * What runs: the in-process tree (zk_tree.c) with all znodes as they are encoded; the controller of
 * each broker, from the election and the watches to the encoded requests and the decoded answers
 * (all of src/controller but controller_channel.c, and the thread, whose turns the world gives it);
 * fencing, isr, truncation and leader_epochs. A model are: the links; replica_manager, partition,
 * the fetchers and the logs of a broker, around those four; its start and its end; clients. An
 * ERROR that the controller reports fails the seed.
 *
 * A machine that loses power loses what it had not flushed; that a replica was made or deleted it
 * remembers. Kafka's protocol in ZooKeeper mode bears that only of one machine at a time, and only
 * while another member of each of its ISRs lives on. A controller that is elected while the
 * machine is down and sees it first when it is up again cannot tell that it was gone: it would
 * lead in the same epoch and write other records. So there is one such machine at a time, and
 * nothing else dies until a controller that knew it before has seen it again. Of what it said in
 * its former life much may still be on its way.
 *
 * One seed is one world. A failure prints it, and --seed replays it.
 */
#include "tests/sim/replication_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"

#define SEEDS_DEFAULT 10000
#define CHAOS_TURNS 360
#define CALM_TURNS 30000
#define TEND_TURNS 2000 /* an operator looks */
#define ROUNDS 2

struct conf_store w_conf;

/* ---- faults ---- */

/* There is a controller in office, and it has seen who is there. */
static bool
controller_is_up_to_date(void)
{
	if (w.zk.controller < 0 || !office_serves(w.zk.controller))
		return false;
	for (int i = 0; i < w.broker_count; i++)
		if (w.zk.broker_epochs[i] == 0 ||
		    office_knows(w.zk.controller, i) != w.zk.broker_epochs[i])
			return false;
	return true;
}

static bool
may_lose_power(int id)
{
	if (!w.brokers[id].runs || w.without_power >= 0 || w.waiting > 0 || w.zk.moves_asked ||
	    !controller_is_up_to_date())
		return false;
	for (int i = 0; i < w.broker_count; i++)
		if (i != id && (!w.brokers[i].runs || w.brokers[i].failed[0] ||
				w.brokers[i].failed[1] || !w.zk.sessions[i] || w.brokers[i].stops))
			return false;
	for (int p = 0; p < PARTITIONS; p++) {
		const struct members *isr = &w.zk.states[p].isr;
		const struct assignment *a = &w.zk.assignments[p];

		/* Nor may it be where a partition ends up alone. */
		if (!w.zk.states[p].exists || (members_have(isr, id) && isr->count == 1) ||
		    a->replicas.count - a->removing.count < 2 ||
		    w.brokers[id].replicas[p].isr.change != ISR_STABLE)
			return false;
	}
	for (int i = 0; i < w.call_count; i++)
		if (w.calls[i].kind == CALL_ALTER && w.calls[i].from == id)
			return false; /* it may leave it alone in the ISR */
	return true;
}

static void
lose_power(int id)
{
	struct broker *b = &w.brokers[id];

	if (!may_lose_power(id))
		return;
	w.sums.power_losses++;
	w.without_power = id;
	broker_end(id, percent(50));
	for (int p = 0; p < PARTITIONS; p++)
		replica_truncate(&b->replicas[p], b->replicas[p].flushed);
	if (w.dir_per_mille > 0 && percent(50)) {
		w.sums.empty_dirs++;
		broker_mend_directories(id, (int)below(DIRS));
	}
	world_trace("broker %d had no power", id);
}

/*
 * The controller in office knows that it is gone, or knows its former life and will see that this
 * one is another.
 */
static bool
may_boot(int id)
{
	int c = w.zk.controller;

	if (w.zk.sessions[id] || c < 0 || !office_serves(c))
		return false;
	for (int p = 0; p < PARTITIONS; p++)
		if (office_knows(c, id) == 0 && !topic_znode_of(p)->to_be_deleted &&
		    members_have(&w.zk.states[p].isr, id))
			return false;
	return true;
}

/* It has booted, and the controller has seen it. */
static void
notice_power(void)
{
	int id = w.without_power;

	if (id >= 0 && w.brokers[id].runs && w.zk.controller >= 0 &&
	    office_knows(w.zk.controller, id) == w.brokers[id].epoch)
		w.without_power = -1;
}

/* Processes that are not there come back. */
static void
bring_back(int id, uint32_t chance)
{
	if (w.brokers[id].runs || !percent(chance))
		return;
	broker_expire(id);
	if (w.without_power != id || may_boot(id))
		broker_start(id);
}

static void
end_a_process(int id)
{
	struct broker *b = &w.brokers[id];

	if (!b->runs || w.without_power >= 0)
		return;
	if (percent(60)) {
		w.sums.crashes++;
		broker_end(id, percent(50));
	} else if (percent(50)) {
		b->stops = true;
	} else {
		b->stands_still = true;
	}
}

static void
expire_sessions(void)
{
	for (int id = 0; id < w.broker_count; id++) {
		const struct broker *b = &w.brokers[id];
		bool silent = !b->runs || b->stands_still || b->cut_from_ensemble;

		if (w.without_power < 0 && (silent ? percent(5) : below(2000) == 0))
			broker_expire(id);
	}
}

static void
cut_links(void)
{
	int a = (int)below((uint32_t)w.broker_count), b = (int)below((uint32_t)w.broker_count);

	if (percent(2) && a != b)
		w.cut[a][b] = w.cut[b][a] = true;
	if (percent(10))
		w.cut[a][b] = w.cut[b][a] = false;
	if (percent(1))
		w.brokers[a].cut_from_ensemble = true;
	if (percent(10))
		w.brokers[b].cut_from_ensemble = false;
}

static void
chaos(void)
{
	int id = (int)below((uint32_t)w.broker_count);

	if (percent(2))
		end_a_process(id);
	if (below(1000) < 5)
		lose_power(id);
	if (percent(20))
		w.brokers[id].stands_still = false;
	bring_back(id, 15);
	expire_sessions();
	cut_links();
	if (percent(8))
		call_break();
	if (below(1000) < 4 && w.zk.controller >= 0 && w.without_power < 0)
		ensemble_vacate(); /* somebody deleted the node */
	if (w.brokers[id].runs && w.without_power < 0 && below(1000) < w.dir_per_mille)
		broker_fail_directory(id, (int)below(DIRS));
	operator_turn(id);
}

/* ---- quiet ---- */

/* Whoever could be told has deleted what is not his. */
static bool
is_tidy(int partition)
{
	for (int id = 0; id < w.broker_count; id++)
		if (world_is_outside(id, partition) && !w.truths[partition].strays[id])
			return false;
	return true;
}

static bool
is_complete(int partition)
{
	const struct state_znode *state = &w.zk.states[partition];
	const struct assignment *a = &w.zk.assignments[partition];
	const struct replica *leader;

	if (!topic_znode_of(partition)->exists)
		return !topic_znode_of(partition)->to_be_deleted;
	if (topic_znode_of(partition)->to_be_deleted || a->adding.count > 0 ||
	    a->removing.count > 0 || !state->exists || state->leader < 0 ||
	    state->isr.count != a->replicas.count || !broker_leads(state->leader, partition))
		return false;
	leader = &w.brokers[state->leader].replicas[partition];
	if (!members_are_same(&leader->members, &a->replicas))
		return false;
	for (int32_t i = 0; i < a->replicas.count; i++) {
		const struct replica *r = &w.brokers[a->replicas.ids[i]].replicas[partition];

		if (!r->exists || r->end != leader->end || r->high_watermark != r->end ||
		    r->leader_epoch != state->leader_epoch)
			return false;
		HOLDS(memcmp(r->log, leader->log, (size_t)r->end * sizeof(*r->log)) == 0);
	}
	return true;
}

static bool
is_quiet(void)
{
	for (int id = 0; id < w.broker_count; id++)
		if (!w.brokers[id].runs || w.brokers[id].stops || w.brokers[id].pending_count > 0)
			return false;
	for (int p = 0; p < PARTITIONS; p++)
		if (!is_complete(p) || !is_tidy(p))
			return false;
	return !w.zk.moves_asked && !w.zk.elections_asked;
}

/*
 * An operator takes away what a broker should have deleted; and starts it again, which it also
 * takes to try again what its disk refused.
 */
static void
tend(int id)
{
	bool goes_on = true;

	if (!w.brokers[id].runs)
		return;
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &w.brokers[id].replicas[p];
		bool is_stray = w.truths[p].strays[id] && world_is_outside(id, p);

		if (!is_stray && !(r->exists && topic_znode_of(p)->to_be_deleted))
			continue;
		if (goes_on)
			broker_end(id, true);
		goes_on = false;
		if (is_stray)
			replica_delete(r);
		w.sums.strays += is_stray;
	}
}

static void
take_turn(void)
{
	int id = (int)below((uint32_t)w.broker_count);

	w.now_ms += below(300) == 0 ? LAG_MAX_MS : below(8);
	if (w.brokers[id].runs && !w.brokers[id].stands_still)
		broker_turn(id);
	notice_power();
	world_check();
	w.sums.turns++;
}

void
world_go_on(void)
{
	take_turn();
	chaos();
	world_check();
}

static void
trace_state(void)
{
	for (int id = 0; id < w.broker_count; id++) {
		const struct broker *b = &w.brokers[id];

		world_trace("broker %d: runs %d stops %d office %d of %d follows controller %d", id,
			    b->runs, b->stops, office_serves(id), office_epoch(id), b->controller);
		for (int p = 0; p < PARTITIONS; p++) {
			const struct replica *r = &b->replicas[p];

			world_trace("  p%d: leader %d epoch %d version %d end %lld "
				    "high watermark %lld fetches %d change %d given up %d",
				    p, r->leader, r->leader_epoch, r->partition_epoch,
				    (long long)r->end, (long long)r->high_watermark, r->fetches,
				    r->isr.change, r->given_up == r->isr.proposal_epoch);
		}
	}
}

/*
 * Led by somebody, unless there is nobody in the ISR whose directory works; or who should lead has
 * a stray of a former topic in its way.
 */
static bool
is_served(int partition)
{
	const struct state_znode *state = &w.zk.states[partition];
	bool any_can = false;

	if (!topic_znode_of(partition)->exists || topic_znode_of(partition)->to_be_deleted)
		return true;
	for (int32_t i = 0; state->exists && i < state->isr.count; i++) {
		int id = state->isr.ids[i];
		const struct broker *b = &w.brokers[id];
		const struct replica *r = &b->replicas[partition];

		if (world_is_outside(id, partition))
			return true;
		any_can = any_can || !b->runs || (r->exists && !b->failed[r->dir]);
	}
	return !any_can || (state->leader >= 0 && broker_leads(state->leader, partition));
}

/* Directories that have failed are replaced, once everybody who can leads in their place. */
static void
replace_directories(void)
{
	for (int turns = 0, served = 0; served < PARTITIONS; turns++) {
		HOLDS(turns < CALM_TURNS);
		bring_back((int)below((uint32_t)w.broker_count), 20);
		take_turn();
		for (served = 0; served < PARTITIONS && is_served(served);)
			served++;
	}
	for (int id = 0; id < w.broker_count; id++)
		if (w.brokers[id].runs && (w.brokers[id].failed[0] || w.brokers[id].failed[1]))
			broker_end(id, true);
}

static void
calm_down(void)
{
	w.calm = true;
	memset(w.cut, 0, sizeof(w.cut));
	for (int id = 0; id < w.broker_count; id++)
		w.brokers[id].stands_still = w.brokers[id].cut_from_ensemble = false;
	replace_directories();
	for (int turns = 0; !is_quiet(); turns++) {
		if (turns == CALM_TURNS - 1)
			trace_state();
		HOLDS(turns < CALM_TURNS);
		bring_back((int)below((uint32_t)w.broker_count), 20);
		if (turns % TEND_TURNS == TEND_TURNS - 1)
			tend(turns / TEND_TURNS % w.broker_count);
		take_turn();
	}
	w.calm = false;
}

/* ---- a world ---- */

static void
begin_world(uint64_t seed, bool trace)
{
	struct sums sums = w.sums;

	memset(&w, 0, sizeof(w));
	w.sums = sums;
	w.seed = seed;
	w.random = seed * 0x2545f4914f6cdd1dULL;
	w.now_ms = 1;
	w.trace = trace;
	w.without_power = w.zk.controller = -1;
	w.broker_count = 3 + (int)below(BROKERS - 2);
	w.topic_count = 1 + (int)below(TOPICS);
	w.min_insync_replicas = 1 + (int)below(2);
	w.crash_per_mille = (int)below(3) * 15;
	w.command_percent = percent(50) ? 80 : percent(50) ? 20 : 5;
	w.elect_percent = percent(50) ? 1 : 5;
	w.unclean_percent = percent(70) ? 0 : percent(50) ? 50 : 100;
	w.move_per_mille = percent(30) ? 0 : percent(50) ? 15 : 60;
	w.disk_per_mille = below(2) * 50;
	w.wait_per_mille = (int)below(3) * 15;
	w.dir_per_mille = percent(60) ? 0 : percent(50) ? 2 : 8;
	w.delete_per_mille = percent(50) ? 0 : percent(50) ? 2 : 8;
	ensemble_open(world_env());
	for (int t = 0; t < w.topic_count; t++)
		ensemble_create_topic(t);
	for (int id = 0; id < w.broker_count; id++)
		broker_start(id);
}

static void
run_world(uint64_t seed, bool trace)
{
	begin_world(seed, trace);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CHAOS_TURNS; i++)
			world_go_on();
		calm_down();
	}
	for (int id = 0; id < w.broker_count; id++)
		broker_forget(id);
	ensemble_close();
	HOLDS(diag_count(DIAG_ERROR) == 0);
}

static void
begin_process(bool trace)
{
	struct properties settings = {0};
	struct broker_conf *conf;
	struct buf errors = {0};

	for (int room = 0; room < DIAG_ROOM_COUNT; room++)
		diag_set_level(room, trace ? DIAG_INFO : DIAG_ERROR);
	HOLDS(properties_set(&settings, "zookeeper.connect", "h:2181") == 0);
	HOLDS(broker_conf_build(&settings, NULL, NULL, &errors, &conf) == 0);
	properties_fini(&settings);
	conf_store_init(&w_conf, conf);
}

static void
print_sums(uint64_t worlds, const struct sums *sums)
{
	printf("%" PRIu64 " worlds: %" PRIu64 " turns, %" PRIu64 " acknowledged, %" PRIu64
	       " controllers, %" PRIu64 " crashes, %" PRIu64 " without power\n",
	       worlds, sums->turns, sums->acknowledged, sums->offices, sums->crashes,
	       sums->power_losses);
	printf("%" PRIu64 " changes of leader, %" PRIu64 " unclean, %" PRIu64
	       " proposals to shrink, %" PRIu64 " to expand, %" PRIu64 " logs cut back, %" PRIu64
	       " commands refused by their epochs\n",
	       sums->elections, sums->unclean_elections, sums->shrinks, sums->expands,
	       sums->truncated, sums->refusals);
	printf("%" PRIu64 " log directories failed, %" PRIu64 " came back empty\n",
	       sums->failed_dirs, sums->empty_dirs);
	printf("%" PRIu64 " reassignments asked for, %" PRIu64 " by znode, %" PRIu64
	       " cancelled, %" PRIu64 " ended; %" PRIu64 " topics made, %" PRIu64
	       " deleted; %" PRIu64 " deletions failed, %" PRIu64 " strays; %" PRIu64
	       " waits for the ensemble, %" PRIu64 " conflicts, %" PRIu64 " writes fenced\n",
	       sums->moves_asked, sums->moves_asked_by_znode, sums->moves_cancelled,
	       sums->moves_ended, sums->topics_created, sums->topics_deleted,
	       sums->failed_deletions, sums->strays, sums->waits, sums->conflicts, sums->fenced);
}

int
main(int argc, char **argv)
{
	uint64_t first = 1, count = SEEDS_DEFAULT;
	bool trace = false;

	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
			first = strtoull(argv[++i], NULL, 10);
			count = 1;
		} else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
			count = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--trace") == 0) {
			trace = true;
		} else {
			fprintf(stderr, "usage: replication_sim [--seed N] [--seeds COUNT] "
					"[--trace]\n");
			return 2;
		}
	}
	begin_process(trace);
	for (uint64_t seed = first; seed < first + count; seed++)
		run_world(seed, trace);
	conf_store_fini(&w_conf);
	print_sums(count, &w.sums);
	return 0;
}
