/*
 * From what has changed to the requests that tell it: per broker first LeaderAndIsr, then
 * UpdateMetadata, then StopReplica, as Kafka's ControllerBrokerRequestBatch orders them.
 *
 * A broker that is new since the last flush is told of all partitions; the others of those that
 * changed.
 */
#include <stdlib.h>

#include "controller/controller_model.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"

#define LEADER_DURING_DELETE (-2)
#define LEADER_EPOCH_DURING_DELETE (-2)

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static int32_t *
copy_ids(struct effects *fx, const struct ids *ids)
{
	int32_t *copy = effects_alloc(fx, ((size_t)ids->count + 1) * sizeof(*copy));

	if (ids->count > 0)
		memcpy(copy, ids->items, (size_t)ids->count * sizeof(*copy));
	return copy;
}

static struct str
copy_text(struct effects *fx, const char *text)
{
	return str_of(text == NULL ? NULL : must(arena_strdup(&fx->arena, text, strlen(text))));
}

static void
send_request(struct effects *fx, int32_t broker_id, int16_t api_key, const void *request)
{
	struct effect *e = effects_add(fx, EFFECT_SEND);

	e->broker_id = broker_id;
	e->api_key = api_key;
	e->request = request;
}

/* LeaderAndIsr */

static bool
belongs_to_leader_and_isr(const struct model_broker *b, const struct model_partition *p)
{
	return p != NULL && p->has_leadership && !p->topic->queued_for_deletion &&
	       ids_have(&p->replicas, b->id) && (p->announce || b->is_new);
}

static void
fill_state(struct effects *fx, const struct model_partition *p,
	   struct leader_and_isr_partition_state *state)
{
	state->partition_index = p->number;
	state->controller_epoch = p->controller_epoch;
	state->leader = p->leader;
	state->leader_epoch = p->leader_epoch;
	state->isr = copy_ids(fx, &p->isr);
	state->isr_count = p->isr.count;
	state->partition_epoch = p->partition_epoch;
	state->replicas = copy_ids(fx, &p->replicas);
	state->replicas_count = p->replicas.count;
	state->adding_replicas = copy_ids(fx, &p->adding);
	state->adding_replicas_count = p->adding.count;
	state->removing_replicas = copy_ids(fx, &p->removing);
	state->removing_replicas_count = p->removing.count;
	state->is_new = p->created;
	state->leader_recovery_state = p->recovering;
}

static void
add_live_leaders(struct controller_state *cs, struct effects *fx,
		 struct leader_and_isr_request *req, const struct ids *leaders)
{
	req->live_leaders = must(leader_and_isr_live_leader_new(&fx->arena, leaders->count));
	for (int32_t i = 0; i < leaders->count; i++) {
		const struct model_broker *b = model_broker(cs, leaders->items[i]);

		for (size_t e = 0; b != NULL && e < b->endpoint_count; e++) {
			struct leader_and_isr_live_leader *ll;

			if (strcmp(b->endpoints[e].listener, cs->listener) != 0)
				continue;
			ll = &req->live_leaders[req->live_leaders_count++];
			ll->broker_id = b->id;
			ll->host_name = copy_text(fx, b->endpoints[e].host);
			ll->port = b->endpoints[e].port;
		}
	}
}

static void
add_leader_and_isr_topic(struct effects *fx, const struct model_broker *b,
			 const struct model_topic *t, struct leader_and_isr_request *req,
			 struct ids *leaders)
{
	struct leader_and_isr_topic_state *ts = &req->topic_states[req->topic_states_count];

	ts->partition_states =
	    must(leader_and_isr_partition_state_new(&fx->arena, t->partition_count));
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct model_partition *p = t->partitions[i];

		if (!belongs_to_leader_and_isr(b, p))
			continue;
		fill_state(fx, p, &ts->partition_states[ts->partition_states_count++]);
		if (p->leader >= 0)
			ids_add(leaders, p->leader);
	}
	if (ts->partition_states_count == 0)
		return;
	ts->topic_name = copy_text(fx, t->name);
	ts->topic_id = t->id;
	req->topic_states_count++;
}

/* A topic with news, or any when the broker is new. */
static bool
topic_has_news(const struct model_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		if (t->partitions[i] != NULL &&
		    (t->partitions[i]->announce || t->partitions[i]->announce_metadata ||
		     t->partitions[i]->stop.count > 0))
			return true;
	return false;
}

static void
send_leader_and_isr(struct controller_state *cs, const struct model_broker *b, struct effects *fx)
{
	struct leader_and_isr_request *req = effects_alloc(fx, sizeof(*req));
	struct ids leaders = {0};
	struct map_iter iter = {0};
	const struct model_topic *t;

	leader_and_isr_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->broker_epoch = b->epoch;
	req->topic_states =
	    must(leader_and_isr_topic_state_new(&fx->arena, (int32_t)cs->topics.count));
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (b->is_new || topic_has_news(t))
			add_leader_and_isr_topic(fx, b, t, req, &leaders);
	if (req->topic_states_count > 0) {
		add_live_leaders(cs, fx, req, &leaders);
		send_request(fx, b->id, API_LEADER_AND_ISR, req);
	}
	ids_fini(&leaders);
}

/* UpdateMetadata */

static void
fill_brokers(const struct controller_state *cs, struct effects *fx,
	     struct update_metadata_request *req)
{
	req->live_brokers = must(update_metadata_broker_new(&fx->arena, (int32_t)cs->broker_count));
	req->live_brokers_count = (int32_t)cs->broker_count;
	for (size_t i = 0; i < cs->broker_count; i++) {
		const struct model_broker *b = &cs->brokers[i];
		struct update_metadata_broker *ub = &req->live_brokers[i];

		ub->id = b->id;
		ub->rack = copy_text(fx, b->rack);
		ub->endpoints =
		    must(update_metadata_endpoint_new(&fx->arena, (int32_t)b->endpoint_count));
		ub->endpoints_count = (int32_t)b->endpoint_count;
		for (size_t e = 0; e < b->endpoint_count; e++) {
			ub->endpoints[e].listener = copy_text(fx, b->endpoints[e].listener);
			ub->endpoints[e].host = copy_text(fx, b->endpoints[e].host);
			ub->endpoints[e].port = b->endpoints[e].port;
			ub->endpoints[e].security_protocol = b->endpoints[e].protocol;
		}
	}
}

static void
fill_metadata(const struct controller_state *cs, struct effects *fx,
	      const struct model_partition *p, struct update_metadata_partition_state *state)
{
	struct ids offline = {0};

	for (int32_t i = 0; i < p->replicas.count; i++)
		if (!model_replica_is_online(cs, p, p->replicas.items[i]))
			ids_add(&offline, p->replicas.items[i]);
	state->partition_index = p->number;
	state->controller_epoch = p->controller_epoch;
	state->leader = p->topic->queued_for_deletion ? LEADER_DURING_DELETE : p->leader;
	state->leader_epoch = p->topic->queued_for_deletion ? 0 : p->leader_epoch;
	state->zk_version = p->topic->queued_for_deletion ? 0 : p->partition_epoch;
	state->isr = copy_ids(fx, &p->isr);
	state->isr_count = p->isr.count;
	state->replicas = copy_ids(fx, &p->replicas);
	state->replicas_count = p->replicas.count;
	state->offline_replicas = copy_ids(fx, &offline);
	state->offline_replicas_count = offline.count;
	ids_fini(&offline);
}

static void
add_metadata_topic(const struct controller_state *cs, struct effects *fx,
		   const struct model_topic *t, bool all, struct update_metadata_request *req)
{
	struct update_metadata_topic_state *ts = &req->topic_states[req->topic_states_count];

	ts->partition_states =
	    must(update_metadata_partition_state_new(&fx->arena, t->partition_count));
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct model_partition *p = t->partitions[i];

		if (p != NULL && (t->retire || (p->has_leadership &&
						(all || p->announce || p->announce_metadata))))
			fill_metadata(cs, fx, p,
				      &ts->partition_states[ts->partition_states_count++]);
	}
	if (ts->partition_states_count == 0)
		return;
	ts->topic_name = copy_text(fx, t->name);
	ts->topic_id = t->id;
	req->topic_states_count++;
}

/* One payload for all brokers that get it; all: every partition. */
static struct update_metadata_request *
make_update_metadata(const struct controller_state *cs, struct effects *fx, bool all)
{
	struct update_metadata_request *req = effects_alloc(fx, sizeof(*req));
	struct map_iter iter = {0};
	const struct model_topic *t;

	update_metadata_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->topic_states =
	    must(update_metadata_topic_state_new(&fx->arena, (int32_t)cs->topics.count));
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (all || t->retire || topic_has_news(t))
			add_metadata_topic(cs, fx, t, all, req);
	fill_brokers(cs, fx, req);
	return req;
}

static void
send_update_metadata(struct effects *fx, const struct model_broker *b,
		     const struct update_metadata_request *payload)
{
	struct update_metadata_request *req = effects_alloc(fx, sizeof(*req));

	*req = *payload;
	req->broker_epoch = b->epoch;
	send_request(fx, b->id, API_UPDATE_METADATA, req);
}

/* StopReplica: of topics that go, and of brokers that do */

static void
add_stop_topic(struct effects *fx, const struct model_broker *b, const struct model_topic *t,
	       struct stop_replica_request *req)
{
	struct stop_replica_topic_state *ts = &req->topic_states[req->topic_states_count];

	ts->partition_states =
	    must(stop_replica_partition_state_new(&fx->arena, t->partition_count));
	for (int32_t i = 0; i < t->partition_count; i++) {
		const struct model_partition *p = t->partitions[i];
		struct stop_replica_partition_state *state;

		if (p == NULL || !ids_have(&p->replicas, b->id) ||
		    (t->queued_for_deletion ? ids_have(&p->deleted, b->id)
					    : !ids_have(&p->stop, b->id)))
			continue;
		state = &ts->partition_states[ts->partition_states_count++];
		state->partition_index = p->number;
		state->leader_epoch =
		    t->queued_for_deletion ? LEADER_EPOCH_DURING_DELETE : p->leader_epoch;
		state->delete_partition = t->queued_for_deletion;
	}
	if (ts->partition_states_count == 0)
		return;
	ts->topic_name = copy_text(fx, t->name);
	req->topic_states_count++;
}

static void
send_stop_replica(struct controller_state *cs, const struct model_broker *b, struct effects *fx)
{
	struct stop_replica_request *req = effects_alloc(fx, sizeof(*req));
	struct map_iter iter = {0};
	const struct model_topic *t;

	stop_replica_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->broker_epoch = b->epoch;
	req->topic_states =
	    must(stop_replica_topic_state_new(&fx->arena, (int32_t)cs->topics.count));
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (t->queued_for_deletion ? t->retire || b->is_new : topic_has_news(t))
			add_stop_topic(fx, b, t, req);
	if (req->topic_states_count > 0)
		send_request(fx, b->id, API_STOP_REPLICA, req);
}

/* All is told. */
static void
clear_news(struct controller_state *cs)
{
	struct map_iter iter = {0};
	struct model_topic *t;

	cs->announce_brokers = false;
	for (size_t i = 0; i < cs->broker_count; i++)
		cs->brokers[i].is_new = false;
	while ((t = map_next(&cs->topics, &iter)) != NULL) {
		t->retire = false;
		for (int32_t i = 0; i < t->partition_count; i++) {
			if (t->partitions[i] == NULL)
				continue;
			t->partitions[i]->announce = false;
			t->partitions[i]->announce_metadata = false;
			ids_fini(&t->partitions[i]->stop);
			t->partitions[i]->created = false;
		}
	}
}

static bool
has_news(const struct controller_state *cs)
{
	struct map_iter iter = {0};
	const struct model_topic *t;

	if (cs->announce_brokers)
		return true;
	while ((t = map_next(&cs->topics, &iter)) != NULL)
		if (t->retire || topic_has_news(t))
			return true;
	return false;
}

void
controller_state_flush(struct controller_state *cs, struct effects *fx)
{
	const struct update_metadata_request *all = NULL, *news = NULL;

	if (!has_news(cs))
		return;
	/*
	 * Who is alive goes ahead of everything: a broker does not follow a leader that it does not
	 * know to live.
	 */
	for (size_t i = 0; i < cs->broker_count; i++) {
		const struct model_broker *b = &cs->brokers[i];
		const struct update_metadata_request **payload = b->is_new ? &all : &news;

		if (*payload == NULL)
			*payload = make_update_metadata(cs, fx, b->is_new);
		if (b->is_new)
			send_update_metadata(fx, b, *payload);
		send_leader_and_isr(cs, b, fx);
		send_update_metadata(fx, b, *payload);
		send_stop_replica(cs, b, fx);
	}
	clear_news(cs);
}
