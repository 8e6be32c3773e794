/*
 * group_list.c - klamm group list.
 *
 * librdkafka 2.0 is not told a group's type. To those who ask as it does, a coordinator describes
 * classic groups alone and calls any other dead: so a group that is listed as alive and described
 * as dead is of the new kind.
 */
#include <stdio.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/group_view.h"
#include "cli/json_document.h"
#include "cli/text_table.h"

static struct {
	const char *states;
	const char *types;
	bool json;
} opt;

enum group_type { CLASSIC, CONSUMER, TYPE_COUNT };

static const char *const type_names[TYPE_COUNT] = {"Classic", "Consumer"};
static bool wanted[TYPE_COUNT];

static enum group_type
type_of(const struct group *group)
{
	return group_state(group) == RD_KAFKA_CONSUMER_GROUP_STATE_DEAD &&
		       group->listed != RD_KAFKA_CONSUMER_GROUP_STATE_DEAD
		   ? CONSUMER
		   : CLASSIC;
}

/* The next word of a list that commas part. False at the end. */
static bool
next_word(const char **list, char *word, size_t size)
{
	size_t len;

	if (*list == NULL)
		return false;
	*list += strspn(*list, ", ");
	len = strcspn(*list, ", ");
	snprintf(word, size, "%.*s", (int)len, *list);
	*list += len;
	return len > 0;
}

static int
read_states(struct group_scope *scope)
{
	const char *list = opt.states;
	bool taken[RD_KAFKA_CONSUMER_GROUP_STATE__CNT] = {false};
	char word[64];

	while (next_word(&list, word, sizeof(word))) {
		rd_kafka_consumer_group_state_t state = rd_kafka_consumer_group_state_code(word);

		if (state == RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN)
			return usage_error("--state: there is no state '%s'; there are Stable, "
					   "PreparingRebalance, CompletingRebalance, Empty and "
					   "Dead",
					   word);
		if (!taken[state])
			scope->states[scope->state_count++] = state;
		taken[state] = true;
	}
	return CLI_DONE;
}

static int
read_types(void)
{
	const char *list = opt.types;
	bool any = false;
	char word[64];

	while (next_word(&list, word, sizeof(word))) {
		size_t i = 0;

		while (i < TYPE_COUNT && strcasecmp(word, type_names[i]) != 0)
			i++;
		if (i == TYPE_COUNT)
			return usage_error("--type: there is no type '%s'; there are classic and "
					   "consumer",
					   word);
		wanted[i] = any = true;
	}
	for (size_t i = 0; !any && i < TYPE_COUNT; i++)
		wanted[i] = true;
	return CLI_DONE;
}

static json_t *
group_json(const struct group *group)
{
	json_t *object = json_pack("{s:o, s:s}", "group", json_text(group->id), "state",
				   rd_kafka_consumer_group_state_name(group->listed));

	if (opt.types != NULL)
		json_object_set_new(object, "type", json_string(type_names[type_of(group)]));
	return object;
}

static void
add_row(struct text_table *table, const struct group *group)
{
	text_table_add(table, group->id);
	if (opt.types != NULL)
		text_table_add(table, type_names[type_of(group)]);
	if (opt.states != NULL)
		text_table_add(table, rd_kafka_consumer_group_state_name(group->listed));
}

static int
print_view(const struct group_view *view)
{
	bool plain = opt.states == NULL && opt.types == NULL;
	struct table_column columns[3] = {{"GROUP", 25}};
	struct text_table table = {.columns = columns, .column_count = 1};
	json_t *array = opt.json ? json_array() : NULL;

	if (opt.types != NULL)
		columns[table.column_count++] = (struct table_column){"TYPE", 20};
	if (opt.states != NULL)
		columns[table.column_count++] = (struct table_column){"STATE", 0};
	for (size_t i = 0; i < view->count; i++) {
		if (opt.types != NULL && !wanted[type_of(&view->groups[i])])
			continue;
		if (opt.json)
			json_array_append_new(array, group_json(&view->groups[i]));
		else if (plain)
			printf("%s\n", group_shown(view->groups[i].id));
		else
			add_row(&table, &view->groups[i]);
	}
	if (opt.json)
		return json_document_print(array);
	return plain ? CLI_DONE : text_table_print(&table);
}

static int
run(int argc, char **argv)
{
	struct group_scope scope = {.all = true};
	struct group_view view = {0};
	struct client c = {0};
	int st;

	if (argc > 0)
		return usage_error("'%s' is one word too many; 'klamm group state %s' tells of "
				   "one group",
				   argv[0], argv[0]);
	st = read_states(&scope);
	if (st == CLI_DONE)
		st = read_types();
	if (st == CLI_DONE)
		st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = group_view_select(&view, &c, &scope);
	if (st == CLI_DONE && opt.types != NULL)
		st = group_view_describe(&view, &c);
	if (st == CLI_DONE)
		st = print_view(&view);
	group_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {0, "state", "[STATE,...]",
     "Tell states; with a list, only of groups in one of these: Stable, PreparingRebalance, "
     "CompletingRebalance, Empty, Dead.",
     OPTION_WORD, &opt.states},
    {0, "type", "[TYPE,...]", "Tell types; with a list, only of such groups: classic, consumer.",
     OPTION_WORD, &opt.types},
    {0, "json", NULL, "One JSON array of objects: group, state, and with --type type.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command group_list_command = {
    .name = "group list",
    .summary = "List the groups",
    .args = "[OPTION...]",
    .text = "One name a line, in the order of the names; with --state or --type a table.\n\n"
	    "Examples:\n"
	    "  klamm group list\n"
	    "  klamm group list --state\n"
	    "  klamm group list --state PreparingRebalance,CompletingRebalance --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
