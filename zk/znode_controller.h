/*
 * znode_controller.h - /controller and /controller_epoch: who is the controller.
 *
 * Source  zookeeper-and-controller, sections 1.9 and 1.10.
 */
#ifndef KLAMM_ZK_ZNODE_CONTROLLER_H
#define KLAMM_ZK_ZNODE_CONTROLLER_H

#include "zk/znode.h"

/* -1 when there is none. watch arms a watch for creation, change and deletion of the node. */
MUST_CHECK int znode_controller_get(struct zk *zk, bool watch, int32_t *ret_broker_id);

/*
 * Stands for election.
 *
 * ret_epoch          the controller epoch won
 * ret_epoch_version  what every write of this controller checks (section 1.2)
 *
 * Returns 0 when elected, -EEXIST when another broker is the controller.
 */
MUST_CHECK int znode_controller_elect(struct zk *zk, int32_t broker_id, int64_t now_ms,
				      int32_t *ret_epoch, int32_t *ret_epoch_version);

/* Gives the office up, unless it was lost already (-ESTALE). */
MUST_CHECK int znode_controller_resign(struct zk *zk, int32_t epoch_version);

/* Reads /controller_epoch. -ENOENT before the first election. */
MUST_CHECK int znode_controller_epoch(struct zk *zk, int32_t *ret_epoch,
				      int32_t *ret_epoch_version);

/* The check that stands before every write of a controller. */
struct zk_op znode_controller_fence(int32_t epoch_version);

#endif
