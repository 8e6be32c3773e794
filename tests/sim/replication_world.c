#include "tests/sim/replication_world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world w;

static int64_t
now_ms(struct env *env)
{
	(void)env;
	return w.now_ms;
}

static int64_t
monotonic_us(struct env *env)
{
	(void)env;
	return w.now_ms * 1000;
}

static void
fill_random(struct env *env, void *data, size_t len)
{
	(void)env;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)data)[i] = (uint8_t)below(256);
}

struct env *
world_env(void)
{
	static struct env_ops ops;
	static struct env env = {&ops};

	ops = env_system_ops;
	ops.now_ms = now_ms;
	ops.monotonic_us = monotonic_us;
	ops.random = fill_random;
	return &env;
}

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

bool
members_include(const struct members *m, const struct members *others)
{
	for (int32_t i = 0; i < others->count; i++)
		if (!members_have(m, others->ids[i]))
			return false;
	return true;
}

bool
members_are_same(const struct members *a, const struct members *b)
{
	return a->count == b->count && members_include(a, b);
}

struct members
members_without(const struct members *m, const struct members *others)
{
	struct members rest = {.count = 0};

	for (int32_t i = 0; i < m->count; i++)
		if (!members_have(others, m->ids[i]))
			rest.ids[rest.count++] = m->ids[i];
	return rest;
}

/* ---- topics ---- */

static const char *const topic_names[TOPICS] = {"a", "b"};

int
topic_of(int partition)
{
	return partition % w.topic_count;
}

int
number_of(int partition)
{
	return partition / w.topic_count;
}

int
partition_of(int topic, int number)
{
	int partition = number * w.topic_count + topic;

	return partition < PARTITIONS ? partition : -1;
}

const char *
topic_name(int topic)
{
	return topic_names[topic];
}

int
topic_named(const char *name)
{
	for (int t = 0; t < w.topic_count; t++)
		if (strcmp(topic_names[t], name) == 0)
			return t;
	HOLDS(false);
}

struct uuid
topic_id(int topic, int32_t incarnation)
{
	struct uuid id = {{0}};

	if (incarnation > 0) {
		id.bytes[0] = (uint8_t)(1 + topic);
		memcpy(&id.bytes[1], &incarnation, sizeof(incarnation));
	}
	return id;
}

struct topic_znode *
topic_znode_of(int partition)
{
	return &w.zk.topics[topic_of(partition)];
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
		return office_waited_for(call->from, call->to);
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

/* Who waits tries again. */
static void
fail(const struct call *call)
{
	(void)end_wait(call);
}

static void
answered(struct call *call)
{
	if (!end_wait(call))
		return;
	switch (call->kind) {
	case CALL_COMMAND:
		office_answered(call->from, call->to, &call->command);
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

/* The controller is one thread: it takes nothing while it waits for the ensemble. */
static bool
is_busy(const struct call *call)
{
	const struct broker *b = &w.brokers[call->to];

	return !call->is_answer && (call->kind == CALL_ALTER || call->kind == CALL_SHUTDOWN) &&
	       b->runs && (b->cut_from_ensemble || b->process->busy);
}

/*
 * No epoch tells that a controller's word to make a replica comes after its word to delete it, or
 * that its word to delete one of a topic is about the former topic of that name. So these do not
 * change places: what is left in the buffer of a broken connection is read before what was sent
 * again on the next.
 */
static bool
is_held_up(const struct call *call)
{
	if (call->is_answer || call->kind != CALL_COMMAND)
		return false;
	for (int i = 0; i < w.call_count; i++) {
		const struct call *other = &w.calls[i];

		if (!other->is_answer && other->kind == CALL_COMMAND && other->from == call->from &&
		    other->from_life == call->from_life && other->to == call->to &&
		    other->id < call->id && (call->command.deletes || other->command.deletes_topic))
			return true;
	}
	return false;
}

void
call_deliver(int broker)
{
	int start = w.call_count == 0 ? 0 : (int)below((uint32_t)w.call_count);

	for (int i = 0; i < w.call_count; i++) {
		int at = (start + i) % w.call_count;
		const struct call *waits = &w.calls[at];
		struct call call;

		if ((waits->is_answer ? waits->from : waits->to) != broker ||
		    w.cut[waits->from][waits->to] || is_busy(waits) || is_held_up(waits))
			continue;
		call = *waits;
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
			call.is_answer = true;
			if (w.call_count < CALLS)
				w.calls[w.call_count++] = call;
			else
				fail(&call); /* others went on while it was seen to */
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
