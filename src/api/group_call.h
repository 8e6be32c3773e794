/*
 * group_call.h - what the handlers of group requests share.
 */
#ifndef KLAMM_API_GROUP_CALL_H
#define KLAMM_API_GROUP_CALL_H

#include "api/api_call.h"

/* Longer than any join phase: what waits ends by the coordinator's word alone. */
#define GROUP_CALL_TIMEOUT_MS (INT64_C(1) << 40)

/* READ, DELETE, DESCRIBE: bits by the number of the operation. */
#define ALL_GROUP_OPERATIONS (1 << 3 | 1 << 6 | 1 << 8)

/* First in the state of a call that waits for its group. */
struct group_call {
	struct group_wait wait;
	struct api_call *call;
	void (*answer)(struct api_call *call, struct group_wait *wait);
};

static inline void
group_call_wake(struct group_wait *wait)
{
	api_wake(CONTAINER_OF(wait, struct group_call, wait)->call);
}

static inline void
group_call_finish(struct api_call *call)
{
	group_wait_fini(&((struct group_call *)call->state)->wait);
}

static inline void
group_call_resume(struct api_call *call, bool timed_out)
{
	struct group_call *gc = call->state;

	(void)timed_out;
	if (atomic_load(&gc->wait.done))
		gc->answer(call, &gc->wait);
}

/* Before the coordinator is asked. */
static inline void
group_call_begin(struct api_call *call, struct group_call *gc,
		 void (*answer)(struct api_call *call, struct group_wait *wait))
{
	gc->wait.wake = group_call_wake;
	gc->call = call;
	gc->answer = answer;
	call->state = gc;
	call->finish = group_call_finish;
}

/* After: answers at once, or when the coordinator has its result. */
static inline void
group_call_wait(struct api_call *call)
{
	struct group_call *gc = call->state;

	if (!atomic_load(&gc->wait.done)) {
		net_request_drop_bytes(call->req);
		api_park(call, GROUP_CALL_TIMEOUT_MS, group_call_resume);
	}
	group_call_resume(call, false);
}

/*
 * An array in the arena with room for one more than count: items itself, or a larger copy. NULL
 * without memory.
 */
static inline void *
group_call_grow(struct api_call *call, const struct wire_struct *of, void *items, int32_t count,
		int32_t *cap)
{
	int32_t more = *cap == 0 ? 8 : *cap * 2;
	void *grown;

	if (count < *cap)
		return items;
	grown = wire_new(of, &call->arena, more);
	if (grown == NULL)
		return NULL;
	if (count > 0)
		memcpy(grown, items, (size_t)count * of->size);
	*cap = more;
	return grown;
}

#endif
