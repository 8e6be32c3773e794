/*
 * request_memory.h - the ceiling over the bytes of requests in flight: queued.max.request.bytes.
 *
 * One for the whole broker. A connection that knows the size of its next frame reserves that many
 * bytes before it asks for memory. At the ceiling it waits in a queue, first come first served
 * over all reactors, and is told when its share was granted; nothing ever fails, and the sum of
 * what was granted never passes the ceiling. A frame as large as the ceiling is granted when
 * nothing else is in flight.
 *
 * Threads  any; under LOCK_REQUEST_MEMORY where there is a ceiling.
 * Source   wire-protocol 1.1; Kafka's MemoryPool.
 */
#ifndef KLAMM_NET_REQUEST_MEMORY_H
#define KLAMM_NET_REQUEST_MEMORY_H

#include "base/bytes.h"

struct reactor;
struct request_memory;

/* Embedded in its connection, which it outlives by a count. */
struct request_memory_wait {
	struct request_memory_wait *next, **prev;
	struct reactor *reactor;
	void (*granted)(struct request_memory_wait *wait);
	size_t size;
	bool cancelled; /* of the reactor's thread */
};

/* ceiling: bytes; <= 0: none. Returns 0 or -ENOMEM. */
MUST_CHECK int request_memory_open(int64_t ceiling, struct request_memory **ret_memory);
void request_memory_close(struct request_memory *rm);
/* The ceiling, or INT64_MAX. */
int64_t request_memory_ceiling(const struct request_memory *rm);
/* Bytes reserved now, and connections that wait. */
int64_t request_memory_used(struct request_memory *rm);
int64_t request_memory_waiting(struct request_memory *rm);

/*
 * Reserves size bytes: true. At the ceiling: false, and wait->granted(wait) will be called on
 * wait->reactor with the bytes reserved. size must not be above the ceiling.
 */
bool request_memory_reserve(struct request_memory *rm, size_t size,
			    struct request_memory_wait *wait);
/*
 * Gives up waiting. True: it is out of the queue. False: the call of granted() is on its way
 * already, with bytes that it must release.
 */
bool request_memory_cancel(struct request_memory *rm, struct request_memory_wait *wait);
void request_memory_release(struct request_memory *rm, size_t size);

#endif
