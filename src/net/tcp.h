/*
 * tcp.h - TCP sockets: listening ones and their options.
 *
 * Threads  any. A host name is looked up during the call, which may block.
 */
#ifndef KLAMM_NET_TCP_H
#define KLAMM_NET_TCP_H

#include "base/bytes.h"

struct tcp_listen {
	const char *host; /* "": every interface, IPv6 and IPv4 where the machine has both */
	int port;         /* 0: the kernel chooses */
	bool v6_only;     /* an IPv6 address leaves IPv4 alone */
	int backlog;
	int receive_buffer_bytes; /* inherited by what is accepted; -1: the system's */
};

/*
 * A non-blocking socket that listens. Returns a descriptor or -errno; where the host is not known,
 * reason (may stay empty) says so.
 */
MUST_CHECK int tcp_listen(const struct tcp_listen *tl, char *reason, size_t reason_len);
/* The port that fd is bound to, or -errno. */
int tcp_port(int fd);
/* TCP_NODELAY, keep-alive, buffer sizes (-1: the system's). */
void tcp_set_options(int fd, int send_buffer_bytes, int receive_buffer_bytes);

#endif
