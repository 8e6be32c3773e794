/*
 * Which replicas of a partition that we lead are not in the ISR, since when, and why: from what
 * their fetches tell, and from what the metadata know of their brokers.
 */
#include <errno.h>

#include "base/ids.h"
#include "replica/partition_state.h"

/* What the metadata know: its broker, or its directory, is not there. */
static enum missing_reason
absence(const struct partition *p, int32_t broker_id)
{
	struct metadata *md = p->context->metadata;
	const struct metadata_image *image = metadata_read(md);
	const struct metadata_partition *known =
	    metadata_partition(image, p->topic, strlen(p->topic), p->number);
	enum missing_reason reason = MISSING_UNKNOWN;

	if (metadata_broker(image, broker_id) == NULL)
		reason = MISSING_NOT_REGISTERED;
	else if (known != NULL &&
		 ids_list_has(known->offline_replicas, known->offline_count, broker_id))
		reason = MISSING_DIRECTORY_OFFLINE;
	metadata_done(md);
	return reason;
}

static enum missing_reason
reason_of(const struct partition *p, const struct isr_follower *f, int64_t leader_end,
	  int64_t now_ms)
{
	int64_t lag_max_ms = conf_store_get(p->context->conf)->replica_lag_time_max_ms;
	enum missing_reason reason = absence(p, f->broker_id);

	if (reason != MISSING_UNKNOWN)
		return reason;
	if (f->log_end_offset == ISR_UNKNOWN_OFFSET)
		return MISSING_NEVER_FETCHED;
	if (now_ms - f->last_fetch_ms > lag_max_ms)
		return MISSING_STOPPED_FETCHING;
	return f->log_end_offset < leader_end ? MISSING_CATCHING_UP : MISSING_ABOUT_TO_JOIN;
}

/* Under the lock, while we lead. */
static void
fill(struct partition *p, struct partition_why *why)
{
	int64_t now_ms = env_monotonic_ms(p->context->env);
	int64_t to_wall_clock = env_now_ms(p->context->env) - now_ms;
	int64_t leader_end = log_end_offset(p->log);

	why->isr_count = isr_members(&p->isr, p->context->broker_id, false, why->isr);
	for (int32_t i = 0; i < p->isr.follower_count; i++) {
		const struct isr_follower *f = &p->isr.followers[i];
		bool fetched = f->log_end_offset != ISR_UNKNOWN_OFFSET;

		if (f->in_isr)
			continue;
		why->missing[why->missing_count++] = (struct partition_missing){
		    .broker_id = f->broker_id,
		    .reason = reason_of(p, f, leader_end, now_ms),
		    .since_ms = f->out_since_ms + to_wall_clock,
		    .since_before = f->out_before,
		    .lag = fetched ? leader_end - f->log_end_offset : -1,
		    .last_fetch_ms = fetched ? f->last_fetch_ms + to_wall_clock : -1,
		};
	}
}

int
partition_explain(struct partition *p, struct arena *arena, struct partition_why *ret_why)
{
	struct partition_why why = {0};
	int st = 0;

	lock_acquire(&p->lock);
	if (partition_leads(p) && isr_size(&p->isr) <= p->isr.follower_count) {
		size_t count = (size_t)p->isr.follower_count + 1;

		why.leader_epoch = p->leader_epoch;
		why.min_isr = partition_effective_min_isr(p);
		why.isr = arena_calloc(arena, count, sizeof(*why.isr));
		why.missing = arena_calloc(arena, count, sizeof(*why.missing));
		if (why.isr == NULL || why.missing == NULL)
			st = -ENOMEM;
		else
			fill(p, &why);
	}
	lock_release(&p->lock);
	if (st == 0)
		*ret_why = why;
	return st;
}
