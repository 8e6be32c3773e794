/*
 * znode_cluster.h - /cluster/id and /brokers/seqid: what is decided once for the cluster.
 *
 * Source  zookeeper-and-controller, sections 1.4 and 1.6.
 */
#ifndef KLAMM_ZK_ZNODE_CLUSTER_H
#define KLAMM_ZK_ZNODE_CLUSTER_H

#include "zk/zk.h"

#define CLUSTER_ID_SIZE 64

/* The cluster's id, made by the first broker that ever asks. -EBADMSG: the node is not readable. */
MUST_CHECK int znode_cluster_id(struct zk *zk, struct env *env, char ret_id[CLUSTER_ID_SIZE]);

/* The next broker id: the ensemble's sequence above reserved.broker.max.id. */
MUST_CHECK int znode_next_broker_id(struct zk *zk, int32_t reserved_max_id, int32_t *ret_id);

#endif
