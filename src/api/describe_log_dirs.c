/*
 * DescribeLogDirs. A worker looks, because the file system is asked for its space. The logs are
 * taken once and brought into the order of the answer: by directory, topic, partition. Whoever asks
 * by Klamm's tag is told as well which replicas are missing (explain.h).
 *
 * Kafka: KafkaApis.handleDescribeLogDirsRequest, ReplicaManager.describeLogDirs.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/api_call.h"
#include "api/explain.h"
#include "wire/generated/describe_log_dirs.h"

#define UNKNOWN_LAG (-1)

struct looking {
	const struct describe_log_dirs_request *req;
	struct describe_log_dirs_response resp;
	struct log **logs; /* each counted */
	size_t count, cap;
	struct explanation explanation;
	int st; /* 0 or -ENOMEM */
};

static void
finish(struct api_call *call)
{
	struct looking *l = call->state;

	for (size_t i = 0; i < l->count; i++)
		log_put(l->logs[i]);
	free(l->logs);
}

/* ---- which logs ---- */

static void
take(void *arg, struct log *log)
{
	struct looking *l = arg;

	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct log **grown = realloc(l->logs, cap * sizeof(struct log *));

		if (grown == NULL) {
			l->st = -ENOMEM;
			return;
		}
		l->logs = grown;
		l->cap = cap;
	}
	l->logs[l->count++] = log_get(log);
}

static void
take_if_there(struct looking *l, struct log *log)
{
	if (log != NULL)
		take(l, log);
	log_put(log);
}

static void
take_named(struct looking *l, struct log_manager *logs)
{
	for (int32_t t = 0; t < l->req->topics_count; t++) {
		const struct describable_log_dir_topic *topic = &l->req->topics[t];

		for (int32_t i = 0; i < topic->partitions_count; i++) {
			const char *name = topic->topic.data;
			int32_t number = topic->partitions[i];

			take_if_there(l, log_manager_find(logs, name, number));
			take_if_there(l, log_manager_find_future(logs, name, number));
		}
	}
}

static int
compare(const void *a, const void *b)
{
	const struct log *x = *(struct log *const *)a, *y = *(struct log *const *)b;
	int order = strcmp(log_parent_dir(x), log_parent_dir(y));

	if (order == 0)
		order = strcmp(log_topic(x), log_topic(y));
	if (order == 0)
		order =
		    (log_partition(x) > log_partition(y)) - (log_partition(x) < log_partition(y));
	return order != 0 ? order : log_is_future(x) - log_is_future(y);
}

/* Whoever names a partition twice is told once. */
static void
drop_repeated(struct looking *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++) {
		if (kept > 0 && l->logs[kept - 1] == l->logs[i])
			log_put(l->logs[i]);
		else
			l->logs[kept++] = l->logs[i];
	}
	l->count = kept;
}

/* ---- the answer ---- */

/* How far the log is behind: a current one its high watermark, a future one the current one. */
static int64_t
offset_lag(struct api_call *call, const struct log *log)
{
	struct partition *p;
	struct log *current;
	int64_t lag;
	int st = replica_manager_get(call->api->settings.replicas, str_of(log_topic(log)),
				     log_partition(log), &p);

	if (st == 0) {
		st = partition_log(p, PARTITION_NO_EPOCH, false, NULL, &current);
		partition_put(p);
	}
	if (st != 0)
		return UNKNOWN_LAG;
	lag = (log_is_future(log) ? log_end_offset(current) : log_high_watermark(current)) -
	      log_end_offset(log);
	if (!log_is_future(log) && lag < 0)
		lag = 0;
	log_put(current);
	return lag;
}

/* The topics of logs [0, count), all of one directory. */
static int
fill_topics(struct api_call *call, struct log *const *logs, size_t count,
	    struct describe_log_dirs_result *result)
{
	struct describe_log_dirs_partition *partitions;
	struct describe_log_dirs_topic *topic = NULL;
	int32_t topics = 0;

	for (size_t i = 0; i < count; i++)
		topics += i == 0 || strcmp(log_topic(logs[i]), log_topic(logs[i - 1])) != 0;
	partitions = describe_log_dirs_partition_new(&call->arena, (int32_t)count);
	result->topics = describe_log_dirs_topic_new(&call->arena, topics);
	if (partitions == NULL || result->topics == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (topic == NULL || strcmp(log_topic(logs[i]), log_topic(logs[i - 1])) != 0) {
			topic = &result->topics[result->topics_count++];
			topic->name = api_copy_text(call, log_topic(logs[i]));
			topic->partitions = &partitions[i];
			if (topic->name.data == NULL)
				return -ENOMEM;
		}
		topic->partitions_count++;
		partitions[i].partition_index = log_partition(logs[i]);
		partitions[i].partition_size = log_size_bytes(logs[i]);
		partitions[i].offset_lag = offset_lag(call, logs[i]);
		partitions[i].is_future_key = log_is_future(logs[i]);
	}
	return 0;
}

static int
fill_dir(struct api_call *call, struct looking *l, size_t index,
	 struct describe_log_dirs_result *result)
{
	struct log_dir_info info;
	size_t begin = 0, end;

	log_manager_dir_info(call->api->settings.logs, index, &info);
	result->log_dir = str_of(info.path);
	if (info.error != 0) {
		result->error_code = K_KAFKA_STORAGE_ERROR;
		return 0;
	}
	result->total_bytes = info.total_bytes;
	result->usable_bytes = info.usable_bytes;
	while (begin < l->count && strcmp(log_parent_dir(l->logs[begin]), info.path) != 0)
		begin++;
	for (end = begin; end < l->count; end++)
		if (strcmp(log_parent_dir(l->logs[end]), info.path) != 0)
			break;
	return fill_topics(call, l->logs + begin, end - begin, result);
}

static void
look(struct api_call *call)
{
	struct looking *l = call->state;
	struct log_manager *logs = call->api->settings.logs;
	size_t dirs = log_manager_dir_count(logs);

	if (l->req->topics_count < 0)
		log_manager_each_or_future(logs, take, l);
	else
		take_named(l, logs);
	if (l->count > 0)
		qsort(l->logs, l->count, sizeof(struct log *), compare);
	drop_repeated(l);
	l->resp.results = describe_log_dirs_result_new(&call->arena, (int32_t)dirs);
	if (l->resp.results == NULL)
		l->st = -ENOMEM;
	for (size_t i = 0; l->st == 0 && i < dirs; i++)
		l->st = fill_dir(call, l, i, &l->resp.results[l->resp.results_count++]);
	if (l->st == 0 && l->req->klamm_explain)
		l->st = explain_led(&l->explanation);
}

static void
answer(struct api_call *call)
{
	struct looking *l = call->state;

	if (l->req->klamm_explain) {
		l->resp.klamm_explained = l->explanation.partitions;
		l->resp.klamm_explained_count = l->explanation.count;
	}
	if (l->st != 0)
		api_out_of_memory(call);
	else
		api_answer(call, &l->resp);
}

static void
look_at_leaderless(struct api_call *call, struct zk *zk)
{
	struct looking *l = call->state;

	(void)zk;
	l->st = explain_leaderless(&l->explanation);
}

static void
look_done(struct api_call *call)
{
	struct looking *l = call->state;

	if (l->st == 0 && l->req->klamm_explain &&
	    controller_is_active(call->api->settings.controller))
		api_work_on_controller(call, look_at_leaderless, answer);
	else
		answer(call);
}

void
api_describe_log_dirs(struct api_call *call, void *request)
{
	struct looking *l = arena_alloc(&call->arena, sizeof(*l));

	if (l == NULL) {
		api_out_of_memory(call);
		return;
	}
	/* The answer is as large as the logs are many, whatever the request's size. */
	call->arena.limit = SIZE_MAX / 2;
	l->req = request;
	l->explanation = (struct explanation){.call = call,
					      .topics = l->req->klamm_topics,
					      .topic_count = l->req->klamm_topics_count};
	describe_log_dirs_response_init(&l->resp);
	call->state = l;
	call->finish = finish;
	api_work(call, look, look_done);
}
