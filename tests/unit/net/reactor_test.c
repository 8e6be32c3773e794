#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/reactor.h"
#include "net/reactor_io.h"

static struct reactors *rs;

static int
open_two(void **state)
{
	(void)state;
	return reactors_open(env_system(), 2, &rs);
}

static int
close_two(void **state)
{
	(void)state;
	reactors_close(rs);
	rs = NULL;
	return 0;
}

struct note {
	int order[8];
	int count;
	struct reactor *ran_on;
};

struct message {
	struct note *note;
	int number;
};

static void
write_down(void *arg)
{
	struct message *m = arg;

	m->note->order[m->note->count++] = m->number;
	m->note->ran_on = reactor_current();
}

static void
messages_run_in_order_on_the_reactors_thread(void **state)
{
	struct note note = {0};
	struct message m[3] = {{&note, 1}, {&note, 2}, {&note, 3}};
	struct reactor *r = reactors_get(rs, 1);

	(void)state;
	reactor_post(r, write_down, &m[0]);
	reactor_post(r, write_down, &m[1]);
	reactor_call(r, write_down, &m[2]);
	assert_int_equal(note.count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(note.order[i], i + 1);
	assert_ptr_equal(note.ran_on, r);
	assert_null(reactor_current());
	assert_string_equal(reactor_name(r), "reactor-1");
	assert_int_equal(reactors_count(rs), 2);
}

struct chain {
	struct reactor *reactor;
	int left;
	sem_t done;
};

/* Each message posts the next to its own reactor, which has nothing else to wake it. */
static void
post_next(void *arg)
{
	struct chain *chain = arg;

	if (--chain->left == 0)
		sem_post(&chain->done);
	else
		reactor_post(chain->reactor, post_next, chain);
}

static void
a_reactor_does_not_sleep_on_what_it_posted_to_itself(void **state)
{
	struct chain chain = {.reactor = reactors_get(rs, 0), .left = 1000};

	(void)state;
	sem_init(&chain.done, 0, 0);
	reactor_post(chain.reactor, post_next, &chain);
	while (sem_wait(&chain.done) != 0)
		;
	sem_destroy(&chain.done);
}

static void
add_one(void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static void
what_was_posted_before_the_close_is_run(void **state)
{
	struct reactors *mine;
	_Atomic int count = 0;

	(void)state;
	assert_int_equal(reactors_open(env_system(), 3, &mine), 0);
	for (int i = 0; i < 3000; i++)
		reactor_post(reactors_get(mine, i % 3), add_one, &count);
	reactors_close(mine);
	assert_int_equal(atomic_load(&count), 3000);
}

/* ---- a group that grows ---- */

static _Atomic bool grown;

/* Posts to whatever there is at the moment; returns how often. */
static void *
post_to_all(void *arg)
{
	_Atomic int *ran = arg;
	intptr_t posted = 0;

	while (!atomic_load(&grown)) {
		int count = reactors_count(rs);

		assert_true(reactors_in_use(rs) <= count);
		for (int i = 0; i < count; i++, posted++)
			reactor_post(reactors_get(rs, i), add_one, ran);
		while (atomic_load(ran) < posted)
			sched_yield();
	}
	return (void *)posted;
}

static void
a_group_grows_while_others_use_it(void **state)
{
	struct reactor *before[2] = {reactors_get(rs, 0), reactors_get(rs, 1)};
	_Atomic int ran = 0;
	pthread_t poster;
	void *posted;

	(void)state;
	atomic_store(&grown, false);
	pthread_create(&poster, NULL, post_to_all, &ran);
	for (int count = 3; count <= 12; count++) {
		int seen = atomic_load(&ran);

		assert_int_equal(reactors_grow(rs, count), 0);
		assert_int_equal(reactors_count(rs), count);
		assert_int_equal(reactors_in_use(rs), count - 1);
		reactors_use(rs, count);
		while (atomic_load(&ran) < seen + count)
			sched_yield();
	}
	atomic_store(&grown, true);
	pthread_join(poster, &posted);
	assert_int_equal(atomic_load(&ran), (intptr_t)posted);
	for (int i = 0; i < 2; i++)
		assert_ptr_equal(reactors_get(rs, i), before[i]);
	assert_string_equal(reactor_name(reactors_get(rs, 11)), "reactor-11");
	assert_int_equal(reactors_grow(rs, 5), 0); /* there are more */
	assert_int_equal(reactors_count(rs), 12);
	reactors_use(rs, 1);
	assert_int_equal(reactors_in_use(rs), 1);
}

/* The number of the next one that would be opened. */
static int
next_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void
a_group_that_cannot_grow_is_as_it_was_and_has_taken_nothing(void **state)
{
	struct rlimit before, tight;
	_Atomic int ran = 0;
	int next = next_descriptor();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)next + 10; /* for two or three */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_int_equal(reactors_grow(rs, 100), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(reactors_count(rs), 2);
	assert_int_equal(reactors_in_use(rs), 2);
	assert_int_equal(next_descriptor(), next);
	assert_int_equal(reactors_grow(rs, 4), 0);
	reactor_call(reactors_get(rs, 3), add_one, &ran);
	assert_int_equal(atomic_load(&ran), 1);
}

/* ---- a loop on the test's own thread ---- */

struct loop {
	struct reactor *r;
	struct timer timers[4];
	struct reactor_task tasks[3];
	struct note note;
	int rounds;
};

static void
timer_fired(struct timer *timer, void *arg)
{
	struct loop *loop = arg;

	loop->note.order[loop->note.count++] = (int)(timer - loop->timers);
	if (loop->note.count == 3)
		reactor_stop(loop->r);
}

static void
timers_fire_in_the_order_of_their_deadlines_and_not_when_cancelled(void **state)
{
	struct loop loop = {0};
	int64_t now_ms;

	(void)state;
	assert_int_equal(reactor_open(env_system(), "mine", &loop.r), 0);
	now_ms = reactor_now_ms(loop.r);
	for (int i = 0; i < 4; i++)
		timer_init(&loop.timers[i], timer_fired, &loop);
	reactor_arm(loop.r, &loop.timers[0], now_ms + 20);
	reactor_arm(loop.r, &loop.timers[1], now_ms + 5);
	reactor_arm(loop.r, &loop.timers[2], now_ms + 1);
	reactor_arm(loop.r, &loop.timers[3], now_ms + 10);
	reactor_cancel(loop.r, &loop.timers[2]);
	reactor_run(loop.r);
	assert_int_equal(loop.note.order[0], 1);
	assert_int_equal(loop.note.order[1], 3);
	assert_int_equal(loop.note.order[2], 0);
	assert_true(reactor_now_ms(loop.r) >= now_ms + 20);
	reactor_close(loop.r);
}

static void
task_ran(struct reactor_task *task)
{
	static struct loop *loop;

	loop = CONTAINER_OF(task, struct loop, tasks[0]);
	loop->note.order[loop->note.count++] = 0;
	if (++loop->rounds < 3)
		reactor_defer(loop->r, task); /* in the next turn, not in this one */
	else
		reactor_stop(loop->r);
}

static void
second_task_ran(struct reactor_task *task)
{
	struct loop *loop = CONTAINER_OF(task, struct loop, tasks[1]);

	loop->note.order[loop->note.count++] = 1;
	if (loop->rounds < 3)
		reactor_defer(loop->r, task);
}

static void
never(struct reactor_task *task)
{
	(void)task;
	fail();
}

static void
deferred_tasks_take_turns_and_can_be_cancelled(void **state)
{
	static const int expected[] = {0, 1, 0, 1, 0, 1};
	struct loop loop = {0};

	(void)state;
	assert_int_equal(reactor_open(env_system(), "mine", &loop.r), 0);
	loop.tasks[0].fn = task_ran;
	loop.tasks[1].fn = second_task_ran;
	loop.tasks[2].fn = never;
	reactor_defer(loop.r, &loop.tasks[0]);
	reactor_defer(loop.r, &loop.tasks[2]);
	reactor_defer(loop.r, &loop.tasks[1]);
	reactor_defer(loop.r, &loop.tasks[0]); /* once only */
	reactor_defer_cancel(&loop.tasks[2]);
	reactor_run(loop.r);
	assert_int_equal(loop.note.count, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(loop.note.order[i], expected[i]);
	reactor_close(loop.r);
}

static void
use_blocks(void *arg)
{
	struct reactor_io *io = reactor_io(arg);
	uint64_t seed = 1;

	for (int round = 0; round < 2000; round++) {
		size_t size, cap;
		void *block;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		size = seed >> 33 & ((1u << (1 + seed % 22)) - 1);
		size += size == 0;
		block = reactor_io_get(io, size, &cap);
		assert_non_null(block);
		assert_true(cap >= size && (cap <= 512 || cap <= size + size / 4 + 1));
		memset(block, 1, cap);
		reactor_io_put(io, block, cap);
	}
	assert_true(io->cached_bytes > 0);
	assert_true(io->cached_bytes <= 8u << 20);
}

static void
a_block_holds_what_was_asked_for_and_wastes_at_most_a_quarter(void **state)
{
	(void)state;
	reactor_call(reactors_get(rs, 0), use_blocks, reactors_get(rs, 0));
}

static void
post_stop(struct timer *timer, void *arg)
{
	(void)timer;
	reactor_stop(arg);
}

static void
a_loop_that_was_stopped_runs_again(void **state)
{
	struct timer timer;
	struct reactor *r;

	(void)state;
	assert_int_equal(reactor_open(env_system(), "mine", &r), 0);
	timer_init(&timer, post_stop, r);
	for (int i = 0; i < 3; i++) {
		int64_t now_ms = reactor_now_ms(r);

		reactor_arm(r, &timer, now_ms + 5);
		reactor_run(r);
		assert_true(reactor_now_ms(r) >= now_ms + 5);
	}
	reactor_close(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(messages_run_in_order_on_the_reactors_thread, open_two,
					    close_two),
	    cmocka_unit_test_setup_teardown(a_reactor_does_not_sleep_on_what_it_posted_to_itself,
					    open_two, close_two),
	    cmocka_unit_test(what_was_posted_before_the_close_is_run),
	    cmocka_unit_test_setup_teardown(a_group_grows_while_others_use_it, open_two, close_two),
	    cmocka_unit_test_setup_teardown(
		a_group_that_cannot_grow_is_as_it_was_and_has_taken_nothing, open_two, close_two),
	    cmocka_unit_test(timers_fire_in_the_order_of_their_deadlines_and_not_when_cancelled),
	    cmocka_unit_test(deferred_tasks_take_turns_and_can_be_cancelled),
	    cmocka_unit_test(a_loop_that_was_stopped_runs_again),
	    cmocka_unit_test_setup_teardown(
		a_block_holds_what_was_asked_for_and_wastes_at_most_a_quarter, open_two, close_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
