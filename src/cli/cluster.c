/*
 * cluster.c - klamm cluster: who is there, and what is wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"
#include "cli/why.h"

static struct {
	bool json;
} opt;

/* So many partitions of a kind are named; the rest is counted. */
#define NAMED_MAX 20

/* What may be wrong with a partition. */
enum trouble { OFFLINE, UNDER_REPLICATED, UNDER_MIN_ISR, TROUBLE_COUNT };

struct tally {
	int partitions;
	int replicas;
	int trouble[TROUBLE_COUNT];
	bool min_isr_unknown; /* a leader does not tell: one of Kafka's, or it did not answer */
};

static struct why why; /* asked only when something is wrong */

static bool
is_under_min_isr(const char *topic, const rd_kafka_metadata_partition_t *p)
{
	const struct klamm_explained_partition *ep = why_of(&why, topic, p->id);

	return ep != NULL && ep->leader >= 0 && ep->isr_count < ep->min_isr;
}

static bool
has_trouble(const rd_kafka_metadata_t *md, const char *topic,
	    const rd_kafka_metadata_partition_t *p, enum trouble trouble)
{
	switch (trouble) {
	case OFFLINE:
		return partition_is_offline(md, p);
	case UNDER_REPLICATED:
		return partition_is_under_replicated(p);
	default:
		return is_under_min_isr(topic, p);
	}
}

static void
count_partition(const rd_kafka_metadata_t *md, const char *topic,
		const rd_kafka_metadata_partition_t *p, struct tally *tally)
{
	tally->partitions++;
	tally->replicas += p->replica_cnt;
	for (int t = 0; t < TROUBLE_COUNT; t++)
		tally->trouble[t] += has_trouble(md, topic, p, (enum trouble)t);
	if (partition_is_under_replicated(p) && !partition_is_offline(md, p) &&
	    !why_tells(&why, p->leader))
		tally->min_isr_unknown = true;
}

static struct tally
count(const struct topic_view *view)
{
	struct tally tally = {0};

	for (size_t i = 0; i < view->count; i++)
		for (int j = 0; j < view->topics[i]->partition_cnt; j++)
			count_partition(view->metadata, view->topics[i]->topic,
					&view->topics[i]->partitions[j], &tally);
	return tally;
}

/* How many partitions a broker leads. */
static int
led_by(const struct topic_view *view, int32_t broker)
{
	int led = 0;

	for (size_t i = 0; i < view->count; i++) {
		for (int j = 0; j < view->topics[i]->partition_cnt; j++)
			led += view->topics[i]->partitions[j].leader == broker;
	}
	return led;
}

static int
compare_brokers(const void *a, const void *b)
{
	const rd_kafka_metadata_broker_t *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* "Offline partitions: 2" and, below it, which. */
static void
print_trouble(const struct topic_view *view, const char *title, enum trouble trouble, int total)
{
	int named = 0;

	printf("%s:\t%d\n", title, total);
	for (size_t i = 0; i < view->count && named < NAMED_MAX; i++) {
		const rd_kafka_metadata_topic_t *topic = view->topics[i];

		for (int j = 0; j < topic->partition_cnt && named < NAMED_MAX; j++) {
			if (!has_trouble(view->metadata, topic->topic, &topic->partitions[j],
					 trouble))
				continue;
			printf("\t%s-%d\n", topic->topic, topic->partitions[j].id);
			named++;
		}
	}
	if (total > named)
		printf("\tand %d more\n", total - named);
}

static json_t *
trouble_json(const struct topic_view *view, enum trouble trouble)
{
	json_t *array = json_array();

	for (size_t i = 0; i < view->count; i++) {
		const rd_kafka_metadata_topic_t *topic = view->topics[i];

		for (int j = 0; j < topic->partition_cnt; j++)
			if (has_trouble(view->metadata, topic->topic, &topic->partitions[j],
					trouble))
				json_array_append_new(array, json_pack("{s:s, s:i}", "topic",
								       topic->topic, "partition",
								       topic->partitions[j].id));
	}
	return array;
}

static void
print_text(const struct topic_view *view, const char *cluster_id, int32_t controller)
{
	const rd_kafka_metadata_t *md = view->metadata;
	struct tally tally = count(view);

	printf("Cluster id:\t%s\n", cluster_id != NULL ? cluster_id : "unknown");
	if (controller >= 0)
		printf("Controller:\t%d\n", controller);
	else
		printf("Controller:\tnone\n");
	printf("Brokers:\t%d\n", md->broker_cnt);
	for (int i = 0; i < md->broker_cnt; i++)
		printf("\tBroker: %d\tAddress: %s:%d\tLeads: %d%s\n", md->brokers[i].id,
		       md->brokers[i].host, md->brokers[i].port, led_by(view, md->brokers[i].id),
		       md->brokers[i].id == controller ? "\t(controller)" : "");
	printf("Topics:\t%zu\n", view->count);
	printf("Partitions:\t%d\n", tally.partitions);
	printf("Replicas:\t%d\n", tally.replicas);
	print_trouble(view, "Offline partitions", OFFLINE, tally.trouble[OFFLINE]);
	print_trouble(view, "Under-replicated partitions", UNDER_REPLICATED,
		      tally.trouble[UNDER_REPLICATED]);
	print_trouble(view, "Under min.insync.replicas", UNDER_MIN_ISR,
		      tally.trouble[UNDER_MIN_ISR]);
	if (tally.min_isr_unknown)
		printf("\tand perhaps others, whose leaders do not tell\n");
}

static int
print_json(const struct topic_view *view, const char *cluster_id, int32_t controller)
{
	const rd_kafka_metadata_t *md = view->metadata;
	struct tally tally = count(view);
	json_t *brokers = json_array();

	for (int i = 0; i < md->broker_cnt; i++)
		json_array_append_new(
		    brokers, json_pack("{s:i, s:o, s:i, s:i}", "id", md->brokers[i].id, "host",
				       json_text(md->brokers[i].host), "port", md->brokers[i].port,
				       "leads", led_by(view, md->brokers[i].id)));
	return json_document_print(json_pack(
	    "{s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "cluster_id",
	    json_text(cluster_id), "controller",
	    controller >= 0 ? json_integer(controller) : json_null(), "brokers", brokers, "topics",
	    (int)view->count, "partitions", tally.partitions, "replicas", tally.replicas,
	    "offline_partitions", tally.trouble[OFFLINE], "under_replicated_partitions",
	    tally.trouble[UNDER_REPLICATED], "under_min_isr_partitions",
	    tally.min_isr_unknown ? json_null() : json_integer(tally.trouble[UNDER_MIN_ISR]),
	    "offline", trouble_json(view, OFFLINE), "under_replicated",
	    trouble_json(view, UNDER_REPLICATED), "under_min_isr",
	    trouble_json(view, UNDER_MIN_ISR)));
}

static int
run(int argc, char **argv)
{
	struct topic_view view = {0};
	struct client c = {0};
	char *cluster_id = NULL;
	int st;

	if (argc > 0)
		return usage_error("'%s' is one word too many", argv[0]);
	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = topic_view_load(&view, &c, NULL, false);
	if (st == CLI_DONE)
		st = why_load(&why, &view, NULL);
	if (st == CLI_DONE) {
		/* Both came with the metadata; no more waiting. */
		int32_t controller = rd_kafka_controllerid(c.rk, 0);

		cluster_id = rd_kafka_clusterid(c.rk, 0);
		qsort(view.metadata->brokers, (size_t)view.metadata->broker_cnt,
		      sizeof(*view.metadata->brokers), compare_brokers);
		if (opt.json)
			st = print_json(&view, cluster_id, controller);
		else
			print_text(&view, cluster_id, controller);
	}
	if (cluster_id != NULL)
		rd_kafka_mem_free(c.rk, cluster_id);
	why_fini(&why);
	topic_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {0, "json", NULL,
     "One JSON object: cluster_id, controller, brokers, topics, partitions, replicas, "
     "offline_partitions, under_replicated_partitions, under_min_isr_partitions (null where "
     "leaders do not tell), and which they are: offline, under_replicated, under_min_isr.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command cluster_command = {
    .name = "cluster",
    .summary = "Tell brokers, controller, and how the partitions are",
    .args = "[OPTION...]",
    .text = "Partitions with fewer in-sync replicas than min.insync.replicas take no records from\n"
	    "producers with acks=all. klamm topic describe --why tells what is wrong with each.\n\n"
	    "Examples:\n"
	    "  klamm cluster --bootstrap-server broker1:9092\n"
	    "  klamm cluster --json | jq .offline_partitions\n",
    .options = options,
    .connects = true,
    .run = run,
};
