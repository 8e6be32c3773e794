/*
 * broker_metadata.h - topics and their partitions, as the controller knows them.
 */
#ifndef KLAMM_CLI_BROKER_METADATA_H
#define KLAMM_CLI_BROKER_METADATA_H

#include "cli/broker_call.h"
#include "wire/generated/metadata.h"

/*
 * Topics in the order of their names, partitions in that of their numbers; none is created.
 *
 * names   those that are wanted, each of which has to be there; NULL for all
 * Tells what went wrong, an unknown topic as well.
 */
MUST_CHECK int broker_metadata_load(struct broker_calls *calls, const char *const *names,
				    size_t count, struct arena *arena,
				    struct metadata_response *ret_metadata);
/* NULL where there is none. */
const struct metadata_response_topic *
broker_metadata_topic(const struct metadata_response *metadata, const char *name);
const struct metadata_response_partition *
broker_metadata_partition(const struct metadata_response *metadata, const char *topic,
			  int32_t partition);

#endif
