/*
 * The office of the active controller: it reads znodes into the model, carries out the effects
 * that come of it, and takes the brokers' answers.
 *
 * Every write is fenced by the version of /controller_epoch: when another broker was elected the
 * first write fails with -ESTALE, and that ends the office. Reads and writes are pipelined.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "controller/controller_actor.h"
#include "net/endpoint.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/kerr.h"
#include "zk/znode_broker.h"
#include "zk/znode_config.h"
#include "zk/znode_controller.h"
#include "zk/znode_topic.h"

/* What Kafka 3.9 sends. */
#define LEADER_AND_ISR_VERSION 7
#define STOP_REPLICA_VERSION 4
#define UPDATE_METADATA_VERSION 8
#define ROUNDS_MAX 64 /* conflicts are few, and what follows from a write is soon done */

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- requests to brokers ---- */

static int
version_of(int16_t api_key)
{
	return api_key == API_LEADER_AND_ISR ? LEADER_AND_ISR_VERSION
	       : api_key == API_STOP_REPLICA ? STOP_REPLICA_VERSION
					     : UPDATE_METADATA_VERSION;
}

static void
take_leader_and_isr(struct controller *c, int32_t broker_id, struct wire_in *in, struct effects *fx)
{
	struct leader_and_isr_response resp;

	if (leader_and_isr_response_decode(&resp, LEADER_AND_ISR_VERSION, in) != 0)
		return;
	if (resp.error_code != 0)
		diag_warn(DIAG_CONTROLLER, "a broker refused a request",
			  "broker=%d api=%s error=%s", broker_id, "LeaderAndIsr",
			  kerr_name(resp.error_code));
	for (int32_t t = 0; t < resp.topics_count; t++) {
		const struct leader_and_isr_topic_error *te = &resp.topics[t];

		for (int32_t i = 0; i < te->partition_errors_count; i++) {
			int16_t error = te->partition_errors[i].error_code;

			if (error == 0 || error == K_KAFKA_STORAGE_ERROR)
				controller_state_replica_offline(
				    c->state, &te->topic_id,
				    te->partition_errors[i].partition_index, broker_id, error != 0,
				    fx);
		}
	}
}

/* Requests and their answers come in the same order: what the oldest is to be handed back with. */
static uint64_t
oldest_deletion(struct controller *c, int32_t broker_id)
{
	struct controller_link *link = map_get(&c->channels, &broker_id, sizeof(broker_id));
	uint64_t deletion;

	if (link == NULL || link->stops.len < sizeof(deletion))
		return 0;
	memcpy(&deletion, link->stops.data, sizeof(deletion));
	link->stops.len -= sizeof(deletion);
	memmove(link->stops.data, link->stops.data + sizeof(deletion), link->stops.len);
	return deletion;
}

static void
take_stop_replica(struct controller *c, int32_t broker_id, struct wire_in *in, struct effects *fx)
{
	uint64_t deletion = oldest_deletion(c, broker_id);
	struct stop_replica_response resp;

	if (deletion == 0 || stop_replica_response_decode(&resp, STOP_REPLICA_VERSION, in) != 0)
		return;
	for (int32_t i = 0; i < resp.partition_errors_count; i++) {
		const struct stop_replica_partition_error *pe = &resp.partition_errors[i];

		controller_state_replica_deleted(c->state, pe->topic_name.data, pe->partition_index,
						 broker_id, deletion,
						 resp.error_code == 0 && pe->error_code == 0, fx);
	}
}

/* An answer has come: in the mailbox. */
static void
on_answer(void *arg, int32_t broker_id, int16_t api_key, int16_t api_version, struct slice body)
{
	struct controller *c = arg;
	struct effects fx;
	struct arena arena;
	struct wire_in in;
	int st;

	(void)api_version;
	if (!atomic_load(&c->active))
		return;
	controller_state_set_time(c->state, env_now_ms(c->settings.env));
	effects_init(&fx);
	arena_init(&arena, ((size_t)16 << 20) + body.len * 64);
	wire_in_init(&in, body, &arena);
	if (api_key == API_LEADER_AND_ISR)
		take_leader_and_isr(c, broker_id, &in, &fx);
	else if (api_key == API_STOP_REPLICA)
		take_stop_replica(c, broker_id, &in, &fx);
	arena_fini(&arena);
	st = office_carry_out(c, &fx);
	effects_fini(&fx);
	if (st != 0)
		controller_lost_office(c, st);
}

/* An answer of our own broker, from its thread to the mailbox. */
struct own_answer {
	struct controller *c;
	int32_t epoch;
	int16_t api_key;
	struct buf body;
};

static void
run_own_answer(void *arg)
{
	struct own_answer *own = arg;

	/*
	 * Requests that a controller serves look at this broker's metadata: they may come once it
	 * knows who is alive under this controller.
	 */
	if (own->epoch == own->c->epoch && own->api_key == API_UPDATE_METADATA &&
	    atomic_load(&own->c->active)) {
		atomic_store(&own->c->active_id, own->c->settings.broker_id);
		atomic_store(&own->c->serving, true);
	}
	if (own->epoch == own->c->epoch)
		on_answer(own->c, own->c->settings.broker_id, own->api_key, 0,
			  buf_slice(&own->body));
	buf_fini(&own->body);
	free(own);
}

static void
on_own_answer(void *arg, int status, struct slice body)
{
	struct own_answer *own = arg;

	if (status == 0)
		buf_append(&own->body, body.data, body.len);
	else
		diag_error(DIAG_CONTROLLER, "our own broker did not understand us", "api=%s",
			   wire_api(own->api_key)->name);
	mailbox_post(own->c->mailbox, run_own_answer, own);
}

static void
remember_stop(struct controller_link *link, uint64_t deletion)
{
	buf_append(&link->stops, &deletion, sizeof(deletion));
	if (link->stops.failed)
		abort();
}

static void
send_request(struct controller *c, const struct effect *e)
{
	struct controller_link *link = map_get(&c->channels, &e->broker_id, sizeof(e->broker_id));
	int version = version_of(e->api_key);
	struct buf body = {0};
	struct wire_out out;

	if (link == NULL)
		return;
	wire_out_init(&out, &body);
	if (wire_encode(wire_api(e->api_key)->request, e->request, version, &out) != 0)
		abort(); /* our own structs, at a version that we chose */
	wire_out_fini(&out);
	if (e->api_key == API_STOP_REPLICA)
		remember_stop(link, e->deletion);
	if (link->channel != NULL) {
		controller_channel_send(link->channel, e->api_key, (int16_t)version, &body);
	} else {
		struct own_answer *own = must(calloc(1, sizeof(*own)));

		own->c = c;
		own->epoch = c->epoch;
		own->api_key = e->api_key;
		c->settings.local_request(c->settings.arg, e->api_key, (int16_t)version, &body,
					  on_own_answer, own);
	}
}

/* ---- carrying out ---- */

static int
delete_topic(struct controller *c, const char *topic)
{
	char path[ZNODE_PATH_MAX];
	int st;

	znode_topic_path(topic, path);
	st = office_delete_tree(c, path);
	if (st == 0) {
		snprintf(path, sizeof(path), "/config/topics/%s", topic);
		st = office_delete_fenced(c, path);
	}
	if (st == 0) {
		snprintf(path, sizeof(path), "/admin/delete_topics/%s", topic);
		st = office_delete_fenced(c, path);
	}
	if (st == 0) {
		diag_info(DIAG_CONTROLLER, "deleted a topic", "topic=%s", topic);
		controller_state_topic_deleted(c->state, topic);
	}
	return st;
}

static int
delete_request(struct controller *c, const char *topic)
{
	char path[ZNODE_PATH_MAX];

	snprintf(path, sizeof(path), "/admin/delete_topics/%s", topic);
	return office_delete_fenced(c, path);
}

/* Everything but the writes of states, in order. */
static int
carry_out_rest(struct controller *c, const struct effects *fx)
{
	int st = 0;

	for (const struct effect *e = fx->first; st == 0 && e != NULL; e = e->next) {
		if (e->kind == EFFECT_SEND)
			send_request(c, e);
		else if (e->kind == EFFECT_DELETE_TOPIC)
			st = delete_topic(c, e->topic);
		else if (e->kind == EFFECT_DELETE_REQUEST)
			st = delete_request(c, e->topic);
		else if (e->kind == EFFECT_REASSIGNED)
			office_reassigned(c, e);
	}
	return st;
}

/* One round: the states first, then the rest; what comes of it goes into next. */
static int
carry_out_round(struct controller *c, struct effects *now, struct effects *next)
{
	int st = office_write_states(c, now, next);

	if (st == 0)
		st = office_write_topics(c, now, next);
	return st != 0 ? st : carry_out_rest(c, now);
}

/* What an event has changed of what is counted, and how long its elections took. */
static void
measure(struct controller *c, int64_t began_us)
{
	const struct controller_metrics *m = &c->metrics;
	struct controller_counts n;
	int64_t elections;

	controller_state_count(c->state, &n);
	elections = (int64_t)n.elections - c->elections;
	metric_set(m->offline_partitions, (int64_t)n.offline_partitions);
	metric_set(m->preferred_imbalance, (int64_t)n.preferred_imbalance);
	metric_set(m->topics_to_delete, (int64_t)n.topics_to_delete);
	metric_add(m->elections, elections);
	metric_add(m->unclean_elections, (int64_t)n.unclean_elections - c->unclean_elections);
	c->elections = (int64_t)n.elections;
	c->unclean_elections = (int64_t)n.unclean_elections;
	if (elections > 0)
		histogram_observe(m->election_time, env_monotonic_us(c->settings.env) - began_us);
}

/* Round by round, until nothing follows any more and the brokers have been told. */
int
office_carry_out(struct controller *c, struct effects *fx)
{
	struct effects now = *fx, next;
	int64_t began_us =
	    c->event_began_us != 0 ? c->event_began_us : env_monotonic_us(c->settings.env);
	int st = 0;

	controller_state_set_time(c->state, env_now_ms(c->settings.env));
	if (now.first == NULL)
		now.last = &now.first;
	effects_init(fx); /* `now` has taken them over */
	for (int round = 0; st == 0; round++) {
		effects_init(&next);
		st = round < ROUNDS_MAX ? carry_out_round(c, &now, &next) : -ELOOP;
		if (st == 0 && next.first == NULL)
			controller_state_flush(c->state, &next);
		effects_fini(&now);
		now = next;
		if (now.first == NULL)
			break;
	}
	effects_fini(&now);
	measure(c, began_us);
	return st != 0 ? st : office_write_requested(c);
}

/* ---- brokers ---- */

static void
link_free(struct controller_link *link)
{
	controller_channel_close(link->channel);
	buf_fini(&link->stops);
	free(link->host);
	free(link);
}

static const struct broker_endpoint *
inter_broker_endpoint(const struct controller *c, const struct broker_registration *reg)
{
	for (size_t i = 0; i < reg->endpoint_count; i++)
		if (strcmp(reg->endpoints[i].listener, c->settings.inter_broker_listener) == 0)
			return &reg->endpoints[i];
	return NULL;
}

static void
open_link(struct controller *c, const struct broker_registration *reg)
{
	const struct broker_endpoint *e = inter_broker_endpoint(c, reg);
	struct controller_link *link = must(calloc(1, sizeof(*link)));
	int st = 0;

	link->broker_id = reg->broker_id;
	link->broker_epoch = reg->broker_epoch;
	if (e != NULL) {
		link->host = must(strdup(e->host));
		link->port = e->port;
	}
	if (reg->broker_id != c->settings.broker_id)
		st = e == NULL
			 ? -EHOSTUNREACH
			 : controller_channel_open(&c->settings, c->mailbox, reg->broker_id,
						   e->host, e->port, on_answer, c, &link->channel);
	if (st != 0) {
		diag_error(DIAG_CONTROLLER, "cannot command a broker",
			   "broker=%d listener=%s error=%s", reg->broker_id,
			   c->settings.inter_broker_listener, strerror(-st));
		link_free(link);
		return;
	}
	if (map_put(&c->channels, &link->broker_id, sizeof(link->broker_id), link, NULL) != 0)
		abort();
}

/* A broker that lives may have moved its listener. */
static void
follow_move(const struct controller *c, struct controller_link *link,
	    const struct broker_registration *reg)
{
	const struct broker_endpoint *e = inter_broker_endpoint(c, reg);

	if (link->channel == NULL || e == NULL ||
	    (link->port == e->port && strcmp(link->host, e->host) == 0))
		return;
	free(link->host);
	link->host = must(strdup(e->host));
	link->port = e->port;
	controller_channel_move(link->channel, link->host, link->port);
}

static void
update_links(struct controller *c, const struct broker_registration *regs, size_t count)
{
	struct map_iter iter = {0};
	struct controller_link *link;

	while ((link = map_next(&c->channels, &iter)) != NULL) {
		const struct broker_registration *reg = NULL;

		for (size_t i = 0; i < count; i++)
			if (regs[i].broker_id == link->broker_id &&
			    regs[i].broker_epoch == link->broker_epoch)
				reg = &regs[i];
		if (reg == NULL) {
			map_remove(&c->channels, &link->broker_id, sizeof(link->broker_id));
			link_free(link);
		} else {
			follow_move(c, link, reg);
		}
	}
	for (size_t i = 0; i < count; i++)
		if (map_get(&c->channels, &regs[i].broker_id, sizeof(regs[i].broker_id)) == NULL)
			open_link(c, &regs[i]);
}

static void
take_brokers(struct controller *c, const struct broker_registration *regs, size_t count,
	     struct effects *fx)
{
	struct controller_broker *brokers =
	    must(arena_calloc(&fx->arena, count + 1, sizeof(*brokers)));

	for (size_t i = 0; i < count; i++) {
		const struct broker_registration *reg = &regs[i];
		struct controller_endpoint *endpoints =
		    must(arena_calloc(&fx->arena, reg->endpoint_count + 1, sizeof(*endpoints)));

		for (size_t e = 0; e < reg->endpoint_count; e++) {
			enum security_protocol protocol = SECURITY_PLAINTEXT;

			if (security_protocol_parse(reg->endpoints[e].protocol, &protocol) != 0)
				protocol = SECURITY_PLAINTEXT;
			endpoints[e] = (struct controller_endpoint){
			    reg->endpoints[e].listener, reg->endpoints[e].host,
			    reg->endpoints[e].port, (int16_t)protocol};
		}
		brokers[i] = (struct controller_broker){.id = reg->broker_id,
							.epoch = reg->broker_epoch,
							.endpoints = endpoints,
							.endpoint_count = reg->endpoint_count,
							.rack = reg->rack};
	}
	controller_state_brokers(c->state, brokers, count, fx);
}

static int
read_brokers(struct controller *c, struct effects *fx)
{
	struct broker_registration *regs;
	size_t count;
	int st = znode_broker_list(c->zk, true, &regs, &count);

	if (st != 0)
		return st;
	update_links(c, regs, count);
	take_brokers(c, regs, count, fx);
	for (size_t i = 0; i < count; i++)
		broker_registration_fini(&regs[i]);
	free(regs);
	return 0;
}

/* ---- deletion and notifications ---- */

static int
deletions_changed(struct controller *c, struct effects *fx)
{
	struct zk_names names;
	bool enabled = conf_store_get(c->settings.conf)->delete_topic_enable;
	int st = zk_children(c->zk, "/admin/delete_topics", true, &names);

	if (st != 0)
		return st;
	for (size_t i = 0; st == 0 && i < names.count; i++) {
		if (enabled)
			controller_state_delete(c->state, names.names[i], fx);
		else
			st = delete_request(c, names.names[i]);
	}
	zk_names_fini(&names);
	return st;
}

/* Reads and removes notifications; fn may be NULL. */
static int
take_notifications(struct controller *c, const char *root,
		   void (*fn)(struct controller *c, struct slice value, struct effects *fx),
		   struct effects *fx)
{
	struct zk_names names;
	int st = zk_children(c->zk, root, true, &names);

	if (st != 0)
		return st;
	for (size_t i = 0; st == 0 && i < names.count; i++) {
		char path[ZNODE_PATH_MAX];
		struct buf value = {0};

		snprintf(path, sizeof(path), "%s/%s", root, names.names[i]);
		if (fn != NULL && zk_get(c->zk, path, false, &value, NULL) == 0)
			fn(c, buf_slice(&value), fx);
		buf_fini(&value);
		st = office_delete_fenced(c, path);
	}
	zk_names_fini(&names);
	return st;
}

static void
on_log_dir_event(struct controller *c, struct slice value, struct effects *fx)
{
	json_t *object = znode_parse(value);
	int32_t broker;

	(void)fx;
	if (znode_get_int(object, "broker", &broker) == 0)
		controller_state_probe(c->state, broker);
	json_decref(object);
}

static void
on_isr_change(struct controller *c, struct slice value, struct effects *fx)
{
	json_t *object = znode_parse(value), *item;
	size_t i;

	json_array_foreach (json_object_get(object, "partitions"), i, item) {
		const char *topic;
		int32_t partition;

		if (znode_get_text(item, "topic", &topic) == 0 &&
		    znode_get_int(item, "partition", &partition) == 0 &&
		    office_reread_state(c, topic, partition) == 0)
			controller_state_decide_again(c->state, topic, partition, fx);
	}
	json_decref(object);
}

/* ---- the office ---- */

static int
ensure_feature_node(struct controller *c)
{
	static const char features[] = "{\"version\":2,\"status\":1,\"features\":{}}";
	int st = zk_create(c->zk, "/feature",
			   (struct slice){(const uint8_t *)features, strlen(features)},
			   ZK_PERSISTENT, NULL);

	return st == -EEXIST ? 0 : st;
}

/* Facts, and what was asked for before; then everybody is told. */
static int
read_everything(struct controller *c, struct effects *fx)
{
	struct effects ignored;
	int st = ensure_feature_node(c);

	effects_init(&ignored);
	if (st == 0)
		st = take_notifications(c, "/log_dir_event_notification", NULL, NULL);
	if (st == 0)
		st = take_notifications(c, "/isr_change_notification", NULL, NULL);
	if (st == 0)
		st = read_brokers(c, &ignored);
	if (st == 0)
		st = office_read_cluster(c);
	if (st == 0)
		st = deletions_changed(c, fx);
	effects_fini(&ignored);
	return st;
}

int
office_begin(struct controller *c)
{
	int64_t start_ms = env_monotonic_ms(c->settings.env);
	struct controller_counts counts;
	struct effects fx;
	int st;

	controller_state_reset(c->state, c->epoch);
	controller_state_set_time(c->state, env_now_ms(c->settings.env));
	c->unclean = conf_store_get(c->settings.conf)->unclean_leader_election_enable;
	effects_init(&fx);
	st = read_everything(c, &fx);
	if (st == 0) {
		controller_state_take_office(c->state, &fx);
		st = office_carry_out(c, &fx);
	}
	effects_fini(&fx);
	if (st == 0)
		st = office_reassignments_requested(c);
	if (st == 0)
		st = office_elections_requested(c);
	if (st == 0) {
		office_begin_balance(c);
		controller_state_count(c->state, &counts);
		diag_info(DIAG_CONTROLLER, "took the office",
			  "epoch=%d brokers=%zu topics=%zu partitions=%zu took_ms=%lld", c->epoch,
			  counts.brokers, counts.topics, counts.partitions,
			  (long long)(env_monotonic_ms(c->settings.env) - start_ms));
	}
	return st;
}

void
office_end(struct controller *c)
{
	struct map_iter iter = {0};
	struct controller_link *link;

	while ((link = map_next(&c->channels, &iter)) != NULL)
		link_free(link);
	map_fini(&c->channels);
	timers_cancel(&c->timers, &c->balance);
	requested_partitions_fini(&c->requested);
	c->requested_changed = false;
	controller_state_reset(c->state, 0);
	metric_set(c->metrics.offline_partitions, 0);
	metric_set(c->metrics.preferred_imbalance, 0);
	metric_set(c->metrics.topics_to_delete, 0);
}

bool
office_on_watch(struct controller *c, enum zk_watch_type type, const char *path, int *ret_st)
{
	static const char topic_prefix[] = "/brokers/topics/", broker_prefix[] = "/brokers/ids";
	const char *topic = path + strlen(topic_prefix);
	struct effects fx;
	int st = 0;

	effects_init(&fx);
	if (strncmp(path, broker_prefix, strlen(broker_prefix)) == 0) {
		st = read_brokers(c, &fx);
	} else if (strcmp(path, "/brokers/topics") == 0) {
		st = office_topics_changed(c, &fx);
	} else if (strncmp(path, topic_prefix, strlen(topic_prefix)) == 0) {
		if (type == ZK_NODE_CHANGED)
			st = office_read_topics(c, &topic, 1, &fx);
	} else if (strcmp(path, "/admin/delete_topics") == 0) {
		st = deletions_changed(c, &fx);
	} else if (strcmp(path, "/log_dir_event_notification") == 0) {
		st = take_notifications(c, path, on_log_dir_event, &fx);
	} else if (strcmp(path, "/isr_change_notification") == 0) {
		st = take_notifications(c, path, on_isr_change, &fx);
	} else if (strcmp(path, ZNODE_PREFERRED_ELECTION) == 0) {
		st = office_elections_requested(c);
	} else if (strcmp(path, ZNODE_REASSIGN) == 0) {
		st = type == ZK_NODE_CHANGED ? office_requested_changed(c)
					     : office_reassignments_requested(c);
	} else {
		effects_fini(&fx);
		return false;
	}
	if (st == 0)
		st = office_carry_out(c, &fx);
	effects_fini(&fx);
	*ret_st = st;
	return true;
}
