#include "net/endpoint.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const protocol_names[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

const char *
security_protocol_name(enum security_protocol protocol)
{
	return protocol_names[protocol];
}

int
security_protocol_parse(const char *name, enum security_protocol *ret_protocol)
{
	for (size_t i = 0; i < ARRAY_LEN(protocol_names); i++) {
		if (strcasecmp(name, protocol_names[i]) == 0) {
			*ret_protocol = (enum security_protocol)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The next item of a comma-separated list, trimmed; empty ones are skipped. False at the end. */
static bool
next_item(const char **text, struct str *ret_item)
{
	while (**text != '\0') {
		const char *start = *text, *end = start + strcspn(start, ",");

		*text = *end == ',' ? end + 1 : end;
		while (start < end && isspace((unsigned char)*start))
			start++;
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
		if (start < end) {
			*ret_item = (struct str){start, (size_t)(end - start)};
			return true;
		}
	}
	return false;
}

static char *
dup_upper(struct str text)
{
	char *copy = malloc(text.len + 1);

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < text.len; i++)
		copy[i] = (char)toupper((unsigned char)text.data[i]);
	copy[text.len] = '\0';
	return copy;
}

static bool
equal_any_case(struct str a, struct str b)
{
	return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* The protocol of a listener: from the map, or by its own name where there is no map. */
static int
map_protocol(const char *map, struct str name, char *err, enum security_protocol *ret_protocol)
{
	bool identity = map == NULL || map[0] == '\0';
	struct str item;
	char text[64];

	if (identity) {
		snprintf(text, sizeof(text), "%.*s", (int)name.len, name.data);
		if (name.len < sizeof(text) && security_protocol_parse(text, ret_protocol) == 0)
			return 0;
	}
	while (!identity && next_item(&map, &item)) {
		const char *colon = memchr(item.data, ':', item.len);
		struct str key, value;

		if (colon == NULL) {
			snprintf(err, ENDPOINT_ERR_LEN,
				 "listener.security.protocol.map: '%.*s' is not NAME:PROTOCOL",
				 (int)item.len, item.data);
			return -EINVAL;
		}
		key = (struct str){item.data, (size_t)(colon - item.data)};
		value = (struct str){colon + 1, item.len - key.len - 1};
		while (key.len > 0 && isspace((unsigned char)key.data[key.len - 1]))
			key.len--;
		while (value.len > 0 && isspace((unsigned char)value.data[0])) {
			value.data++;
			value.len--;
		}
		if (!equal_any_case(key, name))
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
		if (security_protocol_parse(text, ret_protocol) == 0)
			return 0;
		snprintf(err, ENDPOINT_ERR_LEN,
			 "listener.security.protocol.map: '%s' is not one of PLAINTEXT, SSL, "
			 "SASL_PLAINTEXT, SASL_SSL",
			 text);
		return -EINVAL;
	}
	snprintf(err, ENDPOINT_ERR_LEN,
		 "the listener %.*s has no protocol in listener.security.protocol.map",
		 (int)name.len, name.data);
	return -EINVAL;
}

static bool
host_char(char c)
{
	return isalnum((unsigned char)c) || strchr("-%._:", c) != NULL;
}

/* Splits "NAME://host:port" or "NAME://[host]:port". False when it is of no such form. */
static bool
split(struct str item, struct str *ret_name, struct str *ret_host, int *ret_port)
{
	const char *end = item.data + item.len, *sep, *colon, *digit;
	long port = 0;

	sep = memmem(item.data, item.len, "://", 3);
	colon = memrchr(item.data, ':', item.len);
	if (sep == NULL || sep == item.data || colon < sep + 3 || colon + 1 == end)
		return false;
	for (digit = colon + 1; digit < end; digit++) {
		if (!isdigit((unsigned char)*digit) || port > 65535)
			return false;
		port = port * 10 + (*digit - '0');
	}
	if (port > 65535)
		return false;
	*ret_name = (struct str){item.data, (size_t)(sep - item.data)};
	*ret_host = (struct str){sep + 3, (size_t)(colon - sep - 3)};
	if (ret_host->len > 0 && ret_host->data[0] == '[') {
		if (ret_host->len < 2 || ret_host->data[ret_host->len - 1] != ']')
			return false;
		ret_host->data++;
		ret_host->len -= 2;
	}
	for (size_t i = 0; i < ret_host->len; i++)
		if (!host_char(ret_host->data[i]))
			return false;
	*ret_port = (int)port;
	return true;
}

static int
parse_one(struct str item, const char *key, const char *map, char *err, struct endpoint *ep)
{
	struct str name, host;
	int st;

	if (!split(item, &name, &host, &ep->port)) {
		snprintf(err, ENDPOINT_ERR_LEN,
			 "%s: '%.*s' is not NAME://host:port with a port from 0 to 65535", key,
			 (int)item.len, item.data);
		return -EINVAL;
	}
	st = map_protocol(map, name, err, &ep->protocol);
	if (st != 0)
		return st;
	ep->listener_name = dup_upper(name);
	ep->host = strndup(host.data, host.len);
	return ep->listener_name == NULL || ep->host == NULL ? -ENOMEM : 0;
}

static int
parse_list(const char *text, const char *key, const char *map, char *err, struct endpoints *list)
{
	struct str item;

	while (next_item(&text, &item)) {
		struct endpoint *items;
		struct endpoint *ep;
		int st;

		items = realloc(list->items, (list->count + 1) * sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		list->items = items;
		ep = &items[list->count++];
		*ep = (struct endpoint){0};
		st = parse_one(item, key, map, err, ep);
		if (st != 0)
			return st;
		for (size_t i = 0; i + 1 < list->count; i++) {
			if (strcmp(items[i].listener_name, ep->listener_name) == 0) {
				snprintf(err, ENDPOINT_ERR_LEN,
					 "%s: the listener name %s is there twice", key,
					 ep->listener_name);
				return -EINVAL;
			}
		}
	}
	if (list->count == 0) {
		snprintf(err, ENDPOINT_ERR_LEN, "%s: at least one endpoint is needed", key);
		return -EINVAL;
	}
	return 0;
}

static int
address_family(const char *host)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET, host, &addr) == 1)
		return AF_INET;
	if (inet_pton(AF_INET6, host, &addr) == 1)
		return AF_INET6;
	return AF_UNSPEC;
}

/* One port twice: only once on an IPv4 and once on an IPv6 address. */
static int
check_ports(struct endpoints *list, char *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct endpoint *a = &list->items[i];
		int shared = 0;

		if (a->port == 0)
			continue;
		for (size_t k = 0; k < list->count; k++) {
			struct endpoint *b = &list->items[k];
			int fa = address_family(a->host), fb = address_family(b->host);

			if (k == i || b->port != a->port)
				continue;
			if (++shared > 1 || fa == AF_UNSPEC || fb == AF_UNSPEC || fa == fb) {
				snprintf(err, ENDPOINT_ERR_LEN,
					 "listeners: port %d is there twice; only one IPv4 and one "
					 "IPv6 address may share a port",
					 a->port);
				return -EINVAL;
			}
			a->v6_only = fa == AF_INET6;
		}
	}
	return 0;
}

int
endpoints_parse(const char *listeners, const char *protocol_map, char *err,
		struct endpoints *ret_list)
{
	struct endpoints list = {0};
	int st;

	err[0] = '\0';
	st = parse_list(listeners, "listeners", protocol_map, err, &list);
	if (st == 0)
		st = check_ports(&list, err);
	if (st == 0)
		*ret_list = list;
	else
		endpoints_fini(&list);
	return st;
}

static int
copy_list(const struct endpoints *from, struct endpoints *to)
{
	to->items = calloc(from->count, sizeof(*to->items));
	if (to->items == NULL)
		return -ENOMEM;
	for (; to->count < from->count; to->count++) {
		struct endpoint *ep = &to->items[to->count];

		*ep = from->items[to->count];
		ep->listener_name = strdup(ep->listener_name);
		ep->host = strdup(ep->host);
		if (ep->listener_name == NULL || ep->host == NULL) {
			to->count++;
			return -ENOMEM;
		}
	}
	return 0;
}

static int
check_advertised(const struct endpoints *list, const struct endpoints *listeners, char *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct endpoint *ep = &list->items[i];

		if (endpoints_find(listeners, ep->listener_name) == NULL) {
			snprintf(err, ENDPOINT_ERR_LEN,
				 "advertised.listeners: there is no listener named %s",
				 ep->listener_name);
			return -EINVAL;
		}
		if (strcmp(ep->host, "0.0.0.0") == 0) {
			snprintf(err, ENDPOINT_ERR_LEN,
				 "advertised.listeners: clients cannot connect to 0.0.0.0: give a "
				 "host name or address for %s",
				 ep->listener_name);
			return -EINVAL;
		}
	}
	return 0;
}

int
endpoints_parse_advertised(const char *advertised, const char *protocol_map,
			   const struct endpoints *listeners, char *err, struct endpoints *ret_list)
{
	struct endpoints list = {0};
	int st;

	err[0] = '\0';
	if (advertised == NULL || advertised[0] == '\0')
		st = copy_list(listeners, &list);
	else
		st = parse_list(advertised, "advertised.listeners", protocol_map, err, &list);
	if (st == 0)
		st = check_advertised(&list, listeners, err);
	if (st == 0)
		*ret_list = list;
	else
		endpoints_fini(&list);
	return st;
}

void
endpoints_fini(struct endpoints *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].listener_name);
		free(list->items[i].host);
	}
	free(list->items);
	*list = (struct endpoints){0};
}

const struct endpoint *
endpoints_find(const struct endpoints *list, const char *listener_name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcasecmp(list->items[i].listener_name, listener_name) == 0)
			return &list->items[i];
	return NULL;
}

void
endpoint_format(const struct endpoint *ep, struct buf *out)
{
	bool v6 = strchr(ep->host, ':') != NULL;

	buf_printf(out, "%s://%s%s%s:%d", ep->listener_name, v6 ? "[" : "", ep->host, v6 ? "]" : "",
		   ep->port);
}

int
endpoints_inter_broker(const struct endpoints *advertised, const char *name, const char *protocol,
		       char *err, const struct endpoint **ret_endpoint)
{
	const char *wanted = name != NULL && name[0] != '\0' ? name : protocol;
	const struct endpoint *ep = endpoints_find(advertised, wanted);

	err[0] = '\0';
	if (ep == NULL) {
		snprintf(err, ENDPOINT_ERR_LEN,
			 "%s: brokers cannot reach each other: advertised.listeners has no "
			 "listener named %s",
			 wanted == name ? "inter.broker.listener.name"
					: "security.inter.broker.protocol",
			 wanted);
		return -EINVAL;
	}
	*ret_endpoint = ep;
	return 0;
}
