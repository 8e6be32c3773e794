/*
 * The ensemble as far as replication needs it, and controller.c, controller_office.c and
 * controller_service.c in small, around the real controller_state: every write carries the version
 * of /controller_epoch, and the first that fails ends the office.
 */
#include "tests/sim/replication_world.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"

#define ROUNDS_MAX 64
#define TOPIC "t"

static const struct uuid topic_id = {{1}};

/* ---- the ensemble ---- */

void
office_vacate(void)
{
	w.zk.controller = -1;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].controller_changed = true;
}

static bool
has_session(int id)
{
	return w.zk.sessions[id] != 0 && w.zk.sessions[id] == w.brokers[id].session;
}

static bool
elect(int id)
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
	w.offices++;
	world_trace("broker %d is elected: controller epoch %d", id, o->epoch);
	return true;
}

/* One fenced write: 0, -ESTALE (another controller), -EAGAIN (not the version that we know). */
static int
write_state(const struct office *o, const struct effect *e, int32_t *ret_version)
{
	struct state_znode *znode = &w.zk.states[e->partition], next;

	if (w.zk.controller_epoch_version != o->epoch_version)
		return -ESTALE;
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
	world_check_write(e->partition, znode, &next);
	w.elections += znode->leader != next.leader;
	*znode = next;
	w.zk.zxid++;
	*ret_version = next.version;
	world_trace("state of p%d: leader %d epoch %d version %d isr %s", e->partition, next.leader,
		    next.leader_epoch, next.version, members_text(&next.isr));
	return 0;
}

/* ---- links ---- */

static void
close_link(struct link *l)
{
	l->broker_epoch = 0;
	l->count = 0;
	l->call_id = 0;
}

static void
fill_leader_and_isr(const struct leader_and_isr_request *req, struct command *c)
{
	c->controller_id = req->controller_id;
	c->controller_epoch = req->controller_epoch;
	c->broker_epoch = req->broker_epoch;
	for (int32_t i = 0; i < req->topic_states[0].partition_states_count; i++) {
		const struct leader_and_isr_partition_state *s =
		    &req->topic_states[0].partition_states[i];

		c->partitions[s->partition_index].told = true;
		c->partitions[s->partition_index].leader = s->leader;
		c->partitions[s->partition_index].leader_epoch = s->leader_epoch;
		c->partitions[s->partition_index].partition_epoch = s->partition_epoch;
		c->partitions[s->partition_index].isr = members_of(s->isr, s->isr_count);
		c->partitions[s->partition_index].replicas =
		    members_of(s->replicas, s->replicas_count);
	}
}

static void
fill_update_metadata(const struct update_metadata_request *req, struct command *c)
{
	c->controller_id = req->controller_id;
	c->controller_epoch = req->controller_epoch;
	c->broker_epoch = req->broker_epoch;
	for (int32_t i = 0; i < req->live_brokers_count; i++)
		c->alive[req->live_brokers[i].id] = true;
}

static void
fill_stop_replica(const struct stop_replica_request *req, struct command *c)
{
	c->controller_id = req->controller_id;
	c->controller_epoch = req->controller_epoch;
	c->broker_epoch = req->broker_epoch;
	for (int32_t i = 0; i < req->topic_states[0].partition_states_count; i++) {
		const struct stop_replica_partition_state *s =
		    &req->topic_states[0].partition_states[i];

		HOLDS(!s->delete_partition);
		c->partitions[s->partition_index].told = true;
		c->partitions[s->partition_index].leader_epoch = s->leader_epoch;
	}
}

static void
enqueue(struct office *o, const struct effect *e)
{
	struct link *l = &o->links[e->broker_id];
	struct command *c;

	if (l->broker_epoch == 0)
		return;
	if (l->queue == NULL)
		l->queue = calloc(COMMANDS, sizeof(*l->queue));
	HOLDS(l->queue != NULL && l->count < COMMANDS);
	c = &l->queue[(l->first + l->count++) % COMMANDS];
	memset(c, 0, sizeof(*c));
	c->api_key = e->api_key;
	if (e->api_key == API_LEADER_AND_ISR)
		fill_leader_and_isr(e->request, c);
	else if (e->api_key == API_UPDATE_METADATA)
		fill_update_metadata(e->request, c);
	else
		fill_stop_replica(e->request, c);
	HOLDS(c->controller_epoch == o->epoch);
}

static void
send_commands(int id)
{
	for (int to = 0; to < w.broker_count; to++) {
		struct link *l = &w.brokers[id].office.links[to];
		struct call *call;

		if (l->count == 0 || l->call_id != 0 || !percent(w.calm ? 80 : w.command_percent))
			continue;
		call = call_begin(CALL_COMMAND, id, to);
		if (call == NULL)
			continue;
		call->command = l->queue[l->first];
		l->call_id = call->id;
	}
}

void
office_answered(int id, int to, bool success)
{
	struct link *l = &w.brokers[id].office.links[to];

	if (!success)
		return; /* it is sent again */
	HOLDS(l->count > 0);
	l->first = (l->first + 1) % COMMANDS;
	l->count--;
}

/* ---- the office ---- */

void
office_end(int id)
{
	struct office *o = &w.brokers[id].office;

	o->stage = OFFICE_NONE;
	for (int i = 0; i < BROKERS; i++)
		close_link(&o->links[i]);
	controller_state_reset(o->cs, 0);
}

void
office_close(int id)
{
	struct office *o = &w.brokers[id].office;

	for (int i = 0; i < BROKERS; i++)
		free(o->links[i].queue);
	controller_state_free(o->cs);
	*o = (struct office){0};
}

/* A write failed, or something came in between: -ESHUTDOWN is the end of the session. */
static void
lost_office(int id, int st)
{
	struct office *o = &w.brokers[id].office;
	bool ours;

	if (!w.brokers[id].runs)
		return; /* it died over it */
	world_trace("broker %d loses the office: %d", id, st);
	ours = w.zk.controller == id && w.zk.controller_epoch_version == o->epoch_version;
	office_end(id);
	if (st == -ESHUTDOWN || !has_session(id))
		return;
	w.brokers[id].controller_changed = true;
	if (ours)
		office_vacate();
}

/* What may befall a controller between two writes. */
static int
mishap(int id)
{
	if (w.calm || w.without_power >= 0 || (int)below(1000) >= w.crash_per_mille)
		return 0;
	switch (below(3)) {
	case 0:
		w.crashes++;
		broker_end(id, percent(50));
		return -ECANCELED;
	case 1:
		broker_expire(id);
		return -ESHUTDOWN;
	default:
		return -EIO; /* the answer is lost */
	}
}

static void
put_leadership(struct office *o, int partition)
{
	const struct state_znode *znode = &w.zk.states[partition];

	controller_state_put_leadership(
	    o->cs, TOPIC, partition,
	    &(struct controller_leadership){znode->leader, znode->leader_epoch,
					    znode->controller_epoch, znode->isr.ids,
					    znode->isr.count, znode->recovering, znode->version});
}

static int
settle(int id, const struct effect *e, int st, int32_t version, struct effects *again)
{
	struct office *o = &w.brokers[id].office;

	controller_state_written(o->cs, e->topic, e->partition, st, version);
	if (st != -EAGAIN)
		return st;
	put_leadership(o, e->partition);
	if (w.zk.states[e->partition].controller_epoch > o->epoch)
		return -ESTALE;
	controller_state_decide_again(o->cs, e->topic, e->partition, again);
	return 0;
}

/* All writes are sent, and then the answers looked at. */
static int
write_states(int id, const struct effects *fx, struct effects *again)
{
	struct office *o = &w.brokers[id].office;
	int results[PARTITIONS], st = 0;
	int32_t versions[PARTITIONS];
	int count = 0;

	for (const struct effect *e = fx->first; e != NULL; e = e->next) {
		if (e->kind != EFFECT_WRITE_STATE)
			continue;
		HOLDS(count < PARTITIONS);
		st = mishap(id);
		if (st == 0 && !has_session(id))
			st = -ESHUTDOWN;
		if (st != 0 && st != -EIO)
			return st;
		versions[count] = 0;
		results[count] = write_state(o, e, &versions[count]);
		count++;
		if (st == 0)
			st = mishap(id);
		if (st != 0)
			return st;
	}
	count = 0;
	for (const struct effect *e = fx->first; e != NULL; e = e->next) {
		int settled;

		if (e->kind != EFFECT_WRITE_STATE)
			continue;
		settled = settle(id, e, results[count], versions[count], again);
		count++;
		if (st == 0)
			st = settled;
	}
	return st;
}

/* Takes fx over. Not 0: the office is to be given up. */
static int
carry_out(int id, struct effects *fx)
{
	struct office *o = &w.brokers[id].office;
	struct effects now = *fx, next;
	int st = 0;

	for (int round = 0; st == 0; round++) {
		HOLDS(round < ROUNDS_MAX);
		effects_init(&next);
		st = write_states(id, &now, &next);
		for (const struct effect *e = now.first; st == 0 && e != NULL; e = e->next) {
			HOLDS(e->kind == EFFECT_WRITE_STATE || e->kind == EFFECT_SEND);
			if (e->kind == EFFECT_SEND)
				enqueue(o, e);
		}
		if (st == 0 && next.first == NULL)
			controller_state_flush(o->cs, &next);
		effects_fini(&now);
		now = next;
		if (now.first == NULL)
			break;
	}
	effects_fini(&now);
	return st;
}

static void
carry_out_or_resign(int id, struct effects *fx)
{
	int st = carry_out(id, fx);

	if (st != 0)
		lost_office(id, st);
}

static void
read_brokers(int id, struct effects *fx)
{
	static const struct controller_endpoint endpoint = {"PLAINTEXT", "h", 9092, 0};
	struct office *o = &w.brokers[id].office;
	struct controller_broker brokers[BROKERS];
	size_t count = 0;

	for (int i = 0; i < w.broker_count; i++) {
		int64_t epoch = w.zk.broker_epochs[i];

		if (o->links[i].broker_epoch != epoch)
			close_link(&o->links[i]);
		o->links[i].broker_epoch = epoch;
		if (epoch != 0)
			brokers[count++] = (struct controller_broker){
			    .id = i, .epoch = epoch, .endpoints = &endpoint, .endpoint_count = 1};
	}
	w.brokers[id].brokers_changed = false;
	controller_state_brokers(o->cs, brokers, count, fx);
}

static void
take_office(int id)
{
	struct office *o = &w.brokers[id].office;
	struct controller_assignment assignments[PARTITIONS];
	struct effects fx;

	for (int p = 0; p < PARTITIONS; p++)
		assignments[p] = (struct controller_assignment){
		    .partition = p,
		    .replicas = w.assignment[p].ids,
		    .replica_count = w.assignment[p].count,
		};
	controller_state_topic(o->cs, TOPIC, &topic_id, assignments, PARTITIONS, NULL);
	for (int p = 0; p < PARTITIONS; p++)
		if (w.zk.states[p].exists)
			put_leadership(o, p);
	o->stage = OFFICE_SERVES;
	effects_init(&fx);
	controller_state_take_office(o->cs, &fx);
	carry_out_or_resign(id, &fx);
}

/* One step of whoever stands for election or holds the office. */
static void
go_on(int id)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;

	switch (o->stage) {
	case OFFICE_NONE:
		break;
	case OFFICE_ELECTED:
		effects_init(&fx);
		read_brokers(id, &fx);
		effects_fini(&fx);
		o->stage = OFFICE_KNOWS_BROKERS;
		break;
	case OFFICE_KNOWS_BROKERS:
		take_office(id);
		break;
	case OFFICE_SERVES:
		if (!w.brokers[id].brokers_changed)
			break;
		effects_init(&fx);
		read_brokers(id, &fx);
		carry_out_or_resign(id, &fx);
		break;
	}
}

static void
look_at_controller(int id)
{
	struct broker *b = &w.brokers[id];
	bool ours = w.zk.controller == id && w.zk.controller_session == b->session;

	b->controller_changed = false;
	if (b->office.stage != OFFICE_NONE &&
	    (!ours || b->office.epoch_version != w.zk.controller_epoch_version))
		office_end(id);
	if (b->office.stage == OFFICE_NONE && elect(id)) {
		b->office.stage = OFFICE_ELECTED;
		controller_state_reset(b->office.cs, b->office.epoch);
	}
}

void
office_turn(int id)
{
	struct broker *b = &w.brokers[id];

	send_commands(id);
	if (b->cut_from_ensemble)
		return;
	if (!has_session(id)) {
		if (percent(30))
			broker_session_lost(id);
		return;
	}
	if (b->controller_changed && percent(60))
		look_at_controller(id);
	if (percent(60))
		go_on(id);
}

void
office_elect_preferred(int id)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;
	int asked = 0;

	if (o->stage != OFFICE_SERVES)
		return;
	effects_init(&fx);
	for (int p = 0; p < PARTITIONS; p++)
		asked += controller_state_elect(o->cs, TOPIC, p, false, &fx) == 0;
	world_trace("preferred leaders are wanted: %d", asked);
	carry_out_or_resign(id, &fx);
}

/* ---- what brokers ask ---- */

static void
answer_alteration(const struct office *o, struct alteration *a, int partition)
{
	struct controller_leadership now;
	struct members isr;

	if (a->partitions[partition].error != 0)
		return;
	HOLDS(controller_state_leadership(o->cs, &topic_id, partition, &now));
	isr = members_of(now.isr, now.isr_count);
	if (now.leader_epoch != a->partitions[partition].leader_epoch ||
	    !members_equal(&isr, &a->partitions[partition].isr)) {
		a->partitions[partition].error = K_INVALID_UPDATE_VERSION;
		return;
	}
	a->partitions[partition].new_leader_epoch = now.leader_epoch;
	a->partitions[partition].new_partition_epoch = now.partition_epoch;
	a->partitions[partition].new_isr = isr;
}

void
office_alter(int id, int from, struct alteration *a)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;
	int st;

	a->error = K_NOT_CONTROLLER;
	if (o->stage != OFFICE_SERVES)
		return;
	a->error = controller_state_check_broker(o->cs, from, a->broker_epoch);
	if (a->error != 0)
		return;
	effects_init(&fx);
	for (int p = 0; p < PARTITIONS; p++) {
		struct controller_leadership wanted = {
		    .leader_epoch = a->partitions[p].leader_epoch,
		    .isr = a->partitions[p].isr.ids,
		    .isr_count = a->partitions[p].isr.count,
		    .partition_epoch = a->partitions[p].partition_epoch,
		    .isr_epochs = a->partitions[p].isr_epochs,
		};

		if (a->partitions[p].asked)
			a->partitions[p].error = controller_state_alter_partition(
			    o->cs, from, &topic_id, p, &wanted, &fx);
	}
	st = carry_out(id, &fx);
	if (st != 0) {
		lost_office(id, st);
		a->error = K_NOT_CONTROLLER;
		return;
	}
	for (int p = 0; p < PARTITIONS; p++)
		if (a->partitions[p].asked)
			answer_alteration(o, a, p);
}

static void
note_led(void *arg, const char *topic, int32_t partition)
{
	bool *leads_still = arg;

	(void)topic;
	(void)partition;
	*leads_still = true;
}

void
office_shut_down(int id, int from, struct shutdown *s)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;
	int st;

	s->error = K_STALE_CONTROLLER_EPOCH;
	if (o->stage != OFFICE_SERVES)
		return;
	effects_init(&fx);
	s->error = controller_state_shut_down(o->cs, from, s->broker_epoch, &fx);
	st = carry_out(id, &fx);
	if (st != 0) {
		lost_office(id, st);
		s->error = K_STALE_CONTROLLER_EPOCH;
	} else if (s->error == 0) {
		controller_state_each_led(o->cs, from, note_led, &s->leads_still);
	}
}
