/* Committed offsets: what is pending, what wins, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "group/group_offsets.h"

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct group_offsets));
	return 0;
}

static int
teardown(void **state)
{
	group_offsets_fini(*state);
	free(*state);
	return 0;
}

static struct committed_offset
offset_in(int64_t offset, int64_t batch_offset)
{
	return (struct committed_offset){.offset = offset,
					 .batch_offset = batch_offset,
					 .commit_timestamp_ms = 1,
					 .expire_timestamp_ms = -1,
					 .leader_epoch = 3,
					 .metadata = str_of("m")};
}

static void
put(struct group_offsets *go, const char *topic, int32_t partition, int64_t offset, int64_t batch)
{
	struct committed_offset c = offset_in(offset, batch);

	group_offsets_put(go, str_of(topic), partition, &c);
}

static void
end(struct group_offsets *go, const char *topic, int32_t partition, int64_t offset, int64_t batch)
{
	struct committed_offset c = offset_in(offset, batch);

	group_offsets_end(go, str_of(topic), partition, &c);
}

static void
txn_put(struct group_offsets *go, int64_t producer, const char *topic, int32_t partition,
	int64_t offset, int64_t batch)
{
	struct committed_offset c = offset_in(offset, batch);

	group_offsets_txn_put(go, producer, str_of(topic), partition, &c);
}

/* The committed offset, or -1. */
static int64_t
committed(const struct group_offsets *go, const char *topic, int32_t partition)
{
	struct offset_view view;

	group_offsets_look(go, str_of(topic), partition, &view);
	return view.is_committed ? view.committed.offset : -1;
}

static bool
unstable(const struct group_offsets *go, const char *topic, int32_t partition)
{
	struct offset_view view;

	group_offsets_look(go, str_of(topic), partition, &view);
	return view.is_unstable;
}

static void
an_offset_is_pending_until_the_log_has_it(void **state)
{
	struct group_offsets *go = *state;

	assert_false(group_offsets_any(go));
	group_offsets_begin(go, str_of("t"), 0);
	assert_true(group_offsets_any(go));
	assert_true(unstable(go, "t", 0));
	assert_int_equal(committed(go, "t", 0), -1);
	end(go, "t", 0, 5, 1);
	assert_false(unstable(go, "t", 0));
	assert_int_equal(committed(go, "t", 0), 5);
}

static void
a_commit_that_fails_leaves_what_was_there(void **state)
{
	struct group_offsets *go = *state;

	group_offsets_begin(go, str_of("t"), 0);
	group_offsets_end(go, str_of("t"), 0, NULL);
	assert_false(group_offsets_any(go));
	put(go, "t", 0, 5, 1);
	group_offsets_begin(go, str_of("t"), 0);
	group_offsets_end(go, str_of("t"), 0, NULL);
	assert_int_equal(committed(go, "t", 0), 5);
	assert_false(unstable(go, "t", 0));
}

static void
the_later_record_wins_whatever_is_acknowledged_first(void **state)
{
	struct group_offsets *go = *state;

	group_offsets_begin(go, str_of("t"), 0);
	group_offsets_begin(go, str_of("t"), 0);
	end(go, "t", 0, 20, 2);
	assert_true(unstable(go, "t", 0));
	end(go, "t", 0, 10, 1);
	assert_int_equal(committed(go, "t", 0), 20);
	assert_false(unstable(go, "t", 0));
	put(go, "t", 0, 1, 3); /* a reset */
	assert_int_equal(committed(go, "t", 0), 1);
	put(go, "t", 0, 2, 3); /* later in the same batch */
	assert_int_equal(committed(go, "t", 0), 2);
}

static void
metadata_is_copied_with_every_byte(void **state)
{
	struct group_offsets *go = *state;
	char text[] = "a\0b";
	struct committed_offset c = offset_in(1, 1);
	struct offset_view view;

	c.metadata = (struct str){text, 3};
	group_offsets_put(go, str_of("t"), 0, &c);
	group_offsets_txn_put(go, 9, str_of("t"), 1, &c);
	memset(text, 'x', 3);
	group_offsets_txn_end(go, 9, true);
	for (int32_t p = 0; p < 2; p++) {
		group_offsets_look(go, str_of("t"), p, &view);
		assert_int_equal(view.committed.metadata.len, 3);
		assert_memory_equal(view.committed.metadata.data, "a\0b", 4);
	}
}

static void
partitions_are_found_in_whatever_order_they_came(void **state)
{
	struct group_offsets *go = *state;

	for (int32_t i = 0; i < 100; i++)
		put(go, i % 2 == 0 ? "t" : "u", i * 37 % 100, i, i);
	for (int32_t i = 0; i < 100; i++)
		assert_int_equal(committed(go, i % 2 == 0 ? "t" : "u", i * 37 % 100), i);
	for (int32_t i = 0; i < 100; i += 2)
		assert_true(group_offsets_remove(go, str_of("t"), i * 37 % 100));
	assert_int_equal(committed(go, "t", 0), -1);
	assert_int_equal(go->topics.count, 1);
	assert_int_equal(go->committed_count, 50);
}

static void
a_deleted_partition_forgets_what_is_on_its_way(void **state)
{
	struct group_offsets *go = *state;

	put(go, "t", 0, 5, 1);
	group_offsets_begin(go, str_of("t"), 0);
	txn_put(go, 9, "t", 0, 6, 2);
	assert_true(group_offsets_remove(go, str_of("t"), 0));
	assert_false(group_offsets_remove(go, str_of("t"), 0));
	assert_false(group_offsets_any(go));
	end(go, "t", 0, 7, 3);
	group_offsets_txn_end(go, 9, true);
	assert_false(group_offsets_any(go));
	assert_int_equal(committed(go, "t", 0), -1);
}

static void
a_commit_to_the_partition_made_anew_counts(void **state)
{
	struct group_offsets *go = *state;

	put(go, "t", 0, 5, 1);
	group_offsets_begin(go, str_of("t"), 0);
	group_offsets_remove(go, str_of("t"), 0);
	group_offsets_begin(go, str_of("t"), 0);
	end(go, "t", 0, 7, 3); /* of before: takes the other's place */
	end(go, "t", 0, 8, 4);
	assert_int_equal(committed(go, "t", 0), 8);
	assert_int_equal(go->pending_count, 0);
}

/* ---- transactions ---- */

static void
a_transactions_offsets_count_once_it_commits(void **state)
{
	struct group_offsets *go = *state;

	txn_put(go, 9, "t", 0, 5, 1);
	txn_put(go, 9, "t", 0, 6, 2); /* the later one */
	txn_put(go, 9, "u", 3, 7, 2);
	assert_true(group_offsets_txn_open(go, 9));
	assert_false(group_offsets_txn_open(go, 8));
	assert_true(unstable(go, "t", 0));
	assert_int_equal(committed(go, "t", 0), -1);
	assert_int_equal(go->pending_count, 2);
	group_offsets_txn_end(go, 9, true);
	assert_int_equal(committed(go, "t", 0), 6);
	assert_int_equal(committed(go, "u", 3), 7);
	assert_false(unstable(go, "t", 0));
	assert_false(group_offsets_txn_open(go, 9));
	group_offsets_txn_end(go, 9, false); /* its marker twice */
	assert_int_equal(committed(go, "t", 0), 6);
}

static void
an_aborted_transaction_leaves_nothing(void **state)
{
	struct group_offsets *go = *state;

	put(go, "t", 0, 1, 0);
	txn_put(go, 9, "t", 0, 5, 1);
	txn_put(go, 9, "t", 1, 5, 1);
	group_offsets_txn_end(go, 9, false);
	assert_int_equal(committed(go, "t", 0), 1);
	assert_int_equal(committed(go, "t", 1), -1);
	assert_false(unstable(go, "t", 0));
	assert_int_equal(go->pending_count, 0);
}

static void
a_plain_commit_after_the_transactions_wins(void **state)
{
	struct group_offsets *go = *state;

	txn_put(go, 9, "t", 0, 5, 1);
	put(go, "t", 0, 8, 2);
	group_offsets_txn_end(go, 9, true);
	assert_int_equal(committed(go, "t", 0), 8);
}

static void
producers_end_each_on_their_own(void **state)
{
	struct group_offsets *go = *state;

	for (int64_t producer = 1; producer <= 3; producer++)
		txn_put(go, producer, "t", 0, producer * 10, producer);
	group_offsets_txn_end(go, 2, true);
	assert_int_equal(committed(go, "t", 0), 20);
	assert_true(unstable(go, "t", 0));
	group_offsets_txn_end(go, 1, true); /* older in the log */
	assert_int_equal(committed(go, "t", 0), 20);
	group_offsets_txn_end(go, 3, false);
	assert_false(unstable(go, "t", 0));
	assert_int_equal(go->pending_count, 0);
	assert_int_equal(go->producers.count, 0);
}

static void
open_transactions_of_a_deleted_partition_keep_the_rest(void **state)
{
	struct group_offsets *go = *state;

	for (int64_t producer = 1; producer <= 3; producer++) {
		txn_put(go, producer, "t", 0, producer, producer);
		txn_put(go, producer, "t", 1, producer, producer);
	}
	assert_false(group_offsets_remove(go, str_of("t"), 0));
	assert_int_equal(go->pending_count, 3);
	txn_put(go, 2, "t", 0, 50, 9); /* the partition made anew */
	for (int64_t producer = 1; producer <= 3; producer++)
		group_offsets_txn_end(go, producer, true);
	assert_int_equal(committed(go, "t", 0), 50);
	assert_int_equal(committed(go, "t", 1), 3);
	assert_int_equal(go->pending_count, 0);
}

static void
a_transaction_of_many_partitions_costs_what_it_holds(void **state)
{
	struct group_offsets *go = *state;

	for (int32_t p = 0; p < 50000; p++)
		txn_put(go, 9, "t", p, p, 1);
	for (int32_t p = 0; p < 50000; p++)
		txn_put(go, 9, "t", p, p + 1, 2);
	assert_int_equal(go->pending_count, 50000);
	group_offsets_txn_end(go, 9, true);
	assert_int_equal(committed(go, "t", 49999), 50000);
}

/* ---- all of them ---- */

static void
sum_up(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	int64_t *sum = arg;

	(void)topic;
	*sum += partition * 1000 + (view->is_committed ? view->committed.offset : 0);
}

static bool
is_even(void *arg, struct str topic, const struct committed_offset *c)
{
	(void)arg;
	(void)topic;
	return c->offset % 2 == 0;
}

static void
what_is_taken_out_is_told_and_gone_but_nothing_pending(void **state)
{
	struct group_offsets *go = *state;
	int64_t sum = 0;

	put(go, "t", 1, 2, 1);
	put(go, "t", 2, 3, 1);
	put(go, "t", 3, 4, 1);
	put(go, "u", 4, 6, 1);
	group_offsets_begin(go, str_of("t"), 3);
	txn_put(go, 9, "v", 5, 8, 1);
	group_offsets_each(go, sum_up, &sum);
	assert_int_equal(sum, 1002 + 2003 + 3004 + 4006 + 5000);
	sum = 0;
	group_offsets_take(go, is_even, NULL, sum_up, &sum);
	assert_int_equal(sum, 1002 + 4006);
	assert_int_equal(go->committed_count, 2);
	assert_int_equal(committed(go, "t", 2), 3);
	assert_int_equal(committed(go, "t", 3), 4);
	group_offsets_txn_end(go, 9, true); /* found after the others moved */
	assert_int_equal(committed(go, "v", 5), 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(an_offset_is_pending_until_the_log_has_it),
	    T(a_commit_that_fails_leaves_what_was_there),
	    T(the_later_record_wins_whatever_is_acknowledged_first),
	    T(metadata_is_copied_with_every_byte),
	    T(partitions_are_found_in_whatever_order_they_came),
	    T(a_deleted_partition_forgets_what_is_on_its_way),
	    T(a_commit_to_the_partition_made_anew_counts),
	    T(a_transactions_offsets_count_once_it_commits),
	    T(an_aborted_transaction_leaves_nothing),
	    T(a_plain_commit_after_the_transactions_wins),
	    T(producers_end_each_on_their_own),
	    T(open_transactions_of_a_deleted_partition_keep_the_rest),
	    T(a_transaction_of_many_partitions_costs_what_it_holds),
	    T(what_is_taken_out_is_told_and_gone_but_nothing_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
