/*
 * config_alter.c - klamm config alter.
 *
 * librdkafka 2.0 can only replace all settings of a topic or a broker. So those that were set are
 * read first and sent again, changed. Secrets cannot be read: where one was set on the entity and
 * is not set anew, the change is refused, because it would be lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/env.h"
#include "base/properties.h"
#include "cli/commands.h"
#include "cli/config_entity.h"
#include "cli/json_document.h"

#define CONFIG_FILE_MAX (1 << 20)

static struct {
	struct config_entity_options entity;
	struct text_list add;
	struct text_list remove;
	const char *add_file;
	bool json;
} opt;

static int
add_file(struct settings *add)
{
	struct properties props = {{0}};
	struct map_iter it = {0};
	struct buf text = {0};
	const char *value;
	int line, st;

	st = env_read_file(env_system(), AT_FDCWD, opt.add_file, CONFIG_FILE_MAX, &text);
	if (st != 0) {
		complain("--add-config-file %s: cannot read it: %s", opt.add_file, strerror(-st));
		goto out;
	}
	st = properties_parse(&props, buf_slice(&text), &line);
	if (st == -EINVAL)
		complain("--add-config-file %s: line %d has a malformed escape", opt.add_file,
			 line);
	while (st == 0 && (value = map_next(&props.texts, &it)) != NULL)
		st = settings_put(add, map_iter_key(&it), str_of(value));
out:
	properties_fini(&props);
	buf_fini(&text);
	return st == 0 ? CLI_DONE : CLI_USAGE;
}

/* remove: names, with empty values */
static int
read_changes(struct settings *add, struct settings *remove)
{
	int st = CLI_DONE;

	if (opt.add_file != NULL)
		st = add_file(add);
	for (size_t i = 0; st == CLI_DONE && i < opt.add.count; i++) {
		if (settings_parse(add, opt.add.items[i]) != 0)
			st = usage_error("--add-config takes NAME=VALUE[,NAME=VALUE...], with "
					 "[ ] around a value with commas, not '%s'",
					 opt.add.items[i]);
	}
	for (size_t i = 0; st == CLI_DONE && i < opt.remove.count; i++) {
		const char *p = opt.remove.items[i];

		while (*p != '\0') {
			size_t len = strcspn(p, ",");

			if (len > 0 && settings_put(remove, (struct str){p, len}, str_of("")) != 0)
				return no_memory();
			p += len;
			p += *p == ',';
		}
	}
	if (st == CLI_DONE && add->count + remove->count == 0)
		st = usage_error("nothing to change: give --add-config or --delete-config");
	return st;
}

/* What the entity shall have: what it has, without what goes, with what comes. */
static int
merge(const rd_kafka_ConfigEntry_t **entries, size_t count, const struct config_entity *entity,
      const struct settings *add, const struct settings *remove, struct settings *ret_all)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = rd_kafka_ConfigEntry_name(entries[i]);
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (!admin_entry_is_own(entries[i], entity->type))
			continue;
		if (value == NULL && settings_get(add, name) == NULL &&
		    settings_get(remove, name) == NULL) {
			complain("%s %s: %s is set and secret, so that it cannot be kept: set it "
				 "in the same command, or delete it",
				 entity->noun, entity->name, name);
			return CLI_REFUSED;
		}
		if (settings_put(ret_all, str_of(name), str_of(value != NULL ? value : "")) != 0)
			return no_memory();
	}
	for (size_t i = 0; i < remove->count; i++) {
		if (!settings_remove(ret_all, remove->items[i].name)) {
			complain("%s %s: %s is not set on it and cannot be deleted", entity->noun,
				 entity->name, remove->items[i].name);
			return CLI_REFUSED;
		}
	}
	for (size_t i = 0; i < add->count; i++) {
		if (settings_put(ret_all, str_of(add->items[i].name),
				 str_of(add->items[i].value)) != 0)
			return no_memory();
	}
	return CLI_DONE;
}

static int
alter(struct client *c, const struct config_entity *entity, const struct settings *add,
      const struct settings *remove)
{
	const rd_kafka_ConfigEntry_t **entries;
	const rd_kafka_metadata_t *md;
	struct settings all = {0};
	rd_kafka_event_t *event;
	size_t count;
	int st;

	st = client_metadata(c, false, NULL, &md);
	if (st != CLI_DONE)
		return st;
	rd_kafka_metadata_destroy(md);
	st = admin_describe_config(c, entity->type, entity->name, &event, &entries, &count);
	if (st != CLI_DONE)
		return st;
	st = merge(entries, count, entity, add, remove, &all);
	rd_kafka_event_destroy(event);
	if (st == CLI_DONE)
		st = admin_replace_config(c, entity->type, entity->name, &all);
	settings_fini(&all);
	return st;
}

static int
alter_entity(const struct config_entity *entity, const struct settings *add,
	     const struct settings *remove)
{
	struct client c = {0};
	int st;

	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = alter(&c, entity, add, remove);
	client_close(&c);
	if (st != CLI_DONE)
		return st;
	if (opt.json)
		return json_document_print(json_pack("{s:s, s:s}", "entity_type", entity->noun,
						     "entity_name", entity->name));
	printf("Completed updating config for %s %s.\n", entity->noun, entity->name);
	return CLI_DONE;
}

static int
run(int argc, char **argv)
{
	struct settings add = {0}, remove = {0};
	struct config_entity entity;
	int st;

	if (argc > 0)
		return usage_error("'%s': give --topic, --broker or --broker-logger before a name",
				   argv[0]);
	st = config_entity_read(&opt.entity, &entity);
	if (st != CLI_DONE)
		return st;
	if (entity.name == NULL)
		return usage_error("which %s? Give --entity-name", entity.noun);
	if (entity.type == RESOURCE_BROKER_LOGGER)
		return usage_error("librdkafka %s cannot change the levels of loggers; use Kafka's "
				   "kafka-configs.sh",
				   rd_kafka_version_str());
	st = read_changes(&add, &remove);
	if (st == CLI_DONE)
		st = alter_entity(&entity, &add, &remove);
	settings_fini(&add);
	settings_fini(&remove);
	return st;
}

static const struct option_row options[] = {
    CONFIG_ENTITY_ROWS(opt.entity),
    {0, "add-config", "NAME=VALUE[,...]", "Settings to set; a value with commas stands in [ ].",
     OPTION_LIST, &opt.add},
    {0, "add-config-file", "FILE", "A properties file of settings to set.", OPTION_TEXT,
     &opt.add_file},
    {0, "delete-config", "NAME[,...]", "Settings that shall go back to their default.", OPTION_LIST,
     &opt.remove},
    {0, "json", NULL, "One JSON object: entity_type, entity_name.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command config_alter_command = {
    .name = "config alter",
    .summary = "Change settings of a topic or a broker",
    .args = "--topic NAME | --broker ID  --add-config NAME=VALUE | --delete-config NAME",
    .text = "Settings that are not named stay as they are. They are read first and sent again "
	    "with the\nchange, so two of these commands at once for the same topic can undo each "
	    "other.\n\n"
	    "Examples:\n"
	    "  klamm config alter --topic orders --add-config retention.ms=86400000\n"
	    "  klamm config alter --topic orders --add-config 'cleanup.policy=[compact,delete]'\n"
	    "  klamm config alter --topic orders --delete-config retention.ms\n"
	    "  klamm config alter --broker 1 --add-config log.cleaner.threads=2\n",
    .options = options,
    .connects = true,
    .run = run,
};
