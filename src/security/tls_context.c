/*
 * Choices that Kafka leaves to Java and we make here: the server's order of ciphers counts, with
 * AES-128-GCM first; sessions are resumed by tickets alone, so that they cost the broker no
 * memory; a certificate in the trust store is trusted whether it signed itself or not, as in Java.
 */
#include "security/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <strings.h>

#include "base/diag.h"
#include "security/tls_store.h"

#define DEFAULT_CIPHERS_13                                                                         \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define DEFAULT_CIPHERS_12                                                                         \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:HIGH:!aNULL:!PSK:!SRP"

/* The next item of a comma-separated list, trimmed, into text. False at the end. */
static bool
next_item(const char **list, char *text, size_t text_len)
{
	while (*list != NULL && **list != '\0') {
		const char *start = *list + strspn(*list, ", \t\r\n");
		size_t len = strcspn(start, ", \t\r\n");

		*list = start + len;
		if (len == 0)
			continue;
		snprintf(text, text_len, "%.*s", (int)len, start);
		return true;
	}
	return false;
}

static int
set_protocols(SSL_CTX *ctx, const struct tls_settings *ts, char *err)
{
	static const char allowed[] = "only TLSv1.2 and TLSv1.3 are served";
	const char *list = ts->enabled_protocols;
	bool v12 = false, v13 = false, any = false;
	char name[32];

	if (ts->protocol != NULL && ts->protocol[0] != '\0' && strcmp(ts->protocol, "TLS") != 0 &&
	    strcmp(ts->protocol, "TLSv1.2") != 0 && strcmp(ts->protocol, "TLSv1.3") != 0)
		return tls_fail(err, ts, "ssl.protocol", ts->protocol,
				"not one of TLS, TLSv1.2, TLSv1.3");
	while (next_item(&list, name, sizeof(name))) {
		any = true;
		if (strcmp(name, "TLSv1.2") == 0)
			v12 = true;
		else if (strcmp(name, "TLSv1.3") == 0)
			v13 = true;
		else if (strcmp(name, "TLSv1.1") == 0 || strcmp(name, "TLSv1") == 0 ||
			 strcmp(name, "SSLv3") == 0 || strcmp(name, "SSLv2Hello") == 0)
			diag_warn(DIAG_SECURITY, "an old protocol is not served",
				  "key=%sssl.enabled.protocols value=%s",
				  ts->key_prefix == NULL ? "" : ts->key_prefix, name);
		else
			return tls_fail(err, ts, "ssl.enabled.protocols", name, allowed);
	}
	if (any && !v12 && !v13)
		return tls_fail(err, ts, "ssl.enabled.protocols", ts->enabled_protocols, allowed);
	if (SSL_CTX_set_min_proto_version(ctx, any && !v12 ? TLS1_3_VERSION : TLS1_2_VERSION) !=
		1 ||
	    SSL_CTX_set_max_proto_version(ctx, any && !v13 ? TLS1_2_VERSION : TLS1_3_VERSION) != 1)
		return -ENOMEM;
	return 0;
}

const char *
tls_cipher_name(const char *name, bool *ret_is_tls13)
{
	const char *openssl = OPENSSL_cipher_name(name);
	char iana[128];

	/* Java says SSL_ for the oldest ones. */
	if (strcmp(openssl, "(NONE)") == 0 && strncmp(name, "SSL_", 4) == 0) {
		snprintf(iana, sizeof(iana), "TLS_%s", name + 4);
		openssl = OPENSSL_cipher_name(iana);
	}
	if (strcmp(openssl, "(NONE)") == 0)
		openssl = name; /* OpenSSL's own name, or none at all: the list will tell */
	*ret_is_tls13 = strncmp(openssl, "TLS_", 4) == 0;
	return openssl;
}

/* Whether this OpenSSL can use the suite; name is OpenSSL's own. */
static bool
cipher_usable(const char *name, bool is_tls13)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	bool usable = false;

	if (ctx == NULL)
		return false;
	if (is_tls13)
		usable = SSL_CTX_set_ciphersuites(ctx, name) == 1;
	else if (strpbrk(name, ":+!@") == NULL)
		usable = SSL_CTX_set_cipher_list(ctx, name) == 1;
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return usable;
}

static void
append_name(struct buf *list, const char *name)
{
	if (list->len > 0)
		buf_append_u8(list, ':');
	buf_append(list, name, strlen(name));
}

static int
set_ciphers(SSL_CTX *ctx, const struct tls_settings *ts, char *err)
{
	const char *list = ts->cipher_suites;
	struct buf v12 = {0}, v13 = {0};
	char name[128];
	int st = 0;

	while (st == 0 && next_item(&list, name, sizeof(name))) {
		bool is_tls13;
		const char *openssl = tls_cipher_name(name, &is_tls13);

		if (!cipher_usable(openssl, is_tls13))
			st = tls_fail(err, ts, "ssl.cipher.suites", name,
				      "this OpenSSL does not know it");
		append_name(is_tls13 ? &v13 : &v12, openssl);
	}
	if (st == 0 && v12.len == 0 && v13.len == 0) {
		append_name(&v12, DEFAULT_CIPHERS_12);
		append_name(&v13, DEFAULT_CIPHERS_13);
	}
	/* Where only suites of one version are listed, the other version has none. */
	if (st == 0 && v13.len == 0)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	if (st == 0 && v12.len == 0)
		SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	if (st == 0 && v12.len > 0 &&
	    (buf_text(&v12) == NULL || SSL_CTX_set_cipher_list(ctx, buf_text(&v12)) != 1))
		st =
		    tls_fail(err, ts, "ssl.cipher.suites", ts->cipher_suites, tls_openssl_reason());
	if (st == 0 && v13.len > 0 &&
	    (buf_text(&v13) == NULL || SSL_CTX_set_ciphersuites(ctx, buf_text(&v13)) != 1))
		st =
		    tls_fail(err, ts, "ssl.cipher.suites", ts->cipher_suites, tls_openssl_reason());
	buf_fini(&v12);
	buf_fini(&v13);
	return st;
}

/* A certificate out of its time is not refused here, as in Kafka, but every peer will. */
static void
warn_of_time(const struct tls_settings *ts, const X509 *cert)
{
	const char *what = NULL;

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		what = "own certificate has expired";
	else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		what = "own certificate is not valid yet";
	if (what != NULL)
		diag_warn(DIAG_SECURITY, what, "key=%sssl.keystore.* file=%s",
			  ts->key_prefix == NULL ? "" : ts->key_prefix,
			  ts->keystore_location == NULL ? "-" : ts->keystore_location);
}

/* ret_found: there is an own certificate. */
static int
set_identity(SSL_CTX *ctx, struct env *env, const struct tls_settings *ts, char *err,
	     bool *ret_found)
{
	struct tls_identity id = {0};
	int st = tls_load_identity(env, ts, err, &id);

	if (st != 0)
		return st;
	*ret_found = id.key != NULL;
	if (id.key == NULL)
		return 0;
	warn_of_time(ts, id.cert);
	if (SSL_CTX_use_cert_and_key(ctx, id.cert, id.key, id.chain, 1) != 1)
		st = tls_fail(err, ts, "ssl.keystore.location", ts->keystore_location,
			      tls_openssl_reason());
	tls_identity_fini(&id);
	return st;
}

/*
 * Without a trust store: the system's certificates, which a listener that asks for none does not
 * need to read, for that takes longer than all the rest.
 */
static int
set_trusted(SSL_CTX *ctx, struct env *env, const struct tls_settings *ts, char *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	STACK_OF(X509) *trusted = NULL;
	int st = tls_load_trusted(env, ts, err, &trusted);

	if (st != 0)
		return st;
	if (trusted == NULL && SSL_CTX_get_verify_mode(ctx) == SSL_VERIFY_NONE)
		return 0;
	if (trusted == NULL)
		return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : -ENOMEM;
	for (int i = 0; i < sk_X509_num(trusted) && st == 0; i++) {
		X509 *cert = sk_X509_value(trusted, i);

		if (X509_STORE_add_cert(store, cert) != 1 || SSL_CTX_add_client_CA(ctx, cert) != 1)
			st = tls_fail(err, ts, "ssl.truststore.location", ts->truststore_location,
				      tls_openssl_reason());
	}
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	sk_X509_pop_free(trusted, X509_free);
	return st;
}

static int
set_client_auth(SSL_CTX *ctx, const struct tls_settings *ts, char *err)
{
	const char *mode = ts->client_auth;

	if (mode == NULL || mode[0] == '\0' || strcasecmp(mode, "none") == 0)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	else if (strcasecmp(mode, "requested") == 0)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	else if (strcasecmp(mode, "required") == 0)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else
		return tls_fail(err, ts, "ssl.client.auth", mode,
				"not one of none, requested, required");
	return 0;
}

static int
new_context(const SSL_METHOD *method, const struct tls_settings *ts, char *err, SSL_CTX **ret_ctx)
{
	SSL_CTX *ctx;
	int st;

	err[0] = '\0';
	ERR_clear_error();
	ctx = SSL_CTX_new(method);
	if (ctx == NULL)
		return -ENOMEM;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	st = set_protocols(ctx, ts, err);
	if (st == 0)
		st = set_ciphers(ctx, ts, err);
	if (st != 0)
		SSL_CTX_free(ctx);
	else
		*ret_ctx = ctx;
	return st;
}

int
tls_server_context(struct env *env, const struct tls_settings *ts, char *err, SSL_CTX **ret_ctx)
{
	static const unsigned char session_context[] = "klamm";
	SSL_CTX *ctx;
	bool found = false;
	int st;

	st = new_context(TLS_server_method(), ts, err, &ctx);
	if (st != 0)
		return st;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_dh_auto(ctx, 1);
	if (SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1)
		st = -ENOMEM;
	if (st == 0)
		st = set_client_auth(ctx, ts, err);
	if (st == 0)
		st = set_identity(ctx, env, ts, err, &found);
	if (st == 0 && !found)
		st = tls_fail(err, ts, "ssl.keystore.location", NULL,
			      "a TLS listener needs a certificate: set it, or ssl.keystore.key and "
			      "ssl.keystore.certificate.chain");
	if (st == 0)
		st = set_trusted(ctx, env, ts, err);
	if (st != 0)
		SSL_CTX_free(ctx);
	else
		*ret_ctx = ctx;
	return st;
}

int
tls_client_context(struct env *env, const struct tls_settings *ts, char *err, SSL_CTX **ret_ctx,
		   bool *ret_verify_host)
{
	const char *algorithm = ts->endpoint_identification_algorithm;
	bool verify_host = algorithm == NULL || algorithm[0] != '\0', found;
	SSL_CTX *ctx;
	int st;

	st = new_context(TLS_client_method(), ts, err, &ctx);
	if (st != 0)
		return st;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	if (verify_host && algorithm != NULL && strcasecmp(algorithm, "https") != 0)
		st = tls_fail(err, ts, "ssl.endpoint.identification.algorithm", algorithm,
			      "not https or empty");
	if (st == 0)
		st = set_identity(ctx, env, ts, err, &found);
	if (st == 0)
		st = set_trusted(ctx, env, ts, err);
	if (st != 0) {
		SSL_CTX_free(ctx);
		return st;
	}
	*ret_ctx = ctx;
	*ret_verify_host = verify_host;
	return 0;
}
