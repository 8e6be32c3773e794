/*
 * group_view.h - consumer groups as their coordinators tell of them, and what they committed.
 *
 * Requests about many groups are under way together: descriptions by the hundred, committed offsets
 * in a window. A coordinator that is moving or loading is asked again until --timeout.
 *
 * Everything here tells what went wrong before it returns anything but CLI_DONE, as client.h does;
 * what is wrong with one group alone stands in it, for group_is_usable() to tell.
 */
#ifndef KLAMM_CLI_GROUP_VIEW_H
#define KLAMM_CLI_GROUP_VIEW_H

#include <jansson.h>

#include "cli/client.h"

/* Which groups a command is about: --group, --all-groups. */
struct group_scope {
	struct text_list groups;
	bool all;
	/* With all: only those in one of these states, unless there is none. */
	rd_kafka_consumer_group_state_t states[RD_KAFKA_CONSUMER_GROUP_STATE__CNT];
	size_t state_count;
};

#define GROUP_ROW(scope)                                                                           \
	{                                                                                          \
		'g', "group", "GROUP", "A group; may also be given without --group.", OPTION_LIST, \
		    &(scope).groups, 0, 0                                                          \
	}
#define ALL_GROUPS_ROW(scope)                                                                      \
	{                                                                                          \
		0, "all-groups", NULL, "All groups that there are.", OPTION_FLAG, &(scope).all, 0, \
		    0                                                                              \
	}

struct group {
	char *id;
	rd_kafka_consumer_group_state_t listed; /* state that a list of all told; else UNKNOWN */
	const rd_kafka_ConsumerGroupDescription_t *description; /* NULL: err says why */
	rd_kafka_resp_err_t err;
	char *why;                                  /* err in words; owned */
	rd_kafka_topic_partition_list_t *committed; /* sorted; NULL: not loaded, or err */
};

/* Zero-initialised is empty. */
struct group_view {
	struct group *groups; /* sorted by id, each once */
	size_t count;
	rd_kafka_event_t **events; /* own the descriptions */
	size_t event_count;
};

/*
 * Adds the arguments to scope; tells when no group is named, or some are beside --all-groups.
 */
MUST_CHECK int group_scope_read(struct group_scope *scope, int argc, char **argv);
/* A client that can ask for committed offsets and log offsets. */
MUST_CHECK int group_client_open(struct client *c, const struct group_scope *scope);

/* The groups' names alone. */
MUST_CHECK int group_view_select(struct group_view *view, struct client *c,
				 const struct group_scope *scope);
/* Their descriptions: state, coordinator, members. */
MUST_CHECK int group_view_describe(struct group_view *view, struct client *c);
/* What they committed, of those whose description is there. */
MUST_CHECK int group_view_load_committed(struct group_view *view, struct client *c);
/* All three. */
MUST_CHECK int group_view_load(struct group_view *view, struct client *c,
			       const struct group_scope *scope);
void group_view_fini(struct group_view *view);

/* A group's name as a terminal may show it. Valid until the next call. */
const char *group_shown(const char *id);
rd_kafka_consumer_group_state_t group_state(const struct group *group);
/* Tells and returns false when there is no description, or (must_exist) no such group. */
bool group_is_usable(const struct group *group, bool must_exist);
/* Tells on standard error what Kafka's tools do: no active members, rebalancing. */
void group_warn_of_state(const struct group *group);
/* Is this an answer of a coordinator that is moving or loading? */
bool group_error_is_temporary(rd_kafka_resp_err_t err);

/*
 * A whole command that looks groups up and tells of each by print(group, array), which hands on
 * a status; array is NULL unless json, when it is printed at the end.
 */
MUST_CHECK int group_print_each(struct group_scope *scope, int argc, char **argv, bool json,
				int (*print)(const struct group *group, json_t *array));

/* A member's partitions, or NULL. */
const rd_kafka_topic_partition_list_t *
member_partitions(const rd_kafka_MemberDescription_t *member);
/* The committed offset of a partition, or -1. */
int64_t group_committed(const struct group *group, const char *topic, int32_t partition);

/* The element of a list that rd_kafka_topic_partition_list_sort() sorted, or NULL. */
rd_kafka_topic_partition_t *partition_list_search(const rd_kafka_topic_partition_list_t *list,
						  const char *topic, int32_t partition);
/* Sorts by topic and partition, and keeps one of each. */
void partition_list_tidy(rd_kafka_topic_partition_list_t *list);

#endif
