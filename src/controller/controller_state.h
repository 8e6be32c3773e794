/*
 * controller_state.h - what the active controller knows, and what it decides.
 *
 * Events and facts go in; effects come out, in the order in which they must be carried out. No
 * socket, file, ensemble or clock can be reached from here, so that the same code runs in a test:
 * controller_state_set_time() tells the time of the events that follow it.
 *
 * Each event makes at most one new state for a partition, by one rule (see model_decide() in the .c
 * file), whatever happened: brokers came or went, a topic or partition is new. The actor writes
 * the states and tells what became of each write; controller_state_flush() then gives the requests
 * that tell the brokers.
 *
 * Threads  one: the controller's.
 * Source   zookeeper-and-controller, section 3: Kafka's ControllerContext, PartitionStateMachine,
 *          ReplicaStateMachine, TopicDeletionManager.
 */
#ifndef KLAMM_CONTROLLER_CONTROLLER_STATE_H
#define KLAMM_CONTROLLER_CONTROLLER_STATE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "wire/missing_replica.h"

struct controller_state;

struct controller_endpoint {
	const char *listener, *host;
	int32_t port;
	int16_t protocol;
};

/* Borrowed for a call; copied. */
struct controller_broker {
	int32_t id;
	int64_t epoch;
	const struct controller_endpoint *endpoints;
	size_t endpoint_count;
	const char *rack; /* NULL: none */
};

/* A partition's replicas; borrowed for a call. */
struct controller_assignment {
	int32_t partition;
	const int32_t *replicas, *adding, *removing;
	int32_t replica_count, adding_count, removing_count;
};

/* A partition's state znode; borrowed for a call. */
struct controller_leadership {
	int32_t leader, leader_epoch, controller_epoch;
	const int32_t *isr;
	int32_t isr_count;
	bool recovering;
	int32_t partition_epoch;
	/* Of what a leader wants: its members' broker epochs, -1 where not known; or NULL. */
	const int64_t *isr_epochs;
	int64_t changed_ms; /* of a fact: when the znode was written last, by the wall clock */
};

enum effect_kind {
	/* Write the state znode of a partition; tell controller_state_written(). */
	EFFECT_WRITE_STATE,
	/* All replicas are gone: delete the znodes of the topic; tell controller_state_deleted().
	 */
	EFFECT_DELETE_TOPIC,
	/* The topic to be deleted does not exist: delete the request. */
	EFFECT_DELETE_REQUEST,
	/* Send a request to a broker, in order. */
	EFFECT_SEND,
	/* Put assignments into the znode of a topic; tell controller_state_topic_written(). */
	EFFECT_WRITE_TOPIC,
	/* A reassignment is over, and written: the one assignment. */
	EFFECT_REASSIGNED,
};

struct effect {
	struct effect *next;
	enum effect_kind kind;
	const char *topic;
	int32_t partition;
	/* EFFECT_WRITE_STATE */
	bool create;
	struct controller_leadership state; /* partition_epoch: the version that is replaced */
	/* EFFECT_SEND: a generated request struct, in the effects' arena. */
	int32_t broker_id;
	int16_t api_key;
	const void *request;
	uint64_t deletion; /* StopReplica: to be handed back with its answer; 0: it need not be */
	/* EFFECT_WRITE_TOPIC, EFFECT_REASSIGNED */
	struct controller_assignment *assignments;
	int32_t assignment_count;
};

/* Effects in order. Everything they point at is in their arena. */
struct effects {
	struct arena arena;
	struct effect *first, **last;
};

void effects_init(struct effects *fx);
void effects_fini(struct effects *fx);

/* broker_id: ours, the controller's. listener: of the endpoints named in LeaderAndIsr. */
MUST_CHECK int controller_state_new(int32_t broker_id, const char *inter_broker_listener,
				    struct controller_state **ret_state);
void controller_state_set_broker_id(struct controller_state *cs, int32_t broker_id);
void controller_state_free(struct controller_state *cs);

/* By the wall clock, ms since the epoch. */
void controller_state_set_time(struct controller_state *cs, int64_t now_ms);

/* ---- failing over: first the facts, then controller_state_take_office() ---- */

/* Forgets everything; this controller's epoch is `epoch`. Aborts without memory, as all do. */
void controller_state_reset(struct controller_state *cs, int32_t epoch);
/* The same calls serve for facts that come later. */
void controller_state_put_leadership(struct controller_state *cs, const char *topic,
				     int32_t partition,
				     const struct controller_leadership *leadership);
/* Announces the office, elects where needed, takes up deletions. */
void controller_state_take_office(struct controller_state *cs, struct effects *fx);

/* ---- events ---- */

/* All registered brokers: who is new, came back with another epoch, or is gone follows. */
void controller_state_brokers(struct controller_state *cs, const struct controller_broker *brokers,
			      size_t count, struct effects *fx);
/* A topic as its znode says; new ones and new partitions are brought online. */
void controller_state_topic(struct controller_state *cs, const char *topic, const struct uuid *id,
			    const struct controller_assignment *partitions, int32_t count,
			    struct effects *fx);
/* The topics that exist: the others are forgotten. names: sorted. */
void controller_state_topic_names(struct controller_state *cs, const char *const *names,
				  size_t count);
/* Topics that shall be deleted. */
void controller_state_delete(struct controller_state *cs, const char *topic, struct effects *fx);
/* A log directory of a broker failed: it is told everything again, and its answers tell which. */
void controller_state_probe(struct controller_state *cs, int32_t broker_id);
/* unclean.leader.election.enable of a topic. */
void controller_state_set_unclean(struct controller_state *cs, const char *topic, bool unclean,
				  struct effects *fx);

/* ---- elections that somebody asks for (controller_elections.c) ---- */

/*
 * 0: the state is to be written; after the effects controller_state_leader() tells what came of
 * it. K_UNKNOWN_TOPIC_OR_PARTITION, K_INVALID_TOPIC_EXCEPTION (the topic is being deleted),
 * K_ELECTION_NOT_NEEDED; K_PREFERRED_LEADER_NOT_AVAILABLE or K_ELIGIBLE_LEADERS_NOT_AVAILABLE.
 */
MUST_CHECK int controller_state_elect(struct controller_state *cs, const char *topic,
				      int32_t partition, bool unclean, struct effects *fx);
/*
 * Where more than percentage of the partitions that prefer a broker are led by others, that broker
 * takes over those that it can. Returns how many.
 */
size_t controller_state_balance(struct controller_state *cs, int32_t percentage,
				struct effects *fx);
/* -1: none, or unknown. */
int32_t controller_state_leader(const struct controller_state *cs, const char *topic,
				int32_t partition);

/* ---- reassignment (controller_reassign.c) ---- */

/*
 * Begins to move a partition to other brokers, or (count -1) back to where it was; a new
 * target takes the place of the former. check_live: brokers that are added must be there.
 * K_INVALID_REPLICA_ASSIGNMENT, K_NO_REASSIGNMENT_IN_PROGRESS, K_UNKNOWN_TOPIC_OR_PARTITION.
 */
MUST_CHECK int controller_state_reassign(struct controller_state *cs, const char *topic,
					 int32_t partition, const int32_t *replicas, int32_t count,
					 bool check_live);
/* Who holds a partition; borrowed until the next event. False: unknown. */
bool controller_state_assignment(const struct controller_state *cs, const char *topic,
				 int32_t partition, struct controller_assignment *ret_assignment);
/* Calls fn for each partition that is on the move. */
void controller_state_each_reassignment(const struct controller_state *cs,
					void (*fn)(void *arg, const char *topic, int32_t partition),
					void *arg);

/* ---- what brokers ask (controller_asked.c) ---- */

/*
 * AlterPartition for one partition: its leader wants another ISR. 0: the state is to be written, or
 * is so already; after the effects controller_state_leadership() tells. Else the answer's error.
 */
MUST_CHECK int controller_state_alter_partition(struct controller_state *cs, int32_t broker_id,
						const struct uuid *topic_id, int32_t partition,
						const struct controller_leadership *wanted,
						struct effects *fx);
/* 0 or K_STALE_BROKER_EPOCH: whether a broker is who it says. */
MUST_CHECK int controller_state_check_broker(const struct controller_state *cs, int32_t broker_id,
					     int64_t broker_epoch);
/* What is known of a partition; its ISR is borrowed until the next event. False: nothing. */
bool controller_state_leadership(const struct controller_state *cs, const struct uuid *topic_id,
				 int32_t partition, struct controller_leadership *ret_leadership);

/*
 * ControlledShutdown: leads no more where another can, and leaves the ISRs.
 * K_STALE_BROKER_EPOCH, K_BROKER_NOT_AVAILABLE.
 */
MUST_CHECK int controller_state_shut_down(struct controller_state *cs, int32_t broker_id,
					  int64_t broker_epoch, struct effects *fx);
/* Calls fn for each partition with other replicas that the broker leads still. */
void controller_state_each_led(const struct controller_state *cs, int32_t broker_id,
			       void (*fn)(void *arg, const char *topic, int32_t partition),
			       void *arg);

/* ---- what became of effects ---- */

/* st 0: the znode's version is now partition_epoch. Otherwise nothing was written. */
void controller_state_written(struct controller_state *cs, const char *topic, int32_t partition,
			      int st, int32_t partition_epoch);
/* After a conflict: the state is what put_leadership() said; decides once more. */
void controller_state_decide_again(struct controller_state *cs, const char *topic,
				   int32_t partition, struct effects *fx);
/*
 * A broker's answer to StopReplica, for one partition. deletion: of the effect that sent it, since
 * the name may have been that of a former topic then.
 */
void controller_state_replica_deleted(struct controller_state *cs, const char *topic,
				      int32_t partition, int32_t broker_id, uint64_t deletion,
				      bool success, struct effects *fx);
/* A broker's answer to LeaderAndIsr, for one partition: its log directory is offline. */
void controller_state_replica_offline(struct controller_state *cs, const struct uuid *topic_id,
				      int32_t partition, int32_t broker_id, bool offline,
				      struct effects *fx);
/* The znode of a topic: 0, or why it was not written. */
void controller_state_topic_written(struct controller_state *cs, const char *topic, int st,
				    struct effects *fx);
void controller_state_topic_deleted(struct controller_state *cs, const char *topic);

/*
 * What follows from what was done: states to be written, or else the requests that tell the brokers
 * what has changed. To be called, and its effects carried out, until there are none.
 */
void controller_state_flush(struct controller_state *cs, struct effects *fx);

/* ---- looking ---- */

/* False: unknown. */
bool controller_state_topic_id(const struct controller_state *cs, const char *topic,
			       struct uuid *ret_id);
bool controller_state_knows_topic(const struct controller_state *cs, const char *topic);
bool controller_state_is_queued_for_deletion(const struct controller_state *cs, const char *topic);

/* ---- counting (controller_tally.c) ---- */

struct controller_counts {
	size_t topics, partitions, brokers, topics_to_delete;
	size_t offline_partitions;  /* without a leader that lives */
	size_t preferred_imbalance; /* led by another than the preferred replica */
	/* Since the state was made: partitions that got another leader, and those whose was not
	 * in the ISR. */
	uint64_t elections, unclean_elections;
};
/* A partition without a leader that lives; borrowed for the call. */
struct controller_offline {
	const char *topic;
	int32_t partition, leader_epoch;
	int64_t since_ms; /* by the wall clock */
	bool unclean;     /* a replica outside the ISR may be elected */
	const int32_t *replicas, *isr;
	int32_t replica_count, isr_count;
	const enum missing_reason *reasons; /* of each replica */
};
typedef void controller_offline_fn(void *arg, const struct controller_offline *offline);
/* Calls fn for each. */
void controller_state_each_offline(const struct controller_state *cs, controller_offline_fn *fn,
				   void *arg);

/* Costs nothing: kept up to date with every event. */
void controller_state_count(const struct controller_state *cs,
			    struct controller_counts *ret_counts);
/* Counts everything anew: for tests of the above. */
void controller_state_recount(const struct controller_state *cs,
			      struct controller_counts *ret_counts);

#endif
