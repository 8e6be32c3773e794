/* Metrics and the state of the broker over HTTP: /metrics, /healthz, /readyz. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "broker/broker_internal.h"

static bool
is_healthy(void *arg, struct buf *text)
{
	(void)arg;
	buf_printf(text, "ok");
	return true;
}

static bool
is_ready(void *arg, struct buf *text)
{
	struct broker *b = arg;
	size_t done = 0, total = 0, brokers;

	if (!atomic_load(&b->ready)) {
		buf_printf(text, "starting");
		return false;
	}
	metadata_brokers(metadata_read(b->metadata), &brokers);
	metadata_done(b->metadata);
	log_manager_progress(b->logs, &done, &total);
	/* A client that is told of no controller may not ask again for minutes. */
	if (controller_active_id(b->controller) != -1)
		atomic_store(&b->controller_known, true);
	if (brokers == 0 || !atomic_load(&b->controller_known)) {
		buf_printf(text, "waiting for the controller");
		return false;
	}
	if (!atomic_load(&b->all_loaded)) {
		buf_printf(text, "loading logs: %zu of %zu", done, total);
		return false;
	}
	buf_printf(text, "ready");
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
		st = broker_make_server_tls(b, "http", &b->http_tls);
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
