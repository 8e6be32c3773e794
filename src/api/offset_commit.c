/*
 * OffsetCommit. Partitions that cannot be committed are answered on their own; the rest goes to the
 * group's coordinator as one commit. Version 0 keeps its offsets in ZooKeeper.
 *
 * Kafka: KafkaApis.handleOffsetCommitRequest, GroupCoordinatorAdapter.commitOffsets.
 */
#include <errno.h>

#include "api/group_call.h"
#include "wire/generated/offset_commit.h"
#include "zk/znode_consumer_offset.h"

struct commit_state {
	struct group_call group_call; /* first */
	const struct offset_commit_request *req;
	struct offset_commit_response resp;
	struct offset_to_commit *offsets;
	struct offset_commit_response_partition **resps; /* of offsets */
	int32_t count;
};

/* Java's String.length(): UTF-16 units. */
static int64_t
characters_in(struct str text)
{
	int64_t count = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = (uint8_t)text.data[i];

		count += (byte & 0xc0) != 0x80;
		count += byte >= 0xf0; /* two surrogates */
	}
	return count;
}

static int
check_partition(struct api_call *call, struct str topic,
		const struct offset_commit_request_partition *p)
{
	if (!api_partition_exists(call, topic, p->partition_index))
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	return characters_in(p->committed_metadata) > api_conf(call)->offset_metadata_max_bytes
		   ? K_OFFSET_METADATA_TOO_LARGE
		   : 0;
}

/* When a commit of versions 2 to 4 expires; -1: by the group's rules. */
static int64_t
expiry_of(const struct api_call *call, int64_t now_ms, int64_t retention_ms)
{
	int64_t at_ms;

	if (api_version(call) < 2 || api_version(call) > 4 || retention_ms == -1)
		return -1;
	if (__builtin_add_overflow(now_ms, retention_ms, &at_ms))
		return INT64_MAX;
	return at_ms < 0 ? 0 : at_ms;
}

static void
fill_committed(struct api_call *call, const struct commit_state *state,
	       const struct offset_commit_request_partition *p, struct committed_offset *ret)
{
	int64_t now_ms = env_now_ms(call->api->settings.env);
	bool has_timestamp = api_version(call) == 1 && p->commit_timestamp != -1;

	*ret = (struct committed_offset){
	    .offset = p->committed_offset,
	    .leader_epoch = p->committed_leader_epoch,
	    .metadata = p->committed_metadata.data == NULL ? str_of("") : p->committed_metadata,
	    .commit_timestamp_ms = has_timestamp ? p->commit_timestamp : now_ms,
	    .expire_timestamp_ms = expiry_of(call, now_ms, state->req->retention_time_ms),
	};
}

/* The response's shape, and in state what is left to be committed. */
static int
lay_out(struct api_call *call, struct commit_state *state)
{
	const struct offset_commit_request *req = state->req;
	int32_t total = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		total += req->topics[t].partitions_count;
	state->offsets = arena_calloc(&call->arena, (size_t)total, sizeof(*state->offsets));
	state->resps = arena_calloc(&call->arena, (size_t)total, sizeof(*state->resps));
	state->resp.topics = offset_commit_response_topic_new(&call->arena, req->topics_count);
	if (state->offsets == NULL || state->resps == NULL || state->resp.topics == NULL)
		return -ENOMEM;
	state->resp.topics_count = req->topics_count;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct offset_commit_request_topic *topic = &req->topics[t];
		struct offset_commit_response_topic *tr = &state->resp.topics[t];

		tr->name = topic->name;
		tr->partitions =
		    offset_commit_response_partition_new(&call->arena, topic->partitions_count);
		if (tr->partitions == NULL)
			return -ENOMEM;
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++) {
			const struct offset_commit_request_partition *p = &topic->partitions[i];
			int st = check_partition(call, topic->name, p);

			tr->partitions[i].partition_index = p->partition_index;
			tr->partitions[i].error_code = kerr_of(st);
			if (st != 0)
				continue;
			state->resps[state->count] = &tr->partitions[i];
			state->offsets[state->count].topic = topic->name;
			state->offsets[state->count].partition = p->partition_index;
			fill_committed(call, state, p, &state->offsets[state->count].committed);
			state->count++;
		}
	}
	return 0;
}

static void
answer(struct api_call *call, struct group_wait *wait)
{
	struct commit_state *state = call->state;

	for (int32_t i = 0; i < state->count; i++)
		state->resps[i]->error_code = kerr_of(wait->error);
	api_answer(call, &state->resp);
}

/* ---- version 0 ---- */

static void
write_znodes(struct api_call *call, struct zk *zk)
{
	struct commit_state *state = call->state;

	for (int32_t i = 0; i < state->count; i++) {
		const struct offset_to_commit *o = &state->offsets[i];
		int st = znode_consumer_offset_write(zk, state->req->group_id.data, o->topic.data,
						     o->partition, o->committed.offset);

		state->resps[i]->error_code = st == 0 ? 0 : K_UNKNOWN_SERVER_ERROR;
	}
}

static void
answer_version_0(struct api_call *call)
{
	struct commit_state *state = call->state;

	api_answer(call, &state->resp);
}

void
api_offset_commit(struct api_call *call, void *request)
{
	const struct offset_commit_request *req = request;
	struct commit_state *state = arena_alloc(&call->arena, sizeof(*state));
	struct group_identity from = {req->member_id, req->group_instance_id,
				      req->generation_id_or_member_epoch};

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	group_call_begin(call, &state->group_call, answer);
	offset_commit_response_init(&state->resp);
	state->req = req;
	if (lay_out(call, state) != 0) {
		api_out_of_memory(call);
	} else if (state->count == 0) {
		api_answer(call, &state->resp);
	} else if (api_version(call) == 0) {
		api_work_on_controller(call, write_znodes, answer_version_0);
	} else {
		group_coordinator_commit(call->api->settings.groups, req->group_id, &from,
					 state->offsets, state->count, &state->group_call.wait);
		group_call_wait(call);
	}
}
