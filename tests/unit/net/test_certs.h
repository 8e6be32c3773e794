/*
 * test_certs.h - certificates made while a test runs: a CA, leaves, and stores of them.
 */
#ifndef KLAMM_TESTS_TEST_CERTS_H
#define KLAMM_TESTS_TEST_CERTS_H

#include <openssl/ssl.h>

struct test_cert {
	EVP_PKEY *key;
	X509 *cert;
};

/* ECDSA P-256, signed by itself. */
struct test_cert test_ca(const char *common_name);
/*
 * issuer's; dns: a subject alternative name beside 127.0.0.1, or NULL for none at all.
 * days: how long it is valid from yesterday on; negative: it has expired.
 */
struct test_cert test_leaf(const struct test_cert *issuer, const char *common_name, const char *dns,
			   int days);
void test_cert_free(struct test_cert *tc);

/* A new folder under /tmp, and its removal with all that is in it. */
void test_dir_make(char *dir, size_t dir_len);
void test_dir_remove(const char *dir);

/* Each writes dir/name and returns its path (static, 64 in turn). */
const char *test_write_text(const char *dir, const char *name, const char *text);
/* password NULL: the key is not encrypted. Any of key, certs may be left out. */
const char *test_write_pem(const char *dir, const char *name, EVP_PKEY *key, const char *password,
			   X509 *first, X509 *second);
const char *test_write_pkcs12(const char *dir, const char *name, EVP_PKEY *key, X509 *cert,
			      X509 *other, const char *password);
/* PEM as a text to free(). */
char *test_pem_of_key(EVP_PKEY *key, const char *password);
char *test_pem_of_cert(X509 *cert);

/* Contexts made by hand, for tests below src/security. */
SSL_CTX *test_server_ctx(const struct test_cert *own, X509 *trusted, int verify);
SSL_CTX *test_client_ctx(const struct test_cert *own, X509 *trusted);

#endif
