/*
 * reset_plan.h - where a reset puts a group's committed offset in one partition.
 *
 * Decides only: what is asked of the cluster goes in as numbers. The rules are those of Kafka's
 * kafka-consumer-groups.sh --reset-offsets.
 */
#ifndef KLAMM_CLI_RESET_PLAN_H
#define KLAMM_CLI_RESET_PLAN_H

#include "base/bytes.h"

enum reset_kind {
	RESET_TO_EARLIEST,
	RESET_TO_LATEST,
	RESET_TO_CURRENT, /* where it is; the end where nothing was committed */
	RESET_TO_OFFSET,  /* value */
	RESET_SHIFT_BY,   /* value, negative for back */
	RESET_TO_TIME     /* the first record of that time or later; the end when there is none */
};

struct reset_spec {
	enum reset_kind kind;
	int64_t value;
};

#define RESET_NONE (-1)

/* One partition. */
struct reset_input {
	int64_t current; /* committed, or RESET_NONE */
	int64_t start;   /* log start offset */
	int64_t end;     /* log end offset */
	int64_t at_time; /* RESET_TO_TIME: the offset of that time, or RESET_NONE */
};

enum reset_note {
	RESET_EXACT,
	RESET_RAISED,   /* what was asked for lies before the log's start */
	RESET_LOWERED,  /* what was asked for lies beyond the log's end */
	RESET_NO_RECORD /* no record is that late: the end */
};

struct reset_outcome {
	int64_t offset;
	int64_t asked; /* what RAISED and LOWERED replaced */
	enum reset_note note;
};

/* 0, or -ENOENT: there is no committed offset to shift. */
MUST_CHECK int reset_decide(const struct reset_spec *spec, const struct reset_input *in,
			    struct reset_outcome *ret_outcome);

#endif
