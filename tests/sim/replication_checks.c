/*
 * What must always be true, seen from outside: what is committed stays, logs agree on it, leader
 * epochs have one leader, partitions end where operators want them, and replicas that are to go do.
 */
#include "tests/sim/replication_world.h"

/* Its topic is the one that has the name now, or had it last. */
static bool
is_current(const struct replica *r, int partition)
{
	return r->exists && r->incarnation == topic_znode_of(partition)->incarnation;
}

/* ---- what is committed ---- */

/* A leader outside the ISR was elected, and this replica has not heard of it. */
static bool
is_left_behind(const struct replica *r, int partition)
{
	const struct truth *t = &w.truths[partition];

	return t->unclean_pending || r->leader_epoch < t->unclean_epoch;
}

void
world_check_high_watermark(struct replica *r, int partition, int64_t before)
{
	struct truth *t = &w.truths[partition];
	int64_t from = before < t->committed_end ? before : t->committed_end;

	if (!is_current(r, partition) || is_left_behind(r, partition))
		return;
	if (t->unclean_epoch < 0)
		HOLDS(before <= t->committed_end);
	/* Below the high watermark all logs agree. */
	for (int64_t i = from; i < r->high_watermark; i++) {
		if (i == t->committed_end)
			t->committed[t->committed_end++] = r->log[i];
		HOLDS(t->committed[i].value == r->log[i].value &&
		      t->committed[i].epoch == r->log[i].epoch);
	}
}

void
world_check_acknowledged(const struct replica *r, const struct pending *pending)
{
	const struct truth *t = &w.truths[pending->partition];

	if (!is_current(r, pending->partition) || is_left_behind(r, pending->partition))
		return;
	HOLDS(t->committed_end >= pending->offset);
	HOLDS(t->committed[pending->offset - 1].value == pending->value);
}

/* Who leads after an unclean election says what is committed: what it shares, or knew to be. */
static void
begin_anew(const struct replica *leader, int partition)
{
	struct truth *t = &w.truths[partition];
	int64_t shared = 0;

	while (shared < t->committed_end && shared < leader->end &&
	       t->committed[shared].value == leader->log[shared].value)
		shared++;
	for (int i = 0; i < w.broker_count; i++)
		if (w.brokers[i].replicas[partition].agrees > shared)
			w.brokers[i].replicas[partition].agrees = shared;
	t->committed_end = shared;
	for (; t->committed_end < leader->high_watermark; t->committed_end++)
		t->committed[t->committed_end] = leader->log[t->committed_end];
	t->unclean_pending = false;
}

void
world_check_leader(int id, int partition)
{
	const struct replica *r = &w.brokers[id].replicas[partition];
	const struct truth *t = &w.truths[partition];

	if (is_current(r, partition) && t->unclean_pending && r->leader_epoch >= t->unclean_epoch)
		begin_anew(r, partition);
}

static void
check_isr(int partition)
{
	const struct state_znode *state = &w.zk.states[partition];
	const struct truth *t = &w.truths[partition];

	for (int32_t i = 0; !t->unclean_pending && i < state->isr.count; i++) {
		int32_t id = state->isr.ids[i];
		struct replica *r = &w.brokers[id].replicas[partition];

		/* The tail that a machine lost is in the logs of the others. */
		if (id == w.without_power || t->committed_end == 0)
			continue;
		HOLDS(is_current(r, partition) && r->end >= t->committed_end);
		for (; r->agrees < t->committed_end; r->agrees++)
			HOLDS(r->log[r->agrees].value == t->committed[r->agrees].value);
	}
}

/* ---- leaders ---- */

static void
check_replica(int id, int partition)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	struct truth *t = &w.truths[partition];

	if (!r->exists)
		t->strays[id] = t->overlooked[id] = false;
	if (!is_current(r, partition))
		return;
	HOLDS(r->end == 0 || r->log[0].value > t->born); /* nothing of a former topic */
	if (!w.brokers[id].runs || !broker_leads(id, partition))
		return;
	HOLDS(r->leader_epoch >= 0 && r->leader_epoch < EPOCHS);
	HOLDS(t->leaders[r->leader_epoch] == id + 1);
}

void
world_check(void)
{
	for (int p = 0; p < PARTITIONS; p++) {
		if (w.zk.states[p].exists && !topic_znode_of(p)->to_be_deleted)
			check_isr(p);
		for (int id = 0; id < w.broker_count; id++)
			check_replica(id, p);
	}
}

void
world_check_state(int partition, const struct state_znode *before, const struct state_znode *after)
{
	const struct topic_znode *topic = topic_znode_of(partition);
	struct truth *t = &w.truths[partition];
	int32_t *leader;

	HOLDS(topic->exists && after->isr.count > 0);
	HOLDS(after->leader == -1 || members_have(&after->isr, after->leader));
	HOLDS(after->leader == -1 ||
	      members_include(&w.zk.assignments[partition].replicas, &after->isr));
	HOLDS(after->leader_epoch >= 0 && after->leader_epoch < EPOCHS);
	if (before->exists) {
		HOLDS(after->controller_epoch >= before->controller_epoch);
		HOLDS(after->leader_epoch >= before->leader_epoch);
	}
	if (before->exists && after->leader >= 0 && !members_have(&before->isr, after->leader)) {
		HOLDS(topic->unclean && after->isr.count == 1);
		t->unclean_epoch = after->leader_epoch;
		t->unclean_pending = true;
		w.sums.unclean_elections++;
	}
	/* One leader in an epoch. */
	leader = &t->leaders[after->leader_epoch];
	HOLDS(*leader == 0 || *leader == after->leader + 1);
	*leader = after->leader + 1;
}

/* ---- topics that move, go and come ---- */

static bool
is_moving(const struct assignment *a)
{
	return a->adding.count > 0 || a->removing.count > 0;
}

/* What goes back may do so in another order. */
static bool
is_meant(const struct members *target, const struct members *wanted, const struct members *settled)
{
	return members_equal(target, wanted) ||
	       (members_are_same(wanted, settled) && members_are_same(target, settled));
}

void
world_check_assignment(int controller, int partition, const struct assignment *before,
		       const struct assignment *after)
{
	const struct state_znode *state = &w.zk.states[partition];
	struct truth *t = &w.truths[partition];
	struct members target = members_without(&after->replicas, &after->removing);
	bool goes_back = target.count == t->settled.count && members_include(&t->settled, &target);

	/* It goes on with what it found, or with what it was told to do. */
	if (!is_meant(&target, &t->target, &t->settled) &&
	    (!office_was_asked(controller, partition, &t->target) ||
	     !is_meant(&target, &t->target, &t->settled)))
		t->target = w.brokers[controller].wanted[partition];
	HOLDS(is_meant(&target, &t->target, &t->settled));
	HOLDS(members_include(&after->replicas, &after->adding) &&
	      members_include(&after->replicas, &after->removing));
	if (is_moving(after))
		return;
	if (is_moving(before) && !goes_back) {
		HOLDS(state->exists && state->isr.count == target.count);
		HOLDS(members_include(&state->isr, &target) &&
		      members_have(&target, state->leader));
		w.sums.moves_ended++;
	}
	t->settled = target;
}

void
world_check_deletion(int topic)
{
	for (int p = 0; p < PARTITIONS; p++) {
		const struct members *replicas = &w.zk.assignments[p].replicas;

		for (int32_t i = 0; topic_of(p) == topic && i < replicas->count; i++)
			HOLDS(!is_current(&w.brokers[replicas->ids[i]].replicas[p], p) ||
			      w.truths[p].overlooked[replicas->ids[i]]);
	}
}

void
world_begin_topic(int topic)
{
	for (int p = 0; p < PARTITIONS; p++) {
		struct truth *t = &w.truths[p];

		if (topic_of(p) != topic)
			continue;
		t->committed_end = 0;
		memset(t->leaders, 0, sizeof(t->leaders));
		t->born = w.next_value;
		t->unclean_epoch = -1;
		t->unclean_pending = false;
		t->settled = t->target = w.zk.assignments[p].replicas;
	}
}

/* ---- strays ---- */

bool
world_is_outside(int id, int partition)
{
	const struct replica *r = &w.brokers[id].replicas[partition];

	return r->exists && (!topic_znode_of(partition)->exists || !is_current(r, partition) ||
			     !members_have(&w.zk.assignments[partition].replicas, id));
}

void
world_note_stray(int id, int partition)
{
	if (w.brokers[id].replicas[partition].exists)
		w.truths[partition].strays[id] = true;
}

void
world_note_strays(int id)
{
	for (int p = 0; p < PARTITIONS; p++)
		for (int i = 0; i < w.broker_count; i++)
			if ((id < 0 || i == id) && world_is_outside(i, p))
				world_note_stray(i, p);
}
