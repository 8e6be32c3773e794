#include "replica/throttle.h"

#include <stdlib.h>

#include "base/conf.h"

int
throttle_init(struct throttle *t, const char *role, int window_count, int64_t window_ms)
{
	int st = rate_init_simple(&t->rate, window_count, window_ms);

	if (st != 0)
		return st;
	lock_init(&t->lock, LOCK_THROTTLE);
	atomic_init(&t->generation, 0);
	t->bytes = metrics_get(METRIC_THROTTLED_BYTES, role);
	t->held_back = metrics_get(METRIC_THROTTLE_HELD_BACK, role);
	return 0;
}

void
throttle_fini(struct throttle *t)
{
	lock_fini(&t->lock);
	rate_fini(&t->rate);
}

bool
throttle_is_exceeded(struct throttle *t, int64_t bytes_per_second, int64_t now_ms)
{
	bool exceeded;

	if (bytes_per_second == INT64_MAX)
		return false;
	lock_acquire(&t->lock);
	exceeded = rate_per_second(&t->rate, now_ms) > (double)bytes_per_second;
	lock_release(&t->lock);
	return exceeded;
}

int64_t
throttle_pause_ms(struct throttle *t, int64_t bytes_per_second, int64_t max_ms, int64_t now_ms)
{
	int64_t pause_ms;

	if (bytes_per_second == INT64_MAX)
		return 0;
	lock_acquire(&t->lock);
	pause_ms = rate_throttle_ms(&t->rate, (double)bytes_per_second, max_ms, now_ms);
	lock_release(&t->lock);
	return pause_ms;
}

void
throttle_record(struct throttle *t, int64_t bytes, int64_t now_ms)
{
	metric_add(t->bytes, bytes);
	lock_acquire(&t->lock);
	rate_record(&t->rate, (double)bytes, now_ms);
	lock_release(&t->lock);
}

/* ---- lists ---- */

struct throttled_topic {
	char *list; /* what was read */
	bool all;
	int32_t *partitions; /* in order */
	size_t count;
};

static void
topic_free(struct throttled_topic *topic)
{
	if (topic == NULL)
		return;
	free(topic->list);
	free(topic->partitions);
	free(topic);
}

void
throttled_topics_fini(struct throttled_topics *tt)
{
	struct map_iter iter = {0};
	struct throttled_topic *topic;

	while ((topic = map_next(&tt->by_name, &iter)) != NULL)
		topic_free(topic);
	map_fini(&tt->by_name);
}

static int
compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static struct throttled_topic *
read_list(const char *list, int32_t broker_id)
{
	struct throttled_topic *topic = must(calloc(1, sizeof(*topic)));
	int32_t partition, broker;
	size_t cap = 0;
	int st = 0;

	topic->list = must(strdup(list));
	topic->all = conf_replicas_all(list);
	while (!topic->all && (st = conf_replicas_next(&list, &partition, &broker)) == 1) {
		if (broker != broker_id)
			continue;
		if (topic->count == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			topic->partitions =
			    must(realloc(topic->partitions, cap * sizeof(*topic->partitions)));
		}
		topic->partitions[topic->count++] = partition;
	}
	if (st < 0)
		topic->count = 0;
	if (topic->count > 0)
		qsort(topic->partitions, topic->count, sizeof(*topic->partitions), compare);
	return topic;
}

bool
throttled_topics_have(struct throttled_topics *tt, const char *topic, const char *list,
		      int32_t partition)
{
	struct throttled_topic *known;

	if (list == NULL || list[0] == '\0') {
		topic_free(map_remove_text(&tt->by_name, topic));
		return false;
	}
	known = map_get_text(&tt->by_name, topic);
	if (known == NULL || strcmp(known->list, list) != 0) {
		void *old;

		known = read_list(list, tt->broker_id);
		if (map_put_text(&tt->by_name, topic, known, &old) != 0)
			abort();
		topic_free(old);
	}
	return known->all ||
	       (known->count > 0 && bsearch(&partition, known->partitions, known->count,
					    sizeof(partition), compare) != NULL);
}
