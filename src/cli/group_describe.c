/*
 * group_describe.c - klamm group describe: lag per partition and who owns it.
 */
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/group_lag.h"
#include "cli/json_document.h"
#include "cli/text_table.h"

static struct {
	struct group_scope scope;
	int64_t watch_s;
	bool json;
} opt;

static const struct table_column columns[] = {
    {"GROUP", 15},          {"TOPIC", 15},          {"PARTITION", 10},
    {"CURRENT-OFFSET", 15}, {"LOG-END-OFFSET", 15}, {"LAG", 15},
    {"CONSUMER-ID", 15},    {"HOST", 15},           {"CLIENT-ID", 0},
};

static void
add_row(struct text_table *table, const struct group *group, const struct lag_row *row)
{
	const rd_kafka_MemberDescription_t *m = row->member;
	char text[24] = "";
	int64_t lag;

	if (lag_row_lag(row, &lag))
		snprintf(text, sizeof(text), "%lld", (long long)lag);
	text_table_add(table, group->id);
	text_table_add(table, row->topic);
	text_table_add_count(table, row->partition);
	text_table_add_count(table, row->current);
	text_table_add_count(table, row->end);
	text_table_add(table, text);
	text_table_add(table, m != NULL ? rd_kafka_MemberDescription_consumer_id(m) : NULL);
	text_table_add(table, m != NULL ? rd_kafka_MemberDescription_host(m) : NULL);
	text_table_add(table, m != NULL ? rd_kafka_MemberDescription_client_id(m) : NULL);
}

static int
print_text(const struct group *group, const struct group_lag *lag)
{
	struct text_table table = {.columns = columns, .column_count = ARRAY_LEN(columns)};

	fflush(stdout);
	group_warn_of_state(group);
	if (lag->count == 0)
		return CLI_DONE;
	for (size_t i = 0; i < lag->count; i++)
		add_row(&table, group, &lag->rows[i]);
	putchar('\n');
	return text_table_print(&table);
}

static json_t *
count_json(int64_t count, bool known)
{
	return known ? json_integer((json_int_t)count) : json_null();
}

static json_t *
row_json(const struct lag_row *row)
{
	const rd_kafka_MemberDescription_t *m = row->member;
	int64_t lag = 0;
	bool known = lag_row_lag(row, &lag);

	return json_pack(
	    "{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "topic", row->topic, "partition",
	    (int)row->partition, "current_offset", count_json(row->current, row->current >= 0),
	    "log_end_offset", count_json(row->end, row->end >= 0), "lag", count_json(lag, known),
	    "consumer_id", json_text(m != NULL ? rd_kafka_MemberDescription_consumer_id(m) : NULL),
	    "group_instance_id",
	    json_text(m != NULL ? rd_kafka_MemberDescription_group_instance_id(m) : NULL), "host",
	    json_text(m != NULL ? rd_kafka_MemberDescription_host(m) : NULL), "client_id",
	    json_text(m != NULL ? rd_kafka_MemberDescription_client_id(m) : NULL));
}

static json_t *
group_json(const struct group *group, const struct group_lag *lag)
{
	json_t *partitions = json_array();
	int64_t sum = 0, one;

	for (size_t i = 0; i < lag->count; i++) {
		json_array_append_new(partitions, row_json(&lag->rows[i]));
		if (lag_row_lag(&lag->rows[i], &one) && one > 0)
			sum += one;
	}
	return json_pack("{s:o, s:s, s:i, s:I, s:o}", "group", json_text(group->id), "state",
			 rd_kafka_consumer_group_state_name(group_state(group)), "members",
			 (int)rd_kafka_ConsumerGroupDescription_member_count(group->description),
			 "lag", (json_int_t)sum, "partitions", partitions);
}

static int
print_all(const struct group_view *view, const struct group_lag *lags)
{
	json_t *array = json_array();
	int st = CLI_DONE;

	for (size_t i = 0; i < view->count; i++) {
		const struct group *group = &view->groups[i];

		if (!group_is_usable(group, true))
			st = CLI_REFUSED;
		else if (opt.json)
			json_array_append_new(array, group_json(group, &lags[i]));
		else if (print_text(group, &lags[i]) != CLI_DONE)
			st = CLI_REFUSED;
	}
	if (opt.json && (opt.watch_s > 0 ? json_line_print(json_incref(array))
					 : json_document_print(json_incref(array))) != CLI_DONE)
		st = CLI_REFUSED;
	json_decref(array);
	return st;
}

static int
describe(struct client *c)
{
	struct group_view view = {0};
	struct group_lag *lags;
	int st;

	st = group_view_load(&view, c, &opt.scope);
	if (st == CLI_DONE)
		st = group_lag_load(&view, c, &lags);
	if (st == CLI_DONE) {
		st = print_all(&view, lags);
		group_lag_free(lags, view.count);
	}
	group_view_fini(&view);
	return st;
}

/*
 * One round, with a client of its own: librdkafka 2.0 aborts when a coordinator that did not answer
 * in time is asked for once more and then does.
 */
static int
describe_once(void)
{
	struct client c = {0};
	int st;

	st = group_client_open(&c, &opt.scope);
	if (st == CLI_DONE)
		st = describe(&c);
	client_close(&c);
	return st;
}

/*
 * Until a signal ends the process, or what reads the output is gone. A failure is told, and tried
 * again; wrong usage is not.
 */
static int
watch(void)
{
	bool screen = !opt.json && isatty(STDOUT_FILENO) == 1;
	int st;

	do {
		int64_t next_us = env_monotonic_us(env_system()) + opt.watch_s * 1000000;
		int64_t left_us;

		if (screen) {
			time_t now = time(NULL);
			char text[32];

			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", localtime(&now));
			printf("\033[H\033[2J%s, every %lld s\n", text, (long long)opt.watch_s);
		}
		st = describe_once();
		if (fflush(stdout) != 0)
			return st;
		while (st != CLI_USAGE && (left_us = next_us - env_monotonic_us(env_system())) > 0)
			poll(NULL, 0, (int)(left_us / 1000) + 1);
	} while (st != CLI_USAGE);
	return st;
}

static int
run(int argc, char **argv)
{
	int st;

	st = group_scope_read(&opt.scope, argc, argv);
	if (st != CLI_DONE)
		return st;
	return opt.watch_s > 0 ? watch() : describe_once();
}

static const struct option_row options[] = {
    GROUP_ROW(opt.scope),
    ALL_GROUPS_ROW(opt.scope),
    {'w', "watch", "SECONDS", "Tell again and again, with so many seconds between.", OPTION_INT,
     &opt.watch_s, 1, 86400},
    {0, "json", NULL,
     "One JSON array of objects: group, state, members, lag (the sum), partitions. With --watch "
     "one "
     "array a line.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command group_describe_command = {
    .name = "group describe",
    .summary = "Tell how far groups are behind, and who owns what",
    .args = "GROUP... | --all-groups [OPTION...]",
    .text =
	"The layout is that of kafka-consumer-groups.sh --describe: for each partition that is\n"
	"assigned or has a committed offset, that offset, the log's end, what lies between\n"
	"(LAG), and the consumer that owns it. \"-\" is what is not known: nothing was\n"
	"committed, nobody owns it, or the topic is gone.\n\n"
	"Examples:\n"
	"  klamm group describe billing\n"
	"  klamm group describe --all-groups --watch 5\n"
	"  klamm group describe billing --json | jq '.[0].lag'\n",
    .options = options,
    .connects = true,
    .run = run,
};
