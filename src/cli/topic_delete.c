/*
 * topic_delete.c - klamm topic delete.
 */
#include <stdio.h>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/json_document.h"

static struct {
	const char *topic;
	bool if_exists;
	bool json;
} opt;

static int
tell(const char *name, rd_kafka_resp_err_t err, const char *text)
{
	bool deleted = err == RD_KAFKA_RESP_ERR_NO_ERROR;

	if (!deleted && !(err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && opt.if_exists)) {
		complain("topic '%s': %s", name, text);
		return CLI_REFUSED;
	}
	if (opt.json)
		return json_document_print(
		    json_pack("{s:s, s:b}", "topic", name, "deleted", deleted));
	if (deleted)
		printf("Deleted topic %s.\n", name);
	else
		printf("Topic %s does not exist.\n", name);
	return CLI_DONE;
}

static int
delete_topic(struct client *c, const char *name, rd_kafka_DeleteTopic_t *topic)
{
	const rd_kafka_metadata_t *md;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_resp_err_t err;
	rd_kafka_event_t *event;
	const char *text;
	int st;

	st = client_metadata(c, false, NULL, &md);
	if (st != CLI_DONE)
		return st;
	rd_kafka_metadata_destroy(md);
	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_DELETETOPICS);
	if (options == NULL)
		return CLI_REFUSED;
	rd_kafka_DeleteTopics(c->rk, &topic, 1, options, c->queue);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, "deleting the topic", &event);
	if (st != CLI_DONE)
		return st;
	st = admin_topic_result(event, &err, &text);
	if (st == CLI_DONE)
		st = tell(name, err, text);
	rd_kafka_event_destroy(event);
	return st;
}

static int
run(int argc, char **argv)
{
	rd_kafka_DeleteTopic_t *topic;
	struct client c = {0};
	const char *name;
	int st;

	st = one_topic(opt.topic, argc, argv, &name);
	if (st != CLI_DONE)
		return st;
	topic = rd_kafka_DeleteTopic_new(name);
	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = delete_topic(&c, name, topic);
	client_close(&c);
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
