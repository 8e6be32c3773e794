/* --bootstrap-server as addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/broker_settings.h"

static void
assert_address(const struct broker_settings *s, size_t i, const char *host, int port)
{
	assert_true(i < s->server_count);
	assert_string_equal(s->servers[i].host, host);
	assert_int_equal(s->servers[i].port, port);
}

static void
a_list_may_have_names_addresses_schemes_and_blanks(void **state)
{
	struct broker_settings s = {0};

	(void)state;
	assert_int_equal(
	    server_addresses_parse(&s, "a:1, b , [::1]:3,SSL://c.example:65535,,[fe80::2]"), 0);
	assert_int_equal(s.server_count, 5);
	assert_address(&s, 0, "a", 1);
	assert_address(&s, 1, "b", 9092);
	assert_address(&s, 2, "::1", 3);
	assert_address(&s, 3, "c.example", 65535);
	assert_address(&s, 4, "fe80::2", 9092);
	broker_settings_fini(&s);
}

static void
what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {"",   " , ",   "a:0",    "a:65536",    "a:x",
					  "a:", ":9092", "a:1,:2", "a:999999999"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct broker_settings s = {0};

		assert_int_equal(server_addresses_parse(&s, bad[i]), -EINVAL);
		broker_settings_fini(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_list_may_have_names_addresses_schemes_and_blanks),
	    cmocka_unit_test(what_is_no_address_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
