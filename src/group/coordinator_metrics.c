/*
 * What the coordinator tells Prometheus: counters, and at each scrape the groups themselves, but
 * for those that are still loading.
 */
#include <stdio.h>

#include "group/coordinator_internal.h"

static void
count_state(void *arg, struct group *g)
{
	int64_t *counts = arg;

	counts[group_state(g)]++;
}

static void
collect_groups(struct metrics_scrape *scrape, void *arg)
{
	int64_t counts[GROUP_STATE_COUNT] = {0};

	group_coordinator_each(arg, count_state, counts);
	for (int state = 0; state < GROUP_DEAD; state++)
		metrics_sample(scrape, group_state_name((enum group_state)state),
			       (double)counts[state]);
}

struct lag_scrape {
	struct metrics_scrape *scrape;
	struct group_coordinator *gc;
	const struct group *group;
};

/* How far the group is behind: only for partitions whose log is here. */
static void
sample_lag(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	struct lag_scrape *lag = arg;
	char number[16];
	const char *labels[] = {group_id(lag->group), topic.data, number};
	struct partition *p;
	struct log *log;

	if (!view->is_committed ||
	    replica_manager_get(lag->gc->settings.replicas, topic, partition, &p) != 0)
		return;
	if (partition_log(p, PARTITION_NO_EPOCH, false, NULL, &log) == 0) {
		int64_t behind = log_high_watermark(log) - view->committed.offset;

		snprintf(number, sizeof(number), "%d", partition);
		metrics_sample_labels(lag->scrape, labels, 3, behind > 0 ? (double)behind : 0);
		log_put(log);
	}
	partition_put(p);
}

static void
sample_group_lag(void *arg, struct group *g)
{
	struct lag_scrape *lag = arg;

	lag->group = g;
	group_offsets_each(group_offsets(g), sample_lag, lag);
}

static void
collect_lag(struct metrics_scrape *scrape, void *arg)
{
	struct lag_scrape lag = {.scrape = scrape, .gc = arg};

	group_coordinator_each(arg, sample_group_lag, &lag);
}

void
coordinator_add_metrics(struct group_coordinator *gc)
{
	gc->rebalances = metrics_get(METRIC_GROUP_REBALANCES, "");
	gc->commits = metrics_get(METRIC_OFFSET_COMMITS, "");
	gc->expired = metrics_get(METRIC_OFFSETS_EXPIRED, "");
	gc->skipped_records = metrics_get(METRIC_GROUP_RECORDS_SKIPPED, "");
	gc->commit_time = metrics_histogram(METRIC_OFFSET_COMMIT_SECONDS, "");
	gc->load_time = metrics_histogram(METRIC_GROUP_LOAD_SECONDS, "");
	metrics_add_collector(METRIC_GROUPS, collect_groups, gc);
	metrics_add_collector(METRIC_GROUP_LAG, collect_lag, gc);
}
