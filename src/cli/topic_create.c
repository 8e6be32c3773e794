/*
 * topic_create.c - klamm topic create.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/settings_text.h"
#include "cli/topic_change.h"

static struct {
	const char *topic;
	int64_t partitions;
	int64_t replication_factor;
	const char *replica_assignment;
	struct text_list configs;
	bool if_not_exists;
	bool json;
} opt = {.partitions = -1, .replication_factor = -1};

#define REPLICAS_MAX 64

/* "1:2,2:3": the brokers of each partition. */
static int
set_assignment(rd_kafka_NewTopic_t *topic, const char *text)
{
	for (int32_t partition = 0; *text != '\0'; partition++) {
		int32_t brokers[REPLICAS_MAX];
		size_t count = 0;
		char why[256];

		do {
			char *end;
			long id = strtol(text, &end, 10);

			if (end == text || id < 0 || id > INT32_MAX || count == REPLICAS_MAX ||
			    (*end != ':' && *end != ',' && *end != '\0'))
				return usage_error("--replica-assignment takes broker ids as in "
						   "1:2,2:3, not '%s'",
						   opt.replica_assignment);
			brokers[count++] = (int32_t)id;
			text = end + (*end == ':' ? 1 : 0);
		} while (text[-1] == ':');
		if (*text == ',')
			text++;
		if (rd_kafka_NewTopic_set_replica_assignment(topic, partition, brokers, count, why,
							     sizeof(why)) != 0)
			return usage_error("--replica-assignment: %s", why);
	}
	return CLI_DONE;
}

static int32_t
assigned_partitions(const char *text)
{
	int32_t count = 1;

	for (; *text != '\0'; text++)
		count += *text == ',';
	return count;
}

static int
set_configs(rd_kafka_NewTopic_t *topic)
{
	struct settings settings = {0};
	int st = CLI_DONE;

	for (size_t i = 0; st == CLI_DONE && i < opt.configs.count; i++) {
		if (settings_parse_one(&settings, opt.configs.items[i]) != 0)
			st = usage_error("--config takes NAME=VALUE, not '%s'",
					 opt.configs.items[i]);
	}
	for (size_t i = 0; i < settings.count; i++)
		rd_kafka_NewTopic_set_config(topic, settings.items[i].name,
					     settings.items[i].value);
	settings_fini(&settings);
	return st;
}

static int
new_topic(const char *name, rd_kafka_NewTopic_t **ret_topic)
{
	bool assigned = opt.replica_assignment != NULL;
	rd_kafka_NewTopic_t *topic;
	char why[512];
	int st = CLI_DONE;

	if (assigned && (opt.partitions != -1 || opt.replication_factor != -1))
		return usage_error("--replica-assignment says how many partitions and replicas "
				   "there are: leave out --partitions and --replication-factor");
	topic = rd_kafka_NewTopic_new(
	    name, assigned ? assigned_partitions(opt.replica_assignment) : (int)opt.partitions,
	    (int)opt.replication_factor, why, sizeof(why));
	if (topic == NULL)
		return usage_error("%s", why);
	if (assigned)
		st = set_assignment(topic, opt.replica_assignment);
	if (st == CLI_DONE)
		st = set_configs(topic);
	if (st != CLI_DONE) {
		rd_kafka_NewTopic_destroy(topic);
		return st;
	}
	*ret_topic = topic;
	return CLI_DONE;
}

static void
send_request(struct client *c, void *request, const rd_kafka_AdminOptions_t *options)
{
	rd_kafka_NewTopic_t *topic = request;

	rd_kafka_CreateTopics(c->rk, &topic, 1, options, c->queue);
}

static int
tell(const char *name, rd_kafka_resp_err_t err, const char *text)
{
	struct topic_outcome outcome = {.done = "Created",
					.otherwise = "exists",
					.needless = RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS,
					.forgive = opt.if_not_exists,
					.json = opt.json};

	return topic_outcome_tell(&outcome, name, err, text);
}

static const struct topic_change change = {.what = "creating the topic",
					   .op = RD_KAFKA_ADMIN_OP_CREATETOPICS,
					   .send = send_request,
					   .tell = tell};

static int
run(int argc, char **argv)
{
	rd_kafka_NewTopic_t *topic;
	const char *name;
	int st;

	st = one_topic(opt.topic, argc, argv, &name);
	if (st == CLI_DONE)
		st = new_topic(name, &topic);
	if (st != CLI_DONE)
		return st;
	st = topic_change_run(&change, name, topic);
	rd_kafka_NewTopic_destroy(topic);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "NAME", "The topic; may also be given without --topic.", OPTION_TEXT,
     &opt.topic},
    {0, "partitions", "N", "How many partitions. Default: the broker's num.partitions.", OPTION_INT,
     &opt.partitions, 1, 100000},
    {0, "replication-factor", "N",
     "How many replicas each has. Default: the broker's default.replication.factor.", OPTION_INT,
     &opt.replication_factor, 1, INT16_MAX},
    {0, "replica-assignment", "B:B,B:B", "The brokers of each partition, instead of the two above.",
     OPTION_TEXT, &opt.replica_assignment},
    {0, "config", "NAME=VALUE", "A setting of the topic.", OPTION_LIST, &opt.configs},
    {0, "if-not-exists", NULL, "Succeed when the topic exists already.", OPTION_FLAG,
     &opt.if_not_exists},
    {0, "json", NULL, "One JSON object: topic, created.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command topic_create_command = {
    .name = "topic create",
    .summary = "Create a topic",
    .args = "NAME [OPTION...]",
    .text = "Examples:\n"
	    "  klamm topic create orders --partitions 12\n"
	    "  klamm topic create --topic prices --config cleanup.policy=compact "
	    "--if-not-exists\n",
    .options = options,
    .connects = true,
    .run = run,
};
