/*
 * AlterConfigs and IncrementalAlterConfigs: one way for both, since replacing everything is a case
 * of changing it. Znodes are read and written on the controller's thread, which every broker has.
 *
 * Kafka: ConfigAdminManager, ZkAdminManager.alterConfigs, DynamicBrokerConfig.
 */
#include <errno.h>
#include <stdio.h>

#include "api/api_call.h"
#include "api/config_resource.h"
#include "base/diag.h"
#include "wire/generated/alter_configs.h"
#include "wire/generated/incremental_alter_configs.h"
#include "zk/znode_config.h"

enum config_operation { CONFIG_SET = 0, CONFIG_DELETE = 1, CONFIG_APPEND = 2, CONFIG_SUBTRACT = 3 };

struct change {
	struct str name, value;
	int8_t operation;
};

/* One resource of either request. */
struct alteration {
	int8_t type;
	struct str name;
	struct change *changes;
	int32_t change_count;
	int st;
	const char *message;
};

struct alter_state {
	struct alteration *alterations;
	int32_t count;
	bool incremental, validate_only;
};

static void
refuse(struct alteration *a, int st, const char *message)
{
	a->st = st;
	a->message = message;
}

/* ---- checks that need no ensemble ---- */

static void
check_twice(struct alter_state *state)
{
	for (int32_t i = 0; i < state->count; i++)
		for (int32_t k = 0; k < state->count; k++)
			if (i != k && state->alterations[i].type == state->alterations[k].type &&
			    str_equal(state->alterations[i].name, state->alterations[k].name))
				refuse(&state->alterations[i], K_INVALID_REQUEST,
				       "Each resource must appear at most once.");
}

static void
check_changes(struct alteration *a)
{
	for (int32_t i = 0; a->st == 0 && i < a->change_count; i++) {
		if (a->changes[i].value.data == NULL && a->changes[i].operation != CONFIG_DELETE)
			refuse(a, K_INVALID_REQUEST, "Null value not supported for: a setting");
		else if (a->changes[i].operation < CONFIG_SET ||
			 a->changes[i].operation > CONFIG_SUBTRACT)
			refuse(a, K_INVALID_REQUEST, "Unknown operation on a setting");
		for (int32_t k = 0; k < i; k++)
			if (str_equal(a->changes[i].name, a->changes[k].name))
				refuse(a, K_INVALID_REQUEST, "Error due to duplicate config keys");
	}
}

/* ---- applying changes to a set of overrides ---- */

/* list without, or with, the items of value. */
static int
change_list(const char *list, const struct change *change, struct buf *out)
{
	bool append = change->operation == CONFIG_APPEND;
	const char *sources[2] = {list, append ? change->value.data : ""};

	for (int s = 0; s < 2; s++) {
		for (const char *at = sources[s]; *at != '\0';) {
			char item[512];
			size_t len;

			at += strspn(at, " ,");
			len = strcspn(at, ",");
			snprintf(item, sizeof(item), "%.*s", (int)len, at);
			at += len;
			if (item[0] == '\0' ||
			    (!append && conf_list_has(change->value.data, item)) ||
			    (s == 1 && conf_list_has(list, item)))
				continue;
			buf_printf(out, "%s%s", out->len > 0 ? "," : "", item);
		}
	}
	return buf_text(out) == NULL ? -ENOMEM : 0;
}

/* fallback: the value in force where there is no override. */
static int
apply_change(const struct change *change, const struct conf_entry *entry, const char *fallback,
	     struct properties *props)
{
	const char *current = properties_get(props, change->name.data);
	struct buf list = {0};
	int st;

	if (change->operation == CONFIG_SET)
		return properties_set(props, change->name.data, change->value.data);
	if (change->operation == CONFIG_DELETE) {
		properties_remove(props, change->name.data);
		return 0;
	}
	if (entry == NULL || entry->type != CONF_LIST)
		return K_INVALID_CONFIG;
	st = change_list(current != NULL    ? current
			 : fallback == NULL ? ""
					    : fallback,
			 change, &list);
	if (st == 0)
		st = properties_set(props, change->name.data, (const char *)list.data);
	buf_fini(&list);
	return st;
}

static void
keep_message(struct api_call *call, struct alteration *a, struct buf *errors)
{
	if (errors->len > 0 && errors->data[errors->len - 1] == '\n')
		errors->len--;
	a->message = arena_strdup(&call->arena, (const char *)errors->data, errors->len);
}

/* ---- topics ---- */

static int
apply_to_topic(struct api_call *call, const struct alteration *a, struct properties *props)
{
	const struct broker_conf *conf = api_conf(call);

	for (int32_t i = 0; i < a->change_count; i++) {
		const struct conf_entry *entry = topic_conf_entry(a->changes[i].name.data);
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		const char *fallback = NULL;
		int st;

		if (entry != NULL) {
			topic_conf_synonyms(conf, NULL, entry, synonyms);
			fallback = synonyms[0].text;
		}
		st = apply_change(&a->changes[i], entry, fallback, props);
		if (st != 0)
			return st;
	}
	return 0;
}

static int
alter_topic(struct api_call *call, struct zk *zk, struct alter_state *state, struct alteration *a)
{
	struct properties props = {0};
	struct buf errors = {0};
	char entity[ZNODE_PATH_MAX];
	int st = config_resource_topic(call, a->name);

	if (a->name.len == 0)
		st = K_INVALID_REQUEST;
	if (st != 0)
		return st;
	snprintf(entity, sizeof(entity), "topics/%s", a->name.data);
	if (state->incremental)
		st = znode_config_get(zk, entity, &props);
	if (st == 0)
		st = apply_to_topic(call, a, &props);
	if (st == 0)
		st = topic_conf_check(api_conf(call), &props, &errors);
	if (st == -EINVAL) {
		keep_message(call, a, &errors);
		st = K_INVALID_CONFIG;
	}
	if (st == 0 && !state->validate_only) {
		st = znode_config_set(zk, entity, &props);
		if (st == 0)
			call->api->settings.config_changed(call->api->settings.arg, zk, entity);
	}
	buf_fini(&errors);
	properties_fini(&props);
	return st;
}

/* ---- brokers ---- */

static const char *
without_listener_prefix(const char *key)
{
	const char *dot;

	if (strncmp(key, "listener.name.", strlen("listener.name.")) != 0)
		return key;
	dot = strchr(key + strlen("listener.name."), '.');
	return dot == NULL ? key : dot + 1;
}

/* May this key be changed while the broker runs, at this level? */
static int
check_dynamic(struct api_call *call, struct alteration *a, const struct change *change,
	      const struct conf_entry *entry, bool cluster_wide)
{
	const char *key = change->name.data;

	if (entry == NULL) /* a plug-in's own setting is kept for it */
		return 0;
	if (entry->scope == CONF_READ_ONLY) {
		a->message =
		    arena_printf(&call->arena, "Cannot update these configs dynamically: %s", key);
		return K_INVALID_REQUEST;
	}
	if (cluster_wide && entry->scope != CONF_CLUSTER_WIDE) {
		a->message = arena_printf(
		    &call->arena, "%s cannot be set for all brokers, only for each one", key);
		return K_INVALID_REQUEST;
	}
	if (entry->scope == CONF_PER_LISTENER && without_listener_prefix(key) == key) {
		a->message = arena_printf(&call->arena,
					  "%s can be changed only for a listener: "
					  "listener.name.<listener>.%s",
					  key, key);
		return K_INVALID_REQUEST;
	}
	if (entry->type == CONF_PASSWORD && change->operation != CONFIG_DELETE) {
		a->message = arena_printf(&call->arena,
					  "%s is a secret, which Klamm does not keep in ZooKeeper: "
					  "set it in server.properties",
					  key);
		return K_INVALID_REQUEST;
	}
	return 0;
}

/*
 * What is wrong with a broker's settings is K_INVALID_REQUEST, whatever it is; with a topic's it is
 * K_INVALID_CONFIG. Source: Kafka's ConfigAdminManager.validateBrokerConfigChange.
 */
static int
check_value(struct api_call *call, struct alteration *a, const struct conf_entry *entry,
	    const char *text)
{
	struct buf errors = {0};
	int st = 0;

	if (entry != NULL && text != NULL && conf_entry_check(entry, text, &errors) != 0) {
		keep_message(call, a, &errors);
		st = K_INVALID_REQUEST;
	}
	buf_fini(&errors);
	return st;
}

static int
apply_to_broker(struct api_call *call, struct alteration *a, bool cluster_wide,
		struct properties *props)
{
	const struct broker_conf *conf = api_conf(call);

	for (int32_t i = 0; i < a->change_count; i++) {
		const struct change *change = &a->changes[i];
		const struct conf_entry *entry =
		    broker_conf_entry(without_listener_prefix(change->name.data));
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		int st = check_dynamic(call, a, change, entry, cluster_wide);

		if (st == 0)
			st = apply_change(change, entry,
					  entry != NULL &&
						  broker_conf_synonyms(conf, entry, synonyms) > 0
					      ? synonyms[0].text
					      : NULL,
					  props);
		if (st == 0)
			st = check_value(call, a, entry, properties_get(props, change->name.data));
		if (st != 0)
			return st;
	}
	return 0;
}

/*
 * Settings that are right one by one may not be together, or too far from those that hold. The
 * broker that is asked judges those for all brokers, too.
 */
static int
check_together(struct api_call *call, struct alteration *a, const char *entity,
	       const struct properties *props)
{
	const struct api_settings *s = &call->api->settings;
	struct buf errors = {0};
	int st = 0;

	if (s->check_config(s->arg, entity, props, &errors) > 0) {
		keep_message(call, a, &errors);
		st = K_INVALID_REQUEST;
	}
	buf_fini(&errors);
	return st;
}

static int
alter_broker(struct api_call *call, struct zk *zk, struct alter_state *state, struct alteration *a)
{
	struct properties props = {0};
	char entity[ZNODE_PATH_MAX];
	int32_t id;
	int st = config_resource_broker(call, a->name, true, &id, &a->message);

	if (st != 0)
		return st;
	if (id == -1)
		snprintf(entity, sizeof(entity), "brokers/<default>");
	else
		snprintf(entity, sizeof(entity), "brokers/%d", id);
	if (state->incremental)
		st = znode_config_get(zk, entity, &props);
	if (st == 0)
		st = apply_to_broker(call, a, id == -1, &props);
	if (st == 0)
		st = check_together(call, a, entity, &props);
	if (st == 0 && !state->validate_only) {
		st = znode_config_set(zk, entity, &props);
		if (st == 0)
			call->api->settings.config_changed(call->api->settings.arg, zk, entity);
	}
	properties_fini(&props);
	return st;
}

/* ---- loggers ---- */

static int
alter_loggers(struct api_call *call, struct alter_state *state, struct alteration *a)
{
	int32_t id;
	int st = config_resource_broker(call, a->name, false, &id, &a->message);

	if (st == 0 && !state->incremental) {
		a->message = "loggers can be changed by IncrementalAlterConfigs only";
		st = K_INVALID_REQUEST;
	}
	for (int pass = 0; st == 0 && pass < 2;
	     pass++) { /* nothing is changed unless all is well */
		for (int32_t i = 0; i < a->change_count; i++) {
			const struct change *change = &a->changes[i];
			enum diag_level level = DIAG_INFO;
			enum diag_room room;

			if (diag_room_parse(change->name.data, &room) != 0 ||
			    change->operation > CONFIG_DELETE ||
			    (change->operation == CONFIG_SET &&
			     diag_level_parse(change->value.data, &level) != 0)) {
				a->message = arena_printf(&call->arena,
							  "there is no logger %s, or no such level",
							  change->name.data);
				return K_INVALID_CONFIG;
			}
			if (pass == 1 && !state->validate_only)
				diag_set_level(room, level);
		}
	}
	return st;
}

/* ---- both requests ---- */

static void
alter(struct api_call *call, struct zk *zk)
{
	struct alter_state *state = call->state;

	for (int32_t i = 0; i < state->count; i++) {
		struct alteration *a = &state->alterations[i];

		if (a->st != 0)
			continue;
		if (a->type == CONFIG_TOPIC)
			a->st = alter_topic(call, zk, state, a);
		else if (a->type == CONFIG_BROKER)
			a->st = alter_broker(call, zk, state, a);
		else if (a->type == CONFIG_BROKER_LOGGER)
			a->st = alter_loggers(call, state, a);
		else
			refuse(a, K_INVALID_REQUEST, "Unsupported resource type");
	}
}

static struct alter_state *
state_new(struct api_call *call, int32_t count, bool incremental, bool validate_only)
{
	struct alter_state *state = arena_alloc(&call->arena, sizeof(*state));

	if (state == NULL)
		return NULL;
	state->alterations = arena_calloc(&call->arena, (size_t)count, sizeof(*state->alterations));
	state->count = count;
	state->incremental = incremental;
	state->validate_only = validate_only;
	call->state = state;
	return state->alterations == NULL ? NULL : state;
}

static int
alteration_init(struct api_call *call, struct alteration *a, int8_t type, struct str name,
		int32_t count)
{
	a->type = type;
	a->name = name;
	a->change_count = count;
	a->changes = arena_calloc(&call->arena, (size_t)count, sizeof(*a->changes));
	return a->changes == NULL ? -ENOMEM : 0;
}

static struct str
message_of(const struct alteration *a)
{
	if (a->st == 0)
		return (struct str){0};
	return str_of(a->message != NULL ? a->message : kerr_text(kerr_of(a->st)));
}

static void
answer_alter(struct api_call *call)
{
	const struct alter_state *state = call->state;
	struct alter_configs_response resp;

	alter_configs_response_init(&resp);
	resp.responses =
	    alter_configs_response_alter_configs_resource_response_new(&call->arena, state->count);
	if (resp.responses == NULL) {
		api_out_of_memory(call);
		return;
	}
	resp.responses_count = state->count;
	for (int32_t i = 0; i < state->count; i++) {
		const struct alteration *a = &state->alterations[i];

		resp.responses[i].error_code = kerr_of(a->st);
		resp.responses[i].error_message = message_of(a);
		resp.responses[i].resource_type = a->type;
		resp.responses[i].resource_name = a->name;
	}
	api_answer(call, &resp);
}

static void
answer_incremental(struct api_call *call)
{
	const struct alter_state *state = call->state;
	struct incremental_alter_configs_response resp;

	incremental_alter_configs_response_init(&resp);
	resp.responses = incremental_alter_configs_response_alter_configs_resource_response_new(
	    &call->arena, state->count);
	if (resp.responses == NULL) {
		api_out_of_memory(call);
		return;
	}
	resp.responses_count = state->count;
	for (int32_t i = 0; i < state->count; i++) {
		const struct alteration *a = &state->alterations[i];

		resp.responses[i].error_code = kerr_of(a->st);
		resp.responses[i].error_message = message_of(a);
		resp.responses[i].resource_type = a->type;
		resp.responses[i].resource_name = a->name;
	}
	api_answer(call, &resp);
}

static void
begin(struct api_call *call, struct alter_state *state, void (*answer)(struct api_call *call))
{
	for (int32_t i = 0; i < state->count; i++)
		check_changes(&state->alterations[i]);
	check_twice(state);
	api_work_on_controller(call, alter, answer);
}

void
api_alter_configs(struct api_call *call, void *request)
{
	const struct alter_configs_request *req = request;
	struct alter_state *state =
	    state_new(call, req->resources_count, false, req->validate_only);

	if (state == NULL)
		goto no_memory;
	for (int32_t i = 0; i < req->resources_count; i++) {
		const struct alter_configs_request_alter_configs_resource *r = &req->resources[i];
		struct alteration *a = &state->alterations[i];

		if (alteration_init(call, a, r->resource_type, r->resource_name,
				    r->configs_count) != 0)
			goto no_memory;
		for (int32_t k = 0; k < r->configs_count; k++)
			a->changes[k] = (struct change){.name = r->configs[k].name,
							.value = r->configs[k].value,
							.operation = CONFIG_SET};
	}
	begin(call, state, answer_alter);
	return;
no_memory:
	api_out_of_memory(call);
}

void
api_incremental_alter_configs(struct api_call *call, void *request)
{
	const struct incremental_alter_configs_request *req = request;
	struct alter_state *state = state_new(call, req->resources_count, true, req->validate_only);

	if (state == NULL)
		goto no_memory;
	for (int32_t i = 0; i < req->resources_count; i++) {
		const struct incremental_alter_configs_request_alter_configs_resource *r =
		    &req->resources[i];
		struct alteration *a = &state->alterations[i];

		if (alteration_init(call, a, r->resource_type, r->resource_name,
				    r->configs_count) != 0)
			goto no_memory;
		for (int32_t k = 0; k < r->configs_count; k++)
			a->changes[k] =
			    (struct change){.name = r->configs[k].name,
					    .value = r->configs[k].value,
					    .operation = r->configs[k].config_operation};
	}
	begin(call, state, answer_incremental);
	return;
no_memory:
	api_out_of_memory(call);
}
