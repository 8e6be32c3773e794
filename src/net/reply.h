/*
 * reply.h - an answer on its way to a socket: bytes in memory and ranges of files, in order.
 *
 * The 4-byte size in front of a frame is written by net, and a reply starts with the correlation
 * id, unless has_size says that the reply brings its size along.
 * Whoever answers builds a struct net_reply, then hands it to net_request_answer(), which takes
 * everything out of it. What was added is released exactly once, on the connection's reactor when
 * it was sent or the connection is gone, or by net_reply_fini().
 *
 * Threads  one at a time; release functions run on whatever thread releases the reply.
 */
#ifndef KLAMM_NET_REPLY_H
#define KLAMM_NET_REPLY_H

#include <sys/types.h>

#include "base/bytes.h"

#define NET_REPLY_INLINE 3

typedef void net_release_fn(void *arg);

struct net_part {
	uint8_t *data; /* NULL: a file range */
	size_t len;
	off_t pos; /* in the file */
	int fd;
	net_release_fn *release; /* NULL: data is freed with free() */
	void *arg;
};

struct net_reply {
	struct net_part *parts; /* NULL: first[] holds them */
	struct net_part first[NET_REPLY_INLINE];
	uint32_t count, cap;
	size_t len;  /* of all parts */
	bool failed; /* memory ran out: answering closes the connection */
	/* The first four bytes are the frame's size already: net puts none in front. */
	bool has_size;
	/* How long the connection is not read after this answer (a quota was exceeded); 0: none. */
	int32_t throttle_time_ms;
};

/* Zero-initialised is an empty reply as well. */
void net_reply_init(struct net_reply *reply);
/* Releases all parts. */
void net_reply_fini(struct net_reply *reply);
/* Takes over b's memory and leaves b empty. b->failed makes the reply failed. */
void net_reply_add_buf(struct net_reply *reply, struct buf *b);
/* Bytes that stay unchanged until release(arg). release must not be NULL. */
void net_reply_add_bytes(struct net_reply *reply, struct slice bytes, net_release_fn *release,
			 void *arg);
/*
 * len bytes of fd from pos; the file must stay open, and that long, until release(arg). When it is
 * shorter after all, the connection is closed with one line. release may be NULL.
 */
void net_reply_add_file(struct net_reply *reply, int fd, off_t pos, size_t len,
			net_release_fn *release, void *arg);

#endif
