/* How many connections, and how many bytes of requests. */
#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"

#define CEILING 65536
#define FRAME 20000 /* three fit */

static struct fixture fix;

static int
open_unlimited(void **state)
{
	fixture_open(&fix, 2, -1);
	*state = &fix;
	return 0;
}

static int
open_with_ceiling(void **state)
{
	fixture_open(&fix, 2, CEILING);
	fix.settings.request_max_bytes = CEILING;
	*state = &fix;
	return 0;
}

static int
close_fixture(void **state)
{
	fixture_close(*state);
	return 0;
}

static void
expect_echo(int fd)
{
	client_send_frame(fd, "Ex", 2);
	client_expect(fd, "Ex");
}

struct logged {
	const char *text;
	int count;
};

static bool
logged_so_often(void *arg)
{
	struct logged *l = arg;

	return fixture_logged(&fix, l->text) >= l->count;
}

static void
wait_logged(const char *text, int count)
{
	wait_until(logged_so_often, &(struct logged){text, count}, text);
}

/* From another address of the loopback network. */
static int
connect_from(struct fixture *f, const char *from)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct timeval tv = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, from, &addr.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)f->port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void
at_its_limit_a_listener_stops_accepting_until_one_closes(void **state)
{
	struct fixture *f = *state;
	int fds[4];

	f->settings.max_connections = 2;
	fixture_listen(f);
	for (int i = 0; i < 2; i++) {
		fds[i] = client_connect(f);
		expect_echo(fds[i]);
	}
	for (int i = 2; i < 4; i++) {
		fds[i] = client_connect(f);
		client_send_frame(fds[i], "Ey", 2);
	}
	wait_logged("connection limit reached", 1);
	expect_echo(fds[0]);
	assert_int_equal(listener_connection_count(f->listener), 2);
	assert_int_equal(atomic_load(&f->requests), 3);
	close(fds[0]);
	client_expect(fds[2], "Ey");
	close(fds[1]);
	client_expect(fds[3], "Ey");
	close(fds[2]);
	close(fds[3]);
}

static void
a_raised_limit_lets_those_in_who_wait(void **state)
{
	struct fixture *f = *state;
	int fds[3];

	f->settings.max_connections = 1;
	fixture_listen(f);
	for (int i = 0; i < 3; i++)
		fds[i] = client_connect(f);
	expect_echo(fds[0]);
	wait_logged("connection limit reached", 1);
	client_send_frame(fds[1], "E1", 2);
	client_send_frame(fds[2], "E2", 2);
	listener_set_max_connections(f->listener, 2);
	client_expect(fds[1], "E1");
	connection_limits_set(f->limits, 2, CONNECTIONS_UNLIMITED);
	listener_set_max_connections(f->listener, 3);
	wait_logged("connection limit reached", 2);
	connection_limits_set(f->limits, 3, CONNECTIONS_UNLIMITED);
	client_expect(fds[2], "E2");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* max.connections holds for the broker; the inter-broker listener makes room for itself. */
static void
the_inter_broker_listener_passes_the_broker_limit_and_another_makes_room(void **state)
{
	struct fixture *f = *state;
	struct listener *internal;
	struct fixture second;
	char err[256];
	int clients[3], broker;

	fixture_listen(f);
	f->settings.privileged = true;
	f->settings.endpoint.listener_name = (char *)(uintptr_t) "INTERNAL";
	assert_int_equal(listener_open(f->reactors, &f->settings, err, sizeof(err), &internal), 0);
	connection_limits_set(f->limits, 2, CONNECTIONS_UNLIMITED);
	for (int i = 0; i < 2; i++) {
		clients[i] = client_connect(f);
		expect_echo(clients[i]);
		fixture_skip_ms(f, 10);
	}
	expect_echo(clients[0]); /* now the second one was idle longest, on its reactor */
	clients[2] = client_connect(f);
	client_send_frame(clients[2], "Ez", 2);
	wait_logged("connection limit reached", 1);
	second = (struct fixture){.port = listener_port(internal)};
	broker = client_connect(&second);
	expect_echo(broker);
	wait_connections(f, 1);
	assert_int_equal(connection_limits_count(f->limits), 2);
	close(broker);
	client_expect(clients[2], "Ez");
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	listener_close(internal);
}

static void
an_address_over_its_limit_is_closed_at_once_and_others_are_not(void **state)
{
	struct fixture *f = *state;
	int fds[3], other;

	connection_limits_set(f->limits, CONNECTIONS_UNLIMITED, 2);
	fixture_listen(f);
	for (int i = 0; i < 2; i++) {
		fds[i] = client_connect(f);
		expect_echo(fds[i]);
	}
	fds[2] = client_connect(f);
	client_expect_end(fds[2]);
	assert_int_equal(fixture_logged(f, "max.connections.per.ip reached"), 1);
	assert_int_equal(fixture_logged(f, "peer=127.0.0.1"), 1);
	other = connect_from(f, "127.0.0.9");
	expect_echo(other);
	close(fds[0]);
	wait_connections(f, 2);
	close(fds[2]);
	fds[2] = client_connect(f);
	expect_echo(fds[2]);
	close(fds[1]);
	close(fds[2]);
	close(other);
}

static void
overrides_hold_for_their_addresses_and_can_be_changed(void **state)
{
	struct fixture *f = *state;
	char err[256];
	int fds[2], fd;

	connection_limits_set(f->limits, CONNECTIONS_UNLIMITED, 0);
	assert_int_equal(connection_limits_set_overrides(
			     f->limits, "127.0.0.1:2, 127.0.0.9:1,[::1]:7", err, sizeof(err)),
			 0);
	fixture_listen(f);
	for (int i = 0; i < 2; i++) {
		fds[i] = client_connect(f);
		expect_echo(fds[i]);
	}
	fd = client_connect(f);
	client_expect_end(fd);
	close(fd);
	fd = connect_from(f, "127.0.0.8");
	client_expect_end(fd);
	close(fd);
	fd = connect_from(f, "127.0.0.9");
	expect_echo(fd);
	close(fd);
	assert_int_equal(
	    connection_limits_set_overrides(f->limits, "localhost:3", err, sizeof(err)), 0);
	fd = client_connect(f);
	expect_echo(fd);
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

static void
mistakes_in_overrides_are_told_and_change_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"127.0.0.1", "'127.0.0.1' is not of the form host:count"},
	    {":5", "':5'"},
	    {"h:x", "'h:x'"},
	    {"h:-1", "'h:-1'"},
	    {"h:5x", "'h:5x'"},
	    {"127.0.0.1:99999999999", "'127.0.0.1:99999999999'"},
	    {"127.0.0.1:7,host..invalid:5", "'host..invalid' is not known"},
	};
	struct fixture *f = *state;
	char err[256];
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(
		    connection_limits_set_overrides(f->limits, cases[i].text, err, sizeof(err)),
		    -EINVAL);
		if (strstr(err, cases[i].says) == NULL)
			fail_msg("'%s' says '%s'", cases[i].text, err);
	}
	connection_limits_set(f->limits, CONNECTIONS_UNLIMITED, 0);
	fixture_listen(f);
	fd = client_connect(f);
	client_expect_end(fd);
	close(fd);
}

static void
without_descriptors_accepting_pauses_and_comes_back(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct rlimit limit, low;
	struct timeval tv = {.tv_sec = WAIT_MS / 1000};
	int fd, next;

	fixture_listen(f);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	next = dup(fd);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	addr.sin_port = htons((uint16_t)f->port);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	wait_logged("cannot accept connections", 1);
	fixture_skip_ms(f, 150); /* tries again, in vain, and says nothing */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fixture_skip_ms(f, 150);
	expect_echo(fd);
	assert_int_equal(fixture_logged(f, "cannot accept connections"), 1);
	assert_int_equal(fixture_logged(f, "Too many open files"), 1);
	close(fd);
}

/* ---- new connections per second ---- */

static bool
delayed_so_many(void *arg)
{
	const char **want = arg;

	return metric_value(metrics_get(METRIC_CONNECTIONS_DELAYED, want[0])) == atoi(want[1]);
}

static void
wait_delayed(const char *listener, const char *count)
{
	wait_until(delayed_so_many, (const char *[]){listener, count}, "connections that wait");
}

/* With nothing allowed, each connection waits for one window of the fixture's. */
static void
a_connection_that_comes_too_early_waits_for_the_rate_and_the_next_behind_it(void **state)
{
	struct fixture *f = *state;
	int fds[3];

	f->settings.endpoint.listener_name = (char *)(uintptr_t) "RATE";
	fixture_listen(f);
	fds[0] = client_connect(f);
	expect_echo(fds[0]);
	connection_limits_set_rate(f->limits, 0);
	for (int i = 1; i < 3; i++) {
		fds[i] = client_connect(f);
		client_send_frame(fds[i], "E!", 2);
		wait_delayed("RATE", "1");
	}
	expect_echo(fds[0]);
	assert_int_equal(listener_connection_count(f->listener), 1);
	fixture_skip_ms(f, RATE_WINDOW_MS);
	client_expect(fds[1], "E!");
	wait_delayed("RATE", "2");
	assert_int_equal(listener_connection_count(f->listener), 2);
	connection_limits_set_rate(f->limits, CONNECTIONS_UNLIMITED);
	assert_int_equal(listener_connection_count(f->listener), 2); /* waits on, as in Kafka */
	fixture_skip_ms(f, RATE_WINDOW_MS);
	client_expect(fds[2], "E!");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void
a_listener_has_a_rate_of_its_own_and_the_inter_broker_listener_only_that(void **state)
{
	struct fixture *f = *state;
	struct fixture second;
	struct listener *internal;
	char err[256];
	int fds[3];

	f->settings.endpoint.listener_name = (char *)(uintptr_t) "OUTSIDE";
	fixture_listen(f);
	f->settings.privileged = true;
	f->settings.endpoint.listener_name = (char *)(uintptr_t) "INSIDE";
	assert_int_equal(listener_open(f->reactors, &f->settings, err, sizeof(err), &internal), 0);
	second = (struct fixture){.port = listener_port(internal)};
	connection_limits_set_rate(f->limits, 0);
	fds[0] = client_connect(&second);
	expect_echo(fds[0]);
	fds[1] = client_connect(f);
	wait_delayed("OUTSIDE", "1");
	listener_set_max_connection_rate(internal, 0);
	fds[2] = client_connect(&second);
	wait_delayed("INSIDE", "1");
	fixture_skip_ms(f, RATE_WINDOW_MS);
	expect_echo(fds[1]);
	expect_echo(fds[2]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	listener_close(internal);
}

static void
a_listener_closes_while_a_connection_waits_for_the_rate(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->settings.endpoint.listener_name = (char *)(uintptr_t) "CLOSING";
	f->settings.max_connection_rate = 0;
	fixture_listen(f);
	fd = client_connect(f);
	wait_delayed("CLOSING", "1");
	listener_close(f->listener);
	f->listener = NULL;
	client_expect_end(fd);
	close(fd);
}

/* ---- bytes of requests ---- */

static bool
waiting_so_many(void *arg)
{
	return request_memory_waiting(fix.memory) == *(int *)arg;
}

static void
wait_waiting(int count)
{
	wait_until(waiting_so_many, &count, "connections that wait for memory");
}

static bool
used_so_many(void *arg)
{
	return request_memory_used(fix.memory) == *(int64_t *)arg;
}

static void
wait_used(int64_t bytes)
{
	wait_until(used_so_many, &bytes, "so many bytes in use");
}

static void
send_parked(int fd, size_t len)
{
	char *data = malloc(len);

	memset(data, 'P', len);
	client_send_frame(fd, data, len);
	free(data);
}

static void
at_the_ceiling_reading_pauses_and_goes_on_when_memory_comes_back(void **state)
{
	struct fixture *f = *state;
	char *got = malloc(FRAME);
	int fds[40], ended = 0;

	fixture_listen(f);
	for (int i = 0; i < 40; i++) {
		fds[i] = client_connect(f);
		send_parked(fds[i], FRAME);
	}
	wait_waiting(37);
	fixture_wait_parked(f, 3);
	while (ended < 40) {
		fixture_wait_parked(f, ended + 1);
		fixture_echo(fixture_take(f, ended++), 0);
	}
	for (int i = 0; i < 40; i++) {
		assert_int_equal(client_read_frame(fds[i], got, FRAME), FRAME);
		close(fds[i]);
	}
	assert_true(atomic_load(&f->largest_used) <= CEILING);
	assert_true(atomic_load(&f->largest_used) >= 3 * FRAME);
	free(got);
}

static void
a_frame_as_large_as_the_ceiling_is_not_starved_by_small_ones(void **state)
{
	struct fixture *f = *state;
	char *got = malloc(CEILING);
	int fds[3];

	fixture_listen(f);
	for (int i = 0; i < 3; i++)
		fds[i] = client_connect(f);
	send_parked(fds[0], FRAME);
	fixture_wait_parked(f, 1);
	send_parked(fds[1], CEILING);
	wait_waiting(1);
	send_parked(fds[2], 10); /* would fit, but comes later */
	wait_waiting(2);
	fixture_echo(fixture_take(f, 0), 0);
	fixture_wait_parked(f, 2);
	assert_int_equal(f->parked[1]->len, CEILING);
	assert_int_equal(f->parked_count, 2);
	fixture_echo(fixture_take(f, 1), 0);
	fixture_wait_parked(f, 3);
	fixture_echo(fixture_take(f, 2), 0);
	client_expect(fds[2], "PPPPPPPPPP");
	assert_int_equal(client_read_frame(fds[1], got, CEILING), CEILING);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	free(got);
}

static void
a_peer_that_goes_while_it_waits_for_memory_gives_up_its_place(void **state)
{
	struct fixture *f = *state;
	int fds[4];

	f->settings.idle_ms = 5000;
	fixture_listen(f);
	for (int i = 0; i < 4; i++)
		fds[i] = client_connect(f);
	send_parked(fds[0], FRAME);
	fixture_wait_parked(f, 1);
	send_parked(fds[1], CEILING);
	wait_waiting(1);
	send_parked(fds[2], FRAME);
	wait_waiting(2);
	send_parked(fds[3], FRAME);
	wait_waiting(3);
	/* Closing the listener is what ends a connection in the queue for sure. */
	listener_close(f->listener);
	f->listener = NULL;
	assert_int_equal(request_memory_waiting(f->memory), 0);
	/* Those that were given its place before their own reactor closed them hold theirs. */
	wait_used(FRAME * f->parked_count);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void
memory_is_given_back_by_a_peer_that_goes_inside_a_frame(void **state)
{
	struct fixture *f = *state;
	int half, fd;

	fixture_listen(f);
	half = client_connect(f);
	client_send(half, "\0\1\0\0abc", 7); /* 65536 bytes are to come */
	wait_used(CEILING);
	fd = client_connect(f);
	client_send_frame(fd, "Ez", 2);
	wait_waiting(1);
	close(half);
	client_expect(fd, "Ez");
	close(fd);
}

static void
bytes_that_a_request_drops_are_given_back_before_it_ends(void **state)
{
	struct fixture *f = *state;
	char data[FRAME];
	int fds[8];

	fixture_listen(f);
	memset(data, 'B', sizeof(data));
	for (int i = 0; i < 8; i++) {
		fds[i] = client_connect(f);
		client_send_frame(fds[i], data, sizeof(data));
	}
	fixture_wait_parked(f, 8);
	assert_int_equal(request_memory_used(f->memory), 0);
	for (int i = 0; i < 8; i++) {
		struct net_request *req = fixture_take(f, i);

		assert_null(req->bytes);
		net_request_done(req);
	}
	for (int i = 0; i < 8; i++) {
		expect_echo(fds[i]);
		close(fds[i]);
	}
}

static void
drop_elsewhere(void *arg)
{
	net_request_drop_bytes(arg);
}

static void
bytes_may_be_dropped_on_another_thread(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_listen(f);
	fd = client_connect(f);
	send_parked(fd, CEILING);
	fixture_wait_parked(f, 1);
	workers_submit(f->workers, drop_elsewhere, f->parked[0]);
	workers_close(f->workers);
	assert_int_equal(workers_open("answers", 1, &f->workers), 0);
	assert_int_equal(request_memory_used(f->memory), 0);
	net_request_done(fixture_take(f, 0));
	expect_echo(fd);
	close(fd);
}

static void
a_frame_above_the_ceiling_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->settings.request_max_bytes = 10 * CEILING;
	fixture_listen(f);
	fd = client_connect(f);
	client_send(fd, "\0\1\0\1", 4);
	client_expect_end(fd);
	close(fd);
	assert_int_equal(fixture_logged(f, "frame size not allowed"), 1);
}

static void *
send_and_read(void *arg)
{
	struct fixture *f = arg;
	char *data = malloc(CEILING);
	int fd = client_connect(f);

	for (int i = 1; i <= 40; i++) {
		size_t len = (size_t)i * 7919 % (CEILING - 1) + 1;

		memset(data, i % 3 == 0 ? 'T' : 'E', len);
		client_send_frame(fd, data, len);
		assert_int_equal(client_read_frame(fd, data, CEILING), len);
	}
	close(fd);
	free(data);
	return NULL;
}

static void
many_connections_share_the_ceiling_and_none_is_stuck(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[24];

	fixture_listen(f);
	for (int i = 0; i < 24; i++)
		pthread_create(&threads[i], NULL, send_and_read, f);
	for (int i = 0; i < 24; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&f->largest_used) <= CEILING);
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, open_##how, close_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(at_its_limit_a_listener_stops_accepting_until_one_closes, unlimited),
	    TEST(a_raised_limit_lets_those_in_who_wait, unlimited),
	    TEST(the_inter_broker_listener_passes_the_broker_limit_and_another_makes_room,
		 unlimited),
	    TEST(an_address_over_its_limit_is_closed_at_once_and_others_are_not, unlimited),
	    TEST(overrides_hold_for_their_addresses_and_can_be_changed, unlimited),
	    TEST(mistakes_in_overrides_are_told_and_change_nothing, unlimited),
	    TEST(without_descriptors_accepting_pauses_and_comes_back, unlimited),
	    TEST(a_connection_that_comes_too_early_waits_for_the_rate_and_the_next_behind_it,
		 unlimited),
	    TEST(a_listener_has_a_rate_of_its_own_and_the_inter_broker_listener_only_that,
		 unlimited),
	    TEST(a_listener_closes_while_a_connection_waits_for_the_rate, unlimited),
	    TEST(at_the_ceiling_reading_pauses_and_goes_on_when_memory_comes_back, with_ceiling),
	    TEST(a_frame_as_large_as_the_ceiling_is_not_starved_by_small_ones, with_ceiling),
	    TEST(a_peer_that_goes_while_it_waits_for_memory_gives_up_its_place, with_ceiling),
	    TEST(memory_is_given_back_by_a_peer_that_goes_inside_a_frame, with_ceiling),
	    TEST(bytes_that_a_request_drops_are_given_back_before_it_ends, with_ceiling),
	    TEST(bytes_may_be_dropped_on_another_thread, with_ceiling),
	    TEST(a_frame_above_the_ceiling_is_refused, with_ceiling),
	    TEST(many_connections_share_the_ceiling_and_none_is_stuck, with_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
