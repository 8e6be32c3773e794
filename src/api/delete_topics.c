/*
 * DeleteTopics. Marks the topics for deletion; the controller removes them; the answer waits until
 * they are gone from this broker's metadata.
 *
 * Kafka: KafkaApis.handleDeleteTopicsRequest, ZkAdminManager.deleteTopics, DelayedDeleteTopics.
 */
#include <errno.h>
#include <stdio.h>

#include "api/api_call.h"
#include "wire/generated/delete_topics.h"
#include "zk/znode.h"

struct delete_topics_state {
	const struct delete_topics_request *req;
	struct delete_topics_response resp;
};

/* Fills in what the request leaves out, the id or the name. */
static int
identify(struct api_call *call, struct deletable_topic_result *resp)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image;
	const struct metadata_topic *topic;
	bool by_id = !uuid_is_zero(&resp->topic_id);
	int st = 0;

	if (by_id && resp->name.data != NULL)
		return K_INVALID_REQUEST;
	image = metadata_read(md);
	topic = by_id ? metadata_topic_by_id(image, &resp->topic_id)
		      : metadata_topic(image, resp->name.data == NULL ? "" : resp->name.data,
				       resp->name.len);
	if (topic == NULL) {
		st = by_id ? K_UNKNOWN_TOPIC_ID : K_UNKNOWN_TOPIC_OR_PARTITION;
	} else {
		resp->topic_id = topic->id;
		resp->name = api_copy_text(call, topic->name);
		if (resp->name.data == NULL)
			st = -ENOMEM;
	}
	metadata_done(md);
	return st;
}

static int
check_topic(struct api_call *call, struct deletable_topic_result *resp)
{
	if (!controller_is_active(call->api->settings.controller))
		return K_NOT_CONTROLLER;
	if (!api_conf(call)->delete_topic_enable)
		return api_version(call) >= 3 ? K_TOPIC_DELETION_DISABLED : K_INVALID_REQUEST;
	return identify(call, resp);
}

static void
set_error(struct deletable_topic_result *resp, int st)
{
	resp->error_code = kerr_of(st);
	if (resp->error_code != 0)
		resp->error_message = str_of(kerr_text(resp->error_code));
}

static bool
is_gone(struct api_call *call, const struct deletable_topic_result *resp)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_topic *topic =
	    metadata_topic(metadata_read(md), resp->name.data, resp->name.len);
	bool gone = topic == NULL || !uuid_equal(&topic->id, &resp->topic_id);

	metadata_done(md);
	return gone;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct delete_topics_state *state = call->state;
	bool all = true;

	timed_out = timed_out || atomic_load(&call->api->shutting_down);
	for (int32_t i = 0; i < state->resp.responses_count; i++) {
		struct deletable_topic_result *resp = &state->resp.responses[i];

		if (resp->error_code != 0 || is_gone(call, resp))
			continue;
		all = false;
		if (timed_out)
			set_error(resp, K_REQUEST_TIMED_OUT);
	}
	if (all || timed_out)
		api_answer(call, &state->resp);
}

static void
carry_out(struct api_call *call, struct zk *zk)
{
	struct delete_topics_state *state = call->state;

	for (int32_t i = 0; i < state->resp.responses_count; i++) {
		struct deletable_topic_result *resp = &state->resp.responses[i];
		char path[ZNODE_PATH_MAX];
		int st;

		if (resp->error_code != 0)
			continue;
		snprintf(path, sizeof(path), "/admin/delete_topics/%s", resp->name.data);
		st = zk_create(zk, path, (struct slice){0}, ZK_PERSISTENT, NULL);
		if (st == -EEXIST) /* marked already */
			st = 0;
		set_error(resp, st == -ESHUTDOWN ? K_NOT_CONTROLLER : st);
	}
}

static void
carried_out(struct api_call *call)
{
	struct delete_topics_state *state = call->state;

	api_wait_for_metadata(call);
	api_park(call, state->req->timeout_ms, resume);
	resume(call, state->req->timeout_ms <= 0);
}

void
api_delete_topics(struct api_call *call, void *request)
{
	const struct delete_topics_request *req = request;
	struct delete_topics_state *state = arena_alloc(&call->arena, sizeof(*state));
	bool by_state = api_version(call) >= 6, any = false;
	int32_t count = by_state ? req->topics_count : req->topic_names_count;

	if (state == NULL)
		goto no_memory;
	state->req = req;
	call->state = state;
	delete_topics_response_init(&state->resp);
	state->resp.responses = deletable_topic_result_new(&call->arena, count);
	if (state->resp.responses == NULL)
		goto no_memory;
	state->resp.responses_count = count;
	for (int32_t i = 0; i < count; i++) {
		struct deletable_topic_result *resp = &state->resp.responses[i];

		resp->name = by_state ? req->topics[i].name : req->topic_names[i];
		if (by_state)
			resp->topic_id = req->topics[i].topic_id;
		set_error(resp, check_topic(call, resp));
		any = any || resp->error_code == 0;
	}
	if (any)
		api_work_on_controller(call, carry_out, carried_out);
	else
		api_answer(call, &state->resp);
	return;
no_memory:
	api_out_of_memory(call);
}
