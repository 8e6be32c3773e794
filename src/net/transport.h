/*
 * transport.h - a non-blocking byte stream: a TCP socket, with TLS or without.
 *
 * Readiness is edge-triggered: the owner registers the socket once and sets readable and writable
 * when the loop says so; the calls here clear them when the socket is drained or full.
 *
 * Errors   a count > 0, 0 at the end of the stream (reads), -EAGAIN when the loop must be waited
 *          for, -EPROTO when TLS failed (transport_error() says why), or -errno.
 * Threads  one reactor.
 */
#ifndef KLAMM_NET_TRANSPORT_H
#define KLAMM_NET_TRANSPORT_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/bytes.h"

struct ssl_st;
struct ssl_ctx_st;

struct transport {
	int fd;
	struct ssl_st *ssl; /* NULL: plaintext */
	bool readable;      /* there may be something to read */
	bool writable;      /* there may be room to write */
	bool peer_closed;   /* the peer will send nothing more: a short read tells nothing */
	bool short_read;    /* why readable is false: see transport_check() */
	bool tls_up;        /* the handshake is done */
	bool ktls;          /* the kernel encrypts what is sent */
	bool broken;        /* TLS failed: say no goodbye */
	bool drained;       /* TLS: the socket gave less than was asked for */
	const char *error;  /* of the last -EPROTO; a static text */
};

/* fd is non-blocking and belongs to the transport from now on. */
void transport_init(struct transport *t, int fd);
/*
 * Turns it into a TLS endpoint whose handshake is still to do. host (clients): the name sent to
 * the server; verify_host: it must match the certificate. Returns 0 or -ENOMEM, -EINVAL.
 */
MUST_CHECK int transport_start_tls(struct transport *t, struct ssl_ctx_st *ctx, bool server,
				   const char *host, bool verify_host);
/* 0 when done; -EAGAIN; -EPROTO; -ECONNRESET when the peer went away. */
MUST_CHECK int transport_handshake(struct transport *t);
/* Says goodbye (TLS) and closes. polite: reads away what came in, so that no reset is sent. */
void transport_close(struct transport *t, bool polite);

/*
 * To be called before the owner waits for the loop. A reset that came together with the last bytes
 * shows in no further event (libevent reports it like data, and a short read took it for drained),
 * unless something was written since. Returns 0, or -errno when the connection is dead.
 */
MUST_CHECK int transport_check(struct transport *t);

/* Reads at most len (> 0) bytes. */
ssize_t transport_read(struct transport *t, void *data, size_t len);
/* Plaintext only: one sendmsg. more: something follows at once. */
ssize_t transport_writev(struct transport *t, struct iovec *iov, size_t count, bool more);
/* TLS only. After -EAGAIN the same bytes must come again, or more of them. */
ssize_t transport_write(struct transport *t, const void *data, size_t len);
/* Plaintext, or TLS by the kernel. 0: the file ended. */
ssize_t transport_sendfile(struct transport *t, int fd, off_t pos, size_t len);

/* Why the last call failed with st, for a log line. */
const char *transport_error(const struct transport *t, int st);

/* Whether this kernel can encrypt TLS itself. */
bool transport_kernel_tls(void);

#endif
