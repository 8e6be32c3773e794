#include <assert.h>
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/log_internal.h"
#include "wire/kerr.h"

/*
 * A read takes the lock for a look: offsets, the segment, and whether the batch is among those
 * appended last, whose places are in memory. That is how followers and consumers at the end are
 * served, without a system call. Otherwise it takes a view of the segment and searches index and
 * file without the lock.
 *
 * What a truncation or the cleaner does meanwhile may make that search fail. A search that failed
 * while log->truncations changed is tried again; one that failed without is the disk's fault.
 */

#define READ_ATTEMPTS 5

/* What a read knows after its look. */
struct look {
	struct segment_view view; /* view.seg is NULL when the place was in memory */
	struct log_file *file;    /* counted, when it was */
	int64_t offset;
	int64_t upper_offset; /* the read ends before it */
	int64_t next_base;    /* of the segment after; INT64_MAX for the active one */
	int64_t segment_base;
	int64_t pos;
	int64_t limit_pos; /* the read ends there; -1: to be searched */
	int32_t first_size;
	uint32_t truncations;
};

static int64_t
upper_offset_of(const struct log_offsets *offsets, enum log_isolation isolation)
{
	switch (isolation) {
	case LOG_READ_LOG_END:
		return offsets->log_end_offset;
	case LOG_READ_HIGH_WATERMARK:
		return offsets->high_watermark;
	case LOG_READ_COMMITTED:
		return offsets->last_stable_offset;
	}
	return offsets->log_start_offset;
}

static void
offsets_locked(const struct log *log, struct log_offsets *ret)
{
	ret->log_start_offset = log_start_offset(log);
	ret->last_stable_offset = log_last_stable_offset(log);
	ret->high_watermark = log_high_watermark(log);
	ret->log_end_offset = log_end_offset(log);
}

/* The batch that holds offset, if it was appended lately. */
static const struct recent_batch *
find_recent(const struct log *log, int64_t segment_base, int64_t offset)
{
	const struct recent_batches *recent = log->recent;
	uint32_t n;

	if (recent == NULL || recent->segment_base_offset != segment_base)
		return NULL;
	n = recent->count < RECENT_BATCHES ? recent->count : RECENT_BATCHES;
	for (uint32_t i = 1; i <= n; i++) {
		const struct recent_batch *b = &recent->ring[(recent->count - i) % RECENT_BATCHES];

		if (offset > b->last_offset)
			return NULL;
		if (offset >= b->base_offset)
			return b;
	}
	return NULL;
}

/*
 * Looks under the lock from the segment `from` on (an index). Fills l with a place or a view.
 */
static void
look_locked(struct log *log, uint32_t from, bool nowait, struct look *l)
{
	struct segment *seg = log->segments[from];
	bool active = from + 1 == log->segment_count;
	const struct recent_batch *first, *end;

	l->segment_base = seg->base_offset;
	l->next_base = active ? INT64_MAX : log->segments[from + 1]->base_offset;
	l->truncations = log->truncations;
	l->limit_pos = -1;
	if (l->upper_offset >= l->next_base || (active && l->upper_offset == log_end_offset(log)))
		l->limit_pos = segment_size(seg);
	first = active ? find_recent(log, seg->base_offset, l->offset) : NULL;
	if (first != NULL && l->limit_pos < 0) {
		end = find_recent(log, seg->base_offset, l->upper_offset);
		if (end != NULL)
			l->limit_pos = end->pos;
	}
	if (first != NULL && l->limit_pos >= 0) {
		l->view.seg = NULL;
		l->file = log_file_get(seg->log);
		l->pos = first->pos;
		l->first_size = first->size_bytes;
		return;
	}
	l->file = NULL;
	segment_view_open(seg, nowait, &l->view);
}

/* Finds in the view what look_locked() did not. -ENODATA: the segment has nothing at or above. */
static int
search(struct look *l)
{
	struct batch_info batch;
	int st;

	st = segment_view_locate(&l->view, l->offset, &batch);
	if (st != 0)
		return st;
	l->pos = batch.pos;
	l->first_size = batch.size_bytes;
	if (l->limit_pos < 0) {
		st = segment_view_locate(&l->view, l->upper_offset, &batch);
		if (st != 0 && st != -ENODATA)
			return st;
		l->limit_pos = st == 0 ? batch.pos : l->view.size_bytes;
	}
	return 0;
}

static bool
was_truncated(struct log *log, uint32_t truncations)
{
	bool changed;

	lock_acquire(&log->lock);
	changed = log->truncations != truncations;
	lock_release(&log->lock);
	return changed;
}

static int
fill_read(const struct look *l, int32_t max_bytes, bool min_one, struct log_read *ret)
{
	int64_t len = max_bytes;
	int fd;

	if (min_one && len < l->first_size)
		len = l->first_size;
	ret->first_batch_incomplete = len < l->first_size;
	if (len > l->limit_pos - l->pos)
		len = l->limit_pos - l->pos;
	ret->pos = l->pos;
	ret->len = len > 0 ? (int32_t)len : 0;
	ret->base_offset = l->segment_base;
	ret->file = NULL;
	if (ret->len == 0)
		return 0;
	ret->file = log_file_get(l->file != NULL ? l->file : l->view.seg->log);
	fd = log_file_fd(ret->file);
	if (fd < 0) {
		log_file_put(ret->file);
		ret->file = NULL;
		return fd;
	}
	return 0;
}

static void
look_close(struct look *l)
{
	if (l->file != NULL)
		log_file_put(l->file);
	else
		segment_view_close(&l->view);
}

/* One attempt. -EAGAIN with *ret_again: what was looked at has changed meanwhile. */
static int
try_read(struct log *log, int64_t offset, int32_t max_bytes, bool min_one,
	 enum log_isolation isolation, bool nowait, struct log_read *ret, bool *ret_again)
{
	struct look l = {.offset = offset};
	int64_t at;
	int st;

	*ret_again = false;
	lock_acquire(&log->lock);
	offsets_locked(log, &ret->offsets);
	l.upper_offset = upper_offset_of(&ret->offsets, isolation);
	at = log_floor_segment_locked(log, offset);
	st = log_check_usable(log);
	if (st == 0 && (offset < ret->offsets.log_start_offset ||
			offset > ret->offsets.log_end_offset || at < 0))
		st = K_OFFSET_OUT_OF_RANGE;
	if (st != 0 || offset >= l.upper_offset) {
		lock_release(&log->lock);
		return st;
	}
	look_locked(log, (uint32_t)at, nowait, &l);
	lock_release(&log->lock);

	for (;;) {
		st = l.file != NULL ? 0 : search(&l);
		if (st == 0)
			st = fill_read(&l, max_bytes, min_one, ret);
		look_close(&l);
		if (st == -EAGAIN && nowait)
			return st;
		if (st != -ENODATA) {
			*ret_again = st != 0 && was_truncated(log, l.truncations);
			return st;
		}
		/* A compacted segment may end below: go on in the next one. */
		if (l.next_base == INT64_MAX || l.next_base >= l.upper_offset)
			return 0;
		lock_acquire(&log->lock);
		at = log_floor_segment_locked(log, l.next_base);
		if (at < 0 || log->segments[at]->base_offset != l.next_base) {
			lock_release(&log->lock);
			*ret_again = true;
			return -EAGAIN;
		}
		l.offset = l.next_base;
		look_locked(log, (uint32_t)at, nowait, &l);
		lock_release(&log->lock);
	}
}

int
log_read(struct log *log, int64_t offset, int32_t max_bytes, bool min_one,
	 enum log_isolation isolation, bool nowait, struct log_read *ret_read)
{
	bool again = true;
	int st = 0;

	for (int i = 0; i < READ_ATTEMPTS && again; i++) {
		struct log_read read = {0};

		st = try_read(log, offset, max_bytes, min_one, isolation, nowait, &read, &again);
		if (st == 0)
			*ret_read = read;
	}
	if (again && st != 0)
		return K_KAFKA_STORAGE_ERROR;
	if (st == -EAGAIN && nowait)
		return st;
	return st == 0 ? 0 : log_judge(log, st, "reading");
}

bool
log_read_is_cached(const struct log_read *read)
{
	int64_t places[3];
	int fd;

	if (read->len == 0)
		return true;
	fd = log_file_fd(read->file);
	places[0] = read->pos;
	places[1] = read->pos + read->len / 2;
	places[2] = read->pos + read->len - 1;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		uint8_t byte;
		struct iovec iov = {&byte, 1};

		if (fd >= 0 && preadv2(fd, &iov, 1, places[i], RWF_NOWAIT) < 0 && errno == EAGAIN)
			return false;
	}
	return true;
}

/* ---- aborted transactions ---- */

struct txn_collector {
	struct arena *arena;
	struct log_aborted_txn *txns;
	size_t count;
	size_t cap;
	int64_t fetch_offset;
	int64_t upper_offset;
	bool done;
};

static int
collect(struct txn_collector *c, const struct aborted_txn *txn)
{
	if (txn->last_offset >= c->fetch_offset && txn->first_offset < c->upper_offset) {
		if (c->count == c->cap) {
			size_t cap = c->cap == 0 ? 4 : c->cap * 2;
			struct log_aborted_txn *grown = arena_calloc(c->arena, cap, sizeof(*grown));

			if (grown == NULL)
				return -ENOMEM;
			if (c->count > 0)
				memcpy(grown, c->txns, c->count * sizeof(*grown));
			c->txns = grown;
			c->cap = cap;
		}
		c->txns[c->count++] = (struct log_aborted_txn){txn->producer_id, txn->first_offset};
	}
	c->done = txn->last_stable_offset >= c->upper_offset;
	return 0;
}

/* All of one segment that matter: entries rise by last offset, so the first is searched for. */
static int
collect_from(struct txn_collector *c, struct log_file *file, uint32_t count, int64_t base_offset)
{
	struct aborted_txn txn;
	uint32_t low = 0;
	uint32_t high = count;
	int st = 0;

	while (low < high && st == 0) {
		uint32_t mid = low + (high - low) / 2;

		st = txn_index_read(file, mid, base_offset, &txn);
		if (st == 0 && txn.last_offset < c->fetch_offset)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < count && st == 0 && !c->done; low++) {
		st = txn_index_read(file, low, base_offset, &txn);
		if (st == 0)
			st = collect(c, &txn);
	}
	return st;
}

/* Up to which offset the bytes that were read may reach. */
static int
read_upper_offset(struct log *log, int64_t fetch_offset, const struct log_read *read,
		  int64_t *ret_upper)
{
	struct segment_view v;
	struct offset_position from = {fetch_offset, (int32_t)read->pos};
	int64_t at, next;
	bool found;
	int st;

	lock_acquire(&log->lock);
	at = log_floor_segment_locked(log, read->base_offset);
	if (at < 0 || log->segments[at]->base_offset != read->base_offset) {
		lock_release(&log->lock);
		*ret_upper = log_end_offset(log);
		return 0;
	}
	segment_view_open(log->segments[at], false, &v);
	next =
	    at + 1 < log->segment_count ? log->segments[at + 1]->base_offset : log_end_offset(log);
	lock_release(&log->lock);
	st = offset_index_upper_bound(&v.offsets, v.seg->base_offset, from, read->pos + read->len,
				      &found, ret_upper);
	segment_view_close(&v);
	if (st == 0 && !found)
		*ret_upper = next;
	return st;
}

/*
 * The next segment from *base on that has a transaction index: counted file, or NULL when there is
 * none. *base moves behind it.
 */
static struct log_file *
next_txn_index(struct log *log, int64_t *base, uint32_t *ret_count)
{
	struct log_file *file = NULL;
	int64_t at;

	lock_acquire(&log->lock);
	at = log_floor_segment_locked(log, *base);
	if (at < 0)
		at = 0;
	for (; at < log->segment_count && file == NULL; at++) {
		struct segment *seg = log->segments[at];

		if (seg->txns.count > 0) {
			file = log_file_get(seg->txns.file);
			*ret_count = seg->txns.count;
		}
	}
	*base = at < log->segment_count ? log->segments[at]->base_offset : INT64_MAX;
	lock_release(&log->lock);
	return file;
}

int
log_aborted_transactions(struct log *log, int64_t fetch_offset, const struct log_read *read,
			 struct arena *arena, struct log_aborted_txn **ret_txns, size_t *ret_count)
{
	struct txn_collector c = {.arena = arena, .fetch_offset = fetch_offset, .upper_offset = -1};
	int64_t base = read->base_offset;
	int st = 0;

	c.done = read->len == 0;
	/* The marker of a transaction that is read here may lie in any later segment. */
	while (st == 0 && !c.done && base != INT64_MAX) {
		uint32_t count = 0;
		struct log_file *file = next_txn_index(log, &base, &count);

		/* Most logs have no transaction index: then the read's end need not be known. */
		if (file != NULL && c.upper_offset < 0)
			st = read_upper_offset(log, fetch_offset, read, &c.upper_offset);
		if (file != NULL && st == 0)
			st = collect_from(&c, file, count, INT64_MIN);
		log_file_put(file);
	}
	if (st != 0)
		return log_judge(log, st, "reading a transaction index");
	*ret_txns = c.txns;
	*ret_count = c.count;
	return 0;
}

/* ---- offsets for timestamps ---- */

/* The first segment whose largest timestamp is >= timestamp_ms, as a view, with where to start. */
static int
find_by_timestamp(struct log *log, int64_t timestamp_ms, struct segment_view *ret_view,
		  struct index_view *ret_times)
{
	int st = -ENODATA;

	lock_acquire(&log->lock);
	for (uint32_t i = 0; i < log->segment_count; i++) {
		struct segment *seg = log->segments[i];
		int64_t largest;

		st = segment_largest_timestamp(seg, &largest);
		if (st != 0)
			break;
		if (largest >= timestamp_ms) {
			segment_view_open(seg, false, ret_view);
			index_file_view(&seg->times.entries, false, ret_times);
			break;
		}
		st = -ENODATA;
	}
	lock_release(&log->lock);
	return st;
}

static int
search_timestamp(struct log *log, int64_t timestamp_ms, struct log_timestamp_offset *ret)
{
	struct timestamp_offset floor, found;
	struct segment_view v;
	struct index_view times;
	int32_t epoch;
	int st;

	st = find_by_timestamp(log, timestamp_ms, &v, &times);
	if (st != 0)
		return st;
	st = time_index_floor(&times, v.seg->base_offset, timestamp_ms, &floor);
	if (st == 0) {
		int64_t start = log_start_offset(log);
		int64_t from = floor.offset > start ? floor.offset : start;

		st = segment_view_find_timestamp(&v, from, timestamp_ms, start, &found, &epoch);
	}
	index_view_close(&times);
	segment_view_close(&v);
	if (st == 0)
		*ret = (struct log_timestamp_offset){found.timestamp_ms, found.offset, epoch};
	return st;
}

/* The record with the largest timestamp of the log. */
static int
search_max_timestamp(struct log *log, struct log_timestamp_offset *ret)
{
	struct timestamp_offset best = {-1, -1};
	struct timestamp_offset found;
	struct segment_view v = {0};
	struct batch_info batch;
	int32_t epoch;
	int st = 0;

	lock_acquire(&log->lock);
	for (uint32_t i = 0; i < log->segment_count && st == 0; i++) {
		struct timestamp_offset max;

		st = segment_max_timestamp(log->segments[i], &max);
		if (st == 0 && max.timestamp_ms > best.timestamp_ms) {
			best = max;
			if (v.seg != NULL)
				segment_view_close(&v);
			segment_view_open(log->segments[i], false, &v);
		}
	}
	lock_release(&log->lock);
	if (st == 0 && v.seg == NULL)
		st = -ENODATA;
	/* best.offset is the last of its batch: search within that one. */
	if (st == 0)
		st = segment_view_locate(&v, best.offset, &batch);
	if (st == 0)
		st = segment_view_find_timestamp(&v, batch.last_offset, best.timestamp_ms, 0,
						 &found, &epoch);
	if (v.seg != NULL)
		segment_view_close(&v);
	if (st == 0)
		*ret = (struct log_timestamp_offset){found.timestamp_ms, found.offset, epoch};
	return st;
}

static void
earliest(struct log *log, struct log_timestamp_offset *ret)
{
	int64_t start;

	lock_acquire(&log->lock);
	start = log_start_offset(log);
	*ret = (struct log_timestamp_offset){-1, start, -1};
	if (log->epochs.count > 0 && log->epochs.entries[0].start_offset <= start)
		ret->leader_epoch = log->epochs.entries[0].epoch;
	lock_release(&log->lock);
}

int
log_offset_for_timestamp(struct log *log, int64_t timestamp_ms,
			 struct log_timestamp_offset *ret_found)
{
	static const struct log_timestamp_offset none = {-1, -1, -1};
	int st = log_check_usable(log);

	if (st != 0)
		return st;
	switch (timestamp_ms) {
	case LOG_TIMESTAMP_EARLIEST:
	case LOG_TIMESTAMP_EARLIEST_LOCAL:
		earliest(log, ret_found);
		return 0;
	case LOG_TIMESTAMP_LATEST:
		lock_acquire(&log->lock);
		*ret_found = (struct log_timestamp_offset){-1, log_end_offset(log),
							   leader_epochs_latest(&log->epochs)};
		lock_release(&log->lock);
		return 0;
	case LOG_TIMESTAMP_LATEST_TIERED:
		*ret_found = none;
		return 0;
	case LOG_TIMESTAMP_MAX:
		st = search_max_timestamp(log, ret_found);
		break;
	default:
		st = search_timestamp(log, timestamp_ms, ret_found);
		break;
	}
	if (st == -ENODATA) {
		*ret_found = none;
		return 0;
	}
	return st == 0 ? 0 : log_judge(log, st, "searching a timestamp");
}

/* ---- ListOffsets version 0 ---- */

struct offset_time {
	int64_t offset;
	int64_t modified_ms;
};

static int
list_offset_times(struct log *log, struct arena *arena, struct offset_time **ret_times,
		  size_t *ret_count)
{
	struct offset_time *times;
	size_t n = 0;
	int st = 0;

	lock_acquire(&log->lock);
	times = arena_calloc(arena, (size_t)log->segment_count + 1, sizeof(*times));
	if (times == NULL)
		st = -ENOMEM;
	for (uint32_t i = 0; i < log->segment_count && st == 0; i++) {
		struct segment *seg = log->segments[i];
		struct stat stat;

		st = log_file_stat(seg->log, &stat);
		if (st != 0)
			break;
		times[n].offset = seg->base_offset > log_start_offset(log) ? seg->base_offset
									   : log_start_offset(log);
		times[n++].modified_ms =
		    (int64_t)stat.st_mtim.tv_sec * 1000 + stat.st_mtim.tv_nsec / 1000000;
	}
	if (st == 0 && segment_size(log_active_locked(log)) > 0)
		times[n++] = (struct offset_time){log_end_offset(log), env_now_ms(log_env(log))};
	lock_release(&log->lock);
	*ret_times = times;
	*ret_count = n;
	return st;
}

int
log_offsets_before(struct log *log, int64_t timestamp_ms, size_t max_count, struct arena *arena,
		   int64_t **ret_offsets, size_t *ret_count)
{
	struct offset_time *times;
	int64_t *offsets;
	size_t n, count = 0;
	int st = log_check_usable(log);

	if (st == 0)
		st = list_offset_times(log, arena, &times, &n);
	if (st != 0)
		return log_judge(log, st, "listing offsets");
	if (timestamp_ms == LOG_TIMESTAMP_EARLIEST)
		n = 1;
	else if (timestamp_ms != LOG_TIMESTAMP_LATEST)
		while (n > 0 && times[n - 1].modified_ms > timestamp_ms)
			n--;
	offsets = arena_calloc(arena, n, sizeof(*offsets));
	if (offsets == NULL)
		return -ENOMEM;
	while (n > 0 && count < max_count)
		offsets[count++] = times[--n].offset;
	*ret_offsets = offsets;
	*ret_count = count;
	return 0;
}
