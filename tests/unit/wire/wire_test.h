/*
 * wire_test.h - what the tests of the wire room share: cmocka, bytes in hexadecimal, a seeded
 * generator of random numbers.
 */
#ifndef KLAMM_TESTS_WIRE_TEST_H
#define KLAMM_TESTS_WIRE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/bytes.h"

/* Appends the bytes of hexadecimal digits; anything else in text is ignored. */
static inline void
append_hex(struct buf *b, const char *text)
{
	int high = -1;

	for (; *text != '\0'; text++) {
		const char *digits = "0123456789abcdef";
		const char *at = strchr(digits, *text);
		int v;

		if (at == NULL)
			continue;
		v = (int)(at - digits);
		if (high < 0) {
			high = v;
		} else {
			buf_append_u8(b, (uint8_t)(high << 4 | v));
			high = -1;
		}
	}
	assert_int_equal(high, -1);
	assert_false(b->failed);
}

/* Fails with both in hexadecimal when they differ. */
static inline void
assert_slices_equal(struct slice got, struct slice want)
{
	if (got.len == want.len && memcmp(got.data, want.data, got.len) == 0)
		return;
	fprintf(stderr, "got ");
	for (size_t i = 0; i < got.len; i++)
		fprintf(stderr, "%02x", got.data[i]);
	fprintf(stderr, "\nwant ");
	for (size_t i = 0; i < want.len; i++)
		fprintf(stderr, "%02x", want.data[i]);
	fprintf(stderr, "\n");
	fail();
}

/* splitmix64 */
static inline uint64_t
next_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint64_t
random_below(uint64_t *seed, uint64_t bound)
{
	return next_random(seed) % bound;
}

/* From the environment variable KLAMM_SEED where a run is to be repeated; printed. */
static inline uint64_t
test_seed(void)
{
	const char *given = getenv("KLAMM_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given != NULL ? strtoull(given, NULL, 0)
			     : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	printf("seed: KLAMM_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

#endif
