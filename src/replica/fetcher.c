#include "replica/fetcher.h"

#include <assert.h>
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

/* Neither the link nor the fetcher has it any more, and the session is told. */
static void
detach(struct followed *f)
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
	f->link = NULL;
}

static void
drop(struct followed *f)
{
	detach(f);
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
	snprintf(client_id, sizeof(client_id), "broker-%d-fetcher-%d", s->broker_id,
		 link->fetcher->index);
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

bool
link_end_if_unused(struct leader_link *link)
{
	struct fetcher *ft = link->fetcher;

	if (link->first != NULL || link->in_flight)
		return false;
	map_remove(&ft->links, &link->broker_id, sizeof(link->broker_id));
	link_free(link);
	return true;
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
	(void)link_end_if_unused(link);
}

/* It is in no state yet. */
static void
attach(struct fetcher *ft, struct followed *f)
{
	struct leader_link *link = get_link(ft, f->leader);

	f->link = link;
	f->state = FOLLOW_FAILED;
	f->next = link->first;
	f->prev = &link->first;
	if (link->first != NULL)
		link->first->prev = &f->next;
	link->first = f;
	if (map_put(&ft->followed, &f->p, sizeof(f->p), f, NULL) != 0 ||
	    map_put(&link->by_key, &f->key, sizeof(f->key), f, NULL) != 0)
		abort();
}

static void
follow(struct fetcher *ft, struct partition *p, int32_t leader, int32_t leader_epoch)
{
	struct followed *f = must(calloc(1, sizeof(*f)));

	f->p = partition_get(p);
	f->leader = leader;
	f->leader_epoch = leader_epoch;
	f->log_start_offset = -1;
	followed_set_lag(f, -1);
	timer_init(&f->retry, on_retry, f);
	f->key.topic_id = partition_topic_id(p);
	f->key.partition = partition_number(p);
	attach(ft, f);
	if (uuid_is_zero(&f->key.topic_id)) {
		diag_error(DIAG_REPLICA,
			   "cannot follow a partition whose topic has no id: let a controller of "
			   "Kafka 2.8 or later, or klammd, give it one",
			   "partition=%s-%d", partition_topic(p), partition_number(p));
		return;
	}
	begin(f);
	link_send(f->link);
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

/* num.replica.fetchers may be anything. */
static int32_t
count_of(int64_t setting)
{
	return setting < 1 ? 1 : (int32_t)setting;
}

/* Which of so many threads follows for it: those of one topic are spread evenly. */
static int32_t
home_of(const struct partition *p, int32_t count)
{
	uint64_t hash = map_hash(partition_topic(p), strlen(partition_topic(p))) +
			(uint64_t)partition_number(p);

	return (int32_t)(hash % (uint64_t)count);
}

static void
post(struct fetchers *fs, struct partition *p, int32_t leader, int32_t leader_epoch)
{
	struct order *order = must(calloc(1, sizeof(*order)));

	order->ft = fs->threads[home_of(p, fs->count)];
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
fetcher_start(struct fetchers *fs, int32_t index, struct fetcher **ret_fetcher)
{
	struct fetcher *ft = calloc(1, sizeof(*ft));
	char name[32];
	int st;

	if (ft == NULL)
		return -ENOMEM;
	ft->owner = fs;
	ft->index = index;
	snprintf(name, sizeof(name), "fetcher-%d", index);
	st = reactor_open(fs->settings.env, name, &ft->reactor);
	if (st == 0)
		st = -pthread_create(&ft->thread, NULL, run, ft);
	if (st != 0) {
		reactor_close(ft->reactor);
		free(ft);
		return st;
	}
	pthread_setname_np(ft->thread, reactor_name(ft->reactor));
	*ret_fetcher = ft;
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

static void
fetcher_end(struct fetcher *ft)
{
	reactor_post(ft->reactor, stop, ft);
	pthread_join(ft->thread, NULL);
	reactor_close(ft->reactor);
	map_fini(&ft->links);
	map_fini(&ft->followed);
	free(ft);
}

/* Until there are so many, or one cannot be started. */
static int
grow(struct fetchers *fs, int32_t count)
{
	int st = 0;

	while (st == 0 && fs->count < count) {
		struct fetcher **grown =
		    realloc(fs->threads, ((size_t)fs->count + 1) * sizeof(struct fetcher *));

		if (grown == NULL)
			return -ENOMEM;
		fs->threads = grown;
		st = fetcher_start(fs, fs->count, &fs->threads[fs->count]);
		if (st == 0)
			fs->count++;
	}
	return st;
}

int
fetchers_open(const struct fetcher_settings *settings, struct fetchers **ret_fetchers)
{
	struct fetchers *fs = calloc(1, sizeof(*fs));
	int st;

	if (fs == NULL)
		return -ENOMEM;
	fs->settings = *settings;
	st = grow(fs, count_of(conf_store_get(settings->conf)->num_replica_fetchers));
	if (st != 0) {
		fetchers_close(fs);
		return st;
	}
	*ret_fetchers = fs;
	return 0;
}

void
fetchers_close(struct fetchers *fs)
{
	if (fs == NULL)
		return;
	while (fs->count > 0)
		fetcher_end(fs->threads[--fs->count]);
	free(fs->threads);
	free(fs);
}

/* ---- another count ---- */

/* What one fetcher gives up, by who takes it over. The giver's while the resizer waits for it. */
struct giving {
	struct fetcher *ft;
	int32_t count;           /* of fetchers, from now on */
	struct followed **takes; /* a list for each of them */
	int32_t given;
};

/*
 * What is followed no further until the next LeaderAndIsr needs nobody to take it over. Of all else
 * the state is kept, so that who was fetching goes on where he was.
 */
static void
give(struct giving *giving, struct followed *f, int32_t home)
{
	struct leader_link *link = f->link;
	enum follow_state state = f->state;

	if (state == FOLLOW_FAILED) {
		drop(f);
	} else {
		detach(f);
		f->state = state;
		f->next = giving->takes[home];
		giving->takes[home] = f;
		giving->given++;
	}
	(void)link_end_if_unused(link);
}

static void
give_up(void *arg)
{
	struct giving *giving = arg;
	struct fetcher *ft = giving->ft;
	struct map_iter iter = {0};
	struct followed *f;

	while ((f = map_next(&ft->followed, &iter)) != NULL) {
		int32_t home = home_of(f->p, giving->count);

		if (home != ft->index)
			give(giving, f, home);
	}
}

/* All of it in one message, so that it can be in one Fetch. */
struct taking {
	struct fetcher *ft;
	struct followed *first;
};

static void
take_over(void *arg)
{
	struct taking *taking = arg;
	struct fetcher *ft = taking->ft;
	struct map_iter iter = {0};
	struct leader_link *link;

	assert(!ft->closing); /* whoever ends it has ended the resizer before */
	while (taking->first != NULL) {
		struct followed *f = taking->first;
		bool ready = f->state == FOLLOW_READY;

		taking->first = f->next;
		attach(ft, f);
		if (ready)
			followed_go_on(f, f->offset, f->epoch);
		else
			begin(f);
	}
	while ((link = map_next(&ft->links, &iter)) != NULL)
		link_send(link);
	free(taking);
}

/* From the first `before` threads to the first `count`. */
static int32_t
move_partitions(struct fetchers *fs, int32_t before, int32_t count)
{
	struct giving giving = {.count = count};

	giving.takes = must(calloc((size_t)count, sizeof(struct followed *)));
	for (int32_t i = 0; i < before; i++) {
		giving.ft = fs->threads[i];
		reactor_call(giving.ft->reactor, give_up, &giving);
	}
	for (int32_t i = 0; i < count; i++) {
		struct taking *taking;

		if (giving.takes[i] == NULL)
			continue;
		taking = must(malloc(sizeof(*taking)));
		*taking = (struct taking){fs->threads[i], giving.takes[i]};
		reactor_post(taking->ft->reactor, take_over, taking);
	}
	free(giving.takes);
	return giving.given;
}

void
fetchers_resize(struct fetchers *fs, int64_t count)
{
	int32_t before = fs->count, wanted = count_of(count), moved;
	int st = grow(fs, wanted);

	if (st != 0)
		diag_error(DIAG_REPLICA,
			   "cannot start as many fetchers as num.replica.fetchers says: let the "
			   "broker have more threads and open files, or lower it",
			   "wanted=%d running=%d error=%s", wanted, fs->count, strerror(-st));
	if (wanted > fs->count)
		wanted = fs->count;
	if (wanted == before)
		return;
	moved = move_partitions(fs, before, wanted);
	while (fs->count > wanted)
		fetcher_end(fs->threads[--fs->count]);
	diag_info(DIAG_REPLICA, "the number of fetchers has changed",
		  "from=%d to=%d partitions_moved=%d", before, wanted, moved);
}
