/*
 * replica_sizes.c - how many bytes replicas have, as their brokers say.
 */
#include "cli/replica_sizes.h"

#include <stdlib.h>

#include "wire/generated/describe_log_dirs.h"
#include "wire/kerr.h"

/* Topics have names of up to 249 bytes; what is longer is not looked for. */
#define TOPIC_MAX 249
#define LIMIT_MS 5000 /* a broker that does not answer leaves its sizes unknown */

struct key {
	uint8_t bytes[8 + TOPIC_MAX];
	size_t len;
};

static bool
make_key(struct key *key, int32_t broker, const char *topic, int32_t partition)
{
	size_t len = strlen(topic);

	if (len > TOPIC_MAX)
		return false;
	put_be32(key->bytes, (uint32_t)broker);
	put_be32(key->bytes + 4, (uint32_t)partition);
	memcpy(key->bytes + 8, topic, len);
	key->len = 8 + len;
	return true;
}

int64_t
replica_size(const struct replica_sizes *rs, int32_t broker, const char *topic, int32_t partition)
{
	const int64_t *size;
	struct key key;

	if (!make_key(&key, broker, topic, partition))
		return -1;
	size = map_get(&rs->sizes, key.bytes, key.len);
	return size == NULL ? -1 : *size;
}

static int
put(struct replica_sizes *rs, struct arena *arena, int32_t broker, const char *topic,
    const struct describe_log_dirs_partition *p)
{
	int64_t *size = arena_alloc(arena, sizeof(*size));
	struct key key;

	if (size == NULL)
		return no_memory();
	*size = p->partition_size;
	if (make_key(&key, broker, topic, p->partition_index) &&
	    map_put(&rs->sizes, key.bytes, key.len, size, NULL) != 0)
		return no_memory();
	return CLI_DONE;
}

/* A copy that is only being made of a log in another directory does not count. */
static int
take(struct replica_sizes *rs, struct arena *arena, int32_t broker,
     const struct describe_log_dirs_response *resp)
{
	int st = CLI_DONE;

	for (int32_t d = 0; d < resp->results_count; d++) {
		const struct describe_log_dirs_result *dir = &resp->results[d];

		for (int32_t t = 0; t < dir->topics_count; t++) {
			const struct describe_log_dirs_topic *topic = &dir->topics[t];

			for (int32_t i = 0; st == CLI_DONE && i < topic->partitions_count; i++) {
				if (!topic->partitions[i].is_future_key)
					st = put(rs, arena, broker, topic->name.data,
						 &topic->partitions[i]);
			}
		}
	}
	return st;
}

static int
fill_request(const struct assignment *partitions, struct arena *arena,
	     struct describe_log_dirs_request *req)
{
	struct describable_log_dir_topic *topic = NULL;
	int32_t *numbers;

	describe_log_dirs_request_init(req);
	req->topics = describable_log_dir_topic_new(arena, (int32_t)partitions->count);
	numbers = arena_calloc(arena, partitions->count + 1, sizeof(*numbers));
	if (req->topics == NULL || numbers == NULL)
		return no_memory();
	for (size_t i = 0; i < partitions->count; i++) {
		const struct assigned_partition *p = &partitions->items[i];

		if (topic == NULL || strcmp(topic->topic.data, p->topic) != 0) {
			topic = &req->topics[req->topics_count++];
			topic->topic = str_of(p->topic);
			topic->partitions = numbers;
		}
		topic->partitions[topic->partitions_count++] = p->partition;
		numbers++;
	}
	return CLI_DONE;
}

static void
note_failure(struct replica_sizes *rs, const struct broker_calls *calls,
	     const struct broker_call *call, int16_t code, struct buf *why)
{
	if (rs->failed++ > 0)
		return;
	if (call->status != 0)
		broker_call_describe(calls, call, why);
	else
		buf_printf(why, "broker %d: %s", call->to, kerr_text(code));
}

int
replica_sizes_load(struct replica_sizes *rs, struct broker_calls *calls,
		   const struct assignment *partitions, struct arena *arena, struct buf *why)
{
	const struct cluster_view *view = broker_calls_cluster(calls);
	size_t count = view == NULL ? 0 : view->broker_count;
	struct describe_log_dirs_response *answers;
	struct describe_log_dirs_request req;
	struct broker_call *list;
	int st;

	replica_sizes_fini(rs);
	answers = arena_calloc(arena, count + 1, sizeof(*answers));
	list = arena_calloc(arena, count + 1, sizeof(*list));
	if (answers == NULL || list == NULL)
		return no_memory();
	st = fill_request(partitions, arena, &req);
	if (st != CLI_DONE || partitions->count == 0)
		return st;
	for (size_t i = 0; i < count; i++)
		list[i] = (struct broker_call){.to = view->brokers[i].id,
					       .api_key = API_DESCRIBE_LOG_DIRS,
					       .request = &req,
					       .response = &answers[i]};
	broker_calls_send_within(calls, arena, list, count, LIMIT_MS);
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		if (list[i].status != 0 || answers[i].error_code != 0)
			note_failure(rs, calls, &list[i], answers[i].error_code, why);
		else
			st = take(rs, arena, list[i].to, &answers[i]);
	}
	return st;
}

void
replica_sizes_fini(struct replica_sizes *rs)
{
	map_fini(&rs->sizes);
	*rs = (struct replica_sizes){{0}};
}
