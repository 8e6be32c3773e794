/*
 * codec_thread.h - the codec contexts that one thread keeps: inside the wire room only.
 *
 * Each is made at its first use and ends with the thread. What grew large for one batch is given
 * back when that batch is done.
 */
#ifndef KLAMM_WIRE_CODEC_THREAD_H
#define KLAMM_WIRE_CODEC_THREAD_H

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "wire/compression.h"
#include "wire/lz4_frame.h"

struct decompressor {
	enum compression codec;
	bool open;
	bool ended;
	bool ignore_lz4_header_checksum;
	bool started; /* lz4: the frame's header was read */
	int status;   /* of the first failure, for all later calls */
	size_t left;  /* bytes until the limit */
	struct slice in;
	struct lz4_frame frame;
	size_t zstd_hint; /* what the last call said is missing; 0 between frames */

	/* A decoded block of which the caller took a part. */
	struct buf block;
	size_t block_taken;
};

struct codec_thread {
	struct decompressor decompressors[COMPRESSION_COUNT];
	z_stream inflate;
	z_stream deflate;
	bool have_inflate;
	bool have_deflate;
	int deflate_level;
	ZSTD_DCtx *zstd_d;
	ZSTD_CCtx *zstd_c;
	LZ4F_cctx *lz4_c;
	uint8_t *walk_window;
};

/* This thread's, or NULL without memory. */
struct codec_thread *codec_thread(void);

#endif
