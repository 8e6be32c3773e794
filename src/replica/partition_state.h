/*
 * partition_state.h - the inside of a partition, for this room alone.
 */
#ifndef KLAMM_REPLICA_PARTITION_STATE_H
#define KLAMM_REPLICA_PARTITION_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <urcu/rculfhash.h>

#include "base/lock.h"
#include "base/rcu.h"
#include "replica/partition.h"

struct partition {
	struct cds_lfht_node node; /* in the manager's table */
	struct rcu_head rcu;
	_Atomic int32_t references;
	uint64_t hash;
	char *topic;
	int32_t number;
	int32_t broker_id; /* ours */

	struct lock lock;
	pthread_cond_t appends_over;
	/* All below under lock. */
	int32_t leader, leader_epoch, partition_epoch, controller_epoch;
	int64_t epoch_start_offset;
	int32_t *isr, *replicas;
	int32_t isr_count, replica_count;
	int32_t min_insync_replicas;
	struct uuid topic_id;
	struct log *log;                     /* counted; NULL until loaded or created */
	bool offline;                        /* its directory failed */
	bool deleted;                        /* taken out: nobody finds it any more */
	int32_t appending;                   /* appends outside the lock */
	int64_t unannounced_bytes;           /* appended, not yet readable */
	struct partition_waiter *waiters[2]; /* by enum partition_wait */
};

/* What the controller decided, from LeaderAndIsr. Arrays are copied. */
struct partition_decision {
	int32_t controller_epoch, leader, leader_epoch, partition_epoch;
	const int32_t *isr, *replicas;
	int32_t isr_count, replica_count;
	struct uuid topic_id;
};

/* One reference, the caller's. NULL without memory. */
struct partition *partition_new(const char *topic, int32_t number, int32_t broker_id);
/* Takes a reference if there still is one. */
bool partition_try_get(struct partition *p);

/*
 * Carries a decision out; log is counted here, NULL when it is still being loaded (the decision is
 * kept and partition_set_log() completes it). Blocks. 0, or -errno / K_... of the log.
 */
MUST_CHECK int partition_decide(struct partition *p, const struct partition_decision *decision,
				struct log *log, int64_t checkpointed_high_watermark);
/* The log was loaded after the decision had come. */
MUST_CHECK int partition_set_log(struct partition *p, struct log *log,
				 int64_t checkpointed_high_watermark);
/* No leader and no follower any more: whoever waits is woken. deleted: the log is let go. */
void partition_stop(struct partition *p, bool deleted);
void partition_set_offline(struct partition *p);
void partition_set_min_insync_replicas(struct partition *p, int32_t min_insync_replicas);

#endif
