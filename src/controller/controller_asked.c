/*
 * What brokers ask of the controller: AlterPartition and ControlledShutdown, as decisions.
 *
 * Kafka: KafkaController.tryProcessAlterPartition, doControlledShutdown.
 */
#include "controller/controller_model.h"
#include "wire/kerr.h"

static struct model_partition *
find(const struct controller_state *cs, const struct uuid *topic_id, int32_t number)
{
	const struct model_topic *t = model_topic_by_id(cs, topic_id);

	return t == NULL || number < 0 || number >= t->partition_count ? NULL
								       : t->partitions[number];
}

/* ---- AlterPartition ---- */

int
controller_state_check_broker(const struct controller_state *cs, int32_t broker_id,
			      int64_t broker_epoch)
{
	const struct model_broker *b = model_broker(cs, broker_id);

	return b != NULL && b->epoch == broker_epoch ? 0 : K_STALE_BROKER_EPOCH;
}

static bool
is_so_already(const struct model_partition *p, int32_t broker_id,
	      const struct controller_leadership *wanted)
{
	struct ids isr = {(int32_t *)(uintptr_t)wanted->isr, wanted->isr_count};

	return p->leader == broker_id && p->leader_epoch == wanted->leader_epoch &&
	       p->recovering == wanted->recovering && ids_equal(&p->isr, &isr);
}

/*
 * A member in another life than the leader speaks of may have less than it had (KIP-903). One that
 * we have not seen yet is known to a later controller.
 */
static int
check_epoch(const struct controller_state *cs, int32_t broker_id, int64_t epoch)
{
	const struct model_broker *b = model_broker(cs, broker_id);

	if (epoch == -1 || b == NULL || b->epoch == epoch)
		return 0;
	return epoch > b->epoch ? K_NOT_CONTROLLER : K_INELIGIBLE_REPLICA;
}

/* In Kafka's order: the first that matches. */
static int
check(const struct controller_state *cs, const struct model_partition *p,
      const struct controller_leadership *wanted)
{
	if (wanted->partition_epoch < p->partition_epoch)
		return K_INVALID_UPDATE_VERSION;
	if (wanted->recovering && (wanted->isr_count > 1 || !p->recovering))
		return K_INVALID_REQUEST;
	for (int32_t i = 0; i < wanted->isr_count; i++)
		if (!model_replica_is_eligible(cs, p, wanted->isr[i]) ||
		    !ids_have(&p->replicas, wanted->isr[i]))
			return K_INELIGIBLE_REPLICA;
	for (int32_t i = 0; wanted->isr_epochs != NULL && i < wanted->isr_count; i++) {
		int st = check_epoch(cs, wanted->isr[i], wanted->isr_epochs[i]);

		if (st != 0)
			return st;
	}
	return wanted->isr_count == 0 ? K_INVALID_REQUEST : 0;
}

int
controller_state_alter_partition(struct controller_state *cs, int32_t broker_id,
				 const struct uuid *topic_id, int32_t partition,
				 const struct controller_leadership *wanted, struct effects *fx)
{
	struct ids isr = {(int32_t *)(uintptr_t)wanted->isr, wanted->isr_count};
	struct model_partition *p;
	int st;

	if (model_topic_by_id(cs, topic_id) == NULL)
		return K_UNKNOWN_TOPIC_ID;
	p = find(cs, topic_id, partition);
	if (p == NULL || !p->has_leadership)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	if (wanted->partition_epoch > p->partition_epoch || wanted->leader_epoch > p->leader_epoch)
		return K_NOT_CONTROLLER; /* somebody else knows more */
	if (wanted->leader_epoch < p->leader_epoch)
		return K_FENCED_LEADER_EPOCH;
	if (is_so_already(p, broker_id, wanted))
		return 0;
	if (p->leader != broker_id)
		return K_INVALID_REQUEST;
	st = check(cs, p, wanted);
	if (st == 0 && p->proposed) /* twice in one request */
		st = K_INVALID_UPDATE_VERSION;
	if (st == 0)
		model_propose_isr(cs, p, &isr, wanted->recovering, fx);
	return st;
}

bool
controller_state_leadership(const struct controller_state *cs, const struct uuid *topic_id,
			    int32_t partition, struct controller_leadership *ret_leadership)
{
	const struct model_partition *p = find(cs, topic_id, partition);

	if (p == NULL || !p->has_leadership)
		return false;
	*ret_leadership = (struct controller_leadership){
	    .leader = p->leader,
	    .leader_epoch = p->leader_epoch,
	    .controller_epoch = p->controller_epoch,
	    .isr = p->isr.items,
	    .isr_count = p->isr.count,
	    .recovering = p->recovering,
	    .partition_epoch = p->partition_epoch,
	};
	return true;
}

/* ---- ControlledShutdown ---- */

/* One partition with a replica on a broker that is about to go. */
static void
move_away(struct controller_state *cs, struct model_partition *p, int32_t broker_id,
	  struct effects *fx)
{
	struct ids isr = {0};

	if (p->leader == broker_id) {
		isr = model_eligible_of(cs, p, &p->isr);
		if (isr.count > 0)
			model_propose(cs, p, isr.items[0], &isr, p->recovering, fx);
	} else {
		model_stop(cs, p, broker_id, false);
		ids_set(&isr, p->isr.items, p->isr.count);
		ids_remove(&isr, broker_id);
		if (isr.count > 0 && isr.count < p->isr.count)
			model_propose(cs, p, p->leader, &isr, p->recovering, fx);
	}
	ids_fini(&isr);
}

int
controller_state_shut_down(struct controller_state *cs, int32_t broker_id, int64_t broker_epoch,
			   struct effects *fx)
{
	struct model_broker *b = (struct model_broker *)(uintptr_t)model_broker(cs, broker_id);
	struct map_iter iter = {0};
	struct model_topic *t;

	if (b == NULL)
		return K_BROKER_NOT_AVAILABLE;
	if (broker_epoch != -1 && broker_epoch < b->epoch)
		return K_STALE_BROKER_EPOCH;
	b->shutting_down = true;
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; !t->queued_for_deletion && i < t->partition_count; i++) {
			struct model_partition *p = t->partitions[i];

			if (p != NULL && p->has_leadership && !p->proposed &&
			    p->replicas.count > 1 && ids_have(&p->replicas, broker_id))
				move_away(cs, p, broker_id, fx);
		}
	return 0;
}

void
controller_state_each_led(const struct controller_state *cs, int32_t broker_id,
			  void (*fn)(void *arg, const char *topic, int32_t partition), void *arg)
{
	struct map_iter iter = {0};
	const struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; !t->queued_for_deletion && i < t->partition_count; i++) {
			const struct model_partition *p = t->partitions[i];

			if (p != NULL && p->has_leadership && p->replicas.count > 1 &&
			    p->leader == broker_id)
				fn(arg, t->name, p->number);
		}
}
