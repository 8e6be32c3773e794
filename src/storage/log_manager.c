#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/diag.h"
#include "storage/log_manager_internal.h"
#include "wire/kerr.h"

/*
 * The table of logs is read and written under LOCK_LOG_MANAGER, which is never held across the
 * disk, but for the creation and the deletion of a log: two threads must not make the same one.
 *
 * A clean stop, per directory: every log is flushed and closed, the checkpoints are written, the
 * clean-shutdown mark last. Whatever fails on the way leaves the directory without the mark.
 */

void
log_manager_options_init(struct log_manager_options *options)
{
	*options = (struct log_manager_options){
	    .defaults = log_config_default,
	    .max_open_files = FILE_CACHE_DEFAULT_LIMIT,
	    .retention_check_interval_ms = 300000,
	    .flush_offset_checkpoint_ms = 60000,
	    .flush_start_offset_checkpoint_ms = 60000,
	    .high_watermark_checkpoint_ms = 5000,
	    .producer_expiration_check_ms = 600000,
	    .background_flush_ms = 60000,
	    .background_flush_bytes = (int64_t)64 << 20,
	    .initial_task_delay_ms = 30000,
	    .cleaner_enable = true,
	    .cleaner = {.dedupe_buffer_bytes = 134217728,
			.buffer_load_factor = 0.9,
			.backoff_ms = 15000,
			.io_max_bytes_per_second = 1.7976931348623157e308},
	};
}

/* ---- open ---- */

static void
dir_failed(void *arg, struct log_dir *dir, int error)
{
	struct log_manager *lm = arg;

	metric_set(metrics_get(METRIC_LOG_DIR_OFFLINE, dir->path), 1);
	if (lm->opt.callbacks.dir_failed != NULL)
		lm->opt.callbacks.dir_failed(lm->opt.callback_arg, dir->path, error);
}

static void
recovery_point_lowered(void *arg)
{
	log_manager_checkpoint_soon(arg, CHECKPOINT_DUE_RECOVERY);
}

/* Like mkdir -p. */
static int
make_dirs(struct env *env, const char *path)
{
	char copy[PATH_MAX];
	struct stat stat;
	int st;

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	if (env_fstatat(env, AT_FDCWD, path, &stat) == 0)
		return 0;
	memcpy(copy, path, strlen(path) + 1);
	for (char *p = copy + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (env_fstatat(env, AT_FDCWD, copy, &stat) != 0) {
			st = env_mkdirat(env, AT_FDCWD, copy, 0755);
			if (st != 0 && st != -EEXIST)
				return st;
		}
		*p = '/';
	}
	st = env_mkdirat(env, AT_FDCWD, copy, 0755);
	return st == -EEXIST ? 0 : st;
}

/*
 * The lock that Kafka takes. An open file description's lock keeps out a Java broker as well as
 * another one of ours, also within one process.
 */
static int
take_lock(struct env *env, struct managed_dir *md)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = env_openat(env, md->dir.fd, ".lock", O_RDWR | O_CREAT, 0644);

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
		env_close(env, fd);
		return errno == EAGAIN || errno == EACCES ? -EWOULDBLOCK : -errno;
	}
	md->lock_fd = fd;
	return 0;
}

static int
open_dir(struct log_manager *lm, struct managed_dir *md)
{
	struct env *env = lm->opt.env;
	int st = make_dirs(env, md->dir.path);

	if (st != 0)
		return st;
	st = env_openat(env, AT_FDCWD, md->dir.path, O_RDONLY | O_DIRECTORY, 0);
	if (st < 0)
		return st;
	md->dir.fd = st;
	return take_lock(env, md);
}

/* Is the directory one of those before it, perhaps under another name? */
static bool
is_repeated(struct log_manager *lm, size_t index)
{
	struct stat own, other;

	if (env_fstat(lm->opt.env, lm->dirs[index].dir.fd, &own) != 0)
		return false;
	for (size_t i = 0; i < index; i++) {
		if (lm->dirs[i].dir.fd >= 0 &&
		    env_fstat(lm->opt.env, lm->dirs[i].dir.fd, &other) == 0 &&
		    own.st_dev == other.st_dev && own.st_ino == other.st_ino)
			return true;
	}
	return false;
}

static int
open_dirs(struct log_manager *lm, const char **ret_dir)
{
	size_t online = 0;
	int error = 0;

	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];
		int st = open_dir(lm, md);

		*ret_dir = lm->opt.dirs[i];
		if (st == -EWOULDBLOCK)
			return is_repeated(lm, i) ? -EEXIST : st;
		if (st == -ENOMEM)
			return st;
		metric_set(metrics_get(METRIC_LOG_DIR_OFFLINE, md->dir.path), st != 0);
		if (st == 0) {
			online++;
			continue;
		}
		error = st;
		diag_error(DIAG_STORAGE, "log directory cannot be used", "dir=%s error=%s",
			   md->dir.path, strerror(-st));
		atomic_store(&md->dir.error, -st);
	}
	if (online == 0)
		return error != 0 ? error : -ENOENT;
	for (size_t i = 0; i < lm->dir_count; i++)
		log_dir_report(&lm->dirs[i].dir);
	return 0;
}

static void
read_boot_id(struct log_manager *lm)
{
	struct buf text = {0};

	if (lm->opt.boot_id != NULL) {
		snprintf(lm->boot_id, sizeof(lm->boot_id), "%s", lm->opt.boot_id);
	} else if (env_read_file(env_system(), AT_FDCWD, "/proc/sys/kernel/random/boot_id",
				 sizeof(lm->boot_id) - 1, &text) == 0) {
		memcpy(lm->boot_id, text.data, text.len);
		lm->boot_id[strcspn(lm->boot_id, "\n")] = '\0';
	}
	buf_fini(&text);
}

static void
close_dirs(struct log_manager *lm)
{
	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (md->lock_fd >= 0)
			env_close(lm->opt.env, md->lock_fd);
		if (md->dir.fd >= 0)
			env_close(lm->opt.env, md->dir.fd);
		md->lock_fd = md->dir.fd = -1;
		offset_table_fini(&md->recovery_points);
		offset_table_fini(&md->log_starts);
		offset_table_fini(&md->high_watermarks);
		offset_table_fini(&md->cleaner_offsets);
		log_manager_drop_waiting(md);
	}
}

static void
free_manager(struct log_manager *lm)
{
	close_dirs(lm);
	for (size_t i = 0; i < lm->dir_count; i++)
		free(lm->dirs[i].dir.path);
	free(lm->dirs);
	map_fini(&lm->logs);
	map_fini(&lm->futures);
	map_fini(&lm->unready);
	trash_close(lm->ctx.trash);
	file_cache_close(lm->ctx.files);
	log_jobs_fini(&lm->jobs);
	pthread_cond_destroy(&lm->loading_ended);
	pthread_cond_destroy(&lm->checkpoints_written);
	lock_fini(&lm->lock);
	free(lm);
}

/* As Java's toAbsolutePath() has it, malloc()ed: links and dots stay, slashes do not repeat. */
static char *
absolute_path(const char *path)
{
	char cwd[PATH_MAX] = "";
	struct buf text = {0};
	size_t kept = 0;

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return strdup(path);
	buf_printf(&text, "%s/%s", cwd, path);
	if (buf_text(&text) == NULL)
		return NULL;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] != '/' || kept == 0 || text.data[kept - 1] != '/')
			text.data[kept++] = text.data[i];
	if (kept > 1 && text.data[kept - 1] == '/')
		kept--;
	text.data[kept] = '\0';
	return (char *)text.data;
}

static int
init_manager(struct log_manager *lm, const struct log_manager_options *options)
{
	int st;

	lm->opt = *options;
	lm->cleaner = options->cleaner;
	lock_init(&lm->lock, LOCK_LOG_MANAGER);
	pthread_cond_init(&lm->loading_ended, NULL);
	pthread_cond_init(&lm->checkpoints_written, NULL);
	log_jobs_init(&lm->jobs);
	log_metrics_init(&lm->ctx.metrics);
	lm->ctx.env = options->env;
	lm->ctx.workers = options->workers;
	lm->ctx.dir_failed = dir_failed;
	lm->ctx.recovery_point_lowered = recovery_point_lowered;
	lm->ctx.arg = lm;
	lm->ctx.jobs = &lm->jobs;
	lm->dirs = calloc(options->dir_count, sizeof(*lm->dirs));
	if (lm->dirs == NULL)
		return -ENOMEM;
	for (; lm->dir_count < options->dir_count; lm->dir_count++) {
		struct managed_dir *md = &lm->dirs[lm->dir_count];

		md->lock_fd = md->dir.fd = -1;
		md->dir.ctx = &lm->ctx;
		md->dir.path = absolute_path(options->dirs[lm->dir_count]);
		if (md->dir.path == NULL)
			return -ENOMEM;
	}
	st = file_cache_open(options->env, options->max_open_files, &lm->ctx.files);
	return st != 0 ? st : trash_open(options->env, &lm->ctx.trash);
}

int
log_manager_open(const struct log_manager_options *options, struct log_manager **ret_manager,
		 const char **ret_dir)
{
	struct log_manager *lm = calloc(1, sizeof(*lm));
	const char *dir = NULL;
	int st;

	if (lm == NULL)
		return -ENOMEM;
	st = init_manager(lm, options);
	if (st == 0)
		st = open_dirs(lm, &dir);
	if (st != 0) {
		if (ret_dir != NULL)
			*ret_dir = dir;
		free_manager(lm);
		return st;
	}
	read_boot_id(lm);
	log_manager_add_collectors(lm);
	*ret_manager = lm;
	return 0;
}

/* ---- the table ---- */

static void
format_name(char *name, const char *topic, int32_t partition)
{
	snprintf(name, NAME_MAX + 1, "%s-%" PRId32, topic, partition);
}

static struct log *
find_in(struct log_manager *lm, const struct map *logs, const char *topic, int32_t partition)
{
	char name[NAME_MAX + 1];
	struct log *log;

	format_name(name, topic, partition);
	lock_acquire(&lm->lock);
	log = map_get_text(logs, name);
	if (log != NULL)
		log_get(log);
	lock_release(&lm->lock);
	return log;
}

struct log *
log_manager_find(struct log_manager *lm, const char *topic, int32_t partition)
{
	return find_in(lm, &lm->logs, topic, partition);
}

struct log *
log_manager_find_future(struct log_manager *lm, const char *topic, int32_t partition)
{
	return find_in(lm, &lm->futures, topic, partition);
}

size_t
log_manager_count(struct log_manager *lm)
{
	size_t count;

	lock_acquire(&lm->lock);
	count = lm->logs.count;
	lock_release(&lm->lock);
	return count;
}

struct log **
log_manager_list(struct log_manager *lm, bool futures, size_t *ret_count)
{
	struct map_iter iter = {0};
	struct log **logs, *log;
	size_t n = 0;

	lock_acquire(&lm->lock);
	logs = calloc(lm->logs.count + lm->futures.count + 1, sizeof(struct log *));
	while (logs != NULL && (log = map_next(&lm->logs, &iter)) != NULL)
		logs[n++] = log_get(log);
	iter = (struct map_iter){0};
	while (logs != NULL && futures && (log = map_next(&lm->futures, &iter)) != NULL)
		logs[n++] = log_get(log);
	lock_release(&lm->lock);
	*ret_count = n;
	return logs;
}

void
log_manager_free_list(struct log **logs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		log_put(logs[i]);
	free(logs);
}

static void
each(struct log_manager *lm, bool futures, void (*fn)(void *arg, struct log *log), void *arg)
{
	size_t count;
	struct log **logs = log_manager_list(lm, futures, &count);

	for (size_t i = 0; i < count; i++)
		fn(arg, logs[i]);
	log_manager_free_list(logs, count);
}

void
log_manager_each(struct log_manager *lm, void (*fn)(void *arg, struct log *log), void *arg)
{
	each(lm, false, fn, arg);
}

void
log_manager_each_or_future(struct log_manager *lm, void (*fn)(void *arg, struct log *log),
			   void *arg)
{
	each(lm, true, fn, arg);
}

static struct managed_dir *
managed(struct log_manager *lm, const struct log_dir *dir)
{
	for (size_t i = 0; i < lm->dir_count; i++) {
		if (&lm->dirs[i].dir == dir)
			return &lm->dirs[i];
	}
	return NULL;
}

static bool
goes_before(const struct managed_dir *a, const struct managed_dir *b)
{
	bool a_full = atomic_load(&a->lacks_room), b_full = atomic_load(&b->lacks_room);

	return a_full != b_full ? b_full : a->log_count < b->log_count;
}

/*
 * The online directory with the fewest logs, of those that have room if any has; *ret_any_offline:
 * not all are online.
 */
static struct managed_dir *
choose_dir(struct log_manager *lm, bool *ret_any_offline)
{
	struct managed_dir *best = NULL;

	*ret_any_offline = false;
	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (log_dir_is_offline(&md->dir))
			*ret_any_offline = true;
		else if (best == NULL || goes_before(md, best))
			best = md;
	}
	return best;
}

/* Under the lock: makes and enters a log. */
static int
create(struct log_manager *lm, const char *topic, int32_t partition, bool is_new,
       const struct log_config *config, struct log **ret_log)
{
	struct managed_dir *md;
	struct log *log;
	bool any_offline;
	int st;

	do {
		md = choose_dir(lm, &any_offline);
		if (md == NULL || (any_offline && !is_new))
			return K_KAFKA_STORAGE_ERROR;
		st = log_create(&md->dir, topic, partition, config, &log);
	} while (log_manager_is_full(st) && !atomic_exchange(&md->lacks_room, true));
	if (st != 0)
		return log_dir_judge(&md->dir, st, "creating a log", topic);
	if (map_put_text(&lm->logs, log_name(log), log, NULL) != 0) {
		log_put(log);
		return -ENOMEM;
	}
	md->log_count++;
	atomic_store(&md->dir.recovery_points_changed, true);
	atomic_store(&md->dir.high_watermarks_changed, true);
	metric_set(metrics_get(METRIC_LOG_COUNT, ""), (int64_t)lm->logs.count);
	*ret_log = log_get(log);
	return 0;
}

void
log_manager_configure(struct log_manager *lm, const char *topic, struct log_config *ret_config)
{
	*ret_config = lm->opt.defaults;
	if (lm->opt.callbacks.configure != NULL)
		lm->opt.callbacks.configure(lm->opt.callback_arg, topic, ret_config);
}

/*
 * Under the lock: takes the partition's lines out of the checkpoints. True when there were any:
 * they tell of a log that is gone, and must not be found beside a new one of that name.
 */
static bool
forget_lines(struct log_manager *lm, const char *topic, int32_t partition)
{
	bool any = false;
	int64_t offset;

	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (offset_table_get(&md->recovery_points, topic, partition, &offset) ||
		    offset_table_get(&md->log_starts, topic, partition, &offset) ||
		    offset_table_get(&md->high_watermarks, topic, partition, &offset) ||
		    offset_table_get(&md->cleaner_offsets, topic, partition, &offset))
			md->removals++;
		offset_table_remove(&md->recovery_points, topic, partition);
		offset_table_remove(&md->log_starts, topic, partition);
		offset_table_remove(&md->high_watermarks, topic, partition);
		offset_table_remove(&md->cleaner_offsets, topic, partition);
		if (md->removals == md->removals_written)
			continue;
		any |= !log_dir_is_offline(&md->dir);
		atomic_store(&md->dir.recovery_points_changed, true);
		atomic_store(&md->dir.log_starts_changed, true);
		atomic_store(&md->dir.high_watermarks_changed, true);
		atomic_store(&md->dir.cleaner_offsets_changed, true);
	}
	return any;
}

int
log_manager_get_or_create(struct log_manager *lm, const char *topic, int32_t partition,
			  const struct uuid *topic_id, bool is_new, struct log **ret_log)
{
	struct log *log = log_manager_find(lm, topic, partition);
	struct log_config config;
	char name[NAME_MAX + 1];
	bool stale;
	int st = 0;

	format_name(name, topic, partition);
	while (log == NULL && st == 0) {
		log_manager_configure(lm, topic, &config);
		lock_acquire(&lm->lock);
		stale = false;
		log = map_get_text(&lm->logs, name);
		if (log != NULL)
			log_get(log);
		else if (map_get_text(&lm->unready, name) != NULL)
			st = lm->all_loaded ? K_KAFKA_STORAGE_ERROR : -EBUSY;
		else if (!(stale = forget_lines(lm, topic, partition)))
			st = create(lm, topic, partition, is_new, &config, &log);
		lock_release(&lm->lock);
		if (stale)
			st = log_manager_write_checkpoints(lm, CHECKPOINT_DUE_ALL);
	}
	for (size_t i = 0; i < lm->dir_count; i++)
		log_dir_report(&lm->dirs[i].dir);
	if (st == 0 && topic_id != NULL && !uuid_is_zero(topic_id)) {
		st = log_assign_topic_id(log, topic_id);
		if (log_manager_is_full(st))
			atomic_store(&managed(lm, log->dir)->lacks_room, true);
		if (st != 0)
			log_put(log);
	}
	if (st == 0)
		*ret_log = log;
	return st;
}

int
log_manager_delete(struct log_manager *lm, const char *topic, int32_t partition)
{
	char name[NAME_MAX + 1];
	struct log *log;
	int st;

	format_name(name, topic, partition);
	lock_acquire(&lm->lock);
	log = map_remove_text(&lm->logs, name);
	if (log != NULL) {
		/* No checkpoint may put the lines back. */
		atomic_store(&log->gone, true);
		managed(lm, log->dir)->log_count--;
		(void)forget_lines(lm, topic, partition);
		metric_set(metrics_get(METRIC_LOG_COUNT, ""), (int64_t)lm->logs.count);
	}
	lock_release(&lm->lock);
	if (log == NULL)
		return 0;
	diag_info(DIAG_STORAGE, "deleting log", "partition=%s dir=%s", name, log->dir->path);
	st = log_delete(log);
	log_put(log);
	log_manager_checkpoint_soon(lm, CHECKPOINT_DUE_ALL);
	return st;
}

/* ---- what is known of the directories ---- */

int64_t
log_manager_checkpointed_high_watermark(struct log_manager *lm, const char *topic,
					int32_t partition)
{
	int64_t offset = 0;

	lock_acquire(&lm->lock);
	for (size_t i = 0; i < lm->dir_count; i++) {
		if (offset_table_get(&lm->dirs[i].high_watermarks, topic, partition, &offset))
			break;
	}
	lock_release(&lm->lock);
	return offset;
}

size_t
log_manager_dir_count(const struct log_manager *lm)
{
	return lm->dir_count;
}

void
log_manager_dir_info(struct log_manager *lm, size_t index, struct log_dir_info *ret_info)
{
	const struct log_dir *dir = &lm->dirs[index].dir;
	struct statvfs fs;

	*ret_info = (struct log_dir_info){
	    .path = dir->path,
	    .error = atomic_load(&((struct log_dir *)dir)->error),
	    .total_bytes = -1,
	    .usable_bytes = -1,
	};
	if (dir->fd >= 0 && fstatvfs(dir->fd, &fs) == 0) {
		ret_info->total_bytes = (int64_t)(fs.f_blocks * fs.f_frsize);
		ret_info->usable_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	}
}

/* ---- close ---- */

struct closing {
	struct log_manager *lm;
	struct log *log;
	bool clean;
};

static void
close_job(void *arg)
{
	struct closing *c = arg;
	struct log_manager *lm = c->lm;

	if (log_close(c->log, c->clean) != 0) {
		lock_acquire(&lm->lock);
		managed(lm, c->log->dir)->failed_logs++;
		lock_release(&lm->lock);
	}
	log_put(c->log);
	free(c);
	log_jobs_end(&lm->jobs);
}

static int
write_mark(struct env *env, const struct managed_dir *md)
{
	static const char mark[] = "{\"version\":0,\"brokerEpoch\":-1}";

	return env_replace_file(env, md->dir.fd, CLEAN_SHUTDOWN_MARK,
				(struct slice){(const uint8_t *)mark, sizeof(mark) - 1});
}

static void
close_logs(struct log_manager *lm, bool clean)
{
	size_t count;
	struct log **logs = log_manager_list(lm, true, &count);

	for (size_t i = 0; i < count; i++) {
		struct closing *c = malloc(sizeof(*c));

		if (c == NULL) {
			atomic_store(&logs[i]->gone, true);
			managed(lm, logs[i]->dir)->failed_logs++;
			continue;
		}
		*c = (struct closing){lm, log_get(logs[i]), clean};
		log_jobs_submit(&lm->ctx, close_job, c);
	}
	log_manager_free_list(logs, count);
	log_jobs_wait(&lm->jobs);
}

/* Gives the table's references back. True when nobody else holds a log. */
static bool
drop_logs(struct log_manager *lm)
{
	struct map *tables[] = {&lm->logs, &lm->futures};
	bool all_free = true;

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		struct map_iter iter = {0};
		struct log *log;

		while ((log = map_next(tables[t], &iter)) != NULL) {
			atomic_store(&log->gone, true);
			if (atomic_load(&log->refs) > 1)
				all_free = false;
			log_put(log);
		}
		map_fini(tables[t]);
		*tables[t] = (struct map){0};
	}
	return all_free;
}

void
log_manager_close(struct log_manager *lm, bool clean)
{
	bool all_free;

	if (lm == NULL)
		return;
	atomic_store(&lm->closing, true);
	log_manager_wait_loaded(lm);
	log_jobs_wait(&lm->jobs);
	metrics_remove_collectors(lm);
	close_logs(lm, clean);
	if (clean && log_manager_write_checkpoints(lm, CHECKPOINT_DUE_ALL) != 0)
		clean = false;
	for (size_t i = 0; i < lm->dir_count && clean; i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (log_dir_is_offline(&md->dir) || md->failed_logs > 0)
			continue;
		if (log_dir_judge(&md->dir, write_mark(lm->opt.env, md), "marking a clean shutdown",
				  "") != 0)
			log_dir_report(&md->dir);
	}
	all_free = drop_logs(lm);
	trash_close(lm->ctx.trash);
	lm->ctx.trash = NULL;
	if (all_free && file_cache_is_unused(lm->ctx.files)) {
		free_manager(lm);
	} else {
		/* Someone still reads: the memory stays, the directories are given free. */
		close_dirs(lm);
	}
}
