/*
 * topic_change.c - one request that makes, changes or deletes one topic.
 */
#include "cli/topic_change.h"

#include <ctype.h>
#include <stdio.h>

#include "cli/json_document.h"

/* What CreateTopics, DeleteTopics or CreatePartitions answered for the one topic. */
static int
topic_result(rd_kafka_event_t *event, rd_kafka_resp_err_t *ret_err, const char **ret_text)
{
	const rd_kafka_topic_result_t **results = NULL;
	const char *text;
	size_t count = 0;

	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
		results = rd_kafka_CreateTopics_result_topics(
		    rd_kafka_event_CreateTopics_result(event), &count);
		break;
	case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
		results = rd_kafka_DeleteTopics_result_topics(
		    rd_kafka_event_DeleteTopics_result(event), &count);
		break;
	case RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT:
		results = rd_kafka_CreatePartitions_result_topics(
		    rd_kafka_event_CreatePartitions_result(event), &count);
		break;
	default:
		break;
	}
	if (count != 1) {
		complain("the answer is about %zu topics, not one", count);
		return CLI_REFUSED;
	}
	*ret_err = rd_kafka_topic_result_error(results[0]);
	text = rd_kafka_topic_result_error_string(results[0]);
	*ret_text = text != NULL && text[0] != '\0' ? text : rd_kafka_err2str(*ret_err);
	return CLI_DONE;
}

/* The cluster answers, and the topic is there if it has to be. */
static int
check_there(struct client *c, const struct topic_change *change, const char *topic)
{
	const rd_kafka_metadata_t *md;
	int st;

	st = change->must_exist ? client_topic_metadata(c, topic, &md)
				: client_metadata(c, false, NULL, &md);
	if (st == CLI_DONE)
		rd_kafka_metadata_destroy(md);
	return st;
}

static int
send_and_tell(struct client *c, const struct topic_change *change, const char *topic, void *request)
{
	rd_kafka_AdminOptions_t *options;
	rd_kafka_resp_err_t err;
	rd_kafka_event_t *event;
	const char *text;
	int st;

	st = check_there(c, change, topic);
	if (st != CLI_DONE)
		return st;
	options = client_admin_options(c, change->op);
	if (options == NULL)
		return CLI_REFUSED;
	change->send(c, request, options);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, change->what, &event);
	if (st != CLI_DONE)
		return st;
	st = topic_result(event, &err, &text);
	if (st == CLI_DONE)
		st = change->tell(topic, err, text);
	rd_kafka_event_destroy(event);
	return st;
}

int
topic_change_run(const struct topic_change *change, const char *topic, void *request)
{
	struct client c = {0};
	int st;

	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = send_and_tell(&c, change, topic, request);
	client_close(&c);
	return st;
}

int
topic_outcome_tell(const struct topic_outcome *outcome, const char *topic, rd_kafka_resp_err_t err,
		   const char *text)
{
	bool done = err == RD_KAFKA_RESP_ERR_NO_ERROR;
	char name[32];

	if (!done && !(outcome->forgive && err == outcome->needless)) {
		complain("topic '%s': %s", topic, text);
		return CLI_REFUSED;
	}
	if (outcome->json) {
		snprintf(name, sizeof(name), "%s", outcome->done);
		name[0] = (char)tolower((unsigned char)name[0]);
		return json_document_print(json_pack("{s:s, s:b}", "topic", topic, name, done));
	}
	if (done)
		printf("%s topic %s.\n", outcome->done, topic);
	else
		printf("Topic %s %s.\n", topic, outcome->otherwise);
	return CLI_DONE;
}
