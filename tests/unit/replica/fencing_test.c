/* Whom a broker obeys. */
#include "replica/fencing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wire/generated/leader_and_isr.h"
#include "wire/kerr.h"

static const struct uuid our_topic = {{1}}, another_topic = {{2}}, no_topic = {{0}};

/* Of our replica at leader epoch 5; brokers 1 and 2 have it. */
static int
told(const struct uuid *topic_id, int32_t leader_epoch, int32_t broker_id, bool offline)
{
	struct fencing_replica ours = {our_topic, 5, offline};
	int32_t replicas[] = {1, 2};
	struct leader_and_isr_partition_state state = {
	    .leader_epoch = leader_epoch, .replicas = replicas, .replicas_count = 2};

	return fencing_check_state(&ours, broker_id, topic_id, &state);
}

static void
a_request_to_a_former_life_of_the_broker_is_refused(void **state)
{
	int32_t epoch = 3;

	(void)state;
	assert_int_equal(fencing_check_controller(10, &epoch, 9, 4), K_STALE_BROKER_EPOCH);
	assert_int_equal(epoch, 3);
	assert_int_equal(fencing_check_controller(10, &epoch, 10, 4), 0);
	assert_int_equal(fencing_check_controller(10, &epoch, -1, 4), 0); /* it does not say */
}

static void
once_a_controller_has_spoken_its_predecessors_are_refused(void **state)
{
	int32_t epoch = 3;

	(void)state;
	assert_int_equal(fencing_check_controller(10, &epoch, 10, 4), 0);
	assert_int_equal(epoch, 4);
	assert_int_equal(fencing_check_controller(10, &epoch, 10, 3), K_STALE_CONTROLLER_EPOCH);
	assert_int_equal(fencing_check_controller(10, &epoch, 10, 4), 0);
}

static void
a_state_is_taken_at_a_new_leader_epoch_by_a_replica(void **state)
{
	(void)state;
	assert_int_equal(told(&our_topic, 6, 1, false), 0);
	assert_int_equal(told(&our_topic, 5, 1, false), K_STALE_CONTROLLER_EPOCH);
	assert_int_equal(told(&our_topic, 6, 3, false), K_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(told(&our_topic, 6, 1, true), K_KAFKA_STORAGE_ERROR);
}

static void
a_state_of_a_topic_with_the_same_name_is_refused(void **state)
{
	(void)state;
	assert_int_equal(told(&another_topic, 6, 1, false), K_INCONSISTENT_TOPIC_ID);
	assert_int_equal(told(&no_topic, 6, 1, false), 0); /* an old controller does not say */
}

static void
a_replica_stops_unless_it_has_heard_of_a_newer_leader_epoch(void **state)
{
	struct fencing_replica ours = {our_topic, 5, false}, offline = {our_topic, 5, true};

	(void)state;
	assert_int_equal(fencing_check_stop(&ours, 4), K_FENCED_LEADER_EPOCH);
	assert_int_equal(fencing_check_stop(&ours, 5), 0);
	assert_int_equal(fencing_check_stop(&ours, -1), 0);
	assert_int_equal(fencing_check_stop(&ours, FENCING_EPOCH_DURING_DELETE), 0);
	assert_int_equal(fencing_check_stop(&offline, 6), K_KAFKA_STORAGE_ERROR);
}

static void
who_reads_must_mean_our_topic_and_our_leader_epoch(void **state)
{
	struct fencing_replica ours = {our_topic, 5, false}, old = {no_topic, 5, false};

	(void)state;
	assert_int_equal(fencing_check_reader(&ours, &our_topic, 5), 0);
	assert_int_equal(fencing_check_reader(&ours, NULL, -1), 0);
	assert_int_equal(fencing_check_reader(&ours, &our_topic, 4), K_FENCED_LEADER_EPOCH);
	assert_int_equal(fencing_check_reader(&ours, &our_topic, 6), K_UNKNOWN_LEADER_EPOCH);
	assert_int_equal(fencing_check_reader(&ours, &another_topic, 5), K_INCONSISTENT_TOPIC_ID);
	assert_int_equal(fencing_check_reader(&ours, &no_topic, 5), K_INCONSISTENT_TOPIC_ID);
	assert_int_equal(fencing_check_reader(&old, &another_topic, 5), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_to_a_former_life_of_the_broker_is_refused),
	    cmocka_unit_test(once_a_controller_has_spoken_its_predecessors_are_refused),
	    cmocka_unit_test(a_state_is_taken_at_a_new_leader_epoch_by_a_replica),
	    cmocka_unit_test(a_state_of_a_topic_with_the_same_name_is_refused),
	    cmocka_unit_test(a_replica_stops_unless_it_has_heard_of_a_newer_leader_epoch),
	    cmocka_unit_test(who_reads_must_mean_our_topic_and_our_leader_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
