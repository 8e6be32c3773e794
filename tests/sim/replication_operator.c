/*
 * What operators want: partitions elsewhere, or back again; topics gone, or there; other leaders.
 * By AlterPartitionReassignments and ElectLeaders as the controller takes them, and by the znodes
 * that CreateTopics, DeleteTopics and tools of old write.
 */
#include "tests/sim/replication_world.h"

#include "wire/generated/alter_partition_reassignments.h"

#define ARENA_BYTES ((size_t)1 << 20)

/* ---- topics ---- */

static struct members
choose(int32_t count)
{
	struct members m = {.count = 0};

	while (m.count < count && m.count < w.broker_count) {
		int32_t id = (int32_t)below((uint32_t)w.broker_count);

		if (!members_have(&m, id))
			m.ids[m.count++] = id;
	}
	return m;
}

struct members
operator_places(void)
{
	return choose(percent(80) ? 3 : 2);
}

static void
create_or_delete(void)
{
	int topic = (int)below((uint32_t)w.topic_count);

	if (!w.zk.topics[topic].exists) {
		if (percent(10))
			ensemble_create_topic(topic);
	} else if (below(1000) < w.delete_per_mille) {
		ensemble_ask_to_delete(topic);
	}
}

/* ---- reassignment ---- */

static struct members
choose_target(void)
{
	uint32_t kind = below(10);

	return choose(kind == 0 ? 1 : kind < 4 ? 2 : 3);
}

/* target NULL: back to where it was. False: refused. */
static bool
ask_controller(int id, int partition, struct members *target)
{
	struct reassignable_partition p = {.partition_index = number_of(partition),
					   .replicas = target == NULL ? NULL : target->ids,
					   .replicas_count = target == NULL ? -1 : target->count};
	struct reassignable_topic topic = {.name = str_of(topic_name(topic_of(partition))),
					   .partitions = &p,
					   .partitions_count = 1};
	struct alter_partition_reassignments_request req = {.topics = &topic, .topics_count = 1};
	struct alter_partition_reassignments_response resp;
	struct controller *c = process_enter(id);
	struct arena arena;
	bool done;

	arena_init(&arena, ARENA_BYTES);
	controller_alter_reassignments(c, &req, &arena, &resp);
	done = resp.error_code == 0 && resp.responses->partitions->error_code == 0;
	arena_fini(&arena);
	process_leave(c);
	return done;
}

static void
reassign(int id, int partition)
{
	struct members target = choose_target();

	world_trace("p%d shall go to %s", partition, members_text(&target));
	w.brokers[id].wanted[partition] = target;
	w.sums.moves_asked += ask_controller(id, partition, &target);
}

static void
cancel(int id, int partition)
{
	world_trace("p%d shall stay", partition);
	w.brokers[id].wanted[partition] = w.truths[partition].settled;
	w.sums.moves_cancelled += ask_controller(id, partition, NULL);
}

/* Some of the partitions, whether their topics are there or not. */
static void
ask_by_znode(void)
{
	struct members targets[PARTITIONS] = {0};

	if (w.zk.moves_asked) {
		if (percent(10)) /* what has begun goes on */
			ensemble_stop_asking_to_move();
		return;
	}
	for (int p = 0; p < PARTITIONS; p++)
		if (percent(70))
			targets[p] = choose_target();
	ensemble_ask_to_move(targets);
}

/* ---- elections ---- */

static void
elect(int id, bool unclean)
{
	struct controller_election elections[PARTITIONS];
	struct controller *c = process_enter(id);
	size_t count = 0;

	for (int p = 0; p < PARTITIONS; p++)
		if (!unclean || topic_znode_of(p)->unclean)
			elections[count++] = (struct controller_election){
			    .topic = topic_name(topic_of(p)), .partition = number_of(p)};
	world_trace("other leaders are wanted");
	controller_elect_leaders(c, elections, count, unclean);
	process_leave(c);
}

void
operator_turn(int id)
{
	create_or_delete();
	if (w.without_power < 0 && below(5000) < w.move_per_mille)
		ask_by_znode();
	if (below(1000) < w.elect_percent)
		ensemble_ask_to_elect();
	if (!office_serves(id) || w.brokers[id].cut_from_ensemble)
		return;
	if (percent(w.elect_percent))
		elect(id, percent(20));
	else if (w.without_power >= 0)
		return; /* who lost power must not end up alone: see replication_sim.c */
	else if (below(1000) < w.move_per_mille)
		reassign(id, (int)below(PARTITIONS));
	else if (below(1000) < w.move_per_mille / 2)
		cancel(id, (int)below(PARTITIONS));
}
