#include "net/lane.h"

#include <openssl/ssl.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/connection_impl.h"

static void
ring_init(struct link *ring)
{
	ring->next = ring->prev = ring;
}

static void
ring_remove(struct link *link)
{
	if (link->next == NULL)
		return;
	link->next->prev = link->prev;
	link->prev->next = link->next;
	link->next = link->prev = NULL;
}

static void
ring_append(struct link *ring, struct link *link)
{
	link->next = ring;
	link->prev = ring->prev;
	link->prev->next = link;
	ring->prev = link;
}

static struct connection *
ring_first(struct link *ring)
{
	return ring->next == ring ? NULL : CONTAINER_OF(ring->next, struct connection, link);
}

static void
fold(struct reactor_task *task)
{
	struct lane *lane = CONTAINER_OF(task, struct lane, fold);

	metric_add(lane->listener->bytes_in, lane->bytes_in);
	metric_add(lane->listener->bytes_out, lane->bytes_out);
	metric_add(lane->listener->requests, lane->requests);
	lane->bytes_in = lane->bytes_out = lane->requests = 0;
}

void
lane_count(struct lane *lane, size_t bytes_in, size_t bytes_out, size_t requests)
{
	lane->bytes_in += (int64_t)bytes_in;
	lane->bytes_out += (int64_t)bytes_out;
	lane->requests += (int64_t)requests;
	if (!lane->closed)
		reactor_defer(lane->reactor, &lane->fold);
}

/* Whether the peer is what we wait for: a request that the handler holds is not idle. */
static bool
waits_for_peer(const struct connection *conn)
{
	return conn->current == NULL && !conn->waiting && !conn->grant_pending;
}

static void
close_idle(struct timer *timer, void *arg)
{
	struct lane *lane = arg;
	int64_t now_ms = reactor_now_ms(lane->reactor);
	int64_t idle_ms = lane->listener->settings.idle_ms;
	struct connection *conn;

	while ((conn = ring_first(&lane->active)) != NULL && conn->active_ms + idle_ms <= now_ms) {
		if (waits_for_peer(conn)) {
			connection_close(conn, CLOSE_IDLE);
			connection_settle(conn);
		} else {
			lane_touch(lane, conn);
		}
	}
	if (conn != NULL)
		reactor_arm(lane->reactor, timer, conn->active_ms + idle_ms);
}

static void
close_slow_handshakes(struct timer *timer, void *arg)
{
	struct lane *lane = arg;
	int64_t now_ms = reactor_now_ms(lane->reactor);
	int64_t limit_ms = lane->listener->settings.handshake_ms;
	struct connection *conn;

	while ((conn = ring_first(&lane->handshaking)) != NULL &&
	       conn->active_ms + limit_ms <= now_ms) {
		connection_close(conn, CLOSE_HANDSHAKE_TIMEOUT);
		connection_settle(conn);
	}
	if (conn != NULL)
		reactor_arm(lane->reactor, timer, conn->active_ms + limit_ms);
}

void
lane_init(struct lane *lane, struct listener *l, int index)
{
	struct reactor *r = reactors_get(l->reactors, index);

	*lane = (struct lane){.listener = l, .index = index, .reactor = r, .io = reactor_io(r)};
	ring_init(&lane->active);
	ring_init(&lane->handshaking);
	timer_init(&lane->idle, close_idle, lane);
	timer_init(&lane->handshake, close_slow_handshakes, lane);
	lane->fold.fn = fold;
}

void
lane_set_tls(struct lane *lane, SSL_CTX *tls)
{
	if (tls != NULL)
		SSL_CTX_up_ref(tls);
	SSL_CTX_free(lane->tls);
	lane->tls = tls;
}

void
lane_adopt(struct lane *lane, int fd, const union net_address *peer)
{
	if (!lane->closed) {
		connection_open(lane, fd, peer);
		return;
	}
	close(fd);
	atomic_fetch_sub(&lane->load, 1);
	connection_limits_give_back(lane->listener->share, &peer->any);
}

static void
close_ring(struct link *ring)
{
	struct connection *conn;

	while ((conn = ring_first(ring)) != NULL) {
		connection_close(conn, CLOSE_SHUTDOWN);
		connection_settle(conn);
	}
}

void
lane_close(struct lane *lane)
{
	lane->closed = true;
	close_ring(&lane->handshaking);
	close_ring(&lane->active);
	reactor_cancel(lane->reactor, &lane->idle);
	reactor_cancel(lane->reactor, &lane->handshake);
	reactor_defer_cancel(&lane->fold);
	fold(&lane->fold);
}

void
lane_evict(struct lane *lane)
{
	struct connection *victim = NULL;

	for (struct link *link = lane->active.next; link != &lane->active; link = link->next) {
		struct connection *conn = CONTAINER_OF(link, struct connection, link);

		if (victim == NULL)
			victim = conn;
		if (waits_for_peer(conn)) {
			victim = conn;
			break;
		}
	}
	if (victim == NULL)
		victim = ring_first(&lane->handshaking);
	if (victim == NULL)
		return;
	connection_close(victim, CLOSE_EVICTED);
	connection_settle(victim);
}

void
lane_touch(struct lane *lane, struct connection *conn)
{
	int64_t idle_ms = lane->listener->settings.idle_ms;

	conn->active_ms = reactor_now_ms(lane->reactor);
	ring_remove(&conn->link);
	ring_append(&lane->active, &conn->link);
	if (idle_ms >= 0 && !timer_armed(&lane->idle))
		reactor_arm(lane->reactor, &lane->idle, conn->active_ms + idle_ms);
}

void
lane_add_handshaking(struct lane *lane, struct connection *conn)
{
	int64_t limit_ms = lane->listener->settings.handshake_ms;

	conn->active_ms = reactor_now_ms(lane->reactor);
	ring_append(&lane->handshaking, &conn->link);
	if (!timer_armed(&lane->handshake))
		reactor_arm(lane->reactor, &lane->handshake, conn->active_ms + limit_ms);
}

void
lane_remove(struct connection *conn)
{
	ring_remove(&conn->link);
}
