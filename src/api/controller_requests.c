/*
 * What the controller asks of a broker, and brokers of the controller: LeaderAndIsr, StopReplica,
 * UpdateMetadata, AllocateProducerIds.
 *
 * The first three are carried out in order on the replica manager's thread; the call waits there
 * and the answer comes back to its reactor. The controller's requests to its own broker take the
 * same way without a connection.
 *
 * Kafka: KafkaApis.handleLeaderAndIsrRequest and its neighbours.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "base/diag.h"
#include "net/endpoint.h"
#include "wire/generated/allocate_producer_ids.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "zk/znode_broker.h"
#include "zk/znode_producer_ids.h"

/* One decoded request of the controller and its response, both in an arena. */
struct order {
	int16_t api_key, api_version;
	void *request;
	union {
		struct leader_and_isr_response leader_and_isr;
		struct stop_replica_response stop_replica;
		struct update_metadata_response update_metadata;
	} response;
};

/* ---- older forms of the requests, brought into the newest ---- */

/* LeaderAndIsr 0 and 1 list partitions with their topic each. */
static int
group_leader_and_isr(struct leader_and_isr_request *req, struct arena *arena)
{
	int32_t count = req->ungrouped_partition_states_count;

	if (count <= 0)
		return 0;
	req->topic_states = leader_and_isr_topic_state_new(arena, count);
	if (req->topic_states == NULL)
		return -ENOMEM;
	req->topic_states_count = count;
	for (int32_t i = 0; i < count; i++) {
		req->topic_states[i].topic_name = req->ungrouped_partition_states[i].topic_name;
		req->topic_states[i].partition_states = &req->ungrouped_partition_states[i];
		req->topic_states[i].partition_states_count = 1;
	}
	return 0;
}

static int
group_update_metadata(struct update_metadata_request *req, struct arena *arena)
{
	int32_t count = req->ungrouped_partition_states_count;

	if (count > 0) {
		req->topic_states = update_metadata_topic_state_new(arena, count);
		if (req->topic_states == NULL)
			return -ENOMEM;
		req->topic_states_count = count;
	}
	for (int32_t i = 0; i < count; i++) {
		req->topic_states[i].topic_name = req->ungrouped_partition_states[i].topic_name;
		req->topic_states[i].partition_states = &req->ungrouped_partition_states[i];
		req->topic_states[i].partition_states_count = 1;
	}
	return 0;
}

/* Version 0 has one plaintext endpoint beside the list; up to 2, listeners are named by protocol.
 */
static int
name_listeners(struct update_metadata_request *req, int version, struct arena *arena)
{
	for (int32_t i = 0; i < req->live_brokers_count; i++) {
		struct update_metadata_broker *b = &req->live_brokers[i];

		if (version == 0) {
			b->endpoints = update_metadata_endpoint_new(arena, 1);
			if (b->endpoints == NULL)
				return -ENOMEM;
			b->endpoints_count = 1;
			b->endpoints[0].host = b->v0_host;
			b->endpoints[0].port = b->v0_port;
			b->endpoints[0].security_protocol = SECURITY_PLAINTEXT;
		}
		for (int32_t k = 0; k < b->endpoints_count; k++) {
			int16_t protocol = b->endpoints[k].security_protocol;

			if (protocol >= SECURITY_PLAINTEXT && protocol <= SECURITY_SASL_SSL)
				b->endpoints[k].listener = str_of(
				    security_protocol_name((enum security_protocol)protocol));
		}
	}
	return 0;
}

static int
add_stop_state(struct stop_replica_request *req, struct arena *arena, struct str topic,
	       int32_t partition)
{
	struct stop_replica_topic_state *ts = &req->topic_states[req->topic_states_count];

	ts->topic_name = topic;
	ts->partition_states = stop_replica_partition_state_new(arena, 1);
	if (ts->partition_states == NULL)
		return -ENOMEM;
	ts->partition_states_count = 1;
	ts->partition_states[0].partition_index = partition;
	ts->partition_states[0].delete_partition = req->delete_partitions;
	req->topic_states_count++;
	return 0;
}

static int
group_stop_replica(struct stop_replica_request *req, struct arena *arena)
{
	int32_t total = req->ungrouped_partitions_count;
	int st = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		total += req->topics[t].partition_indexes_count;
	if (total <= 0)
		return 0;
	req->topic_states = stop_replica_topic_state_new(arena, total);
	if (req->topic_states == NULL)
		return -ENOMEM;
	req->topic_states_count = 0;
	for (int32_t i = 0; st == 0 && i < req->ungrouped_partitions_count; i++)
		st = add_stop_state(req, arena, req->ungrouped_partitions[i].topic_name,
				    req->ungrouped_partitions[i].partition_index);
	for (int32_t t = 0; t < req->topics_count; t++)
		for (int32_t i = 0; st == 0 && i < req->topics[t].partition_indexes_count; i++)
			st = add_stop_state(req, arena, req->topics[t].name,
					    req->topics[t].partition_indexes[i]);
	return st;
}

static int
group_order(struct order *order, struct arena *arena)
{
	int st = 0;

	if (order->api_key == API_LEADER_AND_ISR && order->api_version < 2)
		return group_leader_and_isr(order->request, arena);
	if (order->api_key == API_STOP_REPLICA && order->api_version < 3)
		return group_stop_replica(order->request, arena);
	if (order->api_key == API_UPDATE_METADATA && order->api_version < 5)
		st = group_update_metadata(order->request, arena);
	if (st == 0 && order->api_key == API_UPDATE_METADATA && order->api_version < 3)
		st = name_listeners(order->request, order->api_version, arena);
	return st;
}

/* Versions up to 4 list errors by topic name, later ones by topic id. */
static void
fit_response(struct leader_and_isr_response *resp, int version)
{
	if (version < 5) {
		resp->topics = NULL;
		resp->topics_count = 0;
		return;
	}
	for (int32_t i = 0; i < resp->partition_errors_count; i++)
		resp->partition_errors[i].topic_name = str_of("");
	resp->partition_errors = NULL;
	resp->partition_errors_count = 0;
}

/* On the replica manager's thread. */
static void
carry_out(struct replica_manager *rm, struct order *order, struct arena *arena)
{
	if (order->api_key == API_LEADER_AND_ISR) {
		replica_manager_leader_and_isr(rm, order->request, arena,
					       &order->response.leader_and_isr);
		fit_response(&order->response.leader_and_isr, order->api_version);
	} else if (order->api_key == API_STOP_REPLICA) {
		replica_manager_stop_replica(rm, order->request, arena,
					     &order->response.stop_replica);
	} else {
		update_metadata_response_init(&order->response.update_metadata);
		order->response.update_metadata.error_code =
		    kerr_of(replica_manager_update_metadata(rm, order->request));
	}
}

/* ---- from a connection ---- */

static void
back(void *arg)
{
	struct api_call *call = arg;
	struct order *order = call->state;

	api_answer(call, &order->response);
}

static void
run_call(void *arg)
{
	struct api_call *call = arg;

	carry_out(call->api->settings.replicas, call->state, &call->arena);
	reactor_post(call->reactor, back, call);
}

static void
submit_call(struct api_call *call, void *request)
{
	struct order *order = arena_alloc(&call->arena, sizeof(*order));

	if (order == NULL)
		goto no_memory;
	order->api_key = call->entry->key;
	order->api_version = call->head.api_version;
	order->request = request;
	call->state = order;
	if (group_order(order, &call->arena) != 0)
		goto no_memory;
	replica_manager_submit(call->api->settings.replicas, run_call, call);
	return;
no_memory:
	api_out_of_memory(call);
}

void
api_leader_and_isr(struct api_call *call, void *request)
{
	submit_call(call, request);
}

void
api_stop_replica(struct api_call *call, void *request)
{
	submit_call(call, request);
}

void
api_update_metadata(struct api_call *call, void *request)
{
	submit_call(call, request);
}

/* ---- from our own controller ---- */

struct local_order {
	struct api *api;
	struct order order;
	struct arena arena;
	struct buf body;
	controller_response_fn *done;
	void *done_arg;
};

static void
answer_local(struct local_order *lo)
{
	const struct wire_api *wire = wire_api(lo->order.api_key);
	struct buf body = {0};
	struct wire_out out;
	int st;

	wire_out_init(&out, &body);
	st = wire_encode(wire->response, &lo->order.response, lo->order.api_version, &out);
	lo->done(lo->done_arg, st, st == 0 ? buf_slice(&body) : (struct slice){0});
	wire_out_fini(&out);
	buf_fini(&body);
}

static void
run_local(void *arg)
{
	struct local_order *lo = arg;
	const struct wire_api *wire = wire_api(lo->order.api_key);
	struct wire_in in;
	int st = -ENOMEM;

	wire_in_init(&in, buf_slice(&lo->body), &lo->arena);
	lo->order.request = arena_alloc(&lo->arena, wire->request->root.size);
	if (lo->order.request != NULL)
		st = wire_decode(wire->request, lo->order.request, lo->order.api_version, &in);
	if (st == 0)
		st = group_order(&lo->order, &lo->arena);
	if (st == 0) {
		carry_out(lo->api->settings.replicas, &lo->order, &lo->arena);
		answer_local(lo);
	} else {
		lo->done(lo->done_arg, st, (struct slice){0});
	}
	buf_fini(&lo->body);
	arena_fini(&lo->arena);
	free(lo);
}

void
api_local_request(struct api *api, int16_t api_key, int16_t api_version, struct buf *body,
		  controller_response_fn *done, void *done_arg)
{
	struct local_order *lo = calloc(1, sizeof(*lo));

	if (lo == NULL)
		abort();
	lo->api = api;
	lo->order.api_key = api_key;
	lo->order.api_version = api_version;
	lo->body = *body;
	*body = (struct buf){0};
	arena_init(&lo->arena, SIZE_MAX / 2); /* our own controller is trusted */
	lo->done = done;
	lo->done_arg = done_arg;
	replica_manager_submit(api->settings.replicas, run_local, lo);
}

/* ---- AllocateProducerIds, at the controller ---- */

struct allocate_state {
	const struct allocate_producer_ids_request *req;
	struct allocate_producer_ids_response resp;
};

/* The broker that asks must be registered, with the epoch that it says. */
static int
check_broker(struct zk *zk, const struct allocate_producer_ids_request *req)
{
	char path[ZNODE_PATH_MAX];
	struct zk_stat stat;
	int st;

	znode_broker_path(req->broker_id, path);
	st = zk_exists(zk, path, false, &stat);
	if (st == -ENOENT)
		return K_BROKER_ID_NOT_REGISTERED;
	if (st == 0 && stat.czxid != req->broker_epoch)
		return K_STALE_BROKER_EPOCH;
	return st;
}

static void
allocate(struct api_call *call, struct zk *zk)
{
	struct allocate_state *state = call->state;
	int st = controller_is_active(call->api->settings.controller) ? check_broker(zk, state->req)
								      : K_NOT_CONTROLLER;

	if (st == 0)
		st = znode_producer_ids_claim(zk, state->req->broker_id,
					      &state->resp.producer_id_start);
	state->resp.error_code = kerr_of(st == -ESHUTDOWN ? K_NOT_CONTROLLER : st);
	if (st == 0)
		state->resp.producer_id_len = PRODUCER_ID_BLOCK_SIZE;
}

static void
allocated(struct api_call *call)
{
	struct allocate_state *state = call->state;

	api_answer(call, &state->resp);
}

void
api_allocate_producer_ids(struct api_call *call, void *request)
{
	struct allocate_state *state = arena_alloc(&call->arena, sizeof(*state));

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->req = request;
	allocate_producer_ids_response_init(&state->resp);
	call->state = state;
	api_work_on_controller(call, allocate, allocated);
}
