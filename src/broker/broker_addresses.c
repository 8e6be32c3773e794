/* What the settings of listeners say, and the rules for them, at a start and while it runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "broker/broker_internal.h"

void
broker_addresses_fini(struct broker_addresses *addresses)
{
	endpoints_fini(&addresses->listeners);
	endpoints_fini(&addresses->advertised);
}

/* Parses the three settings and finds the inter-broker listener. err: ENDPOINT_ERR_LEN. */
static int
parse_addresses(const struct broker_conf *conf, char *err, struct broker_addresses *ret_addresses,
		const struct endpoint **ret_inter_broker)
{
	const char *map = conf->listener_security_protocol_map;
	struct broker_addresses addresses = {0};
	int st = endpoints_parse(conf->listeners, map, err, &addresses.listeners);

	if (st == 0)
		st = endpoints_parse_advertised(conf->advertised_listeners, map,
						&addresses.listeners, err, &addresses.advertised);
	if (st == 0)
		st = endpoints_inter_broker(&addresses.advertised, conf->inter_broker_listener_name,
					    conf->security_inter_broker_protocol, err,
					    ret_inter_broker);
	if (st == 0)
		*ret_addresses = addresses;
	else
		broker_addresses_fini(&addresses);
	return st;
}

static int
check_sasl(const struct broker_conf *conf, const struct endpoints *list, struct buf *errors)
{
	int broken = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (!security_protocol_is_sasl(list->items[i].protocol))
			continue;
		buf_printf(
		    errors,
		    "listeners=%s: %s speaks %s, and SASL is not served yet: use PLAINTEXT or "
		    "SSL\n",
		    conf->listeners, list->items[i].listener_name,
		    security_protocol_name(list->items[i].protocol));
		broken++;
	}
	return broken;
}

int
broker_check_listeners(const struct broker_conf *conf, struct buf *errors)
{
	struct broker_addresses addresses;
	const struct endpoint *inter_broker;
	char err[ENDPOINT_ERR_LEN];
	int broken;

	if (parse_addresses(conf, err, &addresses, &inter_broker) != 0) {
		buf_printf(errors, "%s\n", err);
		return 1;
	}
	broken = check_sasl(conf, &addresses.listeners, errors);
	broker_addresses_fini(&addresses);
	/* Whoever asked for access control must not get a broker without it. */
	if (conf->authorizer_class_name[0] != '\0') {
		buf_printf(errors,
			   "authorizer.class.name=%s: ACLs are not checked yet; remove it to run "
			   "without access control\n",
			   conf->authorizer_class_name);
		broken++;
	}
	return broken;
}

/* A client of a listener does not expect it to change its protocol. */
static int
check_protocols(const struct endpoints *now, const struct endpoints *next, char *err)
{
	for (size_t i = 0; i < next->count; i++) {
		const struct endpoint *ep = &next->items[i];
		const struct endpoint *former = endpoints_find(now, ep->listener_name);

		if (former == NULL || former->protocol == ep->protocol)
			continue;
		snprintf(
		    err, ENDPOINT_ERR_LEN,
		    "listener.security.protocol.map: %s speaks %s and cannot change to %s while "
		    "it is open: add a listener with another name",
		    ep->listener_name, security_protocol_name(former->protocol),
		    security_protocol_name(ep->protocol));
		return -EINVAL;
	}
	return 0;
}

int
broker_parse_next_addresses(struct broker *b, const struct broker_conf *next, char *err,
			    struct broker_addresses *ret_addresses)
{
	struct broker_addresses addresses;
	const struct endpoint *inter_broker;
	int st = parse_addresses(next, err, &addresses, &inter_broker);

	if (st != 0)
		return st;
	lock_acquire(&b->listeners_lock);
	st = check_protocols(&b->addresses.listeners, &addresses.listeners, err);
	lock_release(&b->listeners_lock);
	if (st == 0)
		*ret_addresses = addresses;
	else
		broker_addresses_fini(&addresses);
	return st;
}

int
broker_check_listener_change(struct broker *b, const struct broker_conf *next, struct buf *errors)
{
	struct broker_addresses addresses;
	char err[ENDPOINT_ERR_LEN];
	int broken;

	if (broker_parse_next_addresses(b, next, err, &addresses) != 0) {
		buf_printf(errors, "%s\n", err);
		return 1;
	}
	broken = check_sasl(next, &addresses.listeners, errors);
	broker_addresses_fini(&addresses);
	return broken;
}

int
broker_parse_listeners(struct broker *b)
{
	const struct endpoint *inter_broker;
	char err[ENDPOINT_ERR_LEN];
	int st = parse_addresses(broker_conf_of(b), err, &b->addresses, &inter_broker);

	if (st != 0) {
		diag_error(DIAG_BROKER, err, "");
		return st;
	}
	b->inter_broker_protocol = inter_broker->protocol;
	b->inter_broker_listener = strdup(inter_broker->listener_name);
	return b->inter_broker_listener == NULL ? -ENOMEM : 0;
}

void
broker_parse_dynamic_listeners(struct broker *b)
{
	const struct endpoint *inter_broker;
	struct broker_addresses next;
	char err[ENDPOINT_ERR_LEN];

	if (parse_addresses(broker_conf_of(b), err, &next, &inter_broker) != 0) {
		diag_error(DIAG_CONFIG, "dynamic listeners are wrong: those of the file hold",
			   "reason=\"%s\"", err);
		return;
	}
	broker_addresses_fini(&b->addresses);
	b->addresses = next;
	b->inter_broker_protocol = inter_broker->protocol;
}

/* ---- comparing ---- */

bool
broker_same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return strcmp(a->listener_name, b->listener_name) == 0 && strcmp(a->host, b->host) == 0 &&
	       a->port == b->port && a->protocol == b->protocol && a->v6_only == b->v6_only;
}

bool
broker_same_endpoints(const struct endpoints *a, const struct endpoints *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!broker_same_endpoint(&a->items[i], &b->items[i]))
			return false;
	return true;
}
