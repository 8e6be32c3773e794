/*
 * A client is idle, connecting (name, TCP, TLS) or up. Calls stand in two lists: `waiting`, not
 * yet given to the socket, and `in_flight`, in the order in which their answers must come.
 * Callbacks run from events, timers and the client's task only; any of them may make calls or close
 * the client, so nothing of it is touched after a callback before `closed` was looked at.
 *
 * Invariants
 *  1. in_flight is empty unless the client is up.
 *  2. An answer belongs to the first call in flight, or the connection is broken (-EPROTO).
 *  3. What is failed stands in `failing` first: calls that callbacks make are not in it, and a
 *     callback that closes the client ends the rest of it.
 */
#include "net/rpc_client.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "net/connector.h"
#include "net/reactor_io.h"
#include "net/send_queue.h"
#include "net/transport.h"

#define READ_BYTES 16384
#define TURN_BYTES (1024 * 1024)

enum rpc_state { RPC_IDLE, RPC_CONNECTING, RPC_HANDSHAKE, RPC_UP };

struct call {
	struct call *next;
	struct rpc_client *rpc;
	struct send_item item; /* its reply, here, is the request */
	struct timer timeout;
	int32_t correlation_id;
	int response_header;
	bool sent; /* out of the send queue */
	bool ended;
	rpc_callback *callback;
	void *arg;
};

struct call_list {
	struct call *first, **last;
};

struct rpc_client {
	struct reactor *reactor;
	struct rpc_settings settings; /* its texts are owned */
	enum rpc_state state;
	struct connector *connector;
	struct transport t;
	struct event *event;
	SSL_SESSION *session; /* of the last TLS connection */
	SSL_CTX *session_ctx; /* by which it was made: another has its own sessions */
	struct send_queue out;
	struct call_list waiting, in_flight;
	struct call_list failing; /* taken out of the two, to be ended */
	size_t in_flight_count, pending;
	int32_t next_correlation_id;
	struct timer connect_timeout, backoff, idle;
	struct reactor_task task;
	int64_t not_before_ms;
	int failures; /* in a row */
	int drop;     /* a status: the task ends the connection with it */

	uint8_t size[4];
	uint8_t size_have;
	uint8_t *body; /* the answer that is being received */
	size_t body_len, body_have;
	uint8_t *handed; /* the answer that a callback is looking at */

	int entered; /* callbacks on the stack */
	bool closed;
};

/* ---- lists ---- */

static void
list_init(struct call_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void
list_append(struct call_list *list, struct call *call)
{
	call->next = NULL;
	*list->last = call;
	list->last = &call->next;
}

static struct call *
list_pop(struct call_list *list)
{
	struct call *call = list->first;

	if (call == NULL)
		return NULL;
	list->first = call->next;
	if (list->first == NULL)
		list->last = &list->first;
	return call;
}

static void
list_remove(struct call_list *list, struct call *call)
{
	struct call **link = &list->first;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	if (*link == NULL)
		list->last = link;
}

/* ---- ends of calls ---- */

static void
rpc_free(struct rpc_client *rpc)
{
	reactor_defer_cancel(&rpc->task);
	SSL_SESSION_free(rpc->session);
	SSL_CTX_free(rpc->session_ctx);
	free((char *)(uintptr_t)rpc->settings.host);
	free((char *)(uintptr_t)rpc->settings.client_id);
	free(rpc->body);
	free(rpc);
}

/* Around everything that may run callbacks; leave() may free the client. */
static void
enter(struct rpc_client *rpc)
{
	rpc->entered++;
}

static void
leave(struct rpc_client *rpc)
{
	if (--rpc->entered == 0 && rpc->closed)
		rpc_free(rpc);
}

/* The call is in no list and not in the send queue. */
static void
end_call(struct call *call, int status, struct slice body)
{
	struct rpc_client *rpc = call->rpc;
	rpc_callback *callback = call->callback;
	void *arg = call->arg;

	reactor_cancel(rpc->reactor, &call->timeout);
	net_reply_fini(&call->item.reply);
	free(call);
	rpc->pending--;
	callback(arg, status, body);
}

/* Ends every call there is, but for those that their callbacks make. */
static void
fail_calls(struct rpc_client *rpc, int status)
{
	struct call *call;

	while ((call = list_pop(&rpc->in_flight)) != NULL)
		list_append(&rpc->failing, call);
	while ((call = list_pop(&rpc->waiting)) != NULL)
		list_append(&rpc->failing, call);
	rpc->in_flight_count = 0;
	while ((call = list_pop(&rpc->failing)) != NULL)
		end_call(call, status, (struct slice){0});
}

static void
arm_idle(struct rpc_client *rpc)
{
	if (rpc->state == RPC_UP && rpc->pending == 0 && rpc->settings.idle_ms >= 0)
		reactor_arm(rpc->reactor, &rpc->idle,
			    reactor_now_ms(rpc->reactor) + rpc->settings.idle_ms);
	else
		reactor_cancel(rpc->reactor, &rpc->idle);
}

/* ---- the connection's end ---- */

/* Closes whatever there is of a connection; calls stay where they are. */
static void
close_transport(struct rpc_client *rpc)
{
	connector_cancel(rpc->connector);
	rpc->connector = NULL;
	if (rpc->event != NULL)
		event_free(rpc->event);
	rpc->event = NULL;
	if (rpc->t.ssl != NULL && rpc->t.tls_up && !rpc->t.broken) {
		SSL_SESSION_free(rpc->session);
		rpc->session = SSL_get1_session(rpc->t.ssl);
		SSL_CTX_free(rpc->session_ctx);
		rpc->session_ctx = SSL_get_SSL_CTX(rpc->t.ssl);
		SSL_CTX_up_ref(rpc->session_ctx);
	}
	transport_close(&rpc->t, false);
	send_queue_fini(&rpc->out);
	reactor_cancel(rpc->reactor, &rpc->connect_timeout);
	reactor_cancel(rpc->reactor, &rpc->idle);
	free(rpc->body);
	rpc->body = NULL;
	rpc->size_have = 0;
	rpc->state = RPC_IDLE;
}

/* The next attempt may come after a back-off that doubles, and varies by a fifth. */
static void
note_failure(struct rpc_client *rpc)
{
	int64_t ms = rpc->settings.backoff_ms;

	for (int i = 0; i < rpc->failures && ms < rpc->settings.backoff_max_ms; i++)
		ms *= 2;
	if (ms > rpc->settings.backoff_max_ms)
		ms = rpc->settings.backoff_max_ms;
	if (ms >= 5)
		ms += (int64_t)env_random_below(reactor_env(rpc->reactor), (uint64_t)ms * 2 / 5) -
		      ms / 5;
	rpc->failures++;
	rpc->not_before_ms = reactor_now_ms(rpc->reactor) + ms;
}

/* The connection failed, or could not be made: every call ends with status. */
static void
fail_connection(struct rpc_client *rpc, int status)
{
	bool wanted = rpc->pending > 0;

	close_transport(rpc);
	rpc->drop = 0;
	if (wanted || status != -ECONNRESET) /* an idle one that the peer closes is no failure */
		note_failure(rpc);
	fail_calls(rpc, status);
}

/* ---- answers ---- */

static int
skip_varint(struct slice *in, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (int shift = 0; shift < 35; shift += 7) {
		uint8_t byte;

		if (in->len == 0)
			return -EPROTO;
		byte = *in->data;
		in->data++;
		in->len--;
		value |= (uint32_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret_value = value;
			return 0;
		}
	}
	return -EPROTO;
}

/* Skips response header v1's tagged fields. */
static int
skip_tags(struct slice *in)
{
	uint32_t count, tag, size;

	if (skip_varint(in, &count) != 0)
		return -EPROTO;
	while (count-- > 0) {
		if (skip_varint(in, &tag) != 0 || skip_varint(in, &size) != 0 || size > in->len)
			return -EPROTO;
		in->data += size;
		in->len -= size;
	}
	return 0;
}

/* An answer is there. Runs its callback. Returns 0, or -EPROTO when it is none of ours. */
static int
complete(struct rpc_client *rpc)
{
	struct call *call = rpc->in_flight.first;
	struct slice in = {rpc->body, rpc->body_len};

	if (call == NULL || !call->sent || in.len < 4 ||
	    (int32_t)get_be32(in.data) != call->correlation_id)
		return -EPROTO;
	in.data += 4;
	in.len -= 4;
	if (call->response_header == 1 && skip_tags(&in) != 0)
		return -EPROTO;
	list_pop(&rpc->in_flight);
	rpc->in_flight_count--;
	rpc->handed = rpc->body;
	rpc->body = NULL;
	end_call(call, 0, in);
	free(rpc->handed);
	rpc->handed = NULL;
	return 0;
}

void *
rpc_take_body(struct rpc_client *rpc)
{
	void *body = rpc->handed;

	assert(body != NULL);
	rpc->handed = NULL;
	return body;
}

static int
begin_body(struct rpc_client *rpc)
{
	int32_t size = (int32_t)get_be32(rpc->size);

	rpc->size_have = 0;
	if (size < 4)
		return -EPROTO;
	if (size > rpc->settings.response_max_bytes)
		return -EMSGSIZE;
	rpc->body = malloc((size_t)size);
	rpc->body_len = (size_t)size;
	rpc->body_have = 0;
	return rpc->body == NULL ? -ENOMEM : 0;
}

/* Takes answers out of bytes that were read. */
static int
consume(struct rpc_client *rpc, const uint8_t *data, size_t len)
{
	int st = 0;

	while (len > 0 && st == 0 && !rpc->closed && rpc->drop == 0) {
		size_t n;

		if (rpc->body == NULL) {
			n = sizeof(rpc->size) - rpc->size_have;
			n = n < len ? n : len;
			memcpy(rpc->size + rpc->size_have, data, n);
			rpc->size_have += (uint8_t)n;
			if (rpc->size_have == sizeof(rpc->size))
				st = begin_body(rpc);
		} else {
			n = rpc->body_len - rpc->body_have;
			n = n < len ? n : len;
			memcpy(rpc->body + rpc->body_have, data, n);
			rpc->body_have += n;
			if (rpc->body_have == rpc->body_len)
				st = complete(rpc);
		}
		data += n;
		len -= n;
	}
	return st;
}

/* Reads once. Returns how many bytes, 0 at the end of the stream, or -errno. */
static ssize_t
read_once(struct rpc_client *rpc)
{
	uint8_t *scratch;
	ssize_t n;
	int st = 0;

	if (rpc->body != NULL && rpc->body_len - rpc->body_have >= READ_BYTES / 2) {
		n = transport_read(&rpc->t, rpc->body + rpc->body_have,
				   rpc->body_len - rpc->body_have);
		if (n > 0)
			rpc->body_have += (size_t)n;
		if (n > 0 && rpc->body_have == rpc->body_len)
			st = complete(rpc);
		return st != 0 ? st : n;
	}
	scratch = reactor_io_scratch(reactor_io(rpc->reactor));
	if (scratch == NULL)
		return -ENOMEM;
	n = transport_read(&rpc->t, scratch, READ_BYTES);
	if (n > 0)
		st = consume(rpc, scratch, (size_t)n);
	return st != 0 ? st : n;
}

static int
read_answers(struct rpc_client *rpc)
{
	size_t total = 0;

	while (rpc->t.readable && !rpc->closed && rpc->drop == 0) {
		ssize_t n;

		if (total >= TURN_BYTES) {
			reactor_defer(rpc->reactor, &rpc->task);
			return 0;
		}
		n = read_once(rpc);
		if (n == -EAGAIN)
			return 0;
		if (n <= 0)
			return n == 0 ? -ECONNRESET : (int)n;
		total += (size_t)n;
	}
	return 0;
}

/* ---- requests ---- */

static void
sent(struct send_queue *q, struct send_item *item, bool whole)
{
	(void)q;
	CONTAINER_OF(item, struct call, item)->sent = whole;
}

/* Gives waiting calls to the socket as far as max_in_flight allows. */
static int
send_calls(struct rpc_client *rpc)
{
	size_t written;
	int st;

	while (rpc->waiting.first != NULL && rpc->in_flight_count < rpc->settings.max_in_flight) {
		struct call *call = list_pop(&rpc->waiting);

		list_append(&rpc->in_flight, call);
		rpc->in_flight_count++;
		send_queue_add(&rpc->out, &call->item);
	}
	if (rpc->out.first == NULL || !rpc->t.writable)
		return 0;
	st = send_queue_flush(&rpc->out, &rpc->t, reactor_io(rpc->reactor), TURN_BYTES, &written);
	if (st == -EINPROGRESS)
		reactor_defer(rpc->reactor, &rpc->task);
	return st == -EINPROGRESS || st == -EAGAIN ? 0 : st;
}

static void
append_header(struct rpc_client *rpc, struct call *call, int16_t api_key, int16_t api_version,
	      int request_header, struct buf *out)
{
	const char *id = rpc->settings.client_id;

	buf_append_be16(out, (uint16_t)api_key);
	buf_append_be16(out, (uint16_t)api_version);
	buf_append_be32(out, (uint32_t)call->correlation_id);
	if (request_header >= 1) {
		buf_append_be16(out, id == NULL ? UINT16_MAX : (uint16_t)strlen(id));
		if (id != NULL)
			buf_append(out, id, strlen(id));
	}
	if (request_header >= 2)
		buf_append_u8(out, 0); /* no tagged fields */
}

static void
call_timed_out(struct timer *timer, void *arg)
{
	struct call *call = arg;
	struct rpc_client *rpc = call->rpc;
	struct call_list *list = &rpc->waiting;
	bool in_flight = false;

	(void)timer;
	for (struct call *c = rpc->in_flight.first; c != NULL; c = c->next)
		in_flight |= c == call;
	if (in_flight)
		list = &rpc->in_flight;
	list_remove(list, call);
	if (in_flight) {
		/* Answers come in order: nothing behind this one can be had either. */
		rpc->in_flight_count--;
		send_queue_fini(&rpc->out);
		rpc->drop = -ECONNRESET;
		reactor_defer(rpc->reactor, &rpc->task);
	}
	enter(rpc);
	end_call(call, -ETIMEDOUT, (struct slice){0});
	leave(rpc);
}

void
rpc_call_header(struct rpc_client *rpc, int16_t api_key, int16_t api_version, int request_header,
		int response_header, struct buf *body, int64_t timeout_ms, rpc_callback *callback,
		void *arg)
{
	struct call *call = calloc(1, sizeof(*call));
	struct buf header = {0};

	assert(!rpc->closed);
	if (call == NULL)
		abort();
	call->rpc = rpc;
	call->callback = callback;
	call->arg = arg;
	call->response_header = response_header;
	call->correlation_id = rpc->next_correlation_id;
	rpc->next_correlation_id = (int32_t)(((uint32_t)rpc->next_correlation_id + 1) & INT32_MAX);
	append_header(rpc, call, api_key, api_version, request_header, &header);
	net_reply_init(&call->item.reply);
	net_reply_add_buf(&call->item.reply, &header);
	net_reply_add_buf(&call->item.reply, body);
	if (call->item.reply.failed)
		abort();
	timer_init(&call->timeout, call_timed_out, call);
	reactor_arm(rpc->reactor, &call->timeout, reactor_now_ms(rpc->reactor) + timeout_ms);
	rpc->pending++;
	list_append(&rpc->waiting, call);
	reactor_cancel(rpc->reactor, &rpc->idle);
	reactor_defer(rpc->reactor, &rpc->task);
}

void
rpc_call(struct rpc_client *rpc, int16_t api_key, int16_t api_version, bool flexible,
	 struct buf *body, int64_t timeout_ms, rpc_callback *callback, void *arg)
{
	rpc_call_header(rpc, api_key, api_version, flexible ? 2 : 1, flexible ? 1 : 0, body,
			timeout_ms, callback, arg);
}

/* ---- connecting ---- */

static void turn(struct rpc_client *rpc);

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_client *rpc = arg;

	(void)fd;
	if (what & EV_WRITE)
		rpc->t.writable = true;
	if (what & (EV_READ | EV_CLOSED))
		rpc->t.readable = true;
	if (what & EV_CLOSED)
		rpc->t.peer_closed = true;
	turn(rpc);
}

static int
start_tls(struct rpc_client *rpc)
{
	bool verify_host;
	SSL_CTX *ctx = client_tls_get(rpc->settings.tls, &verify_host);
	int st = transport_start_tls(&rpc->t, ctx, false, rpc->settings.host, verify_host);

	if (st == 0 && rpc->session != NULL && rpc->session_ctx == ctx)
		SSL_set_session(rpc->t.ssl, rpc->session);
	SSL_CTX_free(ctx);
	return st;
}

static void
connected(void *arg, int fd)
{
	struct rpc_client *rpc = arg;
	int st = 0;

	rpc->connector = NULL;
	if (fd < 0) {
		enter(rpc);
		fail_connection(rpc, fd);
		leave(rpc);
		return;
	}
	transport_init(&rpc->t, fd);
	rpc->event = event_new(reactor_base(rpc->reactor), fd,
			       EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, rpc);
	if (rpc->event == NULL || event_add(rpc->event, NULL) != 0)
		st = -ENOMEM;
	if (st == 0 && rpc->settings.tls != NULL)
		st = start_tls(rpc);
	rpc->state = RPC_HANDSHAKE;
	if (st != 0) {
		rpc->drop = st;
		reactor_defer(rpc->reactor, &rpc->task);
		return;
	}
	turn(rpc);
}

static void
connect_timed_out(struct timer *timer, void *arg)
{
	struct rpc_client *rpc = arg;

	(void)timer;
	enter(rpc);
	fail_connection(rpc, -ETIMEDOUT);
	leave(rpc);
}

static void
start_connecting(struct rpc_client *rpc)
{
	struct connector_settings cs = {.host = rpc->settings.host,
					.port = rpc->settings.port,
					.workers = rpc->settings.workers,
					.send_buffer_bytes = rpc->settings.send_buffer_bytes,
					.receive_buffer_bytes = rpc->settings.receive_buffer_bytes,
					.done = connected,
					.arg = rpc};
	int64_t now_ms = reactor_now_ms(rpc->reactor);

	if (now_ms < rpc->not_before_ms) {
		reactor_arm(rpc->reactor, &rpc->backoff, rpc->not_before_ms);
		return;
	}
	rpc->state = RPC_CONNECTING;
	if (connector_open(rpc->reactor, &cs, &rpc->connector) != 0)
		fail_connection(rpc, -ENOMEM);
	else
		reactor_arm(rpc->reactor, &rpc->connect_timeout,
			    now_ms + rpc->settings.connect_timeout_ms);
}

static void
backoff_over(struct timer *timer, void *arg)
{
	(void)timer;
	turn(arg);
}

static void
close_idle(struct timer *timer, void *arg)
{
	struct rpc_client *rpc = arg;

	(void)timer;
	if (rpc->pending == 0)
		close_transport(rpc);
}

/* ---- the turn ---- */

/* Steps on what is there. Returns 0 or the status that ends the connection. */
static int
step(struct rpc_client *rpc)
{
	int st;

	if (rpc->state == RPC_HANDSHAKE) {
		st = rpc->t.ssl == NULL ? 0 : transport_handshake(&rpc->t);
		if (st != 0)
			return st == -EAGAIN ? 0 : st;
		reactor_cancel(rpc->reactor, &rpc->connect_timeout);
		rpc->state = RPC_UP;
		rpc->failures = 0;
		rpc->not_before_ms = 0;
		if (rpc->t.ssl != NULL)
			rpc->t.readable = true;
	}
	if (rpc->state != RPC_UP)
		return 0;
	st = send_calls(rpc);
	if (st == 0)
		st = read_answers(rpc);
	if (st == 0 && !rpc->closed)
		st = send_calls(rpc); /* there may be room in flight again */
	if (st == 0 && !rpc->closed)
		st = transport_check(&rpc->t);
	return st;
}

static void
turn(struct rpc_client *rpc)
{
	int st = rpc->drop;

	enter(rpc);
	rpc->drop = 0;
	if (st == 0)
		st = step(rpc);
	if (st == 0)
		st = rpc->drop;
	rpc->drop = 0;
	if (st != 0 && !rpc->closed)
		fail_connection(rpc, st);
	if (!rpc->closed && rpc->state == RPC_IDLE && rpc->waiting.first != NULL)
		start_connecting(rpc);
	if (!rpc->closed)
		arm_idle(rpc);
	leave(rpc);
}

static void
run_task(struct reactor_task *task)
{
	turn(CONTAINER_OF(task, struct rpc_client, task));
}

/* ---- opening and closing ---- */

void
rpc_settings_init(struct rpc_settings *rs)
{
	*rs = (struct rpc_settings){
	    .connect_timeout_ms = 10000,
	    .backoff_ms = 50,
	    .backoff_max_ms = 1000,
	    .idle_ms = 540000,
	    .response_max_bytes = INT32_MAX,
	    .send_buffer_bytes = -1,
	    .receive_buffer_bytes = -1,
	    .max_in_flight = 100,
	};
}

int
rpc_open(struct reactor *r, const struct rpc_settings *settings, struct rpc_client **ret_client)
{
	struct rpc_client *rpc = calloc(1, sizeof(*rpc));

	if (rpc == NULL)
		return -ENOMEM;
	rpc->reactor = r;
	rpc->settings = *settings;
	rpc->settings.host = strdup(settings->host);
	if (settings->client_id != NULL)
		rpc->settings.client_id = strdup(settings->client_id);
	rpc->t.fd = -1;
	rpc->task.fn = run_task;
	list_init(&rpc->waiting);
	list_init(&rpc->in_flight);
	list_init(&rpc->failing);
	send_queue_init(&rpc->out, sent);
	timer_init(&rpc->connect_timeout, connect_timed_out, rpc);
	timer_init(&rpc->backoff, backoff_over, rpc);
	timer_init(&rpc->idle, close_idle, rpc);
	if (rpc->settings.host == NULL ||
	    (settings->client_id != NULL && rpc->settings.client_id == NULL)) {
		rpc_free(rpc);
		return -ENOMEM;
	}
	*ret_client = rpc;
	return 0;
}

void
rpc_close(struct rpc_client *rpc)
{
	if (rpc == NULL)
		return;
	assert(!rpc->closed);
	enter(rpc);
	rpc->closed = true;
	close_transport(rpc);
	reactor_cancel(rpc->reactor, &rpc->backoff);
	fail_calls(rpc, -ECANCELED);
	leave(rpc);
}

void
rpc_disconnect(struct rpc_client *rpc)
{
	if (rpc->state == RPC_IDLE)
		return;
	rpc->drop = -ECONNRESET;
	reactor_defer(rpc->reactor, &rpc->task);
}

bool
rpc_connected(const struct rpc_client *rpc)
{
	return rpc->state == RPC_UP;
}

size_t
rpc_pending(const struct rpc_client *rpc)
{
	return rpc->pending;
}

int64_t
rpc_backoff_left_ms(const struct rpc_client *rpc)
{
	int64_t left_ms = rpc->not_before_ms - reactor_now_ms(rpc->reactor);

	return rpc->state != RPC_IDLE || left_ms < 0 ? 0 : left_ms;
}
