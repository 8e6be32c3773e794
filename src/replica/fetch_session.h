/*
 * fetch_session.h - incremental fetches: what a client asks for again and again is remembered, and
 * only what is new is answered.
 *
 * A session holds the partitions of one client in an order that rotates: whoever had records goes
 * to the end, so that none starves. A decision module: it knows neither logs nor connections.
 *
 * Threads  any; LOCK_SESSIONS guards all sessions and is held while the partitions of one are
 *          copied out or in.
 * Source   wire-protocol, section 11.7; KIP-227, Kafka's FetchSession.
 */
#ifndef KLAMM_REPLICA_FETCH_SESSION_H
#define KLAMM_REPLICA_FETCH_SESSION_H

#include "base/arena.h"
#include "base/env.h"
#include "base/lock.h"

struct fetch_sessions;
struct fetch_request;

/* One partition to read, and what came of it. */
struct fetch_target {
	struct str topic;     /* data NULL: the topic id is not known */
	struct uuid topic_id; /* zero below version 13 */
	int32_t partition;
	int64_t fetch_offset;
	int64_t log_start_offset; /* the follower's; -1 of a consumer */
	int32_t max_bytes;
	int32_t current_leader_epoch;
	int32_t last_fetched_epoch;

	/* Filled in by whoever reads, for fetch_session_end(). */
	bool has_records, failed, must_answer; /* must_answer: a diverging epoch, another replica */
	int64_t high_watermark, answered_log_start_offset;
	bool include; /* set by fetch_session_end(): belongs into the answer */
};

/* One fetch request's dealings with the sessions. */
struct fetch_context {
	bool incremental;
	bool create; /* a full fetch that wants a session */
	bool uses_topic_ids;
	bool is_follower;
	int32_t session_id;           /* of the session it runs in; 0: none */
	int32_t epoch;                /* that the session expects next */
	struct fetch_target *targets; /* in the order in which to read */
	size_t target_count;
};

/* slots: max.incremental.fetch.session.cache.slots */
MUST_CHECK int fetch_sessions_open(struct env *env, size_t slots,
				   struct fetch_sessions **ret_sessions);
void fetch_sessions_close(struct fetch_sessions *fs);

/*
 * Begins a fetch: finds or closes the session that the request names and lists the partitions to
 * read; topics without id are given by name in the request, or resolved by the caller afterwards.
 *
 * Returns 0; K_FETCH_SESSION_ID_NOT_FOUND, K_INVALID_FETCH_SESSION_EPOCH,
 * K_FETCH_SESSION_TOPIC_ID_ERROR for the whole answer; -ENOMEM.
 */
MUST_CHECK int fetch_session_begin(struct fetch_sessions *fs, const struct fetch_request *req,
				   int version, bool is_follower, struct arena *arena,
				   struct fetch_context *ret_context);

/*
 * Ends it when the answer is made: remembers what is answered, marks what belongs into it, and
 * creates a session where one is wanted and there is room.
 *
 * ret_session_id  for the answer
 * Returns 0, or K_INVALID_FETCH_SESSION_EPOCH when another request has overtaken this one.
 */
MUST_CHECK int fetch_session_end(struct fetch_sessions *fs, struct fetch_context *context,
				 int32_t *ret_session_id);

size_t fetch_sessions_count(struct fetch_sessions *fs);

#endif
