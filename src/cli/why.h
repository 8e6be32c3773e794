/*
 * why.h - why replicas are missing and partitions have no leader.
 *
 * klammd tells: the leader of a partition what it knows of its followers, the controller of
 * partitions without a leader. Kafka's brokers do not; what the metadata say is all there is then.
 */
#ifndef KLAMM_CLI_WHY_H
#define KLAMM_CLI_WHY_H

#include <jansson.h>

#include "base/map.h"
#include "cli/broker_call.h"
#include "cli/topic_view.h"
#include "wire/generated/describe_log_dirs.h"

struct why {
	struct arena arena;
	struct map by_partition; /* topic, number -> struct klamm_explained_partition */
	struct map tell;         /* ids of brokers that explain */
	int64_t now_ms;
};

/*
 * Asks who can tell: leaders of partitions whose replicas are not all in sync, and the controller
 * where any has no leader; nobody else, who may hang. topic: the only one of the view; NULL for
 * all. Tells what goes wrong, but for a broker that does not answer.
 */
MUST_CHECK int why_load(struct why *why, const struct topic_view *view, const char *topic);
void why_fini(struct why *why);

/* NULL: nobody explains it. */
const struct klamm_explained_partition *why_of(const struct why *why, const char *topic,
					       int32_t partition);
/* A broker that leads would say if anything were wrong; otherwise it is not known. */
bool why_tells(const struct why *why, int32_t broker_id);

/* One line, indented, for each thing that is wrong with the partition; none if nothing is. */
void why_print(const struct why *why, const rd_kafka_metadata_t *metadata, const char *topic,
	       const rd_kafka_metadata_partition_t *partition);
/* The same as an object: offline_since, last_isr, unclean_election, missing. NULL if nothing is. */
json_t *why_json(const struct why *why, const rd_kafka_metadata_t *metadata, const char *topic,
		 const rd_kafka_metadata_partition_t *partition);

#endif
