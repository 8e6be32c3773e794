/*
 * listener.h - one listening socket and the connections that came in by it.
 *
 * One reactor accepts and hands each connection to the reactor that has the fewest, so that few
 * connections are spread as evenly as many. Accepting pauses at a connection limit, to hold a rate
 * of new connections, and when the process has no more descriptors; it goes on when there is room.
 *
 * The number of reactors that take new connections may change at any time. With fewer, nobody is
 * cut off: connections stay where they are until they end, and only new ones go to those that
 * remain. The reactor that accepts goes on to accept, wherever its connections go.
 *
 * Threads  calls from any thread but a reactor's, unless said otherwise; listener_use_reactors()
 *          and listener_set_tls() from the one that opens and closes.
 * Source   wire-protocol 1; zookeeper-and-controller 6.5; Kafka's SocketServer.
 */
#ifndef KLAMM_NET_LISTENER_H
#define KLAMM_NET_LISTENER_H

#include "net/connection_limits.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/request.h"
#include "net/request_memory.h"

struct listener;
struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

struct listener_settings {
	struct endpoint endpoint;          /* copied */
	const struct net_handler *handler; /* must outlive the listener */
	struct request_memory *memory;     /* must outlive the listener */
	struct connection_limits *limits;  /* must outlive the listener */
	struct ssl_ctx_st *tls;            /* counted up; NULL unless the protocol is TLS */
	void *user;                        /* connection_listener_user() */
	bool privileged;                   /* the inter-broker listener */
	int backlog;                       /* socket.listen.backlog.size */
	int send_buffer_bytes;             /* socket.send.buffer.bytes; -1: the system's */
	int receive_buffer_bytes;          /* socket.receive.buffer.bytes; -1: the system's */
	int64_t request_max_bytes;         /* socket.request.max.bytes */
	int64_t auth_max_bytes;            /* sasl.server.max.receive.size, until authenticated */
	int64_t idle_ms;                   /* connections.max.idle.ms; < 0: never */
	int64_t handshake_ms;              /* TLS handshake not finished by then: closed */
	int64_t failed_auth_ms;            /* connection.failed.authentication.delay.ms */
	int max_connections;               /* listener.name.<name>.max.connections */
	int max_connection_rate;           /* listener.name.<name>.max.connection.creation.rate */
};

/* Kafka's defaults; endpoint, handler, memory and limits stay for the caller to set. */
void listener_settings_init(struct listener_settings *ls);

/*
 * Binds and starts to accept, for the reactors in use (reactors_use()). err gets one sentence that
 * names the endpoint and the reason. Returns 0, or -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EINVAL,
 * -ENOTSUP (SASL without on_authenticate) or another -errno.
 */
MUST_CHECK int listener_open(struct reactors *rs, const struct listener_settings *settings,
			     char *err, size_t err_len, struct listener **ret_listener);
/*
 * Stops accepting and closes every connection of this listener; requests that wait are told by
 * on_closed. On return no callback of this listener runs any more except the release of what was
 * answered; requests may still be ended afterwards. Accepts NULL.
 */
void listener_close(struct listener *l);
/*
 * New connections go to the first count (>= 1) reactors of the group from now on; so many must have
 * been started. Returns 0 or -ENOMEM, and then they go where they went.
 */
MUST_CHECK int listener_use_reactors(struct listener *l, int count);
/* Stops accepting only: a broker that shuts down lets its clients find the new leaders first. */
void listener_pause(struct listener *l);

const char *listener_name(const struct listener *l);
/* The port that is bound: the kernel's choice where the endpoint said 0. */
int listener_port(const struct listener *l);
/* Open connections of this listener. */
int listener_connection_count(struct listener *l);
/* New connections use this context from now on (a certificate was renewed). Counted up. */
void listener_set_tls(struct listener *l, struct ssl_ctx_st *tls);
/* listener.name.<name>.max.connections has changed. */
void listener_set_max_connections(struct listener *l, int max_connections);
/* listener.name.<name>.max.connection.creation.rate has changed. */
void listener_set_max_connection_rate(struct listener *l, int max_per_second);

#endif
