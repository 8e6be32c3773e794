/*
 * broker_call.c - requests that librdkafka does not know, sent to brokers as they are.
 *
 * A peer is an address with a connection and the versions that it serves; the brokers of
 * --bootstrap- server and those that Metadata names are peers alike. A call goes out as a flight:
 * to its peer, ApiVersions first where they are not known, then the request. The event loop runs
 * until all flights of a round have landed; those that may do better elsewhere fly again in the
 * next round, after Metadata was asked for anew.
 *
 * A cluster all of whose brokers refuse connections is given up after a second, as client.h does.
 */
#include "cli/broker_call.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "cli/broker_settings.h"
#include "net/rpc_client.h"
#include "wire/generated/api_versions.h"
#include "wire/generated/metadata.h"
#include "wire/kerr.h"

#define API_MAX 128
#define METADATA_VERSION_MIN 1 /* of which an empty list of topics means none */
#define ANSWER_MAX ((size_t)256 << 20)
#define GRACE_MS 1000
#define RETRY_MS 100
#define TICK_MS 50
#define TRIED_MAX 64
#define TRY_MS 5000 /* one of several servers, to find out who is there */

struct peer {
	struct peer *next;
	char *host;
	int port;
	struct rpc_client *rpc; /* NULL: closed */
	bool versions_known;
	struct version_range {
		int16_t min, max; /* max < min: not served */
	} versions[API_MAX];
};

struct broker_calls {
	struct broker_settings settings;
	struct reactor *reactor;
	struct peer *peers;
	struct arena view_arena;
	struct cluster_view view;
	bool view_known;
	const volatile sig_atomic_t *interrupt;
	struct timer tick;
	size_t flying;
};

struct flight {
	struct broker_calls *calls;
	struct broker_call *call;
	struct peer *peer;
	struct arena *arena;
	int64_t deadline_ms;
};

static int64_t
now_ms(void)
{
	return env_monotonic_ms(env_system());
}

static bool
is_interrupted(const struct broker_calls *calls)
{
	return calls->interrupt != NULL && *calls->interrupt != 0;
}

/* ---- peers ---- */

static struct peer *
peer_at(struct broker_calls *calls, const char *host, int port)
{
	struct peer **link = &calls->peers, *p;

	for (; (p = *link) != NULL; link = &p->next) {
		if (p->port == port && strcmp(p->host, host) == 0)
			return p;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->host = strdup(host)) == NULL)
		abort();
	p->port = port;
	*link = p;
	return p;
}

static int
peer_open(struct broker_calls *calls, struct peer *p)
{
	struct rpc_settings rs;

	if (p->rpc != NULL)
		return 0;
	rpc_settings_init(&rs);
	rs.host = p->host;
	rs.port = p->port;
	rs.client_id = calls->settings.client_id;
	rs.tls = calls->settings.tls;
	rs.response_max_bytes = (int64_t)ANSWER_MAX;
	return rpc_open(calls->reactor, &rs, &p->rpc);
}

static void
close_connections(struct broker_calls *calls)
{
	for (struct peer *p = calls->peers; p != NULL; p = p->next) {
		struct rpc_client *rpc = p->rpc;

		p->rpc = NULL;
		p->versions_known = false;
		rpc_close(rpc);
	}
}

/* ---- flights ---- */

static void
land(struct flight *f, int status)
{
	struct broker_calls *calls = f->calls;

	/* What fails may be another broker by the next time. */
	if (status < 0 && status != -EBADMSG && status != -EINVAL)
		f->peer->versions_known = false;
	f->call->status = status == -ECANCELED ? -EINTR : status;
	free(f);
	if (--calls->flying == 0)
		reactor_stop(calls->reactor);
}

static void
take_answer(void *arg, int status, struct slice body)
{
	struct flight *f = arg;
	struct wire_in in;

	if (status == 0) {
		wire_in_init(&in, body, f->arena);
		status = wire_decode(wire_api(f->call->api_key)->response, f->call->response,
				     f->call->version, &in);
	}
	land(f, status);
}

static int64_t
left_ms(const struct flight *f)
{
	int64_t left = f->deadline_ms - now_ms();

	return left < 1 ? 1 : left;
}

/* The highest version that both sides know. */
static int
choose_version(const struct peer *p, const struct wire_api *api, int *ret_version)
{
	const struct version_range *theirs = &p->versions[api->key];
	int version = theirs->max < api->until ? theirs->max : api->until;

	if (version < api->since || version < theirs->min)
		return K_UNSUPPORTED_VERSION;
	*ret_version = version;
	return 0;
}

static void
send_request(struct flight *f)
{
	const struct wire_api *api = wire_api(f->call->api_key);
	struct buf body = {0};
	struct wire_out out;
	int st;

	st = choose_version(f->peer, api, &f->call->version);
	if (st == 0) {
		wire_out_init(&out, &body);
		st = wire_encode(api->request, f->call->request, f->call->version, &out);
		wire_out_fini(&out);
	}
	if (st != 0) {
		buf_fini(&body);
		land(f, st);
		return;
	}
	rpc_call_header(f->peer->rpc, api->key, (int16_t)f->call->version,
			wire_request_header_version(api, f->call->version),
			wire_response_header_version(api, f->call->version), &body, left_ms(f),
			take_answer, f);
}

static void
note_versions(struct peer *p, const struct api_versions_response *resp)
{
	for (int i = 0; i < API_MAX; i++)
		p->versions[i] = (struct version_range){0, -1};
	for (int32_t i = 0; i < resp->api_keys_count; i++) {
		const struct api_version *v = &resp->api_keys[i];

		if (v->api_key >= 0 && v->api_key < API_MAX)
			p->versions[v->api_key] =
			    (struct version_range){v->min_version, v->max_version};
	}
	p->versions_known = true;
}

static void
take_versions(void *arg, int status, struct slice body)
{
	struct api_versions_response resp;
	struct flight *f = arg;
	struct arena arena;
	struct wire_in in;

	if (status != 0) {
		land(f, status);
		return;
	}
	arena_init(&arena, ANSWER_MAX);
	wire_in_init(&in, body, &arena);
	status = api_versions_response_decode(&resp, 0, &in);
	if (status == 0 && resp.error_code != 0)
		status = -EPROTO;
	if (status == 0)
		note_versions(f->peer, &resp);
	arena_fini(&arena);
	if (status == 0)
		send_request(f);
	else
		land(f, status);
}

/* In version 0, which every broker serves. */
static void
ask_versions(struct flight *f)
{
	struct buf body = {0};

	rpc_call_header(f->peer->rpc, API_VERSIONS, 0, 1, 0, &body, left_ms(f), take_versions, f);
}

/* ---- rounds ---- */

static void
take_off(struct broker_calls *calls, struct arena *arena, struct broker_call *call, struct peer *p,
	 int64_t deadline_ms)
{
	struct flight *f = calloc(1, sizeof(*f));
	int st;

	if (f == NULL)
		abort();
	*f = (struct flight){calls, call, p, arena, deadline_ms};
	calls->flying++;
	st = peer_open(calls, p);
	if (st != 0)
		land(f, st);
	else if (p->versions_known)
		send_request(f);
	else
		ask_versions(f);
}

static void
look_for_interrupt(struct timer *timer, void *arg)
{
	struct broker_calls *calls = arg;

	(void)timer;
	if (is_interrupted(calls))
		close_connections(calls);
	if (calls->flying > 0)
		reactor_arm(calls->reactor, &calls->tick, reactor_now_ms(calls->reactor) + TICK_MS);
}

/* Until all flights have landed, of which there has been one at least. */
static void
run_flights(struct broker_calls *calls)
{
	if (calls->interrupt != NULL)
		reactor_arm(calls->reactor, &calls->tick, reactor_now_ms(calls->reactor) + TICK_MS);
	reactor_run(calls->reactor);
	reactor_cancel(calls->reactor, &calls->tick);
}

/* ---- who is there ---- */

static int
compare_brokers(const void *a, const void *b)
{
	const struct cluster_broker *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int
take_view(struct broker_calls *calls, const struct metadata_response *resp)
{
	struct arena *arena = &calls->view_arena;
	struct cluster_view view = {.controller = resp->controller_id};

	arena_reset(arena);
	calls->view_known = false;
	view.brokers = arena_calloc(arena, (size_t)resp->brokers_count + 1, sizeof(*view.brokers));
	for (int32_t i = 0; view.brokers != NULL && i < resp->brokers_count; i++) {
		const struct metadata_response_broker *b = &resp->brokers[i];
		struct cluster_broker *to = &view.brokers[view.broker_count++];

		*to = (struct cluster_broker){b->node_id, NULL, b->port, NULL};
		to->host = arena_strdup(arena, b->host.data, b->host.len);
		if (b->rack.data != NULL)
			to->rack = arena_strdup(arena, b->rack.data, b->rack.len);
		if (to->host == NULL || (b->rack.data != NULL && to->rack == NULL))
			return -ENOMEM;
	}
	if (view.brokers == NULL)
		return -ENOMEM;
	qsort(view.brokers, view.broker_count, sizeof(*view.brokers), compare_brokers);
	calls->view = view;
	calls->view_known = true;
	return 0;
}

static int
discover_at(struct broker_calls *calls, struct peer *p, int64_t deadline_ms)
{
	struct metadata_response resp;
	struct metadata_request req;
	struct arena arena;
	struct broker_call call = {
	    .to = BROKER_ANY, .api_key = API_METADATA, .request = &req, .response = &resp};
	int st;

	metadata_request_init(&req);
	req.topics = (struct metadata_request_topic[1]){{{{0}}, {0}}}; /* none of them: not null */
	arena_init(&arena, ANSWER_MAX);
	take_off(calls, &arena, &call, p, deadline_ms);
	run_flights(calls);
	st = call.status;
	if (st == 0 && call.version < METADATA_VERSION_MIN)
		st = K_UNSUPPORTED_VERSION;
	/* A broker that has just started knows of nobody. */
	if (st == 0 && resp.brokers_count == 0)
		st = K_BROKER_NOT_AVAILABLE;
	if (st == 0)
		st = take_view(calls, &resp);
	arena_fini(&arena);
	return st;
}

static void
add_once(struct peer **list, size_t room, size_t *count, struct peer *p)
{
	for (size_t i = 0; i < *count; i++) {
		if (list[i] == p)
			return;
	}
	if (*count < room)
		list[(*count)++] = p;
}

/* One after the other: the brokers that were there last, then those of the command line. */
static int
discover_once(struct broker_calls *calls, int64_t deadline_ms)
{
	struct peer *tried[TRIED_MAX];
	int st = -ETIMEDOUT;
	size_t count = 0;

	for (size_t i = 0; calls->view_known && i < calls->view.broker_count; i++)
		add_once(tried, TRIED_MAX, &count,
			 peer_at(calls, calls->view.brokers[i].host, calls->view.brokers[i].port));
	for (size_t i = 0; i < calls->settings.server_count; i++)
		add_once(tried, TRIED_MAX, &count,
			 peer_at(calls, calls->settings.servers[i].host,
				 calls->settings.servers[i].port));
	for (size_t i = 0; i < count && !is_interrupted(calls); i++) {
		int64_t left = deadline_ms - now_ms();

		if (left <= 0)
			break;
		/* Others must have their chance when one never answers. */
		if (i + 1 < count)
			left = left / 2 < TRY_MS ? left / 2 + 1 : TRY_MS;
		st = discover_at(calls, tried[i], now_ms() + left);
		if (st == 0)
			return 0;
	}
	return is_interrupted(calls) ? -EINTR : st;
}

static void
pause_ms(const struct broker_calls *calls, int64_t ms)
{
	while (ms > 0 && !is_interrupted(calls)) {
		int64_t slice = ms < TICK_MS ? ms : TICK_MS;
		struct timespec ts = {0, (long)slice * 1000000};

		nanosleep(&ts, NULL);
		ms -= slice;
	}
}

static int
discover(struct broker_calls *calls, int64_t deadline_ms)
{
	int64_t give_up_ms = now_ms() + GRACE_MS;
	int st;

	for (;;) {
		st = discover_once(calls, deadline_ms);
		if (st == 0 || st == -EINTR || now_ms() >= deadline_ms)
			return st;
		if (st != K_BROKER_NOT_AVAILABLE && now_ms() >= give_up_ms)
			return st;
		pause_ms(calls, RETRY_MS);
	}
}

/* ---- calls ---- */

static struct peer *
peer_of(struct broker_calls *calls, int32_t to)
{
	int32_t id = to == BROKER_CONTROLLER ? calls->view.controller : to;
	const struct cluster_broker *b;

	if (to == BROKER_ANY) {
		for (struct peer *p = calls->peers; p != NULL; p = p->next) {
			if (p->rpc != NULL && rpc_connected(p->rpc))
				return p;
		}
		b = calls->view.broker_count > 0 ? &calls->view.brokers[0] : NULL;
	} else {
		b = cluster_view_broker(&calls->view, id);
	}
	return b == NULL ? NULL : peer_at(calls, b->host, b->port);
}

/* Of answers that have a code for the whole. */
static int16_t
code_of_answer(const struct broker_call *call)
{
	const struct wire_struct *root = &wire_api(call->api_key)->response->root;

	for (uint16_t i = 0; i < root->field_count; i++) {
		const struct wire_field *field = &root->fields[i];
		int16_t code;

		if (field->type != WIRE_INT16 || strcmp(field->name, "ErrorCode") != 0)
			continue;
		memcpy(&code, (const char *)call->response + field->offset, sizeof(code));
		return code;
	}
	return 0;
}

static bool
is_connection_trouble(int status)
{
	return status < 0 && status != -ETIMEDOUT && status != -EINTR && status != -EBADMSG &&
	       status != -EINVAL && status != -ENOMEM;
}

/* May it do better at another broker? */
static bool
goes_elsewhere(const struct broker_call *call)
{
	if (call->to >= 0)
		return false;
	if (call->status == 0)
		return call->to == BROKER_CONTROLLER &&
		       kerr_status(code_of_answer(call)) == K_NOT_CONTROLLER;
	return call->status == K_BROKER_NOT_AVAILABLE || is_connection_trouble(call->status);
}

/* Returns how many have to go again. */
static size_t
send_round(struct broker_calls *calls, struct arena *arena, struct broker_call *list, size_t count,
	   int64_t deadline_ms)
{
	size_t again = 0;
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct peer *p;

		if (!list[i].waiting)
			continue;
		p = peer_of(calls, list[i].to);
		if (p == NULL) {
			list[i].status = K_BROKER_NOT_AVAILABLE;
			continue;
		}
		take_off(calls, arena, &list[i], p, deadline_ms);
		any = true;
	}
	if (any)
		run_flights(calls);
	for (size_t i = 0; i < count; i++) {
		list[i].waiting = list[i].waiting && goes_elsewhere(&list[i]);
		again += list[i].waiting;
	}
	return again;
}

/* For those that still wait, unless an answer stands there. */
static void
fail_waiting(struct broker_call *list, size_t count, int status, bool untried)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].waiting && (untried || status == -EINTR))
			list[i].status = status;
		list[i].waiting = false;
	}
}

void
broker_calls_send_within(struct broker_calls *calls, struct arena *arena, struct broker_call *list,
			 size_t count, int limit_ms)
{
	int timeout_ms = calls->settings.timeout_ms;
	int64_t deadline_ms = now_ms() + (limit_ms < timeout_ms ? limit_ms : timeout_ms);
	bool untried = true;
	int st = 0;

	for (size_t i = 0; i < count; i++)
		list[i].waiting = true;
	if (!calls->view_known)
		st = discover(calls, deadline_ms);
	while (st == 0 && !is_interrupted(calls) &&
	       send_round(calls, arena, list, count, deadline_ms) > 0) {
		untried = false;
		if (now_ms() >= deadline_ms)
			break;
		pause_ms(calls, RETRY_MS);
		st = discover(calls, deadline_ms);
	}
	fail_waiting(list, count, is_interrupted(calls) ? -EINTR : st, untried);
}

void
broker_calls_send(struct broker_calls *calls, struct arena *arena, struct broker_call *list,
		  size_t count)
{
	broker_calls_send_within(calls, arena, list, count, INT_MAX);
}

/* ---- telling ---- */

static void
describe_status(const struct broker_calls *calls, int status, int16_t api_key, struct buf *out)
{
	switch (status) {
	case K_UNSUPPORTED_VERSION:
		buf_printf(out, "it does not serve %s in a version that is known here",
			   wire_api(api_key)->name);
		break;
	case K_BROKER_NOT_AVAILABLE:
		buf_printf(out, "it is not there");
		break;
	case -ETIMEDOUT:
		buf_printf(out, "no answer in time");
		break;
	case -EPROTO:
		buf_printf(out, calls->settings.tls != NULL
				    ? "TLS failed: is it a TLS listener, and is its certificate "
				      "one that ssl.truststore.location trusts, for this name?"
				    : "what answers there is no broker");
		break;
	case -ECONNRESET:
		buf_printf(out, "it closed the connection%s",
			   calls->settings.tls == NULL ? " (does it want TLS?)" : "");
		break;
	case -EBADMSG:
		buf_printf(out, "its answer to %s cannot be read", wire_api(api_key)->name);
		break;
	case -EINVAL:
		buf_printf(out, "it serves %s only in versions that cannot say what is asked",
			   wire_api(api_key)->name);
		break;
	case -EINTR:
		buf_printf(out, "interrupted");
		break;
	default:
		buf_printf(out, "%s", status > 0 ? kerr_text(status) : strerror(-status));
	}
}

void
broker_call_describe(const struct broker_calls *calls, const struct broker_call *call,
		     struct buf *out)
{
	const struct cluster_broker *b = NULL;

	if (call->status == -EINTR) {
		buf_printf(out, "interrupted");
	} else if (!calls->view_known) {
		buf_printf(out, "no answer from %s: ", calls->settings.bootstrap);
		describe_status(calls, call->status, API_METADATA, out);
	} else if (call->to == BROKER_CONTROLLER && call->status == K_BROKER_NOT_AVAILABLE) {
		buf_printf(out, "the cluster has no controller at the moment");
	} else {
		int32_t id = call->to == BROKER_CONTROLLER ? calls->view.controller : call->to;

		b = cluster_view_broker(&calls->view, id);
		if (b != NULL)
			buf_printf(out, "broker %d (%s:%d): ", b->id, b->host, b->port);
		else if (id >= 0)
			buf_printf(out, "broker %d: ", id);
		describe_status(calls, call->status, call->api_key, out);
	}
}

int
broker_call_tell(const struct broker_calls *calls, const struct broker_call *call, const char *what)
{
	struct buf why = {0};

	broker_call_describe(calls, call, &why);
	if (buf_text(&why) == NULL)
		return no_memory();
	complain("%s: %s", what, buf_text(&why));
	buf_fini(&why);
	return CLI_REFUSED;
}

int
broker_ask(struct broker_calls *calls, int32_t to, int16_t api_key, const void *request,
	   struct arena *arena, void *response, const char *what)
{
	struct broker_call call = {
	    .to = to, .api_key = api_key, .request = request, .response = response};

	broker_calls_send(calls, arena, &call, 1);
	return call.status == 0 ? CLI_DONE : broker_call_tell(calls, &call, what);
}

/* ---- opening and closing ---- */

int
broker_calls_open(struct broker_calls **ret_calls)
{
	struct broker_calls *calls = calloc(1, sizeof(*calls));
	int st;

	if (calls == NULL)
		return no_memory();
	arena_init(&calls->view_arena, ANSWER_MAX);
	timer_init(&calls->tick, look_for_interrupt, calls);
	st = broker_settings_load(&calls->settings);
	if (st == CLI_DONE && reactor_open(env_system(), "klamm", &calls->reactor) != 0)
		st = no_memory();
	if (st != CLI_DONE) {
		broker_calls_close(calls);
		return st;
	}
	*ret_calls = calls;
	return CLI_DONE;
}

void
broker_calls_close(struct broker_calls *calls)
{
	struct peer *p;

	if (calls == NULL)
		return;
	close_connections(calls);
	while ((p = calls->peers) != NULL) {
		calls->peers = p->next;
		free(p->host);
		free(p);
	}
	reactor_close(calls->reactor);
	arena_fini(&calls->view_arena);
	broker_settings_fini(&calls->settings);
	free(calls);
}

void
broker_calls_interrupt_by(struct broker_calls *calls, const volatile sig_atomic_t *flag)
{
	calls->interrupt = flag;
}

int
broker_calls_timeout_ms(const struct broker_calls *calls)
{
	return calls->settings.timeout_ms - calls->settings.timeout_ms / 10;
}

int
broker_calls_look(struct broker_calls *calls)
{
	return discover(calls, now_ms() + calls->settings.timeout_ms);
}

int
broker_calls_refresh(struct broker_calls *calls)
{
	struct broker_call call = {.to = BROKER_ANY};

	call.status = broker_calls_look(calls);
	if (call.status == 0)
		return CLI_DONE;
	calls->view_known = false; /* nobody of those that were there answers */
	return broker_call_tell(calls, &call, "asking who is there");
}

const struct cluster_view *
broker_calls_cluster(const struct broker_calls *calls)
{
	return calls->view_known ? &calls->view : NULL;
}

const struct cluster_broker *
cluster_view_broker(const struct cluster_view *view, int32_t id)
{
	for (size_t i = 0; i < view->broker_count; i++) {
		if (view->brokers[i].id == id)
			return &view->brokers[i];
	}
	return NULL;
}
