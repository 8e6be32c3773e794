/* Java's client settings in librdkafka's terms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/client_properties.h"

/* Collects what librdkafka would be told. */
static int
collect(void *arg, const char *name, const char *value)
{
	return properties_set(arg, name, value);
}

/* what: of a properties file. Returns the translation's status. */
static int
translate(const char *what, struct properties *ret_settings, struct buf *ret_why)
{
	struct properties props = {{0}};
	int line, st;

	assert_int_equal(
	    properties_parse(&props, (struct slice){(const uint8_t *)what, strlen(what)}, &line),
	    0);
	st = client_properties_translate(&props, collect, ret_settings, ret_why);
	properties_fini(&props);
	return st;
}

static void
assert_translates(const char *what, const char *name, const char *value)
{
	struct properties settings = {{0}};
	struct buf why = {0};

	assert_int_equal(translate(what, &settings, &why), 0);
	if (value == NULL)
		assert_null(properties_get(&settings, name));
	else
		assert_string_equal(properties_get(&settings, name), value);
	properties_fini(&settings);
	buf_fini(&why);
}

static void
assert_refused(const char *what, const char *reason)
{
	struct properties settings = {{0}};
	struct buf why = {0};

	assert_int_equal(translate(what, &settings, &why), -EINVAL);
	if (strstr(buf_text(&why), reason) == NULL)
		fail_msg("'%s' does not say '%s'", buf_text(&why), reason);
	properties_fini(&settings);
	buf_fini(&why);
}

static void
names_that_differ_are_renamed_and_others_kept(void **state)
{
	(void)state;
	assert_translates("security.protocol=SSL\n", "security.protocol", "ssl");
	assert_translates("ssl.truststore.certificates=PEM\n", "ssl.ca.pem", "PEM");
	assert_translates("ssl.keystore.certificate.chain=C\n", "ssl.certificate.pem", "C");
	assert_translates("ssl.keystore.key=K\n", "ssl.key.pem", "K");
	assert_translates("ssl.key.password=p\n", "ssl.key.password", "p");
	assert_translates("fetch.max.wait.ms=7\n", "fetch.wait.max.ms", "7");
	assert_translates("buffer.memory=33554432\n", "queue.buffering.max.kbytes", "32768");
	assert_translates("sasl.mechanism=SCRAM-SHA-256\n", "sasl.mechanism", "SCRAM-SHA-256");
	assert_translates("linger.ms=3\n", "linger.ms", "3");
	assert_translates("debug=all\n", "debug", "all");
}

static void
what_only_a_jvm_knows_is_left_out(void **state)
{
	(void)state;
	assert_translates("key.serializer=a.B\n", "key.serializer", NULL);
	assert_translates("ssl.truststore.password=x\n", "ssl.truststore.password", NULL);
	assert_translates("metric.reporters=\n", "metric.reporters", NULL);
}

static void
no_endpoint_identification_is_said_as_none(void **state)
{
	const char *name = "ssl.endpoint.identification.algorithm";

	(void)state;
	assert_translates("ssl.endpoint.identification.algorithm=\n", name, "none");
	assert_translates("ssl.endpoint.identification.algorithm=HTTPS\n", name, "https");
	assert_translates("client.id=x\n", name, NULL);
}

static void
a_login_is_read_from_the_jaas_line(void **state)
{
	const char *jaas =
	    "sasl.jaas.config=org.apache.kafka.common.security.scram."
	    "ScramLoginModule required username=\"ali ce\" password=\"p;\\\\\"q\";\n";

	(void)state;
	assert_translates(jaas, "sasl.username", "ali ce");
	assert_translates(jaas, "sasl.password", "p;\"q");
	assert_translates("sasl.jaas.config=x.PlainLoginModule required password=b username=a;\n",
			  "sasl.username", "a");
	assert_refused("sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required;\n",
		       "sasl.username");
}

/* A file with these first bytes; path holds 32 bytes. */
static void
make_store(const char *bytes, size_t len, char *path)
{
	int fd;

	strcpy(path, "/tmp/klamm-store-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void
a_pem_store_is_handed_on_with_or_without_its_type(void **state)
{
	char path[32], text[256];

	(void)state;
	make_store("-----BEGIN CERTIFICATE-----\n", 28, path);
	snprintf(text, sizeof(text), "ssl.truststore.location=%s\n", path);
	assert_translates(text, "ssl.ca.location", path);
	snprintf(text, sizeof(text), "ssl.keystore.location=%s\nssl.keystore.type=PEM\n", path);
	assert_translates(text, "ssl.certificate.location", path);
	assert_translates(text, "ssl.key.location", path);
	unlink(path);
}

static void
a_pkcs12_key_store_keeps_its_password(void **state)
{
	char path[32], text[256];

	(void)state;
	make_store("\x30\x82\x01\x02", 4, path);
	snprintf(text, sizeof(text), "ssl.keystore.location=%s\nssl.keystore.password=secret\n",
		 path);
	assert_translates(text, "ssl.keystore.location", path);
	assert_translates(text, "ssl.keystore.password", "secret");
	snprintf(text, sizeof(text), "ssl.truststore.location=%s\n", path);
	assert_refused(text, "openssl pkcs12");
	unlink(path);
}

static void
a_jks_store_is_refused_with_the_way_to_convert_it(void **state)
{
	char path[32], text[256];

	(void)state;
	make_store("\xfe\xed\xfe\xed\0\0\0\2", 8, path);
	snprintf(text, sizeof(text), "ssl.keystore.location=%s\n", path);
	assert_refused(text, "keytool -importkeystore -srckeystore");
	/* Java's default type does not make a file what it is not. */
	snprintf(text, sizeof(text), "ssl.truststore.location=%s\nssl.truststore.type=JKS\n", path);
	assert_refused(text, "keytool");
	unlink(path);
}

static void
a_store_that_is_not_there_is_told(void **state)
{
	(void)state;
	assert_refused("ssl.truststore.location=/nonexistent/ca.pem\n", "/nonexistent/ca.pem");
	assert_refused("buffer.memory=lots\n", "buffer.memory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_that_differ_are_renamed_and_others_kept),
	    cmocka_unit_test(what_only_a_jvm_knows_is_left_out),
	    cmocka_unit_test(no_endpoint_identification_is_said_as_none),
	    cmocka_unit_test(a_login_is_read_from_the_jaas_line),
	    cmocka_unit_test(a_pem_store_is_handed_on_with_or_without_its_type),
	    cmocka_unit_test(a_pkcs12_key_store_keeps_its_password),
	    cmocka_unit_test(a_jks_store_is_refused_with_the_way_to_convert_it),
	    cmocka_unit_test(a_store_that_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
