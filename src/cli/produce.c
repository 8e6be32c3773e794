/*
 * produce.c - klamm produce: records from standard input or files, as kcat -P reads them.
 *
 * The producer is idempotent and partitions keys as Java's does. Deliveries are counted where
 * librdkafka reports them, in client_poll(); while standard input is quiet, they are still polled.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/env.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/record_splitter.h"
#include "cli/text_escape.h"

#define FAILURES_TOLD 5
#define INPUT_WAIT_MS 100
#define FLUSH_SLICE_MS 200

static struct {
	const char *topic;
	int64_t partition;
	const char *key;
	const char *key_delimiter;
	const char *delimiter;
	struct text_list headers;
	const char *compression;
	const char *acks;
	const char *lines;
	int64_t count;
	bool empty_as_null;
	bool tee;
	bool quiet;
	bool json;
} opt = {.partition = -1, .delimiter = "\\n", .count = -1};

struct producer {
	struct client client;
	rd_kafka_topic_t *topic;
	rd_kafka_headers_t *headers;
	struct buf delimiter;
	struct buf key_delimiter;
	struct progress progress;
	uint64_t sent;
	uint64_t delivered;
	uint64_t delivered_bytes;
	uint64_t failed;
};

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct producer *p = opaque;

	(void)rk;
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		p->delivered++;
		p->delivered_bytes += m->len + m->key_len;
		return;
	}
	p->failed++;
	if (p->failed > FAILURES_TOLD)
		return;
	progress_clear(&p->progress);
	complain("a record for %s was not delivered: %s%s%s", rd_kafka_topic_name(m->rkt),
		 rd_kafka_err2str(m->err), client_last_trouble()[0] != '\0' ? ": " : "",
		 client_last_trouble());
}

static bool
enough(const struct producer *p)
{
	return opt.count >= 0 && p->sent >= (uint64_t)opt.count;
}

/* Hands one record over, waiting while librdkafka's queue is full. */
static int
send_record(struct producer *p, struct slice key, struct slice value)
{
	if (opt.empty_as_null && value.len == 0)
		value.data = NULL;
	if (opt.empty_as_null && key.len == 0)
		key.data = NULL;
	for (;;) {
		rd_kafka_headers_t *headers =
		    p->headers != NULL ? rd_kafka_headers_copy(p->headers) : NULL;
		rd_kafka_resp_err_t err = rd_kafka_producev(
		    p->client.rk, RD_KAFKA_V_RKT(p->topic),
		    RD_KAFKA_V_PARTITION((int32_t)opt.partition),
		    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		    RD_KAFKA_V_VALUE((void *)value.data, value.len),
		    RD_KAFKA_V_KEY(key.data, key.len), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			p->sent++;
			client_poll(&p->client, 0);
			return CLI_DONE;
		}
		if (headers != NULL)
			rd_kafka_headers_destroy(headers);
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
			progress_clear(&p->progress);
			complain("record %llu: %s", (unsigned long long)p->sent + 1,
				 rd_kafka_err2str(err));
			return CLI_REFUSED;
		}
		client_poll(&p->client, FLUSH_SLICE_MS);
		progress_tell(&p->progress, p->delivered, p->delivered_bytes, p->failed);
	}
}

static int
send_line(struct producer *p, struct slice line)
{
	struct slice key = {NULL, 0}, value = line;

	if (opt.key_delimiter != NULL)
		record_split_key(line, buf_slice(&p->key_delimiter), &key, &value);
	if (key.data == NULL && opt.key != NULL)
		key = (struct slice){(const uint8_t *)opt.key, strlen(opt.key)};
	if (opt.tee) {
		if (line.len > 0)
			fwrite(line.data, 1, line.len, stdout);
		fwrite(p->delimiter.data, 1, p->delimiter.len, stdout);
	}
	return send_record(p, key, value);
}

/* Waits for input; deliveries are polled meanwhile. */
static void
wait_for_input(struct producer *p, int fd)
{
	struct pollfd pfd = {fd, POLLIN, 0};

	while (poll(&pfd, 1, INPUT_WAIT_MS) == 0) {
		client_poll(&p->client, 0);
		progress_tell(&p->progress, p->delivered, p->delivered_bytes, p->failed);
	}
}

static int
send_lines(struct producer *p, int fd, const char *name)
{
	struct splitter s;
	struct slice line;
	int st = CLI_DONE;

	splitter_init(&s, buf_slice(&p->delimiter));
	while (st == CLI_DONE && !s.ended && !enough(p)) {
		int err;

		wait_for_input(p, fd);
		err = splitter_read(&s, fd);
		if (err != 0) {
			complain("reading %s failed: %s", name,
				 err == -EFBIG ? "a record has more than 2 GiB" : strerror(-err));
			st = CLI_REFUSED;
			break;
		}
		while (st == CLI_DONE && !enough(p) && splitter_next(&s, &line))
			st = send_line(p, line);
		progress_tell(&p->progress, p->delivered, p->delivered_bytes, p->failed);
	}
	splitter_fini(&s);
	return st;
}

static int
send_lines_of_file(struct producer *p, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), st;

	if (fd < 0) {
		complain("cannot open %s: %s", path, strerror(errno));
		return CLI_USAGE;
	}
	st = send_lines(p, fd, path);
	close(fd);
	return st;
}

/* A whole file is one record. */
static int
send_file(struct producer *p, const char *path)
{
	struct slice key = {NULL, 0};
	struct buf content = {0};
	int st;

	st = env_read_file(env_system(), AT_FDCWD, path, SPLITTER_RECORD_MAX, &content);
	if (st != 0) {
		complain("cannot read %s: %s", path, strerror(-st));
		buf_fini(&content);
		return CLI_USAGE;
	}
	if (opt.key != NULL)
		key = (struct slice){(const uint8_t *)opt.key, strlen(opt.key)};
	st = send_record(
	    p, key,
	    (struct slice){content.data != NULL ? content.data : (uint8_t *)"", content.len});
	buf_fini(&content);
	return st;
}

static int
send_all(struct producer *p, int argc, char **argv)
{
	int st = CLI_DONE;

	if (opt.lines != NULL)
		return send_lines_of_file(p, opt.lines);
	if (argc == 0)
		return send_lines(p, STDIN_FILENO, "standard input");
	for (int i = 0; st == CLI_DONE && i < argc && !enough(p); i++)
		st = send_file(p, argv[i]);
	return st;
}

static void
flush(struct producer *p)
{
	while (rd_kafka_outq_len(p->client.rk) > 0) {
		rd_kafka_flush(p->client.rk, FLUSH_SLICE_MS);
		progress_tell(&p->progress, p->delivered, p->delivered_bytes, p->failed);
	}
	progress_clear(&p->progress);
}

static int
read_headers(struct producer *p)
{
	if (opt.headers.count == 0)
		return CLI_DONE;
	p->headers = rd_kafka_headers_new(opt.headers.count);
	for (size_t i = 0; i < opt.headers.count; i++) {
		const char *text = opt.headers.items[i], *equals = strchr(text, '=');

		if (equals == text)
			return usage_error("-H takes NAME=VALUE, or NAME for a null value, not "
					   "'%s'",
					   text);
		rd_kafka_header_add(p->headers, text, equals == NULL ? -1 : equals - text,
				    equals == NULL ? NULL : equals + 1,
				    equals == NULL ? 0 : (ssize_t)strlen(equals + 1));
	}
	return CLI_DONE;
}

static int
read_delimiters(struct producer *p)
{
	if (text_unescape(opt.delimiter, &p->delimiter) != 0 || p->delimiter.len == 0)
		return usage_error(
		    "-D takes at least one character, or escapes as \\n, \\t, \\x00, "
		    "not '%s'",
		    opt.delimiter);
	if (opt.key_delimiter != NULL &&
	    (text_unescape(opt.key_delimiter, &p->key_delimiter) != 0 || p->key_delimiter.len == 0))
		return usage_error("-K takes at least one character, or escapes as \\t, not '%s'",
				   opt.key_delimiter);
	return CLI_DONE;
}

static bool
acks_are_all(const char *acks)
{
	return acks == NULL || strcmp(acks, "all") == 0 || strcmp(acks, "-1") == 0;
}

static int
open_producer(struct producer *p, const char *topic)
{
	const struct client_default defaults[] = {
	    {"enable.idempotence", acks_are_all(opt.acks) ? "true" : "false"},
	    {"acks", acks_are_all(opt.acks) ? "all" : opt.acks},
	    {"partitioner", "murmur2_random"},
	    {"compression.type", opt.compression != NULL ? opt.compression : "none"},
	    {NULL, NULL}};
	const rd_kafka_metadata_t *md;
	int st;

	st = client_open_producer(&p->client, defaults, on_delivery, p);
	if (st != CLI_DONE)
		return st;
	st = client_metadata(&p->client, false, NULL, &md);
	if (st != CLI_DONE)
		return st;
	rd_kafka_metadata_destroy(md);
	p->topic = rd_kafka_topic_new(p->client.rk, topic, NULL);
	if (p->topic == NULL) {
		complain("topic '%s': %s", topic, rd_kafka_err2str(rd_kafka_last_error()));
		return CLI_USAGE;
	}
	return CLI_DONE;
}

static void
close_producer(struct producer *p)
{
	if (p->topic != NULL)
		rd_kafka_topic_destroy(p->topic);
	client_close(&p->client);
	if (p->headers != NULL)
		rd_kafka_headers_destroy(p->headers);
	buf_fini(&p->delimiter);
	buf_fini(&p->key_delimiter);
}

static int
tell(const struct producer *p)
{
	double seconds = progress_seconds(&p->progress);

	if (opt.json)
		printf("{\"sent\":%llu,\"delivered\":%llu,\"failed\":%llu,\"bytes\":%llu,"
		       "\"seconds\":%.3f}\n",
		       (unsigned long long)p->sent, (unsigned long long)p->delivered,
		       (unsigned long long)p->failed, (unsigned long long)p->delivered_bytes,
		       seconds);
	if (p->failed == 0)
		return CLI_DONE;
	complain("%llu of %llu records were not delivered", (unsigned long long)p->failed,
		 (unsigned long long)p->sent);
	return CLI_REFUSED;
}

static int
run(int argc, char **argv)
{
	struct producer p = {0};
	int st;

	if (opt.topic == NULL)
		return usage_error("which topic? Give -t TOPIC");
	if (opt.lines != NULL && argc > 0)
		return usage_error("-l reads one file; leave out '%s'", argv[0]);
	st = read_delimiters(&p);
	if (st == CLI_DONE)
		st = read_headers(&p);
	if (st == CLI_DONE)
		st = open_producer(&p, opt.topic);
	if (st == CLI_DONE) {
		int told;

		progress_start(&p.progress, opt.quiet);
		st = send_all(&p, argc, argv);
		flush(&p);
		told = tell(&p);
		if (st == CLI_DONE)
			st = told;
	}
	close_producer(&p);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "TOPIC", "Where the records go.", OPTION_TEXT, &opt.topic},
    {'p', "partition", "N", "Only to this partition. Default: by the key, as Java's producer does.",
     OPTION_INT, &opt.partition, -1, INT32_MAX},
    {'k', "key", "KEY", "The key of all records.", OPTION_TEXT, &opt.key},
    {'K', "key-delimiter", "TEXT", "What parts the key from the value in each record.", OPTION_TEXT,
     &opt.key_delimiter},
    {'D', "delimiter", "TEXT", "What parts the records. Default: \\n.", OPTION_TEXT,
     &opt.delimiter},
    {'H', "header", "NAME=VALUE", "A header of all records.", OPTION_LIST, &opt.headers},
    {'z', "compression", "CODEC", "none, gzip, snappy, lz4 or zstd.", OPTION_TEXT,
     &opt.compression},
    {'a', "acks", "N", "all (the default), 1 or 0. Only with all is the producer idempotent.",
     OPTION_TEXT, &opt.acks},
    {'l', "lines", "FILE", "Read records from FILE instead of standard input.", OPTION_TEXT,
     &opt.lines},
    {'c', "count", "N", "Stop after N records.", OPTION_INT, &opt.count, 0, INT64_MAX},
    {'Z', "null", NULL, "An empty value or key is null.", OPTION_FLAG, &opt.empty_as_null},
    {'T', "tee", NULL, "Copy the records to standard output.", OPTION_FLAG, &opt.tee},
    {'q', "quiet", NULL, "No progress.", OPTION_FLAG, &opt.quiet},
    {0, "json", NULL, "At the end one JSON object: sent, delivered, failed, bytes, seconds.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command produce_command = {
    .name = "produce",
    .summary = "Send records from standard input or files",
    .args = "-t TOPIC [OPTION...] [FILE...]",
    .text = "Each line of standard input is a record. A FILE that is named is one record as a "
	    "whole.\nExits with 1 when a record was not delivered.\n\n"
	    "Examples:\n"
	    "  echo hello | klamm produce -t greetings\n"
	    "  klamm produce -t orders -K : -H source=shop -z zstd -l orders.txt\n"
	    "  klamm produce -t photos -k cat cat.jpg\n",
    .options = options,
    .connects = true,
    .run = run,
};
