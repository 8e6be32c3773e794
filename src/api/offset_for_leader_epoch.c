/* Kafka: ReplicaManager.lastOffsetForLeaderEpoch, KIP-320. */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/offset_for_leader_epoch.h"

static void
answer_partition(struct api_call *call, struct str topic,
		 const struct offset_for_leader_partition *req,
		 struct offset_for_leader_epoch_response_epoch_end_offset *resp)
{
	struct partition *p;
	struct log *log;
	int st;

	resp->partition = req->partition;
	st = replica_manager_get(call->api->settings.replicas, topic, req->partition, &p);
	if (st == 0) {
		st = partition_log(p, req->current_leader_epoch, true, NULL, &log);
		partition_put(p);
	}
	if (st == 0) {
		log_end_offset_for_epoch(log, req->leader_epoch, &resp->leader_epoch,
					 &resp->end_offset);
		log_put(log);
	}
	resp->error_code = kerr_of(st);
}

void
api_offset_for_leader_epoch(struct api_call *call, void *request)
{
	const struct offset_for_leader_epoch_request *req = request;
	struct offset_for_leader_epoch_response resp;

	offset_for_leader_epoch_response_init(&resp);
	resp.topics = offset_for_leader_topic_result_new(&call->arena, req->topics_count);
	if (resp.topics == NULL)
		goto no_memory;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct offset_for_leader_topic *topic = &req->topics[t];
		struct offset_for_leader_topic_result *tr = &resp.topics[t];

		tr->topic = topic->topic;
		tr->partitions = offset_for_leader_epoch_response_epoch_end_offset_new(
		    &call->arena, topic->partitions_count);
		if (tr->partitions == NULL)
			goto no_memory;
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++)
			answer_partition(call, topic->topic, &topic->partitions[i],
					 &tr->partitions[i]);
	}
	resp.topics_count = req->topics_count;
	api_answer(call, &resp);
	return;
no_memory:
	api_out_of_memory(call);
}
