/*
 * topic_change.h - one request that makes, changes or deletes one topic, and what came of it.
 */
#ifndef KLAMM_CLI_TOPIC_CHANGE_H
#define KLAMM_CLI_TOPIC_CHANGE_H

#include "cli/client.h"

struct topic_change {
	const char *what; /* "creating the topic": for messages */
	rd_kafka_admin_op_t op;
	bool must_exist; /* that it does not is told before anything is sent */
	/* Puts the request on c->queue. */
	void (*send)(struct client *c, void *request, const rd_kafka_AdminOptions_t *options);
	/* The answer; hands on a status. */
	int (*tell)(const char *topic, rd_kafka_resp_err_t err, const char *text);
};

/* Connects, sends and hands the answer over. request is borrowed. Tells what goes wrong. */
MUST_CHECK int topic_change_run(const struct topic_change *change, const char *topic,
				void *request);

/* How a topic that was to be made or deleted is told of. */
struct topic_outcome {
	const char *done;      /* "Created", and in lower case the name in JSON */
	const char *otherwise; /* "exists": what makes the request needless */
	rd_kafka_resp_err_t needless;
	bool forgive; /* a needless request is no failure */
	bool json;
};

int topic_outcome_tell(const struct topic_outcome *outcome, const char *topic,
		       rd_kafka_resp_err_t err, const char *text);

#endif
