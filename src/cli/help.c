/*
 * help.c - klamm help: what there is, and how each is used.
 */
#include "cli/commands.h"

static bool words;

static int
run(int argc, char **argv)
{
	const struct command *cmd;
	int count;

	if (words) {
		command_print_words(argc, argv);
		return CLI_DONE;
	}
	if (argc == 0) {
		command_print_overview();
		return CLI_DONE;
	}
	cmd = command_find(argc, argv, &count);
	if (cmd == NULL)
		return usage_error("there is no command '%s%s%s'; 'klamm help' lists them", argv[0],
				   argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	command_print_help(cmd);
	return CLI_DONE;
}

static const struct option_row options[] = {
    {0, "words", NULL, "What may follow, one word a line, for the shell's completion.", OPTION_FLAG,
     &words},
    {0},
};

const struct command help_command = {
    .name = "help",
    .summary = "Tell what there is, or how one command is used",
    .args = "[COMMAND]",
    .text = "Examples:\n"
	    "  klamm help\n"
	    "  klamm help topic create\n",
    .options = options,
    .run = run,
};
