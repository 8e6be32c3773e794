#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/index_window.h"
#include "storage/segment.h"
#include "tests/unit/storage/storage_fixture.h"

/* A file cache and a partition's directory in log directory 0. */
struct files {
	struct file_cache *cache;
	struct partition_dir *dir;
	int root_fd;
};

static struct files
files_open(struct storage *s, size_t limit)
{
	struct files f;
	char path[256];

	assert_int_equal(mkdir(s->dirs[0], 0755), 0);
	storage_path(s, "t-0", path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	f.root_fd = open(s->dirs[0], O_RDONLY | O_DIRECTORY);
	assert_true(f.root_fd >= 0);
	assert_int_equal(file_cache_open(&s->machine.env, limit, &f.cache), 0);
	f.dir = partition_dir_new(f.cache, f.root_fd, "t-0");
	assert_non_null(f.dir);
	return f;
}

static void
files_close(struct files *f)
{
	partition_dir_put(f->dir);
	assert_true(file_cache_is_unused(f->cache));
	assert_int_equal(file_cache_open_count(f->cache), 0);
	file_cache_close(f->cache);
	close(f->root_fd);
}

static void
open_offsets(struct files *f, struct offset_index *ix, int64_t base, int32_t max_bytes)
{
	struct log_file *file = log_file_new(f->dir, base, LOG_FILE_INDEX, LOG_FILE_PLAIN, true);

	*ix = (struct offset_index){.base_offset = base};
	assert_int_equal(
	    index_file_open(&ix->entries, file, OFFSET_INDEX_ENTRY_SIZE, max_bytes, true), 0);
}

static struct offset_position
floor_of(struct offset_index *ix, int64_t offset)
{
	struct offset_position found;
	struct index_view v;

	index_file_view(&ix->entries, false, &v);
	assert_int_equal(offset_index_floor(&v, ix->base_offset, offset, &found), 0);
	index_view_close(&v);
	return found;
}

static void
an_offset_index_is_written_as_kafka_writes_it(void **state)
{
	static const uint8_t want[] = {0, 0, 0, 5, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0x20, 1};
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix;
	struct buf b = {0};

	open_offsets(&f, &ix, 1000, 1 << 20);
	assert_int_equal(offset_index_append(&ix, 1005, 0x1000), 0);
	assert_int_equal(offset_index_append(&ix, 1256, 0x2001), 0);
	assert_int_equal(index_file_write_tail(&ix.entries, true), 0);
	storage_read_file(s, "t-0/00000000000000001000.index", &b);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	buf_fini(&b);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
a_floor_is_found_in_the_file_and_in_the_tail(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix;

	open_offsets(&f, &ix, 100, 1 << 20);
	assert_int_equal(floor_of(&ix, 500).pos, 0);
	for (int i = 1; i <= 1000; i++)
		assert_int_equal(offset_index_append(&ix, 100 + i * 10, i * 50), 0);
	assert_true(ix.entries.tail_count > 0);
	for (int64_t offset = 90; offset < 10200; offset++) {
		int64_t n = (offset - 100) / 10;
		struct offset_position found = floor_of(&ix, offset);

		if (n < 1 || offset < 100) {
			assert_int_equal(found.pos, 0);
			assert_int_equal(found.offset, 100);
		} else {
			assert_int_equal(found.pos, (n > 1000 ? 1000 : n) * 50);
		}
	}
	assert_int_equal(floor_of(&ix, INT64_MAX).offset, 10100);
	index_file_fini(&ix.entries);
	files_close(&f);
}

/* What a reactor's reader finds: without waiting for the disk, with what its thread kept. */
static struct offset_position
floor_nowait(struct offset_index *ix, int64_t offset)
{
	struct offset_position found;
	struct index_view v;

	index_file_view(&ix->entries, true, &v);
	assert_int_equal(offset_index_floor(&v, ix->base_offset, offset, &found), 0);
	index_view_close(&v);
	return found;
}

static size_t
windows_of(const struct offset_index *ix)
{
	const struct index_window *w = NULL;
	size_t n = 0;

	while ((w = index_window_next(ix->entries.generation, w)) != NULL)
		n++;
	return n;
}

static void
fill_offsets(struct offset_index *ix, int from, int to, int step)
{
	for (int i = from; i <= to; i++)
		assert_int_equal(offset_index_append(ix, 100 + i * 10, i * step), 0);
	assert_int_equal(index_file_write_tail(&ix->entries, false), 0);
}

static void
a_reader_that_goes_on_moves_one_window(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	const struct index_window *w;
	struct offset_index ix;

	open_offsets(&f, &ix, 100, 1 << 20);
	fill_offsets(&ix, 1, 20000, 50);
	assert_int_equal(windows_of(&ix), 0);
	for (int i = 1; i <= 20000; i++)
		assert_int_equal(floor_nowait(&ix, 100 + i * 10 + i % 10).pos, i * 50);
	assert_int_equal(windows_of(&ix), 1);
	w = index_window_next(ix.entries.generation, NULL);
	assert_int_equal(w->stretch.first + w->stretch.count, 20000);
	/* What comes later is read when it is asked for. */
	fill_offsets(&ix, 20001, 20100, 50);
	assert_int_equal(floor_nowait(&ix, 100 + 20050 * 10).pos, 20050 * 50);
	assert_int_equal(windows_of(&ix), 1);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
readers_at_many_places_find_what_one_without_memory_finds(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix;

	open_offsets(&f, &ix, 100, 1 << 20);
	fill_offsets(&ix, 1, 50000, 50);
	for (int i = 0; i < 20000; i++) {
		/* A multiplier that is prime to the range: all over it, near and far. */
		int64_t offset = 90 + (int64_t)i * 7919 % 500100;

		assert_int_equal(floor_nowait(&ix, offset).pos, floor_of(&ix, offset).pos);
		assert_int_equal(floor_nowait(&ix, offset + 5000).pos,
				 floor_of(&ix, offset + 5000).pos);
	}
	assert_in_range(windows_of(&ix), 2, INDEX_WINDOWS);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
a_cut_index_forgets_what_readers_kept_of_it(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix;

	open_offsets(&f, &ix, 100, 1 << 20);
	fill_offsets(&ix, 1, 300, 50);
	assert_int_equal(floor_nowait(&ix, 100 + 250 * 10).pos, 250 * 50);
	assert_int_equal(windows_of(&ix), 1);
	assert_int_equal(offset_index_truncate_to(&ix, 100 + 201 * 10), 0);
	assert_int_equal(windows_of(&ix), 0);
	assert_int_equal(floor_nowait(&ix, 100 + 250 * 10).pos, 200 * 50);
	/* Others stand there now. */
	fill_offsets(&ix, 201, 300, 70);
	assert_int_equal(floor_nowait(&ix, 100 + 250 * 10).pos, 250 * 70);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
the_next_segments_index_is_another_one(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix, next;

	open_offsets(&f, &ix, 100, 1 << 20);
	fill_offsets(&ix, 1, 300, 50);
	assert_int_equal(floor_nowait(&ix, 1000).pos, 90 * 50);
	index_file_fini(&ix.entries);
	/* With the same memory, as likely as not. */
	open_offsets(&f, &next, 99, 1 << 20);
	fill_offsets(&next, 1, 300, 70);
	assert_int_equal(floor_nowait(&next, 1000).pos, 90 * 70);
	index_file_fini(&next.entries);
	files_close(&f);
}

static void
the_upper_bound_is_the_entry_at_or_after_a_position(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_position from = {100, 0};
	struct offset_index ix;
	struct index_view v;
	int64_t offset;
	bool found;

	open_offsets(&f, &ix, 100, 1 << 20);
	for (int i = 1; i <= 40; i++)
		assert_int_equal(offset_index_append(&ix, 100 + i * 10, i * 50), 0);
	index_file_view(&ix.entries, false, &v);
	assert_int_equal(offset_index_upper_bound(&v, 100, from, 100, &found, &offset), 0);
	assert_true(found);
	assert_int_equal(offset, 120);
	assert_int_equal(offset_index_upper_bound(&v, 100, from, 101, &found, &offset), 0);
	assert_int_equal(offset, 130);
	assert_int_equal(offset_index_upper_bound(&v, 100, from, 2001, &found, &offset), 0);
	assert_false(found);
	index_view_close(&v);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
truncation_keeps_what_lies_below(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_position last;
	struct offset_index ix;

	open_offsets(&f, &ix, 0, 1 << 20);
	for (int i = 1; i <= 100; i++)
		assert_int_equal(offset_index_append(&ix, i * 10, i * 50), 0);
	assert_int_equal(offset_index_truncate_to(&ix, 995), 0);
	assert_int_equal(index_file_count(&ix.entries), 99);
	assert_int_equal(offset_index_truncate_to(&ix, 500), 0);
	assert_int_equal(index_file_count(&ix.entries), 49);
	assert_int_equal(offset_index_last(&ix, &last), 0);
	assert_int_equal(last.offset, 490);
	assert_int_equal(offset_index_append(&ix, 500, 2500), 0);
	assert_int_equal(offset_index_truncate_to(&ix, 0), 0);
	assert_int_equal(index_file_count(&ix.entries), 0);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
the_zeros_that_an_unclean_kafka_leaves_are_no_entries(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct offset_index ix;
	struct log_file *file;

	open_offsets(&f, &ix, 0, 1 << 20);
	for (int i = 1; i <= 20; i++)
		assert_int_equal(offset_index_append(&ix, i * 10, i * 50), 0);
	assert_int_equal(index_file_write_tail(&ix.entries, false), 0);
	assert_int_equal(log_file_truncate(ix.entries.file, 10485760), 0);
	index_file_fini(&ix.entries);

	file = log_file_new(f.dir, 0, LOG_FILE_INDEX, LOG_FILE_PLAIN, false);
	assert_int_equal(
	    index_file_open(&ix.entries, file, OFFSET_INDEX_ENTRY_SIZE, 1 << 24, false), 0);
	assert_int_equal(index_file_count(&ix.entries), 1310720);
	assert_int_equal(index_file_drop_zeros(&ix.entries), 0);
	assert_int_equal(index_file_count(&ix.entries), 20);
	assert_int_equal(storage_file_size(s, "t-0/00000000000000000000.index"), 160);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
a_part_of_an_entry_at_the_end_is_cut_off(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct index_file ix;

	storage_write_file(s, "t-0/00000000000000000000.timeindex", "0123456789abcdef", 16);
	assert_int_equal(
	    index_file_open(&ix, log_file_new(f.dir, 0, LOG_FILE_TIME_INDEX, LOG_FILE_PLAIN, false),
			    TIME_INDEX_ENTRY_SIZE, 1 << 20, false),
	    0);
	assert_int_equal(index_file_count(&ix), 1);
	assert_int_equal(storage_file_size(s, "t-0/00000000000000000000.timeindex"), 12);
	index_file_fini(&ix);
	files_close(&f);
}

static void
a_time_index_takes_only_rising_timestamps_and_keeps_one_place(void **state)
{
	static const uint8_t want[] = {0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 7};
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct time_index ix = {.base_offset = 50};
	struct timestamp_offset last;
	struct buf b = {0};

	assert_int_equal(
	    index_file_open(&ix.entries,
			    log_file_new(f.dir, 50, LOG_FILE_TIME_INDEX, LOG_FILE_PLAIN, true),
			    TIME_INDEX_ENTRY_SIZE, 36, true),
	    0);
	assert_int_equal(time_index_last(&ix, &last), 0);
	assert_int_equal(last.timestamp_ms, -1);
	assert_int_equal(time_index_maybe_append(&ix, 1700000000000, 57), 0);
	assert_false(time_index_is_full(&ix));
	assert_int_equal(time_index_maybe_append(&ix, 1700000000000, 60), 0);
	assert_int_equal(time_index_maybe_append(&ix, 1600000000000, 61), 0);
	assert_int_equal(index_file_count(&ix.entries), 1);
	assert_int_equal(time_index_maybe_append(&ix, 1700000000001, 62), 0);
	assert_true(time_index_is_full(&ix));
	assert_int_equal(index_file_write_tail(&ix.entries, true), 0);
	storage_read_file(s, "t-0/00000000000000000050.timeindex", &b);
	assert_int_equal(b.len, 24);
	assert_memory_equal(b.data, want, sizeof(want));
	buf_fini(&b);
	index_file_fini(&ix.entries);
	files_close(&f);
}

static void
a_transaction_index_is_written_as_kafka_writes_it(void **state)
{
	/* storage-format, section 21. */
	static const uint8_t want[] = {0, 0,    0, 0, 0, 0,    0, 0, 0x0f, 0xa0, 0, 0,
				       0, 0,    0, 0, 0, 0x64, 0, 0, 0,    0,    0, 0,
				       0, 0x65, 0, 0, 0, 0,    0, 0, 0,    0x66};
	const struct aborted_txn txn = {4000, 100, 101, 102};
	const struct aborted_txn next = {4001, 110, 120, 121};
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct aborted_txn read;
	struct txn_index ix;
	struct buf b = {0};

	assert_int_equal(txn_index_open(&ix, NULL), 0);
	assert_int_equal(txn_index_append(&ix, f.dir, 100, LOG_FILE_PLAIN, &txn), 0);
	storage_read_file(s, "t-0/00000000000000000100.txnindex", &b);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	assert_int_equal(txn_index_append(&ix, f.dir, 100, LOG_FILE_PLAIN, &next), 0);
	assert_int_equal(txn_index_check(&ix, 100), 0);
	assert_int_equal(txn_index_check(&ix, 102), -EBADMSG);
	assert_int_equal(txn_index_read(ix.file, 1, 100, &read), 0);
	assert_int_equal(read.first_offset, 110);
	assert_int_equal(txn_index_truncate_to(&ix, 100, 120), 0);
	assert_int_equal(ix.count, 1);
	txn_index_fini(&ix);
	/* Another version is not to be read. */
	b.data[1] = 1;
	storage_write_file(s, "t-0/00000000000000000100.txnindex", b.data, b.len);
	assert_int_equal(txn_index_open(&ix, log_file_new(f.dir, 100, LOG_FILE_TXN_INDEX,
							  LOG_FILE_PLAIN, false)),
			 0);
	assert_int_equal(txn_index_check(&ix, 100), -EBADMSG);
	txn_index_fini(&ix);
	buf_fini(&b);
	files_close(&f);
}

/* ---- the file cache ---- */

static void
quiet_files_are_closed_and_open_again_when_needed(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 4);
	struct log_file *files[20];
	int64_t value;

	for (int64_t i = 0; i < 20; i++) {
		files[i] = log_file_new(f.dir, i, LOG_FILE_LOG, LOG_FILE_PLAIN, true);
		assert_int_equal(log_file_pwrite(files[i], &i, sizeof(i), 0), 0);
		assert_true(file_cache_open_count(f.cache) <= 4);
	}
	for (int64_t i = 0; i < 20; i++) {
		assert_int_equal(log_file_pread(files[i], &value, sizeof(value), 0), sizeof(value));
		assert_int_equal(value, i);
	}
	for (int i = 0; i < 20; i++)
		log_file_disown(files[i]);
	files_close(&f);
}

static void
a_file_in_use_is_never_closed(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 2);
	struct log_file *files[6];
	int fds[6];

	for (int i = 0; i < 6; i++) {
		files[i] = log_file_new(f.dir, i, LOG_FILE_LOG, LOG_FILE_PLAIN, true);
		fds[i] = log_file_fd(log_file_get(files[i]));
		assert_true(fds[i] >= 0);
	}
	assert_int_equal(file_cache_open_count(f.cache), 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(log_file_fd(files[i]), fds[i]);
		assert_true(fcntl(fds[i], F_GETFD) >= 0);
		log_file_put(files[i]);
		log_file_disown(files[i]);
	}
	files_close(&f);
}

static void
a_reader_keeps_the_file_that_was_deleted_under_him(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 10);
	struct log_file *file = log_file_new(f.dir, 0, LOG_FILE_LOG, LOG_FILE_PLAIN, true);
	char text[6];
	int fd;

	assert_int_equal(log_file_pwrite(file, "hello", 6, 0), 0);
	log_file_get(file);
	fd = log_file_fd(file);
	assert_int_equal(log_file_rename(file, LOG_FILE_DELETED), 0);
	assert_true(storage_has_file(s, "t-0/00000000000000000000.log.deleted"));
	assert_int_equal(log_file_unlink(file), 0);
	log_file_disown(file);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 6);
	assert_string_equal(text, "hello");
	log_file_put(file);
	files_close(&f);
}

static void
a_closed_file_is_found_after_its_directory_was_renamed(void **state)
{
	struct storage *s = *state;
	struct files f = files_open(s, 1);
	struct log_file *a = log_file_new(f.dir, 0, LOG_FILE_LOG, LOG_FILE_PLAIN, true);
	struct log_file *b = log_file_new(f.dir, 1, LOG_FILE_LOG, LOG_FILE_PLAIN, true);
	char text[2];

	assert_int_equal(log_file_pwrite(a, "a", 2, 0), 0);
	assert_int_equal(log_file_pwrite(b, "b", 2, 0), 0);
	assert_int_equal(partition_dir_rename(f.dir, "t-0.0123-delete"), 0);
	assert_int_equal(log_file_pread(a, text, 2, 0), 2);
	assert_string_equal(text, "a");
	assert_int_equal(log_file_pread(b, text, 2, 0), 2);
	assert_string_equal(text, "b");
	log_file_disown(a);
	log_file_disown(b);
	files_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(an_offset_index_is_written_as_kafka_writes_it),
	    T(a_floor_is_found_in_the_file_and_in_the_tail),
	    T(a_reader_that_goes_on_moves_one_window),
	    T(readers_at_many_places_find_what_one_without_memory_finds),
	    T(a_cut_index_forgets_what_readers_kept_of_it),
	    T(the_next_segments_index_is_another_one),
	    T(the_upper_bound_is_the_entry_at_or_after_a_position),
	    T(truncation_keeps_what_lies_below),
	    T(the_zeros_that_an_unclean_kafka_leaves_are_no_entries),
	    T(a_part_of_an_entry_at_the_end_is_cut_off),
	    T(a_time_index_takes_only_rising_timestamps_and_keeps_one_place),
	    T(a_transaction_index_is_written_as_kafka_writes_it),
	    T(quiet_files_are_closed_and_open_again_when_needed),
	    T(a_file_in_use_is_never_closed),
	    T(a_reader_keeps_the_file_that_was_deleted_under_him),
	    T(a_closed_file_is_found_after_its_directory_was_renamed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
