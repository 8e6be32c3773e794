/*
 * A leader and its followers: the high watermark, and proposals for the ISR from their making to
 * the controller's answer. What is decided is in isr.h; here it meets the log and the lock.
 *
 * Kafka: Partition.maybeIncrementLeaderHW, maybeExpandIsr, maybeShrinkIsr, submitAlterPartition.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "replica/partition_state.h"
#include "wire/kerr.h"

/* ---- the high watermark, under the lock ---- */

static void
wake_reached(struct partition *p)
{
	int64_t high_watermark = log_high_watermark(p->log);

	for (struct partition_waiter *w = p->waiters[PARTITION_WAIT_ACKS]; w != NULL; w = w->next)
		if (w->offset <= high_watermark)
			w->wake(w, 0);
}

int32_t
partition_effective_min_isr(const struct partition *p)
{
	return p->min_insync_replicas < p->replica_count ? p->min_insync_replicas
							 : p->replica_count;
}

static bool
is_alive(void *arg, int32_t broker_id)
{
	const struct partition *p = arg;
	bool alive = metadata_broker(metadata_read(p->context->metadata), broker_id) != NULL;

	metadata_done(p->context->metadata);
	return alive;
}

static int64_t
lag_max_ms(const struct partition *p)
{
	return conf_store_get(p->context->conf)->replica_lag_time_max_ms;
}

bool
partition_isr_suffices(const struct partition *p)
{
	return isr_size(&p->isr) >= partition_effective_min_isr(p);
}

void
partition_advance_high_watermark(struct partition *p)
{
	int64_t bytes = p->unannounced_bytes, target;

	if (!partition_leads(p) || !partition_isr_suffices(p))
		return;
	target = log_end_offset(p->log);
	if (p->isr.follower_count > 0)
		target = isr_high_watermark(&p->isr, target, lag_max_ms(p),
					    env_monotonic_ms(p->context->env), is_alive, p);
	if (!log_advance_high_watermark(p->log, target))
		return;
	p->unannounced_bytes = 0;
	wake_reached(p);
	partition_wake_all(p, PARTITION_WAIT_DATA, bytes);
}

int64_t
partition_low_watermark(struct partition *p)
{
	return isr_low_watermark(&p->isr, log_start_offset(p->log), is_alive, p);
}

static void
wake_low_watermark_reached(struct partition *p)
{
	struct partition_waiter *w = p->waiters[PARTITION_WAIT_LOW_WATERMARK];
	int64_t low_watermark = w == NULL ? 0 : partition_low_watermark(p);

	for (; w != NULL; w = w->next)
		if (w->offset <= low_watermark)
			w->wake(w, 0);
}

int
partition_follower_fetched(struct partition *p, int32_t broker_id, int64_t broker_epoch,
			   int64_t offset, int64_t log_start_offset, int64_t leader_end,
			   bool *ret_quiet)
{
	int st = 0;

	*ret_quiet = false;
	lock_acquire(&p->lock);
	if (!partition_leads(p)) {
		st = K_NOT_LEADER_OR_FOLLOWER;
	} else if (!isr_fetched(&p->isr, broker_id, broker_epoch, offset, log_start_offset,
				leader_end, env_monotonic_ms(p->context->env))) {
		st = K_UNKNOWN_LEADER_EPOCH;
	} else {
		if (isr_propose_expansion(&p->isr, broker_id, log_high_watermark(p->log),
					  p->epoch_start_offset, is_alive, p))
			p->context->on_proposal(p->context->arg, p);
		partition_advance_high_watermark(p);
		wake_low_watermark_reached(p);
		*ret_quiet = isr_has(&p->isr, broker_id) &&
			     log_high_watermark(p->log) == log_end_offset(p->log);
	}
	lock_release(&p->lock);
	return st;
}

struct rack_of_consumer {
	const struct partition *p;
	struct str rack;
};

static bool
is_in_rack(void *arg, int32_t broker_id)
{
	const struct rack_of_consumer *r = arg;
	struct metadata *md = r->p->context->metadata;
	const struct metadata_broker *broker = metadata_broker(metadata_read(md), broker_id);
	bool in_rack =
	    broker != NULL && broker->rack != NULL && str_equal(str_of(broker->rack), r->rack);

	metadata_done(md);
	return in_rack;
}

int32_t
partition_preferred_replica(struct partition *p, struct str rack, int64_t offset)
{
	struct rack_of_consumer r = {p, rack};
	int32_t preferred = -1;

	if (is_in_rack(&r, p->context->broker_id))
		return -1;
	lock_acquire(&p->lock);
	if (partition_leads(p))
		preferred = isr_preferred_replica(&p->isr, offset, is_in_rack, &r);
	lock_release(&p->lock);
	return preferred;
}

/* ---- proposals ---- */

void
partition_shrink_isr(struct partition *p)
{
	lock_acquire(&p->lock);
	if (partition_leads(p) && isr_propose_shrink(&p->isr, log_end_offset(p->log), lag_max_ms(p),
						     env_monotonic_ms(p->context->env)))
		p->context->on_proposal(p->context->arg, p);
	lock_release(&p->lock);
}

bool
partition_proposal(struct partition *p, struct partition_proposal *ret_proposal)
{
	bool proposes;

	lock_acquire(&p->lock);
	proposes = partition_leads(p) && p->isr.change != ISR_STABLE;
	if (proposes) {
		*ret_proposal = (struct partition_proposal){
		    .proposal_epoch = p->isr.proposal_epoch,
		    .leader_epoch = p->leader_epoch,
		    .partition_epoch = p->partition_epoch,
		    .topic_id = p->topic_id,
		    .members = calloc((size_t)p->isr.follower_count + 1, sizeof(int32_t)),
		    .epochs = calloc((size_t)p->isr.follower_count + 1, sizeof(int64_t)),
		};
		if (ret_proposal->members == NULL || ret_proposal->epochs == NULL)
			abort();
		isr_proposed_epochs(&p->isr, ret_proposal->epochs);
		ret_proposal->member_count =
		    isr_members(&p->isr, p->context->broker_id, true, ret_proposal->members);
	}
	lock_release(&p->lock);
	return proposes;
}

/* "1,2,3" of the committed ISR. */
static const char *
isr_text(const struct partition *p, char *text, size_t size)
{
	int32_t *members = calloc((size_t)p->isr.follower_count + 1, sizeof(*members));
	size_t at = 0;
	int32_t count;

	if (members == NULL)
		abort();
	count = isr_members(&p->isr, p->context->broker_id, false, members);
	text[0] = '\0';
	for (int32_t i = 0; i < count && at < size - 12; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%d", i == 0 ? "" : ",", members[i]);
	free(members);
	return text;
}

/* Under the lock. */
static void
commit(struct partition *p, const struct partition_committed *committed)
{
	bool shrinks = p->isr.change == ISR_SHRINKING;
	char before[128], after[128];

	isr_text(p, before, sizeof(before));
	isr_commit(&p->isr, committed->isr, committed->isr_count);
	p->partition_epoch = committed->partition_epoch;
	diag_log(shrinks ? DIAG_WARN : DIAG_INFO, DIAG_REPLICA,
		 shrinks ? "isr shrunk" : "isr expanded",
		 "partition=%s-%d from=%s to=%s partition_epoch=%d", p->topic, p->number, before,
		 isr_text(p, after, sizeof(after)), p->partition_epoch);
	metric_add(metrics_get(shrinks ? METRIC_ISR_SHRINKS : METRIC_ISR_EXPANDS, ""), 1);
	partition_advance_high_watermark(p);
	partition_wake_all(p, PARTITION_WAIT_LOG_END, 0); /* who was left out may come back */
}

bool
partition_proposal_answered(struct partition *p, int32_t proposal_epoch, int error,
			    const struct partition_committed *committed)
{
	bool again = false;

	lock_acquire(&p->lock);
	if (!partition_leads(p) || p->isr.change == ISR_STABLE ||
	    p->isr.proposal_epoch != proposal_epoch) {
		/* LeaderAndIsr came first. */
	} else if (error != 0) {
		diag_info(DIAG_REPLICA, "the controller did not commit an isr",
			  "partition=%s-%d error=%s", p->topic, p->number,
			  kerr_name(kerr_of(error)));
		again = isr_refused(&p->isr, error);
	} else if (committed->leader_epoch == p->leader_epoch &&
		   committed->partition_epoch >= p->partition_epoch) {
		commit(p, committed);
	}
	lock_release(&p->lock);
	return again;
}
