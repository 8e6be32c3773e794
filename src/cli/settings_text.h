/*
 * settings_text.h - settings as kafka-configs takes them: a=1,b=[x,y],c=.
 *
 * Threads  one.
 */
#ifndef KLAMM_CLI_SETTINGS_TEXT_H
#define KLAMM_CLI_SETTINGS_TEXT_H

#include "base/bytes.h"

struct setting {
	char *name;
	char *value;
};

/* Zero-initialised is empty. */
struct settings {
	struct setting *items;
	size_t count;
};

void settings_fini(struct settings *s);
/*
 * Adds one setting; a name that is there already takes the new value. 0 or -ENOMEM.
 */
MUST_CHECK int settings_put(struct settings *s, struct str name, struct str value);
/* NULL when it is not there. */
const char *settings_get(const struct settings *s, const char *name);
/* False when it was not there. */
bool settings_remove(struct settings *s, const char *name);
/*
 * Adds NAME=VALUE settings that commas part; a value in brackets may hold commas. Blanks around
 * names and values are cut. -EINVAL: a setting without = or name, or a bracket that is not closed.
 */
MUST_CHECK int settings_parse(struct settings *s, const char *text);
/* One NAME=VALUE; commas belong to the value. */
MUST_CHECK int settings_parse_one(struct settings *s, const char *text);

#endif
