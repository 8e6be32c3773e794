/*
 * topic_plan.h - a topic that is to be created: checked and laid out, before anything is written.
 *
 * Threads  made on a reactor, carried out on the controller's thread.
 * Source   wire-protocol, section 18.1; zookeeper-and-controller, section 3.9: Kafka's
 *          ZkAdminManager, AdminZkClient.
 */
#ifndef KLAMM_API_TOPIC_PLAN_H
#define KLAMM_API_TOPIC_PLAN_H

#include "api/api_call.h"
#include "zk/znode_topic.h"

struct topic_plan {
	const char *name; /* in the call's arena */
	struct topic_assignment assignment;
	struct properties config;
	int st; /* of topic_plan_carry_out() */
};

void topic_plan_fini(struct topic_plan *plan);

/*
 * Lays out a topic with so many partitions and replicas over the live brokers; config is filled
 * in by the caller beforehand. message gets a sentence for the client where there is one.
 *
 * K_TOPIC_ALREADY_EXISTS, K_INVALID_TOPIC_EXCEPTION, K_INVALID_PARTITIONS,
 * K_INVALID_REPLICATION_FACTOR, K_INVALID_CONFIG, -ENOMEM.
 */
MUST_CHECK int topic_plan_make(struct api_call *call, struct topic_plan *plan, struct str name,
			       int32_t partition_count, int32_t replication_factor,
			       const char **ret_message);
/* The same checks for a topic whose replicas the client has laid out in plan->assignment. */
MUST_CHECK int topic_plan_check(struct api_call *call, struct topic_plan *plan, struct str name,
				const char **ret_message);
/* Adds the settings that Kafka gives its internal topics. 0 or -ENOMEM. */
MUST_CHECK int topic_plan_internal_config(struct api_call *call, struct topic_plan *plan,
					  struct str name, int32_t *partition_count,
					  int32_t *replication_factor);
/*
 * Writes the znodes; sets plan->st to 0, K_TOPIC_ALREADY_EXISTS, or -errno. The log says for whom:
 * by is the name of the API, client_id may be null.
 */
void topic_plan_carry_out(struct topic_plan *plan, struct zk *zk, const char *by,
			  struct str client_id);

/*
 * Begins the creation of a topic with the settings that the broker gives such topics.
 * K_LEADER_NOT_AVAILABLE: it is under way, ask again in a moment; else as topic_plan_make().
 */
MUST_CHECK int topic_auto_create(struct api_call *call, struct str name);

/* The live brokers, in the arena. NULL without memory. */
struct assignment_broker;
struct assignment_broker *topic_plan_brokers(struct api_call *call, size_t *ret_count);

#endif
