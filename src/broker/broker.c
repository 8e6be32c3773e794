/*
 * The order of a start: workers and event loops; the log directories, locked; the session with the
 * ensemble; who we are; the settings kept there; the logs, which load while we go on; the
 * partitions; the groups; the APIs; the listeners; the registration; and last the controller's
 * thread.
 */
#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "broker/broker_internal.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#define LOG_DIRS_MAX 64

/* ---- logs ---- */

/* Logs are loaded, and may fail, while the broker stops already and the replicas have gone. */

static void
on_log_loaded(void *arg, struct log *log)
{
	struct broker *b = arg;

	lock_acquire(&b->replicas_lock);
	if (b->replicas != NULL)
		replica_manager_log_loaded(b->replicas, log);
	lock_release(&b->replicas_lock);
}

static void
on_all_loaded(void *arg)
{
	struct broker *b = arg;

	atomic_store(&b->all_loaded, true);
	diag_info(DIAG_STORAGE, "all logs are loaded", "logs=%zu took_ms=%lld",
		  log_manager_count(b->logs),
		  (long long)(env_monotonic_us(b->env) - b->start_us) / 1000);
}

/* Tells the controller, which will ask for the replicas and see which are gone, or there. */
static int
notify_dir_event(struct broker *b, struct zk *zk)
{
	char value[96];

	snprintf(value, sizeof(value), "{\"version\":1,\"broker\":%d,\"event\":1}", b->id);
	return zk_create(zk, "/log_dir_event_notification/log_dir_event_",
			 (struct slice){(const uint8_t *)value, strlen(value)},
			 ZK_PERSISTENT_SEQUENTIAL, NULL);
}

static void
notify_dir_failure(void *arg, struct zk *zk)
{
	int st = notify_dir_event(arg, zk);

	if (st != 0 && st != -ESHUTDOWN)
		diag_error(DIAG_BROKER, "cannot tell the controller of a failed log directory",
			   "error=%s", strerror(-st));
}

/* Until it could be told: the next tick tries again. */
static void
notify_room(void *arg, struct zk *zk)
{
	struct broker *b = arg;

	if (notify_dir_event(b, zk) != 0)
		atomic_store(&b->room_untold, true);
}

static void
on_room_came(void *arg, const char *dir)
{
	struct broker *b = arg;

	(void)dir;
	atomic_store(&b->room_untold, true);
}

static void
on_dir_failed(void *arg, const char *dir, int error)
{
	struct broker *b = arg;

	diag_error(DIAG_STORAGE, "a log directory is offline: its partitions are not served",
		   "dir=%s error=%s", dir, strerror(error));
	lock_acquire(&b->replicas_lock);
	if (b->replicas != NULL)
		replica_manager_dir_failed(b->replicas, dir);
	lock_release(&b->replicas_lock);
	if (b->controller_runs)
		controller_submit(b->controller, notify_dir_failure, b);
}

/* log.dirs, or log.dir: trimmed items of a list. */
static size_t
split_dirs(const struct broker_conf *conf, struct arena *arena, const char *dirs[LOG_DIRS_MAX])
{
	const char *at = conf->log_dirs != NULL ? conf->log_dirs : conf->log_dir;
	size_t count = 0;

	while (count < LOG_DIRS_MAX) {
		size_t len;

		at += strspn(at, " \t,");
		len = strcspn(at, ",");
		if (len == 0)
			break;
		dirs[count] = arena_strdup(arena, at, len);
		if (dirs[count] == NULL)
			abort();
		for (char *end = (char *)(uintptr_t)dirs[count] + len;
		     end > dirs[count] && (end[-1] == ' ' || end[-1] == '\t');)
			*--end = '\0';
		count++;
		at += len;
	}
	return count;
}

static void
fill_log_options(struct broker *b, struct log_manager_options *options)
{
	const struct broker_conf *conf = broker_conf_of(b);

	options->env = b->env;
	options->workers = b->workers;
	options->max_open_files = (size_t)conf->klamm_open_segment_files;
	options->retention_check_interval_ms = conf->log_retention_check_interval_ms;
	options->flush_offset_checkpoint_ms = conf->log_flush_offset_checkpoint_interval_ms;
	options->flush_start_offset_checkpoint_ms =
	    conf->log_flush_start_offset_checkpoint_interval_ms;
	options->high_watermark_checkpoint_ms = conf->replica_high_watermark_checkpoint_interval_ms;
	options->producer_expiration_check_ms = conf->producer_id_expiration_check_interval_ms;
	options->initial_task_delay_ms = conf->log_initial_task_delay_ms;
	options->cleaner_enable = conf->log_cleaner_enable;
	broker_cleaner_settings(conf, &options->cleaner);
	options->callback_arg = b;
	options->callbacks = (struct log_manager_callbacks){
	    .configure = broker_configure_log,
	    .log_loaded = on_log_loaded,
	    .all_loaded = on_all_loaded,
	    .dir_failed = on_dir_failed,
	    .room_came = on_room_came,
	};
}

static int
open_logs(struct broker *b)
{
	struct log_manager_options options;
	const char *dirs[LOG_DIRS_MAX], *blamed = NULL;
	struct arena arena;
	int st;

	arena_init(&arena, 1 << 20);
	log_manager_options_init(&options);
	fill_log_options(b, &options);
	options.dirs = dirs;
	options.dir_count = split_dirs(broker_conf_of(b), &arena, dirs);
	st = log_manager_open(&options, &b->logs, &blamed);
	if (st == -EWOULDBLOCK)
		diag_error(DIAG_BROKER,
			   "the log directory is in use by another process (its .lock is held)",
			   "dir=%s", blamed == NULL ? "" : blamed);
	else if (st != 0)
		diag_error(DIAG_BROKER, "cannot use the log directory", "dir=%s error=%s",
			   blamed == NULL ? "" : blamed, strerror(-st));
	if (st == 0) {
		struct log_dir_info info = {0};

		for (size_t i = 0; i < log_manager_dir_count(b->logs); i++) {
			log_manager_dir_info(b->logs, i, &info);
			if (info.error == 0)
				break;
		}
		b->state_dir_fd =
		    env_openat(b->env, AT_FDCWD, info.path, O_RDONLY | O_DIRECTORY, 0);
		if (b->state_dir_fd < 0)
			st = b->state_dir_fd;
	}
	arena_fini(&arena);
	return st;
}

static int
load_logs(struct broker *b)
{
	char message[512];
	int st = log_manager_load(b->logs, message, sizeof(message));

	if (st != 0)
		diag_error(DIAG_BROKER, message, "");
	b->logs_loaded = st == 0;
	return st;
}

/* ---- connections between the rooms ---- */

static int64_t
broker_epoch(void *arg)
{
	struct broker *b = arg;

	return atomic_load(&b->epoch);
}

static void
on_metadata_changed(void *arg)
{
	struct broker *b = arg;

	api_metadata_changed(b->api);
}

static void
local_request(void *arg, int16_t api_key, int16_t api_version, struct buf *body,
	      controller_response_fn *done, void *done_arg)
{
	struct broker *b = arg;

	api_local_request(b->api, api_key, api_version, body, done, done_arg);
}

static int
register_again(void *arg, struct zk *zk)
{
	struct broker *b = arg;
	int st = broker_register(b, zk);

	if (st == 0)
		broker_on_watch(b, zk, ZK_NODE_CHILDREN, "/config/changes"); /* arms it anew */
	return st;
}

static void
on_session(void *arg, enum zk_session_state state)
{
	static const int64_t values[] = {
	    [ZK_CONNECTED] = 1, [ZK_DISCONNECTED] = 0, [ZK_EXPIRED] = 0, [ZK_NEW_SESSION] = 1};

	(void)arg;
	metric_set(metrics_get(METRIC_ZK_CONNECTED, ""), values[state]);
}

/* On the replica manager's thread. */
static void
on_leadership(void *arg, const char *topic, int32_t partition, int32_t leader_epoch, bool is_leader)
{
	struct broker *b = arg;

	if (strcmp(topic, TOPIC_CONSUMER_OFFSETS) != 0)
		return;
	if (is_leader)
		group_coordinator_lead(b->groups, partition, leader_epoch);
	else
		group_coordinator_resign(b->groups, partition);
}

static void
on_deletion(void *arg, struct str topic, const int32_t *partitions, int32_t count)
{
	struct broker *b = arg;

	group_coordinator_forget_topic(b->groups, topic, partitions, count);
}

static int
open_controller(struct broker *b)
{
	struct controller_settings settings = {
	    .env = b->env,
	    .conf = &b->conf_store,
	    .broker_id = b->id,
	    .inter_broker_listener = b->inter_broker_listener,
	    .reactor = reactors_get(b->reactors, 0),
	    .workers = b->workers,
	    .local_request = local_request,
	    .register_broker = register_again,
	    .on_watch = broker_on_watch,
	    .on_session = on_session,
	    .arg = b,
	};

	return controller_open(&settings, &b->controller);
}

static int
open_replicas(struct broker *b)
{
	struct replica_manager_settings settings = {
	    .env = b->env,
	    .broker_id = b->id,
	    .inter_broker_listener = b->inter_broker_listener,
	    .reactor = reactors_get(b->reactors, 0),
	    .workers = b->workers,
	    .logs = b->logs,
	    .metadata = b->metadata,
	    .configs = b->topic_configs,
	    .conf = &b->conf_store,
	    .read_topic_config = broker_read_topic_config,
	    .broker_epoch = broker_epoch,
	    .on_leadership = on_leadership,
	    .on_deletion = on_deletion,
	    .arg = b,
	};

	return replica_manager_open(&settings, &b->replicas);
}

static int
open_groups(struct broker *b)
{
	struct group_coordinator_settings settings = {
	    .env = b->env,
	    .conf = &b->conf_store,
	    .metadata = b->metadata,
	    .replicas = b->replicas,
	    .reactor = reactors_get(b->reactors, 0),
	    .workers = b->workers,
	};

	return group_coordinator_open(&settings, &b->groups);
}

static int
open_api(struct broker *b)
{
	struct api_settings settings = {
	    .env = b->env,
	    .conf = &b->conf_store,
	    .metadata = b->metadata,
	    .topic_configs = b->topic_configs,
	    .replicas = b->replicas,
	    .logs = b->logs,
	    .controller = b->controller,
	    .groups = b->groups,
	    .producer_ids = b->producer_ids,
	    .workers = b->workers,
	    .broker_id = b->id,
	    .cluster_id = b->cluster_id,
	    .check_config = broker_check_config,
	    .config_changed = broker_config_changed,
	    .broker_epoch = broker_epoch,
	    .arg = b,
	};
	int st = producer_ids_open(broker_ask_producer_ids, b, &b->producer_ids);

	settings.producer_ids = b->producer_ids;
	if (st == 0)
		st = api_open(&settings, &b->api);
	if (st == 0)
		metadata_on_change(b->metadata, on_metadata_changed, b);
	return st;
}

/* ---- metrics ---- */

static void
collect_partitions(struct metrics_scrape *scrape, void *arg)
{
	struct broker *b = arg;

	metrics_sample(scrape, "", (double)replica_manager_count(b->replicas));
}

static void
collect_active_controller(struct metrics_scrape *scrape, void *arg)
{
	struct broker *b = arg;

	metrics_sample(scrape, "", controller_is_active(b->controller));
}

static void
add_metrics(struct broker *b)
{
	metric_set(metrics_get(METRIC_BUILD_INFO, PACKAGE_VERSION), 1);
	metric_set(metrics_get(METRIC_ZK_CONNECTED, ""), 1);
	metrics_add_collector(METRIC_PARTITIONS, collect_partitions, b);
	metrics_add_collector(METRIC_ACTIVE_CONTROLLER, collect_active_controller, b);
}

/* ---- start and stop ---- */

/* Up to where the broker's id is known. */
static int
start_identity(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	int st;

	st = workers_open("worker", (int)conf->background_threads, &b->workers);
	if (st == 0)
		st = reactors_open(b->env, 1, &b->reactors);
	if (st == 0)
		st = metadata_open(&b->metadata);
	if (st == 0)
		st = topic_configs_open(&b->topic_configs);
	if (st == 0)
		st = open_logs(b);
	return st;
}

static int
start_serving(struct broker *b)
{
	int st = open_replicas(b);

	if (st == 0)
		st = open_groups(b);
	if (st == 0)
		st = load_logs(b);
	if (st == 0)
		st = open_api(b);
	if (st == 0)
		st = broker_make_client_tls(b);
	if (st == 0) {
		controller_set_tls(b->controller, b->client_tls);
		broker_open_producer_ids(b);
		st = replica_manager_start(b->replicas, b->client_tls);
	}
	if (st == 0)
		st = broker_open_listeners(b);
	if (st == 0) /* of each listener */
		st = broker_set_network_threads(b);
	if (st == 0)
		st = broker_open_http(b);
	if (st == 0)
		st = broker_register(b, b->zk);
	if (st == 0) {
		b->controller_has_zk = true;
		b->controller_runs = true;
		st = controller_start(b->controller, b->zk);
	}
	return st;
}

static int
start(struct broker *b)
{
	int st = broker_parse_listeners(b);

	if (st == 0)
		st = start_identity(b);
	if (st == 0)
		st = open_controller(b);
	if (st == 0)
		st = broker_open_zk(b);
	if (st == 0)
		st = broker_establish_identity(b);
	if (st == 0) {
		controller_set_broker_id(b->controller, b->id);
		st = broker_read_configs(b);
	}
	if (st == 0) { /* now that all levels of the settings are known */
		broker_parse_dynamic_listeners(b);
		st = broker_set_network_threads(b);
	}
	if (st == 0)
		st = start_serving(b);
	if (st == 0)
		add_metrics(b);
	return st;
}

static void
answer_tick(void *arg)
{
	struct broker *b = arg;

	atomic_fetch_sub(&b->silent_reactors, 1);
}

/* The broker lives while all its event loops turn. */
static void
give_sign_of_life(struct broker *b)
{
	if (b->supervisor == NULL || atomic_load(&b->silent_reactors) > 0)
		return;
	supervisor_tell_alive(b->supervisor);
	atomic_store(&b->silent_reactors, reactors_count(b->reactors));
	for (int i = 0; i < reactors_count(b->reactors); i++)
		reactor_post(reactors_get(b->reactors, i), answer_tick, b);
}

int
broker_start(struct broker_conf *conf, struct supervisor *supervisor, struct broker **ret_broker)
{
	struct broker *b = calloc(1, sizeof(*b));
	int st;

	if (b == NULL) {
		broker_conf_free(conf);
		return -ENOMEM;
	}
	b->env = env_system();
	b->start_us = env_monotonic_us(b->env);
	b->supervisor = supervisor;
	b->state_dir_fd = -1;
	b->id = (int32_t)conf->broker_id;
	lock_init(&b->replicas_lock, LOCK_BROKER);
	lock_init(&b->listeners_lock, LOCK_BROKER);
	conf_store_init(&b->conf_store, conf);
	conf_store_subscribe(&b->conf_store, broker_on_conf_change, b);
	st = start(b);
	if (st != 0) {
		broker_stop(b);
		return st;
	}
	atomic_store(&b->ready, true);
	give_sign_of_life(b);
	diag_info(DIAG_BROKER, "started", "broker=%d cluster=%s took_ms=%lld", b->id, b->cluster_id,
		  (long long)(env_monotonic_us(b->env) - b->start_us) / 1000);
	*ret_broker = b;
	return 0;
}

void
broker_tick(struct broker *b)
{
	log_manager_tick(b->logs, env_monotonic_ms(b->env));
	if (b->controller_runs && atomic_exchange(&b->room_untold, false))
		controller_submit(b->controller, notify_room, b);
	if (atomic_exchange(&b->listeners_due, false))
		broker_change_listeners(b);
	if (atomic_exchange(&b->reload_due, false))
		broker_reload(b);
	(void)broker_set_network_threads(b); /* it has said what went wrong */
	give_sign_of_life(b);
}

static void
close_replicas(struct broker *b)
{
	struct replica_manager *replicas = b->replicas;

	lock_acquire(&b->replicas_lock);
	b->replicas = NULL;
	lock_release(&b->replicas_lock);
	replica_manager_close(replicas);
}

void
broker_stop(struct broker *b)
{
	bool session_ends;

	if (b == NULL)
		return;
	supervisor_tell_stopping(b->supervisor);
	atomic_store(&b->ready, false);
	if (b->controller_runs)
		broker_controlled_shutdown(b);
	metrics_remove_collectors(b);
	if (b->api != NULL)
		api_shut_down(b->api);
	group_coordinator_shut_down(b->groups); /* whoever waits is answered */
	broker_close_listeners(b);
	http_close(b->http);
	if (b->controller_has_zk)
		controller_stop(b->controller); /* nothing is decided or submitted any more */
	broker_close_producer_ids(b);
	close_replicas(b);
	/* The registration outlives the logs: others see us go when all is on disk. */
	log_manager_close(b->logs, b->logs_loaded);
	session_ends = b->zk != NULL && zk_connected(b->zk);
	if (!b->controller_has_zk)
		zk_close(b->zk);
	controller_close(b->controller);
	reactors_close(b->reactors);
	api_close(b->api);
	connection_limits_close(b->limits);
	request_memory_close(b->memory);
	workers_close(b->workers);
	group_coordinator_close(b->groups);
	zk_tree_close(b->tree);
	metadata_close(b->metadata);
	topic_configs_close(b->topic_configs);
	broker_close_state_dir(b, session_ends);
	broker_registration_fini(&b->registration);
	properties_fini(&b->dynamic_default);
	properties_fini(&b->dynamic_broker);
	broker_free_listeners(b);
	client_tls_close(b->client_tls);
	SSL_CTX_free(b->http_tls);
	lock_fini(&b->replicas_lock);
	lock_fini(&b->listeners_lock);
	conf_store_fini(&b->conf_store);
	free(b);
}
