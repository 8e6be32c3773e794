/*
 * The ensemble as far as replication needs it. Every write of a controller carries the version of
 * /controller_epoch, and the first that fails ends the office.
 *
 * A lost connection is no answer (see zk.h): the write waits for the next connection, while the
 * world goes on, and is sent again, although it may have been done. So a controller may find out in
 * the middle of its work that its session has ended and another was elected, and a conditional
 * write may conflict with itself.
 */
#include "tests/sim/replication_world.h"

#include <errno.h>

#define WAIT_TURNS 200
#define WAITING_MAX 2 /* controllers at one time: one is the former one */

/* ---- sessions and the election ---- */

static void
tell_all_of_topics(void)
{
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].topics_changed = true;
}

void
ensemble_vacate(void)
{
	w.zk.controller = -1;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].controller_changed = true;
}

bool
ensemble_has_session(int id)
{
	return w.zk.sessions[id] != 0 && w.zk.sessions[id] == w.brokers[id].session;
}

bool
ensemble_elect(int id)
{
	struct office *o = &w.brokers[id].office;

	if (w.zk.controller >= 0)
		return false;
	w.zk.controller = id;
	w.zk.controller_session = w.brokers[id].session;
	o->epoch = ++w.zk.controller_epoch;
	o->epoch_version = ++w.zk.controller_epoch_version;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].controller_changed = true;
	world_note_strays(-1); /* nobody listens to the former one any more */
	w.sums.offices++;
	world_trace("broker %d is elected: controller epoch %d", id, o->epoch);
	return true;
}

/* ---- what a controller writes ---- */

static bool
is_fenced(const struct write *write)
{
	return w.zk.controller_epoch_version != w.brokers[write->id].office.epoch_version;
}

int
ensemble_write_state(struct write *write)
{
	const struct effect *e = write->effect;
	struct state_znode *znode = &w.zk.states[write->partition], next;

	if (is_fenced(write))
		return -ESTALE;
	if (!topic_znode_of(write->partition)->exists)
		return -EAGAIN;
	if (e->create ? znode->exists
		      : !znode->exists || znode->version != e->state.partition_epoch)
		return -EAGAIN;
	next = (struct state_znode){
	    .exists = true,
	    .version = e->create ? 0 : znode->version + 1,
	    .leader = e->state.leader,
	    .leader_epoch = e->state.leader_epoch,
	    .controller_epoch = e->state.controller_epoch,
	    .isr = members_of(e->state.isr, e->state.isr_count),
	    .recovering = e->state.recovering,
	};
	HOLDS(next.controller_epoch == w.zk.controller_epoch);
	world_trace("state of p%d: leader %d epoch %d version %d isr %s", write->partition,
		    next.leader, next.leader_epoch, next.version, members_text(&next.isr));
	world_check_state(write->partition, znode, &next);
	w.sums.elections += znode->leader != next.leader;
	*znode = next;
	w.zk.zxid++;
	write->version = next.version;
	return 0;
}

/* A broker that holds it no longer is to hear of that, if it is there. */
static void
note_dropped(const struct write *write, int partition, const struct assignment *before)
{
	const struct assignment *after = &w.zk.assignments[partition];

	for (int32_t i = 0; i < before->replicas.count; i++) {
		int id = before->replicas.ids[i];
		const struct broker *b = &w.brokers[id];

		if (!members_have(&after->replicas, id) &&
		    (!b->runs || w.zk.broker_epochs[id] != b->epoch ||
		     w.brokers[write->id].office.links[id].broker_epoch != b->epoch))
			world_note_stray(id, partition);
	}
}

int
ensemble_write_assignments(struct write *write)
{
	const struct effect *e = write->effect;

	if (is_fenced(write))
		return -ESTALE;
	if (!w.zk.topics[write->topic].exists)
		return -ENOENT;
	for (int32_t i = 0; i < e->assignment_count; i++) {
		const struct controller_assignment *a = &e->assignments[i];
		int partition = partition_of(write->topic, a->partition);
		struct assignment *znode = &w.zk.assignments[partition], before = *znode;

		*znode =
		    (struct assignment){.replicas = members_of(a->replicas, a->replica_count),
					.adding = members_of(a->adding, a->adding_count),
					.removing = members_of(a->removing, a->removing_count)};
		world_trace("p%d belongs to %s", partition, members_text(&znode->replicas));
		world_trace("  adding %s", members_text(&znode->adding));
		world_trace("  removing %s", members_text(&znode->removing));
		world_check_assignment(write->id, partition, &before, znode);
		note_dropped(write, partition, &before);
	}
	return 0;
}

int
ensemble_delete_state(struct write *write)
{
	if (is_fenced(write))
		return -ESTALE;
	w.zk.states[write->partition] = (struct state_znode){0};
	return 0;
}

int
ensemble_delete_topic(struct write *write)
{
	struct topic_znode *znode = &w.zk.topics[write->topic];

	if (is_fenced(write))
		return -ESTALE;
	if (!znode->exists)
		return 0;
	world_trace("topic %s goes", topic_name(write->topic));
	world_check_deletion(write->topic);
	znode->exists = false;
	w.sums.topics_deleted++;
	tell_all_of_topics();
	return 0;
}

int
ensemble_delete_request(struct write *write)
{
	if (is_fenced(write))
		return -ESTALE;
	w.zk.topics[write->topic].to_be_deleted = false;
	return 0;
}

/* ---- what anybody may write ---- */

void
ensemble_create_topic(int topic)
{
	struct topic_znode *znode = &w.zk.topics[topic];

	znode->exists = true;
	znode->incarnation++;
	znode->unclean = percent(w.unclean_percent);
	for (int p = 0; p < PARTITIONS; p++)
		if (topic_of(p) == topic) {
			w.zk.assignments[p] = (struct assignment){.replicas = operator_places()};
			w.zk.states[p] = (struct state_znode){0};
		}
	world_begin_topic(topic);
	world_note_strays(-1);
	w.sums.topics_created++;
	world_trace("topic %s comes for the %d. time, unclean %d", topic_name(topic),
		    znode->incarnation, znode->unclean);
	tell_all_of_topics();
}

void
ensemble_ask_to_delete(int topic)
{
	world_trace("topic %s is to go", topic_name(topic));
	w.zk.topics[topic].to_be_deleted = true;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].deletions_changed = true;
}

void
ensemble_tell_of_directory(int id)
{
	w.zk.dir_events[id] = true;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].dirs_changed = true;
}

/* ---- what befalls who writes ---- */

static int
mishap(int id)
{
	if (w.calm || w.without_power >= 0 || (int)below(1000) >= w.crash_per_mille)
		return 0;
	switch (below(3)) {
	case 0:
		w.sums.crashes++;
		broker_end(id, percent(50));
		return -ECANCELED;
	case 1:
		broker_expire(id);
		return -ESHUTDOWN;
	default:
		return -EIO; /* the answer is lost */
	}
}

/*
 * The connection is lost: the world goes on until there is another. What the thread was about is
 * not over; its broker may be.
 */
static int
wait_for_connection(int id)
{
	struct broker *b = &w.brokers[id];
	uint32_t life = b->life;

	world_trace("broker %d waits for the ensemble", id);
	w.sums.waits++;
	w.waiting++;
	b->office.waits = b->cut_from_ensemble = true;
	for (int turns = 0; turns < WAIT_TURNS && b->cut_from_ensemble && b->life == life; turns++)
		world_go_on();
	w.waiting--;
	if (!b->runs || b->life != life)
		return -ECANCELED;
	world_trace("broker %d has waited", id);
	b->office.waits = b->cut_from_ensemble = false;
	return ensemble_has_session(id) ? 0 : -ESHUTDOWN;
}

/* A lost connection takes the request with it, or the answer. */
static int
lose_connection(struct write *write, write_fn *fn)
{
	if (w.calm || w.without_power >= 0 || w.waiting == WAITING_MAX ||
	    below(1000) >= w.wait_per_mille)
		return 0;
	if (percent(50))
		(void)fn(write);
	return wait_for_connection(write->id);
}

int
ensemble_write(struct write *write, write_fn *fn)
{
	int st = mishap(write->id);

	if (st == 0 && !ensemble_has_session(write->id))
		st = -ESHUTDOWN;
	if (st == 0)
		st = lose_connection(write, fn);
	if (st != 0 && st != -EIO)
		return st;
	write->result = fn(write);
	return st == 0 ? mishap(write->id) : st;
}
