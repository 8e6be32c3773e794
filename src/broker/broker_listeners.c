/* Listeners: their endpoints, TLS contexts, limits; the connections' principals; HTTP. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <ctype.h>

#include "base/diag.h"
#include "broker/broker_internal.h"
#include "net/connection.h"

/* ---- endpoints ---- */

static const char *
inter_broker_protocol(const struct broker_conf *conf)
{
	return conf->security_inter_broker_protocol;
}

/* Parses the three settings and finds the inter-broker listener. err: ENDPOINT_ERR_LEN. */
static int
parse_endpoints(const struct broker_conf *conf, struct endpoints *ret_list,
		struct endpoints *ret_advertised, const struct endpoint **ret_inter_broker,
		char *err)
{
	struct endpoints list, advertised;
	int st = endpoints_parse(conf->listeners, conf->listener_security_protocol_map, err, &list);

	if (st != 0)
		return st;
	st = endpoints_parse_advertised(conf->advertised_listeners,
					conf->listener_security_protocol_map, &list, err,
					&advertised);
	if (st != 0) {
		endpoints_fini(&list);
		return st;
	}
	st = endpoints_inter_broker(&advertised, conf->inter_broker_listener_name,
				    inter_broker_protocol(conf), err, ret_inter_broker);
	if (st != 0) {
		endpoints_fini(&list);
		endpoints_fini(&advertised);
		return st;
	}
	*ret_list = list;
	*ret_advertised = advertised;
	return 0;
}

int
broker_check_listeners(const struct broker_conf *conf, struct buf *errors)
{
	struct endpoints list, advertised;
	const struct endpoint *inter_broker;
	char err[ENDPOINT_ERR_LEN];
	int broken = 0;

	if (parse_endpoints(conf, &list, &advertised, &inter_broker, err) != 0) {
		buf_printf(errors, "%s\n", err);
		return 1;
	}
	for (size_t i = 0; i < list.count; i++) {
		if (!security_protocol_is_sasl(list.items[i].protocol))
			continue;
		buf_printf(
		    errors,
		    "listeners=%s: %s speaks %s, and SASL is not served yet: use PLAINTEXT or "
		    "SSL\n",
		    conf->listeners, list.items[i].listener_name,
		    security_protocol_name(list.items[i].protocol));
		broken++;
	}
	/* Whoever asked for access control must not get a broker without it. */
	if (conf->authorizer_class_name[0] != '\0') {
		buf_printf(errors,
			   "authorizer.class.name=%s: ACLs are not checked yet; remove it to run "
			   "without access control\n",
			   conf->authorizer_class_name);
		broken++;
	}
	endpoints_fini(&list);
	endpoints_fini(&advertised);
	return broken;
}

int
broker_parse_listeners(struct broker *b)
{
	char err[ENDPOINT_ERR_LEN];
	int st = parse_endpoints(broker_conf_of(b), &b->endpoints, &b->advertised, &b->inter_broker,
				 err);

	if (st != 0)
		diag_error(DIAG_BROKER, err, "");
	return st;
}

/* ---- TLS ---- */

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

static int
make_server_tls(struct broker *b, const char *listener, SSL_CTX **ret_ctx)
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

int
broker_make_client_tls(struct broker *b)
{
	struct tls_settings settings;
	char prefix[128], err[TLS_ERR_LEN];
	int st;

	if (!security_protocol_is_tls(b->inter_broker->protocol))
		return 0;
	make_prefix(b->inter_broker->listener_name, prefix, sizeof(prefix));
	settings = tls_settings_of(broker_conf_of(b), prefix);
	st = tls_client_context(b->env, &settings, err, &b->client_tls, &b->verify_host);
	if (st != 0)
		diag_error(DIAG_SECURITY, err, "listener=%s", b->inter_broker->listener_name);
	return st;
}

/* ---- connections ---- */

/* A TLS client is who its certificate says. */
static int
on_connected(void *arg, struct connection *conn)
{
	const struct broker_listener *bl = connection_listener_user(conn);
	struct x509_st *certificate = connection_peer_certificate(conn);
	struct buf principal = {0};
	char name[CONNECTION_NAME_LEN];
	int st;

	(void)arg;
	if (certificate == NULL)
		return 0;
	st = principal_of_certificate(bl->principal_rules, certificate, &principal);
	if (st == 0)
		st = buf_text(&principal) == NULL
			 ? -ENOMEM
			 : connection_set_principal(conn, (const char *)principal.data);
	if (st != 0)
		diag_warn(DIAG_SECURITY,
			  "closed a connection whose certificate no mapping rule fits", "peer=%s",
			  connection_name(conn, name, sizeof(name)));
	buf_fini(&principal);
	return st;
}

int
broker_listener_limit(const struct broker_conf *conf, const char *listener, const char *key)
{
	const char *text = broker_conf_listener_text(conf, listener, key);

	return text == NULL ? CONNECTIONS_UNLIMITED : atoi(text);
}

static int
open_listener(struct broker *b, size_t index)
{
	const struct broker_conf *conf = broker_conf_of(b);
	const struct endpoint *ep = &b->endpoints.items[index];
	struct broker_listener *bl = &b->listeners[index];
	struct listener_settings ls;
	char err[512];
	int st = 0;

	if (security_protocol_is_tls(ep->protocol)) {
		st = make_server_tls(b, ep->listener_name, &bl->tls);
		if (st == 0)
			st = principal_rules_open(conf->ssl_principal_mapping_rules, err,
						  sizeof(err), &bl->principal_rules);
		if (st != 0 && bl->tls != NULL)
			diag_error(DIAG_SECURITY, err, "");
		if (st != 0)
			return st;
	}
	listener_settings_init(&ls);
	ls.endpoint = *ep;
	ls.handler = &b->handler;
	ls.memory = b->memory;
	ls.limits = b->limits;
	ls.tls = bl->tls;
	ls.user = bl;
	ls.privileged = strcmp(ep->listener_name, b->inter_broker->listener_name) == 0;
	ls.backlog = (int)conf->socket_listen_backlog_size;
	ls.send_buffer_bytes = (int)conf->socket_send_buffer_bytes;
	ls.receive_buffer_bytes = (int)conf->socket_receive_buffer_bytes;
	ls.request_max_bytes = conf->socket_request_max_bytes;
	ls.auth_max_bytes = conf->sasl_server_max_receive_size;
	ls.idle_ms = conf->connections_max_idle_ms;
	ls.failed_auth_ms = conf->connection_failed_authentication_delay_ms;
	ls.max_connections = broker_listener_limit(conf, ep->listener_name, "max.connections");
	ls.max_connection_rate =
	    broker_listener_limit(conf, ep->listener_name, "max.connection.creation.rate");
	st = listener_open(b->reactors, &ls, err, sizeof(err), &bl->listener);
	if (st != 0)
		diag_error(DIAG_NET, err, "");
	else
		diag_info(DIAG_NET, "listening", "listener=%s host=%s port=%d protocol=%s",
			  ep->listener_name, ep->host[0] == '\0' ? "*" : ep->host,
			  listener_port(bl->listener), security_protocol_name(ep->protocol));
	return st;
}

int
broker_open_listeners(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	char err[512];
	int st;

	st = connection_limits_open((int)conf->quota_window_num,
				    conf->quota_window_size_seconds * 1000, &b->limits);
	if (st != 0)
		return st;
	connection_limits_set(b->limits, (int)conf->max_connections,
			      (int)conf->max_connections_per_ip);
	connection_limits_set_rate(b->limits, (int)conf->max_connection_creation_rate);
	st = connection_limits_set_overrides(b->limits, conf->max_connections_per_ip_overrides, err,
					     sizeof(err));
	if (st != 0) {
		diag_error(DIAG_NET, err, "");
		return st;
	}
	st = request_memory_open(conf->queued_max_request_bytes, &b->memory);
	if (st != 0)
		return st;
	b->handler = *api_handler(b->api);
	b->handler.on_connected = on_connected;
	b->listeners = calloc(b->endpoints.count + 1, sizeof(*b->listeners));
	if (b->listeners == NULL)
		st = -ENOMEM;
	for (size_t i = 0; st == 0 && i < b->endpoints.count; i++)
		st = open_listener(b, i);
	return st;
}

void
broker_close_listeners(struct broker *b)
{
	for (size_t i = 0; b->listeners != NULL && i < b->endpoints.count; i++) {
		struct broker_listener *bl = &b->listeners[i];
		struct listener *l;

		lock_acquire(&b->listeners_lock);
		l = bl->listener;
		bl->listener = NULL;
		lock_release(&b->listeners_lock);
		listener_close(l);
	}
}

void
broker_reload(struct broker *b)
{
	for (size_t i = 0; i < b->endpoints.count; i++) {
		struct broker_listener *bl = &b->listeners[i];
		SSL_CTX *fresh;

		if (bl->tls == NULL ||
		    make_server_tls(b, b->endpoints.items[i].listener_name, &fresh) != 0)
			continue; /* the old certificate stays in use */
		listener_set_tls(bl->listener, fresh);
		SSL_CTX_free(bl->tls);
		bl->tls = fresh;
		diag_info(DIAG_SECURITY, "new connections use the certificate as it is now",
			  "listener=%s", b->endpoints.items[i].listener_name);
	}
}

/* ---- HTTP ---- */

static bool
is_healthy(void *arg, struct buf *text)
{
	(void)arg;
	buf_printf(text, "ok\n");
	return true;
}

static bool
is_ready(void *arg, struct buf *text)
{
	struct broker *b = arg;
	size_t done = 0, total = 0, brokers;

	if (!atomic_load(&b->ready)) {
		buf_printf(text, "starting\n");
		return false;
	}
	metadata_brokers(metadata_read(b->metadata), &brokers);
	metadata_done(b->metadata);
	log_manager_progress(b->logs, &done, &total);
	/* A client that is told of no controller may not ask again for minutes. */
	if (controller_active_id(b->controller) != -1)
		atomic_store(&b->controller_known, true);
	if (brokers == 0 || !atomic_load(&b->controller_known)) {
		buf_printf(text, "waiting for the controller\n");
		return false;
	}
	if (!atomic_load(&b->all_loaded)) {
		buf_printf(text, "loading logs: %zu of %zu\n", done, total);
		return false;
	}
	buf_printf(text, "ready\n");
	return true;
}

/* http://host:port or https://host:port */
static int
parse_http(const char *text, bool *ret_tls, char *host, size_t size, int *ret_port)
{
	const char *at = strncmp(text, "https://", 8) == 0  ? text + 8
			 : strncmp(text, "http://", 7) == 0 ? text + 7
							    : NULL;
	const char *colon = at == NULL ? NULL : strrchr(at, ':');
	char *end;
	long port;

	if (colon == NULL)
		return -EINVAL;
	port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || (*end != '\0' && *end != '/') || port < 0 || port > 65535)
		return -EINVAL;
	if (*at == '[' && colon > at && colon[-1] == ']')
		snprintf(host, size, "%.*s", (int)(colon - at - 2), at + 1);
	else
		snprintf(host, size, "%.*s", (int)(colon - at), at);
	*ret_tls = text[4] == 's';
	*ret_port = (int)port;
	return 0;
}

int
broker_open_http(struct broker *b)
{
	const char *text = broker_conf_of(b)->klamm_http_listeners;
	struct http_settings hs = {.healthy = is_healthy, .ready = is_ready, .arg = b};
	char host[256], err[512];
	bool tls;
	int st;

	if (text[0] == '\0')
		return 0;
	if (parse_http(text, &tls, host, sizeof(host), &hs.port) != 0) {
		diag_error(DIAG_NET,
			   "klamm.http.listeners must be http://host:port or "
			   "https://host:port",
			   "klamm.http.listeners=%s", text);
		return -EINVAL;
	}
	hs.host = host;
	if (tls) {
		st = make_server_tls(b, "http", &b->http_tls);
		if (st != 0)
			return st;
		hs.tls = b->http_tls;
	}
	st = http_open(reactors_get(b->reactors, 0), &hs, err, sizeof(err), &b->http);
	if (st != 0)
		diag_error(DIAG_NET, err, "");
	else
		diag_info(DIAG_NET, "metrics are served", "url=%s://%s:%d/metrics",
			  tls ? "https" : "http", host[0] == '\0' ? "localhost" : host,
			  http_port(b->http));
	return st;
}
