/*
 * offset_map.h - from a record's key to the last offset that has it: what compaction goes by.
 *
 * Open addressing with slots of 24 bytes: a hash of 128 bits, keyed at random so that nobody can
 * choose keys that collide, and the offset. Keys themselves are not kept.
 *
 * Threads  one at a time.
 * Source   storage-format, section 14.2: Kafka's SkimpyOffsetMap.
 */
#ifndef KLAMM_STORAGE_OFFSET_MAP_H
#define KLAMM_STORAGE_OFFSET_MAP_H

#include "base/env.h"

struct offset_map;

#define OFFSET_MAP_SLOT_BYTES 24

/* bytes: of all slots. load_factor: how much of them may be used, below 1. */
MUST_CHECK int offset_map_open(struct env *env, size_t bytes, double load_factor,
			       struct offset_map **ret_map);
/* Accepts NULL. */
void offset_map_close(struct offset_map *m);
/* Sets the key's offset, unless a higher one is there. False when the map is full. */
MUST_CHECK bool offset_map_put(struct offset_map *m, struct slice key, int64_t offset);
/* -1 when the key is not there. */
int64_t offset_map_get(const struct offset_map *m, struct slice key);
size_t offset_map_count(const struct offset_map *m);

#endif
