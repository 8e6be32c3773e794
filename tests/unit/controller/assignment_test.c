/* Which brokers hold the partitions of a new topic. */
#include "controller/assignment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/env.h"
#include "wire/kerr.h"

static void
replicas_are_spread_evenly(void **state)
{
	struct assignment_broker brokers[5];
	struct topic_assignment ta = {0};
	int leads[5] = {0}, holds[5] = {0};

	(void)state;
	for (int i = 0; i < 5; i++)
		brokers[i] = (struct assignment_broker){.id = i};
	assert_int_equal(assignment_make(env_system(), brokers, 5, 0, 20, 3, -1, -1, &ta), 0);
	for (int i = 0; i < 20; i++) {
		const int32_t *r = ta.partitions[i].replicas;

		assert_int_equal(ta.partitions[i].replica_count, 3);
		assert_true(r[0] != r[1] && r[1] != r[2] && r[0] != r[2]);
		leads[r[0]]++;
		for (int k = 0; k < 3; k++)
			holds[r[k]]++;
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(leads[i], 4);
		assert_int_equal(holds[i], 12);
	}
	topic_assignment_fini(&ta);
}

static void
replicas_stand_in_different_racks(void **state)
{
	static const char *const racks[] = {"a", "b", "c"};
	struct assignment_broker brokers[6];
	struct topic_assignment ta = {0};

	(void)state;
	for (int i = 0; i < 6; i++)
		brokers[i] = (struct assignment_broker){.id = i, .rack = racks[i / 2]};
	assert_int_equal(assignment_make(env_system(), brokers, 6, 0, 12, 3, -1, -1, &ta), 0);
	for (int i = 0; i < 12; i++) {
		const int32_t *r = ta.partitions[i].replicas;

		assert_true(r[0] / 2 != r[1] / 2 && r[1] / 2 != r[2] / 2 && r[0] / 2 != r[2] / 2);
	}
	topic_assignment_fini(&ta);
	brokers[3].rack = NULL;
	assert_int_equal(assignment_make(env_system(), brokers, 6, 0, 1, 1, 0, 0, &ta),
			 K_UNKNOWN_SERVER_ERROR);
	assert_int_equal(assignment_make(env_system(), brokers, 2, 0, 1, 3, 0, 0, &ta),
			 K_INVALID_REPLICATION_FACTOR);
	topic_assignment_fini(&ta);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replicas_are_spread_evenly),
	    cmocka_unit_test(replicas_stand_in_different_racks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
