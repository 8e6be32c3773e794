/*
 * reassign_plan.c - klamm reassign plan: makes a plan, and changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/reassign_planning.h"

static struct {
	struct planning planning;
	const char *output;
} opt;

static int
write_plan(const struct reassign_plan *plan)
{
	struct buf text = {0};
	int st = CLI_DONE, error;

	assignment_format(&plan->target, &text);
	if (text.failed) {
		st = no_memory();
	} else if (opt.output == NULL) {
		fwrite(text.data, 1, text.len, stdout);
	} else {
		error = env_replace_file(env_system(), AT_FDCWD, opt.output, buf_slice(&text));
		if (error != 0) {
			complain("-o %s: cannot write it: %s", opt.output, strerror(-error));
			st = CLI_REFUSED;
		}
	}
	buf_fini(&text);
	return st;
}

static int
plan(struct broker_calls *calls, struct arena *arena)
{
	struct reassign_plan made;
	struct reassign_view view;
	int st;

	st = reassign_view_load(&view, calls, arena);
	if (st == CLI_DONE)
		st = reassign_plan_make(&opt.planning, &view, broker_calls_cluster(calls), arena,
					&made);
	if (st == CLI_DONE)
		st = reassign_plan_weigh(&made, calls, arena);
	if (st == CLI_DONE)
		st = write_plan(&made);
	if (st == CLI_DONE) {
		fflush(stdout);
		reassign_plan_tell(&made, &view, stderr);
	}
	return st;
}

static int
run(int argc, char **argv)
{
	struct broker_calls *calls = NULL;
	struct arena arena;
	int st;

	if (argc > 0)
		return usage_error("'%s' is one word too many", argv[0]);
	st = planning_check(&opt.planning);
	if (st == CLI_DONE)
		st = broker_calls_open(&calls);
	if (st != CLI_DONE)
		return st;
	arena_init(&arena, REASSIGN_ARENA_MAX);
	st = broker_calls_refresh(calls);
	if (st == CLI_DONE)
		st = plan(calls, &arena);
	arena_fini(&arena);
	broker_calls_close(calls);
	return st;
}

static const struct option_row options[] = {
    PLANNING_ROWS(opt.planning),
    {'o', "output", "FILE", "Where to write the plan. Default: standard output.", OPTION_TEXT,
     &opt.output},
    {0},
};

const struct command reassign_plan_command = {
    .name = "reassign plan",
    .summary = "Plan which brokers shall hold which replicas",
    .args = "--drain BROKER | --add BROKER | --replication-factor N [OPTION...]",
    .text = "Prints the plan in the JSON that kafka-reassign-partitions.sh takes too, and on\n"
	    "standard error what it will cost; nothing is changed. --drain, --add and\n"
	    "--replication-factor may be given together. As little moves as can; replicas of a\n"
	    "partition stand in different racks where racks suffice; topics and preferred leaders\n"
	    "are spread evenly.\n\n"
	    "Examples:\n"
	    "  klamm reassign plan --drain 3 >plan.json\n"
	    "  klamm reassign plan --add 4 -o plan.json\n"
	    "  klamm reassign plan --drain 3 --add 4 --topic orders\n"
	    "  klamm reassign plan --replication-factor 3 --topic orders --brokers 1,2,4\n",
    .options = options,
    .connects = true,
    .run = run,
};
