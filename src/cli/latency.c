/*
 * latency.c - counts of latencies in buckets whose width grows with the latency.
 *
 * Below 2 * LATENCY_STEPS each microsecond has its bucket; above, each power of two is parted into
 * LATENCY_STEPS buckets.
 */
#include "cli/latency.h"

static uint32_t
bucket_of(uint64_t us)
{
	uint32_t shift, bucket;

	if (us < 2 * LATENCY_STEPS)
		return (uint32_t)us;
	/* So far that LATENCY_STEPS <= us >> shift < 2 * LATENCY_STEPS. */
	shift = 63 - (uint32_t)__builtin_clzll(us) - 7;
	bucket = shift * LATENCY_STEPS + (uint32_t)(us >> shift);
	return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The largest latency of a bucket. */
static uint64_t
bucket_top(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < 2 * LATENCY_STEPS)
		return bucket;
	shift = bucket / LATENCY_STEPS - 1;
	return ((uint64_t)(bucket % LATENCY_STEPS + LATENCY_STEPS + 1) << shift) - 1;
}

void
latencies_add(struct latencies *l, int64_t us)
{
	uint64_t value = us < 0 ? 0 : (uint64_t)us;

	l->counts[bucket_of(value)]++;
	l->count++;
	l->sum_us += (double)value;
	if (value > l->max_us)
		l->max_us = value;
}

uint64_t
latencies_percentile(const struct latencies *l, double share)
{
	uint64_t wanted = (uint64_t)(share * (double)l->count + 0.999999), seen = 0;

	for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
		seen += l->counts[i];
		if (seen >= wanted && seen > 0) {
			uint64_t top = bucket_top(i);

			return top < l->max_us ? top : l->max_us;
		}
	}
	return l->max_us;
}

double
latencies_mean_us(const struct latencies *l)
{
	return l->count == 0 ? 0 : l->sum_us / (double)l->count;
}
