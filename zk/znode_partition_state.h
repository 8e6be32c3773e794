/*
 * znode_partition_state.h - /brokers/topics/<topic>/partitions/<p>/state: who leads, and the ISR.
 *
 * The znode's version is the partition epoch. Written by the controller, fenced
 * (znode_controller.h) and, for a change, on the partition epoch it read.
 *
 * Source  zookeeper-and-controller, section 1.8: Kafka's TopicPartitionStateZNode.
 */
#ifndef KLAMM_ZK_ZNODE_PARTITION_STATE_H
#define KLAMM_ZK_ZNODE_PARTITION_STATE_H

#include "zk/znode.h"

/* Owns isr; partition_state_fini() frees it. */
struct partition_state {
	int32_t leader; /* -1: none */
	int32_t leader_epoch;
	int32_t controller_epoch;
	int32_t *isr;
	int32_t isr_count;
	bool recovering; /* the leader recovers from an unclean election */
	int32_t partition_epoch;
};

void partition_state_fini(struct partition_state *ps);
/* /brokers/topics/<t>/partitions, .../<p>, .../<p>/state; ret_path has ZNODE_PATH_MAX bytes. */
void znode_partitions_path(const char *topic, char *ret_path);
void znode_partition_path(const char *topic, int32_t partition, char *ret_path);
void znode_partition_state_path(const char *topic, int32_t partition, char *ret_path);

void znode_partition_state_encode(const struct partition_state *ps, struct buf *out);
/* version: the znode's. -EBADMSG or -ENOMEM leave nothing to free. */
MUST_CHECK int znode_partition_state_decode(struct slice value, int32_t version,
					    struct partition_state *ret_ps);

#endif
