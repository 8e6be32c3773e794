/*
 * Settings that change while the broker runs: /config/brokers and /config/topics.
 *
 * Runs on the controller's thread but for what broker_start() reads before there is one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "broker/broker_internal.h"

/* ---- this broker's own ---- */

static void
complain(const char *entity)
{
	diag_error(
	    DIAG_CONFIG,
	    "cannot read settings in the ensemble; until they are mended those hold that did "
	    "before, or at a start the defaults",
	    "path=/config/%s", entity);
}

/* -EBADMSG: props is as it was. */
static int
read_entity(struct zk *zk, const char *entity, struct properties *props)
{
	struct properties now = {0};
	int st = znode_config_get(zk, entity, &now);

	if (st != 0) {
		if (st == -EBADMSG)
			complain(entity);
		properties_fini(&now);
		return st;
	}
	properties_fini(props);
	*props = now;
	return 0;
}

/* The next configuration, of all three levels. Mistakes in the dynamic ones are logged. */
static int
rebuild(struct broker *b)
{
	const struct broker_conf *now = broker_conf_of(b);
	struct buf errors = {0};
	struct broker_conf *next;
	int st =
	    broker_conf_build(&now->fixed, &b->dynamic_default, &b->dynamic_broker, &errors, &next);

	if (errors.len > 0)
		diag_error(DIAG_CONFIG, "a dynamic setting is wrong and left out", "%.*s",
			   (int)errors.len - 1, (const char *)errors.data);
	buf_fini(&errors);
	if (st == 0)
		conf_store_replace(&b->conf_store, next);
	return st;
}

static int
read_broker_settings(struct broker *b, struct zk *zk)
{
	char entity[64];
	int st;

	snprintf(entity, sizeof(entity), "brokers/%d", b->id);
	st = read_entity(zk, "brokers/<default>", &b->dynamic_default);
	if (st == 0 || st == -EBADMSG)
		st = read_entity(zk, entity, &b->dynamic_broker);
	if (st == -EBADMSG)
		st = 0;
	if (st == 0 && b->dynamic_default.texts.count + b->dynamic_broker.texts.count +
			       broker_conf_of(b)->dynamic_default.texts.count +
			       broker_conf_of(b)->dynamic_broker.texts.count >
			   0)
		st = rebuild(b);
	return st;
}

void
broker_cleaner_settings(const struct broker_conf *conf, struct log_cleaner_settings *ret)
{
	int64_t threads = conf->log_cleaner_threads > 0 ? conf->log_cleaner_threads : 1;

	*ret = (struct log_cleaner_settings){
	    .dedupe_buffer_bytes = conf->log_cleaner_dedupe_buffer_size / threads,
	    .buffer_load_factor = conf->log_cleaner_io_buffer_load_factor,
	    .backoff_ms = conf->log_cleaner_backoff_ms,
	    .io_max_bytes_per_second = conf->log_cleaner_io_max_bytes_per_second,
	};
}

static void
tell_of_change(void *arg, const char *key, const char *notice)
{
	(void)arg;
	diag_warn(DIAG_CONFIG, "a dynamic setting has changed that has no effect now",
		  "key=%s notice=\"%s\"", key, notice);
}

static bool
names_certificates(const struct properties *props)
{
	struct map_iter iter = {0};

	while (map_next(&props->texts, &iter) != NULL)
		if (strstr(map_iter_key(&iter).data, "ssl.") != NULL)
			return true;
	return false;
}

/* Whoever sets the name of a file again, to the same even, wants the file to be read again. */
static void
reload_certificates(struct broker *b, const struct broker_conf *old, const struct broker_conf *now)
{
	if (names_certificates(&old->dynamic_broker) || names_certificates(&now->dynamic_broker) ||
	    names_certificates(&old->dynamic_default) || names_certificates(&now->dynamic_default))
		atomic_store(&b->reload_due, true);
}

static void
resize_pools(struct broker *b, const struct broker_conf *now)
{
	struct log_cleaner_settings cleaner;
	int st = workers_resize(b->workers, (int)now->background_threads);

	if (st != 0)
		diag_error(DIAG_CONFIG, "cannot start as many background threads", "error=%s",
			   strerror(-st));
	broker_cleaner_settings(now, &cleaner);
	log_manager_set_cleaner(b->logs, &cleaner);
}

static void
limit_listeners(struct broker *b, const struct broker_conf *now)
{
	lock_acquire(&b->listeners_lock);
	for (size_t i = 0; i < b->listener_count; i++) {
		struct listener *l = b->listeners[i]->listener;
		const char *name = b->listeners[i]->endpoint.listener_name;

		if (l == NULL)
			continue;
		listener_set_max_connections(l,
					     broker_listener_limit(now, name, "max.connections"));
		listener_set_max_connection_rate(
		    l, broker_listener_limit(now, name, "max.connection.creation.rate"));
	}
	lock_release(&b->listeners_lock);
}

/* What can change at run time is handed on. */
void
broker_on_conf_change(void *arg, const struct broker_conf *old, const struct broker_conf *now)
{
	struct broker *b = arg;
	char err[512];

	broker_conf_change_notices(old, now, tell_of_change, NULL);
	resize_pools(b, now);
	reload_certificates(b, old, now);
	atomic_store(&b->listeners_due, true);
	if (b->limits != NULL) {
		connection_limits_set(b->limits, (int)now->max_connections,
				      (int)now->max_connections_per_ip);
		connection_limits_set_rate(b->limits, (int)now->max_connection_creation_rate);
		if (strcmp(old->max_connections_per_ip_overrides,
			   now->max_connections_per_ip_overrides) != 0 &&
		    connection_limits_set_overrides(
			b->limits, now->max_connections_per_ip_overrides, err, sizeof(err)) != 0)
			diag_error(DIAG_CONFIG, err, "");
	}
	limit_listeners(b, now);
	if (b->replicas != NULL)
		replica_manager_configure(b->replicas, NULL);
	diag_info(DIAG_CONFIG, "dynamic settings of the broker have changed", "");
}

static bool
same_listeners(const struct broker_conf *a, const struct broker_conf *b)
{
	const char *theirs = a->advertised_listeners, *ours = b->advertised_listeners;

	return strcmp(a->listeners, b->listeners) == 0 &&
	       strcmp(a->listener_security_protocol_map, b->listener_security_protocol_map) == 0 &&
	       (theirs == NULL || ours == NULL ? theirs == ours : strcmp(theirs, ours) == 0);
}

int
broker_check_config(void *arg, const char *entity, const struct properties *props,
		    struct buf *errors)
{
	struct broker *b = arg;
	const struct broker_conf *now = broker_conf_of(b);
	bool is_default = strcmp(entity, "brokers/<default>") == 0;
	struct buf of_values = {0}; /* of single values, which the request's handler has checked */
	struct broker_conf *next;
	int broken = 0;

	if (broker_conf_build(&now->fixed, is_default ? props : &b->dynamic_default,
			      is_default ? &b->dynamic_broker : props, &of_values, &next) == 0) {
		broken = broker_conf_check_change(now, next, errors);
		broken += broker_check_network_threads(b, next, errors);
		if (!same_listeners(now, next))
			broken += broker_check_listener_change(b, next, errors);
		broker_conf_free(next);
	}
	buf_fini(&of_values);
	return broken;
}

/* ---- topics ---- */

static int
take_topic_settings(struct broker *b, const char *topic, struct slice value)
{
	char entity[ZNODE_PATH_MAX];
	struct properties props = {0};
	int st = znode_config_decode(value, &props);

	snprintf(entity, sizeof(entity), "topics/%s", topic);
	if (st == -EBADMSG)
		complain(entity);
	if (st == 0)
		st = topic_configs_set(b->topic_configs, topic, &props);
	properties_fini(&props);
	return st == -EBADMSG ? 0 : st;
}

static int
read_topic_settings(struct broker *b, struct zk *zk, const char *topic)
{
	char entity[ZNODE_PATH_MAX];
	struct properties props = {0};
	int st;

	snprintf(entity, sizeof(entity), "topics/%s", topic);
	st = read_entity(zk, entity, &props);
	if (st == -EBADMSG)
		return 0;
	if (st == 0)
		st = topic_configs_set(b->topic_configs, topic, &props);
	properties_fini(&props);
	if (st == 0 && b->replicas != NULL)
		replica_manager_configure(b->replicas, topic);
	return st;
}

/* All topics at start, pipelined. */
static int
read_all_topic_settings(struct broker *b)
{
	struct zk_names names;
	struct zk_request *requests;
	struct zk_op *ops;
	char(*paths)[ZNODE_PATH_MAX];
	int st = zk_children(b->zk, "/config/topics", false, &names);

	if (st != 0)
		return st == -ENOENT ? 0 : st;
	ops = calloc(names.count + 1, sizeof(*ops));
	requests = calloc(names.count + 1, sizeof(*requests));
	paths = calloc(names.count + 1, sizeof(*paths));
	if (ops == NULL || requests == NULL || paths == NULL)
		abort();
	for (size_t i = 0; i < names.count; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/config/topics/%s", names.names[i]);
		ops[i] = (struct zk_op){.kind = ZK_GET, .path = paths[i]};
		requests[i] = (struct zk_request){.ops = &ops[i], .op_count = 1};
	}
	st = zk_run(b->zk, requests, names.count);
	for (size_t i = 0; i < names.count; i++) {
		if (st == 0 && ops[i].st == 0)
			st = take_topic_settings(b, names.names[i], buf_slice(&ops[i].value));
		zk_op_fini(&ops[i]);
	}
	free(ops);
	free(requests);
	free(paths);
	zk_names_fini(&names);
	return st;
}

/* A caller on another thread waits until the controller's has read a topic's settings. */
struct topic_read {
	struct broker *b;
	const char *topic;
	pthread_mutex_t mutex;
	pthread_cond_t done_changed;
	bool done;
};

static void
read_for_another(void *arg, struct zk *zk)
{
	struct topic_read *read = arg;
	int st = read_topic_settings(read->b, zk, read->topic);

	if (st != 0 && st != -ESHUTDOWN)
		diag_error(DIAG_CONFIG, "cannot read a topic's settings; the broker's hold",
			   "topic=%s error=%s", read->topic, strerror(-st));
	pthread_mutex_lock(&read->mutex);
	read->done = true;
	pthread_cond_signal(&read->done_changed);
	pthread_mutex_unlock(&read->mutex);
}

void
broker_read_topic_config(void *arg, const char *topic)
{
	struct topic_read read = {arg, topic, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
				  false};
	struct broker *b = arg;

	controller_submit(b->controller, read_for_another, &read);
	pthread_mutex_lock(&read.mutex);
	while (!read.done)
		pthread_cond_wait(&read.done_changed, &read.mutex);
	pthread_mutex_unlock(&read.mutex);
}

void
broker_configure_log(void *arg, const char *topic, struct log_config *config)
{
	struct broker *b = arg;
	const struct broker_conf *conf = broker_conf_of(b);
	struct topic_conf tc;

	if (topic_configs_effective(b->topic_configs, conf, topic, &tc) != 0)
		return;
	replica_log_config(&tc, conf, config);
	topic_conf_fini(&tc);
}

/* ---- changes ---- */

void
broker_config_changed(void *arg, struct zk *zk, const char *entity)
{
	struct broker *b = arg;
	char own[64];
	int st = 0;

	snprintf(own, sizeof(own), "brokers/%d", b->id);
	if (strncmp(entity, "topics/", strlen("topics/")) == 0)
		st = read_topic_settings(b, zk, entity + strlen("topics/"));
	else if (strcmp(entity, own) == 0 || strcmp(entity, "brokers/<default>") == 0)
		st = read_broker_settings(b, zk);
	else
		return;
	if (st == 0)
		controller_settings_changed(b->controller,
					    strncmp(entity, "topics/", strlen("topics/")) == 0
						? entity + strlen("topics/")
						: NULL);
	if (st != 0 && st != -ESHUTDOWN)
		diag_error(DIAG_CONFIG, "cannot take over a change of settings",
			   "entity=%s error=%s", entity, strerror(-st));
}

struct change_context {
	struct broker *b;
	struct zk *zk;
};

static void
on_changed(void *arg, const char *entity)
{
	struct change_context *context = arg;

	broker_config_changed(context->b, context->zk, entity);
}

static int
read_changes(struct broker *b, struct zk *zk)
{
	struct change_context context = {b, zk};

	return znode_config_changes(zk, b->env, &b->changes, on_changed, &context);
}

void
broker_on_watch(void *arg, struct zk *zk, enum zk_watch_type type, const char *path)
{
	struct broker *b = arg;
	int st = 0;

	(void)type;
	if (strcmp(path, "/config/changes") == 0)
		st = read_changes(b, zk);
	if (st != 0 && st != -ESHUTDOWN)
		diag_error(DIAG_CONFIG, "cannot read the change notifications", "error=%s",
			   strerror(-st));
}

int
broker_read_configs(struct broker *b)
{
	int st = read_changes(b, b->zk); /* the watch first: nothing falls between */

	if (st == 0)
		st = read_broker_settings(b, b->zk);
	if (st == 0)
		st = read_all_topic_settings(b);
	if (st != 0)
		diag_error(DIAG_BROKER, "cannot read the settings in the ensemble", "error=%s",
			   strerror(-st));
	return st;
}
