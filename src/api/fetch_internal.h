/*
 * fetch_internal.h - what a Fetch under way consists of: fetch.c leads it, fetch_read.c reads.
 */
#ifndef KLAMM_API_FETCH_INTERNAL_H
#define KLAMM_API_FETCH_INTERNAL_H

#include "api/api_call.h"
#include "replica/fetch_session.h"
#include "wire/generated/fetch.h"

#define CONSUMER_REPLICA_ID (-1)
#define DEBUGGING_REPLICA_ID (-2)

/* One target under way. */
struct fetching {
	struct partition_waiter waiter;
	struct fetch_state *state;
	struct partition *partition; /* counted; NULL when it was not found */
	struct log *log;             /* counted; of the last look, NULL when it failed */
	struct log_offsets offsets;  /* at the last look */
	struct fetch_response_partition_data data;
	int32_t read_bytes;
	bool held_back; /* throttled: nothing is read for now */
};

struct fetch_state {
	const struct fetch_request *req;
	struct fetch_context context;
	struct fetching *fetching; /* one for each target */
	size_t fetching_capacity;
	struct fetch_sleeper sleeper;
	struct api_call *call;
	int32_t replica_id;
	int64_t replica_epoch; /* -1: not told */
	enum log_isolation isolation;
	int64_t max_bytes, min_bytes;
	int64_t deadline_ms;
	int64_t copied_bytes; /* in this pass */
	bool warmed;
	_Atomic int64_t found_bytes; /* by the last pass */
	_Atomic int64_t woken_bytes; /* appended since */
	_Atomic bool touched;        /* anything has changed since */
};

static inline bool
fetch_is_follower(const struct fetch_state *state)
{
	return state->replica_id >= 0;
}

/*
 * Reads one target from the beginning, within `left` bytes; min_one: a batch even if it is larger.
 * 0, what went wrong being in the answer, or -EAGAIN: the bytes are not in the page cache.
 */
MUST_CHECK int fetch_read_target(struct api_call *call, struct fetch_state *state, size_t index,
				 int64_t left, bool min_one);
/* Gives back what was read. */
void fetch_release(struct fetching *f);
/* On a worker: brings into the page cache what fetch_read_target() will want. */
void fetch_warm_target(struct fetch_state *state, size_t index);

#endif
