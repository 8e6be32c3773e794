/*
 * version.c - klamm version: ours and librdkafka's.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "cli/commands.h"
#include "config.h"

static bool json;

static int
run(int argc, char **argv)
{
	if (argc > 0)
		return usage_error("'%s' is one word too many", argv[0]);
	if (json)
		printf("{\"klamm\":\"%s\",\"librdkafka\":\"%s\"}\n", PACKAGE_VERSION,
		       rd_kafka_version_str());
	else
		printf("klamm %s (librdkafka %s)\n", PACKAGE_VERSION, rd_kafka_version_str());
	return CLI_DONE;
}

static const struct option_row options[] = {
    {0, "json", NULL, "One JSON object.", OPTION_FLAG, &json},
    {0},
};

const struct command version_command = {
    .name = "version",
    .summary = "Tell the version",
    .args = "[--json]",
    .text = "Tells the version of klamm and of the librdkafka that it runs with.\n",
    .options = options,
    .run = run,
};
