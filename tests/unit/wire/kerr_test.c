#include "wire/kerr.h"

#include <errno.h>

#include "tests/unit/wire/wire_test.h"

static void
a_kafka_code_is_its_own_wire_code(void **state)
{
	(void)state;
	assert_int_equal(kerr_of(0), 0);
	assert_int_equal(kerr_of(K_NOT_LEADER_OR_FOLLOWER), 6);
	assert_int_equal(kerr_of(K_VOTER_NOT_FOUND), 127);
}

static void
the_unknown_error_is_minus_one_on_the_wire_and_positive_inside(void **state)
{
	(void)state;
	assert_true(K_UNKNOWN_SERVER_ERROR > 127);
	assert_int_equal(kerr_of(K_UNKNOWN_SERVER_ERROR), -1);
	assert_int_equal(kerr_status(-1), K_UNKNOWN_SERVER_ERROR);
	assert_int_equal(kerr_status(41), K_NOT_CONTROLLER);
	assert_string_equal(kerr_name(-1), "UNKNOWN_SERVER_ERROR");
	assert_string_equal(kerr_name(K_UNKNOWN_SERVER_ERROR), "UNKNOWN_SERVER_ERROR");
}

static void
a_failed_disk_is_a_storage_error_and_other_failures_are_unknown(void **state)
{
	(void)state;
	assert_int_equal(kerr_of(-EIO), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(kerr_of(-ENOSPC), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(kerr_of(-EROFS), K_KAFKA_STORAGE_ERROR);
	assert_int_equal(kerr_of(-ENOMEM), -1);
	assert_int_equal(kerr_of(-EINVAL), -1);
}

static void
every_code_from_minus_one_to_127_has_a_name_and_a_text_of_its_own(void **state)
{
	(void)state;
	for (int code = -1; code <= 127; code++) {
		assert_string_not_equal(kerr_name(code), "UNKNOWN");
		assert_true(strlen(kerr_text(code)) > 5);
		for (int other = -1; other < code; other++)
			assert_string_not_equal(kerr_name(code), kerr_name(other));
	}
	assert_string_equal(kerr_name(128), "UNKNOWN");
	assert_string_equal(kerr_name(-2), "UNKNOWN");
}

static void
clients_retry_what_kafka_calls_retriable(void **state)
{
	(void)state;
	assert_true(kerr_retriable(K_NOT_LEADER_OR_FOLLOWER));
	assert_true(kerr_retriable(K_UNKNOWN_TOPIC_OR_PARTITION));
	assert_true(kerr_retriable(K_KAFKA_STORAGE_ERROR));
	assert_false(kerr_retriable(K_NONE));
	assert_false(kerr_retriable(K_MESSAGE_TOO_LARGE));
	assert_false(kerr_retriable(K_UNKNOWN_SERVER_ERROR));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_kafka_code_is_its_own_wire_code),
	    cmocka_unit_test(the_unknown_error_is_minus_one_on_the_wire_and_positive_inside),
	    cmocka_unit_test(a_failed_disk_is_a_storage_error_and_other_failures_are_unknown),
	    cmocka_unit_test(every_code_from_minus_one_to_127_has_a_name_and_a_text_of_its_own),
	    cmocka_unit_test(clients_retry_what_kafka_calls_retriable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
