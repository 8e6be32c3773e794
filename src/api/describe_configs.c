/* Kafka: KafkaApis.handleDescribeConfigsRequest, ConfigHelper. */
#include <errno.h>
#include <stdio.h>

#include "api/api_call.h"
#include "api/config_resource.h"
#include "base/diag.h"
#include "wire/generated/describe_configs.h"
#include "zk/znode.h"

#define TYPE_UNKNOWN 0

/* DescribeConfigs' ConfigType. */
static int8_t
type_code(enum conf_type type)
{
	static const int8_t codes[] = {
	    [CONF_BOOLEAN] = 1, [CONF_STRING] = 2, [CONF_INT] = 3,
	    [CONF_SHORT] = 4,   [CONF_LONG] = 5,   [CONF_DOUBLE] = 6,
	    [CONF_LIST] = 7,    [CONF_CLASS] = 8,  [CONF_PASSWORD] = 9,
	};

	return codes[type];
}

static bool
is_asked_for(const struct describe_configs_resource *resource, const char *key)
{
	if (resource->configuration_keys_count <= 0)
		return true;
	for (int32_t i = 0; i < resource->configuration_keys_count; i++)
		if (str_equal(resource->configuration_keys[i], str_of(key)))
			return true;
	return false;
}

static int
add_synonyms(struct api_call *call, const struct conf_entry *entry,
	     const struct conf_synonym *synonyms, size_t count,
	     struct describe_configs_resource_result *config)
{
	config->synonyms = describe_configs_synonym_new(&call->arena, (int32_t)count);
	if (config->synonyms == NULL)
		return -ENOMEM;
	config->synonyms_count = (int32_t)count;
	for (size_t i = 0; i < count; i++) {
		config->synonyms[i].name = str_of(synonyms[i].key);
		config->synonyms[i].value = entry->type == CONF_PASSWORD
						? str_of(NULL)
						: api_copy_text(call, synonyms[i].text);
		config->synonyms[i].source = (int8_t)synonyms[i].source;
	}
	return 0;
}

/* value: as it is in force. */
static int
add_config(struct api_call *call, const struct describe_configs_request *req,
	   const struct conf_entry *entry, const char *value, bool read_only,
	   const struct conf_synonym *synonyms, size_t count,
	   struct describe_configs_result *result)
{
	struct describe_configs_resource_result *config = &result->configs[result->configs_count++];

	config->name = str_of(entry->key);
	config->is_sensitive = entry->type == CONF_PASSWORD;
	config->value = config->is_sensitive ? str_of(NULL) : api_copy_text(call, value);
	config->read_only = read_only;
	config->config_source = (int8_t)(count > 0 ? synonyms[0].source : CONF_SOURCE_DEFAULT);
	/* Later versions tell it by the source. */
	config->is_default = api_version(call) == 0 && config->config_source == CONF_SOURCE_DEFAULT;
	config->config_type = type_code(entry->type);
	if (req->include_documentation && entry->sentence != NULL)
		config->documentation = str_of(entry->sentence);
	return req->include_synonyms ? add_synonyms(call, entry, synonyms, count, config) : 0;
}

/* ---- settings of a broker that the table does not name ---- */

/* The setting that a key stands for: listener.name.NAME.KEY is a KEY. NULL: some plug-in's own. */
static const struct conf_entry *
entry_behind(const char *key)
{
	const char *dot = strncmp(key, "listener.name.", strlen("listener.name.")) == 0
			      ? strchr(key + strlen("listener.name."), '.')
			      : NULL;

	return dot == NULL ? NULL : broker_conf_entry(dot + 1);
}

static const struct properties *
level_of(const struct broker_conf *conf, enum conf_source source)
{
	return source == CONF_SOURCE_DYNAMIC_BROKER           ? &conf->dynamic_broker
	       : source == CONF_SOURCE_DYNAMIC_DEFAULT_BROKER ? &conf->dynamic_default
	       : source == CONF_SOURCE_STATIC_BROKER          ? &conf->fixed
							      : NULL;
}

/* What gives the key a value, strongest first, and of the setting behind it what is weaker. */
static size_t
find_synonyms(const struct broker_conf *conf, const char *key, const struct conf_entry *behind,
	      struct conf_synonym ret_synonyms[2 * CONF_SYNONYMS_MAX])
{
	struct conf_synonym others[CONF_SYNONYMS_MAX];
	size_t other_count = behind == NULL ? 0 : broker_conf_synonyms(conf, behind, others);
	size_t count = 0;

	for (enum conf_source s = CONF_SOURCE_DYNAMIC_BROKER; s <= CONF_SOURCE_DEFAULT; s++) {
		const struct properties *level = level_of(conf, s);
		const char *text = level == NULL ? NULL : properties_get(level, key);

		if (text != NULL)
			ret_synonyms[count++] = (struct conf_synonym){key, text, s};
		for (size_t i = 0; count > 0 && i < other_count; i++)
			if (others[i].source == s)
				ret_synonyms[count++] = others[i];
	}
	return count;
}

/*
 * What one level sets, unless a stronger one does, too. A client that replaces all settings of a
 * broker would drop what it is not told of. The value of a key that nobody knows may be a secret.
 */
static int
describe_unnamed(struct api_call *call, const struct describe_configs_request *req,
		 const struct describe_configs_resource *resource, enum conf_source source,
		 bool level_alone, struct describe_configs_result *result)
{
	const struct broker_conf *conf = api_conf(call);
	struct map_iter iter = {0};
	const char *text;
	int st = 0;

	while (st == 0 && (text = map_next(&level_of(conf, source)->texts, &iter)) != NULL) {
		const char *key = map_iter_key(&iter).data;
		const struct conf_entry *behind = entry_behind(key);
		struct conf_entry entry = {.key = key, .type = CONF_PASSWORD};
		struct conf_synonym synonyms[2 * CONF_SYNONYMS_MAX] = {{key, text, source}};
		size_t count = 1;

		if (broker_conf_entry(key) != NULL || !is_asked_for(resource, key))
			continue;
		if (behind != NULL)
			entry.type = behind->type;
		if (!level_alone)
			count = find_synonyms(conf, key, behind, synonyms);
		if (synonyms[0].source != source)
			continue;
		st = add_config(call, req, &entry, text, true, synonyms, count, result);
		if (behind == NULL)
			result->configs[result->configs_count - 1].config_type = TYPE_UNKNOWN;
	}
	return st;
}

/* ---- by resource ---- */

static int
describe_topic(struct api_call *call, const struct describe_configs_request *req,
	       const struct describe_configs_resource *resource,
	       struct describe_configs_result *result)
{
	const struct broker_conf *conf = api_conf(call);
	struct properties overrides = {0};
	struct topic_conf tc;
	int st = config_resource_topic(call, resource->resource_name);

	if (st != 0)
		return st;
	st = topic_configs_get(call->api->settings.topic_configs, resource->resource_name.data,
			       &overrides);
	if (st == 0)
		st = topic_conf_init(&tc, conf, &overrides, NULL);
	if (st == 0) {
		result->configs = describe_configs_resource_result_new(
		    &call->arena, (int32_t)topic_conf_entry_count);
		if (result->configs == NULL)
			st = -ENOMEM;
		for (size_t i = 0; st == 0 && i < topic_conf_entry_count; i++) {
			const struct conf_entry *entry = &topic_conf_entries[i];
			struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
			struct buf value = {0};
			size_t count;

			if (!is_asked_for(resource, entry->key))
				continue;
			count = topic_conf_synonyms(conf, &overrides, entry, synonyms);
			topic_conf_text(&tc, entry, &value);
			st = buf_text(&value) == NULL
				 ? -ENOMEM
				 : add_config(call, req, entry, buf_text(&value), false, synonyms,
					      count, result);
			buf_fini(&value);
		}
		topic_conf_fini(&tc);
	}
	properties_fini(&overrides);
	return st;
}

/* The cluster-wide defaults list only what was set there. */
static int
describe_default_broker(struct api_call *call, const struct describe_configs_request *req,
			const struct describe_configs_resource *resource,
			struct describe_configs_result *result)
{
	const struct broker_conf *conf = api_conf(call);

	for (size_t i = 0; i < broker_conf_entry_count; i++) {
		const struct conf_entry *entry = &broker_conf_entries[i];
		const char *text = properties_get(&conf->dynamic_default, entry->key);
		struct conf_synonym synonym = {entry->key, text,
					       CONF_SOURCE_DYNAMIC_DEFAULT_BROKER};
		int st;

		if (text == NULL || !is_asked_for(resource, entry->key))
			continue;
		st = add_config(call, req, entry, text, false, &synonym, 1, result);
		if (st != 0)
			return st;
	}
	return describe_unnamed(call, req, resource, CONF_SOURCE_DYNAMIC_DEFAULT_BROKER, true,
				result);
}

/* While the broker runs: what is hidden otherwise is shown then. */
static bool
is_set(const struct broker_conf *conf, const char *key)
{
	return properties_get(&conf->dynamic_broker, key) != NULL ||
	       properties_get(&conf->dynamic_default, key) != NULL;
}

static int
describe_broker(struct api_call *call, const struct describe_configs_request *req,
		const struct describe_configs_resource *resource,
		struct describe_configs_result *result, const char **ret_message)
{
	const struct broker_conf *conf = api_conf(call);
	int32_t id;
	int st = config_resource_broker(call, resource->resource_name, true, &id, ret_message);

	if (st != 0)
		return st;
	result->configs = describe_configs_resource_result_new(
	    &call->arena, (int32_t)(broker_conf_entry_count + conf->dynamic_broker.texts.count +
				    conf->dynamic_default.texts.count + conf->fixed.texts.count));
	if (result->configs == NULL)
		return -ENOMEM;
	if (id == -1)
		return describe_default_broker(call, req, resource, result);
	for (size_t i = 0; st == 0 && i < broker_conf_entry_count; i++) {
		const struct conf_entry *entry = &broker_conf_entries[i];
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		size_t count;

		if ((entry->hidden && !is_set(conf, entry->key)) ||
		    !is_asked_for(resource, entry->key))
			continue;
		count = broker_conf_synonyms(conf, entry, synonyms);
		st = add_config(call, req, entry,
				count == 0 || strcmp(synonyms[0].key, entry->key) != 0
				    ? NULL
				    : synonyms[0].text,
				entry->scope == CONF_READ_ONLY, synonyms, count, result);
	}
	for (enum conf_source s = CONF_SOURCE_DYNAMIC_BROKER;
	     st == 0 && s <= CONF_SOURCE_STATIC_BROKER; s++)
		st = describe_unnamed(call, req, resource, s, false, result);
	return st;
}

static int
describe_loggers(struct api_call *call, const struct describe_configs_request *req,
		 const struct describe_configs_resource *resource,
		 struct describe_configs_result *result, const char **ret_message)
{
	int32_t id;
	int st = config_resource_broker(call, resource->resource_name, false, &id, ret_message);

	if (st != 0)
		return st;
	result->configs = describe_configs_resource_result_new(&call->arena, DIAG_ROOM_COUNT);
	if (result->configs == NULL)
		return -ENOMEM;
	for (int room = 0; st == 0 && room < DIAG_ROOM_COUNT; room++) {
		const char *level = diag_level_name(diag_level_of((enum diag_room)room));
		struct conf_entry entry = {.key = diag_room_name((enum diag_room)room),
					   .type = CONF_STRING,
					   .sentence = "How much this part of the broker logs."};
		struct conf_synonym synonym = {entry.key, level, CONF_SOURCE_DYNAMIC_BROKER_LOGGER};

		if (is_asked_for(resource, entry.key))
			st = add_config(call, req, &entry, level, false, &synonym, 1, result);
	}
	return st;
}

static void
describe(struct api_call *call, const struct describe_configs_request *req,
	 const struct describe_configs_resource *resource, struct describe_configs_result *result)
{
	const char *message = NULL;
	int st;

	result->resource_type = resource->resource_type;
	result->resource_name = resource->resource_name;
	switch (resource->resource_type) {
	case CONFIG_TOPIC:
		st = describe_topic(call, req, resource, result);
		break;
	case CONFIG_BROKER:
		st = describe_broker(call, req, resource, result, &message);
		break;
	case CONFIG_BROKER_LOGGER:
		st = describe_loggers(call, req, resource, result, &message);
		break;
	default:
		message = arena_printf(&call->arena, "Unsupported resource type: %d",
				       resource->resource_type);
		st = K_INVALID_REQUEST;
		break;
	}
	result->error_code = kerr_of(st);
	if (st != 0) {
		result->configs_count = 0;
		result->error_message =
		    str_of(message != NULL ? message : kerr_text(result->error_code));
	}
}

struct describe_state {
	const struct describe_configs_request *req;
	struct describe_configs_response resp;
};

static void
answer(struct api_call *call)
{
	struct describe_state *state = call->state;

	for (int32_t i = 0; i < state->req->resources_count; i++)
		describe(call, state->req, &state->req->resources[i], &state->resp.results[i]);
	api_answer(call, &state->resp);
}

static bool
is_unread_topic(struct api_call *call, const struct describe_configs_resource *resource)
{
	return resource->resource_type == CONFIG_TOPIC &&
	       config_resource_topic(call, resource->resource_name) == 0 &&
	       !topic_configs_know(call->api->settings.topic_configs, resource->resource_name.data);
}

/* On the controller's thread: reads the settings of topics that this broker does not host. */
static void
read_topics(struct api_call *call, struct zk *zk)
{
	struct describe_state *state = call->state;

	for (int32_t i = 0; i < state->req->resources_count; i++) {
		const struct describe_configs_resource *resource = &state->req->resources[i];
		char entity[ZNODE_PATH_MAX];

		if (!is_unread_topic(call, resource))
			continue;
		snprintf(entity, sizeof(entity), "topics/%s", resource->resource_name.data);
		call->api->settings.config_changed(call->api->settings.arg, zk, entity);
	}
}

void
api_describe_configs(struct api_call *call, void *request)
{
	const struct describe_configs_request *req = request;
	struct describe_state *state = arena_alloc(&call->arena, sizeof(*state));
	bool unread = false;

	call->arena.limit += (size_t)4 << 20; /* every setting of a broker with its sentence */
	if (state != NULL) {
		describe_configs_response_init(&state->resp);
		state->resp.results =
		    describe_configs_result_new(&call->arena, req->resources_count);
	}
	if (state == NULL || state->resp.results == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->resp.results_count = req->resources_count;
	state->req = req;
	call->state = state;
	for (int32_t i = 0; i < req->resources_count; i++)
		unread = unread || is_unread_topic(call, &req->resources[i]);
	if (unread)
		api_work_on_controller(call, read_topics, answer);
	else
		answer(call);
}
