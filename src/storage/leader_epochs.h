/*
 * leader_epochs.h - which leader epoch began at which offset: leader-epoch-checkpoint.
 *
 * Entries (epoch, start offset) rise in both. What is in memory is the truth; leader_epochs_write()
 * makes the file follow.
 *
 * Threads  under the log's lock.
 * Source   storage-format, section 15; Kafka's LeaderEpochFileCache, KIP-101, KIP-279.
 */
#ifndef KLAMM_STORAGE_LEADER_EPOCHS_H
#define KLAMM_STORAGE_LEADER_EPOCHS_H

#include "base/env.h"

#define LEADER_EPOCH_CHECKPOINT "leader-epoch-checkpoint"

struct leader_epoch_entry {
	int64_t start_offset;
	int32_t epoch;
};

/* Zero-initialised is empty. */
struct leader_epochs {
	struct leader_epoch_entry *entries;
	uint32_t count;
	uint32_t cap;
	bool changed; /* since the file was read or written */
};

void leader_epochs_fini(struct leader_epochs *le);
/*
 * `epoch` begins at start_offset. Nothing happens when it is the latest epoch already and does not
 * begin earlier; otherwise entries that contradict it go. Negative ones are ignored.
 */
MUST_CHECK int leader_epochs_assign(struct leader_epochs *le, int32_t epoch, int64_t start_offset);
/* -1 when there is none. */
int32_t leader_epochs_latest(const struct leader_epochs *le);
/* The epoch that the record at offset has; -1 when that cannot be told. */
int32_t leader_epochs_of_offset(const struct leader_epochs *le, int64_t offset);
/* As log_end_offset_for_epoch(). */
void leader_epochs_end_offset(const struct leader_epochs *le, int32_t epoch, int64_t log_end_offset,
			      int32_t *ret_epoch, int64_t *ret_offset);
/* Drops entries that start at end_offset or above. */
void leader_epochs_truncate_from_end(struct leader_epochs *le, int64_t end_offset);
/* Nothing below start_offset is left: the entry that covers it starts there now. */
void leader_epochs_truncate_from_start(struct leader_epochs *le, int64_t start_offset);
void leader_epochs_clear(struct leader_epochs *le);

/* -EINVAL when the text is no such file. */
MUST_CHECK int leader_epochs_parse(struct slice text, struct leader_epochs *ret_epochs);
/* path: below dir_fd. A file that is not there holds nothing. */
MUST_CHECK int leader_epochs_read(struct env *env, int dir_fd, const char *path,
				  struct leader_epochs *ret_epochs);
/*
 * In the page cache on return: becoming leader of 10,000 partitions must not wait for as many
 * fsyncs. The log fsyncs the file before its recovery point passes what is new in it.
 */
MUST_CHECK int leader_epochs_write(struct leader_epochs *le, struct env *env, int dir_fd,
				   const char *path);

#endif
