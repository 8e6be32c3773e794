/*
 * controller_peer.h - calls of this broker to whoever is the controller.
 *
 * The controller is the one that the last UpdateMetadata named. A call that finds none, or loses
 * its connection, or hears NOT_CONTROLLER, ends with an error: the caller asks again after a pause,
 * and by then another may be known. So does one that waits for a broker that is the controller no
 * longer: it may hang, or be cut off, and never answer.
 *
 * Threads  one reactor's; callbacks run there too.
 * Source   zookeeper-and-controller, sections 2.6 and 4.2: Kafka's NodeToControllerChannelManager.
 */
#ifndef KLAMM_REPLICA_CONTROLLER_PEER_H
#define KLAMM_REPLICA_CONTROLLER_PEER_H

#include "cluster/metadata.h"
#include "net/rpc_client.h"

#define BROKER_HOST_MAX 256

struct controller_peer_settings {
	struct reactor *reactor;
	struct workers *workers;
	struct metadata *metadata;
	int32_t broker_id;      /* ours */
	const char *listener;   /* inter-broker; borrowed */
	struct client_tls *tls; /* NULL: plaintext */
	int64_t connect_timeout_ms;
};

/* A connection to another broker, or to ourselves; opened by the first call. */
struct controller_peer {
	struct controller_peer_settings settings;
	struct rpc_client *rpc;
	int32_t rpc_to; /* the broker that rpc leads to, and where it was */
	char host[BROKER_HOST_MAX];
	int port;
	struct timer watch; /* armed while a call waits: whether the controller is another now */
};

void controller_peer_init(struct controller_peer *peer,
			  const struct controller_peer_settings *settings);
/* Ends calls under way with -ECANCELED. Accepts one that is all zeros. */
void controller_peer_fini(struct controller_peer *peer);
/*
 * body is taken over. Returns 0 and calls back once, with -ECANCELED when another broker has become
 * the controller; or returns -ENOENT (no controller is known) or another -errno without.
 */
MUST_CHECK int controller_peer_call(struct controller_peer *peer, int16_t api_key,
				    int16_t api_version, bool flexible, struct buf *body,
				    int64_t timeout_ms, rpc_callback *callback, void *arg);

/*
 * Where a broker listens for others: a copy of the host in host. False when it is not known.
 */
bool broker_address(struct metadata *md, int32_t broker_id, const char *listener, char *host,
		    size_t size, int *ret_port);

#endif
