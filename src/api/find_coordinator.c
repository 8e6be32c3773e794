/*
 * FindCoordinator. Groups and transactions have no coordinator yet, and the answer says so with the
 * protocol's retriable error.
 *
 * Kafka: KafkaApis.handleFindCoordinatorRequest.
 */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/find_coordinator.h"

#define KEY_TYPE_TRANSACTION 1

void
api_find_coordinator(struct api_call *call, void *request)
{
	const struct find_coordinator_request *req = request;
	int16_t error = kerr_of(req->key_type < 0 || req->key_type > KEY_TYPE_TRANSACTION
				    ? K_INVALID_REQUEST
				    : K_COORDINATOR_NOT_AVAILABLE);
	struct str message = str_of("this broker does not coordinate groups or transactions");
	struct find_coordinator_response resp;

	find_coordinator_response_init(&resp);
	if (api_version(call) < 4) {
		resp.error_code = error;
		resp.error_message = message;
		resp.node_id = -1;
		resp.host = str_of("");
		resp.port = -1;
	} else {
		resp.coordinators = find_coordinator_response_coordinator_new(
		    &call->arena, req->coordinator_keys_count);
		if (resp.coordinators == NULL) {
			api_out_of_memory(call);
			return;
		}
		resp.coordinators_count = req->coordinator_keys_count;
		for (int32_t i = 0; i < req->coordinator_keys_count; i++)
			resp.coordinators[i] = (struct find_coordinator_response_coordinator){
			    .key = req->coordinator_keys[i],
			    .node_id = -1,
			    .host = str_of(""),
			    .port = -1,
			    .error_code = error,
			    .error_message = message,
			};
	}
	api_answer(call, &resp);
}
