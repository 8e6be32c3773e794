/*
 * alter_partition.h - takes the proposals of leaders for their ISRs to the controller.
 *
 * One request is under way at a time, with all that had been proposed when it was made; what comes
 * meanwhile goes with the next. What fails is sent again until the controller has answered for each
 * partition, or its leadership has ended.
 *
 * Threads  alter_partition_submit() from any; the rest on the reactor of the settings.
 * Source   zookeeper-and-controller, section 4.7: Kafka's AlterPartitionManager.
 */
#ifndef KLAMM_REPLICA_ALTER_PARTITION_H
#define KLAMM_REPLICA_ALTER_PARTITION_H

#include "replica/controller_peer.h"
#include "replica/partition.h"

struct alter_partition;

struct alter_partition_settings {
	struct controller_peer_settings peer;
	int64_t request_timeout_ms;
	int64_t (*broker_epoch)(void *arg);
	void *arg;
};

MUST_CHECK int alter_partition_open(const struct alter_partition_settings *settings,
				    struct alter_partition **ret_manager);
/* Nobody submits any more. Never on a reactor's thread. Accepts NULL. */
void alter_partition_close(struct alter_partition *ap);
/* The partition has a proposal. May be called under its lock. */
void alter_partition_submit(struct alter_partition *ap, struct partition *p);

#endif
