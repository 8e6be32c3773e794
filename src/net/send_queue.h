/*
 * send_queue.h - frames that wait to be written to a transport, in order.
 *
 * Each frame gets its 4-byte size in front. Parts in memory, of as many frames as there are, go
 * out by one sendmsg; ranges of files by sendfile. Under TLS both are put together in a buffer
 * first, unless the kernel encrypts.
 *
 * Threads  one reactor.
 */
#ifndef KLAMM_NET_SEND_QUEUE_H
#define KLAMM_NET_SEND_QUEUE_H

#include "net/reply.h"

struct transport;
struct reactor_io;

/* Embedded in what is sent; the queue owns the reply from send_queue_add() on. */
struct send_item {
	struct send_item *next;
	struct net_reply reply;
	uint32_t part;     /* the first that is not sent whole */
	uint8_t size[4];   /* what goes in front */
	uint8_t size_sent; /* bytes of it */
	size_t part_sent;  /* bytes of that part */
};

struct send_queue {
	struct send_item *first, **last;
	size_t bytes; /* still to send */
	/* Called when an item was sent whole, or dropped; its reply is released already. */
	void (*done)(struct send_queue *q, struct send_item *item, bool sent);
};

void send_queue_init(struct send_queue *q,
		     void (*done)(struct send_queue *q, struct send_item *item, bool sent));
/* item->reply holds what to send; released when it was sent or dropped. */
void send_queue_add(struct send_queue *q, struct send_item *item);
/* Drops whatever is left. */
void send_queue_fini(struct send_queue *q);

/*
 * Writes until the queue is empty (0), the socket is full (-EAGAIN), or about budget bytes went
 * out (-EINPROGRESS: call again after the others had their turn). Other -errno: the connection is
 * lost; -ENODATA: a file was shorter than its part. ret_sent: bytes written, in every case.
 */
MUST_CHECK int send_queue_flush(struct send_queue *q, struct transport *t, struct reactor_io *io,
				size_t budget, size_t *ret_sent);

#endif
