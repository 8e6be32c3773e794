#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/diag.h"
#include "storage/log_cleaner.h"
#include "storage/log_manager_internal.h"
#include "wire/kerr.h"

/*
 * One task compacts one log after the other, the one with the largest dirty part first, until none
 * is dirty enough. A log whose compaction fails is left alone until the next start, as in Kafka.
 * Source: storage-format, section 14.1.
 */

static double
dirty_ratio(const struct log_to_clean *what)
{
	int64_t total = what->clean_bytes + what->cleanable_bytes;

	return total > 0 ? (double)what->cleanable_bytes / (double)total : 0;
}

/* Is there enough to do? */
static bool
is_candidate(struct log *log, struct log_to_clean *ret)
{
	const struct log_config *config = log_config_now(log);
	int64_t offset;
	bool skip;

	lock_acquire(&log->lock);
	skip = log->uncleanable || log->cleaning;
	offset = log->cleaner_offset;
	lock_release(&log->lock);
	if (skip || (config->cleanup_policy & LOG_CLEANUP_COMPACT) == 0)
		return false;
	if (log_find_cleanable(log, offset, env_now_ms(log_env(log)), ret) != 0)
		return false;
	return ret->cleanable_bytes > 0 &&
	       (ret->overdue || dirty_ratio(ret) > config->min_cleanable_dirty_ratio);
}

/* The dirtiest log, counted, or NULL. */
static struct log *
choose(struct log_manager *lm, struct log_to_clean *ret)
{
	size_t count;
	struct log **logs = log_manager_list(lm, false, &count);
	struct log *best = NULL;

	for (size_t i = 0; i < count; i++) {
		struct log_to_clean what;

		if (!is_candidate(logs[i], &what) ||
		    (best != NULL && dirty_ratio(&what) <= dirty_ratio(ret)))
			continue;
		best = logs[i];
		*ret = what;
	}
	if (best != NULL)
		log_get(best);
	log_manager_free_list(logs, count);
	return best;
}

void
log_manager_set_cleaner(struct log_manager *lm, const struct log_cleaner_settings *settings)
{
	lock_acquire(&lm->lock);
	lm->cleaner = *settings;
	lock_release(&lm->lock);
}

struct log_cleaner_settings
log_manager_cleaner_settings(struct log_manager *lm)
{
	struct log_cleaner_settings settings;

	lock_acquire(&lm->lock);
	settings = lm->cleaner;
	lock_release(&lm->lock);
	return settings;
}

/* No more slots than there may be keys. */
static size_t
map_bytes(const struct log_cleaner_settings *settings, const struct log_to_clean *what)
{
	double limit = (double)settings->dedupe_buffer_bytes;
	double keys = (double)(what->first_uncleanable_offset - what->first_dirty_offset) + 2;
	double need =
	    keys / settings->buffer_load_factor * OFFSET_MAP_SLOT_BYTES + 4 * OFFSET_MAP_SLOT_BYTES;

	return (size_t)(need < limit ? need : limit);
}

static int
clean(struct log_manager *lm, struct log *log, const struct log_to_clean *what,
      struct clean_stats *stats)
{
	const struct log_cleaner_settings settings = log_manager_cleaner_settings(lm);
	const struct clean_pace pace = {settings.io_max_bytes_per_second, &lm->closing};
	struct offset_map *map;
	int64_t end_offset;
	int st;

	st = offset_map_open(lm->opt.env, map_bytes(&settings, what), settings.buffer_load_factor,
			     &map);
	if (st != 0)
		return st;
	st = log_clean(log, what, map, &pace, stats, &end_offset);
	offset_map_close(map);
	if (st == 0) {
		lock_acquire(&log->lock);
		/* A truncation since then has the last word. */
		log->cleaner_offset =
		    end_offset < log_end_offset(log) ? end_offset : log_end_offset(log);
		lock_release(&log->lock);
		atomic_store(&log->dir->cleaner_offsets_changed, true);
	}
	return st;
}

static void
report(struct log *log, const struct log_to_clean *what, const struct clean_stats *stats, int st)
{
	if (st == 0) {
		metric_add(metrics_get(METRIC_CLEANER_RUNS, ""), 1);
		diag_info(DIAG_STORAGE, "compacted log",
			  "partition=%s from=%" PRId64 " read_bytes=%" PRId64
			  " written_bytes=%" PRId64 " records=%" PRId64 " kept=%" PRId64,
			  log_name(log), what->first_dirty_offset, stats->bytes_read,
			  stats->bytes_written, stats->records_read, stats->records_written);
	} else if (log->uncleanable) {
		metric_add(metrics_get(METRIC_CLEANER_UNCLEANABLE, ""), 1);
		diag_error(
		    DIAG_STORAGE, "log cannot be compacted: not tried again until the next start",
		    "partition=%s error=%s", log_name(log), st < 0 ? strerror(-st) : kerr_name(st));
	}
	metric_add(metrics_get(METRIC_CLEANER_READ_BYTES, ""), stats->bytes_read);
	metric_add(metrics_get(METRIC_CLEANER_WRITTEN_BYTES, ""), stats->bytes_written);
}

void
log_manager_clean(struct log_manager *lm)
{
	struct log_to_clean what;
	struct log *log;

	while (!atomic_load(&lm->closing) && (log = choose(lm, &what)) != NULL) {
		struct clean_stats stats = {0};
		int st = -EBUSY;

		if (log_try_pause_cleaning(log)) {
			st = clean(lm, log, &what, &stats);
			/* Room may come again, memory too. */
			if (st != 0 && st != -ECANCELED && st != -ENOSPC && st != -EDQUOT &&
			    st != -ENOMEM) {
				lock_acquire(&log->lock);
				log->uncleanable = true;
				lock_release(&log->lock);
			}
			log_resume_cleaning(log);
			report(log, &what, &stats, st);
		}
		log_put(log);
		/* What did not work now is tried again at the next tick, not at once. */
		if (st != 0)
			break;
		(void)!log_manager_write_checkpoints(lm, CHECKPOINT_DUE_CLEANER);
	}
}
