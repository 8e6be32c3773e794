/*
 * znode_admin.h - /admin/preferred_replica_election and /admin/reassign_partitions: what tools of
 * old ask of the controller by creating a node.
 *
 * Source  zookeeper-and-controller, section 1.13: Kafka's PreferredReplicaElectionZNode,
 *         ReassignPartitionsZNode.
 */
#ifndef KLAMM_ZK_ZNODE_ADMIN_H
#define KLAMM_ZK_ZNODE_ADMIN_H

#include "zk/znode.h"

#define ZNODE_PREFERRED_ELECTION "/admin/preferred_replica_election"
#define ZNODE_REASSIGN "/admin/reassign_partitions"

struct requested_partition {
	char *topic;
	int32_t partition;
	int32_t *replicas; /* of a reassignment */
	int32_t replica_count;
};

struct requested_partitions {
	struct requested_partition *items;
	size_t count;
};

/* Zero-initialised is empty. */
void requested_partitions_fini(struct requested_partitions *rp);
/* -EBADMSG or -ENOMEM leave nothing to free. */
MUST_CHECK int znode_preferred_election_decode(struct slice value,
					       struct requested_partitions *ret_partitions);
MUST_CHECK int znode_reassign_decode(struct slice value,
				     struct requested_partitions *ret_partitions);
void znode_reassign_encode(const struct requested_partitions *rp, struct buf *out);

#endif
