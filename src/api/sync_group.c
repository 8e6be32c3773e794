/* Kafka: KafkaApis.handleSyncGroupRequest. */
#include <errno.h>

#include "api/group_call.h"
#include "wire/generated/sync_group.h"

static void
answer(struct api_call *call, struct group_wait *wait)
{
	struct sync_group_response resp;

	sync_group_response_init(&resp);
	resp.error_code = kerr_of(wait->synced.error);
	resp.protocol_type = wait->synced.protocol_type;
	resp.protocol_name = wait->synced.protocol_name;
	resp.assignment = wait->synced.assignment;
	api_answer(call, &resp);
}

void
api_sync_group(struct api_call *call, void *request)
{
	const struct sync_group_request *req = request;
	struct group_call *gc = arena_alloc(&call->arena, sizeof(*gc));
	struct group_assignment *assignments =
	    arena_calloc(&call->arena, (size_t)req->assignments_count, sizeof(*assignments));
	struct group_sync sync = {
	    .from = {req->member_id, req->group_instance_id, req->generation_id},
	    .protocol_type = req->protocol_type,
	    .protocol_name = req->protocol_name,
	    .assignments = assignments,
	    .assignment_count = req->assignments_count,
	};
	int st = 0;

	if (gc == NULL || assignments == NULL) {
		api_out_of_memory(call);
		return;
	}
	for (int32_t i = 0; i < req->assignments_count; i++)
		assignments[i] = (struct group_assignment){req->assignments[i].member_id,
							   req->assignments[i].assignment};
	group_call_begin(call, gc, answer);
	if (api_version(call) >= 5 &&
	    (req->protocol_type.data == NULL || req->protocol_name.data == NULL))
		st = K_INCONSISTENT_GROUP_PROTOCOL;
	else if (req->group_id.len == 0)
		st = K_INVALID_GROUP_ID;
	if (st != 0) {
		gc->wait.synced.error = st;
		answer(call, &gc->wait);
		return;
	}
	group_coordinator_sync(call->api->settings.groups, req->group_id, &sync, &gc->wait);
	group_call_wait(call);
}
