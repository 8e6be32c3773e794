/*
 * fetcher_internal.h - the inside of the fetchers, for the files fetcher*.c.
 *
 * What a fetcher has belongs to its thread; struct fetchers to the one that gives the orders.
 */
#ifndef KLAMM_REPLICA_FETCHER_INTERNAL_H
#define KLAMM_REPLICA_FETCHER_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "net/rpc_client.h"
#include "replica/fetcher.h"

/* What Kafka 3.9 sends. */
#define FETCH_VERSION 17
#define LIST_OFFSETS_VERSION 9

enum follow_state {
	FOLLOW_READY,   /* is fetched */
	FOLLOW_WAITING, /* tried again when its timer fires */
	FOLLOW_ASKING,  /* asks the leader where its log begins or ends */
	FOLLOW_FAILED,  /* until the next LeaderAndIsr */
};

/* How a session names a partition. */
struct session_key {
	struct uuid topic_id;
	int32_t partition;
};

/* One partition that is followed. */
struct followed {
	struct leader_link *link;                  /* to leader */
	struct followed *next, **prev;             /* in the link */
	struct followed *next_dirty, **prev_dirty; /* NULL prev: the session knows it as it is */
	struct partition *p;                       /* counted */
	struct session_key key;
	int32_t leader, leader_epoch;
	enum follow_state state;
	int64_t offset; /* the next to fetch: our log end offset */
	int32_t epoch;  /* of the last record; -1: none */
	int64_t log_start_offset;
	int64_t
	    lag; /* records below the leader's high watermark at the last answer; -1: none yet */
	bool in_session;
	int32_t refusals; /* one after the other */
	bool complained;  /* of records that could not be appended */
	struct timer retry;
};

/* One leader, from one fetcher's view. */
struct leader_link {
	struct fetcher *fetcher;
	int32_t broker_id;
	struct rpc_client *rpc; /* NULL: no address is known yet */
	struct followed *first;
	struct followed *dirty;        /* to be told to the session */
	struct map by_key;             /* struct session_key -> struct followed */
	struct session_key *forgotten; /* to be told that they are not fetched any more */
	int32_t forgotten_count, forgotten_cap;
	int32_t ready_count;
	int32_t session_id, session_epoch; /* epoch 0: the next request begins a session */
	bool in_flight;
	bool throttled;               /* at the last Fetch the rate was exceeded */
	uint32_t throttle_generation; /* of the settings then */
	struct timer pause;           /* armed after a failure */
};

struct fetcher {
	struct fetchers *owner;
	int32_t index;
	struct reactor *reactor;
	pthread_t thread;
	struct map links;    /* broker id -> struct leader_link */
	struct map followed; /* struct partition * -> struct followed */
	bool closing;
};

struct fetchers {
	struct fetcher_settings settings; /* these alone may be read on any thread */
	int32_t count;
	struct fetcher **threads; /* each stays where it is until its thread has ended */
};

/* ---- fetcher.c ---- */

void followed_set_state(struct followed *f, enum follow_state state);
/* READY, with what is to be told to the session. */
void followed_go_on(struct followed *f, int64_t offset, int32_t epoch);
/*
 * Tried again after a moment, which doubles up to replica.fetch.backoff.ms: a leader that was just
 * elected may hear of it later than its followers.
 */
void followed_back_off(struct followed *f);
/* For who asks the partition, too. */
void followed_set_lag(struct followed *f, int64_t lag);
/* Tried again after so long. */
void followed_wait(struct followed *f, int64_t wait_ms);
void followed_clean(struct followed *f); /* the session knows it */
/* The leader could not be reached or made no sense: all of it starts anew after a pause. */
void link_pause(struct leader_link *link);
/* Closes it and returns true if nobody follows this leader any more and no Fetch is under way. */
bool link_end_if_unused(struct leader_link *link);
struct followed *link_find(struct leader_link *link, const struct uuid *topic_id,
			   int32_t partition);
const struct broker_conf *link_conf(const struct leader_link *link);

/* ---- fetcher_request.c ---- */

/* Sends the next Fetch, when none is under way and there is something to ask. */
void link_send(struct leader_link *link);

/* ---- fetcher_throttle.c ---- */

/* Before a Fetch is built: takes out who has to wait because the rate is exceeded. */
void link_hold_back(struct leader_link *link);

/* ---- fetcher_response.c ---- */

void link_take_response(struct leader_link *link, struct slice body);
/* The leader's log does not hold our offset: finds out where it does. */
void followed_ask_offsets(struct followed *f);

#endif
