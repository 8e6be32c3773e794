/*
 * group_lag.h - how far a group is behind in each partition, and who owns it.
 */
#ifndef KLAMM_CLI_GROUP_LAG_H
#define KLAMM_CLI_GROUP_LAG_H

#include "cli/group_view.h"

/* A partition that is assigned, committed, or both. */
struct lag_row {
	const char *topic; /* lives in the view */
	int32_t partition;
	int64_t current; /* committed offset, or -1 */
	int64_t end;     /* log end offset, or -1 where it is not known */
	const rd_kafka_MemberDescription_t *member; /* owner, or NULL; lives in the view */
};

struct group_lag {
	struct lag_row *rows; /* by topic and partition */
	size_t count;
};

/*
 * One for each group of the view, in its order, whose descriptions and committed offsets are
 * loaded; group_lag_free() takes the array. Tells what goes wrong.
 */
MUST_CHECK int group_lag_load(const struct group_view *view, struct client *c,
			      struct group_lag **ret_lags);
void group_lag_free(struct group_lag *lags, size_t count);

/* end - current; meaningless (false) when one is not known. Below 0 where a log was cut. */
bool lag_row_lag(const struct lag_row *row, int64_t *ret_lag);

#endif
