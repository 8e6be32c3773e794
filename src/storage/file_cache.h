/*
 * file_cache.h - the files of segments, open only while they are used.
 *
 * A broker with 10,000 partitions has more files than a process may open. A struct log_file stands
 * for one file of one segment, open or not. Whoever wants its descriptor counts itself in with
 * log_file_get() and asks log_file_fd(), which opens the file if need be; the descriptor is the
 * caller's until log_file_put(). Beyond the cache's limit, descriptors that nobody uses are
 * closed, those not used for longest first (second chance). Files in use are never closed: when
 * more than `limit` are in use at once, more are open.
 *
 * A file belongs to a partition_dir, which knows the directory's present name: when a partition's
 * directory is renamed, its closed files are still found. A renamed or deleted file's descriptor
 * stays good, so a response in flight ends as it began.
 *
 * Threads  any. Getting and putting an open file takes no lock; opening takes LOCK_FILE_CACHE, but
 *          not across the system call.
 */
#ifndef KLAMM_STORAGE_FILE_CACHE_H
#define KLAMM_STORAGE_FILE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"

struct file_cache;
struct partition_dir;
struct log_file;

/* Which file of a segment: its suffix. */
enum log_file_kind {
	LOG_FILE_LOG,        /* .log */
	LOG_FILE_INDEX,      /* .index */
	LOG_FILE_TIME_INDEX, /* .timeindex */
	LOG_FILE_TXN_INDEX,  /* .txnindex */
	LOG_FILE_KIND_COUNT
};

/* What follows the suffix: a file's stage in deletion or replacement. */
enum log_file_stage {
	LOG_FILE_PLAIN,
	LOG_FILE_DELETED, /* .deleted */
	LOG_FILE_CLEANED, /* .cleaned */
	LOG_FILE_SWAP     /* .swap */
};

#define FILE_CACHE_DEFAULT_LIMIT 4096
/* Longest file name below a log directory: "<partition dir>/<20 digits>.timeindex.deleted". */
#define LOG_FILE_PATH_MAX (255 + 1 + 20 + 10 + 8 + 1)

MUST_CHECK int file_cache_open(struct env *env, size_t limit, struct file_cache **ret_cache);
/* Every partition_dir and log_file must be gone. Accepts NULL. */
void file_cache_close(struct file_cache *fc);
/* No partition_dir and no log_file is left. */
bool file_cache_is_unused(struct file_cache *fc);
/* How many descriptors the cache holds open now. */
size_t file_cache_open_count(struct file_cache *fc);

/*
 * The directory `name` below root_fd, which outlives it. Counted; the creator has one reference.
 * NULL without memory.
 */
struct partition_dir *partition_dir_new(struct file_cache *fc, int root_fd, const char *name);
struct partition_dir *partition_dir_get(struct partition_dir *dir);
void partition_dir_put(struct partition_dir *dir);
struct env *partition_dir_env(const struct partition_dir *dir);
int partition_dir_root_fd(const struct partition_dir *dir);
/* Copies the present name; name holds NAME_MAX + 1 bytes. */
void partition_dir_name(struct partition_dir *dir, char *name);
/* Renames on disk and here. Returns 0, or -errno with nothing changed. */
MUST_CHECK int partition_dir_rename(struct partition_dir *dir, const char *name);

/*
 * A handle, without touching the disk. create: the first log_file_fd() creates the file when it is
 * not there. The caller owns it until log_file_disown(). NULL without memory.
 */
struct log_file *log_file_new(struct partition_dir *dir, int64_t base_offset,
			      enum log_file_kind kind, enum log_file_stage stage, bool create);
/* The owner lets go: the last user's log_file_put() closes and frees. Accepts NULL. */
void log_file_disown(struct log_file *f);

/* Counts the caller as a user. Only while the caller knows that the file is owned or used. */
struct log_file *log_file_get(struct log_file *f);
void log_file_put(struct log_file *f);
/*
 * The descriptor (read and write), opened when it was not. Stays open until the caller's
 * log_file_put(). Returns it, or -errno.
 */
MUST_CHECK int log_file_fd(struct log_file *f);
struct env *log_file_env(const struct log_file *f);
struct partition_dir *log_file_dir(const struct log_file *f);

/* Writes the path below the log directory into path, LOG_FILE_PATH_MAX bytes; for diagnostics. */
void log_file_path(struct log_file *f, char *path);
/*
 * Renames on disk to another stage; a file that is not there changes its stage all the same.
 * Returns 0, or -errno with nothing changed.
 */
MUST_CHECK int log_file_rename(struct log_file *f, enum log_file_stage stage);
/* Removes the name. Returns 0 (also when it was gone), or -errno. */
MUST_CHECK int log_file_unlink(struct log_file *f);
/* Length on disk and modification time without opening. -ENOENT when there is no such file. */
MUST_CHECK int log_file_stat(struct log_file *f, struct stat *ret_stat);

/* Whole reads and writes: get, fd, the call, put. As in env.h. */
MUST_CHECK ssize_t log_file_pread(struct log_file *f, void *data, size_t len, int64_t pos);
/* -EAGAIN when it is not all in the page cache; where the file system cannot tell, it waits. */
MUST_CHECK ssize_t log_file_pread_nowait(struct log_file *f, void *data, size_t len, int64_t pos);
MUST_CHECK int log_file_pwrite(struct log_file *f, const void *data, size_t len, int64_t pos);
MUST_CHECK int log_file_truncate(struct log_file *f, int64_t len);
MUST_CHECK int log_file_sync(struct log_file *f);

/* The suffix with its dot, such as ".log", and the stage's, such as ".deleted" or "". */
const char *log_file_kind_suffix(enum log_file_kind kind);
const char *log_file_stage_suffix(enum log_file_stage stage);

#endif
