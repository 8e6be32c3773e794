/*
 * replica_plan.h - decides which brokers shall hold which replicas: the plan of a reassignment.
 *
 * Looks at nothing but what it is given, and comes to the same plan from the same cluster. What it
 * aims at, in this order:
 *
 *  1. No replica moves that need not. Draining moves the replicas of the drained brokers, adding
 *     brokers moves as many to them as make their share, a replication factor adds or drops.
 *  2. The replicas of a partition stand in different racks as far as the racks go.
 *  3. Each topic is spread evenly over the brokers, and all replicas together are.
 *  4. So are the preferred leaders, for which the order of the replicas is changed, in partitions
 *     that are changed anyway.
 *
 * Racks count when all brokers that are there have one, as for new topics.
 */
#ifndef KLAMM_CLI_REPLICA_PLAN_H
#define KLAMM_CLI_REPLICA_PLAN_H

#include "base/arena.h"
#include "base/bytes.h"

struct plan_broker {
	int32_t id;
	const char *rack; /* NULL: none */
};

/* What is wanted. Arrays are borrowed; ids in them are distinct. */
struct plan_request {
	const struct plan_broker *brokers; /* that are there, by id */
	size_t broker_count;
	const int32_t *drained; /* shall hold nothing */
	size_t drained_count;
	const int32_t *added; /* shall hold their share */
	size_t added_count;
	const int32_t *allowed; /* that may be given replicas; NULL: all that are not drained */
	size_t allowed_count;
	int32_t replication_factor; /* 0: as it is */
};

/* One partition; all of a cluster are given, by topic and number. */
struct plan_partition {
	const char *topic;
	int32_t partition;
	const int32_t *replicas;
	int32_t replica_count;
	const int32_t *isr;
	int32_t isr_count;
	bool fixed; /* counts where it is, and stays there */
	/* The plan: replicas itself where nothing changes, else in the arena. */
	const int32_t *target;
	int32_t target_count;
};

/*
 * Fills in the targets. Returns 0; -ENOMEM; or -EINVAL with why, a sentence without a full stop
 * that names what to do.
 */
MUST_CHECK int replica_plan_make(const struct plan_request *request,
				 struct plan_partition *partitions, size_t count,
				 struct arena *arena, struct buf *why);
/* Does the plan change this partition? */
bool replica_plan_changes(const struct plan_partition *partition);
/* How many of its target do not hold it yet. */
int32_t replica_plan_copies(const struct plan_partition *partition);

#endif
