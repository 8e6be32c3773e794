/*
 * group_offsets.h - the offsets that one group has committed.
 *
 * An offset is pending from the moment its record is sent to the log until the log has
 * acknowledged it; transactional ones until their transaction ends. Where several records of one
 * partition meet, that with the higher offset in __consumer_offsets wins, however late the
 * acknowledgement or the transaction's marker comes.
 *
 * Threads    one at a time: the coordinator's lock.
 * Memory     a process without memory aborts.
 * Source     wire-protocol, section 15; storage-format, section 12.2.
 */
#ifndef KLAMM_GROUP_GROUP_OFFSETS_H
#define KLAMM_GROUP_GROUP_OFFSETS_H

#include "base/map.h"

struct committed_offset {
	int64_t offset;
	int64_t commit_timestamp_ms;
	int64_t expire_timestamp_ms; /* -1: by the group's rules */
	int64_t batch_offset;        /* of its record's batch in __consumer_offsets */
	struct str metadata;         /* never null */
	int32_t leader_epoch;        /* -1: unknown */
};

/* Zero-initialised is empty. */
struct group_offsets {
	struct map topics;    /* name -> struct offsets_topic */
	struct map producers; /* producer id -> struct offsets_producer */
	size_t committed_count;
	size_t pending_count; /* of both kinds */
};

void group_offsets_fini(struct group_offsets *go);

/* A record was read or acknowledged. An older one than what is there has no effect. */
void group_offsets_put(struct group_offsets *go, struct str topic, int32_t partition,
		       const struct committed_offset *committed);
/* A record was sent to the log. */
void group_offsets_begin(struct group_offsets *go, struct str topic, int32_t partition);
/* The end of what group_offsets_begin() began: committed, or NULL when it failed. */
void group_offsets_end(struct group_offsets *go, struct str topic, int32_t partition,
		       const struct committed_offset *committed);

/* The same for a transaction, by its producer. */
void group_offsets_txn_put(struct group_offsets *go, int64_t producer_id, struct str topic,
			   int32_t partition, const struct committed_offset *committed);
void group_offsets_txn_end(struct group_offsets *go, int64_t producer_id, bool commit);
bool group_offsets_txn_open(const struct group_offsets *go, int64_t producer_id);

struct offset_view {
	bool is_committed;                 /* else the rest is not set */
	bool is_unstable;                  /* a newer one is pending; always set */
	struct committed_offset committed; /* metadata lives until the next change */
};
void group_offsets_look(const struct group_offsets *go, struct str topic, int32_t partition,
			struct offset_view *ret_view);

/* Forgets all about a partition. Returns true when an offset was committed. */
bool group_offsets_remove(struct group_offsets *go, struct str topic, int32_t partition);

/* Committed or pending. */
bool group_offsets_any(const struct group_offsets *go);

typedef void group_offsets_fn(void *arg, struct str topic, int32_t partition,
			      const struct offset_view *view);
/* Calls fn for each partition with an offset, committed or pending; topics in no order. */
void group_offsets_each(const struct group_offsets *go, group_offsets_fn *fn, void *arg);

/*
 * Takes out the committed offsets that nothing is pending for and that pick() chooses, and calls
 * fn for each before it goes.
 */
typedef bool group_offsets_pick(void *arg, struct str topic,
				const struct committed_offset *committed);
void group_offsets_take(struct group_offsets *go, group_offsets_pick *pick, void *pick_arg,
			group_offsets_fn *fn, void *arg);

#endif
