/*
 * partition_state.h - the inside of a partition, for this room alone.
 */
#ifndef KLAMM_REPLICA_PARTITION_STATE_H
#define KLAMM_REPLICA_PARTITION_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <urcu/rculfhash.h>

#include "base/conf.h"
#include "base/lock.h"
#include "base/rcu.h"
#include "cluster/metadata.h"
#include "replica/isr.h"
#include "replica/partition.h"
#include "replica/throttle.h"

/* What all partitions of a broker share; outlives them. */
struct partition_context {
	int32_t broker_id; /* ours */
	struct env *env;
	struct conf_store *conf;
	struct metadata *metadata;
	struct throttle *leader_throttle, *follower_throttle;
	/*
	 * The partition has a proposal for its ISR. Under its lock: may only post. partition_get()
	 * keeps it.
	 */
	void (*on_proposal)(void *arg, struct partition *p);
	void *arg;
};

struct partition {
	struct cds_lfht_node node; /* in the manager's table */
	struct rcu_head rcu;
	_Atomic int32_t references;
	uint64_t hash;
	char *topic;
	int32_t number;
	const struct partition_context *context;
	_Atomic bool throttled_as_leader, throttled_as_follower; /* on this broker, by its topic */
	_Atomic int64_t follower_lag; /* at the last answer of our leader; -1: none yet */

	struct lock lock;
	pthread_cond_t appends_over;
	/* All below under lock. */
	int32_t leader, leader_epoch, partition_epoch, controller_epoch;
	int32_t led_since_epoch; /* our leadership, unbroken since; while we lead */
	int64_t epoch_start_offset;
	int32_t *replicas;
	int32_t replica_count;
	struct isr isr; /* while we lead */
	int32_t min_insync_replicas;
	struct uuid topic_id;
	struct log *log;           /* counted; NULL until loaded or created */
	bool offline;              /* its directory failed */
	bool deleted;              /* taken out: nobody finds it any more */
	bool changing;             /* a leader that stays takes a new epoch: appends wait */
	int32_t appending;         /* appends outside the lock */
	int64_t unannounced_bytes; /* appended, not yet readable */
	struct partition_waiter *waiters[PARTITION_WAIT_COUNT];
	struct partition_watch *watches;
};

/* What the controller decided, from LeaderAndIsr. Arrays are copied. */
struct partition_decision {
	int32_t controller_epoch, leader, leader_epoch, partition_epoch;
	const int32_t *isr, *replicas;
	int32_t isr_count, replica_count;
	struct uuid topic_id;
};

/* One reference, the caller's. NULL without memory. */
struct partition *partition_new(const struct partition_context *context, const char *topic,
				int32_t number);
/* Takes a reference if there still is one. */
bool partition_try_get(struct partition *p);

/*
 * Carries a decision out; log is counted here, NULL when it is still being loaded (the decision is
 * kept and partition_set_log() completes it). Blocks. 0, or -errno / K_... of the log.
 */
MUST_CHECK int partition_decide(struct partition *p, const struct partition_decision *decision,
				struct log *log, int64_t checkpointed_high_watermark);
/* The log was loaded after the decision had come. */
MUST_CHECK int partition_set_log(struct partition *p, struct log *log,
				 int64_t checkpointed_high_watermark);
/* No leader and no follower any more: whoever waits is woken. deleted: the log is let go. */
void partition_stop(struct partition *p, bool deleted);
void partition_set_offline(struct partition *p);
void partition_set_min_insync_replicas(struct partition *p, int32_t min_insync_replicas);

/* Whether the topic's lists name this broker's replica. */
void partition_set_throttled(struct partition *p, bool leader, bool follower);

/* ---- under the lock ---- */

bool partition_leads(const struct partition *p);
void partition_wake_all(struct partition *p, enum partition_wait kind, int64_t bytes);
/* Everybody looks again at who leads and who is in sync. */
void partition_wake_everybody(struct partition *p);
/* min.insync.replicas, or as many as there are. */
int32_t partition_effective_min_isr(const struct partition *p);
bool partition_isr_suffices(const struct partition *p);
void partition_advance_high_watermark(struct partition *p);
/* While we lead: the smallest log start offset of the living replicas. */
int64_t partition_low_watermark(struct partition *p);

/* ---- the ISR ---- */

/* Proposes to leave out who has fallen behind for too long. */
void partition_shrink_isr(struct partition *p);

/* What is to be proposed to the controller. */
struct partition_proposal {
	int32_t proposal_epoch, leader_epoch, partition_epoch;
	struct uuid topic_id;
	int32_t *members; /* malloc()ed, the caller's */
	int64_t *epochs;  /* the same: the members' broker epochs, -1 where not known */
	int32_t member_count;
};
/* False: nothing is proposed any more. */
bool partition_proposal(struct partition *p, struct partition_proposal *ret_proposal);

/* What the controller answered for the partition. */
struct partition_committed {
	int32_t leader_epoch, partition_epoch;
	const int32_t *isr;
	int32_t isr_count;
};
/*
 * error 0: committed says what holds now. Returns true when the proposal is to be sent again.
 * Source  zookeeper-and-controller, section 4.7.
 */
bool partition_proposal_answered(struct partition *p, int32_t proposal_epoch, int error,
				 const struct partition_committed *committed);

/* ---- following ---- */

/*
 * Each is for the fetcher that follows at leader_epoch: K_FENCED_LEADER_EPOCH when the partition
 * has another by now, or leads. They wait for no one but the disk.
 */

/* Where to begin: the offset, and the epoch of the last record (-1: none). */
MUST_CHECK int partition_begin_following(struct partition *p, int32_t leader_epoch,
					 int64_t *ret_offset, int32_t *ret_epoch);
/*
 * Appends what the leader sent and takes over its high watermark and log start offset. ret_offset
 * and ret_epoch as above. Errors also as of log_append_as_follower().
 */
MUST_CHECK int partition_append_as_follower(struct partition *p, int32_t leader_epoch,
					    struct slice records, int64_t high_watermark,
					    int64_t log_start_offset, int64_t *ret_offset,
					    int32_t *ret_epoch);
/*
 * The leader's history parted from ours: it has end_offset as the end of epoch. Cuts back as far as
 * is known; ret_offset and ret_epoch as in partition_begin_following().
 */
MUST_CHECK int partition_truncate(struct partition *p, int32_t leader_epoch, int32_t epoch,
				  int64_t end_offset, int64_t *ret_offset, int32_t *ret_epoch);
/* Cuts back to offset; what is below the log start offset starts anew there. */
MUST_CHECK int partition_truncate_to(struct partition *p, int32_t leader_epoch, int64_t offset,
				     bool start_anew);

/* Counts what a leader sent, where the partition is throttled. */
void partition_took_from_leader(struct partition *p, int64_t bytes);
bool partition_is_throttled_as_follower(const struct partition *p);

#endif
