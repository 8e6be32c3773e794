/*
 * partition_spec.c - a topic, or some of its partitions: T, T:0,1,2.
 */
#include "cli/partition_spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

/* One number, and the comma or the end behind it. */
static int
take_partition(const char **p, int32_t *ret_partition)
{
	int64_t value = 0;

	if (!isdigit((unsigned char)**p))
		return -EINVAL;
	for (; isdigit((unsigned char)**p); (*p)++) {
		value = value * 10 + **p - '0';
		if (value > INT32_MAX)
			return -EINVAL;
	}
	if (**p == ',' && (*p)[1] != '\0')
		(*p)++;
	else if (**p != '\0')
		return -EINVAL;
	*ret_partition = (int32_t)value;
	return 0;
}

int
partition_spec_parse(struct partition_spec *spec, const char *text)
{
	struct partition_spec s = {0};
	size_t len = strcspn(text, ":"), numbers = 1;
	const char *p = text + len;
	int st = 0;

	if (len == 0)
		return -EINVAL;
	for (const char *q = p; *q != '\0'; q++)
		numbers += *q == ',';
	s.topic = strndup(text, len);
	s.partitions = calloc(numbers, sizeof(*s.partitions));
	if (s.topic == NULL || s.partitions == NULL) {
		partition_spec_fini(&s);
		return -ENOMEM;
	}
	if (*p == ':') {
		p++;
		do
			st = take_partition(&p, &s.partitions[s.count++]);
		while (st == 0 && *p != '\0');
	}
	if (st != 0) {
		partition_spec_fini(&s);
		return st;
	}
	*spec = s;
	return 0;
}

void
partition_spec_fini(struct partition_spec *spec)
{
	free(spec->topic);
	free(spec->partitions);
	*spec = (struct partition_spec){0};
}

bool
partition_spec_has(const struct partition_spec *spec, const char *topic, int32_t partition)
{
	if (strcmp(spec->topic, topic) != 0)
		return false;
	for (size_t i = 0; i < spec->count; i++) {
		if (spec->partitions[i] == partition)
			return true;
	}
	return spec->count == 0;
}
