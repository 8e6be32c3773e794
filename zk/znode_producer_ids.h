/*
 * znode_producer_ids.h - /latest_producer_id_block: which producer ids were handed out.
 *
 * Source  zookeeper-and-controller, section 1.16: Kafka's ProducerIdManager.
 */
#ifndef KLAMM_ZK_ZNODE_PRODUCER_IDS_H
#define KLAMM_ZK_ZNODE_PRODUCER_IDS_H

#include "zk/znode.h"

#define PRODUCER_ID_BLOCK_SIZE 1000

/*
 * Claims the next block of PRODUCER_ID_BLOCK_SIZE ids for a broker. -EOVERFLOW when there are no
 * more, -EBADMSG when the node cannot be read.
 */
MUST_CHECK int znode_producer_ids_claim(struct zk *zk, int32_t broker_id, int64_t *ret_first);

#endif
