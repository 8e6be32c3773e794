/* Listeners: opened, closed, moved while the broker runs; their limits; who connects. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "broker/broker_internal.h"
#include "net/connection.h"

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
make_tls(struct broker *b, struct broker_listener *bl)
{
	char err[512];
	int st;

	if (!security_protocol_is_tls(bl->endpoint.protocol))
		return 0;
	st = broker_make_server_tls(b, bl->endpoint.listener_name, &bl->tls);
	if (st != 0)
		return st;
	st = principal_rules_open(broker_conf_of(b)->ssl_principal_mapping_rules, err, sizeof(err),
				  &bl->principal_rules);
	if (st != 0)
		diag_error(DIAG_SECURITY, err, "");
	return st;
}

static void
set_listener(struct broker *b, struct broker_listener *bl, struct listener *l)
{
	lock_acquire(&b->listeners_lock);
	bl->listener = l;
	lock_release(&b->listeners_lock);
}

static int
listen_on(struct broker *b, struct broker_listener *bl)
{
	const struct broker_conf *conf = broker_conf_of(b);
	const struct endpoint *ep = &bl->endpoint;
	struct listener_settings ls;
	struct listener *l;
	char err[512];
	int st;

	listener_settings_init(&ls);
	ls.endpoint = *ep;
	ls.handler = &b->handler;
	ls.memory = b->memory;
	ls.limits = b->limits;
	ls.tls = bl->tls;
	ls.user = bl;
	ls.privileged = strcmp(ep->listener_name, b->inter_broker_listener) == 0;
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
	st = listener_open(b->reactors, &ls, err, sizeof(err), &l);
	if (st != 0) {
		diag_error(DIAG_NET, err, "");
		return st;
	}
	set_listener(b, bl, l);
	bl->network_threads = 0;
	b->reactors_conf = NULL; /* it may have a number of its own */
	diag_info(DIAG_NET, "listening", "listener=%s host=%s port=%d protocol=%s",
		  ep->listener_name, ep->host[0] == '\0' ? "*" : ep->host, listener_port(l),
		  security_protocol_name(ep->protocol));
	return 0;
}

static void
close_listener(struct broker *b, struct broker_listener *bl)
{
	struct listener *l = bl->listener;

	set_listener(b, bl, NULL);
	listener_close(l);
}

static void
free_listener(struct broker_listener *bl)
{
	SSL_CTX_free(bl->tls);
	principal_rules_close(bl->principal_rules);
	free(bl->endpoint.listener_name);
	free(bl->endpoint.host);
	free(bl);
}

static int
open_listener(struct broker *b, const struct endpoint *ep, struct broker_listener **ret_listener)
{
	struct broker_listener *bl = calloc(1, sizeof(*bl));
	int st;

	if (bl == NULL)
		return -ENOMEM;
	bl->endpoint = *ep;
	bl->endpoint.listener_name = strdup(ep->listener_name);
	bl->endpoint.host = strdup(ep->host);
	st = bl->endpoint.listener_name == NULL || bl->endpoint.host == NULL ? -ENOMEM
									     : make_tls(b, bl);
	if (st == 0)
		st = listen_on(b, bl);
	if (st == 0)
		*ret_listener = bl;
	else
		free_listener(bl);
	return st;
}

/* ---- changes ---- */

/* The listener that is open there already; NULL: none. */
static struct broker_listener *
find_open(struct broker *b, const struct endpoint *ep)
{
	for (size_t i = 0; i < b->listener_count; i++)
		if (b->listeners[i]->listener != NULL &&
		    broker_same_endpoint(&b->listeners[i]->endpoint, ep))
			return b->listeners[i];
	return NULL;
}

static bool
is_kept(const struct broker_listener *bl, const struct endpoints *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (broker_same_endpoint(&bl->endpoint, &wanted->items[i]))
			return true;
	return false;
}

/* One that goes gives its port up before another, of another address, can have it. */
static void
make_way(struct broker *b, const struct endpoints *wanted)
{
	for (size_t i = 0; i < b->listener_count; i++) {
		struct broker_listener *bl = b->listeners[i];

		for (size_t w = 0; w < wanted->count; w++) {
			if (bl->listener == NULL || bl->paused || is_kept(bl, wanted) ||
			    listener_port(bl->listener) != wanted->items[w].port)
				continue;
			listener_pause(bl->listener);
			bl->paused = true;
		}
	}
}

static void
go_back(struct broker *b)
{
	for (size_t i = 0; i < b->listener_count; i++) {
		struct broker_listener *bl = b->listeners[i];

		if (!bl->paused)
			continue;
		bl->paused = false;
		close_listener(b, bl);
		if (listen_on(b, bl) != 0)
			diag_error(
			    DIAG_NET,
			    "a listener that made way for another could not be opened again: "
			    "set listeners once more, or restart",
			    "listener=%s", bl->endpoint.listener_name);
	}
}

static bool
is_among(const struct broker_listener *bl, struct broker_listener *const *listeners, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (listeners[i] == bl)
			return true;
	return false;
}

/* Closes and frees those that are not among the kept ones. */
static void
drop_listeners(struct broker *b, struct broker_listener **listeners, size_t count,
	       struct broker_listener *const *kept, size_t kept_count)
{
	for (size_t i = 0; i < count; i++) {
		struct broker_listener *bl = listeners[i];

		if (bl == NULL || is_among(bl, kept, kept_count))
			continue;
		if (bl->listener != NULL)
			diag_info(DIAG_NET, "listens no more", "listener=%s port=%d",
				  bl->endpoint.listener_name, listener_port(bl->listener));
		close_listener(b, bl);
		free_listener(bl);
	}
}

/* ret_listeners: those that wanted names, open; the ones that are open already are taken over. */
static int
open_wanted(struct broker *b, const struct endpoints *wanted,
	    struct broker_listener ***ret_listeners)
{
	struct broker_listener **next = calloc(wanted->count + 1, sizeof(struct broker_listener *));
	int st = next == NULL ? -ENOMEM : 0;

	if (st == 0)
		make_way(b, wanted);
	for (size_t i = 0; st == 0 && i < wanted->count; i++) {
		next[i] = find_open(b, &wanted->items[i]);
		if (next[i] == NULL)
			st = open_listener(b, &wanted->items[i], &next[i]);
	}
	if (st == 0) {
		*ret_listeners = next;
		return 0;
	}
	if (next != NULL)
		drop_listeners(b, next, wanted->count, b->listeners, b->listener_count);
	free(next);
	go_back(b);
	return st;
}

/* Takes next over. */
static void
switch_to(struct broker *b, struct broker_listener **listeners, const struct broker_addresses *next)
{
	struct broker_addresses former = b->addresses;
	struct broker_listener **former_listeners = b->listeners;
	size_t former_count = b->listener_count;
	bool moved = !broker_same_endpoints(&former.advertised, &next->advertised);

	lock_acquire(&b->listeners_lock);
	b->addresses = *next;
	b->listeners = listeners;
	b->listener_count = next->listeners.count;
	lock_release(&b->listeners_lock);
	if (moved)
		controller_submit(b->controller, broker_update_registration, b);
	drop_listeners(b, former_listeners, former_count, listeners, b->listener_count);
	free(former_listeners);
	broker_addresses_fini(&former);
}

/* Nothing to do: the addresses are what is wanted, and all are listened on. */
static bool
is_in_effect(const struct broker *b, const struct broker_addresses *wanted)
{
	for (size_t i = 0; i < b->listener_count; i++)
		if (b->listeners[i]->listener == NULL)
			return false;
	return broker_same_endpoints(&b->addresses.listeners, &wanted->listeners) &&
	       broker_same_endpoints(&b->addresses.advertised, &wanted->advertised);
}

void
broker_change_listeners(struct broker *b)
{
	struct broker_listener **listeners;
	struct broker_addresses next;
	char err[ENDPOINT_ERR_LEN];

	if (broker_parse_next_addresses(b, broker_conf_of(b), err, &next) != 0) {
		diag_error(DIAG_CONFIG, "the listeners stay as they are", "reason=\"%s\"", err);
		return;
	}
	if (is_in_effect(b, &next)) {
		broker_addresses_fini(&next);
	} else if (open_wanted(b, &next.listeners, &listeners) != 0) {
		diag_error(DIAG_CONFIG, "the listeners stay as they are", "listeners=%s",
			   broker_conf_of(b)->listeners);
		broker_addresses_fini(&next);
	} else {
		switch_to(b, listeners, &next);
	}
}

/* ---- event loops ---- */

static int
network_threads_of(const struct broker_conf *conf, const struct broker_listener *bl)
{
	return broker_listener_limit(conf, bl->endpoint.listener_name, "num.network.threads");
}

int
broker_check_network_threads(struct broker *b, const struct broker_conf *next, struct buf *errors)
{
	const struct broker_conf *now = broker_conf_of(b);
	int broken = 0;

	lock_acquire(&b->listeners_lock);
	for (size_t i = 0; broken == 0 && i < b->listener_count; i++)
		broken = conf_check_pool_change("num.network.threads",
						network_threads_of(now, b->listeners[i]),
						network_threads_of(next, b->listeners[i]), errors);
	lock_release(&b->listeners_lock);
	return broken;
}

static int
give_network_threads(struct broker_listener *bl, int count)
{
	int st;

	if (bl->listener == NULL || count == bl->network_threads)
		return 0;
	st = listener_use_reactors(bl->listener, count);
	if (st != 0)
		return st;
	if (bl->network_threads > 0)
		diag_info(DIAG_NET, "the number of network threads has changed",
			  "listener=%s from=%d to=%d", bl->endpoint.listener_name,
			  bl->network_threads, count);
	bl->network_threads = count;
	return 0;
}

int
broker_set_network_threads(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	int most = (int)conf->num_network_threads;
	int st;

	if (conf == b->reactors_conf)
		return 0;
	b->reactors_conf = conf;
	for (size_t i = 0; i < b->listener_count; i++)
		if (network_threads_of(conf, b->listeners[i]) > most)
			most = network_threads_of(conf, b->listeners[i]);
	st = reactors_grow(b->reactors, most);
	for (size_t i = 0; st == 0 && i < b->listener_count; i++)
		st = give_network_threads(b->listeners[i],
					  network_threads_of(conf, b->listeners[i]));
	if (st != 0) {
		diag_error(
		    DIAG_NET,
		    "cannot start as many network threads: set num.network.threads lower, or "
		    "raise the limits on open files and threads",
		    "wanted=%d running=%d error=%s", most, reactors_count(b->reactors),
		    strerror(-st));
		return st;
	}
	reactors_use(b->reactors, (int)conf->num_network_threads);
	return 0;
}

/* ---- start and stop ---- */

static int
open_limits(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	char err[512];
	int st = connection_limits_open((int)conf->quota_window_num,
					conf->quota_window_size_seconds * 1000, &b->limits);

	if (st != 0)
		return st;
	connection_limits_set(b->limits, (int)conf->max_connections,
			      (int)conf->max_connections_per_ip);
	connection_limits_set_rate(b->limits, (int)conf->max_connection_creation_rate);
	st = connection_limits_set_overrides(b->limits, conf->max_connections_per_ip_overrides, err,
					     sizeof(err));
	if (st != 0)
		diag_error(DIAG_NET, err, "");
	return st;
}

int
broker_open_listeners(struct broker *b)
{
	struct broker_listener **listeners;
	int st = open_limits(b);

	if (st == 0)
		st = request_memory_open(broker_conf_of(b)->queued_max_request_bytes, &b->memory);
	if (st != 0)
		return st;
	b->handler = *api_handler(b->api);
	b->handler.on_connected = on_connected;
	st = open_wanted(b, &b->addresses.listeners, &listeners);
	if (st != 0)
		return st;
	lock_acquire(&b->listeners_lock);
	b->listeners = listeners;
	b->listener_count = b->addresses.listeners.count;
	lock_release(&b->listeners_lock);
	return 0;
}

void
broker_close_listeners(struct broker *b)
{
	for (size_t i = 0; i < b->listener_count; i++)
		close_listener(b, b->listeners[i]);
}

void
broker_free_listeners(struct broker *b)
{
	for (size_t i = 0; i < b->listener_count; i++)
		free_listener(b->listeners[i]);
	free(b->listeners);
	broker_addresses_fini(&b->addresses);
	free(b->inter_broker_listener);
}
