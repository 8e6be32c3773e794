/* What both kinds of session share: the shorthands. */
#include "zk/zk.h"

#include <errno.h>
#include <stdlib.h>

int
zk_run(struct zk *zk, struct zk_request *requests, size_t count)
{
	return count == 0 ? 0 : zk->ops->run(zk, requests, count);
}

void
zk_interrupt(struct zk *zk)
{
	zk->ops->interrupt(zk);
}

int64_t
zk_session_id(struct zk *zk)
{
	return zk->ops->session_id(zk);
}

bool
zk_connected(struct zk *zk)
{
	return zk->ops->connected(zk);
}

void
zk_close(struct zk *zk)
{
	if (zk != NULL)
		zk->ops->close(zk);
}

void
zk_names_fini(struct zk_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct zk_names){0};
}

void
zk_op_fini(struct zk_op *op)
{
	buf_fini(&op->value);
	free(op->created_path);
	op->created_path = NULL;
	zk_names_fini(&op->names);
}

static int
run_one(struct zk *zk, struct zk_op *op)
{
	struct zk_request request = {.ops = op, .op_count = 1};
	int st = zk_run(zk, &request, 1);

	return st != 0 ? st : op->st;
}

int
zk_get(struct zk *zk, const char *path, bool watch, struct buf *ret_value, struct zk_stat *ret_stat)
{
	struct zk_op op = {.kind = ZK_GET, .path = path, .watch = watch};
	int st = run_one(zk, &op);

	if (st == 0 && ret_stat != NULL)
		*ret_stat = op.stat;
	if (st == 0 && ret_value != NULL) {
		*ret_value = op.value;
		op.value = (struct buf){0};
	}
	zk_op_fini(&op);
	return st;
}

int
zk_exists(struct zk *zk, const char *path, bool watch, struct zk_stat *ret_stat)
{
	struct zk_op op = {.kind = ZK_EXISTS, .path = path, .watch = watch};
	int st = run_one(zk, &op);

	if (st == 0 && ret_stat != NULL)
		*ret_stat = op.stat;
	return st;
}

int
zk_children(struct zk *zk, const char *path, bool watch, struct zk_names *ret_names)
{
	struct zk_op op = {.kind = ZK_CHILDREN, .path = path, .watch = watch};
	int st = run_one(zk, &op);

	if (st == 0) {
		*ret_names = op.names;
		op.names = (struct zk_names){0};
	}
	zk_op_fini(&op);
	return st;
}

int
zk_create(struct zk *zk, const char *path, struct slice data, enum zk_create_mode mode,
	  char **ret_path)
{
	struct zk_op op = {.kind = ZK_CREATE, .path = path, .data = data, .mode = mode};
	int st = run_one(zk, &op);

	if (st == 0 && ret_path != NULL) {
		*ret_path = op.created_path;
		op.created_path = NULL;
	}
	zk_op_fini(&op);
	return st;
}

int
zk_ensure_path(struct zk *zk, const char *path)
{
	char *prefix = strdup(path);
	int st = 0;

	if (prefix == NULL)
		return -ENOMEM;
	for (char *slash = prefix; st == 0 && slash != NULL;) {
		slash = strchr(slash + 1, '/');
		if (slash != NULL)
			*slash = '\0';
		st = zk_create(zk, prefix, (struct slice){0}, ZK_PERSISTENT, NULL);
		if (st == -EEXIST)
			st = 0;
		if (slash != NULL)
			*slash = '/';
	}
	free(prefix);
	return st;
}

int
zk_create_recursive(struct zk *zk, const char *path, struct slice data)
{
	int st = zk_create(zk, path, data, ZK_PERSISTENT, NULL);
	char *parent, *slash;

	if (st != -ENOENT)
		return st;
	parent = strdup(path);
	if (parent == NULL)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	st = 0;
	if (slash != NULL && slash != parent) {
		*slash = '\0';
		st = zk_ensure_path(zk, parent);
	}
	free(parent);
	return st != 0 ? st : zk_create(zk, path, data, ZK_PERSISTENT, NULL);
}

int
zk_set(struct zk *zk, const char *path, struct slice data, int32_t version,
       struct zk_stat *ret_stat)
{
	struct zk_op op = {.kind = ZK_SET, .path = path, .data = data, .version = version};
	int st = run_one(zk, &op);

	if (st == 0 && ret_stat != NULL)
		*ret_stat = op.stat;
	return st;
}

int
zk_delete(struct zk *zk, const char *path, int32_t version)
{
	struct zk_op op = {.kind = ZK_DELETE, .path = path, .version = version};

	return run_one(zk, &op);
}
