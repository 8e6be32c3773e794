#include "zk/znode_partition_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void
partition_state_fini(struct partition_state *ps)
{
	free(ps->isr);
	ps->isr = NULL;
	ps->isr_count = 0;
}

void
znode_partitions_path(const char *topic, char *ret_path)
{
	snprintf(ret_path, ZNODE_PATH_MAX, "/brokers/topics/%s/partitions", topic);
}

void
znode_partition_path(const char *topic, int32_t partition, char *ret_path)
{
	snprintf(ret_path, ZNODE_PATH_MAX, "/brokers/topics/%s/partitions/%d", topic, partition);
}

void
znode_partition_state_path(const char *topic, int32_t partition, char *ret_path)
{
	snprintf(ret_path, ZNODE_PATH_MAX, "/brokers/topics/%s/partitions/%d/state", topic,
		 partition);
}

void
znode_partition_state_encode(const struct partition_state *ps, struct buf *out)
{
	json_t *object = json_object();

	json_object_set_new(object, "version", json_integer(1));
	json_object_set_new(object, "leader", json_integer(ps->leader));
	json_object_set_new(object, "leader_epoch", json_integer(ps->leader_epoch));
	json_object_set_new(object, "controller_epoch", json_integer(ps->controller_epoch));
	json_object_set_new(object, "isr", znode_ids(ps->isr, ps->isr_count));
	if (ps->recovering)
		json_object_set_new(object, "leader_recovery_state", json_integer(1));
	znode_format(object, out);
}

int
znode_partition_state_decode(struct slice value, int32_t version, struct partition_state *ret_ps)
{
	struct partition_state ps = {.partition_epoch = version};
	json_t *object = znode_parse(value);
	int32_t recovery = 0;
	int st;

	st = znode_get_int(object, "leader", &ps.leader);
	if (st == 0)
		st = znode_get_int(object, "leader_epoch", &ps.leader_epoch);
	if (st == 0)
		st = znode_get_int(object, "controller_epoch", &ps.controller_epoch);
	if (st == 0 && json_object_get(object, "leader_recovery_state") != NULL)
		st = znode_get_int(object, "leader_recovery_state", &recovery);
	if (st == 0)
		st = znode_get_ids(json_object_get(object, "isr"), &ps.isr, &ps.isr_count);
	json_decref(object);
	ps.recovering = recovery == 1;
	if (st == 0)
		*ret_ps = ps;
	return st;
}
