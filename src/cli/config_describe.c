/*
 * config_describe.c - klamm config describe, laid out as kafka-configs.sh does.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/config_entity.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"

static struct {
	struct config_entity_options entity;
	bool all;
	bool json;
} opt;

static bool
is_wanted(const rd_kafka_ConfigEntry_t *entry, rd_kafka_ResourceType_t type)
{
	rd_kafka_ConfigSource_t source = rd_kafka_ConfigEntry_source(entry);

	if (opt.all || type == RESOURCE_BROKER_LOGGER)
		return true;
	return admin_entry_is_own(entry, type) ||
	       (type == RD_KAFKA_RESOURCE_BROKER &&
		source == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG);
}

static const char *
or_null(const char *value)
{
	return value != NULL ? value : "null";
}

/* Kafka's 6 is unknown to librdkafka. */
static const char *
source_name(const rd_kafka_ConfigEntry_t *entry)
{
	int source = (int)rd_kafka_ConfigEntry_source(entry);

	return source == 6 ? "DYNAMIC_BROKER_LOGGER_CONFIG"
			   : rd_kafka_ConfigSource_name((rd_kafka_ConfigSource_t)source);
}

static void
print_entry(const rd_kafka_ConfigEntry_t *entry)
{
	const rd_kafka_ConfigEntry_t **synonyms;
	size_t count;

	printf("  %s=%s sensitive=%s synonyms={", rd_kafka_ConfigEntry_name(entry),
	       or_null(rd_kafka_ConfigEntry_value(entry)),
	       rd_kafka_ConfigEntry_is_sensitive(entry) ? "true" : "false");
	synonyms = rd_kafka_ConfigEntry_synonyms(entry, &count);
	for (size_t i = 0; i < count; i++)
		printf("%s%s:%s=%s", i == 0 ? "" : ", ", source_name(synonyms[i]),
		       rd_kafka_ConfigEntry_name(synonyms[i]),
		       or_null(rd_kafka_ConfigEntry_value(synonyms[i])));
	printf("}\n");
}

static json_t *
entry_json(const rd_kafka_ConfigEntry_t *entry)
{
	const rd_kafka_ConfigEntry_t **synonyms;
	json_t *array = json_array();
	size_t count;

	synonyms = rd_kafka_ConfigEntry_synonyms(entry, &count);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array,
				      json_pack("{s:s, s:o, s:s}", "name",
						rd_kafka_ConfigEntry_name(synonyms[i]), "value",
						json_text(rd_kafka_ConfigEntry_value(synonyms[i])),
						"source", source_name(synonyms[i])));
	return json_pack("{s:s, s:o, s:s, s:b, s:b, s:o}", "name", rd_kafka_ConfigEntry_name(entry),
			 "value", json_text(rd_kafka_ConfigEntry_value(entry)), "source",
			 source_name(entry), "read_only", rd_kafka_ConfigEntry_is_read_only(entry),
			 "sensitive", rd_kafka_ConfigEntry_is_sensitive(entry), "synonyms", array);
}

/* document: NULL for text */
static int
describe(struct client *c, const struct config_entity *entity, const char *name, json_t *document)
{
	const rd_kafka_ConfigEntry_t **entries;
	json_t *configs = NULL;
	rd_kafka_event_t *event;
	size_t count;
	int st;

	st = admin_describe_config(c, entity->type, name, &event, &entries, &count);
	if (st != CLI_DONE)
		return st;
	admin_sort_entries(entries, count);
	if (document != NULL)
		configs = json_array();
	else
		printf("%s configs for %s %s are:\n", opt.all ? "All" : "Dynamic", entity->noun,
		       name);
	for (size_t i = 0; i < count; i++) {
		if (!is_wanted(entries[i], entity->type))
			continue;
		if (document != NULL)
			json_array_append_new(configs, entry_json(entries[i]));
		else
			print_entry(entries[i]);
	}
	if (document != NULL)
		json_array_append_new(document,
				      json_pack("{s:s, s:s, s:o}", "entity_type", entity->noun,
						"entity_name", name, "configs", configs));
	rd_kafka_event_destroy(event);
	return CLI_DONE;
}

static int
describe_all(struct client *c, const struct config_entity *entity, json_t *document)
{
	struct topic_view view = {0};
	int st;

	st = topic_view_load(&view, c, NULL, false);
	if (st == CLI_DONE && entity->type == RD_KAFKA_RESOURCE_TOPIC) {
		for (size_t i = 0; st == CLI_DONE && i < view.count; i++)
			st = describe(c, entity, view.topics[i]->topic, document);
	} else if (st == CLI_DONE) {
		for (int i = 0; st == CLI_DONE && i < view.metadata->broker_cnt; i++) {
			char id[16];

			snprintf(id, sizeof(id), "%d", view.metadata->brokers[i].id);
			st = describe(c, entity, id, document);
		}
	}
	topic_view_fini(&view);
	return st;
}

static int
connect_and_describe(struct client *c, const struct config_entity *entity, json_t *document)
{
	const rd_kafka_metadata_t *md;
	int st;

	if (entity->name == NULL)
		return describe_all(c, entity, document);
	st = client_metadata(c, false, NULL, &md);
	if (st != CLI_DONE)
		return st;
	rd_kafka_metadata_destroy(md);
	return describe(c, entity, entity->name, document);
}

static int
run(int argc, char **argv)
{
	struct config_entity entity;
	struct client c = {0};
	json_t *document;
	int st;

	if (argc > 0)
		return usage_error("'%s': give --topic, --broker or --broker-logger before a name",
				   argv[0]);
	st = config_entity_read(&opt.entity, &entity);
	if (st != CLI_DONE)
		return st;
	document = opt.json ? json_array() : NULL;
	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = connect_and_describe(&c, &entity, document);
	if (st == CLI_DONE && opt.json)
		st = json_document_print(json_incref(document));
	json_decref(document);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    CONFIG_ENTITY_ROWS(opt.entity),
    {0, "all", NULL, "Those that were not set on it as well: static ones and defaults.",
     OPTION_FLAG, &opt.all},
    {0, "json", NULL, "One JSON array of objects: entity_type, entity_name, configs.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command config_describe_command = {
    .name = "config describe",
    .summary = "Tell settings of topics, brokers and their loggers",
    .args = "--topic NAME | --broker ID | --broker-logger ID | --entity-type TYPE",
    .text = "The layout is that of kafka-configs.sh. Without a name, all entities of the type.\n\n"
	    "Examples:\n"
	    "  klamm config describe --topic orders\n"
	    "  klamm config describe --topic orders --all\n"
	    "  klamm config describe --entity-type brokers --entity-name 1 --all\n"
	    "  klamm config describe --broker-logger 1\n",
    .options = options,
    .connects = true,
    .run = run,
};
