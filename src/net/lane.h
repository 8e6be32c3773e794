/*
 * lane.h - the connections of one listener on one reactor.
 *
 * Keeps them in the order of their last activity, so that one timer closes what is idle, and
 * counts for the metrics, which are brought up to date once per turn of the loop.
 *
 * Threads  the reactor's, except `next`, `index` and `load`.
 */
#ifndef KLAMM_NET_LANE_H
#define KLAMM_NET_LANE_H

#include <stdatomic.h>
#include <netinet/in.h>

#include "net/listener.h"
#include "net/reactor_io.h"

struct connection;

union net_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A ring; an element that is in none has next NULL. */
struct link {
	struct link *next, *prev;
};

struct lane {
	_Atomic(struct lane *) next; /* on the next reactor; NULL: none yet */
	int index;                   /* the reactor's */
	struct listener *listener;
	struct reactor *reactor;
	struct reactor_io *io;
	struct ssl_ctx_st *tls;  /* for new connections; counted */
	struct link active;      /* least recently active first */
	struct link handshaking; /* in the order of accepting */
	struct timer idle;
	struct timer handshake;
	_Atomic int load; /* connections here, and on their way here */
	bool closed;
	struct reactor_task fold; /* brings what follows into the metrics */
	int64_t bytes_in, bytes_out, requests;
};

enum close_reason {
	CLOSE_PEER,
	CLOSE_ERROR,
	CLOSE_IDLE,
	CLOSE_BAD_FRAME,
	CLOSE_HANDLER,
	CLOSE_TLS,
	CLOSE_HANDSHAKE_TIMEOUT,
	CLOSE_WRONG_PROTOCOL,
	CLOSE_AUTHENTICATION,
	CLOSE_EVICTED,
	CLOSE_IP_LIMIT,
	CLOSE_MEMORY,
	CLOSE_SHUTDOWN,
	CLOSE_REASON_COUNT
};

/*
 * What the lanes of a listener share; read-only once open, but for the counts and for what changes
 * with the reactors in use. The lanes are a list that is only appended to, by the thread that opens
 * and closes: they do not move, connections point to them. lanes_in_use is raised after it has
 * grown, so whoever has seen the number may walk so far without a lock.
 */
struct listener {
	struct listener_settings settings; /* its texts are owned; tls: for new lanes, counted */
	struct reactors *reactors;
	struct lane *lanes;       /* the first; fixed once open */
	struct lane *last_lane;   /* the opening thread's */
	_Atomic int lanes_in_use; /* the first so many take new connections */
	_Atomic int refs;         /* its owner, its connections, messages on their way */
	struct listener_share *share;
	struct metric *open, *accepted, *delayed, *closed[CLOSE_REASON_COUNT];
	struct metric *bytes_in, *bytes_out, *requests;
	struct metric *tls_full, *tls_resumed, *tls_failed;
	struct acceptor *acceptor;
};

void listener_ref(struct listener *l);
void listener_unref(struct listener *l);

/* On the index-th reactor of the listener's. */
void lane_init(struct lane *lane, struct listener *l, int index);
/* Counts tls up. */
void lane_set_tls(struct lane *lane, struct ssl_ctx_st *tls);
/* Takes over an accepted, counted socket. */
void lane_adopt(struct lane *lane, int fd, const union net_address *peer);
/* Closes all connections; later ones are closed at once. */
void lane_close(struct lane *lane);
/* Closes the connection that was idle longest, preferably one that waits for no answer. */
void lane_evict(struct lane *lane);

/* Called by connections. */
void lane_touch(struct lane *lane, struct connection *conn);
void lane_add_handshaking(struct lane *lane, struct connection *conn);
void lane_remove(struct connection *conn);
void lane_count(struct lane *lane, size_t bytes_in, size_t bytes_out, size_t requests);

#endif
