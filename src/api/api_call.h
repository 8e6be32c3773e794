/*
 * api_call.h - one request under way, for the handlers of this room.
 *
 * A handler gets the decoded request and either answers with api_answer() or parks the call with
 * api_park() and answers later. A call belongs to the reactor of its connection: it is parked,
 * resumed and answered there. Other threads may only wake it.
 */
#ifndef KLAMM_API_API_CALL_H
#define KLAMM_API_API_CALL_H

#include <stdatomic.h>

#include "api/api.h"
#include "base/metrics.h"
#include "net/connection.h"
#include "wire/api_table.h"
#include "wire/frame.h"
#include "wire/kerr.h"

struct api_call;

typedef void api_handle_fn(struct api_call *call, void *request);
typedef void api_resume_fn(struct api_call *call, bool timed_out);

/* Where the time of a request goes, Kafka's words; klamm_request_phase_seconds. */
enum api_phase {
	API_PHASE_QUEUE,  /* it waits for a worker or the controller's thread */
	API_PHASE_LOCAL,  /* it is being worked on */
	API_PHASE_REMOTE, /* it waits: for replicas, records, members of a group */
	API_PHASE_SEND,   /* its answer is on the way to the kernel */
	API_PHASE_COUNT
};

struct api_entry {
	int16_t key;
	int8_t min, max;
	const char *authorisation;
	api_handle_fn *handle;
	const struct wire_api *wire;
	struct metric *requests, *errors;
	struct histogram *time;
	struct histogram *phases; /* API_PHASE_COUNT of them */
};

#define API_KEY_MAX 127

struct api {
	struct api_settings settings;
	struct net_handler handler;
	struct fetch_sessions *sessions;
	struct api_entry *entries; /* in order of key */
	size_t entry_count;
	struct api_entry *by_key[API_KEY_MAX + 1];
	struct histogram *phases; /* API_PHASE_COUNT for each entry, from the start */
	/* Calls that wait for the metadata to change. */
	struct lock waiting_lock;
	struct api_call *waiting; /* under waiting_lock */
	_Atomic bool shutting_down;
};

struct api_call {
	struct api *api;
	const struct api_entry *entry;
	struct net_request *req;
	struct reactor *reactor;
	struct frame_head head;
	struct arena arena;
	void *request;                         /* decoded, in the arena */
	void *state;                           /* the handler's, in the arena */
	void (*finish)(struct api_call *call); /* frees what state owns; may be NULL */

	/* Parking */
	_Atomic int32_t references;
	_Atomic bool woken;
	int64_t parked_us;                   /* since when it is parked */
	int64_t elapsed_us[API_PHASE_COUNT]; /* QUEUE and REMOTE so far */
	bool parked, ended, waits_for_metadata;
	bool droppable; /* nobody misses the answer when the peer has gone */
	struct timer timer;
	api_resume_fn *resume;
	struct api_call *next_waiting, **prev_waiting; /* for the metadata */
};

static inline int
api_version(const struct api_call *call)
{
	return call->head.api_version;
}

/* Answers with the message in the request's version, and ends the call. */
void api_answer(struct api_call *call, const void *response);
/* Ends the call without an answer (acks=0), or by closing the connection. */
void api_no_answer(struct api_call *call);
void api_close_connection(struct api_call *call);
/* The arena is used up: the connection is closed with one line. */
void api_out_of_memory(struct api_call *call);

/*
 * Waits: resume(call, false) is called after each api_wake(), resume(call, true) once timeout_ms
 * have passed. The call stays parked until it is answered; resume may be changed by parking again.
 */
void api_park(struct api_call *call, int64_t timeout_ms, api_resume_fn *resume);
/* Any thread, with any lock of rank up to LOCK_SESSION_NEWS held. */
void api_wake(struct api_call *call);
/* Keeps the call's memory past its end, for one who will still wake it or write into its state. */
void api_hold(struct api_call *call);
void api_release(struct api_call *call);
/* Wakes the call whenever the metadata has changed, until it ends. */
void api_wait_for_metadata(struct api_call *call);

/*
 * Runs work(call) on a worker and then back(call) on the reactor. Between the two nothing else
 * touches the call.
 */
void api_work(struct api_call *call, void (*work)(struct api_call *call),
	      void (*back)(struct api_call *call));
/* The same on the controller's thread, with the session. */
void api_work_on_controller(struct api_call *call,
			    void (*work)(struct api_call *call, struct zk *zk),
			    void (*back)(struct api_call *call));

/*
 * Where to find the leader of a partition, for KIP-951's hints: what the partition or the metadata
 * knows. endpoint (may be NULL): filled with the leader's host and port on the listener of this
 * connection, its texts in the arena. Returns false when no leader is known; -1 is set then.
 */
struct api_leader_hint {
	int32_t leader, leader_epoch;
	bool has_endpoint;
	struct str host, rack;
	int32_t port;
};
void api_leader_hint(struct api_call *call, struct str topic, int32_t partition,
		     struct api_leader_hint *ret_hint);

/* The cluster has it, as far as this broker was told. */
bool api_partition_exists(struct api_call *call, struct str topic, int32_t partition);

/* A copy in the arena; null stays null, and becomes so without memory. */
static inline struct str
api_copy_text(struct api_call *call, const char *text)
{
	return str_of(text == NULL ? NULL : arena_strdup(&call->arena, text, strlen(text)));
}

static inline const struct broker_conf *
api_conf(const struct api_call *call)
{
	return conf_store_get(call->api->settings.conf);
}

/* Handlers, one for each line of api.def. */
#define API(key, handler, min, max, caller, authorisation) api_handle_fn api_##handler;
#include "api/api.def"
#undef API

#endif
