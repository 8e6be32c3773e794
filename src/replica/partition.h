/*
 * partition.h - one partition on this broker: who leads it, its ISR, its log, and who waits for it.
 *
 * Changes of leadership come from the controller by way of replica_manager.h. Appends and reads
 * come from requests. An append does the heavy work (CRC, checks, recompression, the write) outside
 * the partition's lock; a change of leadership waits until no append is under way, so nothing is
 * ever written under an epoch that has ended.
 *
 * Invariants
 *  1. The high watermark moves only while we lead, and only upwards within one leadership.
 *  2. The high watermark is the smallest log end offset in the maximal ISR (isr.h), and stands
 * still while the ISR is smaller than the effective min.insync.replicas.
 *  3. Whoever waits is woken under the lock by whatever makes his condition true, or by the end of
 *     the leadership.
 *
 * Threads  any; one lock each (LOCK_PARTITION), not held across a disk access.
 * Source   zookeeper-and-controller, sections 5.1 to 5.9: Kafka's Partition.
 */
#ifndef KLAMM_REPLICA_PARTITION_H
#define KLAMM_REPLICA_PARTITION_H

#include "base/bytes.h"
#include "storage/log.h"
#include "wire/missing_replica.h"

struct partition;

#define PARTITION_NO_EPOCH (-1)

/* Counted: partition_put() what replica_manager_get() gave. */
struct partition *partition_get(struct partition *p);
void partition_put(struct partition *p);

const char *partition_topic(const struct partition *p);
int32_t partition_number(const struct partition *p);
/* Zero until it is known. */
struct uuid partition_topic_id(struct partition *p);

/* What a request may need to know, of one moment. */
struct partition_view {
	bool is_leader;
	int32_t leader; /* -1: none */
	int32_t leader_epoch;
	int32_t isr_count;
	int32_t replica_count;
	bool isr_suffices;      /* for min.insync.replicas */
	bool isr_just_suffices; /* losing one more it would not */
	bool is_offline;        /* its log directory failed */
	int64_t follower_lag;   /* records below the leader's high watermark; -1: we lead, or none
				   was fetched yet */
	int64_t epoch_start_offset;     /* of this leadership; -1 when we do not lead */
	bool high_watermark_is_current; /* it has reached epoch_start_offset */
};
void partition_look(struct partition *p, struct partition_view *ret_view);

/*
 * The log, counted, after Kafka's checks of a request:
 *
 * current_leader_epoch  from the request; PARTITION_NO_EPOCH is not checked
 * leader_only           followers answer K_NOT_LEADER_OR_FOLLOWER
 * topic_id              from the request, or NULL; K_INCONSISTENT_TOPIC_ID when the log's differs
 *
 * K_NOT_LEADER_OR_FOLLOWER, K_FENCED_LEADER_EPOCH, K_UNKNOWN_LEADER_EPOCH, K_KAFKA_STORAGE_ERROR.
 */
MUST_CHECK int partition_log(struct partition *p, int32_t current_leader_epoch, bool leader_only,
			     const struct uuid *topic_id, struct log **ret_log);

/*
 * Appends as leader and moves the high watermark as far as it may.
 *
 * required_acks  -1 checks the effective min.insync.replicas first: K_NOT_ENOUGH_REPLICAS
 * append         leader_epoch is filled in here
 *
 * Otherwise as log_append_as_leader(), or K_NOT_LEADER_OR_FOLLOWER.
 */
MUST_CHECK int partition_append(struct partition *p, int16_t required_acks,
				struct log_append *append, struct arena *arena,
				struct log_append_result *ret_result,
				struct log_append_refusal *ret_refusal);

/*
 * A follower fetches from an offset, after a look at leader_end, our log end offset before it was
 * read. It may join the ISR, and the high watermark may move.
 * K_NOT_LEADER_OR_FOLLOWER; K_UNKNOWN_LEADER_EPOCH: it is no replica of this partition.
 *
 * ret_quiet  it is in the ISR and all is acknowledged: a further look from the same offset changes
 *            nothing before the partition stirs (partition_watch)
 */
MUST_CHECK int partition_follower_fetched(struct partition *p, int32_t broker_id,
					  int64_t broker_epoch, int64_t offset,
					  int64_t log_start_offset, int64_t leader_end,
					  bool *ret_quiet);

/*
 * Shall a follower's fetch be answered without records for now? It is throttled, not in sync, and
 * the rate is exceeded. The partition is to be looked at with the follower's next fetch.
 */
bool partition_holds_back(struct partition *p, int32_t follower_id);
/* Counts what was sent to a follower, in sync or not, where the partition is throttled. */
void partition_sent_to_follower(struct partition *p, int64_t bytes);

/*
 * Where a consumer of this rack should rather read from this offset: a broker's id, or -1 for us.
 * Source  zookeeper-and-controller, section 5.12: Kafka's RackAwareReplicaSelector.
 */
int32_t partition_preferred_replica(struct partition *p, struct str rack, int64_t offset);

/*
 * How an acks=all wait for `offset` stands: 1 while it goes on; 0 when the high watermark has
 * reached it; K_NOT_ENOUGH_REPLICAS_AFTER_APPEND, K_NOT_LEADER_OR_FOLLOWER,
 * K_KAFKA_STORAGE_ERROR or K_UNKNOWN_TOPIC_OR_PARTITION when it ended otherwise.
 */
#define PARTITION_STILL_WAITING (-EINPROGRESS)
MUST_CHECK int partition_check_acks(struct partition *p, int64_t offset, int32_t leader_epoch);

/* A replica that is not in the ISR of a partition that we lead. */
struct partition_missing {
	int32_t broker_id;
	enum missing_reason reason;
	int64_t since_ms;      /* by the wall clock */
	bool since_before;     /* since some time before that: we did not lead then */
	int64_t lag;           /* records; -1: not known */
	int64_t last_fetch_ms; /* by the wall clock; -1: none */
};
struct partition_why {
	int32_t leader_epoch, min_isr;
	int32_t *isr;
	int32_t isr_count;
	struct partition_missing *missing;
	int32_t missing_count; /* 0: none is, or we do not lead */
};
/* Which replicas are missing, and why; the arrays are in the arena. 0 or -ENOMEM. */
MUST_CHECK int partition_explain(struct partition *p, struct arena *arena,
				 struct partition_why *ret_why);

enum partition_wait {
	PARTITION_WAIT_ACKS,    /* the high watermark reaches offset, or the leadership ends */
	PARTITION_WAIT_DATA,    /* the high watermark has moved, or the leadership ends */
	PARTITION_WAIT_LOG_END, /* there is more in the log, or the leadership ends: followers */
	/* The low watermark reaches offset as a follower fetches, or the leadership ends. */
	PARTITION_WAIT_LOW_WATERMARK,
	PARTITION_WAIT_COUNT
};

/*
 * One who waits. Owned by him; in at most one partition. wake() is called under the partition's
 * lock, perhaps more than once, on whatever thread made the difference: it may only note the
 * fact and post. It must not call back.
 */
struct partition_waiter {
	struct partition_waiter *next, **prev; /* the partition's */
	struct partition *partition;           /* counted while it waits */
	enum partition_wait kind;
	int64_t offset;
	/* bytes: how many were appended since the last call; 0 for any other reason. */
	void (*wake)(struct partition_waiter *waiter, int64_t bytes);
};

/* Begins to wait. What came true before the call does not wake: look once more after it. */
void partition_wait(struct partition *p, struct partition_waiter *waiter);
/* Ends the wait; no effect when it has ended. After this wake() is not called any more. */
void partition_wait_end(struct partition_waiter *waiter);

/*
 * One who is told of all that happens to a partition for as long as he likes: the fetch session
 * that holds it. Owned by him; in at most one partition.
 */
struct partition_watch {
	struct partition_watch *next, **prev; /* the partition's */
	struct partition *partition;          /* counted while it lasts */
	int32_t follower_id;                  /* who is behind it; -1: a consumer */
	/*
	 * Under the partition's lock, on any thread: may only note the fact and post. what and
	 * bytes are those of the waiters that are woken. Returns the time (env_monotonic_ms) until
	 * which the follower is known to have had everything, or -1.
	 */
	int64_t (*stir)(struct partition_watch *watch, enum partition_wait what, int64_t bytes);
};

/* As partition_wait() and partition_wait_end(). */
void partition_watch(struct partition *p, struct partition_watch *watch);
void partition_watch_end(struct partition_watch *watch);

/*
 * Raises the log start offset (DeleteRecords). offset -1 is the high watermark.
 * ret_offset  which it was raised to, for partition_check_low_watermark()
 * K_OFFSET_OUT_OF_RANGE, K_NOT_LEADER_OR_FOLLOWER, K_POLICY_VIOLATION (cleanup.policy lacks
 * delete).
 */
MUST_CHECK int partition_delete_records(struct partition *p, int64_t offset, int64_t *ret_offset);
/*
 * How a wait for the low watermark stands, as partition_check_acks(). What it waits for may also
 * come true because a broker dies, which the metadata tell.
 * ret_low_watermark  the smallest log start offset over the live replicas; set while it waits, too
 */
MUST_CHECK int partition_check_low_watermark(struct partition *p, int64_t offset,
					     int64_t *ret_low_watermark);

#endif
