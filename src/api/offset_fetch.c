/*
 * OffsetFetch. Every version is answered in the shape of the newest, groups of topics; the older
 * ones have one group and their own structs. Version 0 reads ZooKeeper.
 *
 * Kafka: KafkaApis.handleOffsetFetchRequest, GroupMetadataManager.getOffsets.
 */
#include <errno.h>

#include "api/group_call.h"
#include "wire/generated/offset_fetch.h"
#include "zk/znode_consumer_offset.h"

#define NO_OFFSET (-1)

struct fetching {
	struct api_call *call;
	const struct offset_fetch_request_group *req; /* topics_count -1: all */
	bool require_stable;
	struct offset_fetch_response_group *resp;
	int32_t topic_cap; /* of resp->topics; when all are asked for */
	int32_t partition_cap;
	int st; /* 0 or -ENOMEM */
};

static void
fill_partition(struct fetching *f, int32_t partition, const struct offset_view *view,
	       struct offset_fetch_response_partitions *resp)
{
	*resp = (struct offset_fetch_response_partitions){
	    .partition_index = partition,
	    .committed_offset = NO_OFFSET,
	    .committed_leader_epoch = -1,
	    .metadata = str_of(""),
	};
	if (f->require_stable && view->is_unstable) {
		resp->error_code = K_UNSTABLE_OFFSET_COMMIT;
		return;
	}
	if (!view->is_committed)
		return;
	resp->committed_offset = view->committed.offset;
	resp->committed_leader_epoch = view->committed.leader_epoch;
	if (view->committed.metadata.len > 0) { /* any bytes, NUL among them */
		struct str text = view->committed.metadata;

		resp->metadata.data = arena_strdup(&f->call->arena, text.data, text.len);
		resp->metadata.len = resp->metadata.data == NULL ? 0 : text.len;
	}
}

static void
look_at_named(void *arg, struct group *g)
{
	struct fetching *f = arg;
	const struct offset_view none = {0};

	f->resp->topics = offset_fetch_response_topics_new(&f->call->arena, f->req->topics_count);
	if (f->resp->topics == NULL) {
		f->st = -ENOMEM;
		return;
	}
	for (int32_t t = 0; t < f->req->topics_count; t++) {
		const struct offset_fetch_request_topics *topic = &f->req->topics[t];
		struct offset_fetch_response_topics *tr = &f->resp->topics[t];

		tr->name = topic->name;
		tr->partitions = offset_fetch_response_partitions_new(
		    &f->call->arena, topic->partition_indexes_count);
		if (tr->partitions == NULL) {
			f->st = -ENOMEM;
			return;
		}
		tr->partitions_count = topic->partition_indexes_count;
		for (int32_t i = 0; i < topic->partition_indexes_count; i++) {
			struct offset_view view = none;

			if (g != NULL)
				group_offsets_look(group_offsets(g), topic->name,
						   topic->partition_indexes[i], &view);
			fill_partition(f, topic->partition_indexes[i], &view, &tr->partitions[i]);
		}
	}
	f->resp->topics_count = f->req->topics_count;
}

/* The partitions of one topic come one after the other. */
static void
add_partition(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	struct fetching *f = arg;
	struct offset_fetch_response_group *resp = f->resp;
	struct offset_fetch_response_topics *tr =
	    resp->topics_count == 0 ? NULL : &resp->topics[resp->topics_count - 1];

	if (f->st != 0 || (!view->is_committed && !(f->require_stable && view->is_unstable)))
		return;
	if (tr == NULL || !str_equal(tr->name, topic)) {
		resp->topics = group_call_grow(f->call, &offset_fetch_response_topics_struct,
					       resp->topics, resp->topics_count, &f->topic_cap);
		if (resp->topics == NULL) {
			f->st = -ENOMEM;
			return;
		}
		tr = &resp->topics[resp->topics_count++];
		tr->name = api_copy_text(f->call, topic.data);
		f->partition_cap = 0;
	}
	tr->partitions = group_call_grow(f->call, &offset_fetch_response_partitions_struct,
					 tr->partitions, tr->partitions_count, &f->partition_cap);
	if (tr->partitions == NULL)
		f->st = -ENOMEM;
	else
		fill_partition(f, partition, view, &tr->partitions[tr->partitions_count++]);
}

static void
look_at_all(void *arg, struct group *g)
{
	struct fetching *f = arg;

	if (g != NULL)
		group_offsets_each(group_offsets(g), add_partition, f);
}

/* 0 or -ENOMEM; what the coordinator says goes into resp. */
static int
fetch_group(struct api_call *call, const struct offset_fetch_request_group *req,
	    bool require_stable, struct offset_fetch_response_group *resp)
{
	struct fetching f = {
	    .call = call, .req = req, .require_stable = require_stable, .resp = resp};

	resp->group_id = req->group_id;
	resp->error_code = kerr_of(
	    group_coordinator_look(call->api->settings.groups, req->group_id,
				   req->topics_count < 0 ? look_at_all : look_at_named, &f));
	return f.st;
}

/* ---- versions 0 to 7 ---- */

/* Versions 0 and 1 have no place for an error but at each partition. */
static int
fill_errors(struct api_call *call, const struct offset_fetch_request_group *req,
	    struct offset_fetch_response_group *resp)
{
	struct fetching f = {.call = call, .req = req, .resp = resp};

	look_at_named(&f, NULL);
	for (int32_t t = 0; f.st == 0 && t < resp->topics_count; t++)
		for (int32_t i = 0; i < resp->topics[t].partitions_count; i++)
			resp->topics[t].partitions[i].error_code = resp->error_code;
	return f.st;
}

/* The one group of the request in the newer shape. */
static int
widen(struct api_call *call, const struct offset_fetch_request *req,
      struct offset_fetch_request_group *ret_group)
{
	*ret_group = (struct offset_fetch_request_group){.group_id = req->group_id,
							 .topics_count = req->topics_count};
	if (req->topics_count < 0)
		return 0;
	ret_group->topics = offset_fetch_request_topics_new(&call->arena, req->topics_count);
	if (ret_group->topics == NULL)
		return -ENOMEM;
	for (int32_t t = 0; t < req->topics_count; t++) {
		ret_group->topics[t].name = req->topics[t].name;
		ret_group->topics[t].partition_indexes = req->topics[t].partition_indexes;
		ret_group->topics[t].partition_indexes_count =
		    req->topics[t].partition_indexes_count;
	}
	return 0;
}

/* And its answer back in the older one. */
static int
narrow(struct api_call *call, const struct offset_fetch_response_group *group,
       struct offset_fetch_response *resp)
{
	resp->error_code = group->error_code;
	resp->topics = offset_fetch_response_topic_new(&call->arena, group->topics_count);
	if (resp->topics == NULL)
		return -ENOMEM;
	resp->topics_count = group->topics_count;
	for (int32_t t = 0; t < group->topics_count; t++) {
		const struct offset_fetch_response_topics *from = &group->topics[t];
		struct offset_fetch_response_topic *to = &resp->topics[t];

		to->name = from->name;
		to->partitions =
		    offset_fetch_response_partition_new(&call->arena, from->partitions_count);
		if (to->partitions == NULL)
			return -ENOMEM;
		to->partitions_count = from->partitions_count;
		for (int32_t i = 0; i < from->partitions_count; i++)
			to->partitions[i] = (struct offset_fetch_response_partition){
			    .partition_index = from->partitions[i].partition_index,
			    .committed_offset = from->partitions[i].committed_offset,
			    .committed_leader_epoch = from->partitions[i].committed_leader_epoch,
			    .metadata = from->partitions[i].metadata,
			    .error_code = from->partitions[i].error_code,
			};
	}
	return 0;
}

/* ---- version 0 ---- */

struct version_0 {
	struct offset_fetch_request_group req;
	struct offset_fetch_response_group group;
};

static void
read_znodes(struct api_call *call, struct zk *zk)
{
	struct version_0 *state = call->state;

	for (int32_t t = 0; t < state->group.topics_count; t++) {
		struct offset_fetch_response_topics *topic = &state->group.topics[t];

		for (int32_t i = 0; i < topic->partitions_count; i++) {
			struct offset_fetch_response_partitions *p = &topic->partitions[i];
			int st;

			if (!api_partition_exists(call, topic->name, p->partition_index)) {
				p->error_code = K_UNKNOWN_TOPIC_OR_PARTITION;
				continue;
			}
			st = znode_consumer_offset_read(zk, state->req.group_id.data,
							topic->name.data, p->partition_index,
							&p->committed_offset);
			if (st != 0 && st != -ENOENT)
				p->error_code = K_UNKNOWN_SERVER_ERROR;
		}
	}
}

static void
answer_version_0(struct api_call *call)
{
	struct version_0 *state = call->state;
	struct offset_fetch_response resp;

	offset_fetch_response_init(&resp);
	if (narrow(call, &state->group, &resp) != 0)
		api_out_of_memory(call);
	else
		api_answer(call, &resp);
}

static void
fetch_version_0(struct api_call *call, const struct offset_fetch_request_group *group)
{
	struct version_0 *state = arena_alloc(&call->arena, sizeof(*state));

	if (state == NULL || fill_errors(call, group, &state->group) != 0) {
		api_out_of_memory(call);
		return;
	}
	state->req = *group;
	call->state = state;
	api_work_on_controller(call, read_znodes, answer_version_0);
}

static int
fetch_one(struct api_call *call, const struct offset_fetch_request *req,
	  const struct offset_fetch_request_group *group, struct offset_fetch_response *resp)
{
	struct offset_fetch_response_group answer = {0};
	int st = fetch_group(call, group, req->require_stable, &answer);

	if (st == 0 && answer.error_code != 0 && api_version(call) < 2)
		st = fill_errors(call, group, &answer);
	return st != 0 ? st : narrow(call, &answer, resp);
}

static int
fetch_groups(struct api_call *call, const struct offset_fetch_request *req,
	     struct offset_fetch_response *resp)
{
	int st = 0;

	resp->groups = offset_fetch_response_group_new(&call->arena, req->groups_count);
	if (resp->groups == NULL)
		return -ENOMEM;
	resp->groups_count = req->groups_count;
	for (int32_t i = 0; st == 0 && i < req->groups_count; i++)
		st = fetch_group(call, &req->groups[i], req->require_stable, &resp->groups[i]);
	return st;
}

void
api_offset_fetch(struct api_call *call, void *request)
{
	const struct offset_fetch_request *req = request;
	struct offset_fetch_request_group group;
	struct offset_fetch_response resp;
	int st;

	/* Who asks for all offsets gets them, whatever the request's size. */
	call->arena.limit = SIZE_MAX / 2;
	offset_fetch_response_init(&resp);
	if (api_version(call) >= 8) {
		st = fetch_groups(call, req, &resp);
	} else {
		st = widen(call, req, &group);
		if (st == 0 && api_version(call) == 0) {
			fetch_version_0(call, &group);
			return;
		}
		if (st == 0)
			st = fetch_one(call, req, &group, &resp);
	}
	if (st != 0)
		api_out_of_memory(call);
	else
		api_answer(call, &resp);
}
