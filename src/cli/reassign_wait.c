/*
 * reassign_wait.c - stays until nothing is being reassigned.
 *
 * Each round asks the controller what moves, and all brokers how large the replicas of that are.
 * What a partition has to copy is its largest old replica, once for each new one.
 *
 * An empty list is not quite the end: the controller takes a partition off its list a moment before
 * brokers hear of it, and other hands may have cancelled. So what is expected is compared with the
 * metadata, and gets some seconds to come true.
 */
#include "cli/reassign_wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/env.h"
#include "cli/json_document.h"
#include "cli/progress.h"
#include "cli/reassign_view.h"
#include "cli/replica_sizes.h"
#include "cli/replication_throttle.h"

#define FIRST_PAUSE_MS 100
#define PAUSE_MS 1000
#define SLICE_MS 50
#define LINE_EVERY_MS 10000 /* where there is no terminal */
#define SETTLE_MS 10000     /* for what is expected to be seen */
#define ABSENT_MAX 64

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
	(void)number;
	stopped = 1;
}

struct waiting {
	struct broker_calls *calls;
	const struct reassign_wait *wait;
	struct reassign_progress progress;
	struct progress line;
	int64_t pause_ms, next_line_ms, empty_since_ms;
	size_t told_done;
	bool any;                   /* something was seen to move */
	struct buf trouble;         /* that was told last */
	int32_t absent[ABSENT_MAX]; /* brokers that it waits for, as told */
	size_t absent_count;
	size_t different; /* not what was expected */
};

static int64_t
now_ms(void)
{
	return env_monotonic_ms(env_system());
}

static void
pause_for(int64_t ms)
{
	while (ms > 0 && !stopped) {
		struct timespec ts = {0, (ms < SLICE_MS ? ms : SLICE_MS) * 1000000};

		nanosleep(&ts, NULL);
		ms -= SLICE_MS;
	}
}

/* ---- one look ---- */

static struct assignment
partitions_of(const struct reassign_view *view, struct arena *arena)
{
	struct assignment a = {0};

	a.items = arena_calloc(arena, view->ongoing_count + 1, sizeof(*a.items));
	for (size_t i = 0; a.items != NULL && i < view->ongoing_count; i++)
		a.items[a.count++] =
		    (struct assigned_partition){.topic = view->ongoing[i].topic,
						.partition = view->ongoing[i].p->partition_index};
	return a;
}

static struct move_seen
see(const struct ongoing *o, const struct replica_sizes *sizes)
{
	const struct ongoing_partition_reassignment *p = o->p;
	struct move_seen seen = {o->topic, p->partition_index, -1, -1};
	int64_t source = -1, copied = 0;

	for (int32_t i = 0; i < p->replicas_count; i++) {
		int64_t size = replica_size(sizes, p->replicas[i], o->topic, p->partition_index);

		if (!ids_list_has(p->adding_replicas, p->adding_replicas_count, p->replicas[i]) &&
		    size > source)
			source = size;
	}
	if (source < 0)
		return seen;
	for (int32_t i = 0; i < p->adding_replicas_count; i++) {
		int64_t size =
		    replica_size(sizes, p->adding_replicas[i], o->topic, p->partition_index);

		copied += size < 0 ? 0 : size < source ? size : source;
	}
	seen.total_bytes = source * p->adding_replicas_count;
	seen.copied_bytes = copied;
	return seen;
}

/* Brokers that something waits for and that are not there: told when they are others than before.
 */
static void
note_absent(struct waiting *w, const struct reassign_view *view)
{
	const struct cluster_view *cluster = broker_calls_cluster(w->calls);
	int32_t absent[ABSENT_MAX] = {0};
	size_t count = 0;

	for (size_t i = 0; cluster != NULL && i < view->ongoing_count; i++) {
		const struct ongoing_partition_reassignment *p = view->ongoing[i].p;

		for (int32_t k = 0; k < p->adding_replicas_count && count < ABSENT_MAX; k++) {
			int32_t id = p->adding_replicas[k];

			if (cluster_view_broker(cluster, id) == NULL &&
			    !ids_list_has(absent, (int32_t)count, id))
				absent[count++] = id;
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (ids_list_has(w->absent, (int32_t)w->absent_count, absent[i]))
			continue;
		progress_clear(&w->line);
		complain(
		    "broker %d, which is to get replicas, is not there: start it, or give them "
		    "to another one (klamm reassign cancel, then a new plan)",
		    absent[i]);
	}
	memcpy(w->absent, absent, count * sizeof(*absent));
	w->absent_count = count;
}

/* Told once, until it is another one. */
static void
note_trouble(struct waiting *w, struct buf *why)
{
	const char *text = buf_text(why), *told = buf_text(&w->trouble);

	if (why->len > 0 && text != NULL && told != NULL && strcmp(text, told) != 0) {
		progress_clear(&w->line);
		complain("%s; asking again", text);
	}
	buf_fini(&w->trouble);
	w->trouble = *why;
	*why = (struct buf){0};
}

/* Looks at everything that moves. ret_count: how many partitions do. */
static int
look(struct waiting *w, struct arena *arena, size_t *ret_count)
{
	struct replica_sizes sizes = {{0}};
	struct reassign_view view = {{0}};
	struct buf why = {0}, ignored = {0};
	struct assignment partitions;
	struct move_seen *seen;
	int st;

	(void)broker_calls_look(w->calls);
	st = reassign_view_list(&view, w->calls, arena, &why);
	note_trouble(w, &why);
	if (st != CLI_DONE)
		return st;
	partitions = partitions_of(&view, arena);
	seen = arena_calloc(arena, view.ongoing_count + 1, sizeof(*seen));
	st = seen == NULL ? no_memory()
			  : replica_sizes_load(&sizes, w->calls, &partitions, arena, &ignored);
	for (size_t i = 0; st == CLI_DONE && i < view.ongoing_count; i++)
		seen[i] = see(&view.ongoing[i], &sizes);
	if (st == CLI_DONE && !stopped &&
	    reassign_progress_see(&w->progress, now_ms(), seen, view.ongoing_count) != 0)
		st = no_memory();
	if (st == CLI_DONE)
		note_absent(w, &view);
	*ret_count = view.ongoing_count;
	replica_sizes_fini(&sizes);
	buf_fini(&ignored);
	return st;
}

/* ---- telling ---- */

static void
print_status_json(const struct waiting *w, const struct reassign_status *s, bool finished)
{
	json_t *absent = json_array();

	for (size_t i = 0; i < w->absent_count; i++)
		json_array_append_new(absent, json_integer(w->absent[i]));
	(void)json_line_print(json_pack(
	    "{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b}", "partitions", (json_int_t)s->partitions,
	    "partitions_done", (json_int_t)s->done, "bytes_total", (json_int_t)s->total_bytes,
	    "bytes_copied", (json_int_t)s->copied_bytes, "bytes_per_second",
	    s->rate >= 0 ? json_integer((json_int_t)s->rate) : json_null(), "seconds_left",
	    s->left_ms >= 0 ? json_integer((json_int_t)(s->left_ms + 999) / 1000) : json_null(),
	    "absent_brokers", absent, "finished", finished));
	fflush(stdout);
}

static void
tell(struct waiting *w)
{
	struct reassign_status s;
	struct buf text = {0};
	int64_t now = now_ms();

	reassign_progress_status(&w->progress, now, &s);
	if (w->wait->json) {
		print_status_json(w, &s, false);
		return;
	}
	reassign_status_format(&s, &text);
	if (buf_text(&text) == NULL)
		return;
	if (w->line.on) {
		progress_tell_text(&w->line, buf_text(&text));
	} else if (now >= w->next_line_ms || s.done != w->told_done) {
		printf("%s\n", buf_text(&text));
		fflush(stdout);
		w->next_line_ms = now + LINE_EVERY_MS;
		w->told_done = s.done;
	}
	buf_fini(&text);
}

static void
tell_end(struct waiting *w)
{
	struct reassign_status s;
	struct buf text = {0};

	progress_clear(&w->line);
	reassign_progress_status(&w->progress, now_ms(), &s);
	if (w->wait->json) {
		print_status_json(w, &s, true);
		return;
	}
	if (!w->any) {
		if (w->wait->expected == NULL)
			printf("Nothing is being reassigned.\n");
		return;
	}
	bytes_format(s.total_bytes, &text);
	buf_printf(&text, " in ");
	time_left_format(s.spent_ms, &text);
	if (buf_text(&text) != NULL)
		printf("Nothing moves any longer: %zu partition%s, %s.\n", s.partitions,
		       s.partitions == 1 ? "" : "s", buf_text(&text));
	buf_fini(&text);
}

static int
tell_interrupted(struct waiting *w)
{
	progress_clear(&w->line);
	complain("interrupted. The cluster goes on moving: 'klamm reassign watch' shows how far it "
		 "is and takes the throttle off at the end, 'klamm reassign cancel --all' takes it "
		 "all back");
	return CLI_REFUSED;
}

/* ---- the end ---- */

static void
print_ids(const int32_t *ids, int32_t count, struct buf *out)
{
	for (int32_t i = 0; i < count; i++)
		buf_printf(out, "%s%d", i == 0 ? "" : ",", ids[i]);
}

/* How many partitions are not as expected; tells them when told to. */
static int
count_different(struct waiting *w, struct arena *arena, bool telling)
{
	const struct assignment *expected = w->wait->expected;
	struct metadata_response md;
	int st;

	st = broker_metadata_load(w->calls, NULL, 0, arena, &md);
	w->different = 0;
	for (size_t i = 0; st == CLI_DONE && i < expected->count; i++) {
		const struct assigned_partition *e = &expected->items[i];
		const struct metadata_response_partition *p =
		    broker_metadata_partition(&md, e->topic, e->partition);
		struct buf text = {0};

		if (p != NULL && ids_equal(p->replica_nodes, p->replica_nodes_count, e->replicas,
					   e->replica_count))
			continue;
		w->different++;
		if (!telling)
			continue;
		buf_printf(&text, "%s-%d ", e->topic, e->partition);
		if (p == NULL)
			buf_printf(&text, "is not there any longer");
		else {
			buf_printf(&text, "has the replicas ");
			print_ids(p->replica_nodes, p->replica_nodes_count, &text);
			buf_printf(&text, " and not ");
			print_ids(e->replicas, e->replica_count, &text);
			buf_printf(&text, ": somebody cancelled or changed its reassignment");
		}
		if (buf_text(&text) != NULL)
			complain("%s", buf_text(&text));
		buf_fini(&text);
	}
	return st;
}

/* Nothing is on the list. True when that is the end. */
static bool
is_over(struct waiting *w, struct arena *arena)
{
	int64_t now = now_ms();

	if (w->wait->expected == NULL)
		return true;
	if (w->empty_since_ms < 0)
		w->empty_since_ms = now;
	if (count_different(w, arena, false) != CLI_DONE)
		return false;
	if (w->different > 0 && now - w->empty_since_ms < SETTLE_MS)
		return false;
	progress_clear(&w->line);
	if (w->different > 0)
		(void)count_different(w, arena, true);
	return true;
}

int
reassign_end_throttles(struct broker_calls *calls, bool json)
{
	struct throttle_removed removed;
	int st;

	st = replication_throttle_remove(calls, &removed);
	if (st == CLI_DONE && removed.topics > 0)
		fprintf(json ? stderr : stdout,
			"The throttle was taken off %zu topic%s and %zu broker%s.\n",
			removed.topics, removed.topics == 1 ? "" : "s", removed.brokers,
			removed.brokers == 1 ? "" : "s");
	return st;
}

/* One round. True when nothing moves any longer. */
static bool
round_is_last(struct waiting *w)
{
	struct arena arena;
	bool over = false;
	size_t count;

	arena_init(&arena, REASSIGN_ARENA_MAX);
	if (look(w, &arena, &count) == CLI_DONE && !stopped) {
		if (count > 0) {
			w->any = true;
			w->empty_since_ms = -1;
			tell(w);
		} else {
			over = is_over(w, &arena);
		}
	}
	arena_fini(&arena);
	return over;
}

int
reassign_wait(struct broker_calls *calls, const struct reassign_wait *wait)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	struct waiting w = {.calls = calls,
			    .wait = wait,
			    .pause_ms = FIRST_PAUSE_MS,
			    .next_line_ms = now_ms() + LINE_EVERY_MS,
			    .empty_since_ms = -1};
	int st = CLI_DONE;

	if (wait->begun_count > 0) {
		w.any = true;
		if (reassign_progress_see(&w.progress, now_ms(), wait->begun, wait->begun_count) !=
		    0)
			return no_memory();
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	broker_calls_interrupt_by(calls, &stopped);
	progress_start(&w.line, wait->json);
	while (!stopped && !round_is_last(&w) && !ferror(stdout)) {
		pause_for(w.pause_ms);
		w.pause_ms = w.pause_ms * 2 > PAUSE_MS ? PAUSE_MS : w.pause_ms * 2;
	}
	if (stopped || ferror(stdout)) {
		st = tell_interrupted(&w);
	} else {
		tell_end(&w);
		if (!wait->preserve_throttles)
			st = reassign_end_throttles(calls, wait->json);
		if (w.different > 0)
			st = CLI_REFUSED;
	}
	reassign_progress_fini(&w.progress);
	buf_fini(&w.trouble);
	return st;
}
