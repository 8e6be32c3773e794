/* Fetch sessions: what KIP-227 promises a client. */
#include <stdio.h>
#include <stdlib.h>

#include "replica/fetch_session.h"
#include "replica/partition_state.h"
#include "wire/generated/fetch.h"
#include "wire/kerr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VERSION 12
#define CONSUMER (-1)
#define FOLLOWER 7

struct world {
	struct fetch_sessions *fs;
	struct arena arena;
	struct fetch_partition partitions[8];
	struct fetch_topic topic;
	struct fetch_request req;
	struct fetch_context context;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fetch_sessions_open(env_system(), 2, &w->fs), 0);
	arena_init(&w->arena, 1 << 20);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fetch_session_leave(&w->context);
	fetch_sessions_close(w->fs);
	arena_fini(&w->arena);
	free(w);
	return 0;
}

static int
begin_fetch(struct world *w, int version, int32_t follower_id)
{
	fetch_session_leave(&w->context);
	w->context = (struct fetch_context){0};
	return fetch_session_begin(w->fs, &w->req, version, follower_id, &w->arena, 0, &w->context);
}

static int
begin(struct world *w, int32_t id, int32_t epoch, int32_t first, int32_t count)
{
	for (int32_t i = 0; i < count; i++)
		w->partitions[i] = (struct fetch_partition){.partition = first + i,
							    .fetch_offset = 100,
							    .current_leader_epoch = -1,
							    .last_fetched_epoch = -1};
	w->topic = (struct fetch_topic){
	    .topic = str_of("t"), .partitions = w->partitions, .partitions_count = count};
	w->req = (struct fetch_request){.session_id = id,
					.session_epoch = epoch,
					.topics = &w->topic,
					.topics_count = count > 0};
	return begin_fetch(w, VERSION, CONSUMER);
}

/* Ends the fetch with a high watermark for all; returns the session's id and how many it lists. */
static int32_t
end(struct world *w, int64_t high_watermark, int *ret_included)
{
	int32_t id = -1;

	for (size_t i = 0; i < w->context.target_count; i++)
		w->context.targets[i].high_watermark = high_watermark;
	assert_int_equal(fetch_session_end(w->fs, &w->context, &id), 0);
	*ret_included = 0;
	for (size_t i = 0; i < w->context.target_count; i++)
		*ret_included += w->context.targets[i].include;
	return id;
}

static void
a_session_answers_only_what_is_new(void **state)
{
	struct world *w = *state;
	int included;
	int32_t id;

	assert_int_equal(begin(w, 0, 0, 0, 3), 0);
	id = end(w, 5, &included);
	assert_true(id > 0);
	assert_int_equal(included, 3);
	assert_int_equal(begin(w, id, 1, 0, 0), 0);
	assert_int_equal(w->context.target_count, 3);
	assert_int_equal(end(w, 5, &included), id);
	assert_int_equal(included, 0);
	assert_int_equal(begin(w, id, 2, 0, 0), 0);
	w->context.targets[1].has_records = true;
	assert_int_equal(end(w, 5, &included), id);
	assert_int_equal(included, 1);
	assert_int_equal(begin(w, id, 3, 0, 0), 0);
	assert_int_equal(w->context.targets[2].partition, 1); /* it had records: last in the row */
	end(w, 6, &included);
	assert_int_equal(included, 3); /* the high watermark has moved */
}

static void
after_an_error_everything_is_told_again(void **state)
{
	struct world *w = *state;
	int included;
	int32_t id;

	assert_int_equal(begin(w, 0, 0, 0, 1), 0);
	id = end(w, 5, &included);
	assert_int_equal(begin(w, id, 1, 0, 0), 0);
	w->context.targets[0].failed = true;
	end(w, -1, &included);
	assert_int_equal(included, 1);
	assert_int_equal(begin(w, id, 2, 0, 0), 0);
	end(w, 5, &included);
	assert_int_equal(included, 1);
}

static void
a_wrong_epoch_or_an_unknown_session_is_refused(void **state)
{
	struct world *w = *state;
	int included;
	int32_t id;

	assert_int_equal(begin(w, 12345, 1, 0, 1), K_FETCH_SESSION_ID_NOT_FOUND);
	assert_int_equal(begin(w, 0, 0, 0, 1), 0);
	id = end(w, 5, &included);
	assert_int_equal(begin(w, id, 2, 0, 1), K_INVALID_FETCH_SESSION_EPOCH);
	w->req = (struct fetch_request){.session_id = id, .session_epoch = 1};
	assert_int_equal(begin_fetch(w, 13, CONSUMER), K_FETCH_SESSION_TOPIC_ID_ERROR);
	assert_int_equal(begin(w, id, 1, 0, 0), 0);
}

static void
partitions_are_added_and_forgotten_and_the_last_ends_the_session(void **state)
{
	struct world *w = *state;
	int32_t numbers[] = {0, 1, 2};
	struct forgotten_topic forgotten = {
	    .topic = str_of("t"), .partitions = numbers, .partitions_count = 2};
	int included;
	int32_t id;

	assert_int_equal(begin(w, 0, 0, 0, 2), 0);
	id = end(w, 5, &included);
	assert_int_equal(begin(w, id, 1, 2, 1), 0); /* partition 2 joins */
	assert_int_equal(w->context.target_count, 3);
	assert_int_equal(end(w, 5, &included), id);
	w->req = (struct fetch_request){.session_id = id,
					.session_epoch = 2,
					.forgotten_topics_data = &forgotten,
					.forgotten_topics_data_count = 1};
	assert_int_equal(begin_fetch(w, VERSION, CONSUMER), 0);
	assert_int_equal(w->context.target_count, 1);
	end(w, 5, &included);
	forgotten.partitions = &numbers[2];
	forgotten.partitions_count = 1;
	w->req.session_epoch = 3;
	assert_int_equal(begin_fetch(w, VERSION, CONSUMER), 0);
	assert_int_equal(end(w, 5, &included), 0);
	assert_int_equal(fetch_sessions_count(w->fs), 0);
}

static void
a_final_epoch_closes_and_old_versions_have_none(void **state)
{
	struct world *w = *state;
	int included;
	int32_t id;

	assert_int_equal(begin(w, 0, 0, 0, 1), 0);
	id = end(w, 5, &included);
	assert_int_equal(fetch_sessions_count(w->fs), 1);
	assert_int_equal(begin(w, id, -1, 0, 1), 0);
	assert_int_equal(end(w, 5, &included), 0);
	assert_int_equal(included, 1);
	assert_int_equal(fetch_sessions_count(w->fs), 0);
	assert_int_equal(begin_fetch(w, 4, CONSUMER), 0);
	assert_int_equal(end(w, 5, &included), 0);
}

static void
a_full_cache_gives_no_session_but_a_follower_gets_one(void **state)
{
	struct world *w = *state;
	int included;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(begin(w, 0, 0, 0, 1), 0);
		assert_true(end(w, 5, &included) > 0);
	}
	assert_int_equal(begin(w, 0, 0, 0, 1), 0);
	assert_int_equal(end(w, 5, &included), 0);
	assert_int_equal(included, 1);
	assert_int_equal(begin_fetch(w, VERSION, FOLLOWER), 0);
	assert_true(end(w, 5, &included) > 0);
	assert_int_equal(fetch_sessions_count(w->fs), 2);
}

/* ---- what is quiet, and what stirs ---- */

#define PARTITIONS 20

struct quiet_world {
	struct world *w;
	struct partition *p[PARTITIONS];
	int32_t id, epoch;
	struct fetch_sleeper sleeper;
	int64_t woken_bytes;
	int wakes;
};

static void
on_wake(struct fetch_sleeper *sleeper, int64_t bytes)
{
	struct quiet_world *q = CONTAINER_OF(sleeper, struct quiet_world, sleeper);

	q->wakes++;
	q->woken_bytes += bytes;
}

/* One fetch without anything listed; all that it looks at is watched, and quiet. */
static size_t
look(struct quiet_world *q, int32_t who)
{
	struct world *w = q->w;
	int included;

	w->req = (struct fetch_request){.session_id = q->id, .session_epoch = q->epoch++};
	assert_int_equal(begin_fetch(w, VERSION, who), 0);
	for (size_t i = 0; i < w->context.target_count; i++) {
		struct fetch_target *t = &w->context.targets[i];

		fetch_session_watch(&w->context, t, q->p[t->partition]);
		t->quiet = true;
	}
	assert_int_equal(end(w, 5, &included), q->id);
	return w->context.target_count;
}

/* A session of all, each of which has been looked at. */
static void
begin_quiet(struct quiet_world *q, struct world *w, int32_t who)
{
	static const struct partition_context context = {.broker_id = 1};
	struct fetch_partition partitions[PARTITIONS];
	int included;

	*q = (struct quiet_world){.w = w, .epoch = 1, .sleeper = {.wake = on_wake}};
	for (int32_t i = 0; i < PARTITIONS; i++) {
		q->p[i] = partition_new(&context, "t", i);
		assert_non_null(q->p[i]);
		partitions[i] = (struct fetch_partition){.partition = i};
	}
	w->topic = (struct fetch_topic){
	    .topic = str_of("t"), .partitions = partitions, .partitions_count = PARTITIONS};
	w->req = (struct fetch_request){.topics = &w->topic, .topics_count = 1};
	assert_int_equal(begin_fetch(w, VERSION, who), 0);
	q->id = end(w, 5, &included);
	assert_true(q->id > 0);
	assert_int_equal(look(q, who), PARTITIONS);
}

static void
end_quiet(struct quiet_world *q)
{
	fetch_session_leave(&q->w->context);
	fetch_sessions_close(q->w->fs);
	assert_int_equal(fetch_sessions_open(env_system(), 2, &q->w->fs), 0);
	for (int32_t i = 0; i < PARTITIONS; i++) {
		assert_null(q->p[i]->watches);
		partition_put(q->p[i]);
	}
}

static void
stir(struct quiet_world *q, int32_t partition, enum partition_wait what, int64_t bytes)
{
	lock_acquire(&q->p[partition]->lock);
	partition_wake_all(q->p[partition], what, bytes);
	lock_release(&q->p[partition]->lock);
}

static bool
is_target(const struct world *w, int32_t partition)
{
	bool found = false;

	for (size_t i = 0; i < w->context.target_count; i++)
		found = found || w->context.targets[i].partition == partition;
	return found;
}

static void
a_quiet_session_costs_a_round_of_a_few_that_reaches_all(void **state)
{
	struct quiet_world q;
	bool seen[PARTITIONS] = {false};

	begin_quiet(&q, *state, FOLLOWER);
	for (int i = 0; i < (PARTITIONS + FETCH_SESSION_ROUND - 1) / FETCH_SESSION_ROUND; i++) {
		assert_int_equal(look(&q, FOLLOWER), FETCH_SESSION_ROUND);
		for (size_t k = 0; k < FETCH_SESSION_ROUND; k++)
			seen[q.w->context.targets[k].partition] = true;
	}
	for (int32_t i = 0; i < PARTITIONS; i++)
		assert_true(seen[i]);
	end_quiet(&q);
}

static void
what_stirs_is_looked_at_until_it_is_quiet_again(void **state)
{
	struct quiet_world q;
	int included;

	begin_quiet(&q, *state, FOLLOWER);
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_LOG_END, 100);
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_LOG_END, 100);
	assert_int_equal(look(&q, FOLLOWER), FETCH_SESSION_ROUND + 1);
	assert_true(is_target(q.w, PARTITIONS - 1));
	assert_int_equal(look(&q, FOLLOWER), FETCH_SESSION_ROUND);
	/* What is read meanwhile, or may have stirred since it was read, is looked at again. */
	q.w->req = (struct fetch_request){.session_id = q.id, .session_epoch = q.epoch++};
	assert_int_equal(begin_fetch(q.w, VERSION, FOLLOWER), 0);
	for (size_t i = 0; i < FETCH_SESSION_ROUND; i++)
		q.w->context.targets[i].quiet = i != 0;
	stir(&q, q.w->context.targets[1].partition, PARTITION_WAIT_LOG_END, 1);
	end(q.w, 5, &included);
	assert_int_equal(look(&q, FOLLOWER), FETCH_SESSION_ROUND + 2);
	end_quiet(&q);
}

static void
a_sleeping_fetch_is_woken_and_gets_what_stirred(void **state)
{
	struct quiet_world q;
	struct fetch_context *context = &((struct world *)*state)->context;

	begin_quiet(&q, *state, FOLLOWER);
	q.w->req = (struct fetch_request){.session_id = q.id, .session_epoch = q.epoch++};
	assert_int_equal(begin_fetch(q.w, VERSION, FOLLOWER), 0);
	assert_false(fetch_session_sleep(context, &q.sleeper));
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_DATA, 100);
	assert_int_equal(q.wakes, 0); /* a high watermark alone can wait */
	stir(&q, PARTITIONS - 2, PARTITION_WAIT_LOG_END, 100);
	assert_int_equal(q.wakes, 1);
	assert_int_equal(q.woken_bytes, 100);
	assert_int_equal(fetch_session_add_stirred(context, &q.w->arena), 2);
	assert_int_equal(context->target_count, FETCH_SESSION_ROUND + 2);
	assert_true(is_target(q.w, PARTITIONS - 1) && is_target(q.w, PARTITIONS - 2));
	/* What happens before it sleeps again is not lost. */
	stir(&q, 0, PARTITION_WAIT_LOG_END, 0);
	assert_true(fetch_session_sleep(context, &q.sleeper));
	assert_int_equal(fetch_session_add_stirred(context, &q.w->arena), 1);
	fetch_session_leave(context);
	q.wakes = 0;
	stir(&q, 1, PARTITION_WAIT_LOG_END, 0);
	assert_int_equal(q.wakes, 0);
	end_quiet(&q);
}

static void
a_follower_of_a_quiet_partition_had_all_until_its_last_fetch(void **state)
{
	struct quiet_world q;
	struct partition *p;
	int64_t before;

	begin_quiet(&q, *state, FOLLOWER);
	p = q.p[PARTITIONS - 1];
	assert_int_equal(
	    isr_lead(&p->isr, 1, 0, (int32_t[]){1, FOLLOWER}, 2, (int32_t[]){1, FOLLOWER}, 2, 0, 0),
	    0);
	before = env_monotonic_ms(env_system());
	look(&q, FOLLOWER);
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_LOG_END, 10);
	assert_true(p->isr.followers[0].last_caught_up_ms >= before);
	/* Now it lacks something, and its fetches say nothing of this partition. */
	p->isr.followers[0].last_caught_up_ms = 0;
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_LOG_END, 10);
	assert_int_equal(p->isr.followers[0].last_caught_up_ms, 0);
	end_quiet(&q);
}

static void
a_consumer_minds_what_it_can_read(void **state)
{
	struct quiet_world q;

	begin_quiet(&q, *state, CONSUMER);
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_LOG_END, 100);
	assert_int_equal(look(&q, CONSUMER), FETCH_SESSION_ROUND);
	assert_false(is_target(q.w, PARTITIONS - 1));
	stir(&q, PARTITIONS - 1, PARTITION_WAIT_DATA, 100);
	assert_int_equal(look(&q, CONSUMER), FETCH_SESSION_ROUND + 1);
	assert_true(is_target(q.w, PARTITIONS - 1));
	end_quiet(&q);
}

static void
what_a_request_names_is_looked_at(void **state)
{
	struct quiet_world q;

	begin_quiet(&q, *state, FOLLOWER);
	assert_int_equal(begin(q.w, q.id, q.epoch, PARTITIONS - 1, 1), 0);
	assert_int_equal(q.w->context.target_count, FETCH_SESSION_ROUND + 1);
	assert_true(is_target(q.w, PARTITIONS - 1));
	end_quiet(&q);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_session_answers_only_what_is_new),
	    TEST(after_an_error_everything_is_told_again),
	    TEST(a_wrong_epoch_or_an_unknown_session_is_refused),
	    TEST(partitions_are_added_and_forgotten_and_the_last_ends_the_session),
	    TEST(a_final_epoch_closes_and_old_versions_have_none),
	    TEST(a_full_cache_gives_no_session_but_a_follower_gets_one),
	    TEST(a_quiet_session_costs_a_round_of_a_few_that_reaches_all),
	    TEST(what_stirs_is_looked_at_until_it_is_quiet_again),
	    TEST(a_sleeping_fetch_is_woken_and_gets_what_stirred),
	    TEST(a_follower_of_a_quiet_partition_had_all_until_its_last_fetch),
	    TEST(a_consumer_minds_what_it_can_read),
	    TEST(what_a_request_names_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
