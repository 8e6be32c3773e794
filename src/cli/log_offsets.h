/*
 * log_offsets.h - where the logs of many partitions begin and end, and where a time is in them.
 *
 * Partitions are asked for together: one request to each leader for a batch of them.
 */
#ifndef KLAMM_CLI_LOG_OFFSETS_H
#define KLAMM_CLI_LOG_OFFSETS_H

#include "cli/client.h"

/* For `at`, beside milliseconds since the epoch. */
#define LOG_OFFSETS_END (-1)
#define LOG_OFFSETS_START (-2)

/*
 * Looks up the offset that `at` means in each of the partitions, which are sorted.
 *
 * ret_offsets	the same partitions with offset and err; offset -1 for a time after the last record.
 *		The caller destroys it.
 *
 * One partition's trouble (no such partition, no leader, no permission) stands in its err. Only a
 * cluster that does not answer is told, and refused.
 */
MUST_CHECK int log_offsets_load(struct client *c, const rd_kafka_topic_partition_list_t *partitions,
				int64_t at, rd_kafka_topic_partition_list_t **ret_offsets);

#endif
