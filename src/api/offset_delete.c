/* Kafka: KafkaApis.handleOffsetDeleteRequest. */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/offset_delete.h"

/* All partitions of the request, one after the other, with those that are unknown marked. */
static struct offset_to_delete *
flatten(struct api_call *call, const struct offset_delete_request *req, int32_t *ret_count)
{
	struct offset_to_delete *offsets;
	int32_t count = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		count += req->topics[t].partitions_count;
	offsets = arena_calloc(&call->arena, (size_t)count, sizeof(*offsets));
	if (offsets == NULL)
		return NULL;
	*ret_count = count;
	count = 0;
	for (int32_t t = 0; t < req->topics_count; t++)
		for (int32_t i = 0; i < req->topics[t].partitions_count; i++) {
			struct offset_to_delete *o = &offsets[count++];

			o->topic = req->topics[t].name;
			o->partition = req->topics[t].partitions[i].partition_index;
			if (!api_partition_exists(call, o->topic, o->partition))
				o->error = K_UNKNOWN_TOPIC_OR_PARTITION;
		}
	return offsets;
}

static int
fill_topics(struct api_call *call, const struct offset_delete_request *req,
	    const struct offset_to_delete *offsets, struct offset_delete_response *resp)
{
	resp->topics = offset_delete_response_topic_new(&call->arena, req->topics_count);
	if (resp->topics == NULL)
		return -ENOMEM;
	for (int32_t t = 0; t < req->topics_count; t++) {
		struct offset_delete_response_topic *tr = &resp->topics[t];
		int32_t count = req->topics[t].partitions_count;

		tr->name = req->topics[t].name;
		tr->partitions = offset_delete_response_partition_new(&call->arena, count);
		if (tr->partitions == NULL)
			return -ENOMEM;
		tr->partitions_count = count;
		for (int32_t i = 0; i < count; i++, offsets++)
			tr->partitions[i] = (struct offset_delete_response_partition){
			    offsets->partition, kerr_of(offsets->error)};
	}
	resp->topics_count = req->topics_count;
	return 0;
}

void
api_offset_delete(struct api_call *call, void *request)
{
	const struct offset_delete_request *req = request;
	struct offset_delete_response resp;
	int32_t count = 0;
	struct offset_to_delete *offsets = flatten(call, req, &count);
	int st;

	offset_delete_response_init(&resp);
	if (offsets == NULL) {
		api_out_of_memory(call);
		return;
	}
	st = req->group_id.len == 0
		 ? K_INVALID_GROUP_ID
		 : group_coordinator_delete_offsets(call->api->settings.groups, req->group_id,
						    offsets, count);
	resp.error_code = kerr_of(st);
	if (st == 0 && fill_topics(call, req, offsets, &resp) != 0) {
		api_out_of_memory(call);
		return;
	}
	api_answer(call, &resp);
}
