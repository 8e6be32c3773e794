/*
 * decompressor.c - reading the four codecs as bounded streams.
 *
 * Two kinds: gzip and zstd write into any room and keep their own window; snappy and lz4 decode a
 * block at once, straight into the caller's room where it is large enough, otherwise into `block`,
 * from which later calls are served. A block's size is known before it is decoded, and is held
 * against what the codec can make of so few bytes before memory is asked for.
 */
#include <errno.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zstd_errors.h>

#include "base/bytes.h"
#include "wire/codec_thread.h"
#include "wire/compression.h"
#include "wire/kerr.h"

/* What a context may keep between batches. */
#define KEEP_BYTES ((size_t)1 << 20)

/* A snappy copy of three bytes makes at most 64. */
#define SNAPPY_EXPANSION 22

#define XERIAL_HEADER_BYTES 16
/* The first word of the header: no chunk is as long. */
#define XERIAL_MAGIC_WORD 0x82534e41u

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

static int
open_gzip(struct codec_thread *t)
{
	int r;

	if (t->have_inflate) {
		r = inflateReset(&t->inflate);
	} else {
		r = inflateInit2(&t->inflate, 15 + 16); /* gzip headers only */
		t->have_inflate = r == Z_OK;
	}
	return r == Z_OK ? 0 : -ENOMEM;
}

static int
open_zstd(struct codec_thread *t)
{
	if (t->zstd_d == NULL)
		t->zstd_d = ZSTD_createDCtx();
	if (t->zstd_d == NULL)
		return -ENOMEM;
	ZSTD_DCtx_reset(t->zstd_d, ZSTD_reset_session_only);
	return 0;
}

int
decompressor_open(enum compression codec, struct slice in, size_t limit_bytes,
		  struct decompressor **ret_d)
{
	struct codec_thread *t;
	struct decompressor *d;
	int st = 0;

	if ((unsigned int)codec >= COMPRESSION_COUNT)
		return K_UNSUPPORTED_COMPRESSION_TYPE;
	t = codec_thread();
	if (t == NULL)
		return -ENOMEM;
	d = &t->decompressors[codec];
	if (d->open)
		return -EBUSY;
	if (codec == COMPRESSION_GZIP)
		st = open_gzip(t);
	else if (codec == COMPRESSION_ZSTD)
		st = open_zstd(t);
	if (st != 0)
		return st;
	*d = (struct decompressor){
	    .codec = codec,
	    .open = true,
	    .left = limit_bytes,
	    .in = in,
	    .block = d->block,
	};
	d->block.len = 0;
	d->block.failed = false;
	*ret_d = d;
	return 0;
}

void
decompressor_close(struct decompressor *d)
{
	struct codec_thread *t = codec_thread();

	if (d == NULL)
		return;
	d->open = false;
	if (d->block.cap > KEEP_BYTES)
		buf_fini(&d->block);
	if (d->codec == COMPRESSION_ZSTD && ZSTD_sizeof_DCtx(t->zstd_d) > 8 * KEEP_BYTES) {
		ZSTD_freeDCtx(t->zstd_d);
		t->zstd_d = NULL;
	}
}

void
decompressor_ignore_lz4_header_checksum(struct decompressor *d)
{
	d->ignore_lz4_header_checksum = true;
}

static void
take_input(struct decompressor *d, size_t n)
{
	d->in.data += n;
	d->in.len -= n;
}

static int
read_none(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	size_t n = d->in.len < cap ? d->in.len : cap;

	if (n > 0)
		memcpy(dst, d->in.data, n);
	take_input(d, n);
	*ret_len = n;
	return 0;
}

/* Members may follow each other; what follows the last and is none is not looked at. */
static int
read_gzip(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	z_stream *z = &codec_thread()->inflate;
	size_t made = 0;
	int r;

	while (made == 0 && !d->ended) {
		z->next_in = (Bytef *)(uintptr_t)d->in.data;
		z->avail_in = d->in.len > UINT32_MAX ? UINT32_MAX : (uInt)d->in.len;
		z->next_out = dst;
		z->avail_out = cap > UINT32_MAX ? UINT32_MAX : (uInt)cap;
		r = inflate(z, Z_NO_FLUSH);
		take_input(d, (size_t)(z->next_in - d->in.data));
		made = (size_t)(z->next_out - dst);
		if (r == Z_MEM_ERROR)
			return -ENOMEM;
		if (r == Z_STREAM_END) {
			if (d->in.len >= 2 && d->in.data[0] == 0x1f && d->in.data[1] == 0x8b)
				inflateReset(z);
			else
				d->ended = true;
		} else if (r != Z_OK || (made == 0 && d->in.len == 0)) {
			return K_CORRUPT_MESSAGE;
		}
	}
	*ret_len = made;
	return 0;
}

static int
read_zstd(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	ZSTD_DCtx *dctx = codec_thread()->zstd_d;
	ZSTD_outBuffer out = {dst, cap, 0};
	ZSTD_inBuffer in = {d->in.data, d->in.len, 0};

	while (out.pos == 0) {
		size_t before = in.pos;
		size_t r;

		if (in.pos == in.size && d->zstd_hint == 0)
			break; /* the end, between two frames */
		r = ZSTD_decompressStream(dctx, &out, &in);
		if (ZSTD_isError(r))
			return ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation
				   ? -ENOMEM
				   : K_CORRUPT_MESSAGE;
		d->zstd_hint = r;
		if (out.pos == 0 && in.pos == before && in.pos == in.size && r != 0)
			return K_CORRUPT_MESSAGE; /* cut off inside a frame */
	}
	take_input(d, in.pos);
	*ret_len = out.pos;
	return 0;
}

/* Gives what is left of the decoded block. False when there is none. */
static bool
read_block(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	size_t n = d->block.len - d->block_taken;

	if (n == 0)
		return false;
	if (n > cap)
		n = cap;
	memcpy(dst, d->block.data + d->block_taken, n);
	d->block_taken += n;
	*ret_len = n;
	return true;
}

/* Room for a decoded block of at most n bytes: the caller's, or our own. */
static uint8_t *
block_room(struct decompressor *d, uint8_t *dst, size_t cap, size_t n)
{
	d->block.len = 0;
	d->block_taken = 0;
	return n <= cap ? dst : buf_reserve(&d->block, n);
}

/* The decoded block of n bytes is in the room that block_room() gave. */
static size_t
block_done(struct decompressor *d, uint8_t *dst, size_t cap, const uint8_t *room, size_t n)
{
	size_t taken = n;

	if (room != dst) {
		d->block.len = n;
		taken = 0;
		read_block(d, dst, cap, &taken);
	}
	return taken;
}

/* The next raw block: a chunk of the xerial stream, or the whole input. */
static int
next_snappy_chunk(struct decompressor *d, struct slice *ret_chunk)
{
	bool first = !d->started;
	size_t len;

	d->started = true;
	while (d->in.len >= XERIAL_HEADER_BYTES &&
	       memcmp(d->in.data, xerial_magic, sizeof(xerial_magic)) == 0) {
		take_input(d, XERIAL_HEADER_BYTES);
		first = false;
	}
	if (first) { /* no header: one raw block */
		*ret_chunk = d->in;
		take_input(d, d->in.len);
		return 0;
	}
	if (d->in.len == 0) {
		d->ended = true;
		return 0;
	}
	if (d->in.len < 4)
		return K_CORRUPT_MESSAGE;
	len = get_be32(d->in.data);
	if (len > d->in.len - 4)
		return K_CORRUPT_MESSAGE;
	*ret_chunk = (struct slice){d->in.data + 4, len};
	take_input(d, 4 + len);
	return 0;
}

static int
read_snappy(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	size_t made = 0;

	if (read_block(d, dst, cap, ret_len))
		return 0;
	while (made == 0) {
		struct slice chunk = {NULL, 0};
		uint8_t *room;
		size_t n;
		int st;

		st = next_snappy_chunk(d, &chunk);
		if (st != 0)
			return st;
		if (d->ended)
			break;
		if (snappy_uncompressed_length((const char *)chunk.data, chunk.len, &n) !=
			SNAPPY_OK ||
		    n > chunk.len * SNAPPY_EXPANSION)
			return K_CORRUPT_MESSAGE;
		if (n > d->left)
			return -EFBIG;
		room = block_room(d, dst, cap, n);
		if (room == NULL)
			return -ENOMEM;
		if (snappy_uncompress((const char *)chunk.data, chunk.len, (char *)room, &n) !=
		    SNAPPY_OK)
			return K_CORRUPT_MESSAGE;
		made = block_done(d, dst, cap, room, n);
	}
	*ret_len = made;
	return 0;
}

static int
read_lz4_block(struct decompressor *d, const struct lz4_block *block, uint8_t *dst, size_t cap,
	       size_t *ret_len)
{
	size_t max = block->compressed ? d->frame.max_block_bytes : block->data.len;
	uint8_t *room = block_room(d, dst, cap, max);
	int n = (int)block->data.len;

	if (room == NULL)
		return -ENOMEM;
	if (block->compressed)
		n = LZ4_decompress_safe((const char *)block->data.data, (char *)room, n, (int)max);
	else
		memcpy(room, block->data.data, block->data.len);
	if (n < 0)
		return K_CORRUPT_MESSAGE;
	*ret_len = block_done(d, dst, cap, room, (size_t)n);
	return 0;
}

static int
read_lz4(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	size_t made = 0;
	int st;

	if (read_block(d, dst, cap, ret_len))
		return 0;
	if (!d->started) {
		d->started = true;
		st = lz4_frame_open(&d->frame, d->in, !d->ignore_lz4_header_checksum);
		if (st != 0)
			return st;
	}
	while (made == 0) {
		struct lz4_block block;

		st = lz4_frame_next(&d->frame, &block);
		if (st != 0)
			return st;
		if (d->frame.finished)
			break;
		st = read_lz4_block(d, &block, dst, cap, &made);
		if (st != 0)
			return st;
	}
	d->ended = made == 0;
	*ret_len = made;
	return 0;
}

static int
read_codec(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	switch (d->codec) {
	case COMPRESSION_NONE:
		return read_none(d, dst, cap, ret_len);
	case COMPRESSION_GZIP:
		return read_gzip(d, dst, cap, ret_len);
	case COMPRESSION_SNAPPY:
		return read_snappy(d, dst, cap, ret_len);
	case COMPRESSION_LZ4:
		return read_lz4(d, dst, cap, ret_len);
	case COMPRESSION_ZSTD:
		return read_zstd(d, dst, cap, ret_len);
	}
	return K_UNSUPPORTED_COMPRESSION_TYPE;
}

int
decompressor_read(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len)
{
	uint8_t probe;
	size_t n = 0;

	if (d->status != 0)
		return d->status;
	if (d->ended) {
		*ret_len = 0;
		return 0;
	}
	if (d->left == 0) { /* at the limit only the end may follow */
		d->status = read_codec(d, &probe, 1, &n);
		if (d->status == 0 && n > 0)
			d->status = -EFBIG;
	} else {
		d->status = read_codec(d, dst, cap < d->left ? cap : d->left, &n);
	}
	if (d->status != 0)
		return d->status;
	d->ended = n == 0;
	d->left -= n;
	*ret_len = n;
	return 0;
}

int
compression_decompress(enum compression codec, struct slice in, size_t limit_bytes, struct buf *out)
{
	/* A first guess of the size, doubled as it turns out too small. */
	size_t room = codec == COMPRESSION_NONE ? in.len : in.len * 4;
	struct decompressor *d;
	size_t n = 1;
	int st;

	st = decompressor_open(codec, in, limit_bytes, &d);
	if (st != 0)
		return st;
	if (room > limit_bytes)
		room = limit_bytes;
	if (room < 4096)
		room = 4096;
	while (n > 0) {
		uint8_t *dst = buf_reserve(out, room);

		if (dst == NULL) {
			st = -ENOMEM;
			break;
		}
		st = decompressor_read(d, dst, out->cap - out->len, &n);
		if (st != 0)
			break;
		out->len += n;
		if (out->cap - out->len >= 4096)
			room = 4096;
		else
			room = (size_t)64 * 1024;
	}
	decompressor_close(d);
	return st;
}
