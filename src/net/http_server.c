/*
 * libevent's evhttp on the reactor's base; HTTPS through its bufferevents over OpenSSL. The
 * methods are all let through to one callback, so that what is refused gets 405 and says what is
 * allowed.
 */
#include "net/http_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/tcp.h"

#define HEADERS_MAX_BYTES 8192
#define BODY_MAX_BYTES 1024
#define IDLE_SECONDS 30

struct http_server {
	struct reactor *reactor;
	struct http_settings settings;
	struct evhttp *http;
	int fd; /* until evhttp has it */
	int port;
	int status; /* of start() */
};

static void
send_text(struct evhttp_request *req, int code, const char *reason, const char *type,
	  const struct buf *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *body = evbuffer_new();
	char len[24];

	if (body == NULL || text->failed) {
		if (body != NULL)
			evbuffer_free(body);
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	snprintf(len, sizeof(len), "%zu", text->len);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", len);
	if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
		evbuffer_add(body, text->data, text->len);
	evhttp_send_reply(req, code, reason, body);
	evbuffer_free(body);
}

static void
answer_state(struct http_server *hs, struct evhttp_request *req,
	     bool (*check)(void *arg, struct buf *text), const char *name)
{
	struct buf text = {0};
	bool good = check == NULL || check(hs->settings.arg, &text);

	if (text.len == 0)
		buf_printf(&text, "%s%s", good ? "" : "not ", name);
	buf_append_u8(&text, '\n');
	send_text(req, good ? HTTP_OK : HTTP_SERVUNAVAIL, good ? "OK" : "Service Unavailable",
		  "text/plain; charset=utf-8", &text);
	buf_fini(&text);
}

static void
answer_metrics(struct evhttp_request *req)
{
	struct buf text = {0};

	metrics_write(&text);
	send_text(req, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8", &text);
	buf_fini(&text);
}

static void
on_http(struct evhttp_request *req, void *arg)
{
	struct http_server *hs = arg;
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	struct buf text = {0};

	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		buf_printf(&text, "only GET and HEAD\n");
		send_text(req, HTTP_BADMETHOD, "Method Not Allowed", "text/plain", &text);
	} else if (path != NULL && strcmp(path, "/metrics") == 0) {
		answer_metrics(req);
	} else if (path != NULL && strcmp(path, "/healthz") == 0) {
		answer_state(hs, req, hs->settings.healthy, "healthy");
	} else if (path != NULL && strcmp(path, "/readyz") == 0) {
		answer_state(hs, req, hs->settings.ready, "ready");
	} else {
		buf_printf(&text, "there are /metrics, /healthz and /readyz\n");
		send_text(req, HTTP_NOTFOUND, "Not Found", "text/plain", &text);
	}
	buf_fini(&text);
}

static struct bufferevent *
new_tls_connection(struct event_base *base, void *arg)
{
	struct http_server *hs = arg;
	SSL *ssl = SSL_new(hs->settings.tls);
	struct bufferevent *bev;

	if (ssl == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
					     BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

static void
start(void *arg)
{
	struct http_server *hs = arg;

	hs->status = -ENOMEM;
	hs->http = evhttp_new(reactor_base(hs->reactor));
	if (hs->http == NULL)
		return;
	evhttp_set_max_headers_size(hs->http, HEADERS_MAX_BYTES);
	evhttp_set_max_body_size(hs->http, BODY_MAX_BYTES);
	evhttp_set_timeout(hs->http, IDLE_SECONDS);
	evhttp_set_allowed_methods(hs->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(hs->http, on_http, hs);
	if (hs->settings.tls != NULL)
		evhttp_set_bevcb(hs->http, new_tls_connection, hs);
	if (evhttp_accept_socket(hs->http, hs->fd) != 0)
		return;
	hs->fd = -1;
	hs->status = 0;
}

static void
stop(void *arg)
{
	struct http_server *hs = arg;

	if (hs->http != NULL)
		evhttp_free(hs->http);
	hs->http = NULL;
}

int
http_open(struct reactor *r, const struct http_settings *settings, char *err, size_t err_len,
	  struct http_server **ret_server)
{
	struct tcp_listen tl = {.host = settings->host,
				.port = settings->port,
				.backlog = 16,
				.receive_buffer_bytes = -1};
	struct http_server *hs = calloc(1, sizeof(*hs));
	char reason[256];

	err[0] = '\0';
	if (hs == NULL)
		return -ENOMEM;
	hs->reactor = r;
	hs->settings = *settings;
	hs->fd = tcp_listen(&tl, reason, sizeof(reason));
	if (hs->fd < 0) {
		int st = hs->fd;

		snprintf(err, err_len, "cannot serve metrics on %s:%d: %s", settings->host,
			 settings->port, reason[0] != '\0' ? reason : strerrordesc_np(-st));
		free(hs);
		return st;
	}
	hs->port = tcp_port(hs->fd);
	if (hs->settings.tls != NULL)
		SSL_CTX_up_ref(hs->settings.tls);
	reactor_call(r, start, hs);
	if (hs->status != 0) {
		int st = hs->status;

		http_close(hs);
		return st;
	}
	*ret_server = hs;
	return 0;
}

void
http_close(struct http_server *hs)
{
	if (hs == NULL)
		return;
	reactor_call(hs->reactor, stop, hs);
	if (hs->fd >= 0)
		close(hs->fd);
	SSL_CTX_free(hs->settings.tls);
	free(hs);
}

struct tls_change {
	struct http_server *hs;
	SSL_CTX *tls;
};

static void
change_tls(void *arg)
{
	struct tls_change *change = arg;
	struct http_settings *settings = &change->hs->settings;

	SSL_CTX_up_ref(change->tls);
	SSL_CTX_free(settings->tls);
	settings->tls = change->tls;
}

void
http_set_tls(struct http_server *hs, SSL_CTX *tls)
{
	struct tls_change change = {hs, tls};

	reactor_call(hs->reactor, change_tls, &change);
}

int
http_port(const struct http_server *hs)
{
	return hs->port;
}
