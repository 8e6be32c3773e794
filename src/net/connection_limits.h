/*
 * connection_limits.h - how many connections the broker takes: in all, per listener, per address,
 * and how many new ones per second.
 *
 * One for the whole broker, asked by the listeners at each accept and each close. All limits may
 * change while it is in use; a lower one closes nothing by itself.
 *
 * Threads  any; under LOCK_CONNECTION_LIMITS.
 * Source   wire-protocol 1.4; Kafka's ConnectionQuotas.
 */
#ifndef KLAMM_NET_CONNECTION_LIMITS_H
#define KLAMM_NET_CONNECTION_LIMITS_H

#include <limits.h>
#include <sys/socket.h>

#include "base/bytes.h"

#define CONNECTIONS_UNLIMITED INT_MAX

struct connection_limits;
struct listener_share; /* one listener's part */

/* Rates are measured over window_count windows of window_ms: quota.window.num and .size.seconds. */
MUST_CHECK int connection_limits_open(int window_count, int64_t window_ms,
				      struct connection_limits **ret_limits);
/* When every connection has been given back and every share closed. */
void connection_limits_close(struct connection_limits *cl);

/* max.connections and max.connections.per.ip. */
void connection_limits_set(struct connection_limits *cl, int max_connections, int max_per_ip);
/* max.connection.creation.rate of the broker. A connection that waits already waits on. */
void connection_limits_set_rate(struct connection_limits *cl, int max_per_second);
/*
 * max.connections.per.ip.overrides, "host:count,...", replaces all earlier ones. Host names are
 * looked up now (this may block). Returns 0, -ENOMEM, or -EINVAL with a sentence in err.
 */
MUST_CHECK int connection_limits_set_overrides(struct connection_limits *cl, const char *overrides,
					       char *err, size_t err_len);
/* Connections in all, now. */
int connection_limits_count(struct connection_limits *cl);

/* What a listener is told, on any thread and without a lock. */
struct listener_share_hooks {
	/* A refusal with CONNECTION_LISTENER_FULL may have ended: try again. */
	void (*wake)(void *arg);
	/* Close the connection that was idle longest: the broker is over max.connections. */
	void (*evict)(void *arg);
	void *arg;
};

/*
 * max_connections: of this listener alone. privileged: the inter-broker listener, which may pass
 * the broker's max.connections when there is another listener; that one is then asked to evict.
 */
MUST_CHECK int connection_limits_join(struct connection_limits *cl, int max_connections,
				      bool privileged, const struct listener_share_hooks *hooks,
				      struct listener_share **ret_share);
/* No hook is called any more after it; the share lives until its last connection is given back. */
void connection_limits_leave(struct listener_share *share);
void listener_share_set_max(struct listener_share *share, int max_connections);
/* max.connection.creation.rate of this listener. */
void listener_share_set_rate(struct listener_share *share, int max_per_second);
/* Connections of this listener now. */
int listener_share_count(struct listener_share *share);

/*
 * Counts a connection that was just accepted, and says how many ms it must be kept, before it is
 * admitted, so that neither the broker's rate nor the listener's is passed: at most one window. A
 * privileged listener beside others is not held to the broker's.
 */
int64_t connection_limits_delay_ms(struct listener_share *share, int64_t now_ms);

enum connection_verdict {
	CONNECTION_ADMITTED,
	CONNECTION_LISTENER_FULL, /* keep it and stop accepting until wake() */
	CONNECTION_IP_FULL        /* close it */
};

/* Counts an accepted connection, unless the verdict refuses it. */
enum connection_verdict connection_limits_admit(struct listener_share *share,
						const struct sockaddr *peer);
/* Gives an admitted one back. */
void connection_limits_give_back(struct listener_share *share, const struct sockaddr *peer);

#endif
