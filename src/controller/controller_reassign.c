/*
 * The reassignment of a partition to other brokers, KIP-455. With RS the stored replicas, AR and RR
 * those being added and removed, and the target RS - RR:
 *
 *  U  RS = target, then the others of the origin; the znode of the topic is written. Who was being
 *     added and is wanted no longer goes at once.
 *  A  While the ISR lacks a member of the target: a state with a new leader epoch is written, so
 *     that the leader hears of AR and those begin to fetch.
 *  B  When it has them all: a last state, with a leader and an ISR of the target. RS = target; its
 *     brokers hear of that, those of RR delete their replicas, and then the znode of the topic is
 *     written. It comes last, so that the next controller finds what it needs to do all this again.
 *
 * A cancellation is phase B at once, with those that were being added for RR. Were the znode
 * written before the state, the next controller would see nothing to do, and the leader would go on
 * to count replicas that are none any more.
 *
 * A replica is only deleted once a state without it in the ISR has been written.
 *
 * Kafka: KafkaController.onPartitionReassignment. It takes RR out of the ISR by a write of its own.
 */
#include <stdlib.h>

#include "controller/controller_model.h"
#include "wire/kerr.h"

/* ---- sets ---- */

static struct ids
without(const struct ids *ids, const struct ids *others)
{
	struct ids rest = {0};

	for (int32_t i = 0; i < ids->count; i++)
		if (!ids_have(others, ids->items[i]))
			ids_add(&rest, ids->items[i]);
	return rest;
}

static struct ids
target_of(const struct model_partition *p)
{
	return without(&p->replicas, &p->removing);
}

static bool
is_being_reassigned(const struct model_partition *p)
{
	return p->adding.count > 0 || p->removing.count > 0;
}

/* ---- steps ---- */

static bool
is_complete(const struct model_partition *p)
{
	if (p->going_back || !is_being_reassigned(p))
		return true;
	for (int32_t i = 0; i < p->replicas.count; i++)
		if (!ids_have(&p->removing, p->replicas.items[i]) &&
		    !ids_have(&p->isr, p->replicas.items[i]))
			return false;
	return true;
}

/* The present leader if it stays, else the first of the target that can; -1: none can. */
static int32_t
last_leader(const struct controller_state *cs, const struct model_partition *p,
	    const struct ids *target)
{
	if (ids_have(target, p->leader))
		return p->leader;
	for (int32_t i = 0; i < target->count; i++)
		if (ids_have(&p->isr, target->items[i]) &&
		    model_replica_is_eligible(cs, p, target->items[i]))
			return target->items[i];
	return -1;
}

/* Phase B, as far as the ensemble. False: nobody of the target can lead. */
static bool
propose_last_state(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	struct ids target = target_of(p), isr = without(&p->isr, &p->removing);
	int32_t leader = last_leader(cs, p, &target);

	if (leader >= 0) {
		model_propose(cs, p, leader, &isr, p->recovering, fx);
		p->finishing = true;
	}
	ids_fini(&target);
	ids_fini(&isr);
	return leader >= 0;
}

void
model_reassign_step(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	if (!p->reassigning || (is_complete(p) && propose_last_state(cs, p, fx)))
		return;
	if (p->must_bump)
		model_propose(cs, p, p->leader, &p->isr, p->recovering, fx);
}

static void
finish(struct controller_state *cs, struct model_partition *p)
{
	struct ids target = target_of(p);

	for (int32_t i = 0; i < p->removing.count; i++)
		ids_add(&p->dropped, p->removing.items[i]);
	ids_set(&p->replicas, target.items, target.count);
	ids_fini(&target);
	ids_fini(&p->adding);
	ids_fini(&p->removing);
	p->reassigning = p->must_bump = p->finishing = p->going_back = false;
	p->end = true;
	model_count(cs, p);
	model_list_add(cs, LIST_MOVING, p);
}

void
model_reassign_written(struct controller_state *cs, struct model_partition *p)
{
	if (!p->proposed_by_leader)
		p->must_bump = false;
	if (p->finishing)
		finish(cs, p);
	for (int32_t i = p->dropped.count - 1; i >= 0; i--) {
		int32_t id = p->dropped.items[i];

		if (ids_have(&p->isr, id))
			continue;
		ids_remove(&p->dropped, id);
		model_stop(cs, p, id, true);
	}
	if (p->reassigning)
		model_list_add(cs, LIST_LOOK_AGAIN, p);
}

/* ---- the znode of the topic ---- */

static const int32_t *
copy_ids(struct effects *fx, const struct ids *ids)
{
	int32_t *copy = effects_alloc(fx, ((size_t)ids->count + 1) * sizeof(*copy));

	if (ids->count > 0)
		memcpy(copy, ids->items, (size_t)ids->count * sizeof(*copy));
	return copy;
}

static void
fill_assignment(struct effects *fx, const struct model_partition *p,
		struct controller_assignment *a)
{
	const struct ids *replicas = p->begin ? &p->next_replicas : &p->replicas;
	const struct ids *adding = p->begin ? &p->next_adding : &p->adding;
	const struct ids *removing = p->begin ? &p->next_removing : &p->removing;

	*a = (struct controller_assignment){
	    .partition = p->number,
	    .replicas = copy_ids(fx, replicas),
	    .replica_count = replicas->count,
	    .adding = copy_ids(fx, adding),
	    .adding_count = adding->count,
	    .removing = copy_ids(fx, removing),
	    .removing_count = removing->count,
	};
}

void
model_write_assignments(struct controller_state *cs, bool begin, struct effects *fx)
{
	const struct partition_list *moving = &cs->lists[LIST_MOVING];
	struct model_partition **sorted;
	struct effect *e = NULL;
	size_t count = 0;

	if (moving->count == 0)
		return;
	sorted = effects_alloc(fx, moving->count * sizeof(*sorted));
	for (size_t i = 0; i < moving->count; i++)
		if (!moving->items[i]->writing &&
		    (begin ? moving->items[i]->begin : moving->items[i]->end))
			sorted[count++] = moving->items[i];
	qsort(sorted, count, sizeof(*sorted), model_compare_partitions);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || sorted[i]->topic != sorted[i - 1]->topic) {
			e = effects_add(fx, EFFECT_WRITE_TOPIC);
			e->topic = effects_text(fx, sorted[i]->topic->name);
			e->assignments = effects_alloc(fx, (count - i) * sizeof(*e->assignments));
		}
		sorted[i]->writing = true;
		fill_assignment(fx, sorted[i], &e->assignments[e->assignment_count++]);
	}
}

/* Phase U has been written. */
static void
take_next(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	struct ids dropped = without(&p->replicas, &p->next_replicas);

	for (int32_t i = 0; i < dropped.count; i++)
		ids_add(&p->dropped, dropped.items[i]);
	ids_fini(&dropped);
	for (int32_t i = 0; i < p->next_replicas.count; i++)
		ids_remove(&p->dropped, p->next_replicas.items[i]);
	ids_set(&p->replicas, p->next_replicas.items, p->next_replicas.count);
	ids_set(&p->adding, p->next_adding.items, p->next_adding.count);
	ids_set(&p->removing, p->next_removing.items, p->next_removing.count);
	p->reassigning = p->must_bump = true;
	p->going_back = false;
	model_count(cs, p);
	model_decide(cs, p, fx);
}

static void
partition_written(struct controller_state *cs, struct model_partition *p, int st,
		  struct effects *fx)
{
	bool begin = p->begin;

	p->writing = p->begin = p->end = false;
	model_list_remove(cs, LIST_MOVING, p);
	if (st != 0)
		return; /* not begun; or the next controller finds it once more, and ends it */
	if (begin) {
		take_next(cs, p, fx);
	} else {
		struct effect *e = effects_add(fx, EFFECT_REASSIGNED);

		e->topic = effects_text(fx, p->topic->name);
		e->partition = p->number;
		e->assignments = effects_alloc(fx, sizeof(*e->assignments));
		e->assignment_count = 1;
		fill_assignment(fx, p, e->assignments);
		model_announce_metadata(cs, p);
	}
}

void
controller_state_topic_written(struct controller_state *cs, const char *topic, int st,
			       struct effects *fx)
{
	struct model_topic *t = model_topic(cs, topic);

	for (int32_t i = 0; t != NULL && i < t->partition_count; i++)
		if (t->partitions[i] != NULL && t->partitions[i]->writing)
			partition_written(cs, t->partitions[i], st, fx);
	if (t != NULL)
		model_resume_deletion(cs, t, fx);
}

/* ---- what is asked for ---- */

static bool
is_well_formed(const struct ids *replicas)
{
	for (int32_t i = 0; i < replicas->count; i++) {
		if (replicas->items[i] < 0)
			return false;
		for (int32_t k = 0; k < i; k++)
			if (replicas->items[k] == replicas->items[i])
				return false;
	}
	return replicas->count > 0;
}

/* Those of the target that do not hold the partition as it was must be there. */
static bool
are_live(const struct controller_state *cs, const struct ids *target, const struct ids *origin)
{
	for (int32_t i = 0; i < target->count; i++) {
		const struct model_broker *b = model_broker(cs, target->items[i]);

		if (!ids_have(origin, target->items[i]) && (b == NULL || b->shutting_down))
			return false;
	}
	return true;
}

static void
set_next(struct model_partition *p, const struct ids *target, const struct ids *origin)
{
	ids_set(&p->next_replicas, target->items, target->count);
	for (int32_t i = 0; i < origin->count; i++)
		ids_add(&p->next_replicas, origin->items[i]);
	ids_fini(&p->next_adding);
	ids_fini(&p->next_removing);
	p->next_adding = without(&p->next_replicas, origin);
	p->next_removing = without(&p->next_replicas, target);
}

/* Of the ISR somebody must remain: the records are with nobody else. */
static bool
keeps_isr(const struct model_partition *p)
{
	if (!p->has_leadership)
		return true;
	for (int32_t i = 0; i < p->isr.count; i++)
		if (ids_have(&p->next_replicas, p->isr.items[i]))
			return true;
	return false;
}

/* Without somebody who can lead the state cannot be written: then the znode comes first. */
static bool
can_go_back(const struct controller_state *cs, const struct model_partition *p)
{
	return is_being_reassigned(p) && !p->begin && p->next_adding.count == 0 &&
	       p->next_removing.count == 0 && p->leader >= 0 &&
	       last_leader(cs, p, &p->next_replicas) >= 0;
}

static void
go_back(struct controller_state *cs, struct model_partition *p)
{
	struct ids removing = without(&p->replicas, &p->next_replicas);

	ids_set(&p->replicas, p->next_replicas.items, p->next_replicas.count);
	for (int32_t i = 0; i < removing.count; i++)
		ids_add(&p->replicas, removing.items[i]);
	ids_fini(&p->adding);
	ids_fini(&p->removing);
	p->removing = removing;
	p->reassigning = p->must_bump = p->going_back = true;
	model_list_add(cs, LIST_LOOK_AGAIN, p);
}

static int
begin_move(struct controller_state *cs, struct model_partition *p, const struct ids *target,
	   const struct ids *origin)
{
	set_next(p, target, origin);
	if (!keeps_isr(p))
		return K_INVALID_REPLICA_ASSIGNMENT;
	if (can_go_back(cs, p)) {
		go_back(cs, p);
		return 0;
	}
	if (ids_equal(&p->next_replicas, &p->replicas) && ids_equal(&p->next_adding, &p->adding) &&
	    ids_equal(&p->next_removing, &p->removing)) {
		p->reassigning = p->must_bump = true;
		model_list_add(cs, LIST_LOOK_AGAIN, p);
	} else {
		p->begin = true;
		model_list_add(cs, LIST_MOVING, p);
	}
	return 0;
}

int
controller_state_reassign(struct controller_state *cs, const char *topic, int32_t partition,
			  const int32_t *replicas, int32_t count, bool check_live)
{
	struct model_partition *p = model_partition(cs, topic, partition);
	struct ids target = {(int32_t *)(uintptr_t)replicas, count}, origin = {0};
	int st = 0;

	if (count >= 0 && !is_well_formed(&target))
		return K_INVALID_REPLICA_ASSIGNMENT;
	if (p != NULL)
		origin = p->going_back ? target_of(p) : without(&p->replicas, &p->adding);
	if (count < 0) {
		if (p == NULL || !is_being_reassigned(p))
			st = K_NO_REASSIGNMENT_IN_PROGRESS;
		target = origin;
	} else if (check_live && !are_live(cs, &target, &origin)) {
		st = K_INVALID_REPLICA_ASSIGNMENT;
	}
	if (st == 0 && (p == NULL || p->topic->queued_for_deletion))
		st = K_UNKNOWN_TOPIC_OR_PARTITION;
	if (st == 0)
		st = begin_move(cs, p, &target, &origin);
	ids_fini(&origin);
	return st;
}

bool
controller_state_assignment(const struct controller_state *cs, const char *topic, int32_t partition,
			    struct controller_assignment *ret_assignment)
{
	const struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL)
		return false;
	*ret_assignment = (struct controller_assignment){
	    .partition = partition,
	    .replicas = p->replicas.items,
	    .replica_count = p->replicas.count,
	    .adding = p->adding.items,
	    .adding_count = p->adding.count,
	    .removing = p->removing.items,
	    .removing_count = p->removing.count,
	};
	return true;
}

void
controller_state_each_reassignment(const struct controller_state *cs,
				   void (*fn)(void *arg, const char *topic, int32_t partition),
				   void *arg)
{
	struct map_iter iter = {0};
	const struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; i < t->partition_count; i++)
			if (t->partitions[i] != NULL && is_being_reassigned(t->partitions[i]))
				fn(arg, t->name, i);
}
