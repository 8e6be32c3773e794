/*
 * map.h - a hash table from bytes to a pointer, for one thread or under its owner's lock.
 *
 * Keys are copied. Values are the caller's: map_fini() does not free them. The hash is seeded per
 * process, so a peer cannot choose names that collide.
 */
#ifndef KLAMM_BASE_MAP_H
#define KLAMM_BASE_MAP_H

#include "base/bytes.h"

struct map_entry;

struct map {
	struct map_entry **buckets;
	size_t bucket_count;
	size_t count;
};

/* Zero-initialised is an empty map. */
void map_fini(struct map *m);
void *map_get(const struct map *m, const void *key, size_t key_len);
void *map_get_text(const struct map *m, const char *key);
/* Puts or replaces. ret_old (may be NULL): what was there before, or NULL. -ENOMEM or 0. */
MUST_CHECK int map_put(struct map *m, const void *key, size_t key_len, void *value, void **ret_old);
MUST_CHECK int map_put_text(struct map *m, const char *key, void *value, void **ret_old);
/* Takes out and returns the value, or NULL. */
void *map_remove(struct map *m, const void *key, size_t key_len);
void *map_remove_text(struct map *m, const char *key);

/* A walk over all entries in no order; zero-initialised is its start. */
struct map_iter {
	struct map_entry *current, *next;
	size_t bucket;
};

/*
 * The next value, or NULL at the end. The entry just returned may be removed during the walk,
 * nothing else may change.
 */
void *map_next(const struct map *m, struct map_iter *iter);
/* The key of the entry just returned, ended by a NUL as well; gone once the entry is removed. */
struct str map_iter_key(const struct map_iter *iter);

/* The seeded hash itself (SipHash-1-3), for tables of other shapes. */
uint64_t map_hash(const void *key, size_t key_len);

#endif
