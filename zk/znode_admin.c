#include "zk/znode_admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
requested_partitions_fini(struct requested_partitions *rp)
{
	for (size_t i = 0; i < rp->count; i++) {
		free(rp->items[i].topic);
		free(rp->items[i].replicas);
	}
	free(rp->items);
	*rp = (struct requested_partitions){0};
}

static int
decode_one(const json_t *object, bool with_replicas, struct requested_partition *to)
{
	const char *topic;
	int st = znode_get_text(object, "topic", &topic);

	if (st == 0)
		st = znode_get_int(object, "partition", &to->partition);
	if (st == 0 && with_replicas)
		st = znode_get_ids(json_object_get(object, "replicas"), &to->replicas,
				   &to->replica_count);
	if (st != 0)
		return st;
	to->topic = strdup(topic);
	return to->topic == NULL ? -ENOMEM : 0;
}

static int
decode(struct slice value, bool with_replicas, struct requested_partitions *ret_partitions)
{
	json_t *object = znode_parse(value), *list = json_object_get(object, "partitions"), *item;
	struct requested_partitions rp = {0};
	int st = json_is_array(list) ? 0 : -EBADMSG;
	size_t i;

	if (st == 0) {
		rp.items = calloc(json_array_size(list) + 1, sizeof(*rp.items));
		st = rp.items == NULL ? -ENOMEM : 0;
	}
	json_array_foreach (list, i, item) {
		if (st != 0)
			break;
		st = decode_one(item, with_replicas, &rp.items[rp.count++]);
	}
	json_decref(object);
	if (st != 0)
		requested_partitions_fini(&rp);
	else
		*ret_partitions = rp;
	return st;
}

int
znode_preferred_election_decode(struct slice value, struct requested_partitions *ret_partitions)
{
	return decode(value, false, ret_partitions);
}

int
znode_reassign_decode(struct slice value, struct requested_partitions *ret_partitions)
{
	return decode(value, true, ret_partitions);
}

void
znode_reassign_encode(const struct requested_partitions *rp, struct buf *out)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rp->count; i++) {
		const struct requested_partition *p = &rp->items[i];

		json_array_append_new(list, json_pack("{s:s,s:i,s:o}", "topic", p->topic,
						      "partition", p->partition, "replicas",
						      znode_ids(p->replicas, p->replica_count)));
	}
	znode_format(json_pack("{s:i,s:o}", "version", 1, "partitions", list), out);
}
