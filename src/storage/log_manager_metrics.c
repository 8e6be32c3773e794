/*
 * The metrics of each log. A scrape asks for one metric of all logs after the other: the first
 * looks at all logs, and the last forgets what was seen. So the numbers of one scrape belong
 * together, and the memory of each log, which is scattered, is touched once.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_manager_internal.h"

#define FIRST METRIC_LOG_SIZE
#define LAST METRIC_LOG_SEGMENTS

/* In the order in which a scrape writes them. */
static_assert(METRIC_LOG_END_OFFSET == FIRST + 1 && METRIC_LOG_START_OFFSET == FIRST + 2 &&
		  LAST == FIRST + 3,
	      "the metrics of each log stand together in metrics.def");

struct log_look {
	int64_t values[LAST - FIRST + 1];
};

struct log_manager_look {
	struct buf names; /* of each log, in order: topic and partition, each with its zero */
	struct log_look *logs;
	size_t count;
};

static void
forget(struct log_manager *lm)
{
	struct log_manager_look *look = lm->look;

	lm->look = NULL;
	if (look == NULL)
		return;
	buf_fini(&look->names);
	free(look->logs);
	free(look);
}

static void
look_at(struct log_manager_look *look, struct log *log)
{
	struct log_look *l = &look->logs[look->count++];
	const char *topic = log_topic(log);
	char partition[12];
	int len = snprintf(partition, sizeof(partition), "%" PRId32, log_partition(log));

	l->values[METRIC_LOG_SIZE - FIRST] = log_size_bytes(log);
	l->values[METRIC_LOG_END_OFFSET - FIRST] = log_end_offset(log);
	l->values[METRIC_LOG_START_OFFSET - FIRST] = log_start_offset(log);
	l->values[METRIC_LOG_SEGMENTS - FIRST] = log_segment_count(log);
	buf_append(&look->names, topic, strlen(topic) + 1);
	buf_append(&look->names, partition, (size_t)len + 1);
}

/* Without memory this scrape does without these metrics. */
static void
look_at_all(struct log_manager *lm)
{
	size_t count;
	struct log **logs = log_manager_list(lm, false, &count);
	struct log_manager_look *look = lm->look = calloc(1, sizeof(*look));

	if (look != NULL)
		look->logs = calloc(count + 1, sizeof(*look->logs));
	for (size_t i = 0; look != NULL && look->logs != NULL && i < count; i++)
		look_at(look, logs[i]);
	if (look != NULL && look->names.failed)
		forget(lm);
	log_manager_free_list(logs, count);
}

static void
write_all(struct metrics_scrape *scrape, const struct log_manager_look *look, enum metric_id id)
{
	const char *name = look == NULL ? NULL : (const char *)look->names.data;

	for (size_t i = 0; look != NULL && i < look->count; i++) {
		const char *labels[] = {name, name + strlen(name) + 1};

		metrics_sample_labels(scrape, labels, 2, (double)look->logs[i].values[id - FIRST]);
		name = labels[1] + strlen(labels[1]) + 1;
	}
}

static void
collect_sizes(struct metrics_scrape *scrape, void *arg)
{
	struct log_manager *lm = arg;

	forget(lm);
	look_at_all(lm);
	write_all(scrape, lm->look, METRIC_LOG_SIZE);
}

static void
collect_end_offsets(struct metrics_scrape *scrape, void *arg)
{
	struct log_manager *lm = arg;

	write_all(scrape, lm->look, METRIC_LOG_END_OFFSET);
}

static void
collect_start_offsets(struct metrics_scrape *scrape, void *arg)
{
	struct log_manager *lm = arg;

	write_all(scrape, lm->look, METRIC_LOG_START_OFFSET);
}

static void
collect_segments(struct metrics_scrape *scrape, void *arg)
{
	struct log_manager *lm = arg;

	write_all(scrape, lm->look, METRIC_LOG_SEGMENTS);
	forget(lm);
}

static void
collect_open_files(struct metrics_scrape *scrape, void *arg)
{
	struct log_manager *lm = arg;

	metrics_sample(scrape, "", (double)file_cache_open_count(lm->ctx.files));
}

void
log_manager_add_collectors(struct log_manager *lm)
{
	/* A scrape that comes between them finds none that looks without the one that forgets. */
	metrics_add_collector(METRIC_LOG_SEGMENTS, collect_segments, lm);
	metrics_add_collector(METRIC_LOG_START_OFFSET, collect_start_offsets, lm);
	metrics_add_collector(METRIC_LOG_END_OFFSET, collect_end_offsets, lm);
	metrics_add_collector(METRIC_LOG_SIZE, collect_sizes, lm);
	metrics_add_collector(METRIC_LOG_OPEN_FILES, collect_open_files, lm);
}
