#include "replica/isr.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/ids.h"
#include "wire/kerr.h"

static struct isr_follower *
find(const struct isr *isr, int32_t broker_id)
{
	for (int32_t i = 0; i < isr->follower_count; i++)
		if (isr->followers[i].broker_id == broker_id)
			return &isr->followers[i];
	return NULL;
}

void
isr_fini(struct isr *isr)
{
	free(isr->followers);
	*isr = (struct isr){.proposal_epoch = isr->proposal_epoch + 1};
}

void
isr_resign(struct isr *isr)
{
	isr_fini(isr);
}

/* ---- leading ---- */

/* What a follower begins a leader epoch with. */
static void
begin_epoch(struct isr_follower *f, bool new_leader, int64_t leader_end, int64_t now_ms)
{
	f->last_caught_up_ms = f->in_isr ? now_ms : 0;
	if (new_leader) {
		f->log_end_offset = f->log_start_offset = ISR_UNKNOWN_OFFSET;
		f->broker_epoch = -1;
		f->last_fetch_leader_end = ISR_UNKNOWN_OFFSET;
		f->last_fetch_ms = 0;
	} else {
		f->last_fetch_leader_end = leader_end;
		f->last_fetch_ms = f->in_isr ? now_ms : 0;
	}
}

/* It is out of the ISR now; known: as it was before, NULL when we did not lead. */
static void
note_out(struct isr_follower *f, const struct isr_follower *known, bool since_before,
	 int64_t now_ms)
{
	if (f->in_isr || (known != NULL && !known->in_isr))
		return; /* or was already */
	f->out_since_ms = now_ms;
	f->out_before = known == NULL && since_before;
}

int
isr_lead(struct isr *isr, int32_t leader_id, int32_t leader_epoch, const int32_t *replicas,
	 int32_t replica_count, const int32_t *members, int32_t member_count, int64_t leader_end,
	 int64_t now_ms)
{
	struct isr_follower *followers = calloc((size_t)replica_count + 1, sizeof(*followers));
	bool new_epoch = !isr->leads || leader_epoch != isr->leader_epoch;
	bool new_leader = new_epoch && (!isr->leads || leader_epoch != isr->leader_epoch + 1);
	int32_t count = 0;

	if (followers == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < replica_count; i++) {
		struct isr_follower *f = &followers[count], *known = find(isr, replicas[i]);

		if (replicas[i] == leader_id)
			continue;
		if (known != NULL)
			*f = *known;
		f->broker_id = replicas[i];
		f->in_isr = ids_list_has(members, member_count, replicas[i]);
		f->in_proposal = false;
		note_out(f, new_leader ? NULL : known, new_leader && leader_epoch > 0, now_ms);
		if (new_epoch || known == NULL)
			begin_epoch(f, new_leader || known == NULL, leader_end, now_ms);
		count++;
	}
	free(isr->followers);
	isr->followers = followers;
	isr->follower_count = count;
	isr->leads = true;
	isr->leader_epoch = leader_epoch;
	isr->change = ISR_STABLE;
	isr->proposal_epoch++;
	return 0;
}

bool
isr_fetched(struct isr *isr, int32_t broker_id, int64_t broker_epoch, int64_t offset,
	    int64_t log_start_offset, int64_t leader_end, int64_t now_ms)
{
	struct isr_follower *f = find(isr, broker_id);
	int64_t caught_up_ms;

	if (f == NULL)
		return false;
	caught_up_ms = offset >= leader_end                 ? now_ms
		       : offset >= f->last_fetch_leader_end ? f->last_fetch_ms
							    : f->last_caught_up_ms;
	if (caught_up_ms > f->last_caught_up_ms)
		f->last_caught_up_ms = caught_up_ms;
	f->broker_epoch = broker_epoch;
	f->log_end_offset = offset;
	f->log_start_offset = log_start_offset;
	if (leader_end > f->last_fetch_leader_end)
		f->last_fetch_leader_end = leader_end;
	f->last_fetch_ms = now_ms;
	return true;
}

void
isr_had_all(struct isr *isr, int32_t broker_id, int64_t at_ms)
{
	struct isr_follower *f = find(isr, broker_id);

	if (f == NULL)
		return;
	if (at_ms > f->last_caught_up_ms)
		f->last_caught_up_ms = at_ms;
	if (at_ms > f->last_fetch_ms)
		f->last_fetch_ms = at_ms;
}

/* ---- looking ---- */

/* Whom the controller may have committed by now: an expansion counts, a shrink does not yet. */
static bool
in_maximal(const struct isr *isr, const struct isr_follower *f)
{
	return f->in_isr || (isr->change == ISR_EXPANDING && f->in_proposal);
}

int32_t
isr_size(const struct isr *isr)
{
	int32_t size = 1;

	for (int32_t i = 0; i < isr->follower_count; i++)
		size += isr->followers[i].in_isr;
	return size;
}

int32_t
isr_maximal_size(const struct isr *isr)
{
	int32_t size = 1;

	for (int32_t i = 0; i < isr->follower_count; i++)
		size += in_maximal(isr, &isr->followers[i]);
	return size;
}

bool
isr_has(const struct isr *isr, int32_t broker_id)
{
	const struct isr_follower *f = find(isr, broker_id);

	return f != NULL && f->in_isr;
}

static bool
is_caught_up(const struct isr_follower *f, int64_t leader_end, int64_t lag_max_ms, int64_t now_ms)
{
	return f->log_end_offset == leader_end || now_ms - f->last_caught_up_ms <= lag_max_ms;
}

int64_t
isr_high_watermark(const struct isr *isr, int64_t leader_end, int64_t lag_max_ms, int64_t now_ms,
		   isr_alive_fn *alive, void *arg)
{
	int64_t high_watermark = leader_end;

	for (int32_t i = 0; i < isr->follower_count; i++) {
		const struct isr_follower *f = &isr->followers[i];

		/* One that is about to join is waited for, or it never could. */
		if (f->log_end_offset < high_watermark &&
		    (in_maximal(isr, f) ||
		     (is_caught_up(f, leader_end, lag_max_ms, now_ms) && alive(arg, f->broker_id))))
			high_watermark = f->log_end_offset;
	}
	return high_watermark;
}

int64_t
isr_low_watermark(const struct isr *isr, int64_t leader_start, isr_alive_fn *alive, void *arg)
{
	int64_t low_watermark = leader_start;

	for (int32_t i = 0; i < isr->follower_count; i++) {
		const struct isr_follower *f = &isr->followers[i];

		if (f->log_start_offset < low_watermark && alive(arg, f->broker_id))
			low_watermark = f->log_start_offset;
	}
	return low_watermark;
}

int32_t
isr_members(const struct isr *isr, int32_t leader_id, bool proposed, int32_t *ret_members)
{
	int32_t count = 0;

	ret_members[count++] = leader_id;
	for (int32_t i = 0; i < isr->follower_count; i++) {
		const struct isr_follower *f = &isr->followers[i];

		if (proposed && isr->change != ISR_STABLE ? f->in_proposal : f->in_isr)
			ret_members[count++] = f->broker_id;
	}
	return count;
}

void
isr_proposed_epochs(const struct isr *isr, int64_t *ret_epochs)
{
	int32_t count = 0;

	ret_epochs[count++] = -1; /* the leader's is in the request */
	for (int32_t i = 0; i < isr->follower_count; i++)
		if (isr->followers[i].in_proposal)
			ret_epochs[count++] = isr->followers[i].proposed_epoch;
}

int32_t
isr_preferred_replica(const struct isr *isr, int64_t offset, isr_suit_fn *suit, void *arg)
{
	const struct isr_follower *best = NULL;

	for (int32_t i = 0; i < isr->follower_count; i++) {
		const struct isr_follower *f = &isr->followers[i];

		if (!f->in_isr || offset < f->log_start_offset || offset > f->log_end_offset ||
		    !suit(arg, f->broker_id))
			continue;
		if (best == NULL || f->log_end_offset > best->log_end_offset ||
		    (f->log_end_offset == best->log_end_offset &&
		     f->last_caught_up_ms > best->last_caught_up_ms))
			best = f;
	}
	return best == NULL ? -1 : best->broker_id;
}

/* ---- proposals ---- */

static void
begin_proposal(struct isr *isr, enum isr_change change)
{
	isr->change = change;
	isr->proposal_epoch++;
	for (int32_t i = 0; i < isr->follower_count; i++) {
		isr->followers[i].in_proposal = isr->followers[i].in_isr;
		isr->followers[i].proposed_epoch = isr->followers[i].broker_epoch;
	}
}

bool
isr_propose_expansion(struct isr *isr, int32_t broker_id, int64_t high_watermark,
		      int64_t epoch_start_offset, isr_alive_fn *alive, void *arg)
{
	struct isr_follower *f = find(isr, broker_id);

	if (isr->change != ISR_STABLE || f == NULL || f->in_isr ||
	    f->log_end_offset < high_watermark || f->log_end_offset < epoch_start_offset ||
	    !alive(arg, broker_id))
		return false;
	begin_proposal(isr, ISR_EXPANDING);
	f->in_proposal = true;
	return true;
}

bool
isr_propose_shrink(struct isr *isr, int64_t leader_end, int64_t lag_max_ms, int64_t now_ms)
{
	int32_t behind = 0;

	if (isr->change != ISR_STABLE)
		return false;
	for (int32_t i = 0; i < isr->follower_count; i++)
		behind += isr->followers[i].in_isr &&
			  !is_caught_up(&isr->followers[i], leader_end, lag_max_ms, now_ms);
	if (behind == 0)
		return false;
	begin_proposal(isr, ISR_SHRINKING);
	for (int32_t i = 0; i < isr->follower_count; i++)
		if (isr->followers[i].in_proposal &&
		    !is_caught_up(&isr->followers[i], leader_end, lag_max_ms, now_ms)) {
			isr->followers[i].in_proposal = false;
			isr->followers[i].out_since_ms = now_ms;
			isr->followers[i].out_before = false;
		}
	return true;
}

void
isr_commit(struct isr *isr, const int32_t *members, int32_t member_count)
{
	for (int32_t i = 0; i < isr->follower_count; i++) {
		isr->followers[i].in_isr =
		    ids_list_has(members, member_count, isr->followers[i].broker_id);
		isr->followers[i].in_proposal = false;
	}
	isr->change = ISR_STABLE;
}

bool
isr_refused(struct isr *isr, int error)
{
	switch (error) {
	case K_OPERATION_NOT_ATTEMPTED:
	case K_INELIGIBLE_REPLICA:
		isr->change = ISR_STABLE;
		return false;
	case K_UNKNOWN_TOPIC_OR_PARTITION:
	case K_UNKNOWN_TOPIC_ID:
	case K_FENCED_LEADER_EPOCH:
	case K_INVALID_UPDATE_VERSION:
	case K_INVALID_REQUEST:
	case K_NEW_LEADER_ELECTED:
		return false;
	default:
		return true;
	}
}
