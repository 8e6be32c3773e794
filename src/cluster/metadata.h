/*
 * metadata.h - what this broker knows of the cluster: brokers, topics, partitions, leaders.
 *
 * The image is immutable and replaced whole: a reader takes the current one without waiting and
 * sees one consistent state; the writer builds the next from the last and what UpdateMetadata
 * brought. The two share what did not change, so an update costs what it changes, not what there
 * is.
 *
 * Threads  metadata_read() to metadata_done() on any thread, short, never across a wait. One
 *          writer at a time: the thread that carries out the controller's requests.
 * Source   wire-protocol, section 13.1; zookeeper-and-controller, section 4.5: Kafka's
 *          ZkMetadataCache.
 */
#ifndef KLAMM_CLUSTER_METADATA_H
#define KLAMM_CLUSTER_METADATA_H

#include "base/bytes.h"

/* The leader that UpdateMetadata gives a partition of a topic that is being deleted. */
#define METADATA_LEADER_DURING_DELETE (-2)
#define METADATA_NO_LEADER (-1)

struct metadata_endpoint {
	char *listener; /* upper case */
	char *host;
	int32_t port;
	int16_t protocol; /* enum security_protocol */
};

struct metadata_broker {
	int32_t id;
	int64_t epoch; /* -1: not told */
	struct metadata_endpoint *endpoints;
	size_t endpoint_count;
	char *rack; /* NULL: none */
};

struct metadata_partition {
	int32_t partition;
	int32_t leader;
	int32_t leader_epoch;
	int32_t controller_epoch;
	int32_t partition_epoch;
	int32_t *replicas, *isr, *offline_replicas;
	int32_t replica_count, isr_count, offline_count;
	int32_t references; /* the writer's */
};

struct metadata_topic {
	char *name;
	struct uuid id; /* zero: none */
	bool is_internal;
	int32_t partition_count;                /* one more than the highest number */
	struct metadata_partition **partitions; /* by number; NULL where nothing is known */
	int32_t references;                     /* the writer's */
};

struct metadata_image;
struct metadata;

MUST_CHECK int metadata_open(struct metadata **ret_metadata);
/* When nobody reads any more. Accepts NULL. */
void metadata_close(struct metadata *md);

/* The current image, until metadata_done() on the same thread. */
const struct metadata_image *metadata_read(struct metadata *md);
void metadata_done(struct metadata *md);

/* -1: none known. */
int32_t metadata_controller_id(const struct metadata_image *image);
/* All live brokers, by id. */
const struct metadata_broker *metadata_brokers(const struct metadata_image *image,
					       size_t *ret_count);
const struct metadata_broker *metadata_broker(const struct metadata_image *image, int32_t id);
/* NULL when the broker does not have that listener. */
const struct metadata_endpoint *metadata_endpoint(const struct metadata_broker *broker,
						  const char *listener);
/* NULL: unknown. */
const struct metadata_topic *metadata_topic(const struct metadata_image *image, const char *name,
					    size_t name_len);
const struct metadata_topic *metadata_topic_by_id(const struct metadata_image *image,
						  const struct uuid *id);
const struct metadata_partition *metadata_partition(const struct metadata_image *image,
						    const char *topic, size_t topic_len,
						    int32_t partition);
size_t metadata_topic_count(const struct metadata_image *image);
size_t metadata_partition_count(const struct metadata_image *image);

/* All topics in no order: start at zero. NULL at the end. */
struct metadata_walk {
	size_t bucket, index;
};
const struct metadata_topic *metadata_next_topic(const struct metadata_image *image,
						 struct metadata_walk *walk);

/* ---- the writer ---- */

struct metadata_update;

/* Begins the next image. Aborts without memory, as all of the writer's calls do. */
struct metadata_update *metadata_update_begin(struct metadata *md);
void metadata_update_controller(struct metadata_update *up, int32_t controller_id);
/* Replaces the live brokers: takes over the array and what it owns. */
void metadata_update_brokers(struct metadata_update *up, struct metadata_broker *brokers,
			     size_t count);
/*
 * Puts one partition; its arrays are copied. leader METADATA_LEADER_DURING_DELETE takes it out,
 * and the topic with its last partition. id zero leaves the topic's id as it is.
 */
void metadata_update_partition(struct metadata_update *up, const char *topic, const struct uuid *id,
			       const struct metadata_partition *partition);
/* Takes out a topic with all that is known of it. */
void metadata_update_remove_topic(struct metadata_update *up, const char *topic);
/* Makes it the current image and frees what nobody needs any more. Waits for readers. */
void metadata_update_commit(struct metadata *md, struct metadata_update *up);

/* Called after each commit, on the writer's thread; one at most. */
void metadata_on_change(struct metadata *md, void (*fn)(void *arg), void *arg);

#endif
