#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"

static struct fixture fix;

static int
open_one(void **state)
{
	fixture_open(&fix, 1, -1);
	*state = &fix;
	return 0;
}

static int
open_two(void **state)
{
	fixture_open(&fix, 2, -1);
	*state = &fix;
	return 0;
}

static int
close_fixture(void **state)
{
	fixture_close(*state);
	return 0;
}

static bool
freed_so_many(void *arg)
{
	int *count = arg;

	return atomic_load(&fix.freed_users) == *count;
}

/* Waits until as many connections have come and gone. */
static void
wait_gone(int count)
{
	wait_until(freed_so_many, &count, "connections to be freed");
}

static void
a_frame_is_answered_with_its_size_in_front(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send_frame(fd, "Ehello", 6);
	client_expect(fd, "Ehello");
	client_send_frame(fd, "", 0);
	client_expect(fd, "");
	client_send_frame(fd, "E2", 2);
	client_expect(fd, "E2");
	close(fd);
	wait_gone(1);
}

static void
a_frame_cut_into_single_bytes_is_put_together(void **state)
{
	struct fixture *f = *state;
	const char *bytes = "\0\0\0\5Eabcd\0\0\0\2Ex";
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	for (int i = 0; i < 15; i++)
		client_send(fd, bytes + i, 1);
	client_expect(fd, "Eabcd");
	client_expect(fd, "Ex");
	close(fd);
}

static void
pipelined_requests_are_answered_in_order_though_some_wait(void **state)
{
	struct fixture *f = *state;
	struct buf b = {0};
	char text[32];
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	for (int i = 0; i < 3000; i++) {
		int len = snprintf(text, sizeof(text), "%c%d", i % 100 == 7 ? 'P' : "ET"[i % 2], i);

		buf_append_be32(&b, (uint32_t)len);
		buf_append(&b, text, (size_t)len);
	}
	client_send(fd, b.data, b.len);
	for (int i = 0; i < 3000; i++) {
		if (i % 100 == 7) {
			fixture_wait_parked(f, i / 100 + 1);
			assert_int_equal(atomic_load(&f->requests), i + 1);
			fixture_echo(fixture_take(f, i / 100), 0);
		}
		snprintf(text, sizeof(text), "%c%d", i % 100 == 7 ? 'P' : "ET"[i % 2], i);
		client_expect(fd, text);
	}
	buf_fini(&b);
	close(fd);
}

/* Frames around every border between the ways of reading. */
static void
frames_of_all_sizes_come_through_whole(void **state)
{
	static const size_t sizes[] = {1,     511,   4095,  8191,   8192,   8193,    16379,  16380,
				       16384, 16385, 65536, 100000, 262144, 1048576, 3000000};
	struct fixture *f = *state;
	uint8_t *sent = malloc(3000000), *got = malloc(3000000);
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	env_random(env_system(), sent, 3000000);
	sent[0] = 'E';
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			/* A small one behind it, so that a large one is followed in the buffer. */
			client_send_frame(fd, sent, sizes[i]);
			client_send_frame(fd, "Esmall", 6);
			assert_int_equal(client_read_frame(fd, got, 3000000), sizes[i]);
			assert_memory_equal(sent, got, sizes[i]);
			client_expect(fd, "Esmall");
		}
	}
	close(fd);
	free(sent);
	free(got);
}

static void
sizes_that_are_not_allowed_close_the_connection_with_one_line(void **state)
{
	static const char *const sizes[] = {"\xff\xff\xff\xff", "\x80\0\0\0", "\x7f\xff\xff\xff",
					    "\0\0\x04\x01"};
	struct fixture *f = *state;

	f->settings.request_max_bytes = 1024;
	fixture_listen(f);
	for (int i = 0; i < 4; i++) {
		int fd = client_connect(f);

		client_send(fd, sizes[i], 4);
		client_send(fd, "rubbish", 7);
		client_expect_end(fd);
		close(fd);
		assert_int_equal(fixture_logged(f, "frame size not allowed"), i + 1);
	}
	assert_int_equal(fixture_logged(f, "peer=/127.0.0.1"), 4);
	assert_int_equal(fixture_logged(f, "size=1025 max=1024"), 1);
	assert_int_equal(atomic_load(&f->requests), 0);
}

static void
a_frame_at_the_limit_is_taken(void **state)
{
	struct fixture *f = *state;
	char data[1024];
	int fd;

	f->settings.request_max_bytes = 1024;
	fixture_listen(f);
	fd = client_connect(f);
	memset(data, 'E', sizeof(data));
	client_send_frame(fd, data, sizeof(data));
	assert_int_equal(client_read_frame(fd, data, sizeof(data)), 1024);
	close(fd);
}

static void
a_bad_size_behind_a_good_request_closes_after_the_answer(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2E1\xff\xff\xff\xff", 10);
	client_expect(fd, "E1");
	client_expect_end(fd);
	close(fd);
}

static void
tls_and_http_on_a_plaintext_listener_get_one_clear_line(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
	assert_true(client_expect_end(fd));
	close(fd);
	assert_int_equal(fixture_logged(f, "TLS sent to a plaintext listener"), 1);
	fd = client_connect(f);
	client_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_true(client_expect_end(fd));
	close(fd);
	assert_int_equal(fixture_logged(f, "HTTP sent to a Kafka listener"), 1);
	assert_int_equal(fixture_logged(f, "\n"), 2);
}

static void
a_connection_that_ends_inside_a_frame_is_told(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\144abc", 7);
	close(fd);
	wait_gone(1);
	assert_int_equal(fixture_logged(f, "connection ended inside a frame"), 1);
	assert_int_equal(fixture_logged(f, "have=3 size=100"), 1);
	assert_int_equal(atomic_load(&f->requests), 0);
}

static void
a_request_without_answer_lets_the_next_one_through(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2D1\0\0\0\2D2\0\0\0\2E3", 18);
	client_expect(fd, "E3");
	close(fd);
}

/* A producer with acks=0 sends and closes: everything it sent counts. */
static void
what_was_sent_before_the_peer_closed_is_still_handled(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	for (int i = 0; i < 5000; i++)
		client_send_frame(fd, "D0123456789", 11);
	close(fd);
	wait_gone(1);
	assert_int_equal(atomic_load(&f->requests), 5000);
}

static void
a_handler_that_closes_lets_earlier_answers_out_first(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2E1\0\0\0\2C2\0\0\0\2E3", 18);
	client_expect(fd, "E1");
	client_expect_end(fd);
	close(fd);
	assert_int_equal(atomic_load(&f->requests), 2);
}

static void
a_peer_that_goes_while_its_request_waits_is_told_at_once(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	fixture_listen(f);
	fds[0] = client_connect(f);
	fds[1] = client_connect(f);
	for (int i = 0; i < 2; i++) {
		client_send_frame(fds[i], "P", 1);
		fixture_wait_parked(f, i + 1);
	}
	close(fds[0]);
	fixture_wait_closed(f, 1);
	assert_ptr_equal(f->closed[0], f->parked[0]);
	/* A reset, rather than an orderly close. */
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
		   sizeof(struct linger));
	close(fds[1]);
	fixture_wait_closed(f, 2);
	assert_ptr_equal(f->closed[1], f->parked[1]);
	/* Still valid: bytes, connection, and every way to end it. */
	assert_int_equal(f->parked[1]->bytes[0], 'P');
	assert_string_equal(connection_client_host(f->parked[1]->conn), "/127.0.0.1");
	fixture_echo(fixture_take(f, 1), 0);
	net_request_close(fixture_take(f, 0));
	wait_connections(f, 0);
	assert_int_equal(f->closed_count, 2);
}

static void
a_peer_that_only_closed_its_sending_side_still_gets_the_answer(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2P1\0\0\0\2E2", 12);
	fixture_wait_parked(f, 1);
	shutdown(fd, SHUT_WR);
	fixture_wait_closed(f, 1);
	fixture_echo(fixture_take(f, 0), 0);
	client_expect(fd, "P1");
	client_expect(fd, "E2");
	assert_true(client_expect_end(fd));
	close(fd);
}

static void
data_behind_a_request_that_waits_is_not_taken_for_the_peers_end(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send_frame(fd, "P1", 2);
	fixture_wait_parked(f, 1);
	for (int i = 0; i < 100; i++)
		client_send_frame(fd, "D", 1);
	client_send_frame(fd, "E2", 2);
	assert_int_equal(atomic_load(&f->requests), 1);
	fixture_echo(fixture_take(f, 0), 0);
	client_expect(fd, "P1");
	client_expect(fd, "E2");
	assert_int_equal(f->closed_count, 0);
	close(fd);
}

static void
a_throttled_connection_is_answered_at_once_and_read_later(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2Q1\0\0\0\2E2", 12);
	client_expect(fd, "Q1");
	fixture_skip_ms(f, 59000);
	assert_int_equal(atomic_load(&f->requests), 1);
	fixture_skip_ms(f, 2000);
	client_expect(fd, "E2");
	close(fd);
}

static void
make_file(struct fixture *f, size_t len)
{
	uint8_t *data = malloc(len);

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	f->file_fd = memfd_create("segment", MFD_CLOEXEC);
	assert_int_equal(write(f->file_fd, data, len), (ssize_t)len);
	free(data);
}

static void
file_ranges_are_sent_whole_through_a_small_socket_buffer(void **state)
{
	struct fixture *f = *state;
	uint8_t *got = malloc(5000005);
	int fd;

	f->settings.send_buffer_bytes = 131072;
	fixture_listen(f);
	make_file(f, 6000000);
	f->file_pos = 12345;
	f->file_len = 5000000;
	fd = client_connect(f);
	for (int round = 0; round < 2; round++) {
		client_send_frame(fd, "F", 1);
		client_send_frame(fd, "E", 1);
		assert_int_equal(client_read_frame(fd, got, 5000005), 5000005);
		assert_memory_equal(got, "file:", 5);
		for (size_t i = 0; i < 5000000; i++) {
			size_t at = i + 12345;

			if (got[5 + i] != (uint8_t)(at * 7 + at / 251))
				fail_msg("byte %zu differs", i);
		}
		client_expect(fd, "E");
		assert_int_equal(atomic_load(&f->released), 2 * (round + 1));
	}
	close(fd);
	free(got);
}

static bool
all_released(void *arg)
{
	return atomic_load((_Atomic int *)arg) == 2;
}

static void
a_file_that_is_too_short_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	make_file(f, 1000);
	f->file_pos = 500;
	f->file_len = 1000;
	fd = client_connect(f);
	client_send_frame(fd, "F", 1);
	client_expect_end(fd);
	close(fd);
	assert_int_equal(fixture_logged(f, "a file was shorter"), 1);
	wait_until(all_released, &f->released, "parts released");
}

/* The answer is on its way. */
static void
client_expect_size(int fd)
{
	uint8_t size[4];

	assert_int_equal(recv(fd, size, sizeof(size), MSG_WAITALL), 4);
	assert_int_equal(get_be32(size), 8000005);
}

static void
an_answer_that_nobody_reads_is_released_when_the_peer_goes(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	make_file(f, 8000000);
	f->file_len = 8000000;
	fd = client_connect(f);
	client_send_frame(fd, "F", 1);
	client_expect_size(fd);
	close(fd);
	wait_gone(1);
	wait_until(all_released, &f->released, "parts released");
}

static void
an_idle_connection_is_closed_but_not_one_that_waits_for_us(void **state)
{
	struct fixture *f = *state;
	int idle, busy, waiting;

	f->settings.idle_ms = 10000;
	fixture_listen(f);
	idle = client_connect(f);
	busy = client_connect(f);
	waiting = client_connect(f);
	client_send_frame(idle, "E", 1);
	client_expect(idle, "E");
	client_send_frame(waiting, "P", 1);
	fixture_wait_parked(f, 1);
	fixture_skip_ms(f, 6000);
	client_send_frame(busy, "E", 1);
	client_expect(busy, "E");
	fixture_skip_ms(f, 6000);
	assert_true(client_expect_end(idle));
	wait_connections(f, 2);
	client_send_frame(busy, "E", 1);
	client_expect(busy, "E");
	fixture_echo(fixture_take(f, 0), 0);
	client_expect(waiting, "P");
	fixture_skip_ms(f, 10001);
	assert_true(client_expect_end(busy));
	assert_true(client_expect_end(waiting));
	close(idle);
	close(busy);
	close(waiting);
}

static void
a_connection_that_is_refused_when_it_comes_up_is_closed(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->refuse_connected = true;
	fixture_listen(f);
	fd = client_connect(f);
	assert_true(client_expect_end(fd));
	close(fd);
	wait_gone(1);
}

static void
peers_are_named_as_kafka_names_them(void **state)
{
	struct fixture *f = *state;
	char expected[64];
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	client_send_frame(fd, "E", 1);
	client_expect(fd, "E");
	assert_string_equal(f->last_host, "/127.0.0.1");
	assert_string_equal(f->last_principal, "User:ANONYMOUS");
	getsockname(fd, (struct sockaddr *)&addr, &len);
	snprintf(expected, sizeof(expected), "127.0.0.1:%d-TEST-", ntohs(addr.sin_port));
	assert_memory_equal(f->last_name, expected, strlen(expected));
	close(fd);
}

static void
ipv6_peers_are_named_as_java_names_them(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd;

	f->settings.endpoint.host = (char *)(uintptr_t) "";
	fixture_listen(f);
	/* IPv4 by way of the IPv6 socket. */
	fd = client_connect(f);
	client_send_frame(fd, "E", 1);
	client_expect(fd, "E");
	assert_string_equal(f->last_host, "/127.0.0.1");
	close(fd);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr.sin6_port = htons((uint16_t)f->port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		print_message("no IPv6 on this machine: its half was not tested\n");
		if (fd >= 0)
			close(fd);
		return;
	}
	client_send_frame(fd, "E", 1);
	client_expect(fd, "E");
	assert_string_equal(f->last_host, "/0:0:0:0:0:0:0:1");
	close(fd);
}

static void
connections_are_spread_evenly_over_the_reactors(void **state)
{
	struct fixture *f = *state;
	int fds[8], first = 0;

	fixture_listen(f);
	for (int i = 0; i < 8; i++) {
		fds[i] = client_connect(f);
		client_send_frame(fds[i], "P", 1);
		fixture_wait_parked(f, i + 1);
	}
	for (int i = 0; i < 8; i++)
		if (connection_reactor(f->parked[i]->conn) == reactors_get(f->reactors, 0))
			first++;
	assert_int_equal(first, 4);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void *
echo_all(void *arg)
{
	struct fixture *f = arg;
	char data[64], text[64];
	int fd = client_connect(f);

	for (int i = 0; i < 500; i++) {
		int len = snprintf(text, sizeof(text), "%cabc%d", "ETET"[i % 4], i);

		client_send_frame(fd, text, (size_t)len);
		assert_int_equal(client_read_frame(fd, data, sizeof(data)), len);
		assert_memory_equal(data, text, (size_t)len);
	}
	close(fd);
	return NULL;
}

static void
many_clients_at_once_are_all_answered(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[16];

	fixture_listen(f);
	for (int i = 0; i < 16; i++)
		pthread_create(&threads[i], NULL, echo_all, f);
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&f->requests), 16 * 500);
	wait_connections(f, 0);
}

static void
closing_the_listener_closes_its_connections_and_tells_those_that_wait(void **state)
{
	struct fixture *f = *state;
	int idle, waiting;

	fixture_listen(f);
	idle = client_connect(f);
	waiting = client_connect(f);
	client_send_frame(idle, "E", 1);
	client_expect(idle, "E");
	client_send_frame(waiting, "P", 1);
	fixture_wait_parked(f, 1);
	listener_close(f->listener);
	f->listener = NULL;
	assert_int_equal(f->closed_count, 1);
	client_expect_end(idle);
	client_expect_end(waiting);
	assert_int_equal(f->parked[0]->bytes[0], 'P');
	fixture_echo(fixture_take(f, 0), 0);
	close(idle);
	close(waiting);
}

static void
a_port_in_use_is_one_clear_error(void **state)
{
	struct fixture *f = *state;
	struct listener *second;
	char err[256];

	fixture_listen(f);
	f->settings.endpoint.port = f->port;
	assert_int_equal(listener_open(f->reactors, &f->settings, err, sizeof(err), &second),
			 -EADDRINUSE);
	assert_non_null(strstr(err, "cannot listen on TEST://127.0.0.1:"));
	assert_non_null(strstr(err, "Address already in use"));
}

static void
sasl_is_refused_while_nothing_serves_it(void **state)
{
	struct fixture *f = *state;
	struct listener *l;
	char err[256];

	f->settings.endpoint.protocol = SECURITY_SASL_PLAINTEXT;
	assert_int_equal(listener_open(f->reactors, &f->settings, err, sizeof(err), &l), -ENOTSUP);
	assert_non_null(strstr(err, "SASL_PLAINTEXT is not served"));
}

static void
let_in(void *arg, struct net_request *req)
{
	(void)arg;
	if (req->len == 6 && memcmp(req->bytes, "secret", 6) == 0) {
		assert_int_equal(connection_set_principal(req->conn, "User:alice"), 0);
		connection_set_authenticated(req->conn);
	}
	fixture_echo(req, 0);
}

static void
frames_go_to_authentication_until_it_lets_them_through(void **state)
{
	struct fixture *f = *state;
	char large[200] = "E";
	int fd;

	f->settings.endpoint.protocol = SECURITY_SASL_PLAINTEXT;
	f->settings.auth_max_bytes = 100;
	f->handler.on_authenticate = let_in;
	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2Px\0\0\0\6secret\0\0\0\2E2", 22);
	client_expect(fd, "Px");
	client_expect(fd, "secret");
	client_expect(fd, "E2");
	assert_int_equal(atomic_load(&f->requests), 1);
	client_send_frame(fd, large, sizeof(large));
	assert_int_equal(client_read_frame(fd, large, sizeof(large)), 200);
	close(fd);
	fd = client_connect(f);
	client_send_frame(fd, large, sizeof(large));
	client_expect_end(fd);
	close(fd);
}

static int64_t
counted(enum metric_id id, const char *labels)
{
	return metric_value(metrics_get(id, labels));
}

static void
what_happens_on_a_listener_is_counted(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->settings.endpoint.listener_name = (char *)(uintptr_t) "COUNTED";
	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\3Eab\0\0\0\1D\0\0\0\3Ecd", 19);
	client_expect(fd, "Eab");
	client_expect(fd, "Ecd");
	assert_int_equal(counted(METRIC_CONNECTIONS, "COUNTED"), 1);
	close(fd);
	wait_gone(1);
	fd = client_connect(f);
	client_send(fd, "\xff\xff\xff\xff", 4);
	client_expect_end(fd);
	close(fd);
	listener_close(f->listener); /* counts are brought up to date by the end of a turn */
	f->listener = NULL;
	assert_int_equal(counted(METRIC_CONNECTIONS, "COUNTED"), 0);
	assert_int_equal(counted(METRIC_CONNECTIONS_ACCEPTED, "COUNTED"), 2);
	assert_int_equal(counted(METRIC_CONNECTIONS_CLOSED, "COUNTED,peer"), 1);
	assert_int_equal(counted(METRIC_CONNECTIONS_CLOSED, "COUNTED,bad_frame"), 1);
	assert_int_equal(counted(METRIC_NET_REQUESTS, "COUNTED"), 3);
	assert_int_equal(counted(METRIC_NET_BYTES_IN, "COUNTED"), 23);
	assert_int_equal(counted(METRIC_NET_BYTES_OUT, "COUNTED"), 14);
}

static void
bring_own_size(void *arg, struct net_request *req)
{
	struct net_reply reply;
	struct buf b = {0};

	(void)arg;
	net_reply_init(&reply);
	reply.has_size = true;
	buf_append_be32(&b, (uint32_t)req->len);
	buf_append(&b, req->bytes, req->len);
	net_reply_add_buf(&reply, &b);
	net_request_answer(req, &reply);
}

static void
an_answer_may_bring_its_own_size(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->handler.on_request = bring_own_size;
	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\0\0\2E1\0\0\0\2E2", 12);
	client_expect(fd, "E1");
	client_expect(fd, "E2");
	close(fd);
}

#define TEST(name, reactors) cmocka_unit_test_setup_teardown(name, open_##reactors, close_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_frame_is_answered_with_its_size_in_front, one),
	    TEST(a_frame_cut_into_single_bytes_is_put_together, one),
	    TEST(pipelined_requests_are_answered_in_order_though_some_wait, one),
	    TEST(frames_of_all_sizes_come_through_whole, one),
	    TEST(sizes_that_are_not_allowed_close_the_connection_with_one_line, one),
	    TEST(a_frame_at_the_limit_is_taken, one),
	    TEST(a_bad_size_behind_a_good_request_closes_after_the_answer, one),
	    TEST(tls_and_http_on_a_plaintext_listener_get_one_clear_line, one),
	    TEST(a_connection_that_ends_inside_a_frame_is_told, one),
	    TEST(a_request_without_answer_lets_the_next_one_through, one),
	    TEST(what_was_sent_before_the_peer_closed_is_still_handled, one),
	    TEST(a_handler_that_closes_lets_earlier_answers_out_first, one),
	    TEST(a_peer_that_goes_while_its_request_waits_is_told_at_once, one),
	    TEST(a_peer_that_only_closed_its_sending_side_still_gets_the_answer, one),
	    TEST(data_behind_a_request_that_waits_is_not_taken_for_the_peers_end, one),
	    TEST(a_throttled_connection_is_answered_at_once_and_read_later, one),
	    TEST(file_ranges_are_sent_whole_through_a_small_socket_buffer, one),
	    TEST(a_file_that_is_too_short_ends_the_connection, one),
	    TEST(an_answer_that_nobody_reads_is_released_when_the_peer_goes, one),
	    TEST(an_idle_connection_is_closed_but_not_one_that_waits_for_us, two),
	    TEST(a_connection_that_is_refused_when_it_comes_up_is_closed, one),
	    TEST(peers_are_named_as_kafka_names_them, one),
	    TEST(ipv6_peers_are_named_as_java_names_them, one),
	    TEST(connections_are_spread_evenly_over_the_reactors, two),
	    TEST(many_clients_at_once_are_all_answered, two),
	    TEST(closing_the_listener_closes_its_connections_and_tells_those_that_wait, two),
	    TEST(a_port_in_use_is_one_clear_error, one),
	    TEST(sasl_is_refused_while_nothing_serves_it, one),
	    TEST(frames_go_to_authentication_until_it_lets_them_through, two),
	    TEST(what_happens_on_a_listener_is_counted, two),
	    TEST(an_answer_may_bring_its_own_size, one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
