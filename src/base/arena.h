/*
 * arena.h - memory that is freed all at once: one request, one decoded message, one plan.
 *
 * Nothing in an arena is freed alone. What a peer can size is bounded by the arena's limit:
 * at the limit arena_alloc() returns NULL, as it does when the machine has no memory left.
 *
 * Threads  one at a time.
 */
#ifndef KLAMM_BASE_ARENA_H
#define KLAMM_BASE_ARENA_H

#include <stddef.h>

#include "base/bytes.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *next;
	size_t left;
	size_t used;
	size_t limit;
};

/* limit: bytes in all; nothing is allocated until the first arena_alloc(). */
void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);
/* Raises the limit, for what the owner himself needs beside what was asked of him. */
void arena_allow(struct arena *a, size_t count, size_t size);
/* Forgets everything but keeps the newest chunk for reuse. */
void arena_reset(struct arena *a);

/* Zeroed memory, aligned for any type. NULL at the limit or without memory. size 0 is valid. */
void *arena_alloc(struct arena *a, size_t size);
/* The same for count items; NULL when the product overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size);
/* A copy of len bytes of text, ended by a NUL. */
char *arena_strdup(struct arena *a, const char *text, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
