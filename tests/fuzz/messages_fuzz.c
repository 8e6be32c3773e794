/*
 * Every decoder of messages: what is read can be written, and what was written is read as the same.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "wire/frame.h"

#define ARENA_LIMIT (8 * 1024 * 1024)

static void
encode(const struct wire_schema *schema, const void *m, int version, struct buf *flat)
{
	struct buf b = {0};
	struct wire_out out;

	wire_out_init(&out, &b);
	FUZZ_CHECK(wire_encode(schema, m, version, &out) == 0);
	FUZZ_CHECK(wire_out_flatten(&out, flat) == 0);
	wire_out_fini(&out);
	buf_fini(&b);
}

static void
round_trip(const struct wire_schema *schema, int version, struct wire_in *in)
{
	void *m = malloc(schema->root.size);
	void *again = malloc(schema->root.size);
	struct arena arena;
	struct wire_in second;
	struct buf first_bytes = {0};
	struct buf second_bytes = {0};

	if (wire_decode(schema, m, version, in) == 0) {
		arena_init(&arena, 4 * (size_t)ARENA_LIMIT);
		encode(schema, m, version, &first_bytes);
		wire_in_init(&second, buf_slice(&first_bytes), &arena);
		FUZZ_CHECK(wire_decode(schema, again, version, &second) == 0);
		FUZZ_CHECK(wire_in_left(&second) == 0);
		encode(schema, again, version, &second_bytes);
		FUZZ_CHECK(first_bytes.len == second_bytes.len);
		FUZZ_CHECK(memcmp(first_bytes.data, second_bytes.data, first_bytes.len) == 0);
		arena_fini(&arena);
	} else {
		FUZZ_CHECK(in->failed_field != NULL && in->failed_why != NULL);
	}
	buf_fini(&first_bytes);
	buf_fini(&second_bytes);
	free(m);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_head head;
	struct arena arena;
	struct wire_in in;
	uint16_t word;

	if (size < 4)
		return 0;
	word = get_be16(data);
	arena_init(&arena, ARENA_LIMIT);
	if ((word & 0x8000) != 0) {
		const struct wire_api *api = wire_api(word & 0x3fff);

		wire_in_init(&in, (struct slice){data + 4, size - 4}, &arena);
		if (api != NULL)
			round_trip(api->response, (int16_t)get_be16(data + 2), &in);
	} else if ((word & 0x4000) != 0) {
		size_t index = (word & 0x3fff) % wire_data_schema_count;

		wire_in_init(&in, (struct slice){data + 4, size - 4}, &arena);
		round_trip(wire_data_schemas[index], (int16_t)get_be16(data + 2), &in);
	} else {
		wire_in_init(&in, (struct slice){data, size}, &arena);
		if (frame_decode_request_header(&in, &head) == 0)
			round_trip(head.api->request, head.api_version, &in);
	}
	arena_fini(&arena);
	return 0;
}
