#include "tests/sim/replication_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world w;

void __attribute__((noreturn)) world_failed(const char *file, int line, const char *what)
{
	fflush(stdout);
	fprintf(stderr, "%s:%d: seed %" PRIu64 " at %" PRId64 " ms: not true: %s\n", file, line,
		w.seed, w.now_ms, what);
	exit(1);
}

void
world_trace(const char *format, ...)
{
	va_list args;

	if (!w.trace)
		return;
	printf("%" PRId64 " ", w.now_ms);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

uint32_t
below(uint32_t bound)
{
	uint64_t z = w.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

bool
percent(uint32_t chance)
{
	return below(100) < chance;
}

/* ---- sets ---- */

struct members
members_of(const int32_t *ids, int32_t count)
{
	struct members m = {.count = count};

	HOLDS(count <= BROKERS);
	if (count > 0)
		memcpy(m.ids, ids, (size_t)count * sizeof(*ids));
	return m;
}

bool
members_have(const struct members *m, int32_t id)
{
	for (int32_t i = 0; i < m->count; i++)
		if (m->ids[i] == id)
			return true;
	return false;
}

bool
members_equal(const struct members *a, const struct members *b)
{
	return a->count == b->count &&
	       memcmp(a->ids, b->ids, (size_t)a->count * sizeof(*a->ids)) == 0;
}

const char *
members_text(const struct members *m)
{
	static char text[BROKERS * 2 + 1];

	text[0] = '\0';
	for (int32_t i = 0; i < m->count; i++)
		sprintf(text + strlen(text), i == 0 ? "%d" : ",%d", m->ids[i]);
	return text;
}

/* ---- disks ---- */

void
replica_append(struct replica *r, struct record record)
{
	HOLDS(r->end < RECORDS);
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
	const struct record *committed = w.committed[partition];
	int64_t from = r->high_watermark;

	if (high_watermark > r->end)
		high_watermark = r->end;
	r->high_watermark = high_watermark;
	/* Below the high watermark all logs agree. */
	for (int64_t i = from; i < high_watermark; i++) {
		if (i == w.committed_end[partition])
			w.committed[partition][w.committed_end[partition]++] = r->log[i];
		HOLDS(i < w.committed_end[partition]);
		HOLDS(committed[i].value == r->log[i].value &&
		      committed[i].epoch == r->log[i].epoch);
	}
}

/* ---- calls ---- */

struct call *
call_begin(enum call_kind kind, int from, int to)
{
	struct call *call;

	if (w.call_count == CALLS || !w.brokers[to].runs)
		return NULL;
	call = &w.calls[w.call_count++];
	memset(call, 0, sizeof(*call));
	call->id = ++w.next_call;
	call->kind = kind;
	call->from = from;
	call->to = to;
	call->from_life = w.brokers[from].life;
	call->to_life = w.brokers[to].life;
	return call;
}

static uint32_t *
waited_for(const struct call *call)
{
	struct broker *b = &w.brokers[call->from];

	switch (call->kind) {
	case CALL_COMMAND:
		return &b->office.links[call->to].call_id;
	case CALL_FETCH:
		return &b->replicas[call->fetch.partition].fetch_id;
	case CALL_ALTER:
		return &b->alter_id;
	case CALL_SHUTDOWN:
		return &b->shutdown_id;
	}
	HOLDS(false);
}

/* Whether the caller lives and waits for just this answer; it does so no longer. */
static bool
end_wait(const struct call *call)
{
	const struct broker *b = &w.brokers[call->from];
	uint32_t *id = waited_for(call);

	if (!b->runs || b->life != call->from_life || *id != call->id)
		return false;
	*id = 0;
	return true;
}

static void
fail(const struct call *call)
{
	if (!end_wait(call))
		return;
	if (call->kind == CALL_COMMAND)
		office_answered(call->from, call->to, false);
}

static void
answered(struct call *call)
{
	if (!end_wait(call))
		return;
	switch (call->kind) {
	case CALL_COMMAND:
		office_answered(call->from, call->to, true);
		break;
	case CALL_FETCH:
		broker_fetched(call->from, &call->fetch);
		break;
	case CALL_ALTER:
		broker_altered(call->from, &call->alteration);
		break;
	case CALL_SHUTDOWN:
		w.brokers[call->from].stops =
		    call->shutdown.error != 0 || call->shutdown.leads_still;
		if (!w.brokers[call->from].stops)
			broker_end(call->from, true);
		break;
	}
}

static void
asked(struct call *call)
{
	switch (call->kind) {
	case CALL_COMMAND:
		broker_take_command(call->to, &call->command);
		break;
	case CALL_FETCH:
		broker_take_fetch(call->to, call->from, &call->fetch);
		break;
	case CALL_ALTER:
		office_alter(call->to, call->from, &call->alteration);
		break;
	case CALL_SHUTDOWN:
		office_shut_down(call->to, call->from, &call->shutdown);
		break;
	}
}

static bool
is_busy(const struct call *call)
{
	const struct broker *b = &w.brokers[call->to];

	/* The office is one thread: it takes nothing while it reads the ensemble. */
	return !call->is_answer && (call->kind == CALL_ALTER || call->kind == CALL_SHUTDOWN) &&
	       (b->cut_from_ensemble || b->office.stage == OFFICE_ELECTED ||
		b->office.stage == OFFICE_KNOWS_BROKERS);
}

void
call_deliver(int broker)
{
	int start = w.call_count == 0 ? 0 : (int)below((uint32_t)w.call_count);

	for (int i = 0; i < w.call_count; i++) {
		int at = (start + i) % w.call_count;
		struct call call = w.calls[at];

		if ((call.is_answer ? call.from : call.to) != broker || w.cut[call.from][call.to] ||
		    is_busy(&call))
			continue;
		w.calls[at] = w.calls[--w.call_count];
		if (call.is_answer) {
			answered(&call);
			return;
		}
		if (w.brokers[call.to].life != call.to_life) {
			fail(&call);
			return;
		}
		asked(&call);
		if (!w.brokers[call.to].runs || w.brokers[call.to].life != call.to_life) {
			fail(&call); /* it died over it */
		} else if (w.brokers[call.from].life == call.from_life &&
			   w.brokers[call.from].runs) {
			HOLDS(w.call_count < CALLS);
			call.is_answer = true;
			w.calls[w.call_count++] = call;
		}
		return;
	}
}

void
call_break(void)
{
	struct call call;
	int at;

	if (w.call_count == 0)
		return;
	at = (int)below((uint32_t)w.call_count);
	call = w.calls[at];
	if (call.from == call.to)
		return;
	/* What is in the other's buffer may be read long after its sender gave up. */
	if (call.is_answer || percent(60))
		w.calls[at] = w.calls[--w.call_count];
	fail(&call);
}

void
call_forget_process(int broker)
{
	for (int i = 0; i < w.call_count;) {
		struct call call = w.calls[i];
		bool goes =
		    call.to == broker || (call.from == broker && (call.is_answer || percent(50)));

		if (!goes) {
			i++;
			continue;
		}
		w.calls[i] = w.calls[--w.call_count];
		fail(&call);
	}
}

/* ---- what must always be true ---- */

static void
check_isr(int partition)
{
	const struct state_znode *state = &w.zk.states[partition];
	int64_t end = w.committed_end[partition];

	for (int32_t i = 0; i < state->isr.count; i++) {
		int32_t id = state->isr.ids[i];
		struct replica *r = &w.brokers[id].replicas[partition];

		/* The tail that a machine lost is in the logs of the others. */
		if (id == w.without_power)
			continue;
		HOLDS(r->end >= end);
		for (; r->agrees < end; r->agrees++)
			HOLDS(r->log[r->agrees].value == w.committed[partition][r->agrees].value);
	}
}

static void
check_leaders(int partition)
{
	for (int id = 0; id < w.broker_count; id++) {
		const struct replica *r = &w.brokers[id].replicas[partition];
		int32_t *leader;

		if (!w.brokers[id].runs || !broker_leads(id, partition))
			continue;
		HOLDS(r->leader_epoch >= 0 && r->leader_epoch < EPOCHS);
		leader = &w.leaders[partition][r->leader_epoch];
		HOLDS(*leader == id + 1);
	}
}

void
world_check(void)
{
	for (int p = 0; p < PARTITIONS; p++) {
		if (w.zk.states[p].exists)
			check_isr(p);
		check_leaders(p);
	}
}

void
world_check_write(int partition, const struct state_znode *before, const struct state_znode *after)
{
	int32_t *leader;

	HOLDS(after->isr.count > 0);
	HOLDS(after->leader == -1 || members_have(&after->isr, after->leader));
	HOLDS(after->leader_epoch >= 0 && after->leader_epoch < EPOCHS);
	for (int32_t i = 0; i < after->isr.count; i++)
		HOLDS(members_have(&w.assignment[partition], after->isr.ids[i]));
	if (before->exists) {
		HOLDS(after->controller_epoch >= before->controller_epoch);
		HOLDS(after->leader_epoch >= before->leader_epoch);
	}
	/* One leader in an epoch. */
	leader = &w.leaders[partition][after->leader_epoch];
	HOLDS(*leader == 0 || *leader == after->leader + 1);
	*leader = after->leader + 1;
}
