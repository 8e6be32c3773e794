/*
 * Produce. Each partition is appended to and answered on its own. The call waits where acks=all
 * asks for the high watermark, or flush.messages for the disk; everything else answers at once.
 *
 * Kafka: KafkaApis.handleProduceRequest, ReplicaManager.appendRecords, DelayedProduce.
 */
#include <errno.h>

#include "api/api_call.h"
#include "cluster/topic_name.h"
#include "wire/generated/produce.h"
#include "wire/record_batch.h"

#define ADMIN_CLIENT_ID "__admin_client"

/* One partition that was appended to and may have to wait. */
struct produced {
	struct partition_waiter waiter;
	struct api_call *call;
	struct partition *partition; /* counted */
	struct partition_produce_response *resp;
	int64_t end_offset;
	int32_t leader_epoch;
	bool acks_pending;
	_Atomic bool flush_pending;
	_Atomic int flush_status;
};

struct produce_state {
	struct produce_response resp;
	struct produced *produced;
	int32_t produced_count;
	bool failed; /* some partition was not appended to */
};

static bool
batch_is_transactional(struct slice records)
{
	struct record_batch batch;

	return record_batch_parse(records, &batch) == 0 && batch.magic >= 2 &&
	       record_batch_is_transactional(&batch);
}

/* What version 3 and later promise: one batch of magic 2, and a codec the version knows. */
static int
check_records(const struct api_call *call, struct slice records, const char **ret_message)
{
	struct record_batch batch;
	int st;

	if (api_version(call) < 3)
		return 0;
	if (records.len == 0) {
		*ret_message = "the request holds no record batch";
		return K_INVALID_RECORD;
	}
	st = record_batch_parse(records, &batch);
	if (st != 0)
		return K_CORRUPT_MESSAGE;
	if (batch.magic != 2) {
		*ret_message = "this version of Produce takes record batches of magic 2 only";
		return K_INVALID_RECORD;
	}
	if ((size_t)batch.size_bytes < records.len) {
		*ret_message = "this version of Produce takes exactly one record batch";
		return K_INVALID_RECORD;
	}
	if (record_batch_compression(&batch) == COMPRESSION_ZSTD && api_version(call) < 7)
		return K_UNSUPPORTED_COMPRESSION_TYPE;
	return 0;
}

static void
fill_refusal(struct api_call *call, const struct log_append_refusal *refusal,
	     struct partition_produce_response *resp)
{
	resp->error_message = str_of(refusal->message);
	if (refusal->error_count == 0)
		return;
	resp->record_errors =
	    batch_index_and_error_message_new(&call->arena, (int32_t)refusal->error_count);
	if (resp->record_errors == NULL)
		return;
	resp->record_errors_count = (int32_t)refusal->error_count;
	for (size_t i = 0; i < refusal->error_count; i++) {
		resp->record_errors[i].batch_index = refusal->errors[i].batch_index;
		resp->record_errors[i].batch_index_error_message =
		    str_of(refusal->errors[i].message);
	}
}

/* Where the leader is, for clients that can use it. */
static void
fill_leader_hint(struct api_call *call, struct str topic, struct partition_produce_response *resp,
		 struct produce_response *whole)
{
	struct api_leader_hint hint;
	struct produce_response_node_endpoint *nodes;

	if (api_version(call) < 10 || resp->error_code != K_NOT_LEADER_OR_FOLLOWER)
		return;
	api_leader_hint(call, topic, resp->index, &hint);
	resp->current_leader.leader_id = hint.leader;
	resp->current_leader.leader_epoch = hint.leader_epoch;
	if (!hint.has_endpoint)
		return;
	for (int32_t i = 0; i < whole->node_endpoints_count; i++)
		if (whole->node_endpoints[i].node_id == hint.leader)
			return;
	nodes = produce_response_node_endpoint_new(&call->arena, whole->node_endpoints_count + 1);
	if (nodes == NULL)
		return;
	for (int32_t i = 0; i < whole->node_endpoints_count; i++)
		nodes[i] = whole->node_endpoints[i];
	nodes[whole->node_endpoints_count++] = (struct produce_response_node_endpoint){
	    .node_id = hint.leader, .host = hint.host, .port = hint.port, .rack = hint.rack};
	whole->node_endpoints = nodes;
}

static void
on_flushed(void *arg, int status)
{
	struct produced *pr = arg;
	struct api_call *call = pr->call;

	atomic_store(&pr->flush_status, status);
	atomic_store(&pr->flush_pending, false);
	api_wake(call);
	api_release(call);
}

/* After a successful append: what remains to wait for. */
static void
note_produced(struct api_call *call, struct produce_state *state, int16_t acks, struct partition *p,
	      const struct log_append *append, const struct log_append_result *result,
	      struct partition_produce_response *resp)
{
	struct produced *pr;
	struct log *log;

	resp->base_offset = result->first_offset;
	resp->log_append_time_ms = result->log_append_time_ms;
	resp->log_start_offset = result->log_start_offset;
	if (acks == 0 || (acks == 1 && !result->flush_due))
		return;
	pr = &state->produced[state->produced_count];
	pr->call = call;
	pr->partition = p;
	pr->resp = resp;
	pr->end_offset = result->last_offset + 1;
	pr->leader_epoch = append->leader_epoch;
	/* Whoever else has become the leader meanwhile may lack the records: that is no success. */
	pr->acks_pending =
	    acks == -1 && partition_check_acks(p, pr->end_offset, pr->leader_epoch) != 0;
	if (!pr->acks_pending && !result->flush_due)
		return;
	partition_get(p);
	state->produced_count++;
	if (result->flush_due && partition_log(p, PARTITION_NO_EPOCH, false, NULL, &log) == 0) {
		atomic_store(&pr->flush_pending, true);
		api_hold(call);
		log_flush_async(log, pr->end_offset, on_flushed, pr);
		log_put(log);
	}
}

static int
append_partition(struct api_call *call, struct produce_state *state, int16_t acks, struct str topic,
		 const struct partition_produce_data *data, struct partition_produce_response *resp)
{
	struct slice records = data->records.data;
	struct log_append append = {.records = (uint8_t *)(uintptr_t)records.data,
				    .len = records.len,
				    .origin = LOG_APPEND_CLIENT};
	struct log_append_refusal refusal = {0};
	struct log_append_result result;
	struct partition *p;
	int st;

	st = check_records(call, records, &refusal.message);
	if (st == 0 && topic_name_is_internal(topic) &&
	    !str_equal(call->head.client_id, str_of(ADMIN_CLIENT_ID)))
		st = K_INVALID_TOPIC_EXCEPTION;
	if (st == 0)
		st = replica_manager_get(call->api->settings.replicas, topic, data->index, &p);
	if (st != 0) {
		resp->error_message = str_of(refusal.message);
		return st;
	}
	/* No coordinator has begun a transaction that this batch could belong to. */
	if (batch_is_transactional(records))
		st = K_INVALID_TXN_STATE;
	else
		st = partition_append(p, acks, &append, &call->arena, &result, &refusal);
	if (st == 0) {
		note_produced(call, state, acks, p, &append, &result, resp);
	} else {
		struct log *log;

		fill_refusal(call, &refusal, resp);
		if ((st == K_INVALID_RECORD || st == K_INVALID_TIMESTAMP) &&
		    partition_log(p, PARTITION_NO_EPOCH, false, NULL, &log) == 0) {
			resp->log_start_offset = log_start_offset(log);
			log_put(log);
		}
	}
	partition_put(p);
	return st;
}

static void
finish(struct api_call *call)
{
	struct produce_state *state = call->state;

	for (int32_t i = 0; i < state->produced_count; i++) {
		partition_wait_end(&state->produced[i].waiter);
		partition_put(state->produced[i].partition);
	}
}

static void
wake_call(struct partition_waiter *waiter, int64_t bytes)
{
	struct produced *pr = CONTAINER_OF(waiter, struct produced, waiter);

	(void)bytes;
	api_wake(pr->call);
}

/* Looks again at one partition; true when it waits no longer. */
static bool
settle(struct produced *pr, bool timed_out)
{
	int st = 0;

	if (atomic_load(&pr->flush_pending)) {
		if (!timed_out)
			return false;
		st = K_REQUEST_TIMED_OUT;
	} else if (atomic_load(&pr->flush_status) != 0) {
		st = atomic_load(&pr->flush_status);
	}
	if (st == 0 && pr->acks_pending) {
		st = partition_check_acks(pr->partition, pr->end_offset, pr->leader_epoch);
		if (st == PARTITION_STILL_WAITING) {
			if (!timed_out)
				return false;
			st = K_REQUEST_TIMED_OUT;
		}
	}
	pr->resp->error_code = kerr_of(st);
	return true;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct produce_state *state = call->state;
	bool all = true;

	if (atomic_load(&call->api->shutting_down))
		timed_out = true;
	for (int32_t i = 0; i < state->produced_count; i++)
		all = settle(&state->produced[i], timed_out) && all;
	if (all)
		api_answer(call, &state->resp);
}

static void
answer_or_wait(struct api_call *call, struct produce_state *state,
	       const struct produce_request *req)
{
	if (req->acks == 0) {
		if (state->failed) /* the only way to tell: the client looks for the leader anew */
			api_close_connection(call);
		else
			api_no_answer(call);
		return;
	}
	if (state->produced_count == 0) {
		api_answer(call, &state->resp);
		return;
	}
	net_request_drop_bytes(call->req);
	for (int32_t i = 0; i < state->produced_count; i++) {
		struct produced *pr = &state->produced[i];

		if (!pr->acks_pending)
			continue;
		pr->waiter.kind = PARTITION_WAIT_ACKS;
		pr->waiter.offset = pr->end_offset;
		pr->waiter.wake = wake_call;
		partition_wait(pr->partition, &pr->waiter);
	}
	api_park(call, req->timeout_ms, resume);
	resume(call, false); /* what came true before we waited */
}

static int32_t
count_partitions(const struct produce_request *req)
{
	int32_t count = 0;

	for (int32_t t = 0; t < req->topic_data_count; t++)
		count += req->topic_data[t].partition_data_count;
	return count;
}

void
api_produce(struct api_call *call, void *request)
{
	const struct produce_request *req = request;
	bool acks_valid = req->acks >= -1 && req->acks <= 1;
	struct produce_state *state = arena_alloc(&call->arena, sizeof(*state));
	int32_t count = count_partitions(req);

	if (state == NULL)
		goto no_memory;
	call->state = state;
	call->finish = finish;
	produce_response_init(&state->resp);
	state->produced = arena_calloc(&call->arena, (size_t)count, sizeof(*state->produced));
	state->resp.responses = topic_produce_response_new(&call->arena, req->topic_data_count);
	if (state->produced == NULL || state->resp.responses == NULL)
		goto no_memory;
	for (int32_t t = 0; t < req->topic_data_count; t++) {
		const struct topic_produce_data *topic = &req->topic_data[t];
		struct topic_produce_response *tr = &state->resp.responses[t];

		tr->name = topic->name;
		tr->partition_responses =
		    partition_produce_response_new(&call->arena, topic->partition_data_count);
		if (tr->partition_responses == NULL)
			goto no_memory;
		for (int32_t i = 0; i < topic->partition_data_count; i++) {
			struct partition_produce_response *resp = &tr->partition_responses[i];
			int st = K_INVALID_REQUIRED_ACKS;

			resp->index = topic->partition_data[i].index;
			resp->base_offset = -1;
			if (acks_valid)
				st = append_partition(call, state, req->acks, topic->name,
						      &topic->partition_data[i], resp);
			resp->error_code = kerr_of(st);
			state->failed = state->failed || st != 0;
			fill_leader_hint(call, topic->name, resp, &state->resp);
		}
		tr->partition_responses_count = topic->partition_data_count;
		state->resp.responses_count++;
	}
	answer_or_wait(call, state, req);
	return;
no_memory:
	api_out_of_memory(call);
}
