/*
 * producer_state.h - what a log knows of its producers: the last batches of idempotent ones, open
 * and completed transactions, and from them the last stable offset.
 *
 * An append asks producer_state_check() before anything is written, and tells
 * producer_state_update() after, batch by batch. A follower and recovery only tell.
 *
 * Invariants
 * 1. Everything follows from the batches below end_offset, except what expired and verifications.
 * 2. Open transactions are sorted by first offset; so are completed ones, which stay until the
 *    high watermark has passed their marker.
 *
 * Threads  under the log's lock.
 * Source   storage-format, section 11: Kafka's ProducerStateManager, ProducerAppendInfo,
 *          ProducerStateEntry; KIP-98, KIP-890.
 */
#ifndef KLAMM_STORAGE_PRODUCER_STATE_H
#define KLAMM_STORAGE_PRODUCER_STATE_H

#include "base/map.h"
#include "wire/record_batch.h"

/* How many batches of a producer a duplicate is looked for in. */
#define PRODUCER_BATCHES 5

struct producer_batch {
	int64_t last_offset;
	int64_t timestamp_ms;
	int32_t last_sequence;
	int32_t offset_delta; /* last offset - first offset */
};

struct producer {
	int64_t producer_id;
	int64_t last_timestamp_ms;
	int64_t txn_first_offset; /* of the open transaction, -1 for none */
	int32_t coordinator_epoch;
	int16_t epoch; /* -1: nothing known yet */
	uint8_t batch_count;
	uint8_t newest; /* index of the newest batch */
	struct producer_batch batches[PRODUCER_BATCHES];
};

struct producer_txn {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset; /* the marker's; -1 while it is open */
};

struct txn_list {
	struct producer_txn *txns;
	uint32_t count;
	uint32_t cap;
};

/* Zero-initialised is empty. */
struct producer_state {
	struct map producers;     /* producer id -> struct producer */
	struct map verifications; /* producer id -> struct verification */
	struct txn_list open;
	struct txn_list completed; /* the marker is not below the high watermark yet */
	int64_t end_offset;        /* batches below it are counted in */
};

enum producer_origin { PRODUCER_CLIENT, PRODUCER_COORDINATOR };

/* A transaction that a marker ended. */
struct completed_txn {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset; /* the marker's */
	bool aborted;
};

void producer_state_fini(struct producer_state *ps);
/* Forgets all; the next batch is expected at end_offset. */
void producer_state_clear(struct producer_state *ps, int64_t end_offset);
size_t producer_state_count(const struct producer_state *ps);

/*
 * May this batch be appended? Also makes sure that producer_state_update() has the memory for it.
 *
 * batch          with a producer id
 * verify         transaction.partition.verification.enable
 * guard          what the request has for its verification, 0 for none
 * ret_duplicate  set when it is a retry of one of the last batches; the caller answers with that
 *
 * 0, K_INVALID_PRODUCER_EPOCH, K_OUT_OF_ORDER_SEQUENCE_NUMBER, K_INVALID_TXN_STATE,
 * K_TRANSACTION_COORDINATOR_FENCED, K_INVALID_RECORD (a control batch that is no marker), -ENOMEM.
 */
MUST_CHECK int producer_state_check(struct producer_state *ps, const struct record_batch *batch,
				    enum producer_origin origin, bool verify, uint64_t guard,
				    bool *ret_duplicate, struct producer_batch *ret_batch);
/* The append that was checked did not happen: forgets what the check made ready. */
void producer_state_abandon(struct producer_state *ps, const struct record_batch *batch);

/*
 * Counts in a batch that is in the log now. Batches without producer id only move end_offset.
 *
 * base_offset     of the batch as it is in the log
 * ret_completed   filled when the batch is a marker that ended a transaction; then *ret_ended is
 * set -ENOMEM only when the batch was not checked.
 */
MUST_CHECK int producer_state_update(struct producer_state *ps, const struct record_batch *batch,
				     int64_t base_offset, bool *ret_ended,
				     struct completed_txn *ret_completed);
/* Up to where batches of formats without producer ids have moved the log. */
void producer_state_set_end_offset(struct producer_state *ps, int64_t end_offset);

/* For the transaction index: the last stable offset if `txn` alone were over. */
int64_t producer_state_stable_offset_after(const struct producer_state *ps,
					   const struct completed_txn *txn);
/* Offset of the first record that is not decided and replicated; -1 when all are. */
int64_t producer_state_first_unstable_offset(const struct producer_state *ps);
/* Completed transactions whose marker is below offset are history. */
void producer_state_replicated(struct producer_state *ps, int64_t offset);

/*
 * Drops producers without an open transaction whose last batch is expiration_ms old, and as old
 * verifications.
 */
void producer_state_expire(struct producer_state *ps, int64_t now_ms, int64_t expiration_ms);

/* Makes or finds the guard of a producer about which the coordinator is asked. 0 without memory. */
uint64_t producer_state_start_verification(struct producer_state *ps, int64_t producer_id,
					   int16_t epoch, int32_t base_sequence, int64_t now_ms);
bool producer_state_has_open_txn(const struct producer_state *ps, int64_t producer_id);

/* NULL when nothing is known of it. */
const struct producer *producer_state_find(const struct producer_state *ps, int64_t producer_id);
/* Walks all, in no order: *iter begins as NULL. */
const struct producer *producer_state_next(const struct producer_state *ps, struct map_iter *iter);
/* The newest batch; NULL when only a marker is known. */
const struct producer_batch *producer_newest_batch(const struct producer *p);

/* Puts a producer as a snapshot tells it, with one batch at most. -ENOMEM. */
MUST_CHECK int producer_state_load(struct producer_state *ps, const struct producer *p);

#endif
