/*
 * internal_topic.h - which partition of __consumer_offsets or __transaction_state a group or a
 * transactional id belongs to.
 *
 * Source  storage-format, section 12.1: Java's String.hashCode(), Kafka's Utils.abs().
 */
#ifndef KLAMM_CLUSTER_INTERNAL_TOPIC_H
#define KLAMM_CLUSTER_INTERNAL_TOPIC_H

#include "base/bytes.h"
#include "cluster/topic_name.h"

/* id is UTF-8; bytes that are none count as U+FFFD each. count > 0. */
int32_t internal_topic_partition_for(struct str id, int32_t count);

#endif
