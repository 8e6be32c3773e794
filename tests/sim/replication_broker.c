/*
 * The replicas of a broker: partition, partition_isr, partition_follow and the fetcher in small,
 * around the real isr, fencing, truncation and leader_epochs.
 */
#include "tests/sim/replication_world.h"

#include "replica/fencing.h"
#include "replica/truncation.h"
#include "wire/kerr.h"

/* ---- disks ---- */

void
replica_create(struct replica *r, int32_t incarnation, int dir)
{
	r->exists = true;
	r->dir = dir;
	r->incarnation = incarnation;
}

void
replica_delete(struct replica *r)
{
	struct isr isr;

	isr_fini(&r->isr);
	isr = r->isr; /* answers to its proposals do not count for a later replica */
	leader_epochs_fini(&r->epochs);
	*r = (struct replica){
	    .leader = -1, .leader_epoch = -1, .partition_epoch = -1, .epoch_start = -1, .isr = isr};
}

void
replica_append(struct replica *r, int partition, struct record record)
{
	HOLDS(r->exists && r->end < RECORDS);
	HOLDS(r->incarnation != topic_znode_of(partition)->incarnation ||
	      record.value > w.truths[partition].born);
	HOLDS(leader_epochs_assign(&r->epochs, record.epoch, r->end) == 0);
	r->log[r->end++] = record;
}

void
replica_truncate(struct replica *r, int64_t end)
{
	HOLDS(end >= 0);
	leader_epochs_truncate_from_end(&r->epochs, end < r->end ? end : r->end);
	if (end >= r->end)
		return;
	r->end = end;
	if (r->flushed > end)
		r->flushed = end;
	if (r->agrees > end)
		r->agrees = end;
	if (r->high_watermark > end)
		r->high_watermark = end;
	if (r->checkpointed > end)
		r->checkpointed = end;
}

void
replica_set_high_watermark(struct replica *r, int partition, int64_t high_watermark)
{
	int64_t before = r->high_watermark;

	r->high_watermark = high_watermark < r->end ? high_watermark : r->end;
	world_check_high_watermark(r, partition, before);
}

/* ---- leading ---- */

bool
broker_leads(int id, int partition)
{
	const struct replica *r = &w.brokers[id].replicas[partition];

	return r->leader == id && !r->offline;
}

static bool
is_alive(void *arg, int32_t broker_id)
{
	const struct broker *b = arg;

	return b->alive[broker_id];
}

static int32_t
effective_min_isr(const struct replica *r)
{
	return w.min_insync_replicas < r->members.count ? w.min_insync_replicas : r->members.count;
}

static void
advance_high_watermark(int id, int partition)
{
	struct broker *b = &w.brokers[id];
	struct replica *r = &b->replicas[partition];
	int64_t target = r->end;

	if (!broker_leads(id, partition) || isr_size(&r->isr) < effective_min_isr(r))
		return;
	if (r->isr.follower_count > 0)
		target = isr_high_watermark(&r->isr, r->end, LAG_MAX_MS, w.now_ms, is_alive, b);
	if (target > r->high_watermark)
		replica_set_high_watermark(r, partition, target);
}

static void
client_appends(int id, int partition)
{
	struct broker *b = &w.brokers[id];
	struct replica *r = &b->replicas[partition];

	if (!broker_leads(id, partition) || isr_size(&r->isr) < effective_min_isr(r) ||
	    b->pending_count == APPENDS || r->end + BATCH_RECORDS > RECORDS)
		return;
	for (uint32_t count = 1 + below(BATCH_RECORDS); count > 0; count--)
		replica_append(r, partition, (struct record){r->leader_epoch, ++w.next_value});
	b->pending[b->pending_count++] =
	    (struct pending){partition, r->end, r->leader_epoch, w.next_value};
	world_trace("broker %d appends p%d up to %lld in epoch %d", id, partition,
		    (long long)r->end, r->leader_epoch);
	advance_high_watermark(id, partition);
}

/* False: it goes on waiting. */
static bool
acknowledge(const struct broker *b, int id, const struct pending *pending)
{
	const struct replica *r = &b->replicas[pending->partition];

	if (!broker_leads(id, pending->partition) || r->leader_epoch != pending->leader_epoch)
		return true; /* its client does not know what became of it */
	if (r->high_watermark < pending->offset)
		return false;
	if (isr_maximal_size(&r->isr) < effective_min_isr(r))
		return true;
	world_check_acknowledged(r, pending);
	w.sums.acknowledged++;
	return true;
}

void
broker_acknowledge(int id)
{
	struct broker *b = &w.brokers[id];
	int kept = 0;

	for (int i = 0; i < b->pending_count; i++)
		if (!acknowledge(b, id, &b->pending[i]))
			b->pending[kept++] = b->pending[i];
	b->pending_count = kept;
}

void
replica_forget_clients(int id, int partition)
{
	struct broker *b = &w.brokers[id];
	int kept = 0;

	for (int i = 0; i < b->pending_count; i++)
		if (b->pending[i].partition != partition)
			b->pending[kept++] = b->pending[i];
	b->pending_count = kept;
}

/* ---- what a controller decided ---- */

void
replica_follow(struct replica *r, bool follows)
{
	r->fetches = follows;
	r->fetch_id = 0;
	if (follows && leader_epochs_latest(&r->epochs) < 0)
		replica_truncate(r, r->high_watermark);
}

void
replica_decide(int id, int partition, const struct told *told)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	bool new_epoch = told->leader_epoch != r->leader_epoch, lead = told->leader == id;

	r->known = true;
	if (told->partition_epoch < r->partition_epoch)
		return;
	world_trace("broker %d learns p%d: leader %d epoch %d version %d isr %s", id, partition,
		    told->leader, told->leader_epoch, told->partition_epoch,
		    members_text(&told->isr));
	if (!broker_leads(id, partition))
		isr_resign(&r->isr);
	r->members = told->replicas;
	if (lead)
		HOLDS(isr_lead(&r->isr, id, told->leader_epoch, told->replicas.ids,
			       told->replicas.count, told->isr.ids, told->isr.count, r->end,
			       w.now_ms) == 0);
	else
		isr_resign(&r->isr);
	r->partition_epoch = told->partition_epoch;
	r->leader_epoch = told->leader_epoch;
	r->given_up = -1;
	if (lead && new_epoch)
		HOLDS(leader_epochs_assign(&r->epochs, told->leader_epoch, r->end) == 0);
	if (new_epoch || !lead)
		r->epoch_start = lead ? r->end : -1;
	r->leader = told->leader;
	if (lead)
		world_check_leader(id, partition);
	advance_high_watermark(id, partition);
	replica_follow(r, told->leader >= 0 && !lead);
}

/* ---- a follower fetches ---- */

static int
check_fetch(int id, int from, struct fetch *f)
{
	struct replica *r = &w.brokers[id].replicas[f->partition];
	struct fencing_replica known = {topic_id(topic_of(f->partition), r->incarnation),
					r->leader_epoch, false};
	struct uuid wanted = topic_id(topic_of(f->partition), f->incarnation);
	struct epoch_end ours;
	int error;

	if (!r->known)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	if (r->offline)
		return K_KAFKA_STORAGE_ERROR;
	error = fencing_check_reader(&known, &wanted, f->leader_epoch);
	if (error != 0)
		return error;
	if (!broker_leads(id, f->partition))
		return K_NOT_LEADER_OR_FOLLOWER;
	if (f->last_fetched_epoch >= 0) {
		leader_epochs_end_offset(&r->epochs, f->last_fetched_epoch, r->end, &ours.epoch,
					 &ours.end_offset);
		if (ours.epoch < 0)
			return K_OFFSET_OUT_OF_RANGE;
		f->diverges = truncation_diverges(f->last_fetched_epoch, f->offset, ours);
		f->diverging_epoch = ours.epoch;
		f->diverging_end = ours.end_offset;
	}
	if (f->diverges)
		return 0;
	if (f->offset > r->end)
		return K_OFFSET_OUT_OF_RANGE;
	return isr_fetched(&r->isr, from, f->broker_epoch, f->offset, 0, r->end, w.now_ms)
		   ? 0
		   : K_UNKNOWN_LEADER_EPOCH;
}

void
broker_take_fetch(int id, int from, struct fetch *f)
{
	struct broker *b = &w.brokers[id];
	struct replica *r = &b->replicas[f->partition];

	f->error = check_fetch(id, from, f);
	if (f->error != 0 || f->diverges)
		return;
	while (f->count < BATCH_RECORDS && f->offset + f->count < r->end) {
		f->records[f->count] = r->log[f->offset + f->count];
		f->count++;
	}
	w.sums.expands +=
	    isr_propose_expansion(&r->isr, from, r->high_watermark, r->epoch_start, is_alive, b);
	advance_high_watermark(id, f->partition);
	f->high_watermark = r->high_watermark;
}

static void
fetch(int id, int partition)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	struct call *call;

	if (!r->fetches || r->fetch_id != 0 || !w.brokers[id].alive[r->leader])
		return;
	call = call_begin(CALL_FETCH, id, r->leader);
	if (call == NULL)
		return;
	r->fetch_id = call->id;
	call->fetch = (struct fetch){.partition = partition,
				     .incarnation = r->incarnation,
				     .leader_epoch = r->leader_epoch,
				     .last_fetched_epoch = leader_epochs_latest(&r->epochs),
				     .broker_epoch = w.brokers[id].epoch,
				     .offset = r->end};
}

static void
diverge(struct replica *r, const struct fetch *f)
{
	struct epoch_end theirs = {f->diverging_epoch, f->diverging_end}, ours;
	int64_t before = r->end;

	leader_epochs_end_offset(&r->epochs, theirs.epoch, r->end, &ours.epoch, &ours.end_offset);
	replica_truncate(r, truncation_end(theirs, ours, r->end));
	w.sums.truncated += r->end < before;
}

void
broker_fetched(int id, struct fetch *f)
{
	struct replica *r = &w.brokers[id].replicas[f->partition];

	HOLDS(r->leader_epoch == f->leader_epoch);
	if (f->error == K_FENCED_LEADER_EPOCH)
		r->fetches = false; /* until LeaderAndIsr comes */
	if (f->error != 0)
		return; /* once more */
	if (f->diverges) {
		diverge(r, f);
		return;
	}
	HOLDS(r->end == f->offset);
	for (int i = 0; i < f->count; i++)
		replica_append(r, f->partition, f->records[i]);
	replica_set_high_watermark(r, f->partition, f->high_watermark);
}

/* ---- proposals ---- */

static bool
proposes(int id, int partition)
{
	const struct replica *r = &w.brokers[id].replicas[partition];

	return broker_leads(id, partition) && r->isr.change != ISR_STABLE &&
	       r->given_up != r->isr.proposal_epoch;
}

void
broker_send_proposals(int id)
{
	struct broker *b = &w.brokers[id];
	struct call *call = NULL;

	if (b->alter_id != 0 || b->controller < 0)
		return;
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &b->replicas[p];
		int32_t members[BROKERS];
		int32_t count;

		if (!proposes(id, p))
			continue;
		if (call == NULL)
			call = call_begin(CALL_ALTER, id, b->controller);
		if (call == NULL)
			return;
		count = isr_members(&r->isr, id, true, members);
		call->alteration.partitions[p].asked = true;
		call->alteration.partitions[p].incarnation = r->incarnation;
		call->alteration.partitions[p].proposal_epoch = r->isr.proposal_epoch;
		call->alteration.partitions[p].leader_epoch = r->leader_epoch;
		call->alteration.partitions[p].partition_epoch = r->partition_epoch;
		call->alteration.partitions[p].isr = members_of(members, count);
		isr_proposed_epochs(&r->isr, call->alteration.partitions[p].isr_epochs);
		world_trace("broker %d proposes for p%d: isr %s version %d", id, p,
			    members_text(&call->alteration.partitions[p].isr), r->partition_epoch);
	}
	if (call == NULL)
		return;
	call->alteration.broker_epoch = b->epoch;
	b->alter_id = call->id;
}

void
broker_altered(int id, const struct alteration *a)
{
	if (a->error != 0)
		return; /* once more, perhaps to another controller */
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &w.brokers[id].replicas[p];
		const struct members *isr = &a->partitions[p].new_isr;

		if (!a->partitions[p].asked || !proposes(id, p) ||
		    r->isr.proposal_epoch != a->partitions[p].proposal_epoch)
			continue;
		if (a->partitions[p].error != 0) {
			if (!isr_refused(&r->isr, a->partitions[p].error))
				r->given_up = r->isr.proposal_epoch; /* LeaderAndIsr is to come */
		} else if (a->partitions[p].new_leader_epoch == r->leader_epoch &&
			   a->partitions[p].new_partition_epoch >= r->partition_epoch) {
			isr_commit(&r->isr, isr->ids, isr->count);
			r->partition_epoch = a->partitions[p].new_partition_epoch;
			advance_high_watermark(id, p);
		} else {
			r->given_up = r->isr.proposal_epoch;
		}
	}
}

/* ---- turns ---- */

void
replica_turn(int id, int partition)
{
	struct replica *r = &w.brokers[id].replicas[partition];

	if (percent(60))
		fetch(id, partition);
	if (broker_leads(id, partition) && percent(20))
		w.sums.shrinks += isr_propose_shrink(&r->isr, r->end, LAG_MAX_MS, w.now_ms);
	if (!w.calm && percent(20))
		client_appends(id, partition);
	if (percent(10) && !r->offline)
		r->checkpointed = r->high_watermark;
	if (percent(10) && !r->offline)
		r->flushed = r->end;
}
