#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server.h"
#include "test_certs.h"

static struct fixture fix;
static struct http_server *server;
static _Atomic bool ready;
static char answer[1 << 20];

static bool
is_ready(void *arg, struct buf *text)
{
	assert_ptr_equal(arg, &fix);
	if (!atomic_load(&ready))
		buf_printf(text, "starting: 3 of 7 partitions");
	return atomic_load(&ready);
}

static int
open_fixture(void **state)
{
	fixture_open(&fix, 1, -1);
	atomic_store(&ready, false);
	*state = &fix;
	return 0;
}

static int
close_fixture(void **state)
{
	http_close(server);
	server = NULL;
	fixture_close(*state);
	return 0;
}

static void
serve(struct fixture *f, SSL_CTX *tls)
{
	struct http_settings hs = {.host = "127.0.0.1", .tls = tls, .ready = is_ready, .arg = f};
	char err[256];

	assert_int_equal(http_open(reactors_get(f->reactors, 0), &hs, err, sizeof(err), &server),
			 0);
	f->port = http_port(server);
	assert_true(f->port > 0);
}

/* Sends text and reads until the server closes. */
static const char *
ask(struct fixture *f, const char *text)
{
	int fd = client_connect(f);
	size_t len = 0;
	ssize_t n;

	client_send(fd, text, strlen(text));
	while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	close(fd);
	return answer;
}

static void
expect(const char *got, const char *status, const char *text)
{
	if (strncmp(got, status, strlen(status)) != 0 || strstr(got, text) == NULL)
		fail_msg("wanted %s and '%s', got: %s", status, text, got);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define HEAD(path) "HEAD " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void
metrics_are_served_in_prometheus_text(void **state)
{
	struct fixture *f = *state;
	const char *body;

	serve(f, NULL);
	expect(ask(f, GET("/metrics")), "HTTP/1.1 200 ", "Content-Type: text/plain; version=0.0.4");
	expect(answer, "HTTP/1.1 200 ", "# TYPE klamm_request_memory_bytes gauge\n");
	body = strstr(answer, "\r\n\r\n");
	assert_non_null(strstr(answer, "Content-Length: "));
	assert_int_equal(atoi(strstr(answer, "Content-Length: ") + 16), strlen(body + 4));
}

static void
head_gives_the_length_but_no_body(void **state)
{
	struct fixture *f = *state;
	const char *body;

	serve(f, NULL);
	expect(ask(f, HEAD("/healthz")), "HTTP/1.1 200 ", "Content-Length: 8");
	body = strstr(answer, "\r\n\r\n");
	assert_string_equal(body, "\r\n\r\n");
}

static void
health_and_readiness_follow_their_callbacks(void **state)
{
	struct fixture *f = *state;

	serve(f, NULL);
	expect(ask(f, GET("/healthz")), "HTTP/1.1 200 ", "\r\n\r\nhealthy\n");
	expect(ask(f, GET("/readyz")), "HTTP/1.1 503 ", "\r\n\r\nstarting: 3 of 7 partitions\n");
	atomic_store(&ready, true);
	expect(ask(f, GET("/readyz?verbose")), "HTTP/1.1 200 ", "\r\n\r\nready\n");
}

static void
other_paths_and_methods_are_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, NULL);
	expect(ask(f, GET("/")), "HTTP/1.1 404 ", "/metrics");
	expect(ask(f, GET("/metrics/x")), "HTTP/1.1 404 ", "/metrics");
	expect(ask(f, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		      "Content-Length: 2\r\n\r\nhi"),
	       "HTTP/1.1 405 ", "Allow: GET, HEAD");
	expect(ask(f, "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
	       "HTTP/1.1 405 ", "Allow: GET, HEAD");
}

static void
headers_and_bodies_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct buf b = {0};

	serve(f, NULL);
	buf_printf(&b, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
	for (int i = 0; i < 20000; i++)
		buf_append_u8(&b, 'x');
	buf_printf(&b, "\r\n\r\n");
	ask(f, buf_text(&b));
	assert_null(strstr(answer, "200 OK"));
	buf_fini(&b);
	ask(f, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx");
	assert_null(strstr(answer, "200 OK"));
	/* And it still serves. */
	expect(ask(f, GET("/healthz")), "HTTP/1.1 200 ", "healthy");
}

static void
rubbish_does_not_hurt(void **state)
{
	struct fixture *f = *state;

	serve(f, NULL);
	ask(f, "\x16\x03\x01\x02\r\n\r\n");
	assert_null(strstr(answer, "200 OK"));
	expect(ask(f, GET("/healthz")), "HTTP/1.1 200 ", "healthy");
}

static void
https_serves_the_same(void **state)
{
	struct fixture *f = *state;
	struct test_cert ca = test_ca("CA"), own = test_leaf(&ca, "s", "localhost", 5);
	SSL_CTX *sctx = test_server_ctx(&own, NULL, SSL_VERIFY_NONE);
	SSL_CTX *cctx = test_client_ctx(NULL, ca.cert);
	SSL *ssl = SSL_new(cctx);
	size_t len = 0;
	int fd, n;

	serve(f, sctx);
	SSL_CTX_free(sctx);
	fd = client_connect(f);
	SSL_set_fd(ssl, fd);
	assert_int_equal(SSL_connect(ssl), 1);
	assert_true(SSL_write(ssl, GET("/metrics"), (int)strlen(GET("/metrics"))) > 0);
	while ((n = SSL_read(ssl, answer + len, (int)(sizeof(answer) - 1 - len))) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	expect(answer, "HTTP/1.1 200 ", "klamm_request_memory_bytes");
	SSL_free(ssl);
	close(fd);
	SSL_CTX_free(cctx);
	test_cert_free(&ca);
	test_cert_free(&own);
}

static void
a_port_in_use_is_one_clear_error(void **state)
{
	struct fixture *f = *state;
	struct http_settings hs = {.host = "127.0.0.1"};
	struct http_server *second;
	char err[256];

	serve(f, NULL);
	hs.port = f->port;
	assert_true(http_open(reactors_get(f->reactors, 0), &hs, err, sizeof(err), &second) < 0);
	assert_non_null(strstr(err, "cannot serve metrics on 127.0.0.1:"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(metrics_are_served_in_prometheus_text, open_fixture,
					    close_fixture),
	    cmocka_unit_test_setup_teardown(head_gives_the_length_but_no_body, open_fixture,
					    close_fixture),
	    cmocka_unit_test_setup_teardown(health_and_readiness_follow_their_callbacks,
					    open_fixture, close_fixture),
	    cmocka_unit_test_setup_teardown(other_paths_and_methods_are_refused, open_fixture,
					    close_fixture),
	    cmocka_unit_test_setup_teardown(headers_and_bodies_are_bounded, open_fixture,
					    close_fixture),
	    cmocka_unit_test_setup_teardown(rubbish_does_not_hurt, open_fixture, close_fixture),
	    cmocka_unit_test_setup_teardown(https_serves_the_same, open_fixture, close_fixture),
	    cmocka_unit_test_setup_teardown(a_port_in_use_is_one_clear_error, open_fixture,
					    close_fixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
