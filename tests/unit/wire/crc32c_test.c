#include "wire/crc32c.h"

#include "tests/unit/wire/wire_test.h"

/* RFC 3720, appendix B.4. */
static void
known_inputs_have_their_known_checksums(void **state)
{
	uint8_t bytes[32];

	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
}

/* One bit at a time: shares nothing with the code that is tested. */
static uint32_t
slow_crc32c(uint32_t seed, const uint8_t *p, size_t len)
{
	uint32_t crc = ~seed;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void
the_instruction_and_the_tables_agree_for_every_length_and_alignment(void **state)
{
	uint64_t seed = test_seed();
	size_t size = 40000;
	uint8_t *bytes = malloc(size);

	(void)state;
	printf("implementation: %s\n", crc32c_implementation());
	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)next_random(&seed);
	for (int i = 0; i < 3000; i++) {
		size_t at = random_below(&seed, 16);
		size_t len = random_below(&seed, i < 2000 ? 1100 : size - 16);
		uint32_t start = (uint32_t)next_random(&seed);
		uint32_t want = crc32c_portable(start, bytes + at, len);

		assert_int_equal(crc32c(start, bytes + at, len), want);
		if (i % 10 == 0)
			assert_int_equal(slow_crc32c(start, bytes + at, len), want);
	}
	free(bytes);
}

static void
a_checksum_can_be_continued(void **state)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog";
	uint32_t whole = crc32c(0, text, sizeof(text));

	(void)state;
	for (size_t cut = 0; cut <= sizeof(text); cut++) {
		uint32_t first = crc32c(0, text, cut);

		assert_int_equal(crc32c(first, text + cut, sizeof(text) - cut), whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_inputs_have_their_known_checksums),
	    cmocka_unit_test(the_instruction_and_the_tables_agree_for_every_length_and_alignment),
	    cmocka_unit_test(a_checksum_can_be_continued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
