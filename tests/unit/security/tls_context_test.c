#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../net/test_certs.h"
#include "base/diag.h"
#include "security/tls_context.h"
#include "security/tls_store.h"

static struct test_cert ca, server, client, expired, other;
static char dir[64];
static const char *pem, *p12, *trust;
static char err[TLS_ERR_LEN];

static int
make_stores(void **state)
{
	(void)state;
	ca = test_ca("Test CA");
	other = test_ca("Other CA");
	server = test_leaf(&ca, "server", "localhost", 30);
	client = test_leaf(&ca, "client", NULL, 30);
	expired = test_leaf(&ca, "expired", "localhost", -1);
	test_dir_make(dir, sizeof(dir));
	return 0;
}

static int
remove_stores(void **state)
{
	(void)state;
	test_cert_free(&ca);
	test_cert_free(&other);
	test_cert_free(&server);
	test_cert_free(&client);
	test_cert_free(&expired);
	test_dir_remove(dir);
	return 0;
}

static int
write_stores(void **state)
{
	(void)state;
	pem = test_write_pem(dir, "server.pem", server.key, NULL, server.cert, ca.cert);
	p12 = test_write_pkcs12(dir, "server.p12", server.key, server.cert, ca.cert, "secret");
	trust = test_write_pem(dir, "ca.pem", NULL, NULL, ca.cert, NULL);
	return 0;
}

static SSL_CTX *
server_ctx(const struct tls_settings *ts)
{
	SSL_CTX *ctx;

	if (tls_server_context(env_system(), ts, err, &ctx) != 0)
		fail_msg("%s", err);
	return ctx;
}

static SSL_CTX *
client_ctx(const struct tls_settings *ts)
{
	SSL_CTX *ctx;
	bool verify_host;

	if (tls_client_context(env_system(), ts, err, &ctx, &verify_host) != 0)
		fail_msg("%s", err);
	return ctx;
}

static void
assert_refused(const struct tls_settings *ts, const char *first, const char *second)
{
	SSL_CTX *ctx;

	assert_int_equal(tls_server_context(env_system(), ts, err, &ctx), -EINVAL);
	if (strstr(err, first) == NULL || strstr(err, second) == NULL || strchr(err, '\n') != NULL)
		fail_msg("'%s' does not say '%s' and '%s' in one line", err, first, second);
	assert_int_equal(ERR_peek_error(), 0);
}

struct talk {
	SSL *server, *client;
	int server_status, client_status; /* SSL_ERROR_NONE: done */
};

/* A handshake in memory; both sides' ends are to be freed with talk_end(). */
static struct talk
talk(SSL_CTX *sctx, SSL_CTX *cctx, SSL_SESSION *session)
{
	struct talk t = {SSL_new(sctx), SSL_new(cctx), -1, -1};
	BIO *a, *b;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(t.server, a, a);
	SSL_set_bio(t.client, b, b);
	SSL_set_accept_state(t.server);
	SSL_set_connect_state(t.client);
	if (session != NULL)
		SSL_set_session(t.client, session);
	for (int i = 0; i < 20; i++) {
		char byte;

		ERR_clear_error();
		t.client_status = SSL_get_error(t.client, SSL_do_handshake(t.client));
		ERR_clear_error();
		t.server_status = SSL_get_error(t.server, SSL_do_handshake(t.server));
		ERR_clear_error();
		/* Lets tickets and late alerts of TLS 1.3 arrive. */
		if (t.client_status == SSL_ERROR_NONE &&
		    SSL_get_error(t.client, SSL_read(t.client, &byte, 1)) == SSL_ERROR_SSL)
			t.client_status = SSL_ERROR_SSL;
		ERR_clear_error();
	}
	return t;
}

static void
talk_end(struct talk *t)
{
	/* An orderly end: OpenSSL would drop the session otherwise. */
	SSL_set_shutdown(t->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(t->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->server);
	SSL_free(t->client);
}

/* Builds both sides and tells whether they understand each other. */
static bool
agree(const struct tls_settings *server_side, const struct tls_settings *client_side)
{
	SSL_CTX *sctx = server_ctx(server_side), *cctx = client_ctx(client_side);
	struct talk t = talk(sctx, cctx, NULL);
	bool good = t.server_status == SSL_ERROR_NONE && t.client_status == SSL_ERROR_NONE;

	talk_end(&t);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	return good;
}

static void
a_pem_file_with_key_and_chain_serves(void **state)
{
	struct tls_settings s = {.keystore_location = pem}, c = {.truststore_location = trust};

	(void)state;
	assert_true(agree(&s, &c));
	s.keystore_type = "PEM";
	c.truststore_type = "pem";
	assert_true(agree(&s, &c));
}

static void
an_encrypted_pem_key_needs_its_password(void **state)
{
	struct tls_settings s = {.key_password = "topsecret"}, c = {.truststore_location = trust};

	(void)state;
	s.keystore_location =
	    test_write_pem(dir, "enc.pem", server.key, "topsecret", server.cert, NULL);
	assert_true(agree(&s, &c));
	s.key_password = "wrong";
	assert_refused(&s, "ssl.key.password", "enc.pem");
	s.key_password = NULL;
	assert_refused(&s, "enc.pem", "encrypted: set ssl.key.password");
}

static void
pem_texts_in_the_configuration_serve_even_without_line_ends(void **state)
{
	struct tls_settings s = {0}, c = {0};
	char *key = test_pem_of_key(server.key, "pw"), *cert = test_pem_of_cert(server.cert),
	     *root = test_pem_of_cert(ca.cert);

	(void)state;
	for (int round = 0; round < 2; round++) {
		s = (struct tls_settings){
		    .keystore_key = key, .keystore_certificate_chain = cert, .key_password = "pw"};
		c = (struct tls_settings){.truststore_certificates = root};
		assert_true(agree(&s, &c));
		for (char *texts[] = {key, cert, root}, **t = texts; t < texts + 3; t++)
			for (char *p = *t; *p != '\0'; p++)
				if (*p == '\n')
					*p = ' ';
	}
	s.keystore_key = NULL;
	assert_refused(&s, "ssl.keystore.key", "is needed");
	s.keystore_key = key;
	s.keystore_certificate_chain = NULL;
	assert_refused(&s, "ssl.keystore.certificate.chain", "is needed");
	free(key);
	free(cert);
	free(root);
}

static void
pkcs12_stores_serve_and_are_told_by_their_content(void **state)
{
	struct tls_settings s = {.keystore_location = p12, .keystore_password = "secret"};
	struct tls_settings c = {.truststore_password = "changeit"};
	static const char *const types[] = {NULL, "PKCS12", "JKS"};

	(void)state;
	c.truststore_location = test_write_pkcs12(dir, "ca.p12", NULL, NULL, ca.cert, "changeit");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		s.keystore_type = c.truststore_type = types[i];
		assert_true(agree(&s, &c));
	}
	s.keystore_password = "wrong";
	s.keystore_type = NULL;
	assert_refused(&s, "server.p12", "the password is wrong");
	s.keystore_password = NULL;
	assert_refused(&s, "server.p12", "needs a password");
}

static void
a_chain_out_of_pkcs12_is_sent_in_order(void **state)
{
	struct tls_settings s = {.keystore_location = p12, .keystore_password = "secret"};
	struct tls_identity id;

	(void)state;
	assert_int_equal(tls_load_identity(env_system(), &s, err, &id), 0);
	assert_int_equal(X509_cmp(id.cert, server.cert), 0);
	assert_int_equal(sk_X509_num(id.chain), 1);
	assert_int_equal(X509_cmp(sk_X509_value(id.chain, 0), ca.cert), 0);
	tls_identity_fini(&id);
}

static void
a_java_key_store_is_refused_with_the_command_that_converts_it(void **state)
{
	struct tls_settings s = {.key_prefix = "listener.name.ssl."};
	struct tls_settings t = {.keystore_location = pem};

	(void)state;
	s.keystore_location = test_write_text(dir, "server.jks", "\xfe\xed\xfe\xed\x02 etc.");
	assert_refused(&s, "listener.name.ssl.ssl.keystore.location: ",
		       "keytool -importkeystore -srckeystore ");
	assert_non_null(strstr(err, "set ssl.keystore.type=PKCS12"));
	t.truststore_location = s.keystore_location;
	assert_refused(&t, "ssl.truststore.location: ", "set ssl.truststore.type=PKCS12");
}

static void
stores_that_cannot_be_used_are_told_with_key_file_and_reason(void **state)
{
	struct tls_settings s = {0};

	(void)state;
	assert_refused(&s, "ssl.keystore.location", "needs a certificate");
	s.keystore_location = "/nonexistent/store.pem";
	assert_refused(&s, "ssl.keystore.location: /nonexistent/store.pem",
		       "No such file or directory");
	s.keystore_location = test_write_text(dir, "rubbish", "rubbish");
	assert_refused(&s, "rubbish", "neither PEM nor PKCS#12");
	s.keystore_location = test_write_text(dir, "short.p12", "0\x82 not really");
	assert_refused(&s, "short.p12", "not PKCS#12, or damaged");
	s.keystore_location = pem;
	s.keystore_type = "PKCS12";
	assert_refused(&s, "server.pem", "not PKCS#12");
	s.keystore_type = "BKS";
	assert_refused(&s, "ssl.keystore.type: BKS", "PEM, PKCS12, JKS");
	s.keystore_type = NULL;
	s.keystore_location = trust;
	assert_refused(&s, "ca.pem", "no private key");
	s.keystore_location = test_write_pem(dir, "key.pem", server.key, NULL, NULL, NULL);
	assert_refused(&s, "key.pem", "no certificate");
	s.keystore_location = test_write_pem(dir, "mixed.pem", client.key, NULL, server.cert, NULL);
	assert_refused(&s, "mixed.pem", "does not belong to the first certificate");
	s.keystore_location = test_write_pkcs12(dir, "certs.p12", NULL, NULL, ca.cert, "x");
	s.keystore_password = "x";
	assert_refused(&s, "certs.p12", "no private key with a certificate");
	s.keystore_location = pem;
	s.truststore_location = test_write_pem(dir, "only.pem", server.key, NULL, NULL, NULL);
	assert_refused(&s, "ssl.truststore.location", "no certificate");
}

static void
a_damaged_certificate_is_told(void **state)
{
	struct tls_settings s = {0};

	(void)state;
	s.keystore_location = test_write_text(
	    dir, "bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	assert_refused(&s, "ssl.keystore.location", "bad.pem");
}

static void
client_auth_has_three_modes(void **state)
{
	struct tls_settings s = {.keystore_location = pem, .truststore_location = trust};
	struct tls_settings none = {.truststore_location = trust}, known = none, stranger = none;
	struct test_cert strange = test_leaf(&other, "stranger", NULL, 30);

	(void)state;
	known.keystore_location =
	    test_write_pem(dir, "client.pem", client.key, NULL, client.cert, NULL);
	stranger.keystore_location =
	    test_write_pem(dir, "stranger.pem", strange.key, NULL, strange.cert, NULL);
	test_cert_free(&strange);
	s.client_auth = "none";
	assert_true(agree(&s, &none));
	assert_true(agree(&s, &known));
	s.client_auth = "requested";
	assert_true(agree(&s, &none));
	assert_true(agree(&s, &known));
	assert_false(agree(&s, &stranger));
	s.client_auth = "REQUIRED";
	assert_false(agree(&s, &none));
	assert_true(agree(&s, &known));
	assert_false(agree(&s, &stranger));
	s.client_auth = "maybe";
	assert_refused(&s, "ssl.client.auth: maybe", "none, requested, required");
}

static void
a_client_refuses_a_server_of_another_ca_and_an_expired_one(void **state)
{
	struct tls_settings s = {.keystore_location = pem}, c = {0};
	int log = memfd_create("diag", MFD_CLOEXEC);
	char text[512] = "";

	(void)state;
	c.truststore_location = test_write_pem(dir, "other.pem", NULL, NULL, other.cert, NULL);
	assert_false(agree(&s, &c));
	c.truststore_location = trust;
	s.keystore_location =
	    test_write_pem(dir, "expired.pem", expired.key, NULL, expired.cert, NULL);
	diag_set_fd(log);
	assert_false(agree(&s, &c));
	diag_set_fd(2);
	assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "own certificate has expired"));
	assert_non_null(strstr(text, "expired.pem"));
	close(log);
}

static void
a_trusted_certificate_need_not_have_signed_itself(void **state)
{
	struct tls_settings s = {.keystore_location = pem}, c = {0};

	(void)state;
	c.truststore_location = test_write_pem(dir, "leaf.pem", NULL, NULL, server.cert, NULL);
	assert_true(agree(&s, &c));
}

static const char *
agreed_cipher(const struct tls_settings *s, const struct tls_settings *c, const char **ret_version)
{
	static char name[64], version[16];
	SSL_CTX *sctx = server_ctx(s), *cctx = client_ctx(c);
	struct talk t = talk(sctx, cctx, NULL);

	assert_int_equal(t.server_status, SSL_ERROR_NONE);
	snprintf(name, sizeof(name), "%s",
		 SSL_CIPHER_standard_name(SSL_get_current_cipher(t.server)));
	snprintf(version, sizeof(version), "%s", SSL_get_version(t.server));
	*ret_version = version;
	talk_end(&t);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	return name;
}

static void
protocols_and_ciphers_are_those_of_the_settings(void **state)
{
	struct tls_settings s = {.keystore_location = pem}, c = {.truststore_location = trust};
	const char *version;

	(void)state;
	assert_string_equal(agreed_cipher(&s, &c, &version), "TLS_AES_128_GCM_SHA256");
	assert_string_equal(version, "TLSv1.3");
	s.enabled_protocols = "TLSv1.2";
	assert_string_equal(agreed_cipher(&s, &c, &version),
			    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	assert_string_equal(version, "TLSv1.2");
	s.enabled_protocols = "TLSv1.2, TLSv1.3";
	s.cipher_suites = "TLS_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
	assert_string_equal(agreed_cipher(&s, &c, &version), "TLS_AES_256_GCM_SHA384");
	c.enabled_protocols = "TLSv1.2";
	assert_string_equal(agreed_cipher(&s, &c, &version),
			    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
	c.enabled_protocols = NULL;
	s.cipher_suites = "ECDHE-ECDSA-CHACHA20-POLY1305";
	assert_string_equal(agreed_cipher(&s, &c, &version),
			    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
	assert_string_equal(version, "TLSv1.2");
	s.cipher_suites = "TLS_AES_128_GCM_SHA256";
	c.enabled_protocols = "TLSv1.2";
	assert_false(agree(&s, &c));
}

static void
mistakes_in_protocols_and_ciphers_are_told(void **state)
{
	struct tls_settings s = {.keystore_location = pem};
	int log = memfd_create("diag", MFD_CLOEXEC);

	(void)state;
	s.cipher_suites = "TLS_AES_128_GCM_SHA256,TLS_NO_SUCH_SUITE";
	assert_refused(&s, "ssl.cipher.suites: TLS_NO_SUCH_SUITE", "does not know it");
	s.cipher_suites = "NO-SUCH";
	assert_refused(&s, "ssl.cipher.suites: NO-SUCH", "does not know it");
	s.cipher_suites = NULL;
	s.enabled_protocols = "TLSv1.4";
	assert_refused(&s, "ssl.enabled.protocols: TLSv1.4", "only TLSv1.2 and TLSv1.3");
	diag_set_fd(log);
	s.enabled_protocols = "TLSv1,TLSv1.1";
	assert_refused(&s, "ssl.enabled.protocols", "only TLSv1.2 and TLSv1.3");
	diag_set_fd(2);
	close(log);
	s.enabled_protocols = NULL;
	s.protocol = "SSLv3";
	assert_refused(&s, "ssl.protocol: SSLv3", "TLSv1.3");
}

static void
java_names_of_ciphers_are_translated(void **state)
{
	bool is_13;

	(void)state;
	assert_string_equal(tls_cipher_name("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &is_13),
			    "ECDHE-RSA-AES128-GCM-SHA256");
	assert_false(is_13);
	assert_string_equal(tls_cipher_name("SSL_RSA_WITH_AES_128_CBC_SHA", &is_13), "AES128-SHA");
	assert_string_equal(tls_cipher_name("TLS_CHACHA20_POLY1305_SHA256", &is_13),
			    "TLS_CHACHA20_POLY1305_SHA256");
	assert_true(is_13);
}

static void
sessions_are_resumed_by_tickets(void **state)
{
	struct tls_settings s = {
	    .keystore_location = pem, .truststore_location = trust, .client_auth = "required"};
	struct tls_settings c = {.truststore_location = trust};
	static const char *const versions[] = {"TLSv1.2", "TLSv1.3"};

	(void)state;
	c.keystore_location = test_write_pem(dir, "c.pem", client.key, NULL, client.cert, NULL);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		SSL_CTX *sctx, *cctx;
		SSL_SESSION *session;
		struct talk t;

		s.enabled_protocols = versions[i];
		sctx = server_ctx(&s);
		cctx = client_ctx(&c);
		t = talk(sctx, cctx, NULL);
		assert_false(SSL_session_reused(t.server));
		session = SSL_get1_session(t.client);
		talk_end(&t);
		t = talk(sctx, cctx, session);
		assert_true(SSL_session_reused(t.server));
		/* The client is still known. */
		assert_non_null(SSL_get0_peer_certificate(t.server));
		assert_int_equal(X509_cmp(SSL_get0_peer_certificate(t.server), client.cert), 0);
		SSL_SESSION_free(session);
		talk_end(&t);
		SSL_CTX_free(sctx);
		SSL_CTX_free(cctx);
	}
}

static void
a_client_checks_names_unless_told_not_to(void **state)
{
	struct tls_settings c = {.truststore_location = trust};
	static const struct {
		const char *algorithm;
		bool verify;
	} cases[] = {{NULL, true}, {"https", true}, {"HTTPS", true}, {"", false}};
	bool verify;
	SSL_CTX *ctx;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		c.endpoint_identification_algorithm = cases[i].algorithm;
		assert_int_equal(tls_client_context(env_system(), &c, err, &ctx, &verify), 0);
		assert_int_equal(verify, cases[i].verify);
		SSL_CTX_free(ctx);
	}
	c.endpoint_identification_algorithm = "ldaps";
	assert_int_equal(tls_client_context(env_system(), &c, err, &ctx, &verify), -EINVAL);
	assert_non_null(strstr(err, "ssl.endpoint.identification.algorithm: ldaps"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_pem_file_with_key_and_chain_serves, write_stores),
	    cmocka_unit_test_setup(an_encrypted_pem_key_needs_its_password, write_stores),
	    cmocka_unit_test(pem_texts_in_the_configuration_serve_even_without_line_ends),
	    cmocka_unit_test_setup(pkcs12_stores_serve_and_are_told_by_their_content, write_stores),
	    cmocka_unit_test_setup(a_chain_out_of_pkcs12_is_sent_in_order, write_stores),
	    cmocka_unit_test_setup(a_java_key_store_is_refused_with_the_command_that_converts_it,
				   write_stores),
	    cmocka_unit_test_setup(stores_that_cannot_be_used_are_told_with_key_file_and_reason,
				   write_stores),
	    cmocka_unit_test(a_damaged_certificate_is_told),
	    cmocka_unit_test_setup(client_auth_has_three_modes, write_stores),
	    cmocka_unit_test_setup(a_client_refuses_a_server_of_another_ca_and_an_expired_one,
				   write_stores),
	    cmocka_unit_test_setup(a_trusted_certificate_need_not_have_signed_itself, write_stores),
	    cmocka_unit_test_setup(protocols_and_ciphers_are_those_of_the_settings, write_stores),
	    cmocka_unit_test_setup(mistakes_in_protocols_and_ciphers_are_told, write_stores),
	    cmocka_unit_test(java_names_of_ciphers_are_translated),
	    cmocka_unit_test_setup(sessions_are_resumed_by_tickets, write_stores),
	    cmocka_unit_test_setup(a_client_checks_names_unless_told_not_to, write_stores),
	};

	return cmocka_run_group_tests(tests, make_stores, remove_stores);
}
