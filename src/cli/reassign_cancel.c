/*
 * reassign_cancel.c - klamm reassign cancel: takes back what has not been done yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/partition_spec.h"
#include "cli/reassign_request.h"
#include "cli/reassign_view.h"
#include "cli/reassign_wait.h"

#define FILE_MAX ((size_t)1 << 30)
#define PAUSE_MS 100

static struct {
	struct text_list topics;
	bool all, preserve_throttles;
	const char *file;
	struct assignment plan; /* of the file */
} opt;

static int
read_file(struct arena *arena)
{
	struct buf text = {0}, why = {0};
	int st;

	st = env_read_file(env_system(), AT_FDCWD, opt.file, FILE_MAX, &text);
	if (st != 0)
		complain("%s: cannot read it: %s", opt.file, strerror(-st));
	else if ((st = assignment_parse(buf_slice(&text), arena, &opt.plan, &why)) != 0)
		complain("%s: %s", opt.file,
			 st == -EINVAL && buf_text(&why) != NULL ? buf_text(&why) : strerror(-st));
	buf_fini(&text);
	buf_fini(&why);
	return st == 0 ? CLI_DONE : CLI_USAGE;
}

/* ---- which ---- */

static int
is_meant(const char *topic, int32_t partition, bool *ret_meant)
{
	*ret_meant = opt.all || assignment_find(&opt.plan, topic, partition) != NULL;
	for (size_t i = 0; i < opt.topics.count && !*ret_meant; i++) {
		struct partition_spec spec;
		int st = partition_spec_parse(&spec, opt.topics.items[i]);

		if (st == -EINVAL)
			return usage_error("--topic takes TOPIC or TOPIC:0,1,2, not '%s'",
					   opt.topics.items[i]);
		if (st != 0)
			return no_memory();
		*ret_meant = partition_spec_has(&spec, topic, partition);
		partition_spec_fini(&spec);
	}
	return CLI_DONE;
}

static int
choose(const struct reassign_view *view, struct arena *arena, struct assignment *ret_chosen)
{
	struct assignment chosen = {0};
	int st = CLI_DONE;

	chosen.items = arena_calloc(arena, view->ongoing_count + 1, sizeof(*chosen.items));
	if (chosen.items == NULL)
		return no_memory();
	for (size_t i = 0; st == CLI_DONE && i < view->ongoing_count; i++) {
		const struct ongoing *o = &view->ongoing[i];
		bool meant;

		st = is_meant(o->topic, o->p->partition_index, &meant);
		if (st == CLI_DONE && meant)
			chosen.items[chosen.count++] = (struct assigned_partition){
			    .topic = o->topic, .partition = o->p->partition_index};
	}
	*ret_chosen = chosen;
	return st;
}

/* ---- waiting until it is so ---- */

static int
list(struct reassign_view *view, struct broker_calls *calls, struct arena *arena)
{
	struct buf why = {0};
	int st = reassign_view_list(view, calls, arena, &why);

	if (st != CLI_DONE && why.len > 0 && buf_text(&why) != NULL)
		complain("asking what is being reassigned: %s", buf_text(&why));
	buf_fini(&why);
	return st;
}

/* Until none of them is being reassigned. ret_others: how many others are. */
static int
wait_until_gone(struct broker_calls *calls, const struct assignment *cancelled, size_t *ret_others)
{
	int64_t end_ms = env_monotonic_ms(env_system()) + broker_calls_timeout_ms(calls);

	for (;;) {
		struct reassign_view view = {{0}};
		struct arena arena;
		size_t left = 0, count;
		int st;

		arena_init(&arena, REASSIGN_ARENA_MAX);
		st = list(&view, calls, &arena);
		count = view.ongoing_count;
		for (size_t i = 0; st == CLI_DONE && i < count; i++)
			left += assignment_find(cancelled, view.ongoing[i].topic,
						view.ongoing[i].p->partition_index) != NULL;
		arena_fini(&arena);
		if (st != CLI_DONE)
			return st;
		*ret_others = count - left;
		if (left == 0)
			return CLI_DONE;
		if (env_monotonic_ms(env_system()) >= end_ms) {
			complain("%zu of them are still on the controller's list: 'klamm reassign "
				 "watch' waits for them, and takes the throttle off",
				 left);
			return CLI_REFUSED;
		}
		poll(NULL, 0, PAUSE_MS);
	}
}

static int
cancel(struct broker_calls *calls, struct arena *arena)
{
	struct reassign_view view = {{0}};
	struct assignment chosen;
	size_t refused = 0, others = 0;
	int st;

	st = list(&view, calls, arena);
	if (st == CLI_DONE)
		st = choose(&view, arena, &chosen);
	if (st == CLI_DONE)
		st = reassign_request(calls, &chosen, true, &refused);
	if (st == CLI_DONE)
		st = wait_until_gone(calls, &chosen, &others);
	if (st != CLI_DONE)
		return st;
	if (chosen.count > 0)
		printf("Cancelled for %zu partition%s.\n", chosen.count,
		       chosen.count == 1 ? "" : "s");
	else if (refused == 0)
		printf("Nothing of that is being reassigned.\n");
	if (others > 0)
		printf("%zu other%s on, and so does a throttle.\n", others,
		       others == 1 ? " goes" : "s go");
	else if (!opt.preserve_throttles)
		st = reassign_end_throttles(calls, false);
	return refused > 0 ? CLI_REFUSED : st;
}

static int
check_usage(int argc, char **argv, struct arena *arena)
{
	bool ignored;

	if (argc > 1)
		return usage_error("'%s' is one word too many", argv[1]);
	opt.file = argc == 1 ? argv[0] : NULL;
	if ((opt.file != NULL) + opt.all + (opt.topics.count > 0) != 1)
		return usage_error("cancel what? Give the plan's file, --topic TOPIC[:P,P...], or "
				   "--all");
	return opt.file != NULL ? read_file(arena) : is_meant("", 0, &ignored);
}

static int
run(int argc, char **argv)
{
	struct broker_calls *calls = NULL;
	struct arena arena;
	int st;

	arena_init(&arena, REASSIGN_ARENA_MAX);
	st = check_usage(argc, argv, &arena);
	if (st == CLI_DONE)
		st = broker_calls_open(&calls);
	if (st == CLI_DONE)
		st = cancel(calls, &arena);
	broker_calls_close(calls);
	arena_fini(&arena);
	return st;
}

static const struct option_row options[] = {
    {0, "all", NULL, "All that is being reassigned.", OPTION_FLAG, &opt.all},
    {'t', "topic", "TOPIC[:P,P...]", "What is being reassigned of a topic, or of partitions of it.",
     OPTION_LIST, &opt.topics},
    {0, "preserve-throttles", NULL, "Leave throttles as they are at the end.", OPTION_FLAG,
     &opt.preserve_throttles},
    {0},
};

const struct command reassign_cancel_command = {
    .name = "reassign cancel",
    .summary = "Take back reassignments that are not done",
    .args = "FILE | --topic TOPIC[:P,P...] | --all [OPTION...]",
    .text =
	"The partitions of a plan's file, of topics, or all go back to the replicas they come\n"
	"from, which may then stand in another order; what has been copied is deleted. Partitions\n"
	"that are done stay as they are: the file that 'klamm reassign apply' saved brings those\n"
	"back. When nothing else moves, the throttle is taken off.\n\n"
	"Examples:\n"
	"  klamm reassign cancel --all\n"
	"  klamm reassign cancel plan.json\n"
	"  klamm reassign cancel --topic orders:0,3\n",
    .options = options,
    .connects = true,
    .run = run,
};
