/*
 * tls_context.h - an OpenSSL context from Kafka's ssl.* settings, for a listener or a client.
 *
 * Key stores and trust stores are PEM or PKCS#12, as files or (PEM) as text in the configuration.
 * A Java key store (JKS) is refused with the command that converts it. A context is built anew for
 * a renewed certificate; connections that exist keep the old one.
 *
 * Errors   -EINVAL with one sentence in err (TLS_ERR_LEN bytes) that names the key, the file and
 *          the reason; -ENOMEM.
 * Threads  any; the files are read during the call, which may block.
 * Source   zookeeper-and-controller 6.11; Kafka's SslFactory, DefaultSslEngineFactory, SslConfigs.
 */
#ifndef KLAMM_SECURITY_TLS_CONTEXT_H
#define KLAMM_SECURITY_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "base/bytes.h"
#include "base/env.h"

#define TLS_ERR_LEN 512

/*
 * One listener's settings, texts as given in the configuration; NULL where a key is not set.
 * Which of listener.name.<name>.ssl.* and ssl.* holds is the caller's to find.
 */
struct tls_settings {
	const char *key_prefix; /* "listener.name.<name>." for the error texts; NULL: none */
	/*
	 * "PEM", "PKCS12", "JKS"; NULL: told by the file's content. (Kafka's default is the word
	 * JKS: give NULL where the key was not set.)
	 */
	const char *keystore_type;
	const char *keystore_location;
	const char *keystore_password;          /* PKCS#12 */
	const char *key_password;               /* PEM: of the private key */
	const char *keystore_key;               /* PEM text: the private key */
	const char *keystore_certificate_chain; /* PEM text: own certificate first */
	const char *truststore_type;
	const char *truststore_location;
	const char *truststore_password;
	const char *truststore_certificates; /* PEM text */
	const char *client_auth;             /* "none", "requested", "required"; NULL: none */
	const char *protocol;                /* ssl.protocol; NULL: TLSv1.3 */
	const char *enabled_protocols;       /* "TLSv1.2,TLSv1.3"; NULL or "": both */
	const char *cipher_suites;           /* IANA or OpenSSL names; NULL or "": OpenSSL's */
	/* A client checks the server's name when this is "https", as it is by default (NULL). */
	const char *endpoint_identification_algorithm;
};

/* A listener's context: its own certificate is needed. */
MUST_CHECK int tls_server_context(struct env *env, const struct tls_settings *ts, char *err,
				  SSL_CTX **ret_ctx);
/*
 * A client's context: own certificate only where a key store is given. Without a trust store the
 * system's certificates are trusted. ret_verify_host: what rpc_settings.verify_host takes.
 */
MUST_CHECK int tls_client_context(struct env *env, const struct tls_settings *ts, char *err,
				  SSL_CTX **ret_ctx, bool *ret_verify_host);

/*
 * OpenSSL's name of a cipher suite given by its IANA (Java) name; what is none is given back as it
 * is. ret_is_tls13: it belongs to TLS 1.3.
 */
const char *tls_cipher_name(const char *name, bool *ret_is_tls13);

#endif
