/*
 * coordinator_internal.h - the inside of the coordinator, for the files coordinator*.c.
 */
#ifndef KLAMM_GROUP_COORDINATOR_INTERNAL_H
#define KLAMM_GROUP_COORDINATOR_INTERNAL_H

#include "base/lock.h"
#include "base/map.h"
#include "group/coordinator.h"
#include "wire/record_batch_builder.h"

enum shard_state { SHARD_IDLE, SHARD_LOADING, SHARD_ACTIVE };

/* One partition of __consumer_offsets. Made when it is first led, freed with the coordinator. */
struct group_shard {
	struct group_coordinator *gc;
	int32_t partition;
	struct lock lock;
	/* All below under lock. */
	enum shard_state state;
	uint64_t load_id;  /* of the load that counts: an older one is of no use any more */
	struct map groups; /* id -> struct shard_group */
	uint64_t last_serial;
	struct timers timers;
	struct offsets_write *writes; /* that wait for the log's acknowledgement */
	int64_t wake_at_ms;           /* when the reactor has been asked to look */
	/* The reactor's thread. */
	struct timer wake;
};

struct shard_group {
	struct group_shard *shard;
	struct group *group;
	uint64_t serial;    /* in the shard: a later group of the same id has another */
	struct timer timer; /* the group's next deadline, in the shard's */
};

struct group_coordinator {
	struct group_coordinator_settings settings;
	struct group_settings group_settings;
	struct lock lock;            /* LOCK_GROUP_COORDINATOR: the table of shards, the jobs */
	struct group_shard **shards; /* by partition; NULL where none was ever led */
	int32_t shard_count;
	struct timer cleanup; /* the reactor's thread */
	_Atomic bool shut_down;
	int32_t jobs; /* on the workers; under lock */
	pthread_cond_t jobs_over;
	_Atomic bool cleanup_runs;
	struct metric *rebalances, *commits, *expired, *skipped_records;
	struct histogram *commit_time, *load_time;
};

/* Memory of answers, shared by those who got one from the same event. */
struct group_memory {
	_Atomic int32_t references;
	struct arena arena;
};

/* ---- coordinator.c ---- */

struct group_now coordinator_now(struct group_coordinator *gc);
/* NULL: never led. */
struct group_shard *coordinator_shard(struct group_coordinator *gc, int32_t partition, bool make);
/* Runs fn(arg) on a worker; the coordinator's shut-down waits for it. */
void coordinator_submit(struct group_coordinator *gc, mailbox_fn *fn, void *arg);
/*
 * The group's shard, locked when 0 is returned; ret_group is NULL when there is no such group.
 * K_COORDINATOR_LOAD_IN_PROGRESS, K_NOT_COORDINATOR; K_INVALID_GROUP_ID for one with a NUL in it.
 */
MUST_CHECK int coordinator_enter(struct group_coordinator *gc, struct str group_id,
				 struct group_shard **ret_shard, struct shard_group **ret_group);
int32_t coordinator_shard_count(struct group_coordinator *gc);
/* The result is in wait: tells whoever waits. With the lock, or before the caller could wait. */
void wait_done(struct group_wait *wait);
/* All below with the shard's lock. */
struct shard_group *shard_find(struct group_shard *shard, struct str group_id);
struct shard_group *shard_add(struct group_shard *shard, struct group *group);
void shard_remove(struct shard_group *sg);
/*
 * Carries out what an event of the group brought, sets its next timer, and frees the effects. Last
 * of all that is done with an event.
 */
void shard_apply(struct shard_group *sg, struct group_effects *fx);
/* Sees to it that the reactor looks when the next timer is due. */
void shard_set_wake(struct group_shard *shard);
void shard_unload(struct group_shard *shard);

/* ---- coordinator_store.c ---- */

/* A batch that was appended and waits for the replicas, or for the disk. */
struct offsets_write {
	struct offsets_write *next, **prev; /* in the shard; under its lock */
	struct group_shard *shard;
	struct partition_waiter waiter;
	struct partition *partition; /* counted */
	int64_t batch_offset, end_offset;
	int32_t leader_epoch;
	_Atomic int32_t references;
	_Atomic bool posted, flush_pending;
	_Atomic int flush_status;
	bool acks_pending, ended;
	struct timer timeout; /* the reactor's thread */
	/* Under the shard's lock, with the status as the log gave it; the write is freed after. */
	void (*done)(struct offsets_write *write, int st);
	char *group_id;
	uint64_t group_serial;
	uint64_t store_id;                /* of a group's record */
	struct offset_to_commit *offsets; /* of a commit */
	int32_t offset_count;
	struct group_wait *wait;
	int64_t started_us;
};

/*
 * What a client is told of a record that the log refused; too_large is for one that is.
 * Kafka: GroupMetadataManager.maybeConvertOffsetCommitError, storeGroup.
 */
int coordinator_store_error(int st, int too_large);
void shard_init_builder(struct group_shard *shard, struct record_batch_builder *b);
/*
 * Appends the builder's batch and frees the builder. write (may be NULL: nobody waits) is kept
 * when PARTITION_STILL_WAITING is returned, and its done() called later.
 *
 * ret_batch_offset  set on 0
 * 0 when the log has acknowledged it; else as partition_append().
 */
MUST_CHECK int shard_append(struct group_shard *shard, struct record_batch_builder *b,
			    const struct offsets_write *write, int64_t *ret_batch_offset);
/* The group that the write is of, unless it is gone. With the shard's lock. */
struct shard_group *write_group(const struct offsets_write *write);
/* Writes the group's record; group_stored() is called now (with fx) or later. */
void shard_store_group(struct shard_group *sg, uint64_t store_id, struct group_effects *fx);
/* Ends all writes that wait. On the reactor's thread. */
void shard_abandon_writes(struct group_shard *shard, int st);

/* ---- coordinator_load.c ---- */

void shard_begin_load(struct group_shard *shard);

/* ---- coordinator_cleanup.c ---- */

void coordinator_start_cleanup(struct group_coordinator *gc);
void coordinator_stop_cleanup(struct group_coordinator *gc);

/* ---- coordinator_metrics.c ---- */

void coordinator_add_metrics(struct group_coordinator *gc);

#endif
