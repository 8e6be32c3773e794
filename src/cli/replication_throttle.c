/*
 * replication_throttle.c - how fast replicas that are being moved may be copied.
 *
 * A broker's settings are its own to change: such a request goes to the broker itself. Those of
 * topics go to the controller.
 */
#include "cli/replication_throttle.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/broker_metadata.h"
#include "wire/generated/describe_configs.h"
#include "wire/generated/incremental_alter_configs.h"
#include "wire/kerr.h"

#define ARENA_MAX ((size_t)1 << 30)
#define BATCH 500 /* resources in a request */
#define RESOURCE_TOPIC 2
#define RESOURCE_BROKER 4
#define OP_SET 0
#define OP_DELETE 1
#define SOURCE_DYNAMIC_BROKER 2

typedef struct incremental_alter_configs_request_alter_configs_resource alter_resource;
typedef struct incremental_alter_configs_request_alterable_config alter_config;

static const char *const list_names[2] = {"leader.replication.throttled.replicas",
					  "follower.replication.throttled.replicas"};
static const char *const rate_names[2] = {"leader.replication.throttled.rate",
					  "follower.replication.throttled.rate"};

/* ---- changing settings ---- */

/* Both settings of one resource; values NULL: delete. */
static int
fill_resource(struct arena *arena, int8_t type, const char *name, const char *const names[2],
	      const char *const values[2], alter_resource *to)
{
	to->resource_type = type;
	to->resource_name = str_of(name);
	to->configs = incremental_alter_configs_request_alterable_config_new(arena, 2);
	if (to->configs == NULL)
		return no_memory();
	to->configs_count = 2;
	for (int i = 0; i < 2; i++) {
		alter_config *c = &to->configs[i];

		c->name = str_of(names[i]);
		c->config_operation = values == NULL ? OP_DELETE : OP_SET;
		if (values != NULL)
			c->value = str_of(values[i]);
	}
	return CLI_DONE;
}

/* A topic that was deleted meanwhile needs nothing more. */
static int
check_answer(const struct incremental_alter_configs_response *resp)
{
	int st = CLI_DONE;

	for (int32_t i = 0; i < resp->responses_count; i++) {
		int16_t code = resp->responses[i].error_code;
		const char *text = resp->responses[i].error_message.data;

		if (code == 0 || kerr_status(code) == K_UNKNOWN_TOPIC_OR_PARTITION)
			continue;
		complain("changing the throttle of %s %s: %s",
			 resp->responses[i].resource_type == RESOURCE_BROKER ? "broker" : "topic",
			 resp->responses[i].resource_name.data,
			 text != NULL ? text : kerr_text(code));
		st = CLI_REFUSED;
	}
	return st;
}

static int
alter_topics(struct broker_calls *calls, struct arena *arena, alter_resource *resources,
	     size_t count)
{
	struct incremental_alter_configs_response resp;
	struct incremental_alter_configs_request req;
	int st = CLI_DONE;

	for (size_t i = 0; st == CLI_DONE && i < count; i += BATCH) {
		incremental_alter_configs_request_init(&req);
		req.resources = &resources[i];
		req.resources_count = (int32_t)(count - i < BATCH ? count - i : BATCH);
		st = broker_ask(calls, BROKER_CONTROLLER, API_INCREMENTAL_ALTER_CONFIGS, &req,
				arena, &resp, "changing the throttle of topics");
		if (st == CLI_DONE)
			st = check_answer(&resp);
	}
	return st;
}

/* values NULL: takes the rates off; then a broker that is gone is told, and no failure. */
static int
alter_brokers(struct broker_calls *calls, struct arena *arena, const int32_t *ids, size_t count,
	      const char *const values[2])
{
	struct incremental_alter_configs_response *answers =
	    arena_calloc(arena, count + 1, sizeof(*answers));
	struct incremental_alter_configs_request *requests =
	    arena_calloc(arena, count + 1, sizeof(*requests));
	struct broker_call *list = arena_calloc(arena, count + 1, sizeof(*list));
	int st = CLI_DONE;

	if (answers == NULL || requests == NULL || list == NULL)
		return no_memory();
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		const char *name = arena_printf(arena, "%d", ids[i]);
		alter_resource *resource =
		    incremental_alter_configs_request_alter_configs_resource_new(arena, 1);

		if (name == NULL || resource == NULL)
			return no_memory();
		incremental_alter_configs_request_init(&requests[i]);
		requests[i].resources = resource;
		requests[i].resources_count = 1;
		list[i] = (struct broker_call){.to = ids[i],
					       .api_key = API_INCREMENTAL_ALTER_CONFIGS,
					       .request = &requests[i],
					       .response = &answers[i]};
		st = fill_resource(arena, RESOURCE_BROKER, name, rate_names, values, resource);
	}
	if (st != CLI_DONE)
		return st;
	broker_calls_send(calls, arena, list, count);
	for (size_t i = 0; i < count; i++) {
		if (list[i].status == 0) {
			if (check_answer(&answers[i]) != CLI_DONE)
				st = CLI_REFUSED;
		} else if (values != NULL) {
			st = broker_call_tell(calls, &list[i], "setting the throttle");
		} else {
			(void)broker_call_tell(calls, &list[i], "taking the throttle off");
			complain("when it is back: klamm config alter --broker %d --delete-config "
				 "%s,%s",
				 ids[i], rate_names[0], rate_names[1]);
		}
	}
	return st;
}

/* ---- setting ---- */

struct id_set {
	int32_t *ids;
	size_t count;
};

static void
id_set_add(struct id_set *set, int32_t id)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->ids[i] == id)
			return;
	}
	set->ids[set->count++] = id;
}

static void
append_items(struct buf *list, int32_t partition, const int32_t *ids, int32_t count)
{
	for (int32_t i = 0; i < count; i++)
		buf_printf(list, "%s%d:%d", list->len > 0 ? "," : "", partition, ids[i]);
}

/* The moves of one topic, from *i on, which goes behind them. */
static int
list_topic(struct arena *arena, const struct replica_move *moves, size_t count, size_t *i,
	   alter_resource *to)
{
	const char *topic = moves[*i].topic, *values[2];
	struct buf leader = {0}, follower = {0};

	for (; *i < count && strcmp(moves[*i].topic, topic) == 0; (*i)++) {
		const struct replica_move *m = &moves[*i];

		append_items(&leader, m->partition, m->sources, m->source_count);
		append_items(&follower, m->partition, m->destinations, m->destination_count);
	}
	values[0] = buf_text(&leader);
	values[1] = buf_text(&follower);
	if (values[0] != NULL && values[1] != NULL) {
		values[0] = arena_strdup(arena, values[0], leader.len);
		values[1] = arena_strdup(arena, values[1], follower.len);
	}
	buf_fini(&leader);
	buf_fini(&follower);
	if (values[0] == NULL || values[1] == NULL)
		return no_memory();
	return fill_resource(arena, RESOURCE_TOPIC, topic, list_names, values, to);
}

static int
set_throttle(struct broker_calls *calls, struct arena *arena, const struct replica_move *moves,
	     size_t count, int64_t rate)
{
	alter_resource *topics =
	    incremental_alter_configs_request_alter_configs_resource_new(arena, (int32_t)count);
	const char *value = arena_printf(arena, "%lld", (long long)rate), *values[2];
	struct id_set brokers = {0};
	size_t topic_count = 0, room = 0;
	int st = CLI_DONE;

	for (size_t i = 0; i < count; i++)
		room += (size_t)(moves[i].source_count + moves[i].destination_count);
	brokers.ids = arena_calloc(arena, room + 1, sizeof(*brokers.ids));
	if (topics == NULL || value == NULL || brokers.ids == NULL)
		return no_memory();
	for (size_t i = 0; i < count; i++) {
		for (int32_t k = 0; k < moves[i].source_count; k++)
			id_set_add(&brokers, moves[i].sources[k]);
		for (int32_t k = 0; k < moves[i].destination_count; k++)
			id_set_add(&brokers, moves[i].destinations[k]);
	}
	for (size_t i = 0; st == CLI_DONE && i < count;)
		st = list_topic(arena, moves, count, &i, &topics[topic_count++]);
	if (st == CLI_DONE)
		st = alter_topics(calls, arena, topics, topic_count);
	values[0] = values[1] = value;
	return st == CLI_DONE ? alter_brokers(calls, arena, brokers.ids, brokers.count, values)
			      : st;
}

/* Those that are there, for a rate cannot be given to others. */
static int
only_there(struct broker_calls *calls, struct arena *arena, const struct replica_move *moves,
	   size_t count, struct replica_move **ret_moves)
{
	const struct cluster_view *view;
	struct replica_move *kept;
	int st;

	st = broker_calls_refresh(calls);
	if (st != CLI_DONE)
		return st;
	view = broker_calls_cluster(calls);
	kept = arena_calloc(arena, count + 1, sizeof(*kept));
	if (kept == NULL)
		return no_memory();
	for (size_t i = 0; i < count; i++) {
		int32_t *sources =
		    arena_calloc(arena, (size_t)moves[i].source_count + 1, sizeof(*sources));

		if (sources == NULL)
			return no_memory();
		kept[i] = moves[i];
		kept[i].sources = sources;
		kept[i].source_count = 0;
		for (int32_t k = 0; k < moves[i].source_count; k++) {
			if (cluster_view_broker(view, moves[i].sources[k]) != NULL)
				sources[kept[i].source_count++] = moves[i].sources[k];
		}
	}
	*ret_moves = kept;
	return CLI_DONE;
}

int
replication_throttle_set(struct broker_calls *calls, const struct replica_move *moves, size_t count,
			 int64_t rate)
{
	struct replica_move *there = NULL;
	struct arena arena;
	int st;

	arena_init(&arena, ARENA_MAX);
	st = only_there(calls, &arena, moves, count, &there);
	if (st == CLI_DONE)
		st = set_throttle(calls, &arena, there, count, rate);
	arena_fini(&arena);
	return st;
}

/* ---- finding and taking off ---- */

bool
throttle_list_brokers(const char *list, int32_t *ids, size_t *count)
{
	struct id_set set = {ids, *count};

	while (*list != '\0') {
		long long numbers[2];

		for (int i = 0; i < 2; i++) {
			char *end;

			if (!isdigit((unsigned char)*list))
				return false;
			numbers[i] = strtoll(list, &end, 10);
			if (numbers[i] > INT32_MAX || (i == 0 && *end != ':'))
				return false;
			list = end + (i == 0);
		}
		if (*list == ',' && list[1] != '\0')
			list++;
		else if (*list != '\0')
			return false;
		id_set_add(&set, (int32_t)numbers[1]);
	}
	*count = set.count;
	return true;
}

/* What a reassignment has set. */
struct throttles {
	const char **topics;
	size_t topic_count;
	struct id_set brokers;
};

static int
fill_describe(struct arena *arena, int8_t type, const char *const *resources, size_t count,
	      const char *const names[2], struct describe_configs_request *req)
{
	struct str *keys = arena_calloc(arena, 2, sizeof(*keys));

	describe_configs_request_init(req);
	req->resources = describe_configs_resource_new(arena, (int32_t)count);
	if (keys == NULL || req->resources == NULL)
		return no_memory();
	keys[0] = str_of(names[0]);
	keys[1] = str_of(names[1]);
	req->resources_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		req->resources[i].resource_type = type;
		req->resources[i].resource_name = str_of(resources[i]);
		req->resources[i].configuration_keys = keys;
		req->resources[i].configuration_keys_count = 2;
	}
	return CLI_DONE;
}

static size_t
items_of(const char *list)
{
	size_t items = 1;

	for (; *list != '\0'; list++)
		items += *list == ',';
	return items;
}

/* Takes a topic's lists if they are a reassignment's. */
static int
take_topic(struct throttles *t, struct arena *arena, const struct describe_configs_result *r)
{
	size_t room = t->brokers.count + 1, count = t->brokers.count;
	bool any = false;
	int32_t *ids;

	for (int32_t i = 0; i < r->configs_count; i++)
		room += r->configs[i].value.data != NULL ? items_of(r->configs[i].value.data) : 0;
	ids = arena_calloc(arena, room, sizeof(*ids));
	if (ids == NULL)
		return no_memory();
	if (count > 0)
		memcpy(ids, t->brokers.ids, count * sizeof(*ids));
	for (int32_t i = 0; i < r->configs_count; i++) {
		const char *value = r->configs[i].value.data;

		if (value == NULL || value[0] == '\0')
			continue;
		if (!throttle_list_brokers(value, ids, &count))
			return CLI_DONE;
		any = true;
	}
	if (any) {
		t->brokers = (struct id_set){ids, count};
		t->topics[t->topic_count++] = r->resource_name.data;
	}
	return CLI_DONE;
}

static int
find_throttles(struct broker_calls *calls, struct arena *arena, struct throttles *t)
{
	struct describe_configs_request req;
	struct describe_configs_response resp;
	struct metadata_response md;
	const char **names;
	size_t count;
	int st;

	*t = (struct throttles){0};
	st = broker_metadata_load(calls, NULL, 0, arena, &md);
	if (st != CLI_DONE)
		return st;
	count = (size_t)md.topics_count;
	names = arena_calloc(arena, count + 1, sizeof(*names));
	t->topics = arena_calloc(arena, count + 1, sizeof(*t->topics));
	if (names == NULL || t->topics == NULL)
		return no_memory();
	for (size_t i = 0; i < count; i++)
		names[i] = md.topics[i].name.data;
	for (size_t i = 0; st == CLI_DONE && i < count; i += BATCH) {
		st = fill_describe(arena, RESOURCE_TOPIC, &names[i],
				   count - i < BATCH ? count - i : BATCH, list_names, &req);
		if (st == CLI_DONE)
			st = broker_ask(calls, BROKER_CONTROLLER, API_DESCRIBE_CONFIGS, &req, arena,
					&resp, "asking for throttles");
		for (int32_t k = 0; st == CLI_DONE && k < resp.results_count; k++) {
			if (resp.results[k].error_code == 0 && t->topic_count < count)
				st = take_topic(t, arena, &resp.results[k]);
		}
	}
	return st;
}

static int
remove_throttles(struct broker_calls *calls, struct arena *arena, const struct throttles *t)
{
	alter_resource *topics = incremental_alter_configs_request_alter_configs_resource_new(
	    arena, (int32_t)t->topic_count);
	int st;

	if (topics == NULL)
		return no_memory();
	st = alter_brokers(calls, arena, t->brokers.ids, t->brokers.count, NULL);
	for (size_t i = 0; st == CLI_DONE && i < t->topic_count; i++)
		st = fill_resource(arena, RESOURCE_TOPIC, t->topics[i], list_names, NULL,
				   &topics[i]);
	return st == CLI_DONE ? alter_topics(calls, arena, topics, t->topic_count) : st;
}

int
replication_throttle_remove(struct broker_calls *calls, struct throttle_removed *ret_removed)
{
	struct throttles t;
	struct arena arena;
	int st;

	arena_init(&arena, ARENA_MAX);
	st = find_throttles(calls, &arena, &t);
	if (st == CLI_DONE && t.topic_count > 0)
		st = remove_throttles(calls, &arena, &t);
	if (st == CLI_DONE)
		*ret_removed = (struct throttle_removed){t.topic_count, t.brokers.count};
	arena_fini(&arena);
	return st;
}

/* ---- the rate ---- */

/* Of one broker's answer: the lower one that was set on it by itself, or -1. */
static int64_t
rate_of(const struct describe_configs_response *resp)
{
	int64_t lowest = -1;

	for (int32_t i = 0; i < resp->results_count; i++) {
		const struct describe_configs_result *r = &resp->results[i];

		for (int32_t k = 0; k < r->configs_count; k++) {
			const struct describe_configs_resource_result *c = &r->configs[k];
			int64_t rate;

			if (c->config_source == SOURCE_DYNAMIC_BROKER && c->value.data != NULL &&
			    parse_int(c->value.data, 0, INT64_MAX, &rate) == 0 &&
			    (lowest < 0 || rate < lowest))
				lowest = rate;
		}
	}
	return lowest;
}

static int64_t
find_rate(struct broker_calls *calls, struct arena *arena, const struct id_set *brokers)
{
	struct describe_configs_response *answers =
	    arena_calloc(arena, brokers->count + 1, sizeof(*answers));
	struct describe_configs_request *requests =
	    arena_calloc(arena, brokers->count + 1, sizeof(*requests));
	struct broker_call *list = arena_calloc(arena, brokers->count + 1, sizeof(*list));
	int64_t lowest = -1;

	if (answers == NULL || requests == NULL || list == NULL)
		return -1;
	for (size_t i = 0; i < brokers->count; i++) {
		const char *name = arena_printf(arena, "%d", brokers->ids[i]);

		if (name == NULL || fill_describe(arena, RESOURCE_BROKER, &name, 1, rate_names,
						  &requests[i]) != CLI_DONE)
			return -1;
		list[i] = (struct broker_call){.to = brokers->ids[i],
					       .api_key = API_DESCRIBE_CONFIGS,
					       .request = &requests[i],
					       .response = &answers[i]};
	}
	broker_calls_send(calls, arena, list, brokers->count);
	for (size_t i = 0; i < brokers->count; i++) {
		int64_t rate = list[i].status == 0 ? rate_of(&answers[i]) : -1;

		if (rate >= 0 && (lowest < 0 || rate < lowest))
			lowest = rate;
	}
	return lowest;
}

int64_t
replication_throttle_rate(struct broker_calls *calls)
{
	struct throttles t;
	struct arena arena;
	int64_t rate = -1;

	arena_init(&arena, ARENA_MAX);
	if (find_throttles(calls, &arena, &t) == CLI_DONE && t.brokers.count > 0)
		rate = find_rate(calls, &arena, &t.brokers);
	arena_fini(&arena);
	return rate;
}
