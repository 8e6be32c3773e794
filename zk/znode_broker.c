#include "zk/znode_broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"

#define REGISTRATION_VERSION 5

void
broker_registration_fini(struct broker_registration *reg)
{
	for (size_t i = 0; i < reg->endpoint_count; i++) {
		free(reg->endpoints[i].listener);
		free(reg->endpoints[i].host);
		free(reg->endpoints[i].protocol);
	}
	free(reg->endpoints);
	free(reg->rack);
	reg->endpoints = NULL;
	reg->endpoint_count = 0;
	reg->rack = NULL;
}

void
znode_broker_path(int32_t broker_id, char *ret_path)
{
	snprintf(ret_path, ZNODE_PATH_MAX, "/brokers/ids/%d", broker_id);
}

void
znode_broker_encode(const struct broker_registration *reg, int64_t now_ms, struct buf *out)
{
	json_t *object = json_object(), *endpoints = json_array(), *protocols = json_object();
	const struct broker_endpoint *plain = NULL;
	char text[512];

	for (size_t i = 0; i < reg->endpoint_count; i++) {
		const struct broker_endpoint *e = &reg->endpoints[i];
		bool ipv6 = strchr(e->host, ':') != NULL;

		if (plain == NULL && strcmp(e->protocol, "PLAINTEXT") == 0)
			plain = e;
		snprintf(text, sizeof(text), "%s://%s%s%s:%d", e->listener, ipv6 ? "[" : "",
			 e->host, ipv6 ? "]" : "", e->port);
		json_array_append_new(endpoints, json_string(text));
		json_object_set_new(protocols, e->listener, json_string(e->protocol));
	}
	json_object_set_new(object, "version", json_integer(REGISTRATION_VERSION));
	json_object_set_new(object, "host", plain == NULL ? json_null() : json_string(plain->host));
	json_object_set_new(object, "port", json_integer(plain == NULL ? -1 : plain->port));
	json_object_set_new(object, "endpoints", endpoints);
	json_object_set_new(object, "listener_security_protocol_map", protocols);
	json_object_set_new(object, "features", json_object());
	if (reg->rack != NULL)
		json_object_set_new(object, "rack", json_string(reg->rack));
	json_object_set_new(object, "jmx_port", json_integer(-1));
	snprintf(text, sizeof(text), "%lld", (long long)now_ms);
	json_object_set_new(object, "timestamp", json_string(text));
	znode_format(object, out);
}

/* NAME://host:port, NAME://[v6]:port. */
static int
decode_endpoint(const char *text, const json_t *protocols, struct broker_endpoint *ret)
{
	const char *sep = strstr(text, "://"), *host, *colon;
	char *end;
	long port;

	colon = strrchr(text, ':');
	if (sep == NULL || colon == NULL || colon < sep + 3)
		return -EBADMSG;
	port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || port < 0 || port > 65535)
		return -EBADMSG;
	host = sep + 3;
	if (*host == '[' && colon > host && colon[-1] == ']')
		ret->host = strndup(host + 1, (size_t)(colon - host - 2));
	else
		ret->host = strndup(host, (size_t)(colon - host));
	ret->port = (int32_t)port;
	ret->listener = strndup(text, (size_t)(sep - text));
	if (ret->listener != NULL && protocols != NULL) {
		const char *protocol = json_string_value(json_object_get(protocols, ret->listener));

		if (protocol == NULL)
			return -EBADMSG;
		ret->protocol = strdup(protocol);
	} else if (ret->listener != NULL) {
		ret->protocol = strdup(ret->listener);
	}
	return ret->listener == NULL || ret->host == NULL || ret->protocol == NULL ? -ENOMEM : 0;
}

static int
decode_endpoints(const json_t *object, struct broker_registration *reg)
{
	const json_t *list = json_object_get(object, "endpoints");
	const json_t *protocols = json_object_get(object, "listener_security_protocol_map");
	size_t count = json_array_size(list);

	if (!json_is_array(list) || (protocols != NULL && !json_is_object(protocols)))
		return -EBADMSG;
	reg->endpoints = calloc(count + 1, sizeof(*reg->endpoints));
	if (reg->endpoints == NULL)
		return -ENOMEM;
	for (reg->endpoint_count = 0; reg->endpoint_count < count;) {
		const char *text = json_string_value(json_array_get(list, reg->endpoint_count));
		struct broker_endpoint *e = &reg->endpoints[reg->endpoint_count++];
		int st = text == NULL ? -EBADMSG : decode_endpoint(text, protocols, e);

		if (st != 0)
			return st;
	}
	return 0;
}

/* Version 1 knew one plaintext address only. */
static int
decode_version1(const json_t *object, struct broker_registration *reg)
{
	struct broker_endpoint *e;
	const char *host;
	int32_t port;

	if (znode_get_text(object, "host", &host) != 0 || znode_get_int(object, "port", &port) != 0)
		return -EBADMSG;
	e = reg->endpoints = calloc(1, sizeof(*reg->endpoints));
	if (e == NULL)
		return -ENOMEM;
	reg->endpoint_count = 1;
	e->host = strdup(host);
	e->port = port;
	e->listener = strdup("PLAINTEXT");
	e->protocol = strdup("PLAINTEXT");
	return e->host == NULL || e->listener == NULL || e->protocol == NULL ? -ENOMEM : 0;
}

int
znode_broker_decode(int32_t broker_id, struct slice value, int64_t czxid,
		    struct broker_registration *ret_reg)
{
	struct broker_registration reg = {.broker_id = broker_id, .broker_epoch = czxid};
	json_t *object = znode_parse(value);
	const json_t *rack = json_object_get(object, "rack");
	int32_t version, jmx_port;
	int st;

	st = znode_get_int(object, "version", &version);
	if (st == 0)
		st = znode_get_int(object, "jmx_port", &jmx_port);
	if (st == 0 && version < 1)
		st = -EBADMSG;
	if (st == 0)
		st = version == 1 ? decode_version1(object, &reg) : decode_endpoints(object, &reg);
	if (st == 0 && json_is_string(rack)) {
		reg.rack = strdup(json_string_value(rack));
		st = reg.rack == NULL ? -ENOMEM : 0;
	}
	json_decref(object);
	if (st != 0) {
		broker_registration_fini(&reg);
		return st;
	}
	*ret_reg = reg;
	return 0;
}

/* The two operations give back a stat, and with it the czxid that is the broker epoch. */
static int
create_registration(struct zk *zk, const char *path, struct slice value, int64_t *ret_epoch)
{
	struct zk_op ops[2] = {
	    {.kind = ZK_CREATE, .path = path, .mode = ZK_EPHEMERAL},
	    {.kind = ZK_SET, .path = path, .data = value, .version = 0},
	};
	struct zk_request request = {.ops = ops, .op_count = 2};
	int st = zk_run(zk, &request, 1);

	if (st == 0)
		st = request.st;
	if (st == 0)
		*ret_epoch = ops[1].stat.czxid;
	zk_op_fini(&ops[0]);
	zk_op_fini(&ops[1]);
	return st;
}

int
znode_broker_register(struct zk *zk, struct broker_registration *reg, int64_t last_session_id,
		      int64_t now_ms)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	struct zk_stat stat;
	int st;

	znode_broker_path(reg->broker_id, path);
	znode_broker_encode(reg, now_ms, &value);
	st = value.failed ? -ENOMEM : 0;
	while (st == 0) {
		st = create_registration(zk, path, buf_slice(&value), &reg->broker_epoch);
		if (st != -EEXIST)
			break;
		st = zk_exists(zk, path, false, &stat);
		if (st == -ENOENT) {
			st = 0; /* it has gone meanwhile */
			continue;
		}
		if (st != 0)
			break;
		if (stat.ephemeral_owner == zk_session_id(zk)) { /* our own, its answer was lost */
			reg->broker_epoch = stat.czxid;
			break;
		}
		st = -EEXIST;
		if (stat.ephemeral_owner != last_session_id)
			break;
		st = zk_delete(zk, path, ZK_ANY_VERSION);
		if (st == -ENOENT)
			st = 0;
	}
	buf_fini(&value);
	return st;
}

int
znode_broker_update(struct zk *zk, const struct broker_registration *reg, int64_t now_ms)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	int st;

	znode_broker_path(reg->broker_id, path);
	znode_broker_encode(reg, now_ms, &value);
	st = value.failed ? -ENOMEM : zk_set(zk, path, buf_slice(&value), ZK_ANY_VERSION, NULL);
	buf_fini(&value);
	return st;
}

static int
compare_registrations(const void *a, const void *b)
{
	const struct broker_registration *x = a, *y = b;

	return (x->broker_id > y->broker_id) - (x->broker_id < y->broker_id);
}

/* Reads the named registrations, pipelined. */
static int
read_registrations(struct zk *zk, const struct zk_names *names, bool watch,
		   struct broker_registration *regs, size_t *ret_count)
{
	struct zk_op *ops = calloc(names->count + 1, sizeof(*ops));
	struct zk_request *requests = calloc(names->count + 1, sizeof(*requests));
	char(*paths)[ZNODE_PATH_MAX] = calloc(names->count + 1, sizeof(*paths));
	size_t count = 0;
	int st = -ENOMEM;

	if (ops == NULL || requests == NULL || paths == NULL)
		goto out;
	for (size_t i = 0; i < names->count; i++) {
		znode_broker_path(atoi(names->names[i]), paths[i]);
		ops[i] = (struct zk_op){.kind = ZK_GET, .path = paths[i], .watch = watch};
		requests[i] = (struct zk_request){.ops = &ops[i], .op_count = 1};
	}
	st = zk_run(zk, requests, names->count);
	for (size_t i = 0; st == 0 && i < names->count; i++) {
		if (ops[i].st == -ENOENT)
			continue; /* it died between the two reads */
		st = ops[i].st;
		if (st == 0 && znode_broker_decode(atoi(names->names[i]), buf_slice(&ops[i].value),
						   ops[i].stat.czxid, &regs[count]) == 0)
			count++;
		else if (st == 0)
			diag_error(DIAG_ZK,
				   "left out a broker whose registration cannot be read: mend the "
				   "znode or restart the broker",
				   "path=%s", paths[i]);
	}
	*ret_count = count;
out:
	for (size_t i = 0; ops != NULL && i < names->count; i++)
		zk_op_fini(&ops[i]);
	free(ops);
	free(requests);
	free(paths);
	return st;
}

int
znode_broker_list(struct zk *zk, bool watch, struct broker_registration **ret_regs,
		  size_t *ret_count)
{
	struct broker_registration *regs;
	struct zk_names names;
	size_t count = 0;
	int st = zk_children(zk, "/brokers/ids", watch, &names);

	if (st != 0)
		return st;
	regs = calloc(names.count + 1, sizeof(*regs));
	st = regs == NULL ? -ENOMEM : read_registrations(zk, &names, watch, regs, &count);
	zk_names_fini(&names);
	if (st != 0) {
		for (size_t i = 0; i < count; i++)
			broker_registration_fini(&regs[i]);
		free(regs);
		return st;
	}
	qsort(regs, count, sizeof(*regs), compare_registrations);
	*ret_regs = regs;
	*ret_count = count;
	return 0;
}
