#include "replica/replica_manager.h"

#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/map.h"
#include "replica/alter_partition.h"
#include "replica/fencing.h"
#include "replica/fetcher.h"
#include "replica/partition_state.h"
#include "replica/replica_metrics.h"
#include "wire/generated/leader_and_isr.h"
#include "wire/generated/stop_replica.h"
#include "wire/generated/update_metadata.h"
#include "wire/kerr.h"

/*
 * Without CDS_LFHT_ACCOUNTING the table grows fourfold whenever some bucket holds three
 * partitions, which never ends: 10,000 partitions were seen in 2^20 buckets and more, all of which
 * a walk visits. With it the table still does so while it is small; hence a bound.
 */
#define TABLE_BUCKETS_MAX (1ul << 16)

struct replica_manager {
	struct replica_manager_settings settings;
	struct partition_context context;
	struct fetchers *fetchers;               /* from replica_manager_start() */
	bool is_started;                         /* the thread's: there are fetchers */
	struct alter_partition *alter_partition; /* likewise */
	struct timer shrink;                     /* the reactor's */
	struct workers *thread;                  /* one */
	struct replica_metrics *metrics;
	struct throttle leader_throttle, follower_throttle;
	/* Read on its thread. */
	struct throttled_topics throttled_leaders, throttled_followers;
	struct cds_lfht *table;   /* (topic, number) -> struct partition; written by the thread */
	int32_t controller_epoch; /* highest seen; the thread's */
};

struct partition_key {
	struct str topic;
	int32_t number;
};

static uint64_t
hash_of(struct str topic, int32_t number)
{
	return map_hash(topic.data, topic.len) ^ (uint64_t)number * 0x9e3779b97f4a7c15ULL;
}

static int
match_key(struct cds_lfht_node *node, const void *key)
{
	const struct partition *p = caa_container_of(node, struct partition, node);
	const struct partition_key *k = key;

	rcu_found(p);
	return p->number == k->number && strncmp(p->topic, k->topic.data, k->topic.len) == 0 &&
	       p->topic[k->topic.len] == '\0';
}

/* Counted, or NULL. Any thread. */
static struct partition *
find(struct replica_manager *rm, struct str topic, int32_t number)
{
	struct partition_key key = {topic, number};
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;
	struct partition *p = NULL;

	rcu_read_begin();
	cds_lfht_lookup(rm->table, hash_of(topic, number), match_key, &key, &iter);
	node = cds_lfht_iter_get_node(&iter);
	if (node != NULL) {
		p = caa_container_of(node, struct partition, node);
		if (!partition_try_get(p))
			p = NULL;
	}
	rcu_read_end();
	return p;
}

int
replica_manager_get(struct replica_manager *rm, struct str topic, int32_t partition,
		    struct partition **ret_partition)
{
	struct partition *p = find(rm, topic, partition);
	bool known;

	if (p != NULL) {
		*ret_partition = p;
		return 0;
	}
	known = metadata_partition(metadata_read(rm->settings.metadata), topic.data, topic.len,
				   partition) != NULL;
	metadata_done(rm->settings.metadata);
	return known ? K_NOT_LEADER_OR_FOLLOWER : K_UNKNOWN_TOPIC_OR_PARTITION;
}

/* Counted; made when there is none. NULL without memory. The manager's thread. */
static struct partition *
find_or_make(struct replica_manager *rm, struct str topic, int32_t number)
{
	struct partition *p = find(rm, topic, number);

	if (p != NULL)
		return p;
	p = partition_new(&rm->context, topic.data, number);
	if (p == NULL)
		return NULL;
	p->hash = hash_of(topic, number);
	rcu_publish(p);
	rcu_read_begin();
	cds_lfht_add(rm->table, p->hash, &partition_get(p)->node);
	rcu_read_end();
	return p;
}

static void
forget(struct replica_manager *rm, struct partition *p)
{
	rcu_read_begin();
	if (cds_lfht_del(rm->table, &p->node) == 0)
		partition_put(p);
	rcu_read_end();
}

static void
configure(struct replica_manager *rm, struct partition *p, struct log *log)
{
	const struct broker_conf *conf = conf_store_get(rm->settings.conf);
	struct log_config config;
	struct topic_conf tc;

	if (topic_configs_effective(rm->settings.configs, conf, p->topic, &tc) != 0)
		return;
	partition_set_min_insync_replicas(p, (int32_t)tc.min_insync_replicas);
	partition_set_throttled(
	    p,
	    throttled_topics_have(&rm->throttled_leaders, p->topic,
				  tc.leader_replication_throttled_replicas, p->number),
	    throttled_topics_have(&rm->throttled_followers, p->topic,
				  tc.follower_replication_throttled_replicas, p->number));
	if (log != NULL) {
		replica_log_config(&tc, conf, &config);
		log_configure(log, &config);
	}
	topic_conf_fini(&tc);
}

/* 0, or the code that refuses a controller's request as a whole. */
static int
check_epochs(struct replica_manager *rm, int64_t broker_epoch, int32_t controller_epoch)
{
	return fencing_check_controller(rm->settings.broker_epoch(rm->settings.arg),
					&rm->controller_epoch, broker_epoch, controller_epoch);
}

static struct fencing_replica
what_we_know(const struct partition *p)
{
	return (struct fencing_replica){p->topic_id, p->leader_epoch, p->offline};
}

/* LeaderAndIsr */

/* Whom to fetch from, or nobody: after each change, once the log is there. */
static void
follow_leader(struct replica_manager *rm, struct partition *p)
{
	if (p->log != NULL && !p->offline && p->leader >= 0 && p->leader != rm->settings.broker_id)
		fetchers_follow(rm->fetchers, p, p->leader, p->leader_epoch);
	else
		fetchers_forget(rm->fetchers, p);
}

static void
tell_leadership(struct replica_manager *rm, const struct partition *p, bool is_leader)
{
	if (rm->settings.on_leadership != NULL)
		rm->settings.on_leadership(rm->settings.arg, p->topic, p->number, p->leader_epoch,
					   is_leader);
}

/* Opens or creates the log and carries the decision out. */
static int
carry_out(struct replica_manager *rm, struct partition *p, const struct uuid *topic_id,
	  const struct leader_and_isr_partition_state *state)
{
	struct partition_decision decision = {
	    .controller_epoch = state->controller_epoch,
	    .leader = state->leader,
	    .leader_epoch = state->leader_epoch,
	    .partition_epoch = state->partition_epoch,
	    .isr = state->isr,
	    .isr_count = state->isr_count,
	    .replicas = state->replicas,
	    .replica_count = state->replicas_count,
	    .topic_id = *topic_id,
	};
	bool led = p->log != NULL && p->leader == rm->settings.broker_id, leads;
	struct log *log = NULL;
	int64_t checkpointed;
	int st = log_manager_get_or_create(rm->settings.logs, p->topic, p->number,
					   uuid_is_zero(topic_id) ? NULL : topic_id, state->is_new,
					   &log);

	if (st == -EBUSY) /* being loaded: replica_manager_log_loaded() goes on */
		st = 0;
	if (st != 0)
		return st;
	checkpointed =
	    log_manager_checkpointed_high_watermark(rm->settings.logs, p->topic, p->number);
	st = partition_decide(p, &decision, log, checkpointed);
	if (st == 0) {
		configure(rm, p, log);
		follow_leader(rm, p);
	}
	/* It may have been passed over. While the log is being loaded run_log_loaded() tells. */
	leads = p->log != NULL && p->leader == rm->settings.broker_id;
	if (st == 0 && led != leads)
		tell_leadership(rm, p, leads);
	log_put(log);
	return st;
}

static int
apply_state(struct replica_manager *rm, struct str topic, const struct uuid *topic_id,
	    const struct leader_and_isr_partition_state *state)
{
	struct fencing_replica ours;
	struct partition *p;
	int st;

	if (state->partition_index < 0)
		return K_UNKNOWN_TOPIC_OR_PARTITION;
	p = find_or_make(rm, topic, state->partition_index);
	if (p == NULL)
		return -ENOMEM;
	ours = what_we_know(p);
	st = fencing_check_state(&ours, rm->settings.broker_id, topic_id, state);
	if (st == 0)
		st = carry_out(rm, p, topic_id, state);
	if (st < 0)
		diag_error(DIAG_REPLICA, "cannot carry out what the controller decided",
			   "partition=%s-%d error=%s", p->topic, p->number, strerror(-st));
	if (p->leader_epoch == -1) /* nothing came of it */
		forget(rm, p);
	partition_put(p);
	return st;
}

void
replica_manager_leader_and_isr(struct replica_manager *rm, const struct leader_and_isr_request *req,
			       struct arena *arena, struct leader_and_isr_response *resp)
{
	int refused = check_epochs(rm, req->broker_epoch, req->controller_epoch);
	int32_t flat = 0, total = 0;

	leader_and_isr_response_init(resp);
	resp->error_code = kerr_of(refused);
	for (int32_t t = 0; t < req->topic_states_count; t++)
		total += req->topic_states[t].partition_states_count;
	resp->topics = leader_and_isr_topic_error_new(arena, req->topic_states_count);
	resp->partition_errors = leader_and_isr_partition_error_new(arena, total);
	if (resp->topics == NULL || resp->partition_errors == NULL) {
		resp->error_code = kerr_of(-ENOMEM);
		return;
	}
	resp->topics_count = req->topic_states_count;
	resp->partition_errors_count = total;
	for (int32_t t = 0; t < req->topic_states_count; t++) {
		const struct leader_and_isr_topic_state *ts = &req->topic_states[t];
		struct leader_and_isr_topic_error *te = &resp->topics[t];

		/* A new topic's settings hold from its first record on. */
		if (refused == 0 && rm->settings.read_topic_config != NULL &&
		    !topic_configs_know(rm->settings.configs, ts->topic_name.data))
			rm->settings.read_topic_config(rm->settings.arg, ts->topic_name.data);
		te->topic_id = ts->topic_id;
		te->partition_errors = &resp->partition_errors[flat];
		te->partition_errors_count = ts->partition_states_count;
		for (int32_t i = 0; i < ts->partition_states_count; i++, flat++) {
			struct leader_and_isr_partition_error *pe = &resp->partition_errors[flat];

			pe->topic_name = ts->topic_name;
			pe->partition_index = ts->partition_states[i].partition_index;
			pe->error_code =
			    kerr_of(refused != 0 ? refused
						 : apply_state(rm, ts->topic_name, &ts->topic_id,
							       &ts->partition_states[i]));
		}
	}
}

/* StopReplica */

static int
stop_partition(struct replica_manager *rm, struct str topic,
	       const struct stop_replica_partition_state *state)
{
	struct partition *p = find(rm, topic, state->partition_index);
	int st = 0;

	if (p != NULL) {
		struct fencing_replica ours = what_we_know(p);
		bool led = p->log != NULL && p->leader == rm->settings.broker_id;

		st = fencing_check_stop(&ours, state->leader_epoch);
		if (st != 0) {
			partition_put(p);
			return st;
		}
		fetchers_forget(rm->fetchers, p);
		partition_stop(p, state->delete_partition);
		if (led)
			tell_leadership(rm, p, false);
		if (state->delete_partition)
			forget(rm, p);
		partition_put(p);
	}
	/* One replica that moves away leaves the topic's settings to the others. */
	if (state->delete_partition && state->leader_epoch == FENCING_EPOCH_DURING_DELETE)
		topic_configs_forget(rm->settings.configs, topic.data);
	if (state->delete_partition)
		st = log_manager_delete(rm->settings.logs, topic.data, state->partition_index);
	return st;
}

void
replica_manager_stop_replica(struct replica_manager *rm, const struct stop_replica_request *req,
			     struct arena *arena, struct stop_replica_response *resp)
{
	int refused = check_epochs(rm, req->broker_epoch, req->controller_epoch);
	int32_t total = 0, flat = 0;

	stop_replica_response_init(resp);
	resp->error_code = kerr_of(refused);
	if (refused != 0)
		return;
	for (int32_t t = 0; t < req->topic_states_count; t++)
		total += req->topic_states[t].partition_states_count;
	resp->partition_errors = stop_replica_partition_error_new(arena, total);
	if (resp->partition_errors == NULL) {
		resp->error_code = kerr_of(-ENOMEM);
		return;
	}
	resp->partition_errors_count = total;
	for (int32_t t = 0; t < req->topic_states_count; t++) {
		const struct stop_replica_topic_state *ts = &req->topic_states[t];

		for (int32_t i = 0; i < ts->partition_states_count; i++, flat++) {
			struct stop_replica_partition_error *pe = &resp->partition_errors[flat];

			pe->topic_name = ts->topic_name;
			pe->partition_index = ts->partition_states[i].partition_index;
			pe->error_code =
			    kerr_of(stop_partition(rm, ts->topic_name, &ts->partition_states[i]));
		}
	}
}

/* UpdateMetadata */

static char *
must_copy(struct str text)
{
	char *copy = text.data == NULL ? strdup("") : strndup(text.data, text.len);

	if (copy == NULL)
		abort();
	return copy;
}

static void
take_broker(const struct update_metadata_broker *from, struct metadata_broker *to)
{
	*to = (struct metadata_broker){.id = from->id, .epoch = -1};
	to->endpoints = calloc((size_t)from->endpoints_count + 1, sizeof(*to->endpoints));
	if (to->endpoints == NULL)
		abort();
	for (int32_t i = 0; i < from->endpoints_count; i++) {
		const struct update_metadata_endpoint *e = &from->endpoints[i];

		to->endpoints[to->endpoint_count++] = (struct metadata_endpoint){
		    .listener = must_copy(e->listener),
		    .host = must_copy(e->host),
		    .port = e->port,
		    .protocol = e->security_protocol,
		};
	}
	if (from->rack.data != NULL)
		to->rack = must_copy(from->rack);
}

static void
take_partition(struct metadata_update *up, const struct update_metadata_topic_state *topic,
	       const struct update_metadata_partition_state *from)
{
	struct metadata_partition p = {
	    .partition = from->partition_index,
	    .leader = from->leader,
	    .leader_epoch = from->leader_epoch,
	    .controller_epoch = from->controller_epoch,
	    .partition_epoch = from->zk_version,
	    .isr = from->isr,
	    .isr_count = from->isr_count,
	    .replicas = from->replicas,
	    .replica_count = from->replicas_count,
	    .offline_replicas = from->offline_replicas,
	    .offline_count = from->offline_replicas_count,
	};

	/* A number that no topic can have would make the topic's table as long. */
	if (p.partition >= 0 && p.partition < 1000000)
		metadata_update_partition(up, topic->topic_name.data, &topic->topic_id, &p);
}

static void
tell_deletion(struct replica_manager *rm, const struct update_metadata_topic_state *topic)
{
	int32_t *gone, count = 0;

	gone = calloc((size_t)topic->partition_states_count + 1, sizeof(*gone));
	if (gone == NULL)
		abort();
	for (int32_t i = 0; i < topic->partition_states_count; i++)
		if (topic->partition_states[i].leader == METADATA_LEADER_DURING_DELETE)
			gone[count++] = topic->partition_states[i].partition_index;
	if (count > 0)
		topic_configs_forget(rm->settings.configs, topic->topic_name.data);
	if (count > 0 && rm->settings.on_deletion != NULL)
		rm->settings.on_deletion(rm->settings.arg, topic->topic_name, gone, count);
	free(gone);
}

int
replica_manager_update_metadata(struct replica_manager *rm,
				const struct update_metadata_request *req)
{
	int st = check_epochs(rm, req->broker_epoch, req->controller_epoch);
	struct metadata_broker *brokers;
	struct metadata_update *up;

	if (st != 0)
		return st;
	brokers = calloc((size_t)req->live_brokers_count + 1, sizeof(*brokers));
	if (brokers == NULL)
		return -ENOMEM;
	for (int32_t i = 0; i < req->live_brokers_count; i++)
		take_broker(&req->live_brokers[i], &brokers[i]);
	up = metadata_update_begin(rm->settings.metadata);
	metadata_update_controller(up, req->controller_id < 0 ? -1 : req->controller_id);
	metadata_update_brokers(up, brokers, (size_t)req->live_brokers_count);
	for (int32_t t = 0; t < req->topic_states_count; t++)
		for (int32_t i = 0; i < req->topic_states[t].partition_states_count; i++)
			take_partition(up, &req->topic_states[t],
				       &req->topic_states[t].partition_states[i]);
	metadata_update_commit(rm->settings.metadata, up);
	for (int32_t t = 0; t < req->topic_states_count; t++)
		tell_deletion(rm, &req->topic_states[t]);
	return 0;
}

/* Events from below and beside */

struct event {
	struct replica_manager *rm;
	struct log *log;
	char *text; /* a directory or a topic; NULL: all topics */
};

static void
submit(struct replica_manager *rm, mailbox_fn *fn, struct log *log, const char *text)
{
	struct event *event = calloc(1, sizeof(*event));

	if (event == NULL)
		abort();
	event->rm = rm;
	event->log = log;
	event->text = text == NULL ? NULL : must_copy(str_of(text));
	replica_manager_submit(rm, fn, event);
}

static void
event_free(struct event *event)
{
	log_put(event->log);
	free(event->text);
	free(event);
}

static void
run_log_loaded(void *arg)
{
	struct event *event = arg;
	struct replica_manager *rm = event->rm;
	const char *topic = log_topic(event->log);
	int32_t number = log_partition(event->log);
	struct partition *p = find(rm, str_of(topic), number);
	bool had_log = p != NULL && p->log != NULL; /* this thread alone changes it */

	if (p != NULL) {
		int st = partition_set_log(
		    p, event->log,
		    log_manager_checkpointed_high_watermark(rm->settings.logs, topic, number));

		if (st != 0)
			diag_error(DIAG_REPLICA, "cannot lead with the log that was loaded",
				   "partition=%s-%d error=%s", topic, number,
				   st < 0 ? strerror(-st) : kerr_name(st));
		else
			configure(rm, p, event->log);
		if (st == 0)
			follow_leader(rm, p);
		if (st == 0 && !had_log && p->leader == rm->settings.broker_id)
			tell_leadership(rm, p, true);
		partition_put(p);
	}
	event_free(event);
}

void
replica_manager_log_loaded(struct replica_manager *rm, struct log *log)
{
	submit(rm, run_log_loaded, log_get(log), NULL);
}

static void
offline_if_in(void *arg, struct partition *p)
{
	if (p->log != NULL && strcmp(log_parent_dir(p->log), arg) == 0)
		partition_set_offline(p);
}

static void
run_dir_failed(void *arg)
{
	struct event *event = arg;

	replica_manager_each(event->rm, offline_if_in, event->text);
	event_free(event);
}

void
replica_manager_dir_failed(struct replica_manager *rm, const char *dir)
{
	submit(rm, run_dir_failed, NULL, dir);
}

static void
configure_if_of(void *arg, struct partition *p)
{
	const struct event *event = arg;

	if (event->text == NULL || strcmp(event->text, p->topic) == 0)
		configure(event->rm, p, p->log);
}

static void
resize_fetchers(struct replica_manager *rm)
{
	if (rm->is_started)
		fetchers_resize(rm->fetchers,
				conf_store_get(rm->settings.conf)->num_replica_fetchers);
}

static void
run_configure(void *arg)
{
	struct event *event = arg;

	if (event->text == NULL)
		resize_fetchers(event->rm);
	replica_manager_each(event->rm, configure_if_of, event);
	event_free(event);
}

void
replica_manager_configure(struct replica_manager *rm, const char *topic)
{
	submit(rm, run_configure, NULL, topic);
}

void
replica_manager_each(struct replica_manager *rm, void (*fn)(void *arg, struct partition *p),
		     void *arg)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	rcu_read_begin();
	cds_lfht_first(rm->table, &iter);
	while ((node = cds_lfht_iter_get_node(&iter)) != NULL) {
		struct partition *p = caa_container_of(node, struct partition, node);

		rcu_found(p);
		if (partition_try_get(p)) {
			fn(arg, p);
			partition_put(p);
		}
		cds_lfht_next(rm->table, &iter);
	}
	rcu_read_end();
}

static void
count_one(void *arg, struct partition *p)
{
	(void)p;
	++*(size_t *)arg;
}

size_t
replica_manager_count(struct replica_manager *rm)
{
	size_t count = 0;

	replica_manager_each(rm, count_one, &count);
	return count;
}

void
replica_manager_submit(struct replica_manager *rm, mailbox_fn *fn, void *arg)
{
	workers_submit(rm->thread, fn, arg);
}

/* ---- the ISR ---- */

static void
on_proposal(void *arg, struct partition *p)
{
	struct replica_manager *rm = arg;

	alter_partition_submit(rm->alter_partition, p);
}

static void
shrink_one(void *arg, struct partition *p)
{
	(void)arg;
	partition_shrink_isr(p);
}

static void
run_shrink(void *arg)
{
	replica_manager_each(arg, shrink_one, NULL);
}

static void
arm_shrink(struct replica_manager *rm)
{
	int64_t lag_max_ms = conf_store_get(rm->settings.conf)->replica_lag_time_max_ms;

	reactor_arm(rm->settings.reactor, &rm->shrink,
		    reactor_now_ms(rm->settings.reactor) + lag_max_ms / 2);
}

static void
on_shrink_timer(struct timer *timer, void *arg)
{
	struct replica_manager *rm = arg;

	(void)timer;
	replica_manager_submit(rm, run_shrink, rm);
	arm_shrink(rm);
}

static void
begin_shrinking(void *arg)
{
	arm_shrink(arg);
}

static void
end_shrinking(void *arg)
{
	struct replica_manager *rm = arg;

	reactor_cancel(rm->settings.reactor, &rm->shrink);
}

/* What is submitted after this finds fetchers, as many as the settings say by now. */
static void
run_start(void *arg)
{
	struct replica_manager *rm = arg;

	rm->is_started = true;
	resize_fetchers(rm);
}

int
replica_manager_start(struct replica_manager *rm, struct client_tls *tls)
{
	const struct replica_manager_settings *s = &rm->settings;
	const struct broker_conf *conf = conf_store_get(s->conf);
	struct fetcher_settings fetching = {
	    .env = s->env,
	    .conf = s->conf,
	    .metadata = s->metadata,
	    .workers = s->workers,
	    .broker_id = s->broker_id,
	    .listener = s->inter_broker_listener,
	    .tls = tls,
	    .throttle = &rm->follower_throttle,
	    .broker_epoch = s->broker_epoch,
	    .arg = s->arg,
	};
	struct alter_partition_settings altering = {
	    .peer = {.reactor = s->reactor,
		     .workers = s->workers,
		     .metadata = s->metadata,
		     .broker_id = s->broker_id,
		     .listener = s->inter_broker_listener,
		     .tls = tls,
		     .connect_timeout_ms = conf->socket_connection_setup_timeout_ms},
	    .request_timeout_ms = conf->request_timeout_ms,
	    .broker_epoch = s->broker_epoch,
	    .arg = s->arg,
	};
	int st = alter_partition_open(&altering, &rm->alter_partition);

	if (st == 0)
		st = fetchers_open(&fetching, &rm->fetchers);
	if (st == 0) {
		replica_manager_submit(rm, run_start, rm);
		reactor_post(s->reactor, begin_shrinking, rm);
	}
	return st;
}

static int
open_throttles(struct replica_manager *rm)
{
	const struct broker_conf *conf = conf_store_get(rm->settings.conf);
	int windows = (int)conf->replication_quota_window_num;
	int64_t window_ms = conf->replication_quota_window_size_seconds * 1000;
	int st;

	rm->throttled_leaders.broker_id = rm->throttled_followers.broker_id =
	    rm->settings.broker_id;
	st = throttle_init(&rm->leader_throttle, "leader", windows, window_ms);
	if (st == 0)
		st = throttle_init(&rm->follower_throttle, "follower", windows, window_ms);
	return st;
}

int
replica_manager_open(const struct replica_manager_settings *settings,
		     struct replica_manager **ret_manager)
{
	struct replica_manager *rm = calloc(1, sizeof(*rm));
	int st;

	if (rm == NULL)
		return -ENOMEM;
	rm->settings = *settings;
	rm->context = (struct partition_context){
	    .broker_id = settings->broker_id,
	    .env = settings->env,
	    .conf = settings->conf,
	    .metadata = settings->metadata,
	    .leader_throttle = &rm->leader_throttle,
	    .follower_throttle = &rm->follower_throttle,
	    .on_proposal = on_proposal,
	    .arg = rm,
	};
	timer_init(&rm->shrink, on_shrink_timer, rm);
	rm->table =
	    cds_lfht_new_flavor(64, 64, TABLE_BUCKETS_MAX,
				CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, &urcu_bp_flavor, NULL);
	if (rm->table == NULL) {
		free(rm);
		return -ENOMEM;
	}
	st = open_throttles(rm);
	if (st == 0)
		st = workers_open("replicas", 1, &rm->thread);
	if (st != 0) {
		replica_manager_close(rm);
		return st;
	}
	rm->metrics = replica_metrics_open(rm, settings->env);
	*ret_manager = rm;
	return 0;
}

static void
stop_and_forget(void *arg, struct partition *p)
{
	partition_stop(p, true);
	forget(arg, p);
}

void
replica_manager_close(struct replica_manager *rm)
{
	if (rm == NULL)
		return;
	replica_metrics_close(rm->metrics);
	if (rm->fetchers != NULL)
		reactor_call(rm->settings.reactor, end_shrinking, rm);
	workers_close(rm->thread);
	fetchers_close(rm->fetchers);
	alter_partition_close(rm->alter_partition);
	replica_manager_each(rm, stop_and_forget, rm);
	urcu_bp_barrier(); /* the last partitions are freed */
	cds_lfht_destroy(rm->table, NULL);
	throttled_topics_fini(&rm->throttled_leaders);
	throttled_topics_fini(&rm->throttled_followers);
	throttle_fini(&rm->leader_throttle);
	throttle_fini(&rm->follower_throttle);
	free(rm);
}
