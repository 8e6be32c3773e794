#include "storage/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "wire/kerr.h"
#include "wire/legacy_message.h"

/*
 * Order of an append: the chunk goes to the log file; then size_bytes grows, which shows it to
 * readers; then, every index.interval.bytes, an entry goes to both indexes' tails in memory. A
 * crash in between leaves a log that is longer than its indexes say, never the reverse: an index
 * entry is written only after what it points at.
 *
 * 1. Every batch before an offset index entry's position has smaller offsets than the entry.
 * 2. The time index has an entry only where the offset index had one added at the same time, except
 *    the last one of a segment that does not grow any more. So what lies after the last offset
 * index entry's position is all that has to be scanned for the next offset and the largest
 * timestamp.
 * 3. size_bytes never exceeds the file.
 * 4. The time index in the file covers at least what the offset index in its file covers.
 */

static void
drop_segment(struct segment *seg)
{
	log_file_disown(seg->log);
	index_file_fini(&seg->offsets.entries);
	index_file_fini(&seg->times.entries);
	txn_index_fini(&seg->txns);
	partition_dir_put(seg->dir);
	free(seg);
}

static struct segment *
new_segment(struct partition_dir *dir, int64_t base_offset, enum log_file_stage stage,
	    const struct log_config *config)
{
	struct env *env = partition_dir_env(dir);
	struct segment *seg = calloc(1, sizeof(*seg));
	int64_t jitter = config->segment_jitter_ms < config->segment_ms ? config->segment_jitter_ms
									: config->segment_ms;

	if (seg == NULL)
		return NULL;
	seg->dir = partition_dir_get(dir);
	seg->base_offset = base_offset;
	seg->offsets.base_offset = base_offset;
	seg->times.base_offset = base_offset;
	seg->stage = (uint8_t)stage;
	seg->created_ms = env_now_ms(env);
	seg->jitter_ms = jitter > 0 ? (int64_t)env_random_below(env, (uint64_t)jitter) : 0;
	seg->max_timestamp_ms = SEGMENT_UNREAD;
	seg->first_timestamp_ms = SEGMENT_UNREAD;
	atomic_init(&seg->refs, 1);
	return seg;
}

/* Opens both indexes; their handles are the segment's from here on. */
static int
open_index(struct segment *seg, struct index_file *ix, enum log_file_kind kind, uint8_t entry_size,
	   const struct log_config *config, bool create)
{
	struct log_file *file =
	    log_file_new(seg->dir, seg->base_offset, kind, (enum log_file_stage)seg->stage, create);

	if (file == NULL)
		return -ENOMEM;
	return index_file_open(ix, file, entry_size, config->segment_index_bytes, create);
}

/* The file exists and is empty after this. Content would be someone's data: -EEXIST. */
static int
make_empty(struct log_file *file, bool may_cut)
{
	struct env *env = log_file_env(file);
	struct stat stat;
	int fd, st;

	log_file_get(file);
	fd = log_file_fd(file);
	st = fd < 0 ? fd : env_fstat(env, fd, &stat);
	if (st == 0 && stat.st_size > 0)
		st = may_cut ? env_ftruncate(env, fd, 0) : -EEXIST;
	log_file_put(file);
	return st;
}

static int
preallocate(struct segment *seg, int64_t len)
{
	int fd, st;

	log_file_get(seg->log);
	fd = log_file_fd(seg->log);
	st = fd < 0 ? fd : env_fallocate(log_file_env(seg->log), fd, 0, len);
	log_file_put(seg->log);
	if (st == -EOPNOTSUPP)
		return 0;
	if (st == 0)
		seg->preallocated = true;
	return st;
}

static int
create_files(struct segment *seg, const struct log_config *config)
{
	struct log_file *stale;
	int st;

	seg->log = log_file_new(seg->dir, seg->base_offset, LOG_FILE_LOG,
				(enum log_file_stage)seg->stage, true);
	/* An index without a log is a leftover: make_empty() cuts those. */
	stale = log_file_new(seg->dir, seg->base_offset, LOG_FILE_TXN_INDEX,
			     (enum log_file_stage)seg->stage, false);
	if (seg->log == NULL || stale == NULL) {
		log_file_disown(stale);
		return -ENOMEM;
	}
	st = log_file_unlink(stale);
	log_file_disown(stale);
	if (st == 0)
		st = open_index(seg, &seg->offsets.entries, LOG_FILE_INDEX, OFFSET_INDEX_ENTRY_SIZE,
				config, true);
	if (st == 0)
		st = open_index(seg, &seg->times.entries, LOG_FILE_TIME_INDEX,
				TIME_INDEX_ENTRY_SIZE, config, true);
	if (st == 0)
		st = make_empty(seg->log, seg->stage == LOG_FILE_CLEANED);
	if (st == 0)
		st = make_empty(seg->offsets.entries.file, true);
	if (st == 0)
		st = make_empty(seg->times.entries.file, true);
	if (st == 0 && config->preallocate)
		st = preallocate(seg, config->segment_bytes);
	return st;
}

int
segment_create(struct partition_dir *dir, int64_t base_offset, enum log_file_stage stage,
	       const struct log_config *config, struct segment **ret_seg)
{
	struct segment *seg = new_segment(dir, base_offset, stage, config);
	int st;

	if (seg == NULL)
		return -ENOMEM;
	st = create_files(seg, config);
	if (st != 0) {
		drop_segment(seg);
		return st;
	}
	seg->max_timestamp_ms = -1;
	seg->max_timestamp_offset = base_offset;
	seg->created_files = true;
	*ret_seg = seg;
	return 0;
}

/* Opens one of the two indexes, or makes it where there is none. */
static int
open_or_make(struct segment *seg, struct index_file *ix, enum log_file_kind kind,
	     uint8_t entry_size, const struct log_config *config, bool exists)
{
	int st = open_index(seg, ix, kind, entry_size, config, !exists);

	return st == 0 && !exists ? make_empty(ix->file, true) : st;
}

static int
open_files(struct segment *seg, const struct segment_files *files, const struct log_config *config)
{
	struct log_file *txn_file = NULL;
	struct stat stat;
	int st;

	seg->log = log_file_new(seg->dir, seg->base_offset, LOG_FILE_LOG, LOG_FILE_PLAIN, false);
	if (seg->log == NULL)
		return -ENOMEM;
	st = log_file_stat(seg->log, &stat);
	if (st != 0)
		return st;
	if (stat.st_size > INT32_MAX)
		return -EFBIG;
	atomic_store(&seg->size_bytes, (int32_t)stat.st_size);
	st = open_or_make(seg, &seg->offsets.entries, LOG_FILE_INDEX, OFFSET_INDEX_ENTRY_SIZE,
			  config, files->index);
	if (st == 0)
		st = open_or_make(seg, &seg->times.entries, LOG_FILE_TIME_INDEX,
				  TIME_INDEX_ENTRY_SIZE, config, files->time_index);
	if (st == 0 && files->txn_index) {
		txn_file = log_file_new(seg->dir, seg->base_offset, LOG_FILE_TXN_INDEX,
					LOG_FILE_PLAIN, false);
		if (txn_file == NULL)
			return -ENOMEM;
		st = txn_index_open(&seg->txns, txn_file);
		if (st == 0)
			st = txn_index_check(&seg->txns, seg->base_offset);
	}
	return st;
}

int
segment_open(struct partition_dir *dir, int64_t base_offset, const struct segment_files *files,
	     const struct log_config *config, struct segment **ret_seg)
{
	struct segment *seg = new_segment(dir, base_offset, LOG_FILE_PLAIN, config);
	int st;

	if (seg == NULL)
		return -ENOMEM;
	st = open_files(seg, files, config);
	if (st != 0) {
		drop_segment(seg);
		return st;
	}
	*ret_seg = seg;
	return 0;
}

struct segment *
segment_get(struct segment *seg)
{
	atomic_fetch_add(&seg->refs, 1);
	return seg;
}

void
segment_put(struct segment *seg)
{
	if (seg != NULL && atomic_fetch_sub(&seg->refs, 1) == 1)
		drop_segment(seg);
}

/* ---- append ---- */

int
segment_should_roll(struct segment *seg, const struct log_config *config,
		    const struct segment_chunk *chunk, int64_t now_ms, bool *ret_roll)
{
	int64_t size = segment_size(seg);
	int64_t relative = chunk->last_offset - seg->base_offset;
	int64_t max_ms = config->segment_ms;
	int64_t first_ms, waited_ms;
	int st;

	if (size > (int64_t)config->segment_bytes - (int64_t)chunk->bytes.len || relative < 0 ||
	    relative > INT32_MAX || offset_index_is_full(&seg->offsets) ||
	    time_index_is_full(&seg->times)) {
		*ret_roll = true;
		return 0;
	}
	*ret_roll = false;
	if (size == 0)
		return 0;
	if ((config->cleanup_policy & LOG_CLEANUP_COMPACT) != 0 &&
	    config->max_compaction_lag_ms > 0 && config->max_compaction_lag_ms < max_ms)
		max_ms = config->max_compaction_lag_ms;
	st = segment_first_timestamp(seg, &first_ms);
	if (st != 0)
		return st;
	if (first_ms < 0)
		waited_ms = now_ms - seg->created_ms;
	else if (__builtin_sub_overflow(chunk->max_timestamp_ms, first_ms, &waited_ms))
		waited_ms = 0;
	*ret_roll = waited_ms > max_ms - seg->jitter_ms;
	return 0;
}

/* Makes the file as long as it was before a failed write. */
static int
cut_back(struct segment *seg, int fd, int write_error)
{
	if (env_ftruncate(log_file_env(seg->log), fd, segment_size(seg)) != 0)
		return -EUCLEAN;
	seg->preallocated = false;
	return write_error;
}

static int
write_chunk(struct segment *seg, struct slice bytes)
{
	struct log_file *f = log_file_get(seg->log);
	int fd = log_file_fd(f);
	int st = fd;

	if (fd >= 0) {
		st = env_pwrite(log_file_env(f), fd, bytes.data, bytes.len, segment_size(seg));
		if (st != 0)
			st = cut_back(seg, fd, st);
	}
	log_file_put(f);
	return st;
}

/* Invariant 4: both tails go to their files together. */
static int
make_room_in_tails(struct segment *seg)
{
	if (seg->offsets.entries.tail_count < INDEX_TAIL_ENTRIES &&
	    seg->times.entries.tail_count < INDEX_TAIL_ENTRIES)
		return 0;
	return segment_write_tails(seg, false);
}

int
segment_index_chunk(struct segment *seg, int64_t last_offset, int32_t pos, int64_t max_timestamp_ms,
		    int64_t max_timestamp_offset, int32_t size_bytes,
		    const struct log_config *config)
{
	struct timestamp_offset max;
	int st;

	st = segment_max_timestamp(seg, &max);
	if (st != 0)
		return st;
	if (max_timestamp_ms > max.timestamp_ms) {
		seg->max_timestamp_ms = max_timestamp_ms;
		seg->max_timestamp_offset = max_timestamp_offset;
	}
	if (seg->bytes_since_index > config->index_interval_bytes) {
		st = make_room_in_tails(seg);
		if (st == 0)
			st = offset_index_append(&seg->offsets, last_offset, pos);
		if (st == 0)
			st = time_index_maybe_append(&seg->times, seg->max_timestamp_ms,
						     seg->max_timestamp_offset);
		/* Without room for an entry the next chunk gets one; the index is sparse anyway. */
		if (st != 0 && st != -ENOSPC && st != -ENOMEM)
			return st;
		if (st == 0)
			seg->bytes_since_index = 0;
	}
	seg->bytes_since_index += size_bytes;
	return 0;
}

int
segment_append(struct segment *seg, const struct segment_chunk *chunk,
	       const struct log_config *config)
{
	int32_t pos = segment_size(seg);
	int st;

	assert(chunk->bytes.len > 0 && chunk->bytes.len <= (size_t)(INT32_MAX - pos));
	st = write_chunk(seg, chunk->bytes);
	if (st != 0)
		return st;
	if (pos == 0)
		seg->first_timestamp_ms = chunk->max_timestamp_ms;
	atomic_store_explicit(&seg->size_bytes, pos + (int32_t)chunk->bytes.len,
			      memory_order_release);
	return segment_index_chunk(seg, chunk->last_offset, pos, chunk->max_timestamp_ms,
				   chunk->max_timestamp_offset, (int32_t)chunk->bytes.len, config);
}

int
segment_write_tails(struct segment *seg, bool release)
{
	int st = index_file_write_tail(&seg->times.entries, release);

	if (st == 0)
		st = index_file_write_tail(&seg->offsets.entries, release);
	return st;
}

int
segment_seal(struct segment *seg)
{
	struct timestamp_offset max;
	int st;

	st = segment_max_timestamp(seg, &max);
	if (st != 0)
		return st;
	if (max.timestamp_ms >= 0) {
		st = time_index_maybe_append(&seg->times, max.timestamp_ms, max.offset);
		if (st != 0)
			return st;
	}
	st = segment_write_tails(seg, true);
	if (st == 0 && seg->preallocated) {
		st = log_file_truncate(seg->log, segment_size(seg));
		if (st == 0)
			seg->preallocated = false;
	}
	return st;
}

int
segment_add_aborted_txn(struct segment *seg, const struct aborted_txn *txn)
{
	atomic_store(&seg->txns_unsynced, true);
	return txn_index_append(&seg->txns, seg->dir, seg->base_offset,
				(enum log_file_stage)seg->stage, txn);
}

int
segment_sync_data(struct segment *seg)
{
	int st = log_file_sync(seg->log);

	if (st == 0 && atomic_exchange(&seg->txns_unsynced, false)) {
		st = log_file_sync(seg->txns.file);
		if (st != 0)
			atomic_store(&seg->txns_unsynced, true);
	}
	return st;
}

int
segment_sync(struct segment *seg)
{
	int st = segment_sync_data(seg);

	if (st == 0)
		st = log_file_sync(seg->offsets.entries.file);
	if (st == 0)
		st = log_file_sync(seg->times.entries.file);
	return st;
}

/* ---- what the files say ---- */

int
segment_first_timestamp(struct segment *seg, int64_t *ret_ms)
{
	uint8_t window[BATCH_SCAN_WINDOW];
	struct batch_scan scan;
	struct batch_info batch;
	int st;

	if (seg->first_timestamp_ms == SEGMENT_UNREAD) {
		batch_scan_init(&scan, seg->log, 0, segment_size(seg), window, sizeof(window),
				false);
		st = batch_scan_next(&scan, &batch);
		if (st == -ENODATA) {
			*ret_ms = -1;
			return 0;
		}
		if (st != 0)
			return st;
		seg->first_timestamp_ms = batch.max_timestamp;
	}
	*ret_ms = seg->first_timestamp_ms;
	return 0;
}

/* Invariant 2: everything after the last offset index entry's position. */
static int
scan_tail(struct segment *seg, int64_t *ret_next_offset)
{
	uint8_t window[BATCH_SCAN_WINDOW];
	struct offset_position last;
	struct timestamp_offset max;
	struct batch_scan scan;
	struct batch_info batch;
	int64_t next = seg->base_offset;
	int st;

	st = offset_index_last(&seg->offsets, &last);
	if (st == 0)
		st = time_index_last(&seg->times, &max);
	if (st != 0)
		return st;
	batch_scan_init(&scan, seg->log, last.pos, segment_size(seg), window, sizeof(window),
			false);
	while ((st = batch_scan_next(&scan, &batch)) == 0) {
		next = batch.last_offset + 1;
		if (batch.max_timestamp > max.timestamp_ms)
			max = (struct timestamp_offset){batch.max_timestamp, batch.last_offset};
	}
	if (st != -ENODATA)
		return st;
	/* A part of a batch at the end, or an index that points beyond the log. */
	if (scan.pos != segment_size(seg) || (last.pos > 0 && next == seg->base_offset))
		return K_CORRUPT_MESSAGE;
	seg->max_timestamp_ms = max.timestamp_ms;
	seg->max_timestamp_offset = max.offset;
	seg->bytes_since_index = segment_size(seg) - last.pos;
	*ret_next_offset = next;
	return 0;
}

int
segment_next_offset(struct segment *seg, int64_t *ret_offset)
{
	return scan_tail(seg, ret_offset);
}

int
segment_max_timestamp(struct segment *seg, struct timestamp_offset *ret_max)
{
	if (seg->max_timestamp_ms == SEGMENT_UNREAD) {
		struct timestamp_offset last;
		int st = time_index_last(&seg->times, &last);

		if (st != 0)
			return st;
		seg->max_timestamp_ms = last.timestamp_ms;
		seg->max_timestamp_offset = last.offset;
	}
	*ret_max = (struct timestamp_offset){seg->max_timestamp_ms, seg->max_timestamp_offset};
	return 0;
}

int
segment_largest_timestamp(struct segment *seg, int64_t *ret_ms)
{
	struct timestamp_offset max;
	struct stat stat;
	int st = segment_max_timestamp(seg, &max);

	if (st != 0)
		return st;
	if (max.timestamp_ms < 0) {
		st = log_file_stat(seg->log, &stat);
		if (st != 0)
			return st;
		max.timestamp_ms =
		    (int64_t)stat.st_mtim.tv_sec * 1000 + stat.st_mtim.tv_nsec / 1000000;
	}
	*ret_ms = max.timestamp_ms;
	return 0;
}

/* ---- shortening ---- */

int
segment_truncate_at(struct segment *seg, int32_t pos, int64_t offset)
{
	int64_t next;
	int st;

	/* The indexes first: a crash in between leaves a log that is longer than they say. */
	st = offset_index_truncate_to(&seg->offsets, offset);
	if (st == 0)
		st = time_index_truncate_to(&seg->times, offset);
	if (st == 0 && seg->txns.file != NULL)
		st = txn_index_truncate_to(&seg->txns, seg->base_offset, offset);
	if (st == 0)
		st = log_file_truncate(seg->log, pos);
	if (st != 0)
		return st;
	seg->preallocated = false;
	atomic_store_explicit(&seg->size_bytes, pos, memory_order_release);
	if (pos == 0) {
		seg->created_ms = env_now_ms(partition_dir_env(seg->dir));
		seg->first_timestamp_ms = SEGMENT_UNREAD;
	}
	return scan_tail(seg, &next);
}

int
segment_truncate_to(struct segment *seg, int64_t offset, int64_t *ret_bytes)
{
	struct segment_view v;
	struct batch_info batch;
	int32_t size = segment_size(seg);
	int st;

	segment_view_open(seg, false, &v);
	st = segment_view_locate(&v, offset, &batch);
	segment_view_close(&v);
	if (st == -ENODATA) {
		*ret_bytes = 0;
		return 0;
	}
	if (st == 0)
		st = segment_truncate_at(seg, batch.pos, offset);
	if (st == 0)
		*ret_bytes = size - batch.pos;
	return st;
}

int
segment_rename(struct segment *seg, enum log_file_stage stage)
{
	struct log_file *files[] = {seg->offsets.entries.file, seg->times.entries.file,
				    seg->txns.file, seg->log};

	/* The log last: indexes without a log are known for leftovers. */
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int st = files[i] != NULL ? log_file_rename(files[i], stage) : 0;

		if (st != 0)
			return st;
	}
	seg->stage = (uint8_t)stage;
	return 0;
}

int
segment_unlink(struct segment *seg)
{
	struct log_file *files[] = {seg->log, seg->offsets.entries.file, seg->times.entries.file,
				    seg->txns.file};
	int ret = 0;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int st = files[i] != NULL ? log_file_unlink(files[i]) : 0;

		if (st != 0 && ret == 0)
			ret = st;
	}
	return ret;
}

/* ---- reading ---- */

void
segment_view_open(struct segment *seg, bool nowait, struct segment_view *ret_view)
{
	ret_view->seg = segment_get(seg);
	ret_view->size_bytes = segment_size(seg);
	ret_view->nowait = nowait;
	index_file_view(&seg->offsets.entries, nowait, &ret_view->offsets);
}

void
segment_view_close(struct segment_view *v)
{
	index_view_close(&v->offsets);
	segment_put(v->seg);
	v->seg = NULL;
}

int
segment_view_locate(const struct segment_view *v, int64_t offset, struct batch_info *ret_batch)
{
	uint8_t window[BATCH_SCAN_WINDOW];
	struct offset_position floor;
	struct batch_scan scan;
	struct batch_info batch;
	int st;

	st = offset_index_floor(&v->offsets, v->seg->base_offset, offset, &floor);
	if (st != 0)
		return st;
	batch_scan_init(&scan, v->seg->log, floor.pos, v->size_bytes, window, sizeof(window),
			v->nowait);
	while ((st = batch_scan_next(&scan, &batch)) == 0) {
		if (batch.last_offset >= offset) {
			*ret_batch = batch;
			return 0;
		}
	}
	return st;
}

struct timestamp_search {
	struct record_batch batch; /* the one that is walked */
	int64_t timestamp_ms;
	int64_t start_offset;
	struct timestamp_offset found;
};

/* What a walk returns when it ends because it has found. */
#define FOUND (-EALREADY)

static int
match_record(void *arg, const struct record_facts *facts)
{
	struct timestamp_search *s = arg;
	const struct record record = {.timestamp_delta = facts->timestamp_delta};
	int64_t timestamp_ms = record_timestamp(&s->batch, &record);
	int64_t offset = s->batch.base_offset + facts->offset_delta;

	if (timestamp_ms < s->timestamp_ms || offset < s->start_offset)
		return 0;
	s->found = (struct timestamp_offset){timestamp_ms, offset};
	return FOUND;
}

/* A record may be as large as INT32_MAX; nothing of it is kept. */
#define WALK_LIMIT ((size_t)INT32_MAX)

static int
match_legacy(struct slice bytes, struct timestamp_search *s)
{
	struct legacy_message outer, inner;
	struct legacy_iter it;
	int st = legacy_message_parse(bytes, &outer);

	if (st == 0)
		st = legacy_iter_init(&it, &outer, WALK_LIMIT);
	if (st != 0)
		return st;
	while (legacy_iter_next(&it, &inner)) {
		if (inner.timestamp >= s->timestamp_ms && inner.offset >= s->start_offset) {
			s->found = (struct timestamp_offset){inner.timestamp, inner.offset};
			st = FOUND;
			break;
		}
	}
	if (st == 0)
		st = it.status;
	legacy_iter_fini(&it);
	return st;
}

static int
match_batch(struct batch_scan *scan, const struct batch_info *info, struct buf *scratch,
	    struct timestamp_search *s)
{
	struct slice bytes;
	int st = batch_scan_bytes(scan, info, scratch, &bytes);

	if (st != 0)
		return st;
	if (info->magic != RECORD_BATCH_MAGIC)
		return match_legacy(bytes, s);
	st = record_batch_parse(bytes, &s->batch);
	if (st != 0)
		return st;
	return record_batch_walk(&s->batch, WALK_LIMIT, match_record, s);
}

int
segment_view_find_timestamp(const struct segment_view *v, int64_t from, int64_t timestamp_ms,
			    int64_t start_offset, struct timestamp_offset *ret_found,
			    int32_t *ret_leader_epoch)
{
	struct timestamp_search s = {.timestamp_ms = timestamp_ms, .start_offset = start_offset};
	uint8_t window[BATCH_SCAN_WINDOW];
	struct buf scratch = {0};
	struct offset_position floor;
	struct batch_scan scan;
	struct batch_info batch;
	int st;

	st = offset_index_floor(&v->offsets, v->seg->base_offset, from, &floor);
	if (st != 0)
		return st;
	batch_scan_init(&scan, v->seg->log, floor.pos, v->size_bytes, window, sizeof(window),
			false);
	while ((st = batch_scan_next(&scan, &batch)) == 0) {
		if (batch.max_timestamp < timestamp_ms || batch.last_offset < start_offset)
			continue;
		st = match_batch(&scan, &batch, &scratch, &s);
		if (st != 0)
			break;
	}
	buf_fini(&scratch);
	if (st != FOUND)
		return st;
	*ret_found = s.found;
	*ret_leader_epoch = batch.leader_epoch;
	return 0;
}
