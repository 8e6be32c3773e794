/*
 * group_delete.c - klamm group delete.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/group_view.h"
#include "cli/json_document.h"

#define BATCH 200

static struct {
	struct group_scope scope;
	bool if_exists;
	bool json;
} opt;

static int
tell(const char *id, rd_kafka_resp_err_t err, const char *text, json_t *array)
{
	bool deleted = err == RD_KAFKA_RESP_ERR_NO_ERROR;

	if (err == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP) {
		complain("group '%s' has members: stop its consumers first; 'klamm group members "
			 "GROUP' shows them",
			 group_shown(id));
		return CLI_REFUSED;
	}
	if (!deleted && !(err == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND && opt.if_exists)) {
		complain("group '%s': %s", group_shown(id), text);
		return CLI_REFUSED;
	}
	if (array != NULL)
		json_array_append_new(
		    array, json_pack("{s:o, s:b}", "group", json_text(id), "deleted", deleted));
	else if (deleted)
		printf("Deleted group %s.\n", group_shown(id));
	else
		printf("Group %s does not exist.\n", group_shown(id));
	return CLI_DONE;
}

static int
tell_results(rd_kafka_event_t *event, json_t *array)
{
	const rd_kafka_group_result_t **results;
	int st = CLI_DONE;
	size_t count;

	results =
	    rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
	for (size_t i = 0; i < count; i++) {
		const rd_kafka_error_t *error = rd_kafka_group_result_error(results[i]);

		if (tell(rd_kafka_group_result_name(results[i]), rd_kafka_error_code(error),
			 error != NULL ? rd_kafka_error_string(error) : "", array) != CLI_DONE)
			st = CLI_REFUSED;
	}
	return st;
}

static int
delete_batch(struct client *c, const struct group *groups, size_t count, json_t *array)
{
	rd_kafka_DeleteGroup_t *requests[BATCH];
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event;
	int st;

	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_DELETEGROUPS);
	if (options == NULL)
		return CLI_REFUSED;
	for (size_t i = 0; i < count; i++)
		requests[i] = rd_kafka_DeleteGroup_new(groups[i].id);
	rd_kafka_DeleteGroups(c->rk, requests, count, options, c->queue);
	rd_kafka_DeleteGroup_destroy_array(requests, count);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, "deleting groups", &event);
	if (st != CLI_DONE)
		return st;
	st = tell_results(event, array);
	rd_kafka_event_destroy(event);
	return st;
}

static int
delete_all(struct client *c, const struct group_view *view)
{
	json_t *array = opt.json ? json_array() : NULL;
	int st = CLI_DONE;

	for (size_t first = 0; first < view->count; first += BATCH) {
		size_t left = view->count - first;

		if (delete_batch(c, &view->groups[first], left < BATCH ? left : BATCH, array) !=
		    CLI_DONE)
			st = CLI_REFUSED;
	}
	if (opt.json && json_document_print(array) != CLI_DONE)
		st = CLI_REFUSED;
	return st;
}

static int
run(int argc, char **argv)
{
	struct group_view view = {0};
	struct client c = {0};
	int st;

	st = group_scope_read(&opt.scope, argc, argv);
	if (st == CLI_DONE)
		st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = group_view_select(&view, &c, &opt.scope);
	if (st == CLI_DONE)
		st = delete_all(&c, &view);
	group_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    GROUP_ROW(opt.scope),
    ALL_GROUPS_ROW(opt.scope),
    {0, "if-exists", NULL, "Succeed when there is no such group.", OPTION_FLAG, &opt.if_exists},
    {0, "json", NULL, "One JSON array of objects: group, deleted.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command group_delete_command = {
    .name = "group delete",
    .summary = "Delete groups with all that they committed",
    .args = "GROUP... | --all-groups [OPTION...]",
    .text = "A group that has members is not deleted: stop its consumers first. The others that\n"
	    "are named are; what is left is told, and the exit is 1.\n\n"
	    "Examples:\n"
	    "  klamm group delete billing\n"
	    "  klamm group delete old-1 old-2 --if-exists\n",
    .options = options,
    .connects = true,
    .run = run,
};
