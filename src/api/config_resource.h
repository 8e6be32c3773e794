/*
 * config_resource.h - what DescribeConfigs, AlterConfigs and IncrementalAlterConfigs share.
 *
 * Source  wire-protocol, section 19.
 */
#ifndef KLAMM_API_CONFIG_RESOURCE_H
#define KLAMM_API_CONFIG_RESOURCE_H

#include "api/api_call.h"

enum config_resource_type {
	CONFIG_TOPIC = 2,
	CONFIG_BROKER = 4,
	CONFIG_BROKER_LOGGER = 8,
};

/*
 * Which broker a resource names: -1 for the cluster-wide defaults (""), else an id.
 * K_INVALID_REQUEST with a sentence when it is neither that nor ours.
 */
MUST_CHECK int config_resource_broker(struct api_call *call, struct str name, bool may_be_default,
				      int32_t *ret_id, const char **ret_message);

/* 0, K_INVALID_TOPIC_EXCEPTION or K_UNKNOWN_TOPIC_OR_PARTITION. */
MUST_CHECK int config_resource_topic(struct api_call *call, struct str name);

#endif
