/*
 * group_members.c - klamm group members: who is in a group.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/group_view.h"
#include "cli/json_document.h"
#include "cli/text_table.h"

static struct {
	struct group_scope scope;
	bool verbose;
	bool json;
} opt;

static const rd_kafka_MemberDescription_t *
member_at(const struct group *group, size_t i)
{
	return rd_kafka_ConsumerGroupDescription_member(group->description, i);
}

static size_t
member_count(const struct group *group)
{
	return rd_kafka_ConsumerGroupDescription_member_count(group->description);
}

/* "orders(0,1), prices(3)"; empty for none. */
static void
append_assignment(struct buf *out, const rd_kafka_topic_partition_list_t *partitions)
{
	const char *topic = "";

	for (int i = 0; i < partitions->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &partitions->elems[i];

		if (strcmp(p->topic, topic) == 0)
			buf_printf(out, ",%d", p->partition);
		else
			buf_printf(out, "%s%s(%d", i == 0 ? "" : "), ", p->topic, p->partition);
		topic = p->topic;
	}
	if (partitions->cnt > 0)
		buf_append_u8(out, ')');
}

static rd_kafka_topic_partition_list_t *
sorted_partitions(const rd_kafka_MemberDescription_t *member)
{
	const rd_kafka_topic_partition_list_t *list = member_partitions(member);
	rd_kafka_topic_partition_list_t *copy = list != NULL
						    ? rd_kafka_topic_partition_list_copy(list)
						    : rd_kafka_topic_partition_list_new(0);

	rd_kafka_topic_partition_list_sort(copy, NULL, NULL);
	return copy;
}

static void
add_row(struct text_table *table, const struct group *group, const rd_kafka_MemberDescription_t *m,
	bool instances)
{
	rd_kafka_topic_partition_list_t *partitions = sorted_partitions(m);
	struct buf assignment = {0};

	text_table_add(table, group->id);
	text_table_add(table, rd_kafka_MemberDescription_consumer_id(m));
	if (instances)
		text_table_add(table, rd_kafka_MemberDescription_group_instance_id(m));
	text_table_add(table, rd_kafka_MemberDescription_host(m));
	text_table_add(table, rd_kafka_MemberDescription_client_id(m));
	text_table_add_count(table, partitions->cnt);
	text_table_add(table,
		       rd_kafka_ConsumerGroupDescription_partition_assignor(group->description));
	if (opt.verbose) {
		append_assignment(&assignment, partitions);
		text_table_add(table, buf_text(&assignment));
	}
	buf_fini(&assignment);
	rd_kafka_topic_partition_list_destroy(partitions);
}

static bool
has_instances(const struct group *group)
{
	for (size_t i = 0; i < member_count(group); i++) {
		const char *id = rd_kafka_MemberDescription_group_instance_id(member_at(group, i));

		if (id != NULL && id[0] != '\0')
			return true;
	}
	return false;
}

static int
print_text(const struct group *group)
{
	bool instances = has_instances(group);
	struct table_column columns[8];
	struct text_table table = {.columns = columns};

	columns[table.column_count++] = (struct table_column){"GROUP", 15};
	columns[table.column_count++] = (struct table_column){"CONSUMER-ID", 15};
	if (instances)
		columns[table.column_count++] = (struct table_column){"GROUP-INSTANCE-ID", 17};
	columns[table.column_count++] = (struct table_column){"HOST", 15};
	columns[table.column_count++] = (struct table_column){"CLIENT-ID", 15};
	columns[table.column_count++] = (struct table_column){"#PARTITIONS", 15};
	columns[table.column_count++] = (struct table_column){"ASSIGNMENT-STRATEGY", 19};
	if (opt.verbose)
		columns[table.column_count++] = (struct table_column){"ASSIGNMENT", 0};
	fflush(stdout);
	group_warn_of_state(group);
	if (member_count(group) == 0)
		return CLI_DONE;
	for (size_t i = 0; i < member_count(group); i++)
		add_row(&table, group, member_at(group, i), instances);
	putchar('\n');
	return text_table_print(&table);
}

static json_t *
member_json(const rd_kafka_MemberDescription_t *m)
{
	rd_kafka_topic_partition_list_t *partitions = sorted_partitions(m);
	json_t *assignment = json_array();

	for (int i = 0; i < partitions->cnt; i++)
		json_array_append_new(assignment,
				      json_pack("{s:s, s:i}", "topic", partitions->elems[i].topic,
						"partition", (int)partitions->elems[i].partition));
	rd_kafka_topic_partition_list_destroy(partitions);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "consumer_id",
			 json_text(rd_kafka_MemberDescription_consumer_id(m)), "group_instance_id",
			 json_text(rd_kafka_MemberDescription_group_instance_id(m)), "host",
			 json_text(rd_kafka_MemberDescription_host(m)), "client_id",
			 json_text(rd_kafka_MemberDescription_client_id(m)), "assignment",
			 assignment);
}

static json_t *
group_json(const struct group *group)
{
	json_t *members = json_array();

	for (size_t i = 0; i < member_count(group); i++)
		json_array_append_new(members, member_json(member_at(group, i)));
	return json_pack(
	    "{s:o, s:s, s:o, s:o}", "group", json_text(group->id), "state",
	    rd_kafka_consumer_group_state_name(group_state(group)), "assignment_strategy",
	    json_text(rd_kafka_ConsumerGroupDescription_partition_assignor(group->description)),
	    "members", members);
}

static int
print_group(const struct group *group, json_t *array)
{
	if (array == NULL)
		return print_text(group);
	return json_array_append_new(array, group_json(group)) == 0 ? CLI_DONE : no_memory();
}

static int
run(int argc, char **argv)
{
	return group_print_each(&opt.scope, argc, argv, opt.json, print_group);
}

static const struct option_row options[] = {
    GROUP_ROW(opt.scope),
    ALL_GROUPS_ROW(opt.scope),
    {'v', "verbose", NULL, "Which partitions each has, too.", OPTION_FLAG, &opt.verbose},
    {0, "json", NULL,
     "One JSON array of objects: group, state, assignment_strategy, members with their assignment.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command group_members_command = {
    .name = "group members",
    .summary = "Tell who is in groups",
    .args = "GROUP... | --all-groups [OPTION...]",
    .text = "The layout is that of kafka-consumer-groups.sh --describe --members, with the\n"
	    "assignment strategy behind it. GROUP-INSTANCE-ID is there when a member is static.\n\n"
	    "Examples:\n"
	    "  klamm group members billing --verbose\n"
	    "  klamm group members --all-groups --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
