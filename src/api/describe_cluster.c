/* Kafka: AuthHelper.computeDescribeClusterResponse. */
#include <errno.h>

#include "api/api_call.h"
#include "wire/generated/describe_cluster.h"

#define ENDPOINT_TYPE_BROKER 1
#define ENDPOINT_TYPE_CONTROLLER 2

/* CREATE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE, ALTER, DESCRIBE. */
#define ALL_CLUSTER_OPERATIONS (1 << 5 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 7 | 1 << 8)

static int
list_brokers(struct api_call *call, struct describe_cluster_response *resp)
{
	const char *listener = connection_listener_name(call->req->conn);
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image = metadata_read(md);
	const struct metadata_broker *brokers;
	size_t count;
	int st = 0;

	brokers = metadata_brokers(image, &count);
	resp->brokers = describe_cluster_broker_new(&call->arena, (int32_t)count);
	if (resp->brokers == NULL)
		st = -ENOMEM;
	for (size_t i = 0; st == 0 && i < count; i++) {
		const struct metadata_endpoint *e = metadata_endpoint(&brokers[i], listener);
		struct describe_cluster_broker *b;

		if (e == NULL)
			continue;
		b = &resp->brokers[resp->brokers_count++];
		b->broker_id = brokers[i].id;
		b->host = api_copy_text(call, e->host);
		b->port = e->port;
		if (brokers[i].rack != NULL)
			b->rack = api_copy_text(call, brokers[i].rack);
		if (b->host.data == NULL)
			st = -ENOMEM;
		if (b->broker_id == controller_active_id(call->api->settings.controller))
			resp->controller_id = b->broker_id;
	}
	metadata_done(md);
	return st;
}

void
api_describe_cluster(struct api_call *call, void *request)
{
	const struct describe_cluster_request *req = request;
	struct describe_cluster_response resp;
	int st = 0;

	describe_cluster_response_init(&resp);
	resp.cluster_id = str_of(call->api->settings.cluster_id);
	resp.endpoint_type = req->endpoint_type;
	if (api_version(call) >= 1 && req->endpoint_type == ENDPOINT_TYPE_CONTROLLER) {
		st = K_MISMATCHED_ENDPOINT_TYPE;
		resp.error_message = str_of("this is a broker, not a KRaft controller");
	} else if (api_version(call) >= 1 && req->endpoint_type != ENDPOINT_TYPE_BROKER) {
		st = K_UNSUPPORTED_ENDPOINT_TYPE;
		resp.error_message = str_of("endpoint_type must be 1, brokers");
	} else {
		st = list_brokers(call, &resp);
		if (req->include_cluster_authorized_operations)
			resp.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS;
	}
	if (st == -ENOMEM) {
		api_out_of_memory(call);
		return;
	}
	resp.error_code = kerr_of(st);
	api_answer(call, &resp);
}
