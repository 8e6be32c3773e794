/*
 * partition_metadata.h - partition.metadata: the topic id of the partition in this directory.
 *
 *	version: 0
 *	topic_id: <22 characters>
 *
 * Threads  any.
 * Source   storage-format, section 9: Kafka's PartitionMetadataFile.
 */
#ifndef KLAMM_STORAGE_PARTITION_METADATA_H
#define KLAMM_STORAGE_PARTITION_METADATA_H

#include "base/env.h"

#define PARTITION_METADATA "partition.metadata"

/* -EINVAL: no such file's text, another version, or the id that means none. */
MUST_CHECK int partition_metadata_parse(struct slice text, struct uuid *ret_id);
/* dir: below dir_fd. -ENOENT when there is no file. */
MUST_CHECK int partition_metadata_read(struct env *env, int dir_fd, const char *dir,
				       struct uuid *ret_id);
/* Safe against a crash. */
MUST_CHECK int partition_metadata_write(struct env *env, int dir_fd, const char *dir,
					const struct uuid *id);

#endif
