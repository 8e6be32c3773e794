/*
 * conf.h - the configuration: Kafka's server.properties and topic settings, from two tables.
 *
 * broker.def and topic.def declare each setting once: key, type, default, bounds, unit, dynamic
 * scope, whether it has an effect, and a sentence. From them follow the two structs below, the
 * parser, --check, --print-config, DescribeConfigs, server.properties(5) and the sample file.
 *
 * A struct broker_conf or topic_conf is immutable once built. conf_store holds the current broker
 * configuration: readers take it with one atomic load; a dynamic change builds a new one and
 * replaces it. What was replaced is kept until shutdown, since a reader may still hold it: changes
 * are rare and one costs a few KiB.
 *
 * Source  zookeeper-and-controller, section 6: Kafka's KafkaConfig, LogConfig, TopicConfig.
 */
#ifndef KLAMM_BASE_CONF_H
#define KLAMM_BASE_CONF_H

#include "base/bytes.h"

enum conf_type {
	CONF_BOOLEAN, /* bool */
	CONF_SHORT,   /* int64_t */
	CONF_INT,     /* int64_t */
	CONF_LONG,    /* int64_t */
	CONF_DOUBLE,  /* double */
	CONF_STRING,  /* const char *, NULL when null */
	CONF_LIST,    /* const char *, comma-separated as given */
	CONF_CLASS,   /* const char * */
	CONF_PASSWORD /* const char *, never printed */
};

/* Kafka's update modes of broker settings. */
enum conf_scope { CONF_READ_ONLY, CONF_PER_BROKER, CONF_CLUSTER_WIDE };

/* Where a value came from; numbers are DescribeConfigs' ConfigSource. */
enum conf_source {
	CONF_SOURCE_TOPIC = 1,
	CONF_SOURCE_DYNAMIC_BROKER = 2,
	CONF_SOURCE_DYNAMIC_DEFAULT_BROKER = 3,
	CONF_SOURCE_STATIC_BROKER = 4,
	CONF_SOURCE_DEFAULT = 5,
	CONF_SOURCE_DYNAMIC_BROKER_LOGGER = 6
};

#endif
