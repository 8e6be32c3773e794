#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "net/endpoint.h"

static char err[ENDPOINT_ERR_LEN];

static void
assert_endpoint(const struct endpoint *ep, const char *name, const char *host, int port,
		enum security_protocol protocol)
{
	assert_string_equal(ep->listener_name, name);
	assert_string_equal(ep->host, host);
	assert_int_equal(ep->port, port);
	assert_int_equal(ep->protocol, protocol);
}

static void
listeners_are_read_with_names_addresses_and_protocols(void **state)
{
	struct endpoints list;

	(void)state;
	assert_int_equal(
	    endpoints_parse(" internal://broker-1.example:9092 , SSL://:9093,ext://[::1]:9094,"
			    "SASL_SSL://0.0.0.0:0",
			    "INTERNAL:PLAINTEXT,SSL:SSL, Ext : sasl_plaintext ,SASL_SSL:SASL_SSL",
			    err, &list),
	    0);
	assert_int_equal(list.count, 4);
	assert_endpoint(&list.items[0], "INTERNAL", "broker-1.example", 9092, SECURITY_PLAINTEXT);
	assert_endpoint(&list.items[1], "SSL", "", 9093, SECURITY_SSL);
	assert_endpoint(&list.items[2], "EXT", "::1", 9094, SECURITY_SASL_PLAINTEXT);
	assert_endpoint(&list.items[3], "SASL_SSL", "0.0.0.0", 0, SECURITY_SASL_SSL);
	assert_ptr_equal(endpoints_find(&list, "ext"), &list.items[2]);
	assert_null(endpoints_find(&list, "other"));
	endpoints_fini(&list);
}

static void
without_a_map_each_protocol_is_its_own_listener_name(void **state)
{
	struct endpoints list;

	(void)state;
	assert_int_equal(endpoints_parse("PLAINTEXT://:9092,ssl://h:1", NULL, err, &list), 0);
	assert_endpoint(&list.items[1], "SSL", "h", 1, SECURITY_SSL);
	endpoints_fini(&list);
	assert_int_equal(endpoints_parse("INTERNAL://:9092", "", err, &list), -EINVAL);
	assert_non_null(strstr(err, "INTERNAL"));
}

static void
mistakes_in_listeners_are_told_with_what_was_given(void **state)
{
	static const struct {
		const char *listeners, *map, *says;
	} cases[] = {
	    {"", NULL, "at least one endpoint"},
	    {" , ", NULL, "at least one endpoint"},
	    {"PLAINTEXT", NULL, "'PLAINTEXT'"},
	    {"PLAINTEXT://host", NULL, "'PLAINTEXT://host'"},
	    {"PLAINTEXT://host:", NULL, "'PLAINTEXT://host:'"},
	    {"PLAINTEXT://host:x", NULL, "'PLAINTEXT://host:x'"},
	    {"PLAINTEXT://host:65536", NULL, "65535"},
	    {"PLAINTEXT://host:-1", NULL, "65535"},
	    {"PLAINTEXT://ho st:1", NULL, "'PLAINTEXT://ho st:1'"},
	    {"PLAINTEXT://[::1:1", NULL, "[::1:1"},
	    {"://host:1", NULL, "'://host:1'"},
	    {"A://h:1,a://h:2", "A:PLAINTEXT", "name A is there twice"},
	    {"A://h:1,B://h:1", "A:SSL,B:SSL", "port 1 is there twice"},
	    {"A://127.0.0.1:1,B://127.0.0.2:1", "A:SSL,B:SSL", "port 1 is there twice"},
	    {"A://127.0.0.1:1,B://[::1]:1,C://:1", "A:SSL,B:SSL,C:SSL", "port 1 is there twice"},
	    {"A://h:1", "A:TLS", "'TLS'"},
	    {"A://h:1", "A=SSL", "'A=SSL'"},
	    {"A://h:1", "B:SSL", "listener A has no protocol"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct endpoints list;

		assert_int_equal(endpoints_parse(cases[i].listeners, cases[i].map, err, &list),
				 -EINVAL);
		if (strstr(err, cases[i].says) == NULL)
			fail_msg("'%s' says '%s', not '%s'", cases[i].listeners, err,
				 cases[i].says);
	}
}

static void
one_ipv4_and_one_ipv6_address_may_share_a_port(void **state)
{
	struct endpoints list;

	(void)state;
	assert_int_equal(endpoints_parse("A://127.0.0.1:1,B://[::1]:1", "A:SSL,B:SSL", err, &list),
			 0);
	assert_false(list.items[0].v6_only);
	assert_true(list.items[1].v6_only);
	endpoints_fini(&list);
}

static void
advertised_listeners_default_to_listeners_and_must_be_among_them(void **state)
{
	struct endpoints listeners, list;

	(void)state;
	assert_int_equal(endpoints_parse("A://:1,B://:2", "A:SSL,B:SSL", err, &listeners), 0);
	assert_int_equal(endpoints_parse_advertised(NULL, "A:SSL,B:SSL", &listeners, err, &list),
			 0);
	assert_int_equal(list.count, 2);
	endpoints_fini(&list);
	assert_int_equal(
	    endpoints_parse_advertised("A://x:7,B://y:7", "A:SSL,B:SSL", &listeners, err, &list),
	    0);
	assert_endpoint(&list.items[1], "B", "y", 7, SECURITY_SSL);
	endpoints_fini(&list);
	assert_int_equal(
	    endpoints_parse_advertised("C://x:7", "A:SSL,C:SSL", &listeners, err, &list), -EINVAL);
	assert_non_null(strstr(err, "no listener named C"));
	assert_int_equal(
	    endpoints_parse_advertised("A://0.0.0.0:7", "A:SSL", &listeners, err, &list), -EINVAL);
	assert_non_null(strstr(err, "0.0.0.0"));
	endpoints_fini(&listeners);
}

static void
the_inter_broker_listener_is_found_by_name_or_by_protocol(void **state)
{
	struct endpoints list;
	const struct endpoint *ep;

	(void)state;
	assert_int_equal(
	    endpoints_parse("A://:1,PLAINTEXT://:2", "A:SSL,PLAINTEXT:PLAINTEXT", err, &list), 0);
	assert_int_equal(endpoints_inter_broker(&list, "a", "PLAINTEXT", err, &ep), 0);
	assert_ptr_equal(ep, &list.items[0]);
	assert_int_equal(endpoints_inter_broker(&list, NULL, "PLAINTEXT", err, &ep), 0);
	assert_ptr_equal(ep, &list.items[1]);
	assert_int_equal(endpoints_inter_broker(&list, NULL, "SSL", err, &ep), -EINVAL);
	assert_non_null(strstr(err, "security.inter.broker.protocol"));
	assert_int_equal(endpoints_inter_broker(&list, "X", "SSL", err, &ep), -EINVAL);
	assert_non_null(strstr(err, "inter.broker.listener.name"));
	endpoints_fini(&list);
}

static void
an_endpoint_is_written_as_kafka_writes_it(void **state)
{
	struct endpoint ep = {.listener_name = (char *)(uintptr_t) "SSL",
			      .host = (char *)(uintptr_t) "::1",
			      .port = 9093};
	struct buf b = {0};

	(void)state;
	endpoint_format(&ep, &b);
	assert_string_equal(buf_text(&b), "SSL://[::1]:9093");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listeners_are_read_with_names_addresses_and_protocols),
	    cmocka_unit_test(without_a_map_each_protocol_is_its_own_listener_name),
	    cmocka_unit_test(mistakes_in_listeners_are_told_with_what_was_given),
	    cmocka_unit_test(one_ipv4_and_one_ipv6_address_may_share_a_port),
	    cmocka_unit_test(advertised_listeners_default_to_listeners_and_must_be_among_them),
	    cmocka_unit_test(the_inter_broker_listener_is_found_by_name_or_by_protocol),
	    cmocka_unit_test(an_endpoint_is_written_as_kafka_writes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
