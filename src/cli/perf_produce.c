/*
 * perf_produce.c - klamm perf produce: how fast a cluster takes records, and how long each takes.
 *
 * A record's latency runs from the hand-over to librdkafka to its delivery report, so time spent
 * waiting in the client for a batch counts, as it does in Kafka's ProducerPerformance.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/perf_report.h"

#define FLUSH_SLICE_MS 100
/* librdkafka's own reports are taken in after so many records at the latest. */
#define POLL_EVERY 64

static struct {
	const char *topic;
	int64_t records;
	int64_t record_size;
	int64_t throughput;
	int64_t partition;
	int64_t interval_ms;
	const char *compression;
	const char *acks;
	const char *batch_size;
	const char *linger;
	bool keys;
	bool json;
} opt = {.records = 1000000,
	 .record_size = 1024,
	 .throughput = -1,
	 .partition = -1,
	 .interval_ms = 5000,
	 .compression = "none",
	 .acks = "all",
	 .batch_size = "65536",
	 .linger = "5"};

struct perf {
	struct client client;
	rd_kafka_topic_t *topic;
	struct perf_report report;
	uint8_t *payload; /* record_size bytes and as many again, to begin anywhere in */
	int64_t last_us;  /* the last delivery */
	char first_error[256];
};

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct perf *p = opaque;

	(void)rk;
	p->last_us = env_monotonic_us(env_system());
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (p->report.failed++ == 0)
			snprintf(p->first_error, sizeof(p->first_error), "%s",
				 rd_kafka_err2str(m->err));
		return;
	}
	perf_report_add(&p->report, m->len + m->key_len,
			p->last_us - (int64_t)(intptr_t)m->_private);
}

/* Letters and digits: what a codec can compress, but not to nothing. */
static bool
make_payload(struct perf *p)
{
	size_t len = 2 * (size_t)opt.record_size + 1;

	p->payload = malloc(len);
	if (p->payload == NULL)
		return false;
	env_random(env_system(), p->payload, len);
	for (size_t i = 0; i < len; i++)
		p->payload[i] = (uint8_t)('A' + p->payload[i] % 26);
	return true;
}

/* When the next record is due at the wanted rate. */
static void
wait_for_turn(struct perf *p, int64_t sent)
{
	int64_t due_us, now_us;

	if (opt.throughput <= 0)
		return;
	due_us = p->report.start_us + (int64_t)((double)sent * 1e6 / (double)opt.throughput);
	while ((now_us = env_monotonic_us(env_system())) < due_us) {
		int64_t left_us = due_us - now_us;

		client_poll(&p->client, left_us >= 1000 ? (int)(left_us / 1000) : 0);
		if (left_us < 1000) {
			struct timespec ts = {0, (long)left_us * 1000};

			nanosleep(&ts, NULL);
		}
		perf_report_tick(&p->report);
	}
}

static int
send_one(struct perf *p, int64_t number)
{
	size_t at = (size_t)(number % (opt.record_size + 1));
	char key[24];
	int key_len = opt.keys ? snprintf(key, sizeof(key), "%lld", (long long)number) : 0;

	for (;;) {
		int64_t now_us = env_monotonic_us(env_system());
		rd_kafka_resp_err_t err;

		if (rd_kafka_produce(p->topic, (int32_t)opt.partition, RD_KAFKA_MSG_F_COPY,
				     p->payload + at, (size_t)opt.record_size,
				     opt.keys ? key : NULL, (size_t)key_len,
				     (void *)(intptr_t)now_us) == 0)
			return CLI_DONE;
		err = rd_kafka_last_error();
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			complain("record %lld: %s", (long long)number + 1, rd_kafka_err2str(err));
			return CLI_REFUSED;
		}
		client_poll(&p->client, FLUSH_SLICE_MS);
		perf_report_tick(&p->report);
	}
}

static int
send_all(struct perf *p)
{
	int st = CLI_DONE;

	for (int64_t i = 0; st == CLI_DONE && i < opt.records; i++) {
		wait_for_turn(p, i);
		st = send_one(p, i);
		if (i % POLL_EVERY == 0) {
			client_poll(&p->client, 0);
			perf_report_tick(&p->report);
		}
	}
	while (rd_kafka_outq_len(p->client.rk) > 0) {
		rd_kafka_flush(p->client.rk, FLUSH_SLICE_MS);
		perf_report_tick(&p->report);
	}
	return st;
}

static int
open_producer(struct perf *p, const char *topic)
{
	bool all = strcmp(opt.acks, "all") == 0 || strcmp(opt.acks, "-1") == 0;
	const struct client_default defaults[] = {{"enable.idempotence", all ? "true" : "false"},
						  {"acks", opt.acks},
						  {"compression.type", opt.compression},
						  {"batch.size", opt.batch_size},
						  {"linger.ms", opt.linger},
						  {"allow.auto.create.topics", "false"},
						  {"partitioner", "murmur2_random"},
						  {NULL, NULL}};
	const rd_kafka_metadata_t *md;
	int st;

	st = client_open_producer(&p->client, defaults, on_delivery, p);
	if (st != CLI_DONE)
		return st;
	/* So that finding the leaders is no part of the first record's latency. */
	st = client_topic_metadata(&p->client, topic, &md);
	if (st != CLI_DONE)
		return st;
	rd_kafka_metadata_destroy(md);
	p->topic = rd_kafka_topic_new(p->client.rk, topic, NULL);
	return p->topic != NULL ? CLI_DONE : CLI_REFUSED;
}

static int
measure(struct perf *p)
{
	int st;

	if (!make_payload(p) ||
	    !perf_report_init(&p->report, "sent", true, opt.interval_ms, opt.json))
		return no_memory();
	p->last_us = p->report.start_us;
	st = send_all(p);
	perf_report_end(&p->report, p->last_us);
	if (p->report.failed > 0) {
		complain("%llu records were not delivered: %s",
			 (unsigned long long)p->report.failed, p->first_error);
		st = CLI_REFUSED;
	}
	return st;
}

static int
run(int argc, char **argv)
{
	struct perf p = {0};
	const char *topic;
	int st;

	st = one_topic(opt.topic, argc, argv, &topic);
	if (st != CLI_DONE)
		return st;
	st = open_producer(&p, topic);
	if (st == CLI_DONE)
		st = measure(&p);
	if (p.topic != NULL)
		rd_kafka_topic_destroy(p.topic);
	client_close(&p.client);
	perf_report_fini(&p.report);
	free(p.payload);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "TOPIC", "Where the records go.", OPTION_TEXT, &opt.topic},
    {'n', "num-records", "N", "How many. Default: 1000000.", OPTION_INT, &opt.records, 1,
     INT64_MAX},
    {'s', "record-size", "BYTES", "Of each value. Default: 1024.", OPTION_INT, &opt.record_size, 0,
     1 << 30},
    {0, "throughput", "N", "At most N records a second. Default: -1, as many as can be.",
     OPTION_INT, &opt.throughput, -1, INT64_MAX},
    {'p', "partition", "N", "Only to this partition.", OPTION_INT, &opt.partition, -1, INT32_MAX},
    {0, "keys", NULL, "Give each record a key of its own.", OPTION_FLAG, &opt.keys},
    {'z', "compression", "CODEC", "none, gzip, snappy, lz4 or zstd.", OPTION_TEXT,
     &opt.compression},
    {'a', "acks", "N", "all (the default), 1 or 0.", OPTION_TEXT, &opt.acks},
    {0, "batch-size", "BYTES", "Of a batch. Default: 65536.", OPTION_TEXT, &opt.batch_size},
    {0, "linger", "MS", "How long a batch waits for more. Default: 5.", OPTION_TEXT, &opt.linger},
    {0, "interval", "MS", "Between lines of progress; 0 for none. Default: 5000.", OPTION_INT,
     &opt.interval_ms, 0, INT32_MAX},
    {0, "json", NULL,
     "One JSON object at the end: records, bytes, failed, seconds, rates, latency_ms.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command perf_produce_command = {
    .name = "perf produce",
    .summary = "Measure how fast records are taken",
    .args = "-t TOPIC [OPTION...]",
    .text = "The topic has to exist. Latency is from the hand-over to the client's library to the\n"
	    "broker's answer. MB are 2^20 bytes.\n\n"
	    "Examples:\n"
	    "  klamm perf produce -t bench -n 2000000 -s 1024 -a 1\n"
	    "  klamm perf produce -t bench -n 50000 -s 100 --throughput 5000 --linger 0 --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
