/*
 * compression.h - the four codecs of record batches, in the framing that Kafka's clients use.
 *
 *	gzip	RFC 1952 members
 *	snappy	xerial framing; a bare raw block is read as well
 *	lz4	the LZ4 frame, version 01, independent blocks, content checksum not verified
 *	zstd	zstd frames
 *
 * What is compressed comes from outside and may be a bomb. Reading is therefore a stream: a
 * decompressor gives bytes into the caller's room, as many as it takes, and stops with -EFBIG at a
 * limit. Codec contexts are made at a thread's first use of a codec and kept for the next batch;
 * they end with the thread.
 *
 * Errors   K_CORRUPT_MESSAGE for bytes that the codec cannot read, K_UNSUPPORTED_COMPRESSION_TYPE
 *          for a codec number that does not exist, -EFBIG at the limit, -ENOMEM.
 * Threads  any; a decompressor belongs to the thread that opened it, which may have one open at a
 *          time for each codec.
 * Source   storage-format, section 5; Kafka's CompressionType and its streams.
 */
#ifndef KLAMM_WIRE_COMPRESSION_H
#define KLAMM_WIRE_COMPRESSION_H

#include "base/bytes.h"

/* Numbers are those of bits 0-2 of a batch's attributes. */
enum compression {
	COMPRESSION_NONE = 0,
	COMPRESSION_GZIP = 1,
	COMPRESSION_SNAPPY = 2,
	COMPRESSION_LZ4 = 3,
	COMPRESSION_ZSTD = 4
};
#define COMPRESSION_COUNT 5

/* Levels when a topic sets none. snappy has no levels. */
#define COMPRESSION_GZIP_LEVEL_DEFAULT (-1)
#define COMPRESSION_LZ4_LEVEL_DEFAULT 9
#define COMPRESSION_ZSTD_LEVEL_DEFAULT 3

/* "none", "gzip", "snappy", "lz4", "zstd"; NULL for other numbers. */
const char *compression_name(enum compression codec);
/* Reads a name as compression.type has it ("uncompressed" too). 0, or -EINVAL. */
MUST_CHECK int compression_parse(const char *name, enum compression *ret_codec);
int compression_default_level(enum compression codec);

/*
 * Appends the compressed form of in to out. COMPRESSION_NONE copies.
 *
 * level  as Kafka counts: gzip 1-9 or -1, lz4 1-17, zstd -131072-22; out of range is clamped
 */
MUST_CHECK int compression_compress(enum compression codec, int level, struct slice in,
				    struct buf *out);

/*
 * Appends the original of in to out.
 *
 * limit_bytes  how much may be appended; more is -EFBIG. What was appended by then stays.
 */
MUST_CHECK int compression_decompress(enum compression codec, struct slice in, size_t limit_bytes,
				      struct buf *out);

/* The same as a stream. in is borrowed until the close. */
struct decompressor;

MUST_CHECK int decompressor_open(enum compression codec, struct slice in, size_t limit_bytes,
				 struct decompressor **ret_d);
/*
 * Fills up to cap bytes at dst (cap > 0). ret_len is 0 at the end of the stream and nowhere else.
 * At least 64 KiB of room spares lz4 a copy.
 */
MUST_CHECK int decompressor_read(struct decompressor *d, uint8_t *dst, size_t cap, size_t *ret_len);
/* Accepts NULL. */
void decompressor_close(struct decompressor *d);

/*
 * Magic 0 messages carry lz4 frames whose header checksum was computed over the magic bytes too.
 * Readers of magic 0 do not look at it; writers of magic 0 must write the wrong one.
 */
void decompressor_ignore_lz4_header_checksum(struct decompressor *d);
/* frame: what compression_compress() appended for COMPRESSION_LZ4. */
void compression_break_lz4_header_checksum(uint8_t *frame);

#endif
