/*
 * perf_consume.c - klamm perf consume: how fast a cluster gives records out.
 */
#include <stdio.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/perf_report.h"
#include "cli/reader.h"

#define WAIT_MS 100

static struct {
	const char *topic;
	int64_t records;
	int64_t partition;
	const char *from;
	int64_t idle_ms;
	int64_t interval_ms;
	bool end_to_end;
	bool json;
} opt = {
    .records = -1, .partition = -1, .from = "beginning", .idle_ms = 10000, .interval_ms = 5000};

struct perf {
	struct reader reader;
	struct perf_report report;
	int64_t last_us; /* the last record */
	int st;
};

static bool
is_enough(const struct perf *p)
{
	return p->st != CLI_DONE || (opt.records >= 0 ? p->report.records >= (uint64_t)opt.records
						      : reader_is_done(&p->reader, true));
}

static void
on_message(rd_kafka_message_t *m, void *opaque)
{
	struct perf *p = opaque;
	int64_t latency_us = 0;

	if (is_enough(p) || !reader_take(&p->reader, m, &p->st))
		return;
	if (opt.end_to_end) {
		rd_kafka_timestamp_type_t type;

		latency_us =
		    (env_now_ms(env_system()) - rd_kafka_message_timestamp(m, &type)) * 1000;
	}
	perf_report_add(&p->report, m->len + m->key_len, latency_us);
}

static int
receive_all(struct perf *p)
{
	uint64_t before = 0;

	while (!is_enough(p)) {
		rd_kafka_consume_callback_queue(p->reader.queue, WAIT_MS, on_message, p);
		client_poll(&p->reader.client, 0);
		perf_report_tick(&p->report);
		if (p->report.records != before) {
			before = p->report.records;
			p->last_us = env_monotonic_us(env_system());
		} else if (env_monotonic_us(env_system()) - p->last_us > opt.idle_ms * 1000) {
			complain("nothing came for %lld ms%s%s", (long long)opt.idle_ms,
				 client_last_trouble()[0] != '\0' ? ": " : "",
				 client_last_trouble());
			return CLI_REFUSED;
		}
	}
	return p->st;
}

static int
open_reader(struct perf *p, const char *topic)
{
	const struct client_default defaults[] = {{"enable.partition.eof", "true"},
						  {"auto.offset.reset", "error"},
						  {"queued.min.messages", "1000000"},
						  {"allow.auto.create.topics", "false"},
						  {NULL, NULL}};
	struct offset_spec spec = OFFSET_SPEC_DEFAULT;
	rd_kafka_conf_t *conf;
	int st;

	if (offset_spec_parse(opt.from, &spec) != 0)
		return usage_error(
		    "--from takes beginning, end, OFFSET, -COUNT or s@TIME, not '%s'", opt.from);
	st = client_conf(defaults, &conf);
	if (st != CLI_DONE)
		return st;
	return reader_open(&p->reader, conf, topic, (int32_t)opt.partition, &spec);
}

static int
measure(struct perf *p)
{
	int st;

	if (!perf_report_init(&p->report, "received", opt.end_to_end, opt.interval_ms, opt.json))
		return no_memory();
	p->last_us = p->report.start_us;
	st = reader_start(&p->reader);
	if (st == CLI_DONE)
		st = receive_all(p);
	perf_report_end(&p->report, p->last_us);
	return st;
}

static int
run(int argc, char **argv)
{
	struct perf p = {.st = CLI_DONE};
	const char *topic;
	int st;

	st = one_topic(opt.topic, argc, argv, &topic);
	if (st != CLI_DONE)
		return st;
	st = open_reader(&p, topic);
	if (st == CLI_DONE)
		st = measure(&p);
	reader_close(&p.reader);
	perf_report_fini(&p.report);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "TOPIC", "What to read.", OPTION_TEXT, &opt.topic},
    {'n', "num-records", "N", "How many. Default: all up to the end.", OPTION_INT, &opt.records, 1,
     INT64_MAX},
    {'p', "partition", "N", "Only this partition.", OPTION_INT, &opt.partition, 0, INT32_MAX},
    {'o', "from", "WHERE", "Where to begin, as -o of consume. Default: beginning.", OPTION_TEXT,
     &opt.from},
    {0, "end-to-end", NULL,
     "Tell latencies from the records' timestamps to now, in ms; both clocks have to agree.",
     OPTION_FLAG, &opt.end_to_end},
    {0, "idle", "MS", "Give up when nothing comes for so long. Default: 10000.", OPTION_INT,
     &opt.idle_ms, 1, INT32_MAX},
    {0, "interval", "MS", "Between lines of progress; 0 for none. Default: 5000.", OPTION_INT,
     &opt.interval_ms, 0, INT32_MAX},
    {0, "json", NULL, "One JSON object at the end: records, bytes, failed, seconds, rates.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command perf_consume_command = {
    .name = "perf consume",
    .summary = "Measure how fast records are given out",
    .args = "-t TOPIC [OPTION...]",
    .text = "MB are 2^20 bytes.\n\n"
	    "Examples:\n"
	    "  klamm perf consume -t bench\n"
	    "  klamm perf consume -t bench --from end -n 50000 --end-to-end --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
