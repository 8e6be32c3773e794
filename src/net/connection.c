/*
 * A connection's life: opened by its lane, closed from many places, freed by connection_settle()
 * when it is closed and neither a request nor a grant of memory refers to it any more.
 *
 * Its socket is registered once, edge-triggered, for reading, writing and the peer's close. There
 * is no further epoll_ctl() for as long as it lives.
 */
#include "net/connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "net/connection_impl.h"
#include "net/tcp.h"

static _Atomic uint64_t last_id;

/* As Java prints an address: IPv6 without "::", IPv4 in IPv6 as IPv4. */
static void
format_host(const union net_address *peer, char *text, size_t text_len)
{
	const uint8_t *b = peer->v6.sin6_addr.s6_addr;

	if (peer->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr)) {
		snprintf(text, text_len, "/%x:%x:%x:%x:%x:%x:%x:%x", get_be16(b), get_be16(b + 2),
			 get_be16(b + 4), get_be16(b + 6), get_be16(b + 8), get_be16(b + 10),
			 get_be16(b + 12), get_be16(b + 14));
		return;
	}
	if (peer->any.sa_family == AF_INET6)
		b += 12;
	else
		b = (const uint8_t *)&peer->v4.sin_addr;
	snprintf(text, text_len, "/%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
}

/* The peer went, or an error came, while the handler has a request. */
static void
look_after_waiting(struct connection *conn, short what)
{
	const struct net_handler *h = conn->lane->listener->settings.handler;
	int error = 0;
	socklen_t len = sizeof(error);

	if ((what & EV_CLOSED) == 0) {
		/* Just more data, or a reset: libevent does not tell them apart. */
		getsockopt(conn->t.fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error != 0)
			connection_close(conn, CLOSE_ERROR);
		return;
	}
	if (!conn->current->told_closed && h->on_closed != NULL) {
		conn->current->told_closed = true;
		h->on_closed(h->arg, &conn->current->pub);
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct connection *conn = arg;

	(void)fd;
	if (what & EV_WRITE)
		conn->t.writable = true;
	if (what & (EV_READ | EV_CLOSED))
		conn->t.readable = true;
	if (what & EV_CLOSED)
		conn->t.peer_closed = true;
	if (conn->current != NULL && !conn->current->ended && (what & (EV_READ | EV_CLOSED)))
		look_after_waiting(conn, what);
	connection_turn(conn);
	connection_settle(conn);
}

static int
start(struct connection *conn)
{
	struct listener *l = conn->lane->listener;
	int st;

	st = event_assign(&conn->event, reactor_base(conn->lane->reactor), conn->t.fd,
			  EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, conn);
	if (st != 0 || event_add(&conn->event, NULL) != 0)
		return -ENOMEM;
	if (!security_protocol_is_tls(l->settings.endpoint.protocol)) {
		lane_touch(conn->lane, conn);
		return 0;
	}
	conn->handshaking = true;
	lane_add_handshaking(conn->lane, conn);
	return transport_start_tls(&conn->t, conn->lane->tls, true, NULL, false);
}

void
connection_open(struct lane *lane, int fd, const union net_address *peer)
{
	struct listener *l = lane->listener;
	const struct net_handler *h = l->settings.handler;
	struct connection *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		close(fd);
		atomic_fetch_sub(&lane->load, 1);
		connection_limits_give_back(l->share, &peer->any);
		return;
	}
	listener_ref(l);
	lane->io->connections++;
	conn->lane = lane;
	conn->id = atomic_fetch_add(&last_id, 1) + 1;
	conn->peer = *peer;
	conn->first_frame = true;
	conn->authenticated = !security_protocol_is_sasl(l->settings.endpoint.protocol);
	conn->task.fn = connection_task;
	conn->wait.reactor = lane->reactor;
	conn->wait.granted = connection_granted;
	timer_init(&conn->unmute, connection_unmute, conn);
	send_queue_init(&conn->out, connection_sent);
	format_host(peer, conn->host, sizeof(conn->host));
	transport_init(&conn->t, fd);
	tcp_set_options(fd, l->settings.send_buffer_bytes, -1);
	metric_add(l->open, 1);
	metric_add(l->accepted, 1);
	if (start(conn) != 0)
		connection_close(conn, CLOSE_MEMORY);
	else if (!conn->handshaking && h->on_connected != NULL &&
		 h->on_connected(h->arg, conn) != 0)
		connection_refuse(conn, CLOSE_AUTHENTICATION);
	connection_settle(conn);
}

void
connection_refuse(struct connection *conn, enum close_reason reason)
{
	struct lane *lane = conn->lane;
	int64_t delay_ms = lane->listener->settings.failed_auth_ms;

	if (delay_ms == 0) {
		connection_close(conn, reason);
		return;
	}
	conn->refused = true;
	conn->closing_reason = reason;
	lane_touch(lane, conn); /* a handshake that has failed is not a slow one */
	/* Not earlier: the clock has cut off a part of the present millisecond. */
	reactor_arm(lane->reactor, &conn->unmute, reactor_now_ms(lane->reactor) + delay_ms + 1);
}

void
connection_close(struct connection *conn, enum close_reason reason)
{
	struct listener *l = conn->lane->listener;
	const struct net_handler *h = l->settings.handler;

	if (conn->closed)
		return;
	conn->closed = true;
	if (event_initialized(&conn->event))
		event_del(&conn->event);
	transport_close(&conn->t, reason == CLOSE_WRONG_PROTOCOL || reason == CLOSE_BAD_FRAME);
	lane_remove(conn);
	reactor_cancel(conn->lane->reactor, &conn->unmute);
	if (conn->waiting) {
		conn->waiting = false;
		conn->grant_pending = !request_memory_cancel(l->settings.memory, &conn->wait);
	}
	if (conn->reading != NULL)
		request_free(conn, conn->reading);
	conn->reading = NULL;
	send_queue_fini(&conn->out);
	free(conn->held);
	conn->held = NULL;
	metric_add(l->open, -1);
	metric_add(l->closed[reason], 1);
	atomic_fetch_sub(&conn->lane->load, 1);
	connection_limits_give_back(l->share, &conn->peer.any);
	if (conn->current != NULL && !conn->current->ended && !conn->in_handler &&
	    !conn->current->told_closed && h->on_closed != NULL) {
		conn->current->told_closed = true;
		h->on_closed(h->arg, &conn->current->pub);
	}
}

void
connection_settle(struct connection *conn)
{
	struct lane *lane = conn->lane;

	if (!conn->closed || conn->current != NULL || conn->grant_pending || conn->in_handler)
		return;
	reactor_defer_cancel(&conn->task);
	if (conn->free_user != NULL)
		conn->free_user(conn->user);
	free(conn->principal);
	free(conn->software_name);
	free(conn->software_version);
	free(conn);
	lane->io->connections--;
	listener_unref(lane->listener);
}

uint64_t
connection_id(const struct connection *conn)
{
	return conn->id;
}

struct reactor *
connection_reactor(const struct connection *conn)
{
	return conn->lane->reactor;
}

const char *
connection_client_host(const struct connection *conn)
{
	return conn->host;
}

int
connection_client_port(const struct connection *conn)
{
	return ntohs(conn->peer.v4.sin_port); /* at the same place for IPv6 */
}

const char *
connection_listener_name(const struct connection *conn)
{
	return conn->lane->listener->settings.endpoint.listener_name;
}

enum security_protocol
connection_security_protocol(const struct connection *conn)
{
	return conn->lane->listener->settings.endpoint.protocol;
}

bool
connection_privileged(const struct connection *conn)
{
	return conn->lane->listener->settings.privileged;
}

void *
connection_listener_user(const struct connection *conn)
{
	return conn->lane->listener->settings.user;
}

const char *
connection_name(const struct connection *conn, char *text, size_t text_len)
{
	bool v6 = strchr(conn->host, ':') != NULL;

	snprintf(text, text_len, "%s%s%s:%d-%s-%llu", v6 ? "[" : "", conn->host + 1, v6 ? "]" : "",
		 connection_client_port(conn), connection_listener_name(conn),
		 (unsigned long long)conn->id);
	return text;
}

const char *
connection_principal(const struct connection *conn)
{
	return conn->principal == NULL ? "User:ANONYMOUS" : conn->principal;
}

static int
replace_text(char **slot, const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (copy == NULL)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	return 0;
}

int
connection_set_principal(struct connection *conn, const char *principal)
{
	return replace_text(&conn->principal, principal, strlen(principal));
}

void
connection_set_authenticated(struct connection *conn)
{
	conn->authenticated = true;
}

bool
connection_authenticated(const struct connection *conn)
{
	return conn->authenticated;
}

struct x509_st *
connection_peer_certificate(const struct connection *conn)
{
	return conn->t.ssl == NULL ? NULL : SSL_get0_peer_certificate(conn->t.ssl);
}

const char *
connection_tls_version(const struct connection *conn)
{
	return conn->t.ssl == NULL ? NULL : SSL_get_version(conn->t.ssl);
}

const char *
connection_tls_cipher(const struct connection *conn)
{
	return conn->t.ssl == NULL ? NULL
				   : SSL_CIPHER_standard_name(SSL_get_current_cipher(conn->t.ssl));
}

const char *
connection_software_name(const struct connection *conn)
{
	return conn->software_name == NULL ? "" : conn->software_name;
}

const char *
connection_software_version(const struct connection *conn)
{
	return conn->software_version == NULL ? "" : conn->software_version;
}

int
connection_set_software(struct connection *conn, struct str name, struct str version)
{
	int st = replace_text(&conn->software_name, name.data == NULL ? "" : name.data, name.len);

	if (st != 0)
		return st;
	return replace_text(&conn->software_version, version.data == NULL ? "" : version.data,
			    version.len);
}

void *
connection_user(const struct connection *conn)
{
	return conn->user;
}

void
connection_set_user(struct connection *conn, void *user, void (*free_fn)(void *user))
{
	conn->user = user;
	conn->free_user = free_fn;
}
