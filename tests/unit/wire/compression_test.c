#include "wire/compression.h"

#include <errno.h>
#include <lz4frame.h>
#include <pthread.h>

#include "tests/unit/wire/wire_test.h"
#include "wire/kerr.h"
#include "wire/lz4_frame.h"

#define NO_LIMIT ((size_t)1 << 30)
#define TEXT "klamm klamm klamm klamm klamm klamm"

static const enum compression all_codecs[] = {
    COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_SNAPPY, COMPRESSION_LZ4, COMPRESSION_ZSTD};

/* Bytes that compress well, badly, or not at all, as kind is 0, 1 or 2. */
static void
fill(uint8_t *bytes, size_t len, int kind, uint64_t *seed)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t r = next_random(seed);

		bytes[i] = kind == 0 ? 'k' : kind == 1 ? (uint8_t)("abcdefgh"[r % 8]) : (uint8_t)r;
	}
}

static void
what_is_compressed_comes_back_for_every_codec_size_and_level(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 32767, 32768, 32769, 65536, 65537, 300000};
	uint64_t seed = test_seed();
	uint8_t *bytes = malloc(300000);
	struct buf packed = {0};
	struct buf back = {0};

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < ARRAY_LEN(all_codecs) * ARRAY_LEN(sizes) * 3; i++) {
		enum compression codec = all_codecs[i % ARRAY_LEN(all_codecs)];
		size_t len = sizes[i / ARRAY_LEN(all_codecs) % ARRAY_LEN(sizes)];
		int kind = (int)(i / ARRAY_LEN(all_codecs) / ARRAY_LEN(sizes));
		struct slice in = {bytes, len};
		int level = i % 3 == 0 ? compression_default_level(codec) : (int)(i % 20) - 3;

		fill(bytes, len, kind, &seed);
		packed.len = 0;
		back.len = 0;
		assert_int_equal(compression_compress(codec, level, in, &packed), 0);
		assert_int_equal(compression_decompress(codec, buf_slice(&packed), NO_LIMIT, &back),
				 0);
		assert_slices_equal(buf_slice(&back), in);
		/* At its exact size it still fits; with one byte less it does not. */
		back.len = 0;
		assert_int_equal(compression_decompress(codec, buf_slice(&packed), len, &back), 0);
		back.len = 0;
		if (len > 0)
			assert_int_equal(
			    compression_decompress(codec, buf_slice(&packed), len - 1, &back),
			    -EFBIG);
		if (kind == 0 && len > 1000 && codec != COMPRESSION_NONE)
			assert_true(packed.len < len / 10);
	}
	buf_fini(&packed);
	buf_fini(&back);
	free(bytes);
}

static int
unpack_hex(enum compression codec, const char *hex, struct buf *out)
{
	struct buf in = {0};
	int st;

	append_hex(&in, hex);
	st = compression_decompress(codec, buf_slice(&in), NO_LIMIT, out);
	buf_fini(&in);
	return st;
}

/* Written by gzip 1.12, lz4 1.9.4, zstd 1.5.4 and snappy-java. */
static void
what_others_wrote_is_read(void **state)
{
	static const struct {
		enum compression codec;
		const char *hex;
		const char *text;
	} vectors[] = {
	    {COMPRESSION_GZIP, "1f8b0800000000000203cbce49cccd55c8c647020087ff664f23000000", TEXT},
	    {COMPRESSION_GZIP, /* two members */
	     "1f8b0800000000000003cbce49cccd55c84622010205b73812000000"
	     "1f8b0800000000000003cbce49cccd55c8469000a4b6ad6011000000",
	     TEXT},
	    {COMPRESSION_GZIP, /* what follows the last member is none */
	     "1f8b0800000000000203cbce49cccd55c8c647020087ff664f23000000 00ff00", TEXT},
	    {COMPRESSION_LZ4, "04224d18604082 10000000 6f6b6c616d6d20060005506b6c616d6d 00000000",
	     TEXT},
	    {COMPRESSION_LZ4, /* checksums of blocks and content */
	     "04224d187440bd 10000000 6f6b6c616d6d20060005506b6c616d6d 7ab56e09 00000000 188c5841",
	     TEXT},
	    {COMPRESSION_LZ4, /* content size; its checksum is wrong and not looked at */
	     "04224d186c402300000000000000 61 10000000 6f6b6c616d6d20060005506b6c616d6d"
	     "00000000 00000000",
	     TEXT},
	    {COMPRESSION_ZSTD, "28b52ffd0468650000306b6c616d6d200100b94b11ba0ca61e", TEXT},
	    {COMPRESSION_ZSTD, /* two frames, the second with its size */
	     "28b52ffd0468650000306b6c616d6d200100b94b11ba0ca61e"
	     "28b52ffd2023650000306b6c616d6d200100b94b11",
	     TEXT TEXT},
	    {COMPRESSION_SNAPPY,
	     "82534e4150505900 00000001 00000001 00000013 114068656c6c6f2068656c6c6f2068656c6c6f",
	     "hello hello hello"},
	    {COMPRESSION_SNAPPY, /* a bare block */
	     "114068656c6c6f2068656c6c6f2068656c6c6f", "hello hello hello"},
	    {COMPRESSION_SNAPPY, /* two streams, one after the other */
	     "82534e4150505900 00000001 00000001 00000013 114068656c6c6f2068656c6c6f2068656c6c6f"
	     "82534e4150505900 00000001 00000001 00000013 114068656c6c6f2068656c6c6f2068656c6c6f",
	     "hello hello hellohello hello hello"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct slice want = {(const uint8_t *)vectors[i].text, strlen(vectors[i].text)};
		struct buf out = {0};

		assert_int_equal(unpack_hex(vectors[i].codec, vectors[i].hex, &out), 0);
		assert_slices_equal(buf_slice(&out), want);
		buf_fini(&out);
	}
}

static void
broken_streams_are_corrupt(void **state)
{
	static const struct {
		enum compression codec;
		const char *hex;
	} bad[] = {
	    {COMPRESSION_GZIP, ""},
	    {COMPRESSION_GZIP, "1f8b08"},
	    {COMPRESSION_GZIP, "1f8b0800000000000203cbce49cccd55c8c6470200"},
	    {COMPRESSION_GZIP, "1f8b0800000000000203cbce49cccd55c8c647020088ff664f23000000"},
	    {COMPRESSION_GZIP, "789c4b4b2b01000282013f"}, /* zlib, not gzip */
	    {COMPRESSION_SNAPPY, ""},
	    {COMPRESSION_SNAPPY, "82534e4150505900 00000001 00000001 00000013 1140"},
	    {COMPRESSION_SNAPPY, "82534e4150505900 00000001 00000001 ffffffff 1140"},
	    {COMPRESSION_SNAPPY, "82534e4150505900 00000001 00000001 0000"},
	    {COMPRESSION_SNAPPY, "ffffffff7f40"}, /* claims gigabytes */
	    {COMPRESSION_LZ4, ""},
	    {COMPRESSION_LZ4, "04224d184440 5e 00000000"},     /* dependent blocks */
	    {COMPRESSION_LZ4, "04224d1820 40 82 00000000"},    /* version 00 */
	    {COMPRESSION_LZ4, "04224d186040 83 00000000"},     /* header checksum */
	    {COMPRESSION_LZ4, "04224d18604082 10000000 6f6b"}, /* cut off */
	    {COMPRESSION_LZ4, "04224d18604082 01000100 6f6b"}, /* block over the maximum */
	    {COMPRESSION_LZ4, "04224d18604082 02000000 ffff 00000000"},
	    {COMPRESSION_LZ4, "04224d18604082"}, /* no end mark */
	    {COMPRESSION_LZ4, "04224d187440bd 10000000 6f6b6c616d6d20060005506b6c616d6d 7ab56e08"
			      "00000000 188c5841"}, /* block checksum */
	    {COMPRESSION_ZSTD, "28b52ffd0468650000306b6c616d6d200100b94b11ba0ca6"},
	    {COMPRESSION_ZSTD, "28b52ffd0468650000306b6c616d6d200100b94b11ba0ca61f"},
	    {COMPRESSION_ZSTD, "00112233445566"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf out = {0};

		assert_int_equal(unpack_hex(bad[i].codec, bad[i].hex, &out), K_CORRUPT_MESSAGE);
		buf_fini(&out);
	}
}

static void
a_number_that_is_no_codec_is_told(void **state)
{
	struct slice in = {(const uint8_t *)"x", 1};
	struct buf out = {0};

	(void)state;
	for (int codec = 5; codec <= 7; codec++) {
		assert_int_equal(
		    compression_decompress((enum compression)codec, in, NO_LIMIT, &out),
		    K_UNSUPPORTED_COMPRESSION_TYPE);
		assert_int_equal(compression_compress((enum compression)codec, 0, in, &out),
				 K_UNSUPPORTED_COMPRESSION_TYPE);
		assert_null(compression_name((enum compression)codec));
	}
	buf_fini(&out);
}

static void
a_bomb_stops_at_the_limit_without_its_memory(void **state)
{
	size_t len = (size_t)64 << 20;
	uint8_t *zeros = calloc(1, len);
	struct buf packed = {0};

	(void)state;
	assert_non_null(zeros);
	for (int codec = COMPRESSION_GZIP; codec <= COMPRESSION_ZSTD; codec++) {
		struct buf out = {0};

		packed.len = 0;
		assert_int_equal(compression_compress((enum compression)codec, 1,
						      (struct slice){zeros, len}, &packed),
				 0);
		assert_int_equal(compression_decompress((enum compression)codec, buf_slice(&packed),
							1 << 20, &out),
				 -EFBIG);
		assert_true(out.cap <= 16u << 20);
		buf_fini(&out);
	}
	buf_fini(&packed);
	free(zeros);
}

static void
a_stream_can_be_read_in_pieces_of_any_size(void **state)
{
	uint64_t seed = test_seed();
	size_t len = 200000;
	uint8_t *bytes = malloc(len);
	uint8_t *back = malloc(len + 1);

	(void)state;
	fill(bytes, len, 1, &seed);
	for (size_t i = 0; i < ARRAY_LEN(all_codecs); i++) {
		struct buf packed = {0};
		struct decompressor *d;
		size_t done = 0;
		size_t n = 1;

		assert_int_equal(compression_compress(all_codecs[i],
						      compression_default_level(all_codecs[i]),
						      (struct slice){bytes, len}, &packed),
				 0);
		assert_int_equal(decompressor_open(all_codecs[i], buf_slice(&packed), NO_LIMIT, &d),
				 0);
		while (n > 0) {
			size_t cap = 1 + random_below(&seed, done < 1000 ? 3 : 70000);

			if (cap > len + 1 - done)
				cap = len + 1 - done;
			assert_int_equal(decompressor_read(d, back + done, cap, &n), 0);
			assert_true(n <= cap);
			done += n;
		}
		decompressor_close(d);
		assert_slices_equal((struct slice){back, done}, (struct slice){bytes, len});
		buf_fini(&packed);
	}
	free(bytes);
	free(back);
}

static void
a_codec_is_whole_again_after_a_broken_stream(void **state)
{
	struct slice in = {(const uint8_t *)TEXT, strlen(TEXT)};

	(void)state;
	for (int codec = COMPRESSION_GZIP; codec <= COMPRESSION_ZSTD; codec++) {
		struct buf packed = {0};
		struct buf out = {0};

		assert_int_equal(compression_compress((enum compression)codec, 1, in, &packed), 0);
		assert_int_not_equal(
		    compression_decompress((enum compression)codec,
					   (struct slice){packed.data, packed.len - packed.len / 3},
					   NO_LIMIT, &out),
		    0);
		out.len = 0;
		assert_int_equal(compression_decompress((enum compression)codec, buf_slice(&packed),
							NO_LIMIT, &out),
				 0);
		assert_slices_equal(buf_slice(&out), in);
		buf_fini(&packed);
		buf_fini(&out);
	}
}

/* A reader that is not ours. */
static void
the_lz4_librarys_own_frame_reader_reads_what_we_write(void **state)
{
	uint64_t seed = test_seed();
	size_t len = 200000;
	uint8_t *bytes = malloc(len);
	uint8_t *back = malloc(len);
	LZ4F_dctx *dctx;
	struct buf packed = {0};
	size_t in_len;
	size_t out_len = len;
	size_t done = 0;

	(void)state;
	fill(bytes, len, 1, &seed);
	assert_int_equal(compression_compress(COMPRESSION_LZ4, COMPRESSION_LZ4_LEVEL_DEFAULT,
					      (struct slice){bytes, len}, &packed),
			 0);
	/* Version 01, independent blocks of 64 KiB, no checksums: as Kafka's writer. */
	assert_int_equal(packed.data[4], 0x60);
	assert_int_equal(packed.data[5], 0x40);
	assert_false(LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION)));
	while (done < packed.len) {
		size_t room = out_len;
		size_t r;

		in_len = packed.len - done;
		r = LZ4F_decompress(dctx, back + len - out_len, &room, packed.data + done, &in_len,
				    NULL);
		assert_false(LZ4F_isError(r));
		done += in_len;
		out_len -= room;
	}
	assert_int_equal(out_len, 0);
	assert_memory_equal(back, bytes, len);
	LZ4F_freeDecompressionContext(dctx);
	buf_fini(&packed);
	free(bytes);
	free(back);
}

static void
the_broken_lz4_checksum_of_magic_0_is_written_and_ignored(void **state)
{
	struct slice in = {(const uint8_t *)TEXT, strlen(TEXT)};
	struct buf packed = {0};
	struct buf out = {0};
	struct decompressor *d;
	uint8_t room[100];
	size_t n;

	(void)state;
	assert_int_equal(compression_compress(COMPRESSION_LZ4, 9, in, &packed), 0);
	assert_int_equal(packed.data[6], 0x82);
	compression_break_lz4_header_checksum(packed.data);
	assert_int_equal(packed.data[6], (uint8_t)(xxhash32(0, packed.data, 6) >> 8));
	assert_int_not_equal(packed.data[6], 0x82);
	assert_int_equal(
	    compression_decompress(COMPRESSION_LZ4, buf_slice(&packed), NO_LIMIT, &out),
	    K_CORRUPT_MESSAGE);
	assert_int_equal(decompressor_open(COMPRESSION_LZ4, buf_slice(&packed), NO_LIMIT, &d), 0);
	decompressor_ignore_lz4_header_checksum(d);
	assert_int_equal(decompressor_read(d, room, sizeof(room), &n), 0);
	assert_slices_equal((struct slice){room, n}, in);
	decompressor_close(d);
	buf_fini(&packed);
	buf_fini(&out);
}

/* From the xxHash specification's test vectors. */
static void
xxhash32_has_its_known_values(void **state)
{
	(void)state;
	assert_int_equal(xxhash32(0, "", 0), 0x02cc5d05);
	assert_int_equal(xxhash32(0, "a", 1), 0x550d7456);
	assert_int_equal(xxhash32(0, "abc", 3), 0x32d153ff);
	assert_int_equal(xxhash32(0, "Nobody inspects the spammish repetition", 39), 0xe2293b2f);
}

static void *
use_all_codecs(void *arg)
{
	struct slice in = {(const uint8_t *)TEXT, strlen(TEXT)};
	bool *ok = arg;

	*ok = true;
	for (int i = 0; i < 40; i++) {
		enum compression codec = all_codecs[i % 5];
		struct buf packed = {0};
		struct buf out = {0};

		if (compression_compress(codec, 1, in, &packed) != 0 ||
		    compression_decompress(codec, buf_slice(&packed), NO_LIMIT, &out) != 0 ||
		    !slice_equal(buf_slice(&out), in))
			*ok = false;
		buf_fini(&packed);
		buf_fini(&out);
	}
	return NULL;
}

static void
each_thread_has_codecs_of_its_own_that_end_with_it(void **state)
{
	pthread_t threads[4];
	bool ok[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_all_codecs, &ok[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(ok[i]);
	}
}

static void
names_are_those_of_compression_type(void **state)
{
	enum compression codec;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_codecs); i++) {
		assert_int_equal(compression_parse(compression_name(all_codecs[i]), &codec), 0);
		assert_int_equal(codec, all_codecs[i]);
	}
	assert_int_equal(compression_parse("uncompressed", &codec), 0);
	assert_int_equal(codec, COMPRESSION_NONE);
	assert_int_equal(compression_parse("brotli", &codec), -EINVAL);
	assert_int_equal(compression_parse("producer", &codec), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_compressed_comes_back_for_every_codec_size_and_level),
	    cmocka_unit_test(what_others_wrote_is_read),
	    cmocka_unit_test(broken_streams_are_corrupt),
	    cmocka_unit_test(a_number_that_is_no_codec_is_told),
	    cmocka_unit_test(a_bomb_stops_at_the_limit_without_its_memory),
	    cmocka_unit_test(a_stream_can_be_read_in_pieces_of_any_size),
	    cmocka_unit_test(a_codec_is_whole_again_after_a_broken_stream),
	    cmocka_unit_test(the_lz4_librarys_own_frame_reader_reads_what_we_write),
	    cmocka_unit_test(the_broken_lz4_checksum_of_magic_0_is_written_and_ignored),
	    cmocka_unit_test(xxhash32_has_its_known_values),
	    cmocka_unit_test(each_thread_has_codecs_of_its_own_that_end_with_it),
	    cmocka_unit_test(names_are_those_of_compression_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
