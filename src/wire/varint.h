/*
 * varint.h - integers in base 128, as records, compact types and tagged fields use them.
 *
 * Readers take a cursor and the end of the bytes, and advance the cursor; on failure the cursor
 * may stand anywhere up to the end. Writers take room for the longest form and return the end.
 *
 * Source  wire-protocol, section 2: UNSIGNED_VARINT, VARINT, VARLONG.
 */
#ifndef KLAMM_WIRE_VARINT_H
#define KLAMM_WIRE_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#define VARINT_MAX_BYTES 5
#define VARLONG_MAX_BYTES 10

/* False when the bytes end first or the fifth byte promises a sixth. */
static inline bool
uvarint_read(const uint8_t **p, const uint8_t *end, uint32_t *ret_v)
{
	const uint8_t *q = *p;
	uint32_t v = 0;

	for (int shift = 0; shift < 35 && q < end; shift += 7) {
		uint8_t byte = *q++;

		v |= (uint32_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*p = q;
			*ret_v = v;
			return true;
		}
	}
	return false;
}

static inline bool
uvarlong_read(const uint8_t **p, const uint8_t *end, uint64_t *ret_v)
{
	const uint8_t *q = *p;
	uint64_t v = 0;

	for (int shift = 0; shift < 70 && q < end; shift += 7) {
		uint8_t byte = *q++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*p = q;
			*ret_v = v;
			return true;
		}
	}
	return false;
}

static inline bool
varint_read(const uint8_t **p, const uint8_t *end, int32_t *ret_v)
{
	uint32_t v;

	if (!uvarint_read(p, end, &v))
		return false;
	*ret_v = (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
	return true;
}

static inline bool
varlong_read(const uint8_t **p, const uint8_t *end, int64_t *ret_v)
{
	uint64_t v;

	if (!uvarlong_read(p, end, &v))
		return false;
	*ret_v = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
	return true;
}

/* 0, -1, 1, -2 ... become 0, 1, 2, 3 ... */
static inline uint32_t
zigzag32(int32_t v)
{
	return v < 0 ? ~((uint32_t)v << 1) : (uint32_t)v << 1;
}

static inline uint64_t
zigzag64(int64_t v)
{
	return v < 0 ? ~((uint64_t)v << 1) : (uint64_t)v << 1;
}

static inline uint8_t *
uvarlong_write(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *
uvarint_write(uint8_t *p, uint32_t v)
{
	return uvarlong_write(p, v);
}

static inline uint8_t *
varint_write(uint8_t *p, int32_t v)
{
	return uvarlong_write(p, zigzag32(v));
}

static inline uint8_t *
varlong_write(uint8_t *p, int64_t v)
{
	return uvarlong_write(p, zigzag64(v));
}

/* How many bytes the writer would use. */
static inline int
uvarlong_size(uint64_t v)
{
	return v == 0 ? 1 : (64 - __builtin_clzll(v) + 6) / 7;
}

static inline int
varint_size(int32_t v)
{
	return uvarlong_size(zigzag32(v));
}

static inline int
varlong_size(int64_t v)
{
	return uvarlong_size(zigzag64(v));
}

#endif
