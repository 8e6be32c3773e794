/*
 * What a leader answers: records are appended, a diverging history is cut back, and what cannot go
 * on waits, asks, or fails until the controller says something new.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "replica/fetcher_internal.h"
#include "replica/partition_state.h"
#include "wire/api_table.h"
#include "wire/generated/fetch.h"
#include "wire/generated/list_offsets.h"
#include "wire/kerr.h"

#define TIMESTAMP_LATEST (-1)
#define TIMESTAMP_EARLIEST (-2)

/* ---- records ---- */

static void
failed_locally(struct followed *f, int st)
{
	if (st == K_FENCED_LEADER_EPOCH) { /* LeaderAndIsr was faster: an order is on its way */
		followed_set_state(f, FOLLOW_FAILED);
		return;
	}
	if (!f->complained)
		diag_warn(DIAG_REPLICA, "cannot append what the leader sent; tried on",
			  "partition=%s-%d error=%s", partition_topic(f->p), partition_number(f->p),
			  st < 0 ? strerror(-st) : kerr_name(st));
	f->complained = true;
	if (st == K_KAFKA_STORAGE_ERROR || st == -EIO)
		followed_set_state(f, FOLLOW_FAILED);
	else
		followed_back_off(f);
}

/*
 * An empty replica gets a first batch that begins after its log end offset, or before its log start
 * offset, where the leader's log starts in the middle of it.
 */
static int
start_at_first_batch(struct followed *f, struct slice records)
{
	struct record_entry entry;

	if (f->epoch >= 0 || record_entry_peek(records, &entry) != 0)
		return -EILSEQ;
	return partition_truncate_to(f->p, f->leader_epoch, entry.offset, true);
}

static void
take_records(struct followed *f, const struct fetch_response_partition_data *d)
{
	struct slice records = d->records.data;
	int64_t offset = f->offset;
	int32_t epoch = f->epoch;
	int st = partition_append_as_follower(f->p, f->leader_epoch, records, d->high_watermark,
					      d->log_start_offset, &offset, &epoch);

	if (st == -EILSEQ && (st = start_at_first_batch(f, records)) == 0)
		st = partition_append_as_follower(f->p, f->leader_epoch, records, d->high_watermark,
						  d->log_start_offset, &offset, &epoch);
	if (st != 0) {
		failed_locally(f, st);
		return;
	}
	partition_took_from_leader(f->p, (int64_t)records.len);
	f->refusals = 0;
	followed_set_lag(f, d->high_watermark > offset ? d->high_watermark - offset : 0);
	if (f->complained && records.len > 0) {
		f->complained = false;
		diag_info(DIAG_REPLICA, "appends what the leader sends again", "partition=%s-%d",
			  partition_topic(f->p), partition_number(f->p));
	}
	if (d->log_start_offset != f->log_start_offset || offset != f->offset) {
		f->log_start_offset = d->log_start_offset;
		followed_go_on(f, offset, epoch);
	}
}

static void
take_divergence(struct followed *f, const struct fetch_response_partition_data *d)
{
	int64_t offset;
	int32_t epoch;
	int st = partition_truncate(f->p, f->leader_epoch, d->diverging_epoch.epoch,
				    d->diverging_epoch.end_offset, &offset, &epoch);

	if (st != 0)
		failed_locally(f, st);
	else
		followed_go_on(f, offset, epoch);
	followed_set_lag(f, -1);
}

static void
take_partition(struct followed *f, const struct fetch_response_partition_data *d)
{
	switch (d->error_code) {
	case 0:
		if (d->diverging_epoch.end_offset >= 0 || d->diverging_epoch.epoch >= 0)
			take_divergence(f, d);
		else
			take_records(f, d);
		break;
	case K_OFFSET_OUT_OF_RANGE:
		followed_ask_offsets(f);
		break;
	case K_FENCED_LEADER_EPOCH:
		followed_set_state(f, FOLLOW_FAILED);
		break;
	default:
		diag_debug(DIAG_REPLICA, "the leader refuses a fetch; tried again",
			   "partition=%s-%d leader=%d error=%s", partition_topic(f->p),
			   partition_number(f->p), f->link->broker_id, kerr_name(d->error_code));
		followed_back_off(f);
	}
}

static void
take_topics(struct leader_link *link, const struct fetch_response *resp)
{
	for (int32_t t = 0; t < resp->responses_count; t++) {
		const struct fetchable_topic_response *topic = &resp->responses[t];

		for (int32_t i = 0; i < topic->partitions_count; i++) {
			const struct fetch_response_partition_data *d = &topic->partitions[i];
			struct followed *f = link_find(link, &topic->topic_id, d->partition_index);

			/* One that came anew since the request was sent is told with the next. */
			if (f != NULL && f->state == FOLLOW_READY && f->prev_dirty == NULL)
				take_partition(f, d);
		}
	}
}

static void
next_epoch(struct leader_link *link, int32_t session_id)
{
	link->session_id = session_id;
	if (session_id == 0)
		link->session_epoch = 0; /* the leader keeps no session: everything each time */
	else
		link->session_epoch =
		    link->session_epoch == INT32_MAX ? 1 : link->session_epoch + 1;
}

void
link_take_response(struct leader_link *link, struct slice body)
{
	struct fetch_response resp;
	struct arena arena;
	struct wire_in in;
	int st;

	arena_init(&arena, body.len * 16 + (1 << 16));
	wire_in_init(&in, body, &arena);
	st = fetch_response_decode(&resp, FETCH_VERSION, &in);
	if (st != 0 || resp.error_code != 0) {
		diag_info(DIAG_REPLICA, "a leader ended the fetch session; a new one begins",
			  "leader=%d error=%s", link->broker_id,
			  st != 0 ? strerror(-st) : kerr_name(resp.error_code));
		link->session_id = 0;
		link_pause(link);
	} else {
		next_epoch(link, resp.session_id);
		take_topics(link, &resp);
	}
	arena_fini(&arena);
}

/* ---- ListOffsets ---- */

/* A question to the leader; the partition may be gone when the answer comes. */
struct question {
	struct leader_link *link;
	struct session_key key;
	int32_t leader_epoch;
	int64_t timestamp;
};

static void ask(struct followed *f, int64_t timestamp);

/* Kafka: AbstractFetcherThread.fetchOffsetAndTruncate. */
static void
take_leader_end(struct followed *f, int64_t leader_end)
{
	int st;

	if (leader_end >= f->offset) {
		ask(f, TIMESTAMP_EARLIEST);
		return;
	}
	st = partition_truncate_to(f->p, f->leader_epoch, leader_end, false);
	if (st != 0)
		failed_locally(f, st);
	else
		followed_back_off(f);
}

static void
take_leader_start(struct followed *f, int64_t leader_start)
{
	int st = 0;

	if (leader_start > f->offset)
		st = partition_truncate_to(f->p, f->leader_epoch, leader_start, true);
	if (st != 0)
		failed_locally(f, st);
	else
		followed_back_off(f);
}

static void
on_offsets(void *arg, int status, struct slice body)
{
	struct question *q = arg;
	struct leader_link *link = q->link;
	struct list_offsets_response resp;
	struct arena arena;
	struct wire_in in;
	struct followed *f;

	if (status == -ECANCELED) {
		free(q);
		return;
	}
	f = link_find(link, &q->key.topic_id, q->key.partition);
	arena_init(&arena, body.len * 16 + (1 << 16));
	wire_in_init(&in, body, &arena);
	if (status == 0)
		status = list_offsets_response_decode(&resp, LIST_OFFSETS_VERSION, &in);
	if (f != NULL && f->leader_epoch == q->leader_epoch && f->state == FOLLOW_ASKING) {
		const struct list_offsets_partition_response *d =
		    status == 0 && resp.topics_count == 1 && resp.topics[0].partitions_count == 1
			? &resp.topics[0].partitions[0]
			: NULL;

		if (d == NULL || d->error_code != 0)
			followed_back_off(f);
		else if (q->timestamp == TIMESTAMP_LATEST)
			take_leader_end(f, d->offset);
		else
			take_leader_start(f, d->offset);
	}
	arena_fini(&arena);
	free(q);
	link_send(link);
}

static void
ask(struct followed *f, int64_t timestamp)
{
	struct leader_link *link = f->link;
	struct list_offsets_partition partition = {.partition_index = f->key.partition,
						   .current_leader_epoch = f->leader_epoch,
						   .timestamp = timestamp};
	struct list_offsets_topic topic = {
	    .name = str_of(partition_topic(f->p)), .partitions = &partition, .partitions_count = 1};
	struct list_offsets_request req = {.replica_id = link->fetcher->owner->settings.broker_id,
					   .topics = &topic,
					   .topics_count = 1};
	struct question *q = calloc(1, sizeof(*q));
	struct buf body = {0};
	struct wire_out out;

	if (q == NULL)
		abort();
	*q = (struct question){link, f->key, f->leader_epoch, timestamp};
	wire_out_init(&out, &body);
	if (list_offsets_request_encode(&req, LIST_OFFSETS_VERSION, &out) != 0 || body.failed)
		abort();
	wire_out_fini(&out);
	rpc_call(link->rpc, API_LIST_OFFSETS, LIST_OFFSETS_VERSION, true, &body,
		 link_conf(link)->replica_socket_timeout_ms, on_offsets, q);
}

void
followed_ask_offsets(struct followed *f)
{
	followed_set_state(f, FOLLOW_ASKING);
	ask(f, TIMESTAMP_LATEST);
}
