#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/properties.h"
#include "storage/log_manager_internal.h"
#include "wire/kerr.h"

/*
 * Loading, per directory, in this order: the clean-shutdown mark is noted and removed; the
 * checkpoints are read; the boot id tells whether the kernel is the same; every log is a job for
 * the workers. When the last log of a directory is there, the boot id is written: not before, since
 * a start that dies half-way must not make the next one believe that all was verified under this
 * kernel.
 */

#define SMALL_FILE_MAX ((size_t)1 << 20)

/* ---- meta.properties ---- */

static int
complain(char *message, size_t size, const struct managed_dir *md, const char *what)
{
	snprintf(message, size, "%s/" META_PROPERTIES ": %s", md->dir.path, what);
	return -EINVAL;
}

/* -ENOENT when there is none. */
static int
read_meta(struct log_manager *lm, struct managed_dir *md, struct properties *ret_props,
	  char *message, size_t size)
{
	struct buf text = {0};
	int line = 0;
	int st = env_read_file(lm->opt.env, md->dir.fd, META_PROPERTIES, SMALL_FILE_MAX, &text);

	if (st == 0)
		st = properties_parse(ret_props, buf_slice(&text), &line);
	buf_fini(&text);
	if (st == -EINVAL)
		return complain(message, size, md, "it cannot be read");
	if (st != 0 && st != -ENOENT && st != -ENOMEM) {
		(void)log_dir_judge(&md->dir, st, "reading meta.properties", "");
		log_dir_report(&md->dir);
		return -ENOENT;
	}
	return st;
}

static bool
parse_broker_id(const char *text, int32_t *ret_id)
{
	char *end;
	long id = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || id > INT32_MAX)
		return false;
	*ret_id = (int32_t)id;
	return true;
}

/* Compares one directory's file with what the ones before it have said. */
static int
merge_meta(struct managed_dir *md, const struct properties *props,
	   struct log_manager_identity *identity, char *message, size_t size)
{
	const char *version = properties_get(props, "version");
	const char *cluster = properties_get(props, "cluster.id");
	const char *broker = properties_get(props, "broker.id");
	int32_t id;

	if (version == NULL || strcmp(version, "0") != 0)
		return complain(message, size, md,
				"its version is not 0, the one that ZooKeeper brokers have");
	if (cluster != NULL) {
		if (strlen(cluster) >= sizeof(identity->cluster_id))
			return complain(message, size, md, "cluster.id is too long");
		if (identity->cluster_id[0] != '\0' && strcmp(identity->cluster_id, cluster) != 0)
			return complain(message, size, md,
					"cluster.id differs from that of another log directory");
		snprintf(identity->cluster_id, sizeof(identity->cluster_id), "%s", cluster);
	}
	if (broker == NULL)
		return 0;
	if (!parse_broker_id(broker, &id))
		return complain(message, size, md, "broker.id is no number of a broker");
	if (identity->broker_id >= 0 && identity->broker_id != id)
		return complain(message, size, md,
				"broker.id differs from that of another log directory");
	identity->broker_id = id;
	return 0;
}

int
log_manager_identity(struct log_manager *lm, struct log_manager_identity *ret_identity,
		     char *message, size_t size)
{
	struct log_manager_identity identity = {.broker_id = -1};
	int st = 0;

	for (size_t i = 0; i < lm->dir_count && st == 0; i++) {
		struct properties props = {0};

		if (log_dir_is_offline(&lm->dirs[i].dir))
			continue;
		st = read_meta(lm, &lm->dirs[i], &props, message, size);
		if (st == 0)
			st = merge_meta(&lm->dirs[i], &props, &identity, message, size);
		else if (st == -ENOENT)
			st = 0;
		properties_fini(&props);
	}
	if (st == 0)
		*ret_identity = identity;
	return st;
}

/* A key or value as Java's Properties.store() writes it. */
static void
append_escaped(struct buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (strchr("\\:=#!", *p) != NULL || (*p == ' ' && p == text))
			buf_append_u8(out, '\\');
		if (*p == '\n')
			buf_printf(out, "\\n");
		else if (*p == '\r')
			buf_printf(out, "\\r");
		else if (*p == '\t')
			buf_printf(out, "\\t");
		else
			buf_append_u8(out, (uint8_t)*p);
	}
}

static int
write_meta(struct log_manager *lm, struct managed_dir *md, const struct properties *props)
{
	time_t now = (time_t)(env_now_ms(lm->opt.env) / 1000);
	struct map_iter iter = {0};
	struct buf text = {0};
	const char *value;
	struct tm tm;
	char date[64];
	int st;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", &tm);
	buf_printf(&text, "#\n#%s\n", date);
	while ((value = map_next(&props->texts, &iter)) != NULL) {
		append_escaped(&text, map_iter_key(&iter).data);
		buf_append_u8(&text, '=');
		append_escaped(&text, value);
		buf_append_u8(&text, '\n');
	}
	st = text.failed
		 ? -ENOMEM
		 : env_replace_file(lm->opt.env, md->dir.fd, META_PROPERTIES, buf_slice(&text));
	buf_fini(&text);
	return st;
}

/* Sets key unless it is there; *changed says whether. -EEXIST: it is there with another value. */
static int
settle_key(struct properties *props, const char *key, const char *value, bool *changed)
{
	const char *old = properties_get(props, key);

	if (old != NULL)
		return strcmp(old, value) == 0 ? 0 : -EEXIST;
	*changed = true;
	return properties_set(props, key, value);
}

static int
settle_identity(struct log_manager *lm, struct managed_dir *md, const char *cluster_id,
		const char *broker_id, char *message, size_t size)
{
	struct properties props = {0};
	bool changed = false;
	int st = read_meta(lm, md, &props, message, size);

	if (st == -ENOENT)
		st = log_dir_is_offline(&md->dir) ? -ENOENT
						  : settle_key(&props, "version", "0", &changed);
	if (st == 0) {
		st = settle_key(&props, "cluster.id", cluster_id, &changed);
		if (st == -EEXIST)
			st = complain(message, size, md, "it belongs to another cluster");
	}
	if (st == 0) {
		st = settle_key(&props, "broker.id", broker_id, &changed);
		if (st == -EEXIST)
			st = complain(message, size, md, "it belongs to another broker");
	}
	if (st == 0 && changed) {
		st = write_meta(lm, md, &props);
		if (st != 0 && st != -ENOMEM)
			st = log_dir_judge(&md->dir, st, "writing meta.properties", "");
	}
	properties_fini(&props);
	log_dir_report(&md->dir);
	return st;
}

int
log_manager_write_identity(struct log_manager *lm, const char *cluster_id, int32_t broker_id,
			   char *message, size_t size)
{
	char broker[16];

	snprintf(broker, sizeof(broker), "%" PRId32, broker_id);
	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];
		int st;

		if (log_dir_is_offline(&md->dir))
			continue;
		st = settle_identity(lm, md, cluster_id, broker, message, size);
		/* A directory that has just failed is not the broker's end. */
		if (st != 0 && !log_dir_is_offline(&md->dir)) {
			if (st != -EINVAL)
				snprintf(message, size, "%s: %s", md->dir.path,
					 strerror(st < 0 ? -st : EIO));
			return st < 0 ? st : -EIO;
		}
	}
	return 0;
}

/* ---- names of directories ---- */

enum dir_kind { DIR_LOG, DIR_FUTURE, DIR_DELETE, DIR_STRAY, DIR_IGNORED };

struct dir_name {
	enum dir_kind kind;
	char topic[NAME_MAX + 1];
	int32_t partition;
};

static bool
ends_with(const char *text, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(text + len - n, suffix, n) == 0;
}

/* "topic-3", of len bytes. */
static bool
parse_partition(const char *text, size_t len, struct dir_name *ret)
{
	const char *dash = memrchr(text, '-', len);
	size_t digits;
	int64_t partition = 0;

	if (dash == NULL || dash == text)
		return false;
	digits = len - (size_t)(dash + 1 - text);
	if (digits == 0 || digits > 10)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (dash[1 + i] < '0' || dash[1 + i] > '9')
			return false;
		partition = partition * 10 + (dash[1 + i] - '0');
	}
	if (partition > INT32_MAX)
		return false;
	ret->partition = (int32_t)partition;
	memcpy(ret->topic, text, (size_t)(dash - text));
	ret->topic[dash - text] = '\0';
	return true;
}

/* Source: storage-format, section 1. False for a name that is none of Kafka's. */
static bool
parse_dir_name(const char *name, struct dir_name *ret)
{
	static const struct {
		const char *suffix;
		enum dir_kind kind;
	} kinds[] = {{"-delete", DIR_DELETE}, {"-future", DIR_FUTURE}, {"-stray", DIR_STRAY}};
	size_t len = strlen(name);

	if (strcmp(name, "remote-log-index-cache") == 0 ||
	    strcmp(name, "__cluster_metadata-0") == 0) {
		ret->kind = DIR_IGNORED;
		return true;
	}
	ret->kind = DIR_LOG;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *dot;

		if (!ends_with(name, len, kinds[i].suffix))
			continue;
		dot = memrchr(name, '.', len);
		if (dot == NULL || dot == name)
			return false;
		ret->kind = kinds[i].kind;
		return parse_partition(name, (size_t)(dot - name), ret);
	}
	return parse_partition(name, len, ret);
}

/* ---- loading ---- */

struct load_job {
	struct load_job *next;
	struct log_manager *lm;
	struct managed_dir *md;
	char *dir_name;
	char *topic;
	int32_t partition;
	bool future;
	bool again; /* it was told and counted before, when there was no room */
};

static void
free_job(struct load_job *job)
{
	free(job->dir_name);
	free(job->topic);
	free(job);
}

static void
free_jobs(struct load_job *jobs)
{
	while (jobs != NULL) {
		struct load_job *next = jobs->next;

		free_job(jobs);
		jobs = next;
	}
}

static int
boot_stamp(struct log_manager *lm, const struct managed_dir *md, char *stamp, size_t size)
{
	struct stat stat;
	int st = env_fstat(lm->opt.env, md->dir.fd, &stat);

	/* The directory itself belongs to the stamp: a copy of it was never under this kernel. */
	if (st == 0)
		snprintf(stamp, size, "%s %" PRIuMAX ":%" PRIuMAX "\n", lm->boot_id,
			 (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino);
	return st;
}

static int
read_boot_stamp(struct log_manager *lm, struct managed_dir *md)
{
	struct buf text = {0};
	char stamp[160];
	int st;

	st = boot_stamp(lm, md, stamp, sizeof(stamp));
	if (st != 0)
		return st;
	st = env_read_file(lm->opt.env, md->dir.fd, BOOT_ID_FILE, sizeof(stamp), &text);
	md->same_boot = st == 0 && lm->boot_id[0] != '\0' && text.len == strlen(stamp) &&
			memcmp(text.data, stamp, text.len) == 0;
	buf_fini(&text);
	return st == -ENOENT || st == -EFBIG ? 0 : st;
}

static int
write_boot_stamp(struct log_manager *lm, struct managed_dir *md)
{
	char stamp[160];
	int st;

	if (lm->boot_id[0] == '\0' || md->same_boot)
		return 0;
	st = boot_stamp(lm, md, stamp, sizeof(stamp));
	if (st != 0)
		return st;
	/* Not synced: it counts only under this kernel, which has it in its page cache. */
	return env_replace_file_unsynced(lm->opt.env, md->dir.fd, BOOT_ID_FILE,
					 (struct slice){(const uint8_t *)stamp, strlen(stamp)});
}

/* Notes and removes the mark, so that a crash from now on counts as one. */
static int
take_clean_mark(struct log_manager *lm, struct managed_dir *md)
{
	int st = env_unlinkat(lm->opt.env, md->dir.fd, CLEAN_SHUTDOWN_MARK, 0);

	if (st == -ENOENT)
		return 0;
	if (st != 0)
		return st;
	md->clean = true;
	return env_fsync(lm->opt.env, md->dir.fd);
}

static int
read_checkpoints(struct log_manager *lm, struct managed_dir *md)
{
	struct env *env = lm->opt.env;
	int st;

	/* These two only cost time, or show records that were deleted: storage-format, section 9.
	 */
	st = offset_table_read(env, md->dir.fd, CHECKPOINT_RECOVERY_POINT, &md->recovery_points);
	if (st == -EINVAL || st == -EFBIG) {
		diag_warn(DIAG_STORAGE, "recovery points cannot be read: all is recovered",
			  "dir=%s", md->dir.path);
		st = 0;
	}
	if (st == 0)
		st = offset_table_read(env, md->dir.fd, CHECKPOINT_LOG_START, &md->log_starts);
	if (st == -EINVAL || st == -EFBIG) {
		diag_warn(DIAG_STORAGE, "log start offsets cannot be read", "dir=%s", md->dir.path);
		st = 0;
	}
	if (st == 0)
		st = offset_table_read(env, md->dir.fd, CHECKPOINT_CLEANER, &md->cleaner_offsets);
	if (st == -EINVAL || st == -EFBIG) {
		diag_warn(DIAG_STORAGE, "cleaner offsets cannot be read: all is dirty", "dir=%s",
			  md->dir.path);
		st = 0;
	}
	if (st != 0)
		return st;
	st = offset_table_read(env, md->dir.fd, CHECKPOINT_HIGH_WATERMARK, &md->high_watermarks);
	if (st == -EINVAL || st == -EFBIG) {
		diag_error(DIAG_STORAGE, "high watermarks cannot be read", "dir=%s file=%s",
			   md->dir.path, CHECKPOINT_HIGH_WATERMARK);
		return -EIO;
	}
	return st;
}

static int
add_job(struct log_manager *lm, struct managed_dir *md, const char *name,
	const struct dir_name *parsed, struct load_job **jobs)
{
	struct load_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return -ENOMEM;
	*job = (struct load_job){
	    .next = *jobs,
	    .lm = lm,
	    .md = md,
	    .dir_name = strdup(name),
	    .topic = strdup(parsed->topic),
	    .partition = parsed->partition,
	    .future = parsed->kind == DIR_FUTURE,
	};
	if (job->dir_name == NULL || job->topic == NULL) {
		free_job(job);
		return -ENOMEM;
	}
	*jobs = job;
	return 0;
}

static bool
is_directory(struct log_manager *lm, struct managed_dir *md, const struct dirent *entry)
{
	struct stat stat;

	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_DIR;
	return env_fstatat(lm->opt.env, md->dir.fd, entry->d_name, &stat) == 0 &&
	       S_ISDIR(stat.st_mode);
}

static int
take_entry(struct log_manager *lm, struct managed_dir *md, const struct dirent *entry,
	   struct load_job **jobs, char *message, size_t size)
{
	int64_t due_ms = env_monotonic_ms(lm->opt.env) + lm->opt.defaults.file_delete_delay_ms;
	struct dir_name parsed = {0};

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
	    !is_directory(lm, md, entry))
		return 0;
	if (!parse_dir_name(entry->d_name, &parsed)) {
		snprintf(message, size,
			 "%s/%s is not the directory of a partition: move it elsewhere",
			 md->dir.path, entry->d_name);
		return -EINVAL;
	}
	switch (parsed.kind) {
	case DIR_DELETE:
		trash_add_dir(lm->ctx.trash, md->dir.fd, entry->d_name, due_ms);
		return 0;
	case DIR_LOG:
	case DIR_FUTURE:
		return add_job(lm, md, entry->d_name, &parsed, jobs);
	case DIR_STRAY:
	case DIR_IGNORED:
		break;
	}
	return 0;
}

static int
list_dir(struct log_manager *lm, struct managed_dir *md, struct load_job **jobs, char *message,
	 size_t size)
{
	int fd = env_openat(lm->opt.env, md->dir.fd, ".", O_RDONLY | O_DIRECTORY, 0);
	struct dirent *entry;
	DIR *dir;
	int st = 0;

	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (dir == NULL) {
		st = -errno;
		close(fd);
		return st;
	}
	while (st == 0 && (errno = 0, entry = readdir(dir)) != NULL)
		st = take_entry(lm, md, entry, jobs, message, size);
	if (st == 0)
		st = -errno;
	closedir(dir);
	return st;
}

static int
prepare_dir(struct log_manager *lm, struct managed_dir *md, struct load_job **jobs, char *message,
	    size_t size)
{
	int st = take_clean_mark(lm, md);

	if (st == 0)
		st = read_checkpoints(lm, md);
	if (st == 0)
		st = read_boot_stamp(lm, md);
	if (st == 0)
		st = list_dir(lm, md, jobs, message, size);
	return st;
}

/* The last of a directory's logs is there. Without the lock. */
static void
dir_loaded(struct log_manager *lm, struct managed_dir *md)
{
	size_t failed;

	lock_acquire(&lm->lock);
	failed = md->failed_logs;
	lock_release(&lm->lock);
	if (!log_dir_is_offline(&md->dir) && failed == 0 &&
	    log_dir_judge(&md->dir, write_boot_stamp(lm, md), "writing the boot id", "") != 0)
		log_dir_report(&md->dir);
}

static void
end_loading(struct log_manager *lm)
{
	if (lm->opt.callbacks.all_loaded != NULL)
		lm->opt.callbacks.all_loaded(lm->opt.callback_arg);
	lock_acquire(&lm->lock);
	lm->all_loaded = true;
	pthread_cond_broadcast(&lm->loading_ended);
	lock_release(&lm->lock);
}

static int
load_log(const struct load_job *job, struct log **ret_log)
{
	struct managed_dir *md = job->md;
	struct log_load load = {.clean = md->clean, .same_boot = md->same_boot};
	int64_t cleaner_offset;
	bool has_cleaner_offset;
	int st;

	if (log_dir_is_offline(&md->dir))
		return K_KAFKA_STORAGE_ERROR;
	log_manager_configure(job->lm, job->topic, &load.config);
	lock_acquire(&job->lm->lock);
	(void)offset_table_get(&md->recovery_points, job->topic, job->partition,
			       &load.recovery_point);
	(void)offset_table_get(&md->log_starts, job->topic, job->partition, &load.log_start_offset);
	has_cleaner_offset =
	    offset_table_get(&md->cleaner_offsets, job->topic, job->partition, &cleaner_offset);
	lock_release(&job->lm->lock);
	st = log_load(&md->dir, job->dir_name, job->topic, job->partition, job->future, &load,
		      ret_log);
	if (st == 0 && has_cleaner_offset)
		(*ret_log)->cleaner_offset = cleaner_offset;
	return st;
}

/* Enters the result; *ret_dir_done: it was the directory's last, *ret_done: which of all it was. */
static void
enter_result(const struct load_job *job, struct log *log, bool *ret_dir_done, size_t *ret_done)
{
	struct log_manager *lm = job->lm;
	char name[NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s-%" PRId32, job->topic, job->partition);
	lock_acquire(&lm->lock);
	if (log != NULL &&
	    map_put_text(job->future ? &lm->futures : &lm->logs, name, log, NULL) != 0) {
		log_put(log);
		log = NULL;
	} else if (log != NULL && !job->future) {
		map_remove_text(&lm->unready, name);
	}
	if (log == NULL && !job->again)
		job->md->failed_logs++;
	else if (log != NULL && job->again)
		job->md->failed_logs--;
	if (!job->again)
		lm->loaded++;
	metric_set(metrics_get(METRIC_LOG_COUNT, ""), (int64_t)lm->logs.count);
	metric_set(metrics_get(METRIC_LOG_LOADED, ""), (int64_t)lm->loaded);
	*ret_dir_done = --job->md->to_load == 0;
	*ret_done = lm->loaded;
	lock_release(&lm->lock);
}

/* Each `done` is one job's own, so that no step is told twice. */
static void
report_progress(size_t done, size_t total)
{
	if (done == total || (total >= 1000 && done % (total / 10) == 0))
		diag_info(DIAG_STORAGE, "loading logs", "done=%zu total=%zu", done, total);
}

static void
tell_failure(const struct load_job *job, int st)
{
	if (!log_dir_is_offline(&job->md->dir) && !job->again)
		diag_error(DIAG_STORAGE,
			   log_manager_is_full(st) ? "log cannot be loaded until there is room"
						   : "log cannot be loaded",
			   "partition=%s dir=%s error=%s", job->dir_name, job->md->dir.path,
			   st < 0 ? strerror(-st) : kerr_name(st));
	log_dir_report(&job->md->dir);
}

static void
tell_of_room(struct log_manager *lm, const struct managed_dir *md)
{
	if (lm->opt.callbacks.room_came != NULL)
		lm->opt.callbacks.room_came(lm->opt.callback_arg, md->dir.path);
}

/* From now on the job is the list's. */
static void
wait_for_room(struct load_job *job)
{
	struct managed_dir *md = job->md;

	job->again = true;
	lock_acquire(&job->lm->lock);
	job->next = md->waiting;
	md->waiting = job;
	lock_release(&job->lm->lock);
	atomic_store(&md->lacks_room, true);
}

static void
run_load_job(void *arg)
{
	struct load_job *job = arg;
	struct log_manager *lm = job->lm;
	struct log *log = NULL;
	size_t done;
	bool dir_done, again = job->again;
	int st = load_log(job, &log);

	if (st != 0) {
		st = log_dir_judge(&job->md->dir, st, "loading a log", job->dir_name);
		tell_failure(job, st);
	} else {
		log_get(log); /* for the callback */
	}
	enter_result(job, log, &dir_done, &done);
	if (log != NULL && !job->future && lm->opt.callbacks.log_loaded != NULL)
		lm->opt.callbacks.log_loaded(lm->opt.callback_arg, log);
	log_put(log);
	if (!again)
		report_progress(done, lm->to_load); /* settled before the first job */
	if (dir_done)
		dir_loaded(lm, job->md);
	if (again && st == 0)
		tell_of_room(lm, job->md);
	if (!again && done == lm->to_load)
		end_loading(lm);
	if (log_manager_is_full(st))
		wait_for_room(job);
	else
		free_job(job);
	log_jobs_end(&lm->jobs);
}

void
log_manager_load_waiting(struct log_manager *lm, struct managed_dir *md)
{
	struct load_job *jobs;

	lock_acquire(&lm->lock);
	jobs = md->waiting;
	md->waiting = NULL;
	for (struct load_job *job = jobs; job != NULL; job = job->next)
		md->to_load++;
	lock_release(&lm->lock);
	if (jobs == NULL)
		tell_of_room(lm, md);
	while (jobs != NULL) {
		struct load_job *job = jobs;

		jobs = job->next;
		log_jobs_submit(&lm->ctx, run_load_job, job);
	}
}

void
log_manager_drop_waiting(struct managed_dir *md)
{
	free_jobs(md->waiting);
	md->waiting = NULL;
}

/* Counts the jobs in, and finds a partition that lies in two places. */
static int
count_jobs(struct log_manager *lm, struct load_job *jobs, char *message, size_t size)
{
	char name[NAME_MAX + 1];
	void *old;

	for (struct load_job *job = jobs; job != NULL; job = job->next) {
		lm->to_load++;
		job->md->to_load++;
		job->md->log_count++;
		if (job->future)
			continue;
		snprintf(name, sizeof(name), "%s-%" PRId32, job->topic, job->partition);
		if (map_put_text(&lm->unready, name, job, &old) != 0)
			return -ENOMEM;
		if (old != NULL) {
			snprintf(message, size, "%s lies in two places: %s/%s and %s/%s", name,
				 ((struct load_job *)old)->md->dir.path,
				 ((struct load_job *)old)->dir_name, job->md->dir.path,
				 job->dir_name);
			return -EINVAL;
		}
	}
	return 0;
}

int
log_manager_load(struct log_manager *lm, char *message, size_t size)
{
	struct load_job *jobs = NULL;
	bool empty;
	int st = 0;

	for (size_t i = 0; i < lm->dir_count && st == 0; i++) {
		struct managed_dir *md = &lm->dirs[i];

		if (log_dir_is_offline(&md->dir))
			continue;
		st = prepare_dir(lm, md, &jobs, message, size);
		if (st == -ENOMEM) {
			snprintf(message, size, "out of memory");
		} else if (st != 0 && st != -EINVAL) {
			/* This directory is lost; the others are not. */
			(void)log_dir_judge(&md->dir, st, "loading", "");
			log_dir_report(&md->dir);
			st = 0;
		}
	}
	lock_acquire(&lm->lock);
	if (st == 0)
		st = count_jobs(lm, jobs, message, size);
	lm->loading = st == 0;
	empty = jobs == NULL;
	metric_set(metrics_get(METRIC_LOG_TO_LOAD, ""), (int64_t)lm->to_load);
	lock_release(&lm->lock);
	if (st != 0) {
		free_jobs(jobs);
		return st;
	}
	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];

		diag_info(DIAG_STORAGE, "loading log directory", "dir=%s logs=%zu stopped=%s",
			  md->dir.path, md->to_load,
			  md->clean       ? "clean"
			  : md->same_boot ? "unclean, same boot"
					  : "unclean");
		if (md->to_load == 0)
			dir_loaded(lm, md);
	}
	while (jobs != NULL) {
		struct load_job *job = jobs;

		jobs = job->next;
		log_jobs_submit(&lm->ctx, run_load_job, job);
	}
	if (empty)
		end_loading(lm);
	return 0;
}

void
log_manager_progress(struct log_manager *lm, size_t *ret_done, size_t *ret_total)
{
	lock_acquire(&lm->lock);
	*ret_done = lm->loaded;
	*ret_total = lm->to_load;
	lock_release(&lm->lock);
}

void
log_manager_wait_loaded(struct log_manager *lm)
{
	lock_acquire(&lm->lock);
	while (lm->loading && !lm->all_loaded)
		lock_wait(&lm->lock, &lm->loading_ended);
	lock_release(&lm->lock);
}
