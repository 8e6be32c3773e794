#include "replica/controller_peer.h"

#include <errno.h>
#include <stdio.h>

#define HOST_MAX 256

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

void
controller_peer_init(struct controller_peer *peer, const struct controller_peer_settings *settings)
{
	*peer = (struct controller_peer){.settings = *settings, .rpc_to = -1};
}

void
controller_peer_fini(struct controller_peer *peer)
{
	rpc_close(peer->rpc);
	peer->rpc = NULL;
}

static int
connect_to(struct controller_peer *peer, int32_t controller_id)
{
	const struct controller_peer_settings *s = &peer->settings;
	char host[HOST_MAX], client_id[16];
	struct rpc_settings rs;

	if (peer->rpc != NULL && peer->rpc_to == controller_id)
		return 0;
	rpc_settings_init(&rs);
	if (controller_id < 0 ||
	    !broker_address(s->metadata, controller_id, s->listener, host, sizeof(host), &rs.port))
		return -ENOENT;
	if (peer->rpc != NULL && rpc_pending(peer->rpc) > 0)
		return -EBUSY; /* the former controller's answer is still to come, or to fail */
	rpc_close(peer->rpc);
	peer->rpc = NULL;
	snprintf(client_id, sizeof(client_id), "%d", s->broker_id);
	rs.host = host;
	rs.client_id = client_id;
	rs.tls = s->tls;
	rs.verify_host = s->verify_host;
	rs.workers = s->workers;
	rs.connect_timeout_ms = s->connect_timeout_ms;
	peer->rpc_to = controller_id;
	return rpc_open(s->reactor, &rs, &peer->rpc);
}

int
controller_peer_call(struct controller_peer *peer, int16_t api_key, int16_t api_version,
		     bool flexible, struct buf *body, int64_t timeout_ms, rpc_callback *callback,
		     void *arg)
{
	int32_t controller_id = metadata_controller_id(metadata_read(peer->settings.metadata));
	int st;

	metadata_done(peer->settings.metadata);
	st = connect_to(peer, controller_id);
	if (st != 0) {
		buf_fini(body);
		return st;
	}
	rpc_call(peer->rpc, api_key, api_version, flexible, body, timeout_ms, callback, arg);
	return 0;
}
