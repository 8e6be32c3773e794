/*
 * znode_broker.h - /brokers/ids/<id>: who is alive, and where it listens.
 *
 * Source  zookeeper-and-controller, section 1.5: Kafka's BrokerIdZNode, CheckedEphemeral.
 */
#ifndef KLAMM_ZK_ZNODE_BROKER_H
#define KLAMM_ZK_ZNODE_BROKER_H

#include "zk/znode.h"

struct broker_endpoint {
	char *listener; /* upper case */
	char *host;     /* "" for any */
	int32_t port;
	char *protocol; /* PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL */
};

/* Owns its texts; broker_registration_fini() frees them. */
struct broker_registration {
	int32_t broker_id;
	int64_t broker_epoch; /* the node's czxid; 0 before it is registered */
	struct broker_endpoint *endpoints;
	size_t endpoint_count;
	char *rack; /* NULL: none */
};

void broker_registration_fini(struct broker_registration *reg);
/* ret_path: ZNODE_PATH_MAX bytes. */
void znode_broker_path(int32_t broker_id, char *ret_path);
void znode_broker_encode(const struct broker_registration *reg, int64_t now_ms, struct buf *out);
/* Reads any version from 1 on. -EBADMSG or -ENOMEM leave nothing to free. */
MUST_CHECK int znode_broker_decode(int32_t broker_id, struct slice value, int64_t czxid,
				   struct broker_registration *ret_reg);

/*
 * Registers under this session.
 *
 * last_session_id  of the session we registered under before, 0 at start: a node that it left
 *                  behind is deleted
 *
 * Returns 0 with the broker epoch in reg; -EEXIST when another session holds the id.
 */
MUST_CHECK int znode_broker_register(struct zk *zk, struct broker_registration *reg,
				     int64_t last_session_id, int64_t now_ms);
/* Writes changed endpoints of a registered broker. */
MUST_CHECK int znode_broker_update(struct zk *zk, const struct broker_registration *reg,
				   int64_t now_ms);
/*
 * All live brokers, by id. watch arms the child watch of /brokers/ids and a data watch of each.
 * A registration that cannot be read is left out with a warning. The caller frees each and *ret.
 */
MUST_CHECK int znode_broker_list(struct zk *zk, bool watch, struct broker_registration **ret_regs,
				 size_t *ret_count);

#endif
