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

static void
ask_controller(void *arg)
{
	struct broker *b = arg;
	struct allocate_producer_ids_request req = {.broker_id = b->id,
						    .broker_epoch = atomic_load(&b->epoch)};
	struct buf body = {0};
	struct wire_out out;
	int st;

	wire_out_init(&out, &body);
	st = allocate_producer_ids_request_encode(&req, ALLOCATE_VERSION, &out);
	wire_out_fini(&out);
	if (st == 0)
		st = controller_peer_call(&b->producer_ids_peer, ALLOCATE_PRODUCER_IDS,
					  ALLOCATE_VERSION, true, &body,
					  broker_conf_of(b)->request_timeout_ms, on_answer, b);
	else
		buf_fini(&body);
	if (st != 0)
		producer_ids_refused(b->producer_ids);
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

void
broker_controller_peer(struct broker *b, int64_t timeout_ms, struct controller_peer *ret_peer)
{
	struct controller_peer_settings settings = {
	    .reactor = reactors_get(b->reactors, 0),
	    .workers = b->workers,
	    .metadata = b->metadata,
	    .broker_id = b->id,
	    .listener = b->inter_broker->listener_name,
	    .tls = b->client_tls,
	    .verify_host = b->verify_host,
	    .connect_timeout_ms = timeout_ms,
	};

	controller_peer_init(ret_peer, &settings);
}

static void
close_peer(void *arg)
{
	struct broker *b = arg;

	controller_peer_fini(&b->producer_ids_peer);
}

void
broker_close_producer_ids(struct broker *b)
{
	if (b->reactors != NULL)
		reactor_call(reactors_get(b->reactors, 0), close_peer, b);
	producer_ids_close(b->producer_ids);
}
