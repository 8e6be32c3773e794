#include "storage/file_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/lock.h"

/*
 * A file's state is one word: OPEN (fd is valid), OWNED (its segment still has it), and the number
 * of users. Whoever makes the word reach "not owned, no users" frees the file. The cache closes a
 * file by turning OPEN|OWNED, with no user, into OWNED in one step: so a user who counted himself
 * in and then sees OPEN may use fd without a lock.
 *
 * Open files stand in a ring. The hand goes round: a file that was used since the hand last came by
 * gets another round, one in use is passed over, any other is closed.
 *
 * A file's path follows from its directory's name, its base offset, kind and stage. It may change
 * while someone opens it, and another file may take its place (the cleaner's swap). A renamer first
 * renames on disk, then here; so an opener who finds, after opening, the path that he opened still
 * to be the file's path has the right file, and otherwise tries again.
 */

#define STATE_OPEN 0x80000000u
#define STATE_OWNED 0x40000000u
#define STATE_USERS 0x3fffffffu

struct file_cache {
	struct env *env;
	size_t limit;
	_Atomic size_t dir_count; /* partition_dirs, which all files refer to */
	struct lock lock;         /* LOCK_FILE_CACHE: all below, and names and stages of files */
	size_t open_count;
	struct log_file *hand; /* the ring of open files, NULL when empty */
};

struct partition_dir {
	struct file_cache *cache;
	char *name; /* under the cache's lock */
	int root_fd;
	_Atomic uint32_t refs;
};

struct log_file {
	struct partition_dir *dir;
	int64_t base_offset;
	struct log_file *prev; /* in the ring, when OPEN */
	struct log_file *next;
	_Atomic uint32_t state;
	_Atomic int fd;
	uint8_t kind;
	uint8_t stage; /* under the cache's lock */
	bool create;   /* under the cache's lock */
	_Atomic bool touched;
};

static const char *const kind_suffixes[LOG_FILE_KIND_COUNT] = {
    [LOG_FILE_LOG] = ".log",
    [LOG_FILE_INDEX] = ".index",
    [LOG_FILE_TIME_INDEX] = ".timeindex",
    [LOG_FILE_TXN_INDEX] = ".txnindex",
};

static const char *const stage_suffixes[] = {
    [LOG_FILE_PLAIN] = "",
    [LOG_FILE_DELETED] = ".deleted",
    [LOG_FILE_CLEANED] = ".cleaned",
    [LOG_FILE_SWAP] = ".swap",
};

const char *
log_file_kind_suffix(enum log_file_kind kind)
{
	return kind_suffixes[kind];
}

const char *
log_file_stage_suffix(enum log_file_stage stage)
{
	return stage_suffixes[stage];
}

/* ---- the cache ---- */

int
file_cache_open(struct env *env, size_t limit, struct file_cache **ret_cache)
{
	struct file_cache *fc = calloc(1, sizeof(*fc));

	if (fc == NULL)
		return -ENOMEM;
	fc->env = env;
	fc->limit = limit > 0 ? limit : FILE_CACHE_DEFAULT_LIMIT;
	lock_init(&fc->lock, LOCK_FILE_CACHE);
	*ret_cache = fc;
	return 0;
}

void
file_cache_close(struct file_cache *fc)
{
	if (fc == NULL)
		return;
	assert(fc->open_count == 0 && fc->hand == NULL);
	lock_fini(&fc->lock);
	free(fc);
}

bool
file_cache_is_unused(struct file_cache *fc)
{
	return atomic_load(&fc->dir_count) == 0;
}

size_t
file_cache_open_count(struct file_cache *fc)
{
	size_t count;

	lock_acquire(&fc->lock);
	count = fc->open_count;
	lock_release(&fc->lock);
	return count;
}

static void
ring_add(struct file_cache *fc, struct log_file *f)
{
	if (fc->hand == NULL) {
		f->prev = f->next = f;
		fc->hand = f;
	} else {
		/* Behind the hand: the last to be looked at. */
		f->next = fc->hand;
		f->prev = fc->hand->prev;
		f->prev->next = f;
		f->next->prev = f;
	}
	fc->open_count++;
}

static void
ring_remove(struct file_cache *fc, struct log_file *f)
{
	if (f->next == f) {
		fc->hand = NULL;
	} else {
		f->prev->next = f->next;
		f->next->prev = f->prev;
		if (fc->hand == f)
			fc->hand = f->next;
	}
	f->prev = f->next = NULL;
	fc->open_count--;
}

/* Under the lock. Takes the descriptor of one quiet file out of the cache; -1 when all are busy. */
static int
evict_one(struct file_cache *fc)
{
	size_t steps = 2 * fc->open_count;

	while (steps-- > 0) {
		struct log_file *f = fc->hand;
		uint32_t quiet = STATE_OPEN | STATE_OWNED;

		fc->hand = f->next;
		if (atomic_exchange_explicit(&f->touched, false, memory_order_relaxed))
			continue;
		if (atomic_compare_exchange_strong(&f->state, &quiet, STATE_OWNED)) {
			int fd = atomic_exchange(&f->fd, -1);

			ring_remove(fc, f);
			return fd;
		}
	}
	return -1;
}

/* ---- directories ---- */

struct partition_dir *
partition_dir_new(struct file_cache *fc, int root_fd, const char *name)
{
	struct partition_dir *dir = calloc(1, sizeof(*dir));

	if (dir == NULL)
		return NULL;
	dir->name = strdup(name);
	if (dir->name == NULL) {
		free(dir);
		return NULL;
	}
	dir->cache = fc;
	atomic_fetch_add(&fc->dir_count, 1);
	dir->root_fd = root_fd;
	atomic_init(&dir->refs, 1);
	return dir;
}

struct partition_dir *
partition_dir_get(struct partition_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
	return dir;
}

void
partition_dir_put(struct partition_dir *dir)
{
	if (dir == NULL || atomic_fetch_sub(&dir->refs, 1) != 1)
		return;
	atomic_fetch_sub(&dir->cache->dir_count, 1);
	free(dir->name);
	free(dir);
}

struct env *
partition_dir_env(const struct partition_dir *dir)
{
	return dir->cache->env;
}

int
partition_dir_root_fd(const struct partition_dir *dir)
{
	return dir->root_fd;
}

void
partition_dir_name(struct partition_dir *dir, char *name)
{
	lock_acquire(&dir->cache->lock);
	snprintf(name, NAME_MAX + 1, "%s", dir->name);
	lock_release(&dir->cache->lock);
}

int
partition_dir_rename(struct partition_dir *dir, const char *name)
{
	char *copy = strdup(name);
	char *old;
	int st;

	if (copy == NULL)
		return -ENOMEM;
	/* Only the log's owner renames, so the name does not change under us. */
	st = env_renameat(dir->cache->env, dir->root_fd, dir->name, dir->root_fd, name);
	if (st != 0) {
		free(copy);
		return st;
	}
	lock_acquire(&dir->cache->lock);
	old = dir->name;
	dir->name = copy;
	lock_release(&dir->cache->lock);
	free(old);
	return 0;
}

/* ---- files ---- */

struct log_file *
log_file_new(struct partition_dir *dir, int64_t base_offset, enum log_file_kind kind,
	     enum log_file_stage stage, bool create)
{
	struct log_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->dir = partition_dir_get(dir);
	f->base_offset = base_offset;
	f->kind = (uint8_t)kind;
	f->stage = (uint8_t)stage;
	f->create = create;
	atomic_init(&f->fd, -1);
	atomic_init(&f->state, STATE_OWNED);
	return f;
}

/* No owner and no user is left. */
static void
release_file(struct log_file *f)
{
	struct file_cache *fc = f->dir->cache;
	int fd = -1;

	lock_acquire(&fc->lock);
	if (atomic_load(&f->state) & STATE_OPEN) {
		fd = atomic_load(&f->fd);
		ring_remove(fc, f);
	}
	lock_release(&fc->lock);
	if (fd >= 0)
		env_close(fc->env, fd);
	partition_dir_put(f->dir);
	free(f);
}

void
log_file_disown(struct log_file *f)
{
	if (f == NULL)
		return;
	if ((atomic_fetch_and(&f->state, ~STATE_OWNED) & STATE_USERS) == 0)
		release_file(f);
}

struct log_file *
log_file_get(struct log_file *f)
{
	atomic_fetch_add(&f->state, 1);
	if (!atomic_load_explicit(&f->touched, memory_order_relaxed))
		atomic_store_explicit(&f->touched, true, memory_order_relaxed);
	return f;
}

void
log_file_put(struct log_file *f)
{
	uint32_t old;

	if (f == NULL)
		return;
	old = atomic_fetch_sub(&f->state, 1);
	assert((old & STATE_USERS) > 0);
	if ((old & ~STATE_OPEN) == 1)
		release_file(f);
}

/* Under the cache's lock. */
static void
path_of_stage(const struct log_file *f, enum log_file_stage stage, char *path)
{
	snprintf(path, LOG_FILE_PATH_MAX, "%s/%020lld%s%s", f->dir->name, (long long)f->base_offset,
		 kind_suffixes[f->kind], stage_suffixes[stage]);
}

void
log_file_path(struct log_file *f, char *path)
{
	lock_acquire(&f->dir->cache->lock);
	path_of_stage(f, f->stage, path);
	lock_release(&f->dir->cache->lock);
}

/*
 * Under the lock: makes fd the file's own, unless someone else has opened it meanwhile, or the name
 * that was opened is no longer its name. Returns the file's descriptor, or -EAGAIN. ret_close is
 * what has to be closed after the lock, or -1.
 */
static int
install(struct log_file *f, int fd, const char *opened_path, int *ret_close)
{
	struct file_cache *fc = f->dir->cache;
	char path[LOG_FILE_PATH_MAX];

	*ret_close = fd;
	if (atomic_load(&f->state) & STATE_OPEN)
		return atomic_load(&f->fd);
	path_of_stage(f, f->stage, path);
	if (strcmp(path, opened_path) != 0)
		return -EAGAIN;
	*ret_close = fc->open_count >= fc->limit ? evict_one(fc) : -1;
	f->create = false;
	atomic_store(&f->fd, fd);
	ring_add(fc, f);
	atomic_fetch_or(&f->state, STATE_OPEN);
	return fd;
}

static int
open_file(struct log_file *f)
{
	struct file_cache *fc = f->dir->cache;
	char path[LOG_FILE_PATH_MAX];
	bool evicted = false;

	for (;;) {
		int flags = O_RDWR;
		int to_close = -1;
		int fd, ret;

		lock_acquire(&fc->lock);
		if (atomic_load(&f->state) & STATE_OPEN) {
			fd = atomic_load(&f->fd);
			lock_release(&fc->lock);
			return fd;
		}
		path_of_stage(f, f->stage, path);
		if (f->create)
			flags |= O_CREAT;
		lock_release(&fc->lock);

		fd = env_openat(fc->env, f->dir->root_fd, path, flags, 0644);
		lock_acquire(&fc->lock);
		if (fd >= 0) {
			ret = install(f, fd, path, &to_close);
		} else if (fd == -ENOENT) {
			char now[LOG_FILE_PATH_MAX];

			path_of_stage(f, f->stage, now);
			ret = strcmp(path, now) != 0 ? -EAGAIN : -ENOENT;
		} else if (fd == -EMFILE && !evicted) {
			evicted = true;
			to_close = evict_one(fc);
			ret = to_close >= 0 ? -EAGAIN : -EMFILE;
		} else {
			ret = fd;
		}
		lock_release(&fc->lock);
		if (to_close >= 0)
			env_close(fc->env, to_close);
		if (ret != -EAGAIN)
			return ret;
	}
}

int
log_file_fd(struct log_file *f)
{
	uint32_t state = atomic_load(&f->state);

	assert((state & STATE_USERS) > 0);
	if (state & STATE_OPEN)
		return atomic_load(&f->fd);
	return open_file(f);
}

struct env *
log_file_env(const struct log_file *f)
{
	return f->dir->cache->env;
}

struct partition_dir *
log_file_dir(const struct log_file *f)
{
	return f->dir;
}

int
log_file_rename(struct log_file *f, enum log_file_stage stage)
{
	struct file_cache *fc = f->dir->cache;
	char from[LOG_FILE_PATH_MAX];
	char to[LOG_FILE_PATH_MAX];
	int st;

	lock_acquire(&fc->lock);
	path_of_stage(f, f->stage, from);
	path_of_stage(f, stage, to);
	lock_release(&fc->lock);
	st = env_renameat(fc->env, f->dir->root_fd, from, f->dir->root_fd, to);
	if (st != 0 && st != -ENOENT)
		return st;
	lock_acquire(&fc->lock);
	f->stage = (uint8_t)stage;
	lock_release(&fc->lock);
	return 0;
}

int
log_file_unlink(struct log_file *f)
{
	char path[LOG_FILE_PATH_MAX];
	int st;

	log_file_path(f, path);
	st = env_unlinkat(f->dir->cache->env, f->dir->root_fd, path, 0);
	return st == -ENOENT ? 0 : st;
}

int
log_file_stat(struct log_file *f, struct stat *ret_stat)
{
	char path[LOG_FILE_PATH_MAX];

	log_file_path(f, path);
	return env_fstatat(f->dir->cache->env, f->dir->root_fd, path, ret_stat);
}

ssize_t
log_file_pread(struct log_file *f, void *data, size_t len, int64_t pos)
{
	ssize_t n;
	int fd;

	log_file_get(f);
	fd = log_file_fd(f);
	n = fd < 0 ? fd : env_pread(f->dir->cache->env, fd, data, len, pos);
	log_file_put(f);
	return n;
}

ssize_t
log_file_pread_nowait(struct log_file *f, void *data, size_t len, int64_t pos)
{
	struct iovec iov = {data, len};
	ssize_t n;
	int fd;

	log_file_get(f);
	fd = log_file_fd(f);
	n = fd < 0 ? fd : preadv2(fd, &iov, 1, pos, RWF_NOWAIT);
	if (fd >= 0 && n < 0)
		n = errno == EOPNOTSUPP || errno == EINTR
			? env_pread(f->dir->cache->env, fd, data, len, pos)
			: -errno;
	else if (n >= 0 && (size_t)n < len)
		/* The end of the file, or of what is cached: the slow way tells which. */
		n = -EAGAIN;
	log_file_put(f);
	return n;
}

int
log_file_pwrite(struct log_file *f, const void *data, size_t len, int64_t pos)
{
	int fd, st;

	log_file_get(f);
	fd = log_file_fd(f);
	st = fd < 0 ? fd : env_pwrite(f->dir->cache->env, fd, data, len, pos);
	log_file_put(f);
	return st;
}

int
log_file_truncate(struct log_file *f, int64_t len)
{
	int fd, st;

	log_file_get(f);
	fd = log_file_fd(f);
	st = fd < 0 ? fd : env_ftruncate(f->dir->cache->env, fd, len);
	log_file_put(f);
	return st;
}

int
log_file_sync(struct log_file *f)
{
	int fd, st;

	log_file_get(f);
	fd = log_file_fd(f);
	st = fd < 0 ? fd : env_fdatasync(f->dir->cache->env, fd);
	log_file_put(f);
	return st;
}
