#include "replica/fetcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "replica/controller_peer.h"
#include "replica/fetcher_internal.h"
#include "replica/partition_state.h"
#include "wire/kerr.h"

#define HOST_MAX 256
#define FIRST_BACKOFF_MS 10

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

const struct broker_conf *
link_conf(const struct leader_link *link)
{
	return conf_store_get(link->fetcher->owner->settings.conf);
}

/* ---- one followed partition ---- */

static void
mark_dirty(struct followed *f)
{
	struct leader_link *link = f->link;

	if (f->prev_dirty != NULL)
		return;
	f->next_dirty = link->dirty;
	f->prev_dirty = &link->dirty;
	if (link->dirty != NULL)
		link->dirty->prev_dirty = &f->next_dirty;
	link->dirty = f;
}

void
followed_clean(struct followed *f)
{
	if (f->prev_dirty == NULL)
		return;
	*f->prev_dirty = f->next_dirty;
	if (f->next_dirty != NULL)
		f->next_dirty->prev_dirty = f->prev_dirty;
	f->prev_dirty = NULL;
}

/* The session shall not fetch it any more. */
static void
leave_session(struct followed *f)
{
	struct leader_link *link = f->link;

	if (!f->in_session)
		return;
	f->in_session = false;
	if (link->forgotten_count == link->forgotten_cap) {
		link->forgotten_cap = link->forgotten_cap == 0 ? 8 : link->forgotten_cap * 2;
		link->forgotten = must(realloc(link->forgotten, (size_t)link->forgotten_cap *
								    sizeof(*link->forgotten)));
	}
	link->forgotten[link->forgotten_count++] = f->key;
}

void
followed_set_state(struct followed *f, enum follow_state state)
{
	f->link->ready_count += (state == FOLLOW_READY) - (f->state == FOLLOW_READY);
	f->state = state;
	reactor_cancel(f->link->fetcher->reactor, &f->retry);
	if (state == FOLLOW_READY) {
		mark_dirty(f);
	} else {
		followed_clean(f);
		leave_session(f);
	}
}

void
followed_set_lag(struct followed *f, int64_t lag)
{
	f->lag = lag;
	atomic_store_explicit(&f->p->follower_lag, lag, memory_order_relaxed);
}

void
followed_go_on(struct followed *f, int64_t offset, int32_t epoch)
{
	f->offset = offset;
	f->epoch = epoch;
	followed_set_state(f, FOLLOW_READY);
}

void
followed_wait(struct followed *f, int64_t wait_ms)
{
	struct reactor *r = f->link->fetcher->reactor;

	followed_set_state(f, FOLLOW_WAITING);
	reactor_arm(r, &f->retry, reactor_now_ms(r) + wait_ms);
}

void
followed_back_off(struct followed *f)
{
	int64_t longest_ms = link_conf(f->link)->replica_fetch_backoff_ms;
	int64_t backoff_ms =
	    f->refusals < 16 ? (int64_t)FIRST_BACKOFF_MS << f->refusals : INT64_MAX;

	f->refusals++;
	followed_wait(f, backoff_ms < longest_ms ? backoff_ms : longest_ms);
}

/* Where to go on, from the log itself. */
static void
begin(struct followed *f)
{
	int64_t offset;
	int32_t epoch;
	int st = partition_begin_following(f->p, f->leader_epoch, &offset, &epoch);

	if (st == 0) {
		followed_go_on(f, offset, epoch);
		return;
	}
	if (st <
	    0) { /* of this attempt; what is wrong with the directory is K_KAFKA_STORAGE_ERROR */
		followed_back_off(f);
		return;
	}
	if (st != K_FENCED_LEADER_EPOCH)
		diag_warn(DIAG_REPLICA, "cannot follow the leader until it changes",
			  "partition=%s-%d leader=%d error=%s", partition_topic(f->p),
			  partition_number(f->p), f->link->broker_id, kerr_name(kerr_of(st)));
	followed_set_state(f, FOLLOW_FAILED);
}

static void
on_retry(struct timer *timer, void *arg)
{
	struct followed *f = arg;

	(void)timer;
	begin(f);
	link_send(f->link);
}

static void
drop(struct followed *f)
{
	struct leader_link *link = f->link;
	struct fetcher *ft = link->fetcher;

	followed_set_state(f, FOLLOW_FAILED);
	map_remove(&ft->followed, &f->p, sizeof(f->p));
	if (map_get(&link->by_key, &f->key, sizeof(f->key)) == f)
		map_remove(&link->by_key, &f->key, sizeof(f->key));
	*f->prev = f->next;
	if (f->next != NULL)
		f->next->prev = f->prev;
	partition_put(f->p);
	free(f);
}

/* ---- leaders ---- */

struct followed *
link_find(struct leader_link *link, const struct uuid *topic_id, int32_t partition)
{
	struct session_key key;

	memset(&key, 0, sizeof(key));
	key.topic_id = *topic_id;
	key.partition = partition;
	return map_get(&link->by_key, &key, sizeof(key));
}

/* Connects to where the metadata says; false when it says nothing, or nothing new. */
static bool
link_connect(struct leader_link *link)
{
	const struct fetcher_settings *s = &link->fetcher->owner->settings;
	const struct broker_conf *conf = link_conf(link);
	char host[HOST_MAX], client_id[48];
	struct rpc_settings rs;

	rpc_settings_init(&rs);
	if (!broker_address(s->metadata, link->broker_id, s->listener, host, sizeof(host),
			    &rs.port))
		return link->rpc != NULL;
	snprintf(client_id, sizeof(client_id), "broker-%d-fetcher-%td", s->broker_id,
		 link->fetcher - link->fetcher->owner->threads);
	rs.host = host;
	rs.client_id = client_id;
	rs.tls = s->tls;
	rs.workers = s->workers;
	rs.connect_timeout_ms = conf->replica_socket_timeout_ms;
	rs.receive_buffer_bytes = (int)conf->replica_socket_receive_buffer_bytes;
	rs.max_in_flight = 1;
	rpc_close(link->rpc);
	link->rpc = NULL;
	return rpc_open(link->fetcher->reactor, &rs, &link->rpc) == 0;
}

static void
on_pause_over(struct timer *timer, void *arg)
{
	struct leader_link *link = arg;

	(void)timer;
	/* It may have come back somewhere else. */
	if (link_connect(link))
		link_send(link);
	else
		link_pause(link);
}

void
link_pause(struct leader_link *link)
{
	struct reactor *r = link->fetcher->reactor;

	/* A new session is told everything. */
	link->session_epoch = 0;
	link->forgotten_count = 0;
	for (struct followed *f = link->first; f != NULL; f = f->next) {
		f->in_session = false;
		if (f->state == FOLLOW_ASKING) /* its answer may never come */
			followed_back_off(f);
	}
	reactor_arm(r, &link->pause, reactor_now_ms(r) + link_conf(link)->replica_fetch_backoff_ms);
}

static struct leader_link *
get_link(struct fetcher *ft, int32_t broker_id)
{
	struct leader_link *link = map_get(&ft->links, &broker_id, sizeof(broker_id));

	if (link != NULL)
		return link;
	link = must(calloc(1, sizeof(*link)));
	link->fetcher = ft;
	link->broker_id = broker_id;
	timer_init(&link->pause, on_pause_over, link);
	if (map_put(&ft->links, &broker_id, sizeof(broker_id), link, NULL) != 0)
		abort();
	if (!link_connect(link))
		link_pause(link);
	return link;
}

static void
link_free(struct leader_link *link)
{
	reactor_cancel(link->fetcher->reactor, &link->pause);
	rpc_close(link->rpc);
	while (link->first != NULL)
		drop(link->first);
	map_fini(&link->by_key);
	free(link->forgotten);
	free(link);
}

/* A leader that nobody follows any more: its connection is not kept. */
static void
free_if_unused(struct leader_link *link)
{
	struct fetcher *ft = link->fetcher;

	if (link->first != NULL || link->in_flight)
		return;
	map_remove(&ft->links, &link->broker_id, sizeof(link->broker_id));
	link_free(link);
}

/* ---- orders ---- */

struct order {
	struct fetcher *ft;
	struct partition *p; /* counted */
	int32_t leader;      /* -1: forget */
	int32_t leader_epoch;
};

static void
forget(struct fetcher *ft, struct partition *p)
{
	struct followed *f = map_get(&ft->followed, &p, sizeof(p));
	struct leader_link *link;

	if (f == NULL)
		return;
	link = f->link;
	drop(f);
	free_if_unused(link);
}

static void
follow(struct fetcher *ft, struct partition *p, int32_t leader, int32_t leader_epoch)
{
	struct leader_link *link = get_link(ft, leader);
	struct followed *f = must(calloc(1, sizeof(*f)));

	f->link = link;
	f->p = partition_get(p);
	f->leader_epoch = leader_epoch;
	f->state = FOLLOW_FAILED;
	f->log_start_offset = -1;
	followed_set_lag(f, -1);
	timer_init(&f->retry, on_retry, f);
	f->key.topic_id = partition_topic_id(p);
	f->key.partition = partition_number(p);
	f->next = link->first;
	f->prev = &link->first;
	if (link->first != NULL)
		link->first->prev = &f->next;
	link->first = f;
	if (map_put(&ft->followed, &f->p, sizeof(f->p), f, NULL) != 0 ||
	    map_put(&link->by_key, &f->key, sizeof(f->key), f, NULL) != 0)
		abort();
	if (uuid_is_zero(&f->key.topic_id)) {
		diag_error(DIAG_REPLICA,
			   "cannot follow a partition whose topic has no id: let a controller of "
			   "Kafka 2.8 or later, or klammd, give it one",
			   "partition=%s-%d", partition_topic(p), partition_number(p));
		return;
	}
	begin(f);
	link_send(link);
}

static void
carry_out(void *arg)
{
	struct order *order = arg;

	if (!order->ft->closing) {
		forget(order->ft, order->p);
		if (order->leader >= 0)
			follow(order->ft, order->p, order->leader, order->leader_epoch);
	}
	partition_put(order->p);
	free(order);
}

static void
post(struct fetchers *fs, struct partition *p, int32_t leader, int32_t leader_epoch)
{
	uint64_t hash = map_hash(partition_topic(p), strlen(partition_topic(p))) +
			(uint64_t)partition_number(p);
	struct order *order = must(calloc(1, sizeof(*order)));

	order->ft = &fs->threads[hash % (uint64_t)fs->count];
	order->p = partition_get(p);
	order->leader = leader;
	order->leader_epoch = leader_epoch;
	reactor_post(order->ft->reactor, carry_out, order);
}

void
fetchers_follow(struct fetchers *fs, struct partition *p, int32_t leader, int32_t leader_epoch)
{
	post(fs, p, leader, leader_epoch);
}

void
fetchers_forget(struct fetchers *fs, struct partition *p)
{
	post(fs, p, -1, -1);
}

/* ---- threads ---- */

static void *
run(void *arg)
{
	struct fetcher *ft = arg;

	reactor_run(ft->reactor);
	return NULL;
}

static int
fetcher_start(struct fetchers *fs, struct fetcher *ft)
{
	char name[32];
	int st;

	ft->owner = fs;
	snprintf(name, sizeof(name), "fetcher-%td", ft - fs->threads);
	st = reactor_open(fs->settings.env, name, &ft->reactor);
	if (st == 0)
		st = -pthread_create(&ft->thread, NULL, run, ft);
	ft->started = st == 0;
	return st;
}

int
fetchers_open(const struct fetcher_settings *settings, struct fetchers **ret_fetchers)
{
	int64_t count = conf_store_get(settings->conf)->num_replica_fetchers;
	struct fetchers *fs = calloc(1, sizeof(*fs));
	int st = 0;

	if (fs == NULL)
		return -ENOMEM;
	fs->settings = *settings;
	fs->count = count < 1 ? 1 : (int32_t)count;
	fs->threads = calloc((size_t)fs->count, sizeof(*fs->threads));
	if (fs->threads == NULL)
		st = -ENOMEM;
	for (int32_t i = 0; st == 0 && i < fs->count; i++)
		st = fetcher_start(fs, &fs->threads[i]);
	if (st != 0) {
		fetchers_close(fs);
		return st;
	}
	*ret_fetchers = fs;
	return 0;
}

static void
stop(void *arg)
{
	struct fetcher *ft = arg;
	struct map_iter iter = {0};
	struct leader_link *link;

	ft->closing = true;
	while ((link = map_next(&ft->links, &iter)) != NULL)
		link_free(link);
	reactor_stop(ft->reactor);
}

void
fetchers_close(struct fetchers *fs)
{
	if (fs == NULL)
		return;
	for (int32_t i = 0; fs->threads != NULL && i < fs->count; i++) {
		struct fetcher *ft = &fs->threads[i];

		if (ft->started) {
			reactor_post(ft->reactor, stop, ft);
			pthread_join(ft->thread, NULL);
		}
		reactor_close(ft->reactor);
		map_fini(&ft->links);
		map_fini(&ft->followed);
	}
	free(fs->threads);
	free(fs);
}
