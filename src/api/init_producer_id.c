/*
 * InitProducerId, for idempotent producers: a fresh id with epoch 0. Transactional ids have no
 * coordinator yet.
 *
 * Where Kafka answers COORDINATOR_LOAD_IN_PROGRESS while it has no block of ids, the call waits for
 * the block, and answers that only when none has come in time.
 *
 * Kafka: TransactionCoordinator.handleInitProducerId.
 */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/init_producer_id.h"

#define WAIT_MS 3000

struct init_producer_id_state {
	struct producer_ids_waiter waiter;
	struct api_call *call;
};

static void
finish(struct api_call *call)
{
	struct init_producer_id_state *state = call->state;

	producer_ids_wait_end(call->api->settings.producer_ids, &state->waiter);
}

static void
wake(struct producer_ids_waiter *waiter)
{
	api_wake(CONTAINER_OF(waiter, struct init_producer_id_state, waiter)->call);
}

static void
answer(struct api_call *call, int st, int64_t producer_id)
{
	struct init_producer_id_response resp;

	init_producer_id_response_init(&resp);
	resp.error_code = kerr_of(st);
	resp.producer_id = st == 0 ? producer_id : -1;
	resp.producer_epoch = st == 0 ? 0 : -1;
	api_answer(call, &resp);
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct init_producer_id_state *state = call->state;
	int64_t producer_id = -1;
	int st = producer_ids_next(call->api->settings.producer_ids, &state->waiter, &producer_id);

	if (st == -EAGAIN && !timed_out && !atomic_load(&call->api->shutting_down))
		return;
	answer(call, st == -EAGAIN ? K_COORDINATOR_LOAD_IN_PROGRESS : st, producer_id);
}

void
api_init_producer_id(struct api_call *call, void *request)
{
	const struct init_producer_id_request *req = request;
	struct init_producer_id_state *state;

	if (req->transactional_id.data != NULL && req->transactional_id.len == 0) {
		answer(call, K_INVALID_REQUEST, -1);
		return;
	}
	if (req->transactional_id.data != NULL) {
		answer(call, K_COORDINATOR_NOT_AVAILABLE, -1);
		return;
	}
	if ((req->producer_id == -1) != (req->producer_epoch == -1)) {
		answer(call, K_INVALID_REQUEST, -1);
		return;
	}
	state = arena_alloc(&call->arena, sizeof(*state));
	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->call = call;
	state->waiter.wake = wake;
	call->state = state;
	call->finish = finish;
	api_park(call, WAIT_MS, resume);
	resume(call, false);
}
