/*
 * Elections that somebody asks for: ElectLeaders, its znode, and the automatic balance. Their
 * partitions have a leader already, or none that could be had without loss.
 *
 * Kafka: KafkaController.processReplicaLeaderElection, checkAndTriggerAutoLeaderRebalance.
 */
#include <stdlib.h>

#include "controller/controller_model.h"
#include "wire/kerr.h"

/* The ISR stays as it is. */
static int
elect_preferred(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	int32_t preferred = p->replicas.items[0];

	if (!ids_have(&p->isr, preferred) || !model_replica_is_eligible(cs, p, preferred))
		return K_PREFERRED_LEADER_NOT_AVAILABLE;
	model_propose(cs, p, preferred, &p->isr, p->recovering, fx);
	return 0;
}

static int
elect_unclean(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	if (p->leader >= 0 && model_replica_is_online(cs, p, p->leader))
		return K_ELECTION_NOT_NEEDED;
	model_elect(cs, p, true, fx);
	return p->proposed && p->proposed_leader >= 0 ? 0 : K_ELIGIBLE_LEADERS_NOT_AVAILABLE;
}

int
controller_state_elect(struct controller_state *cs, const char *topic, int32_t partition,
		       bool unclean, struct effects *fx)
{
	struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL || p->replicas.count == 0)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	if (p->topic->queued_for_deletion)
		return K_INVALID_TOPIC_EXCEPTION;
	if (!p->has_leadership)
		return unclean ? K_ELIGIBLE_LEADERS_NOT_AVAILABLE
			       : K_PREFERRED_LEADER_NOT_AVAILABLE;
	if (p->proposed) /* named twice */
		return K_ELECTION_NOT_NEEDED;
	if (unclean)
		return elect_unclean(cs, p, fx);
	return p->leader == p->replicas.items[0] ? K_ELECTION_NOT_NEEDED
						 : elect_preferred(cs, p, fx);
}

/* Partitions by the broker that they prefer. */
struct balance {
	int32_t broker_id;
	size_t count, elsewhere;
};

static struct balance *
find_balance(struct balance *balances, size_t count, int32_t broker_id)
{
	for (size_t i = 0; i < count; i++)
		if (balances[i].broker_id == broker_id)
			return &balances[i];
	return NULL; /* it is not registered: nothing can be given to it */
}

static void
count_partition(struct balance *balances, size_t count, const struct model_partition *p)
{
	struct balance *b;

	if (p == NULL || p->replicas.count == 0 || p->topic->queued_for_deletion)
		return;
	b = find_balance(balances, count, p->replicas.items[0]);
	if (b == NULL)
		return;
	b->count++;
	b->elsewhere += p->has_leadership && p->leader != b->broker_id;
}

static bool
exceeds(const struct balance *b, int32_t percentage)
{
	return b != NULL && (double)b->elsewhere * 100 > (double)percentage * (double)b->count;
}

size_t
controller_state_balance(struct controller_state *cs, int32_t percentage, struct effects *fx)
{
	struct balance *balances = calloc(cs->broker_count + 1, sizeof(*balances));
	struct map_iter iter = {0}, again = {0};
	struct model_topic *t;
	size_t moved = 0;

	if (balances == NULL)
		abort();
	for (size_t i = 0; i < cs->broker_count; i++)
		balances[i].broker_id = cs->brokers[i].id;
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; i < t->partition_count; i++)
			count_partition(balances, cs->broker_count, t->partitions[i]);
	while ((t = map_next(&cs->topics, &again)) != NULL)
		for (int32_t i = 0; i < t->partition_count; i++) {
			struct model_partition *p = t->partitions[i];

			if (p == NULL || p->replicas.count == 0 || t->queued_for_deletion ||
			    !p->has_leadership || p->proposed ||
			    p->leader == p->replicas.items[0] ||
			    !exceeds(find_balance(balances, cs->broker_count, p->replicas.items[0]),
				     percentage))
				continue;
			moved += elect_preferred(cs, p, fx) == 0;
		}
	free(balances);
	return moved;
}

int32_t
controller_state_leader(const struct controller_state *cs, const char *topic, int32_t partition)
{
	const struct model_partition *p = model_partition(cs, topic, partition);

	return p == NULL || !p->has_leadership ? -1 : p->leader;
}
