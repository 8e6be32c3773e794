/*
 * A map from address bytes to a small counter, kept while the address has connections or an
 * override. Accepting and closing are rare beside requests, so one lock for the broker will do.
 * Hooks are called after the lock was released; a share counts those that run, and its listener
 * waits for them before it goes.
 */
#include "net/connection_limits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/rate.h"

struct ip_count {
	int count;
	int max; /* -1: no override */
};

struct listener_share {
	struct connection_limits *limits;
	struct listener_share *next, **prev; /* under the limits' lock; prev NULL: has left */
	struct listener_share_hooks hooks;
	int count; /* under lock, as all below */
	int max;
	int max_per_second;
	struct rate created;
	int refs;     /* the listener, its connections */
	int running;  /* hooks that run; leaving waits for them */
	bool waiting; /* was told CONNECTION_LISTENER_FULL */
	bool privileged;
};

struct connection_limits {
	struct lock lock;
	pthread_cond_t hooks_ended;
	struct listener_share *shares;
	struct map ips;
	int count;
	int max;
	int max_per_ip;
	int max_per_second;
	struct rate created; /* its windows are those of each share, too */
};

int
connection_limits_open(int window_count, int64_t window_ms, struct connection_limits **ret_limits)
{
	struct connection_limits *cl = calloc(1, sizeof(*cl));

	if (cl == NULL)
		return -ENOMEM;
	if (rate_init(&cl->created, window_count, window_ms) != 0) {
		free(cl);
		return -ENOMEM;
	}
	lock_init(&cl->lock, LOCK_CONNECTION_LIMITS);
	pthread_cond_init(&cl->hooks_ended, NULL);
	cl->max = cl->max_per_ip = cl->max_per_second = CONNECTIONS_UNLIMITED;
	*ret_limits = cl;
	return 0;
}

void
connection_limits_close(struct connection_limits *cl)
{
	struct map_iter iter = {0};
	struct ip_count *ip;

	if (cl == NULL)
		return;
	assert(cl->shares == NULL && cl->count == 0);
	while ((ip = map_next(&cl->ips, &iter)) != NULL)
		free(ip);
	map_fini(&cl->ips);
	rate_fini(&cl->created);
	pthread_cond_destroy(&cl->hooks_ended);
	lock_fini(&cl->lock);
	free(cl);
}

/* An address as 4 or 16 bytes; IPv4 in IPv6 counts as the IPv4 it is. */
static size_t
address_key(const struct sockaddr *addr, uint8_t *key)
{
	if (addr->sa_family == AF_INET6) {
		const struct in6_addr *a =
		    &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(a)) {
			memcpy(key, a->s6_addr + 12, 4);
			return 4;
		}
		memcpy(key, a->s6_addr, 16);
		return 16;
	}
	memcpy(key, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
	return 4;
}

/* No other listener is there. Under lock. */
static bool
is_alone(const struct listener_share *share)
{
	return share->limits->shares == share && share->next == NULL;
}

static void
share_unref(struct listener_share *share)
{
	struct connection_limits *cl = share->limits;
	bool last;

	lock_acquire(&cl->lock);
	last = --share->refs == 0;
	lock_release(&cl->lock);
	if (!last)
		return;
	rate_fini(&share->created);
	free(share);
}

static void
hook_ended(struct listener_share *share)
{
	struct connection_limits *cl = share->limits;

	lock_acquire(&cl->lock);
	if (--share->running == 0)
		pthread_cond_broadcast(&cl->hooks_ended);
	lock_release(&cl->lock);
}

/* Takes out the next share that waits, for its hook to be run; NULL when there is none. */
static struct listener_share *
take_waiting(struct connection_limits *cl)
{
	for (struct listener_share *s = cl->shares; s != NULL; s = s->next) {
		if (!s->waiting)
			continue;
		s->waiting = false;
		s->running++;
		return s;
	}
	return NULL;
}

/* Wakes every share that waits: each looks for itself whether there is room now. */
static void
wake_all(struct connection_limits *cl)
{
	struct listener_share *share;

	for (;;) {
		lock_acquire(&cl->lock);
		share = take_waiting(cl);
		lock_release(&cl->lock);
		if (share == NULL)
			return;
		share->hooks.wake(share->hooks.arg);
		hook_ended(share);
	}
}

void
connection_limits_set(struct connection_limits *cl, int max_connections, int max_per_ip)
{
	lock_acquire(&cl->lock);
	cl->max = max_connections;
	cl->max_per_ip = max_per_ip;
	lock_release(&cl->lock);
	wake_all(cl);
}

void
connection_limits_set_rate(struct connection_limits *cl, int max_per_second)
{
	lock_acquire(&cl->lock);
	cl->max_per_second = max_per_second;
	lock_release(&cl->lock);
}

int
connection_limits_count(struct connection_limits *cl)
{
	int count;

	lock_acquire(&cl->lock);
	count = cl->count;
	lock_release(&cl->lock);
	return count;
}

static struct ip_count *
get_ip(struct connection_limits *cl, const uint8_t *key, size_t key_len)
{
	struct ip_count *ip = map_get(&cl->ips, key, key_len);

	if (ip != NULL)
		return ip;
	ip = malloc(sizeof(*ip));
	if (ip == NULL)
		return NULL;
	*ip = (struct ip_count){.max = -1};
	if (map_put(&cl->ips, key, key_len, ip, NULL) != 0) {
		free(ip);
		return NULL;
	}
	return ip;
}

/* One "host:count" with all addresses of the host. */
struct override {
	struct override *next;
	struct addrinfo *addresses;
	int max;
};

static void
free_overrides(struct override *list)
{
	while (list != NULL) {
		struct override *next = list->next;

		if (list->addresses != NULL)
			freeaddrinfo(list->addresses);
		free(list);
		list = next;
	}
}

/* text: one trimmed "host:count" with a NUL; changed. */
static int
parse_override(char *text, char *err, size_t err_len, struct override *o)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char *colon = strrchr(text, ':'), *end, *host = text;
	long max;
	int st;

	if (colon == NULL || colon == text)
		goto malformed;
	max = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end != '\0' || max < 0 || max > INT_MAX)
		goto malformed;
	o->max = (int)max;
	*colon = '\0';
	if (host[0] == '[' && colon[-1] == ']') {
		host++;
		colon[-1] = '\0';
	}
	st = getaddrinfo(host, NULL, &hints, &o->addresses);
	if (st == 0)
		return 0;
	o->addresses = NULL;
	snprintf(err, err_len, "max.connections.per.ip.overrides: the host '%s' is not known: %s",
		 host, gai_strerror(st));
	return -EINVAL;
malformed:
	snprintf(err, err_len,
		 "max.connections.per.ip.overrides: '%s' is not of the form host:count", text);
	return -EINVAL;
}

static int
parse_overrides(const char *text, char *err, size_t err_len, struct override **ret_list)
{
	struct override *list = NULL;
	char *copy = strdup(text), *save = NULL;
	int st = 0;

	if (copy == NULL)
		return -ENOMEM;
	for (char *item = strtok_r(copy, ",", &save); item != NULL && st == 0;
	     item = strtok_r(NULL, ",", &save)) {
		struct override *o;
		size_t len;

		item += strspn(item, " \t");
		len = strlen(item);
		while (len > 0 && strchr(" \t", item[len - 1]) != NULL)
			item[--len] = '\0';
		if (len == 0)
			continue;
		o = calloc(1, sizeof(*o));
		if (o == NULL) {
			st = -ENOMEM;
			break;
		}
		o->next = list;
		list = o;
		st = parse_override(item, err, err_len, o);
	}
	free(copy);
	if (st != 0)
		free_overrides(list);
	else
		*ret_list = list;
	return st;
}

/* Forgets all overrides, and the addresses that nothing else keeps. Under lock. */
static void
clear_overrides(struct connection_limits *cl)
{
	struct map_iter iter = {0};
	struct ip_count *ip;

	while ((ip = map_next(&cl->ips, &iter)) != NULL) {
		struct str key = map_iter_key(&iter);

		ip->max = -1;
		if (ip->count == 0) {
			uint8_t bytes[16];

			memcpy(bytes, key.data, key.len);
			map_remove(&cl->ips, bytes, key.len);
			free(ip);
		}
	}
}

int
connection_limits_set_overrides(struct connection_limits *cl, const char *overrides, char *err,
				size_t err_len)
{
	struct override *list = NULL;
	int st;

	err[0] = '\0';
	st = parse_overrides(overrides == NULL ? "" : overrides, err, err_len, &list);
	if (st != 0)
		return st;
	lock_acquire(&cl->lock);
	clear_overrides(cl);
	for (struct override *o = list; o != NULL && st == 0; o = o->next) {
		for (struct addrinfo *a = o->addresses; a != NULL && st == 0; a = a->ai_next) {
			uint8_t key[16];
			size_t key_len = address_key(a->ai_addr, key);
			struct ip_count *ip = get_ip(cl, key, key_len);

			if (ip == NULL)
				st = -ENOMEM;
			else
				ip->max = o->max;
		}
	}
	lock_release(&cl->lock);
	free_overrides(list);
	return st;
}

int
connection_limits_join(struct connection_limits *cl, int max_connections, bool privileged,
		       const struct listener_share_hooks *hooks, struct listener_share **ret_share)
{
	struct listener_share *share = calloc(1, sizeof(*share));

	if (share == NULL)
		return -ENOMEM;
	*share = (struct listener_share){.limits = cl,
					 .hooks = *hooks,
					 .max = max_connections,
					 .max_per_second = CONNECTIONS_UNLIMITED,
					 .privileged = privileged,
					 .refs = 1};
	if (rate_init(&share->created, cl->created.window_max, cl->created.window_ms) != 0) {
		free(share);
		return -ENOMEM;
	}
	lock_acquire(&cl->lock);
	share->next = cl->shares;
	share->prev = &cl->shares;
	if (share->next != NULL)
		share->next->prev = &share->next;
	cl->shares = share;
	lock_release(&cl->lock);
	*ret_share = share;
	return 0;
}

void
connection_limits_leave(struct listener_share *share)
{
	struct connection_limits *cl;

	if (share == NULL)
		return;
	cl = share->limits;
	lock_acquire(&cl->lock);
	*share->prev = share->next;
	if (share->next != NULL)
		share->next->prev = share->prev;
	share->prev = NULL;
	share->waiting = false;
	while (share->running > 0)
		lock_wait(&cl->lock, &cl->hooks_ended);
	lock_release(&cl->lock);
	share_unref(share);
}

void
listener_share_set_max(struct listener_share *share, int max_connections)
{
	lock_acquire(&share->limits->lock);
	share->max = max_connections;
	lock_release(&share->limits->lock);
	wake_all(share->limits);
}

void
listener_share_set_rate(struct listener_share *share, int max_per_second)
{
	lock_acquire(&share->limits->lock);
	share->max_per_second = max_per_second;
	lock_release(&share->limits->lock);
}

int
listener_share_count(struct listener_share *share)
{
	int count;

	lock_acquire(&share->limits->lock);
	count = share->count;
	lock_release(&share->limits->lock);
	return count;
}

/* Kafka: ConnectionQuotas.recordConnectionAndGetThrottleTimeMs. */
int64_t
connection_limits_delay_ms(struct listener_share *share, int64_t now_ms)
{
	struct connection_limits *cl = share->limits;
	int64_t max_ms = cl->created.window_ms, broker_ms = 0, listener_ms;

	lock_acquire(&cl->lock);
	if (!share->privileged || is_alone(share)) {
		rate_record(&cl->created, 1, now_ms);
		broker_ms = rate_throttle_ms(&cl->created, cl->max_per_second, max_ms, now_ms);
	}
	rate_record(&share->created, 1, now_ms);
	listener_ms = rate_throttle_ms(&share->created, share->max_per_second, max_ms, now_ms);
	lock_release(&cl->lock);
	return broker_ms > listener_ms ? broker_ms : listener_ms;
}

/* The listener that shall make room: of those that are not privileged, the fullest; for its hook to
 * be run. */
static struct listener_share *
choose_victim(struct connection_limits *cl)
{
	struct listener_share *victim = NULL;

	for (struct listener_share *s = cl->shares; s != NULL; s = s->next)
		if (!s->privileged && s->count > 0 && (victim == NULL || s->count > victim->count))
			victim = s;
	if (victim != NULL)
		victim->running++;
	return victim;
}

static enum connection_verdict
judge(struct listener_share *share, const struct ip_count *ip)
{
	struct connection_limits *cl = share->limits;

	if (ip->count >= (ip->max >= 0 ? ip->max : cl->max_per_ip))
		return CONNECTION_IP_FULL;
	if (share->count >= share->max)
		return CONNECTION_LISTENER_FULL;
	if (cl->count >= cl->max && (!share->privileged || is_alone(share)))
		return CONNECTION_LISTENER_FULL;
	return CONNECTION_ADMITTED;
}

enum connection_verdict
connection_limits_admit(struct listener_share *share, const struct sockaddr *peer)
{
	struct connection_limits *cl = share->limits;
	struct listener_share *victim = NULL;
	enum connection_verdict verdict;
	struct ip_count *ip;
	uint8_t key[16];
	size_t key_len = address_key(peer, key);

	lock_acquire(&cl->lock);
	ip = get_ip(cl, key, key_len);
	verdict = ip == NULL ? CONNECTION_IP_FULL : judge(share, ip);
	if (verdict == CONNECTION_ADMITTED) {
		if (cl->count >= cl->max)
			victim = choose_victim(cl);
		ip->count++;
		share->count++;
		share->refs++;
		cl->count++;
	} else if (verdict == CONNECTION_LISTENER_FULL) {
		share->waiting = true;
	}
	if (ip != NULL && ip->count == 0 && ip->max < 0) {
		map_remove(&cl->ips, key, key_len);
		free(ip);
	}
	lock_release(&cl->lock);
	if (victim != NULL) {
		victim->hooks.evict(victim->hooks.arg);
		hook_ended(victim);
	}
	return verdict;
}

void
connection_limits_give_back(struct listener_share *share, const struct sockaddr *peer)
{
	struct connection_limits *cl = share->limits;
	struct ip_count *ip;
	uint8_t key[16];
	size_t key_len = address_key(peer, key);

	lock_acquire(&cl->lock);
	ip = map_get(&cl->ips, key, key_len);
	assert(ip != NULL && ip->count > 0 && share->count > 0);
	ip->count--;
	share->count--;
	cl->count--;
	if (ip->count == 0 && ip->max < 0) {
		map_remove(&cl->ips, key, key_len);
		free(ip);
	}
	lock_release(&cl->lock);
	wake_all(cl);
	share_unref(share);
}
