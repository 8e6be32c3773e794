/*
 * topic_alter.c - klamm topic alter: more partitions.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_change.h"

static struct {
	const char *topic;
	int64_t partitions;
	bool json;
} opt = {.partitions = -1};

static int
tell(const char *name, rd_kafka_resp_err_t err, const char *text)
{
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		complain("topic '%s': %s", name, text);
		return CLI_REFUSED;
	}
	if (opt.json)
		return json_document_print(json_pack("{s:s, s:I}", "topic", name, "partitions",
						     (json_int_t)opt.partitions));
	printf("Topic %s has %lld partitions now.\n", name, (long long)opt.partitions);
	return CLI_DONE;
}

static void
send_request(struct client *c, void *request, const rd_kafka_AdminOptions_t *options)
{
	rd_kafka_NewPartitions_t *partitions = request;

	rd_kafka_CreatePartitions(c->rk, &partitions, 1, options, c->queue);
}

static const struct topic_change change = {.what = "adding partitions",
					   .op = RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
					   .must_exist = true,
					   .send = send_request,
					   .tell = tell};

static int
run(int argc, char **argv)
{
	rd_kafka_NewPartitions_t *partitions;
	const char *name;
	char why[256];
	int st;

	st = one_topic(opt.topic, argc, argv, &name);
	if (st != CLI_DONE)
		return st;
	if (opt.partitions < 0)
		return usage_error("how many partitions? Give --partitions N; settings are changed "
				   "by 'klamm config alter'");
	partitions = rd_kafka_NewPartitions_new(name, (size_t)opt.partitions, why, sizeof(why));
	if (partitions == NULL)
		return usage_error("%s", why);
	st = topic_change_run(&change, name, partitions);
	rd_kafka_NewPartitions_destroy(partitions);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "NAME", "The topic; may also be given without --topic.", OPTION_TEXT,
     &opt.topic},
    {0, "partitions", "N", "How many partitions it shall have in all. They can only become more.",
     OPTION_INT, &opt.partitions, 1, 100000},
    {0, "json", NULL, "One JSON object: topic, partitions.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command topic_alter_command = {
    .name = "topic alter",
    .summary = "Give a topic more partitions",
    .args = "NAME --partitions N",
    .text = "Records stay where they are; records with a key go to other partitions from then "
	    "on.\n\n"
	    "Examples:\n"
	    "  klamm topic alter orders --partitions 24\n",
    .options = options,
    .connects = true,
    .run = run,
};
