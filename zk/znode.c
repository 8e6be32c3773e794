#include "zk/znode.h"

#include <errno.h>
#include <stdlib.h>

int
znode_ensure_structure(struct zk *zk)
{
	/* Parents stand before their children. */
	static const char *const paths[] = {
	    "/consumers",
	    "/brokers",
	    "/brokers/ids",
	    "/brokers/topics",
	    "/brokers/seqid",
	    "/config",
	    "/config/changes",
	    "/config/topics",
	    "/config/clients",
	    "/config/users",
	    "/config/brokers",
	    "/config/ips",
	    "/admin",
	    "/admin/delete_topics",
	    "/isr_change_notification",
	    "/latest_producer_id_block",
	    "/log_dir_event_notification",
	};
	struct zk_op ops[ARRAY_LEN(paths)] = {0};
	struct zk_request requests[ARRAY_LEN(paths)] = {0};
	int st;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		ops[i] = (struct zk_op){.kind = ZK_CREATE, .path = paths[i]};
		requests[i] = (struct zk_request){.ops = &ops[i], .op_count = 1};
	}
	st = zk_run(zk, requests, ARRAY_LEN(paths));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (st == 0 && ops[i].st != 0 && ops[i].st != -EEXIST)
			st = ops[i].st;
		zk_op_fini(&ops[i]);
	}
	return st;
}

json_t *
znode_parse(struct slice value)
{
	json_t *object;

	if (value.data == NULL)
		return NULL;
	object = json_loadb((const char *)value.data, value.len, 0, NULL);
	if (object != NULL && !json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int
append_chunk(const char *data, size_t len, void *arg)
{
	buf_append(arg, data, len);
	return ((struct buf *)arg)->failed ? -1 : 0;
}

void
znode_format(json_t *object, struct buf *out)
{
	if (object == NULL || json_dump_callback(object, append_chunk, out, JSON_COMPACT) != 0)
		out->failed = true;
	json_decref(object);
}

int
znode_get_int(const json_t *object, const char *key, int32_t *ret_number)
{
	const json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < INT32_MIN || number > INT32_MAX)
		return -EBADMSG;
	*ret_number = (int32_t)number;
	return 0;
}

int
znode_get_text(const json_t *object, const char *key, const char **ret_text)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return -EBADMSG;
	*ret_text = json_string_value(value);
	return 0;
}

int
znode_get_ids(const json_t *array, int32_t **ret_ids, int32_t *ret_count)
{
	size_t count = json_array_size(array);
	int32_t *ids;

	if (!json_is_array(array) || count > INT32_MAX)
		return -EBADMSG;
	ids = calloc(count + 1, sizeof(*ids));
	if (ids == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(array, i);
		json_int_t id = json_integer_value(item);

		if (!json_is_integer(item) || id < INT32_MIN || id > INT32_MAX) {
			free(ids);
			return -EBADMSG;
		}
		ids[i] = (int32_t)id;
	}
	*ret_ids = ids;
	*ret_count = (int32_t)count;
	return 0;
}

json_t *
znode_ids(const int32_t *ids, int32_t count)
{
	json_t *array = json_array();

	for (int32_t i = 0; i < count; i++)
		json_array_append_new(array, json_integer(ids[i]));
	return array;
}
