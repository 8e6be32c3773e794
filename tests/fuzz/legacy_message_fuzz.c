/*
 * Messages of magic 0 and 1. The CRC of the outer message is set right first, so that what lies
 * behind the check is reached.
 */
#include <errno.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"

#define LIMIT ((size_t)1 << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_batch_builder b;
	struct legacy_message message;
	struct legacy_message inner;
	struct record_batch batch;
	struct legacy_iter it;
	struct buf set = {0};
	struct buf out = {0};
	int st;

	buf_append(&set, data, size);
	st = legacy_message_parse(buf_slice(&set), &message);
	if (st != 0) {
		FUZZ_CHECK(st == -ENODATA || st == K_CORRUPT_MESSAGE || st == K_INVALID_RECORD);
		buf_fini(&set);
		return 0;
	}
	put_be32(set.data + 12, (uint32_t)crc32_z(0, set.data + 16, message.size_bytes - 16));
	FUZZ_CHECK(legacy_message_parse(buf_slice(&set), &message) == 0);
	FUZZ_CHECK(legacy_message_check_crc(&message) == 0);
	if (legacy_iter_init(&it, &message, LIMIT) == 0) {
		while (legacy_iter_next(&it, &inner))
			FUZZ_CHECK(inner.magic == message.magic);
		legacy_iter_fini(&it);
	}
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	st = legacy_up_convert(buf_slice(&set), LIMIT, &b, &out);
	if (st == 0) {
		FUZZ_CHECK(record_batch_parse(buf_slice(&out), &batch) == 0);
		FUZZ_CHECK(record_batch_check_crc(&batch) == 0);
		FUZZ_CHECK(batch.record_count == batch.last_offset_delta + 1);
	} else {
		FUZZ_CHECK(out.len == 0);
	}
	record_batch_builder_fini(&b);
	buf_fini(&set);
	buf_fini(&out);
	return 0;
}
