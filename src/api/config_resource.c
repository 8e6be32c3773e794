#include "api/config_resource.h"

#include <stdlib.h>

#include "cluster/topic_name.h"

int
config_resource_broker(struct api_call *call, struct str name, bool may_be_default, int32_t *ret_id,
		       const char **ret_message)
{
	char *end;
	long id;

	if (name.len == 0 && may_be_default) {
		*ret_id = -1;
		return 0;
	}
	id = strtol(name.data == NULL ? "" : name.data, &end, 10);
	if (name.len == 0 || *end != '\0' || id != call->api->settings.broker_id) {
		*ret_message = arena_printf(
		    &call->arena, "Unexpected broker id, expected %d%s, but received %s",
		    call->api->settings.broker_id, may_be_default ? " or an empty name" : "",
		    name.data == NULL ? "null" : name.data);
		return K_INVALID_REQUEST;
	}
	*ret_id = (int32_t)id;
	return 0;
}

int
config_resource_topic(struct api_call *call, struct str name)
{
	struct metadata *md = call->api->settings.metadata;
	bool known;

	if (topic_name_refusal(name) != NULL)
		return K_INVALID_TOPIC_EXCEPTION;
	known = metadata_topic(metadata_read(md), name.data, name.len) != NULL;
	metadata_done(md);
	return known ? 0 : K_UNKNOWN_TOPIC_OR_PARTITION;
}
