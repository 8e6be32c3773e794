/*
 * net_fixture.h - a server of the net room inside the test's process, and blocking clients.
 *
 * The first byte of a frame says what the server does with it:
 *	'E'  echoes the frame          'D'  ends it without an answer
 *	'C'  closes the connection     'P'  parks it until the test ends it
 *	'T'  echoes from another thread 'Q'  echoes, throttled for 60 s of the fixture's clock
 *	'F'  "file:" and file_len bytes of the file, from file_pos
 *	'B'  drops the frame's bytes, then parks it
 */
#ifndef KLAMM_TESTS_NET_FIXTURE_H
#define KLAMM_TESTS_NET_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/workers.h"
#include "net/connection.h"
#include "net/listener.h"

#define FIXTURE_PARKED_MAX 4096
#define WAIT_MS 20000
#define RATE_WINDOWS 2 /* of connections per second */
#define RATE_WINDOW_MS 60000

struct fixture {
	struct env env; /* the machine, with a clock that can be moved on */
	_Atomic int64_t skipped_us;
	struct reactors *reactors;
	struct request_memory *memory;
	struct connection_limits *limits;
	struct workers *workers;
	struct net_handler handler;
	struct listener_settings settings;
	struct listener *listener;
	int port;

	pthread_mutex_t mutex;
	struct net_request *parked[FIXTURE_PARKED_MAX]; /* under mutex; NULL: ended */
	struct net_request *closed[FIXTURE_PARKED_MAX]; /* told by on_closed */
	int parked_count, closed_count;
	_Atomic int requests;    /* that came in */
	_Atomic int freed_users; /* connection slots that were freed */
	_Atomic int released;    /* parts of replies */
	_Atomic int64_t largest_used;
	char last_host[64], last_name[CONNECTION_NAME_LEN]; /* under mutex */
	char last_principal[256];
	bool refuse_connected;

	int file_fd;
	off_t file_pos;
	size_t file_len;

	int log_fd; /* what diag wrote */
};

/* Sets everything up but the listener: tests change settings, then call fixture_listen(). */
void fixture_open(struct fixture *f, int reactors, int64_t memory_ceiling);
void fixture_listen(struct fixture *f);
/* Closes the listener, ends what is parked, and closes the rest. */
void fixture_close(struct fixture *f);

/* Moves the clock on and wakes the loops. */
void fixture_skip_ms(struct fixture *f, int64_t ms);
/* How often text stands in what diag wrote. */
int fixture_logged(struct fixture *f, const char *text);

/* Waits until as many requests have been parked in all (or told closed). */
void fixture_wait_parked(struct fixture *f, int count);
void fixture_wait_closed(struct fixture *f, int count);
/* Takes the index-th parked request out, to be ended by the test. */
struct net_request *fixture_take(struct fixture *f, int index);
void fixture_echo(struct net_request *req, int32_t throttle_time_ms);

/* Waits until check(arg) holds; fails the test after WAIT_MS. */
void wait_until(bool (*check)(void *arg), void *arg, const char *what);
void wait_connections(struct fixture *f, int count);

/* Blocking client sockets, with a timeout of WAIT_MS on everything. */
int client_connect(struct fixture *f);
void client_send(int fd, const void *data, size_t len);
void client_send_frame(int fd, const void *data, size_t len);
/* Reads one frame; data (len bytes of room) gets its content. Returns its length. */
size_t client_read_frame(int fd, void *data, size_t len);
void client_expect(int fd, const char *text);
/* The server closes: end of stream, or a reset. Returns true for a clean end. */
bool client_expect_end(int fd);

#endif
