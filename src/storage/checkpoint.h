/*
 * checkpoint.h - Kafka's small text files of offsets.
 *
 *	0				version
 *	2				number of lines that follow
 *	orders 0 1523			topic, partition, offset
 *	orders 1 77
 *
 * recovery-point-, log-start-, replication- and cleaner-offset-checkpoint of a log directory have
 * this form; leader-epoch-checkpoint (leader_epochs.h) has "epoch offset" lines. A file that is not
 * there, is empty, or has only its version line holds nothing.
 *
 * Threads  one at a time.
 * Source   storage-format, section 9: Kafka's CheckpointFile, OffsetCheckpointFile.
 */
#ifndef KLAMM_STORAGE_CHECKPOINT_H
#define KLAMM_STORAGE_CHECKPOINT_H

#include "base/env.h"
#include "base/map.h"

#define CHECKPOINT_RECOVERY_POINT "recovery-point-offset-checkpoint"
#define CHECKPOINT_LOG_START "log-start-offset-checkpoint"
#define CHECKPOINT_HIGH_WATERMARK "replication-offset-checkpoint"
#define CHECKPOINT_CLEANER "cleaner-offset-checkpoint"

/* One line without its end. Returns 0, or -errno, which ends the reading. */
typedef int checkpoint_line_fn(void *arg, const char *line);

/*
 * Gives every line to fn. -EINVAL: wrong version, count or an impossible size; -ENOMEM; what fn
 * returned.
 */
MUST_CHECK int checkpoint_parse(struct slice text, checkpoint_line_fn *fn, void *arg);
/*
 * Replaces the file. lines: `count` lines, each ended.
 * sync  safe against a loss of power, as env_replace_file(); without it, only against the end of
 * the process, and `name` may be a path
 */
MUST_CHECK int checkpoint_write(struct env *env, int dir_fd, const char *name, size_t count,
				const struct buf *lines, bool sync);

/*
 * A table of offsets by partition. Zero-initialised is empty.
 */
struct offset_table {
	struct map offsets; /* "orders-0" -> offset + 1, as a pointer */
};

void offset_table_fini(struct offset_table *t);
/* False when the partition is not in it. */
bool offset_table_get(const struct offset_table *t, const char *topic, int32_t partition,
		      int64_t *ret_offset);
MUST_CHECK int offset_table_put(struct offset_table *t, const char *topic, int32_t partition,
				int64_t offset);
void offset_table_remove(struct offset_table *t, const char *topic, int32_t partition);
/* Reads a file; one that is not there gives an empty table. */
MUST_CHECK int offset_table_read(struct env *env, int dir_fd, const char *name,
				 struct offset_table *ret_table);
MUST_CHECK int offset_table_parse(struct slice text, struct offset_table *ret_table);
/* Appends the lines of a file to lines, whose `failed` tells of want of memory. */
void offset_table_format(const struct offset_table *t, struct buf *lines, size_t *ret_count);
MUST_CHECK int offset_table_write(struct env *env, int dir_fd, const char *name,
				  const struct offset_table *t);

#endif
