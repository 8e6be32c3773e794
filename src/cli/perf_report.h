/*
 * perf_report.h - what perf produce and perf consume print: progress lines and the result.
 */
#ifndef KLAMM_CLI_PERF_REPORT_H
#define KLAMM_CLI_PERF_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/latency.h"

struct perf_report {
	const char *verb;         /* "sent", "received" */
	struct latencies *all;    /* NULL: no latencies */
	struct latencies *window; /* since the last line */
	int64_t start_us;
	int64_t window_start_us;
	int64_t interval_us; /* 0: no lines between */
	uint64_t records, bytes, failed;
	uint64_t window_records, window_bytes;
	bool json;
};

/* Returns false without memory. */
bool perf_report_init(struct perf_report *r, const char *verb, bool latencies, int64_t interval_ms,
		      bool json);
void perf_report_fini(struct perf_report *r);
/* latency_us is looked at where there are latencies. */
void perf_report_add(struct perf_report *r, uint64_t bytes, int64_t latency_us);
/* A line when it is time for one. */
void perf_report_tick(struct perf_report *r);
/* The last line. end_us: when the last record was there. */
void perf_report_end(struct perf_report *r, int64_t end_us);

#endif
