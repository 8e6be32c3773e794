/* Kafka: KafkaApis.handleHeartbeatRequest. */
#include "api/api_call.h"
#include "wire/generated/heartbeat.h"

void
api_heartbeat(struct api_call *call, void *request)
{
	const struct heartbeat_request *req = request;
	struct group_identity from = {req->member_id, req->group_instance_id, req->generation_id};
	struct heartbeat_response resp;

	heartbeat_response_init(&resp);
	resp.error_code =
	    kerr_of(req->group_id.len == 0 ? K_INVALID_GROUP_ID
					   : group_coordinator_heartbeat(call->api->settings.groups,
									 req->group_id, &from));
	api_answer(call, &resp);
}
