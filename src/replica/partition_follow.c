/*
 * A follower and its log: what the fetcher brings is appended, and where histories have parted ours
 * is cut back. An append is counted as one of the leader's is, so that no change of leadership
 * comes between the look at the leader epoch and the write.
 *
 * Kafka: ReplicaFetcherThread.
 */
#include <errno.h>

#include "base/diag.h"
#include "replica/partition_state.h"
#include "replica/truncation.h"
#include "wire/kerr.h"

/* Begins: the log, counted, while nothing changes who leads. */
static int
enter(struct partition *p, int32_t leader_epoch, struct log **ret_log)
{
	int st = 0;

	lock_acquire(&p->lock);
	if (p->deleted || p->leader_epoch != leader_epoch || p->leader == p->context->broker_id)
		st = K_FENCED_LEADER_EPOCH;
	else if (p->offline || p->log == NULL)
		st = K_KAFKA_STORAGE_ERROR;
	if (st == 0) {
		p->appending++;
		*ret_log = log_get(p->log);
	}
	lock_release(&p->lock);
	return st;
}

static void
leave(struct partition *p, struct log *log)
{
	lock_acquire(&p->lock);
	if (--p->appending == 0)
		pthread_cond_broadcast(&p->appends_over);
	lock_release(&p->lock);
	log_put(log);
}

int
partition_begin_following(struct partition *p, int32_t leader_epoch, int64_t *ret_offset,
			  int32_t *ret_epoch)
{
	struct log *log;
	int st = enter(p, leader_epoch, &log);

	if (st != 0)
		return st;
	/* Without epochs there is nothing to compare: only what was acknowledged is kept. */
	if (log_latest_epoch(log) < 0)
		st = log_truncate_to(log, log_high_watermark(log));
	if (st == 0) {
		*ret_offset = log_end_offset(log);
		*ret_epoch = log_latest_epoch(log);
	}
	leave(p, log);
	return st;
}

/* Consumers may read from followers: what has become readable wakes them. */
static void
take_high_watermark(struct partition *p, struct log *log, int64_t high_watermark, int64_t bytes)
{
	int64_t before = log_high_watermark(log);

	if (log_set_high_watermark(log, high_watermark) == before && bytes == 0)
		return;
	lock_acquire(&p->lock);
	partition_wake_all(p, PARTITION_WAIT_DATA, bytes);
	lock_release(&p->lock);
}

int
partition_append_as_follower(struct partition *p, int32_t leader_epoch, struct slice records,
			     int64_t high_watermark, int64_t log_start_offset_of_leader,
			     int64_t *ret_offset, int32_t *ret_epoch)
{
	struct log_append_result result = {0};
	struct log *log;
	int st = enter(p, leader_epoch, &log);

	if (st != 0)
		return st;
	if (records.len > 0)
		st = log_append_as_follower(log, records, &result);
	if (st == 0) {
		take_high_watermark(p, log, high_watermark, result.bytes);
		if (log_start_offset_of_leader > log_start_offset(log) &&
		    log_start_offset_of_leader <= log_high_watermark(log))
			st = log_raise_start_offset(log, log_start_offset_of_leader);
	}
	if (st == 0) {
		*ret_offset = log_end_offset(log);
		*ret_epoch = log_latest_epoch(log);
	}
	leave(p, log);
	return st;
}

int
partition_truncate(struct partition *p, int32_t leader_epoch, int32_t epoch, int64_t end_offset,
		   int64_t *ret_offset, int32_t *ret_epoch)
{
	struct epoch_end theirs = {epoch, end_offset}, ours;
	struct log *log;
	int64_t target;
	int st = enter(p, leader_epoch, &log);

	if (st != 0)
		return st;
	log_end_offset_for_epoch(log, epoch, &ours.epoch, &ours.end_offset);
	target = truncation_end(theirs, ours, log_end_offset(log));
	diag_info(DIAG_REPLICA, "truncated to where the leader's history parts from ours",
		  "partition=%s-%d from=%lld to=%lld leader_epoch=%d", p->topic, p->number,
		  (long long)log_end_offset(log), (long long)target, leader_epoch);
	if (target < log_high_watermark(log))
		diag_warn(DIAG_REPLICA, "truncated below the high watermark",
			  "partition=%s-%d high_watermark=%lld to=%lld", p->topic, p->number,
			  (long long)log_high_watermark(log), (long long)target);
	st = log_truncate_to(log, target);
	if (st == 0) {
		*ret_offset = log_end_offset(log);
		*ret_epoch = log_latest_epoch(log);
	}
	leave(p, log);
	return st;
}

int
partition_truncate_to(struct partition *p, int32_t leader_epoch, int64_t offset, bool start_anew)
{
	struct log *log;
	int st = enter(p, leader_epoch, &log);

	if (st != 0)
		return st;
	diag_info(DIAG_REPLICA, "brought the log to where the leader's is",
		  "partition=%s-%d from=%lld to=%lld", p->topic, p->number,
		  (long long)log_end_offset(log), (long long)offset);
	st = start_anew ? log_truncate_fully_and_start_at(log, offset)
			: log_truncate_to(log, offset);
	leave(p, log);
	return st;
}
