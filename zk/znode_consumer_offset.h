/*
 * znode_consumer_offset.h - /consumers/<group>/offsets/<topic>/<partition>: where consumers from
 * before 0.9 keep their offsets, as decimal text.
 *
 * Source  zookeeper-and-controller, section 1; wire-protocol, section 15.1, version 0.
 */
#ifndef KLAMM_ZK_ZNODE_CONSUMER_OFFSET_H
#define KLAMM_ZK_ZNODE_CONSUMER_OFFSET_H

#include "zk/znode.h"

/* Creates or replaces. -EINVAL: the group's name cannot be part of a path. */
MUST_CHECK int znode_consumer_offset_write(struct zk *zk, const char *group, const char *topic,
					   int32_t partition, int64_t offset);
/* -ENOENT: there is none; -EBADMSG: it is no number. */
MUST_CHECK int znode_consumer_offset_read(struct zk *zk, const char *group, const char *topic,
					  int32_t partition, int64_t *ret_offset);

#endif
