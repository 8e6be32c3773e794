/*
 * timers.h - many timers in one heap, for loops that own their time.
 *
 * The owner embeds a struct timer, arms it with a deadline in its own clock, and the loop asks
 * for the next deadline and runs what is due. Arming and cancelling cost O(log n).
 *
 * Threads  one loop.
 */
#ifndef KLAMM_BASE_TIMERS_H
#define KLAMM_BASE_TIMERS_H

#include "base/bytes.h"

struct timer;
typedef void timer_fn(struct timer *timer, void *arg);

struct timer {
	int64_t deadline_ms;
	timer_fn *fn;
	void *arg;
	size_t slot; /* 1-based place in the heap, 0 when not armed */
};

struct timers {
	struct timer **heap;
	size_t count;
	size_t cap;
};

void timers_init(struct timers *ts);
void timers_fini(struct timers *ts);
void timer_init(struct timer *t, timer_fn *fn, void *arg);
/* Arms, or moves an armed timer. Aborts without memory. */
void timers_arm(struct timers *ts, struct timer *t, int64_t deadline_ms);
void timers_cancel(struct timers *ts, struct timer *t);
bool timer_armed(const struct timer *t);
/* The earliest deadline, or INT64_MAX. */
int64_t timers_next_ms(const struct timers *ts);
/* Fires all that are due at now_ms, earliest first; a timer is disarmed before it runs. */
void timers_run(struct timers *ts, int64_t now_ms);

#endif
