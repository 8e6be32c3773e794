/*
 * text_table.h - columns for people, and for awk: headings, blanks between, "-" for what is not.
 */
#ifndef KLAMM_CLI_TEXT_TABLE_H
#define KLAMM_CLI_TEXT_TABLE_H

#include "base/bytes.h"

struct table_column {
	const char *heading;
	int min_width;
};

/* columns are borrowed; the rest begins zeroed. */
struct text_table {
	const struct table_column *columns;
	size_t column_count;
	struct buf cells; /* each ended by a NUL, row after row */
	size_t cell_count;
};

/* The next cell. NULL or "" prints as "-"; what is not printable is escaped. */
void text_table_add(struct text_table *t, const char *text);
/* A number; below 0 it prints as "-". */
void text_table_add_count(struct text_table *t, int64_t count);
/* Prints headings and rows, and frees. Returns CLI_DONE, or CLI_REFUSED without memory. */
int text_table_print(struct text_table *t);

#endif
