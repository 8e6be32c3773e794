#include "storage/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A line is at most a topic of 249 bytes and two numbers. */
#define LINE_MAX_BYTES 512
/* More than ten million partitions: no such file is ours. */
#define FILE_MAX_BYTES ((size_t)1 << 30)

/* Takes the next line off *text, without its end and copied to line. -ENOENT at the end. */
static int
next_line(struct slice *text, char *line)
{
	const uint8_t *end;
	size_t len;

	if (text->len == 0)
		return -ENOENT;
	end = memchr(text->data, '\n', text->len);
	len = end != NULL ? (size_t)(end - text->data) : text->len;
	if (len >= LINE_MAX_BYTES || memchr(text->data, '\0', len) != NULL)
		return -EINVAL;
	memcpy(line, text->data, len);
	line[len] = '\0';
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	if (end != NULL)
		len++;
	text->data += len;
	text->len -= len;
	return 0;
}

/* The whole text is one number within [min, max]. */
static bool
read_number(const char *text, int64_t min, int64_t max, int64_t *ret_number)
{
	char *end;
	long long v;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || v < min || v > max)
		return false;
	*ret_number = v;
	return true;
}

int
checkpoint_parse(struct slice text, checkpoint_line_fn *fn, void *arg)
{
	char line[LINE_MAX_BYTES];
	int64_t number;
	int st;

	st = next_line(&text, line);
	if (st == -ENOENT)
		return 0;
	if (st != 0 || !read_number(line, 0, 0, &number))
		return -EINVAL;
	st = next_line(&text, line);
	if (st == -ENOENT)
		return 0;
	if (st != 0 || !read_number(line, 0, INT_MAX, &number))
		return -EINVAL;
	for (; number > 0; number--) {
		if (next_line(&text, line) != 0)
			return -EINVAL;
		st = fn(arg, line);
		if (st != 0)
			return st;
	}
	/* Blank lines may follow, entries may not. */
	while (next_line(&text, line) == 0) {
		if (line[0] != '\0')
			return -EINVAL;
	}
	return text.len == 0 ? 0 : -EINVAL;
}

int
checkpoint_write(struct env *env, int dir_fd, const char *name, size_t count,
		 const struct buf *lines, bool sync)
{
	struct buf text = {0};
	int st;

	if (lines->failed)
		return -ENOMEM;
	buf_printf(&text, "0\n%zu\n", count);
	buf_append(&text, lines->data, lines->len);
	if (text.failed)
		st = -ENOMEM;
	else if (sync)
		st = env_replace_file(env, dir_fd, name, buf_slice(&text));
	else
		st = env_replace_file_unsynced(env, dir_fd, name, buf_slice(&text));
	buf_fini(&text);
	return st;
}

/* ---- offsets by partition ---- */

void
offset_table_fini(struct offset_table *t)
{
	map_fini(&t->offsets);
}

static int
format_key(char *key, const char *topic, int32_t partition)
{
	return snprintf(key, LINE_MAX_BYTES, "%s-%" PRId32, topic, partition);
}

bool
offset_table_get(const struct offset_table *t, const char *topic, int32_t partition,
		 int64_t *ret_offset)
{
	char key[LINE_MAX_BYTES];
	void *value;

	format_key(key, topic, partition);
	value = map_get_text(&t->offsets, key);
	if (value == NULL)
		return false;
	*ret_offset = (int64_t)(intptr_t)value - 1;
	return true;
}

int
offset_table_put(struct offset_table *t, const char *topic, int32_t partition, int64_t offset)
{
	char key[LINE_MAX_BYTES];

	if (offset < 0 || offset == INT64_MAX ||
	    format_key(key, topic, partition) >= LINE_MAX_BYTES)
		return -EINVAL;
	return map_put_text(&t->offsets, key, (void *)(intptr_t)(offset + 1), NULL);
}

void
offset_table_remove(struct offset_table *t, const char *topic, int32_t partition)
{
	char key[LINE_MAX_BYTES];

	format_key(key, topic, partition);
	map_remove_text(&t->offsets, key);
}

static int
take_line(void *arg, const char *line)
{
	char text[LINE_MAX_BYTES];
	char *fields[3] = {NULL};
	char *rest = text;
	int64_t partition, offset;
	size_t n = 0;

	snprintf(text, sizeof(text), "%s", line);
	while (n < ARRAY_LEN(fields) && (fields[n] = strtok_r(rest, " \t", &rest)) != NULL)
		n++;
	if (n != ARRAY_LEN(fields) || strtok_r(rest, " \t", &rest) != NULL ||
	    !read_number(fields[1], 0, INT32_MAX, &partition) ||
	    !read_number(fields[2], 0, INT64_MAX - 1, &offset))
		return -EINVAL;
	return offset_table_put(arg, fields[0], (int32_t)partition, offset);
}

int
offset_table_parse(struct slice text, struct offset_table *ret_table)
{
	struct offset_table t = {0};
	int st = checkpoint_parse(text, take_line, &t);

	if (st != 0) {
		offset_table_fini(&t);
		return st;
	}
	*ret_table = t;
	return 0;
}

int
offset_table_read(struct env *env, int dir_fd, const char *name, struct offset_table *ret_table)
{
	struct buf text = {0};
	int st = env_read_file(env, dir_fd, name, FILE_MAX_BYTES, &text);

	if (st == -ENOENT)
		*ret_table = (struct offset_table){0};
	else if (st == 0)
		st = offset_table_parse(buf_slice(&text), ret_table);
	buf_fini(&text);
	return st == -ENOENT ? 0 : st;
}

void
offset_table_format(const struct offset_table *t, struct buf *lines, size_t *ret_count)
{
	struct map_iter iter = {0};
	void *value;

	while ((value = map_next(&t->offsets, &iter)) != NULL) {
		struct str key = map_iter_key(&iter);
		const char *dash = memrchr(key.data, '-', key.len);

		buf_printf(lines, "%.*s %s %" PRId64 "\n", (int)(dash - key.data), key.data,
			   dash + 1, (int64_t)(intptr_t)value - 1);
	}
	*ret_count = t->offsets.count;
}

int
offset_table_write(struct env *env, int dir_fd, const char *name, const struct offset_table *t)
{
	struct buf lines = {0};
	size_t count;
	int st;

	offset_table_format(t, &lines, &count);
	st = checkpoint_write(env, dir_fd, name, count, &lines, true);
	buf_fini(&lines);
	return st;
}
