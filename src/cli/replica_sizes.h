/*
 * replica_sizes.h - how many bytes replicas have, as their brokers say (DescribeLogDirs).
 */
#ifndef KLAMM_CLI_REPLICA_SIZES_H
#define KLAMM_CLI_REPLICA_SIZES_H

#include "base/map.h"
#include "cli/assignment_file.h"
#include "cli/broker_call.h"

/* Zero-initialised is empty. */
struct replica_sizes {
	struct map sizes; /* broker, partition, topic -> int64_t * in the arena */
	size_t failed;    /* brokers that did not say */
};

/*
 * Asks all brokers that are there, together, for those partitions (only topic and number are looked
 * at), by topic. Tells nothing: a broker that does not answer leaves its sizes unknown, and is
 * counted; why of the first one is appended to *why. CLI_REFUSED only without memory, which is
 * told.
 */
MUST_CHECK int replica_sizes_load(struct replica_sizes *rs, struct broker_calls *calls,
				  const struct assignment *partitions, struct arena *arena,
				  struct buf *why);
void replica_sizes_fini(struct replica_sizes *rs);
/* -1 where it is not known, or there is none. */
int64_t replica_size(const struct replica_sizes *rs, int32_t broker, const char *topic,
		     int32_t partition);

#endif
