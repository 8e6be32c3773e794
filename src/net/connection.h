/*
 * connection.h - what the layers above may ask and note about a client's connection.
 *
 * A struct connection is reached through a request (req->conn) and is valid while one of its
 * requests has not ended.
 *
 * Threads  the connection's reactor, unless said otherwise.
 */
#ifndef KLAMM_NET_CONNECTION_H
#define KLAMM_NET_CONNECTION_H

#include "base/bytes.h"
#include "net/endpoint.h"

struct connection;
struct reactor;
struct x509_st; /* OpenSSL's X509 */

/* Fixed for life: these may be read from any thread. */

/* Unique in this process, never 0. */
uint64_t connection_id(const struct connection *conn);
struct reactor *connection_reactor(const struct connection *conn);
/* "/10.0.0.1", "/0:0:0:0:0:0:0:1": as Java prints an InetAddress; what Kafka shows as host. */
const char *connection_client_host(const struct connection *conn);
int connection_client_port(const struct connection *conn);
/* "SSL"; upper case. */
const char *connection_listener_name(const struct connection *conn);
enum security_protocol connection_security_protocol(const struct connection *conn);
/* The listener is the one that brokers use among themselves (listener_settings.privileged). */
bool connection_privileged(const struct connection *conn);
/* What listener_settings.user gave. */
void *connection_listener_user(const struct connection *conn);
/* "10.0.0.1:51234-SSL-17" for log lines. */
const char *connection_name(const struct connection *conn, char *text, size_t text_len);
#define CONNECTION_NAME_LEN 128

/*
 * The principal, "User:ANONYMOUS" until set. Set it in on_connected, or when authentication ends;
 * afterwards it is fixed and may be read from any thread. Returns 0 or -ENOMEM.
 */
const char *connection_principal(const struct connection *conn);
MUST_CHECK int connection_set_principal(struct connection *conn, const char *principal);
/* Ends the authentication of a SASL connection: frames go to on_request from the next one on. */
void connection_set_authenticated(struct connection *conn);
bool connection_authenticated(const struct connection *conn);
/* The verified certificate of a TLS client, borrowed; NULL when it sent none. In on_connected. */
struct x509_st *connection_peer_certificate(const struct connection *conn);
/* "TLSv1.3" and "TLS_AES_128_GCM_SHA256"; NULL on plaintext. */
const char *connection_tls_version(const struct connection *conn);
const char *connection_tls_cipher(const struct connection *conn);

/* From ApiVersions v3: name and version of the client software; "" until set, copied. */
const char *connection_software_name(const struct connection *conn);
const char *connection_software_version(const struct connection *conn);
/* Returns 0 or -ENOMEM. */
MUST_CHECK int connection_set_software(struct connection *conn, struct str name,
				       struct str version);

/*
 * One slot for the state of the layer above: NULL at first. free_fn runs on the reactor's thread
 * when the connection has closed and its last request has ended.
 */
void *connection_user(const struct connection *conn);
void connection_set_user(struct connection *conn, void *user, void (*free_fn)(void *user));

#endif
