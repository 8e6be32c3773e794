/*
 * connection_impl.h - what the files of a connection share: connection.c (its life and what may
 * be asked of it), connection_io.c (frames in, answers out), lane.c (idle ones).
 */
#ifndef KLAMM_NET_CONNECTION_IMPL_H
#define KLAMM_NET_CONNECTION_IMPL_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "net/connection.h"
#include "net/lane.h"
#include "net/request.h"
#include "net/send_queue.h"
#include "net/transport.h"

enum request_end { REQUEST_OPEN, REQUEST_ANSWERED, REQUEST_DONE, REQUEST_CLOSE };

/* A request and, where the frame is small, its bytes behind it in the same block. */
struct request {
	struct net_request pub;
	struct send_item item;
	size_t block_cap;
	uint8_t *body; /* the frame's own block, NULL when it lies behind this struct */
	size_t body_cap;
	size_t reserved;      /* of the request memory */
	size_t have;          /* bytes received */
	enum request_end end; /* written by whoever ends it */
	bool ended;           /* the reactor knows */
	bool told_closed;
};

struct connection {
	struct transport t;
	struct event event;
	struct lane *lane;
	struct link link;  /* in its lane */
	int64_t active_ms; /* last time bytes moved; accept time during the handshake */
	struct reactor_task task;
	struct timer unmute; /* a throttle ends; a refused connection is closed */
	struct send_queue out;
	struct request *reading; /* whose frame is being received */
	struct request *current; /* the handler has it */
	struct request_memory_wait wait;
	uint8_t *held; /* read, but behind a request that waits */
	uint32_t held_pos, held_len;
	uint32_t wanted; /* size of the frame that waits for memory */
	uint8_t size[4];
	uint8_t size_have;
	bool large;       /* the last frame was: read exactly */
	bool first_frame; /* none has come yet */
	bool handshaking;
	bool looked; /* at the first byte before a TLS handshake */
	bool in_handler;
	bool muted;         /* throttled */
	bool waiting;       /* for memory, in the queue */
	bool grant_pending; /* out of the queue, the message is on its way */
	bool closing;       /* when everything was sent */
	enum close_reason closing_reason;
	bool refused; /* failed to authenticate, waits to be closed; nothing else happens to it */
	bool closed;
	bool authenticated;
	uint64_t id;
	union net_address peer;
	char *principal; /* NULL: User:ANONYMOUS */
	char *software_name, *software_version;
	void *user;
	void (*free_user)(void *user);
	char host[49]; /* with its slash */
};

void connection_open(struct lane *lane, int fd, const union net_address *peer);
/* Ends it, but for a request that waits; freed by connection_settle(). */
void connection_close(struct connection *conn, enum close_reason reason);
/* The same after connection.failed.authentication.delay.ms, for a peer that failed to authenticate.
 */
void connection_refuse(struct connection *conn, enum close_reason reason);
/* The last thing each entry point does: frees the connection when nothing refers to it. */
void connection_settle(struct connection *conn);

/* connection_io.c: everything that can be done now. */
void connection_turn(struct connection *conn);
void connection_task(struct reactor_task *task);
void connection_unmute(struct timer *timer, void *arg);
void connection_granted(struct request_memory_wait *wait);
void connection_sent(struct send_queue *q, struct send_item *item, bool sent);
void request_free(struct connection *conn, struct request *req);

#endif
