#include "replica/controller_peer.h"

#include <errno.h>
#include <stdio.h>

#define WATCH_MS 200

bool
broker_address(struct metadata *md, int32_t broker_id, const char *listener, char *host,
	       size_t size, int *ret_port)
{
	const struct metadata_broker *broker = metadata_broker(metadata_read(md), broker_id);
	const struct metadata_endpoint *e =
	    broker == NULL ? NULL : metadata_endpoint(broker, listener);

	if (e != NULL) {
		snprintf(host, size, "%s", e->host);
		*ret_port = e->port;
	}
	metadata_done(md);
	return e != NULL;
}

/* The controller and where it listens for brokers. Returns 0 or -ENOENT. */
static int
find_controller(const struct controller_peer *peer, int32_t *ret_id, char host[BROKER_HOST_MAX],
		int *ret_port)
{
	const struct controller_peer_settings *s = &peer->settings;
	int32_t id = metadata_controller_id(metadata_read(s->metadata));

	metadata_done(s->metadata);
	if (id < 0 ||
	    !broker_address(s->metadata, id, s->listener, host, BROKER_HOST_MAX, ret_port))
		return -ENOENT;
	*ret_id = id;
	return 0;
}

/* A broker that came back somewhere else is another, too. */
static bool
leads_to(const struct controller_peer *peer, int32_t id, const char *host, int port)
{
	return peer->rpc_to == id && peer->port == port && strcmp(peer->host, host) == 0;
}

static void
disconnect(struct controller_peer *peer)
{
	struct rpc_client *rpc = peer->rpc;

	peer->rpc = NULL; /* callbacks may call anew */
	rpc_close(rpc);
}

static void
arm_watch(struct controller_peer *peer)
{
	struct reactor *r = peer->settings.reactor;

	reactor_arm(r, &peer->watch, reactor_now_ms(r) + WATCH_MS);
}

static void
on_watch(struct timer *timer, void *arg)
{
	struct controller_peer *peer = arg;
	char host[BROKER_HOST_MAX];
	int32_t id;
	int port;

	(void)timer;
	if (peer->rpc == NULL || rpc_pending(peer->rpc) == 0)
		return;
	if (find_controller(peer, &id, host, &port) == 0 && !leads_to(peer, id, host, port))
		disconnect(peer);
	else
		arm_watch(peer);
}

void
controller_peer_init(struct controller_peer *peer, const struct controller_peer_settings *settings)
{
	*peer = (struct controller_peer){.settings = *settings, .rpc_to = -1};
	timer_init(&peer->watch, on_watch, peer);
}

void
controller_peer_fini(struct controller_peer *peer)
{
	if (peer->settings.reactor == NULL)
		return;
	reactor_cancel(peer->settings.reactor, &peer->watch);
	disconnect(peer);
}

static int
connect_to(struct controller_peer *peer)
{
	const struct controller_peer_settings *s = &peer->settings;
	char host[BROKER_HOST_MAX], client_id[16];
	struct rpc_settings rs;
	int32_t id;
	int st;

	rpc_settings_init(&rs);
	st = find_controller(peer, &id, host, &rs.port);
	if (st != 0)
		return st;
	if (peer->rpc != NULL && leads_to(peer, id, host, rs.port))
		return 0;
	if (peer->rpc != NULL && rpc_pending(peer->rpc) > 0)
		return -EBUSY; /* the former controller's answer is given up soon */
	disconnect(peer);
	snprintf(client_id, sizeof(client_id), "%d", s->broker_id);
	rs.host = host;
	rs.client_id = client_id;
	rs.tls = s->tls;
	rs.workers = s->workers;
	rs.connect_timeout_ms = s->connect_timeout_ms;
	st = rpc_open(s->reactor, &rs, &peer->rpc);
	if (st != 0)
		return st;
	peer->rpc_to = id;
	peer->port = rs.port;
	snprintf(peer->host, sizeof(peer->host), "%s", host);
	return 0;
}

int
controller_peer_call(struct controller_peer *peer, int16_t api_key, int16_t api_version,
		     bool flexible, struct buf *body, int64_t timeout_ms, rpc_callback *callback,
		     void *arg)
{
	int st = connect_to(peer);

	if (st != 0) {
		buf_fini(body);
		return st;
	}
	rpc_call(peer->rpc, api_key, api_version, flexible, body, timeout_ms, callback, arg);
	if (!timer_armed(&peer->watch))
		arm_watch(peer);
	return 0;
}
