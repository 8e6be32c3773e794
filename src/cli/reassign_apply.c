/*
 * reassign_apply.c - klamm reassign apply: carries a plan out, and stays until that is done.
 *
 * The order: what is now is saved, so that there is a way back; the throttle's lists and rates are
 * set; then the controller is asked to begin. Whatever ends this command after that, 'klamm
 * reassign watch' finds what goes on, and takes the throttle off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "cli/commands.h"
#include "cli/reassign_planning.h"
#include "cli/reassign_request.h"
#include "cli/reassign_wait.h"
#include "cli/replication_throttle.h"

#define FILE_MAX ((size_t)1 << 30)

static struct {
	struct planning planning;
	const char *file;
	int64_t throttle;
	const char *save;
	bool additional, no_wait, preserve_throttles, json;
} opt;

/* What is told beside the progress. */
static FILE *
out(void)
{
	return opt.json ? stderr : stdout;
}

/* ---- the plan ---- */

static int
read_input(struct buf *text)
{
	bool is_stdin = strcmp(opt.file, "-") == 0;
	int st;

	if (!is_stdin) {
		st = env_read_file(env_system(), AT_FDCWD, opt.file, FILE_MAX, text);
		if (st != 0)
			complain("%s: cannot read it: %s", opt.file, strerror(-st));
		return st == 0 ? CLI_DONE : CLI_USAGE;
	}
	for (;;) {
		uint8_t *room = buf_reserve(text, 65536);
		ssize_t n = room == NULL ? -1 : read(STDIN_FILENO, room, 65536);

		if (room == NULL)
			return no_memory();
		if (n < 0) {
			complain("standard input: %s", strerror(errno));
			return CLI_USAGE;
		}
		if (n == 0)
			return CLI_DONE;
		text->len += (size_t)n;
	}
}

static int
read_plan(struct arena *arena, struct assignment *ret_plan)
{
	struct buf text = {0}, why = {0};
	int st;

	st = read_input(&text);
	if (st == CLI_DONE) {
		st = assignment_parse(buf_slice(&text), arena, ret_plan, &why);
		if (st == -EINVAL && buf_text(&why) != NULL)
			complain("%s: %s", opt.file, buf_text(&why));
		st = st == -ENOMEM ? no_memory() : st != 0 ? CLI_USAGE : CLI_DONE;
	}
	buf_fini(&text);
	buf_fini(&why);
	return st;
}

static int
refuse_ongoing(const struct reassign_view *view)
{
	if (view->ongoing_count == 0 || opt.additional)
		return CLI_DONE;
	complain(
	    "%zu partition%s being reassigned already (%s-%d%s): wait for that (klamm reassign "
	    "watch), take it back (klamm reassign cancel), or add to it with --additional",
	    view->ongoing_count, view->ongoing_count == 1 ? " is" : "s are", view->ongoing[0].topic,
	    view->ongoing[0].p->partition_index, view->ongoing_count == 1 ? "" : " first");
	return CLI_REFUSED;
}

/* ---- the way back ---- */

static int
save_former(const struct assignment *former)
{
	struct buf text = {0};
	char by_time[64];
	time_t now = time(NULL);
	const char *file = opt.save;
	int st;

	if (file == NULL) {
		strftime(by_time, sizeof(by_time), "reassign-%Y%m%d-%H%M%S.json", localtime(&now));
		file = by_time;
	}
	assignment_format(former, &text);
	st = text.failed ? -ENOMEM
			 : env_replace_file(env_system(), AT_FDCWD, file, buf_slice(&text));
	buf_fini(&text);
	if (st != 0) {
		complain("cannot save the present assignment to %s: %s; say where with --save FILE",
			 file, strerror(-st));
		return CLI_REFUSED;
	}
	fprintf(out(), "The present assignment is saved: 'klamm reassign apply %s' goes back.\n",
		file);
	return CLI_DONE;
}

/* ---- the throttle ---- */

static int
fill_move(struct arena *arena, const struct assigned_partition *target, const int32_t *sources,
	  int32_t source_count, struct replica_move *to)
{
	*to = (struct replica_move){.topic = target->topic,
				    .partition = target->partition,
				    .sources = sources,
				    .source_count = source_count};
	to->destinations = ids_without(arena, target->replicas, target->replica_count, sources,
				       source_count, &to->destination_count);
	return to->destinations == NULL ? no_memory() : CLI_DONE;
}

/* What goes on already, unless the plan gives it another aim. */
static int
fill_ongoing(struct arena *arena, const struct ongoing *o, struct replica_move *to)
{
	*to = (struct replica_move){.topic = o->topic,
				    .partition = o->p->partition_index,
				    .destinations = o->p->adding_replicas,
				    .destination_count = o->p->adding_replicas_count};
	to->sources =
	    ids_without(arena, o->p->replicas, o->p->replicas_count, o->p->adding_replicas,
			o->p->adding_replicas_count, &to->source_count);
	return to->sources == NULL ? no_memory() : CLI_DONE;
}

static int
compare_moves(const void *a, const void *b)
{
	const struct replica_move *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);

	return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static int
set_throttle(struct broker_calls *calls, const struct reassign_plan *plan,
	     const struct reassign_view *view, struct arena *arena)
{
	struct replica_move *moves =
	    arena_calloc(arena, plan->target.count + view->ongoing_count + 1, sizeof(*moves));
	struct buf rate = {0};
	size_t count = 0;
	int st = moves == NULL ? no_memory() : CLI_DONE;

	for (size_t i = 0; st == CLI_DONE && i < plan->target.count; i++)
		st = fill_move(arena, &plan->target.items[i], plan->former.items[i].replicas,
			       plan->former.items[i].replica_count, &moves[count++]);
	for (size_t i = 0; st == CLI_DONE && i < view->ongoing_count; i++) {
		const struct ongoing *o = &view->ongoing[i];

		if (assignment_find(&plan->target, o->topic, o->p->partition_index) == NULL)
			st = fill_ongoing(arena, o, &moves[count++]);
	}
	if (st != CLI_DONE)
		return st;
	qsort(moves, count, sizeof(*moves), compare_moves);
	st = replication_throttle_set(calls, moves, count, opt.throttle);
	bytes_format(opt.throttle, &rate);
	if (st == CLI_DONE && buf_text(&rate) != NULL)
		fprintf(out(), "Each broker copies %s a second at most.\n", buf_text(&rate));
	buf_fini(&rate);
	return st;
}

/* ---- carrying it out ---- */

static int
start(struct broker_calls *calls, struct reassign_plan *plan, const struct reassign_view *view,
      struct arena *arena, size_t *ret_refused)
{
	int st, ended;

	st = save_former(&plan->former);
	if (st == CLI_DONE && opt.throttle > 0)
		st = set_throttle(calls, plan, view, arena);
	if (st != CLI_DONE)
		return st;
	st = reassign_request(calls, &plan->target, false, ret_refused);
	if (st != CLI_DONE) {
		complain("what has begun goes on: 'klamm reassign watch' shows it, and takes the "
			 "throttle off at the end");
		return st;
	}
	if (plan->target.count > 0)
		return CLI_DONE;
	if (view->ongoing_count == 0 && opt.throttle > 0) {
		ended = reassign_end_throttles(calls, opt.json);
		if (ended != CLI_DONE)
			return ended;
	}
	return CLI_REFUSED;
}

/* The moves of what was not refused, in their place. */
static size_t
keep_begun(struct reassign_plan *plan, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (assignment_find(&plan->target, plan->moves[i].topic,
				    plan->moves[i].partition) != NULL)
			plan->moves[kept++] = plan->moves[i];
	}
	return kept;
}

static int
carry_out(struct broker_calls *calls, struct reassign_plan *plan, const struct reassign_view *view,
	  struct arena *arena)
{
	struct reassign_wait wait = {.json = opt.json,
				     .preserve_throttles = opt.preserve_throttles,
				     .expected = &plan->target};
	size_t refused = 0, planned = plan->target.count;
	int st;

	st = start(calls, plan, view, arena, &refused);
	if (st != CLI_DONE)
		return st;
	if (opt.no_wait) {
		fprintf(out(), "Begun: 'klamm reassign watch' shows how far it is%s.\n",
			opt.throttle > 0 ? ", and takes the throttle off at the end" : "");
		return refused > 0 ? CLI_REFUSED : CLI_DONE;
	}
	wait.begun = plan->moves;
	wait.begun_count = keep_begun(plan, planned);
	st = reassign_wait(calls, &wait);
	return st == CLI_DONE && refused > 0 ? CLI_REFUSED : st;
}

static int
apply(struct broker_calls *calls, const struct assignment *wanted, struct arena *arena)
{
	const struct cluster_view *cluster = broker_calls_cluster(calls);
	struct reassign_view view;
	struct reassign_plan plan;
	int st;

	st = reassign_view_load(&view, calls, arena);
	if (st == CLI_DONE)
		st = refuse_ongoing(&view);
	if (st == CLI_DONE)
		st = opt.file != NULL
			 ? reassign_plan_of(wanted, &view, cluster, arena, &plan)
			 : reassign_plan_make(&opt.planning, &view, cluster, arena, &plan);
	if (st == CLI_DONE)
		st = reassign_plan_weigh(&plan, calls, arena);
	if (st != CLI_DONE)
		return st;
	reassign_plan_tell(&plan, &view, out());
	return plan.target.count > 0 ? carry_out(calls, &plan, &view, arena) : CLI_DONE;
}

static int
check_usage(int argc, char **argv)
{
	if (argc > 1)
		return usage_error("'%s' is one word too many", argv[1]);
	opt.file = argc == 1 ? argv[0] : NULL;
	if (opt.file == NULL)
		return planning_is_asked(&opt.planning)
			   ? planning_check(&opt.planning)
			   : usage_error("which plan? Give a file of 'klamm reassign plan', or "
					 "--drain, --add or --replication-factor");
	if (planning_is_asked(&opt.planning) || opt.planning.brokers.count > 0 ||
	    opt.planning.topics.count > 0 || opt.planning.all_topics)
		return usage_error("%s says what moves: leave the options of a plan out", opt.file);
	return CLI_DONE;
}

static int
run(int argc, char **argv)
{
	struct broker_calls *calls = NULL;
	struct assignment wanted = {0};
	struct arena arena;
	int st;

	st = check_usage(argc, argv);
	if (st != CLI_DONE)
		return st;
	arena_init(&arena, REASSIGN_ARENA_MAX);
	if (opt.file != NULL)
		st = read_plan(&arena, &wanted);
	if (st == CLI_DONE)
		st = broker_calls_open(&calls);
	if (st == CLI_DONE)
		st = broker_calls_refresh(calls);
	if (st == CLI_DONE)
		st = apply(calls, &wanted, &arena);
	broker_calls_close(calls);
	arena_fini(&arena);
	return st;
}

static const struct option_row options[] = {
    PLANNING_ROWS(opt.planning),
    {0, "throttle", "BYTES",
     "How many bytes a second each broker may send, and may receive, for this. Without it as "
     "many as it can.",
     OPTION_INT, &opt.throttle, 1, INT64_MAX},
    {0, "save", "FILE",
     "Where to save the present assignment, the way back. Default: reassign-DATE-TIME.json here.",
     OPTION_TEXT, &opt.save},
    {0, "additional", NULL,
     "Begin although others are being reassigned; partitions among those get a new aim, and "
     "--throttle holds for all.",
     OPTION_FLAG, &opt.additional},
    {0, "no-wait", NULL,
     "End when it has begun: then 'klamm reassign watch' takes the throttle off.", OPTION_FLAG,
     &opt.no_wait},
    {0, "preserve-throttles", NULL, "Leave the throttle as it is at the end.", OPTION_FLAG,
     &opt.preserve_throttles},
    {0, "json", NULL, "Progress as that of 'klamm reassign watch --json'.", OPTION_FLAG, &opt.json},
    {0},
};

const struct command reassign_apply_command = {
    .name = "reassign apply",
    .summary = "Move replicas as planned, watch it, take the throttle off",
    .args = "FILE | --drain BROKER | --add BROKER | --replication-factor N [OPTION...]",
    .text = "FILE is a plan of 'klamm reassign plan' or of kafka-reassign-partitions.sh; - is\n"
	    "standard input. With the options of 'klamm reassign plan' it plans by itself. The\n"
	    "throttle is that of kafka-reassign-partitions.sh: either can finish what the other\n"
	    "began. An interrupt ends the watching only; the cluster goes on.\n\n"
	    "Who leads does not change while a leader stays among the replicas: afterwards the\n"
	    "controller balances leaders, or 'klamm topic elect-leaders' does.\n\n"
	    "Examples:\n"
	    "  klamm reassign apply plan.json --throttle 50000000\n"
	    "  klamm reassign apply --drain 3 --throttle 50000000\n"
	    "  klamm reassign apply --replication-factor 3 --topic orders --save orders.json\n"
	    "  klamm reassign apply orders.json\n",
    .options = options,
    .connects = true,
    .run = run,
};
