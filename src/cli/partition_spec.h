/*
 * partition_spec.h - a topic, or some of its partitions, as Kafka's tools name them: T, T:0,1,2.
 */
#ifndef KLAMM_CLI_PARTITION_SPEC_H
#define KLAMM_CLI_PARTITION_SPEC_H

#include "base/bytes.h"

struct partition_spec {
	char *topic;
	int32_t *partitions;
	size_t count; /* 0: all of the topic */
};

/* 0, -EINVAL (no topic, or what follows the colon is no list of numbers) or -ENOMEM. */
MUST_CHECK int partition_spec_parse(struct partition_spec *spec, const char *text);
void partition_spec_fini(struct partition_spec *spec);
bool partition_spec_has(const struct partition_spec *spec, const char *topic, int32_t partition);

#endif
