/*
 * znode.h - what the files of the single kinds of znode share: strict JSON and text.
 *
 * Kafka decodes strictly: where an integer belongs, a string is an error, and the reverse. Unknown
 * keys are ignored. A payload that does not decode is -EBADMSG.
 *
 * Source  zookeeper-and-controller, section 1.1.
 */
#ifndef KLAMM_ZK_ZNODE_H
#define KLAMM_ZK_ZNODE_H

#include <jansson.h>

#include "zk/zk.h"

/* Paths are built into arrays of this size; a topic name has at most 249 bytes. */
#define ZNODE_PATH_MAX 640

/* Creates the persistent nodes that every broker makes sure of at its start. Pipelined. */
MUST_CHECK int znode_ensure_structure(struct zk *zk);

/* The object in a node's value, or NULL when it is not one. */
json_t *znode_parse(struct slice value);
/* Compact text of the object, which is released. *out is failed without memory. */
void znode_format(json_t *object, struct buf *out);
/* 0 or -EBADMSG where the key is missing or of another type or out of range. */
MUST_CHECK int znode_get_int(const json_t *object, const char *key, int32_t *ret_number);
MUST_CHECK int znode_get_text(const json_t *object, const char *key, const char **ret_text);

/* An array of integers. The caller frees *ret_ids. */
MUST_CHECK int znode_get_ids(const json_t *array, int32_t **ret_ids, int32_t *ret_count);
json_t *znode_ids(const int32_t *ids, int32_t count);

#endif
