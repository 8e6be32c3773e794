/* The metadata image: what UpdateMetadata brings, what readers see. */
#include <stdio.h>
#include <stdlib.h>

#include "base/workers.h"
#include "cluster/metadata.h"
#include "cluster/topic_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct uuid no_id;

static void
put(struct metadata_update *up, const char *topic, const struct uuid *id, int32_t number,
    int32_t leader)
{
	int32_t replicas[] = {leader, 7};
	struct metadata_partition p = {.partition = number,
				       .leader = leader,
				       .replicas = replicas,
				       .replica_count = 2,
				       .isr = replicas,
				       .isr_count = 1};

	metadata_update_partition(up, topic, id, &p);
}

static void
partitions_are_merged_and_removed_with_their_topic(void **state)
{
	struct uuid id = {{1, 2, 3}};
	const struct metadata_image *image;
	struct metadata_update *up;
	struct metadata *md;

	(void)state;
	assert_int_equal(metadata_open(&md), 0);
	up = metadata_update_begin(md);
	put(up, "a", &id, 0, 1);
	put(up, "a", &id, 2, 1);
	put(up, "b", &no_id, 0, 2);
	metadata_update_commit(md, up);
	up = metadata_update_begin(md);
	put(up, "a", &no_id, 0, 5); /* the id stays */
	metadata_update_commit(md, up);
	image = metadata_read(md);
	assert_int_equal(metadata_topic_count(image), 2);
	assert_int_equal(metadata_partition_count(image), 3);
	assert_int_equal(metadata_partition(image, "a", 1, 0)->leader, 5);
	assert_null(metadata_partition(image, "a", 1, 1));
	assert_int_equal(metadata_partition(image, "a", 1, 2)->leader, 1);
	assert_ptr_equal(metadata_topic_by_id(image, &id), metadata_topic(image, "a", 1));
	metadata_done(md);
	up = metadata_update_begin(md);
	put(up, "a", &id, 0, METADATA_LEADER_DURING_DELETE);
	put(up, "a", &id, 2, METADATA_LEADER_DURING_DELETE);
	put(up, "never", &id, 2, METADATA_LEADER_DURING_DELETE);
	metadata_update_commit(md, up);
	image = metadata_read(md);
	assert_null(metadata_topic(image, "a", 1));
	assert_null(metadata_topic_by_id(image, &id));
	assert_int_equal(metadata_topic_count(image), 1);
	assert_int_equal(metadata_partition_count(image), 1);
	metadata_done(md);
	metadata_close(md);
}

static void
a_topic_of_the_same_name_with_another_id_is_another_topic(void **state)
{
	struct uuid first = {{1}}, second = {{2}};
	const struct metadata_image *image;
	struct metadata_update *up;
	struct metadata *md;

	(void)state;
	assert_int_equal(metadata_open(&md), 0);
	up = metadata_update_begin(md);
	for (int32_t i = 0; i < 5; i++)
		put(up, "t", &first, i, 1);
	metadata_update_commit(md, up);
	up = metadata_update_begin(md);
	put(up, "t", &second, 0, 2);
	metadata_update_commit(md, up);
	image = metadata_read(md);
	assert_null(metadata_topic_by_id(image, &first));
	assert_int_equal(metadata_topic_by_id(image, &second)->partition_count, 1);
	assert_int_equal(metadata_partition_count(image), 1);
	metadata_done(md);
	metadata_close(md);
}

static void
brokers_are_replaced_and_found_by_id(void **state)
{
	struct metadata_broker *brokers;
	const struct metadata_image *image;
	struct metadata_update *up;
	struct metadata *md;
	size_t count;

	(void)state;
	assert_int_equal(metadata_open(&md), 0);
	for (int32_t n = 3; n > 0; n--) {
		up = metadata_update_begin(md);
		brokers = calloc((size_t)n, sizeof(*brokers));
		for (int32_t i = 0; i < n; i++)
			brokers[i].id = (n - i) * 10;
		metadata_update_brokers(up, brokers, (size_t)n);
		metadata_update_controller(up, n * 10);
		metadata_update_commit(md, up);
		image = metadata_read(md);
		assert_int_equal(metadata_brokers(image, &count)[0].id, 10);
		assert_int_equal(count, n);
		assert_non_null(metadata_broker(image, n * 10));
		assert_null(metadata_broker(image, 5));
		assert_int_equal(metadata_controller_id(image), n * 10);
		metadata_done(md);
	}
	metadata_close(md);
}

struct reading {
	struct metadata *md;
	_Atomic bool stop;
	_Atomic int torn;
};

/* A reader must see all partitions of an image with one leader, whatever the writer does. */
static void
read_on(void *arg)
{
	struct reading *r = arg;

	while (!r->stop) {
		const struct metadata_image *image = metadata_read(r->md);
		const struct metadata_topic *t = metadata_topic(image, "t", 1);

		for (int32_t i = 0; t != NULL && i < t->partition_count; i++)
			r->torn += t->partitions[i]->leader != t->partitions[0]->leader;
		metadata_done(r->md);
	}
}

static void
readers_see_one_state_while_it_is_replaced(void **state)
{
	struct reading r = {0};
	struct workers *ws;

	(void)state;
	assert_int_equal(metadata_open(&r.md), 0);
	assert_int_equal(workers_open("read", 2, &ws), 0);
	workers_submit(ws, read_on, &r);
	workers_submit(ws, read_on, &r);
	for (int32_t round = 0; round < 300; round++) {
		struct metadata_update *up = metadata_update_begin(r.md);
		char name[16];

		for (int32_t i = 0; i < 20; i++)
			put(up, "t", &no_id, i, round);
		snprintf(name, sizeof(name), "other%d", round % 50);
		put(up, name, &no_id, 0, round);
		metadata_update_commit(r.md, up);
	}
	r.stop = true;
	workers_close(ws);
	assert_int_equal(r.torn, 0);
	assert_int_equal(metadata_topic_count(metadata_read(r.md)), 51);
	metadata_done(r.md);
	metadata_close(r.md);
}

static void
topic_names_follow_kafkas_rules(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xa4", "a\nb"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(topic_name_refusal(str_of(bad[i])));
	assert_non_null(topic_name_refusal((struct str){"a\0b", 3}));
	assert_null(topic_name_refusal(str_of("Az09._-")));
	assert_true(topic_names_collide("a.b_c", "a_b.c"));
	assert_false(topic_names_collide("a.b", "a.bc"));
	assert_true(topic_name_is_internal(str_of("__consumer_offsets")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(partitions_are_merged_and_removed_with_their_topic),
	    cmocka_unit_test(a_topic_of_the_same_name_with_another_id_is_another_topic),
	    cmocka_unit_test(brokers_are_replaced_and_found_by_id),
	    cmocka_unit_test(readers_see_one_state_while_it_is_replaced),
	    cmocka_unit_test(topic_names_follow_kafkas_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
