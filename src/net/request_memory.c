/*
 * Without a ceiling the bytes are only counted. With one, `used` never passes it: what is given
 * back goes to the head of the queue first, and nobody overtakes the queue, so a large frame is
 * not starved by small ones.
 *
 * A grant is made under the lock and told by a message. Between the two the waiter is out of the
 * queue and must not be freed: request_memory_cancel() says so.
 */
#include "net/request_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/metrics.h"
#include "net/reactor.h"

struct request_memory {
	int64_t ceiling;
	_Atomic int64_t used; /* with a ceiling, changed under lock only */
	struct lock lock;
	struct request_memory_wait *first, **last; /* under lock */
	int64_t waiting;                           /* under lock */
	struct metric *waits;
};

static void
collect(struct metrics_scrape *scrape, void *arg)
{
	metrics_sample(scrape, "", (double)request_memory_used(arg));
}

int
request_memory_open(int64_t ceiling, struct request_memory **ret_memory)
{
	struct request_memory *rm = calloc(1, sizeof(*rm));

	if (rm == NULL)
		return -ENOMEM;
	rm->ceiling = ceiling > 0 ? ceiling : INT64_MAX;
	rm->last = &rm->first;
	lock_init(&rm->lock, LOCK_REQUEST_MEMORY);
	rm->waits = metrics_get(METRIC_REQUEST_MEMORY_WAITS, "");
	metrics_add_collector(METRIC_REQUEST_MEMORY, collect, rm);
	*ret_memory = rm;
	return 0;
}

void
request_memory_close(struct request_memory *rm)
{
	if (rm == NULL)
		return;
	assert(rm->first == NULL);
	metrics_remove_collectors(rm);
	lock_fini(&rm->lock);
	free(rm);
}

int64_t
request_memory_ceiling(const struct request_memory *rm)
{
	return rm->ceiling;
}

int64_t
request_memory_used(struct request_memory *rm)
{
	return atomic_load_explicit(&rm->used, memory_order_relaxed);
}

int64_t
request_memory_waiting(struct request_memory *rm)
{
	int64_t waiting;

	lock_acquire(&rm->lock);
	waiting = rm->waiting;
	lock_release(&rm->lock);
	return waiting;
}

static void
add_used(struct request_memory *rm, int64_t n)
{
	atomic_fetch_add_explicit(&rm->used, n, memory_order_relaxed);
}

bool
request_memory_reserve(struct request_memory *rm, size_t size, struct request_memory_wait *wait)
{
	bool granted;

	if (rm->ceiling == INT64_MAX) {
		add_used(rm, (int64_t)size);
		return true;
	}
	assert(size <= (uint64_t)rm->ceiling);
	lock_acquire(&rm->lock);
	granted = rm->first == NULL && (int64_t)size <= rm->ceiling - request_memory_used(rm);
	if (granted) {
		add_used(rm, (int64_t)size);
	} else {
		wait->size = size;
		wait->cancelled = false;
		wait->next = NULL;
		wait->prev = rm->last;
		*rm->last = wait;
		rm->last = &wait->next;
		rm->waiting++;
	}
	lock_release(&rm->lock);
	if (!granted)
		metric_add(rm->waits, 1);
	return granted;
}

static void
unlink_wait(struct request_memory *rm, struct request_memory_wait *wait)
{
	*wait->prev = wait->next;
	if (wait->next != NULL)
		wait->next->prev = wait->prev;
	else
		rm->last = wait->prev;
	wait->prev = NULL;
	rm->waiting--;
}

/* Takes from the queue those that fit now; returns them as a list of their own. */
static struct request_memory_wait *
grant(struct request_memory *rm)
{
	struct request_memory_wait *granted = NULL, **last = &granted;

	while (rm->first != NULL &&
	       (int64_t)rm->first->size <= rm->ceiling - request_memory_used(rm)) {
		struct request_memory_wait *wait = rm->first;

		unlink_wait(rm, wait);
		add_used(rm, (int64_t)wait->size);
		wait->next = NULL;
		*last = wait;
		last = &wait->next;
	}
	return granted;
}

static void
run_granted(void *arg)
{
	struct request_memory_wait *wait = arg;

	wait->granted(wait);
}

static void
tell(struct request_memory_wait *granted)
{
	while (granted != NULL) {
		struct request_memory_wait *next = granted->next;

		reactor_post(granted->reactor, run_granted, granted);
		granted = next;
	}
}

bool
request_memory_cancel(struct request_memory *rm, struct request_memory_wait *wait)
{
	struct request_memory_wait *granted = NULL;
	bool queued;

	lock_acquire(&rm->lock);
	queued = wait->prev != NULL;
	if (queued) {
		unlink_wait(rm, wait);
		granted = grant(rm); /* it may have stood before smaller ones */
	}
	lock_release(&rm->lock);
	tell(granted);
	return queued;
}

void
request_memory_release(struct request_memory *rm, size_t size)
{
	struct request_memory_wait *granted;

	if (rm->ceiling == INT64_MAX) {
		add_used(rm, -(int64_t)size);
		return;
	}
	lock_acquire(&rm->lock);
	add_used(rm, -(int64_t)size);
	granted = grant(rm);
	lock_release(&rm->lock);
	tell(granted);
}
