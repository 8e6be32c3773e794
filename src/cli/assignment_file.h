/*
 * assignment_file.h - which brokers hold partitions, in the JSON of kafka-reassign-partitions.sh:
 *
 *	{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]},...]}
 *
 * log_dirs may stand beside replicas, as Kafka writes it, with "any" for each.
 *
 * Source   Kafka's ReassignPartitionsCommand.
 */
#ifndef KLAMM_CLI_ASSIGNMENT_FILE_H
#define KLAMM_CLI_ASSIGNMENT_FILE_H

#include "base/arena.h"
#include "base/bytes.h"

struct assigned_partition {
	const char *topic;
	int32_t partition;
	const int32_t *replicas;
	int32_t replica_count;
};

/* Borrowed memory; an arena's, mostly. */
struct assignment {
	struct assigned_partition *items; /* by topic and partition */
	size_t count;
};

/*
 * Reads a file's text into the arena. Returns 0; -ENOMEM; or -EINVAL with why, a sentence without a
 * full stop: no such JSON, another version, a partition twice, a broker twice in one, no replicas.
 */
MUST_CHECK int assignment_parse(struct slice text, struct arena *arena, struct assignment *ret,
				struct buf *why);
/* Appends one partition a line, so that the file can be compared and edited. */
void assignment_format(const struct assignment *assignment, struct buf *out);
/* By topic and partition. */
void assignment_sort(struct assignment *assignment);
/* NULL where it is not there. */
const struct assigned_partition *assignment_find(const struct assignment *assignment,
						 const char *topic, int32_t partition);

#endif
