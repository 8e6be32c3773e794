#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void
uuid_format(const struct uuid *id, char *text)
{
	uint32_t bits = 0;
	int held = 0;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(id->bytes); i++) {
		bits = bits << 8 | id->bytes[i];
		held += 8;
		while (held >= 6) {
			held -= 6;
			text[n++] = base64url[bits >> held & 63];
		}
	}
	text[n++] = base64url[bits << (6 - held) & 63]; /* 128 = 21 * 6 + 2 */
	text[n] = '\0';
}

int
uuid_parse(const char *text, struct uuid *ret_id)
{
	struct uuid id;
	uint32_t bits = 0;
	int held = 0;
	size_t n = 0;

	if (strlen(text) != UUID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
		const char *digit = strchr(base64url, text[i]);

		if (digit == NULL)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(digit - base64url);
		held += 6;
		if (held >= 8) {
			held -= 8;
			id.bytes[n++] = (uint8_t)(bits >> held);
		}
	}
	if ((bits & 15) != 0) /* the last digit carries two bits only */
		return -EINVAL;
	*ret_id = id;
	return 0;
}

void
buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	uint8_t *data;
	size_t cap;

	if (b->failed)
		return NULL;
	if (n <= b->cap - b->len && b->data != NULL)
		return b->data + b->len;
	if (n > SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return NULL;
	}
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < b->len + n)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return data + b->len;
}

uint8_t *
buf_extend(struct buf *b, size_t n)
{
	uint8_t *room = buf_reserve(b, n);

	if (room != NULL)
		b->len += n;
	return room;
}

void
buf_append(struct buf *b, const void *data, size_t n)
{
	uint8_t *room = buf_extend(b, n);

	if (room != NULL && n > 0)
		memcpy(room, data, n);
}

void
buf_append_u8(struct buf *b, uint8_t v)
{
	buf_append(b, &v, 1);
}

void
buf_append_be16(struct buf *b, uint16_t v)
{
	uint8_t *room = buf_extend(b, 2);

	if (room != NULL)
		put_be16(room, v);
}

void
buf_append_be32(struct buf *b, uint32_t v)
{
	uint8_t *room = buf_extend(b, 4);

	if (room != NULL)
		put_be32(room, v);
}

void
buf_append_be64(struct buf *b, uint64_t v)
{
	uint8_t *room = buf_extend(b, 8);

	if (room != NULL)
		put_be64(room, v);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	uint8_t *room;
	int n;

	room = buf_reserve(b, 128);
	if (room == NULL)
		return;
	va_start(args, fmt);
	n = vsnprintf((char *)room, b->cap - b->len, fmt, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n >= b->cap - b->len) {
		room = buf_reserve(b, (size_t)n + 1);
		if (room == NULL)
			return;
		va_start(args, fmt);
		n = vsnprintf((char *)room, (size_t)n + 1, fmt, args);
		va_end(args);
	}
	b->len += (size_t)n;
}

const char *
buf_text(struct buf *b)
{
	uint8_t *room = buf_reserve(b, 1);

	if (room == NULL)
		return NULL;
	*room = '\0';
	return (const char *)b->data;
}
