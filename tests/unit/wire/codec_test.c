/*
 * Every message in every version, with random content: what is encoded is decoded and encodes to
 * the same bytes; cut off anywhere it is an error; damaged anywhere it is no more than an error.
 */
#include "wire/codec.h"

#include <errno.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/api_table.h"
#include "wire/generated/api_versions.h"
#include "wire/generated/create_topics.h"
#include "wire/generated/fetch.h"
#include "wire/generated/join_group.h"
#include "wire/generated/metadata.h"
#include "wire/generated/produce.h"

#define ARENA_LIMIT (16 * 1024 * 1024)

static void fill_struct(const struct wire_struct *s, int version, char *base, struct arena *arena,
			uint64_t *seed);

static bool
in_range(int version, int8_t since, int8_t until)
{
	return version >= since && version <= until;
}

static char *
random_text(size_t len, struct arena *arena, uint64_t *seed)
{
	char *text = arena_alloc(arena, len + 1);

	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + random_below(seed, 26));
	return text;
}

static size_t
random_len(uint64_t *seed)
{
	/* Beyond 127 lengths take a second byte of a varint. */
	return random_below(seed, 20) == 0 ? 120 + random_below(seed, 200) : random_below(seed, 12);
}

static size_t
value_size(const struct wire_field *f)
{
	static const size_t sizes[] = {
	    [WIRE_BOOL] = 1,
	    [WIRE_INT8] = 1,
	    [WIRE_INT16] = 2,
	    [WIRE_UINT16] = 2,
	    [WIRE_INT32] = 4,
	    [WIRE_UINT32] = 4,
	    [WIRE_INT64] = 8,
	    [WIRE_FLOAT64] = 8,
	    [WIRE_UUID] = 16,
	    [WIRE_STRING] = sizeof(struct str),
	    [WIRE_BYTES] = sizeof(struct slice),
	    [WIRE_RECORDS] = sizeof(struct wire_records),
	};

	return f->type == WIRE_STRUCT ? f->sub->size : sizes[f->type];
}

static void
fill_value(const struct wire_field *f, bool nullable, int version, char *to, struct arena *arena,
	   uint64_t *seed)
{
	bool null = nullable && random_below(seed, 4) == 0;
	uint64_t bits = next_random(seed) >> random_below(seed, 64);
	size_t len = random_len(seed);
	char *text;

	switch (f->type) {
	case WIRE_BOOL:
		*(bool *)to = (bits & 1) != 0;
		break;
	case WIRE_UUID:
		memcpy(to, random_text(16, arena, seed), 16);
		break;
	case WIRE_STRING:
		text = random_text(len, arena, seed);
		*(struct str *)(void *)to = null ? (struct str){NULL, 0} : (struct str){text, len};
		break;
	case WIRE_BYTES:
	case WIRE_RECORDS:
		if (f->type == WIRE_RECORDS && random_below(seed, 4) == 0)
			len = WIRE_COPY_MAX + random_below(seed, 100);
		text = random_text(len, arena, seed);
		/* The slice comes first in struct wire_records, too. */
		*(struct slice *)(void *)to =
		    null ? (struct slice){NULL, 0} : (struct slice){(uint8_t *)text, len};
		break;
	case WIRE_STRUCT:
		if ((f->flags & WIRE_POINTER) != 0) {
			char *sub = arena_alloc(arena, f->sub->size);

			assert_non_null(sub);
			fill_struct(f->sub, version, sub, arena, seed);
			if (null)
				sub = NULL;
			memcpy(to, &sub, sizeof(sub));
		} else {
			fill_struct(f->sub, version, to, arena, seed);
		}
		break;
	default:
		memcpy(to, &bits, value_size(f));
		break;
	}
}

static void
fill_field(const struct wire_field *f, int version, char *to, struct arena *arena, uint64_t *seed)
{
	bool nullable = in_range(version, f->null_since, f->null_until);
	struct wire_field item = *f;
	int32_t count;
	char *items;

	if ((f->flags & WIRE_ARRAY) == 0) {
		fill_value(f, nullable, version, to, arena, seed);
		return;
	}
	item.flags = 0;
	count = (int32_t)random_below(seed, 4);
	items = arena_calloc(arena, (size_t)count, value_size(f));
	assert_non_null(items);
	for (int32_t i = 0; i < count; i++)
		fill_value(&item, false, version, items + (size_t)i * value_size(f), arena, seed);
	if (nullable && random_below(seed, 4) == 0)
		count = -1;
	memcpy(to, &items, sizeof(items));
	memcpy(to + sizeof(void *), &count, sizeof(count));
}

/* Random values in what the version has, defaults in what it has not. */
static void
fill_struct(const struct wire_struct *s, int version, char *base, struct arena *arena,
	    uint64_t *seed)
{
	wire_init(s, base);
	for (uint16_t i = 0; i < s->field_count; i++) {
		const struct wire_field *f = &s->fields[i];
		bool tagged = i >= s->regular_count;

		if (!in_range(version, f->since, f->until))
			continue;
		if (tagged && random_below(seed, 3) == 0)
			continue;
		fill_field(f, version, base + f->offset, arena, seed);
	}
}

static void
encode_flat(const struct wire_schema *schema, const void *m, int version, struct buf *flat)
{
	struct buf b = {0};
	struct wire_out out;
	int st;

	wire_out_init(&out, &b);
	st = wire_encode(schema, m, version, &out);
	if (st != 0)
		fprintf(stderr, "%s v%d: %s %s\n", schema->root.name, version, out.failed_field,
			out.failed_why);
	assert_int_equal(st, 0);
	assert_int_equal(wire_out_flatten(&out, flat), 0);
	wire_out_fini(&out);
	buf_fini(&b);
}

/* A copy of exactly these bytes on the heap, so that a sanitizer sees a read beyond them. */
static uint8_t *
exact_copy(struct slice bytes)
{
	uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);

	assert_non_null(copy);
	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	return copy;
}

static int
decode_some(const struct wire_schema *schema, int version, struct slice bytes, void *m,
	    struct arena *arena, size_t *ret_left)
{
	struct wire_in in;
	int st;

	wire_in_init(&in, bytes, arena);
	st = wire_decode(schema, m, version, &in);
	*ret_left = wire_in_left(&in);
	if (st != 0) {
		assert_non_null(in.failed_field);
		assert_non_null(in.failed_why);
	}
	return st;
}

static void
check_truncations(const struct wire_schema *schema, int version, struct slice whole)
{
	struct arena arena;
	size_t left;
	void *m = malloc(schema->root.size);

	arena_init(&arena, ARENA_LIMIT);
	for (size_t len = 0; len < whole.len; len++) {
		uint8_t *copy = exact_copy((struct slice){whole.data, len});

		assert_int_equal(
		    decode_some(schema, version, (struct slice){copy, len}, m, &arena, &left),
		    -EBADMSG);
		arena_reset(&arena);
		free(copy);
	}
	arena_fini(&arena);
	free(m);
}

static void
check_mutations(const struct wire_schema *schema, int version, struct slice whole, uint64_t *seed)
{
	struct arena arena;
	size_t left;
	void *m = malloc(schema->root.size);

	arena_init(&arena, ARENA_LIMIT);
	for (int i = 0; i < 30 && whole.len > 0; i++) {
		uint8_t *copy = exact_copy(whole);
		struct buf again = {0};
		int st;

		for (uint64_t n = 1 + random_below(seed, 3); n > 0; n--)
			copy[random_below(seed, whole.len)] = (uint8_t)next_random(seed);
		st =
		    decode_some(schema, version, (struct slice){copy, whole.len}, m, &arena, &left);
		if (st == 0) /* whatever was read can be written */
			encode_flat(schema, m, version, &again);
		else
			assert_true(st == -EBADMSG || st == -ENOMEM);
		buf_fini(&again);
		arena_reset(&arena);
		free(copy);
	}
	arena_fini(&arena);
	free(m);
}

static void
check_round_trip(const struct wire_schema *schema, int version, bool thorough, uint64_t *seed)
{
	char *m = malloc(schema->root.size);
	char *decoded = malloc(schema->root.size);
	struct arena arena;
	struct buf first = {0};
	struct buf second = {0};
	size_t left;

	arena_init(&arena, ARENA_LIMIT);
	fill_struct(&schema->root, version, m, &arena, seed);
	encode_flat(schema, m, version, &first);
	assert_int_equal(decode_some(schema, version, buf_slice(&first), decoded, &arena, &left),
			 0);
	assert_int_equal(left, 0);
	encode_flat(schema, decoded, version, &second);
	assert_slices_equal(buf_slice(&second), buf_slice(&first));
	if (thorough && first.len < 20000) {
		check_truncations(schema, version, buf_slice(&first));
		check_mutations(schema, version, buf_slice(&first), seed);
	}
	buf_fini(&first);
	buf_fini(&second);
	arena_fini(&arena);
	free(m);
	free(decoded);
}

static void
check_schema(const struct wire_schema *schema, uint64_t *seed)
{
	for (int version = schema->since; version <= schema->until; version++) {
		for (int i = 0; i < 12; i++)
			check_round_trip(schema, version, i < 2, seed);
	}
}

static void
every_version_of_every_api_survives_the_round_trip(void **state)
{
	uint64_t seed = test_seed();

	(void)state;
	assert_true(wire_api_count >= 60);
	for (size_t i = 0; i < wire_api_count; i++) {
		check_schema(wire_apis[i].request, &seed);
		check_schema(wire_apis[i].response, &seed);
	}
}

static void
every_version_of_every_record_and_header_survives_the_round_trip(void **state)
{
	uint64_t seed = test_seed();

	(void)state;
	assert_true(wire_data_schema_count >= 20);
	for (size_t i = 0; i < wire_data_schema_count; i++)
		check_schema(wire_data_schemas[i], &seed);
}

static void
apis_are_found_by_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < wire_api_count; i++)
		assert_ptr_equal(wire_api(wire_apis[i].key), &wire_apis[i]);
	assert_string_equal(wire_api(18)->name, "ApiVersions");
	assert_null(wire_api(-1));
	assert_null(wire_api(52)); /* Vote: KRaft only */
	assert_null(wire_api(9999));
}

static void
header_versions_follow_kafkas_rule(void **state)
{
	const struct wire_api *api_versions = wire_api(API_VERSIONS);
	const struct wire_api *shutdown = wire_api(API_CONTROLLED_SHUTDOWN);
	const struct wire_api *handshake = wire_api(API_SASL_HANDSHAKE);

	(void)state;
	assert_int_equal(wire_request_header_version(shutdown, 0), 0);
	assert_int_equal(wire_request_header_version(shutdown, 1), 1);
	assert_int_equal(wire_request_header_version(shutdown, 3), 2);
	assert_int_equal(wire_response_header_version(shutdown, 3), 1);
	assert_int_equal(wire_request_header_version(api_versions, 4), 2);
	assert_int_equal(wire_response_header_version(api_versions, 4), 0);
	assert_int_equal(wire_request_header_version(handshake, 1), 1);
	assert_int_equal(wire_response_header_version(handshake, 1), 0);
}

static void
fields_that_a_version_lacks_have_their_defaults(void **state)
{
	struct fetch_request request;
	struct arena arena;
	struct wire_in in;
	struct buf b = {0};

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	/* v0: replica -1, wait 100, at least 1, topic "t", partition 3 from 7, at most 1024 */
	append_hex(&b, "ffffffff 00000064 00000001 00000001 0001 74 00000001"
		       "00000003 0000000000000007 00000400");
	wire_in_init(&in, buf_slice(&b), &arena);
	assert_int_equal(fetch_request_decode(&request, 0, &in), 0);
	assert_int_equal(request.max_bytes, INT32_MAX);
	assert_int_equal(request.session_epoch, -1);
	assert_int_equal(request.replica_state.replica_id, -1);
	assert_int_equal(request.replica_state.replica_epoch, -1);
	assert_null(request.cluster_id.data);
	assert_non_null(request.rack_id.data);
	assert_int_equal(request.rack_id.len, 0);
	assert_string_equal(request.topics[0].topic.data, "t");
	assert_int_equal(request.topics[0].partitions[0].fetch_offset, 7);
	assert_int_equal(request.topics[0].partitions[0].log_start_offset, -1);
	assert_int_equal(request.topics[0].partitions[0].current_leader_epoch, -1);
	buf_fini(&b);
	arena_fini(&arena);
}

static void
new_elements_have_their_defaults(void **state)
{
	struct arena arena;
	struct fetch_response_partition_data *p;
	struct metadata_response_topic topic;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	p = fetch_response_partition_data_new(&arena, 3);
	assert_non_null(p);
	assert_int_equal(p[2].log_start_offset, -1);
	assert_int_equal(p[2].current_leader.leader_epoch, -1);
	assert_int_equal(p[2].diverging_epoch.end_offset, -1);
	metadata_response_topic_init(&topic);
	assert_int_equal(topic.topic_authorized_operations, INT32_MIN);
	assert_null(fetch_response_partition_data_new(&arena, -1));
	assert_null(fetch_response_partition_data_new(&arena, INT32_MAX)); /* over the limit */
	arena_fini(&arena);
}

static void
a_value_without_a_place_in_the_version_is_dropped_if_ignorable_and_refused_otherwise(void **state)
{
	struct produce_request produce;
	struct fetch_request fetch;
	struct buf b = {0};
	struct wire_out out;

	(void)state;
	fetch_request_init(&fetch);
	fetch.rack_id = str_of("r1"); /* v11+, ignorable */
	wire_out_init(&out, &b);
	assert_int_equal(fetch_request_encode(&fetch, 4, &out), 0);
	produce_request_init(&produce);
	produce.transactional_id = str_of("tx"); /* v3+ */
	assert_int_equal(produce_request_encode(&produce, 3, &out), 0);
	assert_int_equal(produce_request_encode(&produce, 2, &out), -EINVAL);
	assert_string_equal(out.failed_field, "TransactionalId");
	wire_out_fini(&out);
	buf_fini(&b);
}

static void
a_null_string_is_written_as_empty_where_null_does_not_exist(void **state)
{
	struct join_group_response response;
	struct buf v5 = {0};
	struct buf v9 = {0};
	struct buf want = {0};
	struct wire_out out;

	(void)state;
	join_group_response_init(&response);
	response.error_code = 79;
	response.generation_id = -1;
	response.protocol_type = (struct str){NULL, 0};
	response.protocol_name = (struct str){NULL, 0};
	response.member_id = str_of("m-1");
	wire_out_init(&out, &v5);
	assert_int_equal(join_group_response_encode(&response, 5, &out), 0);
	append_hex(&want, "00000000 004f ffffffff 0000 0000 0003 6d2d31 00000000");
	assert_slices_equal(buf_slice(&v5), buf_slice(&want));
	wire_out_init(&out, &v9);
	assert_int_equal(join_group_response_encode(&response, 9, &out), 0);
	want.len = 0;
	append_hex(&want, "00000000 004f ffffffff 00 00 01 00 04 6d2d31 01 00");
	assert_slices_equal(buf_slice(&v9), buf_slice(&want));
	buf_fini(&v5);
	buf_fini(&v9);
	buf_fini(&want);
}

static void
versions_that_do_not_exist_are_refused(void **state)
{
	struct produce_request produce;
	struct arena arena;
	struct buf b = {0};
	struct wire_out out;
	struct wire_in in;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	produce_request_init(&produce);
	wire_out_init(&out, &b);
	assert_int_equal(produce_request_encode(&produce, 12, &out), -EINVAL);
	assert_int_equal(produce_request_encode(&produce, -1, &out), -EINVAL);
	wire_in_init(&in, (struct slice){(const uint8_t *)"", 0}, &arena);
	assert_int_equal(produce_request_decode(&produce, 12, &in), -EINVAL);
	assert_int_equal(b.len, 0);
	arena_fini(&arena);
	buf_fini(&b);
}

static void
unknown_tagged_fields_are_skipped(void **state)
{
	struct api_versions_request request;
	struct arena arena;
	struct wire_in in;
	struct buf b = {0};

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	append_hex(&b, "05 74657374 04 312e30 02  07 03 010203  90 4e 00");
	wire_in_init(&in, buf_slice(&b), &arena);
	assert_int_equal(api_versions_request_decode(&request, 3, &in), 0);
	assert_string_equal(request.client_software_name.data, "test");
	assert_int_equal(wire_in_left(&in), 0);
	arena_fini(&arena);
	buf_fini(&b);
}

/* Each is one thing wrong in a Metadata or Fetch request. */
static void
lengths_that_lie_are_refused_before_memory_is_asked_for(void **state)
{
	static const struct {
		int version;
		const char *bytes;
	} bad[] = {
	    {1, "7fffffff 0001 74"},          /* two thousand million topics */
	    {1, "00000001 7fff 74"},          /* a name longer than the frame */
	    {1, "00000001 fffe"},             /* a length of -2 */
	    {0, "ffffffff"},                  /* null where v0 knows no null */
	    {9, "ffffffffff0f 00"},           /* a varint of six bytes */
	    {9, "ffffffff0f 02 74"},          /* a huge compact count */
	    {9, "02 00 00 00"},               /* a null name in v9 */
	    {9, "02 ffff03 00"},              /* a compact string of 65534 bytes */
	    {9, "01 01 00 00 01 05 ff01 00"}, /* a tag longer than the frame */
	    {9, "01 01 00 00 ffffffff0f"},    /* thousands of millions of tags */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct metadata_request request;
		struct arena arena;
		struct wire_in in;
		struct buf b = {0};

		arena_init(&arena, 4096);
		append_hex(&b, bad[i].bytes);
		wire_in_init(&in, buf_slice(&b), &arena);
		assert_int_equal(metadata_request_decode(&request, bad[i].version, &in), -EBADMSG);
		assert_non_null(in.failed_field);
		assert_true(in.failed_pos <= b.len);
		arena_fini(&arena);
		buf_fini(&b);
	}
}

static void
a_frame_cannot_grow_beyond_the_arenas_limit(void **state)
{
	struct metadata_request request;
	struct arena arena;
	struct wire_in in;
	struct buf b = {0};

	(void)state;
	/* Each topic takes two bytes here and more than ten times as many in memory. */
	arena_init(&arena, 16 * 1024);
	append_hex(&b, "00002000");
	for (int i = 0; i < 0x2000; i++)
		append_hex(&b, "0000");
	wire_in_init(&in, buf_slice(&b), &arena);
	assert_int_equal(metadata_request_decode(&request, 1, &in), -ENOMEM);
	assert_string_equal(in.failed_field, "Topics");
	arena_fini(&arena);
	buf_fini(&b);
}

static void
large_records_are_inserted_and_small_ones_copied(void **state)
{
	static const uint8_t records[WIRE_COPY_MAX + 1];
	struct fetch_response response;
	struct arena arena;
	struct buf b = {0};
	struct wire_out out;
	int file;

	(void)state;
	arena_init(&arena, ARENA_LIMIT);
	fetch_response_init(&response);
	response.responses = fetchable_topic_response_new(&arena, 1);
	response.responses_count = 1;
	response.responses[0].partitions = fetch_response_partition_data_new(&arena, 3);
	response.responses[0].partitions_count = 3;
	response.responses[0].partitions[0].records.data = (struct slice){records, 10};
	response.responses[0].partitions[1].records.data = (struct slice){records, sizeof(records)};
	response.responses[0].partitions[2].records =
	    (struct wire_records){.file = &file, .pos = 4096, .len = 70000};
	wire_out_init(&out, &b);
	assert_int_equal(fetch_response_encode(&response, 12, &out), 0);
	assert_int_equal(out.insertion_count, 2);
	assert_int_equal(out.inserted_bytes, sizeof(records) + 70000);
	assert_ptr_equal(out.insertions[0].records.data.data, records);
	assert_ptr_equal(out.insertions[1].records.file, &file);
	assert_int_equal(out.insertions[1].records.pos, 4096);
	assert_true(out.insertions[0].at < out.insertions[1].at);
	/* The length before the first: 1025 + 1 as a varint. */
	assert_int_equal(b.data[out.insertions[0].at - 2], 0x82);
	assert_int_equal(b.data[out.insertions[0].at - 1], 0x08);
	wire_out_fini(&out);
	buf_fini(&b);
	arena_fini(&arena);
}

static void
a_failed_allocation_while_encoding_is_told_in_the_end(void **state)
{
	struct metadata_request request;
	struct buf b = {.failed = true};
	struct wire_out out;

	(void)state;
	metadata_request_init(&request);
	wire_out_init(&out, &b);
	assert_int_equal(metadata_request_encode(&request, 12, &out), -ENOMEM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_version_of_every_api_survives_the_round_trip),
	    cmocka_unit_test(every_version_of_every_record_and_header_survives_the_round_trip),
	    cmocka_unit_test(apis_are_found_by_key),
	    cmocka_unit_test(header_versions_follow_kafkas_rule),
	    cmocka_unit_test(fields_that_a_version_lacks_have_their_defaults),
	    cmocka_unit_test(new_elements_have_their_defaults),
	    cmocka_unit_test(
		a_value_without_a_place_in_the_version_is_dropped_if_ignorable_and_refused_otherwise),
	    cmocka_unit_test(a_null_string_is_written_as_empty_where_null_does_not_exist),
	    cmocka_unit_test(versions_that_do_not_exist_are_refused),
	    cmocka_unit_test(unknown_tagged_fields_are_skipped),
	    cmocka_unit_test(lengths_that_lie_are_refused_before_memory_is_asked_for),
	    cmocka_unit_test(a_frame_cannot_grow_beyond_the_arenas_limit),
	    cmocka_unit_test(large_records_are_inserted_and_small_ones_copied),
	    cmocka_unit_test(a_failed_allocation_while_encoding_is_told_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
