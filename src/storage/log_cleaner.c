#include "storage/log_cleaner.h"

#include <errno.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <time.h>

#include "base/diag.h"
#include "storage/cleaned_txns.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"
#include "wire/record_batch_builder.h"

/*
 * The new segment of a group is written beside the old ones as .cleaned and fsynced. Replacing
 *them:
 *
 *	1. .cleaned becomes .swap		a crash before: all of it is removed at the start
 *	2. the old ones become .deleted		a crash from here on: the start finishes the
 *replacement
 *	3. .swap loses its suffix, the directory is fsynced
 *
 * Steps 1 to 3 happen under the log's lock, so that readers see either the old or the new row.
 * Batches keep their base offset, last offset, producer, sequence and epoch, whatever they lose.
 */

#define SCAN_WINDOW ((size_t)256 << 10)
/* Batches are written, and indexed, in chunks of about this size. */
#define CHUNK_BYTES ((size_t)64 << 10)
/* Of a batch, decompressed; the log accepted it once. */
#define PAYLOAD_LIMIT ((size_t)INT32_MAX)

/* The last thing that is in the log of a producer: it must stay, even without its records. */
struct last_of_producer {
	int64_t last_offset; /* -1: only a marker is known */
	int16_t epoch;
};

struct pass {
	struct log *log;
	struct log_config config;
	const struct log_to_clean *what;
	struct offset_map *map;
	int64_t map_latest_offset; /* the map knows all up to and including this one */
	const struct clean_pace *pace;
	struct clean_stats stats;
	int64_t now_ms;
	int64_t begin_us;
	uint32_t end_cuts;
	struct segment **segments; /* counted: all that are not active, by base */
	uint32_t segment_count;
	struct aborted_txn *aborted; /* by first offset */
	size_t aborted_count;
	struct map last; /* producer id -> struct last_of_producer */
	uint8_t *window;
	struct buf batch_bytes; /* a batch larger than the window */
	struct buf payload;     /* decompressed */
	bool retain_legacy_tombstones;
};

/* A chunk that gathers batches for the new segment. */
struct output {
	struct segment *seg;
	struct buf bytes;
	struct segment_chunk chunk;
};

static int64_t
mtime_ms(struct segment *seg, int *ret_st)
{
	struct stat stat = {0};

	*ret_st = log_file_stat(seg->log, &stat);
	return (int64_t)stat.st_mtim.tv_sec * 1000 + stat.st_mtim.tv_nsec / 1000000;
}

/* ---- what to clean ---- */

/* Under the lock: where the part begins that min.compaction.lag.ms protects. */
static int
find_protected(struct log *log, const struct log_config *config, int64_t from, int64_t limit,
	       int64_t now_ms, int64_t *ret_offset)
{
	*ret_offset = limit;
	if (config->min_compaction_lag_ms <= 0)
		return 0;
	for (uint32_t i = 0; i + 1 < log->segment_count; i++) {
		struct segment *seg = log->segments[i];
		int64_t largest_ms;
		int st;

		if (log->segments[i + 1]->base_offset <= from || seg->base_offset >= limit)
			continue;
		st = segment_largest_timestamp(seg, &largest_ms);
		if (st != 0)
			return st;
		if (largest_ms > now_ms - config->min_compaction_lag_ms) {
			*ret_offset = seg->base_offset;
			return 0;
		}
	}
	return 0;
}

/* Under the lock: is the oldest dirty segment older than max.compaction.lag.ms allows? */
static int
is_overdue(struct log *log, const struct log_config *config, int64_t from, int64_t now_ms,
	   bool *ret_overdue)
{
	*ret_overdue = false;
	if (config->max_compaction_lag_ms == INT64_MAX)
		return 0;
	for (uint32_t i = 0; i + 1 < log->segment_count; i++) {
		int64_t first_ms;
		int st;

		if (log->segments[i + 1]->base_offset <= from)
			continue;
		st = segment_first_timestamp(log->segments[i], &first_ms);
		if (st != 0)
			return st;
		if (first_ms > 0 && first_ms < now_ms - config->max_compaction_lag_ms)
			*ret_overdue = true;
	}
	return 0;
}

static int
find_cleanable_locked(struct log *log, int64_t checkpoint, int64_t now_ms, struct log_to_clean *ret)
{
	const struct log_config *config = log_config_now(log);
	int64_t start = log_start_offset(log);
	int64_t limit = log_last_stable_offset(log);
	int64_t active = log_active_locked(log)->base_offset;
	int st;

	*ret = (struct log_to_clean){.first_dirty_offset = checkpoint};
	if (checkpoint < start || checkpoint > log_end_offset(log))
		ret->first_dirty_offset = start;
	if (active < limit)
		limit = active;
	st = find_protected(log, config, ret->first_dirty_offset, limit, now_ms,
			    &ret->first_uncleanable_offset);
	if (st == 0)
		st = is_overdue(log, config, ret->first_dirty_offset, now_ms, &ret->overdue);
	if (st != 0)
		return st;
	for (uint32_t i = 0; i + 1 < log->segment_count; i++) {
		int64_t base = log->segments[i]->base_offset;
		int64_t end = log->segments[i + 1]->base_offset;

		if (end > ret->first_dirty_offset && base < ret->first_uncleanable_offset)
			ret->cleanable_bytes += segment_size(log->segments[i]);
		else if (base < ret->first_dirty_offset)
			ret->clean_bytes += segment_size(log->segments[i]);
	}
	return 0;
}

int
log_find_cleanable(struct log *log, int64_t checkpoint, int64_t now_ms, struct log_to_clean *ret)
{
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	lock_acquire(&log->lock);
	st = find_cleanable_locked(log, checkpoint, now_ms, ret);
	lock_release(&log->lock);
	return log_judge(log, st, "looking for what to compact");
}

/* ---- the pass ---- */

static int
check_pass(struct pass *p)
{
	bool cut;

	if (atomic_load(p->pace->stop) || log_check_usable(p->log) != 0)
		return -ECANCELED;
	lock_acquire(&p->log->lock);
	cut = p->log->end_cuts != p->end_cuts;
	lock_release(&p->log->lock);
	return cut ? -ECANCELED : 0;
}

/* log.cleaner.io.max.bytes.per.second */
static void
keep_pace(struct pass *p)
{
	double bytes = (double)(p->stats.bytes_read + p->stats.bytes_written);
	double due_us = bytes / p->pace->bytes_per_second * 1e6;
	int64_t spent_us = env_monotonic_us(log_env(p->log)) - p->begin_us;
	struct timespec pause;

	if (due_us <= (double)spent_us + 1000)
		return;
	due_us -= (double)spent_us;
	if (due_us > 1e6)
		due_us = 1e6; /* so that a stop is seen */
	pause.tv_sec = (time_t)(due_us / 1e6);
	pause.tv_nsec = (long)((due_us - (double)pause.tv_sec * 1e6) * 1e3);
	nanosleep(&pause, NULL);
}

static int
compare_aborted(const void *left, const void *right)
{
	const struct aborted_txn *a = left;
	const struct aborted_txn *b = right;

	return a->first_offset < b->first_offset ? -1 : a->first_offset > b->first_offset;
}

static int
read_txn_index(struct pass *p, struct log_file *file, uint32_t count)
{
	struct aborted_txn *grown =
	    realloc(p->aborted, (p->aborted_count + count) * sizeof(*grown));
	int st = 0;

	if (grown == NULL)
		return -ENOMEM;
	p->aborted = grown;
	for (uint32_t i = 0; i < count && st == 0; i++) {
		st = txn_index_read(file, i, INT64_MIN, &p->aborted[p->aborted_count]);
		if (st == 0)
			p->aborted_count++;
	}
	return st;
}

/* Every aborted transaction of the log, those of the active segment too: it may begin before. */
static int
collect_aborted(struct pass *p)
{
	int st = 0;

	for (uint32_t i = 0; st == 0; i++) {
		struct log_file *file = NULL;
		uint32_t count = 0;
		bool end;

		lock_acquire(&p->log->lock);
		end = i >= p->log->segment_count;
		if (!end && p->log->segments[i]->txns.count > 0) {
			file = log_file_get(p->log->segments[i]->txns.file);
			count = p->log->segments[i]->txns.count;
		}
		lock_release(&p->log->lock);
		if (end)
			break;
		if (file != NULL)
			st = read_txn_index(p, file, count);
		log_file_put(file);
	}
	if (st == 0 && p->aborted_count > 1)
		qsort(p->aborted, p->aborted_count, sizeof(*p->aborted), compare_aborted);
	return st;
}

static int
collect_producers_locked(struct pass *p)
{
	struct map_iter iter = {0};
	const struct producer *producer;

	while ((producer = producer_state_next(&p->log->producers, &iter)) != NULL) {
		const struct producer_batch *newest = producer_newest_batch(producer);
		struct last_of_producer *last = malloc(sizeof(*last));

		if (last == NULL)
			return -ENOMEM;
		last->last_offset = newest != NULL ? newest->last_offset : -1;
		last->epoch = producer->epoch;
		if (map_put(&p->last, &producer->producer_id, sizeof(int64_t), last, NULL) != 0) {
			free(last);
			return -ENOMEM;
		}
	}
	return 0;
}

static int
open_pass(struct pass *p)
{
	struct log *log = p->log;
	int st;

	p->window = malloc(SCAN_WINDOW);
	if (p->window == NULL)
		return -ENOMEM;
	lock_acquire(&log->lock);
	p->end_cuts = log->end_cuts;
	p->segments = calloc(log->segment_count, sizeof(struct segment *));
	st = p->segments == NULL ? -ENOMEM : collect_producers_locked(p);
	for (uint32_t i = 0; st == 0 && i + 1 < log->segment_count; i++)
		p->segments[p->segment_count++] = segment_get(log->segments[i]);
	lock_release(&log->lock);
	return st != 0 ? st : collect_aborted(p);
}

static void
close_pass(struct pass *p)
{
	struct map_iter iter = {0};
	void *value;

	for (uint32_t i = 0; i < p->segment_count; i++)
		segment_put(p->segments[i]);
	free(p->segments);
	free(p->aborted);
	while ((value = map_next(&p->last, &iter)) != NULL)
		free(value);
	map_fini(&p->last);
	free(p->window);
	buf_fini(&p->batch_bytes);
	buf_fini(&p->payload);
}

/* The whole batch that the scan stands behind; of magic 2 also parsed. */
static int
read_batch(struct pass *p, struct batch_scan *scan, const struct batch_info *info,
	   struct slice *ret_bytes, struct record_batch *ret_batch)
{
	int st = batch_scan_bytes(scan, info, &p->batch_bytes, ret_bytes);

	if (st == 0 && info->magic == RECORD_BATCH_MAGIC)
		st = record_batch_parse(*ret_bytes, ret_batch);
	return st;
}

/* ---- 1: the map ---- */

static int
map_records(struct pass *p, const struct record_batch *batch, bool *ret_full)
{
	struct record_iter it;
	struct record record;
	struct slice payload;
	int st = record_batch_payload(batch, PAYLOAD_LIMIT, &p->payload, &payload);

	if (st != 0)
		return st;
	record_iter_init(&it, payload, batch->record_count);
	while (record_iter_next(&it, &record)) {
		int64_t offset = batch->base_offset + record.offset_delta;

		if (record.key.data == NULL || offset < p->what->first_dirty_offset)
			continue;
		if (!offset_map_put(p->map, record.key, offset)) {
			*ret_full = true;
			return 0;
		}
	}
	return it.status;
}

static int
map_legacy(struct pass *p, struct slice bytes, bool *ret_full)
{
	struct legacy_message outer, inner;
	struct legacy_iter it;
	int st = legacy_message_parse(bytes, &outer);

	if (st == 0)
		st = legacy_iter_init(&it, &outer, PAYLOAD_LIMIT);
	if (st != 0)
		return st;
	while (!*ret_full && legacy_iter_next(&it, &inner)) {
		if (inner.key.data != NULL && inner.offset >= p->what->first_dirty_offset)
			*ret_full = !offset_map_put(p->map, inner.key, inner.offset);
	}
	st = it.status;
	legacy_iter_fini(&it);
	return st;
}

static int
map_batch(struct pass *p, struct cleaned_txns *txns, struct batch_scan *scan,
	  const struct batch_info *info, bool *ret_full)
{
	struct aborted_txn unused;
	struct record_batch batch;
	struct slice bytes;
	bool aborted, kept;
	int st = read_batch(p, scan, info, &bytes, &batch);

	if (st != 0)
		return st;
	if (info->magic < RECORD_BATCH_MAGIC)
		return map_legacy(p, bytes, ret_full);
	if (record_batch_is_control(&batch))
		return cleaned_txns_control(txns, &batch, &aborted, &kept, &unused);
	st = cleaned_txns_data(txns, &batch, &aborted);
	if (st != 0 || aborted)
		return st;
	return map_records(p, &batch, ret_full);
}

/* The dirty part of one segment. end: the offset up to which the segment reaches. */
static int
map_segment(struct pass *p, struct cleaned_txns *txns, struct segment *seg, int64_t end,
	    bool *ret_full)
{
	struct batch_scan scan;
	struct batch_info info;
	int st;

	batch_scan_init(&scan, seg->log, 0, segment_size(seg), p->window, SCAN_WINDOW, false);
	while ((st = batch_scan_next(&scan, &info)) == 0) {
		if (info.last_offset < p->what->first_dirty_offset)
			continue;
		st = check_pass(p);
		if (st == 0)
			st = map_batch(p, txns, &scan, &info, ret_full);
		if (st != 0 || *ret_full)
			return st;
		p->stats.bytes_read += info.size_bytes;
		p->map_latest_offset = info.last_offset;
		keep_pace(p);
	}
	if (st != -ENODATA)
		return st;
	if (scan.pos != segment_size(seg))
		return K_CORRUPT_MESSAGE;
	if (end - 1 > p->map_latest_offset)
		p->map_latest_offset = end - 1;
	return 0;
}

/* The offset after segment i. */
static int64_t
end_of(const struct pass *p, uint32_t i, int64_t limit)
{
	int64_t end = i + 1 < p->segment_count ? p->segments[i + 1]->base_offset : limit;

	return end < limit ? end : limit;
}

static int
build_map(struct pass *p)
{
	int64_t limit = p->what->first_uncleanable_offset;
	struct cleaned_txns txns;
	bool full = false;
	int st = 0;

	p->map_latest_offset = -1;
	cleaned_txns_init(&txns, p->aborted, p->aborted_count);
	for (uint32_t i = 0; i < p->segment_count && st == 0 && !full; i++) {
		int64_t end = end_of(p, i, limit);

		if (end > p->what->first_dirty_offset && p->segments[i]->base_offset < limit)
			st = map_segment(p, &txns, p->segments[i], end, &full);
	}
	cleaned_txns_fini(&txns);
	if (st == 0 && p->map_latest_offset < p->what->first_dirty_offset)
		return full ? -EOVERFLOW : -ECANCELED;
	return st;
}

/* ---- 2: rewriting ---- */

static int
flush_output(struct pass *p, struct output *out)
{
	int st;

	if (out->bytes.failed)
		return -ENOMEM;
	if (out->bytes.len == 0)
		return 0;
	/* Compressed anew a batch may have grown. */
	if (out->bytes.len > (size_t)(INT32_MAX - segment_size(out->seg)))
		return -EOVERFLOW;
	out->chunk.bytes = buf_slice(&out->bytes);
	st = segment_append(out->seg, &out->chunk, &p->config);
	p->stats.bytes_written += (int64_t)out->bytes.len;
	out->bytes.len = 0;
	return st;
}

/* Adds one batch, whose last offset and max timestamp go into the indexes. */
static int
put_batch(struct pass *p, struct output *out, struct slice bytes, int64_t last_offset,
	  int64_t max_timestamp)
{
	int st = 0;

	if (out->bytes.len > 0 && out->bytes.len + bytes.len > CHUNK_BYTES)
		st = flush_output(p, out);
	if (st != 0)
		return st;
	if (out->bytes.len == 0)
		out->chunk = (struct segment_chunk){.max_timestamp_ms = NO_TIMESTAMP};
	buf_append(&out->bytes, bytes.data, bytes.len);
	out->chunk.last_offset = last_offset;
	if (max_timestamp > out->chunk.max_timestamp_ms) {
		out->chunk.max_timestamp_ms = max_timestamp;
		out->chunk.max_timestamp_offset = last_offset;
	}
	return out->bytes.failed ? -ENOMEM : 0;
}

/* Is this the last that the log has of its producer? */
static bool
is_last_of_producer(const struct pass *p, const struct record_batch *batch)
{
	const struct last_of_producer *last;

	if (!record_batch_has_producer_id(batch))
		return false;
	last = map_get(&p->last, &batch->producer_id, sizeof(int64_t));
	if (last == NULL)
		return false;
	if (last->last_offset >= 0)
		return record_batch_last_offset(batch) == last->last_offset;
	return record_batch_is_control(batch) && batch->producer_epoch == last->epoch;
}

static bool
has_horizon(const struct record_batch *batch)
{
	return (batch->attributes & BATCH_DELETE_HORIZON) != 0;
}

static bool
retain_record(const struct pass *p, const struct record_batch *batch, const struct record *record)
{
	int64_t offset = batch->base_offset + record->offset_delta;

	if (offset > p->map_latest_offset)
		return true;
	if (record->key.data == NULL || offset < offset_map_get(p->map, record->key))
		return false;
	return record->value.data != NULL || !has_horizon(batch) ||
	       p->now_ms < batch->base_timestamp;
}

/* How a batch is to be treated as a whole. */
struct verdict {
	bool drop_records; /* all of them */
	bool keep_empty;   /* the header stays when no record does */
	bool empty_txn;    /* a marker of a transaction without data */
};

static int
judge_batch(struct pass *p, struct cleaned_txns *txns, struct output *out,
	    const struct record_batch *batch, struct verdict *ret)
{
	struct aborted_txn txn;
	bool discardable, keep_aborted = false;
	int st;

	if (record_batch_is_control(batch)) {
		st = cleaned_txns_control(txns, batch, &discardable, &keep_aborted, &txn);
		if (st == 0 && keep_aborted)
			st = segment_add_aborted_txn(out->seg, &txn);
		ret->drop_records =
		    discardable && has_horizon(batch) && batch->base_timestamp <= p->now_ms;
		ret->empty_txn = discardable;
	} else {
		st = cleaned_txns_data(txns, batch, &discardable);
		ret->drop_records = discardable;
		ret->empty_txn = false;
	}
	ret->keep_empty = is_last_of_producer(p, batch);
	return st;
}

/* What a look at the records says. */
struct filter_result {
	int32_t kept;
	int32_t read;
	bool tombstones;
};

static int
filter_records(struct pass *p, const struct record_batch *batch, struct slice payload,
	       const struct verdict *v, struct record_batch_builder *b, struct filter_result *ret)
{
	bool control = record_batch_is_control(batch);
	struct record_iter it;
	struct record record;

	*ret = (struct filter_result){0};
	record_iter_init(&it, payload, batch->record_count);
	while (record_iter_next(&it, &record)) {
		ret->read++;
		if (v->drop_records || (!control && !retain_record(p, batch, &record)))
			continue;
		ret->kept++;
		ret->tombstones |= record.value.data == NULL;
		if (b != NULL)
			record_batch_builder_append_record(b, record_timestamp(batch, &record),
							   record.offset_delta, &record);
	}
	return it.status;
}

static void
init_builder(const struct record_batch *batch, struct record_batch_builder *b)
{
	enum compression codec = record_batch_compression(batch);

	record_batch_builder_init(b, codec, compression_default_level(codec));
	b->base_offset = batch->base_offset;
	b->leader_epoch = batch->leader_epoch;
	b->producer_id = batch->producer_id;
	b->producer_epoch = batch->producer_epoch;
	b->base_sequence = batch->base_sequence;
	b->timestamp_type = record_batch_timestamp_type(batch);
	b->log_append_time_ms = batch->max_timestamp;
	b->delete_horizon_ms = has_horizon(batch) ? batch->base_timestamp : -1;
	b->transactional = record_batch_is_transactional(batch);
	b->control = record_batch_is_control(batch);
	b->last_offset_delta = batch->last_offset_delta;
}

/* Builds the batch anew from the records that stay. */
static int
rebuild_batch(struct pass *p, struct output *out, const struct record_batch *batch,
	      struct slice payload, const struct verdict *v, bool set_horizon)
{
	struct record_batch_builder b;
	struct filter_result result;
	struct record_batch rebuilt;
	struct buf bytes = {0};
	int st;

	init_builder(batch, &b);
	if (set_horizon)
		b.delete_horizon_ms = p->now_ms + p->config.delete_retention_ms;
	st = filter_records(p, batch, payload, v, &b, &result);
	if (st == 0)
		st = record_batch_builder_finish(&b, &bytes);
	record_batch_builder_fini(&b);
	if (st == 0)
		st = record_batch_parse(buf_slice(&bytes), &rebuilt);
	if (st == 0)
		st = put_batch(p, out, buf_slice(&bytes), record_batch_last_offset(&rebuilt),
			       rebuilt.max_timestamp);
	buf_fini(&bytes);
	return st;
}

static int
put_empty(struct pass *p, struct output *out, const struct record_batch *batch)
{
	struct buf bytes = {0};
	int st = record_batch_build_empty(batch, &bytes);

	if (st == 0)
		st = put_batch(p, out, buf_slice(&bytes), record_batch_last_offset(batch),
			       batch->max_timestamp);
	buf_fini(&bytes);
	return st;
}

static int
clean_batch(struct pass *p, struct cleaned_txns *txns, struct output *out,
	    const struct record_batch *batch)
{
	struct filter_result result;
	struct slice payload;
	struct verdict v;
	bool set_horizon;
	int st = judge_batch(p, txns, out, batch, &v);

	if (st != 0 || (v.drop_records && !v.keep_empty))
		return st;
	st = record_batch_payload(batch, PAYLOAD_LIMIT, &p->payload, &payload);
	if (st == 0)
		st = filter_records(p, batch, payload, &v, NULL, &result);
	if (st != 0)
		return st;
	p->stats.records_read += result.read;
	p->stats.records_written += result.kept;
	if (result.kept == 0)
		return v.keep_empty ? put_empty(p, out, batch) : 0;
	set_horizon = (result.tombstones || v.empty_txn) && !has_horizon(batch);
	if (result.kept == result.read && !set_horizon)
		return put_batch(p, out, batch->whole, record_batch_last_offset(batch),
				 batch->max_timestamp);
	return rebuild_batch(p, out, batch, payload, &v, set_horizon);
}

/* Old formats are kept or dropped as they are: a wrapper stays while any of its messages does. */
static int
clean_legacy(struct pass *p, struct output *out, const struct batch_info *info, struct slice bytes)
{
	struct legacy_message outer, inner;
	struct legacy_iter it;
	bool keep = false;
	int st = legacy_message_parse(bytes, &outer);

	if (st == 0)
		st = legacy_iter_init(&it, &outer, PAYLOAD_LIMIT);
	if (st != 0)
		return st;
	while (legacy_iter_next(&it, &inner)) {
		p->stats.records_read++;
		if (inner.offset > p->map_latest_offset)
			keep = true;
		else if (inner.key.data != NULL &&
			 inner.offset >= offset_map_get(p->map, inner.key))
			keep |= inner.value.data != NULL || p->retain_legacy_tombstones;
	}
	st = it.status;
	legacy_iter_fini(&it);
	if (st != 0 || !keep)
		return st;
	return put_batch(p, out, bytes, info->last_offset, info->max_timestamp);
}

static int
clean_segment(struct pass *p, struct cleaned_txns *txns, struct output *out, struct segment *seg)
{
	struct batch_scan scan;
	struct batch_info info;
	int st;

	batch_scan_init(&scan, seg->log, 0, segment_size(seg), p->window, SCAN_WINDOW, false);
	while ((st = batch_scan_next(&scan, &info)) == 0) {
		struct record_batch batch;
		struct slice bytes;

		st = check_pass(p);
		if (st == 0)
			st = read_batch(p, &scan, &info, &bytes, &batch);
		if (st == 0)
			st = info.magic < RECORD_BATCH_MAGIC ? clean_legacy(p, out, &info, bytes)
							     : clean_batch(p, txns, out, &batch);
		if (st != 0)
			return st;
		p->stats.bytes_read += info.size_bytes;
		keep_pace(p);
	}
	if (st != -ENODATA)
		return st;
	return scan.pos == segment_size(seg) ? 0 : K_CORRUPT_MESSAGE;
}

/* ---- 3: replacing ---- */

/* Under the lock: the old segments [from, from + count) are still those of the pass. */
static bool
still_there_locked(const struct pass *p, uint32_t first, uint32_t count, uint32_t *ret_from)
{
	struct log *log = p->log;
	int64_t at = log_floor_segment_locked(log, p->segments[first]->base_offset);

	if (at < 0 || log->end_cuts != p->end_cuts || at + count >= log->segment_count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (log->segments[at + i] != p->segments[first + i])
			return false;
	}
	*ret_from = (uint32_t)at;
	return true;
}

static int
replace_locked(struct pass *p, uint32_t first, uint32_t count, struct segment *cleaned)
{
	struct log *log = p->log;
	int64_t from_base = p->segments[first]->base_offset;
	int64_t last_base = p->segments[first + count - 1]->base_offset;
	uint32_t from;
	int st;

	if (log_check_usable(log) != 0 || !still_there_locked(p, first, count, &from))
		return -ECANCELED;
	st = segment_rename(cleaned, LOG_FILE_SWAP);
	if (st != 0)
		return st;
	st = log_remove_segments_locked(log, from, count);
	if (st == 0)
		st = segment_rename(cleaned, LOG_FILE_PLAIN);
	/* The row must not have a hole, even if the directory is going offline. */
	memmove(log->segments + from + 1, log->segments + from,
		(log->segment_count - from) * sizeof(struct segment *));
	log->segments[from] = segment_get(cleaned);
	log->segment_count++;
	atomic_fetch_add(&log->size_bytes, segment_size(cleaned));
	log->dir_unsynced = true;
	/* Those of bases that are no segment's any more. */
	if (st == 0)
		st = log_delete_snapshots_locked(log, from_base + 1, last_base + 1);
	return st;
}

/* The new segment is as old as the last of those that it replaces. */
static int
copy_mtime(struct segment *from, struct segment *to)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat stat;
	int fd, st;

	st = log_file_stat(from->log, &stat);
	if (st != 0)
		return st;
	times[1] = stat.st_mtim;
	log_file_get(to->log);
	fd = log_file_fd(to->log);
	st = fd < 0 ? fd : futimens(fd, times) != 0 ? -errno : 0;
	log_file_put(to->log);
	return st;
}

static int
clean_group(struct pass *p, struct cleaned_txns *txns, uint32_t first, uint32_t count,
	    int64_t legacy_horizon_ms)
{
	struct log *log = p->log;
	struct output out = {0};
	int st;

	st = segment_create(log->part, p->segments[first]->base_offset, LOG_FILE_CLEANED,
			    &p->config, &out.seg);
	if (st != 0)
		return st;
	for (uint32_t i = first; i < first + count && st == 0; i++) {
		p->retain_legacy_tombstones = mtime_ms(p->segments[i], &st) > legacy_horizon_ms;
		if (st == 0)
			st = clean_segment(p, txns, &out, p->segments[i]);
	}
	if (st == 0)
		st = flush_output(p, &out);
	if (st == 0)
		st = segment_seal(out.seg);
	if (st == 0)
		st = segment_sync(out.seg);
	if (st == 0)
		st = copy_mtime(p->segments[first + count - 1], out.seg);
	if (st == 0) {
		lock_acquire(&log->lock);
		st = replace_locked(p, first, count, out.seg);
		lock_release(&log->lock);
	}
	if (out.seg->stage == LOG_FILE_CLEANED)
		(void)!segment_unlink(out.seg);
	segment_put(out.seg);
	buf_fini(&out.bytes);
	return st;
}

/* How many segments from `first` on become one. */
static uint32_t
group_size(const struct pass *p, uint32_t first, uint32_t end)
{
	int64_t size = segment_size(p->segments[first]);
	int64_t offsets = index_file_count(&p->segments[first]->offsets.entries);
	int64_t times = index_file_count(&p->segments[first]->times.entries);
	int64_t base = p->segments[first]->base_offset;
	uint32_t n = 1;

	for (; first + n < end; n++) {
		const struct segment *next = p->segments[first + n];
		int64_t last_offset = end_of(p, first + n, p->what->first_uncleanable_offset) - 1;

		size += segment_size(next);
		offsets += index_file_count(&next->offsets.entries);
		times += index_file_count(&next->times.entries);
		if (size > p->config.segment_bytes ||
		    offsets * OFFSET_INDEX_ENTRY_SIZE > p->config.segment_index_bytes ||
		    times * TIME_INDEX_ENTRY_SIZE > p->config.segment_index_bytes ||
		    (segment_size(next) > 0 && last_offset - base > INT32_MAX))
			break;
	}
	return n;
}

static int
rewrite(struct pass *p)
{
	int64_t legacy_horizon_ms = 0;
	struct cleaned_txns txns;
	uint32_t end = 0;
	int st = 0;

	for (; end < p->segment_count && st == 0 &&
	       p->segments[end]->base_offset <= p->map_latest_offset;
	     end++) {
		if (p->segments[end]->base_offset < p->what->first_dirty_offset)
			legacy_horizon_ms =
			    mtime_ms(p->segments[end], &st) - p->config.delete_retention_ms;
	}
	cleaned_txns_init(&txns, p->aborted, p->aborted_count);
	for (uint32_t i = 0; i < end && st == 0;) {
		uint32_t count = group_size(p, i, end);

		st = clean_group(p, &txns, i, count, legacy_horizon_ms);
		i += count;
	}
	cleaned_txns_fini(&txns);
	return st;
}

int
log_clean(struct log *log, const struct log_to_clean *what, struct offset_map *map,
	  const struct clean_pace *pace, struct clean_stats *ret_stats, int64_t *ret_end_offset)
{
	struct pass p = {
	    .log = log,
	    .config = *log_config_now(log),
	    .what = what,
	    .map = map,
	    .pace = pace,
	    .now_ms = env_now_ms(log_env(log)),
	    .begin_us = env_monotonic_us(log_env(log)),
	};
	int st;

	/* A cleaned segment grows to what is left of it. */
	p.config.preallocate = false;
	st = open_pass(&p);
	if (st == 0)
		st = build_map(&p);
	if (st == 0)
		st = rewrite(&p);
	close_pass(&p);
	*ret_stats = p.stats;
	if (st == 0) {
		*ret_end_offset = p.map_latest_offset + 1;
		log_flush_fully_async(log);
	}
	return st == -ECANCELED || st == -EOVERFLOW ? st : log_judge(log, st, "compacting");
}
