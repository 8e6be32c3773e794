/*
 * fetch_session_internal.h - the inside of one fetch session, for the files fetch_session*.c.
 */
#ifndef KLAMM_REPLICA_FETCH_SESSION_INTERNAL_H
#define KLAMM_REPLICA_FETCH_SESSION_INTERNAL_H

#include <stdatomic.h>

#include "base/map.h"
#include "replica/fetch_session.h"

struct cached_partition {
	struct fetch_session *session;
	struct cached_partition *next, *prev;     /* in the list it stands in */
	struct fetch_target target;               /* its topic is owned */
	int64_t high_watermark, log_start_offset; /* as last answered */
	bool in_quiet_list;
	struct partition_watch watch;

	/* Under news_lock. */
	bool stirred, quiet;
	struct cached_partition *next_stirred;
};

struct partition_list {
	struct cached_partition *first, *last;
};

struct fetch_session {
	/* Under LOCK_SESSIONS. */
	struct fetch_session *next, *prev; /* by last use, oldest first */
	int32_t epoch;
	int64_t last_used_ms;
	size_t size; /* how many partitions it had when it was last used */

	int32_t id;
	bool uses_topic_ids;
	int32_t follower_id; /* -1: a consumer's */
	_Atomic int32_t references;

	struct lock lock;
	struct map partitions; /* key -> struct cached_partition */
	struct partition_list awake, quiet;

	struct lock news_lock;
	struct cached_partition *stirred;
	bool urgent; /* one of them would have woken a sleeper */
	struct fetch_sleeper *sleeper;
	int64_t last_fetch_ms;
};

/* One reference, the caller's. NULL without memory. */
struct fetch_session *fetch_session_new(bool uses_topic_ids, int32_t follower_id);
void fetch_session_put(struct fetch_session *s);

/* Takes the request's partitions in and out. 0 or -ENOMEM. ret_size: how many there are now. */
MUST_CHECK int fetch_session_change(struct fetch_session *s, const struct fetch_request *req,
				    size_t *ret_size);
/* Lists what is awake, and a few of the quiet, at the beginning of a fetch. 0 or -ENOMEM. */
MUST_CHECK int fetch_session_list(struct fetch_session *s, int64_t now_ms, struct arena *arena,
				  struct fetch_context *context);
/* Fills a new session with what a full fetch has answered. 0 or -ENOMEM. */
MUST_CHECK int fetch_session_fill(struct fetch_session *s, const struct fetch_context *context);
/* Marks what is new, moves what had records to the end, and lets rest what is quiet. */
void fetch_session_settle(struct fetch_session *s, struct fetch_context *context);

/* Calls fn for each partition that the request lists. Stops at an error. */
MUST_CHECK int fetch_request_each(const struct fetch_request *req,
				  int (*fn)(void *arg, const struct fetch_target *t), void *arg);

#endif
