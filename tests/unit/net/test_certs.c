#include "test_certs.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static struct test_cert
make(const struct test_cert *issuer, const char *common_name, const char *dns, int days)
{
	static long serial;
	struct test_cert tc = {EVP_EC_gen("P-256"), X509_new()};
	X509_NAME *name = X509_get_subject_name(tc.cert);
	char san[128];

	assert_non_null(tc.key);
	X509_set_version(tc.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(tc.cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(tc.cert), -86400L * (days < 0 ? 1 - days : 1));
	X509_gmtime_adj(X509_getm_notAfter(tc.cert), 86400L * days);
	X509_set_pubkey(tc.cert, tc.key);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"Klamm", -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1, -1,
				   0);
	X509_set_issuer_name(tc.cert, issuer == NULL ? name : X509_get_subject_name(issuer->cert));
	add_extension(tc.cert, issuer == NULL ? tc.cert : issuer->cert, NID_basic_constraints,
		      issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	add_extension(tc.cert, issuer == NULL ? tc.cert : issuer->cert, NID_subject_key_identifier,
		      "hash");
	if (dns != NULL) {
		snprintf(san, sizeof(san), "DNS:%s,IP:127.0.0.1", dns);
		add_extension(tc.cert, issuer->cert, NID_subject_alt_name, san);
	}
	assert_true(X509_sign(tc.cert, issuer == NULL ? tc.key : issuer->key, EVP_sha256()) > 0);
	return tc;
}

struct test_cert
test_ca(const char *common_name)
{
	return make(NULL, common_name, NULL, 30);
}

struct test_cert
test_leaf(const struct test_cert *issuer, const char *common_name, const char *dns, int days)
{
	return make(issuer, common_name, dns, days);
}

void
test_cert_free(struct test_cert *tc)
{
	EVP_PKEY_free(tc->key);
	X509_free(tc->cert);
	*tc = (struct test_cert){0};
}

void
test_dir_make(char *dir, size_t dir_len)
{
	snprintf(dir, dir_len, "/tmp/klamm-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void
test_dir_remove(const char *dir)
{
	assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *
path_of(const char *dir, const char *name)
{
	static char paths[64][256];
	static int turn;
	char *path = paths[turn++ % 64];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

const char *
test_write_text(const char *dir, const char *name, const char *text)
{
	const char *path = path_of(dir, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
	return path;
}

static char *
text_of(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	char *text = strndup(data, (size_t)len);

	BIO_free(bio);
	assert_non_null(text);
	return text;
}

char *
test_pem_of_key(EVP_PKEY *key, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(
			     bio, key, password == NULL ? NULL : EVP_aes_128_cbc(), password,
			     password == NULL ? 0 : (int)strlen(password), NULL, NULL),
			 1);
	return text_of(bio);
}

char *
test_pem_of_cert(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	return text_of(bio);
}

const char *
test_write_pem(const char *dir, const char *name, EVP_PKEY *key, const char *password, X509 *first,
	       X509 *second)
{
	char *parts[3] = {NULL, NULL, NULL};
	char *all = calloc(1, 65536);
	const char *path;

	if (key != NULL)
		parts[0] = test_pem_of_key(key, password);
	if (first != NULL)
		parts[1] = test_pem_of_cert(first);
	if (second != NULL)
		parts[2] = test_pem_of_cert(second);
	for (int i = 0; i < 3; i++) {
		if (parts[i] != NULL)
			strcat(all, parts[i]);
		free(parts[i]);
	}
	path = test_write_text(dir, name, all);
	free(all);
	return path;
}

const char *
test_write_pkcs12(const char *dir, const char *name, EVP_PKEY *key, X509 *cert, X509 *other,
		  const char *password)
{
	const char *path = path_of(dir, name);
	STACK_OF(X509) *others = NULL;
	FILE *file = fopen(path, "w");
	PKCS12 *p12;

	assert_non_null(file);
	if (other != NULL) {
		others = sk_X509_new_null();
		sk_X509_push(others, other);
	}
	p12 = PKCS12_create(password, "test", key, cert, others, 0, 0, 0, 0, 0);
	assert_non_null(p12);
	assert_int_equal(i2d_PKCS12_fp(file, p12), 1);
	fclose(file);
	PKCS12_free(p12);
	sk_X509_free(others);
	return path;
}

static void
use(SSL_CTX *ctx, const struct test_cert *own, X509 *trusted)
{
	if (own != NULL) {
		assert_int_equal(SSL_CTX_use_certificate(ctx, own->cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, own->key), 1);
	}
	if (trusted != NULL)
		assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), trusted), 1);
}

SSL_CTX *
test_server_ctx(const struct test_cert *own, X509 *trusted, int verify)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"test", 4);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, verify, NULL);
	use(ctx, own, trusted);
	return ctx;
}

SSL_CTX *
test_client_ctx(const struct test_cert *own, X509 *trusted)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	use(ctx, own, trusted);
	return ctx;
}
