/*
 * Who is left out of a Fetch because throttled replicas have moved too much lately. A replica that
 * is in sync never is.
 *
 * While the rate is exceeded only who is to be told to the session can be new to it, so only those
 * are looked at; all are when it has just been exceeded, or when the settings have changed.
 *
 * Kafka: RemoteLeaderEndPoint.buildFetch, shouldFollowerThrottle.
 */
#include "replica/fetcher_internal.h"
#include "replica/partition_state.h"

#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 1000

static bool
is_in_sync(const struct followed *f)
{
	return f->lag == 0;
}

static void
hold_back(struct followed *f, int64_t pause_ms)
{
	if (f->state != FOLLOW_READY || is_in_sync(f) || !partition_is_throttled_as_follower(f->p))
		return;
	metric_add(f->link->fetcher->owner->settings.throttle->held_back, 1);
	followed_wait(f, pause_ms);
}

void
link_hold_back(struct leader_link *link)
{
	const struct fetcher_settings *s = &link->fetcher->owner->settings;
	uint32_t generation = atomic_load(&s->throttle->generation);
	bool all = !link->throttled || link->throttle_generation != generation;
	int64_t pause_ms =
	    throttle_pause_ms(s->throttle, link_conf(link)->follower_replication_throttled_rate,
			      PAUSE_MAX_MS, env_monotonic_ms(s->env));

	link->throttled = pause_ms > 0;
	link->throttle_generation = generation;
	if (!link->throttled)
		return;
	if (pause_ms < PAUSE_MIN_MS)
		pause_ms = PAUSE_MIN_MS;
	for (struct followed *f = all ? link->first : link->dirty, *next; f != NULL; f = next) {
		next = all ? f->next : f->next_dirty;
		hold_back(f, pause_ms);
	}
}
