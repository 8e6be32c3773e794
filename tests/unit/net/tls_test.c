#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/transport.h"
#include "test_certs.h"

static struct fixture fix;
static struct test_cert ca, server, client;
static SSL_CTX *server_ctx, *client_ctx;
static char seen_subject[128], seen_version[16], seen_cipher[64]; /* under mutex */

static int
on_tls_connected(void *arg, struct connection *conn)
{
	X509 *cert = connection_peer_certificate(conn);
	struct fixture *f = arg;

	pthread_mutex_lock(&f->mutex);
	snprintf(seen_version, sizeof(seen_version), "%s", connection_tls_version(conn));
	snprintf(seen_cipher, sizeof(seen_cipher), "%s", connection_tls_cipher(conn));
	seen_subject[0] = '\0';
	if (cert != NULL)
		X509_NAME_oneline(X509_get_subject_name(cert), seen_subject, sizeof(seen_subject));
	pthread_mutex_unlock(&f->mutex);
	return fix.refuse_connected ? -EACCES : 0;
}

static int
open_fixture(void **state)
{
	fixture_open(&fix, 2, -1);
	ca = test_ca("CA");
	server = test_leaf(&ca, "server", "localhost", 5);
	client = test_leaf(&ca, "client", NULL, 5);
	server_ctx = test_server_ctx(&server, ca.cert, SSL_VERIFY_NONE);
	client_ctx = test_client_ctx(NULL, ca.cert);
	fix.settings.endpoint.protocol = SECURITY_SSL;
	fix.settings.tls = server_ctx;
	fix.handler.on_connected = on_tls_connected;
	*state = &fix;
	return 0;
}

static int
close_fixture(void **state)
{
	fixture_close(*state);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	test_cert_free(&ca);
	test_cert_free(&server);
	test_cert_free(&client);
	return 0;
}

/* A client connection; NULL when the handshake fails. session may be NULL. */
static SSL *
tls_connect(struct fixture *f, SSL_CTX *ctx, SSL_SESSION *session)
{
	SSL *ssl = SSL_new(ctx);
	int fd = client_connect(f);

	ERR_clear_error();
	SSL_set_fd(ssl, fd);
	if (session != NULL)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) == 1)
		return ssl;
	ERR_clear_error();
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void
tls_close(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	ERR_clear_error();
}

static void
tls_send_frame(SSL *ssl, const void *data, size_t len)
{
	struct buf b = {0};

	buf_append_be32(&b, (uint32_t)len);
	buf_append(&b, data, len);
	assert_int_equal(SSL_write(ssl, b.data, (int)b.len), b.len);
	buf_fini(&b);
}

static void
tls_read_all(SSL *ssl, uint8_t *data, size_t len)
{
	while (len > 0) {
		int n = SSL_read(ssl, data, (int)len);

		if (n <= 0)
			fail_msg("SSL_read: error %d", SSL_get_error(ssl, n));
		data += n;
		len -= (size_t)n;
	}
}

static size_t
tls_read_frame(SSL *ssl, void *data, size_t len)
{
	uint8_t size[4];

	tls_read_all(ssl, size, 4);
	assert_true(get_be32(size) <= len);
	tls_read_all(ssl, data, get_be32(size));
	return get_be32(size);
}

static void
tls_expect(SSL *ssl, const char *text)
{
	char data[256];
	size_t len = tls_read_frame(ssl, data, sizeof(data));

	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void
frames_of_all_sizes_are_echoed_over_tls(void **state)
{
	static const size_t sizes[] = {1, 100, 8191, 8192, 16379, 16384, 16385, 100000, 3000000};
	static const char *const versions[] = {"TLSv1.2", "TLSv1.3"};
	struct fixture *f = *state;
	uint8_t *sent = malloc(3000000), *got = malloc(3000000);

	fixture_listen(f);
	env_random(env_system(), sent, 3000000);
	sent[0] = 'E';
	for (int v = 0; v < 2; v++) {
		SSL *ssl;

		SSL_CTX_set_max_proto_version(client_ctx, v == 0 ? TLS1_2_VERSION : 0);
		ssl = tls_connect(f, client_ctx, NULL);
		assert_non_null(ssl);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			tls_send_frame(ssl, sent, sizes[i]);
			tls_send_frame(ssl, "Esmall", 6);
			assert_int_equal(tls_read_frame(ssl, got, 3000000), sizes[i]);
			assert_memory_equal(sent, got, sizes[i]);
			tls_expect(ssl, "Esmall");
		}
		assert_string_equal(seen_version, versions[v]);
		assert_int_equal(strncmp(seen_cipher, "TLS_", 4), 0);
		tls_close(ssl);
	}
	wait_connections(f, 0);
	free(sent);
	free(got);
}

static void
single_bytes_and_pipelined_frames_come_through_tls(void **state)
{
	struct fixture *f = *state;
	struct buf b = {0};
	char text[16];
	SSL *ssl;

	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL);
	for (int i = 0; i < 9; i++)
		assert_int_equal(SSL_write(ssl, &"\0\0\0\5Eabcd"[i], 1), 1);
	tls_expect(ssl, "Eabcd");
	for (int i = 0; i < 1000; i++) {
		int len = snprintf(text, sizeof(text), "%c%d", "ET"[i % 2], i);

		buf_append_be32(&b, (uint32_t)len);
		buf_append(&b, text, (size_t)len);
	}
	assert_int_equal(SSL_write(ssl, b.data, (int)b.len), b.len);
	buf_fini(&b);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%c%d", "ET"[i % 2], i);
		tls_expect(ssl, text);
	}
	tls_close(ssl);
}

static void
file_ranges_are_sent_whole_over_tls_through_a_small_socket_buffer(void **state)
{
	struct fixture *f = *state;
	size_t len = 3000000;
	uint8_t *data = malloc(len), *got = malloc(len + 5);
	SSL *ssl;

	f->settings.send_buffer_bytes = 131072;
	fixture_listen(f);
	env_random(env_system(), data, len);
	f->file_fd = memfd_create("segment", MFD_CLOEXEC);
	assert_int_equal(write(f->file_fd, data, len), (ssize_t)len);
	f->file_pos = 77;
	f->file_len = len - 100;
	ssl = tls_connect(f, client_ctx, NULL);
	for (int round = 0; round < 2; round++) {
		tls_send_frame(ssl, "F", 1);
		tls_send_frame(ssl, "E", 1);
		assert_int_equal(tls_read_frame(ssl, got, len + 5), len - 95);
		assert_memory_equal(got, "file:", 5);
		assert_memory_equal(got + 5, data + 77, len - 100);
		tls_expect(ssl, "E");
	}
	tls_close(ssl);
	free(data);
	free(got);
}

static void
plaintext_on_a_tls_listener_gets_a_clean_close_and_one_line(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	for (int i = 1; i <= 2; i++) {
		fd = client_connect(f);
		client_send_frame(fd, i == 1 ? "Ehello" : "GET / HTTP/1.1\r\n\r\n", 6);
		assert_true(client_expect_end(fd));
		close(fd);
		assert_int_equal(fixture_logged(f, "plaintext sent to a TLS listener"), i);
	}
	assert_int_equal(fixture_logged(f, "listener=TEST"), 2);
	/* TLS that ends before its first byte is nobody's business. */
	close(client_connect(f));
	wait_connections(f, 0);
	assert_int_equal(fixture_logged(f, " WARN "), 2);
}

static void
a_handshake_that_is_not_finished_in_time_is_closed(void **state)
{
	struct fixture *f = *state;
	int silent, begun;
	SSL *ssl;

	f->settings.handshake_ms = 10000;
	fixture_listen(f);
	silent = client_connect(f);
	begun = client_connect(f);
	client_send(begun, "\x16\x03\x01", 3);
	ssl = tls_connect(f, client_ctx, NULL);
	wait_connections(f, 3);
	fixture_skip_ms(f, 10001);
	assert_true(client_expect_end(silent));
	client_expect_end(begun);
	tls_send_frame(ssl, "E", 1);
	tls_expect(ssl, "E");
	tls_close(ssl);
	close(silent);
	close(begun);
}

static void
a_client_that_does_not_trust_us_leaves_one_line_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct test_cert other = test_ca("Other CA");
	SSL_CTX *ctx = test_client_ctx(NULL, other.cert);

	fixture_listen(f);
	assert_null(tls_connect(f, ctx, NULL));
	wait_connections(f, 0);
	tls_close(tls_connect(f, client_ctx, NULL));
	wait_connections(f, 0);
	assert_int_equal(fixture_logged(f, "unknown ca"), 1);
	assert_int_equal(fixture_logged(f, "TLS "), 2); /* and what was found about kTLS */
	SSL_CTX_free(ctx);
	test_cert_free(&other);
}

/* The alert comes at once; the close only after the delay, and nothing is read meanwhile. */
static void
a_peer_that_fails_its_handshake_is_kept_waiting_before_the_close(void **state)
{
	static const char rubbish[] = "\x16\x03\x01\x00\x05hello";
	struct fixture *f = *state;
	uint8_t alert[7];
	int fd, gone;

	f->settings.failed_auth_ms = 60000;
	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, rubbish, sizeof(rubbish) - 1);
	assert_int_equal(recv(fd, alert, sizeof(alert), MSG_WAITALL), sizeof(alert));
	assert_int_equal(alert[0], 0x15);
	client_send(fd, rubbish, sizeof(rubbish) - 1);
	gone = client_connect(f);
	client_send(gone, rubbish, sizeof(rubbish) - 1);
	assert_int_equal(recv(gone, alert, sizeof(alert), MSG_WAITALL), sizeof(alert));
	close(gone); /* who goes first need not be waited for */
	wait_connections(f, 1);
	assert_int_equal(recv(fd, alert, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fixture_logged(f, "TLS handshake failed"), 2);
	fixture_skip_ms(f, 60001); /* the clock cuts off a part of a millisecond */
	client_expect_end(fd);
	wait_connections(f, 0);
	close(fd);
}

static bool
was_seen(void *arg)
{
	struct fixture *f = arg;
	bool seen;

	pthread_mutex_lock(&f->mutex);
	seen = seen_version[0] != '\0';
	pthread_mutex_unlock(&f->mutex);
	return seen;
}

static void
a_peer_without_a_principal_is_kept_waiting_before_the_close(void **state)
{
	struct fixture *f = *state;
	char byte;
	SSL *ssl;

	f->settings.failed_auth_ms = 60000;
	f->refuse_connected = true;
	seen_version[0] = '\0';
	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL);
	assert_non_null(ssl);
	tls_send_frame(ssl, "E", 1);
	wait_until(was_seen, f, "the end of the handshake");
	listener_set_tls(f->listener, server_ctx); /* waits for each loop's turn to end */
	fixture_skip_ms(f, 59000);
	assert_int_equal(listener_connection_count(f->listener), 1);
	fixture_skip_ms(f, 1001);
	assert_true(SSL_read(ssl, &byte, 1) <= 0);
	wait_connections(f, 0);
	assert_int_equal(atomic_load(&f->requests), 0);
	tls_close(ssl);
}

static void
without_a_delay_a_failed_handshake_ends_the_connection_at_once(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->settings.failed_auth_ms = 0;
	fixture_listen(f);
	fd = client_connect(f);
	client_send_frame(fd, "Ehello", 6);
	assert_true(client_expect_end(fd));
	wait_connections(f, 0);
	close(fd);
}

static void
the_clients_certificate_is_seen_and_survives_resumption(void **state)
{
	struct fixture *f = *state;
	struct metric *resumed = metrics_get(METRIC_TLS_HANDSHAKES, "TEST,resumed");
	int64_t before = metric_value(resumed);
	SSL_CTX *ctx = test_client_ctx(&client, ca.cert);
	SSL_SESSION *session;
	SSL *ssl;

	SSL_CTX_set_verify(server_ctx, SSL_VERIFY_PEER, NULL);
	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL);
	tls_send_frame(ssl, "E", 1);
	tls_expect(ssl, "E");
	assert_string_equal(seen_subject, "");
	tls_close(ssl);

	ssl = tls_connect(f, ctx, NULL);
	tls_send_frame(ssl, "E", 1);
	tls_expect(ssl, "E");
	assert_string_equal(seen_subject, "/O=Klamm/CN=client");
	session = SSL_get1_session(ssl);
	tls_close(ssl);
	assert_int_equal(metric_value(resumed), before);

	ssl = tls_connect(f, ctx, session);
	tls_send_frame(ssl, "E", 1);
	tls_expect(ssl, "E");
	assert_true(SSL_session_reused(ssl));
	assert_string_equal(seen_subject, "/O=Klamm/CN=client");
	assert_int_equal(metric_value(resumed), before + 1);
	SSL_SESSION_free(session);
	tls_close(ssl);
	SSL_CTX_free(ctx);
}

static void
a_required_certificate_that_is_missing_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	char byte;
	SSL *ssl;

	SSL_CTX_set_verify(server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL); /* TLS 1.3: the refusal comes after */
	if (ssl != NULL) {
		assert_true(SSL_read(ssl, &byte, 1) <= 0);
		tls_close(ssl);
	}
	wait_connections(f, 0);
	assert_int_equal(fixture_logged(f, "TLS handshake failed"), 1);
	assert_int_equal(fixture_logged(f, "peer did not return a certificate"), 1);
	assert_int_equal(atomic_load(&f->requests), 0);
}

static void
new_connections_use_a_renewed_certificate(void **state)
{
	struct fixture *f = *state;
	struct test_cert renewed = test_leaf(&ca, "renewed", "localhost", 5);
	SSL_CTX *ctx = test_server_ctx(&renewed, NULL, SSL_VERIFY_NONE);
	SSL *old, *new;

	fixture_listen(f);
	old = tls_connect(f, client_ctx, NULL);
	listener_set_tls(f->listener, ctx);
	SSL_CTX_free(ctx);
	for (int i = 0; i < 4; i++) {
		X509 *cert;

		new = tls_connect(f, client_ctx, NULL);
		cert = SSL_get1_peer_certificate(new);
		assert_int_equal(X509_cmp(cert, renewed.cert), 0);
		X509_free(cert);
		tls_close(new);
	}
	tls_send_frame(old, "E", 1);
	tls_expect(old, "E");
	tls_close(old);
	test_cert_free(&renewed);
}

static void
a_tls_peer_that_goes_while_its_request_waits_is_told(void **state)
{
	struct fixture *f = *state;
	SSL *ssl;

	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL);
	tls_send_frame(ssl, "P", 1);
	fixture_wait_parked(f, 1);
	tls_close(ssl);
	fixture_wait_closed(f, 1);
	fixture_echo(fixture_take(f, 0), 0);
	wait_connections(f, 0);
}

static void
rubbish_inside_tls_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	SSL *ssl;

	fixture_listen(f);
	ssl = tls_connect(f, client_ctx, NULL);
	tls_send_frame(ssl, "E", 1);
	tls_expect(ssl, "E");
	client_send(SSL_get_fd(ssl), "\x17\x03\x03\x00\x20rubbish rubbish rubbish rubbish!", 37);
	client_expect_end(SSL_get_fd(ssl));
	wait_connections(f, 0);
	assert_int_equal(fixture_logged(f, "TLS failed, connection closed"), 1);
	tls_close(ssl);
}

static void *
echo_all(void *arg)
{
	struct fixture *f = arg;
	uint8_t *data = calloc(1, 40000);
	SSL *ssl = tls_connect(f, client_ctx, NULL);

	for (int i = 1; i <= 100; i++) {
		size_t len = (size_t)i * 397;

		memset(data, "ET"[i % 2], len);
		tls_send_frame(ssl, data, len);
		assert_int_equal(tls_read_frame(ssl, data, 40000), len);
	}
	tls_close(ssl);
	free(data);
	return NULL;
}

static void
many_tls_clients_at_once_are_all_answered(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[8];

	fixture_listen(f);
	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, echo_all, f);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&f->requests), 800);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_client_that_does_not_trust_us_leaves_one_line_with_the_reason),
	    TEST(frames_of_all_sizes_are_echoed_over_tls),
	    TEST(single_bytes_and_pipelined_frames_come_through_tls),
	    TEST(file_ranges_are_sent_whole_over_tls_through_a_small_socket_buffer),
	    TEST(plaintext_on_a_tls_listener_gets_a_clean_close_and_one_line),
	    TEST(a_handshake_that_is_not_finished_in_time_is_closed),
	    TEST(a_peer_that_fails_its_handshake_is_kept_waiting_before_the_close),
	    TEST(a_peer_without_a_principal_is_kept_waiting_before_the_close),
	    TEST(without_a_delay_a_failed_handshake_ends_the_connection_at_once),
	    TEST(the_clients_certificate_is_seen_and_survives_resumption),
	    TEST(a_required_certificate_that_is_missing_ends_the_connection),
	    TEST(new_connections_use_a_renewed_certificate),
	    TEST(a_tls_peer_that_goes_while_its_request_waits_is_told),
	    TEST(rubbish_inside_tls_ends_the_connection),
	    TEST(many_tls_clients_at_once_are_all_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
