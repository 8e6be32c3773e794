/*
 * broker_call.h - requests that librdkafka does not know, sent to brokers as they are.
 *
 * A request is a struct of wire/generated, and so is its answer. Versions are negotiated with each
 * broker, the highest that both sides know; the controller is looked for again when it has moved.
 * Everything waits, up to --timeout for a call; several calls may be under way together.
 *
 *	struct list_partition_reassignments_request req;
 *	struct list_partition_reassignments_response resp;
 *
 *	list_partition_reassignments_request_init(&req);
 *	st = broker_ask(calls, BROKER_CONTROLLER, API_LIST_PARTITION_REASSIGNMENTS, &req, &arena,
 *			&resp, "asking for reassignments");
 *
 * What an answer says is the caller's to read, its error code too, but for NOT_CONTROLLER as the
 * code of a whole answer of the controller, after which the call is made again.
 *
 * Not for messages with records or bytes, which would be gone with the frame.
 *
 * Threads  one; the event loop runs inside the calls.
 */
#ifndef KLAMM_CLI_BROKER_CALL_H
#define KLAMM_CLI_BROKER_CALL_H

#include <signal.h>

#include "base/arena.h"
#include "cli/command.h"
#include "wire/api_table.h"

struct broker_calls;

/* Whom to ask: a broker's id, or */
#define BROKER_ANY (-1)
#define BROKER_CONTROLLER (-2)

/* Reads the options of client.h; does not connect. Tells what went wrong. */
MUST_CHECK int broker_calls_open(struct broker_calls **ret_calls);
/* Accepts NULL. */
void broker_calls_close(struct broker_calls *calls);
/* Once *flag is not 0, calls end with -EINTR, those under way too. */
void broker_calls_interrupt_by(struct broker_calls *calls, const volatile sig_atomic_t *flag);
/* What a request may say about how long the broker shall try: a little less than --timeout. */
int broker_calls_timeout_ms(const struct broker_calls *calls);

/* ---- who is there ---- */

struct cluster_broker {
	int32_t id;
	const char *host;
	int port;
	const char *rack; /* NULL: none */
};

struct cluster_view {
	int32_t controller;             /* -1: none */
	struct cluster_broker *brokers; /* by id */
	size_t broker_count;
};

/* Asks anew. Tells what went wrong. */
MUST_CHECK int broker_calls_refresh(struct broker_calls *calls);
/* The same without telling: 0, or a status as of a call, and what was known stays. */
int broker_calls_look(struct broker_calls *calls);
/* As it was when last asked for: NULL until then. Gone with the next call that asks anew. */
const struct cluster_view *broker_calls_cluster(const struct broker_calls *calls);
/* NULL when it is not among those that are there. */
const struct cluster_broker *cluster_view_broker(const struct cluster_view *view, int32_t id);

/* ---- calls ---- */

struct broker_call {
	int32_t to;
	int16_t api_key;
	const void *request;
	void *response; /* filled when status is 0 */
	/*
	 * 0: answered. K_UNSUPPORTED_VERSION: no common version. K_BROKER_NOT_AVAILABLE: nobody of
	 * that id is there, or no controller. Else -errno: -ETIMEDOUT, -ECONNREFUSED and the like,
	 * -EPROTO (TLS failed, or no broker), -EBADMSG (an answer that cannot be read), -EINVAL (a
	 * request that cannot be said in the version), -EINTR.
	 */
	int status;
	int version;  /* that was spoken, when status is 0 */
	bool waiting; /* inside broker_calls_send() only */
};

/* Makes all of the calls at once, and waits for all. Tells nothing. arena: what answers hold. */
void broker_calls_send(struct broker_calls *calls, struct arena *arena, struct broker_call *list,
		       size_t count);
/* The same for those who would rather go on without an answer: up to limit_ms, or --timeout. */
void broker_calls_send_within(struct broker_calls *calls, struct arena *arena,
			      struct broker_call *list, size_t count, int limit_ms);
/* Why a call failed, and at whom, as a sentence without a full stop. Appends. */
void broker_call_describe(const struct broker_calls *calls, const struct broker_call *call,
			  struct buf *out);
/* Tells that it failed: "WHAT: broker 3 (host:9092): Connection refused". Returns CLI_REFUSED. */
int broker_call_tell(const struct broker_calls *calls, const struct broker_call *call,
		     const char *what);
/* One call. CLI_DONE, or CLI_REFUSED after telling. */
MUST_CHECK int broker_ask(struct broker_calls *calls, int32_t to, int16_t api_key,
			  const void *request, struct arena *arena, void *response,
			  const char *what);

#endif
