/*
 * metrics.h - the registry of what the broker counts, scraped in Prometheus' text format.
 *
 * metrics.def declares every metric once: name, type, label, help. A module asks for a counter
 * (or a gauge, or a histogram) by its id and a label value once, keeps the pointer, and bumps it
 * without a lock. What exists per partition, connection or group is not registered: a collector
 * writes it at scrape time from the owner's state.
 *
 * Threads  bumping and getting from any thread. Collectors run on the scraping thread under
 *          LOCK_SCRAPE, which ranks first: they may take their owner's locks, and neither adding
 *          nor removing one may be done with a lock held.
 */
#ifndef KLAMM_BASE_METRICS_H
#define KLAMM_BASE_METRICS_H

#include <stdatomic.h>

#include "base/bytes.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum metric_id {
#define METRIC(id, name, type, labels, help) id,
#include "base/metrics.def"
#undef METRIC
	METRIC_COUNT
};

struct metric_info {
	const char *name; /* "klamm_requests_total" */
	enum metric_type type;
	const char *labels; /* comma-separated label names, "" for none */
	const char *help;
};

extern const struct metric_info metric_infos[METRIC_COUNT];

/* A counter or a gauge: one number. */
struct metric {
	_Atomic int64_t value;
};

/* Durations in microseconds, in buckets of powers of two from 1 us to 2^26 us (67 s). */
#define HISTOGRAM_BUCKETS 28
struct histogram {
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_us;
};

/*
 * The one series of this metric with these label values (comma-separated in the order of
 * metrics.def, "" for none; a value must not hold a comma). Lives as long as the process; the same
 * call gives the same pointer. Aborts without memory.
 */
struct metric *metrics_get(enum metric_id id, const char *label_values);
struct histogram *metrics_histogram(enum metric_id id, const char *label_values);

static inline void
metric_add(struct metric *m, int64_t n)
{
	atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

static inline void
metric_set(struct metric *m, int64_t value)
{
	atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

static inline int64_t
metric_value(const struct metric *m)
{
	return atomic_load_explicit(&m->value, memory_order_relaxed);
}

/* What took no time at all, or less, counts in the first bucket. */
void histogram_observe(struct histogram *h, int64_t us);

static inline int64_t
histogram_sum_us(const struct histogram *h)
{
	return (int64_t)atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}

/* A collector appends samples with metrics_sample(), for ids that it alone owns. */
struct metrics_scrape;
typedef void metrics_collector(struct metrics_scrape *scrape, void *arg);
/* Called once per scrape and id. Aborts without memory. */
void metrics_add_collector(enum metric_id id, metrics_collector *fn, void *arg);
void metrics_remove_collectors(void *arg);
/* label_values as for metrics_get(). */
void metrics_sample(struct metrics_scrape *scrape, const char *label_values, double value);
/* The same for values that may hold commas, one for each of the metric's labels. */
void metrics_sample_labels(struct metrics_scrape *scrape, const char *const *values, size_t count,
			   double value);
/* All series of a histogram that the collector owns. */
void metrics_sample_histogram(struct metrics_scrape *scrape, const char *const *values,
			      size_t count, const struct histogram *h);

/* Appends the whole registry in the text exposition format, version 0.0.4. */
void metrics_write(struct buf *out);

#endif
