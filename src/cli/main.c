/*
 * main.c - klamm: finds the subcommand, gives it its options, and sees its output written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/commands.h"

/* The names of a group of commands, where the command line has only the group's: "topic". */
static int
unknown_command(int argc, char **argv)
{
	size_t len = strlen(argv[0]);
	bool group = false;

	for (size_t i = 0; commands[i] != NULL; i++) {
		if (strncmp(commands[i]->name, argv[0], len) == 0 && commands[i]->name[len] == ' ')
			group = true;
	}
	if (!group) {
		complain("there is no command '%s'; 'klamm help' lists them", argv[0]);
		return CLI_USAGE;
	}
	if (argc > 1 && argv[1][0] != '-')
		complain("there is no command '%s %s'; there are:", argv[0], argv[1]);
	else if (argc == 1)
		complain("'%s' needs one more word; there are:", argv[0]);
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (strncmp(commands[i]->name, argv[0], len) == 0 && commands[i]->name[len] == ' ')
			fprintf(stderr, "  klamm %-22s%s\n", commands[i]->name,
				commands[i]->summary);
	}
	return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		   ? CLI_DONE
		   : CLI_USAGE;
}

static int
run(int argc, char **argv)
{
	const struct command *cmd;
	bool help;
	int words, st;

	if (argc == 0) {
		command_print_overview();
		return CLI_USAGE;
	}
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		argv[0] = (char *)help_command.name;
	else if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0)
		argv[0] = (char *)version_command.name;
	cmd = command_find(argc, argv, &words);
	if (cmd == NULL)
		return unknown_command(argc, argv);
	command_set_current(cmd);
	/* The last word of the name takes the place of argv[0]. */
	st = command_parse(cmd, argc - words + 1, argv + words - 1, &argc, &argv, &help);
	if (st != CLI_DONE)
		return st;
	if (help) {
		command_print_help(cmd);
		return CLI_DONE;
	}
	return cmd->run(argc, argv);
}

int
main(int argc, char **argv)
{
	int st = run(argc - 1, argv + 1);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("writing standard output failed: %s", strerror(errno));
		return CLI_REFUSED;
	}
	return st;
}
