/*
 * cluster.c - klamm cluster: who is there, and what is wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"

static struct {
	bool json;
} opt;

struct tally {
	int partitions;
	int replicas;
	int offline;
	int under_replicated;
};

static struct tally
count(const struct topic_view *view)
{
	struct tally tally = {0};

	for (size_t i = 0; i < view->count; i++) {
		for (int j = 0; j < view->topics[i]->partition_cnt; j++) {
			const rd_kafka_metadata_partition_t *p = &view->topics[i]->partitions[j];

			tally.partitions++;
			tally.replicas += p->replica_cnt;
			tally.offline += partition_is_offline(view->metadata, p);
			tally.under_replicated += partition_is_under_replicated(p);
		}
	}
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
	printf("Offline partitions:\t%d\n", tally.offline);
	printf("Under-replicated partitions:\t%d\n", tally.under_replicated);
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
	    "{s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i}", "cluster_id", json_text(cluster_id),
	    "controller", controller >= 0 ? json_integer(controller) : json_null(), "brokers",
	    brokers, "topics", (int)view->count, "partitions", tally.partitions, "replicas",
	    tally.replicas, "offline_partitions", tally.offline, "under_replicated_partitions",
	    tally.under_replicated));
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
	topic_view_fini(&view);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {0, "json", NULL,
     "One JSON object: cluster_id, controller, brokers, topics, partitions, replicas, "
     "offline_partitions, under_replicated_partitions.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command cluster_command = {
    .name = "cluster",
    .summary = "Tell brokers, controller, and how the partitions are",
    .args = "[OPTION...]",
    .text = "Examples:\n"
	    "  klamm cluster --bootstrap-server broker1:9092\n"
	    "  klamm cluster --json | jq .offline_partitions\n",
    .options = options,
    .connects = true,
    .run = run,
};
