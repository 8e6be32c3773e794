/*
 * Fetch. All partitions are read under one budget of bytes, in the order of the request or of its
 * session. When what there is does not satisfy the client it waits, in its session or in each
 * partition, and whoever makes more readable wakes it; then everything is read again from scratch.
 *
 * What is not in the page cache is first read by a worker, so that a consumer of old data does not
 * stop the reactor: `warmed` says that this has been done.
 *
 * Kafka: KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages, DelayedFetch.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "api/fetch_internal.h"
#include "base/diag.h"

/* For each target: of the request's or the session's memory, and for its part of the answer. */
#define TARGET_BYTES                                                                               \
	(sizeof(struct fetching) + sizeof(struct fetch_response_partition_data) +                  \
	 sizeof(struct fetchable_topic_response) + TOPIC_NAME_BYTES)
/* A name, its end, and what the arena rounds up. */
#define TOPIC_NAME_BYTES 272

static void
finish(struct api_call *call)
{
	struct fetch_state *state = call->state;

	for (size_t i = 0; i < state->fetching_capacity; i++) {
		struct fetching *f = &state->fetching[i];

		partition_wait_end(&f->waiter);
		partition_put(f->partition);
		log_put(f->log);
		/* Files that are in the answer are the reply's; bytes in memory were copied. */
		if (f->data.records.file == NULL)
			fetch_release(f);
	}
	fetch_session_leave(&state->context);
}

/*
 * Reads all targets. Returns 0, or -EAGAIN with nothing kept. ret_now: the client need not wait.
 */
static int
run_pass(struct api_call *call, struct fetch_state *state, bool *ret_now)
{
	struct fetch_context *context = &state->context;
	int64_t left = state->max_bytes, found = 0;
	bool min_one = api_version(call) >= 3, now = false;

	atomic_store(&state->found_bytes, 0);
	atomic_store(&state->woken_bytes, 0);
	atomic_store(&state->touched, false);
	state->copied_bytes = 0;
	for (size_t i = 0; i < context->target_count; i++)
		fetch_release(&state->fetching[i]);
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetching *f = &state->fetching[i];

		if (fetch_read_target(call, state, i, left, min_one) != 0) {
			for (size_t k = 0; k < i; k++)
				fetch_release(&state->fetching[k]);
			return -EAGAIN;
		}
		if (f->read_bytes > 0) {
			min_one = false;
			found += f->read_bytes;
			left -= f->read_bytes < left ? f->read_bytes : left;
		}
		now = now || context->targets[i].failed || context->targets[i].must_answer;
	}
	atomic_store(&state->found_bytes, found);
	*ret_now = now || found >= state->min_bytes ||
		   (context->target_count == 0 && !context->incremental);
	return 0;
}

/* The answer */

static void
add_node_endpoint(struct api_call *call, const struct fetch_target *t, const struct fetching *f,
		  struct fetch_response *resp)
{
	struct fetch_response_node_endpoint *nodes;
	struct api_leader_hint hint;

	if (f->data.current_leader.leader_id < 0)
		return;
	for (int32_t i = 0; i < resp->node_endpoints_count; i++)
		if (resp->node_endpoints[i].node_id == f->data.current_leader.leader_id)
			return;
	api_leader_hint(call, t->topic, t->partition, &hint);
	nodes = fetch_response_node_endpoint_new(&call->arena, resp->node_endpoints_count + 1);
	if (!hint.has_endpoint || nodes == NULL)
		return;
	for (int32_t i = 0; i < resp->node_endpoints_count; i++)
		nodes[i] = resp->node_endpoints[i];
	nodes[resp->node_endpoints_count++] = (struct fetch_response_node_endpoint){
	    .node_id = hint.leader, .host = hint.host, .port = hint.port, .rack = hint.rack};
	resp->node_endpoints = nodes;
}

/* Groups the partitions that belong into the answer by runs of one topic. */
static int
fill_response(struct api_call *call, struct fetch_state *state, struct fetch_response *resp)
{
	struct fetch_context *context = &state->context;
	struct fetch_response_partition_data *all;
	const struct fetch_target *last = NULL;
	struct fetchable_topic_response *topic = NULL;
	int32_t included = 0, n = 0;

	for (size_t i = 0; i < context->target_count; i++)
		included += context->targets[i].include;
	all = fetch_response_partition_data_new(&call->arena, included);
	resp->responses = fetchable_topic_response_new(&call->arena, included);
	if (all == NULL || resp->responses == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetch_target *t = &context->targets[i];

		if (!t->include) {
			fetch_release(&state->fetching[i]);
			continue;
		}
		if (last == NULL ||
		    !(context->uses_topic_ids ? uuid_equal(&last->topic_id, &t->topic_id)
					      : str_equal(last->topic, t->topic))) {
			topic = &resp->responses[resp->responses_count++];
			topic->topic = t->topic;
			topic->topic_id = t->topic_id;
			topic->partitions = &all[n];
		}
		if (fetch_is_follower(state))
			partition_sent_to_follower(state->fetching[i].partition,
						   state->fetching[i].read_bytes);
		all[n++] = state->fetching[i].data;
		topic->partitions_count++;
		add_node_endpoint(call, t, &state->fetching[i], resp);
		last = t;
	}
	return 0;
}

static void
answer(struct api_call *call)
{
	struct fetch_state *state = call->state;
	struct fetch_response resp;
	int st;

	fetch_response_init(&resp);
	st = fetch_session_end(call->api->sessions, &state->context, &resp.session_id);
	if (st == 0)
		st = fill_response(call, state, &resp);
	if (st != 0) {
		for (size_t i = 0; i < state->context.target_count; i++)
			fetch_release(&state->fetching[i]);
		resp.responses_count = 0;
		resp.session_id = 0;
		resp.error_code = kerr_of(st);
	}
	api_answer(call, &resp);
}

/* Waiting */

static void fetch(struct api_call *call);

/* Nothing came while it waited: the last look holds, but for a high watermark that moved alone. */
static void
answer_as_is(struct api_call *call, struct fetch_state *state)
{
	for (size_t i = 0; i < state->context.target_count; i++) {
		struct fetch_target *t = &state->context.targets[i];
		struct fetching *f = &state->fetching[i];

		if (f->log == NULL || t->failed)
			continue;
		f->data.high_watermark = log_high_watermark(f->log);
		f->data.last_stable_offset = log_last_stable_offset(f->log);
		f->data.log_start_offset = log_start_offset(f->log);
		t->high_watermark = f->data.high_watermark;
		t->answered_log_start_offset = f->data.log_start_offset;
	}
	answer(call);
}

/* One fetching for each target. They move only where no waiter stands in a partition. */
static int
reserve_fetching(struct api_call *call, struct fetch_state *state)
{
	size_t capacity = state->context.target_capacity;
	struct fetching *grown;

	if (state->fetching != NULL && capacity <= state->fetching_capacity)
		return 0;
	grown = arena_calloc(&call->arena, capacity, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	if (state->fetching_capacity > 0)
		memcpy(grown, state->fetching, state->fetching_capacity * sizeof(*grown));
	for (size_t i = state->fetching_capacity; i < capacity; i++)
		grown[i].data.records.data = (struct slice){(const uint8_t *)"", 0};
	state->fetching = grown;
	state->fetching_capacity = capacity;
	return 0;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct fetch_state *state = call->state;
	int stirred = fetch_session_add_stirred(&state->context, &call->arena);

	if (stirred < 0 || reserve_fetching(call, state) != 0) {
		api_out_of_memory(call);
		return;
	}
	if (timed_out && state->found_bytes == 0 && stirred == 0 && !atomic_load(&state->touched)) {
		answer_as_is(call, state);
		return;
	}
	if (timed_out || atomic_load(&call->api->shutting_down))
		state->deadline_ms = 0;
	fetch(call);
}

static void
wake(struct fetch_state *state, int64_t bytes)
{
	int64_t woken = atomic_fetch_add(&state->woken_bytes, bytes) + bytes;

	atomic_store(&state->touched, true);
	if (bytes == 0 || atomic_load(&state->found_bytes) + woken >= state->min_bytes)
		api_wake(state->call);
}

static void
on_wake(struct partition_waiter *waiter, int64_t bytes)
{
	wake(CONTAINER_OF(waiter, struct fetching, waiter)->state, bytes);
}

static void
on_sleeper_wake(struct fetch_sleeper *sleeper, int64_t bytes)
{
	wake(CONTAINER_OF(sleeper, struct fetch_state, sleeper), bytes);
}

/* Something became readable between our look and our waiting. */
static bool
has_moved(const struct fetch_state *state, const struct fetching *f)
{
	const struct log *log = f->log;

	if (log == NULL || log_is_offline(log))
		return true;
	if (state->isolation == LOG_READ_LOG_END)
		return log_end_offset(log) != f->offsets.log_end_offset;
	if (state->isolation == LOG_READ_COMMITTED)
		return log_last_stable_offset(log) != f->offsets.last_stable_offset;
	return log_high_watermark(log) != f->offsets.high_watermark;
}

/* Returns whether something became readable meanwhile. */
static bool
wait_in_partitions(struct fetch_state *state)
{
	bool moved = false;

	for (size_t i = 0; i < state->context.target_count; i++) {
		struct fetching *f = &state->fetching[i];

		if (f->partition == NULL || f->waiter.partition != NULL)
			continue;
		f->state = state;
		f->waiter.kind = state->isolation == LOG_READ_LOG_END ? PARTITION_WAIT_LOG_END
								      : PARTITION_WAIT_DATA;
		f->waiter.wake = on_wake;
		partition_wait(f->partition, &f->waiter);
		moved = moved || has_moved(state, f);
	}
	return moved;
}

static void
wait(struct api_call *call, struct fetch_state *state)
{
	bool moved;

	for (size_t i = 0; i < state->context.target_count; i++)
		fetch_release(&state->fetching[i]);
	moved = state->context.incremental ? fetch_session_sleep(&state->context, &state->sleeper)
					   : wait_in_partitions(state);
	call->droppable = true;
	api_park(call, state->deadline_ms - reactor_now_ms(call->reactor), resume);
	/* What came during the pass was added up without what the pass found. */
	if (moved ||
	    atomic_load(&state->found_bytes) + atomic_load(&state->woken_bytes) >= state->min_bytes)
		api_wake(call);
}

/* A worker: brings into the page cache what the pass will want. */

static void
warm(struct api_call *call)
{
	struct fetch_state *state = call->state;

	for (size_t i = 0; i < state->context.target_count; i++)
		fetch_warm_target(state, i);
}

static void
warm_done(struct api_call *call)
{
	struct fetch_state *state = call->state;

	state->warmed = true;
	fetch(call);
}

static void
fetch(struct api_call *call)
{
	struct fetch_state *state = call->state;
	bool now;

	if (run_pass(call, state, &now) == -EAGAIN) {
		api_work(call, warm, warm_done);
		return;
	}
	state->warmed = false;
	if (now || state->deadline_ms <= reactor_now_ms(call->reactor))
		answer(call);
	else
		wait(call, state);
}

static void
answer_error(struct api_call *call, int st)
{
	struct fetch_response resp;

	fetch_response_init(&resp);
	resp.error_code = kerr_of(st);
	api_answer(call, &resp);
}

void
api_fetch(struct api_call *call, void *request)
{
	const struct fetch_request *req = request;
	struct fetch_state *state = arena_alloc(&call->arena, sizeof(*state));
	int64_t broker_max = api_conf(call)->fetch_max_bytes;
	int st;

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->req = req;
	state->replica_id =
	    api_version(call) >= 15 ? req->replica_state.replica_id : req->replica_id;
	state->replica_epoch = api_version(call) >= 15 ? req->replica_state.replica_epoch : -1;
	state->isolation = fetch_is_follower(state) || state->replica_id == DEBUGGING_REPLICA_ID
			       ? LOG_READ_LOG_END
			   : req->isolation_level == 1 ? LOG_READ_COMMITTED
						       : LOG_READ_HIGH_WATERMARK;
	state->max_bytes = req->max_bytes < broker_max ? req->max_bytes : broker_max;
	if (api_version(call) < 3)
		state->max_bytes = broker_max;
	if (state->max_bytes < 0)
		state->max_bytes = 0;
	state->min_bytes = req->min_bytes < state->max_bytes ? req->min_bytes : state->max_bytes;
	state->deadline_ms =
	    req->max_wait_ms <= 0 ? 0 : reactor_now_ms(call->reactor) + req->max_wait_ms;
	state->call = call;
	state->sleeper.wake = on_sleeper_wake;
	st = fetch_session_begin(call->api->sessions, req, api_version(call),
				 fetch_is_follower(state) ? state->replica_id : CONSUMER_REPLICA_ID,
				 &call->arena, TARGET_BYTES, &state->context);
	if (st != 0) {
		answer_error(call, st);
		return;
	}
	call->state = state;
	call->finish = finish;
	if (reserve_fetching(call, state) != 0) {
		api_out_of_memory(call);
		return;
	}
	fetch(call);
}
