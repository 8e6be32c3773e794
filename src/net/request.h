/*
 * request.h - one request of a client, from its complete frame to its answer.
 *
 * net calls net_handler.on_request with a complete frame. The handler decodes it in place (the
 * bytes are its own to change) and ends the request exactly once, then or later, with one of
 * net_request_answer(), net_request_done() and net_request_close(). Until then the request and
 * its bytes stay valid, even when the peer has gone; the next request of the connection waits.
 *
 * Threads  callbacks run on the connection's reactor. The three ends may be called from any
 *          thread; none of them calls back into the handler, so locks may be held.
 * Source   wire-protocol 1.1-1.3; Kafka's SocketServer.
 */
#ifndef KLAMM_NET_REQUEST_H
#define KLAMM_NET_REQUEST_H

#include "base/bytes.h"
#include "net/reply.h"

struct connection;
struct histogram;

struct net_request {
	struct connection *conn; /* valid until the request ends */
	uint8_t *bytes;          /* the frame without its size; ends with the request, see below */
	size_t len;
	int64_t received_us; /* env_monotonic_us() when the last byte had come */
	void *user;          /* the handler's; NULL at first */
	/*
	 * May be set before the answer: when the last byte of that has been given to the kernel,
	 * sending observes the microseconds since answered_us.
	 */
	struct histogram *sending;
	int64_t answered_us;
};

/* Connects what is above net; the same struct may serve several listeners. */
struct net_handler {
	/* A frame has come. Answer now or later. */
	void (*on_request)(void *arg, struct net_request *req);
	/*
	 * The peer closed its side, or the connection died, while this request was waiting: nobody
	 * is likely to read the answer, so a long poll should be dropped (net_request_close()); a
	 * write that must complete may still be answered as if nothing had happened. At most once
	 * per request; it may come while another thread is just answering. May be NULL.
	 */
	void (*on_closed)(void *arg, struct net_request *req);
	/*
	 * The transport is up (after the TLS handshake, at once on plaintext), before any frame:
	 * the place to set the principal. Not 0: the connection is closed. May be NULL, which
	 * leaves "User:ANONYMOUS".
	 */
	int (*on_connected)(void *arg, struct connection *conn);
	/*
	 * A frame of a SASL connection that connection_set_authenticated() has not let through yet;
	 * the same duties as on_request. May be NULL: then SASL listeners are refused.
	 */
	void (*on_authenticate)(void *arg, struct net_request *req);
	void *arg;
};

/* Takes everything out of reply and sends it; reply is empty afterwards. */
void net_request_answer(struct net_request *req, struct net_reply *reply);
/* No answer (acks=0): the connection goes on with its next request. */
void net_request_done(struct net_request *req);
/* No answer, and the connection is closed; whatever had been answered before is sent first. */
void net_request_close(struct net_request *req);
/*
 * Gives back the frame's bytes, and their share of queued.max.request.bytes, before the request
 * ends: for what waits long after it has used them. bytes is NULL afterwards. On any thread.
 */
void net_request_drop_bytes(struct net_request *req);

#endif
