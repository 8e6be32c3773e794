/*
 * znode_config.h - /config: the settings of topics, brokers, users, clients and addresses, and the
 * notifications that something changed.
 *
 * A document replaces the whole set of one entity; the reader reads, merges and stores. The write
 * is fenced by the controller's presence as Kafka does it.
 *
 * Source  zookeeper-and-controller, sections 1.11 and 1.12: Kafka's ConfigEntityZNode,
 *         AdminZkClient, ZkNodeChangeNotificationListener.
 */
#ifndef KLAMM_ZK_ZNODE_CONFIG_H
#define KLAMM_ZK_ZNODE_CONFIG_H

#include "base/properties.h"
#include "zk/znode.h"

/*
 * entity: "topics/orders", "brokers/1", "brokers/<default>", "users/alice/clients/app"; names that
 * Kafka sanitizes are given sanitized.
 */

/* Adds what the node holds to props; a missing node or null data adds nothing. */
MUST_CHECK int znode_config_get(struct zk *zk, const char *entity, struct properties *props);
/* Writes the node and then a change notification. */
MUST_CHECK int znode_config_set(struct zk *zk, const char *entity, const struct properties *props);
/* Writes a new topic's node, without a notification. */
MUST_CHECK int znode_config_set_for_new_topic(struct zk *zk, const char *topic,
					      const struct properties *props);
void znode_config_encode(const struct properties *props, struct buf *out);
MUST_CHECK int znode_config_decode(struct slice value, struct properties *props);

/* Where this broker stands in /config/changes: zero-initialised has seen nothing. */
struct config_changes {
	int64_t next_sequence;
};

typedef void config_changed_fn(void *arg, const char *entity);
/*
 * Reads the notifications (arming the child watch), calls fn for each entity not seen yet, and
 * removes those older than 15 minutes. One that cannot be read is skipped with a warning.
 */
MUST_CHECK int znode_config_changes(struct zk *zk, struct env *env, struct config_changes *changes,
				    config_changed_fn *fn, void *arg);

/* Kafka's Sanitizer: percent-encodes what may not stand in a path. Appends to out. */
void znode_sanitize(const char *name, struct buf *out);

#endif
