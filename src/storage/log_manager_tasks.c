#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "storage/log_manager_internal.h"

/*
 * log_manager_tick() only looks at clocks; each task is a job for a worker and never runs twice at
 * once. A checkpoint is built from the table of what it said before, so that logs which could not
 * be loaded, or whose high watermark nobody has set yet, keep their lines.
 */

struct task {
	struct log_manager *lm;
	enum log_task task;
};

/* ---- checkpoints ---- */

static int64_t
first_base_offset(struct log *log)
{
	int64_t base;

	lock_acquire(&log->lock);
	base = log->segment_count > 0 ? log->segments[0]->base_offset : 0;
	lock_release(&log->lock);
	return base;
}

/* Under the manager's lock: brings the tables up to date with one log. */
static int
update_tables(struct managed_dir *md, struct log *log, unsigned which)
{
	const char *topic = log_topic(log);
	int32_t partition = log_partition(log);
	int64_t start = log_start_offset(log);
	int st = 0;

	if (which & CHECKPOINT_DUE_RECOVERY)
		st = offset_table_put(&md->recovery_points, topic, partition,
				      log_recovery_point(log));
	if (st == 0 && (which & CHECKPOINT_DUE_STARTS)) {
		if (start > first_base_offset(log))
			st = offset_table_put(&md->log_starts, topic, partition, start);
		else
			offset_table_remove(&md->log_starts, topic, partition);
	}
	if (st == 0 && (which & CHECKPOINT_DUE_HIGH_WATERMARKS) && log->high_watermark_set &&
	    !log->is_future)
		st = offset_table_put(&md->high_watermarks, topic, partition,
				      log_high_watermark(log));
	if (st == 0 && (which & CHECKPOINT_DUE_CLEANER) && log->cleaner_offset >= 0)
		st = offset_table_put(&md->cleaner_offsets, topic, partition, log->cleaner_offset);
	return st;
}

static unsigned
take_changes(struct managed_dir *md, unsigned which)
{
	unsigned changed = 0;

	if ((which & CHECKPOINT_DUE_RECOVERY) &&
	    atomic_exchange(&md->dir.recovery_points_changed, false))
		changed |= CHECKPOINT_DUE_RECOVERY;
	if ((which & CHECKPOINT_DUE_STARTS) && atomic_exchange(&md->dir.log_starts_changed, false))
		changed |= CHECKPOINT_DUE_STARTS;
	if ((which & CHECKPOINT_DUE_HIGH_WATERMARKS) &&
	    atomic_exchange(&md->dir.high_watermarks_changed, false))
		changed |= CHECKPOINT_DUE_HIGH_WATERMARKS;
	if ((which & CHECKPOINT_DUE_CLEANER) &&
	    atomic_exchange(&md->dir.cleaner_offsets_changed, false))
		changed |= CHECKPOINT_DUE_CLEANER;
	return changed;
}

static void
restore_changes(struct managed_dir *md, unsigned which)
{
	if (which & CHECKPOINT_DUE_RECOVERY)
		atomic_store(&md->dir.recovery_points_changed, true);
	if (which & CHECKPOINT_DUE_STARTS)
		atomic_store(&md->dir.log_starts_changed, true);
	if (which & CHECKPOINT_DUE_HIGH_WATERMARKS)
		atomic_store(&md->dir.high_watermarks_changed, true);
	if (which & CHECKPOINT_DUE_CLEANER)
		atomic_store(&md->dir.cleaner_offsets_changed, true);
}

struct checkpoint_text {
	const char *name;
	struct buf lines;
	size_t count;
};

/* Formats a table under the lock, so that it can be written without. */
static void
format_table(const struct offset_table *t, const char *name, struct checkpoint_text *ret)
{
	*ret = (struct checkpoint_text){.name = name};
	offset_table_format(t, &ret->lines, &ret->count);
}

static int
write_dir(struct log_manager *lm, struct managed_dir *md, struct log **logs, size_t count,
	  unsigned which)
{
	struct checkpoint_text texts[4];
	size_t n = 0;
	uint64_t removals;
	int st = 0;

	lock_acquire(&lm->lock);
	for (size_t i = 0; i < count && st == 0; i++) {
		if (logs[i]->dir != &md->dir)
			continue;
		/* One that was deleted meanwhile has lost its lines. */
		if (atomic_load(&logs[i]->gone) && !atomic_load(&lm->closing))
			continue;
		st = update_tables(md, logs[i], which);
	}
	if (which & CHECKPOINT_DUE_RECOVERY)
		format_table(&md->recovery_points, CHECKPOINT_RECOVERY_POINT, &texts[n++]);
	if (which & CHECKPOINT_DUE_STARTS)
		format_table(&md->log_starts, CHECKPOINT_LOG_START, &texts[n++]);
	if (which & CHECKPOINT_DUE_HIGH_WATERMARKS)
		format_table(&md->high_watermarks, CHECKPOINT_HIGH_WATERMARK, &texts[n++]);
	if (which & CHECKPOINT_DUE_CLEANER)
		format_table(&md->cleaner_offsets, CHECKPOINT_CLEANER, &texts[n++]);
	removals = md->removals;
	lock_release(&lm->lock);
	for (size_t i = 0; i < n; i++) {
		if (st == 0)
			st = checkpoint_write(lm->opt.env, md->dir.fd, texts[i].name,
					      texts[i].count, &texts[i].lines, true);
		buf_fini(&texts[i].lines);
	}
	if (st == 0 && which == CHECKPOINT_DUE_ALL) {
		lock_acquire(&lm->lock);
		md->removals_written = removals;
		lock_release(&lm->lock);
	}
	return st;
}

int
log_manager_write_checkpoints(struct log_manager *lm, unsigned which)
{
	size_t count = 0;
	struct log **logs = NULL;
	int ret = 0;

	lock_acquire(&lm->lock);
	while (lm->writing_checkpoints)
		lock_wait(&lm->lock, &lm->checkpoints_written);
	lm->writing_checkpoints = true;
	lock_release(&lm->lock);
	for (size_t i = 0; i < lm->dir_count; i++) {
		struct managed_dir *md = &lm->dirs[i];
		unsigned changed;
		int st;

		if (log_dir_is_offline(&md->dir))
			continue;
		changed = take_changes(md, which);
		if (changed == 0)
			continue;
		if (logs == NULL)
			logs = log_manager_list(lm, true, &count);
		st = write_dir(lm, md, logs, count, changed);
		if (st != 0) {
			restore_changes(md, changed);
			st = log_dir_judge(&md->dir, st, "writing a checkpoint", "");
			if (st < 0 && !md->complained)
				diag_warn(DIAG_STORAGE, "checkpoint could not be written; tried on",
					  "dir=%s error=%s", md->dir.path, strerror(-st));
			md->complained = true;
			if (st < 0 && ret == 0)
				ret = st;
			log_dir_report(&md->dir);
		} else if (md->complained) {
			md->complained = false;
			diag_info(DIAG_STORAGE, "checkpoints are written again", "dir=%s",
				  md->dir.path);
		}
	}
	log_manager_free_list(logs, count);
	lock_acquire(&lm->lock);
	lm->writing_checkpoints = false;
	pthread_cond_broadcast(&lm->checkpoints_written);
	lock_release(&lm->lock);
	return ret;
}

/* ---- tasks ---- */

static void
run_retention(struct log_manager *lm)
{
	size_t count;
	struct log **logs = log_manager_list(lm, false, &count);

	for (size_t i = 0; i < count && !atomic_load(&lm->closing); i++) {
		int32_t deleted;
		int st;

		/* Of logs that are compacted as well, the cleaner does it. */
		if (!log_try_pause_cleaning(logs[i]))
			continue;
		st = log_delete_old_segments(logs[i], &deleted);
		log_resume_cleaning(logs[i]);
		if (st < 0)
			diag_warn(DIAG_STORAGE, "retention failed", "partition=%s error=%s",
				  log_name(logs[i]), strerror(-st));
	}
	log_manager_free_list(logs, count);
}

static void
run_expiry(struct log_manager *lm)
{
	int64_t now_ms = env_now_ms(lm->opt.env);
	size_t count;
	struct log **logs = log_manager_list(lm, false, &count);

	for (size_t i = 0; i < count; i++) {
		struct log *log = logs[i];

		lock_acquire(&log->lock);
		producer_state_expire(&log->producers, now_ms,
				      log_config_now(log)->producer_id_expiration_ms);
		lock_release(&log->lock);
	}
	log_manager_free_list(logs, count);
}

static void
run_background_flush(struct log_manager *lm)
{
	const struct log_tick tick = {
	    .now_ms = env_monotonic_ms(lm->opt.env),
	    .background_flush_ms = lm->opt.background_flush_ms,
	    .background_flush_bytes = lm->opt.background_flush_bytes,
	};
	size_t count;
	struct log **logs = log_manager_list(lm, true, &count);

	for (size_t i = 0; i < count && !atomic_load(&lm->closing); i++) {
		if (log_needs_background_flush(logs[i], &tick))
			log_background_flush(logs[i]);
	}
	log_manager_free_list(logs, count);
}

static void
run_task(void *arg)
{
	struct task *t = arg;
	struct log_manager *lm = t->lm;
	enum log_task task = t->task;

	free(t);
	switch (task) {
	case TASK_RETENTION:
		run_retention(lm);
		break;
	case TASK_CHECKPOINT:
		log_manager_write_checkpoints(lm, atomic_exchange(&lm->checkpoints_due, 0));
		break;
	case TASK_EXPIRY:
		run_expiry(lm);
		break;
	case TASK_TRASH:
		trash_run(lm->ctx.trash, env_monotonic_ms(lm->opt.env));
		break;
	case TASK_FLUSH:
		run_background_flush(lm);
		break;
	case TASK_CLEAN:
		log_manager_clean(lm);
		break;
	case TASK_ROOM:
		log_manager_look_for_room(lm);
		break;
	case TASK_COUNT:
		break;
	}
	atomic_store(&lm->running[task], false);
	log_jobs_end(&lm->jobs);
}

static void
start_task(struct log_manager *lm, enum log_task task)
{
	struct task *t;

	if (atomic_exchange(&lm->running[task], true))
		return;
	t = malloc(sizeof(*t));
	if (t == NULL) {
		atomic_store(&lm->running[task], false);
		return;
	}
	*t = (struct task){lm, task};
	log_jobs_submit(&lm->ctx, run_task, t);
}

void
log_manager_checkpoint_soon(struct log_manager *lm, unsigned which)
{
	atomic_fetch_or(&lm->checkpoints_due, which);
	if (!atomic_load(&lm->closing))
		start_task(lm, TASK_CHECKPOINT);
}

/* True when *due_ms has come; moves it on. */
static bool
is_due(int64_t *due_ms, int64_t now_ms, int64_t interval_ms)
{
	if (now_ms < *due_ms)
		return false;
	*due_ms = now_ms + interval_ms;
	return true;
}

static void
first_tick(struct log_manager *lm, int64_t now_ms)
{
	int64_t first = now_ms + lm->opt.initial_task_delay_ms;

	lm->ticked = true;
	lm->due_ms[TASK_RETENTION] = first;
	lm->cleaned_ms = now_ms;
	lm->due_ms[TASK_EXPIRY] = now_ms + lm->opt.producer_expiration_check_ms;
	lm->recovery_due_ms = first;
	lm->starts_due_ms = first;
	lm->high_watermarks_due_ms = now_ms + lm->opt.high_watermark_checkpoint_ms;
}

static bool
any_lacks_room(struct log_manager *lm)
{
	for (size_t i = 0; i < lm->dir_count; i++)
		if (atomic_load(&lm->dirs[i].lacks_room))
			return true;
	return false;
}

void
log_manager_tick(struct log_manager *lm, int64_t now_ms)
{
	unsigned due = 0;

	if (atomic_load(&lm->closing))
		return;
	if (!lm->ticked)
		first_tick(lm, now_ms);
	if (is_due(&lm->due_ms[TASK_RETENTION], now_ms, lm->opt.retention_check_interval_ms))
		start_task(lm, TASK_RETENTION);
	if (is_due(&lm->due_ms[TASK_EXPIRY], now_ms, lm->opt.producer_expiration_check_ms))
		start_task(lm, TASK_EXPIRY);
	if (lm->opt.cleaner_enable &&
	    now_ms - lm->cleaned_ms >= log_manager_cleaner_settings(lm).backoff_ms) {
		lm->cleaned_ms = now_ms;
		start_task(lm, TASK_CLEAN);
	}
	if (is_due(&lm->recovery_due_ms, now_ms, lm->opt.flush_offset_checkpoint_ms))
		due |= CHECKPOINT_DUE_RECOVERY;
	if (is_due(&lm->starts_due_ms, now_ms, lm->opt.flush_start_offset_checkpoint_ms))
		due |= CHECKPOINT_DUE_STARTS;
	if (is_due(&lm->high_watermarks_due_ms, now_ms, lm->opt.high_watermark_checkpoint_ms))
		due |= CHECKPOINT_DUE_HIGH_WATERMARKS;
	if (atomic_fetch_or(&lm->checkpoints_due, due) != 0 || due != 0)
		start_task(lm, TASK_CHECKPOINT);
	start_task(lm, TASK_FLUSH);
	if (trash_count(lm->ctx.trash) > 0)
		start_task(lm, TASK_TRASH);
	if (any_lacks_room(lm))
		start_task(lm, TASK_ROOM);
}
