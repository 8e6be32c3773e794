/*
 * replication_throttle.h - how fast replicas that are being moved may be copied.
 *
 * As kafka-reassign-partitions.sh does it, so that either can finish what the other began: each
 * topic lists the replicas that are held back, "partition:broker,...", those that are read from as
 * leader's and those that are new as follower's; each broker that stands there has a rate. Lists
 * are set before rates and taken off after them: where rates are, lists tell.
 *
 * Everything here tells what went wrong before it returns anything but CLI_DONE.
 *
 * Source   Kafka's ReassignPartitionsCommand, QuotaConfigs.
 */
#ifndef KLAMM_CLI_REPLICATION_THROTTLE_H
#define KLAMM_CLI_REPLICATION_THROTTLE_H

#include "cli/broker_call.h"

/* A partition that is or will be moved. */
struct replica_move {
	const char *topic;
	int32_t partition;
	const int32_t *sources; /* that have it now */
	int32_t source_count;
	const int32_t *destinations; /* that get it; none of the sources */
	int32_t destination_count;
};

/* moves: all that there are at a time, by topic; the lists are replaced. rate: bytes a second. */
MUST_CHECK int replication_throttle_set(struct broker_calls *calls,
					const struct replica_move *moves, size_t count,
					int64_t rate);

/* What a removal found. */
struct throttle_removed {
	size_t topics;
	size_t brokers;
};

/*
 * Takes off the lists of all topics, and the rates of the brokers that stand in them. A list that
 * is
 * "*" was set by other hands and stays. A broker that is not there keeps its rate, which is told.
 */
MUST_CHECK int replication_throttle_remove(struct broker_calls *calls,
					   struct throttle_removed *ret_removed);
/*
 * The rate that holds back what is being moved: the lowest of the brokers' rates, or -1 when there
 * is none, or it cannot be known.
 */
int64_t replication_throttle_rate(struct broker_calls *calls);

/*
 * Adds the brokers of a list "partition:broker,..." to ids, each once, in order. False: it is no
 * such list. ids has room for all there can be: one for each comma, and one.
 */
bool throttle_list_brokers(const char *list, int32_t *ids, size_t *count);

#endif
