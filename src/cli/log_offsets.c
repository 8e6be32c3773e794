/*
 * log_offsets.c - where the logs of many partitions begin and end.
 *
 * rd_kafka_offsets_for_times() sends one ListOffsets to each leader, takes the protocol's -1 and -2
 * for the end and the start, and fails as a whole when one partition does. So batches, to keep its
 * own searches short; partitions that metadata does not know are left out before; and a batch that
 * is refused is halved until the partition that is to blame stands alone.
 */
#include "cli/log_offsets.h"

#include <stdlib.h>

#include "base/env.h"
#include "cli/progress.h"
#include "cli/topic_view.h"

#define BATCH 500
#define RETRY_MS 100

struct loader {
	struct client *c;
	int64_t at;
	int64_t deadline_us;
	rd_kafka_topic_partition_t **known; /* of the result */
	size_t count;
};

static bool
is_temporary(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
	       err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
	       err == RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE ||
	       err == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH ||
	       err == RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR ||
	       err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

static bool
is_nobody_there(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TRANSPORT ||
	       err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
}

/* Metadata says that the partition is there and has a leader. */
static rd_kafka_resp_err_t
check_leader(const struct topic_view *view, const rd_kafka_topic_partition_t *p)
{
	size_t low = 0, high = view->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const rd_kafka_metadata_topic_t *t = view->topics[middle];
		int cmp = strcmp(t->topic, p->topic);

		if (cmp == 0) {
			for (int i = 0; i < t->partition_cnt; i++) {
				if (t->partitions[i].id == p->partition)
					return partition_is_offline(view->metadata,
								    &t->partitions[i])
						   ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
						   : RD_KAFKA_RESP_ERR_NO_ERROR;
			}
			return t->err != RD_KAFKA_RESP_ERR_NO_ERROR
				   ? t->err
				   : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		}
		if (cmp < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* One call for partitions [first, first + count) of those that are known. */
static rd_kafka_resp_err_t
ask(struct loader *l, size_t first, size_t count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
	rd_kafka_resp_err_t err;

	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, l->known[first + i]->topic,
						  l->known[first + i]->partition)
		    ->offset = l->at;
	err = rd_kafka_offsets_for_times(l->c->rk, list, l->c->timeout_ms);
	for (size_t i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
		l->known[first + i]->offset = list->elems[i].offset;
		l->known[first + i]->err = list->elems[i].err;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return err;
}

static int
load_batch(struct loader *l, size_t first, size_t count)
{
	rd_kafka_resp_err_t err;
	int st;

	while (is_temporary(err = ask(l, first, count)) &&
	       env_monotonic_us(env_system()) < l->deadline_us)
		client_poll(l->c, RETRY_MS);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return CLI_DONE;
	if (is_nobody_there(err))
		return client_no_answer(l->c, "asking for log offsets", rd_kafka_err2str(err));
	if (count == 1) {
		l->known[first]->err = err;
		return CLI_DONE;
	}
	st = load_batch(l, first, count / 2);
	if (st == CLI_DONE)
		st = load_batch(l, first + count / 2, count - count / 2);
	return st;
}

static int
load_known(struct loader *l)
{
	struct progress progress;
	int st = CLI_DONE;

	progress_start(&progress, false);
	for (size_t first = 0; st == CLI_DONE && first < l->count; first += BATCH) {
		size_t count = l->count - first < BATCH ? l->count - first : BATCH;

		st = load_batch(l, first, count);
		progress_tell_steps(&progress, "asking for log offsets", first + count, l->count);
	}
	progress_clear(&progress);
	return st;
}

int
log_offsets_load(struct client *c, const rd_kafka_topic_partition_list_t *partitions, int64_t at,
		 rd_kafka_topic_partition_list_t **ret_offsets)
{
	struct loader l = {.c = c, .at = at};
	rd_kafka_topic_partition_list_t *offsets;
	struct topic_view view = {0};
	int st;

	st = topic_view_load(&view, c, NULL, false);
	if (st != CLI_DONE) {
		topic_view_fini(&view);
		return st;
	}
	offsets = rd_kafka_topic_partition_list_copy(partitions);
	l.deadline_us = env_monotonic_us(env_system()) + (int64_t)c->timeout_ms * 1000;
	l.known = calloc((size_t)offsets->cnt + 1, sizeof(rd_kafka_topic_partition_t *));
	if (l.known == NULL)
		st = no_memory();
	for (int i = 0; st == CLI_DONE && i < offsets->cnt; i++) {
		offsets->elems[i].offset = -1;
		offsets->elems[i].err = check_leader(&view, &offsets->elems[i]);
		if (offsets->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
			l.known[l.count++] = &offsets->elems[i];
	}
	topic_view_fini(&view);
	if (st == CLI_DONE)
		st = load_known(&l);
	free(l.known);
	if (st == CLI_DONE)
		*ret_offsets = offsets;
	else
		rd_kafka_topic_partition_list_destroy(offsets);
	return st;
}
