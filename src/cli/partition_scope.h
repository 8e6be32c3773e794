/*
 * partition_scope.h - which of a group's partitions a command is about: --topic, --all-topics.
 */
#ifndef KLAMM_CLI_PARTITION_SCOPE_H
#define KLAMM_CLI_PARTITION_SCOPE_H

#include "cli/group_view.h"
#include "cli/partition_spec.h"

struct partition_scope {
	struct text_list topics;
	bool all;
	struct partition_spec *specs; /* what topics say, once read */
};

#define TOPIC_ROW(scope)                                                                           \
	{                                                                                          \
		't', "topic", "TOPIC[:P,P...]", "A topic, or those partitions of it.",             \
		    OPTION_LIST, &(scope).topics, 0, 0                                             \
	}
#define ALL_TOPICS_ROW(scope)                                                                      \
	{                                                                                          \
		0, "all-topics", NULL, "All partitions that the group has committed offsets of.",  \
		    OPTION_FLAG, &(scope).all, 0, 0                                                \
	}

/* Tells a mistake; that neither was given is one. */
MUST_CHECK int partition_scope_read(struct partition_scope *scope);
void partition_scope_fini(struct partition_scope *scope);

/* Those of the group's committed partitions that are in the scope. The caller destroys the list. */
rd_kafka_topic_partition_list_t *partition_scope_committed(const struct partition_scope *scope,
							   const struct group *group);
/*
 * All partitions that the topics say, which are looked up where they are named as a whole; tidy.
 * Tells of a topic that is not there. The caller destroys the list.
 */
MUST_CHECK int partition_scope_expand(const struct partition_scope *scope, struct client *c,
				      rd_kafka_topic_partition_list_t **ret_list);

#endif
