/*
 * CreateTopics. Each topic is checked and laid out here; the znodes are written on the controller's
 * thread; the answer waits until this broker's metadata shows a leader for every partition.
 *
 * Kafka: KafkaApis.handleCreateTopicsRequest, ZkAdminManager.createTopics, DelayedCreatePartitions.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "api/topic_plan.h"
#include "cluster/topic_name.h"
#include "wire/generated/create_topics.h"

#define BROKER_DEFAULT (-1)
#define METADATA_TOPIC "__cluster_metadata"

struct create_topics_state {
	const struct create_topics_request *req;
	struct create_topics_response resp;
	struct topic_plan *plans; /* one for each topic of the request */
};

static void
finish(struct api_call *call)
{
	struct create_topics_state *state = call->state;

	for (int32_t i = 0; state->plans != NULL && i < state->req->topics_count; i++)
		topic_plan_fini(&state->plans[i]);
}

static int
take_config(const struct creatable_topic *topic, struct topic_plan *plan, const char **ret_message)
{
	for (int32_t i = 0; i < topic->configs_count; i++) {
		int st;

		if (topic->configs[i].value.data == NULL) {
			*ret_message = "Null value not supported for topic configs";
			return K_INVALID_CONFIG;
		}
		st = properties_set(&plan->config, topic->configs[i].name.data,
				    topic->configs[i].value.data);
		if (st != 0)
			return st;
	}
	return 0;
}

static int
take_replicas(const struct creatable_replica_assignment *from, struct partition_assignment *to)
{
	to->partition = from->partition_index;
	to->replicas = calloc((size_t)from->broker_ids_count + 1, sizeof(*to->replicas));
	if (to->replicas == NULL)
		return -ENOMEM;
	to->replica_count = from->broker_ids_count;
	for (int32_t i = 0; i < from->broker_ids_count; i++) {
		for (int32_t k = 0; k < i; k++)
			if (to->replicas[k] == from->broker_ids[i])
				return K_INVALID_REPLICA_ASSIGNMENT;
		to->replicas[i] = from->broker_ids[i];
	}
	return 0;
}

/* The client's own layout: partitions 0 to n-1, all with as many replicas. */
static int
take_assignment(const struct creatable_topic *topic, struct topic_plan *plan,
		const char **ret_message)
{
	int32_t count = topic->assignments_count;
	struct topic_assignment *ta = &plan->assignment;

	*ret_message = "the replica assignment must give partitions 0 to n-1 as many different "
		       "replicas each";
	ta->partitions = calloc((size_t)count + 1, sizeof(*ta->partitions));
	if (ta->partitions == NULL)
		return -ENOMEM;
	ta->partition_count = count;
	for (int32_t i = 0; i < count; i++) {
		const struct creatable_replica_assignment *from = &topic->assignments[i];
		struct partition_assignment *to;
		int st;

		if (from->partition_index < 0 || from->partition_index >= count ||
		    from->broker_ids_count <= 0 ||
		    from->broker_ids_count != topic->assignments[0].broker_ids_count)
			return K_INVALID_REPLICA_ASSIGNMENT;
		to = &ta->partitions[from->partition_index];
		if (to->replicas != NULL)
			return K_INVALID_REPLICA_ASSIGNMENT;
		st = take_replicas(from, to);
		if (st != 0)
			return st;
	}
	*ret_message = NULL;
	return 0;
}

static bool
listed_twice(const struct create_topics_request *req, struct str name)
{
	int count = 0;

	for (int32_t i = 0; i < req->topics_count; i++)
		count += str_equal(req->topics[i].name, name);
	return count > 1;
}

static int
plan_topic(struct api_call *call, const struct create_topics_request *req,
	   const struct creatable_topic *topic, struct topic_plan *plan, const char **ret_message)
{
	const struct broker_conf *conf = api_conf(call);
	int32_t partitions = topic->num_partitions, replicas = topic->replication_factor;
	int st;

	if (!controller_is_active(call->api->settings.controller))
		return K_NOT_CONTROLLER;
	if (str_equal(topic->name, str_of(METADATA_TOPIC))) {
		*ret_message = "Creation of internal topic " METADATA_TOPIC " is prohibited.";
		return K_INVALID_REQUEST;
	}
	if (listed_twice(req, topic->name)) {
		*ret_message = "Create topics request from client contains multiple entries for "
			       "the topic.";
		return K_INVALID_REQUEST;
	}
	st = take_config(topic, plan, ret_message);
	if (st != 0)
		return st;
	if (topic->assignments_count > 0) {
		if (partitions != -1 || replicas != -1) {
			*ret_message = "Both numPartitions or replicationFactor and "
				       "replicasAssignments were set. Both cannot be used at the "
				       "same time.";
			return K_INVALID_REQUEST;
		}
		st = take_assignment(topic, plan, ret_message);
		return st != 0 ? st : topic_plan_check(call, plan, topic->name, ret_message);
	}
	if (partitions == BROKER_DEFAULT)
		partitions = (int32_t)conf->num_partitions;
	if (replicas == BROKER_DEFAULT)
		replicas = (int32_t)conf->default_replication_factor;
	return topic_plan_make(call, plan, topic->name, partitions, replicas, ret_message);
}

/* Version 5 and later tell what the topic came out as. */
static int
fill_outcome(struct api_call *call, const struct topic_plan *plan,
	     struct creatable_topic_result *resp)
{
	const struct broker_conf *conf = api_conf(call);

	resp->topic_id = plan->assignment.topic_id;
	resp->num_partitions = plan->assignment.partition_count;
	resp->replication_factor = (int16_t)plan->assignment.partitions[0].replica_count;
	resp->configs = creatable_topic_configs_new(&call->arena, (int32_t)topic_conf_entry_count);
	if (resp->configs == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < topic_conf_entry_count; i++) {
		const struct conf_entry *entry = &topic_conf_entries[i];
		struct creatable_topic_configs *config = &resp->configs[resp->configs_count++];
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];

		topic_conf_synonyms(conf, &plan->config, entry, synonyms);
		config->name = str_of(entry->key);
		config->value = api_copy_text(call, synonyms[0].text);
		config->config_source = (int8_t)synonyms[0].source;
	}
	return 0;
}

static void
set_result(struct api_call *call, const struct topic_plan *plan,
	   struct creatable_topic_result *resp, int st, const char *message)
{
	struct str name = resp->name;

	creatable_topic_result_init(resp);
	resp->name = name;
	resp->configs_count = -1;
	if (st == 0) {
		resp->configs_count = 0;
		st = fill_outcome(call, plan, resp);
	}
	resp->error_code = kerr_of(st);
	if (st != 0)
		resp->error_message =
		    str_of(message != NULL ? message : kerr_text(resp->error_code));
}

/* All partitions of the topic have leaders. */
static bool
is_visible(struct api_call *call, const struct topic_plan *plan)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_topic *topic =
	    metadata_topic(metadata_read(md), plan->name, strlen(plan->name));
	bool visible = topic != NULL;

	for (int32_t i = 0; visible && i < plan->assignment.partition_count; i++)
		visible = i < topic->partition_count && topic->partitions[i] != NULL &&
			  topic->partitions[i]->leader >= 0;
	metadata_done(md);
	return visible;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct create_topics_state *state = call->state;
	bool all = true;

	timed_out = timed_out || atomic_load(&call->api->shutting_down);
	for (int32_t i = 0; i < state->req->topics_count; i++) {
		if (state->resp.topics[i].error_code != 0 || is_visible(call, &state->plans[i]))
			continue;
		all = false;
		if (timed_out)
			set_result(call, &state->plans[i], &state->resp.topics[i],
				   K_REQUEST_TIMED_OUT, NULL);
	}
	if (all || timed_out)
		api_answer(call, &state->resp);
}

static void
carry_out(struct api_call *call, struct zk *zk)
{
	struct create_topics_state *state = call->state;

	for (int32_t i = 0; i < state->req->topics_count; i++)
		if (state->resp.topics[i].error_code == 0)
			topic_plan_carry_out(&state->plans[i], zk, call->entry->wire->name,
					     call->head.client_id);
}

static void
carried_out(struct api_call *call)
{
	struct create_topics_state *state = call->state;

	for (int32_t i = 0; i < state->req->topics_count; i++)
		if (state->resp.topics[i].error_code == 0 && state->plans[i].st != 0)
			set_result(call, &state->plans[i], &state->resp.topics[i],
				   state->plans[i].st, NULL);
	api_wait_for_metadata(call);
	api_park(call, state->req->timeout_ms, resume);
	resume(call, state->req->timeout_ms <= 0);
}

void
api_create_topics(struct api_call *call, void *request)
{
	const struct create_topics_request *req = request;
	struct create_topics_state *state = arena_alloc(&call->arena, sizeof(*state));
	bool any = false;

	if (state == NULL)
		goto no_memory;
	state->req = req;
	call->state = state;
	call->finish = finish;
	create_topics_response_init(&state->resp);
	state->resp.topics = creatable_topic_result_new(&call->arena, req->topics_count);
	state->plans = arena_calloc(&call->arena, (size_t)req->topics_count, sizeof(*state->plans));
	if (state->resp.topics == NULL || state->plans == NULL)
		goto no_memory;
	state->resp.topics_count = req->topics_count;
	for (int32_t i = 0; i < req->topics_count; i++) {
		const char *message = NULL;
		int st = plan_topic(call, req, &req->topics[i], &state->plans[i], &message);

		state->resp.topics[i].name = req->topics[i].name;
		set_result(call, &state->plans[i], &state->resp.topics[i], st, message);
		any = any || st == 0;
	}
	if (any && !req->validate_only)
		api_work_on_controller(call, carry_out, carried_out);
	else
		api_answer(call, &state->resp);
	return;
no_memory:
	api_out_of_memory(call);
}
