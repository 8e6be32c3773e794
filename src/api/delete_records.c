/*
 * DeleteRecords. The leader's log start offset rises at once; the call waits until those of all
 * living replicas have followed, which their fetches tell, or until its time is over. A broker that
 * dies is not waited for any longer.
 *
 * Kafka: KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords, DelayedDeleteRecords.
 */
#include <errno.h>

#include "api/api_call.h"
#include "cluster/topic_name.h"
#include "wire/generated/delete_records.h"

/* One partition whose followers may have to hear of it first. */
struct deleting {
	struct partition_waiter waiter;
	struct api_call *call;
	struct partition *partition; /* counted */
	struct delete_records_partition_result *resp;
	int64_t offset;
	bool pending;
};

struct delete_state {
	struct delete_records_response resp;
	struct deleting *deleting;
	int32_t deleting_count;
};

static void
finish(struct api_call *call)
{
	struct delete_state *state = call->state;

	for (int32_t i = 0; i < state->deleting_count; i++) {
		partition_wait_end(&state->deleting[i].waiter);
		partition_put(state->deleting[i].partition);
	}
}

static void
wake_call(struct partition_waiter *waiter, int64_t bytes)
{
	(void)bytes;
	api_wake(CONTAINER_OF(waiter, struct deleting, waiter)->call);
}

/* Looks at one partition; its answer is right for now in any case. */
static void
look(struct deleting *d)
{
	int64_t low_watermark = -1;
	int st = partition_check_low_watermark(d->partition, d->offset, &low_watermark);

	d->pending = st == PARTITION_STILL_WAITING;
	d->resp->low_watermark = low_watermark;
	d->resp->error_code = kerr_of(d->pending ? K_REQUEST_TIMED_OUT : st);
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct delete_state *state = call->state;
	bool pending = false;

	for (int32_t i = 0; i < state->deleting_count; i++) {
		if (state->deleting[i].pending)
			look(&state->deleting[i]);
		pending = pending || state->deleting[i].pending;
	}
	if (!pending || timed_out || atomic_load(&call->api->shutting_down))
		api_answer(call, &state->resp);
}

static int
delete_from(struct api_call *call, struct delete_state *state, struct str topic,
	    const struct delete_records_partition *req,
	    struct delete_records_partition_result *resp)
{
	struct deleting *d = &state->deleting[state->deleting_count];
	struct partition *p;
	int st;

	if (topic_name_is_internal(topic))
		return K_INVALID_TOPIC_EXCEPTION;
	st = replica_manager_get(call->api->settings.replicas, topic, req->partition_index, &p);
	if (st != 0)
		return st;
	st = partition_delete_records(p, req->offset, &d->offset);
	if (st != 0) {
		partition_put(p);
		return st;
	}
	d->call = call;
	d->partition = p;
	d->resp = resp;
	d->pending = true;
	state->deleting_count++;
	return 0;
}

/* Parks where any replica has yet to follow. */
static void
answer_or_wait(struct api_call *call, struct delete_state *state, int32_t timeout_ms)
{
	bool pending = false;

	for (int32_t i = 0; i < state->deleting_count; i++) {
		struct deleting *d = &state->deleting[i];

		look(d);
		if (!d->pending)
			continue;
		pending = true;
		d->waiter.kind = PARTITION_WAIT_LOW_WATERMARK;
		d->waiter.offset = d->offset;
		d->waiter.wake = wake_call;
		partition_wait(d->partition, &d->waiter);
	}
	if (!pending) {
		api_answer(call, &state->resp);
		return;
	}
	call->droppable = true;
	api_wait_for_metadata(call);
	api_park(call, timeout_ms, resume);
	resume(call, false); /* what came true before we waited */
}

static int32_t
count_partitions(const struct delete_records_request *req)
{
	int32_t count = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		count += req->topics[t].partitions_count;
	return count;
}

void
api_delete_records(struct api_call *call, void *request)
{
	const struct delete_records_request *req = request;
	struct delete_state *state = arena_alloc(&call->arena, sizeof(*state));

	if (state == NULL)
		goto no_memory;
	call->state = state;
	call->finish = finish;
	delete_records_response_init(&state->resp);
	state->deleting =
	    arena_calloc(&call->arena, (size_t)count_partitions(req), sizeof(*state->deleting));
	state->resp.topics = delete_records_topic_result_new(&call->arena, req->topics_count);
	if (state->deleting == NULL || state->resp.topics == NULL)
		goto no_memory;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct delete_records_topic *topic = &req->topics[t];
		struct delete_records_topic_result *tr = &state->resp.topics[t];

		tr->name = topic->name;
		tr->partitions =
		    delete_records_partition_result_new(&call->arena, topic->partitions_count);
		if (tr->partitions == NULL)
			goto no_memory;
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++) {
			struct delete_records_partition_result *resp = &tr->partitions[i];

			resp->partition_index = topic->partitions[i].partition_index;
			resp->low_watermark = -1;
			resp->error_code = kerr_of(
			    delete_from(call, state, topic->name, &topic->partitions[i], resp));
		}
	}
	state->resp.topics_count = req->topics_count;
	answer_or_wait(call, state, req->timeout_ms);
	return;
no_memory:
	api_out_of_memory(call);
}
