/* How many reactors serve a listener, while it is open. */
#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_certs.h"

#define REACTORS_MAX 8
#define CLIENTS_MAX 16

static struct fixture fix;
static int fds[CLIENTS_MAX];
static int client_count;

static int
open_two(void **state)
{
	fixture_open(&fix, 2, -1);
	client_count = 0;
	*state = &fix;
	return 0;
}

static int
close_fixture(void **state)
{
	for (int i = 0; i < client_count; i++)
		close(fds[i]);
	fixture_close(*state);
	return 0;
}

/* As a broker does whose num.network.threads has changed. */
static void
use(struct fixture *f, int count)
{
	assert_int_equal(reactors_grow(f->reactors, count), 0);
	if (f->listener != NULL)
		assert_int_equal(listener_use_reactors(f->listener, count), 0);
	reactors_use(f->reactors, count);
}

/* Each with a request that waits. */
static void
connect_more(struct fixture *f, int count)
{
	for (int i = 0; i < count; i++) {
		int fd = client_connect(f);

		fds[client_count++] = fd;
		client_send_frame(fd, "P", 1);
		fixture_wait_parked(f, client_count);
	}
}

/* How many of the clients, from the first one on, are on each reactor. */
static void
expect_spread(struct fixture *f, int first, const int expected[REACTORS_MAX])
{
	int counts[REACTORS_MAX] = {0};

	for (int i = first; i < client_count; i++) {
		int at = 0;

		while (connection_reactor(f->parked[i]->conn) != reactors_get(f->reactors, at))
			at++;
		counts[at]++;
	}
	for (int i = 0; i < REACTORS_MAX; i++)
		assert_int_equal(counts[i], expected[i]);
}

/* The requests that wait are answered, then another one of each client. */
static void
expect_all_served(struct fixture *f)
{
	for (int i = 0; i < client_count; i++) {
		fixture_echo(fixture_take(f, i), 0);
		client_expect(fds[i], "P");
		client_send_frame(fds[i], "Eagain", 6);
		client_expect(fds[i], "Eagain");
	}
}

static void
new_connections_go_to_new_reactors_until_all_have_as_many(void **state)
{
	struct fixture *f = *state;

	fixture_listen(f);
	connect_more(f, 4);
	expect_spread(f, 0, (int[REACTORS_MAX]){2, 2});
	use(f, 4);
	connect_more(f, 4);
	expect_spread(f, 0, (int[REACTORS_MAX]){2, 2, 2, 2});
	expect_spread(f, 4, (int[REACTORS_MAX]){0, 0, 2, 2});
	connect_more(f, 4);
	expect_spread(f, 8, (int[REACTORS_MAX]){1, 1, 1, 1});
	expect_all_served(f);
}

static void
with_fewer_reactors_connections_stay_and_new_ones_go_to_those_that_remain(void **state)
{
	struct fixture *f = *state;

	use(f, 4);
	fixture_listen(f);
	connect_more(f, 8);
	use(f, 2);
	connect_more(f, 4);
	expect_spread(f, 8, (int[REACTORS_MAX]){2, 2});
	expect_spread(f, 0, (int[REACTORS_MAX]){4, 4, 2, 2});
	expect_all_served(f);
}

static void
reactors_out_of_use_are_used_again(void **state)
{
	struct fixture *f = *state;

	fixture_listen(f);
	use(f, 3);
	use(f, 1);
	connect_more(f, 2);
	expect_spread(f, 0, (int[REACTORS_MAX]){2});
	use(f, 3);
	assert_int_equal(reactors_count(f->reactors), 3);
	connect_more(f, 4);
	expect_spread(f, 0, (int[REACTORS_MAX]){2, 2, 2});
	expect_all_served(f);
}

static void
a_listener_that_is_opened_later_takes_the_reactors_in_use(void **state)
{
	struct fixture *f = *state;

	use(f, 4);
	use(f, 3);
	fixture_listen(f);
	connect_more(f, 6);
	expect_spread(f, 0, (int[REACTORS_MAX]){2, 2, 2});
}

/* Whichever reactor accepts, it may be one that is out of use. */
static void
all_reactors_accept_in_or_out_of_use(void **state)
{
	struct fixture *f = *state;

	use(f, 4);
	for (int i = 0; i < 4; i++) {
		int first = client_count;

		fixture_listen(f);
		use(f, 1);
		connect_more(f, 2);
		expect_spread(f, first, (int[REACTORS_MAX]){2});
		use(f, 4);
		listener_close(f->listener);
		f->listener = NULL;
	}
}

/* max.connections of the broker: the inter-broker listener makes room for itself. */
static void
room_is_made_where_most_connections_are_though_that_reactor_is_out_of_use(void **state)
{
	struct fixture *f = *state;
	struct listener *clients;
	int internal;

	fixture_listen(f);
	connect_more(f, 4);
	for (int i = 0; i < 4; i++)
		if (connection_reactor(f->parked[i]->conn) == reactors_get(f->reactors, 0))
			shutdown(fds[i], SHUT_RDWR);
	fixture_wait_closed(f, 2);
	for (int i = 0; i < 4; i++)
		fixture_echo(fixture_take(f, i), 0);
	wait_connections(f, 2); /* both on reactor 1 */
	use(f, 1);
	connection_limits_set(f->limits, 2, CONNECTIONS_UNLIMITED);
	clients = f->listener;
	f->settings.privileged = true;
	f->settings.endpoint.listener_name = (char *)(uintptr_t) "INTERNAL";
	fixture_listen(f);
	internal = client_connect(f);
	client_send_frame(internal, "E", 1);
	client_expect(internal, "E");
	close(internal);
	listener_close(f->listener);
	f->listener = clients;
	wait_connections(f, 1);
}

/* ---- TLS ---- */

static struct test_cert ca;
static SSL_CTX *client_ctx;

static int
open_two_with_tls(void **state)
{
	open_two(state);
	ca = test_ca("CA");
	client_ctx = test_client_ctx(NULL, ca.cert);
	fix.settings.endpoint.protocol = SECURITY_SSL;
	return 0;
}

static int
close_tls(void **state)
{
	close_fixture(state);
	SSL_CTX_free(client_ctx);
	test_cert_free(&ca);
	return 0;
}

/* So many new connections, all at once, are shown this certificate. */
static void
expect_shown(struct fixture *f, int count, const struct test_cert *expected)
{
	SSL *clients[CLIENTS_MAX];

	for (int i = 0; i < count; i++) {
		X509 *cert;

		clients[i] = SSL_new(client_ctx);
		SSL_set_fd(clients[i], client_connect(f));
		assert_int_equal(SSL_connect(clients[i]), 1);
		cert = SSL_get1_peer_certificate(clients[i]);
		assert_int_equal(X509_cmp(cert, expected->cert), 0);
		X509_free(cert);
	}
	for (int i = 0; i < count; i++) {
		close(SSL_get_fd(clients[i]));
		SSL_free(clients[i]);
	}
	wait_connections(f, 0);
}

static void
new_reactors_show_the_certificate_as_it_is_then(void **state)
{
	struct fixture *f = *state;
	struct test_cert certs[3];
	SSL_CTX *ctxs[3];

	for (int i = 0; i < 3; i++) {
		certs[i] = test_leaf(&ca, "server", "localhost", 5);
		ctxs[i] = test_server_ctx(&certs[i], NULL, SSL_VERIFY_NONE);
	}
	f->settings.tls = ctxs[0];
	fixture_listen(f);
	SSL_CTX_free(ctxs[0]); /* the listener has counted it up */
	use(f, 3);
	expect_shown(f, 6, &certs[0]);
	listener_set_tls(f->listener, ctxs[1]);
	SSL_CTX_free(ctxs[1]);
	expect_shown(f, 6, &certs[1]);
	use(f, 6);
	expect_shown(f, 12, &certs[1]);
	use(f, 1);
	listener_set_tls(f->listener, ctxs[2]);
	SSL_CTX_free(ctxs[2]);
	use(f, 7);
	expect_shown(f, 14, &certs[2]);
	for (int i = 0; i < 3; i++)
		test_cert_free(&certs[i]);
}

/* ---- all at once ---- */

static _Atomic bool enough;

/* One connection after the other; each must be served. Returns how many were. */
static void *
come_and_go(void *arg)
{
	struct fixture *f = arg;
	intptr_t served = 0;

	while (!atomic_load(&enough)) {
		int fd = client_connect(f);

		for (int i = 0; i < 3; i++) {
			client_send_frame(fd, i == 1 ? "Tx" : "Ex", 2);
			client_expect(fd, i == 1 ? "Tx" : "Ex");
		}
		close(fd);
		served++;
	}
	return (void *)served;
}

static bool
requests_reached(void *arg)
{
	return atomic_load(&fix.requests) >= *(int *)arg;
}

static void
clients_that_come_and_go_notice_nothing_of_a_number_that_changes(void **state)
{
	static const int numbers[] = {3, 1, 8, 2, 5, 8, 1, 4};
	struct fixture *f = *state;
	pthread_t threads[4];
	intptr_t served = 0;

	fixture_listen(f);
	connect_more(f, 4);
	atomic_store(&enough, false);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, come_and_go, f);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int requests = atomic_load(&f->requests) + 100;

		use(f, numbers[i]);
		wait_until(requests_reached, &requests, "requests go on");
	}
	atomic_store(&enough, true);
	for (int i = 0; i < 4; i++) {
		void *count;

		pthread_join(threads[i], &count);
		served += (intptr_t)count;
	}
	assert_int_equal(atomic_load(&f->requests), 3 * served + client_count);
	assert_int_equal(reactors_count(f->reactors), 8);
	expect_all_served(f);
}

static void
a_close_ends_the_connections_of_all_reactors_and_those_that_wait_are_ended_later(void **state)
{
	struct fixture *f = *state;

	fixture_listen(f);
	connect_more(f, 2);
	use(f, 4);
	connect_more(f, 4);
	use(f, 1);
	connect_more(f, 1);
	listener_close(f->listener);
	f->listener = NULL;
	assert_int_equal(f->closed_count, client_count);
	for (int i = 0; i < client_count; i++)
		client_expect_end(fds[i]);
	for (int i = 0; i < client_count; i++)
		fixture_echo(fixture_take(f, i), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_two, close_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(new_connections_go_to_new_reactors_until_all_have_as_many),
	    TEST(with_fewer_reactors_connections_stay_and_new_ones_go_to_those_that_remain),
	    TEST(reactors_out_of_use_are_used_again),
	    TEST(a_listener_that_is_opened_later_takes_the_reactors_in_use),
	    TEST(all_reactors_accept_in_or_out_of_use),
	    TEST(room_is_made_where_most_connections_are_though_that_reactor_is_out_of_use),
	    cmocka_unit_test_setup_teardown(new_reactors_show_the_certificate_as_it_is_then,
					    open_two_with_tls, close_tls),
	    TEST(clients_that_come_and_go_notice_nothing_of_a_number_that_changes),
	    TEST(a_close_ends_the_connections_of_all_reactors_and_those_that_wait_are_ended_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
