/*
 * truncation.h - where the histories of a leader and a follower part.
 *
 * A history is a row of leader epochs and the offset at which each ends. A follower names the epoch
 * of its last record; the leader says when its own history has no such record, and where it parted
 * as far as it can tell. The follower cuts its log back and asks again.
 *
 * This module decides and does not act.
 *
 * Source   zookeeper-and-controller, section 5.6; KIP-101, KIP-279, KIP-595: Kafka's
 *          AbstractFetcherThread.getOffsetTruncationState.
 */
#ifndef KLAMM_REPLICA_TRUNCATION_H
#define KLAMM_REPLICA_TRUNCATION_H

#include "base/bytes.h"

/* The largest epoch of a history that is not above one asked for, and its end; -1: none. */
struct epoch_end {
	int32_t epoch;
	int64_t end_offset;
};

/* The leader: ours is what our history says of the last epoch that a follower has. */
bool truncation_diverges(int32_t last_fetched_epoch, int64_t fetch_offset, struct epoch_end ours);

/*
 * The follower: what stays of a log that ends at log_end_offset, when the leader's history has
 * `theirs` and ours, asked for the same epoch, `ours`. Of an epoch that we do not know the next
 * fetch asks again, from the one before.
 */
int64_t truncation_end(struct epoch_end theirs, struct epoch_end ours, int64_t log_end_offset);

#endif
