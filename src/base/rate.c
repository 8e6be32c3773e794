/*
 * Windows begin when something happens in them, so they do not abut: between two there may be a
 * pause. One that began window_max lengths ago or earlier no longer counts.
 */
#include "base/rate.h"

#include <errno.h>
#include <stdlib.h>

int
rate_init(struct rate *r, int window_max, int64_t window_ms)
{
	*r = (struct rate){.window_max = window_max, .window_ms = window_ms};
	r->windows = calloc((size_t)window_max, sizeof(*r->windows));
	return r->windows == NULL ? -ENOMEM : 0;
}

int
rate_init_simple(struct rate *r, int window_max, int64_t window_ms)
{
	int st = rate_init(r, window_max, window_ms);

	r->simple = true;
	return st;
}

void
rate_fini(struct rate *r)
{
	free(r->windows);
	*r = (struct rate){0};
}

static void
drop_oldest(struct rate *r)
{
	r->total -= r->windows[r->first].total;
	r->first = (r->first + 1) % r->window_max;
	if (--r->count == 0)
		r->total = 0;
}

static void
drop_old(struct rate *r, int64_t now_ms)
{
	while (r->count > 0 &&
	       now_ms - r->windows[r->first].start_ms >= r->window_max * r->window_ms)
		drop_oldest(r);
}

/* The window that now_ms falls into. */
static struct rate_window *
current(struct rate *r, int64_t now_ms)
{
	struct rate_window *w = &r->windows[(r->first + r->count - 1) % r->window_max];

	if (r->count > 0 && now_ms - w->start_ms < r->window_ms)
		return w;
	if (r->count == r->window_max)
		drop_oldest(r);
	w = &r->windows[(r->first + r->count++) % r->window_max];
	*w = (struct rate_window){.start_ms = now_ms};
	return w;
}

void
rate_record(struct rate *r, double value, int64_t now_ms)
{
	drop_old(r, now_ms);
	current(r, now_ms)->total += value;
	r->total += value;
}

/* Over which the total is spread; at least 1. */
static int64_t
measured_ms(struct rate *r, int64_t now_ms)
{
	int64_t elapsed_ms, missing;

	drop_old(r, now_ms);
	elapsed_ms = r->count == 0 ? 0 : now_ms - r->windows[r->first].start_ms;
	if (r->simple)
		return elapsed_ms > r->window_ms ? elapsed_ms : r->window_ms;
	missing = r->window_max - 1 - elapsed_ms / r->window_ms;
	if (missing > 0)
		elapsed_ms += missing * r->window_ms;
	return elapsed_ms > 0 ? elapsed_ms : 1;
}

double
rate_per_second(struct rate *r, int64_t now_ms)
{
	int64_t over_ms = measured_ms(r, now_ms);

	return r->total * 1000 / (double)over_ms;
}

int64_t
rate_throttle_ms(struct rate *r, double limit, int64_t max_ms, int64_t now_ms)
{
	double per_second = rate_per_second(r, now_ms), pause_ms;

	if (per_second <= limit)
		return 0;
	pause_ms = (per_second - limit) / limit * (double)measured_ms(r, now_ms);
	return pause_ms < (double)max_ms ? (int64_t)(pause_ms + 0.5) : max_ms;
}
