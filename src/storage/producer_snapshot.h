/*
 * producer_snapshot.h - <offset>.snapshot: the producers' state as of an offset, on disk.
 *
 *	0  2  version 1
 *	2  4  CRC-32C of everything from 6 on
 *	6  4  number of entries, each of 46 bytes:
 *	      producer id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8,
 *	      coordinator epoch 4, first offset of the open transaction 8
 *
 * Of each producer only the newest batch is kept.
 *
 * Threads  one at a time.
 * Source   storage-format, section 11.2: Kafka's ProducerStateManager.writeSnapshot.
 */
#ifndef KLAMM_STORAGE_PRODUCER_SNAPSHOT_H
#define KLAMM_STORAGE_PRODUCER_SNAPSHOT_H

#include "base/env.h"
#include "storage/producer_state.h"

#define SNAPSHOT_SUFFIX ".snapshot"

/* Appends the file's content to out. */
void producer_snapshot_encode(const struct producer_state *ps, struct buf *out);
/*
 * Fills an empty state with what has not expired. -EBADMSG: not a whole snapshot; -ENOMEM.
 */
MUST_CHECK int producer_snapshot_decode(struct slice content, int64_t now_ms, int64_t expiration_ms,
					struct producer_state *ps);

/*
 * Files in a partition's directory, by the path of the directory below dir_fd.
 * write: in the page cache on return; sync: and on the disk.
 */
MUST_CHECK int producer_snapshot_write(struct env *env, int dir_fd, const char *dir, int64_t offset,
				       struct slice content, bool sync);
MUST_CHECK int producer_snapshot_read(struct env *env, int dir_fd, const char *dir, int64_t offset,
				      struct buf *ret_content);
/* 0 also when there is none. */
MUST_CHECK int producer_snapshot_delete(struct env *env, int dir_fd, const char *dir,
					int64_t offset);

#endif
