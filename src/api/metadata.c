/* Kafka: KafkaApis.handleTopicMetadataRequest, ZkMetadataCache, AutoTopicCreationManager. */
#include <errno.h>

#include "api/api_call.h"
#include "api/topic_plan.h"
#include "cluster/topic_name.h"
#include "wire/generated/metadata.h"

/* READ WRITE CREATE DELETE ALTER DESCRIBE DESCRIBE_CONFIGS ALTER_CONFIGS */
#define ALL_TOPIC_OPERATIONS                                                                       \
	(1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11)
#define ALL_CLUSTER_OPERATIONS (1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12)

/* A partition of an answer, with three replicas or a few more. */
#define PARTITION_BYTES 256
#define ANSWER_BYTES_MAX ((size_t)256 << 20)

static int32_t *
copy_ids(struct api_call *call, const int32_t *ids, int32_t count)
{
	int32_t *copy = arena_calloc(&call->arena, (size_t)count, sizeof(*copy));

	if (copy != NULL && count > 0)
		memcpy(copy, ids, (size_t)count * sizeof(*copy));
	return copy;
}

static int
fill_brokers(struct api_call *call, const struct metadata_image *image,
	     struct metadata_response *resp)
{
	const char *listener = connection_listener_name(call->req->conn);
	const struct metadata_broker *brokers;
	size_t count;

	brokers = metadata_brokers(image, &count);
	resp->brokers = metadata_response_broker_new(&call->arena, (int32_t)count);
	if (resp->brokers == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct metadata_endpoint *e = metadata_endpoint(&brokers[i], listener);
		struct metadata_response_broker *b;

		if (e == NULL)
			continue;
		b = &resp->brokers[resp->brokers_count++];
		b->node_id = brokers[i].id;
		b->host = api_copy_text(call, e->host);
		b->port = e->port;
		b->rack = api_copy_text(call, brokers[i].rack);
		if (b->host.data == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Version 0 lists living replicas only. */
static int32_t
keep_living(const struct metadata_image *image, int32_t *ids, int32_t count)
{
	int32_t kept = 0;

	for (int32_t i = 0; i < count; i++)
		if (metadata_broker(image, ids[i]) != NULL)
			ids[kept++] = ids[i];
	return kept;
}

static int
leader_error(struct api_call *call, const struct metadata_image *image,
	     const struct metadata_partition *p)
{
	const struct metadata_broker *leader =
	    p->leader < 0 ? NULL : metadata_broker(image, p->leader);

	if (leader == NULL)
		return K_LEADER_NOT_AVAILABLE;
	if (metadata_endpoint(leader, connection_listener_name(call->req->conn)) == NULL)
		return api_version(call) >= 6 ? K_LISTENER_NOT_FOUND : K_LEADER_NOT_AVAILABLE;
	return 0;
}

static int
fill_partition(struct api_call *call, const struct metadata_image *image,
	       const struct metadata_partition *p, struct metadata_response_partition *resp)
{
	int st = leader_error(call, image, p);

	resp->partition_index = p->partition;
	resp->leader_id = st == 0 ? p->leader : -1;
	resp->leader_epoch = p->leader_epoch;
	resp->replica_nodes = copy_ids(call, p->replicas, p->replica_count);
	resp->replica_nodes_count = p->replica_count;
	resp->isr_nodes = copy_ids(call, p->isr, p->isr_count);
	resp->isr_nodes_count = p->isr_count;
	resp->offline_replicas = copy_ids(call, p->offline_replicas, p->offline_count);
	resp->offline_replicas_count = p->offline_count;
	if (resp->replica_nodes == NULL || resp->isr_nodes == NULL ||
	    resp->offline_replicas == NULL)
		return -ENOMEM;
	if (api_version(call) == 0) {
		resp->replica_nodes_count =
		    keep_living(image, resp->replica_nodes, p->replica_count);
		resp->isr_nodes_count = keep_living(image, resp->isr_nodes, p->isr_count);
		if (st == 0 && (resp->replica_nodes_count < p->replica_count ||
				resp->isr_nodes_count < p->isr_count))
			st = K_REPLICA_NOT_AVAILABLE;
	}
	resp->error_code = kerr_of(st);
	return 0;
}

/*
 * A short question may have a long answer: a topic brings the memory that it takes. Whoever names
 * large topics again and again meets a limit.
 */
static void
allow_topic(struct api_call *call, const struct metadata_topic *topic)
{
	if (call->arena.limit < ANSWER_BYTES_MAX)
		call->arena.limit += (size_t)topic->partition_count * PARTITION_BYTES;
}

static int
fill_topic(struct api_call *call, const struct metadata_image *image,
	   const struct metadata_topic *topic, struct metadata_response_topic *resp)
{
	allow_topic(call, topic);
	resp->name = api_copy_text(call, topic->name);
	resp->topic_id = topic->id;
	resp->is_internal = topic->is_internal;
	resp->partitions = metadata_response_partition_new(&call->arena, topic->partition_count);
	if (resp->name.data == NULL || resp->partitions == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		int st;

		if (topic->partitions[i] == NULL)
			continue;
		st = fill_partition(call, image, topic->partitions[i],
				    &resp->partitions[resp->partitions_count++]);
		if (st != 0)
			return st;
	}
	return 0;
}

static int
missing_topic(struct api_call *call, const struct metadata_request *req, struct str name)
{
	bool allowed = api_version(call) < 4 || req->allow_auto_topic_creation;

	if (topic_name_refusal(name) != NULL)
		return K_INVALID_TOPIC_EXCEPTION;
	if (!allowed || !api_conf(call)->auto_create_topics_enable)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	return topic_auto_create(call, name);
}

/* Fills in one topic that the client named. 0, or -ENOMEM. */
static int
answer_named(struct api_call *call, const struct metadata_image *image,
	     const struct metadata_request_topic *topic, bool by_id,
	     struct metadata_response_topic *resp, bool *ret_missing)
{
	const struct metadata_topic *found =
	    by_id ? metadata_topic_by_id(image, &topic->topic_id)
		  : metadata_topic(image, topic->name.data == NULL ? "" : topic->name.data,
				   topic->name.len);

	if (found != NULL)
		return fill_topic(call, image, found, resp);
	resp->name = topic->name;
	if (by_id) {
		resp->name = (struct str){0};
		resp->topic_id = topic->topic_id;
		resp->error_code = K_UNKNOWN_TOPIC_ID;
	} else {
		resp->is_internal = topic_name_is_internal(topic->name);
		*ret_missing = true;
	}
	return 0;
}

static int
answer_all(struct api_call *call, const struct metadata_image *image,
	   struct metadata_response *resp)
{
	int32_t count = (int32_t)metadata_topic_count(image);
	const struct metadata_topic *topic;
	struct metadata_walk walk = {0};
	int st = 0;

	resp->topics = metadata_response_topic_new(&call->arena, count);
	if (resp->topics == NULL)
		return -ENOMEM;
	while (st == 0 && (topic = metadata_next_topic(image, &walk)) != NULL)
		st = fill_topic(call, image, topic, &resp->topics[resp->topics_count++]);
	return st;
}

/* Ids count where any is given; versions 10 and 11 have the field but may not use it. */
static bool
asks_by_id(const struct metadata_request *req)
{
	for (int32_t i = 0; i < req->topics_count; i++)
		if (!uuid_is_zero(&req->topics[i].topic_id))
			return true;
	return false;
}

static bool
request_is_invalid(const struct api_call *call, const struct metadata_request *req)
{
	if (api_version(call) < 10)
		return false;
	if (api_version(call) < 12 && asks_by_id(req))
		return true;
	for (int32_t i = 0; i < req->topics_count; i++)
		if (req->topics[i].name.data == NULL && uuid_is_zero(&req->topics[i].topic_id))
			return true;
	return false;
}

static int
answer_topics(struct api_call *call, const struct metadata_request *req,
	      struct metadata_response *resp)
{
	struct metadata *md = call->api->settings.metadata;
	bool invalid = request_is_invalid(call, req), by_id = asks_by_id(req);
	bool *missing = arena_calloc(&call->arena, (size_t)req->topics_count, sizeof(*missing));
	const struct metadata_image *image;
	int st = 0;

	resp->topics = metadata_response_topic_new(&call->arena, req->topics_count);
	if (resp->topics == NULL || missing == NULL)
		return -ENOMEM;
	resp->topics_count = req->topics_count;
	image = metadata_read(md);
	for (int32_t i = 0; st == 0 && i < req->topics_count; i++) {
		if (invalid) {
			resp->topics[i].name = req->topics[i].name;
			resp->topics[i].error_code = K_INVALID_REQUEST;
			if (resp->topics[i].name.data == NULL && api_version(call) < 12)
				resp->topics[i].name = str_of("");
		} else {
			st = answer_named(call, image, &req->topics[i], by_id, &resp->topics[i],
					  &missing[i]);
		}
	}
	metadata_done(md);
	for (int32_t i = 0; st == 0 && i < req->topics_count; i++)
		if (missing[i])
			resp->topics[i].error_code =
			    kerr_of(missing_topic(call, req, req->topics[i].name));
	return st;
}

void
api_metadata(struct api_call *call, void *request)
{
	const struct metadata_request *req = request;
	bool all = req->topics_count < 0 || (api_version(call) == 0 && req->topics_count == 0);
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image;
	struct metadata_response resp;
	int st;

	metadata_response_init(&resp);
	resp.cluster_id = str_of(call->api->settings.cluster_id);
	image = metadata_read(md);
	/* The ensemble's word is newer than the last UpdateMetadata. */
	resp.controller_id = controller_active_id(call->api->settings.controller);
	if (metadata_broker(image, resp.controller_id) == NULL)
		resp.controller_id = -1;
	st = fill_brokers(call, image, &resp);
	if (st == 0 && all)
		st = answer_all(call, image, &resp);
	metadata_done(md);
	if (st == 0 && !all)
		st = answer_topics(call, req, &resp);
	if (st != 0) {
		api_out_of_memory(call);
		return;
	}
	if (req->include_topic_authorized_operations)
		for (int32_t i = 0; i < resp.topics_count; i++)
			if (resp.topics[i].error_code == 0)
				resp.topics[i].topic_authorized_operations = ALL_TOPIC_OPERATIONS;
	if (req->include_cluster_authorized_operations)
		resp.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS;
	api_answer(call, &resp);
}
