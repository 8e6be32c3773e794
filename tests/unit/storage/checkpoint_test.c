#include "storage/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "storage/leader_epochs.h"
#include "storage/partition_metadata.h"
#include "tests/unit/storage/storage_fixture.h"

static struct slice
text_slice(const char *text)
{
	return (struct slice){(const uint8_t *)text, strlen(text)};
}

static int
open_root(struct storage *s)
{
	int fd;

	assert_int_equal(mkdir(s->dirs[0], 0755), 0);
	fd = open(s->dirs[0], O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	return fd;
}

static void
kafkas_checkpoint_file_is_read(void **state)
{
	struct offset_table t;
	int64_t offset;

	(void)state;
	/* storage-format, section 21. */
	assert_int_equal(offset_table_parse(text_slice("0\n2\norders 0 1523\norders 1 77\n"), &t),
			 0);
	assert_true(offset_table_get(&t, "orders", 0, &offset));
	assert_int_equal(offset, 1523);
	assert_true(offset_table_get(&t, "orders", 1, &offset));
	assert_int_equal(offset, 77);
	assert_false(offset_table_get(&t, "orders", 2, &offset));
	offset_table_fini(&t);
}

static void
a_checkpoint_that_was_written_is_read_back(void **state)
{
	struct storage *s = *state;
	struct offset_table t = {0}, back;
	int fd = open_root(s);
	struct buf b = {0};
	int64_t offset;

	assert_int_equal(offset_table_put(&t, "a-b.c_d", 12, INT64_C(1) << 60), 0);
	assert_int_equal(offset_table_write(&s->machine.env, fd, "f", &t), 0);
	storage_read_file(s, "f", &b);
	assert_string_equal(buf_text(&b), "0\n1\na-b.c_d 12 1152921504606846976\n");
	assert_int_equal(offset_table_read(&s->machine.env, fd, "f", &back), 0);
	assert_true(offset_table_get(&back, "a-b.c_d", 12, &offset));
	assert_int_equal(offset, INT64_C(1) << 60);
	offset_table_fini(&back);
	assert_int_equal(offset_table_read(&s->machine.env, fd, "not there", &back), 0);
	assert_int_equal(back.offsets.count, 0);
	offset_table_fini(&t);
	buf_fini(&b);
	close(fd);
}

static void
a_malformed_checkpoint_is_refused(void **state)
{
	static const char *const bad[] = {
	    "1\n0\n",
	    "x\n",
	    "0\n-1\n",
	    "0\n2\na 0 1\n",
	    "0\n1\na 0\n",
	    "0\n1\na 0 1 2\n",
	    "0\n1\na 0 1\nb 0 1\n",
	    "0\n1\na 0 9223372036854775808\n",
	    "0\n1\na -1 5\n",
	    "0\n1\na 0 -5\n",
	    "0\n1x\na 0 1\n",
	    "0\n99999999999\n",
	};
	struct offset_table t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(offset_table_parse(text_slice(bad[i]), &t), -EINVAL);
	assert_int_equal(offset_table_parse(text_slice(""), &t), 0);
	assert_int_equal(offset_table_parse(text_slice("0\n"), &t), 0);
	assert_int_equal(offset_table_parse(text_slice("0\n0\n"), &t), 0);
}

static void
kafkas_epochs_are_read_and_written(void **state)
{
	struct storage *s = *state;
	struct leader_epochs le;
	int fd = open_root(s);
	struct buf b = {0};

	assert_int_equal(leader_epochs_parse(text_slice("0\n2\n0 0\n3 41\n"), &le), 0);
	assert_int_equal(leader_epochs_latest(&le), 3);
	assert_int_equal(leader_epochs_of_offset(&le, 40), 0);
	assert_int_equal(leader_epochs_of_offset(&le, 41), 3);
	assert_int_equal(leader_epochs_write(&le, &s->machine.env, fd, LEADER_EPOCH_CHECKPOINT), 0);
	storage_read_file(s, LEADER_EPOCH_CHECKPOINT, &b);
	assert_string_equal(buf_text(&b), "0\n2\n0 0\n3 41\n");
	leader_epochs_fini(&le);
	assert_int_equal(leader_epochs_parse(text_slice("0\n1\n0 x\n"), &le), -EINVAL);
	assert_int_equal(leader_epochs_parse(text_slice("0\n1\n-1 5\n"), &le), -EINVAL);
	buf_fini(&b);
	close(fd);
}

static void
assert_end(const struct leader_epochs *le, int32_t asked, int32_t epoch, int64_t offset)
{
	int64_t got_offset;
	int32_t got_epoch;

	leader_epochs_end_offset(le, asked, 100, &got_epoch, &got_offset);
	assert_int_equal(got_epoch, epoch);
	assert_int_equal(got_offset, offset);
}

static void
the_end_of_an_epoch_is_where_the_next_begins(void **state)
{
	struct leader_epochs le = {0};

	(void)state;
	assert_end(&le, 5, -1, -1);
	assert_int_equal(leader_epochs_assign(&le, 2, 10), 0);
	assert_int_equal(leader_epochs_assign(&le, 4, 30), 0);
	assert_int_equal(leader_epochs_assign(&le, 7, 60), 0);
	assert_end(&le, -1, -1, -1);
	assert_end(&le, 7, 7, 100);
	assert_end(&le, 8, -1, -1);
	assert_end(&le, 4, 4, 60);
	assert_end(&le, 5, 4, 60);
	assert_end(&le, 6, 4, 60);
	assert_end(&le, 2, 2, 30);
	assert_end(&le, 1, 1, 10); /* before all that is known */
	leader_epochs_fini(&le);
}

static void
epochs_that_contradict_a_new_one_go(void **state)
{
	struct leader_epochs le = {0};

	(void)state;
	assert_int_equal(leader_epochs_assign(&le, 2, 10), 0);
	assert_int_equal(leader_epochs_assign(&le, 4, 30), 0);
	assert_int_equal(leader_epochs_assign(&le, 4, 50), 0); /* known already */
	assert_int_equal(le.entries[1].start_offset, 30);
	assert_int_equal(leader_epochs_assign(&le, 5, 30), 0); /* no record had epoch 4 */
	assert_int_equal(le.count, 2);
	assert_int_equal(leader_epochs_latest(&le), 5);
	assert_int_equal(leader_epochs_assign(&le, 3, 5), 0);
	assert_int_equal(le.count, 1);
	leader_epochs_fini(&le);
}

static void
epochs_are_cut_at_both_ends(void **state)
{
	struct leader_epochs le = {0};

	(void)state;
	for (int32_t e = 0; e < 5; e++)
		assert_int_equal(leader_epochs_assign(&le, e, e * 10), 0);
	leader_epochs_truncate_from_start(&le, 15);
	assert_int_equal(le.count, 4);
	assert_int_equal(le.entries[0].epoch, 1);
	assert_int_equal(le.entries[0].start_offset, 15);
	leader_epochs_truncate_from_end(&le, 30);
	assert_int_equal(le.count, 2);
	assert_int_equal(leader_epochs_latest(&le), 2);
	leader_epochs_truncate_from_end(&le, 0);
	assert_int_equal(leader_epochs_latest(&le), -1);
	leader_epochs_fini(&le);
}

static void
partition_metadata_is_read_and_written_as_kafka_has_it(void **state)
{
	struct storage *s = *state;
	struct uuid id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	int fd = open_root(s);
	struct buf b = {0};
	struct uuid back;
	char path[256];

	storage_path(s, "t-0", path, sizeof(path));
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(partition_metadata_read(&s->machine.env, fd, "t-0", &back), -ENOENT);
	assert_int_equal(partition_metadata_write(&s->machine.env, fd, "t-0", &id), 0);
	storage_read_file(s, "t-0/partition.metadata", &b);
	assert_string_equal(buf_text(&b), "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA");
	assert_int_equal(partition_metadata_read(&s->machine.env, fd, "t-0", &back), 0);
	assert_true(uuid_equal(&id, &back));
	assert_int_equal(partition_metadata_parse(
			     text_slice("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA\n"), &back),
			 0);
	assert_int_equal(partition_metadata_parse(
			     text_slice("version: 1\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA"), &back),
			 -EINVAL);
	assert_int_equal(partition_metadata_parse(
			     text_slice("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"), &back),
			 -EINVAL);
	assert_int_equal(partition_metadata_parse(text_slice("version: 0\n"), &back), -EINVAL);
	assert_int_equal(partition_metadata_parse(text_slice(""), &back), -EINVAL);
	buf_fini(&b);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(kafkas_checkpoint_file_is_read),
	    T(a_checkpoint_that_was_written_is_read_back),
	    T(a_malformed_checkpoint_is_refused),
	    T(kafkas_epochs_are_read_and_written),
	    T(the_end_of_an_epoch_is_where_the_next_begins),
	    T(epochs_that_contradict_a_new_one_go),
	    T(epochs_are_cut_at_both_ends),
	    T(partition_metadata_is_read_and_written_as_kafka_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
