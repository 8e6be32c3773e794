/*
 * commands.c - the table of subcommands, and the help that comes from it.
 */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"

const struct command *const commands[] = {
    &topic_create_command,
    &topic_list_command,
    &topic_describe_command,
    &topic_alter_command,
    &topic_delete_command,
    &topic_delete_records_command,
    &topic_elect_leaders_command,
    &config_describe_command,
    &config_alter_command,
    &cluster_command,
    &reassign_plan_command,
    &reassign_apply_command,
    &reassign_watch_command,
    &reassign_cancel_command,
    &produce_command,
    &consume_command,
    &group_list_command,
    &group_describe_command,
    &group_members_command,
    &group_state_command,
    &group_reset_offsets_command,
    &group_delete_offsets_command,
    &group_delete_command,
    &log_dump_command,
    &perf_produce_command,
    &perf_consume_command,
    &version_command,
    &help_command,
    NULL,
};

/* How many words of a command's name argv begins with: 0 when it is another command. */
static int
match_words(const char *name, int argc, char **argv)
{
	int words = 0;

	while (*name != '\0') {
		size_t len = strcspn(name, " ");

		if (words == argc || strlen(argv[words]) != len ||
		    memcmp(argv[words], name, len) != 0)
			return 0;
		words++;
		name += len;
		name += strspn(name, " ");
	}
	return words;
}

const struct command *
command_find(int argc, char **argv, int *ret_words)
{
	for (size_t i = 0; commands[i] != NULL; i++) {
		int words = match_words(commands[i]->name, argc, argv);

		if (words > 0) {
			*ret_words = words;
			return commands[i];
		}
	}
	return NULL;
}

void
command_print_overview(void)
{
	printf("klamm - the operator's command for Klamm and other Kafka-compatible brokers\n\n"
	       "Usage: klamm COMMAND [OPTION...]\n\nCommands:\n");
	for (size_t i = 0; commands[i] != NULL; i++)
		printf("  %-22s%s\n", commands[i]->name, commands[i]->summary);
	printf("\n'klamm help COMMAND' or 'klamm COMMAND --help' tells more, with examples.\n"
	       "The brokers: --bootstrap-server HOST:PORT[,...], or KLAMM_BOOTSTRAP_SERVER in the\n"
	       "environment, or localhost:9092.\n\n"
	       "Exit: 0 done, 1 the cluster or the data said no, 2 wrong usage.\n");
}

/* A column of option and value, then the text, wrapped at 80 columns. */
static void
print_wrapped(const char *left, const char *text)
{
	const int indent = 30, width = 80;
	int column = printf("  %s", left);

	if (column >= indent - 1) {
		putchar('\n');
		column = 0;
	}
	column += printf("%*s", indent - column, "");
	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (column > indent && column + (int)word + 1 > width)
			column = printf("\n%*s", indent, "") - 1;
		else if (column > indent)
			column += printf(" ");
		column += printf("%.*s", (int)word, text);
		text += word;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void
print_options(const struct option_row *row)
{
	for (; row->letter != 0 || row->name != NULL; row++) {
		char left[80];

		snprintf(left, sizeof(left), "%c%c%s%s%s%s%s", row->letter != 0 ? '-' : ' ',
			 row->letter != 0 ? row->letter : ' ',
			 row->name == NULL  ? ""
			 : row->letter != 0 ? ", --"
					    : "  --",
			 row->name == NULL ? "" : row->name, row->arg != NULL ? " " : "",
			 row->arg != NULL ? row->arg : "", row->kind == OPTION_LIST ? " ..." : "");
		print_wrapped(left, row->help);
	}
}

void
command_print_help(const struct command *cmd)
{
	printf("klamm %s - %s\n\nUsage: klamm %s%s%s\n\n%s", cmd->name, cmd->summary, cmd->name,
	       cmd->args[0] != '\0' ? " " : "", cmd->args, cmd->text);
	if (cmd->options->letter != 0 || cmd->options->name != NULL) {
		printf("\nOptions:\n");
		print_options(cmd->options);
	}
	if (cmd->connects) {
		printf("\nThe cluster:\n");
		print_options(client_options);
	}
}

static void
print_option_words(const struct option_row *row)
{
	for (; row->letter != 0 || row->name != NULL; row++) {
		if (row->name != NULL)
			printf("--%s%s\n", row->name, row->arg != NULL ? "=" : "");
		else
			printf("-%c\n", row->letter);
	}
}

/* The word that follows argv's words in a command's name. */
static bool
next_word(const char *name, int argc, char **argv, struct str *ret_word)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(name, " ");

		if (name[len] != ' ' || strlen(argv[i]) != len || memcmp(argv[i], name, len) != 0)
			return false;
		name += len + 1;
	}
	*ret_word = (struct str){name, strcspn(name, " ")};
	return true;
}

void
command_print_words(int argc, char **argv)
{
	struct str last = {NULL, 0}, word;
	const struct command *cmd;
	int words;

	if (argc > 0 && strcmp(argv[0], help_command.name) == 0) {
		argc--;
		argv++;
	}
	cmd = command_find(argc, argv, &words);
	if (cmd != NULL) {
		print_option_words(cmd->options);
		if (cmd->connects)
			print_option_words(client_options);
		printf("--help\n");
		return;
	}
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (!next_word(commands[i]->name, argc, argv, &word) || str_equal(word, last))
			continue;
		printf("%.*s\n", (int)word.len, word.data);
		last = word;
	}
}
