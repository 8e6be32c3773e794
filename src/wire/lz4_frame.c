/*
 * lz4_frame.c - the frame around LZ4 blocks.
 *
 *	4 magic 04 22 4d 18
 *	1 FLG: bits 7-6 version 01, 5 blocks independent, 4 block checksum, 3 content size,
 *	       2 content checksum, 1 reserved, 0 dictionary id
 *	1 BD: bits 6-4 maximum block size 4..7 = 64 KiB, 256 KiB, 1 MiB, 4 MiB; others reserved
 *	8 content size, where flagged
 *	1 second byte of xxHash32(FLG .. content size)
 *	then blocks: LE 4 size, bit 31 set when stored as is; data; 4 checksum where flagged;
 *	a size of 0 ends the frame
 */
#include "wire/lz4_frame.h"

#include "wire/kerr.h"

#define FRAME_MAGIC 0x184d2204u
#define FLG_VERSION_MASK 0xc0
#define FLG_VERSION_01 0x40
#define FLG_INDEPENDENT 0x20
#define FLG_BLOCK_CHECKSUM 0x10
#define FLG_CONTENT_SIZE 0x08
#define FLG_RESERVED 0x03
#define BD_RESERVED 0x8f
#define BLOCK_STORED 0x80000000u

#define PRIME1 2654435761u
#define PRIME2 2246822519u
#define PRIME3 3266489917u
#define PRIME4 668265263u
#define PRIME5 374761393u

static inline uint32_t
get_le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v)); /* base/bytes.h refuses big-endian machines */
	return v;
}

static inline uint32_t
rotate(uint32_t v, int bits)
{
	return v << bits | v >> (32 - bits);
}

uint32_t
xxhash32(uint32_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t left = len;
	uint32_t h = seed + PRIME5;

	if (left >= 16) {
		uint32_t lane[4] = {seed + PRIME1 + PRIME2, seed + PRIME2, seed, seed - PRIME1};

		for (; left >= 16; left -= 16) {
			for (int i = 0; i < 4; i++, p += 4)
				lane[i] = rotate(lane[i] + get_le32(p) * PRIME2, 13) * PRIME1;
		}
		h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) +
		    rotate(lane[3], 18);
	}
	h += (uint32_t)len;
	for (; left >= 4; left -= 4, p += 4)
		h = rotate(h + get_le32(p) * PRIME3, 17) * PRIME4;
	for (; left > 0; left--, p++)
		h = rotate(h + *p * PRIME5, 11) * PRIME1;
	h = (h ^ h >> 15) * PRIME2;
	h = (h ^ h >> 13) * PRIME3;
	return h ^ h >> 16;
}

int
lz4_frame_open(struct lz4_frame *f, struct slice in, bool check_header)
{
	size_t descriptor_len = 2;
	const uint8_t *descriptor;
	uint8_t flg;
	uint8_t bd;

	if (in.len < 7 || get_le32(in.data) != FRAME_MAGIC)
		return K_CORRUPT_MESSAGE;
	descriptor = in.data + 4;
	flg = descriptor[0];
	bd = descriptor[1];
	if ((flg & FLG_VERSION_MASK) != FLG_VERSION_01 || (flg & FLG_INDEPENDENT) == 0 ||
	    (flg & FLG_RESERVED) != 0 || (bd & BD_RESERVED) != 0 || bd >> 4 < 4)
		return K_CORRUPT_MESSAGE;
	if ((flg & FLG_CONTENT_SIZE) != 0)
		descriptor_len += 8;
	if (in.len < 4 + descriptor_len + 1)
		return K_CORRUPT_MESSAGE;
	if (check_header &&
	    (uint8_t)(xxhash32(0, descriptor, descriptor_len) >> 8) != descriptor[descriptor_len])
		return K_CORRUPT_MESSAGE;
	*f = (struct lz4_frame){
	    .next = descriptor + descriptor_len + 1,
	    .end = in.data + in.len,
	    .max_block_bytes = (size_t)1 << (2 * (bd >> 4) + 8),
	    .block_checksum = (flg & FLG_BLOCK_CHECKSUM) != 0,
	};
	return 0;
}

int
lz4_frame_next(struct lz4_frame *f, struct lz4_block *ret_block)
{
	size_t left = (size_t)(f->end - f->next);
	size_t trailer = f->block_checksum ? 4 : 0;
	uint32_t word;
	size_t len;

	if (left < 4)
		return K_CORRUPT_MESSAGE;
	word = get_le32(f->next);
	len = word & ~BLOCK_STORED;
	if (len == 0) {
		f->finished = true;
		*ret_block = (struct lz4_block){{f->end, 0}, false};
		return 0;
	}
	if (len > f->max_block_bytes || left - 4 < len + trailer)
		return K_CORRUPT_MESSAGE;
	f->next += 4;
	if (f->block_checksum && xxhash32(0, f->next, len) != get_le32(f->next + len))
		return K_CORRUPT_MESSAGE;
	*ret_block = (struct lz4_block){{f->next, len}, (word & BLOCK_STORED) == 0};
	f->next += len + trailer;
	return 0;
}
