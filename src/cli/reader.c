/*
 * reader.c - reads partitions of one topic without a group.
 *
 * Times and counts from the end are resolved to offsets before the first fetch. A stop at a time
 * ends a partition at the first offset of that time where the broker knows one already; where it
 * does not, at the first record of that time or later, or, when that time is past, at the end of
 * the partition.
 */
#include "cli/reader.h"

#include <stdlib.h>

#include "base/env.h"

static int
list_partitions(struct reader *r, const char *topic, int32_t partition)
{
	const rd_kafka_metadata_t *md;
	int st;

	st = client_topic_metadata(&r->client, topic, &md);
	if (st != CLI_DONE)
		return st;
	r->partition_count = md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	if (partition >= r->partition_count) {
		complain("topic '%s' has no partition %d; it has %d", topic, partition,
			 r->partition_count);
		return CLI_REFUSED;
	}
	r->partitions = calloc((size_t)r->partition_count + 1, sizeof(*r->partitions));
	if (r->partitions == NULL)
		return no_memory();
	for (int32_t i = 0; i < r->partition_count; i++) {
		r->partitions[i] =
		    (struct reader_partition){.id = i,
					      .start = RD_KAFKA_OFFSET_BEGINNING,
					      .stop_offset = -1,
					      .wanted = partition < 0 || partition == i};
		r->wanted_count += r->partitions[i].wanted;
	}
	return CLI_DONE;
}

int
reader_open(struct reader *r, rd_kafka_conf_t *conf, const char *topic, int32_t partition,
	    const struct offset_spec *spec)
{
	int st;

	memset(r, 0, sizeof(*r));
	r->spec = *spec;
	st = client_open(&r->client, RD_KAFKA_CONSUMER, conf);
	if (st != CLI_DONE)
		return st;
	st = list_partitions(r, topic, partition);
	if (st != CLI_DONE)
		return st;
	r->topic = rd_kafka_topic_new(r->client.rk, topic, NULL);
	r->queue = rd_kafka_queue_new(r->client.rk);
	return CLI_DONE;
}

/* The first offsets of a time, by partition: -1 where there is none. */
static int
resolve_time(struct reader *r, int64_t time_ms, int64_t *offsets)
{
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new(r->partition_count);
	const char *topic = rd_kafka_topic_name(r->topic);
	rd_kafka_resp_err_t err;

	for (int32_t i = 0; i < r->partition_count; i++) {
		if (r->partitions[i].wanted)
			rd_kafka_topic_partition_list_add(list, topic, i)->offset = time_ms;
	}
	err = rd_kafka_offsets_for_times(r->client.rk, list, r->client.timeout_ms);
	for (int i = 0; err == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];

		err = p->err;
		offsets[p->partition] = p->offset >= 0 ? p->offset : -1;
	}
	rd_kafka_topic_partition_list_destroy(list);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return CLI_DONE;
	complain("asking for the offsets of a time in topic '%s': %s", topic,
		 rd_kafka_err2str(err));
	return CLI_REFUSED;
}

static int
resolve_tail(struct reader *r, struct reader_partition *p)
{
	const char *topic = rd_kafka_topic_name(r->topic);
	rd_kafka_resp_err_t err;
	int64_t low, high;

	err = rd_kafka_query_watermark_offsets(r->client.rk, topic, p->id, &low, &high,
					       r->client.timeout_ms);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		complain("asking for the end of %s-%d: %s", topic, p->id, rd_kafka_err2str(err));
		return CLI_REFUSED;
	}
	p->start = high - low > r->spec.value ? high - r->spec.value : low;
	return CLI_DONE;
}

static int
resolve_starts(struct reader *r, int64_t *scratch)
{
	int st = CLI_DONE;

	if (r->spec.kind == OFFSET_TIME)
		st = resolve_time(r, r->spec.value, scratch);
	for (int32_t i = 0; st == CLI_DONE && i < r->partition_count; i++) {
		struct reader_partition *p = &r->partitions[i];

		if (!p->wanted)
			continue;
		switch (r->spec.kind) {
		case OFFSET_BEGINNING:
			p->start = RD_KAFKA_OFFSET_BEGINNING;
			break;
		case OFFSET_END:
			p->start = RD_KAFKA_OFFSET_END;
			break;
		case OFFSET_AT:
			p->start = r->spec.value;
			break;
		case OFFSET_TAIL:
			st = resolve_tail(r, p);
			break;
		case OFFSET_TIME:
			p->start = scratch[i] >= 0 ? scratch[i] : RD_KAFKA_OFFSET_END;
			break;
		}
	}
	return st;
}

static void
mark_done(struct reader *r, struct reader_partition *p)
{
	if (p->done)
		return;
	p->done = true;
	r->done_count++;
	r->at_end_count -= p->at_end;
	if (p->started)
		rd_kafka_consume_stop(r->topic, p->id);
	p->started = false;
}

static int
resolve_stops(struct reader *r, int64_t *scratch)
{
	int st;

	if (r->spec.stop_ms < 0)
		return CLI_DONE;
	st = resolve_time(r, r->spec.stop_ms, scratch);
	for (int32_t i = 0; st == CLI_DONE && i < r->partition_count; i++) {
		struct reader_partition *p = &r->partitions[i];

		if (!p->wanted)
			continue;
		p->stop_offset = scratch[i];
		if (p->stop_offset >= 0 && p->start >= p->stop_offset)
			mark_done(r, p);
	}
	return st;
}

int
reader_start(struct reader *r)
{
	int64_t *scratch = calloc((size_t)r->partition_count + 1, sizeof(*scratch));
	int st;

	if (scratch == NULL)
		return no_memory();
	st = resolve_starts(r, scratch);
	if (st == CLI_DONE)
		st = resolve_stops(r, scratch);
	free(scratch);
	for (int32_t i = 0; st == CLI_DONE && i < r->partition_count; i++) {
		struct reader_partition *p = &r->partitions[i];

		if (!p->wanted || p->done)
			continue;
		if (rd_kafka_consume_start_queue(r->topic, i, p->start, r->queue) != 0) {
			complain("%s-%d: %s", rd_kafka_topic_name(r->topic), i,
				 rd_kafka_err2str(rd_kafka_last_error()));
			return CLI_REFUSED;
		}
		p->started = true;
	}
	return st;
}

void
reader_close(struct reader *r)
{
	for (int32_t i = 0; i < r->partition_count && r->partitions != NULL; i++) {
		if (r->partitions[i].started)
			rd_kafka_consume_stop(r->topic, i);
	}
	if (r->queue != NULL)
		rd_kafka_queue_destroy(r->queue);
	if (r->topic != NULL)
		rd_kafka_topic_destroy(r->topic);
	free(r->partitions);
	client_close(&r->client);
	memset(r, 0, sizeof(*r));
}

static void
took_end(struct reader *r, struct reader_partition *p)
{
	if (p->done || p->at_end)
		return;
	p->at_end = true;
	r->at_end_count++;
	if (r->spec.stop_ms >= 0 && r->spec.stop_ms <= env_now_ms(env_system()))
		mark_done(r, p);
}

static bool
is_beyond_stop(const struct reader *r, const struct reader_partition *p,
	       const rd_kafka_message_t *m)
{
	rd_kafka_timestamp_type_t type;

	if (r->spec.stop_ms < 0)
		return false;
	if (p->stop_offset >= 0)
		return m->offset >= p->stop_offset;
	return rd_kafka_message_timestamp(m, &type) >= r->spec.stop_ms;
}

bool
reader_take(struct reader *r, const rd_kafka_message_t *m, int *ret_st)
{
	struct reader_partition *p = NULL;

	*ret_st = CLI_DONE;
	if (m->rkt != NULL && m->partition >= 0 && m->partition < r->partition_count)
		p = &r->partitions[m->partition];
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (p != NULL)
			took_end(r, p);
		return false;
	}
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		const char *text = rd_kafka_message_errstr(m);

		if (p != NULL)
			complain("%s-%d: %s", rd_kafka_topic_name(r->topic), p->id, text);
		else
			complain("%s", text);
		*ret_st = CLI_REFUSED;
		return false;
	}
	if (p == NULL || p->done)
		return false;
	if (p->at_end) {
		p->at_end = false;
		r->at_end_count--;
	}
	if (!is_beyond_stop(r, p, m))
		return true;
	mark_done(r, p);
	return false;
}

bool
reader_is_done(const struct reader *r, bool exit_at_end)
{
	return r->done_count + (exit_at_end ? r->at_end_count : 0) >= r->wanted_count;
}
