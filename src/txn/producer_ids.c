#include "txn/producer_ids.h"

#include <errno.h>
#include <stdlib.h>

#include "base/lock.h"

/* The next block is asked for when this share of the current one is left. */
#define LOW_SHARE 10

struct producer_ids {
	producer_ids_ask_fn *ask;
	void *arg;
	struct lock lock;
	/* All under lock. */
	int64_t next, end;   /* of the current block */
	int64_t spare_first; /* of the next block, already granted */
	int32_t spare_count, count;
	bool asked;
	struct producer_ids_waiter *waiters;
};

int
producer_ids_open(producer_ids_ask_fn *ask, void *arg, struct producer_ids **ret_pids)
{
	struct producer_ids *pids = calloc(1, sizeof(*pids));

	if (pids == NULL)
		return -ENOMEM;
	pids->ask = ask;
	pids->arg = arg;
	lock_init(&pids->lock, LOCK_PRODUCER_IDS);
	*ret_pids = pids;
	return 0;
}

void
producer_ids_close(struct producer_ids *pids)
{
	if (pids == NULL)
		return;
	lock_fini(&pids->lock);
	free(pids);
}

/* Under the lock. */
static void
wait_for_block(struct producer_ids *pids, struct producer_ids_waiter *waiter)
{
	if (waiter->waiting)
		return;
	waiter->waiting = true;
	waiter->next = pids->waiters;
	waiter->prev = &pids->waiters;
	if (pids->waiters != NULL)
		pids->waiters->prev = &waiter->next;
	pids->waiters = waiter;
}

void
producer_ids_wait_end(struct producer_ids *pids, struct producer_ids_waiter *waiter)
{
	lock_acquire(&pids->lock);
	if (waiter->waiting) {
		*waiter->prev = waiter->next;
		if (waiter->next != NULL)
			waiter->next->prev = waiter->prev;
		waiter->waiting = false;
	}
	lock_release(&pids->lock);
}

int
producer_ids_next(struct producer_ids *pids, struct producer_ids_waiter *waiter, int64_t *ret_id)
{
	bool ask = false;
	int st = 0;

	lock_acquire(&pids->lock);
	if (pids->next == pids->end && pids->spare_count > 0) {
		pids->next = pids->spare_first;
		pids->end = pids->spare_first + pids->spare_count;
		pids->count = pids->spare_count;
		pids->spare_count = 0;
	}
	if (pids->next == pids->end) {
		wait_for_block(pids, waiter);
		st = -EAGAIN;
	} else {
		*ret_id = pids->next++;
	}
	if (!pids->asked && pids->spare_count == 0 &&
	    pids->end - pids->next <= pids->count / LOW_SHARE)
		ask = pids->asked = true;
	lock_release(&pids->lock);
	if (ask)
		pids->ask(pids->arg, pids);
	return st;
}

/* Under the lock. */
static void
wake_all(struct producer_ids *pids)
{
	for (struct producer_ids_waiter *w = pids->waiters; w != NULL; w = w->next)
		w->wake(w);
}

void
producer_ids_granted(struct producer_ids *pids, int64_t first, int32_t count)
{
	lock_acquire(&pids->lock);
	pids->asked = false;
	pids->spare_first = first;
	pids->spare_count = count;
	wake_all(pids);
	lock_release(&pids->lock);
}

void
producer_ids_refused(struct producer_ids *pids)
{
	lock_acquire(&pids->lock);
	pids->asked = false;
	wake_all(pids);
	lock_release(&pids->lock);
}
