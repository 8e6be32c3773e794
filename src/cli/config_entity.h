/*
 * config_entity.h - whose settings: the options that config describe and config alter share.
 */
#ifndef KLAMM_CLI_CONFIG_ENTITY_H
#define KLAMM_CLI_CONFIG_ENTITY_H

#include "cli/admin.h"

struct config_entity_options {
	const char *type;
	const char *name;
	const char *topic;
	const char *broker;
	const char *broker_logger;
	bool entity_default;
};

struct config_entity {
	rd_kafka_ResourceType_t type;
	const char *name; /* NULL: all of them */
	const char *noun; /* "topic", "broker", "broker-logger" */
};

#define CONFIG_ENTITY_ROWS(opt)                                                                      \
	{                                                                                            \
	    0,           "entity-type", "TYPE", "topics, brokers or broker-loggers.",                \
	    OPTION_TEXT, &(opt).type},                                                               \
	    {0,           "entity-name", "NAME", "The topic's name or the broker's id.",             \
	     OPTION_TEXT, &(opt).name},                                                              \
	    {0,           "topic",     "NAME", "Short for --entity-type topics --entity-name NAME.", \
	     OPTION_TEXT, &(opt).topic},                                                             \
	    {0,           "broker",     "ID", "Short for --entity-type brokers --entity-name ID.",   \
	     OPTION_TEXT, &(opt).broker},                                                            \
	    {0,           "broker-logger",                                                           \
	     "ID",        "Short for --entity-type broker-loggers --entity-name ID.",                \
	     OPTION_TEXT, &(opt).broker_logger},                                                     \
	{                                                                                            \
		0, "entity-default", NULL,                                                           \
		    "The defaults of all brokers (see 'klamm help config alter').", OPTION_FLAG,     \
		    &(opt).entity_default                                                            \
	}

/* Tells the mistake. */
MUST_CHECK int config_entity_read(const struct config_entity_options *opt,
				  struct config_entity *ret_entity);

#endif
