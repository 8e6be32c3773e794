/*
 * partition_scope.c - which of a group's partitions a command is about.
 */
#include "cli/partition_scope.h"

#include <errno.h>
#include <stdlib.h>

int
partition_scope_read(struct partition_scope *scope)
{
	int st;

	if (scope->all && scope->topics.count > 0)
		return usage_error("--all-topics and --topic: give one of the two");
	if (!scope->all && scope->topics.count == 0)
		return usage_error("which partitions? Give --topic TOPIC[:P,P...] or --all-topics");
	scope->specs = calloc(scope->topics.count + 1, sizeof(*scope->specs));
	if (scope->specs == NULL)
		return no_memory();
	for (size_t i = 0; i < scope->topics.count; i++) {
		st = partition_spec_parse(&scope->specs[i], scope->topics.items[i]);
		if (st == -EINVAL)
			return usage_error("--topic takes TOPIC or TOPIC:0,1,2, not '%s'",
					   scope->topics.items[i]);
		if (st != 0)
			return no_memory();
	}
	return CLI_DONE;
}

void
partition_scope_fini(struct partition_scope *scope)
{
	for (size_t i = 0; scope->specs != NULL && i < scope->topics.count; i++)
		partition_spec_fini(&scope->specs[i]);
	free(scope->specs);
	scope->specs = NULL;
}

static bool
is_in_scope(const struct partition_scope *scope, const rd_kafka_topic_partition_t *p)
{
	for (size_t i = 0; i < scope->topics.count; i++) {
		if (partition_spec_has(&scope->specs[i], p->topic, p->partition))
			return true;
	}
	return scope->all;
}

rd_kafka_topic_partition_list_t *
partition_scope_committed(const struct partition_scope *scope, const struct group *group)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);

	for (int i = 0; group->committed != NULL && i < group->committed->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &group->committed->elems[i];

		if (p->offset >= 0 && is_in_scope(scope, p))
			rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
	}
	return list;
}

static int
add_topic(struct client *c, const char *topic, rd_kafka_topic_partition_list_t *list)
{
	const rd_kafka_metadata_t *md;
	int st;

	st = client_topic_metadata(c, topic, &md);
	if (st != CLI_DONE)
		return st;
	for (int i = 0; i < md->topics[0].partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, topic, md->topics[0].partitions[i].id);
	rd_kafka_metadata_destroy(md);
	return CLI_DONE;
}

int
partition_scope_expand(const struct partition_scope *scope, struct client *c,
		       rd_kafka_topic_partition_list_t **ret_list)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	int st = CLI_DONE;

	for (size_t i = 0; st == CLI_DONE && i < scope->topics.count; i++) {
		const struct partition_spec *spec = &scope->specs[i];

		for (size_t j = 0; j < spec->count; j++)
			rd_kafka_topic_partition_list_add(list, spec->topic, spec->partitions[j]);
		if (spec->count == 0)
			st = add_topic(c, spec->topic, list);
	}
	if (st != CLI_DONE) {
		rd_kafka_topic_partition_list_destroy(list);
		return st;
	}
	partition_list_tidy(list);
	*ret_list = list;
	return CLI_DONE;
}
