/* What must hold between settings, and what an operator should know of those that were set. */
#include "base/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static void PRINTF_LIKE(3, 4) rule(int *broken, struct buf *errors, const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	buf_printf(errors, "%s\n", line);
	++*broken;
}

static void
check_identity(const struct broker_conf *c, struct buf *errors, int *broken)
{
	if (c->process_roles[0] != '\0')
		rule(broken, errors,
		     "process.roles=%s: selects KRaft, which Klamm does not speak: remove it",
		     c->process_roles);
	if (c->controller_listener_names != NULL && c->controller_listener_names[0] != '\0')
		rule(broken, errors,
		     "controller.listener.names=%s: must be empty under ZooKeeper: remove it",
		     c->controller_listener_names);
	if (c->zookeeper_metadata_migration_enable)
		rule(broken, errors,
		     "zookeeper.metadata.migration.enable=true: Klamm does not migrate to KRaft: "
		     "remove it");
	if (c->zookeeper_connect == NULL && !c->klamm_standalone)
		rule(broken, errors,
		     "zookeeper.connect: is missing; give host:port[,host:port...][/chroot], or "
		     "run with --standalone");
	if (c->node_id != -1 && c->node_id != c->broker_id)
		rule(broken, errors, "node.id=%lld: must equal broker.id (%lld)",
		     (long long)c->node_id, (long long)c->broker_id);
	if (c->broker_id_generation_enable &&
	    (c->broker_id < -1 || c->broker_id > c->reserved_broker_max_id))
		rule(broken, errors,
		     "broker.id=%lld: must be from -1 to reserved.broker.max.id (%lld)",
		     (long long)c->broker_id, (long long)c->reserved_broker_max_id);
	if (!c->broker_id_generation_enable && c->broker_id < 0)
		rule(broken, errors,
		     "broker.id=%lld: must be at least 0 while broker.id.generation.enable is "
		     "false",
		     (long long)c->broker_id);
}

static void
check_logs(const struct broker_conf *c, struct buf *errors, int *broken)
{
	if (c->log_dirs != NULL ? c->log_dirs[strspn(c->log_dirs, " ,")] == '\0'
				: c->log_dir[0] == '\0')
		rule(broken, errors, "log.dirs: at least one directory is needed");
	if (c->log_retention_ms == CONF_NULL && c->log_retention_minutes == 0)
		rule(broken, errors, "log.retention.minutes=0: must be at least 1, or -1");
	if (c->log_retention_ms == 0)
		rule(broken, errors, "log.retention.ms=0: must be at least 1, or -1");
	if (c->log_retention_ms == CONF_NULL && c->log_retention_minutes == CONF_NULL &&
	    c->log_retention_hours == 0)
		rule(broken, errors, "log.retention.hours=0: must be at least 1, or -1");
	if (c->log_roll_ms != CONF_NULL && c->log_roll_ms < 1)
		rule(broken, errors, "log.roll.ms=%lld: must be at least 1",
		     (long long)c->log_roll_ms);
	if (c->log_cleaner_enable && c->log_cleaner_threads > 0 &&
	    c->log_cleaner_dedupe_buffer_size / c->log_cleaner_threads <= 1024 * 1024)
		rule(broken, errors,
		     "log.cleaner.dedupe.buffer.size=%lld: must be more than 1048576 for each of "
		     "the log.cleaner.threads (%lld)",
		     (long long)c->log_cleaner_dedupe_buffer_size,
		     (long long)c->log_cleaner_threads);
}

static void
check_network(const struct broker_conf *c, struct buf *errors, int *broken)
{
	if (c->replica_fetch_wait_max_ms > c->replica_socket_timeout_ms)
		rule(broken, errors,
		     "replica.fetch.wait.max.ms=%lld: must not exceed replica.socket.timeout.ms "
		     "(%lld)",
		     (long long)c->replica_fetch_wait_max_ms,
		     (long long)c->replica_socket_timeout_ms);
	if (c->replica_fetch_wait_max_ms > c->replica_lag_time_max_ms)
		rule(broken, errors,
		     "replica.fetch.wait.max.ms=%lld: must not exceed replica.lag.time.max.ms "
		     "(%lld)",
		     (long long)c->replica_fetch_wait_max_ms,
		     (long long)c->replica_lag_time_max_ms);
	if (c->queued_max_request_bytes > 0 &&
	    c->queued_max_request_bytes < c->socket_request_max_bytes)
		rule(broken, errors,
		     "queued.max.request.bytes=%lld: must be at least socket.request.max.bytes "
		     "(%lld), or -1",
		     (long long)c->queued_max_request_bytes,
		     (long long)c->socket_request_max_bytes);
	if (c->max_connections_per_ip == 0 && c->max_connections_per_ip_overrides[0] == '\0')
		rule(broken, errors,
		     "max.connections.per.ip=0: nobody could connect: give "
		     "max.connections.per.ip.overrides as well");
	if (c->connections_max_idle_ms >= 0 &&
	    c->connection_failed_authentication_delay_ms >= c->connections_max_idle_ms)
		rule(broken, errors,
		     "connection.failed.authentication.delay.ms=%lld: must be less than "
		     "connections.max.idle.ms (%lld)",
		     (long long)c->connection_failed_authentication_delay_ms,
		     (long long)c->connections_max_idle_ms);
	if (properties_get(&c->fixed, "security.inter.broker.protocol") != NULL &&
	    c->inter_broker_listener_name != NULL)
		rule(broken, errors,
		     "inter.broker.listener.name=%s: must not be set together with "
		     "security.inter.broker.protocol",
		     c->inter_broker_listener_name);
	if (!conf_list_has(c->group_coordinator_rebalance_protocols, "classic") ||
	    conf_list_has(c->group_coordinator_rebalance_protocols, "consumer"))
		rule(broken, errors,
		     "group.coordinator.rebalance.protocols=%s: must be classic under ZooKeeper",
		     c->group_coordinator_rebalance_protocols);
}

int
broker_conf_check_rules(const struct broker_conf *conf, struct buf *errors)
{
	int broken = 0;

	check_identity(conf, errors, &broken);
	check_logs(conf, errors, &broken);
	check_network(conf, errors, &broken);
	return broken;
}

static const char *const thread_pools[] = {
    "background.threads",
    "num.io.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
};

static int64_t
threads_of(const struct broker_conf *conf, const struct conf_entry *entry)
{
	return *(const int64_t *)(const void *)((const char *)conf + entry->field);
}

int
conf_check_pool_change(const char *key, int64_t before, int64_t after, struct buf *errors)
{
	int64_t least;
	int broken = 0;

	if (before < 1) /* one runs */
		before = 1;
	least = before / 2 < 1 ? 1 : before / 2;
	if (after != before && (after < least || after > before * 2))
		rule(&broken, errors,
		     "%s=%lld: must be from %lld to %lld now that it is %lld; what is further off "
		     "takes several steps, or a start",
		     key, (long long)after, (long long)least, (long long)before * 2,
		     (long long)before);
	return broken;
}

int
broker_conf_check_change(const struct broker_conf *old, const struct broker_conf *now,
			 struct buf *errors)
{
	int broken = 0;

	for (size_t i = 0; i < ARRAY_LEN(thread_pools); i++) {
		const struct conf_entry *entry = broker_conf_entry(thread_pools[i]);
		int64_t before = threads_of(old, entry), after = threads_of(now, entry);

		if (before != after)
			broken += conf_check_pool_change(entry->key, before, after, errors);
	}
	return broken;
}

/* listener.name.<name>.KEY and listener.name.<name>.<mechanism>.KEY stand for KEY. */
static const struct conf_entry *
entry_of(const char *key)
{
	const struct conf_entry *entry = broker_conf_entry(key);

	if (strncmp(key, "listener.name.", strlen("listener.name.")) != 0)
		return entry;
	for (key += strlen("listener.name."); entry == NULL && key != NULL;) {
		key = strchr(key, '.');
		if (key != NULL)
			entry = broker_conf_entry(++key);
	}
	return entry;
}

void
broker_conf_notices(const struct broker_conf *conf, conf_notice_fn *fn, void *arg)
{
	struct map_iter iter = {0};
	char notice[512];
	const char *text;

	while ((text = map_next(&conf->fixed.texts, &iter)) != NULL) {
		const char *key = map_iter_key(&iter).data;
		const struct conf_entry *entry = entry_of(key);

		if (entry == NULL) {
			fn(arg, key, "is not a setting that Kafka or Klamm knows; it is ignored");
			continue;
		}
		if (entry->default_text != NULL && strcasecmp(entry->default_text, text) == 0)
			continue; /* says what would hold anyway */
		if (entry->effect == CONF_NOT_YET)
			fn(arg, key, "is known but has no effect yet");
		else if (entry->effect == CONF_JVM_ONLY) {
			snprintf(notice, sizeof(notice), "belongs to the JVM and is ignored: %s",
				 entry->sentence);
			fn(arg, key, notice);
		} else if (entry->effect == CONF_KRAFT_ONLY)
			fn(arg, key, "has a meaning under KRaft only; it is ignored");
	}
}

/* Why a dynamic value of the setting does nothing now; NULL: it does. */
static const char *
why_without_effect(const struct conf_entry *entry)
{
	switch (entry->effect) {
	case CONF_NEUTRAL:
		return "is accepted; there is nothing that it tunes";
	case CONF_NOT_YET:
		return "is known but has no effect yet";
	case CONF_JVM_ONLY:
		return "belongs to the JVM and is ignored";
	case CONF_KRAFT_ONLY:
		return "has a meaning under KRaft only; it is ignored";
	case CONF_IN_USE:
		break;
	}
	return NULL;
}

static const char *
dynamic_text(const struct broker_conf *conf, const char *key)
{
	const char *text = properties_get(&conf->dynamic_broker, key);

	return text != NULL ? text : properties_get(&conf->dynamic_default, key);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

struct change_notices {
	const struct broker_conf *old, *now;
	conf_notice_fn *fn;
	void *arg;
};

/* Those of one level; `other` has been looked through before. */
static void
notice_changes(const struct change_notices *n, const struct properties *level,
	       const struct properties *other)
{
	struct map_iter iter = {0};

	while (map_next(&level->texts, &iter) != NULL) {
		const char *key = map_iter_key(&iter).data;
		const struct conf_entry *entry = entry_of(key);
		const char *why = entry == NULL ? NULL : why_without_effect(entry);

		if (why != NULL && (other == NULL || properties_get(other, key) == NULL) &&
		    !same_text(dynamic_text(n->old, key), dynamic_text(n->now, key)))
			n->fn(n->arg, key, why);
	}
}

void
broker_conf_change_notices(const struct broker_conf *old, const struct broker_conf *now,
			   conf_notice_fn *fn, void *arg)
{
	const struct change_notices n = {old, now, fn, arg};

	notice_changes(&n, &now->dynamic_broker, NULL);
	notice_changes(&n, &now->dynamic_default, &now->dynamic_broker);
}
