#include "storage/partition_metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX_BYTES 4096

/* The value of "key: value" on the next line; false when it is another key. */
static bool
read_value(struct slice *text, const char *key, char *value, size_t size)
{
	const uint8_t *end = memchr(text->data, '\n', text->len);
	size_t len = end != NULL ? (size_t)(end - text->data) : text->len;
	size_t key_len = strlen(key);
	size_t from = key_len + 1;

	if (len <= from || memcmp(text->data, key, key_len) != 0 || text->data[key_len] != ':')
		return false;
	while (from < len && text->data[from] == ' ')
		from++;
	while (len > from && (text->data[len - 1] == '\r' || text->data[len - 1] == ' '))
		len--;
	if (len - from >= size)
		return false;
	memcpy(value, text->data + from, len - from);
	value[len - from] = '\0';
	if (end != NULL) {
		text->len -= (size_t)(end + 1 - text->data);
		text->data = end + 1;
	} else {
		text->len = 0;
	}
	return true;
}

int
partition_metadata_parse(struct slice text, struct uuid *ret_id)
{
	char version[8];
	char id_text[UUID_TEXT_LEN + 1];
	struct uuid id;

	if (text.len == 0 || !read_value(&text, "version", version, sizeof(version)) ||
	    strcmp(version, "0") != 0 || text.len == 0 ||
	    !read_value(&text, "topic_id", id_text, sizeof(id_text)) ||
	    uuid_parse(id_text, &id) != 0 || uuid_is_zero(&id))
		return -EINVAL;
	*ret_id = id;
	return 0;
}

int
partition_metadata_read(struct env *env, int dir_fd, const char *dir, struct uuid *ret_id)
{
	char path[2 * NAME_MAX + 2];
	struct buf text = {0};
	int st;

	snprintf(path, sizeof(path), "%s/" PARTITION_METADATA, dir);
	st = env_read_file(env, dir_fd, path, FILE_MAX_BYTES, &text);
	if (st == 0)
		st = partition_metadata_parse(buf_slice(&text), ret_id);
	buf_fini(&text);
	return st;
}

int
partition_metadata_write(struct env *env, int dir_fd, const char *dir, const struct uuid *id)
{
	char id_text[UUID_TEXT_LEN + 1];
	char text[64];
	int fd, n, st;

	uuid_format(id, id_text);
	n = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s", id_text);
	fd = env_openat(env, dir_fd, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	st = env_replace_file(env, fd, PARTITION_METADATA,
			      (struct slice){(const uint8_t *)text, (size_t)n});
	env_close(env, fd);
	return st;
}
