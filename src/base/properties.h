/*
 * properties.h - Java's properties format: server.properties, meta.properties, client files.
 *
 * Keys and values are UTF-8 text. A key that stands twice keeps its last value, as in Java.
 *
 * Threads  one at a time.
 */
#ifndef KLAMM_BASE_PROPERTIES_H
#define KLAMM_BASE_PROPERTIES_H

#include "base/map.h"

/* Zero-initialised is empty. */
struct properties {
	struct map texts; /* key -> char *, owned */
};

void properties_fini(struct properties *props);
/*
 * Adds what text holds. Comments begin with # or !; = : or blanks end a key; a backslash joins
 * lines and begins \t \n \r \f and \uXXXX. Trailing blanks of a value are cut, as Kafka does.
 * Returns 0, -ENOMEM, or -EINVAL with *ret_line set to the line (from 1) that has a bad escape.
 */
MUST_CHECK int properties_parse(struct properties *props, struct slice text, int *ret_line);
/* NULL where the key is not there. Borrowed until the key is set or removed. */
const char *properties_get(const struct properties *props, const char *key);
/* Copies value. Returns 0 or -ENOMEM. */
MUST_CHECK int properties_set(struct properties *props, const char *key, const char *value);
void properties_remove(struct properties *props, const char *key);
MUST_CHECK int properties_copy(const struct properties *from, struct properties *to);

#endif
