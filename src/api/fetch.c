/*
 * Fetch. All partitions are read under one budget of bytes, in the order of the request or of its
 * session. When what there is does not satisfy the client it waits, in its session or in each
 * partition, and whoever makes more readable wakes it; then everything is read again from scratch.
 *
 * Bytes go from the page cache to the socket. What is not there is first read by a worker, so that
 * a consumer of old data does not stop the reactor: `warmed` says that this has been done.
 *
 * Kafka: KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages, DelayedFetch.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "api/fetch_convert.h"
#include "base/diag.h"
#include "replica/fetch_session.h"
#include "replica/truncation.h"
#include "wire/generated/fetch.h"

#define CONSUMER_REPLICA_ID (-1)
#define DEBUGGING_REPLICA_ID (-2)
#define WARM_CHUNK_BYTES 65536
#define RACK_AWARE_SELECTOR "org.apache.kafka.common.replica.RackAwareReplicaSelector"

/* One target under way. */
struct fetching {
	struct partition_waiter waiter;
	struct fetch_state *state;
	struct partition *partition; /* counted; NULL when it was not found */
	struct log *log;             /* counted; of the last look, NULL when it failed */
	struct log_offsets offsets;  /* at the last look */
	struct fetch_response_partition_data data;
	int32_t read_bytes;
	bool held_back; /* throttled: nothing is read for now */
};

/* For each target: of the request's or the session's memory, and for its part of the answer. */
#define TARGET_BYTES                                                                               \
	(sizeof(struct fetching) + sizeof(struct fetch_response_partition_data) +                  \
	 sizeof(struct fetchable_topic_response) + TOPIC_NAME_BYTES)
/* A name, its end, and what the arena rounds up. */
#define TOPIC_NAME_BYTES 272

struct fetch_state {
	const struct fetch_request *req;
	struct fetch_context context;
	struct fetching *fetching; /* one for each target */
	size_t fetching_capacity;
	struct fetch_sleeper sleeper;
	struct api_call *call;
	int32_t replica_id;
	int64_t replica_epoch; /* -1: not told */
	enum log_isolation isolation;
	int64_t max_bytes, min_bytes;
	int64_t deadline_ms;
	bool warmed;
	_Atomic int64_t found_bytes; /* by the last pass */
	_Atomic int64_t woken_bytes; /* appended since */
	_Atomic bool touched;        /* anything has changed since */
};

static bool
is_follower(const struct fetch_state *state)
{
	return state->replica_id >= 0;
}

static void
release_records(struct fetching *f)
{
	if (f->data.records.file != NULL)
		log_file_put(f->data.records.file);
	else if (f->read_bytes > 0)
		free((void *)(uintptr_t)f->data.records.data.data);
	f->data.records = (struct wire_records){.data = {(const uint8_t *)"", 0}};
	f->read_bytes = 0;
}

static void
finish(struct api_call *call)
{
	struct fetch_state *state = call->state;

	for (size_t i = 0; i < state->fetching_capacity; i++) {
		struct fetching *f = &state->fetching[i];

		partition_wait_end(&f->waiter);
		partition_put(f->partition);
		log_put(f->log);
		/* Files that are in the answer are the reply's; converted bytes were copied. */
		if (f->data.records.file == NULL)
			release_records(f);
	}
	fetch_session_leave(&state->context);
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

/* Takes the read bytes into the answer; old clients get them converted. */
static int
take_records(struct api_call *call, const struct fetch_state *state, struct log *log,
	     const struct fetch_target *t, struct log_read *read, struct fetching *f)
{
	int st = 0;

	if (read->len > 0 && !is_follower(state))
		st = fetch_refuse_old_client(api_version(call), call->api->settings.topic_configs,
					     api_conf(call), log);
	if (st == 0 && read->len > 0 && api_version(call) < 4) {
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
	bool leader_only = is_follower(state) ||
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
	f->held_back =
	    st == 0 && is_follower(state) && partition_holds_back(f->partition, state->replica_id);
	if (f->held_back && !t->must_answer) {
		if (t->fetch_offset < f->offsets.log_start_offset || t->fetch_offset > leader_end)
			st = K_OFFSET_OUT_OF_RANGE;
	} else if (st == 0 && !t->must_answer) {
		st = log_read(log, t->fetch_offset, max_bytes < 0 ? 0 : max_bytes, min_one,
			      state->isolation, !state->warmed, &read);
		if (st == 0 && !state->warmed && read.len > 0 && !log_read_is_cached(&read)) {
			log_file_put(read.file);
			st = -EAGAIN;
		}
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
	if (st == 0 && is_follower(state) && !t->must_answer)
		st = partition_follower_fetched(f->partition, state->replica_id,
						state->replica_epoch, t->fetch_offset,
						t->log_start_offset, leader_end, &has_all);
	if (st != 0)
		release_records(f);
	if (st == 0 && is_follower(state))
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

/* One target from the beginning: finds the partition and reads it. -EAGAIN as above. */
static int
run_target(struct api_call *call, struct fetch_state *state, size_t index, int64_t left,
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

/*
 * Reads all targets. Returns 0, or -EAGAIN with nothing kept. ret_now: the client need not wait.
 */
static int
run_pass(struct api_call *call, struct fetch_state *state, bool *ret_now)
{
	struct fetch_context *context = &state->context;
	int64_t left = state->max_bytes, found = 0;
	bool min_one = api_version(call) >= 3, now = false;

	atomic_store(&state->found_bytes, 0);
	atomic_store(&state->woken_bytes, 0);
	atomic_store(&state->touched, false);
	for (size_t i = 0; i < context->target_count; i++)
		release_records(&state->fetching[i]);
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetching *f = &state->fetching[i];

		if (run_target(call, state, i, left, min_one) != 0) {
			for (size_t k = 0; k < i; k++)
				release_records(&state->fetching[k]);
			return -EAGAIN;
		}
		if (f->read_bytes > 0) {
			min_one = false;
			found += f->read_bytes;
			left -= f->read_bytes < left ? f->read_bytes : left;
		}
		now = now || context->targets[i].failed || context->targets[i].must_answer;
	}
	atomic_store(&state->found_bytes, found);
	*ret_now = now || found >= state->min_bytes ||
		   (context->target_count == 0 && !context->incremental);
	return 0;
}

/* The answer */

static void
add_node_endpoint(struct api_call *call, const struct fetch_target *t, const struct fetching *f,
		  struct fetch_response *resp)
{
	struct fetch_response_node_endpoint *nodes;
	struct api_leader_hint hint;

	if (f->data.current_leader.leader_id < 0)
		return;
	for (int32_t i = 0; i < resp->node_endpoints_count; i++)
		if (resp->node_endpoints[i].node_id == f->data.current_leader.leader_id)
			return;
	api_leader_hint(call, t->topic, t->partition, &hint);
	nodes = fetch_response_node_endpoint_new(&call->arena, resp->node_endpoints_count + 1);
	if (!hint.has_endpoint || nodes == NULL)
		return;
	for (int32_t i = 0; i < resp->node_endpoints_count; i++)
		nodes[i] = resp->node_endpoints[i];
	nodes[resp->node_endpoints_count++] = (struct fetch_response_node_endpoint){
	    .node_id = hint.leader, .host = hint.host, .port = hint.port, .rack = hint.rack};
	resp->node_endpoints = nodes;
}

/* Groups the partitions that belong into the answer by runs of one topic. */
static int
fill_response(struct api_call *call, struct fetch_state *state, struct fetch_response *resp)
{
	struct fetch_context *context = &state->context;
	struct fetch_response_partition_data *all;
	const struct fetch_target *last = NULL;
	struct fetchable_topic_response *topic = NULL;
	int32_t included = 0, n = 0;

	for (size_t i = 0; i < context->target_count; i++)
		included += context->targets[i].include;
	all = fetch_response_partition_data_new(&call->arena, included);
	resp->responses = fetchable_topic_response_new(&call->arena, included);
	if (all == NULL || resp->responses == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetch_target *t = &context->targets[i];

		if (!t->include) {
			release_records(&state->fetching[i]);
			continue;
		}
		if (last == NULL ||
		    !(context->uses_topic_ids ? uuid_equal(&last->topic_id, &t->topic_id)
					      : str_equal(last->topic, t->topic))) {
			topic = &resp->responses[resp->responses_count++];
			topic->topic = t->topic;
			topic->topic_id = t->topic_id;
			topic->partitions = &all[n];
		}
		if (is_follower(state))
			partition_sent_to_follower(state->fetching[i].partition,
						   state->fetching[i].read_bytes);
		all[n++] = state->fetching[i].data;
		topic->partitions_count++;
		add_node_endpoint(call, t, &state->fetching[i], resp);
		last = t;
	}
	return 0;
}

static void
answer(struct api_call *call)
{
	struct fetch_state *state = call->state;
	struct fetch_response resp;
	int st;

	fetch_response_init(&resp);
	st = fetch_session_end(call->api->sessions, &state->context, &resp.session_id);
	if (st == 0)
		st = fill_response(call, state, &resp);
	if (st != 0) {
		for (size_t i = 0; i < state->context.target_count; i++)
			release_records(&state->fetching[i]);
		resp.responses_count = 0;
		resp.session_id = 0;
		resp.error_code = kerr_of(st);
	}
	api_answer(call, &resp);
}

/* Waiting */

static void fetch(struct api_call *call);

/* Nothing came while it waited: the last look holds, but for a high watermark that moved alone. */
static void
answer_as_is(struct api_call *call, struct fetch_state *state)
{
	for (size_t i = 0; i < state->context.target_count; i++) {
		struct fetch_target *t = &state->context.targets[i];
		struct fetching *f = &state->fetching[i];

		if (f->log == NULL || t->failed)
			continue;
		f->data.high_watermark = log_high_watermark(f->log);
		f->data.last_stable_offset = log_last_stable_offset(f->log);
		f->data.log_start_offset = log_start_offset(f->log);
		t->high_watermark = f->data.high_watermark;
		t->answered_log_start_offset = f->data.log_start_offset;
	}
	answer(call);
}

/* One fetching for each target. They move only where no waiter stands in a partition. */
static int
reserve_fetching(struct api_call *call, struct fetch_state *state)
{
	size_t capacity = state->context.target_capacity;
	struct fetching *grown;

	if (state->fetching != NULL && capacity <= state->fetching_capacity)
		return 0;
	grown = arena_calloc(&call->arena, capacity, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	if (state->fetching_capacity > 0)
		memcpy(grown, state->fetching, state->fetching_capacity * sizeof(*grown));
	for (size_t i = state->fetching_capacity; i < capacity; i++)
		grown[i].data.records.data = (struct slice){(const uint8_t *)"", 0};
	state->fetching = grown;
	state->fetching_capacity = capacity;
	return 0;
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct fetch_state *state = call->state;
	int stirred = fetch_session_add_stirred(&state->context, &call->arena);

	if (stirred < 0 || reserve_fetching(call, state) != 0) {
		api_out_of_memory(call);
		return;
	}
	if (timed_out && state->found_bytes == 0 && stirred == 0 && !atomic_load(&state->touched)) {
		answer_as_is(call, state);
		return;
	}
	if (timed_out || atomic_load(&call->api->shutting_down))
		state->deadline_ms = 0;
	fetch(call);
}

static void
wake(struct fetch_state *state, int64_t bytes)
{
	int64_t woken = atomic_fetch_add(&state->woken_bytes, bytes) + bytes;

	atomic_store(&state->touched, true);
	if (bytes == 0 || atomic_load(&state->found_bytes) + woken >= state->min_bytes)
		api_wake(state->call);
}

static void
on_wake(struct partition_waiter *waiter, int64_t bytes)
{
	wake(CONTAINER_OF(waiter, struct fetching, waiter)->state, bytes);
}

static void
on_sleeper_wake(struct fetch_sleeper *sleeper, int64_t bytes)
{
	wake(CONTAINER_OF(sleeper, struct fetch_state, sleeper), bytes);
}

/* Something became readable between our look and our waiting. */
static bool
has_moved(const struct fetch_state *state, const struct fetching *f)
{
	const struct log *log = f->log;

	if (log == NULL || log_is_offline(log))
		return true;
	if (state->isolation == LOG_READ_LOG_END)
		return log_end_offset(log) != f->offsets.log_end_offset;
	if (state->isolation == LOG_READ_COMMITTED)
		return log_last_stable_offset(log) != f->offsets.last_stable_offset;
	return log_high_watermark(log) != f->offsets.high_watermark;
}

/* Returns whether something became readable meanwhile. */
static bool
wait_in_partitions(struct fetch_state *state)
{
	bool moved = false;

	for (size_t i = 0; i < state->context.target_count; i++) {
		struct fetching *f = &state->fetching[i];

		if (f->partition == NULL || f->waiter.partition != NULL)
			continue;
		f->state = state;
		f->waiter.kind = state->isolation == LOG_READ_LOG_END ? PARTITION_WAIT_LOG_END
								      : PARTITION_WAIT_DATA;
		f->waiter.wake = on_wake;
		partition_wait(f->partition, &f->waiter);
		moved = moved || has_moved(state, f);
	}
	return moved;
}

static void
wait(struct api_call *call, struct fetch_state *state)
{
	bool moved;

	for (size_t i = 0; i < state->context.target_count; i++)
		release_records(&state->fetching[i]);
	moved = state->context.incremental ? fetch_session_sleep(&state->context, &state->sleeper)
					   : wait_in_partitions(state);
	call->droppable = true;
	api_park(call, state->deadline_ms - reactor_now_ms(call->reactor), resume);
	/* What came during the pass was added up without what the pass found. */
	if (moved ||
	    atomic_load(&state->found_bytes) + atomic_load(&state->woken_bytes) >= state->min_bytes)
		api_wake(call);
}

/* A worker: brings into the page cache what the pass will want. */

static void
warm_partition(struct api_call *call, struct fetch_state *state, size_t index)
{
	struct fetch_target *t = &state->context.targets[index];
	struct fetching *f = &state->fetching[index];
	struct log_read read;
	struct log *log;
	uint8_t *chunk;

	if (f->partition == NULL || f->held_back ||
	    partition_log(f->partition, PARTITION_NO_EPOCH, false, NULL, &log) != 0)
		return;
	(void)call;
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

static void
warm(struct api_call *call)
{
	struct fetch_state *state = call->state;

	for (size_t i = 0; i < state->context.target_count; i++)
		warm_partition(call, state, i);
}

static void
warm_done(struct api_call *call)
{
	struct fetch_state *state = call->state;

	state->warmed = true;
	fetch(call);
}

static void
fetch(struct api_call *call)
{
	struct fetch_state *state = call->state;
	bool now;

	if (run_pass(call, state, &now) == -EAGAIN) {
		api_work(call, warm, warm_done);
		return;
	}
	state->warmed = false;
	if (now || state->deadline_ms <= reactor_now_ms(call->reactor))
		answer(call);
	else
		wait(call, state);
}

static void
answer_error(struct api_call *call, int st)
{
	struct fetch_response resp;

	fetch_response_init(&resp);
	resp.error_code = kerr_of(st);
	api_answer(call, &resp);
}

void
api_fetch(struct api_call *call, void *request)
{
	const struct fetch_request *req = request;
	struct fetch_state *state = arena_alloc(&call->arena, sizeof(*state));
	int64_t broker_max = api_conf(call)->fetch_max_bytes;
	int st;

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->req = req;
	state->replica_id =
	    api_version(call) >= 15 ? req->replica_state.replica_id : req->replica_id;
	state->replica_epoch = api_version(call) >= 15 ? req->replica_state.replica_epoch : -1;
	state->isolation = is_follower(state) || state->replica_id == DEBUGGING_REPLICA_ID
			       ? LOG_READ_LOG_END
			   : req->isolation_level == 1 ? LOG_READ_COMMITTED
						       : LOG_READ_HIGH_WATERMARK;
	state->max_bytes = req->max_bytes < broker_max ? req->max_bytes : broker_max;
	if (api_version(call) < 3)
		state->max_bytes = broker_max;
	if (state->max_bytes < 0)
		state->max_bytes = 0;
	state->min_bytes = req->min_bytes < state->max_bytes ? req->min_bytes : state->max_bytes;
	state->deadline_ms =
	    req->max_wait_ms <= 0 ? 0 : reactor_now_ms(call->reactor) + req->max_wait_ms;
	state->call = call;
	state->sleeper.wake = on_sleeper_wake;
	st = fetch_session_begin(call->api->sessions, req, api_version(call),
				 is_follower(state) ? state->replica_id : CONSUMER_REPLICA_ID,
				 &call->arena, TARGET_BYTES, &state->context);
	if (st != 0) {
		answer_error(call, st);
		return;
	}
	call->state = state;
	call->finish = finish;
	if (reserve_fetching(call, state) != 0) {
		api_out_of_memory(call);
		return;
	}
	fetch(call);
}
