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

struct model_broker {
	int32_t id;
	int64_t epoch;
	struct controller_endpoint *endpoints; /* texts owned */
	size_t endpoint_count;
	char *rack;
	bool is_new; /* since the last flush: it is told everything */
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
	struct ids deleted;      /* brokers that have deleted their replica */
	/* Proposed and not yet written. */
	bool proposed;
	int32_t proposed_leader, proposed_epoch;
	struct ids proposed_isr;
	bool proposed_recovering, created;
	/* To be told at the next flush. */
	bool announce; /* by LeaderAndIsr to its replicas, and UpdateMetadata to all */
};

struct model_topic {
	char *name;
	struct uuid id;
	bool queued_for_deletion, unclean;
	bool retire;                         /* tell all brokers at the next flush that it goes */
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
	bool announce_brokers; /* to all, at the next flush */
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
void *effects_alloc(struct effects *fx, size_t size);
struct effect *effects_add(struct effects *fx, enum effect_kind kind);

#endif
