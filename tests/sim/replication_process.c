/*
 * A broker as a process: replica_manager's table of replicas and the requests of controllers in
 * small, around the real fencing.
 */
#include "tests/sim/replication_world.h"

#include "replica/fencing.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/kerr.h"

/* ---- what a controller says ---- */

static struct fencing_replica
what_it_knows(const struct replica *r, int partition)
{
	return (struct fencing_replica){
	    topic_id(topic_of(partition), r->known ? r->incarnation : 0), r->leader_epoch,
	    r->offline};
}

/* Whether who said this may still say more to this broker. */
static bool
goes_on(const struct command *c, int id)
{
	int64_t epoch = w.brokers[id].epoch;

	return office_epoch(c->controller_id) == c->controller_epoch &&
	       (c->controller_id == id || office_knows(c->controller_id, id) == epoch) &&
	       w.zk.broker_epochs[id] == epoch;
}

/*
 * The replica is there, or can be made: where a directory has failed it may be in that one, unless
 * the controller says that it is new. Then whoever brings the directory back takes it away there.
 */
static int
find_or_create(int id, int partition, const struct told *told)
{
	struct broker *b = &w.brokers[id];
	struct replica *r = &b->replicas[partition];
	int dir = (int)below(DIRS);

	if (r->exists && !b->failed[r->dir])
		return 0;
	for (int d = 0; d < DIRS; d++)
		if (b->failed[d] && !told->is_new)
			return K_KAFKA_STORAGE_ERROR;
	replica_delete(r);
	w.truths[partition].strays[id] = w.truths[partition].overlooked[id] = false;
	replica_create(r, told->incarnation, b->failed[dir] ? DIRS - 1 - dir : dir);
	return 0;
}

static int
take_state(int id, int partition, struct told *told)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	struct fencing_replica ours = what_it_knows(r, partition);
	struct uuid topic = topic_id(topic_of(partition), told->incarnation);
	struct leader_and_isr_partition_state state = {.leader_epoch = told->leader_epoch,
						       .replicas = told->replicas.ids,
						       .replicas_count = told->replicas.count};
	int error = fencing_check_state(&ours, id, &topic, &state);

	if (error == 0)
		error = find_or_create(id, partition, told);
	if (error != 0)
		return error;
	if (r->incarnation != told->incarnation)
		return K_INCONSISTENT_TOPIC_ID; /* so says the log */
	replica_decide(id, partition, told);
	return 0;
}

/* Its disk may not let it go; only that of a topic is tried again, when the broker is back. */
static int
remove_replica(int id, int partition)
{
	struct replica *r = &w.brokers[id].replicas[partition];

	replica_forget_clients(id, partition);
	if (r->exists && w.brokers[id].failed[r->dir]) {
		w.truths[partition].overlooked[id] = true;
		world_note_stray(id, partition);
		return 0;
	}
	if (r->exists && !w.calm && below(1000) < w.disk_per_mille) {
		world_trace("broker %d cannot delete p%d", id, partition);
		w.sums.failed_deletions++;
		r->known = false;
		r->leader_epoch = r->partition_epoch = -1;
		world_note_stray(id, partition);
		return K_KAFKA_STORAGE_ERROR;
	}
	world_trace("broker %d deletes p%d", id, partition);
	replica_delete(r);
	return 0;
}

static int
stop(int id, int partition, const struct told *told, bool deletes)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	struct fencing_replica ours = what_it_knows(r, partition);
	int error = r->known ? fencing_check_stop(&ours, told->leader_epoch) : 0;

	if (error == K_KAFKA_STORAGE_ERROR && deletes)
		world_note_stray(id, partition); /* unless its topic goes: that is tried again */
	if (error != 0)
		return error;
	replica_follow(r, false);
	r->leader = -1;
	return deletes ? remove_replica(id, partition) : 0;
}

/* Who sent it is no controller any more: nobody tells it once more to delete. */
static void
note_refused(int id, const struct command *c)
{
	for (int p = 0; p < PARTITIONS; p++)
		if (c->deletes && c->partitions[p].told && world_is_outside(id, p))
			world_note_stray(id, p);
}

void
broker_take_command(int id, struct command *c)
{
	struct broker *b = &w.brokers[id];

	c->error = fencing_check_controller(b->epoch, &b->controller_epoch, c->broker_epoch,
					    c->controller_epoch);
	if (c->error != 0) {
		w.sums.refusals++;
		note_refused(id, c);
		return;
	}
	if (c->api_key == API_UPDATE_METADATA) {
		memcpy(b->alive, c->alive, sizeof(b->alive));
		b->controller = c->controller_id;
		return;
	}
	for (int p = 0; p < PARTITIONS; p++) {
		struct told *told = &c->partitions[p];

		if (told->told && c->api_key == API_STOP_REPLICA)
			told->error = stop(id, p, told, c->deletes);
		else if (told->told)
			told->error = take_state(id, p, told);
		if (world_is_outside(id, p) && !goes_on(c, id))
			world_note_stray(id, p);
	}
}

/* ---- a process ---- */

void
broker_expire(int id)
{
	if (!w.zk.sessions[id])
		return;
	world_trace("the session of broker %d expires", id);
	w.zk.sessions[id] = false;
	ensemble_expire(id);
	world_note_strays(id);
}

void
broker_start(int id)
{
	struct broker *b = &w.brokers[id];

	broker_expire(id);
	b->runs = true;
	b->stands_still = b->cut_from_ensemble = b->stops = b->dir_untold = false;
	if (w.calm || (b->failed[0] && b->failed[1]) || percent(60))
		broker_mend_directories(id, -1);
	b->life++;
	b->controller_epoch = 0;
	b->controller = -1;
	memset(b->alive, 0, sizeof(b->alive));
	b->alter_id = b->shutdown_id = 0;
	b->pending_count = 0;
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &b->replicas[p];

		r->high_watermark = r->checkpointed;
		r->leader = r->leader_epoch = r->partition_epoch = -1;
		r->epoch_start = -1;
		r->given_up = -1;
		r->members.count = 0;
		r->known = r->offline = false;
		replica_follow(r, false);
	}
	world_note_strays(id);
	world_trace("broker %d starts", id);
	process_begin(id);
}

void
broker_fail_directory(int id, int dir)
{
	struct broker *b = &w.brokers[id];

	if (b->failed[dir])
		return;
	world_trace("directory %d of broker %d fails", dir, id);
	w.sums.failed_dirs++;
	b->failed[dir] = b->dir_untold = true;
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &b->replicas[p];

		if (!r->known || !r->exists || r->dir != dir)
			continue;
		r->offline = true;
		replica_follow(r, false);
		replica_forget_clients(id, p);
	}
	if (b->failed[DIRS - 1 - dir])
		broker_end(id, true);
}

void
broker_mend_directories(int id, int empty)
{
	struct broker *b = &w.brokers[id];

	memset(b->failed, 0, sizeof(b->failed));
	for (int p = 0; p < PARTITIONS; p++)
		if (b->replicas[p].exists && b->replicas[p].dir == empty)
			replica_delete(&b->replicas[p]);
}

void
broker_end(int id, bool session_ends)
{
	struct broker *b = &w.brokers[id];

	world_trace("broker %d ends", id);
	b->runs = false;
	for (int p = 0; p < PARTITIONS; p++)
		isr_fini(&b->replicas[p].isr);
	process_end(id);
	world_note_strays(id);
	call_forget_process(id);
	if (session_ends)
		broker_expire(id);
}

void
broker_forget(int id)
{
	struct broker *b = &w.brokers[id];

	if (b->runs)
		process_end(id);
	session_end(&b->ghost);
	for (int p = 0; p < PARTITIONS; p++) {
		isr_fini(&b->replicas[p].isr);
		leader_epochs_fini(&b->replicas[p].epochs);
	}
}

static void
shut_down(int id)
{
	struct broker *b = &w.brokers[id];
	struct call *call;

	if (percent(3)) { /* its patience is at an end */
		broker_end(id, true);
		return;
	}
	if (b->shutdown_id != 0 || b->controller < 0)
		return;
	call = call_begin(CALL_SHUTDOWN, id, b->controller);
	if (call == NULL)
		return;
	call->shutdown.broker_epoch = b->epoch;
	b->shutdown_id = call->id;
}

void
broker_turn(int id)
{
	struct broker *b = &w.brokers[id];
	uint32_t life = b->life;

	for (uint32_t n = 1 + below(4); n > 0 && b->runs && !b->stands_still; n--)
		call_deliver(id);
	if (!b->runs || b->stands_still || b->life != life)
		return;
	for (int p = 0; p < PARTITIONS; p++)
		replica_turn(id, p);
	if (percent(60))
		broker_send_proposals(id);
	broker_acknowledge(id);
	office_turn(id);
	if (b->runs && b->stops)
		shut_down(id);
}
