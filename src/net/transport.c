/*
 * OpenSSL works on the socket itself. With read-ahead it takes as much from the socket as its
 * buffer holds, and a callback on its BIO notes whether the socket gave less than asked for: then
 * it is drained, and the recv() that would only say EAGAIN is saved.
 *
 * SIGPIPE: sendmsg() is told not to raise it; OpenSSL's write() and sendfile() can, so it is
 * blocked on the threads of reactors.
 */
#include "net/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define POLITE_DRAIN_BYTES 262144

void
transport_init(struct transport *t, int fd)
{
	*t = (struct transport){.fd = fd, .writable = true};
}

/* Called around each read of the socket by OpenSSL. */
static long
watch_bio(BIO *bio, int oper, const char *argp, size_t len, int argi, long argl, int ret,
	  size_t *processed)
{
	struct transport *t = (struct transport *)(void *)BIO_get_callback_arg(bio);

	(void)argp, (void)argi, (void)argl;
	if (oper == (BIO_CB_READ | BIO_CB_RETURN))
		t->drained = ret <= 0 || *processed < len;
	return ret;
}

static int
check_server_name(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char addr[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ? 0 : -ENOMEM;
	return SSL_set1_host(ssl, host) == 1 ? 0 : -ENOMEM;
}

static int
set_client(SSL *ssl, const char *host, bool verify_host)
{
	unsigned char addr[sizeof(struct in6_addr)];

	SSL_set_connect_state(ssl);
	if (host == NULL)
		return verify_host ? -EINVAL : 0;
	/* Addresses are not allowed in server_name. */
	if (inet_pton(AF_INET, host, addr) != 1 && inet_pton(AF_INET6, host, addr) != 1 &&
	    SSL_set_tlsext_host_name(ssl, host) != 1)
		return -ENOMEM;
	return verify_host ? check_server_name(ssl, host) : 0;
}

int
transport_start_tls(struct transport *t, SSL_CTX *ctx, bool server, const char *host,
		    bool verify_host)
{
	int st = -ENOMEM;

	ERR_clear_error();
	t->ssl = SSL_new(ctx);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1)
		goto fail;
	SSL_set_options(t->ssl, SSL_OP_ENABLE_KTLS | SSL_OP_IGNORE_UNEXPECTED_EOF |
				    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_read_ahead(t->ssl, 1);
	BIO_set_callback_ex(SSL_get_rbio(t->ssl), watch_bio);
	BIO_set_callback_arg(SSL_get_rbio(t->ssl), (char *)t);
	if (server) {
		SSL_set_accept_state(t->ssl);
		return 0;
	}
	st = set_client(t->ssl, host, verify_host);
	if (st == 0)
		return 0;
fail:
	SSL_free(t->ssl);
	t->ssl = NULL;
	return st;
}

/* Turns what OpenSSL says about a call that returned ret into our status. */
static int
tls_status(struct transport *t, int ret)
{
	int saved = errno;
	unsigned long code;
	long verify;

	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		t->readable = t->short_read = false;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->writable = false;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		t->broken = true;
		return saved != 0 && ERR_peek_error() == 0 ? -saved : -ECONNRESET;
	default:
		t->broken = true;
		verify = SSL_get_verify_result(t->ssl);
		code = ERR_peek_last_error();
		t->error = ERR_reason_error_string(code);
		if (verify != X509_V_OK && SSL_in_init(t->ssl))
			t->error = X509_verify_cert_error_string(verify);
		if (t->error == NULL)
			t->error = "TLS error";
		ERR_clear_error();
		return -EPROTO;
	}
}

int
transport_handshake(struct transport *t)
{
	int ret, st;

	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(t->ssl);
	if (ret == 1) {
		t->tls_up = true;
		t->ktls = BIO_get_ktls_send(SSL_get_wbio(t->ssl)) != 0;
		return 0;
	}
	st = tls_status(t, ret);
	if (st == 0) {
		t->broken = true;
		return -ECONNRESET;
	}
	return st;
}

static void
drain(int fd)
{
	char away[4096];
	ssize_t n;
	size_t total = 0;

	do {
		n = recv(fd, away, sizeof(away), MSG_DONTWAIT);
		if (n > 0)
			total += (size_t)n;
	} while (n > 0 && total < POLITE_DRAIN_BYTES);
}

void
transport_close(struct transport *t, bool polite)
{
	if (t->fd < 0)
		return;
	if (t->ssl != NULL) {
		ERR_clear_error();
		if (t->tls_up && !t->broken)
			SSL_shutdown(t->ssl);
		SSL_free(t->ssl);
		ERR_clear_error();
		t->ssl = NULL;
	}
	if (polite) {
		shutdown(t->fd, SHUT_WR);
		drain(t->fd);
	}
	close(t->fd);
	t->fd = -1;
}

int
transport_check(struct transport *t)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!t->short_read)
		return 0;
	t->short_read = false;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return -errno;
	return -error;
}

static ssize_t
read_tls(struct transport *t, void *data, size_t len)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_read(t->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len);
	if (ret <= 0)
		return tls_status(t, ret);
	if (t->drained && !t->peer_closed && SSL_has_pending(t->ssl) == 0) {
		t->readable = false;
		t->short_read = true;
	}
	return ret;
}

ssize_t
transport_read(struct transport *t, void *data, size_t len)
{
	ssize_t n;

	if (t->ssl != NULL)
		return read_tls(t, data, len);
	do
		n = recv(t->fd, data, len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			t->readable = t->short_read = false;
		return -errno;
	}
	if ((size_t)n < len && !t->peer_closed) {
		t->readable = false;
		t->short_read = true;
	}
	return n;
}

ssize_t
transport_writev(struct transport *t, struct iovec *iov, size_t count, bool more)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	do
		n = sendmsg(t->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			t->writable = false;
		return -errno;
	}
	t->short_read = false;
	return n;
}

ssize_t
transport_write(struct transport *t, const void *data, size_t len)
{
	int ret, st;

	ERR_clear_error();
	errno = 0;
	ret = SSL_write(t->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len);
	if (ret > 0) {
		t->short_read = false;
		return ret;
	}
	st = tls_status(t, ret);
	return st == 0 ? -ECONNRESET : st;
}

static ssize_t
sendfile_tls(struct transport *t, int fd, off_t pos, size_t len)
{
	ossl_ssize_t n;
	int st;

	ERR_clear_error();
	errno = 0;
	n = SSL_sendfile(t->ssl, fd, pos, len, 0);
	if (n >= 0)
		return n;
	st = tls_status(t, (int)n);
	return st == 0 ? -ECONNRESET : st;
}

ssize_t
transport_sendfile(struct transport *t, int fd, off_t pos, size_t len)
{
	ssize_t n;

	if (t->ssl != NULL)
		return sendfile_tls(t, fd, pos, len);
	do
		n = sendfile(t->fd, fd, &pos, len);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			t->writable = false;
		return -errno;
	}
	t->short_read = false;
	return n;
}

const char *
transport_error(const struct transport *t, int st)
{
	if (st == -EPROTO && t->error != NULL)
		return t->error;
	return strerrordesc_np(-st);
}

bool
transport_kernel_tls(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return false;
	/* Without the module: ENOENT. With it: it wants a connected socket. */
	found =
	    setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 || errno == ENOTCONN;
	close(fd);
	return found;
}
