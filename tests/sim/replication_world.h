/*
 * replication_world.h - the random world of replication_sim: an ensemble, brokers with processes
 * that die and disks that stay, and calls that are on their way.
 *
 * replication_world.c   chance, disks, calls, what must always be true
 * replication_broker.c  a broker: decisions of the controller, leading, following, clients
 * replication_office.c  the ensemble, and the controller on each broker
 * replication_sim.c     faults, and the way back to quiet
 */
#ifndef KLAMM_TESTS_SIM_REPLICATION_WORLD_H
#define KLAMM_TESTS_SIM_REPLICATION_WORLD_H

#include "controller/controller_state.h"
#include "replica/isr.h"
#include "storage/leader_epochs.h"

#define BROKERS 5
#define PARTITIONS 2
#define RECORDS 1024 /* the longest log */
#define EPOCHS 2048  /* the highest leader epoch */
#define CALLS 128    /* on their way at one time */
#define COMMANDS 512 /* of a controller to one broker, not answered yet */
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

struct ensemble {
	int32_t controller;         /* -1: none */
	int64_t controller_session; /* whose ephemeral node it is */
	int32_t controller_epoch, controller_epoch_version;
	int64_t zxid;
	int64_t sessions[BROKERS];      /* 0: none */
	int64_t broker_epochs[BROKERS]; /* 0: not registered */
	struct state_znode states[PARTITIONS];
};

/* One partition on one broker. */
struct replica {
	/* On disk. */
	struct record log[RECORDS];
	int64_t end, flushed, checkpointed;
	struct leader_epochs epochs;
	/* In the process. */
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

/* What a controller tells a broker, of all partitions of the one topic. */
struct command {
	int16_t api_key;
	int32_t controller_id, controller_epoch;
	int64_t broker_epoch;
	bool alive[BROKERS];
	struct {
		bool told;
		int32_t leader, leader_epoch, partition_epoch, controller_epoch;
		struct members isr, replicas;
	} partitions[PARTITIONS];
};

struct fetch {
	int partition;
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

enum office_stage { OFFICE_NONE, OFFICE_ELECTED, OFFICE_KNOWS_BROKERS, OFFICE_SERVES };

/* The way from a controller to one broker: one request at a time, in order, until answered. */
struct link {
	int64_t broker_epoch;  /* 0: closed */
	struct command *queue; /* COMMANDS of them; NULL before the first */
	int first, count;
	uint32_t call_id; /* of the one that is on its way; 0: none */
};

struct office {
	enum office_stage stage;
	struct controller_state *cs;
	int32_t epoch, epoch_version;
	struct link links[BROKERS];
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
	int64_t session; /* as the process believes; 0: none */
	int64_t epoch;
	/* Watches that have fired. */
	bool controller_changed, brokers_changed;
	struct office office;
	/* What UpdateMetadata told. */
	int32_t controller_epoch, controller;
	bool alive[BROKERS];
	uint32_t alter_id;    /* the AlterPartition that is waited for; 0: none */
	uint32_t shutdown_id; /* the same of ControlledShutdown */
	bool stops;           /* a controlled shutdown is under way */
	struct pending pending[APPENDS];
	int pending_count;
	struct replica replicas[PARTITIONS];
};

struct world {
	uint64_t seed, random;
	int64_t now_ms;
	bool calm;
	int broker_count, min_insync_replicas;
	struct members assignment[PARTITIONS];
	struct ensemble zk;
	struct broker brokers[BROKERS];
	bool cut[BROKERS][BROKERS];
	struct call calls[CALLS];
	int call_count;
	uint32_t next_call, next_value;
	int64_t next_session;
	/* The broker whose machine lost its tail, until a controller sees it again; -1: none. */
	int without_power;
	/* What has been committed: below some high watermark. */
	struct record committed[PARTITIONS][RECORDS];
	int64_t committed_end[PARTITIONS];
	int32_t leaders[PARTITIONS][EPOCHS]; /* 1 + who led in an epoch */
	/* How the world is. */
	int crash_per_mille;                     /* at each write to the ensemble */
	uint32_t command_percent, elect_percent; /* controllers that speak; operators */
	bool trace;
	/* Over all worlds. */
	uint64_t turns, acknowledged, elections, offices, crashes, truncated, shrinks, expands;
	uint64_t power_losses, refusals;
};

extern struct world w;

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
/* "1,2"; until the next call. */
const char *members_text(const struct members *m);

/* ---- disks ---- */

void replica_append(struct replica *r, struct record record);
void replica_truncate(struct replica *r, int64_t end);
/* Only upwards, unless the log is shorter; says what is committed. */
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

void broker_start(int id);
/* kill -9, or the end of a controlled shutdown; the ensemble notices now or later. */
void broker_end(int id, bool session_ends);
/* The ensemble forgets its session. */
void broker_expire(int id);
void broker_turn(int id);
bool broker_leads(int id, int partition);
void broker_take_command(int id, struct command *command);
void broker_take_fetch(int id, int from, struct fetch *fetch);
void broker_fetched(int id, struct fetch *fetch);
void broker_altered(int id, const struct alteration *alteration);
/* The process notices that its session is gone, and opens another. */
void broker_session_lost(int id);
void broker_forget(int id);

/* ---- the office ---- */

void office_turn(int id);
void office_alter(int id, int from, struct alteration *alteration);
void office_shut_down(int id, int from, struct shutdown *shutdown);
/* The oldest command to a broker was answered, or has to be sent again. */
void office_answered(int id, int to, bool success);
/* Resigns: nothing that is left of it is sent. */
void office_end(int id);
void office_close(int id);
/* The node of the controller goes. */
void office_vacate(void);
/* An operator wants the preferred leaders. */
void office_elect_preferred(int id);

/* ---- what must always be true ---- */

void world_check(void);
/* The ensemble takes a state. */
void world_check_write(int partition, const struct state_znode *before,
		       const struct state_znode *after);

#endif
