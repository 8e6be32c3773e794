#include "zk/znode_cluster.h"

#include <errno.h>
#include <stdio.h>

#include "zk/znode.h"

static int
read_cluster_id(struct zk *zk, char ret_id[CLUSTER_ID_SIZE])
{
	struct buf value = {0};
	const char *id;
	json_t *object;
	int st = zk_get(zk, "/cluster/id", false, &value, NULL);

	if (st != 0)
		return st;
	object = znode_parse(buf_slice(&value));
	st = object == NULL ? -EBADMSG : znode_get_text(object, "id", &id);
	if (st == 0 && (strlen(id) == 0 || strlen(id) >= CLUSTER_ID_SIZE))
		st = -EBADMSG;
	if (st == 0)
		snprintf(ret_id, CLUSTER_ID_SIZE, "%s", id);
	json_decref(object);
	buf_fini(&value);
	return st;
}

int
znode_cluster_id(struct zk *zk, struct env *env, char ret_id[CLUSTER_ID_SIZE])
{
	char text[UUID_TEXT_LEN + 1];
	struct buf value = {0};
	struct uuid id;
	int st = read_cluster_id(zk, ret_id);

	if (st != -ENOENT)
		return st;
	do {
		env_random(env, &id, sizeof(id));
		id.bytes[6] = (id.bytes[6] & 0x0f) | 0x40; /* version 4 */
		id.bytes[8] = (id.bytes[8] & 0x3f) | 0x80;
		uuid_format(&id, text);
	} while (text[0] == '-');
	znode_format(json_pack("{s:s,s:s}", "version", "1", "id", text), &value);
	st = value.failed ? -ENOMEM : zk_create_recursive(zk, "/cluster/id", buf_slice(&value));
	buf_fini(&value);
	if (st != 0 && st != -EEXIST)
		return st;
	return read_cluster_id(zk, ret_id); /* another broker may have been first */
}

int
znode_next_broker_id(struct zk *zk, int32_t reserved_max_id, int32_t *ret_id)
{
	struct zk_stat stat;
	int st = zk_ensure_path(zk, "/brokers/seqid");

	if (st == 0)
		st = zk_set(zk, "/brokers/seqid", (struct slice){(const uint8_t *)"", 0},
			    ZK_ANY_VERSION, &stat);
	if (st == 0)
		*ret_id = reserved_max_id + stat.version;
	return st;
}
