#include "base/timers.h"

#include <stdlib.h>

void
timers_init(struct timers *ts)
{
	*ts = (struct timers){0};
}

void
timers_fini(struct timers *ts)
{
	for (size_t i = 0; i < ts->count; i++)
		ts->heap[i]->slot = 0;
	free(ts->heap);
	timers_init(ts);
}

void
timer_init(struct timer *t, timer_fn *fn, void *arg)
{
	*t = (struct timer){.fn = fn, .arg = arg};
}

bool
timer_armed(const struct timer *t)
{
	return t->slot != 0;
}

static void
place(struct timers *ts, size_t index, struct timer *t)
{
	ts->heap[index] = t;
	t->slot = index + 1;
}

/* Moves t up from index while it is due before its parent. */
static size_t
sift_up(struct timers *ts, size_t index, struct timer *t)
{
	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (ts->heap[parent]->deadline_ms <= t->deadline_ms)
			break;
		place(ts, index, ts->heap[parent]);
		index = parent;
	}
	place(ts, index, t);
	return index;
}

static void
sift_down(struct timers *ts, size_t index, struct timer *t)
{
	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= ts->count)
			break;
		if (child + 1 < ts->count &&
		    ts->heap[child + 1]->deadline_ms < ts->heap[child]->deadline_ms)
			child++;
		if (t->deadline_ms <= ts->heap[child]->deadline_ms)
			break;
		place(ts, index, ts->heap[child]);
		index = child;
	}
	place(ts, index, t);
}

void
timers_arm(struct timers *ts, struct timer *t, int64_t deadline_ms)
{
	if (t->slot != 0) {
		size_t index = t->slot - 1;

		t->deadline_ms = deadline_ms;
		index = sift_up(ts, index, t);
		sift_down(ts, index, t);
		return;
	}
	if (ts->count == ts->cap) {
		size_t cap = ts->cap == 0 ? 16 : ts->cap * 2;
		struct timer **heap = realloc(ts->heap, cap * sizeof(struct timer *));

		if (heap == NULL)
			abort();
		ts->heap = heap;
		ts->cap = cap;
	}
	t->deadline_ms = deadline_ms;
	sift_up(ts, ts->count++, t);
}

void
timers_cancel(struct timers *ts, struct timer *t)
{
	struct timer *last;
	size_t index;

	if (t->slot == 0)
		return;
	index = t->slot - 1;
	t->slot = 0;
	last = ts->heap[--ts->count];
	if (last == t)
		return;
	index = sift_up(ts, index, last);
	sift_down(ts, index, last);
}

int64_t
timers_next_ms(const struct timers *ts)
{
	return ts->count == 0 ? INT64_MAX : ts->heap[0]->deadline_ms;
}

void
timers_run(struct timers *ts, int64_t now_ms)
{
	while (ts->count > 0 && ts->heap[0]->deadline_ms <= now_ms) {
		struct timer *t = ts->heap[0];

		timers_cancel(ts, t);
		t->fn(t, t->arg);
	}
}
