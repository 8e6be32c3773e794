/*
 * The socket is watched, level-triggered, by one reactor: listeners take turns in choosing it. An
 * accepted connection that a limit or a rate keeps out stays in `held` while accepting pauses, as
 * Kafka's acceptor holds the one it has; the rest wait in the kernel's backlog.
 */
#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/metrics.h"
#include "net/lane.h"
#include "net/tcp.h"
#include "net/transport.h"

#define ACCEPT_AT_ONCE 32
#define EMFILE_PAUSE_MS 100
#define NEVER_MS (INT64_MAX / 4)

/* The accepting side of a listener; its reactor's, but for what is fixed at the open. */
struct acceptor {
	struct listener *listener;
	struct reactor *reactor;
	struct event *event;
	int fd;
	int port;
	struct timer retry; /* after EMFILE, or when the held one has waited long enough */
	int held;           /* accepted, not admitted yet; -1: none */
	union net_address held_peer;
	bool paused;        /* event is not added */
	bool stopped;       /* for good */
	bool told_full;     /* one line per stretch without descriptors */
	int64_t told_ip_ms; /* last line about max.connections.per.ip */
	struct lane *next_lane;
};

static _Atomic unsigned next_reactor;

static const char *const reason_names[CLOSE_REASON_COUNT] = {
    [CLOSE_PEER] = "peer",
    [CLOSE_ERROR] = "error",
    [CLOSE_IDLE] = "idle",
    [CLOSE_BAD_FRAME] = "bad_frame",
    [CLOSE_HANDLER] = "request",
    [CLOSE_TLS] = "tls",
    [CLOSE_HANDSHAKE_TIMEOUT] = "handshake_timeout",
    [CLOSE_WRONG_PROTOCOL] = "wrong_protocol",
    [CLOSE_AUTHENTICATION] = "authentication",
    [CLOSE_EVICTED] = "evicted",
    [CLOSE_IP_LIMIT] = "ip_limit",
    [CLOSE_MEMORY] = "memory",
    [CLOSE_SHUTDOWN] = "shutdown",
};

void
listener_settings_init(struct listener_settings *ls)
{
	*ls = (struct listener_settings){
	    .backlog = 50,
	    .send_buffer_bytes = 102400,
	    .receive_buffer_bytes = 102400,
	    .request_max_bytes = 104857600,
	    .auth_max_bytes = 524288,
	    .idle_ms = 600000,
	    .handshake_ms = 30000,
	    .failed_auth_ms = 100,
	    .max_connections = CONNECTIONS_UNLIMITED,
	    .max_connection_rate = CONNECTIONS_UNLIMITED,
	};
}

void
listener_ref(struct listener *l)
{
	atomic_fetch_add(&l->refs, 1);
}

void
listener_unref(struct listener *l)
{
	struct lane *next;

	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	for (struct lane *lane = l->lanes; lane != NULL; lane = next) {
		next = atomic_load(&lane->next);
		SSL_CTX_free(lane->tls);
		free(lane);
	}
	SSL_CTX_free(l->settings.tls);
	free(l->settings.endpoint.listener_name);
	free(l->settings.endpoint.host);
	free(l->acceptor);
	free(l);
}

/* ---- accepting ---- */

struct handover {
	struct lane *lane;
	int fd;
	union net_address peer;
};

static void
run_handover(void *arg)
{
	struct handover *h = arg;
	struct listener *l = h->lane->listener;

	lane_adopt(h->lane, h->fd, &h->peer);
	free(h);
	listener_unref(l);
}

/* The first of them follows on the last, and on any that is out of use. */
static struct lane *
lane_after(const struct listener *l, const struct lane *lane, int in_use)
{
	return lane->index + 1 < in_use ? atomic_load(&lane->next) : l->lanes;
}

/* Of those in use, the lane with the fewest connections; among equals, in turn. */
static struct lane *
choose_lane(struct acceptor *a)
{
	struct listener *l = a->listener;
	int in_use = atomic_load(&l->lanes_in_use);
	struct lane *lane = a->next_lane->index < in_use ? a->next_lane : l->lanes;
	struct lane *best = lane;

	for (int i = 1; i < in_use; i++) {
		lane = lane_after(l, lane, in_use);
		if (atomic_load(&lane->load) < atomic_load(&best->load))
			best = lane;
	}
	a->next_lane = lane_after(l, best, in_use);
	return best;
}

static void
hand_over(struct acceptor *a, int fd, const union net_address *peer)
{
	struct lane *lane = choose_lane(a);
	struct handover *h;

	atomic_fetch_add(&lane->load, 1);
	if (lane->reactor == a->reactor) {
		lane_adopt(lane, fd, peer);
		return;
	}
	h = malloc(sizeof(*h));
	if (h == NULL) {
		close(fd);
		atomic_fetch_sub(&lane->load, 1);
		connection_limits_give_back(a->listener->share, &peer->any);
		return;
	}
	*h = (struct handover){lane, fd, *peer};
	listener_ref(a->listener);
	reactor_post(lane->reactor, run_handover, h);
}

static void
pause_accepting(struct acceptor *a)
{
	event_del(a->event);
	a->paused = true;
}

/* Says so at most once a second. */
static void
tell_refused(struct acceptor *a, const union net_address *peer)
{
	int64_t now_ms = reactor_now_ms(a->reactor);
	char host[INET6_ADDRSTRLEN] = "?";

	if (now_ms - a->told_ip_ms < 1000)
		return;
	a->told_ip_ms = now_ms;
	getnameinfo(&peer->any, sizeof(*peer), host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	diag_warn(DIAG_NET, "connection refused: max.connections.per.ip reached",
		  "peer=%s listener=%s", host, a->listener->settings.endpoint.listener_name);
}

static void
refuse_address(struct acceptor *a, int fd, const union net_address *peer)
{
	metric_add(a->listener->accepted, 1);
	metric_add(a->listener->closed[CLOSE_IP_LIMIT], 1);
	tell_refused(a, peer);
	close(fd);
}

static void
hold(struct acceptor *a, int fd, const union net_address *peer)
{
	a->held = fd;
	a->held_peer = *peer;
}

/* False when accepting must pause: the connection is held. */
static bool
admit(struct acceptor *a, int fd, const union net_address *peer)
{
	switch (connection_limits_admit(a->listener->share, &peer->any)) {
	case CONNECTION_ADMITTED:
		hand_over(a, fd, peer);
		return true;
	case CONNECTION_IP_FULL:
		refuse_address(a, fd, peer);
		return true;
	case CONNECTION_LISTENER_FULL:
		break;
	}
	hold(a, fd, peer);
	return false;
}

/* False when accepting must pause, to hold a rate: the connection is held until then. */
static bool
is_in_time(struct acceptor *a, int fd, const union net_address *peer)
{
	int64_t now_ms = reactor_now_ms(a->reactor);
	int64_t delay_ms = connection_limits_delay_ms(a->listener->share, now_ms);

	if (delay_ms == 0)
		return true;
	metric_add(a->listener->delayed, 1);
	hold(a, fd, peer);
	pause_accepting(a);
	reactor_arm(a->reactor, &a->retry, now_ms + delay_ms);
	return false;
}

static void
accept_failed(struct acceptor *a, int error)
{
	if (!a->told_full)
		diag_error(DIAG_NET, "cannot accept connections, trying again",
			   "listener=%s reason=\"%s\"",
			   a->listener->settings.endpoint.listener_name, strerrordesc_np(error));
	a->told_full = true;
	pause_accepting(a);
	reactor_arm(a->reactor, &a->retry, reactor_now_ms(a->reactor) + EMFILE_PAUSE_MS);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)what;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		union net_address peer = {0};
		socklen_t len = sizeof(peer);
		int conn = accept4(fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (conn < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM) {
				accept_failed(a, errno);
				return;
			}
			continue; /* that connection died already */
		}
		a->told_full = false;
		if (!is_in_time(a, conn, &peer))
			return;
		if (!admit(a, conn, &peer)) {
			diag_info(DIAG_NET, "connection limit reached, accepting pauses",
				  "listener=%s", a->listener->settings.endpoint.listener_name);
			pause_accepting(a);
			return;
		}
	}
}

static void
resume(struct acceptor *a)
{
	if (a->stopped || !a->paused || timer_armed(&a->retry))
		return;
	if (a->held >= 0) {
		int fd = a->held;

		a->held = -1;
		if (!admit(a, fd, &a->held_peer))
			return;
	}
	if (event_add(a->event, NULL) != 0)
		abort();
	a->paused = false;
}

static void
on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	resume(arg);
}

static void
run_wake(void *arg)
{
	struct listener *l = arg;

	resume(l->acceptor);
	listener_unref(l);
}

static void
wake(void *arg)
{
	struct listener *l = arg;

	listener_ref(l);
	reactor_post(l->acceptor->reactor, run_wake, l);
}

static void
run_evict(void *arg)
{
	struct lane *lane = arg;
	struct listener *l = lane->listener;

	lane_evict(lane);
	listener_unref(l);
}

static void
evict(void *arg)
{
	struct listener *l = arg;
	struct lane *fullest = l->lanes, *lane = fullest;

	/* Those out of use, too: they may still have connections. */
	while ((lane = atomic_load(&lane->next)) != NULL)
		if (atomic_load(&lane->load) > atomic_load(&fullest->load))
			fullest = lane;
	listener_ref(l);
	reactor_post(fullest->reactor, run_evict, fullest);
}

/* ---- opening ---- */

static int
open_socket(struct listener *l, char *err, size_t err_len)
{
	const struct endpoint *ep = &l->settings.endpoint;
	struct tcp_listen tl = {ep->host, ep->port, ep->v6_only, l->settings.backlog,
				l->settings.receive_buffer_bytes};
	struct buf name = {0};
	char reason[256];
	int fd = tcp_listen(&tl, reason, sizeof(reason));

	if (fd < 0) {
		endpoint_format(ep, &name);
		snprintf(err, err_len, "listeners: cannot listen on %s: %s",
			 buf_text(&name) == NULL ? "?" : buf_text(&name),
			 reason[0] != '\0' ? reason : strerrordesc_np(-fd));
		buf_fini(&name);
		return fd;
	}
	l->acceptor->fd = fd;
	l->acceptor->port = tcp_port(fd);
	return l->acceptor->port < 0 ? l->acceptor->port : 0;
}

static int
copy_settings(struct listener *l, const struct listener_settings *from)
{
	struct listener_settings *ls = &l->settings;

	*ls = *from;
	if (ls->tls != NULL)
		SSL_CTX_up_ref(ls->tls);
	ls->endpoint.listener_name = strdup(from->endpoint.listener_name);
	ls->endpoint.host = strdup(from->endpoint.host);
	if (ls->endpoint.listener_name == NULL || ls->endpoint.host == NULL)
		return -ENOMEM;
	if (ls->idle_ms > NEVER_MS)
		ls->idle_ms = NEVER_MS;
	if (ls->handshake_ms > NEVER_MS)
		ls->handshake_ms = NEVER_MS;
	return 0;
}

static void
find_metrics(struct listener *l)
{
	const char *name = l->settings.endpoint.listener_name;
	char labels[256];

	l->open = metrics_get(METRIC_CONNECTIONS, name);
	l->accepted = metrics_get(METRIC_CONNECTIONS_ACCEPTED, name);
	l->delayed = metrics_get(METRIC_CONNECTIONS_DELAYED, name);
	l->bytes_in = metrics_get(METRIC_NET_BYTES_IN, name);
	l->bytes_out = metrics_get(METRIC_NET_BYTES_OUT, name);
	l->requests = metrics_get(METRIC_NET_REQUESTS, name);
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		snprintf(labels, sizeof(labels), "%s,%s", name, reason_names[i]);
		l->closed[i] = metrics_get(METRIC_CONNECTIONS_CLOSED, labels);
	}
	snprintf(labels, sizeof(labels), "%s,full", name);
	l->tls_full = metrics_get(METRIC_TLS_HANDSHAKES, labels);
	snprintf(labels, sizeof(labels), "%s,resumed", name);
	l->tls_resumed = metrics_get(METRIC_TLS_HANDSHAKES, labels);
	snprintf(labels, sizeof(labels), "%s,failed", name);
	l->tls_failed = metrics_get(METRIC_TLS_HANDSHAKES, labels);
}

static void
tell_kernel_tls(void)
{
	static _Atomic bool told;

	if (!atomic_exchange(&told, true))
		diag_info(
		    DIAG_NET,
		    transport_kernel_tls()
			? "the kernel encrypts TLS (kTLS): fetches are sent by sendfile"
			: "this kernel has no TLS of its own (kTLS): OpenSSL encrypts fetches",
		    "");
}

static void
start_accepting(void *arg)
{
	struct acceptor *a = arg;

	a->event = event_new(reactor_base(a->reactor), a->fd, EV_READ | EV_PERSIST, on_accept, a);
	if (a->event == NULL || event_add(a->event, NULL) != 0)
		abort();
}

static int
check_settings(const struct listener_settings *ls, char *err, size_t err_len)
{
	bool tls = security_protocol_is_tls(ls->endpoint.protocol);

	if (security_protocol_is_sasl(ls->endpoint.protocol) &&
	    ls->handler->on_authenticate == NULL) {
		snprintf(err, err_len, "listeners: %s: %s is not served: use PLAINTEXT or SSL",
			 ls->endpoint.listener_name, security_protocol_name(ls->endpoint.protocol));
		return -ENOTSUP;
	}
	assert(tls == (ls->tls != NULL));
	return 0;
}

static int
add_lane(struct listener *l, int index)
{
	struct lane *lane = malloc(sizeof(*lane));

	if (lane == NULL)
		return -ENOMEM;
	lane_init(lane, l, index);
	lane_set_tls(lane, l->settings.tls);
	if (l->last_lane == NULL)
		l->lanes = lane;
	else
		atomic_store(&l->last_lane->next, lane);
	l->last_lane = lane;
	return 0;
}

int
listener_use_reactors(struct listener *l, int count)
{
	int lanes = l->last_lane == NULL ? 0 : l->last_lane->index + 1;
	int st = 0;

	assert(count >= 1);
	for (int i = lanes; st == 0 && i < count; i++)
		st = add_lane(l, i);
	if (st == 0)
		atomic_store(&l->lanes_in_use, count);
	return st;
}

/* Listeners take turns in choosing where they accept. */
static int
open_lanes(struct listener *l)
{
	int in_use = reactors_in_use(l->reactors);
	int st = listener_use_reactors(l, in_use);
	struct lane *lane = l->lanes;

	if (st != 0)
		return st;
	for (unsigned i = atomic_fetch_add(&next_reactor, 1) % (unsigned)in_use; i > 0; i--)
		lane = atomic_load(&lane->next);
	l->acceptor->next_lane = lane;
	l->acceptor->reactor = lane->reactor;
	return 0;
}

static int
join_limits(struct listener *l)
{
	struct listener_share_hooks hooks = {wake, evict, l};
	int st = connection_limits_join(l->settings.limits, l->settings.max_connections,
					l->settings.privileged, &hooks, &l->share);

	if (st == 0)
		listener_share_set_rate(l->share, l->settings.max_connection_rate);
	return st;
}

int
listener_open(struct reactors *rs, const struct listener_settings *settings, char *err,
	      size_t err_len, struct listener **ret_listener)
{
	struct listener *l;
	struct acceptor *a;
	int st;

	err[0] = '\0';
	st = check_settings(settings, err, err_len);
	if (st != 0)
		return st;
	l = calloc(1, sizeof(*l));
	a = calloc(1, sizeof(*a));
	if (l == NULL || a == NULL) {
		free(l);
		free(a);
		return -ENOMEM;
	}
	atomic_store(&l->refs, 1);
	l->reactors = rs;
	l->acceptor = a;
	a->listener = l;
	a->held = a->fd = -1;
	a->told_ip_ms = -NEVER_MS;
	timer_init(&a->retry, on_retry, a);
	st = copy_settings(l, settings);
	if (st == 0)
		st = open_socket(l, err, err_len);
	if (st == 0)
		st = open_lanes(l);
	if (st == 0)
		st = join_limits(l);
	if (st != 0) {
		if (a->fd >= 0)
			close(a->fd);
		listener_unref(l);
		return st;
	}
	find_metrics(l);
	if (l->settings.tls != NULL)
		tell_kernel_tls();
	reactor_call(a->reactor, start_accepting, a);
	*ret_listener = l;
	return 0;
}

/* ---- closing and changing ---- */

static void
stop_accepting(void *arg)
{
	struct acceptor *a = arg;

	if (a->stopped)
		return;
	a->stopped = true;
	event_free(a->event);
	close(a->fd);
	reactor_cancel(a->reactor, &a->retry);
	if (a->held >= 0)
		close(a->held);
	a->held = -1;
}

static void
close_lane(void *arg)
{
	lane_close(arg);
}

void
listener_pause(struct listener *l)
{
	reactor_call(l->acceptor->reactor, stop_accepting, l->acceptor);
}

void
listener_close(struct listener *l)
{
	if (l == NULL)
		return;
	listener_pause(l);
	connection_limits_leave(l->share);
	/* Hand-overs were posted before this, so they are run before it. */
	for (struct lane *lane = l->lanes; lane != NULL; lane = atomic_load(&lane->next))
		reactor_call(lane->reactor, close_lane, lane);
	listener_unref(l);
}

const char *
listener_name(const struct listener *l)
{
	return l->settings.endpoint.listener_name;
}

int
listener_port(const struct listener *l)
{
	return l->acceptor->port;
}

int
listener_connection_count(struct listener *l)
{
	return listener_share_count(l->share);
}

struct tls_change {
	struct lane *lane;
	SSL_CTX *tls;
};

static void
change_tls(void *arg)
{
	struct tls_change *c = arg;

	lane_set_tls(c->lane, c->tls);
}

void
listener_set_tls(struct listener *l, SSL_CTX *tls)
{
	SSL_CTX_up_ref(tls);
	SSL_CTX_free(l->settings.tls);
	l->settings.tls = tls;
	for (struct lane *lane = l->lanes; lane != NULL; lane = atomic_load(&lane->next)) {
		struct tls_change change = {lane, tls};

		reactor_call(lane->reactor, change_tls, &change);
	}
}

void
listener_set_max_connections(struct listener *l, int max_connections)
{
	listener_share_set_max(l->share, max_connections);
}

void
listener_set_max_connection_rate(struct listener *l, int max_per_second)
{
	listener_share_set_rate(l->share, max_per_second);
}
