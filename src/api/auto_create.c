/* Topics that are made because somebody asked for them. Kafka: AutoTopicCreationManager. */
#include <errno.h>
#include <stdlib.h>

#include "api/topic_plan.h"
#include "base/diag.h"
#include "cluster/topic_name.h"

/* How often it is told why an internal topic cannot be made: clients ask without end. */
#define COMPLAINT_INTERVAL_MS 60000

/* It outlives the request. */
struct auto_creation {
	struct topic_plan plan;
	const char *by; /* which API */
	char *name, *client_id;
};

static void
release(struct auto_creation *creation)
{
	topic_plan_fini(&creation->plan);
	free(creation->name);
	free(creation->client_id);
	free(creation);
}

static void
create(void *arg, struct zk *zk)
{
	struct auto_creation *creation = arg;

	topic_plan_carry_out(&creation->plan, zk, creation->by, str_of(creation->client_id));
	if (creation->plan.st != 0 && creation->plan.st != K_TOPIC_ALREADY_EXISTS)
		diag_warn(DIAG_API, "cannot create a topic that a client asked for",
			  "topic=%s error=%s", creation->name,
			  creation->plan.st < 0 ? strerror(-creation->plan.st)
						: kerr_name(kerr_of(creation->plan.st)));
	release(creation);
}

static void
complain(struct api_call *call, struct str name, int32_t replicas, const char *message)
{
	static _Atomic int64_t next_ms;
	int64_t now_ms = env_monotonic_ms(call->api->settings.env);

	if (now_ms < atomic_load(&next_ms))
		return;
	atomic_store(&next_ms, now_ms + COMPLAINT_INTERVAL_MS);
	diag_warn(DIAG_API,
		  "cannot create an internal topic: start more brokers, or lower its replication "
		  "factor in the configuration",
		  "topic=%s replication_factor=%d reason=\"%s\"", name.data, replicas,
		  message == NULL ? "" : message);
}

/* Until a controller has told us what there is, a topic that we do not know may be there. */
static bool
is_uninformed(struct api_call *call)
{
	struct metadata *md = call->api->settings.metadata;
	size_t brokers;

	metadata_brokers(metadata_read(md), &brokers);
	metadata_done(md);
	return brokers == 0;
}

int
topic_auto_create(struct api_call *call, struct str name)
{
	const struct broker_conf *conf = api_conf(call);
	int32_t partitions = (int32_t)conf->num_partitions;
	int32_t replicas = (int32_t)conf->default_replication_factor;
	struct auto_creation *creation;
	struct str client_id =
	    call->head.client_id.data == NULL ? str_of("") : call->head.client_id;
	bool internal = topic_name_is_internal(name);
	const char *message = NULL;
	int st = 0;

	if (is_uninformed(call))
		return K_LEADER_NOT_AVAILABLE;
	creation = calloc(1, sizeof(*creation));
	if (creation == NULL)
		return -ENOMEM;
	if (internal)
		st =
		    topic_plan_internal_config(call, &creation->plan, name, &partitions, &replicas);
	if (st == 0)
		st = topic_plan_make(call, &creation->plan, name, partitions, replicas, &message);
	if (st == 0) {
		creation->by = call->entry->wire->name;
		creation->name = strndup(name.data, name.len);
		creation->client_id = strndup(client_id.data, client_id.len);
		if (creation->name == NULL || creation->client_id == NULL)
			st = -ENOMEM;
	}
	if (st != 0) {
		if (internal && st != K_TOPIC_ALREADY_EXISTS)
			complain(call, name, replicas, message);
		release(creation);
		return st;
	}
	creation->plan.name = creation->name;
	controller_submit(call->api->settings.controller, create, creation);
	return K_LEADER_NOT_AVAILABLE;
}
