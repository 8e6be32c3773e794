/*
 * latency.h - counts of latencies, and percentiles of them, in bounded memory.
 *
 * Latencies are kept to better than one part in a hundred.
 */
#ifndef KLAMM_CLI_LATENCY_H
#define KLAMM_CLI_LATENCY_H

#include <stdint.h>

/* 128 steps in each power of two, up to 2^40 us: twelve days. */
#define LATENCY_STEPS 128
#define LATENCY_BUCKETS (LATENCY_STEPS * 35)

struct latencies {
	uint64_t counts[LATENCY_BUCKETS];
	uint64_t count;
	uint64_t max_us;
	double sum_us;
};

/* Negative ones count as 0. */
void latencies_add(struct latencies *l, int64_t us);
/* The latency below which a share of them lies, 0 < share <= 1, as the bucket's upper bound. */
uint64_t latencies_percentile(const struct latencies *l, double share);
double latencies_mean_us(const struct latencies *l);

#endif
