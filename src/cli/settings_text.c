/*
 * settings_text.c - settings as kafka-configs takes them.
 */
#include "cli/settings_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

void
settings_fini(struct settings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->items[i].name);
		free(s->items[i].value);
	}
	free(s->items);
	*s = (struct settings){0};
}

static struct setting *
find(const struct settings *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strlen(s->items[i].name) == len && memcmp(s->items[i].name, name, len) == 0)
			return &s->items[i];
	}
	return NULL;
}

int
settings_put(struct settings *s, struct str name, struct str value)
{
	struct setting *item = find(s, name.data, name.len);
	char *copy = strndup(value.data, value.len);

	if (copy == NULL)
		return -ENOMEM;
	if (item == NULL) {
		struct setting *items = realloc(s->items, (s->count + 1) * sizeof(*items));
		char *key = strndup(name.data, name.len);

		if (items != NULL)
			s->items = items;
		if (items == NULL || key == NULL) {
			free(key);
			free(copy);
			return -ENOMEM;
		}
		item = &s->items[s->count++];
		*item = (struct setting){key, NULL};
	}
	free(item->value);
	item->value = copy;
	return 0;
}

const char *
settings_get(const struct settings *s, const char *name)
{
	struct setting *item = find(s, name, strlen(name));

	return item == NULL ? NULL : item->value;
}

bool
settings_remove(struct settings *s, const char *name)
{
	struct setting *item = find(s, name, strlen(name));

	if (item == NULL)
		return false;
	free(item->name);
	free(item->value);
	memmove(item, item + 1, (size_t)(s->items + s->count - (item + 1)) * sizeof(*item));
	s->count--;
	return true;
}

static struct str
trim(struct str text)
{
	while (text.len > 0 && isspace((unsigned char)text.data[0])) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
		text.len--;
	return text;
}

/* bracketed: [a,b] means a,b */
static int
put_one(struct settings *s, struct str text, bool bracketed)
{
	const char *equals = memchr(text.data, '=', text.len);
	struct str name, value;

	if (equals == NULL)
		return -EINVAL;
	name = trim((struct str){text.data, (size_t)(equals - text.data)});
	value = trim((struct str){equals + 1, (size_t)(text.data + text.len - (equals + 1))});
	if (name.len == 0)
		return -EINVAL;
	if (bracketed && value.len >= 2 && value.data[0] == '[' &&
	    value.data[value.len - 1] == ']') {
		value.data++;
		value.len -= 2;
	}
	return settings_put(s, name, value);
}

int
settings_parse(struct settings *s, const char *text)
{
	while (*text != '\0') {
		const char *end = text;
		int depth = 0, st;

		for (; *end != '\0' && (*end != ',' || depth > 0); end++) {
			if (*end == '[')
				depth++;
			else if (*end == ']' && depth > 0)
				depth--;
		}
		if (depth > 0)
			return -EINVAL;
		st = put_one(s, (struct str){text, (size_t)(end - text)}, true);
		if (st != 0)
			return st;
		text = *end == ',' ? end + 1 : end;
	}
	return 0;
}

int
settings_parse_one(struct settings *s, const char *text)
{
	return put_one(s, str_of(text), false);
}
