#include "base/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The machine itself: each returns what the call returns, or -errno. */

static int
system_openat(struct env *env, int dir_fd, const char *path, int flags, mode_t mode)
{
	int fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);

	(void)env;
	return fd < 0 ? -errno : fd;
}

static int
system_close(struct env *env, int fd)
{
	(void)env;
	return close(fd) != 0 ? -errno : 0;
}

static ssize_t
system_pread(struct env *env, int fd, void *data, size_t len, off_t pos)
{
	ssize_t n = pread(fd, data, len, pos);

	(void)env;
	return n < 0 ? -errno : n;
}

static ssize_t
system_pwritev(struct env *env, int fd, const struct iovec *iov, int count, off_t pos)
{
	ssize_t n = pwritev(fd, iov, count, pos);

	(void)env;
	return n < 0 ? -errno : n;
}

static int
system_ftruncate(struct env *env, int fd, off_t len)
{
	(void)env;
	return ftruncate(fd, len) != 0 ? -errno : 0;
}

static int
system_fallocate(struct env *env, int fd, off_t pos, off_t len)
{
	(void)env;
	return -posix_fallocate(fd, pos, len);
}

static int
system_fsync(struct env *env, int fd)
{
	(void)env;
	return fsync(fd) != 0 ? -errno : 0;
}

static int
system_fdatasync(struct env *env, int fd)
{
	(void)env;
	return fdatasync(fd) != 0 ? -errno : 0;
}

static int
system_renameat(struct env *env, int dir_fd, const char *from, int to_dir_fd, const char *to)
{
	(void)env;
	return renameat(dir_fd, from, to_dir_fd, to) != 0 ? -errno : 0;
}

static int
system_unlinkat(struct env *env, int dir_fd, const char *path, int flags)
{
	(void)env;
	return unlinkat(dir_fd, path, flags) != 0 ? -errno : 0;
}

static int
system_mkdirat(struct env *env, int dir_fd, const char *path, mode_t mode)
{
	(void)env;
	return mkdirat(dir_fd, path, mode) != 0 ? -errno : 0;
}

static int
system_fstat(struct env *env, int fd, struct stat *ret_stat)
{
	(void)env;
	return fstat(fd, ret_stat) != 0 ? -errno : 0;
}

static int
system_fstatat(struct env *env, int dir_fd, const char *path, struct stat *ret_stat)
{
	(void)env;
	return fstatat(dir_fd, path, ret_stat, AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
}

static int64_t
system_now_ms(struct env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
system_monotonic_us(struct env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
system_random(struct env *env, void *data, size_t len)
{
	uint8_t *at = data;

	(void)env;
	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* a kernel without randomness */
		}
		at += n;
		len -= (size_t)n;
	}
}

const struct env_ops env_system_ops = {
    .openat = system_openat,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .ftruncate = system_ftruncate,
    .fallocate = system_fallocate,
    .fsync = system_fsync,
    .fdatasync = system_fdatasync,
    .renameat = system_renameat,
    .unlinkat = system_unlinkat,
    .mkdirat = system_mkdirat,
    .fstat = system_fstat,
    .fstatat = system_fstatat,
    .now_ms = system_now_ms,
    .monotonic_us = system_monotonic_us,
    .random = system_random,
};

struct env *
env_system(void)
{
	static struct env env = {&env_system_ops};

	return &env;
}

/* Repeats a call while a signal interrupts it. */
#define RETRY(call)                                                                                \
	({                                                                                         \
		__typeof__(call) retry_st;                                                         \
		do                                                                                 \
			retry_st = (call);                                                         \
		while (retry_st == -EINTR);                                                        \
		retry_st;                                                                          \
	})

int
env_openat(struct env *env, int dir_fd, const char *path, int flags, mode_t mode)
{
	return RETRY(env->ops->openat(env, dir_fd, path, flags, mode));
}

int
env_close(struct env *env, int fd)
{
	return env->ops->close(env, fd);
}

ssize_t
env_pread(struct env *env, int fd, void *data, size_t len, off_t pos)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = RETRY(
		    env->ops->pread(env, fd, (char *)data + done, len - done, pos + (off_t)done));

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
env_pwritev(struct env *env, int fd, struct iovec *iov, int count, off_t pos)
{
	while (count > 0) {
		ssize_t n = RETRY(env->ops->pwritev(env, fd, iov, count, pos));

		if (n < 0)
			return (int)n;
		pos += n;
		while (count > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int
env_pwrite(struct env *env, int fd, const void *data, size_t len, off_t pos)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};

	return env_pwritev(env, fd, &iov, 1, pos);
}

int
env_ftruncate(struct env *env, int fd, off_t len)
{
	return RETRY(env->ops->ftruncate(env, fd, len));
}

int
env_fallocate(struct env *env, int fd, off_t pos, off_t len)
{
	return RETRY(env->ops->fallocate(env, fd, pos, len));
}

int
env_fsync(struct env *env, int fd)
{
	return RETRY(env->ops->fsync(env, fd));
}

int
env_fdatasync(struct env *env, int fd)
{
	return RETRY(env->ops->fdatasync(env, fd));
}

int
env_renameat(struct env *env, int dir_fd, const char *from, int to_dir_fd, const char *to)
{
	return env->ops->renameat(env, dir_fd, from, to_dir_fd, to);
}

int
env_unlinkat(struct env *env, int dir_fd, const char *path, int flags)
{
	return env->ops->unlinkat(env, dir_fd, path, flags);
}

int
env_mkdirat(struct env *env, int dir_fd, const char *path, mode_t mode)
{
	return env->ops->mkdirat(env, dir_fd, path, mode);
}

int
env_fstat(struct env *env, int fd, struct stat *ret_stat)
{
	return env->ops->fstat(env, fd, ret_stat);
}

int
env_fstatat(struct env *env, int dir_fd, const char *path, struct stat *ret_stat)
{
	return env->ops->fstatat(env, dir_fd, path, ret_stat);
}

int64_t
env_now_ms(struct env *env)
{
	return env->ops->now_ms(env);
}

int64_t
env_monotonic_us(struct env *env)
{
	return env->ops->monotonic_us(env);
}

int64_t
env_monotonic_ms(struct env *env)
{
	return env->ops->monotonic_us(env) / 1000;
}

void
env_random(struct env *env, void *data, size_t len)
{
	env->ops->random(env, data, len);
}

uint64_t
env_random_below(struct env *env, uint64_t bound)
{
	uint64_t v;

	env_random(env, &v, sizeof(v));
	return bound == 0 ? 0 : v % bound;
}

int
env_read_file(struct env *env, int dir_fd, const char *path, size_t limit, struct buf *ret_data)
{
	struct buf data = {0};
	ssize_t n;
	int fd, st;

	fd = env_openat(env, dir_fd, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	do {
		uint8_t *room = buf_reserve(&data, 4096);

		st = -ENOMEM;
		if (room == NULL)
			goto out;
		n = env_pread(env, fd, room, 4096, (off_t)data.len);
		st = (int)n;
		if (n < 0)
			goto out;
		data.len += (size_t)n;
		st = -EFBIG;
		if (data.len > limit)
			goto out;
	} while (n > 0);
	st = 0;
	*ret_data = data;
	data = (struct buf){0};
out:
	buf_fini(&data);
	env_close(env, fd);
	return st;
}

static int
sync_dir(struct env *env, int dir_fd)
{
	int fd = env_openat(env, dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	int st;

	if (fd < 0)
		return fd;
	st = env_fsync(env, fd);
	env_close(env, fd);
	return st;
}

static int
replace_file(struct env *env, int dir_fd, const char *name, struct slice content, bool sync)
{
	struct buf tmp = {0};
	const char *tmp_name;
	int fd, st;

	buf_printf(&tmp, "%s.tmp", name);
	tmp_name = buf_text(&tmp);
	if (tmp_name == NULL) {
		buf_fini(&tmp);
		return -ENOMEM;
	}
	fd = env_openat(env, dir_fd, tmp_name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	st = fd;
	if (fd < 0)
		goto out;
	st = env_pwrite(env, fd, content.data, content.len, 0);
	if (st == 0 && sync)
		st = env_fsync(env, fd);
	env_close(env, fd);
	if (st == 0)
		st = env_renameat(env, dir_fd, tmp_name, dir_fd, name);
	if (st != 0)
		env_unlinkat(env, dir_fd, tmp_name, 0);
	else if (sync)
		st = sync_dir(env, dir_fd);
out:
	buf_fini(&tmp);
	return st;
}

int
env_replace_file(struct env *env, int dir_fd, const char *name, struct slice content)
{
	return replace_file(env, dir_fd, name, content, true);
}

int
env_replace_file_unsynced(struct env *env, int dir_fd, const char *name, struct slice content)
{
	return replace_file(env, dir_fd, name, content, false);
}
