#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"

static int64_t
fixture_monotonic(struct env *env)
{
	struct fixture *f = CONTAINER_OF(env, struct fixture, env);

	return env_monotonic_us(env_system()) + atomic_load(&f->skipped_us);
}

static struct env_ops fixture_ops;

static void
count_release(void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
}

void
fixture_echo(struct net_request *req, int32_t throttle_time_ms)
{
	struct net_reply reply;
	struct buf b = {0};

	net_reply_init(&reply);
	buf_append(&b, req->bytes, req->len);
	net_reply_add_buf(&reply, &b);
	reply.throttle_time_ms = throttle_time_ms;
	net_request_answer(req, &reply);
}

static void
echo_elsewhere(void *arg)
{
	fixture_echo(arg, 0);
}

static void
answer_file(struct fixture *f, struct net_request *req)
{
	struct net_reply reply;

	net_reply_init(&reply);
	net_reply_add_bytes(&reply, (struct slice){(const uint8_t *)"file:", 5}, count_release,
			    &f->released);
	net_reply_add_file(&reply, f->file_fd, f->file_pos, f->file_len, count_release,
			   &f->released);
	net_request_answer(req, &reply);
}

static void
park(struct fixture *f, struct net_request *req)
{
	pthread_mutex_lock(&f->mutex);
	assert_true(f->parked_count < FIXTURE_PARKED_MAX);
	f->parked[f->parked_count++] = req;
	pthread_mutex_unlock(&f->mutex);
}

static void
note_used(struct fixture *f)
{
	int64_t used = request_memory_used(f->memory), largest = atomic_load(&f->largest_used);

	while (used > largest && !atomic_compare_exchange_weak(&f->largest_used, &largest, used))
		;
}

static void
on_request(void *arg, struct net_request *req)
{
	struct fixture *f = arg;

	atomic_fetch_add(&f->requests, 1);
	note_used(f);
	switch (req->len == 0 ? 'E' : req->bytes[0]) {
	case 'D':
		net_request_done(req);
		break;
	case 'C':
		net_request_close(req);
		break;
	case 'P':
		park(f, req);
		break;
	case 'B':
		net_request_drop_bytes(req);
		park(f, req);
		break;
	case 'T':
		workers_submit(f->workers, echo_elsewhere, req);
		break;
	case 'Q':
		fixture_echo(req, 60000);
		break;
	case 'F':
		answer_file(f, req);
		break;
	default:
		fixture_echo(req, 0);
	}
}

static void
on_closed(void *arg, struct net_request *req)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->mutex);
	f->closed[f->closed_count++] = req;
	pthread_mutex_unlock(&f->mutex);
}

static void
free_user(void *user)
{
	struct fixture *f = user;

	atomic_fetch_add(&f->freed_users, 1);
}

static int
on_connected(void *arg, struct connection *conn)
{
	struct fixture *f = arg;

	connection_set_user(conn, f, free_user);
	pthread_mutex_lock(&f->mutex);
	snprintf(f->last_host, sizeof(f->last_host), "%s", connection_client_host(conn));
	connection_name(conn, f->last_name, sizeof(f->last_name));
	snprintf(f->last_principal, sizeof(f->last_principal), "%s", connection_principal(conn));
	pthread_mutex_unlock(&f->mutex);
	return f->refuse_connected ? -1 : 0;
}

void
fixture_open(struct fixture *f, int reactors, int64_t memory_ceiling)
{
	*f = (struct fixture){.file_fd = -1};
	fixture_ops = env_system_ops;
	fixture_ops.monotonic_us = fixture_monotonic;
	f->env.ops = &fixture_ops;
	pthread_mutex_init(&f->mutex, NULL);
	f->log_fd = memfd_create("diag", MFD_CLOEXEC);
	assert_true(f->log_fd >= 0);
	diag_set_fd(f->log_fd);
	assert_int_equal(reactors_open(&f->env, reactors, &f->reactors), 0);
	assert_int_equal(request_memory_open(memory_ceiling, &f->memory), 0);
	assert_int_equal(connection_limits_open(RATE_WINDOWS, RATE_WINDOW_MS, &f->limits), 0);
	assert_int_equal(workers_open("answers", 1, &f->workers), 0);
	f->handler = (struct net_handler){.on_request = on_request,
					  .on_closed = on_closed,
					  .on_connected = on_connected,
					  .arg = f};
	listener_settings_init(&f->settings);
	f->settings.endpoint = (struct endpoint){.listener_name = (char *)(uintptr_t) "TEST",
						 .host = (char *)(uintptr_t) "127.0.0.1",
						 .protocol = SECURITY_PLAINTEXT};
	f->settings.handler = &f->handler;
	f->settings.memory = f->memory;
	f->settings.limits = f->limits;
}

void
fixture_listen(struct fixture *f)
{
	char err[256];

	if (listener_open(f->reactors, &f->settings, err, sizeof(err), &f->listener) != 0)
		fail_msg("%s", err);
	f->port = listener_port(f->listener);
}

void
fixture_close(struct fixture *f)
{
	listener_close(f->listener);
	for (int i = 0; i < f->parked_count; i++)
		if (f->parked[i] != NULL)
			net_request_done(f->parked[i]);
	workers_close(f->workers);
	reactors_close(f->reactors);
	assert_int_equal(request_memory_used(f->memory), 0);
	assert_int_equal(connection_limits_count(f->limits), 0);
	request_memory_close(f->memory);
	connection_limits_close(f->limits);
	diag_set_fd(2);
	assert_int_equal(fixture_logged(f, "never answered"), 0);
	close(f->log_fd);
	if (f->file_fd >= 0)
		close(f->file_fd);
	pthread_mutex_destroy(&f->mutex);
}

static void
nothing(void *arg)
{
	(void)arg;
}

void
fixture_skip_ms(struct fixture *f, int64_t ms)
{
	atomic_fetch_add(&f->skipped_us, ms * 1000);
	for (int i = 0; i < reactors_count(f->reactors); i++)
		reactor_call(reactors_get(f->reactors, i), nothing, NULL);
}

int
fixture_logged(struct fixture *f, const char *text)
{
	static char log[1 << 20];
	ssize_t len = pread(f->log_fd, log, sizeof(log) - 1, 0);
	int count = 0;

	assert_true(len >= 0);
	log[len] = '\0';
	for (const char *p = log; (p = strstr(p, text)) != NULL; p++)
		count++;
	return count;
}

void
wait_until(bool (*check)(void *arg), void *arg, const char *what)
{
	int64_t end_ms = env_monotonic_ms(env_system()) + WAIT_MS;

	while (!check(arg)) {
		if (env_monotonic_ms(env_system()) > end_ms)
			fail_msg("waited in vain for: %s", what);
		poll(NULL, 0, 1);
	}
}

struct counted {
	struct fixture *f;
	int count;
};

static bool
parked_so_many(void *arg)
{
	struct counted *c = arg;
	bool enough;

	pthread_mutex_lock(&c->f->mutex);
	enough = c->f->parked_count >= c->count;
	pthread_mutex_unlock(&c->f->mutex);
	return enough;
}

void
fixture_wait_parked(struct fixture *f, int count)
{
	wait_until(parked_so_many, &(struct counted){f, count}, "parked requests");
}

static bool
closed_so_many(void *arg)
{
	struct counted *c = arg;
	bool enough;

	pthread_mutex_lock(&c->f->mutex);
	enough = c->f->closed_count >= c->count;
	pthread_mutex_unlock(&c->f->mutex);
	return enough;
}

void
fixture_wait_closed(struct fixture *f, int count)
{
	wait_until(closed_so_many, &(struct counted){f, count}, "requests told closed");
}

struct net_request *
fixture_take(struct fixture *f, int index)
{
	struct net_request *req;

	pthread_mutex_lock(&f->mutex);
	assert_true(index < f->parked_count);
	req = f->parked[index];
	f->parked[index] = NULL;
	pthread_mutex_unlock(&f->mutex);
	assert_non_null(req);
	return req;
}

static bool
connected_so_many(void *arg)
{
	struct counted *c = arg;

	return listener_connection_count(c->f->listener) == c->count;
}

void
wait_connections(struct fixture *f, int count)
{
	wait_until(connected_so_many, &(struct counted){f, count}, "the number of connections");
}

int
client_connect(struct fixture *f)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)f->port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void
client_send(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0)
			fail_msg("send: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

void
client_send_frame(int fd, const void *data, size_t len)
{
	struct buf b = {0};

	buf_append_be32(&b, (uint32_t)len);
	buf_append(&b, data, len);
	client_send(fd, b.data, b.len);
	buf_fini(&b);
}

static void
read_all(int fd, uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, data, len, 0);

		if (n <= 0)
			fail_msg("recv: %s", n == 0 ? "closed" : strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

size_t
client_read_frame(int fd, void *data, size_t len)
{
	uint8_t size[4];
	size_t n;

	read_all(fd, size, sizeof(size));
	n = get_be32(size);
	assert_true(n <= len);
	read_all(fd, data, n);
	return n;
}

void
client_expect(int fd, const char *text)
{
	char data[4096];
	size_t len = client_read_frame(fd, data, sizeof(data));

	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

bool
client_expect_end(int fd)
{
	char data[4096];
	ssize_t n;

	do
		n = recv(fd, data, sizeof(data), 0);
	while (n > 0);
	if (n < 0 && errno != ECONNRESET)
		fail_msg("recv: %s", strerror(errno));
	return n == 0;
}
