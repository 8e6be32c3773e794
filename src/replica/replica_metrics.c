#include "replica/replica_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/metrics.h"

/* One number of each partition, added up. */
struct counting {
	bool (*counts)(const struct partition_view *view);
	int64_t count;
};

static void
count_partition(void *arg, struct partition *p)
{
	struct counting *counting = arg;
	struct partition_view view;

	partition_look(p, &view);
	counting->count += counting->counts(&view);
}

static void
collect_count(struct metrics_scrape *scrape, struct replica_manager *rm,
	      bool (*counts)(const struct partition_view *view))
{
	struct counting counting = {.counts = counts};

	replica_manager_each(rm, count_partition, &counting);
	metrics_sample(scrape, "", (double)counting.count);
}

static bool
is_led(const struct partition_view *view)
{
	return view->is_leader;
}

static bool
is_under_replicated(const struct partition_view *view)
{
	return view->is_leader && view->isr_count < view->replica_count;
}

static bool
is_under_min_isr(const struct partition_view *view)
{
	return view->is_leader && !view->isr_suffices;
}

static bool
is_at_min_isr(const struct partition_view *view)
{
	return view->is_leader && view->isr_just_suffices;
}

static bool
is_offline(const struct partition_view *view)
{
	return view->is_offline;
}

#define COLLECTOR(name, counts)                                                                    \
	static void name(struct metrics_scrape *scrape, void *arg)                                 \
	{                                                                                          \
		collect_count(scrape, arg, counts);                                                \
	}

COLLECTOR(collect_led, is_led)
COLLECTOR(collect_under_replicated, is_under_replicated)
COLLECTOR(collect_under_min_isr, is_under_min_isr)
COLLECTOR(collect_at_min_isr, is_at_min_isr)
COLLECTOR(collect_offline, is_offline)

/* The largest lag behind each leader. */
#define LEADERS_MAX 1024
struct lags {
	int32_t leaders[LEADERS_MAX];
	int64_t largest[LEADERS_MAX];
	size_t count;
};

static void
add_lag(void *arg, struct partition *p)
{
	struct lags *lags = arg;
	struct partition_view view;
	size_t i = 0;

	partition_look(p, &view);
	if (view.follower_lag < 0)
		return;
	while (i < lags->count && lags->leaders[i] != view.leader)
		i++;
	if (i == LEADERS_MAX)
		return;
	if (i == lags->count) {
		lags->leaders[lags->count++] = view.leader;
		lags->largest[i] = 0;
	}
	if (view.follower_lag > lags->largest[i])
		lags->largest[i] = view.follower_lag;
}

static void
collect_lag(struct metrics_scrape *scrape, void *arg)
{
	struct lags *lags = calloc(1, sizeof(*lags));
	char label[16];

	if (lags == NULL)
		abort();
	replica_manager_each(arg, add_lag, lags);
	for (size_t i = 0; i < lags->count; i++) {
		snprintf(label, sizeof(label), "%d", lags->leaders[i]);
		metrics_sample(scrape, label, (double)lags->largest[i]);
	}
	free(lags);
}

void
replica_metrics_add(struct replica_manager *rm)
{
	/* There from the start, so that a rise is seen. */
	metric_add(metrics_get(METRIC_ISR_SHRINKS, ""), 0);
	metric_add(metrics_get(METRIC_ISR_EXPANDS, ""), 0);
	metrics_add_collector(METRIC_LEADERS, collect_led, rm);
	metrics_add_collector(METRIC_UNDER_REPLICATED, collect_under_replicated, rm);
	metrics_add_collector(METRIC_UNDER_MIN_ISR, collect_under_min_isr, rm);
	metrics_add_collector(METRIC_AT_MIN_ISR, collect_at_min_isr, rm);
	metrics_add_collector(METRIC_OFFLINE_REPLICAS, collect_offline, rm);
	metrics_add_collector(METRIC_FETCHER_LAG, collect_lag, rm);
}
