/* Kafka: KafkaApis.handleDescribeProducersRequest. */
#include <errno.h>

#include "api/api_call.h"
#include "cluster/topic_name.h"
#include "wire/generated/describe_producers.h"

static int
list_producers(struct api_call *call, struct log *log, struct partition_response *resp)
{
	struct log_producer *producers;
	size_t count;
	int st = log_describe_producers(log, &call->arena, &producers, &count);

	if (st != 0)
		return st;
	resp->active_producers = producer_state_new(&call->arena, (int32_t)count);
	if (resp->active_producers == NULL)
		return -ENOMEM;
	resp->active_producers_count = (int32_t)count;
	for (size_t i = 0; i < count; i++)
		resp->active_producers[i] = (struct producer_state){
		    .producer_id = producers[i].producer_id,
		    .producer_epoch = producers[i].producer_epoch,
		    .last_sequence = producers[i].last_sequence,
		    .last_timestamp = producers[i].last_timestamp_ms,
		    .coordinator_epoch = producers[i].coordinator_epoch,
		    .current_txn_start_offset = producers[i].current_txn_start_offset,
		};
	return 0;
}

static int
answer_partition(struct api_call *call, struct str topic, int32_t number,
		 struct partition_response *resp)
{
	struct partition *p;
	struct log *log;
	int st;

	if (topic_name_refusal(topic) != NULL)
		return K_INVALID_TOPIC_EXCEPTION;
	st = replica_manager_get(call->api->settings.replicas, topic, number, &p);
	if (st != 0)
		return st;
	st = partition_log(p, PARTITION_NO_EPOCH, false, NULL, &log);
	partition_put(p);
	if (st != 0)
		return st;
	st = list_producers(call, log, resp);
	log_put(log);
	return st;
}

void
api_describe_producers(struct api_call *call, void *request)
{
	const struct describe_producers_request *req = request;
	struct describe_producers_response resp;

	describe_producers_response_init(&resp);
	resp.topics = topic_response_new(&call->arena, req->topics_count);
	if (resp.topics == NULL)
		goto no_memory;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct topic_request *topic = &req->topics[t];
		struct topic_response *tr = &resp.topics[t];

		tr->name = topic->name;
		tr->partitions =
		    partition_response_new(&call->arena, topic->partition_indexes_count);
		if (tr->partitions == NULL)
			goto no_memory;
		tr->partitions_count = topic->partition_indexes_count;
		for (int32_t i = 0; i < topic->partition_indexes_count; i++) {
			tr->partitions[i].partition_index = topic->partition_indexes[i];
			tr->partitions[i].error_code = kerr_of(answer_partition(
			    call, topic->name, topic->partition_indexes[i], &tr->partitions[i]));
		}
	}
	resp.topics_count = req->topics_count;
	api_answer(call, &resp);
	return;
no_memory:
	api_out_of_memory(call);
}
