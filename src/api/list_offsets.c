/* Kafka: KafkaApis.handleListOffsetRequest, Partition.fetchOffsetForTimestamp. */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/list_offsets.h"

#define CONSUMER_REPLICA_ID (-1)
#define DEBUGGING_REPLICA_ID (-2)

struct list_offsets_state {
	const struct list_offsets_request *req;
	struct list_offsets_response resp;
};

/* The lowest special timestamp that a version knows. */
static int64_t
lowest_special(int version)
{
	if (version >= 9)
		return LOG_TIMESTAMP_LATEST_TIERED;
	if (version >= 8)
		return LOG_TIMESTAMP_EARLIEST_LOCAL;
	return version >= 7 ? LOG_TIMESTAMP_MAX : LOG_TIMESTAMP_EARLIEST;
}

static int64_t
last_fetchable(const struct list_offsets_request *req, const struct log_offsets *offsets)
{
	if (req->replica_id != CONSUMER_REPLICA_ID)
		return offsets->log_end_offset;
	return req->isolation_level == 1 ? offsets->last_stable_offset : offsets->high_watermark;
}

/* The lookups that need no search. */
static int
find_special(struct log *log, const struct list_offsets_partition *p, int64_t limit,
	     int32_t leader_epoch, struct list_offsets_partition_response *resp)
{
	struct log_timestamp_offset found;
	int st;

	if (p->timestamp == LOG_TIMESTAMP_LATEST) {
		resp->offset = limit;
		resp->leader_epoch = leader_epoch;
		return 0;
	}
	if (p->timestamp == LOG_TIMESTAMP_LATEST_TIERED)
		return 0;
	st = log_offset_for_timestamp(log, p->timestamp, &found);
	if (st == 0) {
		resp->offset = found.offset;
		resp->leader_epoch = found.leader_epoch;
	}
	return st;
}

static int
find_offset(struct api_call *call, const struct list_offsets_request *req, struct partition *p,
	    struct log *log, const struct list_offsets_partition *lp,
	    struct list_offsets_partition_response *resp)
{
	struct log_timestamp_offset found;
	struct partition_view view;
	struct log_offsets offsets;
	bool earliest = lp->timestamp == LOG_TIMESTAMP_EARLIEST ||
			lp->timestamp == LOG_TIMESTAMP_EARLIEST_LOCAL;
	int64_t limit;
	int st;

	partition_look(p, &view);
	log_offsets(log, &offsets);
	limit = last_fetchable(req, &offsets);
	/* Just elected: the end of what is committed is not known yet. */
	if (req->replica_id == CONSUMER_REPLICA_ID && !earliest && !view.high_watermark_is_current)
		return api_version(call) >= 5 ? K_OFFSET_NOT_AVAILABLE : K_LEADER_NOT_AVAILABLE;
	if (lp->timestamp < 0 && lp->timestamp != LOG_TIMESTAMP_MAX)
		return find_special(log, lp, limit, view.leader_epoch, resp);
	st = log_offset_for_timestamp(log, lp->timestamp, &found);
	if (st == 0 && found.offset >= 0 && found.offset < limit) {
		resp->offset = found.offset;
		resp->timestamp = found.timestamp_ms;
		resp->leader_epoch = found.leader_epoch;
	}
	return st;
}

/* Version 0 asks for a list of offsets, the newest first. */
static int
find_old_style(struct api_call *call, const struct list_offsets_request *req, struct log *log,
	       const struct list_offsets_partition *lp,
	       struct list_offsets_partition_response *resp)
{
	struct log_offsets offsets;
	int64_t *found, limit;
	size_t count;
	int32_t max = lp->max_num_offsets < 0 ? 0 : lp->max_num_offsets;
	int st;

	log_offsets(log, &offsets);
	limit = last_fetchable(req, &offsets);
	st = log_offsets_before(log, lp->timestamp, (size_t)max, &call->arena, &found, &count);
	if (st != 0)
		return st;
	for (size_t i = 0; i < count; i++)
		if (found[i] > limit)
			found[i] = limit;
	resp->old_style_offsets = found;
	resp->old_style_offsets_count = (int32_t)count;
	return 0;
}

static bool
asked_twice(const struct list_offsets_request *req, const struct list_offsets_topic *topic,
	    int32_t partition)
{
	int count = 0;

	for (int32_t t = 0; t < req->topics_count; t++) {
		if (!str_equal(req->topics[t].name, topic->name))
			continue;
		for (int32_t i = 0; i < req->topics[t].partitions_count; i++)
			count += req->topics[t].partitions[i].partition_index == partition;
	}
	return count > 1;
}

static void
answer_partition(struct api_call *call, const struct list_offsets_request *req,
		 const struct list_offsets_topic *topic, const struct list_offsets_partition *lp,
		 struct list_offsets_partition_response *resp)
{
	int64_t lowest =
	    api_version(call) == 0 ? LOG_TIMESTAMP_EARLIEST : lowest_special(api_version(call));
	struct partition *p = NULL;
	struct log *log = NULL;
	int st = 0;

	resp->partition_index = lp->partition_index;
	if (asked_twice(req, topic, lp->partition_index))
		st = K_INVALID_REQUEST;
	else if (lp->timestamp < lowest)
		st = K_UNSUPPORTED_VERSION;
	if (st == 0)
		st = replica_manager_get(call->api->settings.replicas, topic->name,
					 lp->partition_index, &p);
	if (st == 0)
		st = partition_log(p, lp->current_leader_epoch,
				   req->replica_id != DEBUGGING_REPLICA_ID, NULL, &log);
	if (st == 0)
		st = api_version(call) == 0 ? find_old_style(call, req, log, lp, resp)
					    : find_offset(call, req, p, log, lp, resp);
	log_put(log);
	partition_put(p);
	if (api_version(call) < 4)
		resp->leader_epoch = -1;
	resp->error_code = kerr_of(st);
}

static int
fill_response(struct api_call *call, struct list_offsets_state *state)
{
	const struct list_offsets_request *req = state->req;

	list_offsets_response_init(&state->resp);
	state->resp.topics = list_offsets_topic_response_new(&call->arena, req->topics_count);
	if (state->resp.topics == NULL)
		return -ENOMEM;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct list_offsets_topic *topic = &req->topics[t];
		struct list_offsets_topic_response *tr = &state->resp.topics[t];

		tr->name = topic->name;
		tr->partitions =
		    list_offsets_partition_response_new(&call->arena, topic->partitions_count);
		if (tr->partitions == NULL)
			return -ENOMEM;
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++)
			answer_partition(call, req, topic, &topic->partitions[i],
					 &tr->partitions[i]);
	}
	state->resp.topics_count = req->topics_count;
	return 0;
}

/* Only the ends of a log are known without a look at the disk. */
static bool
may_block(const struct list_offsets_request *req, int version)
{
	if (version == 0)
		return true;
	for (int32_t t = 0; t < req->topics_count; t++) {
		for (int32_t i = 0; i < req->topics[t].partitions_count; i++) {
			int64_t timestamp = req->topics[t].partitions[i].timestamp;

			if (timestamp >= 0 || timestamp == LOG_TIMESTAMP_MAX)
				return true;
		}
	}
	return false;
}

static void
work(struct api_call *call)
{
	struct list_offsets_state *state = call->state;

	if (fill_response(call, state) != 0)
		state->resp.topics_count = -1;
}

static void
done(struct api_call *call)
{
	struct list_offsets_state *state = call->state;

	if (state->resp.topics_count < 0)
		api_out_of_memory(call);
	else
		api_answer(call, &state->resp);
}

void
api_list_offsets(struct api_call *call, void *request)
{
	struct list_offsets_state *state = arena_alloc(&call->arena, sizeof(*state));

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->req = request;
	call->state = state;
	if (may_block(request, api_version(call))) {
		api_work(call, work, done);
		return;
	}
	work(call);
	done(call);
}
