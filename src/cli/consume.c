/*
 * consume.c - klamm consume: prints records as kcat -C does.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/reader.h"
#include "cli/record_format.h"
#include "cli/text_escape.h"

#define WAIT_MS 100
#define OUT_BYTES 65536

static struct {
	const char *topic;
	int64_t partition;
	struct text_list offsets;
	int64_t count;
	const char *format;
	const char *delimiter;
	const char *key_delimiter;
	const char *isolation;
	const char *group;
	bool exit_at_end;
	bool null;
	bool print_offset;
	bool quiet;
	bool json;
} opt = {.partition = -1, .count = -1, .isolation = "read_committed"};

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
	(void)number;
	stopped = 1;
}

struct consumer {
	struct reader reader;
	struct record_format format;
	struct record_header *headers; /* room for header_cap of them */
	size_t header_cap;
	struct buf out;
	struct progress progress;
	uint64_t records;
	uint64_t bytes;
};

/* What -D, -K and -O say, as a format. */
static int
default_format(struct buf *text)
{
	if (opt.key_delimiter != NULL)
		buf_printf(text, "%%k%s", opt.key_delimiter);
	if (opt.print_offset)
		buf_printf(text, "%%o%s", opt.key_delimiter != NULL ? opt.key_delimiter : "\\t");
	buf_printf(text, "%%s%s", opt.delimiter != NULL ? opt.delimiter : "\\n");
	return buf_text(text) != NULL ? CLI_DONE : no_memory();
}

static int
read_format(struct consumer *c)
{
	struct buf text = {0};
	size_t at = 0;
	int st;

	if (opt.json && opt.format != NULL)
		return usage_error("--json and --format exclude each other");
	st = default_format(&text);
	if (st != CLI_DONE)
		return st;
	st =
	    record_format_parse(opt.format != NULL ? opt.format : buf_text(&text), &c->format, &at);
	if (st != 0)
		st = usage_error("--format: there is no '%.3s'; 'klamm help consume' lists the "
				 "tokens",
				 (opt.format != NULL ? opt.format : buf_text(&text)) + at);
	else
		c->format.null_text = opt.null ? "NULL" : NULL;
	buf_fini(&text);
	return st;
}

static int
read_offsets(struct offset_spec *spec)
{
	*spec = OFFSET_SPEC_DEFAULT;
	for (size_t i = 0; i < opt.offsets.count; i++) {
		if (offset_spec_parse(opt.offsets.items[i], spec) != 0)
			return usage_error("-o takes beginning, end, OFFSET, -COUNT, s@TIME or "
					   "e@TIME, not '%s'",
					   opt.offsets.items[i]);
	}
	return CLI_DONE;
}

/* Into c->headers, which grows. */
static size_t
view_headers(struct consumer *c, const rd_kafka_message_t *m)
{
	rd_kafka_headers_t *headers;
	size_t count, size;
	const void *value;

	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	count = rd_kafka_header_cnt(headers);
	if (count > c->header_cap) {
		free(c->headers);
		c->headers = calloc(count, sizeof(*c->headers));
		if (c->headers == NULL)
			abort();
		c->header_cap = count;
	}
	for (size_t i = 0; i < count; i++) {
		if (rd_kafka_header_get_all(headers, i, &c->headers[i].name, &value, &size) !=
		    RD_KAFKA_RESP_ERR_NO_ERROR)
			return i;
		c->headers[i].value = (struct slice){value, size};
	}
	return count;
}

static void
print_record(struct consumer *c, const rd_kafka_message_t *m)
{
	size_t header_count = view_headers(c, m);
	rd_kafka_timestamp_type_t type;
	struct record_view view = {
	    .topic = rd_kafka_topic_name(m->rkt),
	    .key = {m->key, m->key_len},
	    .value = {m->payload, m->len},
	    .headers = c->headers,
	    .header_count = header_count,
	    .offset = m->offset,
	    .timestamp_ms = rd_kafka_message_timestamp(m, &type),
	    .partition = m->partition,
	    .broker = rd_kafka_message_broker_id(m),
	};

	view.timestamp_type = type == RD_KAFKA_TIMESTAMP_CREATE_TIME       ? TIMESTAMP_CREATE
			      : type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? TIMESTAMP_LOG_APPEND
									   : TIMESTAMP_UNKNOWN;
	if (opt.json)
		record_json_append(&view, &c->out);
	else
		record_format_append(&c->format, &view, &c->out);
	c->records++;
	c->bytes += m->len + m->key_len;
}

static int
write_out(struct consumer *c)
{
	if (c->out.failed)
		return no_memory();
	progress_clear(&c->progress);
	if (c->out.len > 0)
		fwrite(c->out.data, 1, c->out.len, stdout);
	c->out.len = 0;
	return fflush(stdout) == 0 ? CLI_DONE : CLI_REFUSED;
}

static bool
wants_more(const struct consumer *c)
{
	return stopped == 0 && !reader_is_done(&c->reader, opt.exit_at_end) &&
	       (opt.count < 0 || c->records < (uint64_t)opt.count);
}

static int
consume(struct consumer *c)
{
	int st = CLI_DONE;

	while (st == CLI_DONE && wants_more(c)) {
		/* While records come, do not wait; print what there is before waiting. */
		rd_kafka_message_t *m = rd_kafka_consume_queue(c->reader.queue, 0);

		if (m == NULL) {
			client_poll(&c->reader.client, 0);
			st = write_out(c);
			progress_tell(&c->progress, c->records, c->bytes, 0);
			m = rd_kafka_consume_queue(c->reader.queue, WAIT_MS);
		}
		if (m == NULL)
			continue;
		if (reader_take(&c->reader, m, &st))
			print_record(c, m);
		rd_kafka_message_destroy(m);
		if (c->out.len >= OUT_BYTES) {
			st = write_out(c);
			progress_tell(&c->progress, c->records, c->bytes, 0);
		}
	}
	if (st == CLI_DONE)
		st = write_out(c);
	else
		(void)write_out(c);
	progress_clear(&c->progress);
	return st;
}

static int
open_consumer(struct consumer *c, const char *topic, const struct offset_spec *spec)
{
	const struct client_default defaults[] = {{"enable.partition.eof", "true"},
						  {"auto.offset.reset", "error"},
						  {"isolation.level", opt.isolation},
						  {"allow.auto.create.topics", "false"},
						  {NULL, NULL}};
	rd_kafka_conf_t *conf;
	int st;

	st = client_conf(defaults, &conf);
	if (st != CLI_DONE)
		return st;
	st = reader_open(&c->reader, conf, topic, (int32_t)opt.partition, spec);
	return st == CLI_DONE ? reader_start(&c->reader) : st;
}

static int
run(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	struct consumer c = {0};
	struct offset_spec spec;
	const char *topic;
	int st;

	if (opt.group != NULL)
		return usage_error("-G: this version cannot read as a member of a consumer group; "
				   "without -G, all partitions are read and no offsets are kept");
	st = one_topic(opt.topic, argc, argv, &topic);
	if (st == CLI_DONE)
		st = read_offsets(&spec);
	if (st == CLI_DONE)
		st = read_format(&c);
	if (st != CLI_DONE)
		return st;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	st = open_consumer(&c, topic, &spec);
	if (st == CLI_DONE) {
		progress_start(&c.progress, opt.quiet);
		st = consume(&c);
	}
	reader_close(&c.reader);
	record_format_fini(&c.format);
	free(c.headers);
	buf_fini(&c.out);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "TOPIC", "What to read; may also be given without -t.", OPTION_TEXT, &opt.topic},
    {'p', "partition", "N", "Only this partition. Default: all.", OPTION_INT, &opt.partition, 0,
     INT32_MAX},
    {'o', "offset", "WHERE",
     "Where to begin: beginning (the default), end, OFFSET, -COUNT before the end, s@TIME; where "
     "to stop: e@TIME. TIME is ms since the epoch or ISO 8601.",
     OPTION_LIST, &opt.offsets},
    {'c', "count", "N", "Stop after N records.", OPTION_INT, &opt.count, 0, INT64_MAX},
    {'e', "exit", NULL, "Stop at the end of the partitions.", OPTION_FLAG, &opt.exit_at_end},
    {'f', "format", "FORMAT", "How to print a record; see above.", OPTION_TEXT, &opt.format},
    {'D', "delimiter", "TEXT", "What follows each record. Default: \\n.", OPTION_TEXT,
     &opt.delimiter},
    {'K', "key-delimiter", "TEXT", "Print the key and TEXT before each value.", OPTION_TEXT,
     &opt.key_delimiter},
    {'O', "print-offset", NULL, "Print the offset before each value.", OPTION_FLAG,
     &opt.print_offset},
    {'Z', "null", NULL, "Print null keys and values as NULL.", OPTION_FLAG, &opt.null},
    {'J', "json", NULL, "One JSON object a line, as kcat -J.", OPTION_FLAG, &opt.json},
    {'G', "group", "GROUP", "Not available yet.", OPTION_TEXT, &opt.group},
    {0, "isolation-level", "LEVEL", "read_committed (the default) or read_uncommitted.",
     OPTION_TEXT, &opt.isolation},
    {'q', "quiet", NULL, "No progress.", OPTION_FLAG, &opt.quiet},
    {0},
};

const struct command consume_command = {
    .name = "consume",
    .summary = "Print records",
    .args = "-t TOPIC [OPTION...]",
    .text =
	"Reads all partitions, or one, without a consumer group.\n\n"
	"Format tokens:\n"
	"  %s %S %R   value; its length, -1 for null; its length as 4 bytes, big-endian\n"
	"  %k %K      key; its length, -1 for null\n"
	"  %h         headers, as name=value,name=value\n"
	"  %t %p %o   topic, partition, offset\n"
	"  %T         timestamp in ms since the epoch\n"
	"  %%         a percent sign; \\n \\r \\t \\xHH as usual\n\n"
	"Examples:\n"
	"  klamm consume -t orders -e\n"
	"  klamm consume -t orders -o -10 -e -f '%p/%o %k: %s\\n'\n"
	"  klamm consume -t orders -o s@2026-11-20T08:00:00Z -o e@2026-11-20T09:00:00Z --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
