/*
 * The process of a broker as far as its controller needs it: the real controller (controller.c and
 * all of its office), whose thread is our turns; its session (replication_ensemble.c); and its
 * requests to brokers, encoded by it, decoded here, and put on the links. controller_channel.h is
 * implemented here in the place of controller_channel.c.
 */
#include "tests/sim/replication_world.h"

#include <errno.h>
#include <stdlib.h>

#include "controller/controller_actor.h"
#include "replica/fencing.h"
#include "wire/api_table.h"
#include "wire/generated/alter_partition.h"
#include "wire/generated/controlled_shutdown.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"
#include "zk/znode_broker.h"

#define ARENA_BYTES ((size_t)1 << 20)
#define ALTER_PARTITION_VERSION 3

/* One that waits on a link. */
struct request {
	struct request *next;
	struct command command;
	int16_t api_version;
	/* To ourselves. */
	controller_response_fn *done;
	void *done_arg;
};

static void *
must(void *p)
{
	HOLDS(p != NULL);
	return p;
}

/* ---- requests, decoded ---- */

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
decode(const struct buf *body, int version, struct command *c)
{
	struct leader_and_isr_request lai;
	struct update_metadata_request um;
	struct stop_replica_request sr;
	struct arena arena;
	struct wire_in in;

	arena_init(&arena, ARENA_BYTES);
	wire_in_init(&in, buf_slice(body), &arena);
	if (c->api_key == API_LEADER_AND_ISR) {
		HOLDS(leader_and_isr_request_decode(&lai, version, &in) == 0);
		fill_leader_and_isr(&lai, c);
	} else if (c->api_key == API_UPDATE_METADATA) {
		HOLDS(update_metadata_request_decode(&um, version, &in) == 0);
		fill_update_metadata(&um, c);
	} else {
		HOLDS(stop_replica_request_decode(&sr, version, &in) == 0);
		fill_stop_replica(&sr, c);
	}
	HOLDS(wire_in_left(&in) == 0);
	arena_fini(&arena);
}

/* ---- answers, encoded ---- */

static void
encode_leader_and_isr(const struct command *c, int version, struct wire_out *out)
{
	struct leader_and_isr_partition_error errors[PARTITIONS];
	struct leader_and_isr_topic_error topics[PARTITIONS];
	struct leader_and_isr_response resp;

	leader_and_isr_response_init(&resp);
	resp.error_code = (int16_t)c->error;
	resp.topics = topics;
	for (int p = 0; p < PARTITIONS && c->error == 0; p++) {
		int32_t n = resp.topics_count;

		if (!c->partitions[p].told)
			continue;
		errors[n] = (struct leader_and_isr_partition_error){
		    .partition_index = number_of(p), .error_code = (int16_t)c->partitions[p].error};
		topics[n] = (struct leader_and_isr_topic_error){
		    topic_id(topic_of(p), c->partitions[p].incarnation), &errors[n], 1};
		resp.topics_count++;
	}
	HOLDS(leader_and_isr_response_encode(&resp, version, out) == 0);
}

static void
encode_stop_replica(const struct command *c, int version, struct wire_out *out)
{
	struct stop_replica_partition_error errors[PARTITIONS];
	struct stop_replica_response resp;

	stop_replica_response_init(&resp);
	resp.error_code = (int16_t)c->error;
	resp.partition_errors = errors;
	for (int p = 0; p < PARTITIONS && c->error == 0; p++)
		if (c->partitions[p].told)
			errors[resp.partition_errors_count++] =
			    (struct stop_replica_partition_error){str_of(topic_name(topic_of(p))),
								  number_of(p),
								  (int16_t)c->partitions[p].error};
	HOLDS(stop_replica_response_encode(&resp, version, out) == 0);
}

static void
encode_answer(const struct command *c, int version, struct buf *body)
{
	struct update_metadata_response um = {.error_code = (int16_t)c->error};
	struct wire_out out;

	wire_out_init(&out, body);
	if (c->api_key == API_LEADER_AND_ISR)
		encode_leader_and_isr(c, version, &out);
	else if (c->api_key == API_STOP_REPLICA)
		encode_stop_replica(c, version, &out);
	else
		HOLDS(update_metadata_response_encode(&um, version, &out) == 0);
	wire_out_fini(&out);
}

/* ---- links ---- */

static void
enqueue(struct controller_channel *ch, int16_t api_key, int16_t api_version, struct buf *body,
	controller_response_fn *done, void *done_arg)
{
	struct request *r = must(calloc(1, sizeof(*r)));

	r->api_version = api_version;
	r->done = done;
	r->done_arg = done_arg;
	r->command.api_key = api_key;
	decode(body, api_version, &r->command);
	buf_fini(body);
	*ch->last = r;
	ch->last = &r->next;
}

static struct request *
dequeue(struct controller_channel *ch)
{
	struct request *r = ch->first;

	ch->first = r->next;
	if (ch->first == NULL)
		ch->last = &ch->first;
	return r;
}

int
controller_channel_open(const struct controller_settings *settings, struct mailbox *mailbox,
			int32_t broker_id, const char *host, int32_t port,
			controller_channel_fn *fn, void *arg,
			struct controller_channel **ret_channel)
{
	struct process *p = settings->arg;
	struct controller_channel *ch = &p->channels[broker_id];

	(void)host;
	HOLDS(broker_id != p->id && port == 9092 && !ch->open && ch->first == NULL);
	HOLDS(mailbox == controller_mailbox(p->controller));
	ch->open = true;
	ch->opening++;
	ch->fn = fn;
	ch->arg = arg;
	*ret_channel = ch;
	return 0;
}

/* No broker of this world changes its address while it lives. */
void
controller_channel_move(struct controller_channel *ch, const char *host, int32_t port)
{
	(void)host, (void)port;
	HOLDS(!ch->open);
}

void
controller_channel_close(struct controller_channel *ch)
{
	if (ch == NULL)
		return;
	if (!ch->process->dead)
		world_note_strays(ch->to);
	ch->open = false;
	ch->call_id = 0;
	while (ch->first != NULL)
		free(dequeue(ch));
}

void
controller_channel_send(struct controller_channel *ch, int16_t api_key, int16_t api_version,
			struct buf *body)
{
	HOLDS(ch->open);
	enqueue(ch, api_key, api_version, body, NULL, NULL);
}

/* To ourselves: this link is never closed. */
static void
request_locally(void *arg, int16_t api_key, int16_t api_version, struct buf *body,
		controller_response_fn *done, void *done_arg)
{
	struct process *p = arg;

	enqueue(&p->channels[p->id], api_key, api_version, body, done, done_arg);
}

static void
send_commands(struct process *p)
{
	for (int to = 0; to < w.broker_count; to++) {
		struct controller_channel *ch = &p->channels[to];
		struct call *call;

		if (ch->first == NULL || ch->call_id != 0 ||
		    !percent(w.calm ? 80 : w.command_percent))
			continue;
		call = call_begin(CALL_COMMAND, p->id, to);
		if (call == NULL)
			continue;
		call->command = ch->first->command;
		ch->call_id = call->id;
	}
}

/* An answer on its way to the controller's thread. */
struct parcel {
	struct controller_channel *ch;
	uint32_t opening;
	int16_t api_key, api_version;
	struct buf body;
};

static void
run_parcel(void *arg)
{
	struct parcel *parcel = arg;
	const struct controller_channel *ch = parcel->ch;

	if (ch->open && ch->opening == parcel->opening)
		ch->fn(ch->arg, ch->to, parcel->api_key, parcel->api_version,
		       buf_slice(&parcel->body));
	buf_fini(&parcel->body);
	free(parcel);
}

void
office_answered(int id, int to, const struct command *answer)
{
	struct process *p = w.brokers[id].process;
	struct controller_channel *ch = &p->channels[to];
	struct request *r = dequeue(ch);
	struct parcel *parcel = must(calloc(1, sizeof(*parcel)));

	*parcel = (struct parcel){ch, ch->opening, answer->api_key, r->api_version, {0}};
	encode_answer(answer, r->api_version, &parcel->body);
	if (r->done == NULL) {
		mailbox_post(controller_mailbox(p->controller), run_parcel, parcel);
	} else {
		r->done(r->done_arg, 0, buf_slice(&parcel->body));
		buf_fini(&parcel->body);
		free(parcel);
	}
	free(r);
}

uint32_t *
office_waited_for(int id, int to)
{
	static uint32_t nothing;

	return w.brokers[id].process == NULL ? &nothing
					     : &w.brokers[id].process->channels[to].call_id;
}

/* ---- what is known of it ---- */

bool
office_serves(int id)
{
	const struct process *p = w.brokers[id].process;

	return p != NULL && !p->busy && controller_is_active(p->controller);
}

int32_t
office_epoch(int id)
{
	const struct process *p = w.brokers[id].process;

	return p != NULL && atomic_load(&p->controller->active) ? p->controller->epoch : -1;
}

int64_t
office_knows(int id, int32_t broker_id)
{
	const struct process *p = w.brokers[id].process;
	const struct controller_link *link =
	    p == NULL ? NULL : map_get(&p->controller->channels, &broker_id, sizeof(broker_id));

	return link == NULL ? 0 : link->broker_epoch;
}

bool
office_was_asked(int id, int partition, struct members *ret_target)
{
	const struct requested_partitions *rp = &w.brokers[id].process->controller->requested;

	for (size_t i = 0; i < rp->count; i++)
		if (rp->items[i].partition == number_of(partition) &&
		    strcmp(rp->items[i].topic, topic_name(topic_of(partition))) == 0) {
			*ret_target = members_of(rp->items[i].replicas, rp->items[i].replica_count);
			return true;
		}
	return false;
}

/* ---- the process ---- */

static void
process_free(struct process *p)
{
	struct controller_channel *own = &p->channels[p->id];

	/* It must not leave anything behind in our memory, whatever a process that is killed does.
	 */
	p->events.on_session(p->events.arg, ZK_EXPIRED);
	while (own->first != NULL) {
		struct request *r = dequeue(own);

		r->done(r->done_arg, 0, (struct slice){0});
		free(r);
	}
	controller_close(p->controller);
	free(p);
}

struct controller *
process_enter(int id)
{
	struct process *p = w.brokers[id].process;

	HOLDS(!p->busy && !p->dead);
	p->busy = true;
	return p->controller;
}

void
process_leave(struct controller *c)
{
	struct process *p = c->settings.arg;

	p->busy = false;
	if (p->dead)
		process_free(p);
}

static int
register_broker(void *arg, struct zk *zk)
{
	char name[] = "PLAINTEXT", host[] = "h";
	struct broker_endpoint endpoint = {name, host, 9092, name};
	struct process *p = arg;
	struct broker_registration reg = {
	    .broker_id = p->id, .endpoints = &endpoint, .endpoint_count = 1};
	int st = znode_broker_register(zk, &reg, p->last_session_id, w.now_ms);

	if (st == 0 && !p->dead) {
		p->last_session_id = zk_session_id(zk);
		w.brokers[p->id].epoch = reg.broker_epoch;
	}
	return st;
}

static void
on_watch(void *arg, enum zk_watch_type type, const char *path)
{
	struct process *p = arg;

	if (!p->dead)
		p->events.on_watch(p->events.arg, type, path);
}

static void
on_session(void *arg, enum zk_session_state state)
{
	struct process *p = arg;

	if (p->dead)
		return;
	if (state == ZK_NEW_SESSION) {
		world_trace("broker %d opens another session", p->id);
		w.zk.sessions[p->id] = true;
	}
	p->events.on_session(p->events.arg, state);
}

static void
pass_over_watch(void *arg, struct zk *zk, enum zk_watch_type type, const char *path)
{
	(void)arg;
	(void)zk;
	(void)type;
	(void)path;
}

static void
pass_over_session(void *arg, enum zk_session_state state)
{
	(void)arg;
	(void)state;
}

void
process_begin(int id)
{
	struct process *p = must(calloc(1, sizeof(*p)));
	struct zk_events events = {on_watch, on_session, p};
	struct controller_settings settings = {.env = world_env(),
					       .conf = &w_conf,
					       .broker_id = id,
					       .inter_broker_listener = "PLAINTEXT",
					       .local_request = request_locally,
					       .register_broker = register_broker,
					       .on_watch = pass_over_watch,
					       .on_session = pass_over_session,
					       .arg = p};

	p->id = id;
	p->zk.ops = &ensemble_session_ops;
	for (int to = 0; to < BROKERS; to++) {
		p->channels[to].process = p;
		p->channels[to].to = to;
		p->channels[to].last = &p->channels[to].first;
	}
	HOLDS(controller_open(&settings, &p->controller) == 0);
	p->events = controller_zk_events(p->controller);
	session_open(&p->session, &events);
	w.brokers[id].process = p;
	w.zk.sessions[id] = true;
	HOLDS(register_broker(p, &p->zk) == 0);
}

void
process_end(int id)
{
	struct broker *b = &w.brokers[id];
	struct process *p = b->process;

	if (office_epoch(id) >= 0)
		world_note_strays(-1);
	b->process = NULL;
	b->ghost = p->session;
	p->session = (struct session){0};
	if (!w.zk.sessions[id])
		session_end(&b->ghost);
	p->dead = true;
	if (!p->busy)
		process_free(p);
}

/* What has arrived, and what is due. */
static void
run_controller(struct process *p)
{
	struct controller *c = process_enter(p->id);

	if (!p->began) {
		p->began = true;
		controller_begin(c, &p->zk);
	}
	if (!p->dead && percent(w.zk.sessions[p->id] ? 60 : 30))
		mailbox_run(p->session.news);
	if (!p->dead && percent(60))
		mailbox_run(controller_mailbox(c));
	if (!p->dead)
		controller_run_timers(c);
	process_leave(c);
}

void
office_turn(int id)
{
	struct broker *b = &w.brokers[id];

	send_commands(b->process);
	if (b->cut_from_ensemble || b->process->busy)
		return;
	if (b->dir_untold)
		ensemble_tell_of_directory(id);
	b->dir_untold = false;
	run_controller(b->process);
}

/* ---- what brokers ask ---- */

static void
fill_request(const struct alteration *a, int from, struct arena *arena,
	     struct alter_partition_request *req)
{
	alter_partition_request_init(req);
	req->broker_id = from;
	req->broker_epoch = a->broker_epoch;
	req->topics = must(alter_partition_request_topic_data_new(arena, PARTITIONS));
	for (int p = 0; p < PARTITIONS; p++) {
		struct alter_partition_request_topic_data *t = &req->topics[req->topics_count];
		const struct members *isr = &a->partitions[p].isr;

		if (!a->partitions[p].asked)
			continue;
		req->topics_count++;
		t->topic_id = topic_id(topic_of(p), a->partitions[p].incarnation);
		t->partitions = must(alter_partition_request_partition_data_new(arena, 1));
		t->partitions_count = 1;
		t->partitions->partition_index = number_of(p);
		t->partitions->leader_epoch = a->partitions[p].leader_epoch;
		t->partitions->partition_epoch = a->partitions[p].partition_epoch;
		t->partitions->new_isr_with_epochs = must(broker_state_new(arena, isr->count));
		t->partitions->new_isr_with_epochs_count = isr->count;
		for (int32_t i = 0; i < isr->count; i++)
			t->partitions->new_isr_with_epochs[i] =
			    (struct broker_state){isr->ids[i], a->partitions[p].isr_epochs[i]};
	}
}

static void
take_response(const struct alter_partition_response *resp, struct alteration *a)
{
	int32_t n = 0;

	a->error = resp->error_code;
	for (int p = 0; p < PARTITIONS && a->error == 0; p++) {
		const struct alter_partition_response_partition_data *d;

		if (!a->partitions[p].asked)
			continue;
		HOLDS(n < resp->topics_count);
		d = resp->topics[n++].partitions;
		HOLDS(d->partition_index == number_of(p));
		a->partitions[p].error = d->error_code;
		a->partitions[p].new_leader_epoch = d->leader_epoch;
		a->partitions[p].new_partition_epoch = d->partition_epoch;
		a->partitions[p].new_isr = members_of(d->isr, d->isr_count);
	}
}

void
office_alter(int id, int from, struct alteration *a)
{
	struct controller *c = process_enter(id);
	struct alter_partition_response resp;
	struct alter_partition_request req;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	fill_request(a, from, &arena, &req);
	controller_alter_partition(c, &req, ALTER_PARTITION_VERSION, &arena, &resp);
	take_response(&resp, a);
	arena_fini(&arena);
	process_leave(c);
}

void
office_shut_down(int id, int from, struct shutdown *s)
{
	struct controller *c = process_enter(id);
	struct controlled_shutdown_response resp;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	controller_shut_down_broker(c, from, s->broker_epoch, &arena, &resp);
	s->error = resp.error_code;
	s->leads_still = resp.remaining_partitions_count > 0;
	arena_fini(&arena);
	process_leave(c);
}
