/* The office's writes of assignments, on the in-process tree. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "controller/controller_actor.h"
#include "controller/controller_model.h"
#include "zk/zk_tree.h"
#include "zk/znode_topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LOSSES 200
#define LEFT_BEHIND_MAX ((size_t)LOSSES * 64) /* a znode of a topic takes more than that */

static const char *const topics[] = {"a", "b"};

struct world {
	struct zk_tree *tree;
	struct mailbox *mailbox;
	struct zk *session;
	struct zk zk;  /* in front of the session */
	int runs_left; /* until it is gone */
	struct controller c;
};

static void
hear_watch(void *arg, enum zk_watch_type type, const char *path)
{
	(void)arg;
	(void)type;
	(void)path;
}

static void
hear_session(void *arg, enum zk_session_state state)
{
	(void)arg;
	(void)state;
}

static int
run(struct zk *zk, struct zk_request *requests, size_t count)
{
	struct world *w = CONTAINER_OF(zk, struct world, zk);

	if (w->runs_left-- > 0)
		return zk_run(w->session, requests, count);
	for (size_t i = 0; i < count; i++) {
		requests[i].st = -ESHUTDOWN;
		for (size_t o = 0; o < requests[i].op_count; o++)
			requests[i].ops[o].st = -ESHUTDOWN;
	}
	return -ESHUTDOWN;
}

static const struct zk_ops losing = {.run = run};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct zk_events events = {hear_watch, hear_session, NULL};
	int32_t replicas[] = {1, 2};
	struct partition_assignment partition = {.replicas = replicas, .replica_count = 2};
	struct topic_assignment ta = {.partitions = &partition, .partition_count = 1};
	struct properties none = {0};

	assert_int_equal(zk_tree_open(env_system(), -1, NULL, &w->tree), 0);
	assert_int_equal(mailbox_open(&w->mailbox), 0);
	assert_int_equal(zk_tree_session_open(w->tree, w->mailbox, &events, &w->session), 0);
	assert_int_equal(znode_ensure_structure(w->session), 0);
	assert_int_equal(zk_create(w->session, "/controller_epoch",
				   (struct slice){(const uint8_t *)"1", 1}, ZK_PERSISTENT, NULL),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		assert_int_equal(znode_topic_create(w->session, topics[i], &ta, &none), 0);
	w->zk.ops = &losing;
	w->runs_left = INT32_MAX;
	w->c.zk = &w->zk;
	assert_int_equal(controller_state_new(1, "PLAINTEXT", &w->c.state), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	controller_state_free(w->c.state);
	zk_close(w->session);
	mailbox_run(w->mailbox);
	mailbox_close(w->mailbox);
	zk_tree_close(w->tree);
	free(w);
	return 0;
}

/* Both topics' only partition belongs to 2 and 3. */
static int
write_both(struct world *w)
{
	static const int32_t replicas[] = {2, 3};
	struct controller_assignment a = {.replicas = replicas, .replica_count = 2};
	struct effects fx, next;
	int st;

	effects_init(&fx);
	effects_init(&next);
	for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
		struct effect *e = effects_add(&fx, EFFECT_WRITE_TOPIC);

		e->topic = topics[i];
		e->assignments = &a;
		e->assignment_count = 1;
	}
	st = office_write_topics(&w->c, &fx, &next);
	effects_fini(&fx);
	effects_fini(&next);
	return st;
}

static int32_t
first_replica(struct world *w, const char *topic)
{
	struct topic_assignment ta;
	int32_t replica;

	assert_int_equal(znode_topic_get(w->session, topic, false, &ta), 0);
	replica = ta.partitions[0].replicas[0];
	topic_assignment_fini(&ta);
	return replica;
}

static void
assignments_are_written_under_the_fence(void **state)
{
	struct world *w = *state;

	w->c.epoch_version = 1; /* that of another */
	assert_int_equal(write_both(w), -ESTALE);
	assert_int_equal(first_replica(w, "a"), 1);
	assert_int_equal(first_replica(w, "b"), 1);
	w->c.epoch_version = 0;
	assert_int_equal(write_both(w), 0);
	assert_int_equal(first_replica(w, "a"), 2);
	assert_int_equal(first_replica(w, "b"), 2);
}

/* What is in use of the heap; a sanitizer's says nothing here, and finds what is left by itself. */
static size_t
bytes_in_use(void)
{
	return mallinfo2().uordblks;
}

static void
a_session_lost_between_reading_and_writing_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	size_t before = 0;

	for (int i = 0; i <= LOSSES; i++) {
		if (i == 1) /* what the first takes once is not counted */
			before = bytes_in_use();
		w->runs_left = 1;
		assert_int_equal(write_both(w), -ESHUTDOWN);
	}
	assert_true(bytes_in_use() <= before + LEFT_BEHIND_MAX);
	assert_int_equal(first_replica(w, "a"), 1);
}

static void
a_fence_met_leaves_nothing_of_the_writes_after_it_behind(void **state)
{
	struct world *w = *state;
	size_t before = 0;

	w->c.epoch_version = 1;
	for (int i = 0; i <= LOSSES; i++) {
		if (i == 1)
			before = bytes_in_use();
		assert_int_equal(write_both(w), -ESTALE);
	}
	assert_true(bytes_in_use() <= before + LEFT_BEHIND_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(assignments_are_written_under_the_fence, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(
		a_session_lost_between_reading_and_writing_leaves_nothing_behind, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_fence_met_leaves_nothing_of_the_writes_after_it_behind, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
