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

/* 2^53: below it a double tells every whole number from its neighbours. */
#define WHOLE_MAX 9007199254740992.0

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
	if (us > 0)
		atomic_fetch_add_explicit(&h->sum_us, (uint64_t)us, memory_order_relaxed);
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

/* ---- the text ---- */

/*
 * A broker with 10,000 logs writes 40,000 samples for one scrape: what is written for each of them
 * is copied, not formatted.
 */
static void
write_text(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text));
}

/* One label value, escaped as the exposition format wants it. */
static void
write_escaped(struct buf *out, const char *value, size_t len)
{
	const char *end = value + len;

	while (value < end) {
		const char *plain = value;

		while (value < end && *value != '\\' && *value != '"' && *value != '\n')
			value++;
		buf_append(out, plain, (size_t)(value - plain));
		if (value == end)
			return;
		buf_append_u8(out, '\\');
		buf_append_u8(out, *value == '\n' ? 'n' : (uint8_t)*value);
		value++;
	}
}

/* One of {a="x",b="y"} as it is being written; names: what is left of the metric's labels. */
struct label_writer {
	struct buf *out;
	const char *names;
	const char *sep;
};

static void
write_label(struct label_writer *w, const char *value, size_t value_len)
{
	size_t name_len = strcspn(w->names, ",");

	buf_append_u8(w->out, (uint8_t)*w->sep);
	buf_append(w->out, w->names, name_len);
	buf_append(w->out, "=\"", 2);
	write_escaped(w->out, value, value_len);
	buf_append_u8(w->out, '"');
	w->sep = ",";
	w->names += name_len + (w->names[name_len] == ',');
}

static void
write_labels_end(struct label_writer *w, const char *le)
{
	if (le != NULL) {
		buf_append_u8(w->out, (uint8_t)*w->sep);
		write_text(w->out, "le=\"");
		write_text(w->out, le);
		buf_append_u8(w->out, '"');
		w->sep = ",";
	}
	if (*w->sep == ',')
		buf_append_u8(w->out, '}');
	buf_append_u8(w->out, ' ');
}

/* The values of a series' labels: one text with commas, or one text for each. */
struct label_values {
	const char *joined; /* or else: */
	const char *const *each;
	size_t count;
};

/* Writes {a="x",b="y"} with an optional le, nothing where there is no label; and a space. */
static void
write_labels(struct buf *out, const struct metric_info *info, const struct label_values *values,
	     const char *le)
{
	struct label_writer w = {out, info->labels, "{"};
	const char *rest = values->joined;

	for (size_t i = 0; rest == NULL && i < values->count; i++)
		write_label(&w, values->each[i], strlen(values->each[i]));
	while (rest != NULL && *w.names != '\0') {
		size_t len = strcspn(rest, ",");

		write_label(&w, rest, len);
		rest += len + (rest[len] == ',');
	}
	write_labels_end(&w, le);
}

static void
write_unsigned(struct buf *out, uint64_t value)
{
	char digits[20], *first = digits + sizeof(digits);

	do
		*--first = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	buf_append(out, first, (size_t)(digits + sizeof(digits) - first));
}

/* Whole numbers that a double holds exactly, which nearly all are, need no floating point. */
static void
write_value(struct buf *out, double value)
{
	if (value >= 0 && value < WHOLE_MAX && (double)(uint64_t)value == value)
		write_unsigned(out, (uint64_t)value);
	else
		buf_printf(out, "%.17g", value);
	buf_append_u8(out, '\n');
}

static void
write_sample(struct metrics_scrape *scrape, const struct label_values *values, double value)
{
	write_text(scrape->out, scrape->info->name);
	write_labels(scrape->out, scrape->info, values, NULL);
	write_value(scrape->out, value);
}

/* What comes after the name of a metric in a series of a histogram. */
static void
write_histogram_series(struct metrics_scrape *scrape, const char *suffix,
		       const struct label_values *values, const char *le)
{
	write_text(scrape->out, scrape->info->name);
	write_text(scrape->out, suffix);
	write_labels(scrape->out, scrape->info, values, le);
}

static void
write_histogram(struct metrics_scrape *scrape, const struct label_values *values,
		const struct histogram *h)
{
	uint64_t count = 0;
	char le[32];

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		if (i < HISTOGRAM_BUCKETS - 1)
			snprintf(le, sizeof(le), "%.6f", (double)(1LL << i) / 1e6);
		else
			snprintf(le, sizeof(le), "+Inf");
		write_histogram_series(scrape, "_bucket", values, le);
		write_unsigned(scrape->out, count);
		buf_append_u8(scrape->out, '\n');
	}
	write_histogram_series(scrape, "_sum", values, NULL);
	buf_printf(scrape->out, "%.6f\n", (double)atomic_load(&h->sum_us) / 1e6);
	write_histogram_series(scrape, "_count", values, NULL);
	write_unsigned(scrape->out, count);
	buf_append_u8(scrape->out, '\n');
}

void
metrics_sample(struct metrics_scrape *scrape, const char *label_values, double value)
{
	write_sample(scrape, &(struct label_values){.joined = label_values}, value);
}

void
metrics_sample_labels(struct metrics_scrape *scrape, const char *const *values, size_t count,
		      double value)
{
	write_sample(scrape, &(struct label_values){.each = values, .count = count}, value);
}

void
metrics_sample_histogram(struct metrics_scrape *scrape, const char *const *values, size_t count,
			 const struct histogram *h)
{
	write_histogram(scrape, &(struct label_values){.each = values, .count = count}, h);
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
			write_histogram(&scrape, &(struct label_values){.joined = s->label_values},
					&s->histogram);
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
