/*
 * What operators count: partitions without a leader, led by another than they prefer, elections.
 * Each partition remembers how it was counted, so that an event corrects only what it changes.
 */
#include <stdlib.h>

#include "controller/controller_model.h"

/* Without a leader that lives, though somebody may want it. */
static bool
is_offline(const struct controller_state *cs, const struct model_partition *p)
{
	return !p->topic->queued_for_deletion &&
	       (p->leader < 0 || !model_replica_is_online(cs, p, p->leader));
}

static bool
is_imbalanced(const struct model_partition *p)
{
	return p->replicas.count > 0 && p->leader >= 0 && p->leader != p->replicas.items[0];
}

void
model_count(struct controller_state *cs, struct model_partition *p)
{
	struct controller_counts *n = &cs->counts;
	bool offline = is_offline(cs, p), imbalanced = is_imbalanced(p);

	if (offline && !p->counted_offline)
		p->offline_since_ms = cs->now_ms;
	n->partitions += !p->counted;
	n->offline_partitions += (size_t)offline - (size_t)p->counted_offline;
	n->preferred_imbalance += (size_t)imbalanced - (size_t)p->counted_imbalance;
	p->counted = true;
	p->counted_offline = offline;
	p->counted_imbalance = imbalanced;
}

void
model_count_topic(struct controller_state *cs, struct model_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		if (t->partitions[i] != NULL)
			model_count(cs, t->partitions[i]);
}

void
model_uncount(struct controller_state *cs, struct model_partition *p)
{
	cs->counts.partitions -= p->counted;
	cs->counts.offline_partitions -= p->counted_offline;
	cs->counts.preferred_imbalance -= p->counted_imbalance;
	p->counted = p->counted_offline = p->counted_imbalance = false;
}

void
model_count_election(struct controller_state *cs, const struct model_partition *p)
{
	if (!p->has_leadership || p->proposed_leader < 0 || p->proposed_leader == p->leader)
		return;
	cs->counts.elections++;
	cs->counts.unclean_elections += !ids_have(&p->isr, p->proposed_leader);
}

void
controller_state_count(const struct controller_state *cs, struct controller_counts *ret_counts)
{
	*ret_counts = cs->counts;
	ret_counts->topics = cs->topics.count;
	ret_counts->brokers = cs->broker_count;
}

void
controller_state_recount(const struct controller_state *cs, struct controller_counts *ret_counts)
{
	struct controller_counts n = {.topics = cs->topics.count,
				      .brokers = cs->broker_count,
				      .elections = cs->counts.elections,
				      .unclean_elections = cs->counts.unclean_elections};
	struct map_iter iter = {0};
	const struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL) {
		n.topics_to_delete += t->queued_for_deletion;
		for (int32_t i = 0; i < t->partition_count; i++) {
			const struct model_partition *p = t->partitions[i];

			if (p == NULL)
				continue;
			n.partitions++;
			n.offline_partitions += is_offline(cs, p);
			n.preferred_imbalance += is_imbalanced(p);
		}
	}
	*ret_counts = n;
}

/* ---- what is offline ---- */

static enum missing_reason
reason_of(const struct controller_state *cs, const struct model_partition *p, int32_t broker_id)
{
	if (model_broker(cs, broker_id) == NULL)
		return MISSING_NOT_REGISTERED;
	if (ids_have(&p->offline_dirs, broker_id))
		return MISSING_DIRECTORY_OFFLINE;
	return ids_have(&p->isr, broker_id) ? MISSING_UNKNOWN : MISSING_NOT_IN_ISR;
}

static void
tell_offline(const struct controller_state *cs, const struct model_partition *p,
	     controller_offline_fn *fn, void *arg)
{
	enum missing_reason *reasons = calloc((size_t)p->replicas.count + 1, sizeof(*reasons));

	if (reasons == NULL)
		abort();
	for (int32_t i = 0; i < p->replicas.count; i++)
		reasons[i] = reason_of(cs, p, p->replicas.items[i]);
	fn(arg, &(struct controller_offline){
		    .topic = p->topic->name,
		    .partition = p->number,
		    .leader_epoch = p->leader_epoch,
		    .since_ms = p->offline_since_ms,
		    .unclean = p->topic->unclean,
		    .replicas = p->replicas.items,
		    .replica_count = p->replicas.count,
		    .isr = p->isr.items,
		    .isr_count = p->isr.count,
		    .reasons = reasons,
		});
	free(reasons);
}

void
controller_state_each_offline(const struct controller_state *cs, controller_offline_fn *fn,
			      void *arg)
{
	struct map_iter iter = {0};
	const struct model_topic *t;

	while (cs->counts.offline_partitions > 0 && (t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; i < t->partition_count; i++)
			if (t->partitions[i] != NULL && t->partitions[i]->counted_offline)
				tell_offline(cs, t->partitions[i], fn, arg);
}
