/*
 * Collectors are called one by one, for each metric. They share one walk over the partitions: what
 * was counted a moment ago, for another metric of the same scrape, holds.
 */
#include "replica/replica_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/metrics.h"

#define SHARED_MS 100
#define LEADERS_MAX 1024

/* The largest lag behind one leader. */
struct lag {
	int32_t leader;
	int64_t largest;
};

struct replica_metrics {
	struct replica_manager *rm;
	struct env *env;
	/* Under LOCK_SCRAPE. */
	int64_t counted_ms; /* when; 0: never */
	int64_t led, under_replicated, under_min_isr, at_min_isr, offline;
	struct lag lags[LEADERS_MAX];
	size_t lag_count;
};

static void
add_lag(struct replica_metrics *m, int32_t leader, int64_t lag)
{
	size_t i = 0;

	while (i < m->lag_count && m->lags[i].leader != leader)
		i++;
	if (i == LEADERS_MAX)
		return;
	if (i == m->lag_count)
		m->lags[m->lag_count++] = (struct lag){.leader = leader};
	if (lag > m->lags[i].largest)
		m->lags[i].largest = lag;
}

static void
count_partition(void *arg, struct partition *p)
{
	struct replica_metrics *m = arg;
	struct partition_view view;

	partition_look(p, &view);
	m->offline += view.is_offline;
	if (view.follower_lag >= 0)
		add_lag(m, view.leader, view.follower_lag);
	if (!view.is_leader)
		return;
	m->led++;
	m->under_replicated += view.isr_count < view.replica_count;
	m->under_min_isr += !view.isr_suffices;
	m->at_min_isr += view.isr_just_suffices;
}

static const struct replica_metrics *
counted(void *arg)
{
	struct replica_metrics *m = arg;
	int64_t now_ms = env_monotonic_ms(m->env);

	if (m->counted_ms != 0 && now_ms - m->counted_ms < SHARED_MS)
		return m;
	m->led = m->under_replicated = m->under_min_isr = m->at_min_isr = m->offline = 0;
	m->lag_count = 0;
	replica_manager_each(m->rm, count_partition, m);
	m->counted_ms = now_ms;
	return m;
}

#define COLLECTOR(function, field)                                                                 \
	static void function(struct metrics_scrape *scrape, void *arg)                             \
	{                                                                                          \
		metrics_sample(scrape, "", (double)counted(arg)->field);                           \
	}

COLLECTOR(collect_led, led)
COLLECTOR(collect_under_replicated, under_replicated)
COLLECTOR(collect_under_min_isr, under_min_isr)
COLLECTOR(collect_at_min_isr, at_min_isr)
COLLECTOR(collect_offline, offline)

static void
collect_lag(struct metrics_scrape *scrape, void *arg)
{
	const struct replica_metrics *m = counted(arg);
	char label[16];

	for (size_t i = 0; i < m->lag_count; i++) {
		snprintf(label, sizeof(label), "%d", m->lags[i].leader);
		metrics_sample(scrape, label, (double)m->lags[i].largest);
	}
}

struct replica_metrics *
replica_metrics_open(struct replica_manager *rm, struct env *env)
{
	struct replica_metrics *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->rm = rm;
	m->env = env;
	/* There from the start, so that a rise is seen. */
	metric_add(metrics_get(METRIC_ISR_SHRINKS, ""), 0);
	metric_add(metrics_get(METRIC_ISR_EXPANDS, ""), 0);
	metrics_add_collector(METRIC_LEADERS, collect_led, m);
	metrics_add_collector(METRIC_UNDER_REPLICATED, collect_under_replicated, m);
	metrics_add_collector(METRIC_UNDER_MIN_ISR, collect_under_min_isr, m);
	metrics_add_collector(METRIC_AT_MIN_ISR, collect_at_min_isr, m);
	metrics_add_collector(METRIC_OFFLINE_REPLICAS, collect_offline, m);
	metrics_add_collector(METRIC_FETCHER_LAG, collect_lag, m);
	return m;
}

void
replica_metrics_close(struct replica_metrics *m)
{
	if (m != NULL)
		metrics_remove_collectors(m);
	free(m);
}
