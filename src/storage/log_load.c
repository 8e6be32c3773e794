#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "storage/partition_metadata.h"
#include "storage/producer_snapshot.h"
#include "wire/kerr.h"

/*
 * Opening a log: list the files, open every segment, find out how far what is there can be trusted.
 *
 * After a clean stop everything is. After an unclean one, each segment from the recovery point's on
 * has a position from which its batches are verified, and before which they are not:
 *
 *	same boot	the last entry of the offset index. The process died, the kernel did not:
 *what was written is there, and an entry was written after what it points at.
 *	another boot	the last entry below the recovery point (none in later segments): what is
 *			below was fsynced, and its entries are checked for order.
 *
 * A batch must end where the last entry says; if none does, the segment's indexes are emptied and
 *all of it is verified. From that position on each batch's CRC is checked, and indexes, epochs and
 * transaction index are extended. The first batch that is not valid ends the log.
 *
 * The producers' state starts from the newest snapshot at or below the first batch to be verified;
 * batches in between are replayed by their headers alone. So what recovery reads is bounded by the
 * distance to the last index entry, snapshot and recovery point, not by the size of the log.
 */

#define SCAN_WINDOW ((size_t)256 << 10)

struct loader {
	struct log *log;
	const struct log_load *load;
	uint8_t *window;
	struct buf scratch;
	uint32_t verify_segment; /* the first with batches to be verified; segment_count: none */
	uint32_t unsynced;       /* the first that may lack what was not fsynced */
	int64_t end_offset;      /* after the last valid batch so far */
	int64_t verified_bytes;
	bool rebuild_epochs; /* the epochs' file was not to be had */
	bool cut;            /* an invalid batch was found: nothing after it is kept */
};

/* Where the verification of a segment begins. */
struct verify_from {
	int64_t pos;
	int64_t offset;       /* of the first batch there, or the segment's base */
	int64_t entry_offset; /* the index has entries up to this one; base - 1 for none */
};

/* ---- what the small files say ---- */

static int
load_topic_id(struct log *log, const char *dir_name)
{
	int st = partition_metadata_read(log_env(log), log->dir->fd, dir_name, &log->topic_id);

	if (st == -ENOENT)
		return 0;
	if (st == -EINVAL || st == -EFBIG) {
		diag_error(DIAG_STORAGE, "partition.metadata cannot be read", "partition=%s dir=%s",
			   log->name, log->dir->path);
		return K_KAFKA_STORAGE_ERROR;
	}
	return st;
}

static int
load_epochs(struct loader *l, const char *dir_name)
{
	struct log *log = l->log;
	char path[2 * NAME_MAX + 2];
	int st;

	snprintf(path, sizeof(path), "%s/" LEADER_EPOCH_CHECKPOINT, dir_name);
	st = leader_epochs_read(log_env(log), log->dir->fd, path, &log->epochs);
	if (st == -EINVAL || st == -EFBIG) {
		diag_warn(DIAG_STORAGE, "leader-epoch-checkpoint cannot be read: it is rebuilt",
			  "partition=%s dir=%s", log->name, log->dir->path);
		l->rebuild_epochs = true;
		return 0;
	}
	/* A loss of power may leave an empty file. */
	if (st == 0 && log->epochs.count == 0 && !l->load->clean && !l->load->same_boot)
		l->rebuild_epochs = true;
	return st;
}

/* Most logs are loaded without a look at their batches. */
static int
make_window(struct loader *l)
{
	if (l->window == NULL)
		l->window = malloc(SCAN_WINDOW);
	return l->window != NULL ? 0 : -ENOMEM;
}

static int
scan_epochs(struct loader *l)
{
	struct log *log = l->log;
	int st = make_window(l);

	if (st != 0)
		return st;
	for (uint32_t i = 0; i < log->segment_count; i++) {
		struct segment *seg = log->segments[i];
		struct batch_scan scan;
		struct batch_info info;

		batch_scan_init(&scan, seg->log, 0, segment_size(seg), l->window, SCAN_WINDOW,
				false);
		while ((st = batch_scan_next(&scan, &info)) == 0) {
			if (info.leader_epoch > leader_epochs_latest(&log->epochs))
				st = leader_epochs_assign(&log->epochs, info.leader_epoch,
							  info.base_offset);
			if (st != 0)
				return st;
		}
		if (st != -ENODATA && st != K_CORRUPT_MESSAGE)
			return st;
	}
	return 0;
}

/* ---- segments ---- */

static int
remove_txn_index(struct log *log, int64_t base_offset)
{
	struct log_file *f =
	    log_file_new(log->part, base_offset, LOG_FILE_TXN_INDEX, LOG_FILE_PLAIN, false);
	int st;

	if (f == NULL)
		return -ENOMEM;
	st = log_file_unlink(f);
	log_file_disown(f);
	return st;
}

/* ret_rebuild: its indexes are empty now and have to be built. */
static int
open_segment(struct loader *l, const struct found_segment *found, struct segment **ret_seg,
	     bool *ret_rebuild)
{
	struct log *log = l->log;
	struct segment_files files = found->files;
	int st;

	*ret_rebuild = !files.index;
	if (!files.index)
		diag_warn(DIAG_STORAGE, "offset index is missing: it is rebuilt",
			  "partition=%s segment=%" PRId64, log->name, found->base_offset);
	st = segment_open(log->part, found->base_offset, &files, &l->load->config, ret_seg);
	if (st != -EBADMSG)
		return st;
	diag_warn(DIAG_STORAGE, "transaction index cannot be read: it is rebuilt",
		  "partition=%s segment=%" PRId64, log->name, found->base_offset);
	*ret_rebuild = true;
	files = (struct segment_files){0};
	st = remove_txn_index(log, found->base_offset);
	return st != 0
		   ? st
		   : segment_open(log->part, found->base_offset, &files, &l->load->config, ret_seg);
}

static int
add_segment(struct log *log, struct segment *seg)
{
	int st = log_add_segment_locked(log, seg);

	if (st != 0)
		segment_put(seg);
	return st;
}

static int
open_segments(struct loader *l, const struct found_files *files, uint32_t *ret_first_rebuilt)
{
	int st = 0;

	*ret_first_rebuilt = UINT32_MAX;
	for (size_t i = 0; i < files->segment_count && st == 0; i++) {
		struct segment *seg;
		bool rebuild;

		st = open_segment(l, &files->segments[i], &seg, &rebuild);
		if (st == 0)
			st = add_segment(l->log, seg);
		if (st == 0 && rebuild && i < *ret_first_rebuilt)
			*ret_first_rebuilt = (uint32_t)i;
	}
	return st;
}

static int
add_empty_segment(struct log *log, int64_t base_offset)
{
	struct segment *seg;
	int st = segment_create(log->part, base_offset, LOG_FILE_PLAIN, log_config_now(log), &seg);

	log->dir_unsynced = true;
	return st != 0 ? st : add_segment(log, seg);
}

/* ---- where verification begins ---- */

static int
reset_indexes(struct segment *seg)
{
	int st = index_file_truncate(&seg->offsets.entries, 0);

	if (st == 0)
		st = index_file_truncate(&seg->times.entries, 0);
	seg->max_timestamp_ms = SEGMENT_UNREAD;
	return st;
}

/* Does every entry of the time index lie above the one before? */
static int
check_times(struct segment *seg, bool *ret_valid)
{
	uint32_t count = index_file_count(&seg->times.entries);
	struct timestamp_offset last = {-1, seg->base_offset};

	for (uint32_t i = 0; i < count; i++) {
		struct timestamp_offset entry;
		int st = time_index_read(&seg->times, i, &entry);

		if (st != 0)
			return st;
		if (entry.timestamp_ms <= last.timestamp_ms || entry.offset < last.offset) {
			*ret_valid = false;
			return 0;
		}
		last = entry;
	}
	*ret_valid = true;
	return 0;
}

/* Does every entry lie above the one before, in offset and position, and within the file? */
static int
check_entries(struct segment *seg, bool *ret_valid)
{
	uint32_t count = index_file_count(&seg->offsets.entries);
	struct offset_position last = {seg->base_offset - 1, -1};

	for (uint32_t i = 0; i < count; i++) {
		struct offset_position entry;
		int st = offset_index_read(&seg->offsets, i, &entry);

		if (st != 0)
			return st;
		if (entry.offset <= last.offset || entry.pos <= last.pos ||
		    entry.pos >= segment_size(seg)) {
			*ret_valid = false;
			return 0;
		}
		last = entry;
	}
	*ret_valid = true;
	return 0;
}

/* Does a batch from the last entry's position on end where it says? ret_offset: the first's. */
static int
check_last_entry(struct segment *seg, const struct offset_position *last, bool *ret_valid,
		 int64_t *ret_offset)
{
	uint8_t window[BATCH_SCAN_WINDOW];
	struct batch_scan scan;
	struct batch_info info;
	bool first = true;
	int st;

	*ret_valid = false;
	batch_scan_init(&scan, seg->log, last->pos, segment_size(seg), window, sizeof(window),
			false);
	while ((st = batch_scan_next(&scan, &info)) == 0) {
		if (first)
			*ret_offset = info.base_offset;
		first = false;
		if (info.last_offset >= last->offset) {
			*ret_valid = info.last_offset == last->offset;
			return 0;
		}
	}
	return st == -ENODATA || st == K_CORRUPT_MESSAGE ? 0 : st;
}

/*
 * Cuts the indexes of a segment down to what can be trusted.
 * trusted_offset  entries at or above are not; INT64_MAX: all are
 */
static int
plan_segment(struct segment *seg, int64_t trusted_offset, struct verify_from *ret)
{
	struct offset_position last;
	bool valid = true;
	int st;

	st = index_file_drop_zeros(&seg->offsets.entries);
	if (st == 0)
		st = index_file_drop_zeros(&seg->times.entries);
	if (st == 0 && trusted_offset != INT64_MAX) {
		st = offset_index_truncate_to(&seg->offsets, trusted_offset);
		if (st == 0)
			st = time_index_truncate_to(&seg->times, trusted_offset);
		if (st == 0)
			st = check_entries(seg, &valid);
		if (st == 0 && valid)
			st = check_times(seg, &valid);
	}
	if (st == 0)
		st = offset_index_last(&seg->offsets, &last);
	if (st != 0)
		return st;
	*ret = (struct verify_from){0, seg->base_offset, seg->base_offset - 1};
	seg->max_timestamp_ms = SEGMENT_UNREAD;
	if (valid && last.pos > 0) {
		ret->pos = last.pos;
		ret->entry_offset = last.offset;
		st = check_last_entry(seg, &last, &valid, &ret->offset);
		if (st != 0)
			return st;
	}
	if (valid)
		return 0;
	*ret = (struct verify_from){0, seg->base_offset, seg->base_offset - 1};
	return reset_indexes(seg);
}

static int64_t
trusted_offset(const struct loader *l, uint32_t i)
{
	if (l->load->clean || l->load->same_boot || i < l->unsynced)
		return INT64_MAX;
	return l->load->recovery_point;
}

/* Decides which segments are verified. */
static int
plan(struct loader *l, uint32_t first_rebuilt)
{
	struct log *log = l->log;
	int64_t at = log_floor_segment_locked(log, l->load->recovery_point);
	int64_t next;
	int st;

	l->unsynced = at < 0 ? 0 : (uint32_t)at;
	l->verify_segment = l->load->clean ? log->segment_count : l->unsynced;
	if (first_rebuilt < l->verify_segment)
		l->verify_segment = first_rebuilt;
	if (l->verify_segment < log->segment_count)
		return 0;
	/* The stop was clean; is the end as it should be? */
	st = segment_next_offset(log_active_locked(log), &next);
	if (st == K_CORRUPT_MESSAGE) {
		diag_warn(DIAG_STORAGE, "the end of a log does not look like a clean stop",
			  "partition=%s", log->name);
		l->verify_segment = log->segment_count - 1;
		return reset_indexes(log_active_locked(log));
	}
	l->end_offset = next;
	return st;
}

/* ---- the scan ---- */

static bool
is_valid(const struct loader *l, const struct segment *seg, const struct batch_info *info,
	 struct slice bytes)
{
	return batch_check(info, bytes) == 0 && info->last_offset >= l->end_offset &&
	       info->base_offset >= seg->base_offset &&
	       info->last_offset - seg->base_offset <= INT32_MAX;
}

/* Index entries for a verified batch; those of the last entry's own chunk are there. */
static int
index_batch(struct loader *l, struct segment *seg, const struct batch_info *info,
	    const struct verify_from *from)
{
	bool indexed = info->last_offset <= from->entry_offset;
	int st;

	if (indexed)
		seg->bytes_since_index = 0;
	st = segment_index_chunk(seg, info->last_offset, info->pos, info->max_timestamp,
				 info->last_offset, info->size_bytes, &l->load->config);
	if (indexed)
		seg->bytes_since_index = info->pos + info->size_bytes - from->pos;
	return st;
}

/* Replays or verifies one batch. *ret_valid false: it ends the log here. */
static int
take_batch(struct loader *l, struct segment *seg, struct batch_scan *scan,
	   const struct batch_info *info, const struct verify_from *from, bool *ret_valid)
{
	struct log *log = l->log;
	bool verify = info->pos >= from->pos;
	struct record_batch batch = info->header;
	struct slice bytes;
	int st = 0;

	*ret_valid = true;
	if (verify || (info->magic == RECORD_BATCH_MAGIC && record_batch_is_control(&batch))) {
		st = batch_scan_bytes(scan, info, &l->scratch, &bytes);
		if (st != 0)
			return st;
		if ((verify && !is_valid(l, seg, info, bytes)) ||
		    (info->magic == RECORD_BATCH_MAGIC && record_batch_parse(bytes, &batch) != 0)) {
			*ret_valid = false;
			return 0;
		}
	}
	if (verify) {
		l->verified_bytes += info->size_bytes;
		st = index_batch(l, seg, info, from);
		if (st == 0 && info->leader_epoch > leader_epochs_latest(&log->epochs))
			st = leader_epochs_assign(&log->epochs, info->leader_epoch,
						  info->base_offset);
	}
	if (st != 0)
		return st;
	l->end_offset = info->last_offset + 1;
	if (info->magic == RECORD_BATCH_MAGIC)
		return log_update_producers_locked(log, verify ? seg : NULL, &batch,
						   info->base_offset);
	producer_state_set_end_offset(&log->producers, l->end_offset);
	return 0;
}

/* Is there another valid batch after the one at pos, going by the length that it claims? */
static bool
valid_batch_follows(struct loader *l, struct segment *seg, int32_t pos)
{
	struct batch_info bad, next;
	struct batch_scan scan;
	struct slice bytes;

	batch_scan_init(&scan, seg->log, pos, segment_size(seg), l->window, SCAN_WINDOW, false);
	return batch_scan_next(&scan, &bad) == 0 && batch_scan_next(&scan, &next) == 0 &&
	       batch_scan_bytes(&scan, &next, &l->scratch, &bytes) == 0 &&
	       batch_check(&next, bytes) == 0;
}

/* The log ends in segment i at pos: what follows goes, and the operator is told. */
static int
cut_here(struct loader *l, uint32_t i, int32_t pos)
{
	struct log *log = l->log;
	struct segment *seg = log->segments[i];
	int64_t bytes = segment_size(seg) - pos;
	uint32_t later = log->segment_count - i - 1;
	int64_t later_bytes = 0;
	int st;

	for (uint32_t k = i + 1; k < log->segment_count; k++)
		later_bytes += segment_size(log->segments[k]);
	if (l->end_offset < seg->base_offset)
		l->end_offset = seg->base_offset;
	if (bytes == 0)
		diag_error(DIAG_STORAGE, "a segment has lost its end: what follows is cut off",
			   "partition=%s segment=%" PRId64 " next_offset=%" PRId64
			   " later_segments=%" PRIu32 " later_bytes=%" PRId64,
			   log->name, seg->base_offset, l->end_offset, later, later_bytes);
	else if (later_bytes > 0 || valid_batch_follows(l, seg, pos))
		diag_error(
		    DIAG_STORAGE, "corrupt batch in the middle of a log: the rest is cut off",
		    "partition=%s segment=%" PRId64 " position=%" PRId32 " next_offset=%" PRId64
		    " bytes=%" PRId64 " later_segments=%" PRIu32 " later_bytes=%" PRId64,
		    log->name, seg->base_offset, pos, l->end_offset, bytes, later, later_bytes);
	else
		diag_warn(DIAG_STORAGE, "torn tail cut off",
			  "partition=%s segment=%" PRId64 " position=%" PRId32
			  " next_offset=%" PRId64 " bytes=%" PRId64,
			  log->name, seg->base_offset, pos, l->end_offset, bytes);
	metric_add(log->dir->ctx->metrics.truncated_bytes, bytes + later_bytes);
	l->cut = true;
	/* From the end: a crash in between finds the same invalid batch again. */
	st = later > 0 ? log_remove_segments_locked(log, i + 1, later) : 0;
	if (st == 0)
		st = segment_truncate_at(seg, pos, l->end_offset);
	atomic_fetch_sub(&log->size_bytes, bytes);
	return st;
}

/*
 * After a loss of power a segment may have lost its end, at a batch's end as it happens, and the
 * next one not its start. Only compaction leaves such gaps otherwise.
 */
static bool
lost_its_end(const struct loader *l, uint32_t i)
{
	const struct log *log = l->log;

	return !l->load->clean && !l->load->same_boot && i >= l->unsynced &&
	       i + 1 < log->segment_count &&
	       (l->load->config.cleanup_policy & LOG_CLEANUP_COMPACT) == 0 &&
	       l->end_offset < log->segments[i + 1]->base_offset;
}

/* Walks segment i from `pos` on; batches below `offset` are counted in already. */
static int
scan_segment(struct loader *l, uint32_t i, int64_t pos, int64_t offset,
	     const struct verify_from *from)
{
	struct segment *seg = l->log->segments[i];
	struct batch_scan scan;
	struct batch_info info;
	int st;

	batch_scan_init(&scan, seg->log, pos, segment_size(seg), l->window, SCAN_WINDOW, false);
	while ((st = batch_scan_next(&scan, &info)) == 0) {
		bool valid;

		if (info.last_offset < offset && info.pos < from->pos)
			continue;
		st = take_batch(l, seg, &scan, &info, from, &valid);
		if (st != 0)
			return st;
		if (!valid) {
			scan.pos = info.pos;
			break;
		}
	}
	if (st != 0 && st != -ENODATA && st != K_CORRUPT_MESSAGE)
		return st;
	if (scan.pos == segment_size(seg) && !lost_its_end(l, i))
		return 0;
	if (l->load->clean && i < l->verify_segment) {
		diag_error(DIAG_STORAGE, "corrupt batch in a log that was stopped cleanly",
			   "partition=%s segment=%" PRId64 " position=%" PRId64, l->log->name,
			   seg->base_offset, scan.pos);
		return K_KAFKA_STORAGE_ERROR;
	}
	return cut_here(l, i, (int32_t)scan.pos);
}

static int
load_segment(struct loader *l, uint32_t i, int64_t offset)
{
	struct segment *seg = l->log->segments[i];
	struct verify_from from = {.pos = INT64_MAX};
	struct segment_view v;
	struct batch_info info;
	int64_t pos = 0;
	int st = 0;

	if (i >= l->verify_segment) {
		st = plan_segment(seg, trusted_offset(l, i), &from);
		if (st == 0 && seg->txns.file != NULL)
			st = txn_index_truncate_to(&seg->txns, seg->base_offset, from.offset);
		seg->bytes_since_index = 0;
	}
	if (st == 0 && offset > seg->base_offset) {
		segment_view_open(seg, false, &v);
		st = segment_view_locate(&v, offset, &info);
		segment_view_close(&v);
		if (st == -ENODATA || st == K_CORRUPT_MESSAGE)
			pos = from.pos == INT64_MAX ? segment_size(seg) : from.pos;
		else
			pos = info.pos < from.pos ? info.pos : from.pos;
		if (st == -ENODATA || st == K_CORRUPT_MESSAGE)
			st = 0;
	}
	if (st == 0)
		st = scan_segment(l, i, pos, offset, &from);
	/* What was found for a segment that does not grow must reach its files. */
	if (st == 0 && i >= l->verify_segment)
		st = i + 1 < l->log->segment_count ? segment_seal(seg)
						   : segment_write_tails(seg, true);
	return st;
}

/* ---- producers ---- */

/* From the newest snapshot that is not above limit; ret_offset: as of which the state is. */
static int
restore_producers(struct log *log, int64_t limit, int64_t *ret_offset)
{
	int64_t now_ms = env_now_ms(log_env(log));
	int64_t expiration_ms = log_config_now(log)->producer_id_expiration_ms;
	char name[NAME_MAX + 1];

	partition_dir_name(log->part, name);
	for (uint32_t i = log->snapshot_count; i > 0; i--) {
		int64_t at = log->snapshots[i - 1];
		struct buf content = {0};
		int st;

		if (at > limit)
			continue;
		producer_state_clear(&log->producers, at);
		st = producer_snapshot_read(log_env(log), log->dir->fd, name, at, &content);
		if (st == 0)
			st = producer_snapshot_decode(buf_slice(&content), now_ms, expiration_ms,
						      &log->producers);
		buf_fini(&content);
		if (st == 0) {
			*ret_offset = at;
			return 0;
		}
		if (st != -EBADMSG && st != -ENOENT && st != -EFBIG)
			return st;
		diag_warn(DIAG_STORAGE, "producer snapshot cannot be read: an older one is used",
			  "partition=%s offset=%" PRId64, log->name, at);
		st = log_delete_snapshots_locked(log, at, at + 1);
		if (st != 0)
			return st;
	}
	*ret_offset = log->segments[0]->base_offset;
	producer_state_clear(&log->producers, *ret_offset);
	return 0;
}

/* The first batch to be verified bounds what a snapshot may have seen. */
static int
snapshot_limit(struct loader *l, int64_t *ret_limit)
{
	struct log *log = l->log;
	struct verify_from from;
	int st;

	if (l->verify_segment >= log->segment_count) {
		*ret_limit = l->end_offset;
		return 0;
	}
	st = plan_segment(log->segments[l->verify_segment], trusted_offset(l, l->verify_segment),
			  &from);
	if (st == 0)
		*ret_limit = from.offset;
	return st;
}

static int
scan_log(struct loader *l, bool any_snapshot)
{
	struct log *log = l->log;
	int64_t limit, offset, at;
	int st;

	st = snapshot_limit(l, &limit);
	if (st == 0)
		st = restore_producers(log, limit, &offset);
	if (st != 0)
		return st;
	if (l->verify_segment >= log->segment_count) {
		/* A clean log without any snapshot has no producers: storage-format, section 10.4.
		 */
		if (!any_snapshot)
			producer_state_clear(&log->producers, limit);
		if (!any_snapshot || offset >= limit)
			return 0;
	}
	at = log_floor_segment_locked(log, offset);
	if (at < 0)
		at = 0;
	if (at > l->verify_segment)
		at = l->verify_segment;
	l->end_offset = offset;
	st = make_window(l);
	for (uint32_t i = (uint32_t)at; i < log->segment_count && st == 0 && !l->cut; i++)
		st = load_segment(l, i, offset);
	return st;
}

/* Those above the end, and those between segments' bases except a newest one at the end. */
static int
remove_stray_snapshots(struct log *log)
{
	int64_t end = atomic_load(&log->log_end_offset);
	int64_t newest;
	int st = log_delete_snapshots_locked(log, end + 1, INT64_MAX);

	newest = log_newest_snapshot_locked(log);
	for (uint32_t i = log->snapshot_count; i > 0 && st == 0; i--) {
		int64_t offset = log->snapshots[i - 1];
		int64_t at = log_floor_segment_locked(log, offset);

		if (at >= 0 && log->segments[at]->base_offset == offset)
			continue;
		if (offset == newest && at + 1 == log->segment_count)
			continue;
		st = log_delete_snapshots_locked(log, offset, offset + 1);
	}
	return st;
}

int
log_reload_producers_locked(struct log *log)
{
	const struct log_load load = {.config = *log_config_now(log), .clean = true};
	struct loader l = {
	    .log = log,
	    .load = &load,
	    .verify_segment = log->segment_count,
	    .end_offset = atomic_load(&log->log_end_offset),
	};
	int st = scan_log(&l, true);

	if (st == 0) {
		producer_state_set_end_offset(&log->producers, atomic_load(&log->log_end_offset));
		producer_state_replicated(&log->producers, atomic_load(&log->high_watermark));
		log_update_stable_offset_locked(log);
	}
	free(l.window);
	buf_fini(&l.scratch);
	return st;
}

/* ---- all of it ---- */

/* What is known of the end now goes into the log's own fields. */
static int
settle(struct loader *l)
{
	struct log *log = l->log;
	const struct log_load *load = l->load;
	int64_t start = log->segments[0]->base_offset;
	int64_t end, point;
	int st;

	st = segment_next_offset(log_active_locked(log), &end);
	if (st != 0)
		return st;
	if (end < load->log_start_offset) {
		diag_error(DIAG_STORAGE, "the log ends below its log start offset: it starts anew",
			   "partition=%s end=%" PRId64 " start=%" PRId64, log->name, end,
			   load->log_start_offset);
		leader_epochs_clear(&log->epochs);
		st = log_delete_snapshots_locked(log, 0, INT64_MAX);
		if (st == 0)
			st = log_remove_segments_locked(log, 0, log->segment_count);
		if (st == 0)
			st = add_empty_segment(log, load->log_start_offset);
		if (st != 0)
			return st;
		start = end = load->log_start_offset;
		producer_state_clear(&log->producers, end);
	}
	if (load->log_start_offset > start)
		start = load->log_start_offset;
	point = load->clean ? end : load->recovery_point;
	if (point > end)
		point = end;
	atomic_store(&log->log_start_offset, start);
	atomic_store(&log->log_end_offset, end);
	atomic_store(&log->recovery_point, point);
	atomic_store(&log->flushed_offset, point);
	atomic_store(&log->high_watermark, start);
	producer_state_set_end_offset(&log->producers, end);
	producer_state_replicated(&log->producers, start);
	log_update_stable_offset_locked(log);
	leader_epochs_truncate_from_end(&log->epochs, end);
	leader_epochs_truncate_from_start(&log->epochs, start);
	if (!load->clean)
		log->dirty_since_ms = env_monotonic_ms(log_env(log));
	return 0;
}

static int
load_files(struct loader *l, const char *dir_name, const struct found_files *files)
{
	struct log *log = l->log;
	uint32_t first_rebuilt;
	int st = 0;

	for (size_t i = 0; i < files->snapshot_count && st == 0; i++)
		st = log_note_snapshot_locked(log, files->snapshots[i]);
	if (st == 0)
		st = load_topic_id(log, dir_name);
	if (st == 0)
		st = load_epochs(l, dir_name);
	if (st == 0)
		st = open_segments(l, files, &first_rebuilt);
	if (st == 0 && log->segment_count == 0)
		st = add_empty_segment(log, l->load->log_start_offset);
	if (st == 0)
		st = plan(l, first_rebuilt);
	if (st == 0)
		st = scan_log(l, files->snapshot_count > 0);
	if (st == 0)
		st = settle(l);
	if (st == 0 && l->rebuild_epochs)
		st = scan_epochs(l);
	if (st == 0)
		st = remove_stray_snapshots(log);
	/* So that the next start has less to replay. */
	if (st == 0 && !l->load->clean)
		st = log_write_snapshot_locked(log, false);
	if (st == 0)
		st = log_write_epochs_locked(log);
	return st;
}

int
log_load(struct log_dir *dir, const char *dir_name, const char *topic, int32_t partition,
	 bool is_future, const struct log_load *load, struct log **ret_log)
{
	struct loader l = {.load = load};
	struct found_files files = {0};
	struct log *log;
	int st;

	st = log_new(dir, dir_name, topic, partition, is_future, &load->config, &log);
	if (st != 0)
		return st;
	l.log = log;
	st = log_list_files(dir->ctx->env, dir->fd, dir_name, &files);
	if (st == 0) {
		lock_acquire(&log->lock);
		st = load_files(&l, dir_name, &files);
		lock_release(&log->lock);
	}
	metric_add(dir->ctx->metrics.recovery_bytes, l.verified_bytes);
	free(l.window);
	buf_fini(&l.scratch);
	found_files_fini(&files);
	if (st != 0) {
		log_put(log);
		return st;
	}
	*ret_log = log;
	return 0;
}
