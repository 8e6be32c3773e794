/*
 * The server answers by API key: 1 echoes the request's body, 2 parks it, 3 closes, 4 answers with
 * a wrong correlation id, 5 with an answer too short to have one, 6 with tagged fields in the
 * header, 7 with broken ones.
 */
#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/rpc_client.h"
#include "test_certs.h"

#define RESULTS 256

static struct fixture fix;
static struct rpc_settings settings;
static struct rpc_client *rpc;
static uint8_t last_header[64]; /* of the request that came in last */
static size_t last_header_len;

/* What callbacks saw, in their order; written on the reactor, read after `count`. */
static struct {
	int number;
	int status;
	size_t len;
	uint8_t first;
} results[RESULTS];
static int result_index; /* of the reactor */
static _Atomic int result_count;

static struct reactor *
reactor(void)
{
	return reactors_get(fix.reactors, 0);
}

static void
answer(struct net_request *req, uint32_t correlation_id, const char *header, size_t header_len,
       const uint8_t *body, size_t len)
{
	struct net_reply reply;
	struct buf b = {0};

	net_reply_init(&reply);
	buf_append_be32(&b, correlation_id);
	buf_append(&b, header, header_len);
	buf_append(&b, body, len);
	net_reply_add_buf(&reply, &b);
	net_request_answer(req, &reply);
}

static void
serve_rpc(void *arg, struct net_request *req)
{
	uint16_t key = get_be16(req->bytes), version = get_be16(req->bytes + 2), id_len;
	uint32_t id = get_be32(req->bytes + 4);
	size_t header = 8;
	struct net_reply reply;
	struct buf b = {0};

	(void)arg;
	atomic_fetch_add(&fix.requests, 1);
	id_len = get_be16(req->bytes + 8);
	header += 2u + (id_len == UINT16_MAX ? 0 : id_len);
	if (version >= 10) /* flexible, in this test */
		header++;
	assert_true(header <= sizeof(last_header));
	memcpy(last_header, req->bytes, header);
	last_header_len = header;
	switch (key) {
	case 2:
		pthread_mutex_lock(&fix.mutex);
		fix.parked[fix.parked_count++] = req;
		pthread_mutex_unlock(&fix.mutex);
		break;
	case 3:
		net_request_close(req);
		break;
	case 4:
		answer(req, id + 1, "", 0, NULL, 0);
		break;
	case 5:
		net_reply_init(&reply);
		buf_append(&b, "ab", 2);
		net_reply_add_buf(&reply, &b);
		net_request_answer(req, &reply);
		break;
	case 6: /* two tagged fields: 5 with three bytes, 300 with none */
		answer(req, id, "\2\5\3abc\254\2\0", 9, req->bytes + header, req->len - header);
		break;
	case 7:
		answer(req, id, "\1\5\377\377\377\377\17", 7, NULL, 0);
		break;
	default:
		answer(req, id, "", version >= 10 ? 1 : 0, req->bytes + header, req->len - header);
	}
}

static int
open_fixture(void **state)
{
	fixture_open(&fix, 2, -1);
	fix.handler.on_request = serve_rpc;
	rpc_settings_init(&settings);
	settings.host = "127.0.0.1";
	settings.client_id = "broker-7";
	result_index = 0;
	atomic_store(&result_count, 0);
	*state = &fix;
	return 0;
}

static void
close_rpc(void *arg)
{
	(void)arg;
	rpc_close(rpc);
	rpc = NULL;
}

static int
close_fixture(void **state)
{
	if (rpc != NULL)
		reactor_call(reactor(), close_rpc, NULL);
	fixture_close(*state);
	return 0;
}

static void
open_rpc_here(void *arg)
{
	(void)arg;
	assert_int_equal(rpc_open(reactor(), &settings, &rpc), 0);
}

static void
open_rpc(void)
{
	settings.port = fix.port;
	reactor_call(reactor(), open_rpc_here, NULL);
}

struct ask {
	int number;
	int16_t key, version;
	bool flexible;
	size_t len;
	int64_t timeout_ms;
	struct ask *then; /* made from the callback */
	bool close;       /* the client, from the callback */
	bool take;        /* the answer's memory */
};

static void make_call(void *arg);

static void
record(void *arg, int status, struct slice body)
{
	struct ask *ask = arg;
	int at = result_index++;

	results[at].number = ask->number;
	results[at].status = status;
	results[at].len = body.len;
	results[at].first = body.len > 0 ? body.data[0] : 0;
	if (status == 0 && ask->take) {
		void *block = rpc_take_body(rpc);

		assert_true((const uint8_t *)block <= body.data);
		free(block);
	}
	if (ask->then != NULL)
		make_call(ask->then);
	if (ask->close && rpc != NULL)
		close_rpc(NULL);
	atomic_fetch_add(&result_count, 1);
}

static void
make_call(void *arg)
{
	struct ask *ask = arg;
	struct buf body = {0};
	uint8_t *p = ask->len > 0 ? buf_extend(&body, ask->len) : NULL;

	if (p != NULL)
		memset(p, 'a' + ask->number % 26, ask->len);
	rpc_call(rpc, ask->key, ask->version, ask->flexible, &body,
		 ask->timeout_ms == 0 ? WAIT_MS : ask->timeout_ms, record, ask);
}

static void
ask(struct ask *a)
{
	reactor_call(reactor(), make_call, a);
}

struct ask_list {
	struct ask *asks;
	int count;
};

static void
make_calls(void *arg)
{
	struct ask_list *list = arg;

	for (int i = 0; i < list->count; i++)
		make_call(&list->asks[i]);
}

/* All in one turn of the loop. */
static void
ask_all(struct ask *asks, int count)
{
	reactor_call(reactor(), make_calls, &(struct ask_list){asks, count});
}

static bool
so_many_results(void *arg)
{
	return atomic_load(&result_count) >= *(int *)arg;
}

static void
wait_results(int count)
{
	wait_until(so_many_results, &count, "answers");
}

static void
expect(int at, int number, int status, size_t len)
{
	if (results[at].number != number || results[at].status != status || results[at].len != len)
		fail_msg("result %d: call %d status %d length %zu; wanted call %d status %d %zu",
			 at, results[at].number, results[at].status, results[at].len, number,
			 status, len);
	if (len > 0)
		assert_int_equal(results[at].first, 'a' + number % 26);
}

static void
a_call_is_answered_with_kafkas_headers_around_it(void **state)
{
	struct ask plain = {.number = 1, .key = 1, .version = 3, .len = 10};
	struct ask flexible = {.number = 2, .key = 1, .version = 12, .flexible = true, .len = 5};

	fixture_listen(*state);
	open_rpc();
	ask(&plain);
	wait_results(1);
	expect(0, 1, 0, 10);
	assert_int_equal(last_header_len, 18);
	assert_memory_equal(last_header, "\0\1\0\3\0\0\0\0\0\10broker-7", 18);
	ask(&flexible);
	wait_results(2);
	expect(1, 2, 0, 5);
	assert_memory_equal(last_header, "\0\1\0\14\0\0\0\1\0\10broker-7\0", 19);
}

static void
a_client_without_id_sends_null(void **state)
{
	struct ask a = {.number = 1, .key = 1, .version = 0};

	settings.client_id = NULL;
	fixture_listen(*state);
	open_rpc();
	ask(&a);
	wait_results(1);
	assert_memory_equal(last_header, "\0\1\0\0\0\0\0\0\377\377", 10);
}

static void
calls_are_pipelined_and_answered_in_order(void **state)
{
	struct fixture *f = *state;
	struct ask asks[100];

	settings.max_in_flight = 7;
	fixture_listen(f);
	open_rpc();
	for (int i = 0; i < 100; i++) {
		asks[i] = (struct ask){.number = i,
				       .key = i % 10 == 3 ? 2 : 1,
				       .version = 1,
				       .len = (size_t)i * 997,
				       .take = i % 2 == 0};
		ask(&asks[i]);
	}
	for (int i = 0; i < 10; i++) {
		struct net_request *req;
		uint32_t id;

		fixture_wait_parked(f, i + 1);
		assert_true(atomic_load(&result_count) <= i * 10 + 3);
		req = fixture_take(f, i);
		id = get_be32(req->bytes + 4);
		answer(req, id, "", 0, req->bytes + 18, req->len - 18);
	}
	wait_results(100);
	for (int i = 0; i < 100; i++)
		expect(i, i, 0, (size_t)i * 997);
}

static void
answers_larger_than_all_buffers_come_whole(void **state)
{
	struct ask a = {.number = 1, .key = 1, .version = 1, .len = 5000000, .take = true};
	struct ask b = {.number = 2, .key = 1, .version = 1, .len = 3};

	fixture_listen(*state);
	open_rpc();
	ask(&a);
	ask(&b);
	wait_results(2);
	expect(0, 1, 0, 5000000);
	expect(1, 2, 0, 3);
}

static void
tagged_fields_of_an_answers_header_are_skipped(void **state)
{
	struct ask good = {.number = 1, .key = 6, .version = 10, .flexible = true, .len = 4};
	struct ask bad = {.number = 2, .key = 7, .version = 10, .flexible = true};

	fixture_listen(*state);
	open_rpc();
	ask(&good);
	wait_results(1);
	expect(0, 1, 0, 4);
	ask(&bad);
	wait_results(2);
	expect(1, 2, -EPROTO, 0);
}

static void
what_cannot_be_our_answer_ends_the_connection(void **state)
{
	struct ask wrong = {.number = 1, .key = 4, .version = 1};
	struct ask behind = {.number = 2, .key = 1, .version = 1};
	struct ask tiny = {.number = 3, .key = 5, .version = 1};
	struct ask huge = {.number = 4, .key = 1, .version = 1, .len = 2000};
	struct ask good = {.number = 5, .key = 1, .version = 1, .len = 20};

	settings.response_max_bytes = 1000;
	settings.backoff_ms = settings.backoff_max_ms = 0;
	fixture_listen(*state);
	open_rpc();
	ask(&wrong);
	wait_results(1);
	expect(0, 1, -EPROTO, 0);
	ask(&behind);
	wait_results(2);
	expect(1, 2, 0, 0);
	ask(&tiny);
	wait_results(3);
	expect(2, 3, -EPROTO, 0);
	ask(&huge);
	wait_results(4);
	expect(3, 4, -EMSGSIZE, 0);
	ask(&good);
	wait_results(5);
	expect(4, 5, 0, 20);
}

static void
a_call_that_times_out_ends_those_behind_it_too(void **state)
{
	struct fixture *f = *state;
	struct ask slow = {.number = 1, .key = 2, .version = 1, .timeout_ms = 3000};
	struct ask behind = {.number = 2, .key = 1, .version = 1, .timeout_ms = 9000};
	struct ask later = {.number = 3, .key = 1, .version = 1};

	settings.backoff_ms = settings.backoff_max_ms = 0;
	fixture_listen(f);
	open_rpc();
	ask(&slow);
	ask(&behind);
	fixture_wait_parked(f, 1);
	fixture_skip_ms(f, 2900);
	assert_int_equal(atomic_load(&result_count), 0);
	fixture_skip_ms(f, 200);
	wait_results(2);
	expect(0, 1, -ETIMEDOUT, 0);
	expect(1, 2, -ECONNRESET, 0);
	fixture_wait_closed(f, 1);
	net_request_done(fixture_take(f, 0));
	ask(&later);
	wait_results(3);
	expect(2, 3, 0, 0);
}

static void
a_connection_that_is_lost_ends_its_calls_and_the_next_call_connects_anew(void **state)
{
	struct fixture *f = *state;
	struct ask first = {.number = 1, .key = 1, .version = 1};
	struct ask again = {.number = 4, .key = 1, .version = 1};
	struct ask both[] = {{.number = 2, .key = 3, .version = 1, .then = &again},
			     {.number = 3, .key = 1, .version = 1}};

	settings.backoff_ms = 1000;
	settings.backoff_max_ms = 1000;
	fixture_listen(f);
	open_rpc();
	ask(&first);
	wait_results(1);
	ask_all(both, 2);
	wait_results(3);
	expect(1, 2, -ECONNRESET, 0);
	expect(2, 3, -ECONNRESET, 0);
	/* The call made from the callback waits for the back-off of 1000 ms, give or take 200. */
	fixture_skip_ms(f, 700);
	assert_int_equal(atomic_load(&result_count), 3);
	fixture_skip_ms(f, 600);
	wait_results(4);
	expect(3, 4, 0, 0);
}

static void
look_at_backoff(void *arg)
{
	*(int64_t *)arg = rpc_backoff_left_ms(rpc);
}

static void
the_back_off_doubles_up_to_its_maximum(void **state)
{
	struct fixture *f = *state;
	static const int64_t expected[] = {1000, 2000, 4000, 5000, 5000};
	int unused;

	/* A port that nobody listens on. */
	fixture_listen(f);
	unused = f->port;
	listener_close(f->listener);
	f->listener = NULL;
	settings.backoff_ms = 1000;
	settings.backoff_max_ms = 5000;
	f->port = unused;
	open_rpc();
	for (int i = 0; i < 5; i++) {
		struct ask a = {.number = i, .key = 1, .version = 1, .timeout_ms = 60000};
		int64_t left_ms;

		ask(&a);
		wait_results(i + 1);
		expect(i, i, -ECONNREFUSED, 0);
		reactor_call(reactor(), look_at_backoff, &left_ms);
		if (left_ms < expected[i] * 8 / 10 - 500 || left_ms > expected[i] * 12 / 10)
			fail_msg("back-off %d is %lld ms", i, (long long)left_ms);
		fixture_skip_ms(f, left_ms + 1);
	}
}

/* A listener whose queue is full: connections neither come up nor fail. */
static void
connecting_has_its_own_time_limit(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[8];
	struct ask shorter = {.number = 1, .key = 1, .version = 1, .timeout_ms = 3000};
	struct ask longer = {.number = 2, .key = 1, .version = 1, .timeout_ms = 60000};

	assert_int_equal(bind(silent, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(silent, 0), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&addr, &len), 0);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(fill[i], (struct sockaddr *)&addr, sizeof(addr));
	}
	fixture_listen(f);
	f->port = ntohs(addr.sin_port);
	settings.connect_timeout_ms = 10000;
	open_rpc();
	ask(&shorter);
	ask(&longer);
	fixture_skip_ms(f, 3100);
	wait_results(1);
	expect(0, 1, -ETIMEDOUT, 0);
	fixture_skip_ms(f, 7000);
	wait_results(2);
	expect(1, 2, -ETIMEDOUT, 0);
	close(silent);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++)
		close(fill[i]);
}

static void
names_are_looked_up_on_a_worker(void **state)
{
	struct fixture *f = *state;
	struct ask a = {.number = 1, .key = 1, .version = 1, .len = 3};
	struct ask b = {.number = 2, .key = 1, .version = 1, .len = 3};

	settings.host = "localhost";
	settings.workers = f->workers;
	fixture_listen(f);
	open_rpc();
	ask(&a);
	wait_results(1);
	expect(0, 1, 0, 3);
	reactor_call(reactor(), close_rpc, NULL);
	settings.host = "host..invalid";
	open_rpc();
	ask(&b);
	wait_results(2);
	expect(1, 2, -EHOSTUNREACH, 0);
}

static void
closing_ends_all_calls_even_from_a_callback(void **state)
{
	struct ask asks[6];

	fixture_listen(*state);
	open_rpc();
	for (int i = 0; i < 6; i++)
		asks[i] = (struct ask){
		    .number = i, .key = i == 0 ? 1 : 2, .version = 1, .len = 4, .close = i == 0};
	ask_all(asks, 6);
	wait_results(6);
	for (int i = 0; i < 6; i++)
		expect(i, i, i == 0 ? 0 : -ECANCELED, i == 0 ? 4 : 0);
	assert_null(rpc);
}

static void
closing_while_calls_fail_ends_the_rest_of_them(void **state)
{
	struct ask asks[4];

	fixture_listen(*state);
	open_rpc();
	for (int i = 0; i < 4; i++)
		asks[i] =
		    (struct ask){.number = i, .key = i == 0 ? 3 : 1, .version = 1, .close = i == 1};
	ask_all(asks, 4);
	wait_results(4);
	for (int i = 0; i < 4; i++)
		expect(i, i, i < 2 ? -ECONNRESET : -ECANCELED, 0);
	assert_null(rpc);
}

static void
closing_during_a_lookup_is_safe(void **state)
{
	struct fixture *f = *state;
	struct ask a = {.number = 1, .key = 1, .version = 1};

	settings.host = "localhost";
	settings.workers = f->workers;
	fixture_listen(f);
	open_rpc();
	ask(&a);
	reactor_call(reactor(), close_rpc, NULL);
	wait_results(1);
	assert_true(results[0].status == -ECANCELED || results[0].status == 0);
}

static void
disconnect_here(void *arg)
{
	(void)arg;
	rpc_disconnect(rpc);
}

static void
an_idle_connection_is_closed_and_made_again_when_needed(void **state)
{
	struct fixture *f = *state;
	struct ask a = {.number = 1, .key = 1, .version = 1};
	struct ask b = {.number = 2, .key = 1, .version = 1};
	struct ask c = {.number = 3, .key = 1, .version = 1};

	settings.idle_ms = 5000;
	fixture_listen(f);
	open_rpc();
	ask(&a);
	wait_results(1);
	fixture_skip_ms(f, 5001);
	wait_connections(f, 0);
	ask(&b);
	wait_results(2);
	expect(1, 2, 0, 0);
	reactor_call(reactor(), disconnect_here, NULL);
	wait_connections(f, 0);
	ask(&c);
	wait_results(3);
	expect(2, 3, 0, 0);
}

/* ---- TLS ---- */

static struct client_tls *
client_tls_of(SSL_CTX *ctx, bool verify_host)
{
	struct client_tls *tls;

	assert_int_equal(client_tls_open(ctx, verify_host, &tls), 0);
	return tls;
}

static void
calls_go_over_tls_and_sessions_are_resumed(void **state)
{
	struct fixture *f = *state;
	struct test_cert ca = test_ca("CA"), own = test_leaf(&ca, "s", "localhost", 5);
	struct metric *resumed = metrics_get(METRIC_TLS_HANDSHAKES, "TEST,resumed");
	int64_t before = metric_value(resumed);
	struct ask asks[3];

	f->settings.endpoint.protocol = SECURITY_SSL;
	f->settings.tls = test_server_ctx(&own, NULL, SSL_VERIFY_NONE);
	settings.tls = client_tls_of(test_client_ctx(NULL, ca.cert), true);
	fixture_listen(f);
	open_rpc();
	for (int i = 0; i < 3; i++) {
		if (i == 2) /* a new context has no session yet */
			client_tls_replace(settings.tls, test_client_ctx(NULL, ca.cert), true);
		asks[i] = (struct ask){
		    .number = i, .key = 1, .version = 12, .flexible = true, .len = 90000};
		ask(&asks[i]);
		wait_results(i + 1);
		expect(i, i, 0, 90000);
		reactor_call(reactor(), disconnect_here, NULL);
		wait_connections(f, 0);
	}
	assert_int_equal(metric_value(resumed), before + 1);
	SSL_CTX_free(f->settings.tls);
	reactor_call(reactor(), close_rpc, NULL);
	client_tls_close(settings.tls);
	test_cert_free(&ca);
	test_cert_free(&own);
}

/* As when a client certificate is renewed: the next connection is who the new one says. */
static void
a_new_context_is_used_by_the_next_connection(void **state)
{
	struct fixture *f = *state;
	struct test_cert ca = test_ca("CA"), own = test_leaf(&ca, "s", "localhost", 5);
	struct test_cert other = test_ca("Other CA");
	struct ask asks[3];

	f->settings.endpoint.protocol = SECURITY_SSL;
	f->settings.tls = test_server_ctx(&own, NULL, SSL_VERIFY_NONE);
	settings.tls = client_tls_of(test_client_ctx(NULL, ca.cert), true);
	fixture_listen(f);
	open_rpc();
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			client_tls_replace(settings.tls, test_client_ctx(NULL, other.cert), true);
		if (i == 2) {
			reactor_call(reactor(), disconnect_here, NULL);
			wait_connections(f, 0);
		}
		asks[i] = (struct ask){.number = i, .key = 1, .version = 1};
		ask(&asks[i]);
		wait_results(i + 1);
		expect(i, i, i == 2 ? -EPROTO : 0, 0);
	}
	reactor_call(reactor(), close_rpc, NULL);
	SSL_CTX_free(f->settings.tls);
	client_tls_close(settings.tls);
	test_cert_free(&ca);
	test_cert_free(&own);
	test_cert_free(&other);
}

static void
a_server_with_a_wrong_name_or_issuer_is_refused(void **state)
{
	struct fixture *f = *state;
	struct test_cert ca = test_ca("CA"), own = test_leaf(&ca, "s", NULL, 5);
	struct test_cert other = test_ca("Other CA");
	struct ask asks[3];

	f->settings.endpoint.protocol = SECURITY_SSL;
	f->settings.tls = test_server_ctx(&own, NULL, SSL_VERIFY_NONE);
	fixture_listen(f);
	for (int i = 0; i < 3; i++) {
		settings.tls =
		    client_tls_of(test_client_ctx(NULL, i == 1 ? other.cert : ca.cert), i == 0);
		open_rpc();
		asks[i] = (struct ask){.number = i, .key = 1, .version = 1};
		ask(&asks[i]);
		wait_results(i + 1);
		expect(i, i, i == 2 ? 0 : -EPROTO, 0);
		reactor_call(reactor(), close_rpc, NULL);
		client_tls_close(settings.tls);
	}
	SSL_CTX_free(f->settings.tls);
	test_cert_free(&ca);
	test_cert_free(&own);
	test_cert_free(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_call_is_answered_with_kafkas_headers_around_it),
	    TEST(a_client_without_id_sends_null),
	    TEST(calls_are_pipelined_and_answered_in_order),
	    TEST(answers_larger_than_all_buffers_come_whole),
	    TEST(tagged_fields_of_an_answers_header_are_skipped),
	    TEST(what_cannot_be_our_answer_ends_the_connection),
	    TEST(a_call_that_times_out_ends_those_behind_it_too),
	    TEST(a_connection_that_is_lost_ends_its_calls_and_the_next_call_connects_anew),
	    TEST(the_back_off_doubles_up_to_its_maximum),
	    TEST(connecting_has_its_own_time_limit),
	    TEST(names_are_looked_up_on_a_worker),
	    TEST(closing_ends_all_calls_even_from_a_callback),
	    TEST(closing_while_calls_fail_ends_the_rest_of_them),
	    TEST(closing_during_a_lookup_is_safe),
	    TEST(an_idle_connection_is_closed_and_made_again_when_needed),
	    TEST(calls_go_over_tls_and_sessions_are_resumed),
	    TEST(a_new_context_is_used_by_the_next_connection),
	    TEST(a_server_with_a_wrong_name_or_issuer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
