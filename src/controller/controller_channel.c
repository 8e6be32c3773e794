/*
 * The controller's thread posts requests to the reactor, which keeps the queue; the reactor posts
 * answers to the controller's mailbox. Each side counts a reference, and what it posted counts
 * one more, so the channel is freed when neither side nor any message can reach it.
 */
#include "controller/controller_channel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "net/rpc_client.h"
#include "wire/api_table.h"

#define RETRY_MS 100

struct outgoing {
	struct outgoing *next;
	int16_t api_key, api_version;
	struct buf body;
};

struct controller_channel {
	_Atomic int references;
	const struct controller_settings *settings; /* the controller's, which outlives it */
	struct reactor *reactor;
	struct mailbox *mailbox;
	int32_t broker_id;
	controller_channel_fn *fn;
	void *arg;
	int64_t timeout_ms;
	int64_t connect_timeout_ms;
	bool closed; /* the controller's thread: answers are dropped */
	/* The reactor's: */
	struct rpc_client *rpc;
	struct outgoing *first, **last;
	bool busy, ending;
	bool complained;
	struct timer retry;
};

/* A message between the two threads. */
struct parcel {
	struct controller_channel *ch;
	struct outgoing *out;
	int16_t api_key, api_version;
	struct buf body;
};

static void
channel_put(struct controller_channel *ch)
{
	if (atomic_fetch_sub(&ch->references, 1) == 1)
		free(ch);
}

static struct parcel *
parcel_new(struct controller_channel *ch)
{
	struct parcel *parcel = calloc(1, sizeof(*parcel));

	if (parcel == NULL)
		abort();
	atomic_fetch_add(&ch->references, 1);
	parcel->ch = ch;
	return parcel;
}

/* The controller's thread. */
static void
deliver(void *arg)
{
	struct parcel *parcel = arg;
	struct controller_channel *ch = parcel->ch;

	if (!ch->closed)
		ch->fn(ch->arg, ch->broker_id, parcel->api_key, parcel->api_version,
		       buf_slice(&parcel->body));
	buf_fini(&parcel->body);
	free(parcel);
	channel_put(ch);
}

static void send_next(struct controller_channel *ch);

static void
outgoing_free(struct outgoing *out)
{
	buf_fini(&out->body);
	free(out);
}

static void
on_response(void *arg, int status, struct slice body)
{
	struct controller_channel *ch = arg;
	struct outgoing *out = ch->first;
	struct parcel *parcel;

	ch->busy = false;
	if (ch->ending)
		return;
	if (status != 0) {
		if (!ch->complained && status != -ECANCELED) /* not when we moved */
			diag_warn(DIAG_CONTROLLER, "cannot reach a broker; trying until it is gone",
				  "broker=%d api=%s error=%s", ch->broker_id,
				  wire_api(out->api_key)->name, strerror(-status));
		ch->complained = ch->complained || status != -ECANCELED;
		reactor_arm(ch->reactor, &ch->retry, reactor_now_ms(ch->reactor) + RETRY_MS);
		return;
	}
	if (ch->complained)
		diag_info(DIAG_CONTROLLER, "reached the broker again", "broker=%d", ch->broker_id);
	ch->complained = false;
	parcel = parcel_new(ch);
	parcel->api_key = out->api_key;
	parcel->api_version = out->api_version;
	buf_append(&parcel->body, body.data, body.len);
	mailbox_post(ch->mailbox, deliver, parcel);
	ch->first = out->next;
	if (ch->first == NULL)
		ch->last = &ch->first;
	outgoing_free(out);
	send_next(ch);
}

static void
send_next(struct controller_channel *ch)
{
	const struct outgoing *out = ch->first;
	struct buf copy = {0}; /* it may have to be sent again */

	if (out == NULL || ch->busy || timer_armed(&ch->retry))
		return;
	ch->busy = true;
	buf_append(&copy, out->body.data, out->body.len);
	rpc_call(ch->rpc, out->api_key, out->api_version,
		 out->api_version >= wire_api(out->api_key)->flexible_since, &copy, ch->timeout_ms,
		 on_response, ch);
}

static void
on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	send_next(arg);
}

/* The reactor's thread. */
static void
enqueue(void *arg)
{
	struct parcel *parcel = arg;
	struct controller_channel *ch = parcel->ch;

	*ch->last = parcel->out;
	ch->last = &parcel->out->next;
	send_next(ch);
	free(parcel);
	channel_put(ch);
}

static void
end(void *arg)
{
	struct controller_channel *ch = arg;

	ch->ending = true;
	reactor_cancel(ch->reactor, &ch->retry);
	rpc_close(ch->rpc);
	while (ch->first != NULL) {
		struct outgoing *out = ch->first;

		ch->first = out->next;
		outgoing_free(out);
	}
	channel_put(ch);
}

/* Where the broker listens, on its way to the reactor. */
struct address {
	struct controller_channel *ch;
	const char *host;
	int32_t port;
	int st;
};

static int
open_rpc(struct controller_channel *ch, const char *host, int32_t port, struct rpc_client **ret_rpc)
{
	const struct controller_settings *s = ch->settings;
	struct rpc_settings rs;
	char client_id[16];

	snprintf(client_id, sizeof(client_id), "%d", s->broker_id);
	rpc_settings_init(&rs);
	rs.host = host;
	rs.port = port;
	rs.client_id = client_id;
	rs.tls = s->tls;
	rs.workers = s->workers;
	rs.connect_timeout_ms = ch->connect_timeout_ms;
	rs.idle_ms = -1;
	return rpc_open(ch->reactor, &rs, ret_rpc);
}

static void
begin(void *arg)
{
	struct address *to = arg;

	to->st = open_rpc(to->ch, to->host, to->port, &to->ch->rpc);
}

int
controller_channel_open(const struct controller_settings *settings, struct mailbox *mailbox,
			int32_t broker_id, const char *host, int32_t port,
			controller_channel_fn *fn, void *arg,
			struct controller_channel **ret_channel)
{
	const struct broker_conf *conf = conf_store_get(settings->conf);
	struct controller_channel *ch = calloc(1, sizeof(*ch));
	struct address to = {ch, host, port, 0};

	if (ch == NULL)
		return -ENOMEM;
	atomic_init(&ch->references, 1);
	ch->settings = settings;
	ch->reactor = settings->reactor;
	ch->mailbox = mailbox;
	ch->broker_id = broker_id;
	ch->fn = fn;
	ch->arg = arg;
	ch->timeout_ms = conf->request_timeout_ms;
	ch->connect_timeout_ms = conf->controller_socket_timeout_ms;
	ch->last = &ch->first;
	timer_init(&ch->retry, on_retry, ch);
	reactor_call(ch->reactor, begin, &to);
	if (to.st != 0) {
		free(ch);
		return to.st;
	}
	*ret_channel = ch;
	return 0;
}

/* The call under way, if any, ends with -ECANCELED and is made again. */
static void
move(void *arg)
{
	struct address *to = arg;
	struct rpc_client *former = to->ch->rpc;

	if (open_rpc(to->ch, to->host, to->port, &to->ch->rpc) != 0)
		abort();
	rpc_close(former);
}

void
controller_channel_move(struct controller_channel *ch, const char *host, int32_t port)
{
	struct address to = {ch, host, port, 0};

	reactor_call(ch->reactor, move, &to);
}

void
controller_channel_send(struct controller_channel *ch, int16_t api_key, int16_t api_version,
			struct buf *body)
{
	struct parcel *parcel = parcel_new(ch);
	struct outgoing *out = calloc(1, sizeof(*out));

	if (out == NULL)
		abort();
	out->api_key = api_key;
	out->api_version = api_version;
	out->body = *body;
	*body = (struct buf){0};
	parcel->out = out;
	reactor_post(ch->reactor, enqueue, parcel);
}

void
controller_channel_close(struct controller_channel *ch)
{
	if (ch == NULL)
		return;
	ch->closed = true;
	reactor_post(ch->reactor, end, ch);
}
