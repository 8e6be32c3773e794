/*
 * text_table.c - columns for people, and for awk.
 *
 * As wide as their widest cell; nothing trails a row's last cell.
 */
#include "cli/text_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/text_escape.h"

void
text_table_add(struct text_table *t, const char *text)
{
	if (text == NULL || text[0] == '\0')
		text = "-";
	text_append_printable(&t->cells, (struct slice){(const uint8_t *)text, strlen(text)});
	buf_append_u8(&t->cells, '\0');
	t->cell_count++;
}

void
text_table_add_count(struct text_table *t, int64_t count)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)count);
	text_table_add(t, count < 0 ? NULL : text);
}

static void
print_row(const struct text_table *t, const char *const *cells, const int *widths)
{
	for (size_t i = 0; i + 1 < t->column_count; i++)
		printf("%-*s ", widths[i], cells[i]);
	printf("%s\n", cells[t->column_count - 1]);
}

static void
print_all(const struct text_table *t, const char **cells, int *widths)
{
	const char *cell = (const char *)t->cells.data;

	for (size_t i = 0; i < t->column_count; i++) {
		cells[i] = t->columns[i].heading;
		widths[i] = t->columns[i].min_width;
		if (widths[i] < (int)strlen(cells[i]))
			widths[i] = (int)strlen(cells[i]);
	}
	for (size_t i = 0; i < t->cell_count; i++, cell += strlen(cell) + 1) {
		if (widths[i % t->column_count] < (int)strlen(cell))
			widths[i % t->column_count] = (int)strlen(cell);
	}
	print_row(t, cells, widths);
	cell = (const char *)t->cells.data;
	for (size_t i = 0; i < t->cell_count; i++, cell += strlen(cell) + 1) {
		cells[i % t->column_count] = cell;
		if (i % t->column_count == t->column_count - 1)
			print_row(t, cells, widths);
	}
}

int
text_table_print(struct text_table *t)
{
	const char **cells = calloc(t->column_count, sizeof(*cells));
	int *widths = calloc(t->column_count, sizeof(*widths));
	int st = CLI_DONE;

	if (cells == NULL || widths == NULL || t->cells.failed)
		st = no_memory();
	else
		print_all(t, cells, widths);
	free(cells);
	free(widths);
	buf_fini(&t->cells);
	t->cell_count = 0;
	return st;
}
