/*
 * znode_topic.h - /brokers/topics/<topic>: a topic's id and which brokers hold its partitions.
 *
 * Source  zookeeper-and-controller, section 1.7: Kafka's TopicZNode.
 */
#ifndef KLAMM_ZK_ZNODE_TOPIC_H
#define KLAMM_ZK_ZNODE_TOPIC_H

#include "base/properties.h"
#include "zk/znode.h"

/* Where the replicas of one partition are; replicas[0] is the preferred leader. */
struct partition_assignment {
	int32_t partition;
	int32_t *replicas;
	int32_t replica_count;
	int32_t *adding, *removing; /* NULL where there are none */
	int32_t adding_count, removing_count;
};

/* Owns its arrays; topic_assignment_fini() frees them. Partitions stand in order of number. */
struct topic_assignment {
	bool has_topic_id; /* old brokers wrote none */
	struct uuid topic_id;
	struct partition_assignment *partitions;
	int32_t partition_count;
};

void topic_assignment_fini(struct topic_assignment *ta);
/* A deep copy. 0 or -ENOMEM. */
MUST_CHECK int topic_assignment_copy(const struct topic_assignment *from,
				     struct topic_assignment *ret_to);
/* NULL when the topic has no such partition. */
struct partition_assignment *topic_assignment_find(const struct topic_assignment *ta,
						   int32_t partition);

void znode_topic_path(const char *topic, char *ret_path);
void znode_topic_encode(const struct topic_assignment *ta, struct buf *out);
/* Versions 1 to 3. -EBADMSG or -ENOMEM leave nothing to free. */
MUST_CHECK int znode_topic_decode(struct slice value, struct topic_assignment *ret_ta);

/*
 * What a broker does for CreateTopics: writes the topic's settings, then its assignment, unfenced.
 * -EEXIST when the topic is there already (its settings were overwritten, as in Kafka).
 */
MUST_CHECK int znode_topic_create(struct zk *zk, const char *topic,
				  const struct topic_assignment *ta,
				  const struct properties *config);
/* What a broker does for CreatePartitions: replaces the assignment, unfenced. */
MUST_CHECK int znode_topic_replace(struct zk *zk, const char *topic,
				   const struct topic_assignment *ta);
/* -ENOENT, -EBADMSG. watch arms a data watch. */
MUST_CHECK int znode_topic_get(struct zk *zk, const char *topic, bool watch,
			       struct topic_assignment *ret_ta);

#endif
