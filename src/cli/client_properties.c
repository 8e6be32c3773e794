/*
 * client_properties.c - Java's client settings in librdkafka's terms: a table, and the stores.
 */
#include "cli/client_properties.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/env.h"

enum key_kind {
	KEY_RENAMED, /* another name, the same value */
	KEY_KILO,    /* another name, in units of 1024 */
	KEY_LOWER,   /* the same name, the value in lower case */
	KEY_JVM,     /* means nothing here */
	KEY_STORE    /* read by the functions below */
};

static const struct key_row {
	const char *java;
	enum key_kind kind;
	const char *rdkafka;
} key_rows[] = {
    {"ssl.truststore.certificates", KEY_RENAMED, "ssl.ca.pem"},
    {"ssl.keystore.certificate.chain", KEY_RENAMED, "ssl.certificate.pem"},
    {"ssl.keystore.key", KEY_RENAMED, "ssl.key.pem"},
    {"max.request.size", KEY_RENAMED, "message.max.bytes"},
    {"fetch.max.wait.ms", KEY_RENAMED, "fetch.wait.max.ms"},
    {"send.buffer.bytes", KEY_RENAMED, "socket.send.buffer.bytes"},
    {"receive.buffer.bytes", KEY_RENAMED, "socket.receive.buffer.bytes"},
    {"request.timeout.ms", KEY_RENAMED, "socket.timeout.ms"},
    {"buffer.memory", KEY_KILO, "queue.buffering.max.kbytes"},
    {"security.protocol", KEY_LOWER, "security.protocol"},

    {"ssl.truststore.location", KEY_STORE, NULL},
    {"ssl.truststore.type", KEY_STORE, NULL},
    {"ssl.truststore.password", KEY_STORE, NULL},
    {"ssl.keystore.location", KEY_STORE, NULL},
    {"ssl.keystore.type", KEY_STORE, NULL},
    {"ssl.keystore.password", KEY_STORE, NULL},
    {"ssl.endpoint.identification.algorithm", KEY_STORE, NULL},
    {"sasl.jaas.config", KEY_STORE, NULL},

    {"ssl.protocol", KEY_JVM, NULL},
    {"ssl.enabled.protocols", KEY_JVM, NULL},
    {"ssl.cipher.suites", KEY_JVM, NULL},
    {"ssl.provider", KEY_JVM, NULL},
    {"ssl.keymanager.algorithm", KEY_JVM, NULL},
    {"ssl.trustmanager.algorithm", KEY_JVM, NULL},
    {"ssl.secure.random.implementation", KEY_JVM, NULL},
    {"ssl.engine.factory.class", KEY_JVM, NULL},
    {"security.providers", KEY_JVM, NULL},
    {"sasl.client.callback.handler.class", KEY_JVM, NULL},
    {"sasl.login.callback.handler.class", KEY_JVM, NULL},
    {"sasl.login.class", KEY_JVM, NULL},
    {"key.serializer", KEY_JVM, NULL},
    {"value.serializer", KEY_JVM, NULL},
    {"key.deserializer", KEY_JVM, NULL},
    {"value.deserializer", KEY_JVM, NULL},
    {"partitioner.class", KEY_JVM, NULL},
    {"interceptor.classes", KEY_JVM, NULL},
    {"metric.reporters", KEY_JVM, NULL},
    {"metrics.num.samples", KEY_JVM, NULL},
    {"metrics.recording.level", KEY_JVM, NULL},
    {"metrics.sample.window.ms", KEY_JVM, NULL},
    {"auto.include.jmx.reporter", KEY_JVM, NULL},
    {"default.api.timeout.ms", KEY_JVM, NULL},
    {"max.block.ms", KEY_JVM, NULL},
    {"max.poll.records", KEY_JVM, NULL},
    {"client.dns.lookup", KEY_JVM, NULL},
    {"exclude.internal.topics", KEY_JVM, NULL},
};

struct translation {
	const struct properties *props;
	client_setting_fn *fn;
	void *arg;
	struct buf *why;
};

static const struct key_row *
key_row_of(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(key_rows); i++) {
		if (strcmp(key_rows[i].java, key) == 0)
			return &key_rows[i];
	}
	return NULL;
}

static int
give_lower(struct translation *t, const char *name, const char *value)
{
	char lower[32];
	size_t len = strlen(value);

	if (len >= sizeof(lower)) {
		buf_printf(t->why, "%s: '%s' is not a value of it", name, value);
		return -EINVAL;
	}
	for (size_t i = 0; i <= len; i++)
		lower[i] =
		    value[i] >= 'A' && value[i] <= 'Z' ? (char)(value[i] - 'A' + 'a') : value[i];
	return t->fn(t->arg, name, lower);
}

static int
give_kilo(struct translation *t, const char *java, const char *name, const char *value)
{
	char text[24], *end;
	long long bytes;

	errno = 0;
	bytes = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || bytes < 0) {
		buf_printf(t->why, "%s: '%s' is not a number of bytes", java, value);
		return -EINVAL;
	}
	snprintf(text, sizeof(text), "%lld", bytes < 1024 ? 1 : bytes / 1024);
	return t->fn(t->arg, name, text);
}

/* ---- stores ---- */

enum store_type { STORE_PEM, STORE_PKCS12, STORE_JKS };

/* By its type setting, and where there is none by what the file begins with. */
static int
store_type_of(struct translation *t, const char *key, const char *path, const char *type,
	      enum store_type *ret_type)
{
	uint8_t head[4] = {0};
	ssize_t n;
	int fd;

	if (type != NULL && strcasecmp(type, "PEM") == 0) {
		*ret_type = STORE_PEM;
		return 0;
	}
	if (type != NULL && strcasecmp(type, "PKCS12") == 0) {
		*ret_type = STORE_PKCS12;
		return 0;
	}
	fd = env_openat(env_system(), AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0) {
		buf_printf(t->why, "%s: cannot open %s: %s", key, path, strerror(-fd));
		return -EINVAL;
	}
	n = env_pread(env_system(), fd, head, sizeof(head), 0);
	env_close(env_system(), fd);
	if (n < (ssize_t)sizeof(head)) {
		buf_printf(t->why, "%s: %s is no key store: it has less than 4 bytes", key, path);
		return -EINVAL;
	}
	if (get_be32(head) == 0xfeedfeedu || get_be32(head) == 0xcecececeu)
		*ret_type = STORE_JKS;
	else if (head[0] == 0x30 && (head[1] & 0x80) != 0)
		*ret_type = STORE_PKCS12;
	else
		*ret_type = STORE_PEM;
	return 0;
}

static int
refuse_jks(struct translation *t, const char *key, const char *path, const char *then)
{
	buf_printf(
	    t->why,
	    "%s: %s is a JKS store, which only a JVM reads; convert it: keytool "
	    "-importkeystore -srckeystore %s -destkeystore store.p12 -deststoretype PKCS12%s",
	    key, path, path, then);
	return -EINVAL;
}

static int
give_truststore(struct translation *t)
{
	const char *key = "ssl.truststore.location";
	const char *path = properties_get(t->props, key);
	enum store_type type;
	int st;

	if (path == NULL)
		return 0;
	st = store_type_of(t, key, path, properties_get(t->props, "ssl.truststore.type"), &type);
	if (st != 0)
		return st;
	switch (type) {
	case STORE_JKS:
		return refuse_jks(t, key, path,
				  " && openssl pkcs12 -in store.p12 -nokeys -out ca.pem, then "
				  "ssl.truststore.location=ca.pem and ssl.truststore.type=PEM");
	case STORE_PKCS12:
		buf_printf(t->why,
			   "%s: a trust store has to be PEM; convert it: openssl pkcs12 -in %s "
			   "-nokeys -out ca.pem, then ssl.truststore.location=ca.pem and "
			   "ssl.truststore.type=PEM",
			   key, path);
		return -EINVAL;
	case STORE_PEM:
		break;
	}
	return t->fn(t->arg, "ssl.ca.location", path);
}

static int
give_keystore(struct translation *t)
{
	const char *key = "ssl.keystore.location";
	const char *path = properties_get(t->props, key);
	const char *password = properties_get(t->props, "ssl.keystore.password");
	enum store_type type;
	int st;

	if (path == NULL)
		return 0;
	st = store_type_of(t, key, path, properties_get(t->props, "ssl.keystore.type"), &type);
	if (st != 0)
		return st;
	switch (type) {
	case STORE_JKS:
		return refuse_jks(t, key, path,
				  ", then ssl.keystore.location=store.p12 and "
				  "ssl.keystore.type=PKCS12");
	case STORE_PKCS12:
		st = t->fn(t->arg, "ssl.keystore.location", path);
		if (st == 0 && password != NULL)
			st = t->fn(t->arg, "ssl.keystore.password", password);
		return st;
	case STORE_PEM:
		break;
	}
	/* One file with the key and the chain. */
	st = t->fn(t->arg, "ssl.certificate.location", path);
	return st != 0 ? st : t->fn(t->arg, "ssl.key.location", path);
}

/* Java has https unless it is set, librdkafka as well; empty means none. */
static int
give_identification(struct translation *t)
{
	const char *name = "ssl.endpoint.identification.algorithm";
	const char *value = properties_get(t->props, name);

	if (value == NULL)
		return 0;
	return give_lower(t, name, value[0] == '\0' ? "none" : value);
}

/* ---- sasl.jaas.config: "MODULE required username="u" password="p";" ---- */

/* The value of an option of a JAAS line: quoted or bare. False when it is not there. */
static bool
jaas_option(const char *jaas, const char *name, struct buf *ret_value)
{
	size_t len = strlen(name);

	for (const char *p = strstr(jaas, name); p != NULL; p = strstr(p + 1, name)) {
		const char *q = p + len;
		char quote = '\0';

		if (p != jaas && strchr(" \t\n", p[-1]) == NULL)
			continue;
		q += strspn(q, " \t");
		if (*q++ != '=')
			continue;
		q += strspn(q, " \t");
		if (*q == '"' || *q == '\'')
			quote = *q++;
		for (; *q != '\0' && (quote != '\0' ? *q != quote : strchr(" \t;", *q) == NULL);
		     q++) {
			if (*q == '\\' && q[1] != '\0')
				q++;
			buf_append_u8(ret_value, (uint8_t)*q);
		}
		return true;
	}
	return false;
}

static int
give_jaas_option(struct translation *t, const char *jaas, const char *option, const char *name)
{
	struct buf value = {0};
	const char *text;
	int st = 0;

	if (jaas_option(jaas, option, &value)) {
		text = buf_text(&value);
		st = text == NULL ? -ENOMEM : t->fn(t->arg, name, text);
	}
	buf_fini(&value);
	return st;
}

static int
give_jaas(struct translation *t)
{
	const char *jaas = properties_get(t->props, "sasl.jaas.config");
	int st;

	if (jaas == NULL)
		return 0;
	if (strstr(jaas, "PlainLoginModule") == NULL && strstr(jaas, "ScramLoginModule") == NULL) {
		buf_printf(t->why, "sasl.jaas.config: only PlainLoginModule and ScramLoginModule "
				   "can be read; set sasl.username and sasl.password, or "
				   "librdkafka's own settings, instead");
		return -EINVAL;
	}
	st = give_jaas_option(t, jaas, "username", "sasl.username");
	return st != 0 ? st : give_jaas_option(t, jaas, "password", "sasl.password");
}

static int
give_row(struct translation *t, const char *key, const char *value)
{
	const struct key_row *row = key_row_of(key);

	if (row == NULL)
		return t->fn(t->arg, key, value);
	switch (row->kind) {
	case KEY_RENAMED:
		return t->fn(t->arg, row->rdkafka, value);
	case KEY_KILO:
		return give_kilo(t, key, row->rdkafka, value);
	case KEY_LOWER:
		return give_lower(t, row->rdkafka, value);
	case KEY_JVM:
	case KEY_STORE:
		break;
	}
	return 0;
}

int
client_properties_translate(const struct properties *props, client_setting_fn *fn, void *arg,
			    struct buf *ret_why)
{
	struct translation t = {props, fn, arg, ret_why};
	struct map_iter it = {0};
	const char *value;
	int st;

	while ((value = map_next(&props->texts, &it)) != NULL) {
		st = give_row(&t, map_iter_key(&it).data, value);
		if (st != 0)
			return st;
	}
	st = give_truststore(&t);
	if (st == 0)
		st = give_keystore(&t);
	if (st == 0)
		st = give_identification(&t);
	if (st == 0)
		st = give_jaas(&t);
	return st;
}
