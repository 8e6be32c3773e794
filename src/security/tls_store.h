/*
 * tls_store.h - reads key stores and trust stores: PEM and PKCS#12.
 *
 * Errors   -EINVAL with one sentence in err (TLS_ERR_LEN bytes) that names the key, the file and
 *          the reason; -ENOMEM.
 * Source   Kafka's DefaultSslEngineFactory; KIP-651 (PEM).
 */
#ifndef KLAMM_SECURITY_TLS_STORE_H
#define KLAMM_SECURITY_TLS_STORE_H

#include <openssl/x509.h>

#include "security/tls_context.h"

/* A private key with its certificates, own one first, then towards the root. */
struct tls_identity {
	EVP_PKEY *key;
	X509 *cert;
	STACK_OF(X509) * chain; /* without cert; may be NULL */
};

/*
 * The key store of ts. ret_identity stays empty (key NULL) when none is set. The key belongs to
 * the certificate.
 */
MUST_CHECK int tls_load_identity(struct env *env, const struct tls_settings *ts, char *err,
				 struct tls_identity *ret_identity);
void tls_identity_fini(struct tls_identity *id);

/* The certificates of ts's trust store; NULL when none is set. The caller frees them. */
MUST_CHECK int tls_load_trusted(struct env *env, const struct tls_settings *ts, char *err,
				STACK_OF(X509) * *ret_trusted);

/* Writes "<prefix><key>: <what>: <why>" and returns -EINVAL; what may be NULL. */
int tls_fail(char *err, const struct tls_settings *ts, const char *key, const char *what,
	     const char *why);
/* OpenSSL's words for its last error, which is cleared. */
const char *tls_openssl_reason(void);

#endif
