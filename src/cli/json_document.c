/*
 * json_document.c - jansson with what the commands need of it.
 */
#include "cli/json_document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

json_t *
json_text(const char *text)
{
	json_t *value;
	char *copy;

	if (text == NULL)
		return json_null();
	value = json_string(text);
	if (value != NULL)
		return value;
	copy = strdup(text);
	if (copy == NULL)
		return NULL;
	for (char *p = copy; *p != '\0'; p++) {
		if ((*p & 0x80) != 0)
			*p = '?';
	}
	value = json_string(copy);
	free(copy);
	return value;
}

static int
print_and_free(json_t *root, size_t flags)
{
	int st;

	if (root == NULL)
		return no_memory();
	st = json_dumpf(root, stdout, flags | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(root);
	return st == 0 ? CLI_DONE : no_memory();
}

int
json_document_print(json_t *root)
{
	return print_and_free(root, JSON_INDENT(2));
}

int
json_line_print(json_t *root)
{
	return print_and_free(root, JSON_COMPACT);
}
