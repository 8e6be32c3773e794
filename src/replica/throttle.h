/*
 * throttle.h - how fast throttled replicas are copied, and which they are.
 *
 * A broker has two: what its leaders send, and what its followers take. Bytes of all throttled
 * replicas count, but only those that are not in sync are held back while the rate is exceeded:
 * a copy gives way to what keeps replicas in sync, never the other way round.
 *
 * The lists of a topic are read once and kept by topic, so that each of its partitions finds itself
 * without reading them again; a partition remembers the answer (partition_set_throttled).
 *
 * Threads  throttle_*() any; LOCK_THROTTLE. throttled_topics_*() the replica manager's.
 * Source   Kafka's ReplicationQuotaManager, TopicConfigHandler.parseThrottledPartitions.
 */
#ifndef KLAMM_REPLICA_THROTTLE_H
#define KLAMM_REPLICA_THROTTLE_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/rate.h"

struct throttle {
	struct lock lock;
	struct rate rate;            /* under lock */
	_Atomic uint32_t generation; /* counts changes of what is throttled */
	struct metric *bytes;        /* of throttled replicas */
	struct metric *held_back;    /* how often one was */
};

/* role: "leader" or "follower", for the metrics. 0 or -ENOMEM. */
MUST_CHECK int throttle_init(struct throttle *t, const char *role, int window_count,
			     int64_t window_ms);
void throttle_fini(struct throttle *t);

/* bytes_per_second: the limit now; INT64_MAX for none. */
bool throttle_is_exceeded(struct throttle *t, int64_t bytes_per_second, int64_t now_ms);
/* How long it stays exceeded if nothing moves: 0 when it is not; at most max_ms. */
int64_t throttle_pause_ms(struct throttle *t, int64_t bytes_per_second, int64_t max_ms,
			  int64_t now_ms);
void throttle_record(struct throttle *t, int64_t bytes, int64_t now_ms);

/* The lists of topics, as one broker reads them. Zero-initialised: none. */
struct throttled_topics {
	int32_t broker_id;
	struct map by_name; /* topic -> struct throttled_topic, of those with a list */
};

void throttled_topics_fini(struct throttled_topics *tt);
/*
 * Is this broker's replica of the partition on the topic's list? list: the setting's text, "*" or
 * partition:broker pairs; one that is none holds nobody, as an empty one.
 */
bool throttled_topics_have(struct throttled_topics *tt, const char *topic, const char *list,
			   int32_t partition);

#endif
