/*
 * connector.h - makes one outgoing TCP connection: looks the name up, tries its addresses in turn.
 *
 * Threads  the reactor's.
 */
#ifndef KLAMM_NET_CONNECTOR_H
#define KLAMM_NET_CONNECTOR_H

#include "base/workers.h"
#include "net/reactor.h"

struct connector;

struct connector_settings {
	const char *host; /* borrowed until done() */
	int port;
	struct workers *workers; /* NULL: names are looked up on the reactor's thread */
	int send_buffer_bytes, receive_buffer_bytes; /* -1: the system's */
	/* fd is connected and the callee's, or a -errno. Never from inside connector_open(). */
	void (*done)(void *arg, int fd);
	void *arg;
};

/* Returns 0 or -ENOMEM. The connector frees itself after done(). */
MUST_CHECK int connector_open(struct reactor *r, const struct connector_settings *settings,
			      struct connector **ret_connector);
/* Gives up: done() is not called. Accepts NULL. */
void connector_cancel(struct connector *c);

#endif
