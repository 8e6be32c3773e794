/*
 * options.c - reads a command line by the rows of a command, and tells what is wrong with it.
 */
#include "cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"

#define ROWS_MAX 64
#define HELP_CODE 1000
#define LONG_CODE 2000 /* plus the row's index */

static const struct command *current;

void
command_set_current(const struct command *cmd)
{
	current = cmd;
}

static void complain_args(const char *fmt, va_list args) PRINTF_LIKE(1, 0);

static void
complain_args(const char *fmt, va_list args)
{
	if (current != NULL)
		fprintf(stderr, "klamm %s: ", current->name);
	else
		fputs("klamm: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void
complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_args(fmt, args);
	va_end(args);
}

int
usage_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_args(fmt, args);
	va_end(args);
	fprintf(stderr, "See 'klamm %s%s--help'.\n", current != NULL ? current->name : "",
		current != NULL ? " " : "");
	return CLI_USAGE;
}

int
no_memory(void)
{
	complain("out of memory");
	return CLI_REFUSED;
}

int
parse_int(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int
one_topic(const char *option, int argc, char **argv, const char **ret_topic)
{
	if ((option != NULL ? 1 : 0) + argc > 1)
		return usage_error("one topic at a time, and '%s' is a second",
				   argv[option != NULL ? 0 : 1]);
	if (option == NULL && argc == 0)
		return usage_error("which topic? Give --topic NAME");
	*ret_topic = option != NULL ? option : argv[0];
	return CLI_DONE;
}

/* The rows of a command, its own and the client's, as getopt wants them. */
struct parser {
	const struct option_row *rows[ROWS_MAX];
	size_t row_count;
	struct option longs[ROWS_MAX + 2];
	char letters[2 * ROWS_MAX + 3];
};

static void
add_rows(struct parser *p, const struct option_row *row)
{
	size_t letters = strlen(p->letters);

	for (; row->letter != 0 || row->name != NULL; row++) {
		if (p->row_count == ROWS_MAX)
			abort();
		if (row->name != NULL)
			p->longs[p->row_count] =
			    (struct option){row->name,
					    row->kind == OPTION_FLAG   ? no_argument
					    : row->kind == OPTION_WORD ? optional_argument
								       : required_argument,
					    NULL, LONG_CODE + (int)p->row_count};
		else
			p->longs[p->row_count] =
			    (struct option){"", no_argument, NULL, LONG_CODE + (int)p->row_count};
		if (row->letter != 0) {
			p->letters[letters++] = row->letter;
			if (row->kind != OPTION_FLAG)
				p->letters[letters++] = ':';
		}
		p->rows[p->row_count++] = row;
	}
	p->letters[letters] = '\0';
}

static const struct option_row *
row_of_code(const struct parser *p, int code)
{
	if (code >= LONG_CODE)
		return p->rows[code - LONG_CODE];
	for (size_t i = 0; i < p->row_count; i++) {
		if (p->rows[i]->letter == code)
			return p->rows[i];
	}
	return NULL;
}

static int
list_add(struct text_list *list, const char *item)
{
	const char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (items == NULL)
		return no_memory();
	items[list->count++] = item;
	list->items = items;
	return CLI_DONE;
}

static int
apply(const struct option_row *row, const char *value)
{
	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->target = true;
		break;
	case OPTION_TEXT:
		*(const char **)row->target = value;
		break;
	case OPTION_WORD:
		*(const char **)row->target = value != NULL ? value : "";
		break;
	case OPTION_INT:
		if (parse_int(value, row->min, row->max, row->target) != 0)
			return usage_error("%s%s takes a number from %lld to %lld, not '%s'",
					   row->name != NULL ? "--" : "-",
					   row->name != NULL ? row->name
							     : (char[2]){row->letter, '\0'},
					   (long long)row->min, (long long)row->max, value);
		break;
	case OPTION_LIST:
		return list_add(row->target, value);
	}
	return CLI_DONE;
}

/* The value of an OPTION_WORD may be the next word, as Kafka's tools have it. */
static const char *
take_word(int argc, char **argv)
{
	if (optarg == NULL && optind < argc && argv[optind][0] != '-')
		return argv[optind++];
	return optarg;
}

/* The word of the command line that getopt could not use. */
static const char *
bad_word(char **argv)
{
	return argv[optind - 1];
}

int
command_parse(const struct command *cmd, int argc, char **argv, int *ret_argc, char ***ret_argv,
	      bool *ret_help)
{
	static struct parser p;
	bool help = false;
	int code, st;

	strcpy(p.letters, ":h");
	add_rows(&p, cmd->options);
	if (cmd->connects)
		add_rows(&p, client_options);
	p.longs[p.row_count] = (struct option){"help", no_argument, NULL, HELP_CODE};
	opterr = 0;
	optind = 1;
	while ((code = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
		const struct option_row *row = row_of_code(&p, code);

		if (row != NULL) {
			st = apply(row, row->kind == OPTION_WORD ? take_word(argc, argv) : optarg);
			if (st != CLI_DONE)
				return st;
		} else if (code == 'h' || code == HELP_CODE) {
			help = true;
		} else if (code == ':') {
			return usage_error("%s needs a value", bad_word(argv));
		} else if (optopt >= LONG_CODE || optopt == HELP_CODE) {
			return usage_error("%s takes no value", bad_word(argv));
		} else if (optopt != 0) {
			return usage_error("there is no option -%c", optopt);
		} else {
			return usage_error("there is no option %s", bad_word(argv));
		}
	}
	*ret_argc = argc - optind;
	*ret_argv = argv + optind;
	*ret_help = help;
	return CLI_DONE;
}
