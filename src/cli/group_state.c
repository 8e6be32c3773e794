/*
 * group_state.c - klamm group state: what groups are doing, and who coordinates them.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/group_view.h"
#include "cli/json_document.h"
#include "cli/text_table.h"

static struct {
	struct group_scope scope;
	bool json;
} opt;

static const struct table_column columns[] = {
    {"GROUP", 15}, {"COORDINATOR (ID)", 25}, {"ASSIGNMENT-STRATEGY", 20},
    {"STATE", 15}, {"#MEMBERS", 0},
};

static struct text_table table = {.columns = columns, .column_count = ARRAY_LEN(columns)};

static int
add_row(const struct group *group)
{
	const rd_kafka_ConsumerGroupDescription_t *d = group->description;
	const rd_kafka_Node_t *node = rd_kafka_ConsumerGroupDescription_coordinator(d);
	char coordinator[300] = "";

	if (node != NULL)
		snprintf(coordinator, sizeof(coordinator), "%s:%u (%d)", rd_kafka_Node_host(node),
			 rd_kafka_Node_port(node), rd_kafka_Node_id(node));
	text_table_add(&table, group->id);
	text_table_add(&table, coordinator);
	text_table_add(&table, rd_kafka_ConsumerGroupDescription_partition_assignor(d));
	text_table_add(&table, rd_kafka_consumer_group_state_name(group_state(group)));
	text_table_add_count(&table, (int64_t)rd_kafka_ConsumerGroupDescription_member_count(d));
	return CLI_DONE;
}

static json_t *
group_json(const struct group *group)
{
	const rd_kafka_ConsumerGroupDescription_t *d = group->description;
	const rd_kafka_Node_t *node = rd_kafka_ConsumerGroupDescription_coordinator(d);
	json_t *coordinator = json_null();

	if (node != NULL)
		coordinator = json_pack("{s:i, s:o, s:i}", "id", rd_kafka_Node_id(node), "host",
					json_text(rd_kafka_Node_host(node)), "port",
					(int)rd_kafka_Node_port(node));
	return json_pack("{s:o, s:o, s:o, s:s, s:i}", "group", json_text(group->id), "coordinator",
			 coordinator, "assignment_strategy",
			 json_text(rd_kafka_ConsumerGroupDescription_partition_assignor(d)),
			 "state", rd_kafka_consumer_group_state_name(group_state(group)), "members",
			 (int)rd_kafka_ConsumerGroupDescription_member_count(d));
}

static int
print_group(const struct group *group, json_t *array)
{
	if (array == NULL)
		return add_row(group);
	return json_array_append_new(array, group_json(group)) == 0 ? CLI_DONE : no_memory();
}

static int
run(int argc, char **argv)
{
	int st = group_print_each(&opt.scope, argc, argv, opt.json, print_group);

	if (table.cell_count > 0 && text_table_print(&table) != CLI_DONE)
		st = CLI_REFUSED;
	return st;
}

static const struct option_row options[] = {
    GROUP_ROW(opt.scope),
    ALL_GROUPS_ROW(opt.scope),
    {0, "json", NULL,
     "One JSON array of objects: group, coordinator, assignment_strategy, state, members.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command group_state_command = {
    .name = "group state",
    .summary = "Tell what groups are doing, and who coordinates them",
    .args = "GROUP... | --all-groups [OPTION...]",
    .text =
	"Stable: each member knows its partitions. PreparingRebalance, CompletingRebalance:\n"
	"they are being shared out anew. Empty: there are committed offsets, and no members.\n\n"
	"Examples:\n"
	"  klamm group state billing\n"
	"  klamm group state --all-groups --json | jq '.[] | select(.state != \"Stable\")'\n",
    .options = options,
    .connects = true,
    .run = run,
};
