/*
 * Clients that do as they please, from a printed seed: frames of all sizes cut anywhere, pipelined,
 * some answered late or on another thread, some clients gone in the middle. Whoever stays gets
 * every answer, whole and in order; at the end nothing is left. KLAMM_SEED replays a run as far as
 * the clients' choices go.
 */
#include "net_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8
#define CONNECTIONS 12 /* of each client, one after the other */
#define FRAME_MAX 40000
#define CEILING 262144

static struct fixture fix;
static _Atomic bool stop_parker;

struct client {
	uint64_t state;
	pthread_t thread;
	int answered;
};

static uint64_t
next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Mostly small frames; now and then one that needs several reads. */
static size_t
frame_len(uint64_t *state)
{
	return 1 + next(state) % (next(state) % 4 == 0 ? FRAME_MAX : 300);
}

static void
fill(uint8_t *data, size_t len, uint32_t number)
{
	for (size_t i = 1; i < len; i++)
		data[i] = (uint8_t)(number * 31 + i);
}

/* Sends in pieces. False when the server has closed, which a client that misbehaves may see. */
static bool
send_cut(int fd, const uint8_t *data, size_t len, uint64_t *state)
{
	while (len > 0) {
		size_t piece = 1 + next(state) % (next(state) % 3 == 0 ? 7 : len);
		ssize_t n;

		piece = piece < len ? piece : len;
		n = send(fd, data, piece, MSG_NOSIGNAL);
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void
expect_frame(int fd, char kind, size_t len, uint32_t number)
{
	static _Thread_local uint8_t got[FRAME_MAX], wanted[FRAME_MAX];

	assert_int_equal(client_read_frame(fd, got, sizeof(got)), len);
	wanted[0] = (uint8_t)kind;
	fill(wanted, len, number);
	assert_memory_equal(got, wanted, len);
}

static void
one_connection(struct client *c, int fd)
{
	static const char kinds[] = "EEEETTP";
	struct buf b = {0};
	bool leaves = next(&c->state) % 4 == 0;
	int rounds = 1 + (int)(next(&c->state) % 20);

	for (int round = 0; round < rounds; round++) {
		int count = 1 + (int)(next(&c->state) % 5);
		uint32_t first = (uint32_t)next(&c->state);
		char kind[5];
		size_t len[5];

		b.len = 0;
		for (int i = 0; i < count; i++) {
			uint8_t *data;

			kind[i] = kinds[next(&c->state) % (sizeof(kinds) - 1)];
			len[i] = frame_len(&c->state);
			buf_append_be32(&b, (uint32_t)len[i]);
			data = buf_extend(&b, len[i]);
			assert_non_null(data);
			data[0] = (uint8_t)kind[i];
			fill(data, len[i], first + (uint32_t)i);
		}
		if (leaves && round == rounds - 1) {
			/* In the middle of what it says, at times by a reset. */
			struct linger reset = {.l_onoff = next(&c->state) % 2 == 0};

			send_cut(fd, b.data, next(&c->state) % b.len, &c->state);
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			break;
		}
		assert_true(send_cut(fd, b.data, b.len, &c->state));
		for (int i = 0; i < count; i++)
			expect_frame(fd, kind[i], len[i], first + (uint32_t)i);
		c->answered += count;
	}
	buf_fini(&b);
}

static void *
run_client(void *arg)
{
	struct client *c = arg;

	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = client_connect(&fix);

		one_connection(c, fd);
		close(fd);
	}
	return NULL;
}

/* Ends what is parked, soon, from a thread of its own. */
static void *
run_parker(void *arg)
{
	int at = 0;

	(void)arg;
	while (!atomic_load(&stop_parker)) {
		struct net_request *req = NULL;

		pthread_mutex_lock(&fix.mutex);
		if (at < fix.parked_count) {
			req = fix.parked[at];
			fix.parked[at++] = NULL;
		}
		pthread_mutex_unlock(&fix.mutex);
		if (req != NULL)
			fixture_echo(req, 0);
		else
			sched_yield();
	}
	return NULL;
}

static void
whoever_stays_gets_every_answer_whole_and_in_order(void **state)
{
	const char *given = getenv("KLAMM_SEED");
	struct client clients[CLIENTS];
	pthread_t parker;
	uint64_t seed;
	int answered = 0;

	(void)state;
	env_random(env_system(), &seed, sizeof(seed));
	if (given != NULL)
		seed = strtoull(given, NULL, 10);
	print_message("KLAMM_SEED=%llu\n", (unsigned long long)seed);
	fixture_open(&fix, 2, CEILING);
	fix.settings.request_max_bytes = CEILING;
	fixture_listen(&fix);
	atomic_store(&stop_parker, false);
	pthread_create(&parker, NULL, run_parker, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.state = seed + (uint64_t)i * 7919};
		pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		answered += clients[i].answered;
	}
	wait_connections(&fix, 0);
	atomic_store(&stop_parker, true);
	pthread_join(parker, NULL);
	assert_true(answered > 0);
	assert_true(atomic_load(&fix.requests) >= answered);
	assert_true(atomic_load(&fix.largest_used) <= CEILING);
	assert_int_equal(fixture_logged(&fix, "frame size not allowed"), 0);
	fixture_close(&fix); /* nothing is reserved, no connection counted */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whoever_stays_gets_every_answer_whole_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
