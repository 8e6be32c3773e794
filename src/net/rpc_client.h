/*
 * rpc_client.h - calls to another broker: one connection, many requests in flight, answers in
 * order.
 *
 * A client connects when its first call is made, and again when the connection was lost and the
 * next call comes, not before its back-off has passed. Calls made meanwhile wait, each no longer
 * than its own timeout. When a connection fails, every call on it and every call that waits for it
 * ends with the reason; whether to try again is the caller's to decide.
 *
 * Threads  everything on the reactor's thread; callbacks run there too, never from inside
 *          rpc_call().
 * Source   wire-protocol 3; zookeeper-and-controller 4.2; Kafka's NetworkClient.
 */
#ifndef KLAMM_NET_RPC_CLIENT_H
#define KLAMM_NET_RPC_CLIENT_H

#include "base/bytes.h"
#include "base/workers.h"
#include "net/client_tls.h"
#include "net/reactor.h"

struct rpc_client;

struct rpc_settings {
	const char *host; /* name or address, without brackets */
	int port;
	const char *client_id;  /* in every request header; NULL: null */
	struct client_tls *tls; /* NULL: plaintext; outlives the client */
	/* Looks names up; NULL: the reactor's thread does, and blocks, where host is a name. */
	struct workers *workers;
	int64_t connect_timeout_ms; /* socket.connection.setup.timeout.ms, TLS included */
	int64_t backoff_ms;         /* reconnect.backoff.ms: first; doubles with each failure */
	int64_t backoff_max_ms;     /* reconnect.backoff.max.ms */
	int64_t idle_ms;            /* closes an unused connection; < 0: never */
	int64_t response_max_bytes; /* a larger answer ends the connection */
	int send_buffer_bytes;      /* -1: the system's */
	int receive_buffer_bytes;   /* replica.socket.receive.buffer.bytes; -1: the system's */
	size_t max_in_flight;       /* sent and not answered; further calls wait */
};

/*
 * How a call ended. status 0: body is the answer after its header, bytes that the callee may
 * change and that live until the callback returns, or longer where rpc_take_body() is called.
 * Otherwise body is null and status is -errno: -ETIMEDOUT (its timeout passed; the connection is
 * closed, since answers come in order), -ECONNREFUSED, -ECONNRESET, -EHOSTUNREACH and the like
 * (the connection failed), -EPROTO (TLS failed, or an answer that cannot be one), -ECANCELED
 * (rpc_close()), -EMSGSIZE (larger than response_max_bytes).
 */
typedef void rpc_callback(void *arg, int status, struct slice body);

/* Client defaults of Kafka. */
void rpc_settings_init(struct rpc_settings *rs);

/* Copies the settings and their texts; connects only at the first call. 0 or -ENOMEM. */
MUST_CHECK int rpc_open(struct reactor *r, const struct rpc_settings *settings,
			struct rpc_client **ret_client);
/* Ends all calls with -ECANCELED, from inside this call, and frees the client. Accepts NULL. */
void rpc_close(struct rpc_client *rpc);

/*
 * Sends one request. body: the encoded request without its header; its memory is taken over.
 * flexible: request header v2 and response header v1, else v1 and v0 (ApiVersions: see
 * rpc_call_header()). timeout_ms counts from now and covers connecting.
 * The callback is always called, exactly once. Not to be called from a callback with -ECANCELED.
 * Never fails: a process without memory for a call aborts.
 */
void rpc_call(struct rpc_client *rpc, int16_t api_key, int16_t api_version, bool flexible,
	      struct buf *body, int64_t timeout_ms, rpc_callback *callback, void *arg);
/* The same with both header versions given: request 0-2, response 0-1. */
void rpc_call_header(struct rpc_client *rpc, int16_t api_key, int16_t api_version,
		     int request_header, int response_header, struct buf *body, int64_t timeout_ms,
		     rpc_callback *callback, void *arg);
/*
 * Inside a callback with status 0: keeps the answer's memory. Returns a block to free() that
 * contains body.
 */
void *rpc_take_body(struct rpc_client *rpc);

/* Closes the connection; calls in flight end with -ECONNRESET; the next call connects anew. */
void rpc_disconnect(struct rpc_client *rpc);
bool rpc_connected(const struct rpc_client *rpc);
/* Calls that have not ended. */
size_t rpc_pending(const struct rpc_client *rpc);
/* 0, or how long a call made now would wait before it may connect. */
int64_t rpc_backoff_left_ms(const struct rpc_client *rpc);

#endif
