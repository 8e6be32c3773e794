/*
 * broker_settings.c - librdkafka's configuration, read back.
 *
 * The options and files become a configuration of librdkafka first, as for every other command, so
 * that one set of rules holds; what is needed here is then asked of it.
 */
#include "cli/broker_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/env.h"
#include "cli/client.h"
#include "net/client_tls.h"
#include "security/tls_context.h"

#define PEM_MAX ((size_t)16 << 20)
#define DEFAULT_PORT 9092

/* ---- addresses ---- */

/* One of the list, of len bytes. */
static int
parse_address(const char *text, size_t len, struct server_address *ret_address)
{
	const char *end = text + len, *scheme = memmem(text, len, "://", 3), *colon;
	char port[8] = "";
	size_t host_len;
	int64_t number = DEFAULT_PORT;

	if (scheme != NULL)
		text = scheme + 3;
	len = (size_t)(end - text);
	colon = memrchr(text, ':', len);
	if (colon != NULL && memchr(colon, ']', (size_t)(end - colon)) != NULL)
		colon = NULL; /* of an address in brackets */
	host_len = colon != NULL ? (size_t)(colon - text) : len;
	if (colon != NULL) {
		if ((size_t)(end - colon - 1) >= sizeof(port))
			return -EINVAL;
		memcpy(port, colon + 1, (size_t)(end - colon - 1));
		if (parse_int(port, 1, UINT16_MAX, &number) != 0)
			return -EINVAL;
	}
	if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
		text++;
		host_len -= 2;
	}
	if (host_len == 0)
		return -EINVAL;
	ret_address->host = strndup(text, host_len);
	ret_address->port = (int)number;
	return ret_address->host == NULL ? -ENOMEM : 0;
}

int
server_addresses_parse(struct broker_settings *s, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, ","), blanks = strspn(text, " \t");
		struct server_address *servers;
		size_t used = len;
		int st;

		while (used > blanks && (text[used - 1] == ' ' || text[used - 1] == '\t'))
			used--;
		if (used > blanks) {
			servers = realloc(s->servers, (s->server_count + 1) * sizeof(*s->servers));
			if (servers == NULL)
				return -ENOMEM;
			s->servers = servers;
			st = parse_address(text + blanks, used - blanks,
					   &s->servers[s->server_count]);
			if (st != 0)
				return st;
			s->server_count++;
		}
		text += len;
		text += *text == ',';
	}
	return s->server_count == 0 ? -EINVAL : 0;
}

/* ---- settings ---- */

/* A copy, or NULL where it is not set. */
static char *
get(const rd_kafka_conf_t *conf, const char *name)
{
	size_t size = 0;
	char *value;

	if (rd_kafka_conf_get(conf, name, NULL, &size) != RD_KAFKA_CONF_OK || size == 0)
		return NULL;
	size++;
	value = calloc(1, size);
	if (value == NULL)
		abort();
	if (rd_kafka_conf_get(conf, name, value, &size) != RD_KAFKA_CONF_OK || value[0] == '\0') {
		free(value);
		return NULL;
	}
	return value;
}

/* What tls_settings borrows. */
struct tls_texts {
	char *ca, *ca_pem, *keystore, *keystore_password, *key_password;
	char *chain, *key; /* PEM text */
	char *ciphers, *identification;
};

static void
texts_fini(struct tls_texts *t)
{
	free(t->ca);
	free(t->ca_pem);
	free(t->keystore);
	free(t->keystore_password);
	free(t->key_password);
	free(t->chain);
	free(t->key);
	free(t->ciphers);
	free(t->identification);
}

/* A setting that holds PEM text, or else the content of the file that another one names. */
static int
get_pem(const rd_kafka_conf_t *conf, const char *text_name, const char *file_name, char **ret_pem)
{
	struct buf data = {0};
	char *path;
	int st;

	*ret_pem = get(conf, text_name);
	path = *ret_pem == NULL ? get(conf, file_name) : NULL;
	if (path == NULL)
		return CLI_DONE;
	st = env_read_file(env_system(), AT_FDCWD, path, PEM_MAX, &data);
	if (st == 0 && buf_text(&data) != NULL)
		*ret_pem = strdup(buf_text(&data));
	else
		complain("%s: cannot read %s: %s", file_name, path,
			 strerror(st == 0 ? ENOMEM : -st));
	free(path);
	buf_fini(&data);
	return *ret_pem == NULL ? CLI_USAGE : CLI_DONE;
}

static int
get_texts(const rd_kafka_conf_t *conf, struct tls_texts *t)
{
	int st;

	t->ca = get(conf, "ssl.ca.location");
	if (t->ca != NULL && strcmp(t->ca, "probe") == 0) {
		free(t->ca);
		t->ca = NULL; /* the system's */
	}
	t->ca_pem = get(conf, "ssl.ca.pem");
	t->keystore = get(conf, "ssl.keystore.location");
	t->keystore_password = get(conf, "ssl.keystore.password");
	t->key_password = get(conf, "ssl.key.password");
	t->ciphers = get(conf, "ssl.cipher.suites");
	t->identification = get(conf, "ssl.endpoint.identification.algorithm");
	st = get_pem(conf, "ssl.certificate.pem", "ssl.certificate.location", &t->chain);
	return st != CLI_DONE ? st : get_pem(conf, "ssl.key.pem", "ssl.key.location", &t->key);
}

static int
make_context(struct broker_settings *s, const struct tls_texts *t, bool verify)
{
	bool any_host = t->identification != NULL && strcmp(t->identification, "none") == 0;
	struct tls_settings ts = {
	    .keystore_location = t->keystore,
	    .keystore_password = t->keystore_password,
	    .key_password = t->key_password,
	    .keystore_key = t->key,
	    .keystore_certificate_chain = t->chain,
	    .truststore_location = t->ca_pem == NULL ? t->ca : NULL,
	    .truststore_certificates = t->ca_pem,
	    .cipher_suites = t->ciphers,
	    .endpoint_identification_algorithm = any_host ? "" : "https",
	};
	char err[TLS_ERR_LEN];
	bool verify_host;
	SSL_CTX *ctx;
	int st;

	st = tls_client_context(env_system(), &ts, err, &ctx, &verify_host);
	if (st == -ENOMEM)
		return no_memory();
	if (st != 0) {
		complain("%s", err);
		return CLI_USAGE;
	}
	if (!verify)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	st = client_tls_open(ctx, verify && verify_host, &s->tls);
	return st != 0 ? no_memory() : CLI_DONE;
}

static int
load_tls(struct broker_settings *s, const rd_kafka_conf_t *conf)
{
	char *protocol = get(conf, "security.protocol");
	char *verify = get(conf, "enable.ssl.certificate.verification");
	struct tls_texts t = {0};
	int st = CLI_DONE;

	if (protocol != NULL && strncmp(protocol, "sasl", 4) == 0) {
		complain("security.protocol=%s: this command cannot authenticate by SASL; give it "
			 "a listener for PLAINTEXT or SSL",
			 protocol);
		st = CLI_USAGE;
	} else if (protocol != NULL && strcmp(protocol, "ssl") == 0) {
		st = get_texts(conf, &t);
		if (st == CLI_DONE)
			st = make_context(s, &t, verify == NULL || strcmp(verify, "false") != 0);
	}
	texts_fini(&t);
	free(protocol);
	free(verify);
	return st;
}

int
broker_settings_load(struct broker_settings *s)
{
	rd_kafka_conf_t *conf;
	int st;

	memset(s, 0, sizeof(*s));
	st = client_conf(NULL, &conf);
	if (st != CLI_DONE)
		return st;
	s->timeout_ms = client_timeout_ms();
	s->client_id = get(conf, "client.id");
	s->bootstrap = get(conf, "bootstrap.servers");
	st = server_addresses_parse(s, s->bootstrap != NULL ? s->bootstrap : "");
	if (st == -ENOMEM)
		st = no_memory();
	else if (st != 0)
		st = usage_error("--bootstrap-server takes HOST:PORT[,...], not '%s'",
				 s->bootstrap != NULL ? s->bootstrap : "");
	else
		st = load_tls(s, conf);
	rd_kafka_conf_destroy(conf);
	if (st != CLI_DONE)
		broker_settings_fini(s);
	return st;
}

void
broker_settings_fini(struct broker_settings *s)
{
	for (size_t i = 0; i < s->server_count; i++)
		free(s->servers[i].host);
	free(s->servers);
	free(s->bootstrap);
	free(s->client_id);
	client_tls_close(s->tls);
	memset(s, 0, sizeof(*s));
}
