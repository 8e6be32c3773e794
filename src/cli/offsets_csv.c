/*
 * offsets_csv.c - offsets in a file, as kafka-consumer-groups.sh --export prints them.
 *
 * Fields are unquoted in place in one copy of the file: what comes out is never longer than what
 * went in, and the NUL that ends a field takes the place of the comma or newline behind it.
 */
#include "cli/offsets_csv.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/command.h"

#define FIELDS_MAX 4
#define UTF8_BOM "\xef\xbb\xbf"

struct reader {
	char *p;   /* next byte */
	char *end; /* holds a NUL */
	int line;
	struct buf *why;
};

static int
mistake(struct reader *r, int line, const char *text)
{
	buf_printf(r->why, "line %d: %s", line, text);
	return -EINVAL;
}

/* Behind the opening quote: up to the closing one. Newlines may be inside. */
static int
take_quoted(struct reader *r, char **ret_field)
{
	int line = r->line;
	char *out = r->p;

	*ret_field = out;
	for (;; r->p++) {
		if (r->p == r->end)
			return mistake(r, line, "a quote is not closed");
		if (*r->p == '"') {
			if (r->p[1] != '"')
				break;
			r->p++;
		}
		r->line += *r->p == '\n';
		*out++ = *r->p;
	}
	r->p++;
	if (r->p < r->end && *r->p != ',' && *r->p != '\n' && *r->p != '\r')
		return mistake(r, r->line, "something follows a closing quote");
	*out = '\0';
	return 0;
}

static void
take_plain(struct reader *r, char **ret_field)
{
	char *last;

	while (*r->p == ' ' || *r->p == '\t')
		r->p++;
	*ret_field = r->p;
	last = r->p += strcspn(r->p, ",\r\n");
	while (last > *ret_field && (last[-1] == ' ' || last[-1] == '\t'))
		last--;
	if (last < r->p)
		*last = '\0';
}

/* One line into fields. ret_count 0: an empty line. */
static int
take_line(struct reader *r, char *fields[FIELDS_MAX], int *ret_count)
{
	char ends_with;
	int count = 0, st;

	do {
		if (count == FIELDS_MAX)
			return mistake(r, r->line, "there are more than four fields");
		if (*r->p == '"') {
			r->p++;
			st = take_quoted(r, &fields[count]);
			if (st != 0)
				return st;
		} else {
			take_plain(r, &fields[count]);
		}
		count++;
		ends_with = *r->p;
		*r->p = '\0';
		if (r->p < r->end)
			r->p++;
		if (ends_with == '\r' && r->p < r->end && *r->p == '\n')
			r->p++;
	} while (ends_with == ',');
	*ret_count = count == 1 && fields[0][0] == '\0' ? 0 : count;
	return 0;
}

static int
read_row(struct reader *r, char **fields, int count, int line, struct offsets_csv_row *row)
{
	int64_t partition;

	if (count < 3)
		return mistake(r, line,
			       "a line is topic,partition,offset or group,topic,partition,offset");
	*row = (struct offsets_csv_row){.line = line};
	if (count == 4) {
		row->group = *fields++;
		if (row->group[0] == '\0')
			return mistake(r, line, "the group is empty");
	}
	row->topic = fields[0];
	if (row->topic[0] == '\0')
		return mistake(r, line, "the topic is empty");
	if (parse_int(fields[1], 0, INT32_MAX, &partition) != 0)
		return mistake(r, line, "the partition is no number from 0 on");
	row->partition = (int32_t)partition;
	if (parse_int(fields[2], 0, INT64_MAX, &row->offset) != 0)
		return mistake(r, line, "the offset is no number from 0 on");
	return 0;
}

static int
add_row(struct offsets_csv *csv, size_t *cap, const struct offsets_csv_row *row)
{
	if (csv->count == *cap) {
		size_t more = *cap == 0 ? 64 : *cap * 2;
		struct offsets_csv_row *rows = realloc(csv->rows, more * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		csv->rows = rows;
		*cap = more;
	}
	csv->rows[csv->count++] = *row;
	return 0;
}

static int
read_rows(struct offsets_csv *csv, struct reader *r)
{
	struct offsets_csv_row row;
	char *fields[FIELDS_MAX];
	size_t cap = 0;
	int count, st;

	for (; r->p < r->end; r->line++) {
		int line = r->line;

		st = take_line(r, fields, &count);
		if (st != 0)
			return st;
		if (count == 0)
			continue;
		st = read_row(r, fields, count, line, &row);
		if (st != 0)
			return st;
		if (csv->count > 0 && csv->with_group != (row.group != NULL))
			return mistake(r, line, "lines with and without a group are mixed");
		csv->with_group = row.group != NULL;
		st = add_row(csv, &cap, &row);
		if (st != 0)
			return st;
	}
	if (csv->count == 0)
		return mistake(r, r->line, "there is no offset in it");
	return 0;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct offsets_csv_row *x = a, *y = b;
	int cmp = x->group != NULL ? strcmp(x->group, y->group) : 0;

	if (cmp == 0)
		cmp = strcmp(x->topic, y->topic);
	if (cmp == 0)
		cmp = (x->partition > y->partition) - (x->partition < y->partition);
	return cmp;
}

/* The partition that stands twice, if one does. Sorts. */
static int
check_twice(struct offsets_csv *csv, struct reader *r)
{
	qsort(csv->rows, csv->count, sizeof(*csv->rows), compare_rows);
	for (size_t i = 1; i < csv->count; i++) {
		const struct offsets_csv_row *x = &csv->rows[i - 1], *y = &csv->rows[i];

		if (compare_rows(x, y) == 0) {
			buf_printf(r->why, "lines %d and %d: partition %s-%d stands twice",
				   x->line < y->line ? x->line : y->line,
				   x->line < y->line ? y->line : x->line, x->topic, x->partition);
			return -EINVAL;
		}
	}
	return 0;
}

int
offsets_csv_parse(struct offsets_csv *csv, struct slice bytes, struct buf *why)
{
	size_t skip =
	    bytes.len >= strlen(UTF8_BOM) && memcmp(bytes.data, UTF8_BOM, strlen(UTF8_BOM)) == 0
		? strlen(UTF8_BOM)
		: 0;
	struct reader r = {.line = 1, .why = why};
	int st;

	*csv = (struct offsets_csv){0};
	if (bytes.len > 0 && memchr(bytes.data, '\0', bytes.len) != NULL) {
		buf_printf(why, "it holds a NUL byte: that is no text");
		return -EINVAL;
	}
	csv->text = calloc(1, bytes.len + 1);
	if (csv->text == NULL)
		return -ENOMEM;
	if (bytes.len > 0)
		memcpy(csv->text, bytes.data, bytes.len);
	r.p = csv->text + skip;
	r.end = csv->text + bytes.len;
	st = read_rows(csv, &r);
	if (st == 0)
		st = check_twice(csv, &r);
	if (st != 0)
		offsets_csv_fini(csv);
	return st;
}

void
offsets_csv_fini(struct offsets_csv *csv)
{
	free(csv->rows);
	free(csv->text);
	*csv = (struct offsets_csv){0};
}

/* The first row whose group does not come before this one. */
static size_t
lower_bound(const struct offsets_csv *csv, const char *group)
{
	size_t low = 0, high = csv->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(csv->rows[middle].group, group) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct offsets_csv_row *
offsets_csv_of_group(const struct offsets_csv *csv, const char *group, size_t *ret_count)
{
	size_t first, next;

	if (!csv->with_group) {
		*ret_count = csv->count;
		return csv->rows;
	}
	first = next = lower_bound(csv, group);
	while (next < csv->count && strcmp(csv->rows[next].group, group) == 0)
		next++;
	*ret_count = next - first;
	return csv->rows + first;
}

static void
append_field(struct buf *out, const char *text)
{
	size_t len = strlen(text);

	if (len > 0 && strcspn(text, ",\"\r\n") == len && text[0] != ' ' && text[0] != '\t' &&
	    text[len - 1] != ' ' && text[len - 1] != '\t') {
		buf_append(out, text, len);
		return;
	}
	buf_append_u8(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			buf_append_u8(out, '"');
		buf_append_u8(out, (uint8_t)*text);
	}
	buf_append_u8(out, '"');
}

void
offsets_csv_append(struct buf *out, const char *group, const char *topic, int32_t partition,
		   int64_t offset)
{
	if (group != NULL) {
		append_field(out, group);
		buf_append_u8(out, ',');
	}
	append_field(out, topic);
	buf_printf(out, ",%d,%lld\n", partition, (long long)offset);
}
