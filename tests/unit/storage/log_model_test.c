/*
 * A log against a list of batches in memory, under random operations, new starts, kills and losses
 * of power. The seed is printed; KLAMM_SEED repeats a run, KLAMM_STEPS makes it longer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/log_manager_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define MAX_BATCHES 20000

struct model_batch {
	int64_t base_offset;
	int64_t last_offset;
	int64_t timestamp_ms; /* of the first record; the next are one ms later each */
	uint32_t crc;
	int32_t epoch;
};

struct model {
	struct model_batch batches[MAX_BATCHES];
	size_t count;
	int64_t start; /* log start offset */
	int64_t end;
	int64_t high_watermark;
	int64_t flushed; /* a loss of power keeps what is below */
	int32_t epoch;
	bool compacted;
	bool start_is_inside; /* it was raised into a segment once */
	bool end_is_inside;   /* it is where a truncation has cut a batch or a gap */
	uint64_t seed;
	int step;
	const char *op;
};

static uint64_t
next_random(struct model *m)
{
	uint64_t z = (m->seed += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int64_t
below(struct model *m, int64_t bound)
{
	return bound <= 0 ? 0 : (int64_t)(next_random(m) % (uint64_t)bound);
}

static void
remember(struct model *m, const struct batch_info *info, int64_t timestamp_ms)
{
	assert_true(m->count < MAX_BATCHES);
	m->batches[m->count++] = (struct model_batch){
	    .base_offset = info->base_offset,
	    .last_offset = info->last_offset,
	    .timestamp_ms = timestamp_ms,
	    .crc = info->header.crc,
	    .epoch = info->leader_epoch,
	};
	m->end = info->last_offset + 1;
	m->end_is_inside = false;
}

static int64_t
random_timestamp(struct model *m)
{
	return 1700000000000 + m->step * 10 + below(m, 1000);
}

static void
append_as_leader(struct model *m, struct log *log)
{
	struct batch_spec spec = {
	    .count = 1 + (int32_t)below(m, 4),
	    .timestamp_ms = random_timestamp(m),
	    .value_bytes = (size_t)below(m, 300),
	    .codec = (enum compression)below(m, COMPRESSION_COUNT),
	};
	struct log_append_result result;
	struct log_append append;
	struct batch_info info;
	struct buf b = {0};

	build_batch(&spec, &b);
	append = (struct log_append){.records = b.data, .len = b.len, .leader_epoch = m->epoch};
	assert_int_equal(log_append_as_leader(log, &append, NULL, &result, NULL), 0);
	assert_int_equal(result.first_offset, m->end);
	assert_int_equal(batch_info_read(buf_slice(&b), &info), 0);
	remember(m, &info, spec.timestamp_ms);
	assert_int_equal(result.log_end_offset, m->end);
	buf_fini(&b);
}

static void
append_as_follower(struct model *m, struct log *log)
{
	/* A leader's compacted log has gaps, another's has not. */
	int64_t offset = m->end + (m->compacted && below(m, 10) == 0 ? below(m, 50) : 0);
	int batches = 1 + (int)below(m, 4);
	struct log_append_result result;
	struct model_batch made[4];
	struct buf b = {0};
	size_t pos = 0;

	for (int i = 0; i < batches; i++) {
		struct batch_spec spec = {
		    .base_offset = offset,
		    .leader_epoch = m->epoch,
		    .count = 1 + (int32_t)below(m, 3),
		    .timestamp_ms = random_timestamp(m),
		    .value_bytes = (size_t)below(m, 100),
		};

		build_batch(&spec, &b);
		made[i].timestamp_ms = spec.timestamp_ms;
		offset += spec.count;
	}
	assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), 0);
	for (int i = 0; i < batches; i++) {
		struct batch_info info;

		assert_int_equal(batch_info_read((struct slice){b.data + pos, b.len - pos}, &info),
				 0);
		remember(m, &info, made[i].timestamp_ms);
		pos += (size_t)info.size_bytes;
	}
	assert_int_equal(result.last_offset + 1, m->end);
	buf_fini(&b);
}

/* The model after everything at and above offset is gone. A batch that straddles goes as a whole.
 */
static void
cut_model(struct model *m, int64_t offset)
{
	while (m->count > 0 && m->batches[m->count - 1].last_offset >= offset)
		m->count--;
	m->end = offset;
	m->end_is_inside = m->count == 0 || m->batches[m->count - 1].last_offset + 1 != offset;
	if (m->high_watermark > offset)
		m->high_watermark = offset;
	if (m->start > offset)
		m->start = offset;
	if (m->flushed > offset)
		m->flushed = offset;
}

static void
check_batch(struct model *m, size_t at, struct slice bytes, const struct batch_info *info)
{
	const struct model_batch *want;

	assert_true(at < m->count);
	want = &m->batches[at];
	assert_int_equal(batch_check(info, bytes), 0);
	assert_int_equal(info->base_offset, want->base_offset);
	assert_int_equal(info->last_offset, want->last_offset);
	assert_int_equal(info->header.crc, want->crc);
	assert_int_equal(info->leader_epoch, want->epoch);
}

/* The first batch that holds or follows offset. */
static size_t
find_batch(const struct model *m, int64_t offset)
{
	size_t low = 0, high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->batches[mid].last_offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
read_somewhere(struct model *m, struct log *log)
{
	enum log_isolation isolation =
	    below(m, 2) == 0 ? LOG_READ_LOG_END : LOG_READ_HIGH_WATERMARK;
	int64_t upper = isolation == LOG_READ_LOG_END ? m->end : m->high_watermark;
	int64_t offset = m->start + below(m, m->end - m->start + 1);
	int32_t max_bytes = (int32_t)below(m, 3000);
	struct log_read read;
	struct buf b = {0};
	struct slice rest;
	size_t at = find_batch(m, offset);

	assert_int_equal(read_log(log, offset, max_bytes, isolation, &read), 0);
	if (read.len == 0) {
		/* Nothing below the upper offset, but for a batch that straddles it. */
		assert_true(offset >= upper || at == m->count ||
			    m->batches[at].last_offset >= upper);
		return;
	}
	assert_non_null(buf_extend(&b, (size_t)read.len));
	assert_int_equal(pread(log_file_fd(read.file), b.data, b.len, read.pos), read.len);
	log_file_put(read.file);
	rest = buf_slice(&b);
	while (rest.len > 0) {
		struct batch_info info;

		if (batch_info_read(rest, &info) == -ENODATA)
			break;
		assert_true(info.base_offset < upper);
		check_batch(m, at++, rest, &info);
		rest.data += info.size_bytes;
		rest.len -= (size_t)info.size_bytes;
	}
	/* With min_one there is a whole batch; anything that is cut is beyond max_bytes. */
	assert_true(rest.len < b.len);
	assert_true(rest.len == 0 || read.len == max_bytes);
	buf_fini(&b);
}

static void
read_everything(struct model *m, struct log *log)
{
	struct buf b = {0};
	struct slice rest;
	size_t at = find_batch(m, m->start);

	read_all(log, m->start, LOG_READ_LOG_END, &b);
	for (rest = buf_slice(&b); rest.len > 0; at++) {
		struct batch_info info;

		assert_int_equal(batch_info_read(rest, &info), 0);
		check_batch(m, at, rest, &info);
		rest.data += info.size_bytes;
		rest.len -= (size_t)info.size_bytes;
	}
	assert_int_equal(at, m->count);
	buf_fini(&b);
}

static void
search_a_time(struct model *m, struct log *log)
{
	int64_t target = random_timestamp(m) - below(m, 5000);
	struct log_timestamp_offset found;
	bool any = false;

	assert_int_equal(log_offset_for_timestamp(log, target, &found), 0);
	for (size_t i = find_batch(m, m->start); i < m->count; i++) {
		const struct model_batch *b = &m->batches[i];

		for (int64_t k = 0; k <= b->last_offset - b->base_offset; k++) {
			if (b->base_offset + k < m->start || b->timestamp_ms + k < target)
				continue;
			any = true;
			if (found.offset < 0)
				break;
			assert_int_equal(found.offset, b->base_offset + k);
			assert_int_equal(found.timestamp_ms, b->timestamp_ms + k);
			assert_int_equal(found.leader_epoch, b->epoch);
			return;
		}
	}
	/* As in Kafka, only the first segment that might hold it is searched. */
	if (found.offset < 0 && any)
		assert_true(m->start_is_inside);
	else
		assert_int_equal(found.offset, -1);
}

static void
check_offsets(struct model *m, struct log *log)
{
	struct log_offsets o;

	log_offsets(log, &o);
	assert_int_equal(o.log_start_offset, m->start);
	assert_int_equal(o.log_end_offset, m->end);
	assert_int_equal(o.high_watermark, m->high_watermark);
	assert_int_equal(o.last_stable_offset, m->high_watermark);
	assert_true(log_recovery_point(log) <= m->end);
}

static void
raise_start(struct model *m, struct log *log)
{
	int64_t offset;

	m->high_watermark = m->end;
	log_set_high_watermark(log, m->end);
	offset = m->start + below(m, (m->end - m->start) / 3 + 1);
	assert_int_equal(log_raise_start_offset(log, offset), 0);
	m->start = offset;
	m->start_is_inside = true;
	if (m->flushed < offset)
		m->flushed = offset;
}

static void
retain(struct model *m, struct log *log)
{
	struct log_config config;
	int32_t deleted;

	log_config_of(log, &config);
	config.retention_bytes = 6000 + below(m, 6000);
	log_configure(log, &config);
	assert_int_equal(log_delete_old_segments(log, &deleted), 0);
	config.retention_bytes = -1;
	log_configure(log, &config);
	/* What went is told by the log; it must have been below the high watermark. */
	assert_true(log_start_offset(log) <= m->high_watermark || deleted == 0);
	assert_true(log_start_offset(log) >= m->start);
	m->start = log_start_offset(log);
	if (m->flushed < m->start)
		m->flushed = m->start;
}

/* ---- new starts ---- */

static struct log *
start_again(struct model *m, struct storage *s)
{
	struct log *log;
	int32_t epoch;

	storage_start(s);
	log = storage_log(s);
	/* The log start offset is only checkpointed now and then: what it was before is allowed. */
	assert_true(log_start_offset(log) <= m->start);
	m->start = log_start_offset(log);
	m->high_watermark = m->start;
	/* A stop writes the high watermark; here the partition would set it. */
	epoch = log_latest_epoch(log);
	assert_true(epoch <= m->epoch);
	return log;
}

/* A batch that straddled the end of a truncation is gone, and with it the gap after it. */
static void
allow_gap_at_end(struct model *m, struct log *log)
{
	int64_t end = log_end_offset(log);

	if (m->end_is_inside && end < m->end) {
		assert_true(end >= (m->count > 0 ? m->batches[m->count - 1].last_offset + 1 : 0));
		m->end = end;
		if (m->flushed > end)
			m->flushed = end;
	}
	m->end_is_inside = false;
}

static struct log *
restart_cleanly(struct model *m, struct storage *s, struct log *log)
{
	int64_t start = m->start;

	log_put(log);
	storage_stop(s, true);
	log = start_again(m, s);
	allow_gap_at_end(m, log);
	assert_int_equal(log_end_offset(log), m->end);
	assert_int_equal(m->start, start);
	m->flushed = m->end;
	return log;
}

static struct log *
kill_and_restart(struct model *m, struct storage *s, struct log *log)
{
	log_put(log);
	storage_crash(s);
	log = start_again(m, s);
	allow_gap_at_end(m, log);
	assert_int_equal(log_end_offset(log), m->end);
	return log;
}

/* Cuts a file at a random place at or after `keep`, or fills what is beyond with zeros. */
static void
spoil(struct model *m, const struct storage *s, const char *name, int64_t keep)
{
	char path[256];
	int64_t size = storage_file_size(s, name);
	int64_t cut;

	if (size <= keep)
		return;
	cut = keep + below(m, size - keep + 1);
	storage_path(s, name, path, sizeof(path));
	assert_int_equal(truncate(path, cut), 0);
	if (below(m, 2) == 0)
		assert_int_equal(truncate(path, cut + below(m, 300)), 0);
}

/* How many bytes of an index hold entries below offset; those were fsynced. */
static int64_t
synced_index_bytes(const struct storage *s, const char *name, int64_t base, int64_t offset,
		   size_t entry_size, size_t key_pos)
{
	struct buf b = {0};
	size_t n = 0;

	storage_read_file(s, name, &b);
	while ((n + 1) * entry_size <= b.len &&
	       base + (int32_t)get_be32(b.data + n * entry_size + key_pos) < offset)
		n++;
	buf_fini(&b);
	return (int64_t)(n * entry_size);
}

/* Where in which segment's file the offset begins that a flush has reached. */
static void
flushed_place(struct log *log, int64_t flushed, int64_t *ret_base, int64_t *ret_pos)
{
	struct segment_view v;
	struct batch_info batch;
	int64_t at;
	int st;

	lock_acquire(&log->lock);
	at = log_floor_segment_locked(log, flushed);
	segment_view_open(log->segments[at < 0 ? 0 : at], false, &v);
	lock_release(&log->lock);
	st = segment_view_locate(&v, flushed, &batch);
	*ret_base = v.seg->base_offset;
	*ret_pos = st == 0 ? batch.pos : v.size_bytes;
	segment_view_close(&v);
}

static void
spoil_file(struct model *m, struct storage *s, const char *file, int64_t point,
	   int64_t flushed_base, int64_t flushed_pos, int64_t active_base)
{
	const char *suffix = strchr(file, '.');
	int64_t base = atoll(file);
	char name[300];

	if (strlen(file) < 21 || suffix == NULL || file[0] < '0' || file[0] > '9')
		return;
	snprintf(name, sizeof(name), "orders-0/%s", file);
	if (strcmp(suffix, ".snapshot") == 0 && base > point)
		spoil(m, s, name, 0);
	else if (strcmp(suffix, ".log") == 0 && base >= flushed_base &&
		 (!m->compacted || base == active_base))
		spoil(m, s, name, base == flushed_base ? flushed_pos : 0);
	else if (strcmp(suffix, ".index") == 0)
		spoil(m, s, name, synced_index_bytes(s, name, base, point, 8, 0));
	else if (strcmp(suffix, ".timeindex") == 0)
		spoil(m, s, name, synced_index_bytes(s, name, base, point, 12, 8));
}

/* A loss of power: what was not flushed is gone in part, in any order. */
static struct log *
lose_power(struct model *m, struct storage *s, struct log *log)
{
	static char boot_ids[2][32];
	int64_t point, base, pos, end, active_base;
	size_t kept;
	char path[256];
	struct dirent *entry;
	DIR *dir;

	/* The recovery point is only known to the next start as the checkpoint has it. */
	if (below(m, 2) == 0) {
		atomic_store(&log->dir->recovery_points_changed, true);
		assert_int_equal(log_manager_write_checkpoints(s->lm, CHECKPOINT_DUE_RECOVERY), 0);
	}
	point = log_recovery_point(log);
	/* After a kill the log knows of less than what the disk has; here the disk has no more. */
	if (m->flushed > atomic_load(&log->flushed_offset))
		m->flushed = atomic_load(&log->flushed_offset);
	active_base = log_active_locked(log)->base_offset;
	flushed_place(log, m->flushed > point ? m->flushed : point, &base, &pos);
	log_put(log);
	storage_crash(s);
	storage_path(s, "orders-0", path, sizeof(path));
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		spoil_file(m, s, entry->d_name, point, base, pos, active_base);
	closedir(dir);
	snprintf(boot_ids[m->step % 2], sizeof(boot_ids[0]), "boot-%d", m->step);
	s->boot_id = boot_ids[m->step % 2];
	log = start_again(m, s);
	end = log_end_offset(log);
	/* Every batch that was flushed is there. (Below a cut end there may be a gap.) */
	kept = find_batch(m, m->flushed);
	assert_true(kept == 0 || end > m->batches[kept - 1].last_offset);
	assert_true(end <= m->end);
	cut_model(m, end);
	m->end_is_inside = false;
	return log;
}

static void
reconfigure(struct model *m, struct storage *s, struct log *log)
{
	s->config.segment_bytes = 1500 + (int32_t)below(m, 3000);
	s->config.index_interval_bytes = (int32_t)below(m, 600);
	s->config.preallocate = below(m, 4) == 0;
	s->config.segment_index_bytes = 12 * (3 + (int32_t)below(m, 60));
	log_configure(log, &s->config);
}

static void
truncate_somewhere(struct model *m, struct log *log)
{
	int64_t offset = m->start + below(m, m->end - m->start + 1);

	offset = m->end - below(m, m->end - offset + 1);
	if (!m->compacted && find_batch(m, offset) < m->count)
		offset = m->batches[find_batch(m, offset)].base_offset;
	if (offset < m->start)
		return;
	assert_int_equal(log_truncate_to(log, offset), 0);
	if (offset < m->end)
		cut_model(m, offset);
	m->epoch++;
}

static void
roll(struct model *m, struct log *log)
{
	(void)m;
	assert_int_equal(log_roll(log), 0);
}

static void
flush(struct model *m, struct log *log)
{
	assert_int_equal(log_flush(log, m->end), 0);
	m->flushed = m->end;
}

static void
flush_in_background(struct model *m, struct log *log)
{
	(void)m;
	log_background_flush(log);
}

static void
move_high_watermark(struct model *m, struct log *log)
{
	m->high_watermark = m->start + below(m, m->end - m->start + 1);
	log_set_high_watermark(log, m->high_watermark);
}

static void
begin_epoch(struct model *m, struct log *log)
{
	m->epoch += 1 + (int32_t)below(m, 3);
	assert_int_equal(log_assign_epoch_start_offset(log, m->epoch, m->end), 0);
}

/* As a follower does whose leader has deleted all that it had. */
static void
start_anew(struct model *m, struct log *log)
{
	int64_t offset;

	if (below(m, 10) != 0)
		return;
	offset = m->end + below(m, 100);
	assert_int_equal(log_truncate_fully_and_start_at(log, offset), 0);
	m->count = 0;
	m->start = m->end = m->high_watermark = m->flushed = offset;
}

static void
read_or_append(struct model *m, struct log *log)
{
	if (below(m, 3) == 0) {
		m->op = "read";
		read_somewhere(m, log);
	} else if (below(m, 4) == 0) {
		m->op = "append as follower";
		append_as_follower(m, log);
	} else {
		m->op = "append as leader";
		append_as_leader(m, log);
	}
}

/* Each is drawn as often as `weight` says. One of run, run_storage and restart. */
static const struct operation {
	int weight;
	const char *name;
	void (*run)(struct model *m, struct log *log);
	void (*run_storage)(struct model *m, struct storage *s, struct log *log);
	struct log *(*restart)(struct model *m, struct storage *s, struct log *log);
} operations[] = {
    {1, "truncate", .run = truncate_somewhere},
    {1, "raise start", .run = raise_start},
    {2, "retention", .run = retain},
    {1, "roll", .run = roll},
    {2, "flush", .run = flush},
    {1, "restart", .restart = restart_cleanly},
    {1, "kill", .restart = kill_and_restart},
    {1, "lose power", .restart = lose_power},
    {1, "high watermark", .run = move_high_watermark},
    {1, "new epoch", .run = begin_epoch},
    {1, "configure", .run_storage = reconfigure},
    {1, "background flush", .run = flush_in_background},
    {3, "search a time", .run = search_a_time},
    {1, "start anew", .run = start_anew},
    {42, "read or append", .run = read_or_append},
};

/* The log afterwards: another one where the broker has started again. */
static struct log *
step(struct model *m, struct storage *s, struct log *log)
{
	const struct operation *op = operations;
	int64_t drawn = below(m, 60); /* the sum of the weights */

	for (; drawn >= op->weight; op++)
		drawn -= op->weight;
	m->op = op->name;
	if (op->restart != NULL)
		return op->restart(m, s, log);
	if (op->run_storage != NULL)
		op->run_storage(m, s, log);
	else
		op->run(m, log);
	return log;
}

static void
a_log_is_what_a_list_of_batches_in_memory_says(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	const char *steps_text = getenv("KLAMM_STEPS");
	const char *seed_text = getenv("KLAMM_SEED");
	int steps = steps_text != NULL ? atoi(steps_text) : 3000;
	struct storage *s = *state;
	struct log *log;

	assert_non_null(m);
	m->seed = seed_text != NULL ? strtoull(seed_text, NULL, 0)
				    : (uint64_t)env_monotonic_us(env_system());
	print_message("seed: KLAMM_SEED=%llu\n", (unsigned long long)m->seed);
	s->config.segment_bytes = 2000;
	s->config.index_interval_bytes = 200;
	m->compacted = below(m, 2) == 0;
	s->config.cleanup_policy = LOG_CLEANUP_DELETE | (m->compacted ? LOG_CLEANUP_COMPACT : 0);
	storage_start(s);
	log = storage_log(s);
	for (m->step = 0; m->step < steps && m->count < MAX_BATCHES - 8; m->step++) {
		if (getenv("KLAMM_TRACE") != NULL)
			print_message("%d %s start=%lld end=%lld\n", m->step, m->op,
				      (long long)m->start, (long long)m->end);
		log = step(m, s, log);
		/* What the workers do in the background must not depend on their speed. */
		log_jobs_wait(&s->lm->jobs);
		check_offsets(m, log);
		if (m->step % 50 == 0)
			read_everything(m, log);
	}
	read_everything(m, log);
	log_put(log);
	free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_log_is_what_a_list_of_batches_in_memory_says,
					    storage_setup, storage_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
