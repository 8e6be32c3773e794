/*
 * One broker: replica_manager's fencing, partition, partition_isr, partition_follow and the fetcher
 * in small, around the real isr, truncation and leader_epochs.
 */
#include "tests/sim/replication_world.h"

#include "replica/truncation.h"
#include "wire/api_table.h"
#include "wire/kerr.h"

/* ---- leading ---- */

bool
broker_leads(int id, int partition)
{
	return w.brokers[id].replicas[partition].leader == id;
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
		replica_append(r, (struct record){r->leader_epoch, ++w.next_value});
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
	HOLDS(w.committed_end[pending->partition] >= pending->offset);
	HOLDS(w.committed[pending->partition][pending->offset - 1].value == pending->value);
	w.acknowledged++;
	return true;
}

static void
acknowledge_all(int id)
{
	struct broker *b = &w.brokers[id];
	int kept = 0;

	for (int i = 0; i < b->pending_count; i++)
		if (!acknowledge(b, id, &b->pending[i]))
			b->pending[kept++] = b->pending[i];
	b->pending_count = kept;
}

/* ---- what a controller decided ---- */

static void
follow(struct replica *r, bool follows)
{
	r->fetches = follows;
	r->fetch_id = 0;
	if (follows && leader_epochs_latest(&r->epochs) < 0)
		replica_truncate(r, r->high_watermark);
}

static void
decide(int id, int partition, int32_t leader, int32_t leader_epoch, int32_t partition_epoch,
       const struct members *isr, const struct members *replicas)
{
	struct replica *r = &w.brokers[id].replicas[partition];
	bool new_epoch = leader_epoch != r->leader_epoch, lead = leader == id;

	if (partition_epoch < r->partition_epoch)
		return;
	world_trace("broker %d learns p%d: leader %d epoch %d version %d isr %s", id, partition,
		    leader, leader_epoch, partition_epoch, members_text(isr));
	if (!broker_leads(id, partition))
		isr_resign(&r->isr);
	r->members = *replicas;
	if (lead)
		HOLDS(isr_lead(&r->isr, id, leader_epoch, replicas->ids, replicas->count, isr->ids,
			       isr->count, r->end, w.now_ms) == 0);
	else
		isr_resign(&r->isr);
	r->partition_epoch = partition_epoch;
	r->leader_epoch = leader_epoch;
	r->given_up = -1;
	if (lead && new_epoch)
		HOLDS(leader_epochs_assign(&r->epochs, leader_epoch, r->end) == 0);
	if (new_epoch || !lead)
		r->epoch_start = lead ? r->end : -1;
	r->leader = leader;
	advance_high_watermark(id, partition);
	follow(r, leader >= 0 && !lead);
}

static bool
is_fenced(struct broker *b, const struct command *c)
{
	if ((c->broker_epoch != -1 && c->broker_epoch < b->epoch) ||
	    c->controller_epoch < b->controller_epoch)
		return true;
	b->controller_epoch = c->controller_epoch;
	return false;
}

void
broker_take_command(int id, struct command *c)
{
	struct broker *b = &w.brokers[id];

	if (is_fenced(b, c)) {
		w.refusals++;
		return;
	}
	if (c->api_key == API_UPDATE_METADATA) {
		memcpy(b->alive, c->alive, sizeof(b->alive));
		b->controller = c->controller_id;
		return;
	}
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &b->replicas[p];

		if (!c->partitions[p].told)
			continue;
		if (c->api_key == API_STOP_REPLICA) {
			if (c->partitions[p].leader_epoch < r->leader_epoch)
				continue;
			follow(r, false);
			r->leader = -1;
		} else if (c->partitions[p].leader_epoch > r->leader_epoch &&
			   members_have(&c->partitions[p].replicas, id)) {
			decide(id, p, c->partitions[p].leader, c->partitions[p].leader_epoch,
			       c->partitions[p].partition_epoch, &c->partitions[p].isr,
			       &c->partitions[p].replicas);
		}
	}
}

/* ---- a follower fetches ---- */

static int
check_fetch(int id, int from, struct fetch *f)
{
	struct replica *r = &w.brokers[id].replicas[f->partition];
	struct epoch_end ours;

	if (f->leader_epoch < r->leader_epoch)
		return K_FENCED_LEADER_EPOCH;
	if (f->leader_epoch > r->leader_epoch)
		return K_UNKNOWN_LEADER_EPOCH;
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
	w.expands +=
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
	w.truncated += r->end < before;
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
		replica_append(r, f->records[i]);
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

static void
send_proposals(int id)
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

/* ---- a process ---- */

static void
join_ensemble(int id)
{
	struct broker *b = &w.brokers[id];

	b->session = ++w.next_session;
	b->epoch = ++w.zk.zxid;
	w.zk.sessions[id] = b->session;
	w.zk.broker_epochs[id] = b->epoch;
	b->controller_changed = true;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].brokers_changed = true;
}

void
broker_session_lost(int id)
{
	world_trace("broker %d opens another session", id);
	office_end(id);
	join_ensemble(id);
}

void
broker_expire(int id)
{
	if (w.zk.sessions[id] == 0)
		return;
	world_trace("the session of broker %d expires", id);
	w.zk.sessions[id] = w.zk.broker_epochs[id] = 0;
	for (int i = 0; i < w.broker_count; i++)
		w.brokers[i].brokers_changed = true;
	if (w.zk.controller == id)
		office_vacate();
}

void
broker_start(int id)
{
	struct broker *b = &w.brokers[id];

	broker_expire(id);
	b->runs = true;
	b->stands_still = b->cut_from_ensemble = b->stops = false;
	b->life++;
	b->controller_epoch = 0;
	b->controller = -1;
	memset(b->alive, 0, sizeof(b->alive));
	b->alter_id = b->shutdown_id = 0;
	b->pending_count = 0;
	for (int p = 0; p < PARTITIONS; p++) {
		struct replica *r = &b->replicas[p];

		r->high_watermark = r->checkpointed;
		r->leader = r->leader_epoch = r->partition_epoch = -1;
		r->epoch_start = -1;
		r->given_up = -1;
		r->members.count = 0;
		follow(r, false);
	}
	world_trace("broker %d starts", id);
	join_ensemble(id);
}

void
broker_end(int id, bool session_ends)
{
	struct broker *b = &w.brokers[id];

	world_trace("broker %d ends", id);
	b->runs = false;
	for (int p = 0; p < PARTITIONS; p++)
		isr_fini(&b->replicas[p].isr);
	office_end(id);
	call_forget_process(id);
	if (session_ends)
		broker_expire(id);
}

void
broker_forget(int id)
{
	struct broker *b = &w.brokers[id];

	for (int p = 0; p < PARTITIONS; p++) {
		isr_fini(&b->replicas[p].isr);
		leader_epochs_fini(&b->replicas[p].epochs);
	}
	office_close(id);
}

static void
replica_turn(int id, int partition)
{
	struct replica *r = &w.brokers[id].replicas[partition];

	if (percent(60))
		fetch(id, partition);
	if (broker_leads(id, partition) && percent(20))
		w.shrinks += isr_propose_shrink(&r->isr, r->end, LAG_MAX_MS, w.now_ms);
	if (!w.calm && percent(20))
		client_appends(id, partition);
	if (percent(10))
		r->checkpointed = r->high_watermark;
	if (percent(10))
		r->flushed = r->end;
}

static void
shut_down(int id)
{
	struct broker *b = &w.brokers[id];
	struct call *call;

	if (percent(3)) { /* its patience is at an end */
		broker_end(id, true);
		return;
	}
	if (b->shutdown_id != 0 || b->controller < 0)
		return;
	call = call_begin(CALL_SHUTDOWN, id, b->controller);
	if (call == NULL)
		return;
	call->shutdown.broker_epoch = b->epoch;
	b->shutdown_id = call->id;
}

void
broker_turn(int id)
{
	struct broker *b = &w.brokers[id];
	uint32_t life = b->life;

	for (uint32_t n = 1 + below(4); n > 0 && b->runs && !b->stands_still; n--)
		call_deliver(id);
	if (!b->runs || b->stands_still || b->life != life)
		return;
	for (int p = 0; p < PARTITIONS; p++)
		replica_turn(id, p);
	if (percent(60))
		send_proposals(id);
	acknowledge_all(id);
	office_turn(id);
	if (b->runs && b->stops)
		shut_down(id);
}
