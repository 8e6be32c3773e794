/*
 * Batches of magic 2: the two ways of reading records agree; conversions end in a status.
 */
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"
#include "wire/record_batch.h"

#define LIMIT ((size_t)1 << 20)

struct seen {
	int64_t sum;
	int32_t count;
	int32_t keys;
};

static int
walk(void *arg, const struct record_facts *facts)
{
	struct seen *seen = arg;

	seen->sum += facts->offset_delta ^ (facts->timestamp_delta & INT32_MAX);
	seen->count++;
	seen->keys += facts->has_key ? 1 : 0;
	return 0;
}

static int
iterate(const struct record_batch *batch, struct seen *seen)
{
	struct end_txn_marker marker;
	struct buf scratch = {0};
	struct record_iter it;
	struct record record;
	struct slice payload;
	int st;

	st = record_batch_payload(batch, LIMIT, &scratch, &payload);
	if (st == 0) {
		record_iter_init(&it, payload, batch->record_count);
		while (record_iter_next(&it, &record)) {
			struct slice headers = record.headers;
			struct slice value;
			struct str key;
			int32_t n = 0;

			while (record_header_next(&headers, &key, &value))
				n++;
			FUZZ_CHECK(n == record.header_count && headers.len == 0);
			FUZZ_CHECK(record.size_bytes > 0);
			walk(seen, &(struct record_facts){.timestamp_delta = record.timestamp_delta,
							  .offset_delta = record.offset_delta,
							  .has_key = record.key.data != NULL});
			if (end_txn_marker_parse(&record, &marker) == 0)
				FUZZ_CHECK(marker.type <= CONTROL_COMMIT);
		}
		st = it.status;
	}
	buf_fini(&scratch);
	return st;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_batch batch;
	struct seen walked = {0};
	struct seen iterated = {0};
	struct buf out = {0};
	int walk_st;
	int st;

	st = record_batch_parse((struct slice){data, size}, &batch);
	if (st != 0) {
		FUZZ_CHECK(st == -ENODATA || st == K_CORRUPT_MESSAGE);
		return 0;
	}
	FUZZ_CHECK(batch.size_bytes <= size);
	(void)!record_batch_check_crc(&batch);
	walk_st = record_batch_walk(&batch, LIMIT, walk, &walked);
	st = iterate(&batch, &iterated);
	FUZZ_CHECK((walk_st == 0) == (st == 0));
	if (st == 0)
		FUZZ_CHECK(memcmp(&walked, &iterated, sizeof(walked)) == 0);
	for (int8_t magic = 0; magic <= 1; magic++)
		(void)!record_batch_down_convert(&batch, magic, batch.base_offset + 1, LIMIT, &out);
	buf_fini(&out);
	return 0;
}
