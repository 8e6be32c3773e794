/*
 * The tree is one map from path to node; the children of a node are the paths below it, kept as
 * a map of names. Operations of a request are applied one by one; each notes how to undo it, and
 * when one fails the notes are run backwards. Only when all have succeeded are they written to
 * the file and the watches fired, so nobody sees half of a multi.
 *
 * File: records of be32 length, be64 checksum (FNV-1a) of the payload, payload. A payload holds the
 * changes of one request: 'P' (put) path, value, stat, or 'D' (delete) path. A crash can tear only
 * the last record, which the next open cuts off. Opening rewrites the file without history.
 */
#include "zk/zk_tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/lock.h"
#include "base/map.h"

#define RECORD_HEADER_BYTES 12
#define RECORD_BYTES_MAX (64 << 20)
#define FILE_BYTES_MAX ((size_t)1 << 30)

struct node {
	struct zk_stat stat;
	struct buf value;
	bool has_value;
	struct map children; /* name -> (void *)1 */
};

struct tree_session;

struct zk_tree {
	struct env *env;
	int fd; /* -1: in memory only */
	off_t file_len;
	struct lock lock;
	struct map nodes; /* path -> struct node */
	int64_t zxid;
	int64_t next_session_id;
	struct tree_session *sessions;
};

/* Shared by a session and the messages it has posted. */
struct tree_life {
	_Atomic int references;
	struct tree_session *session; /* NULL once closed; the owner's thread */
};

struct tree_session {
	struct zk zk;
	struct zk_tree *tree;
	struct tree_session *next; /* under the tree's lock */
	struct mailbox *mailbox;
	struct zk_events events;
	struct tree_life *life;
	int64_t id;                             /* under lock */
	bool expired, interrupted;              /* under lock */
	struct map data_watches, child_watches; /* under lock: path -> (void *)1 */
};

/* What one applied operation changed. */
struct change {
	char *path;
	struct node *before; /* NULL: the node was created */
	struct zk_stat parent_before;
	enum zk_watch_type event;
};

struct changes {
	struct change *items;
	size_t count, cap;
};

/* Nodes */

static void
node_free(struct node *node)
{
	if (node == NULL)
		return;
	buf_fini(&node->value);
	map_fini(&node->children);
	free(node);
}

static struct node *
find(struct zk_tree *tree, const char *path)
{
	return map_get_text(&tree->nodes, path);
}

/* The length of the parent's path; 1 for the root. */
static size_t
parent_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == path ? 1 : (size_t)(slash - path);
}

static struct node *
find_parent(struct zk_tree *tree, const char *path)
{
	return map_get(&tree->nodes, path, parent_len(path));
}

static bool
path_is_valid(const char *path)
{
	size_t len = strlen(path);

	return len > 0 && path[0] == '/' && (len == 1 || path[len - 1] != '/') &&
	       strstr(path, "//") == NULL;
}

static void
must(int st)
{
	if (st != 0)
		abort(); /* without memory */
}

static void
link_child(struct node *parent, const char *path)
{
	must(map_put_text(&parent->children, strrchr(path, '/') + 1, parent, NULL));
	parent->stat.num_children = (int32_t)parent->children.count;
}

static void
unlink_child(struct node *parent, const char *path)
{
	map_remove_text(&parent->children, strrchr(path, '/') + 1);
	parent->stat.num_children = (int32_t)parent->children.count;
}

/* Operations, each under the lock */

static struct change *
note(struct changes *changes, const char *path, const struct node *parent)
{
	struct change *c;

	if (changes->count == changes->cap) {
		size_t cap = changes->cap == 0 ? 4 : changes->cap * 2;
		struct change *items = realloc(changes->items, cap * sizeof(*items));

		must(items == NULL);
		changes->items = items;
		changes->cap = cap;
	}
	c = &changes->items[changes->count++];
	*c = (struct change){.path = strdup(path)};
	must(c->path == NULL);
	if (parent != NULL)
		c->parent_before = parent->stat;
	return c;
}

static void
set_value(struct node *node, struct slice data)
{
	node->value.len = 0;
	node->has_value = data.data != NULL;
	if (data.len > 0)
		buf_append(&node->value, data.data, data.len);
	must(node->value.failed);
}

static int
apply_create(struct tree_session *s, struct zk_op *op, struct changes *changes)
{
	struct zk_tree *tree = s->tree;
	struct node *parent, *node;
	char *path;
	int n;

	if (!path_is_valid(op->path) || op->path[1] == '\0')
		return op->path[0] == '/' ? -EEXIST : -EPROTO;
	parent = find_parent(tree, op->path);
	if (parent == NULL)
		return -ENOENT;
	if (parent->stat.ephemeral_owner != 0)
		return -EPROTO;
	if (op->mode == ZK_PERSISTENT_SEQUENTIAL)
		n = asprintf(&path, "%s%010d", op->path, parent->stat.cversion);
	else
		n = asprintf(&path, "%s", op->path);
	must(n < 0);
	if (find(tree, path) != NULL) {
		free(path);
		return -EEXIST;
	}
	node = calloc(1, sizeof(*node));
	must(node == NULL);
	note(changes, path, parent)->event = ZK_NODE_CREATED;
	node->stat.czxid = node->stat.mzxid = tree->zxid;
	node->stat.ctime_ms = node->stat.mtime_ms = env_now_ms(tree->env);
	node->stat.ephemeral_owner = op->mode == ZK_EPHEMERAL ? s->id : 0;
	set_value(node, op->data);
	must(map_put_text(&tree->nodes, path, node, NULL));
	link_child(parent, path);
	parent->stat.cversion++;
	op->created_path = path;
	return 0;
}

static int
check_version(const struct node *node, const struct zk_op *op)
{
	if (node == NULL)
		return -ENOENT;
	return op->version != ZK_ANY_VERSION && op->version != node->stat.version ? -ESTALE : 0;
}

static int
apply_set(struct tree_session *s, struct zk_op *op, struct changes *changes)
{
	struct node *node = find(s->tree, op->path), *before;
	struct change *c;
	int st = check_version(node, op);

	if (st != 0)
		return st;
	before = calloc(1, sizeof(*before));
	must(before == NULL);
	before->stat = node->stat;
	before->value = node->value;
	before->has_value = node->has_value;
	node->value = (struct buf){0};
	c = note(changes, op->path, NULL);
	c->before = before;
	c->event = ZK_NODE_CHANGED;
	set_value(node, op->data);
	node->stat.version++;
	node->stat.mzxid = s->tree->zxid;
	node->stat.mtime_ms = env_now_ms(s->tree->env);
	op->stat = node->stat;
	return 0;
}

static int
apply_delete(struct tree_session *s, struct zk_op *op, struct changes *changes)
{
	struct node *node = find(s->tree, op->path), *parent;
	struct change *c;
	int st = check_version(node, op);

	if (st != 0)
		return st;
	if (node->children.count != 0)
		return -ENOTEMPTY;
	if (op->path[1] == '\0')
		return -EPROTO;
	parent = find_parent(s->tree, op->path);
	c = note(changes, op->path, parent);
	c->before = map_remove_text(&s->tree->nodes, op->path);
	c->event = ZK_NODE_DELETED;
	unlink_child(parent, op->path);
	parent->stat.cversion++;
	return 0;
}

static void
undo(struct zk_tree *tree, struct change *c)
{
	struct node *parent, *node;

	if (c->event == ZK_NODE_CHANGED) {
		node = find(tree, c->path);
		buf_fini(&node->value);
		node->value = c->before->value;
		node->has_value = c->before->has_value;
		node->stat = c->before->stat;
		c->before->value = (struct buf){0};
		return;
	}
	parent = find_parent(tree, c->path);
	if (c->event == ZK_NODE_CREATED) {
		node_free(map_remove_text(&tree->nodes, c->path));
		unlink_child(parent, c->path);
	} else {
		must(map_put_text(&tree->nodes, c->path, c->before, NULL));
		c->before = NULL;
		link_child(parent, c->path);
	}
	parent->stat = c->parent_before;
}

static void
changes_fini(struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++) {
		free(changes->items[i].path);
		node_free(changes->items[i].before);
	}
	free(changes->items);
}

/* The file */

static uint64_t
checksum(const uint8_t *data, size_t len)
{
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ data[i]) * 0x100000001b3ULL;
	return sum;
}

static void
put_text(struct buf *out, const char *text, size_t len)
{
	buf_append_be32(out, (uint32_t)len);
	buf_append(out, text, len);
}

static void
put_node(struct buf *out, const char *path, const struct node *node)
{
	buf_append_u8(out, 'P');
	put_text(out, path, strlen(path));
	buf_append_u8(out, node->has_value);
	put_text(out, (const char *)node->value.data, node->value.len);
	buf_append_be64(out, (uint64_t)node->stat.czxid);
	buf_append_be64(out, (uint64_t)node->stat.mzxid);
	buf_append_be64(out, (uint64_t)node->stat.ctime_ms);
	buf_append_be64(out, (uint64_t)node->stat.mtime_ms);
	buf_append_be32(out, (uint32_t)node->stat.version);
	buf_append_be32(out, (uint32_t)node->stat.cversion);
}

/* Opens a record; end_record() fills in its header. */
static size_t
begin_record(struct buf *out)
{
	size_t start = out->len;

	must(buf_extend(out, RECORD_HEADER_BYTES) == NULL);
	return start;
}

static void
end_record(struct buf *out, size_t start)
{
	const uint8_t *payload = out->data + start + RECORD_HEADER_BYTES;
	size_t len = out->len - start - RECORD_HEADER_BYTES;

	must(out->failed);
	put_be32(out->data + start, (uint32_t)len);
	put_be64(out->data + start + 4, checksum(payload, len));
}

static void
put_change(struct zk_tree *tree, struct buf *out, const struct change *c)
{
	const struct node *node = find(tree, c->path), *parent = find_parent(tree, c->path);
	char *parent_path;

	if (node != NULL && node->stat.ephemeral_owner == 0) {
		put_node(out, c->path, node);
	} else if (node == NULL) {
		buf_append_u8(out, 'D');
		put_text(out, c->path, strlen(c->path));
	}
	if (c->event == ZK_NODE_CHANGED || parent == NULL)
		return;
	parent_path = strndup(c->path, parent_len(c->path)); /* its cversion has moved */
	must(parent_path == NULL);
	put_node(out, parent_path, parent);
	free(parent_path);
}

/* Appends what a request changed. */
static int
write_changes(struct zk_tree *tree, const struct changes *changes)
{
	struct buf record = {0};
	size_t start;
	int st;

	if (tree->fd < 0 || changes->count == 0)
		return 0;
	start = begin_record(&record);
	for (size_t i = 0; i < changes->count; i++)
		put_change(tree, &record, &changes->items[i]);
	end_record(&record, start);
	st = env_pwrite(tree->env, tree->fd, record.data, record.len, tree->file_len);
	if (st == 0)
		tree->file_len += (off_t)record.len;
	buf_fini(&record);
	return st;
}

struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *
take(struct cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if (c->bad || n > c->left) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	c->left -= n;
	return at;
}

static uint32_t
take32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p == NULL ? 0 : get_be32(p);
}

static int64_t
take64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);

	return p == NULL ? 0 : (int64_t)get_be64(p);
}

static char *
take_path(struct cursor *c)
{
	uint32_t len = take32(c);
	const uint8_t *text = take(c, len);
	char *path = text == NULL ? NULL : strndup((const char *)text, len);

	if (path == NULL || !path_is_valid(path)) {
		c->bad = true;
		free(path);
		return NULL;
	}
	return path;
}

static void
load_put(struct zk_tree *tree, const char *path, struct cursor *c)
{
	struct node *node = find(tree, path), *parent = find_parent(tree, path);
	const uint8_t *has_value = take(c, 1), *value;
	uint32_t len = take32(c);

	value = take(c, len);
	if (c->bad || (parent == NULL && path[1] != '\0')) {
		c->bad = true;
		return;
	}
	if (node == NULL) {
		node = calloc(1, sizeof(*node));
		must(node == NULL);
		must(map_put_text(&tree->nodes, path, node, NULL));
		link_child(parent, path);
	}
	set_value(node, *has_value ? (struct slice){value, len} : (struct slice){0});
	node->stat.czxid = take64(c);
	node->stat.mzxid = take64(c);
	node->stat.ctime_ms = take64(c);
	node->stat.mtime_ms = take64(c);
	node->stat.version = (int32_t)take32(c);
	node->stat.cversion = (int32_t)take32(c);
	if (node->stat.mzxid > tree->zxid)
		tree->zxid = node->stat.mzxid;
}

static void
load_delete(struct zk_tree *tree, const char *path, struct cursor *c)
{
	struct node *node = find(tree, path);

	if (node == NULL)
		return; /* it was ephemeral */
	if (node->children.count != 0 || path[1] == '\0') {
		c->bad = true;
		return;
	}
	unlink_child(find_parent(tree, path), path);
	node_free(map_remove_text(&tree->nodes, path));
}

static int
load_record(struct zk_tree *tree, struct cursor c)
{
	while (c.left > 0 && !c.bad) {
		const uint8_t *kind = take(&c, 1);
		char *path = take_path(&c);

		if (path == NULL)
			break;
		if (*kind == 'P')
			load_put(tree, path, &c);
		else if (*kind == 'D')
			load_delete(tree, path, &c);
		else
			c.bad = true;
		free(path);
	}
	return c.bad ? -EILSEQ : 0;
}

static int
load_file(struct zk_tree *tree, int dir_fd, const char *name)
{
	struct buf file = {0};
	struct cursor c;
	int st = env_read_file(tree->env, dir_fd, name, FILE_BYTES_MAX, &file);

	if (st == -ENOENT)
		return 0;
	if (st != 0)
		return st;
	c = (struct cursor){file.data, file.len, false};
	while (st == 0 && c.left > 0) {
		uint32_t len = take32(&c);
		uint64_t sum = (uint64_t)take64(&c);
		const uint8_t *payload = len > RECORD_BYTES_MAX ? NULL : take(&c, len);

		if (c.bad || payload == NULL || checksum(payload, len) != sum) {
			diag_warn(DIAG_ZK, "cut a torn end off the coordination tree",
				  "file=%s bytes=%zu", name, c.left);
			break;
		}
		st = load_record(tree, (struct cursor){payload, len, false});
	}
	buf_fini(&file);
	return st;
}

/* Parents first: puts a node and then, name by name, what is below it. */
static void
put_subtree(struct zk_tree *tree, struct buf *out, const char *path)
{
	struct node *node = find(tree, path);
	struct map_iter iter = {0};

	if (node->stat.ephemeral_owner != 0)
		return;
	put_node(out, path, node);
	while (map_next(&node->children, &iter) != NULL) {
		char *child;

		must(asprintf(&child, "%s/%s", path[1] == '\0' ? "" : path,
			      map_iter_key(&iter).data) < 0);
		put_subtree(tree, out, child);
		free(child);
	}
}

static int
rewrite_file(struct zk_tree *tree, int dir_fd, const char *name)
{
	struct buf file = {0};
	size_t start = begin_record(&file);
	int st;

	put_subtree(tree, &file, "/");
	end_record(&file, start);
	tree->file_len = (off_t)file.len;
	st = env_replace_file(tree->env, dir_fd, name, buf_slice(&file));
	buf_fini(&file);
	if (st != 0)
		return st;
	tree->fd = env_openat(tree->env, dir_fd, name, O_WRONLY, 0);
	return tree->fd < 0 ? tree->fd : 0;
}

/* Watches and sessions */

struct tree_message {
	struct tree_life *life;
	bool is_watch;
	enum zk_watch_type watch;
	enum zk_session_state state;
	char path[];
};

static void
life_put(struct tree_life *life)
{
	if (atomic_fetch_sub(&life->references, 1) == 1)
		free(life);
}

static void
run_message(void *arg)
{
	struct tree_message *m = arg;
	struct tree_session *s = m->life->session;

	if (s != NULL && m->is_watch) {
		s->events.on_watch(s->events.arg, m->watch, m->path);
	} else if (s != NULL) {
		s->events.on_session(s->events.arg, m->state);
		if (m->life->session != NULL && m->state == ZK_EXPIRED) {
			lock_acquire(&s->tree->lock);
			s->expired = false;
			s->id = ++s->tree->next_session_id;
			lock_release(&s->tree->lock);
			s->events.on_session(s->events.arg, ZK_NEW_SESSION);
		}
	}
	life_put(m->life);
	free(m);
}

static void
post(struct tree_session *s, bool is_watch, enum zk_watch_type watch, enum zk_session_state state,
     const char *path)
{
	size_t len = strlen(path) + 1;
	struct tree_message *m = malloc(sizeof(*m) + len);

	must(m == NULL);
	*m = (struct tree_message){s->life, is_watch, watch, state};
	memcpy(m->path, path, len);
	atomic_fetch_add(&s->life->references, 1);
	mailbox_post(s->mailbox, run_message, m);
}

/* Tells whoever watches, and forgets the watch. A deletion fires both kinds of its path. */
static void
fire(struct zk_tree *tree, const char *path, enum zk_watch_type type)
{
	for (struct tree_session *s = tree->sessions; s != NULL; s = s->next) {
		bool data =
		    type != ZK_NODE_CHILDREN && map_remove_text(&s->data_watches, path) != NULL;
		bool children = (type == ZK_NODE_CHILDREN || type == ZK_NODE_DELETED) &&
				map_remove_text(&s->child_watches, path) != NULL;

		if (data || children)
			post(s, true, type, 0, path);
	}
}

static void
fire_changes(struct zk_tree *tree, const struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *c = &changes->items[i];
		char *parent;

		fire(tree, c->path, c->event);
		if (c->event == ZK_NODE_CHANGED)
			continue;
		parent = strndup(c->path, parent_len(c->path));
		must(parent == NULL);
		fire(tree, parent, ZK_NODE_CHILDREN);
		free(parent);
	}
}

/* Reads */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
list_children(const struct node *node, struct zk_names *ret_names)
{
	struct map_iter iter = {0};

	ret_names->names = calloc(node->children.count + 1, sizeof(char *));
	must(ret_names->names == NULL);
	while (map_next(&node->children, &iter) != NULL) {
		char *name = strdup(map_iter_key(&iter).data);

		must(name == NULL);
		ret_names->names[ret_names->count++] = name;
	}
	qsort(ret_names->names, ret_names->count, sizeof(char *), compare_names);
}

static int
read_node(struct tree_session *s, struct zk_op *op)
{
	struct node *node = find(s->tree, op->path);
	struct map *watches = op->kind == ZK_CHILDREN ? &s->child_watches : &s->data_watches;

	if (op->watch && (node != NULL || op->kind == ZK_EXISTS))
		must(map_put_text(watches, op->path, s, NULL));
	if (node == NULL)
		return -ENOENT;
	op->stat = node->stat;
	if (op->kind == ZK_GET && node->has_value) {
		buf_append(&op->value, node->value.data, node->value.len);
		if (op->value.data == NULL) /* empty, not null */
			buf_reserve(&op->value, 1);
		must(op->value.failed);
	} else if (op->kind == ZK_CHILDREN) {
		list_children(node, &op->names);
	}
	return 0;
}

static int
apply(struct tree_session *s, struct zk_op *op, struct changes *changes)
{
	switch (op->kind) {
	case ZK_CREATE:
		return apply_create(s, op, changes);
	case ZK_SET:
		return apply_set(s, op, changes);
	case ZK_DELETE:
		return apply_delete(s, op, changes);
	case ZK_CHECK:
		return check_version(find(s->tree, op->path), op);
	default:
		return read_node(s, op);
	}
}

/* All or nothing; the codes of a failed multi are ZooKeeper's. */
static void
run_request(struct tree_session *s, struct zk_request *r)
{
	struct changes changes = {0};
	size_t failed = 0;

	s->tree->zxid++;
	r->st = 0;
	while (failed < r->op_count) {
		struct zk_op *op = &r->ops[failed];

		op->st = apply(s, op, &changes);
		if (op->st != 0) {
			r->st = op->st;
			break;
		}
		failed++;
	}
	if (r->st == 0) {
		r->st = write_changes(s->tree, &changes);
		if (r->st != 0) {
			diag_error(DIAG_ZK, "cannot write the coordination tree", "error=%s",
				   strerror(-r->st));
			r->st = -EPROTO;
			failed = 0;
			r->ops[0].st = -EPROTO;
		}
	}
	if (r->st != 0) {
		for (size_t i = changes.count; i > 0; i--)
			undo(s->tree, &changes.items[i - 1]);
		for (size_t i = failed + 1; i < r->op_count; i++)
			r->ops[i].st = -ECANCELED;
	} else {
		fire_changes(s->tree, &changes);
	}
	changes_fini(&changes);
}

static int
tree_run(struct zk *zk, struct zk_request *requests, size_t count)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);
	int st = 0;

	for (size_t i = 0; i < count; i++) {
		lock_acquire(&s->tree->lock);
		if (s->expired || s->interrupted) {
			st = requests[i].st = -ESHUTDOWN;
			for (size_t o = 0; o < requests[i].op_count; o++)
				requests[i].ops[o].st = -ESHUTDOWN;
		} else {
			run_request(s, &requests[i]);
		}
		lock_release(&s->tree->lock);
	}
	return st;
}

static void
tree_interrupt(struct zk *zk)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);

	lock_acquire(&s->tree->lock);
	s->interrupted = true;
	lock_release(&s->tree->lock);
}

static int64_t
tree_session_id(struct zk *zk)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);
	int64_t id;

	lock_acquire(&s->tree->lock);
	id = s->id;
	lock_release(&s->tree->lock);
	return id;
}

static bool
tree_connected(struct zk *zk)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);
	bool connected;

	lock_acquire(&s->tree->lock);
	connected = !s->expired;
	lock_release(&s->tree->lock);
	return connected;
}

/* Under the lock. Deletes what the session's end takes along. */
static void
drop_ephemerals(struct tree_session *s)
{
	for (;;) {
		struct map_iter iter = {0};
		struct changes changes = {0};
		struct zk_op op = {.kind = ZK_DELETE, .version = ZK_ANY_VERSION};
		struct node *node;
		char *path;

		while ((node = map_next(&s->tree->nodes, &iter)) != NULL)
			if (node->stat.ephemeral_owner == s->id)
				break;
		if (node == NULL)
			return;
		path = strdup(map_iter_key(&iter).data);
		must(path == NULL);
		op.path = path;
		s->tree->zxid++;
		must(apply_delete(s, &op, &changes));
		fire_changes(s->tree, &changes);
		changes_fini(&changes);
		free(path);
	}
}

void
zk_tree_session_expire(struct zk *zk)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);

	lock_acquire(&s->tree->lock);
	if (!s->expired) {
		map_fini(&s->data_watches);
		map_fini(&s->child_watches);
		drop_ephemerals(s);
		s->expired = true;
		post(s, false, 0, ZK_EXPIRED, "");
	}
	lock_release(&s->tree->lock);
}

static void
tree_session_close(struct zk *zk)
{
	struct tree_session *s = CONTAINER_OF(zk, struct tree_session, zk);
	struct tree_session **link;

	lock_acquire(&s->tree->lock);
	for (link = &s->tree->sessions; *link != s; link = &(*link)->next)
		;
	*link = s->next;
	drop_ephemerals(s);
	lock_release(&s->tree->lock);
	map_fini(&s->data_watches);
	map_fini(&s->child_watches);
	s->life->session = NULL;
	life_put(s->life);
	free(s);
}

static const struct zk_ops tree_ops = {
    .run = tree_run,
    .interrupt = tree_interrupt,
    .session_id = tree_session_id,
    .connected = tree_connected,
    .close = tree_session_close,
};

int
zk_tree_session_open(struct zk_tree *tree, struct mailbox *mailbox, const struct zk_events *events,
		     struct zk **ret_zk)
{
	struct tree_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->life = calloc(1, sizeof(*s->life));
	if (s->life == NULL) {
		free(s);
		return -ENOMEM;
	}
	atomic_init(&s->life->references, 1);
	s->life->session = s;
	s->zk.ops = &tree_ops;
	s->tree = tree;
	s->mailbox = mailbox;
	s->events = *events;
	lock_acquire(&tree->lock);
	s->id = ++tree->next_session_id;
	s->next = tree->sessions;
	tree->sessions = s;
	lock_release(&tree->lock);
	*ret_zk = &s->zk;
	return 0;
}

int
zk_tree_open(struct env *env, int dir_fd, const char *name, struct zk_tree **ret_tree)
{
	struct zk_tree *tree = calloc(1, sizeof(*tree));
	struct node *root;
	int st = 0;

	if (tree == NULL)
		return -ENOMEM;
	tree->env = env;
	tree->fd = -1;
	lock_init(&tree->lock, LOCK_ZK_TREE);
	root = calloc(1, sizeof(*root));
	must(root == NULL);
	must(map_put_text(&tree->nodes, "/", root, NULL));
	if (name != NULL) {
		st = load_file(tree, dir_fd, name);
		if (st == 0)
			st = rewrite_file(tree, dir_fd, name);
	}
	if (st != 0) {
		zk_tree_close(tree);
		return st;
	}
	*ret_tree = tree;
	return 0;
}

void
zk_tree_close(struct zk_tree *tree)
{
	struct map_iter iter = {0};
	struct node *node;

	if (tree == NULL)
		return;
	assert(tree->sessions == NULL);
	while ((node = map_next(&tree->nodes, &iter)) != NULL)
		node_free(node);
	map_fini(&tree->nodes);
	if (tree->fd >= 0)
		env_close(tree->env, tree->fd);
	lock_fini(&tree->lock);
	free(tree);
}
