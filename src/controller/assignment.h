/*
 * assignment.h - which brokers get the replicas of new partitions.
 *
 * Source  zookeeper-and-controller, section 3.9.1: Kafka's AdminUtils.
 */
#ifndef KLAMM_CONTROLLER_ASSIGNMENT_H
#define KLAMM_CONTROLLER_ASSIGNMENT_H

#include "base/env.h"
#include "zk/znode_topic.h"

struct assignment_broker {
	int32_t id;
	const char *rack; /* NULL: none */
};

/*
 * Assigns replicas to partitions first_partition .. first_partition + count - 1, and appends them
 * to ta, in order.
 *
 * brokers     sorted by id
 * start, shift  positions to begin with, or -1 for chance (env)
 *
 * Returns 0; K_INVALID_REPLICATION_FACTOR when there are fewer brokers than replicas;
 * K_UNKNOWN_SERVER_ERROR when only some brokers have racks, as Kafka does; -ENOMEM.
 */
MUST_CHECK int assignment_make(struct env *env, const struct assignment_broker *brokers,
			       size_t broker_count, int32_t first_partition, int32_t count,
			       int32_t replication_factor, int32_t start, int32_t shift,
			       struct topic_assignment *ta);

#endif
