/*
 * group_reset_offsets.c - klamm group reset-offsets: the options, the file, and telling the plan.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/group_reset.h"
#include "cli/json_document.h"
#include "cli/text_table.h"
#include "cli/time_text.h"

#define FILE_MAX ((size_t)64 << 20)
#define NOT_GIVEN INT64_MIN

static struct {
	struct group_scope groups;
	struct partition_scope partitions;
	bool to_earliest, to_latest, to_current;
	int64_t to_offset, shift_by;
	const char *to_datetime, *by_duration, *from_file;
	bool dry_run, execute, export, json;
} opt = {.to_offset = NOT_GIVEN, .shift_by = NOT_GIVEN};

static struct offsets_csv file;

/* ---- what is asked ---- */

static int
count_of_kinds(void)
{
	return opt.to_earliest + opt.to_latest + opt.to_current + (opt.to_offset != NOT_GIVEN) +
	       (opt.shift_by != NOT_GIVEN) + (opt.to_datetime != NULL) + (opt.by_duration != NULL) +
	       (opt.from_file != NULL);
}

static int
read_time(struct reset_spec *spec)
{
	int64_t back_ms;

	spec->kind = RESET_TO_TIME;
	if (opt.to_datetime != NULL) {
		if (time_parse(opt.to_datetime, &spec->value) != 0)
			return usage_error("--to-datetime takes a time as 2026-11-20T08:00:00.000, "
					   "with a zone unless it is UTC, not '%s'",
					   opt.to_datetime);
		return CLI_DONE;
	}
	if (duration_parse(opt.by_duration, &back_ms) != 0)
		return usage_error("--by-duration takes days, hours, minutes and seconds as in "
				   "P1DT12H or PT90M, not '%s'",
				   opt.by_duration);
	spec->value = env_now_ms(env_system()) - back_ms;
	if (spec->value < 0)
		spec->value = 0;
	return CLI_DONE;
}

static int
read_spec(struct reset_spec *spec)
{
	if (count_of_kinds() != 1)
		return usage_error("where to? Give one of --to-earliest, --to-latest, "
				   "--to-current, --to-offset N, --shift-by N, --to-datetime TIME, "
				   "--by-duration DURATION, --from-file FILE");
	if (opt.to_datetime != NULL || opt.by_duration != NULL)
		return read_time(spec);
	*spec = (struct reset_spec){RESET_TO_OFFSET, opt.to_offset};
	if (opt.to_earliest)
		spec->kind = RESET_TO_EARLIEST;
	else if (opt.to_latest)
		spec->kind = RESET_TO_LATEST;
	else if (opt.to_current)
		spec->kind = RESET_TO_CURRENT;
	else if (opt.shift_by != NOT_GIVEN)
		*spec = (struct reset_spec){RESET_SHIFT_BY, opt.shift_by};
	return CLI_DONE;
}

/* The groups that the file names, for --all-groups. */
static int
take_groups_of_file(void)
{
	const char **items = calloc(file.count, sizeof(*items));

	if (items == NULL)
		return no_memory();
	for (size_t i = 0; i < file.count; i++)
		items[i] = file.rows[i].group;
	opt.groups.groups = (struct text_list){items, file.count};
	opt.groups.all = false;
	return CLI_DONE;
}

static int
read_file(void)
{
	struct buf text = {0}, why = {0};
	int st;

	st = env_read_file(env_system(), AT_FDCWD, opt.from_file, FILE_MAX, &text);
	if (st != 0)
		complain("--from-file %s: cannot read it: %s", opt.from_file, strerror(-st));
	else if ((st = offsets_csv_parse(&file, buf_slice(&text), &why)) != 0)
		complain("--from-file %s: %s", opt.from_file,
			 st == -EINVAL ? buf_text(&why) : strerror(-st));
	buf_fini(&text);
	buf_fini(&why);
	if (st != 0)
		return CLI_USAGE;
	if (!file.with_group && (opt.groups.all || opt.groups.groups.count != 1))
		return usage_error("--from-file %s: it names no groups, so it is for one --group; "
				   "with several, a line is group,topic,partition,offset",
				   opt.from_file);
	return opt.groups.all ? take_groups_of_file() : CLI_DONE;
}

static int
read_request(int argc, char **argv, struct reset_request *request)
{
	int st;

	*request = (struct reset_request){0};
	st = read_spec(&request->spec);
	if (st == CLI_DONE)
		st = group_scope_read(&opt.groups, argc, argv);
	if (st != CLI_DONE)
		return st;
	if (opt.dry_run && opt.execute)
		return usage_error("--dry-run and --execute: give one of the two");
	if (opt.export && opt.json)
		return usage_error("--export and --json: give one of the two");
	if (opt.from_file == NULL) {
		request->partitions = &opt.partitions;
		return partition_scope_read(&opt.partitions);
	}
	if (opt.partitions.topics.count > 0)
		return usage_error("--from-file names the partitions: leave out --topic");
	request->file = &file;
	return read_file();
}

/* ---- telling ---- */

/* Of a plan, or carried out. */
static bool
is_told(const struct group_reset *reset, size_t i)
{
	return !reset->refused && reset->rows[i].err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int
print_text(const struct group_reset *resets, size_t count)
{
	static const struct table_column columns[] = {{"GROUP", 30},
						      {"TOPIC", 30},
						      {"PARTITION", 10},
						      {"NEW-OFFSET", 15},
						      {"CURRENT-OFFSET", 0}};
	struct text_table table = {.columns = columns, .column_count = ARRAY_LEN(columns)};

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < resets[i].count; j++) {
			const struct reset_row *row = &resets[i].rows[j];

			if (!is_told(&resets[i], j))
				continue;
			text_table_add(&table, resets[i].group->id);
			text_table_add(&table, row->topic);
			text_table_add_count(&table, row->partition);
			text_table_add_count(&table, row->to.offset);
			text_table_add_count(&table, row->current);
		}
	}
	if (table.cell_count == 0)
		return CLI_DONE;
	putchar('\n');
	return text_table_print(&table);
}

static int
print_export(const struct group_reset *resets, size_t count)
{
	bool with_group = opt.groups.all || count != 1;
	struct buf out = {0};
	int st = CLI_DONE;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < resets[i].count; j++) {
			const struct reset_row *row = &resets[i].rows[j];

			if (is_told(&resets[i], j))
				offsets_csv_append(&out, with_group ? resets[i].group->id : NULL,
						   row->topic, row->partition, row->to.offset);
		}
	}
	if (out.failed)
		st = no_memory();
	else if (out.len > 0)
		fwrite(out.data, 1, out.len, stdout);
	buf_fini(&out);
	return st;
}

static json_t *
row_json(const struct reset_row *row)
{
	return json_pack(
	    "{s:s, s:i, s:o, s:I, s:I, s:o}", "topic", row->topic, "partition", (int)row->partition,
	    "current_offset",
	    row->current >= 0 ? json_integer((json_int_t)row->current) : json_null(), "new_offset",
	    (json_int_t)row->to.offset, "requested_offset", (json_int_t)row->to.asked, "error",
	    json_text(row->err != RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_err2str(row->err) : NULL));
}

static int
print_json(const struct group_reset *resets, size_t count)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *partitions = json_array();

		for (size_t j = 0; !resets[i].refused && j < resets[i].count; j++)
			json_array_append_new(partitions, row_json(&resets[i].rows[j]));
		json_array_append_new(
		    groups,
		    json_pack("{s:o, s:s, s:b, s:o}", "group", json_text(resets[i].group->id),
			      "state",
			      rd_kafka_consumer_group_state_name(group_state(resets[i].group)),
			      "refused", resets[i].refused, "partitions", partitions));
	}
	return json_document_print(
	    json_pack("{s:b, s:o}", "executed", opt.execute, "groups", groups));
}

static int
print_resets(const struct group_reset *resets, size_t count)
{
	if (opt.json)
		return print_json(resets, count);
	return opt.export ? print_export(resets, count) : print_text(resets, count);
}

/* ---- all of it ---- */

static int
reset(struct client *c, const struct group_view *view, const struct reset_request *request)
{
	struct group_reset *resets;
	int st, printed;

	st = group_reset_plan(view, c, request, &resets);
	if (st != CLI_DONE)
		return st;
	if (opt.execute)
		st = group_reset_execute(c, resets, view->count);
	printed = print_resets(resets, view->count);
	if (printed != CLI_DONE)
		st = printed;
	for (size_t i = 0; i < view->count; i++) {
		if (resets[i].refused)
			st = CLI_REFUSED;
	}
	if (st == CLI_DONE && !opt.execute && !opt.dry_run && !opt.export && !opt.json) {
		fflush(stdout);
		fprintf(stderr, "\nThis is the plan, and nothing was changed: --execute carries it "
				"out.\n");
	}
	group_reset_free(resets, view->count);
	return st;
}

static int
run(int argc, char **argv)
{
	struct reset_request request;
	struct group_view view = {0};
	struct client c = {0};
	int st;

	st = read_request(argc, argv, &request);
	if (st == CLI_DONE)
		st = group_client_open(&c, &opt.groups);
	if (st == CLI_DONE)
		st = group_view_load(&view, &c, &opt.groups);
	if (st == CLI_DONE)
		st = reset(&c, &view, &request);
	group_view_fini(&view);
	partition_scope_fini(&opt.partitions);
	offsets_csv_fini(&file);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    GROUP_ROW(opt.groups),
    {0, "all-groups", NULL, "All groups that there are; with --from-file, all that it names.",
     OPTION_FLAG, &opt.groups.all},
    TOPIC_ROW(opt.partitions),
    ALL_TOPICS_ROW(opt.partitions),
    {0, "to-earliest", NULL, "To the log's start.", OPTION_FLAG, &opt.to_earliest},
    {0, "to-latest", NULL, "To the log's end.", OPTION_FLAG, &opt.to_latest},
    {0, "to-current", NULL, "Where it is; to the log's end where nothing was committed.",
     OPTION_FLAG, &opt.to_current},
    {0, "to-offset", "N", "To that offset.", OPTION_INT, &opt.to_offset, 0, INT64_MAX},
    {0, "shift-by", "N", "By so many records from where it is; -N goes back.", OPTION_INT,
     &opt.shift_by, -INT64_MAX, INT64_MAX},
    {0, "to-datetime", "TIME",
     "To the first record of that time or later: 2026-11-20T08:00:00.000.", OPTION_TEXT,
     &opt.to_datetime},
    {0, "by-duration", "DURATION", "To the first record since so long ago: PnDTnHnMnS.",
     OPTION_TEXT, &opt.by_duration},
    {0, "from-file", "FILE", "To the offsets in a file that --export printed.", OPTION_TEXT,
     &opt.from_file},
    {0, "dry-run", NULL, "Only print the plan, which is so without --execute too.", OPTION_FLAG,
     &opt.dry_run},
    {0, "execute", NULL, "Carry it out.", OPTION_FLAG, &opt.execute},
    {0, "export", NULL, "Print lines for --from-file instead of a table.", OPTION_FLAG,
     &opt.export},
    {0, "json", NULL, "One JSON object: executed, groups with group, state, refused, partitions.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command group_reset_offsets_command = {
    .name = "group reset-offsets",
    .summary = "Plan where groups shall go on reading, and put them there",
    .args = "GROUP... | --all-groups --topic TOPIC | --all-topics WHERE [--execute]",
    .text =
	"Without --execute nothing is changed: the plan is printed. WHERE is one of "
	"--to-earliest,\n"
	"--to-latest, --to-current, --to-offset, --shift-by, --to-datetime, --by-duration and\n"
	"--from-file. An offset outside the log becomes the log's start or end, which is told.\n\n"
	"A group is reset only while it has no members: stop its consumers first. A group that is\n"
	"not there yet begins where it is put. When one group is refused, others go on, and the\n"
	"exit is 1.\n\n"
	"A file has lines topic,partition,offset for one group, or group,topic,partition,offset,\n"
	"as those of kafka-consumer-groups.sh.\n\n"
	"Examples:\n"
	"  klamm group reset-offsets billing --topic orders --to-earliest\n"
	"  klamm group reset-offsets billing --topic orders:0,3 --shift-by -100 --execute\n"
	"  klamm group reset-offsets billing --all-topics --by-duration PT6H --execute\n"
	"  klamm group reset-offsets --all-groups --all-topics --to-current --export >offsets.csv\n"
	"  klamm group reset-offsets --all-groups --from-file offsets.csv --execute\n",
    .options = options,
    .connects = true,
    .run = run,
};
