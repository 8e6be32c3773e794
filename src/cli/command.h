/*
 * command.h - what a subcommand of klamm is, and what each has to say when it cannot go on.
 *
 * Each subcommand is one file with one struct command; commands.c lists them. Its options are rows
 * of a table, from which come the parser, --help and the shell's completion. Values go into static
 * variables of the command's file: a process runs one command.
 *
 * Threads  one.
 */
#ifndef KLAMM_CLI_COMMAND_H
#define KLAMM_CLI_COMMAND_H

#include <stdint.h>

#include "base/bytes.h"

/* What the process ends with. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1, /* the cluster or the data said no */
	CLI_USAGE = 2    /* the command line or a file that it names is wrong */
};

enum option_kind {
	OPTION_FLAG, /* target: bool */
	OPTION_TEXT, /* target: const char * */
	OPTION_WORD, /* target: const char *; "" where an option or nothing follows */
	OPTION_INT,  /* target: int64_t, within min and max */
	OPTION_LIST  /* target: struct text_list; may be given several times */
};

struct text_list {
	const char **items; /* borrowed from argv */
	size_t count;
};

struct option_row {
	char letter;      /* 0: only a long name */
	const char *name; /* NULL: only a letter */
	const char *arg;  /* what --help calls the value; NULL for flags */
	const char *help;
	enum option_kind kind;
	void *target;
	int64_t min, max;
};

struct command {
	const char *name;    /* "topic create" */
	const char *summary; /* one line, begins with a capital letter, no full stop */
	const char *args;    /* what --help shows after the name */
	const char *text;    /* paragraphs of --help, examples among them; ended by a newline */
	const struct option_row *options;  /* ended by a row without letter and name */
	bool connects;                     /* takes the options of client.h as well */
	int (*run)(int argc, char **argv); /* what is left after the options */
};

/* Ended by NULL, in the order of the help. */
extern const struct command *const commands[];

/* The command that argv begins with, or NULL; ret_words is how many words name it. */
const struct command *command_find(int argc, char **argv, int *ret_words);
/* The command that runs now; for messages. */
void command_set_current(const struct command *cmd);

/*
 * Reads the options of cmd, --help among them. On CLI_DONE, what is left stands in ret_argv and
 * *ret_help says that --help was given. On CLI_USAGE the mistake has been told.
 */
MUST_CHECK int command_parse(const struct command *cmd, int argc, char **argv, int *ret_argc,
			     char ***ret_argv, bool *ret_help);
void command_print_help(const struct command *cmd);
void command_print_overview(void);
/* Words that may follow, one a line: for the shell's completion. */
void command_print_words(int argc, char **argv);

/* One line on standard error: "klamm topic create: ...". */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same, and where help is to be had. Returns CLI_USAGE. */
int usage_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Returns CLI_REFUSED after "out of memory". */
int no_memory(void);

/* A whole number with nothing behind it, within bounds. 0 or -EINVAL. */
MUST_CHECK int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret_value);
/* Takes the only topic that --topic or the arguments name. Tells the mistake otherwise. */
MUST_CHECK int one_topic(const char *option, int argc, char **argv, const char **ret_topic);

#endif
