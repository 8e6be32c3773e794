/*
 * admin.c - admin requests that several commands make.
 *
 * librdkafka routes requests for a broker's own settings to that broker, but does not know of
 * broker loggers; for these the broker is set by hand.
 */
#include "cli/admin.h"

#include <stdlib.h>

#include "base/env.h"
#include "cli/progress.h"

#define WINDOW 64
#define RETRY_MS 100

static int
admin_options_for(struct client *c, rd_kafka_admin_op_t op, rd_kafka_ResourceType_t type,
		  const char *name, rd_kafka_AdminOptions_t **ret_options)
{
	rd_kafka_AdminOptions_t *options = client_admin_options(c, op);
	int64_t broker;
	char why[256];

	if (options == NULL)
		return CLI_REFUSED;
	if (type == RESOURCE_BROKER_LOGGER) {
		if (parse_int(name, 0, INT32_MAX, &broker) != 0) {
			rd_kafka_AdminOptions_destroy(options);
			return usage_error("a broker logger is named by its broker's id, not '%s'",
					   name);
		}
		rd_kafka_AdminOptions_set_broker(options, (int32_t)broker, why, sizeof(why));
	}
	*ret_options = options;
	return CLI_DONE;
}

static int
resource_error(const rd_kafka_ConfigResource_t *resource, const char *name)
{
	rd_kafka_resp_err_t err = rd_kafka_ConfigResource_error(resource);
	const char *text = rd_kafka_ConfigResource_error_string(resource);

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return CLI_DONE;
	complain("%s: %s", name, text != NULL && text[0] != '\0' ? text : rd_kafka_err2str(err));
	return CLI_REFUSED;
}

/* A request about one resource: librdkafka's call for it, and what it is called in complaints. */
struct resource_request {
	rd_kafka_admin_op_t op;
	void (*send)(rd_kafka_t *rk, rd_kafka_ConfigResource_t **resources, size_t count,
		     const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue);
	const char *doing;
};

/* Sends it, frees the resource, and waits for the answer, which is the caller's. */
static int
request_resource(struct client *c, const struct resource_request *request,
		 rd_kafka_ResourceType_t type, const char *name,
		 rd_kafka_ConfigResource_t *resource, rd_kafka_event_t **ret_event)
{
	rd_kafka_AdminOptions_t *options;
	int st = admin_options_for(c, request->op, type, name, &options);

	if (st == CLI_DONE) {
		request->send(c->rk, &resource, 1, options, c->queue);
		rd_kafka_AdminOptions_destroy(options);
	}
	rd_kafka_ConfigResource_destroy(resource);
	return st == CLI_DONE ? client_admin_wait(c, request->doing, ret_event) : st;
}

int
admin_describe_config(struct client *c, rd_kafka_ResourceType_t type, const char *name,
		      rd_kafka_event_t **ret_event, const rd_kafka_ConfigEntry_t ***ret_entries,
		      size_t *ret_count)
{
	static const struct resource_request request = {
	    RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, rd_kafka_DescribeConfigs, "asking for settings"};
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
	const rd_kafka_ConfigResource_t **resources;
	rd_kafka_event_t *event;
	size_t count;
	int st;

	if (resource == NULL)
		return usage_error("'%s' names nothing that has settings", name);
	st = request_resource(c, &request, type, name, resource, &event);
	if (st != CLI_DONE)
		return st;
	resources = rd_kafka_DescribeConfigs_result_resources(
	    rd_kafka_event_DescribeConfigs_result(event), &count);
	if (count != 1) {
		complain("asking for settings of %s: the answer is about %zu resources", name,
			 count);
		st = CLI_REFUSED;
	} else {
		st = resource_error(resources[0], name);
	}
	if (st != CLI_DONE) {
		rd_kafka_event_destroy(event);
		return st;
	}
	*ret_entries = rd_kafka_ConfigResource_configs(resources[0], ret_count);
	*ret_event = event;
	return CLI_DONE;
}

int
admin_replace_config(struct client *c, rd_kafka_ResourceType_t type, const char *name,
		     const struct settings *settings)
{
	static const struct resource_request request = {RD_KAFKA_ADMIN_OP_ALTERCONFIGS,
							rd_kafka_AlterConfigs, "changing settings"};
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
	const rd_kafka_ConfigResource_t **resources;
	rd_kafka_event_t *event;
	size_t count;
	int st;

	if (resource == NULL)
		return usage_error("'%s' names nothing that has settings", name);
	for (size_t i = 0; i < settings->count; i++)
		rd_kafka_ConfigResource_set_config(resource, settings->items[i].name,
						   settings->items[i].value);
	st = request_resource(c, &request, type, name, resource, &event);
	if (st != CLI_DONE)
		return st;
	resources = rd_kafka_AlterConfigs_result_resources(
	    rd_kafka_event_AlterConfigs_result(event), &count);
	st = count == 1 ? resource_error(resources[0], name) : CLI_DONE;
	rd_kafka_event_destroy(event);
	return st;
}

bool
admin_entry_is_own(const rd_kafka_ConfigEntry_t *entry, rd_kafka_ResourceType_t type)
{
	switch (rd_kafka_ConfigEntry_source(entry)) {
	case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG:
		return type == RD_KAFKA_RESOURCE_TOPIC;
	case RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG:
		return type == RD_KAFKA_RESOURCE_BROKER;
	default:
		return false;
	}
}

static int
compare_entries(const void *a, const void *b)
{
	const rd_kafka_ConfigEntry_t *const *x = a, *const *y = b;

	return strcmp(rd_kafka_ConfigEntry_name(*x), rd_kafka_ConfigEntry_name(*y));
}

void
admin_sort_entries(const rd_kafka_ConfigEntry_t **entries, size_t count)
{
	if (count > 0)
		qsort(entries, count, sizeof(*entries), compare_entries);
}

/* One answer, and its request again where that is worth it. ret_over: it is not. */
static int
take_one(const struct admin_pipeline *p, struct client *c, int64_t deadline_us, bool *ret_over)
{
	rd_kafka_event_t *event;
	bool again;
	size_t i;
	int st;

	st = client_admin_event(c, p->what, &event);
	if (st != CLI_DONE)
		return st;
	i = (size_t)rd_kafka_event_opaque(event);
	again = p->take(p->arg, i, event) && env_monotonic_us(env_system()) < deadline_us;
	rd_kafka_event_destroy(event);
	if (again) {
		client_poll(c, RETRY_MS);
		st = p->send(c, p->arg, i);
	}
	*ret_over = !again;
	return st;
}

int
admin_pipeline_run(const struct admin_pipeline *p, struct client *c)
{
	int64_t deadline_us = env_monotonic_us(env_system()) + (int64_t)c->timeout_ms * 1000;
	size_t next = 0, flying = 0, done = 0;
	struct progress progress;
	int st = CLI_DONE;
	bool over;

	progress_start(&progress, false);
	while (st == CLI_DONE && done < p->count) {
		if (next < p->count && !p->is_wanted(p->arg, next)) {
			next++;
			done++;
		} else if (next < p->count && flying < WINDOW) {
			st = p->send(c, p->arg, next++);
			flying++;
		} else {
			st = take_one(p, c, deadline_us, &over);
			if (st == CLI_DONE && over) {
				flying--;
				done++;
			}
			progress_tell_steps(&progress, p->what, done, p->count);
		}
	}
	progress_clear(&progress);
	return st;
}
