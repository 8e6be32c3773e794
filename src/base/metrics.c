/*
 * A series is a list node that is never freed, under its metric's id. metrics_get() is called when
 * something starts (an API, a listener), not per request, so a list walk under a lock will do.
 */
#include "base/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/lock.h"

const struct metric_info metric_infos[METRIC_COUNT] = {
#define METRIC(id, name, type, labels, help) [id] = {name, type, labels, help},
#include "base/metrics.def"
#undef METRIC
};

struct series {
	struct series *next;
	char *label_values;
	struct metric metric;
	struct histogram histogram;
};

struct collector {
	struct collector *next;
	metrics_collector *fn;
	void *arg;
};

struct metrics_scrape {
	struct buf *out;
	const struct metric_info *info;
};

static struct lock metrics_lock = {PTHREAD_MUTEX_INITIALIZER, LOCK_METRICS};
static struct lock scrape_lock = {PTHREAD_MUTEX_INITIALIZER, LOCK_SCRAPE};
static struct series *series_of[METRIC_COUNT];        /* under metrics_lock; grows at its head */
static struct collector *collectors_of[METRIC_COUNT]; /* under scrape_lock */

static struct series *
get_series(enum metric_id id, const char *label_values)
{
	struct series *s;

	lock_acquire(&metrics_lock);
	for (s = series_of[id]; s != NULL; s = s->next)
		if (strcmp(s->label_values, label_values) == 0)
			break;
	if (s == NULL) {
		s = calloc(1, sizeof(*s));
		if (s == NULL || (s->label_values = strdup(label_values)) == NULL)
			abort();
		s->next = series_of[id];
		series_of[id] = s;
	}
	lock_release(&metrics_lock);
	return s;
}

struct metric *
metrics_get(enum metric_id id, const char *label_values)
{
	assert(metric_infos[id].type != METRIC_HISTOGRAM);
	return &get_series(id, label_values)->metric;
}

struct histogram *
metrics_histogram(enum metric_id id, const char *label_values)
{
	assert(metric_infos[id].type == METRIC_HISTOGRAM);
	return &get_series(id, label_values)->histogram;
}

void
histogram_observe(struct histogram *h, int64_t us)
{
	int bucket = us <= 1 ? 0 : 64 - __builtin_clzll((uint64_t)us - 1);

	if (bucket >= HISTOGRAM_BUCKETS)
		bucket = HISTOGRAM_BUCKETS - 1;
	atomic_fetch_add_explicit(&h->buckets[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, us > 0 ? (uint64_t)us : 0, memory_order_relaxed);
}

void
metrics_add_collector(enum metric_id id, metrics_collector *fn, void *arg)
{
	struct collector *c = malloc(sizeof(*c));

	if (c == NULL)
		abort();
	lock_acquire(&scrape_lock);
	*c = (struct collector){collectors_of[id], fn, arg};
	collectors_of[id] = c;
	lock_release(&scrape_lock);
}

void
metrics_remove_collectors(void *arg)
{
	lock_acquire(&scrape_lock);
	for (int id = 0; id < METRIC_COUNT; id++) {
		struct collector **link = &collectors_of[id];

		while (*link != NULL) {
			struct collector *c = *link;

			if (c->arg == arg) {
				*link = c->next;
				free(c);
			} else {
				link = &c->next;
			}
		}
	}
	lock_release(&scrape_lock);
}

/* One label value, escaped as the exposition format wants it. */
static void
write_escaped(struct buf *out, const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '\\' || value[i] == '"')
			buf_append_u8(out, '\\');
		if (value[i] == '\n')
			buf_append(out, "\\n", 2);
		else
			buf_append_u8(out, (uint8_t)value[i]);
	}
}

/* Writes {a="x",b="y"} with an optional le; nothing where there is no label. */
static void
write_labels(struct buf *out, const struct metric_info *info, const char *values, const char *le)
{
	const char *names = info->labels;
	const char *sep = "{";

	while (*names != '\0') {
		size_t name_len = strcspn(names, ","), value_len = strcspn(values, ",");

		buf_printf(out, "%s%.*s=\"", sep, (int)name_len, names);
		write_escaped(out, values, value_len);
		buf_append(out, "\"", 1);
		sep = ",";
		names += name_len + (names[name_len] == ',');
		values += value_len + (values[value_len] == ',');
	}
	if (le != NULL) {
		buf_printf(out, "%sle=\"%s\"", sep, le);
		sep = ",";
	}
	if (*sep == ',')
		buf_append(out, "}", 1);
}

static void
write_histogram(struct buf *out, const struct metric_info *info, const struct series *s)
{
	uint64_t count = 0;
	char le[32];

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += atomic_load_explicit(&s->histogram.buckets[i], memory_order_relaxed);
		if (i < HISTOGRAM_BUCKETS - 1)
			snprintf(le, sizeof(le), "%.6f", (double)(1LL << i) / 1e6);
		else
			snprintf(le, sizeof(le), "+Inf");
		buf_printf(out, "%s_bucket", info->name);
		write_labels(out, info, s->label_values, le);
		buf_printf(out, " %llu\n", (unsigned long long)count);
	}
	buf_printf(out, "%s_sum", info->name);
	write_labels(out, info, s->label_values, NULL);
	buf_printf(out, " %.6f\n%s_count", (double)atomic_load(&s->histogram.sum_us) / 1e6,
		   info->name);
	write_labels(out, info, s->label_values, NULL);
	buf_printf(out, " %llu\n", (unsigned long long)count);
}

void
metrics_sample(struct metrics_scrape *scrape, const char *label_values, double value)
{
	buf_printf(scrape->out, "%s", scrape->info->name);
	write_labels(scrape->out, scrape->info, label_values, NULL);
	buf_printf(scrape->out, " %.17g\n", value);
}

void
metrics_sample_labels(struct metrics_scrape *scrape, const char *const *values, size_t count,
		      double value)
{
	const char *names = scrape->info->labels;

	buf_printf(scrape->out, "%s", scrape->info->name);
	for (size_t i = 0; i < count; i++) {
		size_t name_len = strcspn(names, ",");

		buf_printf(scrape->out, "%s%.*s=\"", i == 0 ? "{" : ",", (int)name_len, names);
		write_escaped(scrape->out, values[i], strlen(values[i]));
		buf_append(scrape->out, "\"", 1);
		names += name_len + (names[name_len] == ',');
	}
	buf_printf(scrape->out, "} %.17g\n", value);
}

static void
write_metric(struct buf *out, enum metric_id id)
{
	static const char *const type_names[] = {"counter", "gauge", "histogram"};
	const struct metric_info *info = &metric_infos[id];
	struct metrics_scrape scrape = {out, info};
	const struct series *first;

	lock_acquire(&metrics_lock);
	first = series_of[id];
	lock_release(&metrics_lock);
	if (first == NULL && collectors_of[id] == NULL)
		return;
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", info->name, info->help, info->name,
		   type_names[info->type]);
	for (const struct series *s = first; s != NULL; s = s->next) {
		if (info->type == METRIC_HISTOGRAM)
			write_histogram(out, info, s);
		else
			metrics_sample(&scrape, s->label_values, (double)metric_value(&s->metric));
	}
	for (const struct collector *c = collectors_of[id]; c != NULL; c = c->next)
		c->fn(&scrape, c->arg);
}

static void
collect_diag_lines(void)
{
	metric_set(metrics_get(METRIC_DIAG_LINES, "WARN"), (int64_t)diag_count(DIAG_WARN));
	metric_set(metrics_get(METRIC_DIAG_LINES, "ERROR"), (int64_t)diag_count(DIAG_ERROR));
}

void
metrics_write(struct buf *out)
{
	collect_diag_lines();
	lock_acquire(&scrape_lock);
	for (int id = 0; id < METRIC_COUNT; id++)
		write_metric(out, (enum metric_id)id);
	lock_release(&scrape_lock);
}
