#include "net/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Tries one address. Returns a listening socket or -errno. */
static int
listen_on(const struct tcp_listen *tl, const struct sockaddr *addr, socklen_t len, int v6_only)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, st;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
	/* Accepted sockets inherit it, and only before listen() it can widen the TCP window. */
	if (tl->receive_buffer_bytes >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &tl->receive_buffer_bytes,
			   sizeof(tl->receive_buffer_bytes));
	if (bind(fd, addr, len) == 0 && listen(fd, tl->backlog) == 0)
		return fd;
	st = -errno;
	close(fd);
	return st;
}

static int
listen_anywhere(const struct tcp_listen *tl)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	int fd;

	v6.sin6_port = v4.sin_port = htons((uint16_t)tl->port);
	fd = listen_on(tl, (struct sockaddr *)&v6, sizeof(v6), 0);
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_on(tl, (struct sockaddr *)&v4, sizeof(v4), 0);
	return fd;
}

int
tcp_listen(const struct tcp_listen *tl, char *reason, size_t reason_len)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list;
	char port[8];
	int fd = -EADDRNOTAVAIL, st;

	reason[0] = '\0';
	if (tl->host[0] == '\0')
		return listen_anywhere(tl);
	snprintf(port, sizeof(port), "%u", (unsigned)(uint16_t)tl->port);
	st = getaddrinfo(tl->host, port, &hints, &list);
	if (st != 0) {
		snprintf(reason, reason_len, "the host '%s' is not known: %s", tl->host,
			 gai_strerror(st));
		return -EADDRNOTAVAIL;
	}
	for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
		fd = listen_on(tl, a->ai_addr, a->ai_addrlen, tl->v6_only);
	freeaddrinfo(list);
	return fd;
}

int
tcp_port(int fd)
{
	struct sockaddr_in6 addr = {0};
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
		return -errno;
	return ntohs(addr.sin6_port); /* at the same place for IPv4 */
}

void
tcp_set_options(int fd, int send_buffer_bytes, int receive_buffer_bytes)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (send_buffer_bytes >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes,
			   sizeof(send_buffer_bytes));
	if (receive_buffer_bytes >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
			   sizeof(receive_buffer_bytes));
}
