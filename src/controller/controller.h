/*
 * controller.h - the thread that speaks with the ensemble, and on it the cluster's controller.
 *
 * Every broker has one. The thread owns the ZooKeeper session: it registers the broker, stands for
 * election, and runs what other rooms submit (admin requests write znodes from here). When it is
 * elected it becomes the active controller: it reads the cluster's state, reacts to watches, and
 * commands the brokers with LeaderAndIsr, StopReplica and UpdateMetadata.
 *
 * The decisions are made in controller_state.h, which neither reads the clock nor touches
 * ZooKeeper or the network; this module carries them out.
 *
 * Threads  one of its own, from controller_start() to controller_close(). controller_submit(),
 *          controller_is_active() and controller_active_id() from any thread.
 * Source   zookeeper-and-controller, sections 2 and 3: Kafka's KafkaController.
 */
#ifndef KLAMM_CONTROLLER_CONTROLLER_H
#define KLAMM_CONTROLLER_CONTROLLER_H

#include "base/arena.h"
#include "base/conf.h"
#include "base/workers.h"
#include "net/reactor.h"
#include "zk/zk.h"

struct controller;
struct client_tls;

/* How a request to a broker ended: status 0 and the response's body, or -errno. */
typedef void controller_response_fn(void *arg, int status, struct slice body);

struct controller_settings {
	struct env *env;
	struct conf_store *conf;
	int32_t broker_id;
	const char *inter_broker_listener; /* upper case; borrowed */
	struct reactor *reactor;           /* runs the connections to other brokers */
	struct workers *workers;           /* looks names up */
	struct client_tls *tls;            /* of the inter-broker listener; see set_tls() */

	/*
	 * Carries out a request to ourselves, without a connection. body is taken over. done is
	 * called once, from any thread.
	 */
	void (*local_request)(void *arg, int16_t api_key, int16_t api_version, struct buf *body,
			      controller_response_fn *done, void *done_arg);
	/*
	 * On the controller's thread. register_broker: a new session has taken the place of an
	 * expired one; 0, or what stopped it (it is tried again). on_watch: a watch fired that is
	 * not the controller's own.
	 */
	int (*register_broker)(void *arg, struct zk *zk);
	void (*on_watch)(void *arg, struct zk *zk, enum zk_watch_type type, const char *path);
	void (*on_session)(void *arg, enum zk_session_state state);
	void *arg;
};

/* Copies the settings; starts nothing. */
MUST_CHECK int controller_open(const struct controller_settings *settings,
			       struct controller **ret_controller);
/* The mailbox and the events to open the session with. */
struct mailbox *controller_mailbox(struct controller *c);
struct zk_events controller_zk_events(struct controller *c);
/* Before controller_start(): what is known only later. tls: borrowed; NULL on plaintext. */
void controller_set_broker_id(struct controller *c, int32_t broker_id);
void controller_set_tls(struct controller *c, struct client_tls *tls);
/* Takes the session over, starts the thread and stands for election. */
MUST_CHECK int controller_start(struct controller *c, struct zk *zk);
/*
 * Gives the office up and ends the thread. The session stays, and with it the broker's
 * registration.
 */
void controller_stop(struct controller *c);
/* Closes the session, if controller_start() took it, after controller_stop(). Accepts NULL. */
void controller_close(struct controller *c);

/*
 * Runs fn on the controller's thread, which may use the session there. After controller_stop() it
 * is run at once, by the caller, and the session answers -ESHUTDOWN: nothing is ever left waiting.
 */
typedef void controller_fn(void *arg, struct zk *zk);
void controller_submit(struct controller *c, controller_fn *fn, void *arg);

/*
 * Whether this broker is the active controller, and its own metadata knows who is alive under it;
 * it may end at any moment.
 */
bool controller_is_active(struct controller *c);
/* The broker that is the controller, as far as this one knows; -1: none. */
int32_t controller_active_id(struct controller *c);
/*
 * What brokers ask of the active controller, each on its thread (controller_submit()): the answer,
 * with the error inside. arena: for the answer.
 * Source  zookeeper-and-controller, sections 4.6 and 4.7.
 */
struct alter_partition_request;
struct alter_partition_response;
struct controlled_shutdown_response;
void controller_alter_partition(struct controller *c, const struct alter_partition_request *req,
				int version, struct arena *arena,
				struct alter_partition_response *resp);
void controller_shut_down_broker(struct controller *c, int32_t broker_id, int64_t broker_epoch,
				 struct arena *arena, struct controlled_shutdown_response *resp);

/* One partition of ElectLeaders. */
struct controller_election {
	const char *topic;
	int32_t partition;
	int error;      /* 0, or why there was no election */
	int32_t leader; /* who was elected, when error is 0 */
};

/* On the controller's thread: elects the preferred leader of each, or (unclean) any at all. */
void controller_elect_leaders(struct controller *c, struct controller_election *elections,
			      size_t count, bool unclean);
/*
 * On the controller's thread: AlterPartitionReassignments and ListPartitionReassignments, the
 * answers with their errors inside, in the arena.
 */
struct alter_partition_reassignments_request;
struct alter_partition_reassignments_response;
struct list_partition_reassignments_request;
struct list_partition_reassignments_response;
void controller_alter_reassignments(struct controller *c,
				    const struct alter_partition_reassignments_request *req,
				    struct arena *arena,
				    struct alter_partition_reassignments_response *resp);
void controller_list_reassignments(struct controller *c,
				   const struct list_partition_reassignments_request *req,
				   struct arena *arena,
				   struct list_partition_reassignments_response *resp);
/* On the controller's thread: the settings of a topic, or (NULL) of this broker, have changed. */
void controller_settings_changed(struct controller *c, const char *topic);

/*
 * On the controller's thread: calls fn for each partition without a leader. Nothing where this
 * broker is not the controller.
 */
struct controller_offline;
void controller_each_offline(struct controller *c,
			     void (*fn)(void *arg, const struct controller_offline *offline),
			     void *arg);

/* On the controller's thread: a topic is queued for deletion. */
bool controller_topic_is_queued_for_deletion(struct controller *c, const char *topic);

#endif
