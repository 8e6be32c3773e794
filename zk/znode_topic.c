#include "zk/znode_topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "zk/znode_config.h"

#define TOPIC_VERSION 3

void
topic_assignment_fini(struct topic_assignment *ta)
{
	for (int32_t i = 0; i < ta->partition_count; i++) {
		free(ta->partitions[i].replicas);
		free(ta->partitions[i].adding);
		free(ta->partitions[i].removing);
	}
	free(ta->partitions);
	ta->partitions = NULL;
	ta->partition_count = 0;
}

static int
copy_ids(const int32_t *from, int32_t count, int32_t **ret_to)
{
	int32_t *to = calloc((size_t)count + 1, sizeof(*to));

	if (to == NULL)
		return -ENOMEM;
	if (count > 0)
		memcpy(to, from, (size_t)count * sizeof(*to));
	*ret_to = to;
	return 0;
}

int
topic_assignment_copy(const struct topic_assignment *from, struct topic_assignment *ret_to)
{
	struct topic_assignment to = {.has_topic_id = from->has_topic_id,
				      .topic_id = from->topic_id};
	int st = 0;

	to.partitions = calloc((size_t)from->partition_count + 1, sizeof(*to.partitions));
	if (to.partitions == NULL)
		return -ENOMEM;
	while (st == 0 && to.partition_count < from->partition_count) {
		const struct partition_assignment *p = &from->partitions[to.partition_count];
		struct partition_assignment *q = &to.partitions[to.partition_count++];

		q->partition = p->partition;
		q->replica_count = p->replica_count;
		q->adding_count = p->adding_count;
		q->removing_count = p->removing_count;
		st = copy_ids(p->replicas, p->replica_count, &q->replicas);
		if (st == 0 && p->adding_count > 0)
			st = copy_ids(p->adding, p->adding_count, &q->adding);
		if (st == 0 && p->removing_count > 0)
			st = copy_ids(p->removing, p->removing_count, &q->removing);
	}
	if (st != 0) {
		topic_assignment_fini(&to);
		return st;
	}
	*ret_to = to;
	return 0;
}

struct partition_assignment *
topic_assignment_find(const struct topic_assignment *ta, int32_t partition)
{
	int32_t low = 0, high = ta->partition_count;

	while (low < high) {
		int32_t middle = low + (high - low) / 2;

		if (ta->partitions[middle].partition < partition)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ta->partition_count && ta->partitions[low].partition == partition
		   ? &ta->partitions[low]
		   : NULL;
}

void
znode_topic_path(const char *topic, char *ret_path)
{
	snprintf(ret_path, ZNODE_PATH_MAX, "/brokers/topics/%s", topic);
}

void
znode_topic_encode(const struct topic_assignment *ta, struct buf *out)
{
	json_t *object = json_object(), *partitions = json_object();
	json_t *adding = json_object(), *removing = json_object();
	char text[UUID_TEXT_LEN + 1];

	for (int32_t i = 0; i < ta->partition_count; i++) {
		const struct partition_assignment *p = &ta->partitions[i];

		snprintf(text, sizeof(text), "%d", p->partition);
		json_object_set_new(partitions, text, znode_ids(p->replicas, p->replica_count));
		if (p->adding_count > 0)
			json_object_set_new(adding, text, znode_ids(p->adding, p->adding_count));
		if (p->removing_count > 0)
			json_object_set_new(removing, text,
					    znode_ids(p->removing, p->removing_count));
	}
	json_object_set_new(object, "version", json_integer(TOPIC_VERSION));
	if (ta->has_topic_id) {
		uuid_format(&ta->topic_id, text);
		json_object_set_new(object, "topic_id", json_string(text));
	}
	json_object_set_new(object, "partitions", partitions);
	json_object_set_new(object, "adding_replicas", adding);
	json_object_set_new(object, "removing_replicas", removing);
	znode_format(object, out);
}

/* The list of one partition in adding_replicas or removing_replicas; absent is empty. */
static int
decode_moving(const json_t *object, const char *key, const char *partition, int32_t **ret_ids,
	      int32_t *ret_count)
{
	const json_t *lists = json_object_get(object, key), *list;

	if (lists == NULL)
		return 0;
	if (!json_is_object(lists))
		return -EBADMSG;
	list = json_object_get(lists, partition);
	return list == NULL ? 0 : znode_get_ids(list, ret_ids, ret_count);
}

static int
decode_partition(const json_t *object, const char *key, const json_t *replicas,
		 struct partition_assignment *p)
{
	char *end;
	long number = strtol(key, &end, 10);
	int st;

	if (end == key || *end != '\0' || number < 0 || number > INT32_MAX)
		return -EBADMSG;
	p->partition = (int32_t)number;
	st = znode_get_ids(replicas, &p->replicas, &p->replica_count);
	if (st == 0)
		st = decode_moving(object, "adding_replicas", key, &p->adding, &p->adding_count);
	if (st == 0)
		st = decode_moving(object, "removing_replicas", key, &p->removing,
				   &p->removing_count);
	return st;
}

static int
compare_partitions(const void *a, const void *b)
{
	const struct partition_assignment *x = a, *y = b;

	return (x->partition > y->partition) - (x->partition < y->partition);
}

int
znode_topic_decode(struct slice value, struct topic_assignment *ret_ta)
{
	struct topic_assignment ta = {0};
	json_t *object = znode_parse(value), *replicas;
	json_t *partitions = json_object_get(object, "partitions");
	const char *topic_id, *key;
	int st = 0;

	if (!json_is_object(partitions)) {
		json_decref(object);
		return -EBADMSG;
	}
	if (znode_get_text(object, "topic_id", &topic_id) == 0) {
		st = uuid_parse(topic_id, &ta.topic_id) == 0 ? 0 : -EBADMSG;
		ta.has_topic_id = true;
	}
	ta.partitions = calloc(json_object_size(partitions) + 1, sizeof(*ta.partitions));
	if (ta.partitions == NULL)
		st = -ENOMEM;
	json_object_foreach (partitions, key, replicas) {
		if (st != 0)
			break;
		st = decode_partition(object, key, replicas, &ta.partitions[ta.partition_count++]);
	}
	json_decref(object);
	if (st != 0) {
		topic_assignment_fini(&ta);
		return st;
	}
	qsort(ta.partitions, (size_t)ta.partition_count, sizeof(*ta.partitions),
	      compare_partitions);
	*ret_ta = ta;
	return 0;
}

int
znode_topic_create(struct zk *zk, const char *topic, const struct topic_assignment *ta,
		   const struct properties *config)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st = znode_config_set_for_new_topic(zk, topic, config);

	if (st != 0)
		return st;
	znode_topic_path(topic, path);
	znode_topic_encode(ta, &value);
	st = value.failed ? -ENOMEM : zk_create_recursive(zk, path, buf_slice(&value));
	buf_fini(&value);
	return st;
}

int
znode_topic_replace(struct zk *zk, const char *topic, const struct topic_assignment *ta)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st;

	znode_topic_path(topic, path);
	znode_topic_encode(ta, &value);
	st = value.failed ? -ENOMEM : zk_set(zk, path, buf_slice(&value), ZK_ANY_VERSION, NULL);
	buf_fini(&value);
	return st;
}

int
znode_topic_get(struct zk *zk, const char *topic, bool watch, struct topic_assignment *ret_ta)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st;

	znode_topic_path(topic, path);
	st = zk_get(zk, path, watch, &value, NULL);
	if (st == 0)
		st = znode_topic_decode(buf_slice(&value), ret_ta);
	buf_fini(&value);
	return st;
}
