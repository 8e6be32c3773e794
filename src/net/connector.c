/*
 * The lookup runs on a worker with a copy of all it needs; a connector that was cancelled meanwhile
 * is freed when the lookup comes back.
 */
#include "net/connector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp.h"

struct connector {
	struct reactor *reactor;
	struct connector_settings settings;
	char *host; /* the lookup's copy */
	struct addrinfo *addresses, *next;
	struct event *event; /* waits for the connection */
	int fd;
	int status; /* of the lookup, then of the last attempt */
	bool looking_up;
	bool cancelled;
	struct reactor_task task; /* the first step */
};

static void
connector_free(struct connector *c)
{
	reactor_defer_cancel(&c->task);
	if (c->event != NULL)
		event_free(c->event);
	if (c->fd >= 0)
		close(c->fd);
	if (c->addresses != NULL)
		freeaddrinfo(c->addresses);
	free(c->host);
	free(c);
}

static void
finish(struct connector *c, int fd)
{
	struct connector_settings settings = c->settings;

	if (fd >= 0)
		c->fd = -1;
	connector_free(c);
	settings.done(settings.arg, fd);
}

static void try_next(struct connector *c);

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connector *c = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)what;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	event_free(c->event);
	c->event = NULL;
	if (error == 0) {
		finish(c, c->fd);
		return;
	}
	c->status = -error;
	close(c->fd);
	c->fd = -1;
	try_next(c);
}

/* Begins to connect to one address. Returns 0 or -errno. */
static int
begin(struct connector *c, const struct addrinfo *a)
{
	int st;

	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	tcp_set_options(c->fd, c->settings.send_buffer_bytes, c->settings.receive_buffer_bytes);
	st = connect(c->fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : -errno;
	if (st == 0 || st == -EINPROGRESS) {
		c->event = event_new(reactor_base(c->reactor), c->fd, EV_WRITE, on_writable, c);
		st = c->event != NULL && event_add(c->event, NULL) == 0 ? 0 : -ENOMEM;
	}
	if (st != 0) {
		close(c->fd);
		c->fd = -1;
	}
	return st;
}

static void
try_next(struct connector *c)
{
	while (c->next != NULL) {
		struct addrinfo *a = c->next;

		c->next = a->ai_next;
		c->status = begin(c, a);
		if (c->status == 0)
			return;
	}
	finish(c, c->status);
}

static int
status_of_lookup(int error)
{
	switch (error) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return -errno;
	default:
		return -EHOSTUNREACH;
	}
}

static void
look_up(struct connector *c, int flags)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)(uint16_t)c->settings.port);
	c->status = status_of_lookup(getaddrinfo(c->host, port, &hints, &c->addresses));
	c->next = c->addresses;
}

static void
looked_up(void *arg)
{
	struct connector *c = arg;

	c->looking_up = false;
	if (c->cancelled)
		connector_free(c);
	else if (c->status != 0)
		finish(c, c->status);
	else
		try_next(c);
}

static void
look_up_on_worker(void *arg)
{
	struct connector *c = arg;

	look_up(c, 0);
	reactor_post(c->reactor, looked_up, c);
}

static void
first_step(struct reactor_task *task)
{
	struct connector *c = CONTAINER_OF(task, struct connector, task);
	struct in6_addr addr;
	bool numeric =
	    inet_pton(AF_INET, c->host, &addr) == 1 || inet_pton(AF_INET6, c->host, &addr) == 1;

	if (!numeric && c->settings.workers != NULL) {
		c->looking_up = true;
		workers_submit(c->settings.workers, look_up_on_worker, c);
		return;
	}
	look_up(c, numeric ? AI_NUMERICHOST : 0);
	looked_up(c);
}

int
connector_open(struct reactor *r, const struct connector_settings *settings,
	       struct connector **ret_connector)
{
	struct connector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->reactor = r;
	c->settings = *settings;
	c->fd = -1;
	c->task.fn = first_step;
	c->host = strdup(settings->host);
	if (c->host == NULL) {
		free(c);
		return -ENOMEM;
	}
	reactor_defer(r, &c->task);
	*ret_connector = c;
	return 0;
}

void
connector_cancel(struct connector *c)
{
	if (c == NULL)
		return;
	if (c->looking_up)
		c->cancelled = true;
	else
		connector_free(c);
}
