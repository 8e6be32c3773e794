/*
 * The controller on each broker: controller.c, controller_office.c, controller_znodes.c and
 * controller_service.c in small, around the real controller_state.
 */
#include "tests/sim/replication_world.h"

#include <errno.h>
#include <stdlib.h>

#include "replica/fencing.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"

#define ROUNDS_MAX 64

/* ---- links ---- */

static void
close_link(struct link *l)
{
	l->broker_epoch = 0;
	l->count = 0;
	l->call_id = 0;
}

/* By the name, which ends where the text of a request says. */
static struct told *
told_of(struct command *c, struct str topic, int32_t number)
{
	int partition = partition_of(topic_named(topic.data), number);

	HOLDS(partition >= 0);
	c->partitions[partition].told = true;
	return &c->partitions[partition];
}

static int32_t
incarnation_of(const struct uuid *id)
{
	int32_t incarnation;

	memcpy(&incarnation, &id->bytes[1], sizeof(incarnation));
	return incarnation;
}

static void
fill_leader_and_isr(const struct leader_and_isr_request *req, struct command *c)
{
	c->controller_id = req->controller_id;
	c->controller_epoch = req->controller_epoch;
	c->broker_epoch = req->broker_epoch;
	for (int32_t t = 0; t < req->topic_states_count; t++) {
		const struct leader_and_isr_topic_state *ts = &req->topic_states[t];

		for (int32_t i = 0; i < ts->partition_states_count; i++) {
			const struct leader_and_isr_partition_state *s = &ts->partition_states[i];
			struct told *told = told_of(c, ts->topic_name, s->partition_index);

			told->incarnation = incarnation_of(&ts->topic_id);
			told->is_new = s->is_new;
			told->leader = s->leader;
			told->leader_epoch = s->leader_epoch;
			told->partition_epoch = s->partition_epoch;
			told->isr = members_of(s->isr, s->isr_count);
			told->replicas = members_of(s->replicas, s->replicas_count);
		}
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
	c->deletes = req->topic_states[0].partition_states[0].delete_partition;
	for (int32_t t = 0; t < req->topic_states_count; t++) {
		const struct stop_replica_topic_state *ts = &req->topic_states[t];

		for (int32_t i = 0; i < ts->partition_states_count; i++) {
			const struct stop_replica_partition_state *s = &ts->partition_states[i];

			HOLDS(s->delete_partition == c->deletes);
			c->deletes_topic |= s->leader_epoch == FENCING_EPOCH_DURING_DELETE;
			told_of(c, ts->topic_name, s->partition_index)->leader_epoch =
			    s->leader_epoch;
		}
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
	c->deletion = e->deletion;
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

static void
take_answer(struct office *o, int from, const struct command *answer, int p, struct effects *fx)
{
	const struct told *told = &answer->partitions[p];
	struct uuid topic = topic_id(topic_of(p), told->incarnation);

	if (answer->api_key == API_STOP_REPLICA && answer->deletion != 0)
		controller_state_replica_deleted(o->cs, topic_name(topic_of(p)), number_of(p), from,
						 answer->deletion, told->error == 0, fx);
	else if (answer->api_key == API_LEADER_AND_ISR &&
		 (told->error == 0 || told->error == K_KAFKA_STORAGE_ERROR))
		controller_state_replica_offline(o->cs, &topic, number_of(p), from,
						 told->error != 0, fx);
}

void
office_answered(int id, int to, const struct command *answer)
{
	struct office *o = &w.brokers[id].office;
	struct link *l = &o->links[to];
	struct effects fx;

	HOLDS(l->count > 0);
	l->first = (l->first + 1) % COMMANDS;
	l->count--;
	if (answer->error != 0)
		return;
	effects_init(&fx);
	for (int p = 0; p < PARTITIONS; p++)
		if (answer->partitions[p].told)
			take_answer(o, to, answer, p, &fx);
	office_carry_out(id, &fx);
}

/* ---- the office ---- */

void
office_end(int id)
{
	struct office *o = &w.brokers[id].office;

	if (o->stage == OFFICE_SERVES)
		world_note_strays(-1);
	o->stage = OFFICE_NONE;
	o->waits = false;
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

	if (st == -ECANCELED)
		return; /* it died over it */
	world_trace("broker %d loses the office: %d", id, st);
	ours = w.zk.controller == id && w.zk.controller_epoch_version == o->epoch_version;
	office_end(id);
	if (st == -ESHUTDOWN || !ensemble_has_session(id))
		return;
	w.brokers[id].controller_changed = true;
	if (ours)
		ensemble_vacate();
}

static void
put_leadership(struct office *o, int partition)
{
	const struct state_znode *znode = &w.zk.states[partition];

	controller_state_put_leadership(
	    o->cs, topic_name(topic_of(partition)), number_of(partition),
	    &(struct controller_leadership){.leader = znode->leader,
					    .leader_epoch = znode->leader_epoch,
					    .controller_epoch = znode->controller_epoch,
					    .isr = znode->isr.ids,
					    .isr_count = znode->isr.count,
					    .recovering = znode->recovering,
					    .partition_epoch = znode->version});
}

static int
settle(const struct write *write, struct effects *again)
{
	struct office *o = &w.brokers[write->id].office;
	const struct effect *e = write->effect;

	controller_state_written(o->cs, e->topic, e->partition, write->result, write->version);
	if (write->result != -EAGAIN)
		return write->result;
	w.sums.conflicts++;
	if (!w.zk.states[write->partition].exists)
		return 0;
	put_leadership(o, write->partition);
	if (w.zk.states[write->partition].controller_epoch > o->epoch)
		return -ESTALE;
	controller_state_decide_again(o->cs, e->topic, e->partition, again);
	return 0;
}

/* All writes are sent, and then the answers looked at. */
static int
write_states(int id, const struct effects *fx, struct effects *again)
{
	struct write writes[PARTITIONS];
	int st = 0, count = 0;

	for (const struct effect *e = fx->first; e != NULL; e = e->next) {
		int topic;

		if (e->kind != EFFECT_WRITE_STATE)
			continue;
		HOLDS(count < PARTITIONS);
		topic = topic_named(e->topic);
		writes[count] = (struct write){.id = id,
					       .effect = e,
					       .topic = topic,
					       .partition = partition_of(topic, e->partition)};
		st = ensemble_write(&writes[count++], ensemble_write_state);
		if (st != 0)
			return st;
	}
	for (int i = 0; i < count; i++) {
		int settled = settle(&writes[i], again);

		if (st == 0)
			st = settled;
	}
	return st;
}

static int
write_assignments(int id, const struct effects *fx, struct effects *next)
{
	int st = 0;

	for (const struct effect *e = fx->first; st == 0 && e != NULL; e = e->next) {
		struct write write = {.id = id, .effect = e};

		if (e->kind != EFFECT_WRITE_TOPIC)
			continue;
		write.topic = topic_named(e->topic);
		st = ensemble_write(&write, ensemble_write_assignments);
		if (st == 0 && write.result == -ESTALE)
			st = -ESTALE;
		if (st == 0)
			controller_state_topic_written(w.brokers[id].office.cs, e->topic,
						       write.result, next);
	}
	return st;
}

static int
write_deletion(int id, int topic, int partition, write_fn *fn)
{
	struct write write = {.id = id, .topic = topic, .partition = partition};
	int st = ensemble_write(&write, fn);

	return st != 0 ? st : write.result;
}

static int
delete_topic(int id, const char *name)
{
	int topic = topic_named(name), st = 0;

	for (int p = 0; st == 0 && p < PARTITIONS; p++)
		if (topic_of(p) == topic)
			st = write_deletion(id, topic, p, ensemble_delete_state);
	if (st == 0)
		st = write_deletion(id, topic, 0, ensemble_delete_topic);
	if (st == 0)
		st = write_deletion(id, topic, 0, ensemble_delete_request);
	if (st == 0)
		controller_state_topic_deleted(w.brokers[id].office.cs, name);
	return st;
}

/* Everything but the writes of states and assignments, in order. */
static int
carry_out_rest(int id, const struct effects *fx)
{
	int st = 0;

	for (const struct effect *e = fx->first; st == 0 && e != NULL; e = e->next) {
		if (e->kind == EFFECT_SEND)
			enqueue(&w.brokers[id].office, e);
		else if (e->kind == EFFECT_DELETE_TOPIC)
			st = delete_topic(id, e->topic);
		else if (e->kind == EFFECT_DELETE_REQUEST)
			st = write_deletion(id, topic_named(e->topic), 0, ensemble_delete_request);
	}
	return st;
}

static int
carry_out_round(int id, struct effects *now, struct effects *next)
{
	int st = write_states(id, now, next);

	if (st == 0)
		st = write_assignments(id, now, next);
	return st != 0 ? st : carry_out_rest(id, now);
}

bool
office_carry_out(int id, struct effects *fx)
{
	struct effects now = *fx, next;
	int st = 0;

	for (int round = 0; st == 0; round++) {
		HOLDS(round < ROUNDS_MAX);
		effects_init(&next);
		st = carry_out_round(id, &now, &next);
		if (st == 0 && next.first == NULL)
			controller_state_flush(w.brokers[id].office.cs, &next);
		effects_fini(&now);
		now = next;
		if (now.first == NULL)
			break;
	}
	effects_fini(&now);
	if (st != 0)
		lost_office(id, st);
	return st == 0;
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

/* fx NULL: a fact. */
static void
read_topic(struct office *o, int topic, struct effects *fx)
{
	struct controller_assignment assignments[PARTITIONS];
	struct uuid id = topic_id(topic, w.zk.topics[topic].incarnation);
	int32_t count = 0;

	for (int p = 0; p < PARTITIONS; p++) {
		const struct assignment *a = &w.zk.assignments[p];

		if (topic_of(p) == topic)
			assignments[count++] = (struct controller_assignment){
			    .partition = number_of(p),
			    .replicas = a->replicas.ids,
			    .replica_count = a->replicas.count,
			    .adding = a->adding.ids,
			    .adding_count = a->adding.count,
			    .removing = a->removing.ids,
			    .removing_count = a->removing.count,
			};
	}
	controller_state_topic(o->cs, topic_name(topic), &id, assignments, count, fx);
	controller_state_set_unclean(o->cs, topic_name(topic), w.zk.topics[topic].unclean, NULL);
}

static void
read_deletions(int id, struct effects *fx)
{
	w.brokers[id].deletions_changed = false;
	for (int t = 0; t < w.topic_count; t++)
		if (w.zk.topics[t].to_be_deleted)
			controller_state_delete(w.brokers[id].office.cs, topic_name(t), fx);
}

static void
read_topics(int id, struct effects *fx)
{
	struct office *o = &w.brokers[id].office;
	const char *names[TOPICS];
	bool added[TOPICS] = {false};
	size_t count = 0;

	w.brokers[id].topics_changed = false;
	for (int t = 0; t < w.topic_count; t++)
		if (w.zk.topics[t].exists) {
			added[t] = !controller_state_knows_topic(o->cs, topic_name(t));
			names[count++] = topic_name(t);
		}
	controller_state_topic_names(o->cs, names, count);
	for (int t = 0; t < w.topic_count; t++)
		if (added[t])
			read_topic(o, t, fx);
}

/* A new controller tells everybody everything anyway. */
static void
read_directories(int id, bool probes)
{
	w.brokers[id].dirs_changed = false;
	for (int i = 0; i < w.broker_count; i++)
		if (w.zk.dir_events[i] && probes)
			controller_state_probe(w.brokers[id].office.cs, i);
	memset(w.zk.dir_events, 0, sizeof(w.zk.dir_events));
}

static void
take_office(int id)
{
	struct office *o = &w.brokers[id].office;
	struct effects fx;

	effects_init(&fx);
	w.brokers[id].topics_changed = false;
	read_directories(id, false);
	for (int t = 0; t < w.topic_count; t++)
		if (w.zk.topics[t].exists)
			read_topic(o, t, NULL);
	for (int p = 0; p < PARTITIONS; p++)
		if (topic_znode_of(p)->exists && w.zk.states[p].exists)
			put_leadership(o, p);
	read_deletions(id, &fx);
	o->stage = OFFICE_SERVES;
	controller_state_take_office(o->cs, &fx);
	office_carry_out(id, &fx);
}

/* What watches have told. */
static void
look_again(int id)
{
	struct broker *b = &w.brokers[id];
	struct effects fx;

	effects_init(&fx);
	if (b->brokers_changed)
		read_brokers(id, &fx);
	else if (b->topics_changed)
		read_topics(id, &fx);
	else if (b->deletions_changed)
		read_deletions(id, &fx);
	else if (b->dirs_changed)
		read_directories(id, true);
	office_carry_out(id, &fx);
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
		look_again(id);
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
	if (b->office.stage == OFFICE_NONE && ensemble_elect(id)) {
		b->office.stage = OFFICE_ELECTED;
		controller_state_reset(b->office.cs, b->office.epoch);
	}
}

void
office_turn(int id)
{
	struct broker *b = &w.brokers[id];

	send_commands(id);
	if (b->cut_from_ensemble || b->office.waits)
		return;
	if (!ensemble_has_session(id)) {
		if (percent(30))
			broker_session_lost(id);
		return;
	}
	if (b->dir_untold)
		ensemble_tell_of_directory(id);
	b->dir_untold = false;
	if (b->controller_changed && percent(60))
		look_at_controller(id);
	if (percent(60))
		go_on(id);
}

/* ---- what brokers ask ---- */

static void
answer_alteration(const struct office *o, struct alteration *a, int partition)
{
	struct controller_leadership now;
	struct members isr;
	struct uuid topic;

	if (a->partitions[partition].error != 0)
		return;
	topic = topic_id(topic_of(partition), a->partitions[partition].incarnation);
	if (!controller_state_leadership(o->cs, &topic, number_of(partition), &now)) {
		a->partitions[partition].error = K_INVALID_UPDATE_VERSION;
		return;
	}
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
		struct uuid topic = topic_id(topic_of(p), a->partitions[p].incarnation);

		if (a->partitions[p].asked)
			a->partitions[p].error = controller_state_alter_partition(
			    o->cs, from, &topic, number_of(p), &wanted, &fx);
	}
	if (!office_carry_out(id, &fx)) {
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

	s->error = K_STALE_CONTROLLER_EPOCH;
	if (o->stage != OFFICE_SERVES)
		return;
	effects_init(&fx);
	s->error = controller_state_shut_down(o->cs, from, s->broker_epoch, &fx);
	if (!office_carry_out(id, &fx)) {
		s->error = K_STALE_CONTROLLER_EPOCH;
	} else if (s->error == 0) {
		controller_state_each_led(o->cs, from, note_led, &s->leads_still);
	}
}
