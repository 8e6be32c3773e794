/*
 * Requests that clients of other people sent: each is decoded to its last byte and encodes to the
 * same bytes; the records in those that produce are read, checked and counted.
 */
#include <errno.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/frame.h"
#include "wire/generated/produce.h"
#include "wire/legacy_message.h"

#define ARENA_LIMIT (1 << 22)
#define NO_LIMIT ((size_t)1 << 30)
#define LINE_MAX_BYTES 65536

struct capture {
	char what[128]; /* "Produce-v7-magic2-codec1" */
	struct buf frame;
};

typedef void capture_fn(struct capture *capture);

static void
for_each_capture(const char *name, capture_fn *fn, int at_least)
{
	const char *srcdir = getenv("srcdir");
	char *line = malloc(LINE_MAX_BYTES);
	char path[4096];
	FILE *file;
	int n = 0;

	snprintf(path, sizeof(path), "%s/tests/unit/wire/captures/%s",
		 srcdir == NULL ? "." : srcdir, name);
	file = fopen(path, "r");
	if (file == NULL)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	assert_non_null(file);
	while (fgets(line, LINE_MAX_BYTES, file) != NULL) {
		struct capture c = {0};
		char *space = strchr(line, ' ');

		if (line[0] == '#')
			continue;
		assert_non_null(space);
		*space = '\0';
		snprintf(c.what, sizeof(c.what), "%s", line);
		append_hex(&c.frame, space + 1);
		fn(&c);
		buf_fini(&c.frame);
		n++;
	}
	fclose(file);
	free(line);
	assert_true(n >= at_least);
}

static void
decode_and_encode(struct capture *c)
{
	struct frame_head head;
	struct arena arena;
	struct wire_in in;
	struct wire_out out;
	struct buf b = {0};
	struct buf flat = {0};
	size_t start;
	void *m;
	int st;

	arena_init(&arena, ARENA_LIMIT);
	wire_in_init(&in, buf_slice(&c->frame), &arena);
	st = frame_decode_request_header(&in, &head);
	assert_int_equal(st, 0);
	m = malloc(head.api->request->root.size);
	st = wire_decode(head.api->request, m, head.api_version, &in);
	if (st != 0)
		fprintf(stderr, "%s: %s %s at %zu\n", c->what, in.failed_field, in.failed_why,
			in.failed_pos);
	assert_int_equal(st, 0);
	assert_int_equal(wire_in_left(&in), 0);
	assert_true(strncmp(c->what, head.api->name, strlen(head.api->name)) == 0);
	wire_out_init(&out, &b);
	frame_begin_request(&out, head.api, head.api_version, head.correlation_id, head.client_id,
			    &start);
	assert_int_equal(wire_encode(head.api->request, m, head.api_version, &out), 0);
	assert_int_equal(frame_end(&out, start, 0), 0);
	assert_int_equal(wire_out_flatten(&out, &flat), 0);
	assert_slices_equal((struct slice){flat.data + 4, flat.len - 4}, buf_slice(&c->frame));
	assert_int_equal(get_be32(flat.data), c->frame.len);
	wire_out_fini(&out);
	buf_fini(&b);
	buf_fini(&flat);
	arena_fini(&arena);
	free(m);
}

static int
count_facts(void *arg, const struct record_facts *facts)
{
	int *n = arg;

	assert_int_equal(facts->offset_delta, *n);
	(*n)++;
	return 0;
}

static bool
is_captured_value(struct slice value)
{
	static const char *const begins[] = {"value ", "k", "v"};

	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		size_t len = strlen(begins[i]);

		if (value.len >= len && memcmp(value.data, begins[i], len) == 0)
			return true;
	}
	return false;
}

/* Returns how many records there are. */
static int
check_batch(struct slice data)
{
	struct record_batch batch;
	struct buf scratch = {0};
	struct record_iter it;
	struct record record;
	struct slice payload;
	int walked = 0;
	int n = 0;

	assert_int_equal(record_batch_parse(data, &batch), 0);
	assert_int_equal(batch.size_bytes, data.len);
	assert_int_equal(record_batch_check_crc(&batch), 0);
	assert_int_equal(record_batch_walk(&batch, NO_LIMIT, count_facts, &walked), 0);
	assert_int_equal(walked, batch.record_count);
	assert_int_equal(record_batch_payload(&batch, NO_LIMIT, &scratch, &payload), 0);
	record_iter_init(&it, payload, batch.record_count);
	while (record_iter_next(&it, &record)) {
		assert_true(is_captured_value(record.value));
		n++;
	}
	assert_int_equal(it.status, 0);
	buf_fini(&scratch);
	return n;
}

static int
check_messages(struct slice data)
{
	struct record_batch_builder b;
	struct buf out = {0};
	int n;

	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	assert_int_equal(legacy_up_convert(data, NO_LIMIT, &b, &out), 0);
	n = check_batch(buf_slice(&out));
	record_batch_builder_fini(&b);
	buf_fini(&out);
	return n;
}

static void
check_records(struct capture *c)
{
	struct produce_request request;
	struct record_entry entry;
	struct frame_head head;
	struct arena arena;
	struct wire_in in;
	struct slice data;
	int codec;
	int magic;
	int n;

	if (sscanf(c->what, "Produce-v%*d-magic%d-codec%d", &magic, &codec) != 2)
		return;
	arena_init(&arena, ARENA_LIMIT);
	wire_in_init(&in, buf_slice(&c->frame), &arena);
	assert_int_equal(frame_decode_request_header(&in, &head), 0);
	assert_int_equal(produce_request_decode(&request, head.api_version, &in), 0);
	assert_int_equal(request.topic_data_count, 1);
	assert_string_equal(request.topic_data[0].name.data, "orders");
	data = request.topic_data[0].partition_data[0].records.data;
	assert_int_equal(record_entry_peek(data, &entry), 0);
	assert_int_equal(entry.magic, magic);
	n = magic == 2 ? check_batch(data) : check_messages(data);
	/* The one capture of the idempotent producer has a single record. */
	assert_true(n == 20 || (n == 1 && codec == 0));
	arena_fini(&arena);
}

static void
requests_of_librdkafka_are_read_and_written_byte_for_byte(void **state)
{
	(void)state;
	for_each_capture("librdkafka-2.0.2.hex", decode_and_encode, 40);
}

static void
requests_of_the_java_clients_are_read_and_written_byte_for_byte(void **state)
{
	(void)state;
	for_each_capture("java-3.9.0.hex", decode_and_encode, 45);
}

static void
record_batches_and_messages_of_other_clients_are_read_in_every_codec(void **state)
{
	(void)state;
	for_each_capture("librdkafka-2.0.2.hex", check_records, 40);
	for_each_capture("java-3.9.0.hex", check_records, 45);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_of_librdkafka_are_read_and_written_byte_for_byte),
	    cmocka_unit_test(requests_of_the_java_clients_are_read_and_written_byte_for_byte),
	    cmocka_unit_test(record_batches_and_messages_of_other_clients_are_read_in_every_codec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
