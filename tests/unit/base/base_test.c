/* Buffers, uuids, arena, map, timers, mailbox, workers, env. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/env.h"
#include "base/mailbox.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/timers.h"
#include "base/workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
a_uuid_survives_its_text(void **state)
{
	struct uuid id, back;
	char text[UUID_TEXT_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		env_random(env_system(), &id, sizeof(id));
		uuid_format(&id, text);
		assert_int_equal(strlen(text), UUID_TEXT_LEN);
		assert_int_equal(uuid_parse(text, &back), 0);
		assert_true(uuid_equal(&id, &back));
	}
	assert_int_equal(uuid_parse("too short", &back), -EINVAL);
	assert_int_equal(uuid_parse("AAAAAAAAAAAAAAAAAAAAA!", &back), -EINVAL);
	assert_int_equal(uuid_parse("AAAAAAAAAAAAAAAAAAAAAB", &back), -EINVAL);
}

static void
a_buffer_grows_and_keeps_what_it_has(void **state)
{
	struct buf b = {0};

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		buf_append_be32(&b, i);
	assert_false(b.failed);
	assert_int_equal(b.len, 40000);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(get_be32(b.data + 4 * i), i);
	buf_fini(&b);
	buf_printf(&b, "%0300d", 7);
	assert_int_equal(b.len, 300);
	assert_string_equal(buf_text(&b) + 297, "007");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_fini(&b);
}

static void
an_arena_stops_at_its_limit(void **state)
{
	struct arena a;
	size_t got = 0;

	(void)state;
	arena_init(&a, 100000);
	while (arena_alloc(&a, 100) != NULL)
		got += 100;
	assert_true(got <= 100000 && got > 80000);
	assert_null(arena_calloc(&a, SIZE_MAX / 2, 4));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 1000));
	arena_fini(&a);
}

static void
arena_memory_is_zeroed_even_after_a_reset(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a, 1 << 20);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++) {
			p = arena_alloc(&a, 777);
			for (int k = 0; k < 777; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0xff, 777);
		}
		arena_reset(&a);
	}
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	arena_fini(&a);
}

static void
a_map_finds_what_was_put_and_nothing_else(void **state)
{
	struct map m = {0};
	struct map_iter iter = {0};
	size_t seen = 0;
	void *old;

	(void)state;
	for (int64_t i = 1; i <= 1000; i++)
		assert_int_equal(map_put(&m, &i, sizeof(i), (void *)(intptr_t)i, NULL), 0);
	for (int64_t i = 1; i <= 1000; i++)
		assert_int_equal((intptr_t)map_get(&m, &i, sizeof(i)), i);
	assert_null(map_get_text(&m, "absent"));
	assert_int_equal(map_put(&m, &(int64_t){5}, 8, &m, &old), 0);
	assert_int_equal((intptr_t)old, 5);
	while (map_next(&m, &iter) != NULL) {
		struct str key = map_iter_key(&iter);
		int64_t number;

		memcpy(&number, key.data, sizeof(number));
		seen++;
		if (number % 2 == 0) /* the walk survives the removal of where it stands */
			assert_non_null(map_remove(&m, &number, sizeof(number)));
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(m.count, 500);
	map_fini(&m);
}

static int fired[64];
static int fired_count;

static void
note_fired(struct timer *timer, void *arg)
{
	(void)timer;
	fired[fired_count++] = (int)(intptr_t)arg;
}

static void
timers_fire_in_order_and_cancelled_ones_do_not(void **state)
{
	struct timer timers[64];
	struct timers ts;

	(void)state;
	timers_init(&ts);
	fired_count = 0;
	for (int i = 0; i < 64; i++) {
		timer_init(&timers[i], note_fired, (void *)(intptr_t)i);
		timers_arm(&ts, &timers[i], (i * 37) % 64);
	}
	timers_cancel(&ts, &timers[3]);
	timers_arm(&ts, &timers[5], 1000); /* moved */
	assert_int_equal(timers_next_ms(&ts), 0);
	timers_run(&ts, 500);
	assert_int_equal(fired_count, 62);
	for (int i = 1; i < fired_count; i++)
		assert_true((fired[i - 1] * 37) % 64 <= (fired[i] * 37) % 64);
	assert_int_equal(timers_next_ms(&ts), 1000);
	timers_run(&ts, 1000);
	assert_int_equal(fired[62], 5);
	assert_int_equal(timers_next_ms(&ts), INT64_MAX);
	timers_fini(&ts);
}

struct counting {
	struct mailbox *mb;
	int last, out_of_order;
};

struct letter {
	struct counting *to;
	int number;
};

static void
receive(void *arg)
{
	struct letter *letter = arg;

	letter->to->out_of_order += letter->number != letter->to->last + 1;
	letter->to->last = letter->number;
	free(letter);
}

static void
post_thousand(void *arg)
{
	struct counting *c = arg;

	for (int i = 1; i <= 1000; i++) {
		struct letter *letter = malloc(sizeof(*letter));

		*letter = (struct letter){c, i};
		mailbox_post(c->mb, receive, letter);
	}
}

static void
messages_arrive_all_and_in_order_from_another_thread(void **state)
{
	struct counting c = {0};
	struct workers *ws;

	(void)state;
	assert_int_equal(mailbox_open(&c.mb), 0);
	assert_int_equal(workers_open("test", 1, &ws), 0);
	workers_submit(ws, post_thousand, &c);
	while (c.last < 1000)
		mailbox_wait(c.mb, 1000);
	assert_int_equal(c.out_of_order, 0);
	workers_close(ws);
	mailbox_close(c.mb);
}

/* Jobs that wait until so many run at once. */
struct crowd {
	_Atomic int running, most, done;
	_Atomic bool may_end;
};

static void
join_the_crowd(void *arg)
{
	struct crowd *c = arg;
	int running = atomic_fetch_add(&c->running, 1) + 1;

	if (running > atomic_load(&c->most))
		atomic_store(&c->most, running);
	while (!atomic_load(&c->may_end))
		sched_yield();
	atomic_fetch_sub(&c->running, 1);
	atomic_fetch_add(&c->done, 1);
}

static void
a_pool_grows_and_shrinks_while_it_works(void **state)
{
	struct crowd grown = {0}, shrunk = {0};
	struct workers *ws;

	(void)state;
	assert_int_equal(workers_open("test", 1, &ws), 0);
	for (int i = 0; i < 4; i++)
		workers_submit(ws, join_the_crowd, &grown);
	assert_int_equal(workers_resize(ws, 4), 0);
	while (atomic_load(&grown.running) < 4)
		sched_yield();
	/* Two of the four go when they have done what they are at. */
	assert_int_equal(workers_resize(ws, 2), 0);
	atomic_store(&grown.may_end, true);
	while (atomic_load(&grown.done) < 4)
		sched_yield();
	for (int i = 0; i < 8; i++)
		workers_submit(ws, join_the_crowd, &shrunk);
	while (atomic_load(&shrunk.running) < 2)
		sched_yield();
	atomic_store(&shrunk.may_end, true);
	assert_int_equal(workers_resize(ws, 1), 0);
	assert_int_equal(workers_resize(ws, 3), 0);
	workers_close(ws); /* runs what is left */
	assert_int_equal(shrunk.done, 8);
	assert_true(shrunk.most <= 3);
}

static void
a_file_is_replaced_whole(void **state)
{
	struct env *env = env_system();
	char dir[] = "/tmp/klamm-base-XXXXXX";
	struct buf got = {0};
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = env_openat(env, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	for (int i = 0; i < 3; i++) {
		struct slice content = {(const uint8_t *)"0123456789", (size_t)(10 - i)};

		assert_int_equal(env_replace_file(env, fd, "f", content), 0);
		assert_int_equal(env_read_file(env, fd, "f", 100, &got), 0);
		assert_int_equal(got.len, 10 - i);
		buf_fini(&got);
	}
	assert_int_equal(env_read_file(env, fd, "f", 3, &got), -EFBIG);
	assert_int_equal(env_read_file(env, fd, "absent", 3, &got), -ENOENT);
	env_unlinkat(env, fd, "f", 0);
	env_close(env, fd);
	assert_int_equal(rmdir(dir), 0);
}

static int fsyncs;

static int
count_fsync(struct env *env, int fd)
{
	(void)env, (void)fd;
	fsyncs++;
	return 0;
}

static void
only_what_must_outlive_a_loss_of_power_waits_for_the_disk(void **state)
{
	struct env_ops ops = env_system_ops;
	struct env env = {.ops = &ops};
	char dir[] = "/tmp/klamm-base-XXXXXX";
	struct slice content = {(const uint8_t *)"0123456789", 10};
	struct buf got = {0};
	int fd;

	(void)state;
	ops.fsync = count_fsync;
	fsyncs = 0;
	assert_non_null(mkdtemp(dir));
	fd = env_openat(&env, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(env_replace_file_unsynced(&env, fd, "f", content), 0);
	assert_int_equal(fsyncs, 0);
	assert_int_equal(env_read_file(&env, fd, "f", 100, &got), 0);
	assert_int_equal(got.len, 10);
	buf_fini(&got);
	/* The content, and the name. */
	assert_int_equal(env_replace_file(&env, fd, "f", content), 0);
	assert_int_equal(fsyncs, 2);
	env_unlinkat(&env, fd, "f", 0);
	env_close(&env, fd);
	assert_int_equal(rmdir(dir), 0);
}

static void
metrics_are_written_as_prometheus_reads_them(void **state)
{
	struct buf out = {0};

	(void)state;
	metric_set(metrics_get(METRIC_BUILD_INFO, "1.2\"3"), 1);
	metrics_write(&out);
	assert_non_null(strstr(buf_text(&out), "# TYPE klamm_build_info gauge\n"
					       "klamm_build_info{version=\"1.2\\\"3\"} 1\n"));
	buf_fini(&out);
}

static void
collect_labels(struct metrics_scrape *scrape, void *arg)
{
	const char *labels[] = {"a,\"b\\c\nd", "t", "3"};

	(void)arg;
	metrics_sample_labels(scrape, labels, 3, 9007199254740991.0);
	metrics_sample_labels(scrape, labels, 3, -2);
	metrics_sample_labels(scrape, labels, 3, 0.5);
	metrics_sample_labels(scrape, labels, 3, 0);
}

static void
values_and_labels_of_every_kind_are_written_exactly(void **state)
{
	static const char expected[] =
	    "klamm_group_lag{group=\"a,\\\"b\\\\c\\nd\",topic=\"t\",partition=\"3\"} ";
	static const char *const values[] = {"9007199254740991\n", "-2\n", "0.5\n", "0\n"};
	struct buf out = {0};
	const char *at;

	metrics_add_collector(METRIC_GROUP_LAG, collect_labels, state);
	metrics_write(&out);
	metrics_remove_collectors(state);
	at = strstr(buf_text(&out), expected);
	for (size_t i = 0; i < 4; i++) {
		assert_non_null(at);
		assert_memory_equal(at, expected, strlen(expected));
		at += strlen(expected);
		assert_memory_equal(at, values[i], strlen(values[i]));
		at += strlen(values[i]);
	}
	buf_fini(&out);
}

static void
collect_histogram(struct metrics_scrape *scrape, void *arg)
{
	const char *labels[] = {"Fetch", "remote"};

	metrics_sample_histogram(scrape, labels, 2, arg);
}

static void
a_histogram_counts_each_duration_up_to_its_bound_and_zero_in_the_first(void **state)
{
	static const char *const expected[] = {
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"0.000001\"} 2\n",
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"0.000512\"} 2\n",
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"0.001024\"} 3\n",
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"0.002048\"} 4\n",
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"67.108864\"} 4\n",
	    "_bucket{api=\"Fetch\",phase=\"remote\",le=\"+Inf\"} 5\n",
	    "_sum{api=\"Fetch\",phase=\"remote\"} 100.002049\n",
	    "_count{api=\"Fetch\",phase=\"remote\"} 5\n",
	};
	struct histogram h = {0};
	struct buf out = {0};

	(void)state;
	histogram_observe(&h, 0);
	histogram_observe(&h, -5);
	histogram_observe(&h, 1024);
	histogram_observe(&h, 1025);
	histogram_observe(&h, 100 * 1000 * 1000);
	assert_int_equal(histogram_sum_us(&h), 100002049);
	metrics_add_collector(METRIC_REQUEST_PHASE_SECONDS, collect_histogram, &h);
	metrics_write(&out);
	metrics_remove_collectors(&h);
	assert_non_null(strstr(buf_text(&out), "# TYPE klamm_request_phase_seconds histogram\n"));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_non_null(strstr(buf_text(&out), expected[i]));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_uuid_survives_its_text),
	    cmocka_unit_test(a_buffer_grows_and_keeps_what_it_has),
	    cmocka_unit_test(an_arena_stops_at_its_limit),
	    cmocka_unit_test(arena_memory_is_zeroed_even_after_a_reset),
	    cmocka_unit_test(a_map_finds_what_was_put_and_nothing_else),
	    cmocka_unit_test(timers_fire_in_order_and_cancelled_ones_do_not),
	    cmocka_unit_test(messages_arrive_all_and_in_order_from_another_thread),
	    cmocka_unit_test(a_pool_grows_and_shrinks_while_it_works),
	    cmocka_unit_test(a_file_is_replaced_whole),
	    cmocka_unit_test(only_what_must_outlive_a_loss_of_power_waits_for_the_disk),
	    cmocka_unit_test(metrics_are_written_as_prometheus_reads_them),
	    cmocka_unit_test(values_and_labels_of_every_kind_are_written_exactly),
	    cmocka_unit_test(
		a_histogram_counts_each_duration_up_to_its_bound_and_zero_in_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
