/*
 * reassign_watch.c - klamm reassign watch: how far it is, until it is done.
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/reassign_progress.h"
#include "cli/reassign_wait.h"
#include "cli/replication_throttle.h"

static struct {
	bool preserve_throttles, json;
} opt;

static void
tell_rate(struct broker_calls *calls)
{
	int64_t rate = replication_throttle_rate(calls);
	struct buf text = {0};

	if (rate < 0)
		return;
	bytes_format(rate, &text);
	if (buf_text(&text) != NULL)
		fprintf(opt.json ? stderr : stdout, "Each broker copies %s a second at most.\n",
			buf_text(&text));
	buf_fini(&text);
}

static int
run(int argc, char **argv)
{
	struct reassign_wait wait = {.json = opt.json,
				     .preserve_throttles = opt.preserve_throttles};
	struct broker_calls *calls = NULL;
	int st;

	if (argc > 0)
		return usage_error("'%s' is one word too many", argv[0]);
	st = broker_calls_open(&calls);
	if (st == CLI_DONE)
		st = broker_calls_refresh(calls);
	if (st == CLI_DONE) {
		tell_rate(calls);
		st = reassign_wait(calls, &wait);
	}
	broker_calls_close(calls);
	return st;
}

static const struct option_row options[] = {
    {0, "preserve-throttles", NULL, "Leave throttles as they are at the end.", OPTION_FLAG,
     &opt.preserve_throttles},
    {0, "json", NULL,
     "One JSON object a line: partitions, partitions_done, bytes_total, bytes_copied, "
     "bytes_per_second, seconds_left, absent_brokers, finished.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command reassign_watch_command = {
    .name = "reassign watch",
    .summary = "Tell how far reassignments are; at the end, take the throttle off",
    .args = "[OPTION...]",
    .text =
	"Tells about all that is being reassigned, whoever began it: partitions, bytes, rate\n"
	"and the time that is left. When nothing moves any longer, it takes off what\n"
	"reassignments set: the lists of throttled replicas of topics, but for \"*\", and the\n"
	"rates of the brokers in them. On a terminal it is one line; else there is a line when\n"
	"a partition is done, and every ten seconds.\n\n"
	"Examples:\n"
	"  klamm reassign watch\n"
	"  klamm reassign watch --json | jq .seconds_left\n",
    .options = options,
    .connects = true,
    .run = run,
};
