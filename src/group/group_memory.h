/*
 * group_memory.h - allocation for the state of groups, which aborts where memory ends.
 *
 * What comes over the wire may hold a NUL anywhere. Copies keep it; names by which something is
 * looked up are C strings, so one that holds a NUL is refused before it gets here.
 */
#ifndef KLAMM_GROUP_GROUP_MEMORY_H
#define KLAMM_GROUP_GROUP_MEMORY_H

#include <stdlib.h>

#include "base/bytes.h"

static inline void *
must_calloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size);

	if (p == NULL)
		abort();
	return p;
}

/* All len bytes and a NUL after them; NULL for null text. */
static inline char *
must_copy_text(struct str text)
{
	char *copy;

	if (text.data == NULL)
		return NULL;
	copy = must_calloc(1, text.len + 1);
	memcpy(copy, text.data, text.len);
	return copy;
}

static inline bool
has_nul(struct str text)
{
	return text.len > 0 && memchr(text.data, '\0', text.len) != NULL;
}

/* An owned copy of bytes, NULL and 0 for none. */
static inline struct slice
must_copy_bytes(struct slice bytes)
{
	uint8_t *copy;

	if (bytes.len == 0)
		return (struct slice){NULL, 0};
	copy = must_calloc(1, bytes.len);
	memcpy(copy, bytes.data, bytes.len);
	return (struct slice){copy, bytes.len};
}

static inline void
free_bytes(struct slice *bytes)
{
	free((void *)(uintptr_t)bytes->data);
	*bytes = (struct slice){NULL, 0};
}

#endif
