#include "api/topic_plan.h"

#include <errno.h>
#include <stdio.h>

#include "base/diag.h"
#include "cluster/topic_name.h"
#include "controller/assignment.h"

void
topic_plan_fini(struct topic_plan *plan)
{
	topic_assignment_fini(&plan->assignment);
	properties_fini(&plan->config);
}

struct assignment_broker *
topic_plan_brokers(struct api_call *call, size_t *ret_count)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_broker *brokers;
	struct assignment_broker *out;
	size_t count;

	brokers = metadata_brokers(metadata_read(md), &count);
	out = arena_calloc(&call->arena, count, sizeof(*out));
	for (size_t i = 0; out != NULL && i < count; i++) {
		out[i].id = brokers[i].id;
		if (brokers[i].rack != NULL)
			out[i].rack =
			    arena_strdup(&call->arena, brokers[i].rack, strlen(brokers[i].rack));
	}
	metadata_done(md);
	*ret_count = count;
	return out;
}

/* Text forms that begin with '-' look like options of a command. */
static void
choose_topic_id(struct env *env, struct uuid *ret_id)
{
	char text[UUID_TEXT_LEN + 1];

	do {
		env_random(env, ret_id, sizeof(*ret_id));
		ret_id->bytes[6] = (ret_id->bytes[6] & 0x0f) | 0x40;
		ret_id->bytes[8] = (ret_id->bytes[8] & 0x3f) | 0x80;
		uuid_format(ret_id, text);
	} while (text[0] == '-');
}

/* A name that exists, or that metrics could not tell from one that does. */
static int
check_name(struct api_call *call, struct str name, const char **ret_message)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image;
	const struct metadata_topic *topic;
	struct metadata_walk walk = {0};
	int st = 0;

	*ret_message = topic_name_refusal(name);
	if (*ret_message != NULL)
		return K_INVALID_TOPIC_EXCEPTION;
	image = metadata_read(md);
	if (metadata_topic(image, name.data, name.len) != NULL) {
		*ret_message = arena_printf(&call->arena, "Topic '%s' already exists.", name.data);
		st = K_TOPIC_ALREADY_EXISTS;
	}
	while (st == 0 && memchr(name.data, '.', name.len) != memchr(name.data, '_', name.len) &&
	       (topic = metadata_next_topic(image, &walk)) != NULL) {
		if (!topic_names_collide(topic->name, name.data))
			continue;
		*ret_message =
		    arena_printf(&call->arena, "Topic '%s' collides with existing topics: %s",
				 name.data, topic->name);
		st = K_INVALID_TOPIC_EXCEPTION;
	}
	metadata_done(md);
	return st;
}

static int
check_config(struct api_call *call, const struct topic_plan *plan, const char **ret_message)
{
	struct buf errors = {0};
	int st = topic_conf_check(api_conf(call), &plan->config, &errors);

	if (st == -EINVAL) {
		if (errors.len > 0 && errors.data[errors.len - 1] == '\n')
			errors.len--;
		*ret_message = arena_strdup(&call->arena, (const char *)errors.data, errors.len);
		st = K_INVALID_CONFIG;
	}
	buf_fini(&errors);
	return st;
}

int
topic_plan_check(struct api_call *call, struct topic_plan *plan, struct str name,
		 const char **ret_message)
{
	int st = check_name(call, name, ret_message);

	if (st == 0)
		st = check_config(call, plan, ret_message);
	if (st != 0)
		return st;
	plan->name = name.data;
	plan->assignment.has_topic_id = true;
	choose_topic_id(call->api->settings.env, &plan->assignment.topic_id);
	return 0;
}

int
topic_plan_make(struct api_call *call, struct topic_plan *plan, struct str name,
		int32_t partition_count, int32_t replication_factor, const char **ret_message)
{
	struct assignment_broker *brokers;
	size_t count;
	int st;

	if (partition_count <= 0) {
		*ret_message = "Number of partitions must be larger than 0.";
		return K_INVALID_PARTITIONS;
	}
	if (replication_factor <= 0) {
		*ret_message = "Replication factor must be larger than 0.";
		return K_INVALID_REPLICATION_FACTOR;
	}
	st = topic_plan_check(call, plan, name, ret_message);
	if (st != 0)
		return st;
	brokers = topic_plan_brokers(call, &count);
	if (brokers == NULL)
		return -ENOMEM;
	st = assignment_make(call->api->settings.env, brokers, count, 0, partition_count,
			     replication_factor, -1, -1, &plan->assignment);
	if (st == K_INVALID_REPLICATION_FACTOR)
		*ret_message = arena_printf(
		    &call->arena, "Replication factor: %d larger than available brokers: %zu.",
		    replication_factor, count);
	return st;
}

int
topic_plan_internal_config(struct api_call *call, struct topic_plan *plan, struct str name,
			   int32_t *partition_count, int32_t *replication_factor)
{
	const struct broker_conf *conf = api_conf(call);
	char text[32];
	int st;

	if (str_equal(name, str_of(TOPIC_CONSUMER_OFFSETS))) {
		*partition_count = (int32_t)conf->offsets_topic_num_partitions;
		*replication_factor = (int32_t)conf->offsets_topic_replication_factor;
		snprintf(text, sizeof(text), "%lld", (long long)conf->offsets_topic_segment_bytes);
		st = properties_set(&plan->config, "compression.type", "producer");
	} else {
		*partition_count = (int32_t)conf->transaction_state_log_num_partitions;
		*replication_factor = (int32_t)conf->transaction_state_log_replication_factor;
		snprintf(text, sizeof(text), "%lld",
			 (long long)conf->transaction_state_log_min_isr);
		st = properties_set(&plan->config, "min.insync.replicas", text);
		if (st == 0)
			st = properties_set(&plan->config, "compression.type", "uncompressed");
		if (st == 0)
			st = properties_set(&plan->config, "unclean.leader.election.enable",
					    "false");
		snprintf(text, sizeof(text), "%lld",
			 (long long)conf->transaction_state_log_segment_bytes);
	}
	if (st == 0)
		st = properties_set(&plan->config, "segment.bytes", text);
	if (conf->klamm_standalone) /* there never will be a second broker */
		*replication_factor = 1;
	return st != 0 ? st : properties_set(&plan->config, "cleanup.policy", "compact");
}

void
topic_plan_carry_out(struct topic_plan *plan, struct zk *zk, const char *by, struct str client_id)
{
	char path[ZNODE_PATH_MAX];

	/* Looked at first: the settings of a topic that exists must not be overwritten. */
	znode_topic_path(plan->name, path);
	plan->st = zk_exists(zk, path, false, NULL);
	if (plan->st == 0)
		plan->st = -EEXIST;
	else if (plan->st == -ENOENT)
		plan->st = znode_topic_create(zk, plan->name, &plan->assignment, &plan->config);
	if (plan->st == -EEXIST)
		plan->st = K_TOPIC_ALREADY_EXISTS;
	else if (plan->st == -ESHUTDOWN)
		plan->st = K_NOT_CONTROLLER;
	if (plan->st == 0)
		diag_info(DIAG_API, "created a topic",
			  "topic=%s partitions=%d by=%s client_id=\"%.*s\"", plan->name,
			  plan->assignment.partition_count, by, (int)client_id.len,
			  client_id.len == 0 ? "" : client_id.data);
}
