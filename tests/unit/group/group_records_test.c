/* The records of __consumer_offsets, byte for byte as Kafka writes them; all versions are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "group/group_records.h"

#define NOW_MS INT64_C(1700000000000)

/* Bytes of hexadecimal text with spaces. "null" is null. */
static struct slice
hex(const char *text)
{
	static uint8_t room[16][256];
	static unsigned int turn;
	uint8_t *bytes = room[turn++ % 16];
	size_t len = 0;

	if (strcmp(text, "null") == 0)
		return (struct slice){NULL, 0};
	for (; *text != '\0'; text++) {
		unsigned int byte;

		if (*text == ' ')
			continue;
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		bytes[len++] = (uint8_t)byte;
		text++;
	}
	return (struct slice){bytes, len};
}

/* The one record in the builder is this. */
static void
assert_record(struct record_batch_builder *b, const char *key, const char *value)
{
	struct buf out = {0};
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct slice payload;

	assert_int_equal(record_batch_builder_finish(b, &out), 0);
	assert_int_equal(record_batch_parse(buf_slice(&out), &batch), 0);
	assert_int_equal(record_batch_payload(&batch, SIZE_MAX, NULL, &payload), 0);
	record_iter_init(&it, payload, batch.record_count);
	assert_true(record_iter_next(&it, &record));
	assert_int_equal(record_timestamp(&batch, &record), NOW_MS);
	assert_true(slice_equal(record.key, hex(key)));
	assert_true(slice_equal(record.value, hex(value)));
	assert_false(record_iter_next(&it, &record));
	buf_fini(&out);
	record_batch_builder_fini(b);
}

static struct committed_offset
example_offset(void)
{
	return (struct committed_offset){.offset = 42,
					 .leader_epoch = 5,
					 .metadata = str_of("m"),
					 .commit_timestamp_ms = NOW_MS,
					 .expire_timestamp_ms = -1};
}

static void
an_offset_has_a_key_of_version_1_and_a_value_of_version_3(void **state)
{
	struct committed_offset c = example_offset();
	struct record_batch_builder b;

	(void)state;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_offset(&b, NOW_MS, "g", str_of("t"), 3, &c);
	assert_record(&b, "0001 0001 67 0001 74 00000003",
		      "0003 000000000000002a 00000005 0001 6d 0000018bcfe56800");
}

static void
an_offset_with_a_time_of_expiry_has_a_value_of_version_1(void **state)
{
	struct committed_offset c = example_offset();
	struct record_batch_builder b;

	(void)state;
	c.expire_timestamp_ms = NOW_MS + 600000;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_offset(&b, NOW_MS, "g", str_of("t"), 3, &c);
	assert_record(&b, "0001 0001 67 0001 74 00000003",
		      "0001 000000000000002a 0001 6d 0000018bcfe56800 0000018bcfee8fc0");
}

static void
a_group_has_a_key_of_version_2_and_a_value_of_version_3(void **state)
{
	struct member_metadata member = {
	    .member_id = str_of("a"),
	    .group_instance_id = str_of("i"),
	    .client_id = str_of("c"),
	    .client_host = str_of("/h"),
	    .rebalance_timeout = 60000,
	    .session_timeout = 10000,
	    .subscription = {(const uint8_t *)"S", 1},
	    .assignment = {NULL, 0},
	};
	struct group_metadata_value value;
	struct record_batch_builder b;

	(void)state;
	group_metadata_value_init(&value);
	value.protocol_type = str_of("consumer");
	value.protocol = value.leader = str_of(NULL);
	value.generation = 2;
	value.current_state_timestamp = NOW_MS;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_group(&b, NOW_MS, "g", &value);
	assert_record(&b, "0002 0001 67",
		      "0003 0008 636f6e73756d6572 00000002 ffff ffff 0000018bcfe56800 00000000");
	value.protocol = str_of("range");
	value.leader = str_of("a");
	value.members = &member;
	value.members_count = 1;
	member.assignment.data = (const uint8_t *)"";
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_group(&b, NOW_MS, "g", &value);
	assert_record(&b, "0002 0001 67",
		      "0003 0008 636f6e73756d6572 00000002 0005 72616e6765 0001 61 "
		      "0000018bcfe56800 00000001 0001 61 0001 69 0001 63 0002 2f68 0000ea60 "
		      "00002710 00000001 53 00000000");
}

static void
a_tombstone_has_no_value(void **state)
{
	struct record_batch_builder b;

	(void)state;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_offset_tombstone(&b, NOW_MS, "g", str_of("t"), 3);
	assert_record(&b, "0001 0001 67 0001 74 00000003", "null");
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_group_tombstone(&b, NOW_MS, "g");
	assert_record(&b, "0002 0001 67", "null");
}

/* ---- reading ---- */

static int
setup(void **state)
{
	struct arena *arena = malloc(sizeof(*arena));

	arena_init(arena, 1 << 20);
	*state = arena;
	return 0;
}

static int
teardown(void **state)
{
	arena_fini(*state);
	free(*state);
	return 0;
}

static struct group_record
read_record(struct arena *arena, const char *key, const char *value)
{
	struct record record = {.key = hex(key), .value = hex(value)};
	struct group_record r;

	memset(&r, 0, sizeof(r));
	group_record_read(&record, arena, &r);
	return r;
}

static void
all_versions_of_an_offset_are_read(void **state)
{
	static const struct {
		const char *value;
		int32_t epoch;
		int64_t expiry;
	} versions[] = {
	    {"0000 000000000000002a 0001 6d 0000018bcfe56800", -1, -1},
	    {"0001 000000000000002a 0001 6d 0000018bcfe56800 0000018bcfee8fc0", -1,
	     NOW_MS + 600000},
	    {"0002 000000000000002a 0001 6d 0000018bcfe56800", -1, -1},
	    {"0003 000000000000002a 00000005 0001 6d 0000018bcfe56800", 5, -1},
	    {"0004 000000000000002a 00000005 02 6d 0000018bcfe56800 00", 5, -1},
	};

	for (size_t i = 0; i < 5; i++) {
		struct group_record r = read_record(*state,
						    i % 2 == 0 ? "0000 0001 67 0001 74 00000003"
							       : "0001 0001 67 0001 74 00000003",
						    versions[i].value);

		assert_int_equal(r.kind, GROUP_RECORD_OFFSET);
		assert_false(r.is_tombstone);
		assert_string_equal(r.group.data, "g");
		assert_string_equal(r.topic.data, "t");
		assert_int_equal(r.partition, 3);
		assert_int_equal(r.committed.offset, 42);
		assert_int_equal(r.committed.leader_epoch, versions[i].epoch);
		assert_string_equal(r.committed.metadata.data, "m");
		assert_int_equal(r.committed.commit_timestamp_ms, NOW_MS);
		assert_int_equal(r.committed.expire_timestamp_ms, versions[i].expiry);
	}
}

static void
all_versions_of_a_group_are_read(void **state)
{
	static const char *const versions[] = {
	    "0000 0001 63 00000002 0001 72 0001 61 00000001 "
	    "0001 61 0001 63 0001 68 00002710 00000001 53 00000001 41",
	    "0001 0001 63 00000002 0001 72 0001 61 00000001 "
	    "0001 61 0001 63 0001 68 0000ea60 00002710 00000001 53 00000001 41",
	    "0002 0001 63 00000002 0001 72 0001 61 0000018bcfe56800 00000001 "
	    "0001 61 0001 63 0001 68 0000ea60 00002710 00000001 53 00000001 41",
	    "0003 0001 63 00000002 0001 72 0001 61 0000018bcfe56800 00000001 "
	    "0001 61 0001 69 0001 63 0001 68 0000ea60 00002710 00000001 53 00000001 41",
	    "0004 02 63 00000002 02 72 02 61 0000018bcfe56800 02 "
	    "02 61 02 69 02 63 02 68 0000ea60 00002710 02 53 02 41 00 00",
	};

	for (int i = 0; i < 5; i++) {
		struct group_record r = read_record(*state, "0002 0001 67", versions[i]);
		const struct member_metadata *m = r.value.members;

		assert_int_equal(r.kind, GROUP_RECORD_GROUP);
		assert_string_equal(r.group.data, "g");
		assert_int_equal(r.value.generation, 2);
		assert_string_equal(r.value.protocol.data, "r");
		assert_string_equal(r.value.leader.data, "a");
		assert_int_equal(r.value.current_state_timestamp, i < 2 ? -1 : NOW_MS);
		assert_int_equal(r.value.members_count, 1);
		assert_string_equal(m->member_id.data, "a");
		assert_int_equal(m->session_timeout, 10000);
		assert_int_equal(m->rebalance_timeout, i < 1 ? -1 : 60000);
		assert_true(i < 3 ? m->group_instance_id.data == NULL
				  : strcmp(m->group_instance_id.data, "i") == 0);
		assert_int_equal(m->subscription.data[0], 'S');
		assert_int_equal(m->assignment.data[0], 'A');
	}
}

static void
tombstones_are_read_by_their_key_alone(void **state)
{
	struct group_record r = read_record(*state, "0001 0001 67 0001 74 00000003", "null");

	assert_int_equal(r.kind, GROUP_RECORD_OFFSET);
	assert_true(r.is_tombstone);
	assert_int_equal(r.partition, 3);
	r = read_record(*state, "0002 0001 67", "null");
	assert_int_equal(r.kind, GROUP_RECORD_GROUP);
	assert_true(r.is_tombstone);
	assert_string_equal(r.group.data, "g");
}

static void
keys_of_other_versions_are_not_for_us(void **state)
{
	static const int versions[] = {3, 8, 11, 32767, -1};

	for (size_t i = 0; i < 5; i++) {
		char key[16];
		struct group_record r;

		snprintf(key, sizeof(key), "%04x 0001 67", (unsigned int)versions[i] & 0xffff);
		r = read_record(*state, key, "0000 01");
		assert_int_equal(r.kind, GROUP_RECORD_UNKNOWN);
		assert_int_equal(r.key_version, versions[i]);
	}
}

static void
what_does_not_decode_is_corrupt(void **state)
{
	static const char *const pairs[][2] = {
	    {"null", "0000"},
	    {"", "0000"},
	    {"00", "0000"},
	    {"0001 0001", "null"},
	    {"0001 0001 67 0001 74 000000", "null"},
	    {"0001 7fff 67 0001 74 00000003", "null"},
	    {"0001 ffff 0001 74 00000003", "null"},
	    {"0001 0001 67 0001 74 00000003", ""},
	    {"0001 0001 67 0001 74 00000003", "0005 000000000000002a"},
	    {"0001 0001 67 0001 74 00000003", "ffff 000000000000002a"},
	    {"0001 0001 67 0001 74 00000003", "0003 000000000000002a 00000005 0001"},
	    {"0001 0001 67 0001 74 00000003", "0003 000000000000002a 00000005 ffff 00000000000000"},
	    {"0001 0002 6700 0001 74 00000003", "null"},
	    {"0002 0002 0067", "null"},
	    {"0002 0001 67", ""},
	    {"0002 0001 67", "0005"},
	    {"0002 0001 67", "0003 0001 63 00000002 ffff ffff 0000018bcfe56800 7fffffff"},
	    {"0002 0001 67", "0003 0001 63 00000002 ffff ffff 0000018bcfe56800 00000001 0001 61"},
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		assert_int_equal(read_record(*state, pairs[i][0], pairs[i][1]).kind,
				 GROUP_RECORD_CORRUPT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_offset_has_a_key_of_version_1_and_a_value_of_version_3),
	    cmocka_unit_test(an_offset_with_a_time_of_expiry_has_a_value_of_version_1),
	    cmocka_unit_test(a_group_has_a_key_of_version_2_and_a_value_of_version_3),
	    cmocka_unit_test(a_tombstone_has_no_value),
	    T(all_versions_of_an_offset_are_read),
	    T(all_versions_of_a_group_are_read),
	    T(tombstones_are_read_by_their_key_alone),
	    T(keys_of_other_versions_are_not_for_us),
	    T(what_does_not_decode_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
