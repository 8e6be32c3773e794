#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "storage/producer_snapshot.h"
#include "wire/kerr.h"

/*
 * What may lie in a partition's directory beside plain files:
 *
 *	.deleted	renamed for deletion: goes now
 *	.cleaned	a segment that the cleaner was still writing: goes, and so does every .swap
 *at
 *or above the lowest of them, since the whole set was not ready .swap		a segment that is
 *ready to replace others: those in the range that it covers go, then it loses its suffix
 *
 * A crash in the middle of this is met by doing it again.
 */

/* ".snapshot" stands beside the kinds of log_file. */
#define KIND_SNAPSHOT LOG_FILE_KIND_COUNT

struct file_name {
	int64_t base_offset;
	int kind; /* enum log_file_kind or KIND_SNAPSHOT */
	enum log_file_stage stage;
};

struct listing {
	struct file_name *names;
	size_t count;
	size_t cap;
};

static const char *
kind_suffix(int kind)
{
	return kind == KIND_SNAPSHOT ? SNAPSHOT_SUFFIX
				     : log_file_kind_suffix((enum log_file_kind)kind);
}

/* False for a file of another kind. */
static bool
parse_name(const char *text, struct file_name *ret)
{
	static const enum log_file_stage stages[] = {LOG_FILE_PLAIN, LOG_FILE_DELETED,
						     LOG_FILE_CLEANED, LOG_FILE_SWAP};
	int64_t offset = 0;
	size_t i;

	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++) {
		if (__builtin_mul_overflow(offset, 10, &offset) ||
		    __builtin_add_overflow(offset, text[i] - '0', &offset))
			return false;
	}
	if (i != 20)
		return false;
	for (int kind = 0; kind <= KIND_SNAPSHOT; kind++) {
		size_t len = strlen(kind_suffix(kind));

		if (strncmp(text + i, kind_suffix(kind), len) != 0)
			continue;
		for (size_t s = 0; s < ARRAY_LEN(stages); s++) {
			if (strcmp(text + i + len, log_file_stage_suffix(stages[s])) == 0) {
				*ret = (struct file_name){offset, kind, stages[s]};
				return true;
			}
		}
	}
	return false;
}

static int
add_name(struct listing *list, struct file_name name)
{
	if (list->count == list->cap) {
		size_t cap = list->cap == 0 ? 16 : list->cap * 2;
		struct file_name *grown = realloc(list->names, cap * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		list->names = grown;
		list->cap = cap;
	}
	list->names[list->count++] = name;
	return 0;
}

static int
compare_names(const void *left, const void *right)
{
	const struct file_name *a = left;
	const struct file_name *b = right;

	if (a->base_offset != b->base_offset)
		return a->base_offset < b->base_offset ? -1 : 1;
	return a->kind - b->kind;
}

/* dir_fd is closed. */
static int
list_names(int dir_fd, struct listing *ret)
{
	DIR *dir = fdopendir(dir_fd);
	struct file_name name;
	struct dirent *entry;
	int st = 0;

	if (dir == NULL) {
		st = -errno;
		close(dir_fd);
		return st;
	}
	while (st == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (parse_name(entry->d_name, &name))
			st = add_name(ret, name);
	}
	if (st == 0)
		st = -errno;
	closedir(dir);
	if (st == 0 && ret->count > 1)
		qsort(ret->names, ret->count, sizeof(*ret->names), compare_names);
	return st;
}

/* ---- interrupted work ---- */

struct cleanup {
	struct env *env;
	int root_fd;
	const char *dir_name;
	struct listing *list;
};

static void
format_path(const struct cleanup *c, const struct file_name *name, enum log_file_stage stage,
	    char *path)
{
	snprintf(path, LOG_FILE_PATH_MAX, "%s/%020lld%s%s", c->dir_name,
		 (long long)name->base_offset, kind_suffix(name->kind),
		 log_file_stage_suffix(stage));
}

/* Removes the file and marks the entry as gone. */
static int
remove_file(const struct cleanup *c, struct file_name *name)
{
	char path[LOG_FILE_PATH_MAX];
	int st;

	format_path(c, name, name->stage, path);
	st = env_unlinkat(c->env, c->root_fd, path, 0);
	name->base_offset = -1;
	return st == -ENOENT ? 0 : st;
}

static int
remove_stage(const struct cleanup *c, enum log_file_stage stage, int64_t from)
{
	int st = 0;

	for (size_t i = 0; i < c->list->count && st == 0; i++) {
		struct file_name *name = &c->list->names[i];

		if (name->stage == stage && name->base_offset >= from)
			st = remove_file(c, name);
	}
	return st;
}

/* The offset after the last whole batch of a .swap log. */
static int
swap_end_offset(const struct cleanup *c, const struct file_name *name, int64_t *ret_end)
{
	uint8_t window[BATCH_SCAN_WINDOW];
	char path[LOG_FILE_PATH_MAX];
	int64_t pos = 0;
	int fd, st = 0;

	*ret_end = name->base_offset;
	format_path(c, name, LOG_FILE_SWAP, path);
	fd = env_openat(c->env, c->root_fd, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t n = env_pread(c->env, fd, window, sizeof(window), pos);
		struct record_entry entry;
		struct record_batch batch;

		if (n < 0)
			st = (int)n;
		if (n < LOG_ENTRY_PEEK)
			break;
		if (record_entry_peek((struct slice){window, (size_t)n}, &entry) != 0)
			break;
		if (entry.magic == RECORD_BATCH_MAGIC && n >= RECORD_BATCH_OVERHEAD &&
		    record_batch_parse_header((struct slice){window, (size_t)n}, &batch) == 0)
			*ret_end = record_batch_last_offset(&batch) + 1;
		else
			*ret_end = entry.offset + 1;
		pos += (int64_t)entry.size_bytes;
	}
	env_close(c->env, fd);
	return st;
}

static int
rename_swap(const struct cleanup *c, struct file_name *name)
{
	char from[LOG_FILE_PATH_MAX];
	char to[LOG_FILE_PATH_MAX];

	format_path(c, name, LOG_FILE_SWAP, from);
	format_path(c, name, LOG_FILE_PLAIN, to);
	name->stage = LOG_FILE_PLAIN;
	return env_renameat(c->env, c->root_fd, from, c->root_fd, to);
}

/* What the .swap files cover is theirs. */
static int
finish_swap(const struct cleanup *c)
{
	int64_t from = INT64_MAX;
	int64_t to = INT64_MIN;
	bool any = false;
	int st = 0;

	for (size_t i = 0; i < c->list->count && st == 0; i++) {
		const struct file_name *name = &c->list->names[i];
		int64_t end;

		if (name->base_offset < 0 || name->stage != LOG_FILE_SWAP)
			continue;
		any = true;
		if (name->kind != LOG_FILE_LOG)
			continue;
		st = swap_end_offset(c, name, &end);
		from = name->base_offset < from ? name->base_offset : from;
		to = end > to ? end : to;
	}
	if (st != 0 || !any)
		return st;
	diag_info(DIAG_STORAGE, "finishing an interrupted replacement of segments",
		  "directory=%s from=%lld to=%lld", c->dir_name, (long long)from, (long long)to);
	for (size_t i = 0; i < c->list->count && st == 0; i++) {
		struct file_name *name = &c->list->names[i];

		if (name->stage == LOG_FILE_PLAIN && name->base_offset >= from &&
		    name->base_offset < to)
			st = remove_file(c, name);
	}
	for (size_t i = 0; i < c->list->count && st == 0; i++) {
		struct file_name *name = &c->list->names[i];

		if (name->base_offset >= 0 && name->stage == LOG_FILE_SWAP)
			st = rename_swap(c, name);
	}
	return st;
}

static int
finish_interrupted(const struct cleanup *c)
{
	int64_t lowest_cleaned = INT64_MAX;
	int st;

	for (size_t i = 0; i < c->list->count; i++) {
		const struct file_name *name = &c->list->names[i];

		if (name->stage == LOG_FILE_CLEANED && name->base_offset < lowest_cleaned)
			lowest_cleaned = name->base_offset;
	}
	st = remove_stage(c, LOG_FILE_DELETED, 0);
	if (st == 0 && lowest_cleaned != INT64_MAX)
		st = remove_stage(c, LOG_FILE_SWAP, lowest_cleaned);
	if (st == 0)
		st = remove_stage(c, LOG_FILE_CLEANED, 0);
	return st != 0 ? st : finish_swap(c);
}

/* ---- the result ---- */

/* The segment that a file belongs to; names come sorted by base offset. */
static struct found_segment *
segment_of(struct found_files *files, int64_t base_offset)
{
	for (size_t i = files->segment_count; i > 0; i--) {
		if (files->segments[i - 1].base_offset == base_offset)
			return &files->segments[i - 1];
		if (files->segments[i - 1].base_offset < base_offset)
			break;
	}
	files->segments[files->segment_count] = (struct found_segment){.base_offset = base_offset};
	return &files->segments[files->segment_count++];
}

static int
gather(const struct cleanup *c, struct found_files *files)
{
	struct listing *list = c->list;
	size_t kept = 0;

	files->segments = calloc(list->count + 1, sizeof(*files->segments));
	files->snapshots = calloc(list->count + 1, sizeof(*files->snapshots));
	if (files->segments == NULL || files->snapshots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		const struct file_name *name = &list->names[i];
		struct found_segment *seg;

		if (name->base_offset < 0)
			continue;
		if (name->kind == KIND_SNAPSHOT) {
			files->snapshots[files->snapshot_count++] = name->base_offset;
			continue;
		}
		seg = segment_of(files, name->base_offset);
		seg->log |= name->kind == LOG_FILE_LOG;
		seg->files.index |= name->kind == LOG_FILE_INDEX;
		seg->files.time_index |= name->kind == LOG_FILE_TIME_INDEX;
		seg->files.txn_index |= name->kind == LOG_FILE_TXN_INDEX;
	}
	for (size_t i = 0; i < files->segment_count; i++) {
		if (files->segments[i].log)
			files->segments[kept++] = files->segments[i];
	}
	files->segment_count = kept;
	return 0;
}

/* Indexes whose log is not there. */
static int
remove_orphans(const struct cleanup *c, const struct found_files *files)
{
	size_t at = 0;
	int st = 0;

	for (size_t i = 0; i < c->list->count && st == 0; i++) {
		struct file_name *name = &c->list->names[i];

		if (name->base_offset < 0 || name->kind == KIND_SNAPSHOT)
			continue;
		while (at < files->segment_count &&
		       files->segments[at].base_offset < name->base_offset)
			at++;
		if (at == files->segment_count ||
		    files->segments[at].base_offset != name->base_offset)
			st = remove_file(c, name);
	}
	return st;
}

void
found_files_fini(struct found_files *files)
{
	free(files->segments);
	free(files->snapshots);
	*files = (struct found_files){0};
}

int
log_list_files(struct env *env, int root_fd, const char *dir_name, struct found_files *ret_files)
{
	struct found_files files = {0};
	struct listing list = {0};
	const struct cleanup c = {env, root_fd, dir_name, &list};
	int fd = env_openat(env, root_fd, dir_name, O_RDONLY | O_DIRECTORY, 0);
	int st;

	if (fd < 0)
		return fd;
	st = list_names(fd, &list);
	if (st == 0)
		st = finish_interrupted(&c);
	if (st == 0)
		st = gather(&c, &files);
	if (st == 0)
		st = remove_orphans(&c, &files);
	free(list.names);
	if (st != 0)
		found_files_fini(&files);
	else
		*ret_files = files;
	return st;
}
