/* TLS contexts: the settings they are made of, and certificates that are read again. */
#include <stdio.h>
#include <ctype.h>

#include "base/diag.h"
#include "broker/broker_internal.h"

/* The text of a key for a listener where it was set; NULL where only the default holds. */
static const char *
set_text(const struct broker_conf *conf, const char *prefix, const char *key)
{
	const struct properties *levels[] = {&conf->dynamic_broker, &conf->dynamic_default,
					     &conf->fixed};
	char prefixed[256];

	snprintf(prefixed, sizeof(prefixed), "%s%s", prefix, key);
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (properties_get(levels[i], prefixed) != NULL)
			return properties_get(levels[i], prefixed);
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (properties_get(levels[i], key) != NULL)
			return properties_get(levels[i], key);
	return NULL;
}

static void
make_prefix(const char *listener, char *prefix, size_t size)
{
	snprintf(prefix, size, "listener.name.%s.", listener);
	for (char *p = prefix; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
}

/* prefix: "" for the settings without listener. Texts are borrowed from conf. */
static struct tls_settings
tls_settings_of(const struct broker_conf *conf, const char *prefix)
{
	return (struct tls_settings){
	    .key_prefix = prefix,
	    .keystore_type = set_text(conf, prefix, "ssl.keystore.type"),
	    .keystore_location = set_text(conf, prefix, "ssl.keystore.location"),
	    .keystore_password = set_text(conf, prefix, "ssl.keystore.password"),
	    .key_password = set_text(conf, prefix, "ssl.key.password"),
	    .keystore_key = set_text(conf, prefix, "ssl.keystore.key"),
	    .keystore_certificate_chain = set_text(conf, prefix, "ssl.keystore.certificate.chain"),
	    .truststore_type = set_text(conf, prefix, "ssl.truststore.type"),
	    .truststore_location = set_text(conf, prefix, "ssl.truststore.location"),
	    .truststore_password = set_text(conf, prefix, "ssl.truststore.password"),
	    .truststore_certificates = set_text(conf, prefix, "ssl.truststore.certificates"),
	    .client_auth = set_text(conf, prefix, "ssl.client.auth"),
	    .protocol = set_text(conf, prefix, "ssl.protocol"),
	    .enabled_protocols = set_text(conf, prefix, "ssl.enabled.protocols"),
	    .cipher_suites = set_text(conf, prefix, "ssl.cipher.suites"),
	    .endpoint_identification_algorithm =
		set_text(conf, prefix, "ssl.endpoint.identification.algorithm"),
	};
}

int
broker_make_server_tls(struct broker *b, const char *listener, SSL_CTX **ret_ctx)
{
	struct tls_settings settings;
	char prefix[128], err[TLS_ERR_LEN];
	int st;

	make_prefix(listener, prefix, sizeof(prefix));
	settings = tls_settings_of(broker_conf_of(b), prefix);
	st = tls_server_context(b->env, &settings, err, ret_ctx);
	if (st != 0)
		diag_error(DIAG_SECURITY, err, "listener=%s", listener);
	return st;
}

static int
make_client_context(struct broker *b, SSL_CTX **ret_ctx, bool *ret_verify_host)
{
	struct tls_settings settings;
	char prefix[128], err[TLS_ERR_LEN];
	int st;

	make_prefix(b->inter_broker_listener, prefix, sizeof(prefix));
	settings = tls_settings_of(broker_conf_of(b), prefix);
	st = tls_client_context(b->env, &settings, err, ret_ctx, ret_verify_host);
	if (st != 0)
		diag_error(DIAG_SECURITY, err, "listener=%s", b->inter_broker_listener);
	return st;
}

int
broker_make_client_tls(struct broker *b)
{
	bool verify_host;
	SSL_CTX *ctx;
	int st;

	if (!security_protocol_is_tls(b->inter_broker_protocol))
		return 0;
	st = make_client_context(b, &ctx, &verify_host);
	return st != 0 ? st : client_tls_open(ctx, verify_host, &b->client_tls);
}

/* ---- read again: what cannot be read leaves the old one in use ---- */

static void
tell_reloaded(const char *whose)
{
	diag_info(DIAG_SECURITY, "new connections use the certificate as it is now", "%s", whose);
}

static void
reload_listener(struct broker *b, struct broker_listener *bl)
{
	char whose[128];
	SSL_CTX *fresh;

	if (bl->tls == NULL || bl->listener == NULL ||
	    broker_make_server_tls(b, bl->endpoint.listener_name, &fresh) != 0)
		return;
	listener_set_tls(bl->listener, fresh);
	SSL_CTX_free(bl->tls);
	bl->tls = fresh;
	snprintf(whose, sizeof(whose), "listener=%s", bl->endpoint.listener_name);
	tell_reloaded(whose);
}

static void
reload_client(struct broker *b)
{
	bool verify_host;
	SSL_CTX *fresh;

	if (b->client_tls == NULL || make_client_context(b, &fresh, &verify_host) != 0)
		return;
	client_tls_replace(b->client_tls, fresh, verify_host);
	tell_reloaded("to=brokers");
}

static void
reload_http(struct broker *b)
{
	SSL_CTX *fresh;

	if (b->http_tls == NULL || broker_make_server_tls(b, "http", &fresh) != 0)
		return;
	http_set_tls(b->http, fresh);
	SSL_CTX_free(b->http_tls);
	b->http_tls = fresh;
	tell_reloaded("listener=http");
}

void
broker_reload(struct broker *b)
{
	for (size_t i = 0; i < b->listener_count; i++)
		reload_listener(b, b->listeners[i]);
	reload_client(b);
	reload_http(b);
}
