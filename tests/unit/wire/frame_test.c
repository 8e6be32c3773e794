/*
 * Frames that Kafka 3.9's own classes wrote (wire-protocol, section 27), read and written again;
 * and what is around them.
 */
#include "wire/frame.h"

#include <errno.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/generated/api_versions.h"
#include "wire/generated/consumer_offsets.h"
#include "wire/generated/fetch.h"
#include "wire/generated/join_group.h"
#include "wire/generated/metadata.h"
#include "wire/generated/producer_snapshot.h"
#include "wire/generated/transaction_state.h"

#define ARENA_LIMIT (1 << 20)
#define NOW 1700000000000

/* A frame with its size, and where in it one is. */
struct example {
	struct buf bytes;
	struct arena arena;
	struct wire_in in;
};

static void
example_open(struct example *e, const char *hex)
{
	*e = (struct example){0};
	append_hex(&e->bytes, hex);
	assert_int_equal(get_be32(e->bytes.data), e->bytes.len - 4);
	arena_init(&e->arena, ARENA_LIMIT);
	wire_in_init(&e->in, (struct slice){e->bytes.data + 4, e->bytes.len - 4}, &e->arena);
}

static void
example_close(struct example *e)
{
	buf_fini(&e->bytes);
	arena_fini(&e->arena);
}

/* Encodes the body m again behind a header of its own: the whole frame must come out. */
static void
assert_same_request(const struct example *e, const struct frame_head *head, const void *m)
{
	struct buf b = {0};
	struct wire_out out;
	size_t start;

	wire_out_init(&out, &b);
	frame_begin_request(&out, head->api, head->api_version, head->correlation_id,
			    head->client_id, &start);
	assert_int_equal(wire_encode(head->api->request, m, head->api_version, &out), 0);
	assert_int_equal(frame_end(&out, start, 0), 0);
	assert_slices_equal(buf_slice(&b), buf_slice(&e->bytes));
	wire_out_fini(&out);
	buf_fini(&b);
}

static void
assert_same_response(const struct example *e, int key, int version, int32_t correlation_id,
		     const void *m)
{
	struct buf b = {0};
	struct wire_out out;
	size_t start;

	wire_out_init(&out, &b);
	frame_begin_response(&out, wire_api(key), version, correlation_id, &start);
	assert_int_equal(wire_encode(wire_api(key)->response, m, version, &out), 0);
	assert_int_equal(frame_end(&out, start, 0), 0);
	assert_slices_equal(buf_slice(&b), buf_slice(&e->bytes));
	wire_out_fini(&out);
	buf_fini(&b);
}

static void
an_api_versions_request_keeps_its_client_id_in_the_old_form(void **state)
{
	struct api_versions_request request;
	struct frame_head head;
	struct example e;

	(void)state;
	example_open(&e, "00000017 0012 0003 00000007 0002 6331 00  05 74657374 04 312e30 00");
	assert_int_equal(frame_decode_request_header(&e.in, &head), 0);
	assert_int_equal(head.api_key, API_VERSIONS);
	assert_int_equal(head.api_version, 3);
	assert_int_equal(head.correlation_id, 7);
	assert_string_equal(head.client_id.data, "c1");
	assert_int_equal(api_versions_request_decode(&request, 3, &e.in), 0);
	assert_string_equal(request.client_software_name.data, "test");
	assert_string_equal(request.client_software_version.data, "1.0");
	assert_int_equal(wire_in_left(&e.in), 0);
	assert_same_request(&e, &head, &request);
	example_close(&e);
}

static void
the_header_of_an_unknown_api_versions_version_is_read_all_the_same(void **state)
{
	struct frame_head head;
	struct example e;

	(void)state;
	example_open(&e, "00000017 0012 0063 00000007 0002 6331 00  05 74657374 04 312e30 00");
	assert_int_equal(frame_decode_request_header(&e.in, &head), 0);
	assert_int_equal(head.api_version, 99);
	assert_false(wire_api_has_version(head.api, head.api_version));
	assert_string_equal(head.client_id.data, "c1");
	example_close(&e);
}

static void
the_answer_to_an_unknown_version_is_a_version_0_body(void **state)
{
	struct api_versions_response response;
	struct api_version key = {.api_key = 18, .min_version = 0, .max_version = 4};
	struct example e;

	(void)state;
	example_open(&e, "00000010 00000007 0023 00000001 0012 0000 0004");
	api_versions_response_init(&response);
	response.error_code = 35;
	response.api_keys = &key;
	response.api_keys_count = 1;
	assert_same_response(&e, API_VERSIONS, 0, 7, &response);
	example_close(&e);
}

static void
an_api_versions_response_has_an_old_header_and_tagged_fields(void **state)
{
	struct api_versions_response response;
	struct example e;
	int32_t correlation_id;

	(void)state;
	example_open(&e, "0000001d 00000007 0000 02 0012 0000 0004 00 00000000 01 01 08 "
			 "0000000000000000");
	assert_int_equal(
	    frame_decode_response_header(&e.in, wire_api(API_VERSIONS), 3, &correlation_id), 0);
	assert_int_equal(correlation_id, 7);
	assert_int_equal(api_versions_response_decode(&response, 3, &e.in), 0);
	assert_int_equal(response.api_keys_count, 1);
	assert_int_equal(response.api_keys[0].max_version, 4);
	assert_int_equal(response.finalized_features_epoch, 0);
	assert_same_response(&e, API_VERSIONS, 3, 7, &response);
	example_close(&e);
}

static void
metadata_requests_name_no_topics_or_some(void **state)
{
	struct metadata_request request;
	struct frame_head head;
	struct example e;

	(void)state;
	example_open(&e, "00000011 0003 000c 00000008 0002 6331 00  00 01 00 00");
	assert_int_equal(frame_decode_request_header(&e.in, &head), 0);
	assert_int_equal(metadata_request_decode(&request, 12, &e.in), 0);
	assert_int_equal(request.topics_count, -1);
	assert_true(request.allow_auto_topic_creation);
	assert_false(request.include_topic_authorized_operations);
	assert_same_request(&e, &head, &request);
	example_close(&e);

	example_open(&e, "00000013 0003 0001 00000008 0002 6331  00000001 0001 74");
	assert_int_equal(frame_decode_request_header(&e.in, &head), 0);
	assert_int_equal(metadata_request_decode(&request, 1, &e.in), 0);
	assert_int_equal(request.topics_count, 1);
	assert_string_equal(request.topics[0].name.data, "t");
	assert_true(request.allow_auto_topic_creation); /* the default before v4 */
	assert_same_request(&e, &head, &request);
	example_close(&e);
}

static void
a_metadata_response_tells_an_unknown_topic_id(void **state)
{
	struct metadata_response response;
	struct example e;
	int32_t correlation_id;

	(void)state;
	example_open(&e, "00000038 00000009 00  00000000 02 00000001 02 68 00002384 00 00  02 63  "
			 "00000001 02 0064 00 00000000000000010000000000000002 00 01 80000000 00  "
			 "00");
	assert_int_equal(
	    frame_decode_response_header(&e.in, wire_api(API_METADATA), 12, &correlation_id), 0);
	assert_int_equal(metadata_response_decode(&response, 12, &e.in), 0);
	assert_int_equal(response.brokers[0].port, 9092);
	assert_null(response.brokers[0].rack.data);
	assert_string_equal(response.cluster_id.data, "c");
	assert_int_equal(response.topics[0].error_code, 100);
	assert_null(response.topics[0].name.data);
	assert_int_equal(response.topics[0].topic_id.bytes[15], 2);
	assert_int_equal(response.topics[0].topic_authorized_operations, INT32_MIN);
	assert_same_response(&e, API_METADATA, 12, 9, &response);
	example_close(&e);
}

static void
fetch_responses_are_those_of_kafka(void **state)
{
	static const struct {
		int version;
		const char *hex;
	} frames[] = {
	    {16, "00000011 00000009 00  00000000 0000 00000005 01 00"},
	    {12, "00000011 00000009 00  00000000 0046 00000000 01 00"},
	    {12, "0000003a 00000009 00  00000000 0000 00000000 02 02 74 02"
		 "00000000 0006 ffffffffffffffff ffffffffffffffff ffffffffffffffff 01 ffffffff 00 "
		 "00  00 00"},
	    {4, "00000031 00000009  00000000 00000001 0001 74 00000001"
		"00000000 0006 ffffffffffffffff ffffffffffffffff 00000000 ffffffff"},
	    {16, "00000062 00000009 00  00000000 0000 00000000 02 "
		 "0000000000000001 0000000000000002 02 00000000 0006 ffffffffffffffff "
		 "ffffffffffffffff ffffffffffffffff 01 ffffffff 01 01 01 09 00000002 00000007 00 "
		 "00 01 00 0d 02 00000002 02 68 00002384 00 00"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		struct fetch_response response;
		int32_t correlation_id;
		struct example e;

		example_open(&e, frames[i].hex);
		assert_int_equal(frame_decode_response_header(&e.in, wire_api(API_FETCH),
							      frames[i].version, &correlation_id),
				 0);
		assert_int_equal(correlation_id, 9);
		assert_int_equal(fetch_response_decode(&response, frames[i].version, &e.in), 0);
		assert_int_equal(wire_in_left(&e.in), 0);
		assert_same_response(&e, API_FETCH, frames[i].version, 9, &response);
		if (i == 4) {
			struct fetch_response_partition_data *p =
			    &response.responses[0].partitions[0];

			assert_int_equal(p->current_leader.leader_id, 2);
			assert_int_equal(p->current_leader.leader_epoch, 7);
			assert_int_equal(response.node_endpoints[0].port, 9092);
			assert_non_null(p->records.data.data); /* empty, not null */
		}
		example_close(&e);
	}
}

static void
a_join_group_response_has_a_null_protocol_from_version_7(void **state)
{
	struct join_group_response response;
	int32_t correlation_id;
	struct example e;

	(void)state;
	example_open(&e, "00000019 00000009 00  00000000 004f ffffffff 00 00 01 00 04 6d2d31 01 "
			 "00");
	assert_int_equal(frame_decode_response_header(&e.in, wire_api(11), 9, &correlation_id), 0);
	assert_int_equal(join_group_response_decode(&response, 9, &e.in), 0);
	assert_null(response.protocol_name.data);
	assert_null(response.protocol_type.data);
	assert_string_equal(response.member_id.data, "m-1");
	assert_same_response(&e, 11, 9, 9, &response);
	example_close(&e);
}

/* A key or value of an internal topic, read and written again. */
static void
check_data(const struct wire_schema *schema, void *m, const char *hex, int want_version,
	   struct arena *arena)
{
	struct buf b = {0};
	struct buf again = {0};
	int version;

	append_hex(&b, hex);
	assert_int_equal(wire_data_read(schema, m, buf_slice(&b), arena, &version), 0);
	assert_int_equal(version, want_version);
	assert_int_equal(wire_data_write(schema, m, version, &again), 0);
	assert_slices_equal(buf_slice(&again), buf_slice(&b));
	/* Cut off, or of a version that does not exist. */
	assert_int_equal(wire_data_read(schema, m, (struct slice){b.data, 1}, arena, &version),
			 -EBADMSG);
	b.data[0] = 0x7f;
	assert_int_equal(wire_data_read(schema, m, buf_slice(&b), arena, &version), -EINVAL);
	b.data[0] = 0;
	/* Once more, for the caller to look at. */
	assert_int_equal(wire_data_read(schema, m, buf_slice(&b), arena, &version), 0);
	buf_fini(&b);
	buf_fini(&again);
}

/* storage-format, section 21. */
static void
records_of_the_internal_topics_are_those_of_kafka(void **state)
{
	struct offset_commit_key offset_key;
	struct offset_commit_value offset;
	struct group_metadata_key group_key;
	struct group_metadata_value group;
	struct transaction_log_key txn_key;
	struct transaction_log_value txn;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	check_data(&offset_commit_key_schema, &offset_key, "0001 0001 67 0001 74 00000003", 1,
		   &arena);
	assert_string_equal(offset_key.group.data, "g");
	assert_int_equal(offset_key.partition, 3);
	check_data(&offset_commit_value_schema, &offset,
		   "0003 000000000000002a 00000005 0001 6d 0000018bcfe56800", 3, &arena);
	assert_int_equal(offset.offset, 42);
	assert_int_equal(offset.leader_epoch, 5);
	check_data(&offset_commit_value_schema, &offset,
		   "0001 000000000000002a 0001 6d 0000018bcfe56800 0000018bcfee8fc0", 1, &arena);
	assert_int_equal(offset.expire_timestamp, NOW + 600000);
	assert_int_equal(offset.leader_epoch, -1);
	check_data(&group_metadata_key_schema, &group_key, "0002 0001 67", 2, &arena);
	check_data(&group_metadata_value_schema, &group,
		   "0003 0008 636f6e73756d6572 00000002 ffff ffff 0000018bcfe56800 00000000", 3,
		   &arena);
	assert_string_equal(group.protocol_type.data, "consumer");
	assert_int_equal(group.generation, 2);
	assert_null(group.leader.data);
	check_data(&transaction_log_key_schema, &txn_key, "0000 0002 7478", 0, &arena);
	check_data(&transaction_log_value_schema, &txn,
		   "0000 0000000000000fa0 0000 0000ea60 00 ffffffff 0000018bcfe56800 "
		   "ffffffffffffffff",
		   0, &arena);
	assert_int_equal(txn.producer_id, 4000);
	assert_int_equal(txn.transaction_partitions_count, -1);
	arena_fini(&arena);
}

static void
a_producer_snapshot_is_that_of_kafka(void **state)
{
	struct producer_snapshot snapshot;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	check_data(&producer_snapshot_schema, &snapshot,
		   "0001 a127550f 00000001 0000000000000fa0 0003 00000007 0000000000000064 "
		   "00000000 0000018bcfe56800 00000009 0000000000000064",
		   1, &arena);
	assert_int_equal(snapshot.crc, 0xa127550f);
	assert_int_equal(snapshot.producer_entries[0].producer_id, 4000);
	arena_fini(&arena);
}

static void
a_frame_too_short_for_a_header_is_refused_with_what_it_told(void **state)
{
	static const uint8_t bytes[] = {0, 3, 0, 12, 0, 0, 0, 8, 0, 2, 'c', '1', 0};
	struct frame_head head;
	struct arena arena;
	struct wire_in in;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		memset(&head, 0, sizeof(head));
		wire_in_init(&in, (struct slice){bytes, len}, &arena);
		assert_int_equal(frame_decode_request_header(&in, &head), -EBADMSG);
		assert_non_null(in.failed_why);
		assert_int_equal(head.correlation_id, len < FRAME_PEEK_BYTES ? 0 : 8);
	}
	arena_fini(&arena);
}

static void
an_unknown_api_key_is_told(void **state)
{
	static const uint8_t bytes[] = {0x03, 0xe7, 0, 0, 0, 0, 0, 8, 0xff, 0xff};
	struct frame_head head;
	struct arena arena;
	struct wire_in in;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	wire_in_init(&in, (struct slice){bytes, sizeof(bytes)}, &arena);
	assert_int_equal(frame_decode_request_header(&in, &head), -ENOENT);
	assert_int_equal(head.api_key, 999);
	assert_null(head.api);
	arena_fini(&arena);
}

static void
a_null_client_id_stays_null(void **state)
{
	static const uint8_t bytes[] = {0, 3, 0, 1, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct frame_head head;
	struct arena arena;
	struct wire_in in;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	wire_in_init(&in, (struct slice){bytes, sizeof(bytes)}, &arena);
	assert_int_equal(frame_decode_request_header(&in, &head), 0);
	assert_null(head.client_id.data);
	assert_int_equal(wire_in_left(&in), 4);
	arena_fini(&arena);
}

static void
the_size_of_a_frame_counts_what_is_inserted(void **state)
{
	struct fetch_response response;
	struct arena arena;
	struct buf b = {0};
	struct wire_out out;
	size_t start;
	size_t before;
	int file;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	fetch_response_init(&response);
	response.responses = fetchable_topic_response_new(&arena, 1);
	response.responses_count = 1;
	response.responses[0].partitions = fetch_response_partition_data_new(&arena, 1);
	response.responses[0].partitions_count = 1;
	response.responses[0].partitions[0].records =
	    (struct wire_records){.file = &file, .len = 100000};
	wire_out_init(&out, &b);
	for (int i = 0; i < 2; i++) { /* two frames in one buffer */
		before = out.inserted_bytes;
		frame_begin_response(&out, wire_api(API_FETCH), 11, i, &start);
		assert_int_equal(fetch_response_encode(&response, 11, &out), 0);
		assert_int_equal(frame_end(&out, start, before), 0);
		assert_int_equal(get_be32(b.data + start), b.len - start - 4 + 100000);
	}
	wire_out_fini(&out);
	buf_fini(&b);
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_api_versions_request_keeps_its_client_id_in_the_old_form),
	    cmocka_unit_test(the_header_of_an_unknown_api_versions_version_is_read_all_the_same),
	    cmocka_unit_test(the_answer_to_an_unknown_version_is_a_version_0_body),
	    cmocka_unit_test(an_api_versions_response_has_an_old_header_and_tagged_fields),
	    cmocka_unit_test(metadata_requests_name_no_topics_or_some),
	    cmocka_unit_test(a_metadata_response_tells_an_unknown_topic_id),
	    cmocka_unit_test(fetch_responses_are_those_of_kafka),
	    cmocka_unit_test(a_join_group_response_has_a_null_protocol_from_version_7),
	    cmocka_unit_test(records_of_the_internal_topics_are_those_of_kafka),
	    cmocka_unit_test(a_producer_snapshot_is_that_of_kafka),
	    cmocka_unit_test(a_frame_too_short_for_a_header_is_refused_with_what_it_told),
	    cmocka_unit_test(an_unknown_api_key_is_told),
	    cmocka_unit_test(a_null_client_id_stays_null),
	    cmocka_unit_test(the_size_of_a_frame_counts_what_is_inserted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
