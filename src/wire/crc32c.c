/*
 * crc32c.c - the CRC by the CPU's instruction, or by tables.
 *
 * The instruction takes eight bytes in one cycle but gives its result three cycles later, so one
 * stream of bytes leaves it idle two thirds of the time. Long inputs are therefore cut into three
 * blocks of equal length whose CRCs are computed side by side and then joined:
 *
 *	crc(A B) = shift(crc(A), len(B)) xor crc(B)
 *
 * where shift(c, n) is the CRC register after n more zero bytes. It is linear in c, so for the two
 * fixed block lengths it is four lookups in a table of 4 x 256 words, made at the first use.
 */
#include "wire/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define CRC_TARGET __attribute__((target("+crc")))
#endif

/* The polynomial 0x1edc6f41 with its bits reversed. */
#define POLY 0x82f63b78u

#define LONG_BLOCK 4096u
#define SHORT_BLOCK 256u

typedef uint32_t crc_fn(uint32_t crc, const uint8_t *p, size_t len);

static uint32_t byte_tables[8][256];
static crc_fn *chosen;
static const char *chosen_name;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* crc: the register, that is, without the inversion at both ends. */
static uint32_t
crc_tables(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		v ^= crc;
		crc = byte_tables[7][v & 0xff] ^ byte_tables[6][(v >> 8) & 0xff] ^
		      byte_tables[5][(v >> 16) & 0xff] ^ byte_tables[4][(v >> 24) & 0xff] ^
		      byte_tables[3][(v >> 32) & 0xff] ^ byte_tables[2][(v >> 40) & 0xff] ^
		      byte_tables[1][(v >> 48) & 0xff] ^ byte_tables[0][v >> 56];
	}
	for (; len > 0; p++, len--)
		crc = byte_tables[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
	return crc;
}

static void
make_byte_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLY : 0);
		byte_tables[0][i] = crc;
	}
	for (int t = 1; t < 8; t++) {
		for (int i = 0; i < 256; i++) {
			uint32_t crc = byte_tables[t - 1][i];

			byte_tables[t][i] = byte_tables[0][crc & 0xff] ^ (crc >> 8);
		}
	}
}

#ifdef CRC_TARGET

static uint32_t long_shift[4][256];
static uint32_t short_shift[4][256];

/* The effect of n zero bytes on each of the register's four bytes. */
static void
make_shift_table(uint32_t table[4][256], size_t n)
{
	uint32_t unit[32];
	uint32_t crc;

	for (int bit = 0; bit < 32; bit++) {
		crc = 1u << bit;
		for (size_t i = 0; i < n; i++)
			crc = byte_tables[0][crc & 0xff] ^ (crc >> 8);
		unit[bit] = crc;
	}
	for (int byte = 0; byte < 4; byte++) {
		for (int v = 0; v < 256; v++) {
			crc = 0;
			for (int bit = 0; bit < 8; bit++)
				crc ^= (v >> bit & 1) != 0 ? unit[byte * 8 + bit] : 0;
			table[byte][v] = crc;
		}
	}
}

static inline uint32_t
shift(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^
	       table[3][crc >> 24];
}

#if defined(__x86_64__)
#define CRC_U64(crc, v) ((uint32_t)_mm_crc32_u64((crc), (v)))
#define CRC_U8(crc, v) _mm_crc32_u8((crc), (v))
#else
#define CRC_U64(crc, v) __crc32cd((crc), (v))
#define CRC_U8(crc, v) __crc32cb((crc), (v))
#endif

/* Three neighbouring blocks of block bytes each. */
CRC_TARGET static inline uint32_t
three_blocks(uint32_t crc, const uint8_t *p, size_t block, uint32_t table[4][256])
{
	uint32_t a = crc;
	uint32_t b = 0;
	uint32_t c = 0;
	uint64_t va;
	uint64_t vb;
	uint64_t vc;

	for (size_t i = 0; i < block; i += 8) {
		memcpy(&va, p + i, 8);
		memcpy(&vb, p + block + i, 8);
		memcpy(&vc, p + 2 * block + i, 8);
		a = CRC_U64(a, va);
		b = CRC_U64(b, vb);
		c = CRC_U64(c, vc);
	}
	return shift(table, shift(table, a) ^ b) ^ c;
}

CRC_TARGET static uint32_t
crc_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t v;

	for (; len >= 3 * LONG_BLOCK; p += 3 * LONG_BLOCK, len -= 3 * LONG_BLOCK)
		crc = three_blocks(crc, p, LONG_BLOCK, long_shift);
	for (; len >= 3 * SHORT_BLOCK; p += 3 * SHORT_BLOCK, len -= 3 * SHORT_BLOCK)
		crc = three_blocks(crc, p, SHORT_BLOCK, short_shift);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		crc = CRC_U64(crc, v);
	}
	for (; len > 0; p++, len--)
		crc = CRC_U8(crc, *p);
	return crc;
}

#endif

static void
choose(void)
{
	make_byte_tables();
	chosen = crc_tables;
	chosen_name = "portable";
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		chosen = crc_instruction;
		chosen_name = "sse4.2";
	}
#elif defined(__aarch64__)
	if ((getauxval(AT_HWCAP) & (1ul << 7)) != 0) { /* HWCAP_CRC32 */
		chosen = crc_instruction;
		chosen_name = "armv8";
	}
#endif
#ifdef CRC_TARGET
	if (chosen == crc_instruction) {
		make_shift_table(long_shift, LONG_BLOCK);
		make_shift_table(short_shift, SHORT_BLOCK);
	}
#endif
}

uint32_t
crc32c(uint32_t seed, const void *data, size_t len)
{
	pthread_once(&once, choose);
	return ~chosen(~seed, data, len);
}

uint32_t
crc32c_portable(uint32_t seed, const void *data, size_t len)
{
	pthread_once(&once, choose);
	return ~crc_tables(~seed, data, len);
}

const char *
crc32c_implementation(void)
{
	pthread_once(&once, choose);
	return chosen_name;
}
