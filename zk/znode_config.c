#include "zk/znode_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"

#define CHANGES "/config/changes"
#define CHANGE_PREFIX "config_change_"
#define CHANGE_LIFETIME_MS (15 * 60 * 1000)

void
znode_config_encode(const struct properties *props, struct buf *out)
{
	json_t *config = json_object();
	struct map_iter iter = {0};
	const char *text;

	while (props != NULL && (text = map_next(&props->texts, &iter)) != NULL)
		json_object_set_new(config, map_iter_key(&iter).data, json_string(text));
	znode_format(json_pack("{s:i,s:o}", "version", 1, "config", config), out);
}

int
znode_config_decode(struct slice value, struct properties *props)
{
	json_t *object, *config, *text;
	const char *key;
	int st = 0;

	if (value.data == NULL || value.len == 0)
		return 0;
	object = znode_parse(value);
	if (object == NULL)
		return -EBADMSG;
	config = json_object_get(object, "config");
	json_object_foreach (config, key, text) {
		if (st != 0)
			break;
		st = json_is_string(text) ? properties_set(props, key, json_string_value(text))
					  : -EBADMSG;
	}
	json_decref(object);
	return st;
}

int
znode_config_get(struct zk *zk, const char *entity, struct properties *props)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st;

	snprintf(path, sizeof(path), "/config/%s", entity);
	st = zk_get(zk, path, false, &value, NULL);
	if (st == 0)
		st = znode_config_decode(buf_slice(&value), props);
	buf_fini(&value);
	return st == -ENOENT ? 0 : st;
}

static int
write_entity(struct zk *zk, const char *entity, const struct properties *props)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st;

	snprintf(path, sizeof(path), "/config/%s", entity);
	znode_config_encode(props, &value);
	st = value.failed ? -ENOMEM : zk_set(zk, path, buf_slice(&value), ZK_ANY_VERSION, NULL);
	if (st == -ENOENT) {
		st = zk_create_recursive(zk, path, buf_slice(&value));
		if (st == -EEXIST)
			st = zk_set(zk, path, buf_slice(&value), ZK_ANY_VERSION, NULL);
	}
	buf_fini(&value);
	return st;
}

int
znode_config_set(struct zk *zk, const char *entity, const struct properties *props)
{
	struct buf value = {0};
	int st = write_entity(zk, entity, props);

	if (st != 0)
		return st;
	znode_format(json_pack("{s:i,s:s}", "version", 2, "entity_path", entity), &value);
	st = value.failed ? -ENOMEM
			  : zk_create(zk, CHANGES "/" CHANGE_PREFIX, buf_slice(&value),
				      ZK_PERSISTENT_SEQUENTIAL, NULL);
	buf_fini(&value);
	return st;
}

int
znode_config_set_for_new_topic(struct zk *zk, const char *topic, const struct properties *props)
{
	char entity[ZNODE_PATH_MAX];

	snprintf(entity, sizeof(entity), "topics/%s", topic);
	return write_entity(zk, entity, props);
}

/* entity_path of version 2, or entity_type and entity_name of version 1. */
static int
decode_change(struct slice value, char entity[ZNODE_PATH_MAX])
{
	json_t *object = znode_parse(value);
	const char *path, *type, *name;
	int32_t version;
	int st = znode_get_int(object, "version", &version);

	if (st == 0 && version == 2) {
		st = znode_get_text(object, "entity_path", &path);
		if (st == 0)
			snprintf(entity, ZNODE_PATH_MAX, "%s", path);
	} else if (st == 0 && version == 1) {
		st = znode_get_text(object, "entity_type", &type);
		if (st == 0)
			st = znode_get_text(object, "entity_name", &name);
		if (st == 0)
			snprintf(entity, ZNODE_PATH_MAX, "%s/%s", type, name);
	} else {
		st = -EBADMSG;
	}
	json_decref(object);
	return st;
}

static void
take_change(struct zk *zk, struct env *env, const char *name, bool seen, config_changed_fn *fn,
	    void *arg)
{
	char path[ZNODE_PATH_MAX], entity[ZNODE_PATH_MAX];
	struct buf value = {0};
	struct zk_stat stat;
	int st;

	snprintf(path, sizeof(path), CHANGES "/%s", name);
	st = zk_get(zk, path, false, &value, &stat);
	if (st == 0 && !seen) {
		if (decode_change(buf_slice(&value), entity) == 0)
			fn(arg, entity);
		else
			diag_warn(DIAG_ZK, "skipped a change notification that cannot be read",
				  "path=%s", path);
	}
	if (st == 0 && env_now_ms(env) - stat.ctime_ms > CHANGE_LIFETIME_MS)
		st = zk_delete(zk, path, ZK_ANY_VERSION);
	if (st != 0 && st != -ENOENT && st != -ESHUTDOWN)
		diag_warn(DIAG_ZK, "cannot read a change notification", "path=%s error=%s", path,
			  strerror(-st));
	buf_fini(&value);
}

int
znode_config_changes(struct zk *zk, struct env *env, struct config_changes *changes,
		     config_changed_fn *fn, void *arg)
{
	struct zk_names names;
	int st = zk_children(zk, CHANGES, true, &names);

	if (st != 0)
		return st;
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.names[i];
		int64_t sequence;

		if (strncmp(name, CHANGE_PREFIX, strlen(CHANGE_PREFIX)) != 0)
			continue;
		sequence = strtoll(name + strlen(CHANGE_PREFIX), NULL, 10);
		take_change(zk, env, name, sequence < changes->next_sequence, fn, arg);
		if (sequence >= changes->next_sequence)
			changes->next_sequence = sequence + 1;
	}
	zk_names_fini(&names);
	return 0;
}

void
znode_sanitize(const char *name, struct buf *out)
{
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;

		if (isalnum(c) || c == '.' || c == '-' || c == '_')
			buf_append_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}
