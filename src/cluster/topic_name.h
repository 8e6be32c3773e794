/*
 * topic_name.h - which names a topic may have.
 *
 * Source  wire-protocol, section 13.1: Kafka's Topic.
 */
#ifndef KLAMM_CLUSTER_TOPIC_NAME_H
#define KLAMM_CLUSTER_TOPIC_NAME_H

#include "base/bytes.h"

#define TOPIC_NAME_MAX 249
#define TOPIC_CONSUMER_OFFSETS "__consumer_offsets"
#define TOPIC_TRANSACTION_STATE "__transaction_state"

/* NULL when name is valid, else a sentence about why it is not. */
const char *topic_name_refusal(struct str name);
bool topic_name_is_internal(struct str name);
/* Metric names map '.' to '_': two names that become equal collide. */
bool topic_names_collide(const char *a, const char *b);

#endif
