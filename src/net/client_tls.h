/*
 * client_tls.h - the TLS of connections to other brokers, which is replaced when a certificate is
 * renewed: every connection that is made afterwards uses the new one, and those that are up stay.
 *
 * Threads  any.
 * Source   Kafka's DynamicBrokerConfig: channel builders of clients are reconfigured.
 */
#ifndef KLAMM_NET_CLIENT_TLS_H
#define KLAMM_NET_CLIENT_TLS_H

#include "base/bytes.h"

struct client_tls;
struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/*
 * ctx: taken over, on failure too. verify_host: ssl.endpoint.identification.algorithm=https.
 * Returns 0 or -ENOMEM.
 */
MUST_CHECK int client_tls_open(struct ssl_ctx_st *ctx, bool verify_host,
			       struct client_tls **ret_tls);
/* When nothing connects by it any more. Accepts NULL. */
void client_tls_close(struct client_tls *tls);
/* ctx: taken over. */
void client_tls_replace(struct client_tls *tls, struct ssl_ctx_st *ctx, bool verify_host);
/* The context to connect with now, counted up: SSL_CTX_free() is the caller's. */
struct ssl_ctx_st *client_tls_get(struct client_tls *tls, bool *ret_verify_host);

#endif
