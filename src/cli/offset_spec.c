/*
 * offset_spec.c - where to begin and to stop reading.
 */
#include "cli/offset_spec.h"

#include <errno.h>

#include "cli/command.h"
#include "cli/time_text.h"

int
offset_spec_parse(const char *text, struct offset_spec *spec)
{
	struct offset_spec s = *spec;

	if (strncmp(text, "e@", 2) == 0) {
		if (time_parse(text + 2, &s.stop_ms) != 0)
			return -EINVAL;
	} else if (strncmp(text, "s@", 2) == 0) {
		s.kind = OFFSET_TIME;
		if (time_parse(text + 2, &s.value) != 0)
			return -EINVAL;
	} else if (strcmp(text, "beginning") == 0 || strcmp(text, "earliest") == 0) {
		s.kind = OFFSET_BEGINNING;
	} else if (strcmp(text, "end") == 0 || strcmp(text, "latest") == 0) {
		s.kind = OFFSET_END;
	} else if (text[0] == '-') {
		s.kind = OFFSET_TAIL;
		if (parse_int(text + 1, 1, INT64_MAX / 2, &s.value) != 0)
			return -EINVAL;
	} else {
		s.kind = OFFSET_AT;
		if (parse_int(text, 0, INT64_MAX, &s.value) != 0)
			return -EINVAL;
	}
	*spec = s;
	return 0;
}
