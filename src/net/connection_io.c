/*
 * Frames in, answers out.
 *
 * connection_turn() does everything that can be done now, in a fixed order: what the handler has
 * finished, what waits to be sent, then reading, until there is nothing more to read, a request
 * waits, or the connection has had its share of the turn. It runs on events, and as a deferred
 * task when a request ended elsewhere; it is never entered from inside a handler's call.
 *
 * Small frames are read many at a time into the reactor's scratch buffer and copied to blocks of
 * their own size; the answers of those that are finished at once go out together. After a large
 * frame the next size is read alone, and the frame directly into its block. So it is, always,
 * where queued.max.request.bytes is set: nothing is then taken from the socket without room.
 *
 * What the scratch buffer holds behind a request that waits is kept in `held`.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "net/connection_impl.h"

#define READ_BYTES 16384              /* of small frames at once */
#define LARGE_FRAME_BYTES 8192        /* from here on exactly */
#define OUT_BYTES 65536               /* answers put together before they are sent */
#define TURN_READ_BYTES (1024 * 1024) /* of one connection before the others have their turn */
#define TURN_SEND_BYTES (1024 * 1024)
#define TURN_SEND_TLS_BYTES (256 * 1024)

static struct reactor *
reactor_of(const struct connection *conn)
{
	return conn->lane->reactor;
}

static void
free_body(struct connection *conn, struct request *req)
{
	if (req->body != NULL)
		reactor_io_put(conn->lane->io, req->body, req->body_cap);
	req->body = NULL;
	if (req->reserved > 0)
		request_memory_release(conn->lane->listener->settings.memory, req->reserved);
	req->reserved = 0;
}

void
request_free(struct connection *conn, struct request *req)
{
	free_body(conn, req);
	net_reply_fini(&req->item.reply);
	reactor_io_put(conn->lane->io, req, req->block_cap);
}

void
connection_sent(struct send_queue *q, struct send_item *item, bool sent)
{
	struct connection *conn = CONTAINER_OF(q, struct connection, out);
	struct request *req = CONTAINER_OF(item, struct request, item);

	if (sent && req->pub.sending != NULL)
		histogram_observe(req->pub.sending,
				  env_monotonic_us(reactor_env(reactor_of(conn))) -
				      req->pub.answered_us);
	request_free(conn, req);
}

/* ---- requests end ---- */

/* On the reactor: takes note, and comes back to the connection when the handler is out of it. */
static void
note_end(void *arg)
{
	struct request *req = arg;
	struct connection *conn = req->pub.conn;

	req->ended = true;
	if (!conn->in_handler)
		reactor_defer(reactor_of(conn), &conn->task);
}

static void
end_request(struct request *req, enum request_end end)
{
	struct reactor *r = reactor_of(req->pub.conn);

	assert(req->end == REQUEST_OPEN);
	req->end = end;
	if (reactor_current() == r)
		note_end(req);
	else
		reactor_post(r, note_end, req);
}

void
net_request_answer(struct net_request *pub, struct net_reply *reply)
{
	struct request *req = CONTAINER_OF(pub, struct request, pub);

	req->item.reply = *reply;
	net_reply_init(reply);
	end_request(req, REQUEST_ANSWERED);
}

void
net_request_done(struct net_request *pub)
{
	end_request(CONTAINER_OF(pub, struct request, pub), REQUEST_DONE);
}

void
net_request_close(struct net_request *pub)
{
	end_request(CONTAINER_OF(pub, struct request, pub), REQUEST_CLOSE);
}

void
net_request_drop_bytes(struct net_request *pub)
{
	struct request *req = CONTAINER_OF(pub, struct request, pub);
	struct connection *conn = pub->conn;

	pub->bytes = NULL;
	if (reactor_current() != reactor_of(conn)) {
		free(req->body);
		req->body = NULL;
	}
	free_body(conn, req);
}

/* Ends the connection once everything was sent. */
static void
close_later(struct connection *conn, enum close_reason reason)
{
	conn->closing = true;
	conn->closing_reason = reason;
}

static void
mute(struct connection *conn, int32_t throttle_time_ms)
{
	conn->muted = true;
	reactor_arm(reactor_of(conn), &conn->unmute,
		    reactor_now_ms(reactor_of(conn)) + throttle_time_ms);
}

void
connection_unmute(struct timer *timer, void *arg)
{
	struct connection *conn = arg;

	(void)timer;
	conn->muted = false;
	if (conn->refused)
		connection_close(conn, conn->closing_reason);
	else
		connection_turn(conn);
	connection_settle(conn);
}

/* The handler is done with the current request: send its answer, or what else it wants. */
static void
finish_current(struct connection *conn)
{
	struct request *req = conn->current;

	conn->current = NULL;
	if (conn->closed || req->end == REQUEST_DONE) {
		request_free(conn, req);
		return;
	}
	if (req->end == REQUEST_CLOSE || req->item.reply.failed ||
	    req->item.reply.len > INT32_MAX) {
		if (req->end != REQUEST_CLOSE)
			diag_error(DIAG_NET, "no memory for an answer, connection closed",
				   "peer=%s listener=%s", conn->host,
				   connection_listener_name(conn));
		close_later(conn, req->end == REQUEST_CLOSE ? CLOSE_HANDLER : CLOSE_MEMORY);
		request_free(conn, req);
		return;
	}
	free_body(conn, req);
	if (req->item.reply.throttle_time_ms > 0)
		mute(conn, req->item.reply.throttle_time_ms);
	send_queue_add(&conn->out, &req->item);
}

/* ---- frames come ---- */

static bool
may_read(const struct connection *conn)
{
	return !conn->closed && !conn->closing && conn->current == NULL && !conn->muted &&
	       !conn->waiting && conn->out.bytes < OUT_BYTES;
}

static void
dispatch(struct connection *conn)
{
	const struct net_handler *h = conn->lane->listener->settings.handler;
	struct request *req = conn->reading;

	conn->reading = NULL;
	conn->current = req;
	conn->first_frame = false;
	conn->large = req->pub.len >= LARGE_FRAME_BYTES;
	req->pub.received_us = env_monotonic_us(reactor_env(reactor_of(conn)));
	lane_count(conn->lane, 0, 0, 1);
	conn->in_handler = true;
	if (conn->authenticated)
		h->on_request(h->arg, &req->pub);
	else
		h->on_authenticate(h->arg, &req->pub);
	conn->in_handler = false;
	if (req->ended)
		finish_current(conn);
}

/* A block for the request and its bytes, which were reserved. */
static struct request *
request_alloc(struct connection *conn, uint32_t len)
{
	struct reactor_io *io = conn->lane->io;
	bool inside = len < LARGE_FRAME_BYTES;
	struct request *req;
	size_t cap;

	req = reactor_io_get(io, sizeof(*req) + (inside ? len : 0), &cap);
	if (req == NULL)
		return NULL;
	*req = (struct request){.block_cap = cap, .reserved = len};
	req->pub.conn = conn;
	req->pub.len = len;
	req->pub.bytes = (uint8_t *)(req + 1);
	if (inside)
		return req;
	req->body = reactor_io_get(io, len, &req->body_cap);
	if (req->body == NULL) {
		reactor_io_put(io, req, cap);
		return NULL;
	}
	req->pub.bytes = req->body;
	return req;
}

/* The bytes of a frame are reserved: make room for them. */
static void
begin_frame(struct connection *conn, uint32_t len)
{
	conn->reading = request_alloc(conn, len);
	if (conn->reading == NULL) {
		request_memory_release(conn->lane->listener->settings.memory, len);
		diag_error(DIAG_NET, "no memory for a request, connection closed",
			   "peer=%s listener=%s size=%u", conn->host,
			   connection_listener_name(conn), len);
		connection_close(conn, CLOSE_MEMORY);
	} else if (len == 0) {
		dispatch(conn);
	}
}

void
connection_granted(struct request_memory_wait *wait)
{
	struct connection *conn = CONTAINER_OF(wait, struct connection, wait);

	if (conn->closed) {
		conn->grant_pending = false;
		request_memory_release(conn->lane->listener->settings.memory, wait->size);
	} else {
		conn->waiting = false;
		begin_frame(conn, conn->wanted);
		connection_turn(conn);
	}
	connection_settle(conn);
}

/* One line and the end for a size that cannot be. */
static void
refuse_size(struct connection *conn, int32_t size, int64_t max)
{
	const uint8_t *b = conn->size;
	enum close_reason reason = CLOSE_WRONG_PROTOCOL;
	const char *what = "frame size not allowed, connection closed";

	if (conn->first_frame && b[0] == 0x16 && b[1] == 0x03)
		what = "TLS sent to a plaintext listener, connection closed";
	else if (conn->first_frame && (memcmp(b, "GET ", 4) == 0 || memcmp(b, "POST", 4) == 0 ||
				       memcmp(b, "HEAD", 4) == 0))
		what = "HTTP sent to a Kafka listener, connection closed";
	else
		reason = CLOSE_BAD_FRAME;
	diag_warn(DIAG_NET, what, "peer=%s port=%d listener=%s size=%d max=%lld", conn->host,
		  connection_client_port(conn), connection_listener_name(conn), size,
		  (long long)max);
	close_later(conn, reason);
}

/* The four bytes of a size are there. */
static void
take_size(struct connection *conn)
{
	const struct listener_settings *ls = &conn->lane->listener->settings;
	int32_t size = (int32_t)get_be32(conn->size);
	int64_t max = conn->authenticated ? ls->request_max_bytes : ls->auth_max_bytes;

	conn->size_have = 0;
	if (max > request_memory_ceiling(ls->memory))
		max = request_memory_ceiling(ls->memory);
	if (size < 0 || size > max ||
	    (conn->first_frame && conn->size[0] == 0x16 && conn->size[1] == 0x03)) {
		refuse_size(conn, size, max);
		return;
	}
	if (request_memory_reserve(ls->memory, (size_t)size, &conn->wait)) {
		begin_frame(conn, (uint32_t)size);
	} else {
		conn->wanted = (uint32_t)size;
		conn->waiting = true;
	}
}

/* Takes frames out of bytes that were read. Returns how many bytes it took. */
static size_t
consume(struct connection *conn, const uint8_t *data, size_t len)
{
	size_t pos = 0, n;

	while (pos < len && may_read(conn)) {
		struct request *req = conn->reading;

		if (req == NULL) {
			n = sizeof(conn->size) - conn->size_have;
			n = n < len - pos ? n : len - pos;
			memcpy(conn->size + conn->size_have, data + pos, n);
			conn->size_have += (uint8_t)n;
			pos += n;
			if (conn->size_have == sizeof(conn->size))
				take_size(conn);
			continue;
		}
		n = req->pub.len - req->have;
		n = n < len - pos ? n : len - pos;
		memcpy(req->pub.bytes + req->have, data + pos, n);
		req->have += n;
		pos += n;
		if (req->have == req->pub.len)
			dispatch(conn);
	}
	return pos;
}

/* Keeps what the scratch buffer holds beyond what could be taken now. */
static int
hold(struct connection *conn, const uint8_t *data, size_t len)
{
	conn->held = malloc(len);
	if (conn->held == NULL)
		return -ENOMEM;
	memcpy(conn->held, data, len);
	conn->held_pos = 0;
	conn->held_len = (uint32_t)len;
	return 0;
}

static void
consume_held(struct connection *conn)
{
	conn->held_pos +=
	    (uint32_t)consume(conn, conn->held + conn->held_pos, conn->held_len - conn->held_pos);
	if (conn->held_pos == conn->held_len || conn->closed) {
		free(conn->held);
		conn->held = NULL;
	}
}

/* Into the frame's own block, or the rest of a size. */
static ssize_t
read_exactly(struct connection *conn)
{
	struct request *req = conn->reading;
	ssize_t n;

	if (req == NULL) {
		n = transport_read(&conn->t, conn->size + conn->size_have,
				   sizeof(conn->size) - conn->size_have);
		if (n > 0) {
			conn->size_have += (uint8_t)n;
			if (conn->size_have == sizeof(conn->size))
				take_size(conn);
		}
		return n;
	}
	n = transport_read(&conn->t, req->pub.bytes + req->have, req->pub.len - req->have);
	if (n > 0) {
		req->have += (size_t)n;
		if (req->have == req->pub.len)
			dispatch(conn);
	}
	return n;
}

static ssize_t
read_many(struct connection *conn)
{
	uint8_t *scratch = reactor_io_scratch(conn->lane->io);
	size_t taken;
	ssize_t n;

	if (scratch == NULL)
		return -ENOMEM;
	n = transport_read(&conn->t, scratch, READ_BYTES);
	if (n <= 0)
		return n;
	taken = consume(conn, scratch, (size_t)n);
	if (taken < (size_t)n && !conn->closed &&
	    hold(conn, scratch + taken, (size_t)n - taken) != 0)
		return -ENOMEM;
	return n;
}

/* The peer closed, or the connection failed, when something was to be read. */
static void
read_ended(struct connection *conn, ssize_t st)
{
	enum close_reason reason = CLOSE_ERROR;

	if (st == 0)
		reason = CLOSE_PEER;
	else if (st == -EPROTO)
		reason = CLOSE_TLS;
	else if (st == -ENOMEM)
		reason = CLOSE_MEMORY;
	if (conn->reading != NULL || conn->size_have > 0)
		diag_info(DIAG_NET, "connection ended inside a frame",
			  "peer=%s port=%d listener=%s have=%zu size=%zu", conn->host,
			  connection_client_port(conn), connection_listener_name(conn),
			  conn->reading != NULL ? conn->reading->have : conn->size_have,
			  conn->reading != NULL ? conn->reading->pub.len : sizeof(conn->size));
	else if (st == -EPROTO)
		diag_info(DIAG_NET, "TLS failed, connection closed",
			  "peer=%s port=%d listener=%s reason=\"%s\"", conn->host,
			  connection_client_port(conn), connection_listener_name(conn),
			  transport_error(&conn->t, -EPROTO));
	connection_close(conn, reason);
}

/* ---- the turn ---- */

/* What does not begin like TLS gets one line, and no alert that it could not read. */
static int
look_for_tls(struct connection *conn)
{
	uint8_t first[4];
	ssize_t n = recv(conn->t.fd, first, sizeof(first), MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		conn->t.readable = false;
		return -EAGAIN;
	}
	if (n <= 0) {
		connection_close(conn, n == 0 ? CLOSE_PEER : CLOSE_ERROR);
		return -ECONNRESET;
	}
	if (first[0] != 0x16) {
		diag_warn(DIAG_NET, "plaintext sent to a TLS listener, connection closed",
			  "peer=%s port=%d listener=%s first_byte=0x%02x", conn->host,
			  connection_client_port(conn), connection_listener_name(conn), first[0]);
		metric_add(conn->lane->listener->tls_failed, 1);
		connection_refuse(conn, CLOSE_WRONG_PROTOCOL);
		return -EPROTO;
	}
	conn->looked = true;
	return 0;
}

/* True when TLS is up and frames may come. */
static bool
handshake(struct connection *conn)
{
	struct listener *l = conn->lane->listener;
	const struct net_handler *h = l->settings.handler;
	int st;

	if (!conn->looked && (!conn->t.readable || look_for_tls(conn) != 0))
		return false;
	st = transport_handshake(&conn->t);
	if (st == -EAGAIN)
		return false;
	if (st != 0) {
		diag_info(DIAG_NET, "TLS handshake failed",
			  "peer=%s port=%d listener=%s reason=\"%s\"", conn->host,
			  connection_client_port(conn), connection_listener_name(conn),
			  transport_error(&conn->t, st));
		metric_add(l->tls_failed, 1);
		if (st == -EPROTO)
			connection_refuse(conn, CLOSE_TLS);
		else
			connection_close(conn, CLOSE_ERROR);
		return false;
	}
	metric_add(SSL_session_reused(conn->t.ssl) ? l->tls_resumed : l->tls_full, 1);
	conn->handshaking = false;
	conn->t.readable = true;
	lane_touch(conn->lane, conn);
	if (h->on_connected != NULL && h->on_connected(h->arg, conn) != 0) {
		connection_refuse(conn, CLOSE_AUTHENTICATION);
		return false;
	}
	return true;
}

/* Sends what waits. True when everything went out and the connection is still there. */
static bool
flush(struct connection *conn)
{
	size_t budget = conn->t.ssl == NULL ? TURN_SEND_BYTES : TURN_SEND_TLS_BYTES, sent;
	int st;

	if (conn->out.first == NULL)
		return true;
	if (!conn->t.writable)
		return false;
	st = send_queue_flush(&conn->out, &conn->t, conn->lane->io, budget, &sent);
	if (sent > 0) {
		lane_count(conn->lane, 0, sent, 0);
		lane_touch(conn->lane, conn);
	}
	if (st == 0)
		return true;
	if (st == -EINPROGRESS) {
		reactor_defer(reactor_of(conn), &conn->task);
	} else if (st != -EAGAIN) {
		if (st == -ENODATA)
			diag_error(DIAG_NET, "a file was shorter than the answer said",
				   "peer=%s listener=%s", conn->host,
				   connection_listener_name(conn));
		connection_close(conn, st == -EPROTO ? CLOSE_TLS : CLOSE_ERROR);
	}
	return false;
}

/* Reads once. False when there is nothing more to do now. */
static bool
read_some(struct connection *conn, size_t *left)
{
	bool exactly;
	ssize_t n;

	if (conn->held != NULL) {
		consume_held(conn);
		return true;
	}
	if (!conn->t.readable)
		return false;
	exactly = conn->large || conn->size_have > 0 ||
		  (conn->reading != NULL &&
		   conn->reading->pub.len - conn->reading->have >= LARGE_FRAME_BYTES) ||
		  request_memory_ceiling(conn->lane->listener->settings.memory) != INT64_MAX;
	n = exactly ? read_exactly(conn) : read_many(conn);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		read_ended(conn, n);
		return false;
	}
	lane_count(conn->lane, (size_t)n, 0, 0);
	if (!conn->closed)
		lane_touch(conn->lane, conn);
	*left = (size_t)n < *left ? *left - (size_t)n : 0;
	return true;
}

/* The turn proper: until nothing more can be done now. */
static void
take_turn(struct connection *conn)
{
	size_t left = TURN_READ_BYTES;

	for (;;) {
		if (!flush(conn) || conn->closed)
			return;
		if (conn->closing) {
			connection_close(conn, conn->closing_reason);
			return;
		}
		if (!may_read(conn))
			return;
		if (left == 0) {
			reactor_defer(reactor_of(conn), &conn->task);
			return;
		}
		if (!read_some(conn, &left))
			return;
	}
}

void
connection_turn(struct connection *conn)
{
	if (conn->refused) {
		if (conn->t.peer_closed)
			connection_close(conn, conn->closing_reason);
		return;
	}
	if (conn->current != NULL && conn->current->ended)
		finish_current(conn);
	if (conn->closed || (conn->handshaking && !handshake(conn)))
		return;
	take_turn(conn);
	if (!conn->closed && transport_check(&conn->t) != 0)
		read_ended(conn, -ECONNRESET);
}

void
connection_task(struct reactor_task *task)
{
	struct connection *conn = CONTAINER_OF(task, struct connection, task);

	connection_turn(conn);
	connection_settle(conn);
}
