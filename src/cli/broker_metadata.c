/*
 * broker_metadata.c - topics and their partitions, as the controller knows them.
 */
#include "cli/broker_metadata.h"

#include <stdlib.h>

#include "wire/kerr.h"

static int
compare_topics(const void *a, const void *b)
{
	const struct metadata_response_topic *x = a, *y = b;

	return strcmp(x->name.data, y->name.data);
}

static int
compare_partitions(const void *a, const void *b)
{
	const struct metadata_response_partition *x = a, *y = b;

	return (x->partition_index > y->partition_index) -
	       (x->partition_index < y->partition_index);
}

static int
check_topic(const struct metadata_response_topic *topic)
{
	if (topic->error_code == 0)
		return CLI_DONE;
	if (kerr_status(topic->error_code) == K_UNKNOWN_TOPIC_OR_PARTITION)
		complain("there is no topic '%s'; 'klamm topic list' shows those there are",
			 topic->name.data);
	else
		complain("topic '%s': %s", topic->name.data, kerr_text(topic->error_code));
	return CLI_REFUSED;
}

static int
tidy(struct metadata_response *md)
{
	int st = CLI_DONE;

	for (int32_t i = 0; i < md->topics_count; i++) {
		if (md->topics[i].name.data == NULL) {
			complain("asking for topics: the answer has one without a name");
			return CLI_REFUSED;
		}
	}
	if (md->topics_count > 0)
		qsort(md->topics, (size_t)md->topics_count, sizeof(*md->topics), compare_topics);
	for (int32_t i = 0; i < md->topics_count; i++) {
		struct metadata_response_topic *t = &md->topics[i];

		if (check_topic(t) != CLI_DONE)
			st = CLI_REFUSED;
		if (t->partitions_count > 0)
			qsort(t->partitions, (size_t)t->partitions_count, sizeof(*t->partitions),
			      compare_partitions);
	}
	return st;
}

int
broker_metadata_load(struct broker_calls *calls, const char *const *names, size_t count,
		     struct arena *arena, struct metadata_response *ret_metadata)
{
	struct metadata_request req;
	int st;

	metadata_request_init(&req);
	/* Said only where a name could create one: versions before 4 cannot say it. */
	req.allow_auto_topic_creation = names == NULL;
	req.topics_count = -1;
	if (names != NULL) {
		req.topics = metadata_request_topic_new(arena, (int32_t)count);
		if (req.topics == NULL)
			return no_memory();
		req.topics_count = (int32_t)count;
	}
	for (size_t i = 0; names != NULL && i < count; i++)
		req.topics[i].name = str_of(names[i]);
	st = broker_ask(calls, BROKER_CONTROLLER, API_METADATA, &req, arena, ret_metadata,
			"asking for topics");
	return st == CLI_DONE ? tidy(ret_metadata) : st;
}

const struct metadata_response_topic *
broker_metadata_topic(const struct metadata_response *metadata, const char *name)
{
	struct metadata_response_topic key = {.name = str_of(name)};

	if (metadata->topics_count <= 0)
		return NULL;
	return bsearch(&key, metadata->topics, (size_t)metadata->topics_count, sizeof(key),
		       compare_topics);
}

const struct metadata_response_partition *
broker_metadata_partition(const struct metadata_response *metadata, const char *topic,
			  int32_t partition)
{
	const struct metadata_response_topic *t = broker_metadata_topic(metadata, topic);
	struct metadata_response_partition key = {.partition_index = partition};

	if (t == NULL || t->partitions_count <= 0)
		return NULL;
	return bsearch(&key, t->partitions, (size_t)t->partitions_count, sizeof(key),
		       compare_partitions);
}
