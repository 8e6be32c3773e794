/*
 * env.h - the seam to the machine: files, clocks, randomness.
 *
 * Whatever touches a file, asks the time or needs chance takes a struct env, so that a test can
 * fail the n-th write, tear it, fill the disk, step the clock and replay a seed. File
 * descriptors are the kernel's own: what has no seam here (sendfile, epoll) uses them directly.
 *
 * Errors   every call returns 0 or a count, or -errno; EINTR is retried inside.
 * Threads  all calls may be made from any thread.
 */
#ifndef KLAMM_BASE_ENV_H
#define KLAMM_BASE_ENV_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/bytes.h"

struct env;

struct env_ops {
	int (*openat)(struct env *env, int dir_fd, const char *path, int flags, mode_t mode);
	int (*close)(struct env *env, int fd);
	ssize_t (*pread)(struct env *env, int fd, void *data, size_t len, off_t pos);
	ssize_t (*pwritev)(struct env *env, int fd, const struct iovec *iov, int count, off_t pos);
	int (*ftruncate)(struct env *env, int fd, off_t len);
	int (*fallocate)(struct env *env, int fd, off_t pos, off_t len);
	int (*fsync)(struct env *env, int fd);
	int (*fdatasync)(struct env *env, int fd);
	int (*renameat)(struct env *env, int dir_fd, const char *from, int to_dir_fd,
			const char *to);
	int (*unlinkat)(struct env *env, int dir_fd, const char *path, int flags);
	int (*mkdirat)(struct env *env, int dir_fd, const char *path, mode_t mode);
	int (*fstat)(struct env *env, int fd, struct stat *ret_stat);
	int (*fstatat)(struct env *env, int dir_fd, const char *path, struct stat *ret_stat);
	int64_t (*now_ms)(struct env *env);       /* wall clock, ms since the epoch */
	int64_t (*monotonic_us)(struct env *env); /* never goes back */
	void (*random)(struct env *env, void *data, size_t len);
};

/* Users embed it first in their own struct and set ops. */
struct env {
	const struct env_ops *ops;
};

/* The machine itself. */
struct env *env_system(void);
/* Its functions, for a test's env to fall back on. */
extern const struct env_ops env_system_ops;

/* Opens, always with O_CLOEXEC; dir_fd may be AT_FDCWD. Returns a descriptor or -errno. */
MUST_CHECK int env_openat(struct env *env, int dir_fd, const char *path, int flags, mode_t mode);
int env_close(struct env *env, int fd);
/* Reads exactly len bytes unless the file ends before: returns how many, or -errno. */
MUST_CHECK ssize_t env_pread(struct env *env, int fd, void *data, size_t len, off_t pos);
/* Writes everything, or returns -errno with an unknown part written. Changes iov. */
MUST_CHECK int env_pwritev(struct env *env, int fd, struct iovec *iov, int count, off_t pos);
MUST_CHECK int env_pwrite(struct env *env, int fd, const void *data, size_t len, off_t pos);
MUST_CHECK int env_ftruncate(struct env *env, int fd, off_t len);
MUST_CHECK int env_fallocate(struct env *env, int fd, off_t pos, off_t len);
MUST_CHECK int env_fsync(struct env *env, int fd);
MUST_CHECK int env_fdatasync(struct env *env, int fd);
MUST_CHECK int env_renameat(struct env *env, int dir_fd, const char *from, int to_dir_fd,
			    const char *to);
int env_unlinkat(struct env *env, int dir_fd, const char *path, int flags);
MUST_CHECK int env_mkdirat(struct env *env, int dir_fd, const char *path, mode_t mode);
MUST_CHECK int env_fstat(struct env *env, int fd, struct stat *ret_stat);
MUST_CHECK int env_fstatat(struct env *env, int dir_fd, const char *path, struct stat *ret_stat);

int64_t env_now_ms(struct env *env);
int64_t env_monotonic_us(struct env *env);
int64_t env_monotonic_ms(struct env *env);
void env_random(struct env *env, void *data, size_t len);
uint64_t env_random_below(struct env *env, uint64_t bound);

/*
 * Reads a whole small file into ret_data. limit: -EFBIG when it is larger.
 */
MUST_CHECK int env_read_file(struct env *env, int dir_fd, const char *path, size_t limit,
			     struct buf *ret_data);

/*
 * Replaces a small file so that after a crash the old or the new content is there: writes
 * NAME.tmp, fsyncs it, renames it over and fsyncs the directory.
 */
MUST_CHECK int env_replace_file(struct env *env, int dir_fd, const char *name,
				struct slice content);
/*
 * The same without making anyone wait for the disk: safe against the end of the process. After a
 * loss of power anything may be there.
 */
MUST_CHECK int env_replace_file_unsynced(struct env *env, int dir_fd, const char *name,
					 struct slice content);

#endif
