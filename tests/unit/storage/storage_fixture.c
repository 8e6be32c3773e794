#include "tests/unit/storage/storage_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "wire/record_batch_builder.h"

/* ---- the machine ---- */

static struct machine *
machine_of(struct env *env)
{
	return (struct machine *)env;
}

/* True when this call is to fail; *ret_error with what. */
static bool
fails(struct machine *m, int *ret_error)
{
	int64_t n;

	if (atomic_load(&m->dead)) {
		*ret_error = -EIO;
		return true;
	}
	n = atomic_fetch_add(&m->calls, 1);
	if (n != atomic_load(&m->fail_at))
		return false;
	if (atomic_load(&m->kill))
		atomic_store(&m->dead, true);
	*ret_error = -atomic_load(&m->fail_error);
	return true;
}

static int
machine_openat(struct env *env, int dir_fd, const char *path, int flags, mode_t mode)
{
	int error;

	return fails(machine_of(env), &error)
		   ? error
		   : env_system_ops.openat(env, dir_fd, path, flags, mode);
}

static int
machine_close(struct env *env, int fd)
{
	return env_system_ops.close(env, fd);
}

static ssize_t
machine_pread(struct env *env, int fd, void *data, size_t len, off_t pos)
{
	int error;

	return fails(machine_of(env), &error) ? error
					      : env_system_ops.pread(env, fd, data, len, pos);
}

static ssize_t
machine_pwritev(struct env *env, int fd, const struct iovec *iov, int count, off_t pos)
{
	struct machine *m = machine_of(env);
	size_t len = 0;
	int64_t room;
	int error;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (fails(m, &error)) {
		if (atomic_load(&m->tear) && iov[0].iov_len > 1) {
			struct iovec half = {iov[0].iov_base, iov[0].iov_len / 2};

			(void)env_system_ops.pwritev(env, fd, &half, 1, pos);
		}
		return error;
	}
	room = atomic_load(&m->room_bytes);
	if ((int64_t)len > room) {
		struct iovec part = {iov[0].iov_base, (size_t)room};

		atomic_store(&m->room_bytes, 0);
		if (room == 0 || iov[0].iov_len < (size_t)room)
			return -ENOSPC;
		return env_system_ops.pwritev(env, fd, &part, 1, pos);
	}
	if (room != INT64_MAX)
		atomic_fetch_sub(&m->room_bytes, (int64_t)len);
	return env_system_ops.pwritev(env, fd, iov, count, pos);
}

static int
machine_ftruncate(struct env *env, int fd, off_t len)
{
	int error;

	return fails(machine_of(env), &error) ? error : env_system_ops.ftruncate(env, fd, len);
}

static int
machine_fallocate(struct env *env, int fd, off_t pos, off_t len)
{
	int error;

	return fails(machine_of(env), &error) ? error : env_system_ops.fallocate(env, fd, pos, len);
}

/* Nothing is really flushed: the tests' disk is the page cache. */
static int
machine_fsync(struct env *env, int fd)
{
	struct machine *m = machine_of(env);
	int error;

	(void)fd;
	if (fails(m, &error))
		return error;
	atomic_fetch_add(&m->flushes, 1);
	while (atomic_load(&m->flushes_pause))
		sched_yield();
	return 0;
}

static int
machine_renameat(struct env *env, int dir_fd, const char *from, int to_dir_fd, const char *to)
{
	int error;

	return fails(machine_of(env), &error)
		   ? error
		   : env_system_ops.renameat(env, dir_fd, from, to_dir_fd, to);
}

static int
machine_unlinkat(struct env *env, int dir_fd, const char *path, int flags)
{
	int error;

	return fails(machine_of(env), &error) ? error
					      : env_system_ops.unlinkat(env, dir_fd, path, flags);
}

static int
machine_mkdirat(struct env *env, int dir_fd, const char *path, mode_t mode)
{
	int error;

	return fails(machine_of(env), &error) ? error
					      : env_system_ops.mkdirat(env, dir_fd, path, mode);
}

static int
machine_fstat(struct env *env, int fd, struct stat *ret_stat)
{
	int error;

	return fails(machine_of(env), &error) ? error : env_system_ops.fstat(env, fd, ret_stat);
}

static int
machine_fstatat(struct env *env, int dir_fd, const char *path, struct stat *ret_stat)
{
	int error;

	return fails(machine_of(env), &error) ? error
					      : env_system_ops.fstatat(env, dir_fd, path, ret_stat);
}

static int64_t
machine_now_ms(struct env *env)
{
	return atomic_load(&machine_of(env)->now_ms);
}

static int64_t
machine_monotonic_us(struct env *env)
{
	return atomic_load(&machine_of(env)->monotonic_us);
}

static void
machine_random(struct env *env, void *data, size_t len)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		uint64_t z = atomic_fetch_add(&machine_of(env)->random, 0x9e3779b97f4a7c15u);

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		bytes[i] = (uint8_t)(z >> 40);
	}
}

static const struct env_ops machine_ops = {
    .openat = machine_openat,
    .close = machine_close,
    .pread = machine_pread,
    .pwritev = machine_pwritev,
    .ftruncate = machine_ftruncate,
    .fallocate = machine_fallocate,
    .fsync = machine_fsync,
    .fdatasync = machine_fsync,
    .renameat = machine_renameat,
    .unlinkat = machine_unlinkat,
    .mkdirat = machine_mkdirat,
    .fstat = machine_fstat,
    .fstatat = machine_fstatat,
    .now_ms = machine_now_ms,
    .monotonic_us = machine_monotonic_us,
    .random = machine_random,
};

void
machine_repair(struct machine *m)
{
	atomic_store(&m->fail_at, -1);
	atomic_store(&m->dead, false);
	atomic_store(&m->kill, false);
	atomic_store(&m->tear, false);
	atomic_store(&m->room_bytes, INT64_MAX);
}

void
machine_init(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->env.ops = &machine_ops;
	atomic_store(&m->now_ms, INT64_C(1700000000000));
	atomic_store(&m->monotonic_us, 1000000000);
	machine_repair(m);
}

void
machine_fail_at(struct machine *m, int64_t n, int error)
{
	atomic_store(&m->calls, 0);
	atomic_store(&m->fail_error, error);
	atomic_store(&m->fail_at, n);
}

void
machine_kill_at(struct machine *m, int64_t n, bool tear)
{
	machine_fail_at(m, n, EIO);
	atomic_store(&m->tear, tear);
	atomic_store(&m->kill, true);
}

/* ---- logs ---- */

static void
configure(void *arg, const char *topic, struct log_config *config)
{
	struct storage *s = arg;

	(void)topic;
	*config = s->config;
}

static void
dir_failed(void *arg, const char *dir, int error)
{
	struct storage *s = arg;

	(void)dir;
	(void)error;
	atomic_fetch_add(&s->dir_failures, 1);
}

static void
room_came(void *arg, const char *dir)
{
	struct storage *s = arg;

	(void)dir;
	atomic_fetch_add(&s->rooms_came, 1);
}

static void
log_loaded(void *arg, struct log *log)
{
	struct storage *s = arg;

	size_t done, total;

	(void)log;
	if (atomic_fetch_add(&s->logs_loaded, 1) > 0 || !s->first_loaded_waits)
		return;
	do {
		sched_yield();
		log_manager_progress(s->lm, &done, &total);
	} while (done < total);
}

int
storage_setup(void **state)
{
	struct storage *s = calloc(1, sizeof(*s));
	const char *tmp = getenv("TMPDIR");

	if (s == NULL)
		return -1;
	/* What goes wrong on purpose is not to be read. */
	if (getenv("KLAMM_TEST_DIAG") == NULL)
		diag_set_level(DIAG_STORAGE, DIAG_OFF);
	machine_init(&s->machine);
	snprintf(s->root, sizeof(s->root), "%.30s/klamm-storage-XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(s->root) == NULL || workers_open("storage", 2, &s->workers) != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(s->dirs); i++)
		snprintf(s->dirs[i], sizeof(s->dirs[i]), "%s/%c", s->root, (char)('a' + i));
	s->dir_count = 1;
	s->boot_id = "boot-1";
	s->config = log_config_default;
	*state = s;
	return 0;
}

int
storage_teardown(void **state)
{
	struct storage *s = *state;
	char command[128];

	machine_repair(&s->machine);
	storage_stop(s, false);
	workers_close(s->workers);
	snprintf(command, sizeof(command), "rm -rf %s", s->root);
	if (system(command) != 0)
		return -1;
	free(s);
	return 0;
}

int
storage_try_start(struct storage *s)
{
	struct log_manager_options options;
	const char *dirs[ARRAY_LEN(s->dirs)];
	char message[512] = "";
	int st;

	for (size_t i = 0; i < s->dir_count; i++)
		dirs[i] = s->dirs[i];
	log_manager_options_init(&options);
	options.env = &s->machine.env;
	options.dirs = dirs;
	options.dir_count = s->dir_count;
	options.workers = s->workers;
	options.boot_id = s->boot_id;
	options.callback_arg = s;
	options.callbacks.configure = configure;
	options.callbacks.dir_failed = dir_failed;
	options.callbacks.log_loaded = log_loaded;
	options.callbacks.room_came = room_came;
	options.max_open_files = s->max_open_files;
	options.cleaner_enable = s->cleaner_enable;
	st = log_manager_open(&options, &s->lm, NULL);
	if (st != 0) {
		s->lm = NULL;
		return st;
	}
	st = log_manager_load(s->lm, message, sizeof(message));
	if (st == 0)
		log_manager_wait_loaded(s->lm);
	return st;
}

void
storage_start(struct storage *s)
{
	assert_int_equal(storage_try_start(s), 0);
}

void
storage_stop(struct storage *s, bool clean)
{
	log_manager_close(s->lm, clean);
	s->lm = NULL;
}

void
storage_crash(struct storage *s)
{
	atomic_store(&s->machine.dead, true);
	storage_stop(s, false);
	machine_repair(&s->machine);
}

struct log *
storage_log(struct storage *s)
{
	struct log *log = NULL;

	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, NULL, true, &log), 0);
	return log;
}

void
storage_path(const struct storage *s, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", s->dirs[0], name);
}

void
storage_read_file(const struct storage *s, const char *name, struct buf *ret)
{
	char path[256];

	storage_path(s, name, path, sizeof(path));
	buf_fini(ret);
	assert_int_equal(env_read_file(env_system(), AT_FDCWD, path, SIZE_MAX / 2, ret), 0);
}

void
storage_write_file(const struct storage *s, const char *name, const void *data, size_t len)
{
	char path[256];
	int fd;

	storage_path(s, name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

bool
storage_has_file(const struct storage *s, const char *name)
{
	char path[256];

	storage_path(s, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

int64_t
storage_file_size(const struct storage *s, const char *name)
{
	struct stat stat;
	char path[256];

	storage_path(s, name, path, sizeof(path));
	assert_int_equal(env_fstatat(env_system(), AT_FDCWD, path, &stat), 0);
	return stat.st_size;
}

/* ---- batches ---- */

void
build_batch(const struct batch_spec *spec, struct buf *out)
{
	struct record_batch_builder b;
	int32_t count = spec->count > 0 ? spec->count : 1;
	char *value = malloc(spec->value_bytes + 32);

	record_batch_builder_init(&b, spec->codec, compression_default_level(spec->codec));
	b.base_offset = spec->base_offset;
	b.leader_epoch = spec->leader_epoch;
	b.transactional = spec->transactional;
	if (spec->producer_id != 0) {
		b.producer_id = spec->producer_id;
		b.producer_epoch = spec->producer_epoch;
		b.base_sequence = spec->base_sequence;
	}
	for (int32_t i = 0; i < count; i++) {
		char key[32];
		struct slice k = {(const uint8_t *)key, 0};
		struct slice v = {(const uint8_t *)value, 0};

		k.len = (size_t)snprintf(key, sizeof(key), "k%d", i);
		if (spec->value_bytes > 0) {
			memset(value, 'a' + i % 26, spec->value_bytes);
			v.len = spec->value_bytes;
		} else {
			v.len = (size_t)snprintf(value, 32, "v%d", i);
		}
		if (spec->no_keys)
			k.data = NULL, k.len = 0;
		record_batch_builder_append(
		    &b, spec->timestamp_ms > 0 ? spec->timestamp_ms + i : -1, k, v, NULL, 0);
	}
	assert_int_equal(record_batch_builder_finish(&b, out), 0);
	record_batch_builder_fini(&b);
	free(value);
}

void
build_marker(int64_t producer_id, int16_t epoch, bool abort, int32_t coordinator_epoch,
	     int64_t timestamp_ms, struct buf *out)
{
	const struct end_txn_marker marker = {abort ? CONTROL_ABORT : CONTROL_COMMIT,
					      coordinator_epoch};

	assert_int_equal(end_txn_marker_build(&marker, 0, 0, timestamp_ms, producer_id, epoch, out),
			 0);
}

int
append_bytes(struct log *log, struct buf *bytes, enum log_append_origin origin,
	     struct log_append_result *ret, struct log_append_refusal *ret_refusal)
{
	const struct log_append append = {
	    .records = bytes->data,
	    .len = bytes->len,
	    .origin = origin,
	};
	struct log_append_result unused;
	struct arena arena;
	int st;

	arena_init(&arena, 1 << 20);
	st = log_append_as_leader(log, &append, &arena, ret != NULL ? ret : &unused, ret_refusal);
	arena_fini(&arena);
	return st;
}

int
append_batch(struct log *log, const struct batch_spec *spec, struct log_append_result *ret)
{
	struct buf b = {0};
	int st;

	build_batch(spec, &b);
	st = append_bytes(log, &b, LOG_APPEND_CLIENT, ret, NULL);
	buf_fini(&b);
	return st;
}

int
append_marker(struct log *log, int64_t producer_id, int16_t epoch, bool abort,
	      int32_t coordinator_epoch)
{
	struct buf b = {0};
	int st;

	build_marker(producer_id, epoch, abort, coordinator_epoch, 1700000000100, &b);
	st = append_bytes(log, &b, LOG_APPEND_COORDINATOR, NULL, NULL);
	buf_fini(&b);
	return st;
}

void
append_many(struct log *log, int n)
{
	const struct batch_spec spec = {.timestamp_ms = 1700000000000};

	for (int i = 0; i < n; i++)
		assert_int_equal(append_batch(log, &spec, NULL), 0);
}

int
read_log(struct log *log, int64_t offset, int32_t max_bytes, enum log_isolation isolation,
	 struct log_read *ret_read)
{
	int st = log_read(log, offset, max_bytes, true, isolation, true, ret_read);

	return st == -EAGAIN ? log_read(log, offset, max_bytes, true, isolation, false, ret_read)
			     : st;
}

void
read_all(struct log *log, int64_t offset, enum log_isolation isolation, struct buf *ret)
{
	ret->len = 0;
	for (;;) {
		struct log_read read;
		struct slice rest;
		size_t before = ret->len;
		uint8_t *room;

		assert_int_equal(read_log(log, offset, 1 << 20, isolation, &read), 0);
		if (read.len == 0)
			return;
		room = buf_extend(ret, (size_t)read.len);
		assert_non_null(room);
		assert_int_equal(pread(log_file_fd(read.file), room, (size_t)read.len, read.pos),
				 read.len);
		log_file_put(read.file);
		/* Only whole batches count. */
		rest = (struct slice){ret->data + before, ret->len - before};
		while (rest.len > 0) {
			struct batch_info info;

			if (batch_info_read(rest, &info) != 0)
				break;
			assert_int_equal(
			    batch_check(&info, (struct slice){rest.data, (size_t)info.size_bytes}),
			    0);
			assert_true(info.last_offset >= offset);
			offset = info.last_offset + 1;
			rest.data += info.size_bytes;
			rest.len -= (size_t)info.size_bytes;
		}
		ret->len -= rest.len;
		assert_true(ret->len > before);
	}
}

int64_t
count_records(struct log *log, int64_t offset)
{
	struct buf b = {0};
	struct slice rest;
	int64_t count = 0;

	read_all(log, offset, LOG_READ_LOG_END, &b);
	for (rest = buf_slice(&b); rest.len > 0;) {
		struct batch_info info;

		assert_int_equal(batch_info_read(rest, &info), 0);
		if (count > 0 || offset == 0)
			assert_int_equal(info.base_offset, offset + count);
		else
			offset = info.base_offset;
		count += info.last_offset - info.base_offset + 1;
		rest.data += info.size_bytes;
		rest.len -= (size_t)info.size_bytes;
	}
	buf_fini(&b);
	return count;
}
