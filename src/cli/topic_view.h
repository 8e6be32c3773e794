/*
 * topic_view.h - topics in the order of their names, their partitions in the order of their
 * numbers.
 */
#ifndef KLAMM_CLI_TOPIC_VIEW_H
#define KLAMM_CLI_TOPIC_VIEW_H

#include "cli/client.h"

struct topic_view {
	const rd_kafka_metadata_t *metadata;      /* owned */
	const rd_kafka_metadata_topic_t **topics; /* sorted; point into metadata */
	size_t count;
};

bool topic_is_internal(const char *topic);
/*
 * topic: the only one that is wanted, which must be there; NULL for all. Tells what goes wrong.
 */
MUST_CHECK int topic_view_load(struct topic_view *view, struct client *c, const char *topic,
			       bool exclude_internal);
void topic_view_fini(struct topic_view *view);

bool broker_is_alive(const rd_kafka_metadata_t *metadata, int32_t id);
/* It has no leader, or one that is not there. */
bool partition_is_offline(const rd_kafka_metadata_t *metadata,
			  const rd_kafka_metadata_partition_t *partition);
bool partition_is_under_replicated(const rd_kafka_metadata_partition_t *partition);

#endif
