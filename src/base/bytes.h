/*
 * bytes.h - views of bytes and text, big-endian integers, growing buffers.
 *
 * A struct slice or struct str never owns what it points at; the function that hands one
 * out says how long it lives. A struct buf owns its memory.
 *
 * Threads  none of these is shared between threads.
 */
#ifndef KLAMM_BASE_BYTES_H
#define KLAMM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Borrowed bytes. data == NULL means null, which Kafka tells from empty. */
struct slice {
	const uint8_t *data;
	size_t len;
};

/*
 * Borrowed text of a known length. data == NULL means null. What the wire decoder hands out is
 * also ended by a NUL, so that text without NUL inside can be used as a C string.
 */
struct str {
	const char *data;
	size_t len;
};

/* A topic id, directory id or cluster id: 16 bytes, all zero for "none". */
struct uuid {
	uint8_t bytes[16];
};

static inline struct str
str_of(const char *text)
{
	return (struct str){text, text == NULL ? 0 : strlen(text)};
}

static inline bool
str_equal(struct str a, struct str b)
{
	return (a.data == NULL) == (b.data == NULL) && a.len == b.len &&
	       (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
	return (a.data == NULL) == (b.data == NULL) && a.len == b.len &&
	       (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
uuid_is_zero(const struct uuid *id)
{
	static const struct uuid zero;

	return memcmp(id, &zero, sizeof(zero)) == 0;
}

static inline bool
uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

#define UUID_TEXT_LEN 22

/* Kafka's text form: URL-safe base64 without padding; text holds UUID_TEXT_LEN + 1 bytes. */
void uuid_format(const struct uuid *id, char *text);
/* Reads the 22-character form. Returns 0, or -EINVAL. */
MUST_CHECK int uuid_parse(const char *text, struct uuid *ret_id);

static inline uint16_t
get_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t
get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t
get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static inline void
put_be16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Klamm runs on little-endian machines: amd64, arm64, riscv64"
#endif

/*
 * A growing buffer. A failed allocation sets `failed` and every later call does nothing, so a
 * writer checks once, at its end. Zero-initialised is empty and owns nothing.
 */
struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

void buf_fini(struct buf *b);
/* Makes room for n more bytes without changing len. Returns where they go, or NULL. */
uint8_t *buf_reserve(struct buf *b, size_t n);
/* Extends by n bytes that the caller fills. Returns where they are, or NULL. */
uint8_t *buf_extend(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *data, size_t n);
void buf_append_u8(struct buf *b, uint8_t v);
void buf_append_be16(struct buf *b, uint16_t v);
void buf_append_be32(struct buf *b, uint32_t v);
void buf_append_be64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends a NUL that len does not count and returns the text, or NULL when memory ran out. */
const char *buf_text(struct buf *b);

static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){b->data, b->len};
}

#endif
