/* Kafka: KafkaApis.handleLeaveGroupRequest. */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/leave_group.h"

static int
fill_members(struct api_call *call, const struct leave_group_request *req,
	     const struct group_leaving *leaving, struct leave_group_response *resp)
{
	resp->members = member_response_new(&call->arena, req->members_count);
	if (resp->members == NULL)
		return -ENOMEM;
	resp->members_count = req->members_count;
	for (int32_t i = 0; i < req->members_count; i++)
		resp->members[i] = (struct member_response){
		    .member_id = leaving[i].member_id,
		    .group_instance_id = leaving[i].instance_id,
		    .error_code = kerr_of(leaving[i].error),
		};
	return 0;
}

void
api_leave_group(struct api_call *call, void *request)
{
	const struct leave_group_request *req = request;
	bool one = api_version(call) <= 2;
	int32_t count = one ? 1 : req->members_count;
	struct group_leaving *leaving = arena_calloc(&call->arena, (size_t)count, sizeof(*leaving));
	struct leave_group_response resp;
	int st;

	if (leaving == NULL) {
		api_out_of_memory(call);
		return;
	}
	leave_group_response_init(&resp);
	if (one)
		leaving[0].member_id = req->member_id;
	for (int32_t i = 0; !one && i < count; i++)
		leaving[i] = (struct group_leaving){
		    .member_id = req->members[i].member_id,
		    .instance_id = req->members[i].group_instance_id,
		    .reason = req->members[i].reason,
		};
	st = req->group_id.len == 0 ? K_INVALID_GROUP_ID
				    : group_coordinator_leave(call->api->settings.groups,
							      req->group_id, leaving, count);
	if (st == 0 && one)
		st = leaving[0].error;
	else if (st == 0 && fill_members(call, req, leaving, &resp) != 0) {
		api_out_of_memory(call);
		return;
	}
	resp.error_code = kerr_of(st);
	api_answer(call, &resp);
}
