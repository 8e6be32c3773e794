/* Fetch sessions: what KIP-227 promises a client. */
#include <stdio.h>
#include <stdlib.h>

#include "replica/fetch_session.h"
#include "wire/generated/fetch.h"
#include "wire/kerr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define VERSION 12

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

	fetch_sessions_close(w->fs);
	arena_fini(&w->arena);
	free(w);
	return 0;
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
	return fetch_session_begin(w->fs, &w->req, VERSION, false, &w->arena, &w->context);
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
	assert_int_equal(fetch_session_begin(
			     w->fs, &(struct fetch_request){.session_id = id, .session_epoch = 1},
			     13, false, &w->arena, &w->context),
			 K_FETCH_SESSION_TOPIC_ID_ERROR);
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
	assert_int_equal(
	    fetch_session_begin(w->fs, &w->req, VERSION, false, &w->arena, &w->context), 0);
	assert_int_equal(w->context.target_count, 1);
	end(w, 5, &included);
	forgotten.partitions = &numbers[2];
	forgotten.partitions_count = 1;
	w->req.session_epoch = 3;
	assert_int_equal(
	    fetch_session_begin(w->fs, &w->req, VERSION, false, &w->arena, &w->context), 0);
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
	assert_int_equal(fetch_session_begin(w->fs, &w->req, 4, false, &w->arena, &w->context), 0);
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
	assert_int_equal(fetch_session_begin(w->fs, &w->req, VERSION, true, &w->arena, &w->context),
			 0);
	assert_true(end(w, 5, &included) > 0);
	assert_int_equal(fetch_sessions_count(w->fs), 2);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
