/*
 * topic_describe.c - klamm topic describe, laid out as kafka-topics.sh does.
 */
#include <stdio.h>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"
#include "cli/why.h"

static struct {
	const char *topic;
	bool under_replicated;
	bool unavailable;
	bool exclude_internal;
	bool why;
	bool json;
} opt;

static struct why why; /* with --why */

static bool
only_partitions(void)
{
	return opt.under_replicated || opt.unavailable;
}

static bool
is_wanted(const rd_kafka_metadata_t *md, const rd_kafka_metadata_partition_t *partition)
{
	return !only_partitions() ||
	       (opt.under_replicated && partition_is_under_replicated(partition)) ||
	       (opt.unavailable && partition_is_offline(md, partition));
}

static void
print_ids(const int32_t *ids, int count)
{
	for (int i = 0; i < count; i++)
		printf("%s%d", i == 0 ? "" : ",", ids[i]);
}

static void
print_partition(const char *topic, const rd_kafka_metadata_partition_t *partition)
{
	printf("\tTopic: %s\tPartition: %d\tLeader: ", topic, partition->id);
	if (partition->leader < 0)
		printf("none");
	else
		printf("%d", partition->leader);
	printf("\tReplicas: ");
	print_ids(partition->replicas, partition->replica_cnt);
	printf("\tIsr: ");
	print_ids(partition->isrs, partition->isr_cnt);
	putchar('\n');
}

static void
print_topic(const rd_kafka_metadata_t *md, const rd_kafka_metadata_topic_t *topic,
	    const rd_kafka_ConfigEntry_t **entries, size_t count)
{
	if (!only_partitions()) {
		bool first = true;

		printf("Topic: %s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: ",
		       topic->topic, topic->partition_cnt,
		       topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0);
		for (size_t i = 0; i < count; i++) {
			const char *value = rd_kafka_ConfigEntry_value(entries[i]);

			if (rd_kafka_ConfigEntry_is_default(entries[i]))
				continue;
			printf("%s%s=%s", first ? "" : ",", rd_kafka_ConfigEntry_name(entries[i]),
			       value != NULL ? value : "");
			first = false;
		}
		putchar('\n');
	}
	for (int i = 0; i < topic->partition_cnt; i++) {
		if (!is_wanted(md, &topic->partitions[i]))
			continue;
		print_partition(topic->topic, &topic->partitions[i]);
		if (opt.why)
			why_print(&why, md, topic->topic, &topic->partitions[i]);
	}
}

static json_t *
ids_json(const int32_t *ids, int count)
{
	json_t *array = json_array();

	for (int i = 0; i < count; i++)
		json_array_append_new(array, json_integer(ids[i]));
	return array;
}

static json_t *
partition_json(const rd_kafka_metadata_t *md, const char *topic,
	       const rd_kafka_metadata_partition_t *p)
{
	json_t *object =
	    json_pack("{s:i, s:o, s:o, s:o}", "partition", p->id, "leader",
		      p->leader < 0 ? json_null() : json_integer(p->leader), "replicas",
		      ids_json(p->replicas, p->replica_cnt), "isr", ids_json(p->isrs, p->isr_cnt));

	if (opt.why)
		json_object_set_new(object, "why", why_json(&why, md, topic, p));
	return object;
}

static json_t *
topic_json(const rd_kafka_metadata_t *md, const rd_kafka_metadata_topic_t *topic,
	   const rd_kafka_ConfigEntry_t **entries, size_t count)
{
	json_t *configs = json_object(), *partitions = json_array();

	for (size_t i = 0; i < count; i++) {
		if (!rd_kafka_ConfigEntry_is_default(entries[i]))
			json_object_set_new(configs, rd_kafka_ConfigEntry_name(entries[i]),
					    json_text(rd_kafka_ConfigEntry_value(entries[i])));
	}
	for (int i = 0; i < topic->partition_cnt; i++) {
		const rd_kafka_metadata_partition_t *p = &topic->partitions[i];

		if (is_wanted(md, p))
			json_array_append_new(partitions, partition_json(md, topic->topic, p));
	}
	return json_pack("{s:s, s:i, s:i, s:o, s:o}", "topic", topic->topic, "partition_count",
			 topic->partition_cnt, "replication_factor",
			 topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0, "configs",
			 configs, "partitions", partitions);
}

/* document: NULL for text */
static int
describe(struct client *c, const struct topic_view *view, size_t index, json_t *document)
{
	const rd_kafka_metadata_topic_t *topic = view->topics[index];
	const rd_kafka_ConfigEntry_t **entries = NULL;
	rd_kafka_event_t *event = NULL;
	size_t count = 0;
	int st;

	if (!only_partitions()) {
		st = admin_describe_config(c, RD_KAFKA_RESOURCE_TOPIC, topic->topic, &event,
					   &entries, &count);
		if (st != CLI_DONE)
			return st;
		admin_sort_entries(entries, count);
	}
	if (document != NULL)
		json_array_append_new(document, topic_json(view->metadata, topic, entries, count));
	else
		print_topic(view->metadata, topic, entries, count);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	return CLI_DONE;
}

static int
run(int argc, char **argv)
{
	json_t *document = opt.json ? json_array() : NULL;
	struct topic_view view = {0};
	struct client c = {0};
	int st = CLI_DONE;

	if (opt.topic != NULL || argc > 0)
		st = one_topic(opt.topic, argc, argv, &opt.topic);
	if (st == CLI_DONE)
		st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = topic_view_load(&view, &c, opt.topic, opt.exclude_internal);
	if (st == CLI_DONE && opt.why)
		st = why_load(&why, &view, opt.topic);
	for (size_t i = 0; st == CLI_DONE && i < view.count; i++)
		st = describe(&c, &view, i, document);
	if (st == CLI_DONE && opt.json)
		st = json_document_print(json_incref(document));
	json_decref(document);
	if (opt.why)
		why_fini(&why);
	topic_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "NAME", "The topic; may also be given without --topic. Default: all.",
     OPTION_TEXT, &opt.topic},
    {0, "under-replicated-partitions", NULL,
     "Only partitions with fewer in-sync replicas than "
     "replicas.",
     OPTION_FLAG, &opt.under_replicated},
    {0, "unavailable-partitions", NULL, "Only partitions whose leader is not there.", OPTION_FLAG,
     &opt.unavailable},
    {0, "exclude-internal", NULL, "Leave out __consumer_offsets and __transaction_state.",
     OPTION_FLAG, &opt.exclude_internal},
    {0, "why", NULL,
     "For each partition whose replicas are not all in sync, or that has no leader: which broker, "
     "since when, and why. Kafka's brokers do not tell; then it says what the metadata do.",
     OPTION_FLAG, &opt.why},
    {0, "json", NULL,
     "One JSON array of objects: topic, partition_count, replication_factor, configs, partitions; "
     "with --why each partition has why, null if nothing is wrong.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command topic_describe_command = {
    .name = "topic describe",
    .summary = "Tell partitions, leaders, replicas and settings of topics",
    .args = "[NAME] [OPTION...]",
    .text = "The layout is that of kafka-topics.sh. A topic's id is not told.\n\n"
	    "Examples:\n"
	    "  klamm topic describe orders\n"
	    "  klamm topic describe --unavailable-partitions\n"
	    "  klamm topic describe --under-replicated-partitions --why\n"
	    "  klamm topic describe orders --json\n",
    .options = options,
    .connects = true,
    .run = run,
};
