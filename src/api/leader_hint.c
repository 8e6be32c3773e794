#include "api/api_call.h"

void
api_leader_hint(struct api_call *call, struct str topic, int32_t partition,
		struct api_leader_hint *ret_hint)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image = metadata_read(md);
	const struct metadata_partition *p =
	    metadata_partition(image, topic.data, topic.len, partition);
	const struct metadata_broker *broker;
	const struct metadata_endpoint *endpoint = NULL;
	struct api_leader_hint hint = {.leader = -1, .leader_epoch = -1};

	if (p != NULL && p->leader >= 0) {
		hint.leader = p->leader;
		hint.leader_epoch = p->leader_epoch;
		broker = metadata_broker(image, p->leader);
		if (broker != NULL)
			endpoint =
			    metadata_endpoint(broker, connection_listener_name(call->req->conn));
		if (endpoint != NULL) {
			hint.has_endpoint = true;
			hint.host = api_copy_text(call, endpoint->host);
			hint.rack = api_copy_text(call, broker->rack);
			hint.port = endpoint->port;
		}
	}
	metadata_done(md);
	*ret_hint = hint;
}

bool
api_partition_exists(struct api_call *call, struct str topic, int32_t partition)
{
	struct metadata *md = call->api->settings.metadata;
	bool exists =
	    metadata_partition(metadata_read(md), topic.data, topic.len, partition) != NULL;

	metadata_done(md);
	return exists;
}
