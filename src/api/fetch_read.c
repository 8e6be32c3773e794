/*
 * Reads one partition for a Fetch. Few bytes are copied into the answer, which costs less than to
 * send them from the file; more go from the page cache to the socket. Bytes that are not in the
 * page cache wait for a worker.
 *
 * Kafka: ReplicaManager.readFromLog, Partition.fetchRecords.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/fetch_convert.h"
#include "api/fetch_internal.h"
#include "replica/truncation.h"

#define WARM_CHUNK_BYTES 65536
/* Copied are reads up to the one, until the answer has so many of the other. */
#define COPY_READ_MAX 16384
#define COPY_ANSWER_MAX 65536
#define RACK_AWARE_SELECTOR "org.apache.kafka.common.replica.RackAwareReplicaSelector"

void
fetch_release(struct fetching *f)
{
	if (f->data.records.file != NULL)
		log_file_put(f->data.records.file);
	else if (f->read_bytes > 0)
		free((void *)(uintptr_t)f->data.records.data.data);
	f->data.records = (struct wire_records){.data = {(const uint8_t *)"", 0}};
	f->read_bytes = 0;
}

/* Topic ids become names; an id that nobody knows leaves the name null. */
static void
resolve_topic(struct api_call *call, struct fetch_target *t)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_topic *topic = metadata_topic_by_id(metadata_read(md), &t->topic_id);

	t->topic = api_copy_text(call, topic == NULL ? NULL : topic->name);
	metadata_done(md);
}

/* A consumer that says where it is may be sent to a replica nearby (KIP-392). */
static void
choose_replica(struct api_call *call, const struct fetch_state *state, struct fetch_target *t,
	       struct fetching *f)
{
	const char *selector = api_conf(call)->replica_selector_class;

	if (state->replica_id != CONSUMER_REPLICA_ID || state->req->rack_id.len == 0 ||
	    api_version(call) < 11 || selector == NULL ||
	    strcmp(selector, RACK_AWARE_SELECTOR) != 0)
		return;
	f->data.preferred_read_replica =
	    partition_preferred_replica(f->partition, state->req->rack_id, t->fetch_offset);
	if (f->data.preferred_read_replica >= 0)
		t->must_answer = true;
}

/* Has the fetcher's history parted from ours before the offset it asks for? */
static int
check_divergence(struct log *log, struct fetch_target *t, struct fetching *f)
{
	struct epoch_end ours;

	if (t->last_fetched_epoch < 0)
		return 0;
	if (t->fetch_offset < log_start_offset(log))
		return K_OFFSET_OUT_OF_RANGE;
	log_end_offset_for_epoch(log, t->last_fetched_epoch, &ours.epoch, &ours.end_offset);
	if (ours.epoch < 0)
		return K_OFFSET_OUT_OF_RANGE;
	if (truncation_diverges(t->last_fetched_epoch, t->fetch_offset, ours)) {
		f->data.diverging_epoch.epoch = ours.epoch;
		f->data.diverging_epoch.end_offset = ours.end_offset;
		t->must_answer = true;
	}
	return 0;
}

static int
list_aborted(struct api_call *call, struct log *log, const struct fetch_target *t,
	     const struct log_read *read, struct fetching *f)
{
	struct log_aborted_txn *txns;
	size_t count;
	int st = log_aborted_transactions(log, t->fetch_offset, read, &call->arena, &txns, &count);

	if (st != 0)
		return st;
	f->data.aborted_transactions = aborted_transaction_new(&call->arena, (int32_t)count);
	if (f->data.aborted_transactions == NULL)
		return -ENOMEM;
	f->data.aborted_transactions_count = (int32_t)count;
	for (size_t i = 0; i < count; i++)
		f->data.aborted_transactions[i] =
		    (struct aborted_transaction){txns[i].producer_id, txns[i].first_offset};
	return 0;
}

/* Whether the bytes are few and in the page cache; then they are copied out of it. */
static bool
copy_records(struct fetch_state *state, const struct log_read *read, struct slice *ret_copy)
{
	uint8_t *copy;

	if (read->len == 0 || read->len > COPY_READ_MAX ||
	    state->copied_bytes + read->len > COPY_ANSWER_MAX)
		return false;
	copy = malloc((size_t)read->len);
	if (copy == NULL ||
	    log_file_pread_nowait(read->file, copy, (size_t)read->len, read->pos) != read->len) {
		free(copy);
		return false;
	}
	state->copied_bytes += read->len;
	*ret_copy = (struct slice){copy, (size_t)read->len};
	return true;
}

/*
 * Takes the read bytes into the answer; old clients get them converted. -EAGAIN: they are not in
 * the page cache.
 */
static int
take_records(struct api_call *call, struct fetch_state *state, struct log *log,
	     const struct fetch_target *t, struct log_read *read, struct fetching *f)
{
	int st = 0;

	if (read->len > 0 && !fetch_is_follower(state))
		st = fetch_refuse_old_client(api_version(call), call->api->settings.topic_configs,
					     api_conf(call), log);
	if (st == 0 && api_version(call) >= 4 && copy_records(state, read, &f->data.records.data)) {
		f->read_bytes = read->len;
	} else if (st == 0 && !state->warmed && !log_read_is_cached(read)) {
		st = -EAGAIN;
	} else if (st == 0 && read->len > 0 && api_version(call) < 4) {
		struct buf converted = {0};

		st = fetch_convert(api_version(call), t->fetch_offset, read, &converted);
		if (st == 0) {
			f->read_bytes = (int32_t)converted.len;
			f->data.records.data = buf_slice(&converted);
		} else {
			buf_fini(&converted);
		}
	} else if (st == 0 && read->len > 0) {
		f->data.records = (struct wire_records){
		    .file = read->file, .pos = read->pos, .len = (size_t)read->len};
		f->read_bytes = read->len;
		return 0;
	}
	if (read->file != NULL)
		log_file_put(read->file);
	return st;
}

static int64_t
readable_end(const struct fetch_state *state, const struct log_offsets *offsets)
{
	return state->isolation == LOG_READ_LOG_END     ? offsets->log_end_offset
	       : state->isolation == LOG_READ_COMMITTED ? offsets->last_stable_offset
							: offsets->high_watermark;
}

/*
 * Reads one partition within `left` bytes. -EAGAIN: the bytes are not in the page cache.
 * may_block: on a worker, or after one has warmed the cache.
 */
static int
read_partition(struct api_call *call, struct fetch_state *state, struct fetch_target *t,
	       struct fetching *f, int64_t left, bool min_one)
{
	bool leader_only = fetch_is_follower(state) ||
			   (state->replica_id != DEBUGGING_REPLICA_ID && api_version(call) < 11);
	int32_t max_bytes = t->max_bytes < left ? t->max_bytes : (int32_t)left;
	bool has_all = true;
	int64_t leader_end;
	struct log_read read;
	struct log *log;
	int st;

	st = partition_log(f->partition, t->current_leader_epoch, leader_only,
			   state->context.uses_topic_ids ? &t->topic_id : NULL, &log);
	log_put(f->log);
	f->log = st == 0 ? log : NULL;
	if (st != 0)
		return st;
	log_offsets(log, &f->offsets);
	leader_end = f->offsets.log_end_offset;
	st = check_divergence(log, t, f);
	if (st == 0)
		choose_replica(call, state, t, f);
	f->held_back = st == 0 && fetch_is_follower(state) &&
		       partition_holds_back(f->partition, state->replica_id);
	if (f->held_back && !t->must_answer) {
		if (t->fetch_offset < f->offsets.log_start_offset || t->fetch_offset > leader_end)
			st = K_OFFSET_OUT_OF_RANGE;
	} else if (st == 0 && !t->must_answer) {
		st = log_read(log, t->fetch_offset, max_bytes < 0 ? 0 : max_bytes, min_one,
			      state->isolation, !state->warmed, &read);
		if (st == 0) {
			f->offsets = read.offsets;
			if (state->isolation == LOG_READ_COMMITTED)
				st = list_aborted(call, log, t, &read, f);
			if (st == 0)
				st = take_records(call, state, log, t, &read, f);
			else if (read.len > 0)
				log_file_put(read.file);
		}
	}
	/* What a follower asks for tells how far it is. */
	if (st == 0 && fetch_is_follower(state) && !t->must_answer)
		st = partition_follower_fetched(f->partition, state->replica_id,
						state->replica_epoch, t->fetch_offset,
						t->log_start_offset, leader_end, &has_all);
	if (st != 0)
		fetch_release(f);
	if (st == 0 && fetch_is_follower(state))
		f->offsets.high_watermark = log_high_watermark(log);
	if (st == 0) {
		f->data.high_watermark = f->offsets.high_watermark;
		f->data.last_stable_offset = f->offsets.last_stable_offset;
		f->data.log_start_offset = f->offsets.log_start_offset;
	}
	t->quiet = st == 0 && has_all && t->fetch_offset >= readable_end(state, &f->offsets);
	return st;
}

static void
fill_leader_hint(struct api_call *call, const struct fetch_target *t, struct fetching *f)
{
	struct api_leader_hint hint;

	if (api_version(call) < 16 || (f->data.error_code != K_NOT_LEADER_OR_FOLLOWER &&
				       f->data.error_code != K_FENCED_LEADER_EPOCH))
		return;
	api_leader_hint(call, t->topic, t->partition, &hint);
	f->data.current_leader.leader_id = hint.leader;
	f->data.current_leader.leader_epoch = hint.leader_epoch;
}

static int
error_for_version(int version, int st)
{
	if (kerr_of(st) == K_KAFKA_STORAGE_ERROR && version <= 5)
		return K_NOT_LEADER_OR_FOLLOWER;
	return st;
}

int
fetch_read_target(struct api_call *call, struct fetch_state *state, size_t index, int64_t left,
		  bool min_one)
{
	struct fetch_target *t = &state->context.targets[index];
	struct fetching *f = &state->fetching[index];
	int st = 0;

	fetch_response_partition_data_init(&f->data);
	f->data.partition_index = t->partition;
	f->data.high_watermark = -1;
	f->data.records.data = (struct slice){(const uint8_t *)"", 0};
	if (state->isolation != LOG_READ_COMMITTED)
		f->data.aborted_transactions_count = -1;
	t->has_records = t->failed = t->must_answer = t->quiet = false;
	if (state->context.uses_topic_ids && t->topic.len == 0)
		resolve_topic(call, t);
	if (t->topic.data == NULL)
		st = K_UNKNOWN_TOPIC_ID;
	if (st == 0 && f->partition == NULL)
		st = replica_manager_get(call->api->settings.replicas, t->topic, t->partition,
					 &f->partition);
	if (st == 0) {
		fetch_session_watch(&state->context, t, f->partition);
		st = read_partition(call, state, t, f, left, min_one);
	}
	if (st == -EAGAIN)
		return st;
	f->data.error_code = kerr_of(error_for_version(api_version(call), st));
	t->failed = st != 0;
	t->has_records = f->read_bytes > 0;
	t->high_watermark = f->data.high_watermark;
	t->answered_log_start_offset = f->data.log_start_offset;
	if (st != 0)
		fill_leader_hint(call, t, f);
	return 0;
}

void
fetch_warm_target(struct fetch_state *state, size_t index)
{
	struct fetch_target *t = &state->context.targets[index];
	struct fetching *f = &state->fetching[index];
	struct log_read read;
	struct log *log;
	uint8_t *chunk;

	if (f->partition == NULL || f->held_back ||
	    partition_log(f->partition, PARTITION_NO_EPOCH, false, NULL, &log) != 0)
		return;
	chunk = malloc(WARM_CHUNK_BYTES);
	if (chunk != NULL && log_read(log, t->fetch_offset, t->max_bytes, true, state->isolation,
				      false, &read) == 0) {
		for (int32_t done = 0; done < read.len; done += WARM_CHUNK_BYTES) {
			int32_t left = read.len - done;

			if (log_file_pread(
				read.file, chunk,
				(size_t)(left < WARM_CHUNK_BYTES ? left : WARM_CHUNK_BYTES),
				read.pos + done) < 0)
				break;
		}
		if (read.file != NULL)
			log_file_put(read.file);
	}
	free(chunk);
	log_put(log);
}
