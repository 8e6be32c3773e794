/*
 * group_world.h - the random world of group_sim: a group, the log its records are in, the clients.
 *
 * group_world.c        chance, the log, records on their way
 * group_coordinator.c  the coordinator: who waits for it, how it goes and comes back
 * group_client.c       a client, from joining to leaving
 * group_sim.c          chaos, and the way back to calm
 */
#ifndef KLAMM_TESTS_SIM_GROUP_WORLD_H
#define KLAMM_TESTS_SIM_GROUP_WORLD_H

#include "group/group.h"
#include "group/group_records.h"

#define CLIENTS 8
#define PARTITIONS 6 /* the first half of topic t, the rest of topic u */
#define GENERATIONS 1024
#define WALL_MS INT64_C(1700000000000)
#define REBALANCE_MIN_MS 5000
#define READS_U 1

enum client_state { GONE, TO_JOIN, JOINING, TO_SYNC, SYNCING, MEMBER };

struct client {
	enum client_state state;
	uint32_t process; /* answers to earlier processes in this place are nobody's */
	char id[32], instance[16];
	bool is_static, needs_id, skips, leads;
	int32_t generation, session_ms, rebalance_ms;
	int64_t act_ms;
	uint8_t reads;     /* READS_U, and bits that only make the metadata different */
	uint8_t protocols; /* 0: range; 1: range, rr; 2: rr, range; 3: rr alone */
	char protocol[8];
	struct str joined_ids[CLIENTS * 2];
	char joined_id_text[CLIENTS * 2][32];
	uint8_t joined_reads[CLIENTS * 2];
	int32_t joined_count;
	bool owns[PARTITIONS], fetched[PARTITIONS];
	int64_t pos[PARTITIONS];
};

struct waiter {
	struct waiter *next;
	int client;
	uint32_t process;
	bool is_join, answered;
};

/* A record on its way: acknowledged at due_ms. */
struct ack {
	struct ack *next;
	int64_t due_ms, batch_offset, offset;
	int partition; /* -1: the group's record */
	uint64_t store_id;
	bool refused;
};

struct log_entry {
	struct buf batch;
	int partition;
	int64_t offset;
};

struct world {
	uint64_t seed, random;
	int64_t now_ms;
	bool calm, away;
	int64_t back_ms;
	struct group *g;
	struct group_settings settings;
	int32_t last_generation;
	struct client clients[CLIENTS];
	struct waiter *waiters;
	int32_t waiting;
	struct ack *acks;
	struct log_entry *log;
	int64_t log_count, log_cap;
	int64_t last_logged[PARTITIONS]; /* -1: none, or reset */
	int64_t last_batch[PARTITIONS];  /* what was visible last */
	char owner[GENERATIONS][PARTITIONS][32];
	uint32_t next_id, next_process, rebalance_span_ms;
	int refuse_percent, late_ms;
	uint64_t steps, stables, moves, replaced;
};

extern struct world w;

void __attribute__((noreturn)) world_failed(const char *file, int line, const char *what);
#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			world_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)

uint32_t below(uint32_t bound);
bool percent(uint32_t chance);
struct group_now now(void);
struct str topic_of(int partition);

/* ---- the log ---- */

/* Ends the batch and appends it: of a partition's offset, or of the group (-1, 0). */
void world_log(struct record_batch_builder *b, int partition, int64_t offset);
void world_store_group(uint64_t store_id);
/* reset: by somebody who is no member; may go backwards. */
void world_write_offset(int partition, int64_t offset, bool reset);
/* Tells the group what became of the records that are due. */
void world_run_acks(void);
void world_forget_acks(void);

/* ---- the coordinator ---- */

/* Carries out and frees what the group decided. */
void world_apply(struct group_effects *fx);
/* Owned by the world, which counts it until it is answered. */
struct waiter *world_wait(const struct client *c, bool is_join);
void world_make_group(void);
void world_forget_group(void);
void world_move_away(void);
void world_come_back(void);
/* Takes offsets out that are too old, and the group with the last of them. */
void world_expire(void);

/* ---- a client ---- */

void client_start(struct client *c);
/* What it does by itself at act_ms. */
void client_acts(struct client *c);
void client_act_in(struct client *c, uint32_t at_most_ms);
void client_join(struct client *c);
void client_joined(struct client *c, const struct group_joined *joined);
void client_synced(struct client *c, const struct group_synced *synced);
/* by_operator: by its instance id alone; a dynamic member leaves by itself. */
void client_leave(struct client *c, bool by_operator);
void client_forget_assignment(struct client *c);

#endif
