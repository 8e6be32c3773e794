/*
 * dump.h - what the parts of klamm log dump share: the options, the file, and what is wrong with
 * it.
 *
 * Files are opened for reading only and may be a running broker's. Text is laid out as Kafka's
 * DumpLogSegments does; with --json each line is an object whose "type" says what it tells.
 */
#ifndef KLAMM_CLI_DUMP_H
#define KLAMM_CLI_DUMP_H

#include "base/env.h"
#include "cli/command.h"

enum dump_decoder { DUMP_PLAIN, DUMP_OFFSETS, DUMP_TRANSACTIONS };

struct dump {
	struct env *env;
	const char *path; /* of the file in hand */
	enum dump_decoder decoder;
	bool deep;        /* records too */
	bool print_data;  /* with keys and values */
	bool sanity_only; /* of indexes */
	bool verify_only; /* of indexes: print nothing but mismatches */
	bool json;
	int64_t max_bytes; /* of a segment; 0: all */
	uint64_t faults;
};

/* Files larger than this are no indexes, snapshots or checkpoints. */
#define DUMP_FILE_MAX ((size_t)256 << 20)

/* One line on standard error, with the path; counts. */
void dump_fault(struct dump *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Tells -errno of a file that cannot be read; counts. */
void dump_unreadable(struct dump *d, int st);
/* Prints one line of JSON or text that out holds, and empties it. */
void dump_line(struct buf *out);
/* The offset that a segment's file is named by. False when the name has none. */
bool dump_base_offset(const char *path, int64_t *ret_offset);
/* The path of the file beside this one, with another suffix; text holds PATH_MAX bytes. */
bool dump_sibling(const char *path, const char *suffix, char *text, size_t size);

/* Each tells of the file d->path; faults are counted. */
void dump_segment(struct dump *d);
void dump_offset_index(struct dump *d);
void dump_time_index(struct dump *d);
void dump_txn_index(struct dump *d);
void dump_snapshot(struct dump *d);
void dump_offset_checkpoint(struct dump *d);
void dump_leader_epochs(struct dump *d);
void dump_partition_metadata(struct dump *d);
void dump_properties(struct dump *d);

/* A key and a value of an internal topic, as text or JSON; false when they are none. */
bool dump_decode(enum dump_decoder decoder, struct slice key, struct slice value, bool json,
		 struct buf *out);

#endif
