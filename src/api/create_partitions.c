/*
 * CreatePartitions. The new assignment is computed from the znode and the registered brokers, on
 * the controller's thread; the answer waits until the new partitions have leaders.
 *
 * Kafka: ZkAdminManager.createPartitions, AdminZkClient.addPartitions.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "api/topic_plan.h"
#include "controller/assignment.h"
#include "wire/generated/create_partitions.h"

struct create_partitions_state {
	const struct create_partitions_request *req;
	struct create_partitions_response resp;
	struct assignment_broker *brokers;
	size_t broker_count;
};

static void
set_error(struct create_partitions_topic_result *resp, int st, const char *message)
{
	resp->error_code = kerr_of(st);
	if (resp->error_code != 0)
		resp->error_message =
		    str_of(message != NULL ? message : kerr_text(resp->error_code));
}

static bool
broker_is_live(const struct create_partitions_state *state, int32_t id)
{
	for (size_t i = 0; i < state->broker_count; i++)
		if (state->brokers[i].id == id)
			return true;
	return false;
}

/* The client's own replicas of one new partition. */
static int
take_replicas(const struct create_partitions_state *state,
	      const struct create_partitions_assignment *from, int32_t replica_count,
	      struct partition_assignment *to)
{
	to->replicas = calloc((size_t)from->broker_ids_count + 1, sizeof(*to->replicas));
	if (to->replicas == NULL)
		return -ENOMEM;
	to->replica_count = from->broker_ids_count;
	if (from->broker_ids_count != replica_count)
		return K_INVALID_REPLICA_ASSIGNMENT;
	for (int32_t i = 0; i < from->broker_ids_count; i++) {
		to->replicas[i] = from->broker_ids[i];
		if (!broker_is_live(state, to->replicas[i]))
			return K_INVALID_REPLICA_ASSIGNMENT;
		for (int32_t k = 0; k < i; k++)
			if (to->replicas[k] == to->replicas[i])
				return K_INVALID_REPLICA_ASSIGNMENT;
	}
	return 0;
}

static int
take_assignments(const struct create_partitions_state *state,
		 const struct create_partitions_topic *topic, struct topic_assignment *ta)
{
	int32_t replica_count = ta->partitions[0].replica_count, first = ta->partition_count;
	struct partition_assignment *partitions;

	if (topic->assignments_count != topic->count - first)
		return K_INVALID_REPLICA_ASSIGNMENT;
	partitions = realloc(ta->partitions, (size_t)topic->count * sizeof(*partitions));
	if (partitions == NULL)
		return -ENOMEM;
	ta->partitions = partitions;
	for (int32_t i = 0; i < topic->assignments_count; i++) {
		struct partition_assignment *to = &partitions[ta->partition_count++];
		int st;

		*to = (struct partition_assignment){.partition = first + i};
		st = take_replicas(state, &topic->assignments[i], replica_count, to);
		if (st != 0)
			return st;
	}
	return 0;
}

/* Begins where the first partition stands, as Kafka does. */
static int
assign(struct api_call *call, const struct create_partitions_state *state, int32_t count,
       struct topic_assignment *ta)
{
	int32_t start = 0;

	while ((size_t)start < state->broker_count &&
	       state->brokers[start].id < ta->partitions[0].replicas[0])
		start++;
	if ((size_t)start == state->broker_count)
		start = 0;
	return assignment_make(call->api->settings.env, state->brokers, state->broker_count,
			       ta->partition_count, count, ta->partitions[0].replica_count, start,
			       start, ta);
}

static bool
is_being_reassigned(const struct topic_assignment *ta)
{
	for (int32_t i = 0; i < ta->partition_count; i++)
		if (ta->partitions[i].adding_count > 0 || ta->partitions[i].removing_count > 0)
			return true;
	return false;
}

static int
extend(struct api_call *call, const struct create_partitions_state *state,
       const struct create_partitions_topic *topic, struct topic_assignment *ta,
       const char **ret_message)
{
	int st;

	if (ta->partition_count == 0 || ta->partitions[0].replica_count == 0)
		return K_UNKNOWN_SERVER_ERROR;
	if (is_being_reassigned(ta))
		return K_REASSIGNMENT_IN_PROGRESS;
	if (topic->count <= ta->partition_count) {
		*ret_message =
		    arena_printf(&call->arena,
				 "The topic %s currently has %d partition(s); %d would not be an "
				 "increase.",
				 topic->name.data, ta->partition_count, topic->count);
		return K_INVALID_PARTITIONS;
	}
	if (topic->assignments_count > 0) {
		st = take_assignments(state, topic, ta);
		if (st == K_INVALID_REPLICA_ASSIGNMENT)
			*ret_message = "each new partition needs as many different live brokers as "
				       "the topic's first partition has replicas";
		return st;
	}
	return assign(call, state, topic->count - ta->partition_count, ta);
}

static int
add_partitions(struct api_call *call, struct zk *zk, const struct create_partitions_topic *topic,
	       const char **ret_message)
{
	const struct create_partitions_state *state = call->state;
	struct topic_assignment ta;
	int st;

	if (controller_topic_is_queued_for_deletion(call->api->settings.controller,
						    topic->name.data))
		return K_INVALID_TOPIC_EXCEPTION;
	st = znode_topic_get(zk, topic->name.data, false, &ta);
	if (st == -ENOENT)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	if (st == -ESHUTDOWN)
		return K_NOT_CONTROLLER;
	if (st != 0)
		return st;
	st = extend(call, state, topic, &ta, ret_message);
	if (st == 0 && !state->req->validate_only)
		st = znode_topic_replace(zk, topic->name.data, &ta);
	topic_assignment_fini(&ta);
	return st;
}

static void
carry_out(struct api_call *call, struct zk *zk)
{
	struct create_partitions_state *state = call->state;

	for (int32_t i = 0; i < state->req->topics_count; i++) {
		struct create_partitions_topic_result *resp = &state->resp.results[i];
		const char *message = NULL;

		if (resp->error_code == 0)
			set_error(resp, add_partitions(call, zk, &state->req->topics[i], &message),
				  message);
	}
}

static bool
is_visible(struct api_call *call, const struct create_partitions_topic *topic)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_topic *mt =
	    metadata_topic(metadata_read(md), topic->name.data, topic->name.len);
	bool visible = mt != NULL && mt->partition_count >= topic->count;

	for (int32_t i = 0; visible && i < topic->count; i++)
		visible = mt->partitions[i] != NULL && mt->partitions[i]->leader >= 0;
	metadata_done(md);
	return visible;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct create_partitions_state *state = call->state;
	bool all = true;

	timed_out = timed_out || atomic_load(&call->api->shutting_down);
	for (int32_t i = 0; i < state->req->topics_count; i++) {
		if (state->resp.results[i].error_code != 0 ||
		    is_visible(call, &state->req->topics[i]))
			continue;
		all = false;
		if (timed_out)
			set_error(&state->resp.results[i], K_REQUEST_TIMED_OUT, NULL);
	}
	if (all || timed_out)
		api_answer(call, &state->resp);
}

static void
carried_out(struct api_call *call)
{
	struct create_partitions_state *state = call->state;

	if (state->req->validate_only) {
		api_answer(call, &state->resp);
		return;
	}
	api_wait_for_metadata(call);
	api_park(call, state->req->timeout_ms, resume);
	resume(call, state->req->timeout_ms <= 0);
}

static int
check_topic(struct api_call *call, const struct create_partitions_request *req, int32_t index)
{
	if (!controller_is_active(call->api->settings.controller))
		return K_NOT_CONTROLLER;
	for (int32_t i = 0; i < req->topics_count; i++)
		if (i != index && str_equal(req->topics[i].name, req->topics[index].name))
			return K_INVALID_REQUEST;
	return 0;
}

void
api_create_partitions(struct api_call *call, void *request)
{
	const struct create_partitions_request *req = request;
	struct create_partitions_state *state = arena_alloc(&call->arena, sizeof(*state));
	bool any = false;

	if (state == NULL)
		goto no_memory;
	state->req = req;
	call->state = state;
	create_partitions_response_init(&state->resp);
	state->resp.results = create_partitions_topic_result_new(&call->arena, req->topics_count);
	state->brokers = topic_plan_brokers(call, &state->broker_count);
	if (state->resp.results == NULL || state->brokers == NULL)
		goto no_memory;
	state->resp.results_count = req->topics_count;
	for (int32_t i = 0; i < req->topics_count; i++) {
		state->resp.results[i].name = req->topics[i].name;
		set_error(&state->resp.results[i], check_topic(call, req, i), NULL);
		any = any || state->resp.results[i].error_code == 0;
	}
	if (any)
		api_work_on_controller(call, carry_out, carried_out);
	else
		api_answer(call, &state->resp);
	return;
no_memory:
	api_out_of_memory(call);
}
