/*
 * replica_manager.h - the partitions of this broker, and what the controller tells it to do.
 *
 * LeaderAndIsr, StopReplica and UpdateMetadata are carried out one after another on one thread of
 * its own, in the order in which they arrived, because they create, delete and open logs. Requests
 * find partitions in a table that they read without waiting.
 *
 * Threads  replica_manager_get() on any; requests of the controller are submitted from any thread
 *          and carried out on the manager's own.
 * Source   zookeeper-and-controller, sections 4.4, 4.5 and 5: Kafka's ReplicaManager.
 */
#ifndef KLAMM_REPLICA_REPLICA_MANAGER_H
#define KLAMM_REPLICA_REPLICA_MANAGER_H

#include "base/conf.h"
#include "cluster/metadata.h"
#include "cluster/topic_configs.h"
#include "replica/partition.h"
#include "storage/log_manager.h"

struct replica_manager;
struct client_tls;
struct workers;
struct reactor;
struct leader_and_isr_request;
struct leader_and_isr_response;
struct stop_replica_request;
struct stop_replica_response;
struct update_metadata_request;

struct replica_manager_settings {
	struct env *env; /* outlives it */
	int32_t broker_id;
	const char *inter_broker_listener; /* upper case; outlives it */
	struct reactor *reactor;           /* runs the calls to the controller */
	struct workers *workers;           /* looks names up */
	struct log_manager *logs;          /* outlives it */
	struct metadata *metadata;         /* outlives it */
	struct topic_configs *configs;     /* outlives it */
	struct conf_store *conf;           /* outlives it */
	/*
	 * Reads a topic's settings from the ensemble into configs, for one that is hosted for the
	 * first time. Blocks; on the manager's thread. May be NULL.
	 */
	void (*read_topic_config)(void *arg, const char *topic);
	/* This broker's epoch: requests for an older one are refused. */
	int64_t (*broker_epoch)(void *arg);
	/*
	 * We lead a partition and have its log, or lead it no longer. On the manager's thread. May
	 * be NULL.
	 */
	void (*on_leadership)(void *arg, const char *topic, int32_t partition, int32_t leader_epoch,
			      bool is_leader);
	/* Partitions of a topic are being deleted. On the manager's thread. May be NULL. */
	void (*on_deletion)(void *arg, struct str topic, const int32_t *partitions, int32_t count);
	void *arg;
};

MUST_CHECK int replica_manager_open(const struct replica_manager_settings *settings,
				    struct replica_manager **ret_manager);
/*
 * From now on leaders are followed and ISRs proposed: before the first request. tls: borrowed; NULL
 * where brokers speak plaintext.
 */
MUST_CHECK int replica_manager_start(struct replica_manager *rm, struct client_tls *tls);
/* Ends its thread and forgets all partitions; nothing may wait any more. Accepts NULL. */
void replica_manager_close(struct replica_manager *rm);

/*
 * Runs fn(arg) on the manager's thread, after what was submitted before. The three functions below
 * are called from there.
 */
void replica_manager_submit(struct replica_manager *rm, mailbox_fn *fn, void *arg);

/*
 * The partition, counted.
 *
 * Returns 0; K_NOT_LEADER_OR_FOLLOWER when the cluster has it but we do not; else
 * K_UNKNOWN_TOPIC_OR_PARTITION.
 */
MUST_CHECK int replica_manager_get(struct replica_manager *rm, struct str topic, int32_t partition,
				   struct partition **ret_partition);

/*
 * Each carries out a request and fills the response (arena: for its arrays). Requests come in the
 * grouped form of LeaderAndIsr v2+, StopReplica v3+ and UpdateMetadata v5+.
 */
void replica_manager_leader_and_isr(struct replica_manager *rm,
				    const struct leader_and_isr_request *req, struct arena *arena,
				    struct leader_and_isr_response *resp);
void replica_manager_stop_replica(struct replica_manager *rm,
				  const struct stop_replica_request *req, struct arena *arena,
				  struct stop_replica_response *resp);
/* Returns the error code of the response. */
int replica_manager_update_metadata(struct replica_manager *rm,
				    const struct update_metadata_request *req);

/* A log was loaded: any thread. The partition that waits for it goes on. */
void replica_manager_log_loaded(struct replica_manager *rm, struct log *log);
/* A log directory failed: any thread. */
void replica_manager_dir_failed(struct replica_manager *rm, const char *dir);
/* A topic's settings (NULL: the broker's) changed: any thread. */
void replica_manager_configure(struct replica_manager *rm, const char *topic);

/* Calls fn for each partition. Any thread. */
void replica_manager_each(struct replica_manager *rm, void (*fn)(void *arg, struct partition *p),
			  void *arg);
size_t replica_manager_count(struct replica_manager *rm);

/* A topic's settings as the log wants them. */
void replica_log_config(const struct topic_conf *tc, const struct broker_conf *conf,
			struct log_config *ret_config);

#endif
