/*
 * topic_delete.c - klamm topic delete.
 */
#include "cli/commands.h"
#include "cli/topic_change.h"

static struct {
	const char *topic;
	bool if_exists;
	bool json;
} opt;

static void
send_request(struct client *c, void *request, const rd_kafka_AdminOptions_t *options)
{
	rd_kafka_DeleteTopic_t *topic = request;

	rd_kafka_DeleteTopics(c->rk, &topic, 1, options, c->queue);
}

static int
tell(const char *name, rd_kafka_resp_err_t err, const char *text)
{
	struct topic_outcome outcome = {.done = "Deleted",
					.otherwise = "does not exist",
					.needless = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
					.forgive = opt.if_exists,
					.json = opt.json};

	return topic_outcome_tell(&outcome, name, err, text);
}

static const struct topic_change change = {.what = "deleting the topic",
					   .op = RD_KAFKA_ADMIN_OP_DELETETOPICS,
					   .send = send_request,
					   .tell = tell};

static int
run(int argc, char **argv)
{
	rd_kafka_DeleteTopic_t *topic;
	const char *name;
	int st;

	st = one_topic(opt.topic, argc, argv, &name);
	if (st != CLI_DONE)
		return st;
	topic = rd_kafka_DeleteTopic_new(name);
	st = topic_change_run(&change, name, topic);
	rd_kafka_DeleteTopic_destroy(topic);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "NAME", "The topic; may also be given without --topic.", OPTION_TEXT,
     &opt.topic},
    {0, "if-exists", NULL, "Succeed when there is no such topic.", OPTION_FLAG, &opt.if_exists},
    {0, "json", NULL, "One JSON object: topic, deleted.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command topic_delete_command = {
    .name = "topic delete",
    .summary = "Delete a topic with all its records",
    .args = "NAME [OPTION...]",
    .text = "Examples:\n"
	    "  klamm topic delete orders\n"
	    "  klamm topic delete --topic orders --if-exists\n",
    .options = options,
    .connects = true,
    .run = run,
};
