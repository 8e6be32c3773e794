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
#define PAUSE_MS 50 /* after a refusal */

/* ---- an answer ---- */

static void
granted(struct broker *b, int64_t first, int32_t count)
{
	atomic_store(&b->producer_ids_complained, false);
	producer_ids_granted(b->producer_ids, first, count);
}

/* Those who wait ask again. */
static void
on_pause_over(struct timer *timer, void *arg)
{
	struct broker *b = arg;

	(void)timer;
	producer_ids_refused(b->producer_ids);
}

static void
begin_pause(void *arg)
{
	struct broker *b = arg;
	struct reactor *r = reactors_get(b->reactors, 0);

	reactor_arm(r, &b->producer_ids_pause, reactor_now_ms(r) + PAUSE_MS);
}

/* One asks at a time, and not in a circle. Any thread. */
static void
refused(struct broker *b)
{
	reactor_post(reactors_get(b->reactors, 0), begin_pause, b);
}

/* Whether this is the first refusal since a grant. */
static bool
may_complain(struct broker *b)
{
	return !atomic_exchange(&b->producer_ids_complained, true);
}

/* ---- as the controller ---- */

static void
claim(void *arg, struct zk *zk)
{
	struct broker *b = arg;
	int64_t first;
	int st = znode_producer_ids_claim(zk, b->id, &first);

	if (st == 0) {
		granted(b, first, PRODUCER_ID_BLOCK_SIZE);
		return;
	}
	if (st == -EBADMSG && may_complain(b))
		diag_error(DIAG_TXN,
			   "cannot claim producer ids: mend the znode; its block_end must be above "
			   "every id that was given",
			   "path=/latest_producer_id_block");
	else if (st != -ESHUTDOWN && st != -EBADMSG && may_complain(b))
		diag_error(DIAG_TXN, "cannot claim a block of producer ids", "error=%s",
			   strerror(-st));
	refused(b);
}

/* ---- of another ---- */

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
		granted(b, resp.producer_id_start, resp.producer_id_len);
		return;
	}
	if (may_complain(b))
		diag_warn(DIAG_TXN, "the controller granted no producer ids; asked again",
			  "error=%s", status != 0 ? strerror(-status) : kerr_name(resp.error_code));
	refused(b);
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
		refused(b);
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
	    .listener = b->inter_broker_listener,
	    .tls = b->client_tls,
	    .connect_timeout_ms = timeout_ms,
	};

	controller_peer_init(ret_peer, &settings);
}

void
broker_open_producer_ids(struct broker *b)
{
	timer_init(&b->producer_ids_pause, on_pause_over, b);
	broker_controller_peer(b, broker_conf_of(b)->socket_connection_setup_timeout_ms,
			       &b->producer_ids_peer);
}

static void
close_peer(void *arg)
{
	struct broker *b = arg;

	reactor_cancel(reactors_get(b->reactors, 0), &b->producer_ids_pause);
	controller_peer_fini(&b->producer_ids_peer);
}

void
broker_close_producer_ids(struct broker *b)
{
	if (b->reactors != NULL)
		reactor_call(reactors_get(b->reactors, 0), close_peer, b);
	producer_ids_close(b->producer_ids);
}
