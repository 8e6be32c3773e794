/*
 * perf_report.c - the lines of Kafka's ProducerPerformance, or JSON.
 */
#include "cli/perf_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

bool
perf_report_init(struct perf_report *r, const char *verb, bool latencies, int64_t interval_ms,
		 bool json)
{
	int64_t now_us = env_monotonic_us(env_system());

	*r = (struct perf_report){.verb = verb,
				  .start_us = now_us,
				  .window_start_us = now_us,
				  .interval_us = interval_ms * 1000,
				  .json = json};
	if (latencies) {
		r->all = calloc(1, sizeof(*r->all));
		r->window = calloc(1, sizeof(*r->window));
	}
	return !latencies || (r->all != NULL && r->window != NULL);
}

void
perf_report_fini(struct perf_report *r)
{
	free(r->all);
	free(r->window);
}

void
perf_report_add(struct perf_report *r, uint64_t bytes, int64_t latency_us)
{
	r->records++;
	r->bytes += bytes;
	r->window_records++;
	r->window_bytes += bytes;
	if (r->all != NULL) {
		latencies_add(r->all, latency_us);
		latencies_add(r->window, latency_us);
	}
}

static double
ms(uint64_t us)
{
	return (double)us / 1000.0;
}

static void
print_line(const struct perf_report *r, const struct latencies *l, uint64_t records, uint64_t bytes,
	   int64_t elapsed_us)
{
	double seconds = elapsed_us > 0 ? (double)elapsed_us / 1e6 : 1e-6;

	printf("%llu records %s, %.1f records/sec (%.2f MB/sec)", (unsigned long long)records,
	       r->verb, (double)records / seconds, (double)bytes / seconds / (1 << 20));
	if (l != NULL)
		printf(", %.2f ms avg latency, %.2f ms max latency", latencies_mean_us(l) / 1000.0,
		       ms(l->max_us));
}

void
perf_report_tick(struct perf_report *r)
{
	int64_t now_us;

	if (r->interval_us == 0 || r->json)
		return;
	now_us = env_monotonic_us(env_system());
	if (now_us - r->window_start_us < r->interval_us)
		return;
	print_line(r, r->window, r->window_records, r->window_bytes, now_us - r->window_start_us);
	printf(".\n");
	fflush(stdout);
	r->window_start_us = now_us;
	r->window_records = r->window_bytes = 0;
	if (r->window != NULL)
		memset(r->window, 0, sizeof(*r->window));
}

static void
print_json(const struct perf_report *r, int64_t elapsed_us)
{
	double seconds = elapsed_us > 0 ? (double)elapsed_us / 1e6 : 1e-6;

	printf("{\"records\":%llu,\"bytes\":%llu,\"failed\":%llu,\"seconds\":%.6f,"
	       "\"records_per_second\":%.1f,\"bytes_per_second\":%.1f",
	       (unsigned long long)r->records, (unsigned long long)r->bytes,
	       (unsigned long long)r->failed, seconds, (double)r->records / seconds,
	       (double)r->bytes / seconds);
	if (r->all != NULL)
		printf(",\"latency_ms\":{\"mean\":%.3f,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,"
		       "\"p99_9\":%.3f,\"max\":%.3f}",
		       latencies_mean_us(r->all) / 1000.0, ms(latencies_percentile(r->all, 0.5)),
		       ms(latencies_percentile(r->all, 0.95)),
		       ms(latencies_percentile(r->all, 0.99)),
		       ms(latencies_percentile(r->all, 0.999)), ms(r->all->max_us));
	printf("}\n");
}

void
perf_report_end(struct perf_report *r, int64_t end_us)
{
	if (r->json) {
		print_json(r, end_us - r->start_us);
		return;
	}
	print_line(r, r->all, r->records, r->bytes, end_us - r->start_us);
	if (r->all != NULL)
		printf(", %.2f ms 50th, %.2f ms 95th, %.2f ms 99th, %.2f ms 99.9th",
		       ms(latencies_percentile(r->all, 0.5)),
		       ms(latencies_percentile(r->all, 0.95)),
		       ms(latencies_percentile(r->all, 0.99)),
		       ms(latencies_percentile(r->all, 0.999)));
	printf(".\n");
}
