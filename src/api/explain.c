#include "api/explain.h"

#include <errno.h>

#include "controller/controller_state.h"

static bool
is_wanted(const struct explanation *ex, const char *topic)
{
	for (int32_t i = 0; i < ex->topic_count; i++)
		if (str_equal(ex->topics[i], str_of(topic)))
			return true;
	return ex->topic_count == 0;
}

/* Another one, with room for what is missing; NULL without memory. */
static struct klamm_explained_partition *
add(struct explanation *ex, const char *topic, int32_t partition, int32_t missing_count)
{
	struct klamm_explained_partition *ep;

	if (ex->count == ex->cap) {
		int32_t cap = ex->cap == 0 ? 8 : ex->cap * 2;
		struct klamm_explained_partition *grown =
		    klamm_explained_partition_new(&ex->call->arena, cap);

		if (grown == NULL)
			return NULL;
		if (ex->count > 0)
			memcpy(grown, ex->partitions, (size_t)ex->count * sizeof(*grown));
		ex->partitions = grown;
		ex->cap = cap;
	}
	ep = &ex->partitions[ex->count];
	ep->topic = api_copy_text(ex->call, topic);
	ep->partition = partition;
	ep->missing = klamm_missing_replica_new(&ex->call->arena, missing_count);
	if (ep->topic.data == NULL || ep->missing == NULL)
		return NULL;
	ex->count++;
	return ep;
}

/* ---- led here ---- */

static bool
is_on_list(const char *list, int32_t partition, int32_t broker_id)
{
	int32_t listed, broker;

	if (list == NULL || conf_replicas_all(list))
		return list != NULL;
	while (conf_replicas_next(&list, &listed, &broker) == 1)
		if (listed == partition && broker == broker_id)
			return true;
	return false;
}

/*
 * One that catches up may be held back: by us, at our rate, or by itself at a rate that only its
 * own broker knows.
 */
static void
look_for_throttle(const struct explanation *ex, const struct topic_conf *tc,
		  const struct klamm_explained_partition *ep, struct klamm_missing_replica *missing)
{
	int64_t rate = api_conf(ex->call)->leader_replication_throttled_rate;

	if (missing->reason != MISSING_CATCHING_UP)
		return;
	if (rate != INT64_MAX && is_on_list(tc->leader_replication_throttled_replicas,
					    ep->partition, ex->call->api->settings.broker_id)) {
		missing->reason = MISSING_THROTTLED;
		missing->bytes_per_second = rate;
	} else if (is_on_list(tc->follower_replication_throttled_replicas, ep->partition,
			      missing->broker_id)) {
		missing->reason = MISSING_THROTTLED;
	}
}

static int
add_led(struct explanation *ex, const char *topic, int32_t partition,
	const struct partition_why *why)
{
	struct klamm_explained_partition *ep = add(ex, topic, partition, why->missing_count);
	const struct api_settings *s = &ex->call->api->settings;
	struct topic_conf tc;

	if (ep == NULL ||
	    topic_configs_effective(s->topic_configs, api_conf(ex->call), topic, &tc) != 0)
		return -ENOMEM;
	ep->leader = s->broker_id;
	ep->leader_epoch = why->leader_epoch;
	ep->min_isr = why->min_isr;
	ep->offline_since_ms = -1;
	ep->unclean_election = tc.unclean_leader_election_enable;
	ep->isr = why->isr;
	ep->isr_count = why->isr_count;
	ep->missing_count = why->missing_count;
	for (int32_t i = 0; i < why->missing_count; i++) {
		const struct partition_missing *m = &why->missing[i];

		ep->missing[i] = (struct klamm_missing_replica){
		    .broker_id = m->broker_id,
		    .reason = (int8_t)m->reason,
		    .since_ms = m->since_ms,
		    .since_before = m->since_before,
		    .lag = m->lag,
		    .last_fetch_ms = m->last_fetch_ms,
		    .bytes_per_second = -1,
		};
		look_for_throttle(ex, &tc, ep, &ep->missing[i]);
	}
	topic_conf_fini(&tc);
	return 0;
}

static void
explain_one(void *arg, struct partition *p)
{
	struct explanation *ex = arg;
	struct partition_why why;

	if (ex->st != 0 || !is_wanted(ex, partition_topic(p)))
		return;
	ex->st = partition_explain(p, &ex->call->arena, &why);
	if (ex->st == 0 && why.missing_count > 0)
		ex->st = add_led(ex, partition_topic(p), partition_number(p), &why);
}

int
explain_led(struct explanation *ex)
{
	replica_manager_each(ex->call->api->settings.replicas, explain_one, ex);
	return ex->st;
}

/* ---- led by nobody ---- */

static void
explain_offline(void *arg, const struct controller_offline *offline)
{
	struct explanation *ex = arg;
	struct klamm_explained_partition *ep;

	if (ex->st != 0 || !is_wanted(ex, offline->topic))
		return;
	ep = add(ex, offline->topic, offline->partition, offline->replica_count);
	if (ep != NULL)
		ep->isr = arena_calloc(&ex->call->arena, (size_t)offline->isr_count + 1,
				       sizeof(*ep->isr));
	if (ep == NULL || ep->isr == NULL) {
		ex->st = -ENOMEM;
		return;
	}
	ep->leader = -1;
	ep->leader_epoch = offline->leader_epoch;
	ep->min_isr = -1;
	ep->offline_since_ms = offline->since_ms;
	ep->unclean_election = offline->unclean;
	for (ep->isr_count = 0; ep->isr_count < offline->isr_count; ep->isr_count++)
		ep->isr[ep->isr_count] = offline->isr[ep->isr_count];
	for (int32_t i = 0; i < offline->replica_count; i++)
		ep->missing[ep->missing_count++] = (struct klamm_missing_replica){
		    .broker_id = offline->replicas[i],
		    .reason = (int8_t)offline->reasons[i],
		    .since_ms = -1,
		    .lag = -1,
		    .last_fetch_ms = -1,
		    .bytes_per_second = -1,
		};
}

int
explain_leaderless(struct explanation *ex)
{
	controller_each_offline(ex->call->api->settings.controller, explain_offline, ex);
	return ex->st;
}
