/*
 * What operators want: partitions elsewhere, or back again; topics gone, or there; other leaders.
 * By the calls that AlterPartitionReassignments, ElectLeaders, CreateTopics and DeleteTopics make.
 */
#include "tests/sim/replication_world.h"

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

/* Who loses power must not end up alone: see replication_sim.c. */
static struct members
choose_target(void)
{
	uint32_t kind = below(10);

	return choose(kind == 0 && w.without_power < 0 ? 1 : kind < 4 ? 2 : 3);
}

static void
reassign(int id, int partition)
{
	struct office *o = &w.brokers[id].office;
	const char *topic = topic_name(topic_of(partition));
	struct members target = choose_target();
	struct effects fx;

	if (controller_state_reassign(o->cs, topic, number_of(partition), target.ids, target.count,
				      true) != 0)
		return;
	world_trace("p%d shall go to %s", partition, members_text(&target));
	w.sums.moves_asked++;
	o->wanted[partition] = target;
	effects_init(&fx);
	office_carry_out(id, &fx);
}

static void
cancel(int id, int partition)
{
	struct office *o = &w.brokers[id].office;
	const char *topic = topic_name(topic_of(partition));
	struct effects fx;

	if (controller_state_reassign(o->cs, topic, number_of(partition), NULL, -1, true) != 0)
		return;
	world_trace("p%d shall stay", partition);
	w.sums.moves_cancelled++;
	o->wanted[partition] = w.truths[partition].settled;
	effects_init(&fx);
	office_carry_out(id, &fx);
}

/* ---- elections ---- */

static void
elect(int id, bool unclean)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;
	int asked = 0;

	effects_init(&fx);
	for (int p = 0; p < PARTITIONS; p++)
		if (!unclean || topic_znode_of(p)->unclean)
			asked += controller_state_elect(o->cs, topic_name(topic_of(p)),
							number_of(p), unclean, &fx) == 0;
	world_trace("other leaders are wanted: %d", asked);
	office_carry_out(id, &fx);
}

void
operator_turn(int id)
{
	const struct office *o = &w.brokers[id].office;

	create_or_delete();
	if (o->stage != OFFICE_SERVES || o->waits)
		return;
	if (percent(w.elect_percent))
		elect(id, percent(20));
	else if (below(1000) < w.move_per_mille)
		reassign(id, (int)below(PARTITIONS));
	else if (below(1000) < w.move_per_mille / 2)
		cancel(id, (int)below(PARTITIONS));
}
