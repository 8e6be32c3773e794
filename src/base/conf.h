/*
 * conf.h - the configuration: Kafka's server.properties and topic settings, from two tables.
 *
 * broker.def and topic.def declare each setting once: key, type, default, bounds, unit, dynamic
 * scope, whether it has an effect, and a sentence. From them follow the two structs below, the
 * parser, --check, --print-config, DescribeConfigs, server.properties(5) and the sample file.
 *
 * A struct broker_conf is immutable once built. A struct conf_store holds the current one: readers
 * take it with one atomic load; a dynamic change builds a new one and replaces it. What was
 * replaced is kept until shutdown, since a reader may still hold it: changes are rare.
 *
 * Source  zookeeper-and-controller, sections 2.7 and 6: Kafka's KafkaConfig, DynamicBrokerConfig,
 *         LogConfig, ServerTopicConfigSynonyms.
 */
#ifndef KLAMM_BASE_CONF_H
#define KLAMM_BASE_CONF_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/lock.h"
#include "base/properties.h"

/* What a number is when it was neither set nor has a default. */
#define CONF_NULL INT64_MIN

enum conf_type {
	CONF_BOOLEAN,
	CONF_SHORT,
	CONF_INT,
	CONF_LONG,
	CONF_DOUBLE,
	CONF_STRING,
	CONF_LIST,    /* comma-separated text as given */
	CONF_CLASS,   /* the name of a Java class */
	CONF_PASSWORD /* never printed */
};

/* Kafka's update modes of broker settings; a topic's are all dynamic. */
enum conf_scope { CONF_READ_ONLY, CONF_PER_BROKER, CONF_PER_LISTENER, CONF_CLUSTER_WIDE };

enum conf_effect {
	CONF_IN_USE,
	CONF_NEUTRAL,    /* tunes something Klamm does another way: nothing to say */
	CONF_NOT_YET,    /* known, without effect so far: said at start-up */
	CONF_JVM_ONLY,   /* belongs to Java: said at start-up with what to use instead */
	CONF_KRAFT_ONLY, /* has no meaning under ZooKeeper: said at start-up */
};

/* Where a value came from, strongest first; numbers are DescribeConfigs' ConfigSource. */
enum conf_source {
	CONF_SOURCE_TOPIC = 1,
	CONF_SOURCE_DYNAMIC_BROKER = 2,
	CONF_SOURCE_DYNAMIC_DEFAULT_BROKER = 3,
	CONF_SOURCE_STATIC_BROKER = 4,
	CONF_SOURCE_DEFAULT = 5,
	CONF_SOURCE_DYNAMIC_BROKER_LOGGER = 6,
};

struct conf_entry {
	const char *key;
	enum conf_type type;
	const char *default_text; /* NULL: none */
	int64_t min, max;         /* of numbers */
	const char *words;        /* allowed words, a|b|c, or NULL */
	const char *unit;         /* "ms", "bytes", ... or "" */
	enum conf_scope scope;
	enum conf_effect effect;
	bool hidden; /* from DescribeConfigs */
	const char
	    *fallback; /* of a topic setting: broker keys, strongest first, comma-separated */
	const char *sentence;
	size_t field; /* offset in struct broker_conf or struct topic_conf */
};

#define CONF_FIELD_BOOLEAN bool
#define CONF_FIELD_SHORT int64_t
#define CONF_FIELD_INT int64_t
#define CONF_FIELD_LONG int64_t
#define CONF_FIELD_DOUBLE double
#define CONF_FIELD_STRING const char *
#define CONF_FIELD_LIST const char *
#define CONF_FIELD_CLASS const char *
#define CONF_FIELD_PASSWORD const char *

/* Text is NULL where it is null; it lives as long as the struct. */
struct broker_conf {
#define SECTION(title)
#define CONF(name, key, type, ...) CONF_FIELD_##type name;
#include "base/broker.def"
#undef CONF
#undef SECTION
	/* What was set, by level; the defaults are in the table. */
	struct properties dynamic_broker, dynamic_default, fixed;
	struct arena arena;
	struct broker_conf *retired; /* kept by the store */
};

struct topic_conf {
#define CONF(name, key, type, ...) CONF_FIELD_##type name;
#include "base/topic.def"
#undef CONF
	struct arena arena;
};

extern const struct conf_entry broker_conf_entries[];
extern const size_t broker_conf_entry_count;
extern const struct conf_entry topic_conf_entries[];
extern const size_t topic_conf_entry_count;

/* NULL for a key that is not in the table. */
const struct conf_entry *broker_conf_entry(const char *key);
const struct conf_entry *topic_conf_entry(const char *key);

/*
 * Judges one value. Appends nothing and returns 0, or appends one line "KEY=VALUE: what is
 * allowed" (a password's value is not shown) to errors and returns -EINVAL.
 */
MUST_CHECK int conf_entry_check(const struct conf_entry *entry, const char *text,
				struct buf *errors);

/*
 * Builds a configuration from its three levels, each of which may be NULL; copies them.
 *
 * errors  gets one line per mistake of the fixed level. A mistake of a dynamic level was refused
 *         when it was set; where it comes from elsewhere it gets a line too and is left out.
 *
 * Returns 0, -EINVAL when the fixed level has mistakes, or -ENOMEM. The caller owns *ret_conf.
 */
MUST_CHECK int broker_conf_build(const struct properties *fixed,
				 const struct properties *dynamic_default,
				 const struct properties *dynamic_broker, struct buf *errors,
				 struct broker_conf **ret_conf);
void broker_conf_free(struct broker_conf *conf);

/* The rules between keys (section 6.2) that need no listeners. Appends lines, returns how many. */
int broker_conf_check_rules(const struct broker_conf *conf, struct buf *errors);

/*
 * The rules for what changes while the broker runs: a pool of threads may be halved or doubled at
 * most. Appends lines, returns how many. num.network.threads is a matter of each listener.
 * Source  Kafka's DynamicThreadPool, DataPlaneAcceptor.
 */
int conf_check_pool_change(const char *key, int64_t before, int64_t after, struct buf *errors);
int broker_conf_check_change(const struct broker_conf *old, const struct broker_conf *now,
			     struct buf *errors);

/*
 * What the operator should know at start-up: each key that is unknown, has no effect yet, or
 * belongs to Java or KRaft.
 */
typedef void conf_notice_fn(void *arg, const char *key, const char *notice);
void broker_conf_notices(const struct broker_conf *conf, conf_notice_fn *fn, void *arg);
/* The same of each dynamic setting that is not as it was, and whose change has no effect. */
void broker_conf_change_notices(const struct broker_conf *old, const struct broker_conf *now,
				conf_notice_fn *fn, void *arg);

/*
 * The text of KEY for one listener: listener.name.<listener in lower case>.KEY where that is set,
 * else KEY's own. NULL where neither is set and there is no default.
 */
const char *broker_conf_listener_text(const struct broker_conf *conf, const char *listener,
				      const char *key);

/* One step of the way a value is found: the first of the list is the one in force. */
struct conf_synonym {
	const char *key;
	const char *text; /* NULL for null */
	enum conf_source source;
};
#define CONF_SYNONYMS_MAX 16

/* All levels that give a value, strongest first; the default comes last. Returns how many. */
size_t broker_conf_synonyms(const struct broker_conf *conf, const struct conf_entry *entry,
			    struct conf_synonym ret_synonyms[CONF_SYNONYMS_MAX]);
size_t topic_conf_synonyms(const struct broker_conf *conf, const struct properties *overrides,
			   const struct conf_entry *entry,
			   struct conf_synonym ret_synonyms[CONF_SYNONYMS_MAX]);

/*
 * The settings of a topic: its overrides (may be NULL) over the broker's over the defaults. A bad
 * override is left out with a line in errors (may be NULL), as Kafka does. Returns 0 or -ENOMEM;
 * topic_conf_fini() frees.
 */
MUST_CHECK int topic_conf_init(struct topic_conf *tc, const struct broker_conf *conf,
			       const struct properties *overrides, struct buf *errors);
void topic_conf_fini(struct topic_conf *tc);
/* The text of one setting as the topic has it, in the topic's unit. Appends to out. */
void topic_conf_text(const struct topic_conf *tc, const struct conf_entry *entry, struct buf *out);
/*
 * Judges a topic's overrides as a whole: known keys, values, and the rules between them. Returns 0
 * or -EINVAL with one line per mistake in errors.
 */
MUST_CHECK int topic_conf_check(const struct broker_conf *conf, const struct properties *overrides,
				struct buf *errors);

/* True if the comma-separated list holds the word (blanks around items do not count). */
bool conf_list_has(const char *list, const char *word);

/*
 * Reads a list of replicas: "*" for all, or partition:broker pairs. conf_replicas_next() gives one
 * pair after the other: 1, 0 at the end, -EINVAL for what is no pair.
 */
bool conf_replicas_all(const char *list);
int conf_replicas_next(const char **list, int32_t *ret_partition, int32_t *ret_broker);

typedef void conf_change_fn(void *arg, const struct broker_conf *old,
			    const struct broker_conf *now);

#define CONF_SUBSCRIBERS_MAX 16
struct conf_store {
	struct lock lock;
	_Atomic(struct broker_conf *) current;
	struct {
		conf_change_fn *fn;
		void *arg;
	} subscribers[CONF_SUBSCRIBERS_MAX]; /* fixed after start-up */
	size_t subscriber_count;
};

/* Takes conf over. */
void conf_store_init(struct conf_store *store, struct broker_conf *conf);
void conf_store_fini(struct conf_store *store);
/* Valid until conf_store_fini(). */
const struct broker_conf *conf_store_get(struct conf_store *store);
/* Before other threads run. fn is called on the thread that changes the configuration. */
void conf_store_subscribe(struct conf_store *store, conf_change_fn *fn, void *arg);
/* Replaces the current configuration, takes conf over, tells the subscribers. */
void conf_store_replace(struct conf_store *store, struct broker_conf *conf);

#endif
