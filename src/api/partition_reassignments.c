/*
 * AlterPartitionReassignments and ListPartitionReassignments: asked of the controller's thread.
 *
 * Kafka: KafkaApis.handleAlterPartitionReassignmentsRequest,
 * handleListPartitionReassignmentsRequest.
 */
#include "api/api_call.h"
#include "wire/generated/alter_partition_reassignments.h"
#include "wire/generated/list_partition_reassignments.h"

static void
answer(struct api_call *call)
{
	api_answer(call, call->state);
}

/* The answer is as large as what the controller has to say, not as the request. */
static void
ask_controller(struct api_call *call, size_t response_size,
	       void (*ask)(struct api_call *call, struct zk *zk))
{
	call->state = arena_alloc(&call->arena, response_size);
	if (call->state == NULL) {
		api_out_of_memory(call);
		return;
	}
	call->arena.limit = SIZE_MAX / 2;
	api_work_on_controller(call, ask, answer);
}

static void
alter(struct api_call *call, struct zk *zk)
{
	(void)zk;
	controller_alter_reassignments(call->api->settings.controller, call->request, &call->arena,
				       call->state);
}

void
api_alter_partition_reassignments(struct api_call *call, void *request)
{
	(void)request;
	ask_controller(call, sizeof(struct alter_partition_reassignments_response), alter);
}

static void
list(struct api_call *call, struct zk *zk)
{
	(void)zk;
	controller_list_reassignments(call->api->settings.controller, call->request, &call->arena,
				      call->state);
}

void
api_list_partition_reassignments(struct api_call *call, void *request)
{
	(void)request;
	ask_controller(call, sizeof(struct list_partition_reassignments_response), list);
}
