/*
 * connection_limits.h - how many connections the broker takes: in all, per listener, per address.
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

MUST_CHECK int connection_limits_open(struct connection_limits **ret_limits);
/* When every connection has been given back and every share closed. */
void connection_limits_close(struct connection_limits *cl);

/* max.connections and max.connections.per.ip. */
void connection_limits_set(struct connection_limits *cl, int max_connections, int max_per_ip);
/*
 * max.connections.per.ip.overrides, "host:count,...", replaces all earlier ones. Host names are
 * looked up now (this may block). Returns 0, -ENOMEM, or -EINVAL with a sentence in err.
 */
MUST_CHECK int connection_limits_set_overrides(struct connection_limits *cl, const char *overrides,
					       char *err, size_t err_len);
/* Connections in all, now. */
int connection_limits_count(struct connection_limits *cl);

/*
 * privileged: the inter-broker listener, which may pass max.connections when there is another
 * listener. wake(arg) is called, on any thread and without a lock, when a refusal with
 * CONNECTION_LISTENER_FULL may have ended.
 */
MUST_CHECK int connection_limits_join(struct connection_limits *cl, int max_connections,
				      bool privileged, void (*wake)(void *arg), void *arg,
				      struct listener_share **ret_share);
void connection_limits_leave(struct listener_share *share);
void listener_share_set_max(struct listener_share *share, int max_connections);

enum connection_verdict {
	CONNECTION_ADMITTED,
	CONNECTION_ADMITTED_OVER, /* privileged: another listener should close its idlest one */
	CONNECTION_LISTENER_FULL, /* stop accepting until wake() */
	CONNECTION_IP_FULL        /* close this one */
};

/* Room for one more on this listener, before accept(): ADMITTED or LISTENER_FULL. */
enum connection_verdict connection_limits_room(struct listener_share *share);
/* Counts an accepted connection unless the verdict refuses it. */
enum connection_verdict connection_limits_admit(struct listener_share *share,
						const struct sockaddr_storage *peer);
/* Gives an admitted one back. */
void connection_limits_leave_one(struct listener_share *share, const struct sockaddr_storage *peer);

#endif
