/*
 * producer_ids.h - hands out producer ids, from blocks that the controller grants.
 *
 * When no block is at hand one is asked for; whoever needs an id meanwhile waits for it. The next
 * block is asked for when nine tenths of the current one are used.
 *
 * Threads  any; LOCK_PRODUCER_IDS.
 * Source   zookeeper-and-controller, section 4.8; wire-protocol, section 17.2: Kafka's
 *          RPCProducerIdManager.
 */
#ifndef KLAMM_TXN_PRODUCER_IDS_H
#define KLAMM_TXN_PRODUCER_IDS_H

#include "base/bytes.h"

struct producer_ids;

/*
 * Asks the controller for a block: arranges that producer_ids_granted() or producer_ids_refused()
 * is called, from any thread, later or at once. Called without a lock.
 */
typedef void producer_ids_ask_fn(void *arg, struct producer_ids *pids);

MUST_CHECK int producer_ids_open(producer_ids_ask_fn *ask, void *arg,
				 struct producer_ids **ret_pids);
/* Nobody may wait any more. Accepts NULL. */
void producer_ids_close(struct producer_ids *pids);

/* One who waits for a block. Owned by him; wake is called under the lock: it may only post. */
struct producer_ids_waiter {
	struct producer_ids_waiter *next, **prev;
	void (*wake)(struct producer_ids_waiter *waiter);
	bool waiting;
};

/*
 * The next id. -EAGAIN: there is none yet; waiter is woken when that may have changed.
 */
MUST_CHECK int producer_ids_next(struct producer_ids *pids, struct producer_ids_waiter *waiter,
				 int64_t *ret_id);
void producer_ids_wait_end(struct producer_ids *pids, struct producer_ids_waiter *waiter);

/* The answer to ask(): ids first to first + count - 1 are ours, or there was none. */
void producer_ids_granted(struct producer_ids *pids, int64_t first, int32_t count);
void producer_ids_refused(struct producer_ids *pids);

#endif
