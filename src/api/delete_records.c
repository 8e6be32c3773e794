/*
 * DeleteRecords. The log start offset of every replica must reach what was asked for; while a
 * partition has one replica it has when the call returns.
 *
 * Kafka: KafkaApis.handleDeleteRecordsRequest, Partition.deleteRecordsOnLeader.
 */
#include <errno.h>

#include "api/api_call.h"
#include "cluster/topic_name.h"
#include "wire/generated/delete_records.h"

static void
answer_partition(struct api_call *call, struct str topic,
		 const struct delete_records_partition *req,
		 struct delete_records_partition_result *resp)
{
	struct partition *p;
	int st;

	resp->partition_index = req->partition_index;
	resp->low_watermark = -1;
	if (topic_name_is_internal(topic)) {
		st = K_INVALID_TOPIC_EXCEPTION;
	} else {
		st = replica_manager_get(call->api->settings.replicas, topic, req->partition_index,
					 &p);
		if (st == 0) {
			st = partition_delete_records(p, req->offset, &resp->low_watermark);
			partition_put(p);
		}
	}
	resp->error_code = kerr_of(st);
}

void
api_delete_records(struct api_call *call, void *request)
{
	const struct delete_records_request *req = request;
	struct delete_records_response resp;

	delete_records_response_init(&resp);
	resp.topics = delete_records_topic_result_new(&call->arena, req->topics_count);
	if (resp.topics == NULL)
		goto no_memory;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct delete_records_topic *topic = &req->topics[t];
		struct delete_records_topic_result *tr = &resp.topics[t];

		tr->name = topic->name;
		tr->partitions =
		    delete_records_partition_result_new(&call->arena, topic->partitions_count);
		if (tr->partitions == NULL)
			goto no_memory;
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++)
			answer_partition(call, topic->name, &topic->partitions[i],
					 &tr->partitions[i]);
	}
	resp.topics_count = req->topics_count;
	api_answer(call, &resp);
	return;
no_memory:
	api_out_of_memory(call);
}
