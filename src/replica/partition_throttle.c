/*
 * A partition and the throttles of its broker: whom it holds back, and what counts.
 *
 * Kafka: ReplicaManager.shouldLeaderThrottle, RemoteLeaderEndPoint.shouldFollowerThrottle,
 * KafkaApis.sizeOfThrottledPartitions, ReplicaFetcherThread.processPartitionData.
 */
#include "replica/partition_state.h"

static const struct broker_conf *
conf_of(const struct partition *p)
{
	return conf_store_get(p->context->conf);
}

static int64_t
now_ms(const struct partition *p)
{
	return env_monotonic_ms(p->context->env);
}

static void
set(_Atomic bool *flag, bool value, struct throttle *t)
{
	if (atomic_exchange(flag, value) != value)
		atomic_fetch_add(&t->generation, 1);
}

void
partition_set_throttled(struct partition *p, bool leader, bool follower)
{
	set(&p->throttled_as_leader, leader, p->context->leader_throttle);
	set(&p->throttled_as_follower, follower, p->context->follower_throttle);
}

bool
partition_holds_back(struct partition *p, int32_t follower_id)
{
	struct throttle *t = p->context->leader_throttle;
	bool in_sync;

	if (!atomic_load_explicit(&p->throttled_as_leader, memory_order_relaxed) ||
	    !throttle_is_exceeded(t, conf_of(p)->leader_replication_throttled_rate, now_ms(p)))
		return false;
	lock_acquire(&p->lock);
	in_sync = isr_has(&p->isr, follower_id);
	lock_release(&p->lock);
	if (!in_sync)
		metric_add(t->held_back, 1);
	return !in_sync;
}

void
partition_sent_to_follower(struct partition *p, int64_t bytes)
{
	if (bytes > 0 && atomic_load_explicit(&p->throttled_as_leader, memory_order_relaxed))
		throttle_record(p->context->leader_throttle, bytes, now_ms(p));
}

void
partition_took_from_leader(struct partition *p, int64_t bytes)
{
	if (bytes > 0 && atomic_load_explicit(&p->throttled_as_follower, memory_order_relaxed))
		throttle_record(p->context->follower_throttle, bytes, now_ms(p));
}

bool
partition_is_throttled_as_follower(const struct partition *p)
{
	return atomic_load_explicit(&((struct partition *)p)->throttled_as_follower,
				    memory_order_relaxed);
}
