/*
 * coordinator.h - this broker as the coordinator of groups: those whose partition of
 * __consumer_offsets it leads.
 *
 * It gives the decisions of group.h a lock, a clock and a log. Each partition of the topic has one
 * lock (LOCK_GROUPS), under which an event is decided and what follows from it is written: the
 * order in the log is the order of the decisions. A partition is loaded when we begin to lead it,
 * and forgotten when we end.
 *
 * What waits is told by group_wait: JoinGroup for the other members, SyncGroup for the leader's
 * assignment, a commit for the replicas. A request costs the same however many groups there are.
 *
 * Threads  any. Timers and late acknowledgements run on the reactor of the settings; partitions are
 *          loaded and expired offsets removed on the workers.
 * Source   wire-protocol, sections 14 and 15; Kafka's GroupCoordinator, GroupMetadataManager.
 */
#ifndef KLAMM_GROUP_COORDINATOR_H
#define KLAMM_GROUP_COORDINATOR_H

#include <stdatomic.h>

#include "base/conf.h"
#include "base/metrics.h"
#include "base/workers.h"
#include "cluster/metadata.h"
#include "group/group.h"
#include "net/reactor.h"
#include "replica/replica_manager.h"

struct group_coordinator;
struct group_memory;

/* All outlive the coordinator. */
struct group_coordinator_settings {
	struct env *env;
	struct conf_store *conf;
	struct metadata *metadata;
	struct replica_manager *replicas;
	struct reactor *reactor;
	struct workers *workers;
};

MUST_CHECK int group_coordinator_open(const struct group_coordinator_settings *settings,
				      struct group_coordinator **ret_coordinator);
/*
 * Forgets all groups; whoever waits is told K_NOT_COORDINATOR, and from now on everybody is. Before
 * the listeners are closed; never on a reactor's thread.
 */
void group_coordinator_shut_down(struct group_coordinator *gc);
/* After the reactors and the workers have ended. Accepts NULL. */
void group_coordinator_close(struct group_coordinator *gc);

/* The partition of __consumer_offsets that a group belongs to. */
int32_t group_coordinator_partition(struct group_coordinator *gc, struct str group_id);

/* ---- told by the replica manager ---- */

/* We lead the partition from now on: its groups are loaded. */
void group_coordinator_lead(struct group_coordinator *gc, int32_t partition, int32_t leader_epoch);
void group_coordinator_resign(struct group_coordinator *gc, int32_t partition);
/* A topic is being deleted: offsets of these partitions go. */
void group_coordinator_forget_topic(struct group_coordinator *gc, struct str topic,
				    const int32_t *partitions, int32_t count);

/* ---- requests ---- */

/*
 * One request that may have to wait. Owned by whoever asks, who sets wake; the result is there once
 * done is true, and its texts live until group_wait_fini().
 */
struct group_wait {
	/* Called with the group's lock held, unless the result is there at once. */
	void (*wake)(struct group_wait *wait);
	_Atomic bool done;
	bool waits; /* the coordinator's */
	struct group_memory *memory;
	union {
		struct group_joined joined;
		struct group_synced synced;
		int error; /* of a commit */
	};
};

void group_wait_fini(struct group_wait *wait);

/*
 * Errors of all that follow, beside their own: K_COORDINATOR_LOAD_IN_PROGRESS and
 * K_NOT_COORDINATOR.
 */

/* join->waiter is set here. */
void group_coordinator_join(struct group_coordinator *gc, struct str group_id,
			    struct group_join *join, struct group_wait *wait);
void group_coordinator_sync(struct group_coordinator *gc, struct str group_id,
			    struct group_sync *sync, struct group_wait *wait);
MUST_CHECK int group_coordinator_heartbeat(struct group_coordinator *gc, struct str group_id,
					   const struct group_identity *from);

struct group_leaving {
	struct str member_id, instance_id, reason;
	int error; /* set here */
};
MUST_CHECK int group_coordinator_leave(struct group_coordinator *gc, struct str group_id,
				       struct group_leaving *members, int32_t count);

struct offset_to_commit {
	struct str topic;
	int32_t partition;
	struct committed_offset committed; /* but for batch_offset */
};
/* offsets stay the caller's and unchanged until done. */
void group_coordinator_commit(struct group_coordinator *gc, struct str group_id,
			      const struct group_identity *from, struct offset_to_commit *offsets,
			      int32_t count, struct group_wait *wait);

/* K_GROUP_ID_NOT_FOUND, K_NON_EMPTY_GROUP. */
MUST_CHECK int group_coordinator_delete(struct group_coordinator *gc, struct str group_id);

struct offset_to_delete {
	struct str topic;
	int32_t partition;
	int error; /* in: not 0 passes it over; set here: K_GROUP_SUBSCRIBED_TO_TOPIC */
};
MUST_CHECK int group_coordinator_delete_offsets(struct group_coordinator *gc, struct str group_id,
						struct offset_to_delete *offsets, int32_t count);

/* Calls look() under the lock, with NULL when there is no such group. It must not call back. */
typedef void group_look_fn(void *arg, struct group *g);
MUST_CHECK int group_coordinator_look(struct group_coordinator *gc, struct str group_id,
				      group_look_fn *look, void *arg);
/* Calls look() for all groups. K_COORDINATOR_LOAD_IN_PROGRESS when some are not loaded yet. */
int group_coordinator_each(struct group_coordinator *gc, group_look_fn *look, void *arg);

#endif
