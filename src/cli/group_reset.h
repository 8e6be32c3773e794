/*
 * group_reset.h - moving groups' committed offsets: the plan, and carrying it out.
 *
 * A group's plan is made as a whole or refused as a whole: it has members, a partition is not
 * there, there is nothing to shift. Why is told; other groups go on.
 */
#ifndef KLAMM_CLI_GROUP_RESET_H
#define KLAMM_CLI_GROUP_RESET_H

#include "cli/group_view.h"
#include "cli/offsets_csv.h"
#include "cli/partition_scope.h"
#include "cli/reset_plan.h"

struct reset_request {
	struct reset_spec spec;
	const struct partition_scope *partitions; /* NULL with file */
	const struct offsets_csv *file;           /* NULL: spec says where */
};

/* One partition. The texts live in the view, the scope's list or the file. */
struct reset_row {
	const char *topic;
	int32_t partition;
	int64_t current;   /* committed so far, or -1 */
	int64_t from_file; /* of the file */
	struct reset_outcome to;
	rd_kafka_resp_err_t err; /* of carrying it out */
};

struct group_reset {
	const struct group *group;
	struct reset_row *rows; /* by topic and partition */
	size_t count;
	bool refused;                             /* told; nothing is to be done for it */
	rd_kafka_topic_partition_list_t *targets; /* owns the topics' names of rows */
};

/*
 * One for each group of the view, in its order, whose descriptions and committed offsets are
 * loaded; group_reset_free() takes the array. CLI_DONE also when groups are refused.
 */
MUST_CHECK int group_reset_plan(const struct group_view *view, struct client *c,
				const struct reset_request *request,
				struct group_reset **ret_resets);
/* Commits. CLI_REFUSED when a partition was refused, which has been told and stands in its row. */
MUST_CHECK int group_reset_execute(struct client *c, struct group_reset *resets, size_t count);
void group_reset_free(struct group_reset *resets, size_t count);

#endif
