/*
 * compression.c - the codecs' names and levels, and writing them.
 */
#include "wire/compression.h"

#include <errno.h>
#include <limits.h>
#include <snappy-c.h>

#include "wire/codec_thread.h"
#include "wire/kerr.h"

/* snappy-java's block: how much one chunk of the xerial stream holds. */
#define XERIAL_CHUNK_BYTES (32 * 1024)

static const char *const names[COMPRESSION_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *
compression_name(enum compression codec)
{
	return (unsigned int)codec < COMPRESSION_COUNT ? names[codec] : NULL;
}

int
compression_parse(const char *name, enum compression *ret_codec)
{
	if (strcmp(name, "uncompressed") == 0)
		name = names[COMPRESSION_NONE];
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		if (strcmp(name, names[codec]) == 0) {
			*ret_codec = (enum compression)codec;
			return 0;
		}
	}
	return -EINVAL;
}

int
compression_default_level(enum compression codec)
{
	switch (codec) {
	case COMPRESSION_GZIP:
		return COMPRESSION_GZIP_LEVEL_DEFAULT;
	case COMPRESSION_LZ4:
		return COMPRESSION_LZ4_LEVEL_DEFAULT;
	case COMPRESSION_ZSTD:
		return COMPRESSION_ZSTD_LEVEL_DEFAULT;
	case COMPRESSION_NONE:
	case COMPRESSION_SNAPPY:
		break;
	}
	return 0;
}

static int
clamp(int level, int min, int max)
{
	return level < min ? min : level > max ? max : level;
}

static int
compress_gzip(struct codec_thread *t, int level, struct slice in, struct buf *out)
{
	z_stream *z = &t->deflate;
	uint8_t *room;
	size_t bound;

	level =
	    level == COMPRESSION_GZIP_LEVEL_DEFAULT ? Z_DEFAULT_COMPRESSION : clamp(level, 1, 9);
	if (t->have_deflate && t->deflate_level != level) {
		deflateEnd(z);
		t->have_deflate = false;
	}
	if (t->have_deflate) {
		deflateReset(z);
	} else {
		*z = (z_stream){0};
		if (deflateInit2(z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
			return -ENOMEM;
		t->have_deflate = true;
		t->deflate_level = level;
	}
	bound = deflateBound(z, in.len);
	room = buf_reserve(out, bound);
	if (room == NULL)
		return -ENOMEM;
	z->next_in = (Bytef *)(uintptr_t)in.data;
	z->avail_in = (uInt)in.len;
	z->next_out = room;
	z->avail_out = (uInt)bound;
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return -EIO; /* deflateBound() promised that it fits */
	out->len += (size_t)(z->next_out - room);
	return 0;
}

static int
compress_snappy(struct slice in, struct buf *out)
{
	static const uint8_t header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
					   0,    0,   0,   1,   0,   0,   0,   1};

	buf_append(out, header, sizeof(header));
	while (in.len > 0) {
		size_t n = in.len < XERIAL_CHUNK_BYTES ? in.len : XERIAL_CHUNK_BYTES;
		size_t made = snappy_max_compressed_length(n);
		uint8_t *room = buf_reserve(out, 4 + made);

		if (room == NULL)
			return -ENOMEM;
		if (snappy_compress((const char *)in.data, n, (char *)room + 4, &made) != SNAPPY_OK)
			return -EIO;
		put_be32(room, (uint32_t)made);
		out->len += 4 + made;
		in.data += n;
		in.len -= n;
	}
	return out->failed ? -ENOMEM : 0;
}

/*
 * Kafka takes the fast compressor for level 9, its default, and the high one for all others, which
 * begins at the library's level 3 and ends at 12.
 */
static int
compress_lz4(struct codec_thread *t, int level, struct slice in, struct buf *out)
{
	LZ4F_preferences_t prefs = {
	    .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
	    .autoFlush = 1, /* the last block without a copy */
	    .compressionLevel = level == COMPRESSION_LZ4_LEVEL_DEFAULT
				    ? 0
				    : clamp(level, 3, LZ4F_compressionLevel_max()),
	};
	size_t bound = LZ4F_compressFrameBound(in.len, &prefs) + LZ4F_HEADER_SIZE_MAX;
	uint8_t *room;
	size_t made;
	size_t n;

	if (t->lz4_c == NULL &&
	    LZ4F_isError(LZ4F_createCompressionContext(&t->lz4_c, LZ4F_VERSION)))
		return -ENOMEM;
	room = buf_reserve(out, bound);
	if (room == NULL)
		return -ENOMEM;
	made = LZ4F_compressBegin(t->lz4_c, room, bound, &prefs);
	if (LZ4F_isError(made))
		return -ENOMEM;
	n = LZ4F_compressUpdate(t->lz4_c, room + made, bound - made, in.data, in.len, NULL);
	if (LZ4F_isError(n))
		return -EIO; /* the bound promised that it fits */
	made += n;
	n = LZ4F_compressEnd(t->lz4_c, room + made, bound - made, NULL);
	if (LZ4F_isError(n))
		return -EIO;
	out->len += made + n;
	return 0;
}

static int
compress_zstd(struct codec_thread *t, int level, struct slice in, struct buf *out)
{
	size_t bound = ZSTD_compressBound(in.len);
	uint8_t *room;
	size_t n;

	if (t->zstd_c == NULL)
		t->zstd_c = ZSTD_createCCtx();
	room = buf_reserve(out, bound);
	if (t->zstd_c == NULL || room == NULL)
		return -ENOMEM;
	n = ZSTD_compressCCtx(t->zstd_c, room, bound, in.data, in.len,
			      clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel()));
	if (ZSTD_isError(n))
		return -ENOMEM; /* the room is sufficient, so it is the context's memory */
	out->len += n;
	return 0;
}

int
compression_compress(enum compression codec, int level, struct slice in, struct buf *out)
{
	struct codec_thread *t = codec_thread();

	if (t == NULL)
		return -ENOMEM;
	if (in.len > INT32_MAX)
		return K_MESSAGE_TOO_LARGE;
	switch (codec) {
	case COMPRESSION_NONE:
		buf_append(out, in.data, in.len);
		return out->failed ? -ENOMEM : 0;
	case COMPRESSION_GZIP:
		return compress_gzip(t, level, in, out);
	case COMPRESSION_SNAPPY:
		return compress_snappy(in, out);
	case COMPRESSION_LZ4:
		return compress_lz4(t, level, in, out);
	case COMPRESSION_ZSTD:
		return compress_zstd(t, level, in, out);
	}
	return K_UNSUPPORTED_COMPRESSION_TYPE;
}

void
compression_break_lz4_header_checksum(uint8_t *frame)
{
	/* Our frames have no content size: magic, FLG, BD, checksum. */
	frame[6] = (uint8_t)(xxhash32(0, frame, 6) >> 8);
}
