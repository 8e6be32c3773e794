/* Directories, start, stop and take-over: storage-format, sections 1, 9, 10 and 19. */
#include "storage/log_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "storage/log_internal.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"

#define NOW 1700000000000

static void
two_brokers_cannot_have_one_directory(void **state)
{
	const char *dirs[1];
	struct log_manager_options options;
	struct storage *s = *state;
	struct log_manager *other;
	const char *blamed = NULL;

	storage_start(s);
	log_manager_options_init(&options);
	dirs[0] = s->dirs[0];
	options.env = &s->machine.env;
	options.workers = s->workers;
	options.dirs = dirs;
	options.dir_count = 1;
	assert_int_equal(log_manager_open(&options, &other, &blamed), -EWOULDBLOCK);
	assert_string_equal(blamed, s->dirs[0]);
	storage_stop(s, true);
	assert_int_equal(log_manager_open(&options, &other, NULL), 0);
	log_manager_close(other, true);
}

static void
the_same_directory_twice_is_a_mistake(void **state)
{
	const char *dirs[2];
	struct log_manager_options options;
	struct storage *s = *state;
	struct log_manager *lm;
	char again[128];

	log_manager_options_init(&options);
	snprintf(again, sizeof(again), "%s/../a", s->dirs[0]);
	dirs[0] = s->dirs[0];
	dirs[1] = again;
	options.env = &s->machine.env;
	options.workers = s->workers;
	options.dirs = dirs;
	options.dir_count = 2;
	assert_int_equal(log_manager_open(&options, &lm, NULL), -EEXIST);
}

static void
the_identity_is_written_once_and_then_compared(void **state)
{
	struct log_manager_identity identity;
	struct storage *s = *state;
	char message[256] = "";
	struct buf b = {0};

	s->dir_count = 2;
	storage_start(s);
	assert_int_equal(log_manager_identity(s->lm, &identity, message, sizeof(message)), 0);
	assert_int_equal(identity.broker_id, -1);
	assert_string_equal(identity.cluster_id, "");
	assert_int_equal(log_manager_write_identity(s->lm, "c-1=2", 7, message, sizeof(message)),
			 0);
	assert_int_equal(log_manager_identity(s->lm, &identity, message, sizeof(message)), 0);
	assert_int_equal(identity.broker_id, 7);
	assert_string_equal(identity.cluster_id, "c-1=2");
	assert_int_equal(log_manager_write_identity(s->lm, "other", 7, message, sizeof(message)),
			 -EINVAL);
	assert_non_null(strstr(message, "cluster"));
	assert_int_equal(log_manager_write_identity(s->lm, "c-1=2", 8, message, sizeof(message)),
			 -EINVAL);
	assert_non_null(strstr(message, "broker"));
	storage_read_file(s, "meta.properties", &b);
	assert_non_null(strstr(buf_text(&b), "version=0\n"));
	assert_non_null(strstr(buf_text(&b), "broker.id=7\n"));
	assert_non_null(strstr(buf_text(&b), "cluster.id=c-1\\=2\n"));
	buf_fini(&b);
}

static void
keys_that_others_wrote_are_kept(void **state)
{
	static const char meta[] = "#\n#Fri Nov 20 12:00:00 UTC 2026\nversion=0\n"
				   "directory.id=abcdefghijklmnopqrstuv\ncluster.id=c\n";
	struct storage *s = *state;
	char message[256] = "";
	struct buf b = {0};

	assert_int_equal(mkdir(s->dirs[0], 0755), 0);
	storage_write_file(s, "meta.properties", meta, sizeof(meta) - 1);
	storage_start(s);
	assert_int_equal(log_manager_write_identity(s->lm, "c", 3, message, sizeof(message)), 0);
	storage_read_file(s, "meta.properties", &b);
	assert_non_null(strstr(buf_text(&b), "directory.id=abcdefghijklmnopqrstuv\n"));
	assert_non_null(strstr(buf_text(&b), "broker.id=3\n"));
	buf_fini(&b);
}

static void
a_directory_of_another_version_or_broker_is_refused(void **state)
{
	static const struct {
		const char *a, *b;
		const char *words;
	} cases[] = {
	    {"version=1\n", "version=0\n", "version"},
	    {"cluster.id=c\n", "version=0\n", "version"},
	    {"version=0\nbroker.id=1\n", "version=0\nbroker.id=2\n", "broker.id"},
	    {"version=0\ncluster.id=x\n", "version=0\ncluster.id=y\n", "cluster.id"},
	    {"version=0\nbroker.id=-5\n", "version=0\n", "broker.id"},
	    {"version=0\nbroker.id=\\u12\n", "version=0\n", "read"},
	};
	struct log_manager_identity identity;
	struct storage *s = *state;

	s->dir_count = 2;
	storage_start(s);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char message[256] = "";

		storage_write_file(s, "meta.properties", cases[i].a, strlen(cases[i].a));
		storage_write_file(s, "../b/meta.properties", cases[i].b, strlen(cases[i].b));
		assert_int_equal(log_manager_identity(s->lm, &identity, message, sizeof(message)),
				 -EINVAL);
		assert_non_null(strstr(message, cases[i].words));
		assert_non_null(strstr(message, "meta.properties"));
	}
}

static void
new_logs_go_where_there_are_fewest(void **state)
{
	struct storage *s = *state;
	int counts[3] = {0};

	s->dir_count = 3;
	storage_start(s);
	for (int32_t p = 0; p < 9; p++) {
		struct log *log;

		assert_int_equal(log_manager_get_or_create(s->lm, "t", p, NULL, true, &log), 0);
		for (int i = 0; i < 3; i++)
			counts[i] += strcmp(log_parent_dir(log), s->dirs[i]) == 0;
		log_put(log);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts[i], 3);
	assert_int_equal(log_manager_count(s->lm), 9);
}

static void
a_directory_that_cannot_be_used_leaves_the_others(void **state)
{
	struct storage *s = *state;
	struct log_dir_info info;
	struct log *log;
	int fd;

	/* A plain file stands where the directory should be. */
	fd = open(s->dirs[1], O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
	s->dir_count = 2;
	storage_start(s);
	assert_int_equal(s->dir_failures, 1);
	log_manager_dir_info(s->lm, 1, &info);
	assert_int_equal(info.error, ENOTDIR);
	log_manager_dir_info(s->lm, 0, &info);
	assert_int_equal(info.error, 0);
	assert_true(info.total_bytes > 0 && info.usable_bytes > 0);
	/* A partition that may lie in the lost directory is not made anew. */
	assert_int_equal(log_manager_get_or_create(s->lm, "t", 0, NULL, false, &log),
			 K_KAFKA_STORAGE_ERROR);
	assert_int_equal(log_manager_get_or_create(s->lm, "t", 0, NULL, true, &log), 0);
	log_put(log);
}

static void
no_usable_directory_at_all_is_an_error(void **state)
{
	struct storage *s = *state;
	int fd = open(s->dirs[0], O_CREAT | O_WRONLY, 0644);

	close(fd);
	assert_int_equal(storage_try_start(s), -ENOTDIR);
	assert_int_equal(s->dir_failures, 0);
}

static void
what_is_no_partition_stops_the_start(void **state)
{
	static const char *const names[] = {"lost+found", "topic",   "topic-",
					    "-1",         "topic-x", "topic-99999999999"};
	struct storage *s = *state;
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)mkdir(s->dirs[0], 0755);
		storage_path(s, names[i], path, sizeof(path));
		assert_int_equal(mkdir(path, 0755), 0);
		assert_int_equal(storage_try_start(s), -EINVAL);
		storage_stop(s, false);
		assert_int_equal(rmdir(path), 0);
	}
}

static void
the_same_partition_in_two_directories_stops_the_start(void **state)
{
	struct storage *s = *state;
	char path[256];

	s->dir_count = 2;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(s->dirs[i], 0755), 0);
		snprintf(path, sizeof(path), "%s/t-0", s->dirs[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_int_equal(storage_try_start(s), -EINVAL);
}

static void
directories_of_other_kinds_are_known(void **state)
{
	static const char *const names[] = {"t-0.0123456789abcdef0123456789abcdef-delete",
					    "u-1.0123456789abcdef0123456789abcdef-stray",
					    "v-2.0123456789abcdef0123456789abcdef-future",
					    "remote-log-index-cache", "w-3"};
	struct storage *s = *state;
	char path[256];

	s->config.file_delete_delay_ms = 60000;
	assert_int_equal(mkdir(s->dirs[0], 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		storage_path(s, names[i], path, sizeof(path));
		assert_int_equal(mkdir(path, 0755), 0);
	}
	storage_start(s);
	assert_int_equal(log_manager_count(s->lm), 1);
	assert_null(log_manager_find(s->lm, "t", 0));
	assert_null(log_manager_find(s->lm, "v", 2));
	/* The deleted one goes after the delay. */
	atomic_fetch_add(&s->machine.monotonic_us, 61000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	storage_stop(s, true);
	assert_false(storage_has_file(s, names[0]));
	assert_true(storage_has_file(s, names[1]));
	assert_true(storage_has_file(s, names[2]));
}

static void
a_deleted_log_is_renamed_then_removed_and_a_new_one_starts_at_zero(void **state)
{
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log, *again;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 10);
	log_set_high_watermark(log, 10);
	assert_int_equal(log_raise_start_offset(log, 5), 0);
	log_put(log);
	storage_stop(s, true);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_manager_delete(s->lm, "orders", 0), 0);
	assert_true(log_is_offline(log));
	assert_false(storage_has_file(s, "orders-0"));
	assert_null(log_manager_find(s->lm, "orders", 0));
	again = storage_log(s);
	/* Neither start nor high watermark of the old one may be found beside the new one. */
	storage_read_file(s, "log-start-offset-checkpoint", &b);
	assert_string_equal(buf_text(&b), "0\n0\n");
	storage_read_file(s, "replication-offset-checkpoint", &b);
	assert_string_equal(buf_text(&b), "0\n0\n");
	assert_int_equal(log_end_offset(again), 0);
	append_many(again, 2);
	log_put(log);
	log_put(again);
	storage_crash(s);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_start_offset(log), 0);
	assert_int_equal(log_end_offset(log), 2);
	log_put(log);
	buf_fini(&b);
}

static void
a_topic_id_is_kept_and_another_refused(void **state)
{
	const struct uuid id = {{9, 9, 9}}, other = {{1}};
	struct storage *s = *state;
	struct uuid got;
	struct log *log;

	storage_start(s);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log), 0);
	log_put(log);
	storage_stop(s, true);
	storage_start(s);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &other, true, &log),
			 K_INCONSISTENT_TOPIC_ID);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log), 0);
	log_topic_id(log, &got);
	assert_true(uuid_equal(&got, &id));
	log_put(log);
	/* A file that cannot be read costs this log alone. */
	storage_stop(s, true);
	storage_write_file(s, "orders-0/partition.metadata", "what?", 5);
	storage_start(s);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 0, &id, true, &log),
			 K_KAFKA_STORAGE_ERROR);
	assert_int_equal(log_manager_get_or_create(s->lm, "orders", 1, &id, true, &log), 0);
	log_put(log);
}

static void
checkpoints_are_written_when_they_are_due_and_something_changed(void **state)
{
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 4);
	log_set_high_watermark(log, 3);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	atomic_fetch_add(&s->machine.monotonic_us, 5000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	while (!storage_has_file(s, "replication-offset-checkpoint"))
		sched_yield();
	storage_read_file(s, "replication-offset-checkpoint", &b);
	assert_string_equal(buf_text(&b), "0\n1\norders 0 3\n");
	assert_false(storage_has_file(s, "recovery-point-offset-checkpoint"));
	/* In time all that was written is on the disk, and the next start knows. */
	atomic_fetch_add(&s->machine.monotonic_us, 120000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	while (log_recovery_point(log) < 4)
		sched_yield();
	atomic_fetch_add(&s->machine.monotonic_us, 60000000);
	log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
	do {
		sched_yield();
		if (storage_has_file(s, "recovery-point-offset-checkpoint"))
			storage_read_file(s, "recovery-point-offset-checkpoint", &b);
		log_manager_tick(s->lm, env_monotonic_ms(&s->machine.env));
		atomic_fetch_add(&s->machine.monotonic_us, 1000000);
	} while (strstr(buf_text(&b), "orders 0 4\n") == NULL);
	buf_fini(&b);
	log_put(log);
}

/* ---- what Kafka or a crash may leave behind ---- */

static void
leftovers_of_an_interrupted_cleaning_are_brought_to_an_end(void **state)
{
	struct storage *s = *state;
	struct buf first = {0}, second = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 3);
	assert_int_equal(log_roll(log), 0);
	append_many(log, 3);
	assert_int_equal(log_roll(log), 0);
	append_many(log, 1);
	log_put(log);
	storage_stop(s, true);
	/* Segments 0 and 3 became one, which was ready: .swap covers both. */
	storage_read_file(s, "orders-0/00000000000000000000.log", &first);
	storage_read_file(s, "orders-0/00000000000000000003.log", &second);
	buf_append(&first, second.data, second.len);
	storage_write_file(s, "orders-0/00000000000000000000.log.swap", first.data, first.len);
	storage_write_file(s, "orders-0/00000000000000000000.index.swap", "", 0);
	storage_write_file(s, "orders-0/00000000000000000000.timeindex.swap", "", 0);
	/* And others that were not. */
	storage_write_file(s, "orders-0/00000000000000000006.log.cleaned", "junk", 4);
	storage_write_file(s, "orders-0/00000000000000000009.log.swap", "junk", 4);
	storage_write_file(s, "orders-0/00000000000000000001.log.deleted", "junk", 4);
	storage_write_file(s, "orders-0/00000000000000000077.index", "junk", 4);
	storage_write_file(s, "orders-0/notes.txt", "mine", 4);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_segment_count(log), 2);
	assert_int_equal(count_records(log, 0), 7);
	assert_false(storage_has_file(s, "orders-0/00000000000000000000.log.swap"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000003.log"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000006.log.cleaned"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000009.log.swap"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000001.log.deleted"));
	assert_false(storage_has_file(s, "orders-0/00000000000000000077.index"));
	assert_true(storage_has_file(s, "orders-0/notes.txt"));
	buf_fini(&first);
	buf_fini(&second);
	log_put(log);
}

static void
a_missing_index_is_built_again_even_after_a_clean_stop(void **state)
{
	struct storage *s = *state;
	struct buf index = {0}, times = {0}, again = {0};
	struct log *log;
	char path[256];

	s->config.index_interval_bytes = 200;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 30; i++) {
		const struct batch_spec spec = {.timestamp_ms = NOW + i};

		assert_int_equal(append_batch(log, &spec, NULL), 0);
	}
	assert_int_equal(log_roll(log), 0);
	append_many(log, 2);
	log_put(log);
	storage_stop(s, true);
	storage_read_file(s, "orders-0/00000000000000000000.index", &index);
	storage_read_file(s, "orders-0/00000000000000000000.timeindex", &times);
	assert_true(index.len >= 5 * 8);
	storage_path(s, "orders-0/00000000000000000000.index", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(count_records(log, 0), 32);
	log_put(log);
	storage_stop(s, true);
	storage_read_file(s, "orders-0/00000000000000000000.index", &again);
	assert_int_equal(again.len, index.len);
	assert_memory_equal(again.data, index.data, index.len);
	storage_read_file(s, "orders-0/00000000000000000000.timeindex", &again);
	assert_int_equal(again.len, times.len);
	assert_memory_equal(again.data, times.data, times.len);
	buf_fini(&index);
	buf_fini(&times);
	buf_fini(&again);
}

static void
what_an_unclean_kafka_leaves_is_recovered(void **state)
{
	struct storage *s = *state;
	struct buf file = {0};
	struct log *log;
	char path[256];

	s->config.index_interval_bytes = 200;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 30);
	log_put(log);
	storage_crash(s);
	s->boot_id = "boot-2";
	/* Indexes as long as they may become, a preallocated log, the next batch torn. */
	storage_read_file(s, "orders-0/00000000000000000000.log", &file);
	buf_append(&file, file.data, 40);
	storage_write_file(s, "orders-0/00000000000000000000.log", file.data, file.len);
	storage_path(s, "orders-0/00000000000000000000.log", path, sizeof(path));
	assert_int_equal(truncate(path, (off_t)file.len + 5000), 0);
	storage_path(s, "orders-0/00000000000000000000.index", path, sizeof(path));
	assert_int_equal(truncate(path, 10485760), 0);
	storage_path(s, "orders-0/00000000000000000000.timeindex", path, sizeof(path));
	assert_int_equal(truncate(path, 10485756), 0);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 30);
	assert_int_equal(count_records(log, 0), 30);
	assert_true(storage_file_size(s, "orders-0/00000000000000000000.index") < 1000);
	assert_true(storage_file_size(s, "orders-0/00000000000000000000.timeindex") < 1000);
	buf_fini(&file);
	log_put(log);
}

static void
a_corrupt_batch_in_the_middle_ends_the_log_there(void **state)
{
	struct storage *s = *state;
	struct buf file = {0};
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 10);
	assert_int_equal(log_roll(log), 0);
	append_many(log, 10);
	log_put(log);
	storage_crash(s);
	s->boot_id = "boot-2";
	storage_read_file(s, "orders-0/00000000000000000000.log", &file);
	file.data[file.len / 10 * 4 + 70] ^= 1;
	storage_write_file(s, "orders-0/00000000000000000000.log", file.data, file.len);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 4);
	assert_int_equal(count_records(log, 0), 4);
	assert_int_equal(log_segment_count(log), 1);
	buf_fini(&file);
	log_put(log);
}

static void
epochs_that_cannot_be_read_are_found_in_the_batches(void **state)
{
	struct storage *s = *state;
	struct log_append_result result;
	struct buf b = {0};
	struct log *log;
	int32_t epoch;
	int64_t offset;

	storage_start(s);
	log = storage_log(s);
	for (int32_t e = 0; e < 4; e++) {
		const struct batch_spec spec = {
		    .leader_epoch = e * 2, .base_offset = e * 5, .count = 5};

		b.len = 0;
		build_batch(&spec, &b);
		assert_int_equal(log_append_as_follower(log, buf_slice(&b), &result), 0);
	}
	log_put(log);
	storage_stop(s, true);
	storage_write_file(s, "orders-0/leader-epoch-checkpoint", "0\n1\ngarbage\n", 12);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_latest_epoch(log), 6);
	log_end_offset_for_epoch(log, 3, &epoch, &offset);
	assert_int_equal(epoch, 2);
	assert_int_equal(offset, 10);
	buf_fini(&b);
	log_put(log);
}

static void
old_formats_on_disk_stay_readable(void **state)
{
	struct log_timestamp_offset found;
	struct storage *s = *state;
	struct buf b = {0}, got = {0};
	struct log *log;
	char path[256];

	assert_int_equal(mkdir(s->dirs[0], 0755), 0);
	storage_path(s, "orders-0", path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	for (int i = 0; i < 5; i++) {
		uint8_t value[4] = {0, 0, 0, (uint8_t)i};

		assert_int_equal(legacy_message_build(1, i, NOW + i, 0, (struct slice){NULL, 0},
						      (struct slice){value, 4}, &b),
				 0);
	}
	storage_write_file(s, "orders-0/00000000000000000000.log", b.data, b.len);
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(log_end_offset(log), 5);
	append_many(log, 1);
	read_all(log, 0, LOG_READ_LOG_END, &got);
	assert_true(got.len > b.len);
	assert_memory_equal(got.data, b.data, b.len);
	assert_int_equal(log_offset_for_timestamp(log, NOW + 3, &found), 0);
	assert_int_equal(found.offset, 3);
	assert_int_equal(found.leader_epoch, -1);
	buf_fini(&b);
	buf_fini(&got);
	log_put(log);
}

/* How often text stands in what was written to fd. */
static int
count_lines(int fd, const char *text)
{
	char got[8192];
	ssize_t len = pread(fd, got, sizeof(got) - 1, 0);
	int n = 0;

	assert_true(len >= 0 && len < (ssize_t)sizeof(got) - 1);
	got[len] = '\0';
	for (const char *at = got; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

static void
many_logs_are_loaded_and_each_is_reported(void **state)
{
	struct storage *s = *state;
	enum diag_level level = diag_level_of(DIAG_STORAGE);
	int diag = memfd_create("diag", MFD_CLOEXEC);
	size_t done, total;

	/* Without O_APPEND two lines at once may come to lie in one place. */
	assert_int_equal(fcntl(diag, F_SETFL, O_APPEND), 0);
	storage_start(s);
	for (int32_t p = 0; p < 200; p++) {
		struct log *log;

		assert_int_equal(log_manager_get_or_create(s->lm, "t", p, NULL, true, &log), 0);
		append_many(log, p % 3);
		log_put(log);
	}
	storage_stop(s, true);
	s->logs_loaded = 0;
	s->first_loaded_waits = true; /* its worker tells of its own progress, not of the end */
	diag_set_fd(diag);
	diag_set_level(DIAG_STORAGE, DIAG_INFO);
	storage_start(s);
	log_manager_progress(s->lm, &done, &total);
	assert_int_equal(done, 200);
	assert_int_equal(total, 200);
	assert_int_equal(s->logs_loaded, 200);
	for (int32_t p = 0; p < 200; p++) {
		struct log *log = log_manager_find(s->lm, "t", p);

		assert_non_null(log);
		assert_int_equal(log_end_offset(log), p % 3);
		log_put(log);
	}
	storage_stop(s, true); /* no worker has anything left to say */
	diag_set_level(DIAG_STORAGE, level);
	diag_set_fd(2);
	assert_int_equal(count_lines(diag, "loading logs done=200 total=200"), 1);
	close(diag);
}

static void
files_beyond_the_limit_are_closed_while_all_is_served(void **state)
{
	struct storage *s = *state;

	s->max_open_files = 10;
	storage_start(s);
	for (int round = 0; round < 3; round++) {
		for (int32_t p = 0; p < 40; p++) {
			struct log *log;

			assert_int_equal(log_manager_get_or_create(s->lm, "t", p, NULL, true, &log),
					 0);
			append_many(log, 2);
			assert_int_equal(count_records(log, 0), 2 * (round + 1));
			assert_true(file_cache_open_count(log->dir->ctx->files) <= 11);
			log_put(log);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(two_brokers_cannot_have_one_directory),
	    T(the_same_directory_twice_is_a_mistake),
	    T(the_identity_is_written_once_and_then_compared),
	    T(keys_that_others_wrote_are_kept),
	    T(a_directory_of_another_version_or_broker_is_refused),
	    T(new_logs_go_where_there_are_fewest),
	    T(a_directory_that_cannot_be_used_leaves_the_others),
	    T(no_usable_directory_at_all_is_an_error),
	    T(what_is_no_partition_stops_the_start),
	    T(the_same_partition_in_two_directories_stops_the_start),
	    T(directories_of_other_kinds_are_known),
	    T(a_deleted_log_is_renamed_then_removed_and_a_new_one_starts_at_zero),
	    T(a_topic_id_is_kept_and_another_refused),
	    T(checkpoints_are_written_when_they_are_due_and_something_changed),
	    T(leftovers_of_an_interrupted_cleaning_are_brought_to_an_end),
	    T(a_missing_index_is_built_again_even_after_a_clean_stop),
	    T(what_an_unclean_kafka_leaves_is_recovered),
	    T(a_corrupt_batch_in_the_middle_ends_the_log_there),
	    T(epochs_that_cannot_be_read_are_found_in_the_batches),
	    T(old_formats_on_disk_stay_readable),
	    T(many_logs_are_loaded_and_each_is_reported),
	    T(files_beyond_the_limit_are_closed_while_all_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
