/*
 * Blocks of producer ids: from the znode when we are the controller, else by AllocateProducerIds
 * from the broker that is.
 */
#include <errno.h>
#include <stdio.h>

#include "base/diag.h"
#include "broker/broker_internal.h"
#include "wire/api_table.h"
#include "wire/generated/allocate_producer_ids.h"
#include "wire/kerr.h"
#include "zk/znode_producer_ids.h"

#define ALLOCATE_PRODUCER_IDS 67
#define ALLOCATE_VERSION 0

static void
claim(void *arg, struct zk *zk)
{
	struct broker *b = arg;
	int64_t first;
	int st = znode_producer_ids_claim(zk, b->id, &first);

	if (st == 0) {
		producer_ids_granted(b->producer_ids, first, PRODUCER_ID_BLOCK_SIZE);
		return;
	}
	if (st != -ESHUTDOWN)
		diag_error(DIAG_TXN, "cannot claim a block of producer ids", "error=%s",
			   strerror(-st));
	producer_ids_refused(b->producer_ids);
}

static void
on_answer(void *arg, int status, struct slice body)
{
	struct broker *b = arg;
	struct allocate_producer_ids_response resp;
	struct arena arena;
	struct wire_in in;

	arena_init(&arena, 4096);
	wire_in_init(&in, body, &arena);
	if (status == 0)
		status = allocate_producer_ids_response_decode(&resp, ALLOCATE_VERSION, &in);
	arena_fini(&arena);
	if (status == 0 && resp.error_code == 0) {
		producer_ids_granted(b->producer_ids, resp.producer_id_start, resp.producer_id_len);
		return;
	}
	diag_warn(DIAG_TXN, "the controller granted no producer ids; asked again when needed",
		  "error=%s", status != 0 ? strerror(-status) : kerr_name(resp.error_code));
	producer_ids_refused(b->producer_ids);
}

/* Where the controller listens for brokers. False: nobody knows. */
static bool
find_controller(struct broker *b, int32_t *ret_id, char *host, size_t size, int *ret_port)
{
	const struct metadata_image *image = metadata_read(b->metadata);
	const struct metadata_broker *broker =
	    metadata_broker(image, controller_active_id(b->controller));
	const struct metadata_endpoint *e =
	    broker == NULL ? NULL : metadata_endpoint(broker, b->inter_broker->listener_name);

	if (e != NULL) {
		*ret_id = broker->id;
		*ret_port = e->port;
		snprintf(host, size, "%s", e->host);
	}
	metadata_done(b->metadata);
	return e != NULL;
}

/* On reactor 0. */
static int
connect_to(struct broker *b, int32_t id, const char *host, int port)
{
	const struct broker_conf *conf = broker_conf_of(b);
	struct rpc_settings rs;
	char client_id[16];
	int st;

	if (b->producer_ids_rpc != NULL && b->producer_ids_rpc_to == id)
		return 0;
	rpc_close(b->producer_ids_rpc);
	b->producer_ids_rpc = NULL;
	rpc_settings_init(&rs);
	snprintf(client_id, sizeof(client_id), "%d", b->id);
	rs.host = host;
	rs.port = port;
	rs.client_id = client_id;
	rs.tls = b->client_tls;
	rs.verify_host = b->verify_host;
	rs.workers = b->workers;
	rs.connect_timeout_ms = conf->socket_connection_setup_timeout_ms;
	st = rpc_open(reactors_get(b->reactors, 0), &rs, &b->producer_ids_rpc);
	b->producer_ids_rpc_to = id;
	return st;
}

static void
ask_controller(void *arg)
{
	struct broker *b = arg;
	struct allocate_producer_ids_request req = {.broker_id = b->id,
						    .broker_epoch = atomic_load(&b->epoch)};
	struct buf body = {0};
	struct wire_out out;
	char host[256];
	int32_t id;
	int port;

	wire_out_init(&out, &body);
	if (!find_controller(b, &id, host, sizeof(host), &port) ||
	    connect_to(b, id, host, port) != 0 ||
	    allocate_producer_ids_request_encode(&req, ALLOCATE_VERSION, &out) != 0) {
		buf_fini(&body);
		producer_ids_refused(b->producer_ids);
		return;
	}
	rpc_call(b->producer_ids_rpc, ALLOCATE_PRODUCER_IDS, ALLOCATE_VERSION, true, &body,
		 broker_conf_of(b)->request_timeout_ms, on_answer, b);
}

void
broker_ask_producer_ids(void *arg, struct producer_ids *pids)
{
	struct broker *b = arg;

	(void)pids;
	if (controller_is_active(b->controller))
		controller_submit(b->controller, claim, b);
	else
		reactor_post(reactors_get(b->reactors, 0), ask_controller, b);
}

static void
close_rpc(void *arg)
{
	struct broker *b = arg;

	rpc_close(b->producer_ids_rpc);
	b->producer_ids_rpc = NULL;
}

void
broker_close_producer_ids(struct broker *b)
{
	if (b->producer_ids_rpc != NULL)
		reactor_call(reactors_get(b->reactors, 0), close_rpc, b);
	producer_ids_close(b->producer_ids);
}
