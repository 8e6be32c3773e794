/*
 * group_memory.h - allocation for the state of groups, which aborts where memory ends.
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

/* NULL for null text. */
static inline char *
must_copy_text(struct str text)
{
	char *copy = NULL;

	if (text.data != NULL && (copy = strndup(text.data, text.len)) == NULL)
		abort();
	return copy;
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
