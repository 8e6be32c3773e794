/*
 * controller_model.h - the inside of struct controller_state, for the files that decide.
 */
#ifndef KLAMM_CONTROLLER_CONTROLLER_MODEL_H
#define KLAMM_CONTROLLER_CONTROLLER_MODEL_H

#include "base/map.h"
#include "controller/controller_state.h"

struct ids {
	int32_t *items;
	int32_t count;
};

/* Partitions that something is to be done about; each knows its places. */
enum partition_list_kind {
	LIST_NEWS,       /* something is to be told */
	LIST_LOOK_AGAIN, /* its state was written, and more may follow from that */
	LIST_MOVING,     /* its assignment is to be written */
	LIST_COUNT
};

struct partition_list {
	struct model_partition **items;
	size_t count, cap;
};

struct model_broker {
	int32_t id;
	int64_t epoch;
	struct controller_endpoint *endpoints; /* texts owned */
	size_t endpoint_count;
	char *rack;
	bool is_new;  /* since the last flush: it is told everything */
	bool bounced; /* it came back with another epoch, and this event sees to it */
	bool shutting_down;
};

struct model_partition {
	struct model_topic *topic;
	int32_t number;
	struct ids replicas, adding, removing;
	bool has_leadership; /* there is a state znode */
	int32_t leader, leader_epoch, controller_epoch, partition_epoch;
	struct ids isr;
	bool recovering;
	struct ids offline_dirs; /* brokers whose log directory with it has failed */
	struct ids deleting;     /* of a topic that goes: brokers that were told to delete */
	struct ids deleted;      /* and those that have done so */
	/* Proposed and not yet written. */
	bool proposed;
	int32_t proposed_leader, proposed_epoch;
	struct ids proposed_isr;
	bool proposed_recovering, created;
	bool proposed_by_leader; /* it knows: only UpdateMetadata tells */
	/* To be told at the next flush; set by model_announce() and its like. */
	bool announce;          /* by LeaderAndIsr to its replicas, and UpdateMetadata to all */
	bool announce_metadata; /* by UpdateMetadata alone */
	struct ids stop;        /* brokers to be told to stop */
	struct ids stop_delete; /* and to delete their replica */
	/* Reassignment: see controller_reassign.c. */
	bool reassigning;
	bool must_bump;  /* the replicas are to hear of it, by a state with a new leader epoch */
	bool finishing;  /* the proposed state is the last one */
	bool going_back; /* it was cancelled: nobody is waited for */
	bool begin, end; /* the assignment is to be written: next_*, or the present one */
	bool writing;    /* which is under way */
	struct ids next_replicas, next_adding, next_removing;
	struct ids dropped; /* replicas that go, once they are out of the ISR that is written */
	/* How it was counted last, and since when it has had no leader that lives. */
	bool counted, counted_offline, counted_imbalance;
	int64_t offline_since_ms;
	size_t slots[LIST_COUNT]; /* 1-based place in each list, 0: in none */
};

struct model_topic {
	char *name;
	struct uuid id;
	bool queued_for_deletion, unclean;
	bool deletion_started;               /* nobody hindered it: brokers are being told */
	uint64_t deletion;                   /* of all that were started, the how-manieth */
	struct model_partition **partitions; /* by number; NULL for gaps */
	int32_t partition_count;
};

struct controller_state {
	int32_t broker_id;
	char *listener;
	int32_t epoch;
	struct model_broker *brokers; /* by id */
	size_t broker_count;
	struct map topics;     /* name -> struct model_topic */
	struct map topic_ids;  /* id -> the same */
	bool announce_brokers; /* to all, at the next flush */
	struct partition_list lists[LIST_COUNT];
	uint64_t deletions;              /* of topics, that were started */
	int64_t now_ms;                  /* of the present event */
	struct controller_counts counts; /* see controller_tally.c */
};

bool ids_have(const struct ids *ids, int32_t id);
/* Both abort without memory. */
void ids_set(struct ids *ids, const int32_t *items, int32_t count);
void ids_add(struct ids *ids, int32_t id);
void ids_remove(struct ids *ids, int32_t id);
bool ids_equal(const struct ids *a, const struct ids *b);
void ids_fini(struct ids *ids);

const struct model_broker *model_broker(const struct controller_state *cs, int32_t id);
/* The broker is registered and its directory with this partition works. */
bool model_replica_is_online(const struct controller_state *cs, const struct model_partition *p,
			     int32_t broker_id);
/* It may also lead and be in the ISR: it is neither just back nor about to go. */
bool model_replica_is_eligible(const struct controller_state *cs, const struct model_partition *p,
			       int32_t broker_id);
struct model_topic *model_topic(const struct controller_state *cs, const char *name);
/* NULL: unknown. */
struct model_partition *model_partition(const struct controller_state *cs, const char *topic,
					int32_t number);
struct model_topic *model_topic_by_id(const struct controller_state *cs, const struct uuid *id);
/* In the list, and out again. */
void model_list_add(struct controller_state *cs, enum partition_list_kind kind,
		    struct model_partition *p);
void model_list_remove(struct controller_state *cs, enum partition_list_kind kind,
		       struct model_partition *p);
/* To be told at the next flush; the first also implies the second. */
void model_announce(struct controller_state *cs, struct model_partition *p);
void model_announce_metadata(struct controller_state *cs, struct model_partition *p);
void model_stop(struct controller_state *cs, struct model_partition *p, int32_t broker_id,
		bool and_delete);

/* The rule of controller_state.c. */
void model_decide(struct controller_state *cs, struct model_partition *p, struct effects *fx);
/* A new leader where there is none that lives; unclean: also one that was not in the ISR. */
void model_elect(struct controller_state *cs, struct model_partition *p, bool unclean,
		 struct effects *fx);
/* In order of topic and number, for qsort() of pointers. */
int model_compare_partitions(const void *a, const void *b);

/* The next step of a reassignment, when nothing is proposed. */
void model_reassign_step(struct controller_state *cs, struct model_partition *p,
			 struct effects *fx);
/* A state was written: what waited for that goes on. */
void model_reassign_written(struct controller_state *cs, struct model_partition *p);
/* Assignments that are to be written: those of reassignments that begin, or that have ended. */
void model_write_assignments(struct controller_state *cs, bool begin, struct effects *fx);

/* Something of what is counted may have changed; or the partition, or topic, goes. */
void model_count(struct controller_state *cs, struct model_partition *p);
void model_count_topic(struct controller_state *cs, struct model_topic *t);
void model_uncount(struct controller_state *cs, struct model_partition *p);
/* A state with a leader is about to take the place of the one before. */
void model_count_election(struct controller_state *cs, const struct model_partition *p);

/* Brokers came or went, or a partition is new: goes on with the deletions that this allows. */
void model_resume_deletions(struct controller_state *cs, struct effects *fx);
void model_resume_deletion(struct controller_state *cs, struct model_topic *t, struct effects *fx);
char *effects_text(struct effects *fx, const char *text);

/* The state is to be written, with the next leader epoch. */
void model_propose(struct controller_state *cs, struct model_partition *p, int32_t leader,
		   const struct ids *isr, bool recovering, struct effects *fx);
/* The same as its leader asks for it: with the present leader epoch. */
void model_propose_isr(struct controller_state *cs, struct model_partition *p,
		       const struct ids *isr, bool recovering, struct effects *fx);
/* Those of among that are eligible, in the order of the assignment. The caller frees them. */
struct ids model_eligible_of(const struct controller_state *cs, const struct model_partition *p,
			     const struct ids *among);
void model_each_partition(struct controller_state *cs,
			  void (*fn)(struct controller_state *cs, struct model_partition *p,
				     struct effects *fx),
			  struct effects *fx);
void *effects_alloc(struct effects *fx, size_t size);
struct effect *effects_add(struct effects *fx, enum effect_kind kind);

#endif
