/*
 * topic_view.c - metadata in an order that people can read.
 */
#include "cli/topic_view.h"

#include <stdlib.h>

bool
topic_is_internal(const char *topic)
{
	return strcmp(topic, "__consumer_offsets") == 0 ||
	       strcmp(topic, "__transaction_state") == 0;
}

static int
compare_topics(const void *a, const void *b)
{
	const rd_kafka_metadata_topic_t *const *x = a, *const *y = b;

	return strcmp((*x)->topic, (*y)->topic);
}

static int
compare_partitions(const void *a, const void *b)
{
	const rd_kafka_metadata_partition_t *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int
topic_view_load(struct topic_view *view, struct client *c, const char *topic, bool exclude_internal)
{
	const rd_kafka_metadata_t *md;
	int st;

	st = topic != NULL ? client_topic_metadata(c, topic, &md)
			   : client_metadata(c, true, NULL, &md);
	if (st != CLI_DONE)
		return st;
	view->metadata = md;
	view->topics = calloc((size_t)md->topic_cnt + 1, sizeof(*view->topics));
	if (view->topics == NULL)
		return no_memory();
	for (int i = 0; i < md->topic_cnt; i++) {
		if (exclude_internal && topic_is_internal(md->topics[i].topic))
			continue;
		if (md->topics[i].partition_cnt > 0)
			qsort(md->topics[i].partitions, (size_t)md->topics[i].partition_cnt,
			      sizeof(*md->topics[i].partitions), compare_partitions);
		view->topics[view->count++] = &md->topics[i];
	}
	qsort(view->topics, view->count, sizeof(*view->topics), compare_topics);
	return CLI_DONE;
}

void
topic_view_fini(struct topic_view *view)
{
	free(view->topics);
	if (view->metadata != NULL)
		rd_kafka_metadata_destroy(view->metadata);
	*view = (struct topic_view){0};
}

bool
broker_is_alive(const rd_kafka_metadata_t *metadata, int32_t id)
{
	for (int i = 0; i < metadata->broker_cnt; i++) {
		if (metadata->brokers[i].id == id)
			return true;
	}
	return false;
}

bool
partition_is_offline(const rd_kafka_metadata_t *metadata,
		     const rd_kafka_metadata_partition_t *partition)
{
	return partition->leader < 0 || !broker_is_alive(metadata, partition->leader);
}

bool
partition_is_under_replicated(const rd_kafka_metadata_partition_t *partition)
{
	return partition->isr_cnt < partition->replica_cnt;
}
