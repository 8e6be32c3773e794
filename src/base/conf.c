#include "base/conf.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define CONF_ARENA_BYTES (16u << 20)
#define CONF_REPLICAS "*|partition:broker" /* the words of a list of replicas */

/* The value of one setting before it is stored in its field. */
union conf_value {
	bool flag;
	int64_t number;
	double real;
};

bool
conf_list_has(const char *list, const char *word)
{
	size_t word_len = strlen(word);

	if (list == NULL)
		return false;
	for (;;) {
		size_t len;

		list += strspn(list, " \t,");
		len = strcspn(list, ",");
		if (len == 0)
			return false;
		while (len > 0 && isblank((unsigned char)list[len - 1]))
			len--;
		if (len == word_len && memcmp(list, word, len) == 0)
			return true;
		list += strcspn(list, ",");
	}
}

static const char *
skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

bool
conf_replicas_all(const char *list)
{
	list += strspn(list, " \t,");
	return *list == '*' && list[1 + strspn(list + 1, " \t,")] == '\0';
}

/* Digits of an id; false for anything else. */
static bool
take_id(const char **at, int32_t *ret_id)
{
	int64_t id = 0;

	if (!isdigit((unsigned char)**at))
		return false;
	for (; isdigit((unsigned char)**at); ++*at) {
		id = id * 10 + (**at - '0');
		if (id > INT32_MAX)
			return false;
	}
	*ret_id = (int32_t)id;
	return true;
}

int
conf_replicas_next(const char **list, int32_t *ret_partition, int32_t *ret_broker)
{
	const char *at = *list + strspn(*list, " \t,");

	if (*at == '\0')
		return 0;
	if (!take_id(&at, ret_partition) || *at++ != ':' || !take_id(&at, ret_broker))
		return -EINVAL;
	at = skip_blanks(at);
	if (*at != ',' && *at != '\0')
		return -EINVAL;
	*list = at;
	return 1;
}

static bool
is_list_of_replicas(const char *text)
{
	int32_t partition, broker;
	int st = 1;

	while (st == 1 && !conf_replicas_all(text))
		st = conf_replicas_next(&text, &partition, &broker);
	return st >= 0;
}

static bool
is_number(enum conf_type type)
{
	return type == CONF_SHORT || type == CONF_INT || type == CONF_LONG;
}

/* Every item of text is one of the words a|b|c. An empty list is none of them. */
static bool
words_allow(const struct conf_entry *entry, const char *text)
{
	char words[256];
	bool any = false;

	if (strcmp(entry->words, CONF_REPLICAS) == 0)
		return is_list_of_replicas(text);
	snprintf(words, sizeof(words), "%s", entry->words);
	for (char *p = words; *p != '\0'; p++)
		if (*p == '|')
			*p = ',';
	if (entry->type != CONF_LIST)
		return conf_list_has(words, text);
	for (const char *at = text; *at != '\0';) {
		char item[64];
		size_t len;

		at += strspn(at, " \t,");
		len = strcspn(at, ", \t");
		if (len == 0)
			break;
		snprintf(item, sizeof(item), "%.*s", (int)(len < 63 ? len : 63), at);
		if (!conf_list_has(words, item))
			return false;
		any = true;
		at += len;
	}
	return any;
}

static void
say_bounds(const struct conf_entry *entry, struct buf *errors)
{
	bool low = entry->min > INT64_MIN + 1, high = entry->max < INT64_MAX;
	const char *unit = entry->unit;

	if (low && high)
		buf_printf(errors, "a number from %lld to %lld", (long long)entry->min,
			   (long long)entry->max);
	else if (low)
		buf_printf(errors, "a number of at least %lld", (long long)entry->min);
	else
		buf_printf(errors, "a 64-bit number");
	if (unit[0] != '\0')
		buf_printf(errors, " (%s)", unit);
}

static int
refuse(const struct conf_entry *entry, const char *text, struct buf *errors)
{
	if (errors == NULL)
		return -EINVAL;
	buf_printf(errors, "%s=%s: must be ", entry->key,
		   entry->type == CONF_PASSWORD ? "[hidden]" : text);
	if (entry->words != NULL)
		buf_printf(errors, "%s%s", entry->type == CONF_LIST ? "a list of " : "one of ",
			   entry->words);
	else if (entry->type == CONF_BOOLEAN)
		buf_printf(errors, "true or false");
	else if (is_number(entry->type))
		say_bounds(entry, errors);
	else if (entry->type == CONF_DOUBLE && entry->max == 1)
		buf_printf(errors, "a number from 0 to 1");
	else
		buf_printf(errors, "a number of at least 0");
	buf_append(errors, "\n", 1);
	return -EINVAL;
}

static int
parse_value(const struct conf_entry *entry, const char *text, union conf_value *ret_value,
	    struct buf *errors)
{
	char *end;

	switch (entry->type) {
	case CONF_BOOLEAN:
		if (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0)
			return refuse(entry, text, errors);
		ret_value->flag = strcasecmp(text, "true") == 0;
		return 0;
	case CONF_SHORT:
	case CONF_INT:
	case CONF_LONG:
		errno = 0;
		ret_value->number = strtoll(text, &end, 10);
		if (errno != 0 || end == text || *end != '\0' || ret_value->number < entry->min ||
		    ret_value->number > entry->max)
			return refuse(entry, text, errors);
		if (strcmp(entry->key, "compression.gzip.level") == 0 && ret_value->number == 0)
			return refuse(entry, text, errors);
		return 0;
	case CONF_DOUBLE:
		errno = 0;
		ret_value->real = strtod(text, &end);
		if (end == text || *end != '\0' || !isfinite(ret_value->real) ||
		    ret_value->real < (double)entry->min ||
		    (entry->max == 1 && ret_value->real > 1))
			return refuse(entry, text, errors);
		return 0;
	case CONF_STRING:
	case CONF_LIST:
	case CONF_CLASS:
	case CONF_PASSWORD:
		if (entry->words != NULL && !words_allow(entry, text))
			return refuse(entry, text, errors);
		return 0;
	}
	return -EINVAL;
}

int
conf_entry_check(const struct conf_entry *entry, const char *text, struct buf *errors)
{
	union conf_value value;

	return parse_value(entry, text, &value, errors);
}

/* Stores a value that parse_value() let pass; text NULL stores null. */
static void
store_value(const struct conf_entry *entry, const char *text, const union conf_value *value,
	    void *conf)
{
	void *field = (char *)conf + entry->field;

	switch (entry->type) {
	case CONF_BOOLEAN:
		*(bool *)field = text != NULL && value->flag;
		break;
	case CONF_SHORT:
	case CONF_INT:
	case CONF_LONG:
		*(int64_t *)field = text == NULL ? CONF_NULL : value->number;
		break;
	case CONF_DOUBLE:
		*(double *)field = text == NULL ? NAN : value->real;
		break;
	default:
		*(const char **)field = text;
		break;
	}
}

/* Stores the first text of the list that parses. A wrong one before it gets its line. */
static int
store_first_valid(const struct conf_entry *entry, const struct conf_synonym *synonyms, size_t count,
		  void *conf, struct buf *errors, bool *ret_fixed_bad)
{
	union conf_value value = {0};

	for (size_t i = 0; i < count; i++) {
		if (synonyms[i].text == NULL)
			continue;
		if (parse_value(entry, synonyms[i].text, &value, errors) == 0) {
			store_value(entry, synonyms[i].text, &value, conf);
			return 0;
		}
		if (synonyms[i].source == CONF_SOURCE_STATIC_BROKER)
			*ret_fixed_bad = true;
	}
	store_value(entry, NULL, &value, conf);
	return 0;
}

/* The broker keys that stand for the same thing: the topic table knows the families. */
static const char *
family_of(const char *key)
{
	for (size_t i = 0; i < topic_conf_entry_count; i++) {
		const char *family = topic_conf_entries[i].fallback;
		size_t first_len = strcspn(family, ",");

		if (family[first_len] == ',' && strlen(key) == first_len &&
		    memcmp(family, key, first_len) == 0)
			return family;
	}
	return key;
}

static const struct {
	size_t offset;
	enum conf_source source;
} levels[] = {
    {offsetof(struct broker_conf, dynamic_broker), CONF_SOURCE_DYNAMIC_BROKER},
    {offsetof(struct broker_conf, dynamic_default), CONF_SOURCE_DYNAMIC_DEFAULT_BROKER},
    {offsetof(struct broker_conf, fixed), CONF_SOURCE_STATIC_BROKER},
};

/* Adds what the levels of conf say of the keys of a family, strongest first. */
static size_t
add_levels(const struct broker_conf *conf, const char *family, struct conf_synonym *out, size_t n)
{
	for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
		const struct properties *level =
		    (const void *)((const char *)conf + levels[l].offset);

		for (const char *at = family; *at != '\0'; at += *at == ',') {
			size_t len = strcspn(at, ",");
			char key[128];
			const char *text;

			snprintf(key, sizeof(key), "%.*s", (int)len, at);
			at += len;
			text = properties_get(level, key);
			if (text == NULL || n == CONF_SYNONYMS_MAX - 1)
				continue;
			out[n++] = (struct conf_synonym){broker_conf_entry(key)->key, text,
							 levels[l].source};
		}
	}
	return n;
}

size_t
broker_conf_synonyms(const struct broker_conf *conf, const struct conf_entry *entry,
		     struct conf_synonym ret_synonyms[CONF_SYNONYMS_MAX])
{
	size_t n = add_levels(conf, family_of(entry->key), ret_synonyms, 0);

	if (entry->default_text != NULL)
		ret_synonyms[n++] =
		    (struct conf_synonym){entry->key, entry->default_text, CONF_SOURCE_DEFAULT};
	return n;
}

/* The key behind listener.name.NAME., or NULL. */
static const struct conf_entry *
entry_for_listener(const char *key)
{
	const char *dot;

	if (strncmp(key, "listener.name.", strlen("listener.name.")) != 0)
		return NULL;
	dot = strchr(key + strlen("listener.name."), '.');
	return dot == NULL ? NULL : broker_conf_entry(dot + 1);
}

/* A key with a wrong value for one listener. It gets its line. */
static const char *
find_wrong_for_listener(const struct properties *level, struct buf *errors)
{
	struct map_iter iter = {0};
	const char *text;

	while ((text = map_next(&level->texts, &iter)) != NULL) {
		const char *key = map_iter_key(&iter).data;
		const struct conf_entry *entry = entry_for_listener(key);
		struct conf_entry named;

		if (entry == NULL)
			continue;
		named = *entry;
		named.key = key;
		if (conf_entry_check(&named, text, errors) != 0)
			return key;
	}
	return NULL;
}

/* What is wrong for one listener is taken out, whatever the level. */
static void
check_listeners_own(struct broker_conf *conf, struct buf *errors, bool *ret_fixed_bad)
{
	for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
		struct properties *level = (void *)((char *)conf + levels[l].offset);
		const char *key;

		while ((key = find_wrong_for_listener(level, errors)) != NULL) {
			properties_remove(level, key);
			if (levels[l].source == CONF_SOURCE_STATIC_BROKER)
				*ret_fixed_bad = true;
		}
	}
}

int
broker_conf_build(const struct properties *fixed, const struct properties *dynamic_default,
		  const struct properties *dynamic_broker, struct buf *errors,
		  struct broker_conf **ret_conf)
{
	struct broker_conf *conf;
	bool fixed_bad = false;
	int st = 0;

	conf = calloc(1, sizeof(*conf));
	if (conf == NULL)
		return -ENOMEM;
	arena_init(&conf->arena, CONF_ARENA_BYTES);
	if (fixed != NULL)
		st = properties_copy(fixed, &conf->fixed);
	if (st == 0 && dynamic_default != NULL)
		st = properties_copy(dynamic_default, &conf->dynamic_default);
	if (st == 0 && dynamic_broker != NULL)
		st = properties_copy(dynamic_broker, &conf->dynamic_broker);
	for (size_t i = 0; st == 0 && i < broker_conf_entry_count; i++) {
		const struct conf_entry *entry = &broker_conf_entries[i];
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		size_t n = add_levels(conf, entry->key, synonyms, 0);

		if (entry->default_text != NULL)
			synonyms[n++] = (struct conf_synonym){entry->key, entry->default_text,
							      CONF_SOURCE_DEFAULT};
		st = store_first_valid(entry, synonyms, n, conf, errors, &fixed_bad);
	}
	if (st == 0)
		check_listeners_own(conf, errors, &fixed_bad);
	if (st == 0 && fixed_bad)
		st = -EINVAL;
	if (st != 0) {
		broker_conf_free(conf);
		return st;
	}
	*ret_conf = conf;
	return 0;
}

void
broker_conf_free(struct broker_conf *conf)
{
	if (conf == NULL)
		return;
	properties_fini(&conf->dynamic_broker);
	properties_fini(&conf->dynamic_default);
	properties_fini(&conf->fixed);
	arena_fini(&conf->arena);
	free(conf);
}

const char *
broker_conf_listener_text(const struct broker_conf *conf, const char *listener, const char *key)
{
	const struct conf_entry *entry = broker_conf_entry(key);
	struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
	char prefixed[256];
	char *p;

	assert(entry != NULL);
	snprintf(prefixed, sizeof(prefixed), "listener.name.%s.%s", listener, key);
	for (p = prefixed + strlen("listener.name."); *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
		const struct properties *level =
		    (const void *)((const char *)conf + levels[l].offset);
		const char *text = properties_get(level, prefixed);

		if (text != NULL)
			return text;
	}
	return broker_conf_synonyms(conf, entry, synonyms) > 0 ? synonyms[0].text : NULL;
}

/* Topics */

size_t
topic_conf_synonyms(const struct broker_conf *conf, const struct properties *overrides,
		    const struct conf_entry *entry,
		    struct conf_synonym ret_synonyms[CONF_SYNONYMS_MAX])
{
	const char *text = overrides == NULL ? NULL : properties_get(overrides, entry->key);
	const struct conf_entry *fallback;
	char key[128];
	size_t n = 0;

	if (text != NULL)
		ret_synonyms[n++] = (struct conf_synonym){entry->key, text, CONF_SOURCE_TOPIC};
	n = add_levels(conf, entry->fallback, ret_synonyms, n);
	/* The default shown is that of the broker's key which has one. */
	for (const char *at = entry->fallback; *at != '\0'; at += *at == ',') {
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(at, ","), at);
		at += strcspn(at, ",");
		fallback = broker_conf_entry(key);
		if (fallback != NULL && fallback->default_text != NULL) {
			ret_synonyms[n++] = (struct conf_synonym){
			    fallback->key, fallback->default_text, CONF_SOURCE_DEFAULT};
			return n;
		}
	}
	ret_synonyms[n++] =
	    (struct conf_synonym){entry->key, entry->default_text, CONF_SOURCE_DEFAULT};
	return n;
}

/* Broker keys count hours or minutes where the topic's counts ms. */
static int64_t
to_topic_unit(const char *key, int64_t number)
{
	size_t len = strlen(key);
	int64_t factor = 1;

	if (len > 6 && strcmp(key + len - 6, ".hours") == 0)
		factor = 3600 * 1000;
	else if (len > 8 && strcmp(key + len - 8, ".minutes") == 0)
		factor = 60 * 1000;
	if (number < 0)
		return number;
	return number > INT64_MAX / factor ? INT64_MAX : number * factor;
}

static int
store_topic_value(struct topic_conf *tc, const struct conf_entry *entry,
		  const struct conf_synonym *synonym, struct buf *errors)
{
	union conf_value value = {0};
	const char *text = synonym->text;

	if (text == NULL || parse_value(entry, text, &value, errors) != 0)
		return -EINVAL;
	if (is_number(entry->type))
		value.number = to_topic_unit(synonym->key, value.number);
	if (entry->type >= CONF_STRING) {
		text = arena_strdup(&tc->arena, text, strlen(text));
		if (text == NULL)
			return -ENOMEM;
	}
	store_value(entry, text, &value, tc);
	return 0;
}

int
topic_conf_init(struct topic_conf *tc, const struct broker_conf *conf,
		const struct properties *overrides, struct buf *errors)
{
	struct topic_conf built = {0};

	arena_init(&built.arena, CONF_ARENA_BYTES);
	for (size_t i = 0; i < topic_conf_entry_count; i++) {
		const struct conf_entry *entry = &topic_conf_entries[i];
		struct conf_synonym synonyms[CONF_SYNONYMS_MAX];
		size_t n = topic_conf_synonyms(conf, overrides, entry, synonyms);
		int st = -EINVAL;

		for (size_t s = 0; s < n && st == -EINVAL; s++)
			st = store_topic_value(&built, entry, &synonyms[s], errors);
		if (st != 0) {
			arena_fini(&built.arena);
			return st;
		}
	}
	/* The older limit stands in for either of the newer ones that is left at its default. */
	if (built.message_timestamp_before_max_ms == INT64_MAX)
		built.message_timestamp_before_max_ms = built.message_timestamp_difference_max_ms;
	if (built.message_timestamp_after_max_ms == INT64_MAX)
		built.message_timestamp_after_max_ms = built.message_timestamp_difference_max_ms;
	*tc = built;
	return 0;
}

void
topic_conf_fini(struct topic_conf *tc)
{
	arena_fini(&tc->arena);
}

void
topic_conf_text(const struct topic_conf *tc, const struct conf_entry *entry, struct buf *out)
{
	const void *field = (const char *)tc + entry->field;

	if (entry->type == CONF_BOOLEAN)
		buf_printf(out, "%s", *(const bool *)field ? "true" : "false");
	else if (is_number(entry->type))
		buf_printf(out, "%lld", (long long)*(const int64_t *)field);
	else if (entry->type == CONF_DOUBLE)
		buf_printf(out, "%.15g", *(const double *)field);
	else
		buf_printf(out, "%s", *(const char *const *)field);
}

/* The rules between a topic's settings. */
static void
check_topic_rules(const struct topic_conf *tc, struct buf *errors)
{
	if (tc->min_compaction_lag_ms > tc->max_compaction_lag_ms)
		buf_printf(errors,
			   "min.compaction.lag.ms=%lld: must not exceed max.compaction.lag.ms "
			   "(%lld)\n",
			   (long long)tc->min_compaction_lag_ms,
			   (long long)tc->max_compaction_lag_ms);
	if (tc->remote_log_copy_disable)
		buf_printf(errors, "remote.log.copy.disable=true: is refused under ZooKeeper\n");
	if (tc->remote_log_delete_on_disable)
		buf_printf(errors,
			   "remote.log.delete.on.disable=true: is refused under ZooKeeper\n");
	if (tc->remote_storage_enable)
		buf_printf(errors,
			   "remote.storage.enable=true: needs "
			   "remote.log.storage.system.enable, which is off on this broker\n");
}

int
topic_conf_check(const struct broker_conf *conf, const struct properties *overrides,
		 struct buf *errors)
{
	struct map_iter iter = {0};
	struct topic_conf tc;
	size_t before = errors->len;
	const char *text;
	int st;

	while ((text = map_next(&overrides->texts, &iter)) != NULL) {
		const char *key = map_iter_key(&iter).data;
		const struct conf_entry *entry = topic_conf_entry(key);

		if (entry == NULL)
			buf_printf(errors, "%s: there is no such topic setting\n", key);
		else if (conf_entry_check(entry, text, errors) != 0)
			continue;
	}
	if (errors->len != before)
		return -EINVAL;
	st = topic_conf_init(&tc, conf, overrides, NULL);
	if (st != 0)
		return st;
	check_topic_rules(&tc, errors);
	topic_conf_fini(&tc);
	return errors->len != before ? -EINVAL : 0;
}
