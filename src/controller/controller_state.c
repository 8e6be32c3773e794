/*
 * The rule, for one partition (decide()):
 *
 *  - being deleted: nothing.
 *  - without a state znode: the first replica that is online leads, all that are form the ISR, at
 *    leader epoch 0. With none online it waits.
 *  - its leader online: the ISR loses who is not; otherwise nothing changes.
 *  - a broker that came back with another epoch counts as one that was gone in between: it leads no
 *    more and leaves the ISR, unless there is nobody else.
 *  - its leader not online: the first replica in order of assignment that is online and in the
 *    ISR leads, and the ISR loses who is not online. If there is none: with
 *    unclean.leader.election.enable the first that is online, alone; else nobody (-1), and the
 *    ISR stays as it was, since only its members hold all that was acknowledged.
 *
 *  - then, when it is being reassigned, the next step of that (controller_reassign.c).
 *
 * Every change raises the leader epoch by one. Who is no replica any more does not count.
 */
#include "controller/controller_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "controller/controller_model.h"

#define EFFECTS_ARENA_BYTES ((size_t)4 << 30) /* our own data: only a runaway meets it */

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : must(strdup(text));
}

/* Sets of broker ids */

bool
ids_have(const struct ids *ids, int32_t id)
{
	for (int32_t i = 0; i < ids->count; i++)
		if (ids->items[i] == id)
			return true;
	return false;
}

void
ids_set(struct ids *ids, const int32_t *items, int32_t count)
{
	int32_t *copy = must(calloc((size_t)count + 1, sizeof(*copy)));

	if (count > 0)
		memcpy(copy, items, (size_t)count * sizeof(*copy));
	free(ids->items);
	*ids = (struct ids){copy, count};
}

void
ids_add(struct ids *ids, int32_t id)
{
	if (ids_have(ids, id))
		return;
	ids->items = must(realloc(ids->items, ((size_t)ids->count + 2) * sizeof(*ids->items)));
	ids->items[ids->count++] = id;
}

void
ids_remove(struct ids *ids, int32_t id)
{
	int32_t kept = 0;

	for (int32_t i = 0; i < ids->count; i++)
		if (ids->items[i] != id)
			ids->items[kept++] = ids->items[i];
	ids->count = kept;
}

bool
ids_equal(const struct ids *a, const struct ids *b)
{
	return a->count == b->count &&
	       (a->count == 0 ||
		memcmp(a->items, b->items, (size_t)a->count * sizeof(*a->items)) == 0);
}

void
ids_fini(struct ids *ids)
{
	free(ids->items);
	*ids = (struct ids){0};
}

/* Effects */

void
effects_init(struct effects *fx)
{
	arena_init(&fx->arena, EFFECTS_ARENA_BYTES);
	fx->first = NULL;
	fx->last = &fx->first;
}

void
effects_fini(struct effects *fx)
{
	arena_fini(&fx->arena);
	fx->first = NULL;
	fx->last = &fx->first;
}

void *
effects_alloc(struct effects *fx, size_t size)
{
	return must(arena_alloc(&fx->arena, size));
}

struct effect *
effects_add(struct effects *fx, enum effect_kind kind)
{
	struct effect *e = effects_alloc(fx, sizeof(*e));

	e->kind = kind;
	*fx->last = e;
	fx->last = &e->next;
	return e;
}

char *
effects_text(struct effects *fx, const char *text)
{
	return must(arena_strdup(&fx->arena, text, strlen(text)));
}

/* The model */

const struct model_broker *
model_broker(const struct controller_state *cs, int32_t id)
{
	size_t low = 0, high = cs->broker_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cs->brokers[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < cs->broker_count && cs->brokers[low].id == id ? &cs->brokers[low] : NULL;
}

bool
model_replica_is_online(const struct controller_state *cs, const struct model_partition *p,
			int32_t broker_id)
{
	return model_broker(cs, broker_id) != NULL && !ids_have(&p->offline_dirs, broker_id);
}

bool
model_replica_is_eligible(const struct controller_state *cs, const struct model_partition *p,
			  int32_t broker_id)
{
	const struct model_broker *b = model_broker(cs, broker_id);

	return b != NULL && !b->bounced && !b->shutting_down &&
	       !ids_have(&p->offline_dirs, broker_id);
}

static void
broker_fini(struct model_broker *b)
{
	for (size_t i = 0; i < b->endpoint_count; i++) {
		free((char *)(uintptr_t)b->endpoints[i].listener);
		free((char *)(uintptr_t)b->endpoints[i].host);
	}
	free(b->endpoints);
	free(b->rack);
}

static void
broker_init(struct model_broker *b, const struct controller_broker *from)
{
	*b = (struct model_broker){.id = from->id, .epoch = from->epoch};
	b->endpoints = must(calloc(from->endpoint_count + 1, sizeof(*b->endpoints)));
	b->endpoint_count = from->endpoint_count;
	for (size_t i = 0; i < from->endpoint_count; i++) {
		b->endpoints[i] = from->endpoints[i];
		b->endpoints[i].listener = copy_text(from->endpoints[i].listener);
		b->endpoints[i].host = copy_text(from->endpoints[i].host);
	}
	b->rack = copy_text(from->rack);
}

static void
partition_free(struct controller_state *cs, struct model_partition *p)
{
	for (int kind = 0; kind < LIST_COUNT; kind++)
		model_list_remove(cs, (enum partition_list_kind)kind, p);
	model_uncount(cs, p);
	ids_fini(&p->replicas);
	ids_fini(&p->adding);
	ids_fini(&p->removing);
	ids_fini(&p->isr);
	ids_fini(&p->offline_dirs);
	ids_fini(&p->deleting);
	ids_fini(&p->deleted);
	ids_fini(&p->stop);
	ids_fini(&p->stop_delete);
	ids_fini(&p->next_replicas);
	ids_fini(&p->next_adding);
	ids_fini(&p->next_removing);
	ids_fini(&p->dropped);
	ids_fini(&p->proposed_isr);
	free(p);
}

static void
topic_free(struct controller_state *cs, struct model_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		if (t->partitions[i] != NULL)
			partition_free(cs, t->partitions[i]);
	if (map_get(&cs->topic_ids, &t->id, sizeof(t->id)) == t)
		map_remove(&cs->topic_ids, &t->id, sizeof(t->id));
	cs->counts.topics_to_delete -= t->queued_for_deletion;
	free(t->partitions);
	free(t->name);
	free(t);
}

struct model_topic *
model_topic(const struct controller_state *cs, const char *name)
{
	return map_get_text(&cs->topics, name);
}

struct model_partition *
model_partition(const struct controller_state *cs, const char *topic, int32_t number)
{
	struct model_topic *t = model_topic(cs, topic);

	return t == NULL || number < 0 || number >= t->partition_count ? NULL
								       : t->partitions[number];
}

struct model_topic *
model_topic_by_id(const struct controller_state *cs, const struct uuid *id)
{
	return map_get(&cs->topic_ids, id, sizeof(*id));
}

static void
set_topic_id(struct controller_state *cs, struct model_topic *t, const struct uuid *id)
{
	if (model_topic_by_id(cs, &t->id) == t)
		map_remove(&cs->topic_ids, &t->id, sizeof(t->id));
	t->id = *id;
	if (map_put(&cs->topic_ids, &t->id, sizeof(t->id), t, NULL) != 0)
		abort();
}

void
model_each_partition(struct controller_state *cs,
		     void (*fn)(struct controller_state *cs, struct model_partition *p,
				struct effects *fx),
		     struct effects *fx)
{
	struct map_iter iter = {0};
	struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		for (int32_t i = 0; i < t->partition_count; i++)
			if (t->partitions[i] != NULL)
				fn(cs, t->partitions[i], fx);
}

/* Lists of partitions */

void
model_list_add(struct controller_state *cs, enum partition_list_kind kind,
	       struct model_partition *p)
{
	struct partition_list *list = &cs->lists[kind];

	if (p->slots[kind] != 0)
		return;
	if (list->count == list->cap) {
		list->cap = list->cap == 0 ? 64 : list->cap * 2;
		list->items =
		    must(realloc(list->items, list->cap * sizeof(struct model_partition *)));
	}
	list->items[list->count++] = p;
	p->slots[kind] = list->count;
}

void
model_list_remove(struct controller_state *cs, enum partition_list_kind kind,
		  struct model_partition *p)
{
	struct partition_list *list = &cs->lists[kind];
	size_t slot = p->slots[kind];

	if (slot == 0)
		return;
	list->items[slot - 1] = list->items[--list->count];
	list->items[slot - 1]->slots[kind] = slot;
	p->slots[kind] = 0;
}

void
model_announce(struct controller_state *cs, struct model_partition *p)
{
	p->announce = true;
	model_list_add(cs, LIST_NEWS, p);
}

void
model_announce_metadata(struct controller_state *cs, struct model_partition *p)
{
	p->announce_metadata = true;
	model_list_add(cs, LIST_NEWS, p);
}

void
model_stop(struct controller_state *cs, struct model_partition *p, int32_t broker_id,
	   bool and_delete)
{
	ids_add(and_delete ? &p->stop_delete : &p->stop, broker_id);
	model_list_add(cs, LIST_NEWS, p);
}

/* The rule */

static void
propose_at(struct controller_state *cs, struct model_partition *p, int32_t leader,
	   int32_t leader_epoch, const struct ids *isr, bool recovering, struct effects *fx)
{
	struct effect *e = effects_add(fx, EFFECT_WRITE_STATE);
	int32_t *copy = effects_alloc(fx, ((size_t)isr->count + 1) * sizeof(*copy));

	p->proposed = true;
	p->proposed_leader = leader;
	p->proposed_epoch = leader_epoch;
	p->proposed_by_leader = p->finishing = false;
	p->proposed_recovering = recovering;
	ids_set(&p->proposed_isr, isr->items, isr->count);
	if (isr->count > 0)
		memcpy(copy, isr->items, (size_t)isr->count * sizeof(*copy));
	e->topic = effects_text(fx, p->topic->name);
	e->partition = p->number;
	e->create = !p->has_leadership;
	e->state = (struct controller_leadership){
	    .leader = leader,
	    .leader_epoch = p->proposed_epoch,
	    .controller_epoch = cs->epoch,
	    .isr = copy,
	    .isr_count = isr->count,
	    .recovering = recovering,
	    .partition_epoch = p->partition_epoch,
	};
}

void
model_propose(struct controller_state *cs, struct model_partition *p, int32_t leader,
	      const struct ids *isr, bool recovering, struct effects *fx)
{
	propose_at(cs, p, leader, p->has_leadership ? p->leader_epoch + 1 : 0, isr, recovering, fx);
}

void
model_propose_isr(struct controller_state *cs, struct model_partition *p, const struct ids *isr,
		  bool recovering, struct effects *fx)
{
	propose_at(cs, p, p->leader, p->leader_epoch, isr, recovering, fx);
	p->proposed_by_leader = true;
}

struct ids
model_eligible_of(const struct controller_state *cs, const struct model_partition *p,
		  const struct ids *among)
{
	struct ids eligible = {0};

	for (int32_t i = 0; i < p->replicas.count; i++)
		if (model_replica_is_eligible(cs, p, p->replicas.items[i]) &&
		    ids_have(among, p->replicas.items[i]))
			ids_add(&eligible, p->replicas.items[i]);
	return eligible;
}

/* Those of ids that are online, in the order of the assignment. */
static struct ids
online_of(const struct controller_state *cs, const struct model_partition *p,
	  const struct ids *among)
{
	struct ids online = {0};

	for (int32_t i = 0; i < p->replicas.count; i++)
		if (model_replica_is_online(cs, p, p->replicas.items[i]) &&
		    ids_have(among, p->replicas.items[i]))
			ids_add(&online, p->replicas.items[i]);
	return online;
}

/* The ISR as it was, without those who are not eligible, but with the leader whom it is for. */
static struct ids
isr_for(const struct controller_state *cs, const struct model_partition *p, int32_t leader)
{
	struct ids isr = {0};

	for (int32_t i = 0; i < p->isr.count; i++)
		if (p->isr.items[i] == leader ||
		    (ids_have(&p->replicas, p->isr.items[i]) &&
		     model_replica_is_eligible(cs, p, p->isr.items[i])))
			ids_add(&isr, p->isr.items[i]);
	return isr;
}

static void
propose_leader(struct controller_state *cs, struct model_partition *p, int32_t leader,
	       struct effects *fx)
{
	struct ids isr = isr_for(cs, p, leader);

	model_propose(cs, p, leader, &isr, p->recovering, fx);
	ids_fini(&isr);
}

/* Without those who are no replicas any more. */
static struct ids
remaining_isr(const struct model_partition *p)
{
	struct ids isr = {0};

	for (int32_t i = 0; i < p->isr.count; i++)
		if (ids_have(&p->replicas, p->isr.items[i]))
			ids_add(&isr, p->isr.items[i]);
	if (isr.count == 0)
		ids_set(&isr, p->isr.items, p->isr.count);
	return isr;
}

static void
elect_outside_isr(struct controller_state *cs, struct model_partition *p, bool unclean,
		  struct effects *fx)
{
	struct ids online = online_of(cs, p, &p->replicas);

	if (unclean && online.count > 0) {
		online.count = 1;
		model_propose(cs, p, online.items[0], &online, true, fx);
	} else if (p->leader != -1) {
		struct ids isr = remaining_isr(p);

		model_propose(cs, p, -1, &isr, p->recovering, fx);
		ids_fini(&isr);
	}
	ids_fini(&online);
}

void
model_elect(struct controller_state *cs, struct model_partition *p, bool unclean,
	    struct effects *fx)
{
	struct ids candidates = model_eligible_of(cs, p, &p->isr);

	if (candidates.count == 0) { /* one that is just back, rather than nobody */
		ids_fini(&candidates);
		candidates = online_of(cs, p, &p->isr);
	}
	if (candidates.count > 0)
		propose_leader(cs, p, candidates.items[0], fx);
	else
		elect_outside_isr(cs, p, unclean, fx);
	ids_fini(&candidates);
}

static bool
has_bounced(const struct controller_state *cs, int32_t broker_id)
{
	const struct model_broker *b = model_broker(cs, broker_id);

	return b != NULL && b->bounced;
}

void
model_decide(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	struct ids online;

	if (p->topic->deletion_started || p->proposed)
		return;
	if (!p->has_leadership) {
		online = online_of(cs, p, &p->replicas);
		if (online.count > 0)
			model_propose(cs, p, online.items[0], &online, false, fx);
		ids_fini(&online);
		return;
	}
	if (p->leader < 0 || !ids_have(&p->replicas, p->leader) ||
	    !model_replica_is_online(cs, p, p->leader) || has_bounced(cs, p->leader)) {
		model_elect(cs, p, p->topic->unclean, fx);
		return;
	}
	online = isr_for(cs, p, p->leader);
	if (!ids_equal(&online, &p->isr))
		model_propose(cs, p, p->leader, &online, p->recovering, fx);
	else
		model_reassign_step(cs, p, fx);
	ids_fini(&online);
}

void
controller_state_topic_deleted(struct controller_state *cs, const char *topic)
{
	struct model_topic *t = map_remove_text(&cs->topics, topic);

	if (t != NULL)
		topic_free(cs, t);
}

/* Events */

int
controller_state_new(int32_t broker_id, const char *inter_broker_listener,
		     struct controller_state **ret_state)
{
	struct controller_state *cs = calloc(1, sizeof(*cs));

	if (cs == NULL)
		return -ENOMEM;
	cs->broker_id = broker_id;
	cs->listener = strdup(inter_broker_listener);
	if (cs->listener == NULL) {
		free(cs);
		return -ENOMEM;
	}
	*ret_state = cs;
	return 0;
}

void
controller_state_set_time(struct controller_state *cs, int64_t now_ms)
{
	cs->now_ms = now_ms;
}

void
controller_state_set_broker_id(struct controller_state *cs, int32_t broker_id)
{
	cs->broker_id = broker_id;
}

void
controller_state_reset(struct controller_state *cs, int32_t epoch)
{
	struct map_iter iter = {0};
	struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		topic_free(cs, t);
	map_fini(&cs->topics);
	map_fini(&cs->topic_ids);
	for (size_t i = 0; i < cs->broker_count; i++)
		broker_fini(&cs->brokers[i]);
	free(cs->brokers);
	cs->brokers = NULL;
	cs->broker_count = 0;
	cs->announce_brokers = false;
	for (int kind = 0; kind < LIST_COUNT; kind++) {
		free(cs->lists[kind].items);
		cs->lists[kind] = (struct partition_list){0};
	}
	cs->epoch = epoch;
}

void
controller_state_free(struct controller_state *cs)
{
	if (cs == NULL)
		return;
	controller_state_reset(cs, 0);
	free(cs->listener);
	free(cs);
}

static int
compare_brokers(const void *a, const void *b)
{
	const struct model_broker *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* A broker that came back may have another disk: its directories count as online again. */
static void
forget_offline_dirs(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	(void)fx;
	for (int32_t i = p->offline_dirs.count - 1; i >= 0; i--) {
		const struct model_broker *b = model_broker(cs, p->offline_dirs.items[i]);

		if (b == NULL || b->is_new)
			ids_remove(&p->offline_dirs, p->offline_dirs.items[i]);
	}
}

static void
count_again(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	(void)fx;
	model_count(cs, p);
}

static bool
endpoints_equal(const struct model_broker *a, const struct model_broker *b)
{
	if (a->endpoint_count != b->endpoint_count)
		return false;
	for (size_t i = 0; i < a->endpoint_count; i++)
		if (strcmp(a->endpoints[i].listener, b->endpoints[i].listener) != 0 ||
		    strcmp(a->endpoints[i].host, b->endpoints[i].host) != 0 ||
		    a->endpoints[i].port != b->endpoints[i].port ||
		    a->endpoints[i].protocol != b->endpoints[i].protocol)
			return false;
	return true;
}

void
controller_state_brokers(struct controller_state *cs, const struct controller_broker *brokers,
			 size_t count, struct effects *fx)
{
	struct model_broker *next = must(calloc(count + 1, sizeof(*next)));
	size_t old_count = cs->broker_count, kept = 0;
	bool changed = false;

	for (size_t i = 0; i < count; i++) {
		const struct model_broker *old = model_broker(cs, brokers[i].id);

		broker_init(&next[i], &brokers[i]);
		/* Another epoch is another life: it knows nothing of the former. */
		next[i].bounced = old != NULL && old->epoch != brokers[i].epoch;
		next[i].is_new = old == NULL || old->is_new || next[i].bounced;
		next[i].shutting_down = old != NULL && old->shutting_down && !next[i].bounced;
		kept += old != NULL;
		changed = changed || next[i].is_new || !endpoints_equal(old, &next[i]);
	}
	changed = changed || kept != old_count;
	for (size_t i = 0; i < cs->broker_count; i++)
		broker_fini(&cs->brokers[i]);
	free(cs->brokers);
	qsort(next, count, sizeof(*next), compare_brokers);
	cs->brokers = next;
	cs->broker_count = count;
	if (!changed)
		return;
	cs->announce_brokers = true;
	model_each_partition(cs, forget_offline_dirs, fx);
	model_each_partition(cs, count_again, fx);
	model_each_partition(cs, model_decide, fx);
	model_resume_deletions(cs, fx);
	for (size_t i = 0; i < count; i++)
		cs->brokers[i].bounced = false;
}

static struct model_partition *
own_partition(struct model_topic *t, int32_t number)
{
	struct model_partition *p;

	if (number >= t->partition_count) {
		t->partitions =
		    must(realloc(t->partitions, ((size_t)number + 1) * sizeof(*t->partitions)));
		for (int32_t i = t->partition_count; i <= number; i++)
			t->partitions[i] = NULL;
		t->partition_count = number + 1;
	}
	p = t->partitions[number];
	if (p == NULL) {
		p = must(calloc(1, sizeof(*p)));
		p->topic = t;
		p->number = number;
		p->leader = -1;
		t->partitions[number] = p;
	}
	return p;
}

static struct model_topic *
own_topic(struct controller_state *cs, const char *name)
{
	struct model_topic *t = model_topic(cs, name);

	if (t != NULL)
		return t;
	t = must(calloc(1, sizeof(*t)));
	t->name = copy_text(name);
	if (map_put_text(&cs->topics, name, t, NULL) != 0)
		abort();
	return t;
}

void
controller_state_topic(struct controller_state *cs, const char *topic, const struct uuid *id,
		       const struct controller_assignment *partitions, int32_t count,
		       struct effects *fx)
{
	struct model_topic *t = own_topic(cs, topic);

	set_topic_id(cs, t, id);
	for (int32_t i = 0; i < count; i++) {
		const struct controller_assignment *a = &partitions[i];
		struct model_partition *p;

		/* Kafka ignores changed replicas of a partition it knows: that is a reassignment.
		 */
		if (a->partition < t->partition_count && t->partitions[a->partition] != NULL)
			continue;
		p = own_partition(t, a->partition);
		ids_set(&p->replicas, a->replicas, a->replica_count);
		ids_set(&p->adding, a->adding, a->adding_count);
		ids_set(&p->removing, a->removing, a->removing_count);
		p->reassigning = p->must_bump = a->adding_count > 0 || a->removing_count > 0;
		model_count(cs, p);
		if (fx != NULL)
			model_decide(cs, p, fx);
	}
	if (fx != NULL && t->deletion_started)
		model_resume_deletion(cs, t, fx); /* what was added goes as well */
}

void
controller_state_topic_names(struct controller_state *cs, const char *const *names, size_t count)
{
	struct map_iter iter = {0};
	struct map present = {0};
	struct model_topic *t;

	for (size_t i = 0; i < count; i++)
		if (map_put_text(&present, names[i], cs, NULL) != 0)
			abort();
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (map_get_text(&present, t->name) == NULL)
			controller_state_topic_deleted(cs, t->name);
	map_fini(&present);
}

void
controller_state_probe(struct controller_state *cs, int32_t broker_id)
{
	struct model_broker *b = (struct model_broker *)(uintptr_t)model_broker(cs, broker_id);

	if (b == NULL)
		return;
	b->is_new = true;
	cs->announce_brokers = true;
}

void
controller_state_set_unclean(struct controller_state *cs, const char *topic, bool unclean,
			     struct effects *fx)
{
	struct model_topic *t = model_topic(cs, topic);

	if (t == NULL)
		return;
	t->unclean = unclean;
	for (int32_t i = 0; unclean && fx != NULL && i < t->partition_count; i++)
		if (t->partitions[i] != NULL)
			model_decide(cs, t->partitions[i], fx);
}

void
controller_state_put_leadership(struct controller_state *cs, const char *topic, int32_t partition,
				const struct controller_leadership *l)
{
	struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL)
		return;
	p->has_leadership = true;
	p->leader = l->leader;
	p->leader_epoch = l->leader_epoch;
	p->controller_epoch = l->controller_epoch;
	p->partition_epoch = l->partition_epoch;
	p->recovering = l->recovering;
	ids_set(&p->isr, l->isr, l->isr_count);
	model_count(cs, p);
	if (p->counted_offline && p->leader < 0 && l->changed_ms > 0)
		p->offline_since_ms = l->changed_ms;
}

static void
announce(struct controller_state *cs, struct model_partition *p, struct effects *fx)
{
	(void)fx;
	if (p->has_leadership)
		model_announce(cs, p);
}

void
controller_state_take_office(struct controller_state *cs, struct effects *fx)
{
	for (size_t i = 0; i < cs->broker_count; i++)
		cs->brokers[i].is_new = true;
	cs->announce_brokers = true;
	model_each_partition(cs, model_decide, fx);
	model_each_partition(cs, announce, fx);
	model_resume_deletions(cs, fx);
}

void
controller_state_written(struct controller_state *cs, const char *topic, int32_t partition, int st,
			 int32_t partition_epoch)
{
	struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL || !p->proposed)
		return;
	p->proposed = false;
	if (st != 0) {
		p->finishing = false;
		return;
	}
	model_count_election(cs, p);
	p->created = !p->has_leadership;
	p->has_leadership = true;
	p->leader = p->proposed_leader;
	p->leader_epoch = p->proposed_epoch;
	p->controller_epoch = cs->epoch;
	p->partition_epoch = partition_epoch;
	p->recovering = p->proposed_recovering;
	ids_set(&p->isr, p->proposed_isr.items, p->proposed_isr.count);
	model_count(cs, p);
	if (p->proposed_by_leader)
		model_announce_metadata(cs, p);
	else
		model_announce(cs, p);
	model_reassign_written(cs, p);
}

void
controller_state_decide_again(struct controller_state *cs, const char *topic, int32_t partition,
			      struct effects *fx)
{
	struct model_partition *p = model_partition(cs, topic, partition);

	if (p == NULL)
		return;
	model_decide(cs, p, fx);
	announce(cs, p, fx); /* what another wrote is news as well */
}

void
controller_state_replica_offline(struct controller_state *cs, const struct uuid *topic_id,
				 int32_t partition, int32_t broker_id, bool offline,
				 struct effects *fx)
{
	struct model_topic *t = model_topic_by_id(cs, topic_id);
	struct model_partition *p = t == NULL ? NULL : model_partition(cs, t->name, partition);

	if (p == NULL || ids_have(&p->offline_dirs, broker_id) == offline)
		return;
	if (offline)
		ids_add(&p->offline_dirs, broker_id);
	else
		ids_remove(&p->offline_dirs, broker_id);
	model_count(cs, p);
	if (p->has_leadership) /* news, whatever is decided */
		model_announce_metadata(cs, p);
	model_decide(cs, p, fx);
}

bool
controller_state_topic_id(const struct controller_state *cs, const char *topic, struct uuid *ret_id)
{
	const struct model_topic *t = model_topic(cs, topic);

	if (t != NULL)
		*ret_id = t->id;
	return t != NULL;
}

bool
controller_state_knows_topic(const struct controller_state *cs, const char *topic)
{
	return model_topic(cs, topic) != NULL;
}

bool
controller_state_is_queued_for_deletion(const struct controller_state *cs, const char *topic)
{
	const struct model_topic *t = model_topic(cs, topic);

	return t != NULL && t->queued_for_deletion;
}
