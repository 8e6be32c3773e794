/*
 * reassign_view.h - what the controller says of partitions, and of those that are being reassigned.
 */
#ifndef KLAMM_CLI_REASSIGN_VIEW_H
#define KLAMM_CLI_REASSIGN_VIEW_H

#include "base/ids.h"
#include "cli/assignment_file.h"
#include "cli/broker_metadata.h"
#include "wire/generated/list_partition_reassignments.h"

/* What such commands keep in an arena, at most. */
#define REASSIGN_ARENA_MAX ((size_t)4 << 30)

/* A partition that is being reassigned. */
struct ongoing {
	const char *topic;
	const struct ongoing_partition_reassignment *p;
};

struct reassign_view {
	struct metadata_response metadata; /* all topics; left empty by the list alone */
	struct ongoing *ongoing;           /* by topic and partition */
	size_t ongoing_count;
};

/* Everything into the arena. Tells what went wrong. */
MUST_CHECK int reassign_view_load(struct reassign_view *view, struct broker_calls *calls,
				  struct arena *arena);
/*
 * Only what is being reassigned. Tells nothing: on CLI_REFUSED *why says it.
 */
MUST_CHECK int reassign_view_list(struct reassign_view *view, struct broker_calls *calls,
				  struct arena *arena, struct buf *why);
/* NULL where it is not being reassigned. */
const struct ongoing *reassign_view_ongoing(const struct reassign_view *view, const char *topic,
					    int32_t partition);

bool ids_equal(const int32_t *a, int32_t a_count, const int32_t *b, int32_t b_count);
/* Those of a that are not in b, in the arena; NULL without memory. */
int32_t *ids_without(struct arena *arena, const int32_t *a, int32_t a_count, const int32_t *b,
		     int32_t b_count, int32_t *ret_count);

#endif
