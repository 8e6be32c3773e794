/*
 * topic_list.c - klamm topic list.
 */
#include <stdio.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"

static struct {
	bool exclude_internal;
	bool json;
} opt;

static int
print_json(const struct topic_view *view)
{
	json_t *array = json_array();

	for (size_t i = 0; i < view->count; i++)
		json_array_append_new(array, json_pack("{s:s, s:i, s:b}", "topic",
						       view->topics[i]->topic, "partitions",
						       view->topics[i]->partition_cnt, "internal",
						       topic_is_internal(view->topics[i]->topic)));
	return json_document_print(array);
}

static int
run(int argc, char **argv)
{
	struct topic_view view = {0};
	struct client c = {0};
	int st;

	if (argc > 0)
		return usage_error("'%s' is one word too many; 'klamm topic describe %s' tells of "
				   "one topic",
				   argv[0], argv[0]);
	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = topic_view_load(&view, &c, NULL, opt.exclude_internal);
	if (st == CLI_DONE && opt.json)
		st = print_json(&view);
	else if (st == CLI_DONE)
		for (size_t i = 0; i < view.count; i++)
			printf("%s\n", view.topics[i]->topic);
	topic_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {0, "exclude-internal", NULL, "Leave out __consumer_offsets and __transaction_state.",
     OPTION_FLAG, &opt.exclude_internal},
    {0, "json", NULL, "One JSON array of objects: topic, partitions, internal.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command topic_list_command = {
    .name = "topic list",
    .summary = "List the topics",
    .args = "[OPTION...]",
    .text = "One name a line, in the order of the names.\n\n"
	    "Examples:\n"
	    "  klamm topic list --exclude-internal\n"
	    "  klamm topic list --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
