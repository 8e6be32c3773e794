/*
 * Chunks double from 1 KiB to 64 KiB; a larger request gets a chunk of its own, linked behind the
 * newest so that what is left of that one stays in use.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT _Alignof(max_align_t)
#define FIRST_CHUNK_BYTES 1024
#define LAST_CHUNK_BYTES (64 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	_Alignas(max_align_t) char data[];
};

void
arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

static void
free_chunks(struct arena_chunk *chunk)
{
	while (chunk != NULL) {
		struct arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void
arena_allow(struct arena *a, size_t count, size_t size)
{
	size_t left = SIZE_MAX - a->limit;

	a->limit += count > 0 && size > left / count ? left : count * size;
}

void
arena_fini(struct arena *a)
{
	free_chunks(a->chunks);
	arena_init(a, a->limit);
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *newest = a->chunks;

	if (newest == NULL)
		return;
	free_chunks(newest->next);
	newest->next = NULL;
	a->next = newest->data;
	a->left = newest->size;
	a->used = newest->size;
}

static struct arena_chunk *
new_chunk(struct arena *a, size_t size)
{
	struct arena_chunk *chunk;

	if (size > a->limit - a->used || size > SIZE_MAX - sizeof(*chunk))
		return NULL;
	chunk = malloc(sizeof(*chunk) + size);
	if (chunk == NULL)
		return NULL;
	chunk->next = NULL;
	chunk->size = size;
	a->used += size;
	return chunk;
}

static void *
alloc_slow(struct arena *a, size_t size)
{
	struct arena_chunk *chunk;
	size_t chunk_size = a->chunks == NULL ? FIRST_CHUNK_BYTES : a->chunks->size * 2;

	if (chunk_size > LAST_CHUNK_BYTES)
		chunk_size = LAST_CHUNK_BYTES;
	if (chunk_size > a->limit - a->used)
		chunk_size = a->limit - a->used;
	if (size > chunk_size / 2 && a->chunks != NULL) { /* a chunk of its own */
		chunk = new_chunk(a, size);
		if (chunk == NULL)
			return NULL;
		chunk->next = a->chunks->next;
		a->chunks->next = chunk;
		return chunk->data;
	}
	if (chunk_size < size)
		chunk_size = size;
	chunk = new_chunk(a, chunk_size);
	if (chunk == NULL)
		return NULL;
	chunk->next = a->chunks;
	a->chunks = chunk;
	a->next = chunk->data + size;
	a->left = chunk_size - size;
	return chunk->data;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX - ALIGNMENT)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (size <= a->left && a->next != NULL) {
		p = a->next;
		a->next += size;
		a->left -= size;
	} else {
		p = alloc_slow(a, size);
		if (p == NULL)
			return NULL;
	}
	return memset(p, 0, size);
}

void *
arena_calloc(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	return arena_alloc(a, count * size);
}

char *
arena_strdup(struct arena *a, const char *text, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = arena_alloc(a, len + 1);
	if (copy != NULL && len > 0)
		memcpy(copy, text, len);
	return copy;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return NULL;
	text = arena_alloc(a, (size_t)n + 1);
	if (text == NULL)
		return NULL;
	va_start(args, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, args);
	va_end(args);
	return text;
}
