#include "storage/producer_state.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "storage/producer_snapshot.h"
#include "tests/unit/storage/storage_fixture.h"
#include "wire/kerr.h"

#define NOW 1700000000000

static int
send(struct log *log, int64_t producer_id, int16_t epoch, int32_t sequence, int32_t count,
     struct log_append_result *ret)
{
	const struct batch_spec spec = {
	    .producer_id = producer_id,
	    .producer_epoch = epoch,
	    .base_sequence = sequence,
	    .count = count,
	    .timestamp_ms = NOW,
	};

	return append_batch(log, &spec, ret);
}

static int
send_in_txn(struct log *log, int64_t producer_id, int16_t epoch, int32_t sequence)
{
	const struct batch_spec spec = {
	    .producer_id = producer_id,
	    .producer_epoch = epoch,
	    .base_sequence = sequence,
	    .transactional = true,
	    .timestamp_ms = NOW,
	};

	return append_batch(log, &spec, NULL);
}

static void
a_retry_is_answered_with_the_offsets_of_the_first_time(void **state)
{
	struct log_append_result first, again;
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 2);
	for (int i = 0; i < 7; i++)
		assert_int_equal(send(log, 4000, 0, i * 3, 3, &first), 0);
	/* The last five batches are remembered. */
	for (int i = 2; i < 7; i++) {
		assert_int_equal(send(log, 4000, 0, i * 3, 3, &again), 0);
		assert_true(again.duplicate);
		assert_int_equal(again.first_offset, 2 + i * 3);
		assert_int_equal(again.last_offset, 2 + i * 3 + 2);
		assert_int_equal(again.bytes, 0);
	}
	assert_int_equal(send(log, 4000, 0, 3, 3, &again), K_OUT_OF_ORDER_SEQUENCE_NUMBER);
	/* The same sequence in another length is no retry. */
	assert_int_equal(send(log, 4000, 0, 18, 2, &again), K_OUT_OF_ORDER_SEQUENCE_NUMBER);
	assert_int_equal(log_end_offset(log), 23);
	log_put(log);
}

static void
a_gap_in_the_sequence_is_refused(void **state)
{
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	/* Of an unknown producer any sequence is taken. */
	assert_int_equal(send(log, 4000, 0, 17, 1, NULL), 0);
	assert_int_equal(send(log, 4000, 0, 19, 1, NULL), K_OUT_OF_ORDER_SEQUENCE_NUMBER);
	assert_int_equal(send(log, 4000, 0, 18, 1, NULL), 0);
	assert_int_equal(log_end_offset(log), 2);
	log_put(log);
}

static void
sequences_wrap_from_the_largest_to_zero(void **state)
{
	struct log_append_result result;
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	assert_int_equal(send(log, 4000, 0, INT32_MAX - 1, 4, NULL), 0);
	assert_int_equal(send(log, 4000, 0, 2, 1, NULL), 0);
	assert_int_equal(send(log, 4000, 0, INT32_MAX - 1, 4, &result), 0);
	assert_true(result.duplicate);
	assert_int_equal(result.first_offset, 0);
	assert_int_equal(send(log, 4001, 0, INT32_MAX, 1, NULL), 0);
	assert_int_equal(send(log, 4001, 0, 0, 1, NULL), 0);
	log_put(log);
}

static void
an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero(void **state)
{
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	assert_int_equal(send(log, 4000, 3, 0, 2, NULL), 0);
	assert_int_equal(send(log, 4000, 2, 2, 1, NULL), K_INVALID_PRODUCER_EPOCH);
	assert_int_equal(send(log, 4000, 4, 2, 1, NULL), K_OUT_OF_ORDER_SEQUENCE_NUMBER);
	assert_int_equal(send(log, 4000, 4, 0, 1, NULL), 0);
	assert_int_equal(send(log, 4000, 3, 2, 1, NULL), K_INVALID_PRODUCER_EPOCH);
	log_put(log);
}

static void
a_refused_batch_leaves_no_producer_behind(void **state)
{
	struct storage *s = *state;
	struct log *log;

	storage_start(s);
	log = storage_log(s);
	append_many(log, 1);
	atomic_store(&s->machine.room_bytes, 0);
	assert_int_equal(send(log, 4000, 0, 0, 1, NULL), -ENOSPC);
	atomic_store(&s->machine.room_bytes, INT64_MAX);
	assert_int_equal(log_producer_count(log), 0);
	assert_int_equal(send(log, 4000, 0, 0, 1, NULL), 0);
	assert_int_equal(log_producer_count(log), 1);
	log_put(log);
}

static void
producers_are_known_after_a_stop_and_after_a_kill(void **state)
{
	struct log_append_result result;
	struct storage *s = *state;
	struct log *log;

	s->config.segment_bytes = 1000;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 30; i++)
		assert_int_equal(send(log, 4000, 1, i, 1, NULL), 0);
	for (int round = 0; round < 4; round++) {
		log_put(log);
		if (round % 2 == 0)
			storage_stop(s, true);
		else
			storage_crash(s);
		storage_start(s);
		log = storage_log(s);
		assert_int_equal(send(log, 4000, 1, 29 + round, 1, &result), 0);
		assert_true(result.duplicate);
		assert_int_equal(result.first_offset, 29 + round);
		assert_int_equal(send(log, 4000, 1, 31 + round, 1, NULL),
				 K_OUT_OF_ORDER_SEQUENCE_NUMBER);
		assert_int_equal(send(log, 4000, 1, 30 + round, 1, NULL), 0);
	}
	log_put(log);
}

static void
the_last_stable_offset_waits_for_open_transactions(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.transaction_verification = false;
	storage_start(s);
	log = storage_log(s);
	append_many(log, 2);                            /* 0, 1 */
	assert_int_equal(send_in_txn(log, 1, 0, 0), 0); /* 2 */
	assert_int_equal(send_in_txn(log, 2, 0, 0), 0); /* 3 */
	append_many(log, 1);                            /* 4 */
	log_set_high_watermark(log, 5);
	assert_int_equal(log_last_stable_offset(log), 2);
	assert_int_equal(append_marker(log, 1, 0, false, 9), 0); /* 5 */
	/* The marker is not replicated yet. */
	assert_int_equal(log_last_stable_offset(log), 2);
	log_set_high_watermark(log, 6);
	assert_int_equal(log_last_stable_offset(log), 3);
	assert_int_equal(append_marker(log, 2, 0, true, 9), 0); /* 6 */
	log_set_high_watermark(log, 7);
	assert_int_equal(log_last_stable_offset(log), 7);
	log_put(log);
}

static void
aborted_transactions_are_told_to_those_who_read_them(void **state)
{
	struct log_aborted_txn *txns;
	struct storage *s = *state;
	struct log_read read;
	struct arena arena;
	struct log *log;
	size_t count;

	s->config.transaction_verification = false;
	s->config.segment_bytes = 600;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(send_in_txn(log, 100 + i, 0, 0), 0);
		append_many(log, 1);
		assert_int_equal(append_marker(log, 100 + i, 0, i % 2 == 0, 1), 0);
	}
	log_set_high_watermark(log, log_end_offset(log));
	assert_true(log_segment_count(log) > 3);
	arena_init(&arena, 1 << 16);
	for (int64_t offset = 0; offset < 36; offset++) {
		size_t expected = 0;

		assert_int_equal(log_read(log, offset, 400, true, LOG_READ_COMMITTED, false, &read),
				 0);
		assert_int_equal(
		    log_aborted_transactions(log, offset, &read, &arena, &txns, &count), 0);
		log_file_put(read.file);
		/* Of a transaction i the record is 3i, the marker 3i + 2. */
		for (int64_t i = 0; i < 12; i += 2) {
			bool told = false;

			for (size_t k = 0; k < count; k++)
				told |=
				    txns[k].producer_id == 100 + i && txns[k].first_offset == 3 * i;
			/* What ended before the fetch is not told; what it lies in is. */
			if (3 * i + 2 < offset)
				assert_false(told);
			if (3 * i <= offset && 3 * i + 2 >= offset)
				assert_true(told);
			expected += told;
		}
		assert_int_equal(count, expected);
	}
	arena_fini(&arena);
	log_put(log);
}

static void
an_abort_is_in_the_transaction_index_also_after_a_kill(void **state)
{
	struct log_aborted_txn *txns;
	struct storage *s = *state;
	struct log_read read;
	struct arena arena;
	struct log *log;
	struct buf before = {0}, after = {0};
	size_t count;

	s->config.transaction_verification = false;
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(send_in_txn(log, 4000, 3, 7), 0);
	assert_int_equal(append_marker(log, 4000, 3, true, 9), 0);
	append_many(log, 2);
	storage_read_file(s, "orders-0/00000000000000000000.txnindex", &before);
	assert_int_equal(before.len, 34);
	for (int round = 0; round < 2; round++) {
		log_put(log);
		storage_crash(s);
		s->boot_id = round == 0 ? "boot-1" : "boot-2";
		storage_start(s);
		log = storage_log(s);
		storage_read_file(s, "orders-0/00000000000000000000.txnindex", &after);
		assert_int_equal(after.len, before.len);
		assert_memory_equal(after.data, before.data, before.len);
		log_set_high_watermark(log, 4);
		assert_int_equal(log_last_stable_offset(log), 4);
	}
	arena_init(&arena, 4096);
	assert_int_equal(log_read(log, 0, 4096, true, LOG_READ_COMMITTED, false, &read), 0);
	assert_int_equal(log_aborted_transactions(log, 0, &read, &arena, &txns, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(txns[0].producer_id, 4000);
	assert_int_equal(txns[0].first_offset, 0);
	log_file_put(read.file);
	arena_fini(&arena);
	buf_fini(&before);
	buf_fini(&after);
	log_put(log);
}

static void
markers_fence_producers_and_older_coordinators(void **state)
{
	struct storage *s = *state;
	struct log *log;

	s->config.transaction_verification = false;
	storage_start(s);
	log = storage_log(s);
	assert_int_equal(send_in_txn(log, 4000, 3, 0), 0);
	/* A batch outside the open transaction. */
	assert_int_equal(send(log, 4000, 3, 1, 1, NULL), K_INVALID_TXN_STATE);
	assert_int_equal(append_marker(log, 4000, 2, true, 5), K_INVALID_PRODUCER_EPOCH);
	assert_int_equal(append_marker(log, 4000, 4, true, 5), 0);
	assert_int_equal(append_marker(log, 4000, 4, true, 4), K_TRANSACTION_COORDINATOR_FENCED);
	assert_int_equal(send_in_txn(log, 4000, 3, 1), K_INVALID_PRODUCER_EPOCH);
	/* After the marker's epoch the sequence begins at 0. */
	assert_int_equal(send_in_txn(log, 4000, 4, 1), K_OUT_OF_ORDER_SEQUENCE_NUMBER);
	assert_int_equal(send_in_txn(log, 4000, 4, 0), 0);
	log_put(log);
}

static void
a_transaction_begins_only_with_the_coordinators_word(void **state)
{
	const struct batch_spec spec = {
	    .producer_id = 4000, .base_sequence = 5, .transactional = true, .timestamp_ms = NOW};
	struct log_append append = {0};
	struct log_append_result result;
	struct storage *s = *state;
	struct buf b = {0};
	struct log *log;
	uint64_t guard, again;

	storage_start(s);
	log = storage_log(s);
	build_batch(&spec, &b);
	append.records = b.data;
	append.len = b.len;
	assert_int_equal(log_append_as_leader(log, &append, NULL, &result, NULL),
			 K_INVALID_TXN_STATE);
	assert_int_equal(log_start_verification(log, 4000, 0, 5, &guard), 0);
	assert_true(guard != 0);
	assert_int_equal(log_start_verification(log, 4000, 0, 6, &again), 0);
	assert_true(again == guard);
	append.verification_guard = guard + 1;
	assert_int_equal(log_append_as_leader(log, &append, NULL, &result, NULL),
			 K_INVALID_TXN_STATE);
	append.verification_guard = guard;
	assert_int_equal(log_append_as_leader(log, &append, NULL, &result, NULL), 0);
	/* While it is open nothing need be asked. */
	assert_int_equal(log_start_verification(log, 4000, 0, 6, &again), 0);
	assert_int_equal(again, 0);
	assert_int_equal(send_in_txn(log, 4000, 0, 6), 0);
	buf_fini(&b);
	log_put(log);
}

static void
a_snapshot_is_written_as_kafka_writes_it(void **state)
{
	/* storage-format, section 21. */
	static const uint8_t want[] = {
	    0,    1,    0xa1, 0x27, 0x55, 0x0f, 0, 0, 0, 1, 0, 0, 0,    0, 0, 0, 0x0f, 0xa0, 0,
	    3,    0,    0,    0,    7,    0,    0, 0, 0, 0, 0, 0, 0x64, 0, 0, 0, 0,    0,    0,
	    0x01, 0x8b, 0xcf, 0xe5, 0x68, 0,    0, 0, 0, 9, 0, 0, 0,    0, 0, 0, 0,    0x64};
	const struct producer p = {
	    .producer_id = 4000,
	    .epoch = 3,
	    .last_timestamp_ms = NOW,
	    .txn_first_offset = 100,
	    .coordinator_epoch = 9,
	    .batch_count = 1,
	    .batches = {{.last_offset = 100, .timestamp_ms = NOW, .last_sequence = 7}},
	};
	struct producer_state ps = {0}, back = {0};
	const struct producer *got;
	struct buf b = {0};

	(void)state;
	assert_int_equal(producer_state_load(&ps, &p), 0);
	producer_snapshot_encode(&ps, &b);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	assert_int_equal(producer_snapshot_decode(buf_slice(&b), NOW, 1000, &back), 0);
	got = producer_state_find(&back, 4000);
	assert_non_null(got);
	assert_int_equal(got->epoch, 3);
	assert_int_equal(got->coordinator_epoch, 9);
	assert_int_equal(producer_newest_batch(got)->last_sequence, 7);
	assert_int_equal(producer_state_first_unstable_offset(&back), 100);
	for (size_t i = 0; i < b.len; i++) {
		struct producer_state none = {0};

		b.data[i] ^= 0x10;
		assert_int_equal(producer_snapshot_decode(buf_slice(&b), NOW, 1000, &none),
				 -EBADMSG);
		b.data[i] ^= 0x10;
		assert_int_equal(
		    producer_snapshot_decode((struct slice){b.data, i}, NOW, 1000, &none),
		    -EBADMSG);
		producer_state_fini(&none);
	}
	producer_state_fini(&ps);
	producer_state_fini(&back);
	buf_fini(&b);
}

static void
quiet_producers_expire_but_not_open_transactions(void **state)
{
	struct producer p = {.producer_id = 1,
			     .last_timestamp_ms = NOW,
			     .txn_first_offset = -1,
			     .coordinator_epoch = -1};
	struct producer_state ps = {0};

	(void)state;
	assert_int_equal(producer_state_load(&ps, &p), 0);
	p.producer_id = 2;
	p.txn_first_offset = 5;
	assert_int_equal(producer_state_load(&ps, &p), 0);
	assert_true(producer_state_start_verification(&ps, 3, 0, 0, NOW) != 0);
	producer_state_expire(&ps, NOW + 999, 1000);
	assert_int_equal(producer_state_count(&ps), 2);
	assert_int_equal(ps.verifications.count, 1);
	producer_state_expire(&ps, NOW + 1000, 1000);
	assert_int_equal(producer_state_count(&ps), 1);
	assert_non_null(producer_state_find(&ps, 2));
	assert_int_equal(ps.verifications.count, 0);
	producer_state_fini(&ps);
}

static void
a_corrupt_snapshot_is_replaced_by_a_replay(void **state)
{
	struct storage *s = *state;
	struct log_append_result result;
	struct log *log;

	s->config.segment_bytes = 1000;
	storage_start(s);
	log = storage_log(s);
	for (int i = 0; i < 30; i++)
		assert_int_equal(send(log, 4000, 1, i, 1, NULL), 0);
	log_put(log);
	storage_stop(s, true);
	storage_write_file(s, "orders-0/00000000000000000030.snapshot", "garbage", 7);
	storage_start(s);
	log = storage_log(s);
	assert_false(storage_has_file(s, "orders-0/00000000000000000030.snapshot"));
	assert_int_equal(send(log, 4000, 1, 29, 1, &result), 0);
	assert_true(result.duplicate);
	log_put(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
	    T(a_retry_is_answered_with_the_offsets_of_the_first_time),
	    T(a_gap_in_the_sequence_is_refused),
	    T(sequences_wrap_from_the_largest_to_zero),
	    T(an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero),
	    T(a_refused_batch_leaves_no_producer_behind),
	    T(producers_are_known_after_a_stop_and_after_a_kill),
	    T(the_last_stable_offset_waits_for_open_transactions),
	    T(aborted_transactions_are_told_to_those_who_read_them),
	    T(an_abort_is_in_the_transaction_index_also_after_a_kill),
	    T(markers_fence_producers_and_older_coordinators),
	    T(a_transaction_begins_only_with_the_coordinators_word),
	    T(a_snapshot_is_written_as_kafka_writes_it),
	    T(quiet_producers_expire_but_not_open_transactions),
	    T(a_corrupt_snapshot_is_replaced_by_a_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
