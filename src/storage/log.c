#include "storage/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "storage/partition_metadata.h"
#include "storage/producer_snapshot.h"
#include "wire/kerr.h"

/*
 * Invariants of an open log
 *
 * 1. There is at least one segment; bases rise; only the last one grows.
 * 2. log start offset <= high watermark <= log end offset; the recovery point is not above the end.
 * 3. segments[0]->base_offset <= log start offset, except while retention runs.
 * 4. producers.end_offset == log end offset between appends.
 * 5. leader-epoch-checkpoint has every epoch of the batches in the log.
 *
 * A roll: the old segment is sealed (last time index entry, tails written), a producer snapshot
 * named by the new base is written, the new segment's files are made. A crash between any two
 * leaves a sealed last segment, perhaps with a snapshot at its end, perhaps with empty files of the
 * next one: all are what the loader expects.
 */

/* ---- life ---- */

static struct retired_config *
copy_config(const struct log_config *config)
{
	struct retired_config *copy = calloc(1, sizeof(*copy));

	if (copy != NULL)
		copy->config = *config;
	return copy;
}

int
log_new(struct log_dir *dir, const char *dir_name, const char *topic, int32_t partition,
	bool is_future, const struct log_config *config, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));
	struct buf name = {0};

	if (log == NULL)
		return -ENOMEM;
	log->dir = dir;
	log->partition = partition;
	log->is_future = is_future;
	log->cleaner_offset = -1;
	atomic_init(&log->refs, 1);
	lock_init(&log->lock, LOCK_LOG);
	pthread_cond_init(&log->flushed, NULL);
	log->part = partition_dir_new(dir->ctx->files, dir->fd, dir_name);
	log->topic = strdup(topic);
	buf_printf(&name, "%s-%" PRId32, topic, partition);
	log->name = buf_text(&name) != NULL ? (char *)name.data : NULL;
	atomic_init(&log->config, copy_config(config));
	if (log->part == NULL || log->topic == NULL || log->name == NULL ||
	    atomic_load(&log->config) == NULL) {
		if (log->name == NULL)
			buf_fini(&name);
		log_put(log);
		return -ENOMEM;
	}
	*ret_log = log;
	return 0;
}

static void
free_log(struct log *log)
{
	struct retired_config *config = atomic_load(&log->config);

	for (uint32_t i = 0; i < log->segment_count; i++)
		segment_put(log->segments[i]);
	free(log->segments);
	while (config != NULL) {
		struct retired_config *next = config->next;

		free(config);
		config = next;
	}
	leader_epochs_fini(&log->epochs);
	producer_state_fini(&log->producers);
	free(log->snapshots);
	free(log->recent);
	free(log->topic);
	free(log->name);
	partition_dir_put(log->part);
	pthread_cond_destroy(&log->flushed);
	lock_fini(&log->lock);
	free(log);
}

struct log *
log_get(struct log *log)
{
	atomic_fetch_add(&log->refs, 1);
	return log;
}

void
log_put(struct log *log)
{
	if (log != NULL && atomic_fetch_sub(&log->refs, 1) == 1)
		free_log(log);
}

int
log_create(struct log_dir *dir, const char *topic, int32_t partition,
	   const struct log_config *config, struct log **ret_log)
{
	struct env *env = dir->ctx->env;
	struct segment *seg = NULL;
	struct log *log = NULL;
	char name[NAME_MAX + 1];
	int st;

	if (snprintf(name, sizeof(name), "%s-%" PRId32, topic, partition) > NAME_MAX)
		return -ENAMETOOLONG;
	st = log_new(dir, name, topic, partition, false, config, &log);
	if (st != 0)
		return st;
	st = env_mkdirat(env, dir->fd, name, 0755);
	if (st == 0 || st == -EEXIST)
		st = segment_create(log->part, 0, LOG_FILE_PLAIN, config, &seg);
	if (st == 0) {
		st = log_add_segment_locked(log, seg);
		if (st != 0)
			segment_put(seg);
	}
	if (st != 0) {
		log_put(log);
		return st;
	}
	log->dir_unsynced = true;
	*ret_log = log;
	return 0;
}

int
log_check_usable(const struct log *log)
{
	if (atomic_load_explicit(&((struct log *)log)->gone, memory_order_acquire) ||
	    log_dir_is_offline(log->dir))
		return K_KAFKA_STORAGE_ERROR;
	return 0;
}

int
log_judge(struct log *log, int st, const char *doing)
{
	st = log_dir_judge(log->dir, st, doing, log->name);
	if (st != 0)
		log_dir_report(log->dir);
	return st;
}

/* ---- identity and settings ---- */

const char *
log_topic(const struct log *log)
{
	return log->topic;
}

int32_t
log_partition(const struct log *log)
{
	return log->partition;
}

const char *
log_name(const struct log *log)
{
	return log->name;
}

const char *
log_parent_dir(const struct log *log)
{
	return log->dir->path;
}

bool
log_is_future(const struct log *log)
{
	return log->is_future;
}

bool
log_is_offline(const struct log *log)
{
	return log_check_usable(log) != 0;
}

void
log_configure(struct log *log, const struct log_config *config)
{
	struct retired_config *copy = copy_config(config);

	if (copy == NULL) {
		diag_error(DIAG_STORAGE, "no memory for new settings", "partition=%s", log->name);
		return;
	}
	lock_acquire(&log->lock);
	copy->next = atomic_load(&log->config);
	atomic_store_explicit(&log->config, copy, memory_order_release);
	for (uint32_t i = 0; i < log->segment_count; i++) {
		index_file_set_capacity(&log->segments[i]->offsets.entries,
					config->segment_index_bytes);
		index_file_set_capacity(&log->segments[i]->times.entries,
					config->segment_index_bytes);
	}
	lock_release(&log->lock);
}

void
log_config_of(struct log *log, struct log_config *ret_config)
{
	*ret_config = *log_config_now(log);
}

void
log_topic_id(struct log *log, struct uuid *ret_id)
{
	lock_acquire(&log->lock);
	*ret_id = log->topic_id;
	lock_release(&log->lock);
}

int
log_assign_topic_id(struct log *log, const struct uuid *id)
{
	char name[NAME_MAX + 1];
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	partition_dir_name(log->part, name);
	lock_acquire(&log->lock);
	if (uuid_is_zero(&log->topic_id)) {
		st = partition_metadata_write(log_env(log), log->dir->fd, name, id);
		if (st == 0)
			log->topic_id = *id;
	} else if (!uuid_equal(&log->topic_id, id)) {
		st = K_INCONSISTENT_TOPIC_ID;
	}
	lock_release(&log->lock);
	return log_judge(log, st, "writing partition.metadata");
}

/* ---- offsets ---- */

void
log_offsets(struct log *log, struct log_offsets *ret_offsets)
{
	lock_acquire(&log->lock);
	ret_offsets->log_start_offset = atomic_load(&log->log_start_offset);
	ret_offsets->last_stable_offset = atomic_load(&log->last_stable_offset);
	ret_offsets->high_watermark = atomic_load(&log->high_watermark);
	ret_offsets->log_end_offset = atomic_load(&log->log_end_offset);
	lock_release(&log->lock);
}

static int64_t
load(const _Atomic int64_t *value)
{
	return atomic_load_explicit((_Atomic int64_t *)value, memory_order_acquire);
}

int64_t
log_start_offset(const struct log *log)
{
	return load(&log->log_start_offset);
}

int64_t
log_end_offset(const struct log *log)
{
	return load(&log->log_end_offset);
}

int64_t
log_high_watermark(const struct log *log)
{
	return load(&log->high_watermark);
}

int64_t
log_last_stable_offset(const struct log *log)
{
	return load(&log->last_stable_offset);
}

int64_t
log_recovery_point(const struct log *log)
{
	return load(&log->recovery_point);
}

int64_t
log_size_bytes(const struct log *log)
{
	return load(&log->size_bytes);
}

int32_t
log_segment_count(struct log *log)
{
	int32_t count;

	lock_acquire(&log->lock);
	count = (int32_t)log->segment_count;
	lock_release(&log->lock);
	return count;
}

/* Source: storage-format, section 11.5. */
void
log_update_stable_offset_locked(struct log *log)
{
	int64_t high_watermark = atomic_load(&log->high_watermark);
	int64_t start = atomic_load(&log->log_start_offset);
	int64_t unstable = producer_state_first_unstable_offset(&log->producers);
	int64_t stable = high_watermark;

	if (unstable >= 0 && unstable < start)
		unstable = start;
	if (unstable >= 0 && unstable < high_watermark)
		stable = unstable;
	atomic_store_explicit(&log->last_stable_offset, stable, memory_order_release);
}

void
log_set_high_watermark_locked(struct log *log, int64_t high_watermark)
{
	int64_t start = atomic_load(&log->log_start_offset);
	int64_t end = atomic_load(&log->log_end_offset);

	if (high_watermark > end)
		high_watermark = end;
	if (high_watermark < start)
		high_watermark = start;
	if (high_watermark != atomic_load(&log->high_watermark)) {
		atomic_store_explicit(&log->high_watermark, high_watermark, memory_order_release);
		atomic_store_explicit(&log->dir->high_watermarks_changed, true,
				      memory_order_relaxed);
		if (log->producers.completed.count > 0)
			producer_state_replicated(&log->producers, high_watermark);
	}
	log_update_stable_offset_locked(log);
}

/* After the offset itself: who writes the checkpoint looks at both without the lock. */
static void
note_high_watermark_set(struct log *log)
{
	atomic_store_explicit(&log->high_watermark_set, true, memory_order_release);
}

int64_t
log_set_high_watermark(struct log *log, int64_t high_watermark)
{
	int64_t now;

	lock_acquire(&log->lock);
	log_set_high_watermark_locked(log, high_watermark);
	note_high_watermark_set(log);
	now = atomic_load(&log->high_watermark);
	lock_release(&log->lock);
	return now;
}

bool
log_advance_high_watermark(struct log *log, int64_t high_watermark)
{
	bool moved = false;

	if (high_watermark <= log_high_watermark(log))
		return false;
	lock_acquire(&log->lock);
	if (high_watermark > atomic_load(&log->high_watermark)) {
		int64_t before = atomic_load(&log->high_watermark);

		log_set_high_watermark_locked(log, high_watermark);
		note_high_watermark_set(log);
		moved = atomic_load(&log->high_watermark) != before;
	}
	lock_release(&log->lock);
	return moved;
}

void
log_set_end_offset_locked(struct log *log, int64_t end_offset)
{
	atomic_store_explicit(&log->log_end_offset, end_offset, memory_order_release);
	if (atomic_load(&log->flushed_offset) > end_offset)
		atomic_store(&log->flushed_offset, end_offset);
	if (atomic_load(&log->recovery_point) > end_offset) {
		atomic_store(&log->recovery_point, end_offset);
		atomic_store(&log->dir->recovery_points_changed, true);
	}
	if (atomic_load(&log->high_watermark) > end_offset)
		log_set_high_watermark_locked(log, end_offset);
	else
		log_update_stable_offset_locked(log);
}

void
log_set_start_offset_locked(struct log *log, int64_t offset)
{
	atomic_store_explicit(&log->log_start_offset, offset, memory_order_release);
	atomic_store(&log->dir->log_starts_changed, true);
	if (atomic_load(&log->high_watermark) < offset)
		log_set_high_watermark_locked(log, offset);
	else
		log_update_stable_offset_locked(log);
}

/* ---- segments ---- */

int
log_add_segment_locked(struct log *log, struct segment *seg)
{
	if (log->segment_count == log->segment_cap) {
		uint32_t cap = log->segment_cap == 0 ? 1 : log->segment_cap * 2;
		struct segment **grown = realloc(log->segments, cap * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		log->segments = grown;
		log->segment_cap = cap;
	}
	assert(log->segment_count == 0 || log_active_locked(log)->base_offset < seg->base_offset);
	log->segments[log->segment_count++] = seg;
	atomic_fetch_add(&log->size_bytes, segment_size(seg));
	return 0;
}

int64_t
log_floor_segment_locked(const struct log *log, int64_t offset)
{
	int64_t low = 0;
	int64_t high = log->segment_count;

	/* Most look at the end. */
	if (high > 0 && log->segments[high - 1]->base_offset <= offset)
		return high - 1;
	while (low < high) {
		int64_t mid = low + (high - low) / 2;

		if (log->segments[mid]->base_offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

int
log_remove_segments_locked(struct log *log, uint32_t from, uint32_t count)
{
	int64_t due_ms = env_monotonic_ms(log_env(log)) + log_config_now(log)->file_delete_delay_ms;
	int st = 0;

	log->truncations++;
	for (uint32_t i = from; i < from + count && st == 0; i++)
		st = segment_rename(log->segments[i], LOG_FILE_DELETED);
	/* Even if renaming failed, which takes the directory offline, the rest stays consistent. */
	for (uint32_t i = from; i < from + count; i++) {
		atomic_fetch_sub(&log->size_bytes, segment_size(log->segments[i]));
		trash_add_segment(log->dir->ctx->trash, log->segments[i], due_ms);
	}
	memmove(log->segments + from, log->segments + from + count,
		(log->segment_count - from - count) * sizeof(struct segment *));
	log->segment_count -= count;
	return st;
}

void
log_remember_batch_locked(struct log *log, const struct recent_batch *batch)
{
	int64_t base = log_active_locked(log)->base_offset;

	if (log->recent == NULL)
		log->recent = calloc(1, sizeof(*log->recent));
	if (log->recent == NULL)
		return;
	if (log->recent->segment_base_offset != base)
		*log->recent = (struct recent_batches){.segment_base_offset = base};
	log->recent->ring[log->recent->count++ % RECENT_BATCHES] = *batch;
}

int
log_roll_locked(struct log *log, int64_t base_offset)
{
	struct segment *old = log_active_locked(log);
	struct segment *seg;
	int st;

	if (base_offset < atomic_load(&log->log_end_offset))
		base_offset = atomic_load(&log->log_end_offset);
	if (old->base_offset == base_offset) {
		/* An empty one is as good as a new one. */
		return segment_size(old) == 0 ? 0 : -EEXIST;
	}
	st = segment_seal(old);
	if (st != 0)
		return st;
	producer_state_set_end_offset(&log->producers, base_offset);
	st = log_write_snapshot_locked(log, false);
	if (st != 0)
		return st;
	st = segment_create(log->part, base_offset, LOG_FILE_PLAIN, log_config_now(log), &seg);
	if (st != 0)
		return st;
	st = log_add_segment_locked(log, seg);
	if (st != 0) {
		segment_put(seg);
		return st;
	}
	log->dir_unsynced = true;
	metric_add(log->dir->ctx->metrics.rolls, 1);
	if (base_offset > atomic_load(&log->log_end_offset))
		log_set_end_offset_locked(log, base_offset);
	return 0;
}

int
log_roll(struct log *log)
{
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	lock_acquire(&log->lock);
	st = log_roll_locked(log, 0);
	lock_release(&log->lock);
	if (st == 0)
		log_flush_fully_async(log);
	return log_judge(log, st, "rolling a segment");
}

/* ---- leader epochs ---- */

int
log_write_epochs_locked(struct log *log)
{
	char path[2 * NAME_MAX + 2];
	int st;

	if (!log->epochs.changed)
		return 0;
	partition_dir_name(log->part, path);
	strncat(path, "/" LEADER_EPOCH_CHECKPOINT, sizeof(path) - strlen(path) - 1);
	st = leader_epochs_write(&log->epochs, log_env(log), log->dir->fd, path);
	if (st == 0) {
		log->epochs_unsynced = true;
		log->dir_unsynced = true;
	}
	return st;
}

int
log_assign_epoch_start_offset(struct log *log, int32_t leader_epoch, int64_t start_offset)
{
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	lock_acquire(&log->lock);
	st = leader_epochs_assign(&log->epochs, leader_epoch, start_offset);
	if (st == 0)
		st = log_write_epochs_locked(log);
	lock_release(&log->lock);
	/* On a full disk one may lead: the first append writes the epoch, or is refused. */
	if (st == -ENOSPC || st == -EDQUOT)
		st = 0;
	return log_judge(log, st, "writing leader epochs");
}

int32_t
log_latest_epoch(struct log *log)
{
	int32_t epoch;

	lock_acquire(&log->lock);
	epoch = leader_epochs_latest(&log->epochs);
	lock_release(&log->lock);
	return epoch;
}

void
log_end_offset_for_epoch(struct log *log, int32_t leader_epoch, int32_t *ret_epoch,
			 int64_t *ret_offset)
{
	lock_acquire(&log->lock);
	leader_epochs_end_offset(&log->epochs, leader_epoch, atomic_load(&log->log_end_offset),
				 ret_epoch, ret_offset);
	lock_release(&log->lock);
}

/* ---- producers ---- */

int
log_start_verification(struct log *log, int64_t producer_id, int16_t producer_epoch,
		       int32_t base_sequence, uint64_t *ret_guard)
{
	uint64_t guard = 0;
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	if (!log_config_now(log)->transaction_verification) {
		*ret_guard = 0;
		return 0;
	}
	lock_acquire(&log->lock);
	if (!producer_state_has_open_txn(&log->producers, producer_id)) {
		guard =
		    producer_state_start_verification(&log->producers, producer_id, producer_epoch,
						      base_sequence, env_now_ms(log_env(log)));
		st = guard == 0 ? -ENOMEM : 0;
	}
	lock_release(&log->lock);
	if (st == 0)
		*ret_guard = guard;
	return st;
}

int
log_describe_producers(struct log *log, struct arena *arena, struct log_producer **ret_producers,
		       size_t *ret_count)
{
	struct map_iter iter = {0};
	const struct producer *p;
	struct log_producer *all;
	size_t n = 0;

	lock_acquire(&log->lock);
	all = arena_calloc(arena, producer_state_count(&log->producers), sizeof(*all));
	while (all != NULL && (p = producer_state_next(&log->producers, &iter)) != NULL) {
		const struct producer_batch *newest = producer_newest_batch(p);

		all[n++] = (struct log_producer){
		    .producer_id = p->producer_id,
		    .last_timestamp_ms = p->last_timestamp_ms,
		    .current_txn_start_offset = p->txn_first_offset,
		    .last_sequence = newest != NULL ? newest->last_sequence : NO_SEQUENCE,
		    .coordinator_epoch = p->coordinator_epoch,
		    .producer_epoch = p->epoch,
		};
	}
	lock_release(&log->lock);
	if (all == NULL)
		return -ENOMEM;
	*ret_producers = all;
	*ret_count = n;
	return 0;
}

size_t
log_producer_count(struct log *log)
{
	size_t count;

	lock_acquire(&log->lock);
	count = producer_state_count(&log->producers);
	lock_release(&log->lock);
	return count;
}

int64_t
log_oldest_open_txn_ms(struct log *log)
{
	const struct producer *p = NULL;
	int64_t ms;

	lock_acquire(&log->lock);
	if (log->producers.open.count > 0)
		p = producer_state_find(&log->producers, log->producers.open.txns[0].producer_id);
	ms = p != NULL ? p->last_timestamp_ms : -1;
	lock_release(&log->lock);
	return ms;
}

/* ---- producer snapshots ---- */

int64_t
log_newest_snapshot_locked(const struct log *log)
{
	return log->snapshot_count > 0 ? log->snapshots[log->snapshot_count - 1] : -1;
}

int
log_note_snapshot_locked(struct log *log, int64_t offset)
{
	uint32_t at = log->snapshot_count;

	while (at > 0 && log->snapshots[at - 1] > offset)
		at--;
	if (at > 0 && log->snapshots[at - 1] == offset)
		return 0;
	if (log->snapshot_count == log->snapshot_cap) {
		uint32_t cap = log->snapshot_cap == 0 ? 2 : log->snapshot_cap * 2;
		int64_t *grown = realloc(log->snapshots, cap * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		log->snapshots = grown;
		log->snapshot_cap = cap;
	}
	memmove(log->snapshots + at + 1, log->snapshots + at,
		(log->snapshot_count - at) * sizeof(*log->snapshots));
	log->snapshots[at] = offset;
	log->snapshot_count++;
	return 0;
}

int
log_write_snapshot_locked(struct log *log, bool sync)
{
	int64_t offset = log->producers.end_offset;
	char name[NAME_MAX + 1];
	struct buf content = {0};
	int st;

	/* Nothing lies below the log start offset: a log without records needs none. */
	if (offset <= log_newest_snapshot_locked(log) || offset <= log_start_offset(log))
		return 0;
	partition_dir_name(log->part, name);
	producer_snapshot_encode(&log->producers, &content);
	st = content.failed ? -ENOMEM
			    : producer_snapshot_write(log_env(log), log->dir->fd, name, offset,
						      buf_slice(&content), sync);
	buf_fini(&content);
	if (st == 0)
		st = log_note_snapshot_locked(log, offset);
	if (st == 0)
		log->snapshot_bytes = log->appended_bytes;
	return st;
}

int
log_delete_snapshots_locked(struct log *log, int64_t from, int64_t to)
{
	char name[NAME_MAX + 1];
	uint32_t kept = 0;
	int ret = 0;

	partition_dir_name(log->part, name);
	for (uint32_t i = 0; i < log->snapshot_count; i++) {
		int64_t offset = log->snapshots[i];

		if (offset >= from && offset < to) {
			int st = producer_snapshot_delete(log_env(log), log->dir->fd, name, offset);

			if (st != 0 && ret == 0)
				ret = st;
		} else {
			log->snapshots[kept++] = offset;
		}
	}
	log->snapshot_count = kept;
	return ret;
}

/* ---- the end ---- */

static int
seal_for_close(struct log *log)
{
	int st;

	lock_acquire(&log->lock);
	st = segment_seal(log_active_locked(log));
	if (st == 0) {
		producer_state_set_end_offset(&log->producers, atomic_load(&log->log_end_offset));
		st = log_write_snapshot_locked(log, true);
	}
	if (st == 0)
		st = log_write_epochs_locked(log);
	lock_release(&log->lock);
	return st;
}

int
log_close(struct log *log, bool clean)
{
	int st = 0;

	if (clean && log_check_usable(log) == 0) {
		st = seal_for_close(log);
		if (st == 0)
			st = log_flush_fully(log);
		st = log_judge(log, st, "closing a log");
	}
	atomic_store(&log->gone, true);
	return st;
}

/* Kafka's name for a directory that is to be removed: the topic is shortened to keep it legal. */
static int
format_delete_name(struct log *log, char *name)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t random[16];
	char suffix[64];
	size_t n;

	env_random(log_env(log), random, sizeof(random));
	n = (size_t)snprintf(suffix, sizeof(suffix), "-%" PRId32 ".", log->partition);
	for (size_t i = 0; i < sizeof(random); i++) {
		suffix[n++] = hex[random[i] >> 4];
		suffix[n++] = hex[random[i] & 15];
	}
	snprintf(suffix + n, sizeof(suffix) - n, "-delete");
	return snprintf(name, NAME_MAX + 1, "%.*s%s", (int)(NAME_MAX - strlen(suffix)), log->topic,
			suffix);
}

int
log_delete(struct log *log)
{
	char name[NAME_MAX + 1];
	int64_t due_ms = env_monotonic_ms(log_env(log)) + log_config_now(log)->file_delete_delay_ms;
	int st;

	format_delete_name(log, name);
	lock_acquire(&log->lock);
	atomic_store(&log->gone, true);
	log->truncations++;
	st = partition_dir_rename(log->part, name);
	lock_release(&log->lock);
	if (st == 0)
		trash_add_dir(log->dir->ctx->trash, log->dir->fd, name, due_ms);
	return log_judge(log, st, "deleting a log");
}
