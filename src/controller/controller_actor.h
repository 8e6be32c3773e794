/*
 * controller_actor.h - the inside of struct controller: the thread (controller.c) and the office of
 * the active controller (controller_office.c).
 */
#ifndef KLAMM_CONTROLLER_CONTROLLER_ACTOR_H
#define KLAMM_CONTROLLER_CONTROLLER_ACTOR_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/timers.h"
#include "controller/controller.h"
#include "controller/controller_channel.h"
#include "controller/controller_state.h"
#include "zk/znode_admin.h"

/* The gauges are those of the active controller, 0 on all other brokers. */
struct controller_metrics {
	struct metric *offline_partitions, *preferred_imbalance, *topics_to_delete;
	struct metric *elections, *unclean_elections;
	struct histogram *election_time;
};

struct controller {
	struct controller_settings settings;
	struct controller_metrics metrics;
	struct mailbox *mailbox;
	struct timers timers;
	pthread_t thread;
	bool started, has_thread;
	_Atomic bool stopping;
	struct lock submit_lock;
	bool stopped;         /* under submit_lock: the thread has ended */
	_Atomic bool active;  /* elected */
	_Atomic bool serving; /* and this broker's metadata has been told so */
	_Atomic int32_t active_id;

	/* The thread's: */
	struct zk *zk;
	struct timer retry; /* of the election or registration that failed */
	bool must_register;
	bool complained; /* of /controller or /controller_epoch */
	int32_t epoch, epoch_version;
	struct controller_state *state;
	struct map channels;  /* broker id -> struct link, while active */
	struct timer balance; /* of leaders, while active */
	bool unclean;         /* the setting, as last looked at */
	/* What /admin/reassign_partitions says. */
	struct requested_partitions requested;
	bool requested_changed;               /* and the znode does not say so yet */
	int64_t event_began_us;               /* the watch that is being seen to fired; 0: none */
	int64_t elections, unclean_elections; /* counted so far */
};

/* One broker that requests go to. */
struct controller_link {
	int32_t broker_id;
	int64_t broker_epoch;
	char *host; /* of its inter-broker listener; NULL: it advertises none */
	int32_t port;
	struct controller_channel *channel; /* NULL: ourselves */
	struct buf stops;                   /* for each StopReplica under way, its deletion */
};

/*
 * Takes the office up: reads the cluster's state and announces it. 0; -ESTALE when another was
 * elected meanwhile; -ESHUTDOWN; other -errno.
 */
MUST_CHECK int office_begin(struct controller *c);
/* An ERROR: the state of one partition cannot be read. */
void office_complain_of_state(const char *path);
/* Forgets the state and closes the channels. */
void office_end(struct controller *c);
/* A watch fired. False: it is none of the office's. -ESTALE as above in ret_st. */
bool office_on_watch(struct controller *c, enum zk_watch_type type, const char *path, int *ret_st);
/* Writes states, sends requests and so on, then tells the brokers. -ESTALE as above. */
MUST_CHECK int office_carry_out(struct controller *c, struct effects *fx);
/* In controller_znodes.c; -ESTALE as above, -EAGAIN when the node is of another version. */
struct zk_op;
MUST_CHECK int office_write_fenced(struct controller *c, const struct zk_op *op);
/* 0 also when there is no such node. */
MUST_CHECK int office_delete_fenced(struct controller *c, const char *path);
MUST_CHECK int office_delete_tree(struct controller *c, const char *path);
/* Carries out the effects that write assignments, pipelined. */
MUST_CHECK int office_write_topics(struct controller *c, const struct effects *fx,
				   struct effects *next);
/*
 * In controller_state_znodes.c: carries out the effects that write states, in batches, pipelined.
 * again: what is decided anew where the state was not what we knew.
 */
MUST_CHECK int office_write_states(struct controller *c, const struct effects *fx,
				   struct effects *again);
/* Takes in the state as it is written. -ENOENT: there is none. */
MUST_CHECK int office_reread_state(struct controller *c, const char *topic, int32_t partition);
/* Reads the named topics, arming their watches. fx NULL: facts only. */
MUST_CHECK int office_read_topics(struct controller *c, const char *const *names, size_t count,
				  struct effects *fx);
/* Reads all topics, their settings and states: facts. */
MUST_CHECK int office_read_cluster(struct controller *c);
/* Takes in topics that came or went. */
MUST_CHECK int office_topics_changed(struct controller *c, struct effects *fx);
/* Reads the settings that elections depend on, of the named topics or (NULL) of all. */
MUST_CHECK int office_settings_changed(struct controller *c, const char *const *names, size_t count,
				       struct effects *fx);
/* In controller_requested.c: looks at what tools leave in znodes below /admin, arming watches. */
MUST_CHECK int office_elections_requested(struct controller *c);
/* In controller_reassignments.c: the same for reassignments; what was done leaves the znode. */
MUST_CHECK int office_reassignments_requested(struct controller *c);
MUST_CHECK int office_requested_changed(struct controller *c);
void office_reassigned(struct controller *c, const struct effect *e);
MUST_CHECK int office_write_requested(struct controller *c);
/* The leaders are balanced some time after taking office, and then in intervals. */
void office_begin_balance(struct controller *c);
timer_fn office_on_balance;
/*
 * In controller.c: what its thread does, for who takes the thread's place and runs the mailbox.
 * Takes the session over and stands for election; runs the timers that are due.
 */
void controller_begin(struct controller *c, struct zk *zk);
void controller_run_timers(struct controller *c);
/* What every failure of the office leads to. */
void controller_lost_office(struct controller *c, int st);

#endif
