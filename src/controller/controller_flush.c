/*
 * From what has changed to the requests that tell it: per broker first LeaderAndIsr, then
 * UpdateMetadata, then StopReplica, as Kafka's ControllerBrokerRequestBatch orders them.
 *
 * A broker that is new since the last flush is told of all partitions; the others of those in the
 * news, so that a flush costs what has changed.
 */
#include <stdlib.h>

#include "controller/controller_model.h"
#include "wire/api_table.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"

#define LEADER_DURING_DELETE (-2)
#define LEADER_EPOCH_DURING_DELETE (-2)
#define UNKNOWN_LEADER_EPOCH (-1)

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

static struct effect *
send_request(struct effects *fx, int32_t broker_id, int16_t api_key, const void *request)
{
	struct effect *e = effects_add(fx, EFFECT_SEND);

	e->broker_id = broker_id;
	e->api_key = api_key;
	e->request = request;
	return e;
}

/* What is told of: partitions topic by topic */

struct run {
	const struct model_topic *topic;
	struct model_partition *const *partitions; /* with NULL for gaps */
	int32_t count;
};

struct runs {
	struct run *items;
	int32_t count;
	bool all;
};

int
model_compare_partitions(const void *a, const void *b)
{
	const struct model_partition *x = *(struct model_partition *const *)a;
	const struct model_partition *y = *(struct model_partition *const *)b;
	int order = x->topic == y->topic ? 0 : strcmp(x->topic->name, y->topic->name);

	return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static struct runs
runs_of_news(const struct controller_state *cs, struct effects *fx)
{
	const struct partition_list *news = &cs->lists[LIST_NEWS];
	struct model_partition **sorted = effects_alloc(fx, (news->count + 1) * sizeof(*sorted));
	struct runs runs = {effects_alloc(fx, (news->count + 1) * sizeof(struct run)), 0, false};

	if (news->count > 0)
		memcpy(sorted, news->items, news->count * sizeof(*sorted));
	qsort(sorted, news->count, sizeof(*sorted), model_compare_partitions);
	for (size_t i = 0; i < news->count; i++) {
		struct run *last = &runs.items[runs.count - 1];

		if (runs.count > 0 && last->topic == sorted[i]->topic)
			last->count++;
		else
			runs.items[runs.count++] = (struct run){sorted[i]->topic, &sorted[i], 1};
	}
	return runs;
}

static struct runs
runs_of_all(const struct controller_state *cs, struct effects *fx)
{
	struct runs runs = {effects_alloc(fx, (cs->topics.count + 1) * sizeof(struct run)), 0,
			    true};
	struct map_iter iter = {0};
	const struct model_topic *t;

	while ((t = map_next(&cs->topics, &iter)) != NULL)
		runs.items[runs.count++] = (struct run){t, t->partitions, t->partition_count};
	return runs;
}

/* LeaderAndIsr */

static bool
belongs_to_leader_and_isr(const struct model_broker *b, const struct model_partition *p)
{
	return p != NULL && p->has_leadership && !p->topic->deletion_started &&
	       ids_have(&p->replicas, b->id) && (p->announce || b->is_new);
}

static void
fill_state(struct effects *fx, const struct model_broker *b, const struct model_partition *p,
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
	/* Who is being added has nothing yet; once in the ISR it must not begin anew. */
	state->is_new = p->created || (ids_have(&p->adding, b->id) && !ids_have(&p->isr, b->id));
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
add_leader_and_isr_topic(struct effects *fx, const struct model_broker *b, const struct run *run,
			 struct leader_and_isr_request *req, struct ids *leaders)
{
	struct leader_and_isr_topic_state *ts = &req->topic_states[req->topic_states_count];
	int32_t count = 0;

	for (int32_t i = 0; i < run->count; i++)
		count += belongs_to_leader_and_isr(b, run->partitions[i]);
	if (count == 0)
		return;
	ts->partition_states = must(leader_and_isr_partition_state_new(&fx->arena, count));
	for (int32_t i = 0; i < run->count; i++) {
		const struct model_partition *p = run->partitions[i];

		if (!belongs_to_leader_and_isr(b, p))
			continue;
		fill_state(fx, b, p, &ts->partition_states[ts->partition_states_count++]);
		if (p->leader >= 0)
			ids_add(leaders, p->leader);
	}
	ts->topic_name = copy_text(fx, run->topic->name);
	ts->topic_id = run->topic->id;
	req->topic_states_count++;
}

static void
send_leader_and_isr(struct controller_state *cs, const struct model_broker *b,
		    const struct runs *runs, struct effects *fx)
{
	struct leader_and_isr_request *req = effects_alloc(fx, sizeof(*req));
	struct ids leaders = {0};

	leader_and_isr_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->broker_epoch = b->epoch;
	req->topic_states = must(leader_and_isr_topic_state_new(&fx->arena, runs->count));
	for (int32_t i = 0; i < runs->count; i++)
		add_leader_and_isr_topic(fx, b, &runs->items[i], req, &leaders);
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

static bool
belongs_to_metadata(const struct model_partition *p, bool all)
{
	if (p == NULL)
		return false;
	if (p->topic->deletion_started && p->announce_metadata)
		return true;
	return p->has_leadership && (all || p->announce || p->announce_metadata);
}

static void
add_metadata_topic(const struct controller_state *cs, struct effects *fx, const struct run *run,
		   bool all, struct update_metadata_request *req)
{
	struct update_metadata_topic_state *ts = &req->topic_states[req->topic_states_count];
	int32_t count = 0;

	for (int32_t i = 0; i < run->count; i++)
		count += belongs_to_metadata(run->partitions[i], all);
	if (count == 0)
		return;
	ts->partition_states = must(update_metadata_partition_state_new(&fx->arena, count));
	for (int32_t i = 0; i < run->count; i++)
		if (belongs_to_metadata(run->partitions[i], all))
			fill_metadata(cs, fx, run->partitions[i],
				      &ts->partition_states[ts->partition_states_count++]);
	ts->topic_name = copy_text(fx, run->topic->name);
	ts->topic_id = run->topic->id;
	req->topic_states_count++;
}

/* One payload for all brokers that get it. */
static struct update_metadata_request *
make_update_metadata(const struct controller_state *cs, struct effects *fx, const struct runs *runs)
{
	struct update_metadata_request *req = effects_alloc(fx, sizeof(*req));

	update_metadata_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->topic_states = must(update_metadata_topic_state_new(&fx->arena, runs->count));
	for (int32_t i = 0; i < runs->count; i++)
		add_metadata_topic(cs, fx, &runs->items[i], runs->all, req);
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

/* StopReplica: of brokers that go; with deletion, of replicas that do */

static const struct ids *
who_stops(const struct model_partition *p, bool and_delete)
{
	return and_delete ? &p->stop_delete : &p->stop;
}

static void
add_stop_topic(struct effects *fx, const struct model_broker *b, const struct run *run,
	       bool and_delete, struct stop_replica_request *req)
{
	struct stop_replica_topic_state *ts = &req->topic_states[req->topic_states_count];

	ts->partition_states = must(stop_replica_partition_state_new(&fx->arena, run->count));
	for (int32_t i = 0; i < run->count; i++) {
		const struct model_partition *p = run->partitions[i];
		struct stop_replica_partition_state *state;

		if (p == NULL || !ids_have(who_stops(p, and_delete), b->id))
			continue;
		state = &ts->partition_states[ts->partition_states_count++];
		state->partition_index = p->number;
		state->leader_epoch = p->topic->queued_for_deletion ? LEADER_EPOCH_DURING_DELETE
				      : p->has_leadership           ? p->leader_epoch
								    : UNKNOWN_LEADER_EPOCH;
		state->delete_partition = and_delete;
	}
	if (ts->partition_states_count == 0)
		return;
	ts->topic_name = copy_text(fx, run->topic->name);
	req->topic_states_count++;
}

/* A request deletes all that it names, or nothing: its answer does not tell which. */
static void
send_stop_replica(struct controller_state *cs, const struct model_broker *b,
		  const struct runs *news, bool and_delete, struct effects *fx)
{
	struct stop_replica_request *req = effects_alloc(fx, sizeof(*req));

	stop_replica_request_init(req);
	req->controller_id = cs->broker_id;
	req->controller_epoch = cs->epoch;
	req->broker_epoch = b->epoch;
	req->topic_states = must(stop_replica_topic_state_new(&fx->arena, news->count));
	for (int32_t i = 0; i < news->count; i++)
		add_stop_topic(fx, b, &news->items[i], and_delete, req);
	if (req->topic_states_count > 0)
		send_request(fx, b->id, API_STOP_REPLICA, req)->deletion =
		    and_delete ? cs->deletions : 0;
}

/* All is told. */
static void
clear_news(struct controller_state *cs)
{
	struct partition_list *news = &cs->lists[LIST_NEWS];

	cs->announce_brokers = false;
	for (size_t i = 0; i < cs->broker_count; i++)
		cs->brokers[i].is_new = false;
	for (size_t i = 0; i < news->count; i++) {
		struct model_partition *p = news->items[i];

		p->announce = p->announce_metadata = p->created = false;
		ids_fini(&p->stop);
		ids_fini(&p->stop_delete);
		p->slots[LIST_NEWS] = 0;
	}
	news->count = 0;
}

static void
tell_broker(struct controller_state *cs, const struct model_broker *b, const struct runs *told,
	    const struct runs *news, const struct update_metadata_request *payload,
	    struct effects *fx)
{
	/*
	 * Who is alive goes ahead of everything: a broker does not follow a leader that it does not
	 * know to live.
	 */
	if (b->is_new)
		send_update_metadata(fx, b, payload);
	send_leader_and_isr(cs, b, told, fx);
	send_update_metadata(fx, b, payload);
	send_stop_replica(cs, b, news, false, fx);
	send_stop_replica(cs, b, news, true, fx);
}

static void
tell(struct controller_state *cs, struct effects *fx)
{
	const struct update_metadata_request *all_payload = NULL, *news_payload = NULL;
	struct runs news = runs_of_news(cs, fx), all = {0};

	for (size_t i = 0; i < cs->broker_count; i++) {
		const struct model_broker *b = &cs->brokers[i];

		if (b->is_new && all_payload == NULL) {
			all = runs_of_all(cs, fx);
			all_payload = make_update_metadata(cs, fx, &all);
		} else if (!b->is_new && news_payload == NULL) {
			news_payload = make_update_metadata(cs, fx, &news);
		}
		tell_broker(cs, b, b->is_new ? &all : &news, &news,
			    b->is_new ? all_payload : news_payload, fx);
	}
	clear_news(cs);
}

/* What was written may allow, or ask for, the next step. */
static void
look_again(struct controller_state *cs, struct effects *fx)
{
	struct partition_list *list = &cs->lists[LIST_LOOK_AGAIN];

	while (list->count > 0) {
		struct model_partition *p = list->items[list->count - 1];

		model_list_remove(cs, LIST_LOOK_AGAIN, p);
		model_decide(cs, p, fx);
	}
}

/* The ensemble hears of a reassignment before the brokers, and of its end after them. */
void
controller_state_flush(struct controller_state *cs, struct effects *fx)
{
	look_again(cs, fx);
	if (fx->first == NULL)
		model_write_assignments(cs, true, fx);
	if (fx->first == NULL && (cs->announce_brokers || cs->lists[LIST_NEWS].count > 0))
		tell(cs, fx);
	if (fx->first == NULL)
		model_write_assignments(cs, false, fx);
}
