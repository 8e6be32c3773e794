/*
 * fetch_session.h - incremental fetches: what a client asks for again and again is remembered, and
 * only what is new is looked at and answered.
 *
 * A session holds the partitions of one client. Those that may have something to say are awake, in
 * an order that rotates: whoever had records goes to the end, so that none starves. A partition of
 * which everything has been said is quiet: the session watches it (partition_watch) and looks at it
 * again when it stirs, so that a fetch costs what has changed and not what the client follows.
 *
 * The log start offset alone moves unseen, by retention; therefore each fetch looks at a few quiet
 * partitions as well, one after the other.
 *
 * Threads  any; LOCK_SESSIONS guards which sessions there are, LOCK_SESSION the partitions of one,
 *          LOCK_SESSION_NEWS what a partition reports while its own lock is held.
 * Source   wire-protocol, section 11.7; KIP-227, Kafka's FetchSession.
 */
#ifndef KLAMM_REPLICA_FETCH_SESSION_H
#define KLAMM_REPLICA_FETCH_SESSION_H

#include "base/arena.h"
#include "base/env.h"
#include "base/lock.h"
#include "replica/partition.h"

struct fetch_sessions;
struct fetch_session;
struct fetch_request;

/* So many quiet partitions are looked at with each fetch. */
#define FETCH_SESSION_ROUND 8

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
	const struct partition *watched; /* by the session: to compare, not to use */

	/* Filled in by whoever reads, for fetch_session_end(). */
	bool has_records, failed, must_answer; /* must_answer: a diverging epoch, another replica */
	bool quiet;                            /* nothing more will come of it before it stirs */
	int64_t high_watermark, answered_log_start_offset;
	bool include; /* set by fetch_session_end(): belongs into the answer */
};

/*
 * One fetch that waits for its session. wake() is called as that of a partition_waiter; bytes are 0
 * for any reason but an append.
 */
struct fetch_sleeper {
	void (*wake)(struct fetch_sleeper *sleeper, int64_t bytes);
};

/* One fetch request's dealings with the sessions. */
struct fetch_context {
	bool incremental;
	bool create; /* a full fetch that wants a session */
	bool uses_topic_ids;
	int32_t follower_id;           /* -1: a consumer */
	struct fetch_session *session; /* counted, of an incremental fetch */
	int32_t epoch;                 /* that the session expects next */
	struct fetch_target *targets;  /* in the order in which to read */
	size_t target_count, target_capacity;
	struct fetch_sleeper *sleeper; /* while it waits */
};

/* slots: max.incremental.fetch.session.cache.slots */
MUST_CHECK int fetch_sessions_open(struct env *env, size_t slots,
				   struct fetch_sessions **ret_sessions);
void fetch_sessions_close(struct fetch_sessions *fs);

/*
 * Begins a fetch: finds or closes the session that the request names and lists the partitions to
 * read; topics without id are given by name in the request, or resolved by the caller afterwards.
 * fetch_session_leave() ends it in any case where it returns 0.
 *
 * target_bytes  what the caller will need of the arena for each target, besides the target: its
 *               limit is raised by that for each partition of the request or of its session
 *
 * Returns 0; K_FETCH_SESSION_ID_NOT_FOUND, K_INVALID_FETCH_SESSION_EPOCH,
 * K_FETCH_SESSION_TOPIC_ID_ERROR for the whole answer; -ENOMEM.
 */
MUST_CHECK int fetch_session_begin(struct fetch_sessions *fs, const struct fetch_request *req,
				   int version, int32_t follower_id, struct arena *arena,
				   size_t target_bytes, struct fetch_context *ret_context);

/*
 * What follows is for an incremental fetch, and does nothing for another.
 */

/* The session shall watch the partition that belongs to a target. To be called before it is read.
 */
void fetch_session_watch(struct fetch_context *context, const struct fetch_target *target,
			 struct partition *p);
/*
 * Adds what has stirred since the partitions were listed; all targets are to be read after it. Not
 * while others look at the targets. Returns how many have stirred, or -ENOMEM.
 */
MUST_CHECK int fetch_session_add_stirred(struct fetch_context *context, struct arena *arena);
/*
 * From now on the sleeper is woken. Returns whether that should have happened already, since the
 * targets were listed or added to.
 */
bool fetch_session_sleep(struct fetch_context *context, struct fetch_sleeper *sleeper);

/*
 * Ends it when the answer is made: remembers what is answered, marks what belongs into it, and
 * creates a session where one is wanted and there is room.
 *
 * ret_session_id  for the answer
 * Returns 0, or K_INVALID_FETCH_SESSION_EPOCH when another request has overtaken this one.
 */
MUST_CHECK int fetch_session_end(struct fetch_sessions *fs, struct fetch_context *context,
				 int32_t *ret_session_id);
/* The sleeper is not woken any more, and the session is let go. */
void fetch_session_leave(struct fetch_context *context);

size_t fetch_sessions_count(struct fetch_sessions *fs);

#endif
