/*
 * storage_fixture.h - what the tests of the storage room share: a temporary directory, a machine
 * whose clock is set and whose disk fails on demand, logs in it, record batches.
 */
#ifndef KLAMM_TESTS_STORAGE_FIXTURE_H
#define KLAMM_TESTS_STORAGE_FIXTURE_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/workers.h"
#include "storage/log_manager.h"

/* The machine: env first. Every call that can fail passes `calls`. */
struct machine {
	struct env env;
	_Atomic int64_t now_ms;
	_Atomic int64_t monotonic_us;
	_Atomic uint64_t random;
	/* Faults. */
	_Atomic int64_t calls;      /* how many calls that can fail there were */
	_Atomic int64_t fail_at;    /* the call of this number fails; -1: none */
	_Atomic int fail_error;     /* with this errno */
	_Atomic bool dead;          /* from that call on nothing works: the process was killed */
	_Atomic bool kill;          /* fail_at kills */
	_Atomic bool tear;          /* a write that fails has written its first half */
	_Atomic int64_t room_bytes; /* how much may still be written; INT64_MAX */
	_Atomic bool flushes_pause; /* fdatasync waits until this is false */
	_Atomic int64_t flushes;
};

void machine_init(struct machine *m);
/* Call number n from now on (from 0) fails with error. */
void machine_fail_at(struct machine *m, int64_t n, int error);
/* Call number n from now on, and all after it, fail: as if the process had been killed there. */
void machine_kill_at(struct machine *m, int64_t n, bool tear);
void machine_repair(struct machine *m);

struct storage {
	struct machine machine;
	struct workers *workers;
	struct log_manager *lm;
	struct log_config config; /* what configure() gives */
	char root[64];            /* temporary directory */
	char dirs[3][96];         /* root/a, root/b, root/c */
	size_t dir_count;         /* how many of them are log directories: 1 */
	const char *boot_id;
	bool cleaner_enable;     /* false */
	bool first_loaded_waits; /* log_loaded() of the first log returns when all are counted */
	size_t max_open_files;   /* 0: the default */
	_Atomic int dir_failures;
	_Atomic int logs_loaded;
	_Atomic int rooms_came;
};

/* cmocka's setup and teardown of one struct storage, with nothing opened. */
int storage_setup(void **state);
int storage_teardown(void **state);

/* Opens the manager and waits until all is loaded. Returns what the two calls return. */
int storage_try_start(struct storage *s);
void storage_start(struct storage *s);
void storage_stop(struct storage *s, bool clean);
/* Stops as kill -9 would: nothing is written. */
void storage_crash(struct storage *s);
/* The only log of most tests, "orders-0", counted. */
struct log *storage_log(struct storage *s);
void storage_path(const struct storage *s, const char *name, char *path, size_t size);
/* The whole content of a file of log directory 0. */
void storage_read_file(const struct storage *s, const char *name, struct buf *ret);
void storage_write_file(const struct storage *s, const char *name, const void *data, size_t len);
bool storage_has_file(const struct storage *s, const char *name);
int64_t storage_file_size(const struct storage *s, const char *name);

/* How a batch is made; zero-initialised is one record "k0" => "v0", no timestamp. */
struct batch_spec {
	int64_t timestamp_ms; /* of the first record; each next one is a millisecond later */
	int64_t producer_id;  /* 0: none */
	int32_t count;        /* of records; 0 is 1 */
	int32_t base_sequence;
	int32_t leader_epoch;
	int16_t producer_epoch;
	int64_t base_offset;
	size_t value_bytes; /* 0: a short one */
	enum compression codec;
	bool transactional;
	bool no_keys;
};
void build_batch(const struct batch_spec *spec, struct buf *out);
void build_marker(int64_t producer_id, int16_t epoch, bool abort, int32_t coordinator_epoch,
		  int64_t timestamp_ms, struct buf *out);

/* Appends as leader, epoch 0, origin client. */
int append_batch(struct log *log, const struct batch_spec *spec, struct log_append_result *ret);
int append_bytes(struct log *log, struct buf *bytes, enum log_append_origin origin,
		 struct log_append_result *ret, struct log_append_refusal *ret_refusal);
int append_marker(struct log *log, int64_t producer_id, int16_t epoch, bool abort,
		  int32_t coordinator_epoch);
/* n batches of one record; asserts that they are taken. */
void append_many(struct log *log, int n);
/* As a fetch does: first without waiting for the disk, and when that cannot be, waiting. */
int read_log(struct log *log, int64_t offset, int32_t max_bytes, enum log_isolation isolation,
	     struct log_read *ret_read);
/* Reads from offset up to isolation, everything that is there, batch headers checked. */
void read_all(struct log *log, int64_t offset, enum log_isolation isolation, struct buf *ret);
/* The records of read_all(): how many, and that their offsets rise from `offset` by one. */
int64_t count_records(struct log *log, int64_t offset);

#endif
