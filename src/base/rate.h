/*
 * rate.h - how often something happens per second, over sliding windows, and how long to pause so
 * that it does not happen more often than a limit allows.
 *
 * What is counted falls into windows of a fixed length; the rate is taken over the newest of them.
 * A young rate is measured as if all windows but one had passed, so that a burst at the start does
 * not look like a flood; a simple one as if one window had passed, so that nothing is allowed in
 * advance.
 *
 * Threads  none of its own; the caller's lock.
 * Source   Kafka's Rate, SimpleRate, SampledStat and QuotaUtils.throttleTime; quota.window.num and
 *          quota.window.size.seconds.
 */
#ifndef KLAMM_BASE_RATE_H
#define KLAMM_BASE_RATE_H

#include "base/bytes.h"

struct rate_window {
	int64_t start_ms;
	double total;
};

struct rate {
	struct rate_window *windows; /* a ring, the oldest at first */
	int window_max, first, count;
	int64_t window_ms;
	bool simple;
	double total; /* of all windows */
};

/* window_max >= 1 windows of window_ms >= 1 each. Returns 0 or -ENOMEM. */
MUST_CHECK int rate_init(struct rate *r, int window_max, int64_t window_ms);
MUST_CHECK int rate_init_simple(struct rate *r, int window_max, int64_t window_ms);
void rate_fini(struct rate *r);

/* value may be negative, to take back what was recorded. now_ms: any clock that does not go back.
 */
void rate_record(struct rate *r, double value, int64_t now_ms);
/* Per second. */
double rate_per_second(struct rate *r, int64_t now_ms);
/*
 * How long nothing must happen until the rate is back at limit per second: 0 where it is not above,
 * at most max_ms.
 */
int64_t rate_throttle_ms(struct rate *r, double limit, int64_t max_ms, int64_t now_ms);

#endif
