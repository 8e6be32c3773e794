/*
 * admin.h - admin requests that several commands make.
 *
 * Everything here tells what went wrong before it returns anything but CLI_DONE, as client.h does.
 */
#ifndef KLAMM_CLI_ADMIN_H
#define KLAMM_CLI_ADMIN_H

#include "cli/client.h"
#include "cli/settings_text.h"

/* librdkafka has no name for it; Kafka's number. */
#define RESOURCE_BROKER_LOGGER ((rd_kafka_ResourceType_t)8)

/* Looks up one resource's settings. The entries belong to the event, which the caller destroys. */
MUST_CHECK int admin_describe_config(struct client *c, rd_kafka_ResourceType_t type,
				     const char *name, rd_kafka_event_t **ret_event,
				     const rd_kafka_ConfigEntry_t ***ret_entries,
				     size_t *ret_count);
/* Replaces all of one resource's own settings. */
MUST_CHECK int admin_replace_config(struct client *c, rd_kafka_ResourceType_t type,
				    const char *name, const struct settings *settings);
/*
 * Is this an entry that was set on the resource itself, and not inherited?
 */
bool admin_entry_is_own(const rd_kafka_ConfigEntry_t *entry, rd_kafka_ResourceType_t type);
/* Entries of the server, in the order of their names. */
void admin_sort_entries(const rd_kafka_ConfigEntry_t **entries, size_t count);

/*
 * Many requests of one kind, a window of them under way at a time.
 *
 * what	 "asking for committed offsets": for messages and the progress
 * send	 puts the i-th request on c->queue with (void *)i as its options' opaque. CLI_DONE, or a
 *	 status that ends it all.
 * take	 the i-th answer, of which client_admin_event() says what is left to look at. Returns true
 *	 when its coordinator is moving or loading; the request is sent again then, until --timeout.
 */
struct admin_pipeline {
	const char *what;
	size_t count;
	bool (*is_wanted)(void *arg, size_t i);
	int (*send)(struct client *c, void *arg, size_t i);
	bool (*take)(void *arg, size_t i, rd_kafka_event_t *event);
	void *arg;
};

MUST_CHECK int admin_pipeline_run(const struct admin_pipeline *p, struct client *c);

#endif
