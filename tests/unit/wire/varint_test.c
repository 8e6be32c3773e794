#include "wire/varint.h"

#include "tests/unit/wire/wire_test.h"

static void
every_value_is_read_as_it_was_written_and_has_the_size_foretold(void **state)
{
	uint64_t seed = test_seed();
	uint8_t bytes[VARLONG_MAX_BYTES];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = next_random(&seed) >> random_below(&seed, 64);
		int64_t v64 = i == 0 ? INT64_MIN : (int64_t)(i % 2 == 0 ? bits : ~bits);
		int32_t v32 = i == 0 ? INT32_MIN : (int32_t)v64;
		const uint8_t *p = bytes;
		int64_t got64 = 0;
		int32_t got32 = 0;
		uint32_t gotu = 0;
		uint8_t *end;

		end = varlong_write(bytes, v64);
		assert_int_equal(end - bytes, varlong_size(v64));
		assert_true(varlong_read(&p, end, &got64));
		assert_true(got64 == v64 && p == end);
		p = bytes;
		assert_false(varlong_read(&p, end - 1, &got64));

		p = bytes;
		end = varint_write(bytes, v32);
		assert_int_equal(end - bytes, varint_size(v32));
		assert_true(varint_read(&p, end, &got32));
		assert_true(got32 == v32 && p == end);

		p = bytes;
		end = uvarint_write(bytes, (uint32_t)v32);
		assert_int_equal(end - bytes, uvarlong_size((uint32_t)v32));
		assert_true(uvarint_read(&p, end, &gotu));
		assert_true(gotu == (uint32_t)v32 && p == end);
	}
}

static void
a_sixth_byte_of_an_int_and_an_eleventh_of_a_long_are_refused(void **state)
{
	const uint8_t bytes[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
				 0x80, 0x80, 0x80, 0x80, 0x00, 0x00};
	const uint8_t *p = bytes;
	uint64_t v64;
	uint32_t v32;

	(void)state;
	assert_false(uvarint_read(&p, bytes + sizeof(bytes), &v32));
	p = bytes;
	assert_false(uvarlong_read(&p, bytes + sizeof(bytes), &v64));
}

static void
zig_zag_orders_values_as_kafka_does(void **state)
{
	uint8_t bytes[VARINT_MAX_BYTES];

	(void)state;
	varint_write(bytes, 0);
	assert_int_equal(bytes[0], 0);
	varint_write(bytes, -1);
	assert_int_equal(bytes[0], 1);
	varint_write(bytes, 1);
	assert_int_equal(bytes[0], 2);
	varint_write(bytes, -64);
	assert_int_equal(bytes[0], 127);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_value_is_read_as_it_was_written_and_has_the_size_foretold),
	    cmocka_unit_test(a_sixth_byte_of_an_int_and_an_eleventh_of_a_long_are_refused),
	    cmocka_unit_test(zig_zag_orders_values_as_kafka_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
