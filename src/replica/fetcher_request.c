/*
 * From what is followed to a Fetch request: in a new session all partitions, later those that
 * changed and those that are fetched no longer.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "replica/fetcher_internal.h"
#include "wire/api_table.h"
#include "wire/generated/fetch.h"

struct building {
	struct arena arena;
	struct fetch_request req;
	int32_t topic_cap, partition_cap;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* Partitions of one topic that come one after the other share an entry. */
static void
add_partition(struct building *b, const struct followed *f, int32_t max_bytes)
{
	struct fetch_request *req = &b->req;
	struct fetch_topic *topic =
	    req->topics_count == 0 ? NULL : &req->topics[req->topics_count - 1];
	struct fetch_partition *fp;

	if (topic == NULL || !uuid_equal(&topic->topic_id, &f->key.topic_id)) {
		topic = &req->topics[req->topics_count++];
		topic->topic_id = f->key.topic_id;
		b->partition_cap = 0;
	}
	if (topic->partitions_count == b->partition_cap) {
		struct fetch_partition *grown;

		b->partition_cap = b->partition_cap == 0 ? 1 : b->partition_cap * 2;
		grown = must(fetch_partition_new(&b->arena, b->partition_cap));
		if (topic->partitions_count > 0)
			memcpy(grown, topic->partitions,
			       (size_t)topic->partitions_count * sizeof(*grown));
		topic->partitions = grown;
	}
	fp = &topic->partitions[topic->partitions_count++];
	fp->partition = f->key.partition;
	fp->current_leader_epoch = f->leader_epoch;
	fp->fetch_offset = f->offset;
	fp->last_fetched_epoch = f->epoch;
	fp->log_start_offset = f->log_start_offset;
	fp->partition_max_bytes = max_bytes;
}

static void
add_forgotten(struct building *b, const struct leader_link *link)
{
	struct forgotten_topic *topics =
	    must(forgotten_topic_new(&b->arena, link->forgotten_count));

	for (int32_t i = 0; i < link->forgotten_count; i++) {
		const struct session_key *key = &link->forgotten[i];
		const struct followed *f =
		    map_get(&link->by_key, key, sizeof(*key)); /* followed anew? */
		struct forgotten_topic *topic;

		if (f != NULL && f->state == FOLLOW_READY)
			continue;
		topic = &topics[b->req.forgotten_topics_data_count++];
		topic->topic_id = key->topic_id;
		topic->partitions = must(arena_calloc(&b->arena, 1, sizeof(int32_t)));
		topic->partitions[0] = key->partition;
		topic->partitions_count = 1;
	}
	b->req.forgotten_topics_data = topics;
}

static int32_t
count_dirty(const struct leader_link *link)
{
	int32_t count = 0;

	for (const struct followed *f = link->dirty; f != NULL; f = f->next_dirty)
		count++;
	return count;
}

static void
fill(struct leader_link *link, struct building *b)
{
	const struct broker_conf *conf = link_conf(link);
	const struct fetcher_settings *s = &link->fetcher->owner->settings;
	bool full = link->session_epoch == 0;

	fetch_request_init(&b->req);
	b->req.replica_state.replica_id = s->broker_id;
	b->req.replica_state.replica_epoch = s->broker_epoch(s->arg);
	b->req.max_wait_ms = (int32_t)conf->replica_fetch_wait_max_ms;
	b->req.min_bytes = (int32_t)conf->replica_fetch_min_bytes;
	b->req.max_bytes = (int32_t)conf->replica_fetch_response_max_bytes;
	b->req.session_id = link->session_id;
	b->req.session_epoch = link->session_epoch;
	b->req.topics =
	    must(fetch_topic_new(&b->arena, full ? link->ready_count : count_dirty(link)));
	if (full) {
		for (struct followed *f = link->first; f != NULL; f = f->next)
			if (f->state == FOLLOW_READY) {
				followed_clean(f);
				f->in_session = true;
				add_partition(b, f, (int32_t)conf->replica_fetch_max_bytes);
			}
	} else {
		while (link->dirty != NULL) {
			struct followed *f = link->dirty;

			followed_clean(f);
			f->in_session = true;
			add_partition(b, f, (int32_t)conf->replica_fetch_max_bytes);
		}
		add_forgotten(b, link);
	}
	link->forgotten_count = 0;
}

static void
on_response(void *arg, int status, struct slice body)
{
	struct leader_link *link = arg;

	link->in_flight = false;
	if (status == -ECANCELED)
		return; /* the link is being closed, or connects elsewhere */
	if (link_end_if_unused(link))
		return; /* its partitions are forgotten, or followed by another fetcher */
	if (status != 0) {
		diag_info(DIAG_REPLICA, "cannot fetch from a leader; tried again",
			  "leader=%d error=%s", link->broker_id, strerror(-status));
		link_pause(link);
		return;
	}
	link_take_response(link, body);
	link_send(link);
}

void
link_send(struct leader_link *link)
{
	struct building b = {0};
	struct buf body = {0};
	struct wire_out out;

	if (link->in_flight || link->rpc == NULL || timer_armed(&link->pause) ||
	    link->ready_count == 0)
		return;
	link_hold_back(link);
	if (link->ready_count == 0)
		return;
	arena_init(&b.arena, SIZE_MAX / 2);
	fill(link, &b);
	wire_out_init(&out, &body);
	if (fetch_request_encode(&b.req, FETCH_VERSION, &out) != 0 || body.failed)
		abort();
	wire_out_fini(&out);
	arena_fini(&b.arena);
	link->in_flight = true;
	rpc_call(link->rpc, API_FETCH, FETCH_VERSION, true, &body,
		 link_conf(link)->replica_socket_timeout_ms, on_response, link);
}
