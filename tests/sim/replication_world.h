/*
 * replication_world.h - the random world of replication_sim: an ensemble, brokers with processes
 * that die and disks that stay, and calls that are on their way.
 *
 * replication_world.c     chance, sets, calls
 * replication_checks.c    what must always be true
 * replication_broker.c    leading, following, clients; disks
 * replication_process.c   what controllers say to a process, its start and its end
 * replication_ensemble.c  the tree, sessions, and what befalls who writes
 * replication_office.c    the real controller of each process, and its links
 * replication_operator.c  topics that come, go and move; elections that somebody wants
 * replication_sim.c       faults, and the way back to quiet
 */
#ifndef KLAMM_TESTS_SIM_REPLICATION_WORLD_H
#define KLAMM_TESTS_SIM_REPLICATION_WORLD_H

#include "controller/controller_channel.h"
#include "replica/isr.h"
#include "storage/leader_epochs.h"
#include "zk/zk_tree.h"

#define BROKERS 5
#define PARTITIONS 2 /* of all topics */
#define TOPICS 2
#define DIRS 2       /* log directories of a broker */
#define RECORDS 1024 /* the longest log */
#define EPOCHS 2048  /* the highest leader epoch */
#define CALLS 128    /* on their way at one time */
#define APPENDS 32   /* of one broker, not acknowledged yet */
#define BATCH_RECORDS 4
#define LAG_MAX_MS 1500

struct record {
	int32_t epoch;
	uint32_t value;
};

/* A set of brokers in order. */
struct members {
	int32_t ids[BROKERS];
	int32_t count;
};

/* A partition's state znode. */
struct state_znode {
	bool exists;
	int32_t version, leader, leader_epoch, controller_epoch;
	struct members isr;
	bool recovering;
};

/* Who holds a partition, as the znode of its topic says. */
struct assignment {
	struct members replicas, adding, removing;
};

struct topic_znode {
	bool exists;
	int32_t incarnation; /* the how-manieth of its name: its topic id */
	bool to_be_deleted;  /* so says a node below /admin */
	bool unclean;        /* unclean.leader.election.enable */
};

/* A session with the ensemble, and what it has told that was not heard yet. */
struct session {
	struct zk *zk;
	struct mailbox *news;
};

/* The tree, and what stands in it as the checks see it. */
struct ensemble {
	struct zk_tree *tree;
	struct session session; /* of whoever looks, and of operators */
	struct zk *eye;         /* the same */
	int32_t controller;     /* -1: none */
	int32_t controller_epoch;
	bool sessions[BROKERS];
	int64_t broker_epochs[BROKERS]; /* 0: not registered */
	struct topic_znode topics[TOPICS];
	struct assignment assignments[PARTITIONS];
	struct state_znode states[PARTITIONS];
	/* The znodes by which tools of old ask for that. */
	bool moves_asked, elections_asked;
};

/* One partition on one broker. */
struct replica {
	/* On disk. */
	bool exists;
	int32_t incarnation; /* of its topic */
	int dir;
	struct record log[RECORDS];
	int64_t end, flushed, checkpointed;
	struct leader_epochs epochs;
	/* In the process. */
	bool known;   /* a controller told of it */
	bool offline; /* its directory has failed since */
	int64_t high_watermark;
	int32_t leader, leader_epoch, partition_epoch;
	struct members members; /* all replicas, as the controller says */
	int64_t epoch_start;
	struct isr isr;
	uint32_t fetch_id; /* the fetch that is waited for; 0: none */
	bool fetches;      /* a follower that goes on */
	int32_t given_up;  /* the proposal that the controller does not want */
	/* Of the checks: so many records from the start are known to be the committed ones. */
	int64_t agrees;
};

/* What a controller tells a broker. */
struct command {
	int16_t api_key;
	int32_t controller_id, controller_epoch;
	int64_t broker_epoch;
	bool alive[BROKERS];
	bool deletes, deletes_topic; /* StopReplica */
	struct told {
		bool told;
		int32_t incarnation; /* of the topic; StopReplica does not say */
		bool is_new;
		int32_t leader, leader_epoch, partition_epoch, controller_epoch;
		struct members isr, replicas;
		/* The answer. */
		int error;
	} partitions[PARTITIONS];
	int error;
};

struct fetch {
	int partition;
	int32_t incarnation; /* of the topic */
	int32_t leader_epoch, last_fetched_epoch;
	int64_t broker_epoch, offset;
	/* The answer. */
	int error;
	bool diverges;
	int32_t diverging_epoch;
	int64_t diverging_end;
	struct record records[BATCH_RECORDS];
	int count;
	int64_t high_watermark;
};

struct alteration {
	int64_t broker_epoch;
	int error;
	struct {
		bool asked;
		int32_t incarnation; /* of the topic */
		int32_t proposal_epoch, leader_epoch, partition_epoch;
		struct members isr;
		int64_t isr_epochs[BROKERS];
		/* The answer. */
		int error;
		int32_t new_leader_epoch, new_partition_epoch;
		struct members new_isr;
	} partitions[PARTITIONS];
};

struct shutdown {
	int64_t broker_epoch;
	int error;
	bool leads_still;
};

enum call_kind { CALL_COMMAND, CALL_FETCH, CALL_ALTER, CALL_SHUTDOWN };

/* A request on its way, or its answer on the way back. */
struct call {
	uint32_t id;
	enum call_kind kind;
	bool is_answer;
	int from, to; /* of the request */
	uint32_t from_life, to_life;
	union {
		struct command command;
		struct fetch fetch;
		struct alteration alteration;
		struct shutdown shutdown;
	};
};

/* The way from a controller to one broker: one request at a time, in order, until answered. */
struct controller_channel {
	struct process *process;
	int to;
	bool open;        /* not of the one to ourselves */
	uint32_t opening; /* the how-manieth */
	controller_channel_fn *fn;
	void *arg;
	struct request *first, **last;
	uint32_t call_id; /* of the first one, when it is on its way; else 0 */
};

/* A process and its controller. */
struct process {
	struct zk zk; /* what the controller knows as its session */
	struct session session;
	struct zk_events events; /* of the controller */
	struct controller *controller;
	struct controller_channel channels[BROKERS];
	int id;
	int64_t last_session_id;
	bool began;
	bool busy; /* with something; it may wait for the ensemble in the middle of it */
	bool dead; /* and freed when it is not busy */
};

/* An append with acks=all that waits. */
struct pending {
	int partition;
	int64_t offset; /* after its last record */
	int32_t leader_epoch;
	uint32_t value; /* of its last record */
};

struct broker {
	bool runs, stands_still, cut_from_ensemble;
	uint32_t life;
	int64_t epoch;
	struct process *process;           /* NULL: it does not run */
	struct session ghost;              /* of the former process, which has not ended */
	struct members wanted[PARTITIONS]; /* where operators told it to move them */
	/* What UpdateMetadata told. */
	int32_t controller_epoch, controller;
	bool alive[BROKERS];
	uint32_t alter_id;    /* the AlterPartition that is waited for; 0: none */
	uint32_t shutdown_id; /* the same of ControlledShutdown */
	bool stops;           /* a controlled shutdown is under way */
	bool failed[DIRS];    /* until somebody sees to it, over lives of the process */
	bool dir_untold;      /* one has failed, which the ensemble does not know */
	struct pending pending[APPENDS];
	int pending_count;
	struct replica replicas[PARTITIONS];
};

/* Over all worlds. */
struct sums {
	uint64_t turns, acknowledged, elections, unclean_elections, offices, crashes, truncated;
	uint64_t shrinks, expands, power_losses, refusals;
	uint64_t moves_asked, moves_asked_by_znode, moves_cancelled, moves_ended;
	uint64_t topics_deleted, topics_created;
	uint64_t strays, failed_deletions, conflicts, waits, fenced, failed_dirs, empty_dirs;
};

/* What is known of a partition from outside, for the checks. */
struct truth {
	/* What has been committed: below some high watermark. */
	struct record committed[RECORDS];
	int64_t committed_end;
	int32_t leaders[EPOCHS]; /* 1 + who led in an epoch */
	uint32_t born;           /* values of this topic are above */
	/* The last election of a leader outside the ISR, and whether it leads already. */
	int32_t unclean_epoch;
	bool unclean_pending;
	/* Its brokers when it was not on the move, and where it moves. */
	struct members settled, target;
	/* Brokers that could not be told, or only by a controller that is no more, to delete it. */
	bool strays[BROKERS];
	/* Brokers that said they had none to delete: it was in a directory that had failed before
	 * they started. */
	bool overlooked[BROKERS];
};

struct world {
	uint64_t seed, random;
	int64_t now_ms;
	bool calm;
	int broker_count, topic_count, min_insync_replicas;
	struct ensemble zk;
	struct broker brokers[BROKERS];
	bool cut[BROKERS][BROKERS];
	struct call calls[CALLS];
	int call_count;
	uint32_t next_call, next_value;
	int waiting; /* brokers that have lost the ensemble in the middle of their work */
	/* The broker whose machine lost its tail, until a controller sees it again; -1: none. */
	int without_power;
	struct truth truths[PARTITIONS];
	/* How the world is. */
	int crash_per_mille; /* at each write to the ensemble, before it and after */
	uint32_t command_percent, elect_percent; /* controllers that speak; operators */
	uint32_t unclean_percent;                /* of topics */
	uint32_t move_per_mille, delete_per_mille;
	uint32_t disk_per_mille; /* of deletions that fail */
	uint32_t dir_per_mille;  /* of steps at which a log directory fails */
	int wait_per_mille;      /* of writes to the ensemble that lose the connection */
	bool trace;
	struct sums sums;
};

extern struct world w;
extern struct conf_store w_conf;
/* Its clock and its chance. */
struct env *world_env(void);

void __attribute__((noreturn)) world_failed(const char *file, int line, const char *what);
#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			world_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)
/* With --trace: what happens, one line each. */
void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint32_t below(uint32_t bound);
bool percent(uint32_t chance);

/* ---- sets ---- */

struct members members_of(const int32_t *ids, int32_t count);
bool members_have(const struct members *m, int32_t id);
bool members_equal(const struct members *a, const struct members *b);
/* In any order. */
bool members_include(const struct members *m, const struct members *others);
bool members_are_same(const struct members *a, const struct members *b);
struct members members_without(const struct members *m, const struct members *others);
/* "1,2"; until the next call. */
const char *members_text(const struct members *m);

/* ---- topics: their partitions take turns ---- */

int topic_of(int partition);
int number_of(int partition);
/* -1: it has no such partition. */
int partition_of(int topic, int number);
const char *topic_name(int topic);
int topic_named(const char *name);
struct uuid topic_id(int topic, int32_t incarnation);
/* Of the topic that has the name now. */
struct topic_znode *topic_znode_of(int partition);

/* ---- disks ---- */

void replica_create(struct replica *r, int32_t incarnation, int dir);
void replica_delete(struct replica *r);
void replica_append(struct replica *r, int partition, struct record record);
void replica_truncate(struct replica *r, int64_t end);
void replica_set_high_watermark(struct replica *r, int partition, int64_t high_watermark);

/* ---- calls ---- */

/* NULL: nobody is there, or too many are on their way. The kind's part is the caller's to fill. */
struct call *call_begin(enum call_kind kind, int from, int to);
/* Carries one that is on its way to this broker one step further, if any. */
void call_deliver(int broker);
/* A connection breaks. */
void call_break(void);
/* Nothing of a process is on its way any more as far as others see. */
void call_forget_process(int broker);

/* ---- a broker ---- */

bool broker_leads(int id, int partition);
void broker_take_fetch(int id, int from, struct fetch *fetch);
void broker_fetched(int id, struct fetch *fetch);
void broker_altered(int id, const struct alteration *alteration);
/* One step of a replica, of proposals, of clients that wait. */
void replica_turn(int id, int partition);
void broker_send_proposals(int id);
void broker_acknowledge(int id);
/* What a controller has decided of a partition. */
void replica_decide(int id, int partition, const struct told *told);
void replica_follow(struct replica *r, bool follows);
void replica_forget_clients(int id, int partition);

/* ---- its process ---- */

void broker_start(int id);
/* kill -9, or the end of a controlled shutdown; the ensemble notices now or later. */
void broker_end(int id, bool session_ends);
/* The ensemble forgets its session. */
void broker_expire(int id);
void broker_turn(int id);
/* A log directory fails; with the last one the process ends. */
void broker_fail_directory(int id, int dir);
/* Each directory as it was, whole; or (-1: none) one of them empty. */
void broker_mend_directories(int id, int empty);
void broker_take_command(int id, struct command *command);
void broker_forget(int id);

/* ---- the ensemble ---- */

void ensemble_open(struct env *env);
void ensemble_close(void);
/* Of processes. */
extern const struct zk_ops ensemble_session_ops;
void session_open(struct session *s, const struct zk_events *events);
void session_end(struct session *s);
/* Ends the session of a broker, whose process may know nothing of that, or be gone. */
void ensemble_expire(int id);
/* What anybody may write. */
void ensemble_create_topic(int topic);
void ensemble_ask_to_delete(int topic);
void ensemble_ask_to_move(const struct members targets[PARTITIONS]); /* none: stays */
void ensemble_stop_asking_to_move(void);
void ensemble_ask_to_elect(void);
void ensemble_vacate(void);
/* By the session of the broker. */
void ensemble_tell_of_directory(int id);

/* ---- the controller of a process ---- */

void process_begin(int id);
/* Its session stays for the time being. */
void process_end(int id);
/* The controller, whose thread we are now; between the two its broker may end. */
struct controller *process_enter(int id);
void process_leave(struct controller *c);
void office_turn(int id);
void office_alter(int id, int from, struct alteration *alteration);
void office_shut_down(int id, int from, struct shutdown *shutdown);
/* The oldest command to a broker was answered. */
void office_answered(int id, int to, const struct command *answer);
/* The call that its link waits for. */
uint32_t *office_waited_for(int id, int to);
/* It is in office, has announced itself, and is not in the middle of something. */
bool office_serves(int id);
/* -1: it is not in office. */
int32_t office_epoch(int id);
/* The broker epoch that it commands a broker by; 0: none. */
int64_t office_knows(int id, int32_t broker_id);
/* What it has read of where a znode wants a partition. */
bool office_was_asked(int id, int partition, struct members *ret_target);

/* ---- operators ---- */

/* Where a new topic goes. */
struct members operator_places(void);
void operator_turn(int id);

/* ---- faults ---- */

/* One step of the world, and what befalls it. */
void world_go_on(void);

/* ---- what must always be true ---- */

void world_check(void);
/* The ensemble takes a state, an assignment; a topic goes or comes. */
void world_check_state(int partition, const struct state_znode *before,
		       const struct state_znode *after);
void world_check_assignment(int controller, int partition, const struct assignment *before,
			    const struct assignment *after);
void world_check_deletion(int topic);
void world_begin_topic(int topic);
/* A replica begins to lead; its high watermark rises; its client is answered. */
void world_check_leader(int id, int partition);
void world_check_high_watermark(struct replica *r, int partition, int64_t before);
void world_check_acknowledged(const struct replica *r, const struct pending *pending);
/* A broker (-1: any), or what it was told, is lost: who should delete a replica may not hear of it.
 */
void world_note_strays(int id);
/* The same of one that a controller is about to tell. */
void world_note_stray(int id, int partition);
/* A replica that should not be there. */
bool world_is_outside(int id, int partition);

#endif
