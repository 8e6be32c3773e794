/*
 * meta_properties.h - meta.properties: which cluster and which broker a log directory belongs to.
 *
 * Java properties, version 0 as ZooKeeper brokers write it. Keys that we do not know are kept.
 *
 * Source  storage-format, section 9: Kafka's MetaProperties.
 */
#ifndef KLAMM_STORAGE_META_PROPERTIES_H
#define KLAMM_STORAGE_META_PROPERTIES_H

#include "base/bytes.h"
#include "base/env.h"

#define META_PROPERTIES_NAME "meta.properties"

struct meta_property {
	char *key;
	char *value;
};

/* Zero-initialised is empty. All properties in the file's order, unescaped. */
struct meta_properties {
	struct meta_property *items;
	size_t count;
};

void meta_properties_fini(struct meta_properties *mp);
/* NULL when there is no such key. */
const char *meta_properties_get(const struct meta_properties *mp, const char *key);
/* Sets or adds; -ENOMEM. */
MUST_CHECK int meta_properties_set(struct meta_properties *mp, const char *key, const char *value);
/* Reads text; -EINVAL when it is not properties, -ENOMEM. */
MUST_CHECK int meta_properties_parse(struct slice text, struct meta_properties *ret_mp);
/* Appends the text to out, with `comment` as its first line. */
void meta_properties_format(const struct meta_properties *mp, const char *comment, struct buf *out);
/* -ENOENT when there is none, -EINVAL when it cannot be parsed. */
MUST_CHECK int meta_properties_read(struct env *env, int dir_fd, struct meta_properties *ret_mp);
MUST_CHECK int meta_properties_write(struct env *env, int dir_fd, const struct meta_properties *mp);

#endif
