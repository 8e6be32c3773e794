/*
 * isr.h - what the leader of a partition knows of its followers, and what it decides from it: who
 * is in sync, how far the high watermark may go, which change of the ISR to propose.
 *
 * This module decides and does not act: offsets, the time and answers go in. The proposal is sent
 * by alter_partition.h; while it is under way no other is made, and the high watermark minds the
 * maximal ISR: whatever the controller may end up committing is part of it.
 *
 * Invariants
 *  1. The high watermark never passes the log end offset of a member of the maximal ISR.
 *  2. At most one proposal is under way.
 *  3. The leader is in its own ISR.
 *
 * Threads  one at a time: the partition's lock.
 * Source   zookeeper-and-controller, sections 5.1, 5.2 and 5.7 to 5.9; Kafka's Partition, Replica.
 */
#ifndef KLAMM_REPLICA_ISR_H
#define KLAMM_REPLICA_ISR_H

#include "base/bytes.h"

#define ISR_UNKNOWN_OFFSET (-1)

struct isr_follower {
	int32_t broker_id;
	bool in_isr;      /* committed */
	bool in_proposal; /* while one is under way: the member that it adds */
	int64_t log_end_offset, log_start_offset; /* ISR_UNKNOWN_OFFSET until it fetches */
	int64_t broker_epoch, proposed_epoch;     /* of its last fetch, when it was proposed; -1 */
	int64_t last_caught_up_ms;
	/* While it is not in the ISR: since when, or (out_before) since some time before that. */
	int64_t out_since_ms;
	bool out_before;
	int64_t last_fetch_ms, last_fetch_leader_end; /* the leader's log end offset then */
};

enum isr_change { ISR_STABLE, ISR_EXPANDING, ISR_SHRINKING };

/* Zero-initialised: no leader. */
struct isr {
	struct isr_follower *followers; /* all other replicas */
	int32_t follower_count;
	bool leads;
	int32_t leader_epoch; /* while we lead */
	enum isr_change change;
	int32_t proposal_epoch; /* counts proposals: an answer to an older one is of no use */
};

void isr_fini(struct isr *isr);

/*
 * We lead, at a new epoch or with another assignment. Followers that stay keep what is known of
 * them when we led before and nobody can have done so in between: otherwise they may have cut their
 * logs back to another's, although we never heard of it. 0 or -ENOMEM.
 */
MUST_CHECK int isr_lead(struct isr *isr, int32_t leader_id, int32_t leader_epoch,
			const int32_t *replicas, int32_t replica_count, const int32_t *members,
			int32_t member_count, int64_t leader_end, int64_t now_ms);
/* We lead no longer. */
void isr_resign(struct isr *isr);

/* A follower fetches from an offset: it has all below. broker_epoch: its own, -1 when it does not
 * tell. leader_end: our log end offset before the read. False: it is no replica of this partition.
 */
bool isr_fetched(struct isr *isr, int32_t broker_id, int64_t broker_epoch, int64_t offset,
		 int64_t log_start_offset, int64_t leader_end, int64_t now_ms);

/*
 * A follower had everything until at_ms: its session fetched without looking here, since there was
 * nothing that it lacked.
 */
void isr_had_all(struct isr *isr, int32_t broker_id, int64_t at_ms);

/* Members of the committed ISR, the leader included. */
int32_t isr_size(const struct isr *isr);
/* Members that an acknowledgement may count on: of the maximal ISR. */
int32_t isr_maximal_size(const struct isr *isr);
bool isr_has(const struct isr *isr, int32_t broker_id);

typedef bool isr_alive_fn(void *arg, int32_t broker_id);

/*
 * The follower that a consumer may read from instead: of those in the ISR that suit() accepts and
 * that hold the offset, the one that is furthest, and of such the one that was so last. -1: none.
 */
typedef bool isr_suit_fn(void *arg, int32_t broker_id);
int32_t isr_preferred_replica(const struct isr *isr, int64_t offset, isr_suit_fn *suit, void *arg);

/* How far the high watermark may go, when the ISR is large enough at all. */
int64_t isr_high_watermark(const struct isr *isr, int64_t leader_end, int64_t lag_max_ms,
			   int64_t now_ms, isr_alive_fn *alive, void *arg);
/* The smallest log start offset of the living followers, or leader_start when that is smaller. */
int64_t isr_low_watermark(const struct isr *isr, int64_t leader_start, isr_alive_fn *alive,
			  void *arg);

/* Each makes a proposal where one is due, and returns whether it did. */
bool isr_propose_expansion(struct isr *isr, int32_t broker_id, int64_t high_watermark,
			   int64_t epoch_start_offset, isr_alive_fn *alive, void *arg);
bool isr_propose_shrink(struct isr *isr, int64_t leader_end, int64_t lag_max_ms, int64_t now_ms);
/* The proposed members, or the committed ones, the leader first; room for all replicas. */
int32_t isr_members(const struct isr *isr, int32_t leader_id, bool proposed, int32_t *ret_members);
/*
 * The broker epochs of the proposed members in the same order, -1 for those that are not known:
 * what a broker had in one life says nothing of its next (KIP-903).
 */
void isr_proposed_epochs(const struct isr *isr, int64_t *ret_epochs);

/* The controller has committed these. */
void isr_commit(struct isr *isr, const int32_t *members, int32_t member_count);
/*
 * It has refused, for this reason. True: the proposal is to be sent again. Otherwise it is given
 * up, or stands until LeaderAndIsr comes, since the controller knows better.
 */
bool isr_refused(struct isr *isr, int error);

#endif
