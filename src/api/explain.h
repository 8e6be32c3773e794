/*
 * explain.h - which replicas are missing, since when, and why: of partitions that this broker leads
 * and, where it is the controller, of those without a leader.
 *
 * Klamm's own, carried by a tag of DescribeLogDirs.
 */
#ifndef KLAMM_API_EXPLAIN_H
#define KLAMM_API_EXPLAIN_H

#include "api/api_call.h"
#include "wire/generated/describe_log_dirs.h"

struct explanation {
	struct api_call *call;    /* its arena has everything */
	const struct str *topics; /* which; none: all */
	int32_t topic_count;
	struct klamm_explained_partition *partitions;
	int32_t count, cap;
	int st; /* -ENOMEM, once it happened */
};

/* Both add to the partitions; 0 or -ENOMEM. The first on a worker. */
MUST_CHECK int explain_led(struct explanation *ex);
/* On the controller's thread. */
MUST_CHECK int explain_leaderless(struct explanation *ex);

#endif
