/*
 * What brokers ask of the controller's broker: AlterPartition and ControlledShutdown.
 *
 * Kafka: KafkaApis.handleAlterPartitionRequest, handleControlledShutdownRequest.
 */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/alter_partition.h"
#include "wire/generated/controlled_shutdown.h"

/* ---- AlterPartition ---- */

static void
alter(struct api_call *call, struct zk *zk)
{
	(void)zk;
	controller_alter_partition(call->api->settings.controller, call->request, api_version(call),
				   &call->arena, call->state);
}

static void
answer(struct api_call *call)
{
	api_answer(call, call->state);
}

void
api_alter_partition(struct api_call *call, void *request)
{
	struct alter_partition_response *resp = arena_alloc(&call->arena, sizeof(*resp));

	(void)request;
	if (resp == NULL) {
		api_out_of_memory(call);
		return;
	}
	call->state = resp;
	call->arena.limit = SIZE_MAX / 2; /* a broker's request, answered in kind */
	api_work_on_controller(call, alter, answer);
}

/* ---- ControlledShutdown ---- */

static void
shut_down(struct api_call *call, struct zk *zk)
{
	const struct controlled_shutdown_request *req = call->request;

	(void)zk;
	controller_shut_down_broker(call->api->settings.controller, req->broker_id,
				    api_version(call) >= 2 ? req->broker_epoch : -1, &call->arena,
				    call->state);
}

void
api_controlled_shutdown(struct api_call *call, void *request)
{
	struct controlled_shutdown_response *resp = arena_alloc(&call->arena, sizeof(*resp));

	(void)request;
	if (resp == NULL) {
		api_out_of_memory(call);
		return;
	}
	call->state = resp;
	call->arena.limit = SIZE_MAX / 2;
	api_work_on_controller(call, shut_down, answer);
}
