/*
 * group_delete_offsets.c - klamm group delete-offsets: forgets what a group committed of topics.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/partition_scope.h"
#include "cli/text_table.h"

static struct {
	const char *group;
	struct partition_scope partitions;
	bool json;
} opt;

static const char *
status_text(rd_kafka_resp_err_t err)
{
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return "Successful";
	if (err == RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC)
		return "Error: members of the group subscribe to the topic";
	return rd_kafka_err2str(err);
}

static int
tell(const rd_kafka_topic_partition_list_t *list)
{
	static const struct table_column columns[] = {
	    {"TOPIC", 30}, {"PARTITION", 15}, {"STATUS", 0}};
	struct text_table table = {.columns = columns, .column_count = ARRAY_LEN(columns)};
	json_t *array = json_array();
	int st = CLI_DONE, printed;

	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];
		bool deleted = p->err == RD_KAFKA_RESP_ERR_NO_ERROR;

		if (!deleted) {
			complain("%s-%d: %s", p->topic, p->partition, status_text(p->err));
			st = CLI_REFUSED;
		}
		json_array_append_new(
		    array, json_pack("{s:s, s:i, s:b, s:o}", "topic", p->topic, "partition",
				     (int)p->partition, "deleted", deleted, "error",
				     json_text(deleted ? NULL : status_text(p->err))));
		text_table_add(&table, p->topic);
		text_table_add_count(&table, p->partition);
		text_table_add(&table, status_text(p->err));
	}
	if (opt.json) {
		printed = json_document_print(json_incref(array));
		buf_fini(&table.cells);
	} else {
		putchar('\n');
		printed = text_table_print(&table);
	}
	json_decref(array);
	return printed != CLI_DONE ? printed : st;
}

static int
tell_event(rd_kafka_event_t *event, const char *group)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	rd_kafka_topic_partition_list_t *list;
	const rd_kafka_group_result_t **results;
	size_t count;
	int st;

	if (err == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP) {
		complain("group '%s' has members that are no subscribers of topics: stop them "
			 "first",
			 group_shown(group));
		return CLI_REFUSED;
	}
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		complain("group '%s': %s", group_shown(group), rd_kafka_event_error_string(event));
		return CLI_REFUSED;
	}
	results = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
	    rd_kafka_event_DeleteConsumerGroupOffsets_result(event), &count);
	if (count != 1) {
		complain("the answer is about %zu groups, not one", count);
		return CLI_REFUSED;
	}
	list = rd_kafka_topic_partition_list_copy(rd_kafka_group_result_partitions(results[0]));
	partition_list_tidy(list);
	st = tell(list);
	rd_kafka_topic_partition_list_destroy(list);
	return st;
}

static int
delete_offsets(struct client *c, const char *group, const rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_DeleteConsumerGroupOffsets_t *request;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event;
	int st;

	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS);
	if (options == NULL)
		return CLI_REFUSED;
	request = rd_kafka_DeleteConsumerGroupOffsets_new(group, list);
	rd_kafka_DeleteConsumerGroupOffsets(c->rk, &request, 1, options, c->queue);
	rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_event(c, "deleting offsets", &event);
	if (st != CLI_DONE)
		return st;
	st = tell_event(event, group);
	rd_kafka_event_destroy(event);
	return st;
}

/* Of what is committed: so offsets of a topic that is gone can be deleted too. */
static int
delete_in_scope(struct client *c, const struct group *group)
{
	rd_kafka_topic_partition_list_t *list;
	int st = CLI_REFUSED;

	if (!group_is_usable(group, true))
		return CLI_REFUSED;
	list = partition_scope_committed(&opt.partitions, group);
	if (list->cnt == 0)
		complain("group '%s' has no committed offsets there; 'klamm group describe' shows "
			 "what it has",
			 group_shown(group->id));
	else
		st = delete_offsets(c, group->id, list);
	rd_kafka_topic_partition_list_destroy(list);
	return st;
}

static int
run(int argc, char **argv)
{
	struct group_scope scope = {0};
	struct group_view view = {0};
	struct client c = {0};
	int st;

	if (opt.group != NULL)
		scope.groups = (struct text_list){&opt.group, 1};
	if (scope.groups.count + (size_t)argc > 1)
		return usage_error("one group at a time, and '%s' is a second",
				   argv[opt.group != NULL ? 0 : 1]);
	if (argc == 1)
		scope.groups = (struct text_list){(const char **)argv, 1};
	st = group_scope_read(&scope, 0, NULL);
	if (st == CLI_DONE)
		st = partition_scope_read(&opt.partitions);
	if (st == CLI_DONE)
		st = group_client_open(&c, &scope);
	if (st == CLI_DONE)
		st = group_view_load(&view, &c, &scope);
	if (st == CLI_DONE)
		st = delete_in_scope(&c, &view.groups[0]);
	group_view_fini(&view);
	partition_scope_fini(&opt.partitions);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {'g', "group", "GROUP", "The group; may also be given without --group.", OPTION_TEXT,
     &opt.group},
    TOPIC_ROW(opt.partitions),
    ALL_TOPICS_ROW(opt.partitions),
    {0, "json", NULL, "One JSON array of objects: topic, partition, deleted, error.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command group_delete_offsets_command = {
    .name = "group delete-offsets",
    .summary = "Delete what a group committed of some topics",
    .args = "GROUP --topic TOPIC[:P,P...]... | --all-topics",
    .text = "Offsets of a topic that members of the group subscribe to stay; those of topics that\n"
	    "are gone can be deleted.\n\n"
	    "Examples:\n"
	    "  klamm group delete-offsets billing --topic old-orders\n"
	    "  klamm group delete-offsets billing --topic orders:3,4\n",
    .options = options,
    .connects = true,
    .run = run,
};
