/*
 * client.h - the cluster, by librdkafka: the options of every command that connects, the set-up,
 * and the admin requests' way there and back.
 *
 * Everything here tells what went wrong (what, where, what to do) on standard error before it
 * returns anything but CLI_DONE.
 *
 * Threads  one; librdkafka's own threads only call back from client_poll() and the waits.
 */
#ifndef KLAMM_CLI_CLIENT_H
#define KLAMM_CLI_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "cli/command.h"

/* --bootstrap-server, --command-config, -X, --timeout. */
extern const struct option_row client_options[];

struct client {
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue; /* answers of admin requests */
	int timeout_ms;
};

/* What a command sets before the user's own settings, which win. */
struct client_default {
	const char *name; /* NULL ends the list */
	const char *value;
};

/*
 * A configuration of the defaults (may be NULL), the file of --command-config and the -X settings.
 * For those who set callbacks before client_open(), which takes it over.
 */
MUST_CHECK int client_conf(const struct client_default *defaults, rd_kafka_conf_t **ret_conf);
/* --timeout */
int client_timeout_ms(void);
/* conf: NULL for client_conf() without defaults. Zeroes c first; does not wait for a broker. */
MUST_CHECK int client_open(struct client *c, rd_kafka_type_t type, rd_kafka_conf_t *conf);
/* The same for a producer of client_conf(defaults); client_poll() calls on_delivery with arg. */
MUST_CHECK int client_open_producer(struct client *c, const struct client_default *defaults,
				    void (*on_delivery)(rd_kafka_t *rk, const rd_kafka_message_t *m,
							void *arg),
				    void *arg);
/* Accepts one that is zeroed or half open. */
void client_close(struct client *c);

/* The configured value of a librdkafka setting, or "" when there is none. Valid until the next. */
const char *client_setting(const struct client *c, const char *name);

/*
 * Metadata of all topics, of one, or (topic NULL, all false) of the brokers alone. Waits for a
 * first broker until --timeout, but gives up a second after all of them were found to be down. The
 * caller frees with rd_kafka_metadata_destroy(). A topic's own error is not looked at.
 */
MUST_CHECK int client_metadata(struct client *c, bool all, const char *topic,
			       const rd_kafka_metadata_t **ret_metadata);
/*
 * The metadata of one topic that is there: tells the error of one that is not.
 */
MUST_CHECK int client_topic_metadata(struct client *c, const char *topic,
				     const rd_kafka_metadata_t **ret_metadata);

/* Options of an admin request with our timeouts; destroyed by the caller. NULL is told. */
rd_kafka_AdminOptions_t *client_admin_options(struct client *c, rd_kafka_admin_op_t op);
/* The answer of the admin request that was put on c->queue; destroyed by the caller. */
MUST_CHECK int client_admin_wait(struct client *c, const char *what, rd_kafka_event_t **ret_event);

/*
 * The same, but only a cluster that does not answer is told: an error of the request as a whole
 * stands in the event.
 */
MUST_CHECK int client_admin_event(struct client *c, const char *what, rd_kafka_event_t **ret_event);
/* Tells that nobody answered, and why as far as is known. Returns CLI_REFUSED. */
int client_no_answer(const struct client *c, const char *what, const char *error);

/* What librdkafka said last about connections that failed, or "". */
const char *client_last_trouble(void);
/* Lets librdkafka call back, waiting up to timeout_ms for something to tell. */
void client_poll(struct client *c, int timeout_ms);

#endif
