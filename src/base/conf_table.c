/* The two tables of settings, from broker.def and topic.def. */
#include "base/conf.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"

const struct conf_entry broker_conf_entries[] = {
#define SECTION(title)
#define CONF(name, key_, type_, default_, min_, max_, words_, unit_, scope_, effect_, hidden_,     \
	     text_)                                                                                \
	{.key = key_,                                                                              \
	 .type = CONF_##type_,                                                                     \
	 .default_text = default_,                                                                 \
	 .min = min_,                                                                              \
	 .max = max_,                                                                              \
	 .words = words_,                                                                          \
	 .unit = unit_,                                                                            \
	 .scope = scope_,                                                                          \
	 .effect = effect_,                                                                        \
	 .hidden = hidden_,                                                                        \
	 .fallback = "",                                                                           \
	 .sentence = text_,                                                                        \
	 .field = offsetof(struct broker_conf, name)},
#include "base/broker.def"
#undef CONF
#undef SECTION
};
const size_t broker_conf_entry_count = ARRAY_LEN(broker_conf_entries);

const struct conf_entry topic_conf_entries[] = {
#define CONF(name, key_, type_, default_, min_, max_, words_, unit_, effect_, fallback_, text_)    \
	{.key = key_,                                                                              \
	 .type = CONF_##type_,                                                                     \
	 .default_text = default_,                                                                 \
	 .min = min_,                                                                              \
	 .max = max_,                                                                              \
	 .words = words_,                                                                          \
	 .unit = unit_,                                                                            \
	 .scope = CONF_CLUSTER_WIDE,                                                               \
	 .effect = effect_,                                                                        \
	 .fallback = fallback_,                                                                    \
	 .sentence = text_,                                                                        \
	 .field = offsetof(struct topic_conf, name)},
#include "base/topic.def"
#undef CONF
};
const size_t topic_conf_entry_count = ARRAY_LEN(topic_conf_entries);

/* The broker's by key: each partition's settings ask for dozens of them. Never freed. */
static struct map broker_entries;
static pthread_once_t broker_entries_once = PTHREAD_ONCE_INIT;

static void
fill_broker_entries(void)
{
	for (size_t i = 0; i < broker_conf_entry_count; i++)
		if (map_put_text(&broker_entries, broker_conf_entries[i].key,
				 (void *)(uintptr_t)&broker_conf_entries[i], NULL) != 0)
			abort();
}

const struct conf_entry *
broker_conf_entry(const char *key)
{
	pthread_once(&broker_entries_once, fill_broker_entries);
	return map_get_text(&broker_entries, key);
}

const struct conf_entry *
topic_conf_entry(const char *key)
{
	for (size_t i = 0; i < topic_conf_entry_count; i++)
		if (strcmp(topic_conf_entries[i].key, key) == 0)
			return &topic_conf_entries[i];
	return NULL;
}
