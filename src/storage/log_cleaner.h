/*
 * log_cleaner.h - compaction: of records with the same key only the last one stays.
 *
 * One pass over a log: the keys of the dirty part go into an offset map; then all segments up to
 * where the map reaches are rewritten in groups, without records that the map knows a later one of,
 * without data of aborted transactions, and, after delete.retention.ms, without tombstones and
 * markers; then the new segments take the place of the old ones.
 *
 * The caller has paused retention on the log (log_try_pause_cleaning()). Appends and reads go on. A
 * truncation or deletion meanwhile ends the pass without effect.
 *
 * Threads  one pass per log at a time, on a worker. Blocks.
 * Source   storage-format, section 14: Kafka's LogCleaner, Cleaner.
 */
#ifndef KLAMM_STORAGE_LOG_CLEANER_H
#define KLAMM_STORAGE_LOG_CLEANER_H

#include "storage/log_internal.h"
#include "storage/offset_map.h"

/* What there is to clean. */
struct log_to_clean {
	int64_t first_dirty_offset;
	int64_t first_uncleanable_offset;
	int64_t clean_bytes;
	int64_t cleanable_bytes;
	bool overdue; /* max.compaction.lag.ms demands it */
};

/* Storage-format, section 14.1. checkpoint: first dirty offset as recorded, -1 for none. */
MUST_CHECK int log_find_cleanable(struct log *log, int64_t checkpoint, int64_t now_ms,
				  struct log_to_clean *ret);

struct clean_pace {
	double bytes_per_second;
	const _Atomic bool *stop; /* set: end the pass with -ECANCELED */
};

struct clean_stats {
	int64_t bytes_read;
	int64_t bytes_written;
	int64_t records_read;
	int64_t records_written;
};

/*
 * Cleans. map is empty.
 * ret_end_offset  the first dirty offset from now on
 * -ECANCELED: stopped, or the log was truncated or deleted meanwhile. -EOVERFLOW: not even one
 * batch fits the map. K_CORRUPT_MESSAGE: a batch cannot be read.
 */
MUST_CHECK int log_clean(struct log *log, const struct log_to_clean *what, struct offset_map *map,
			 const struct clean_pace *pace, struct clean_stats *ret_stats,
			 int64_t *ret_end_offset);

#endif
