/*
 * config_entity.c - whose settings: the options that config describe and config alter share.
 */
#include "cli/config_entity.h"

static const struct {
	const char *type;
	const char *noun;
	rd_kafka_ResourceType_t resource;
} entity_types[] = {
    {"topics", "topic", RD_KAFKA_RESOURCE_TOPIC},
    {"brokers", "broker", RD_KAFKA_RESOURCE_BROKER},
    {"broker-loggers", "broker-logger", RESOURCE_BROKER_LOGGER},
};

static int
take(struct config_entity *entity, size_t index, const char *name)
{
	int64_t id;

	if (entity->noun != NULL)
		return usage_error("one entity at a time: a topic, a broker or a broker logger");
	entity->type = entity_types[index].resource;
	entity->noun = entity_types[index].noun;
	entity->name = name;
	if (name != NULL && entity->type != RD_KAFKA_RESOURCE_TOPIC &&
	    parse_int(name, 0, INT32_MAX, &id) != 0)
		return usage_error("a broker is named by its id, a number, not '%s'", name);
	return CLI_DONE;
}

int
config_entity_read(const struct config_entity_options *opt, struct config_entity *ret_entity)
{
	const char *const names[] = {opt->topic, opt->broker, opt->broker_logger};
	struct config_entity entity = {0};
	int st = CLI_DONE;

	if (opt->entity_default)
		return usage_error("--entity-default: librdkafka %s cannot name the defaults of "
				   "all brokers; set them in each server.properties, or with "
				   "Kafka's kafka-configs.sh",
				   rd_kafka_version_str());
	if (opt->type != NULL) {
		size_t i = 0;

		while (i < ARRAY_LEN(entity_types) && strcmp(entity_types[i].type, opt->type) != 0)
			i++;
		if (i == ARRAY_LEN(entity_types))
			return usage_error("--entity-type is topics, brokers or broker-loggers, "
					   "not '%s'",
					   opt->type);
		st = take(&entity, i, opt->name);
	} else if (opt->name != NULL) {
		return usage_error("--entity-name needs --entity-type");
	}
	for (size_t i = 0; st == CLI_DONE && i < ARRAY_LEN(names); i++) {
		if (names[i] != NULL)
			st = take(&entity, i, names[i]);
	}
	if (st != CLI_DONE)
		return st;
	if (entity.noun == NULL)
		return usage_error("whose settings? Give --topic NAME, --broker ID or "
				   "--broker-logger ID");
	*ret_entity = entity;
	return CLI_DONE;
}
