/*
 * http_server.h - the small HTTP(S) server for metrics and health.
 *
 * GET and HEAD of /metrics (the registry of base/metrics.h), /healthz (the process lives) and
 * /readyz (the broker serves); 404 for other paths, 405 for other methods. Headers are bounded to
 * 8 KiB, a body to 1 KiB, a connection that does nothing to 30 seconds.
 *
 * Threads  callbacks run on the given reactor.
 */
#ifndef KLAMM_NET_HTTP_SERVER_H
#define KLAMM_NET_HTTP_SERVER_H

#include "base/bytes.h"
#include "net/reactor.h"

struct http_server;
struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

struct http_settings {
	const char *host;       /* "" stands for every interface */
	int port;               /* 0: the kernel chooses */
	struct ssl_ctx_st *tls; /* NULL: plain HTTP; counted up */
	/*
	 * Healthy, ready: 200; else 503. text gets the body in both cases, one line without its
	 * end. NULL: always healthy or ready.
	 */
	bool (*healthy)(void *arg, struct buf *text);
	bool (*ready)(void *arg, struct buf *text);
	void *arg;
};

/* From any thread but a reactor's. err gets one sentence. Returns 0 or -errno. */
MUST_CHECK int http_open(struct reactor *r, const struct http_settings *settings, char *err,
			 size_t err_len, struct http_server **ret_server);
/* From any thread but a reactor's. Accepts NULL. */
void http_close(struct http_server *hs);
int http_port(const struct http_server *hs);
/* New connections use this context from now on; counted up. From any thread but a reactor's. */
void http_set_tls(struct http_server *hs, struct ssl_ctx_st *tls);

#endif
