/* Kafka: KafkaApis.handleDeleteGroupsRequest. */
#include "api/api_call.h"
#include "wire/generated/delete_groups.h"

void
api_delete_groups(struct api_call *call, void *request)
{
	const struct delete_groups_request *req = request;
	struct delete_groups_response resp;

	delete_groups_response_init(&resp);
	resp.results = deletable_group_result_new(&call->arena, req->groups_names_count);
	if (resp.results == NULL) {
		api_out_of_memory(call);
		return;
	}
	resp.results_count = req->groups_names_count;
	for (int32_t i = 0; i < req->groups_names_count; i++)
		resp.results[i] = (struct deletable_group_result){
		    .group_id = req->groups_names[i],
		    .error_code = kerr_of(
			group_coordinator_delete(call->api->settings.groups, req->groups_names[i])),
		};
	api_answer(call, &resp);
}
