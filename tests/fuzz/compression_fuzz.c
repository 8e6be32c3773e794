/*
 * A codec's number, then bytes for it to read: whatever they are, the limit holds, and what was
 * read survives being written and read again.
 */
#include <errno.h>

#include "tests/fuzz/fuzz.h"
#include "wire/compression.h"
#include "wire/kerr.h"

#define LIMIT ((size_t)1 << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum compression codec;
	struct buf out = {0};
	struct buf packed = {0};
	struct buf again = {0};
	int st;

	if (size == 0)
		return 0;
	codec = (enum compression)(data[0] % 8);
	st = compression_decompress(codec, (struct slice){data + 1, size - 1}, LIMIT, &out);
	FUZZ_CHECK(out.len <= LIMIT);
	if (codec >= COMPRESSION_COUNT) {
		FUZZ_CHECK(st == K_UNSUPPORTED_COMPRESSION_TYPE);
	} else if (st == 0) {
		FUZZ_CHECK(compression_compress(codec, 1, buf_slice(&out), &packed) == 0);
		FUZZ_CHECK(compression_decompress(codec, buf_slice(&packed), LIMIT, &again) == 0);
		FUZZ_CHECK(again.len == out.len);
		FUZZ_CHECK(out.len == 0 || memcmp(again.data, out.data, out.len) == 0);
	} else {
		FUZZ_CHECK(st == K_CORRUPT_MESSAGE || st == -EFBIG || st == -ENOMEM);
	}
	buf_fini(&out);
	buf_fini(&packed);
	buf_fini(&again);
	return 0;
}
