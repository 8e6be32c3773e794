/*
 * reassign_planning.h - a plan, made from options or read from a file, held against the cluster as
 * it is, and what it will cost.
 *
 * Everything here tells what went wrong before it returns anything but CLI_DONE.
 */
#ifndef KLAMM_CLI_REASSIGN_PLANNING_H
#define KLAMM_CLI_REASSIGN_PLANNING_H

#include <stdio.h>

#include "cli/reassign_progress.h"
#include "cli/reassign_view.h"

/* What the options say; begins zeroed. */
struct planning {
	struct text_list drain, add, brokers, topics;
	bool all_topics;
	int64_t replication_factor;
};

/* Rows of a table of options. */
/* clang-format off */
#define PLANNING_ROWS(p)									\
	{0, "drain", "BROKER[,...]",								\
	 "These brokers shall hold nothing; their replicas go to the others. A "		\
	 "broker that is gone for good can be drained too.",					\
	 OPTION_LIST, &(p).drain, 0, 0},							\
	{0, "add", "BROKER[,...]",								\
	 "These brokers shall hold their share; nothing moves between the others.",		\
	 OPTION_LIST, &(p).add, 0, 0},								\
	{0, "replication-factor", "N",								\
	 "Each partition of --topic or --all-topics shall have so many replicas.",		\
	 OPTION_INT, &(p).replication_factor, 1, INT16_MAX},					\
	{0, "brokers", "BROKER[,...]",								\
	 "Only these are given replicas. Default: all that are there.",				\
	 OPTION_LIST, &(p).brokers, 0, 0},							\
	{'t', "topic", "TOPIC",									\
	 "Only this topic moves. Default, but for --replication-factor: all.",			\
	 OPTION_LIST, &(p).topics, 0, 0},							\
	{0, "all-topics", NULL,									\
	 "All topics, internal ones too.",							\
	 OPTION_FLAG, &(p).all_topics, 0, 0}
/* clang-format on */

/* Of the partitions that change, what is to be and what is; the same partitions in both. */
struct reassign_plan {
	struct assignment target;
	struct assignment former;
	size_t copies; /* replicas */
	int64_t bytes; /* to copy; -1: not known */
	/* Of each partition, once weighed. */
	struct move_seen *moves;
};

/* Do the options ask for a plan? */
bool planning_is_asked(const struct planning *p);
/* Looks the options through, before anything is asked of a cluster. */
MUST_CHECK int planning_check(const struct planning *p);
/* Plans. What is being reassigned already stays as it is, which is told. */
MUST_CHECK int reassign_plan_make(const struct planning *p, const struct reassign_view *view,
				  const struct cluster_view *cluster, struct arena *arena,
				  struct reassign_plan *ret_plan);
/*
 * Holds a plan that was read against the cluster: its partitions and the brokers that get replicas
 * have to be there. Those that are so already, and are not being reassigned, are left out.
 */
MUST_CHECK int reassign_plan_of(const struct assignment *wanted, const struct reassign_view *view,
				const struct cluster_view *cluster, struct arena *arena,
				struct reassign_plan *ret_plan);
/* Asks how much there is to copy, into copies and bytes. */
MUST_CHECK int reassign_plan_weigh(struct reassign_plan *plan, struct broker_calls *calls,
				   struct arena *arena);
/* "Changes 8 partitions, copies 12 replicas: 1.2 GB." and what that means for each broker. */
void reassign_plan_tell(const struct reassign_plan *plan, const struct reassign_view *view,
			FILE *out);

#endif
