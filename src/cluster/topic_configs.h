/*
 * topic_configs.h - the overrides of every topic, as /config/topics holds them.
 *
 * Filled at start and after each change notification by the coordination thread; read by whoever
 * configures a log or describes a topic.
 *
 * Threads  any, under LOCK_CONFIG.
 */
#ifndef KLAMM_CLUSTER_TOPIC_CONFIGS_H
#define KLAMM_CLUSTER_TOPIC_CONFIGS_H

#include "base/conf.h"

struct topic_configs;

MUST_CHECK int topic_configs_open(struct topic_configs **ret_configs);
void topic_configs_close(struct topic_configs *tcs);
/* Replaces a topic's overrides: takes over what props holds and leaves it empty. 0 or -ENOMEM. */
MUST_CHECK int topic_configs_set(struct topic_configs *tcs, const char *topic,
				 struct properties *props);
/* The topic was deleted: what is known of it holds no longer. */
void topic_configs_forget(struct topic_configs *tcs, const char *topic);
/* Whether its overrides were ever read, be they none. */
bool topic_configs_know(struct topic_configs *tcs, const char *topic);
/* Adds a copy of a topic's overrides to props. 0 or -ENOMEM. */
MUST_CHECK int topic_configs_get(struct topic_configs *tcs, const char *topic,
				 struct properties *props);
/* The settings in force: topic_conf_fini() frees. 0 or -ENOMEM. */
MUST_CHECK int topic_configs_effective(struct topic_configs *tcs, const struct broker_conf *conf,
				       const char *topic, struct topic_conf *ret_conf);

#endif
