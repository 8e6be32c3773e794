/*
 * fencing.h - whom a broker obeys: the epochs of brokers, controllers and leaders, and topic ids.
 *
 * This module decides and does not act: replica_manager and partition ask it, and so do simulated
 * brokers.
 *
 * Threads  any; what is passed belongs to the caller's.
 * Source   zookeeper-and-controller, section 4: Kafka's ReplicaManager.becomeLeaderOrFollower,
 *          stopReplicas, Partition.checkCurrentLeaderEpoch; KIP-320, KIP-380, KIP-516.
 */
#ifndef KLAMM_REPLICA_FENCING_H
#define KLAMM_REPLICA_FENCING_H

#include "base/bytes.h"

/* StopReplica's leader epoch when the topic is being deleted. */
#define FENCING_EPOCH_DURING_DELETE (-2)

/* What a broker knows of its replica of a partition. */
struct fencing_replica {
	struct uuid topic_id; /* zero: not known */
	int32_t leader_epoch; /* -1: it was told nothing yet */
	bool offline;         /* its log directory has failed */
};

/*
 * A controller's request as a whole: 0, K_STALE_BROKER_EPOCH (meant for a former life of this
 * broker) or K_STALE_CONTROLLER_EPOCH. A newer epoch than *controller_epoch is remembered there.
 */
MUST_CHECK int fencing_check_controller(int64_t our_broker_epoch, int32_t *controller_epoch,
					int64_t broker_epoch, int32_t epoch);
/*
 * LeaderAndIsr for one partition: 0, K_KAFKA_STORAGE_ERROR, K_INCONSISTENT_TOPIC_ID,
 * K_STALE_CONTROLLER_EPOCH (nothing new) or K_UNKNOWN_TOPIC_OR_PARTITION (we are no replica).
 */
struct leader_and_isr_partition_state;
MUST_CHECK int fencing_check_state(const struct fencing_replica *ours, int32_t broker_id,
				   const struct uuid *topic_id,
				   const struct leader_and_isr_partition_state *state);
/* StopReplica for one partition: 0, K_KAFKA_STORAGE_ERROR or K_FENCED_LEADER_EPOCH. */
MUST_CHECK int fencing_check_stop(const struct fencing_replica *ours, int32_t leader_epoch);
/*
 * Who reads, follows or asks: 0, K_INCONSISTENT_TOPIC_ID, K_FENCED_LEADER_EPOCH or
 * K_UNKNOWN_LEADER_EPOCH. topic_id NULL, leader_epoch -1: they do not say.
 */
MUST_CHECK int fencing_check_reader(const struct fencing_replica *ours, const struct uuid *topic_id,
				    int32_t leader_epoch);

#endif
