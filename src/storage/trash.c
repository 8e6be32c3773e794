#include "storage/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/lock.h"

struct item {
	struct item *next;
	struct segment *seg; /* NULL: a directory */
	char *dir;
	int root_fd;
	int64_t due_ms;
};

struct trash {
	struct env *env;
	struct lock lock; /* LOCK_TRASH: the list */
	struct item *items;
	size_t count;
};

int
trash_open(struct env *env, struct trash **ret_trash)
{
	struct trash *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->env = env;
	lock_init(&t->lock, LOCK_TRASH);
	*ret_trash = t;
	return 0;
}

static void
free_item(struct item *item)
{
	segment_put(item->seg);
	free(item->dir);
	free(item);
}

void
trash_close(struct trash *t)
{
	if (t == NULL)
		return;
	while (t->items != NULL) {
		struct item *item = t->items;

		t->items = item->next;
		free_item(item);
	}
	lock_fini(&t->lock);
	free(t);
}

static void
add(struct trash *t, struct item item)
{
	struct item *copy = malloc(sizeof(*copy));

	/* Without memory the files stay until the next start. */
	if (copy == NULL) {
		segment_put(item.seg);
		free(item.dir);
		return;
	}
	*copy = item;
	lock_acquire(&t->lock);
	copy->next = t->items;
	t->items = copy;
	t->count++;
	lock_release(&t->lock);
}

void
trash_add_segment(struct trash *t, struct segment *seg, int64_t due_ms)
{
	add(t, (struct item){.seg = seg, .due_ms = due_ms});
}

void
trash_add_dir(struct trash *t, int root_fd, const char *name, int64_t due_ms)
{
	char *copy = strdup(name);

	if (copy != NULL)
		add(t, (struct item){.dir = copy, .root_fd = root_fd, .due_ms = due_ms});
}

static int
remove_files(struct env *env, int dir_fd)
{
	struct dirent *entry;
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	int ret = 0;

	if (dir == NULL) {
		ret = -errno;
		if (copy >= 0)
			close(copy);
		return ret;
	}
	while ((entry = readdir(dir)) != NULL) {
		int st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		st = env_unlinkat(env, dir_fd, entry->d_name, 0);
		if (st != 0 && st != -ENOENT && ret == 0)
			ret = st;
	}
	closedir(dir);
	return ret;
}

int
trash_remove_dir(struct env *env, int root_fd, const char *name)
{
	int fd = env_openat(env, root_fd, name, O_RDONLY | O_DIRECTORY, 0);
	int st;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	st = remove_files(env, fd);
	env_close(env, fd);
	if (st == 0)
		st = env_unlinkat(env, root_fd, name, AT_REMOVEDIR);
	return st == -ENOENT ? 0 : st;
}

static void
remove_item(struct env *env, const struct item *item)
{
	char path[LOG_FILE_PATH_MAX];
	int st;

	if (item->seg != NULL) {
		log_file_path(item->seg->log, path);
		st = segment_unlink(item->seg);
	} else {
		snprintf(path, sizeof(path), "%s", item->dir);
		st = trash_remove_dir(env, item->root_fd, item->dir);
	}
	if (st != 0)
		diag_warn(DIAG_STORAGE, "deleted files could not be removed", "path=%s error=%s",
			  path, strerror(-st));
}

void
trash_run(struct trash *t, int64_t now_ms)
{
	struct item **link, *due = NULL;

	lock_acquire(&t->lock);
	for (link = &t->items; *link != NULL;) {
		struct item *item = *link;

		if (item->due_ms <= now_ms) {
			*link = item->next;
			item->next = due;
			due = item;
			t->count--;
		} else {
			link = &item->next;
		}
	}
	lock_release(&t->lock);
	while (due != NULL) {
		struct item *item = due;

		due = item->next;
		remove_item(t->env, item);
		free_item(item);
	}
}

size_t
trash_count(struct trash *t)
{
	size_t count;

	lock_acquire(&t->lock);
	count = t->count;
	lock_release(&t->lock);
	return count;
}
