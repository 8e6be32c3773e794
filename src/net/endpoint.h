/*
 * endpoint.h - Kafka's listener strings: listeners, advertised.listeners and
 * listener.security.protocol.map.
 *
 * "NAME://host:port,..." becomes a list of struct endpoint. Listener names are kept in upper case,
 * as Kafka normalises them; keys with the prefix "listener.name.<name>." use lower case.
 *
 * Errors   -EINVAL with one sentence in `err` (ENDPOINT_ERR_LEN bytes): what was given and what
 *          is allowed; -ENOMEM.
 * Source   zookeeper-and-controller 6.2, 6.5; Kafka's SocketServerConfigs, CoreUtils, KafkaConfig.
 */
#ifndef KLAMM_NET_ENDPOINT_H
#define KLAMM_NET_ENDPOINT_H

#include "base/bytes.h"

#define ENDPOINT_ERR_LEN 512

/* Numbers are Kafka's SecurityProtocol ids. */
enum security_protocol {
	SECURITY_PLAINTEXT = 0,
	SECURITY_SSL = 1,
	SECURITY_SASL_PLAINTEXT = 2,
	SECURITY_SASL_SSL = 3
};

struct endpoint {
	char *listener_name; /* upper case; owned by the list */
	char *host;          /* no brackets; "" stands for every interface; owned by the list */
	int port;            /* 0: the kernel chooses (tests); -1 never */
	enum security_protocol protocol;
	bool v6_only; /* another endpoint has the same port on IPv4 */
};

struct endpoints {
	struct endpoint *items;
	size_t count;
};

/* "SASL_SSL" */
const char *security_protocol_name(enum security_protocol protocol);
/* Any case. Returns 0 or -EINVAL. */
MUST_CHECK int security_protocol_parse(const char *name, enum security_protocol *ret_protocol);
static inline bool
security_protocol_is_tls(enum security_protocol protocol)
{
	return protocol == SECURITY_SSL || protocol == SECURITY_SASL_SSL;
}
static inline bool
security_protocol_is_sasl(enum security_protocol protocol)
{
	return protocol == SECURITY_SASL_PLAINTEXT || protocol == SECURITY_SASL_SSL;
}

/*
 * Parses `listeners`. protocol_map: "NAME:PROTOCOL,..." as given in the configuration; NULL or ""
 * maps each protocol's name to itself. Names must be distinct, and ports too, except for one IPv4
 * and one IPv6 address on the same port.
 */
MUST_CHECK int endpoints_parse(const char *listeners, const char *protocol_map, char *err,
			       struct endpoints *ret_list);
/*
 * Parses `advertised.listeners`; NULL or "" means a copy of `listeners`. Each name must be one of
 * listeners; no 0.0.0.0; ports may repeat. An empty host stays empty: the broker fills in its own
 * canonical name, as Kafka does.
 */
MUST_CHECK int endpoints_parse_advertised(const char *advertised, const char *protocol_map,
					  const struct endpoints *listeners, char *err,
					  struct endpoints *ret_list);
void endpoints_fini(struct endpoints *list);
/* By listener name, any case; NULL when there is none. */
const struct endpoint *endpoints_find(const struct endpoints *list, const char *listener_name);
/* "SSL://[::1]:9093" */
void endpoint_format(const struct endpoint *ep, struct buf *out);

/*
 * Which listener brokers use among themselves. name: inter.broker.listener.name or NULL; protocol:
 * security.inter.broker.protocol (the listener that bears the protocol's name) where name is NULL.
 */
MUST_CHECK int endpoints_inter_broker(const struct endpoints *advertised, const char *name,
				      const char *protocol, char *err,
				      const struct endpoint **ret_endpoint);

#endif
