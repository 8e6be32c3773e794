#include "zk/znode_consumer_offset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int
make_path(const char *group, const char *topic, int32_t partition, char path[ZNODE_PATH_MAX])
{
	int len;

	if (*group == '\0' || strchr(group, '/') != NULL || strcmp(group, ".") == 0 ||
	    strcmp(group, "..") == 0)
		return -EINVAL;
	len =
	    snprintf(path, ZNODE_PATH_MAX, "/consumers/%s/offsets/%s/%d", group, topic, partition);
	return len < ZNODE_PATH_MAX ? 0 : -EINVAL;
}

int
znode_consumer_offset_write(struct zk *zk, const char *group, const char *topic, int32_t partition,
			    int64_t offset)
{
	char path[ZNODE_PATH_MAX], text[24];
	struct slice value = {(const uint8_t *)text, 0};
	int st = make_path(group, topic, partition, path);

	if (st != 0)
		return st;
	value.len = (size_t)snprintf(text, sizeof(text), "%lld", (long long)offset);
	st = zk_set(zk, path, value, -1, NULL);
	return st == -ENOENT ? zk_create_recursive(zk, path, value) : st;
}

int
znode_consumer_offset_read(struct zk *zk, const char *group, const char *topic, int32_t partition,
			   int64_t *ret_offset)
{
	char path[ZNODE_PATH_MAX], *end;
	struct buf value = {0};
	const char *text;
	long long offset;
	int st = make_path(group, topic, partition, path);

	if (st == -EINVAL)
		return -ENOENT;
	st = zk_get(zk, path, false, &value, NULL);
	if (st == 0) {
		text = buf_text(&value);
		errno = 0;
		offset = text == NULL ? 0 : strtoll(text, &end, 10);
		if (text == NULL)
			st = -ENOMEM;
		else if (errno != 0 || end == text || *end != '\0')
			st = -EBADMSG;
		else
			*ret_offset = offset;
	}
	buf_fini(&value);
	return st;
}
