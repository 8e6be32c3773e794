/*
 * FindCoordinator: the leader of the partition that a group belongs to. __consumer_offsets is made
 * when it is first asked for. Transactions have no coordinator yet, and the answer says so with the
 * protocol's retriable error.
 *
 * Kafka: KafkaApis.handleFindCoordinatorRequest.
 */
#include <errno.h>

#include "api/api_call.h"
#include "api/topic_plan.h"
#include "cluster/internal_topic.h"
#include "wire/generated/find_coordinator.h"

#define KEY_TYPE_GROUP 0
#define KEY_TYPE_SHARE 2

/* Filled in, or the error. */
static int
find_group_coordinator(struct api_call *call, struct str group_id,
		       struct find_coordinator_response_coordinator *resp)
{
	struct str topic = str_of(TOPIC_CONSUMER_OFFSETS);
	struct metadata *md = call->api->settings.metadata;
	struct api_leader_hint hint;
	bool exists = metadata_topic(metadata_read(md), topic.data, topic.len) != NULL;

	metadata_done(md);
	if (!exists) {
		if (topic_auto_create(call, topic) == -ENOMEM)
			return -ENOMEM;
		resp->error_message = str_of("__consumer_offsets is being created");
		return K_COORDINATOR_NOT_AVAILABLE;
	}
	api_leader_hint(call, topic,
			group_coordinator_partition(call->api->settings.groups, group_id), &hint);
	if (!hint.has_endpoint) {
		resp->error_message = str_of("the group's partition has no leader here");
		return K_COORDINATOR_NOT_AVAILABLE;
	}
	resp->node_id = hint.leader;
	resp->host = hint.host;
	resp->port = hint.port;
	return 0;
}

static void
find(struct api_call *call, struct str key, int8_t key_type,
     struct find_coordinator_response_coordinator *resp)
{
	int st;

	*resp = (struct find_coordinator_response_coordinator){
	    .key = key, .node_id = -1, .host = str_of(""), .port = -1};
	if (key_type == KEY_TYPE_GROUP) {
		st = find_group_coordinator(call, key, resp);
	} else if (key_type < 0 || key_type > KEY_TYPE_SHARE ||
		   (key_type == KEY_TYPE_SHARE && api_version(call) < 6)) {
		st = K_INVALID_REQUEST;
	} else {
		resp->error_message =
		    str_of("this broker does not coordinate transactions or share groups");
		st = K_COORDINATOR_NOT_AVAILABLE;
	}
	resp->error_code = kerr_of(st);
}

void
api_find_coordinator(struct api_call *call, void *request)
{
	const struct find_coordinator_request *req = request;
	struct find_coordinator_response_coordinator one;
	struct find_coordinator_response resp;

	find_coordinator_response_init(&resp);
	if (api_version(call) < 4) {
		find(call, req->key, req->key_type, &one);
		resp.error_code = one.error_code;
		resp.error_message = one.error_message;
		resp.node_id = one.node_id;
		resp.host = one.host;
		resp.port = one.port;
		api_answer(call, &resp);
		return;
	}
	resp.coordinators =
	    find_coordinator_response_coordinator_new(&call->arena, req->coordinator_keys_count);
	if (resp.coordinators == NULL) {
		api_out_of_memory(call);
		return;
	}
	resp.coordinators_count = req->coordinator_keys_count;
	for (int32_t i = 0; i < req->coordinator_keys_count; i++)
		find(call, req->coordinator_keys[i], req->key_type, &resp.coordinators[i]);
	api_answer(call, &resp);
}
