/*
 * The deletion of topics. A topic is queued by its znode; once nothing hinders it all brokers are
 * told that it goes, and each broker with a replica to delete that. When the last has done so the
 * znodes go.
 *
 *  - A reassignment of one of its partitions hinders it until that is over.
 *  - A replica on a broker that is not there, or whose deletion failed, is tried again when a
 *    broker with a replica of the topic starts.
 *
 * Kafka: TopicDeletionManager.
 */
#include "controller/controller_model.h"

/* True when all replicas of the topic have been deleted. */
static bool
is_complete(const struct model_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct model_partition *p = t->partitions[i];

		for (int32_t r = 0; p != NULL && r < p->replicas.count; r++)
			if (!ids_have(&p->deleted, p->replicas.items[r]))
				return false;
	}
	return true;
}

static void
complete(struct model_topic *t, struct effects *fx)
{
	if (t->deletion_started && is_complete(t))
		effects_add(fx, EFFECT_DELETE_TOPIC)->topic = effects_text(fx, t->name);
}

/* Tells the brokers that are there and have not been told. */
static void
delete_replicas(struct controller_state *cs, struct model_partition *p)
{
	for (int32_t i = 0; i < p->replicas.count; i++) {
		int32_t id = p->replicas.items[i];

		if (model_broker(cs, id) == NULL || ids_have(&p->deleted, id) ||
		    ids_have(&p->deleting, id))
			continue;
		ids_add(&p->deleting, id);
		model_stop(cs, p, id, true);
	}
}

static bool
is_hindered(const struct model_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct model_partition *p = t->partitions[i];

		if (p != NULL && (p->reassigning || p->begin || p->end))
			return true;
	}
	return false;
}

void
model_resume_deletion(struct controller_state *cs, struct model_topic *t, struct effects *fx)
{
	if (!t->queued_for_deletion || (!t->deletion_started && is_hindered(t)))
		return;
	for (int32_t i = 0; i < t->partition_count; i++) {
		if (t->partitions[i] == NULL)
			continue;
		if (!t->deletion_started)
			model_announce_metadata(cs, t->partitions[i]);
		delete_replicas(cs, t->partitions[i]);
	}
	if (!t->deletion_started)
		t->deletion = ++cs->deletions;
	t->deletion_started = true;
	complete(t, fx); /* a topic without replicas */
}

/* Who is gone, or is back without knowing anything, has not been told. True: one is back. */
static bool
forget_told(const struct controller_state *cs, struct model_topic *t)
{
	bool back = false;

	for (int32_t i = 0; i < t->partition_count; i++) {
		struct model_partition *p = t->partitions[i];

		for (int32_t r = 0; p != NULL && r < p->replicas.count; r++) {
			const struct model_broker *b = model_broker(cs, p->replicas.items[r]);

			if (b == NULL || b->is_new)
				ids_remove(&p->deleting, p->replicas.items[r]);
			back = back || (b != NULL && b->is_new);
		}
	}
	return back;
}

void
model_resume_deletions(struct controller_state *cs, struct effects *fx)
{
	struct map_iter iter = {0};
	struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (t->queued_for_deletion && forget_told(cs, t))
			model_resume_deletion(cs, t, fx);
}

void
controller_state_delete(struct controller_state *cs, const char *topic, struct effects *fx)
{
	struct model_topic *t = model_topic(cs, topic);

	if (t == NULL) {
		effects_add(fx, EFFECT_DELETE_REQUEST)->topic = effects_text(fx, topic);
		return;
	}
	if (t->queued_for_deletion)
		return;
	t->queued_for_deletion = true;
	cs->counts.topics_to_delete++;
	model_count_topic(cs, t);
	model_resume_deletion(cs, t, fx);
}

void
controller_state_replica_deleted(struct controller_state *cs, const char *topic, int32_t partition,
				 int32_t broker_id, uint64_t deletion, bool success,
				 struct effects *fx)
{
	struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL || !p->topic->deletion_started || !ids_have(&p->deleting, broker_id))
		return;
	/* Sent before that began: it was about a replica that had moved away, or a former topic. */
	if (deletion < p->topic->deletion)
		return;
	ids_remove(&p->deleting, broker_id);
	if (!success)
		return;
	ids_add(&p->deleted, broker_id);
	complete(p->topic, fx);
}
