/*
 * Controlled shutdown: before we stop, the controller moves our leaderships to others and takes us
 * out of the ISRs, so that clients find the new leaders at once. When it does not succeed in time
 * the broker stops all the same; and soon, when the ensemble is away: no controller can write then
 * who leads instead.
 *
 * Source  zookeeper-and-controller, section 4.6: Kafka's KafkaServer.controlledShutdown.
 */
#include <errno.h>
#include <pthread.h>

#include "base/diag.h"
#include "broker/broker_internal.h"
#include "wire/api_table.h"
#include "wire/generated/controlled_shutdown.h"
#include "wire/kerr.h"

#define CONTROLLED_SHUTDOWN_VERSION 3
#define LOOK_MS 100           /* how often an attempt that waits looks for the ensemble */
#define ENSEMBLE_AWAY_MS 3000 /* longer than it takes to go to another server */

/* One attempt, begun on the reactor and waited for here. */
struct attempt {
	struct broker *b;
	struct controller_peer peer;
	struct lock lock;
	pthread_cond_t done_changed;
	bool done;
	int st;            /* 0, K_... or -errno */
	int32_t remaining; /* partitions that we lead still */
};

static void
finish(struct attempt *a, int st, int32_t remaining)
{
	lock_acquire(&a->lock);
	a->st = st;
	a->remaining = remaining;
	a->done = true;
	pthread_cond_signal(&a->done_changed);
	lock_release(&a->lock);
}

static void
on_answer(void *arg, int status, struct slice body)
{
	struct controlled_shutdown_response resp = {0};
	struct attempt *a = arg;
	struct arena arena;
	struct wire_in in;

	arena_init(&arena, body.len * 16 + 4096);
	wire_in_init(&in, body, &arena);
	if (status == 0)
		status =
		    controlled_shutdown_response_decode(&resp, CONTROLLED_SHUTDOWN_VERSION, &in);
	finish(a, status != 0 ? status : resp.error_code, resp.remaining_partitions_count);
	arena_fini(&arena);
}

static void
begin(void *arg)
{
	struct attempt *a = arg;
	struct broker *b = a->b;
	struct controlled_shutdown_request req = {.broker_id = b->id,
						  .broker_epoch = atomic_load(&b->epoch)};
	struct buf body = {0};
	struct wire_out out;
	int st;

	wire_out_init(&out, &body);
	st = controlled_shutdown_request_encode(&req, CONTROLLED_SHUTDOWN_VERSION, &out);
	wire_out_fini(&out);
	if (st == 0)
		st = controller_peer_call(
		    &a->peer, API_CONTROLLED_SHUTDOWN, CONTROLLED_SHUTDOWN_VERSION, true, &body,
		    broker_conf_of(b)->controller_socket_timeout_ms, on_answer, a);
	else
		buf_fini(&body);
	if (st != 0)
		finish(a, st, 0);
}

static void
end(void *arg)
{
	struct attempt *a = arg;

	controller_peer_fini(&a->peer);
}

/* Waits for at most LOOK_MS. */
static bool
is_done(struct attempt *a)
{
	struct timespec until;
	bool done;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	lock_acquire(&a->lock);
	if (!a->done)
		pthread_cond_timedwait(&a->done_changed, &a->lock.mutex, &until);
	done = a->done;
	lock_release(&a->lock);
	return done;
}

/* Returns false when the ensemble was away for too long. */
static bool
run_attempt(struct attempt *a)
{
	struct reactor *r = reactors_get(a->b->reactors, 0);
	int64_t connected_ms = env_monotonic_ms(a->b->env), now_ms = connected_ms;

	a->done = false;
	reactor_call(r, begin, a);
	while (!is_done(a) && now_ms - connected_ms < ENSEMBLE_AWAY_MS) {
		now_ms = env_monotonic_ms(a->b->env);
		if (zk_connected(a->b->zk))
			connected_ms = now_ms;
	}
	reactor_call(r, end, a);
	return now_ms - connected_ms < ENSEMBLE_AWAY_MS;
}

/* Nobody else is there to take over. */
static bool
is_alone(struct broker *b)
{
	size_t count;

	metadata_brokers(metadata_read(b->metadata), &count);
	metadata_done(b->metadata);
	return count <= 1;
}

static void
pause_ms(int64_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

void
broker_controlled_shutdown(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	struct attempt a = {.b = b};
	bool ensemble_is_there = true;

	if (!conf->controlled_shutdown_enable || is_alone(b))
		return;
	lock_init(&a.lock, LOCK_BROKER);
	pthread_cond_init(&a.done_changed, NULL);
	for (int64_t i = 0; ensemble_is_there && i < conf->controlled_shutdown_max_retries; i++) {
		if (i > 0 && a.st != -ECANCELED) /* another controller is known already */
			pause_ms(conf->controlled_shutdown_retry_backoff_ms);
		broker_controller_peer(b, conf->controller_socket_timeout_ms, &a.peer);
		ensemble_is_there = run_attempt(&a);
		if (a.st == 0 && a.remaining == 0)
			break;
		diag_warn(DIAG_BROKER, "controlled shutdown did not succeed",
			  "attempt=%lld of=%lld still_leads=%d error=%s", (long long)i + 1,
			  (long long)conf->controlled_shutdown_max_retries, a.remaining,
			  a.st < 0 ? strerror(-a.st) : kerr_name(a.st));
	}
	if (a.st == 0 && a.remaining == 0)
		diag_info(DIAG_BROKER, "leaderships have moved to other brokers", "broker=%d",
			  b->id);
	else if (!ensemble_is_there)
		diag_warn(DIAG_BROKER,
			  "stopping without handing leaderships over: the ensemble is away", "");
	pthread_cond_destroy(&a.done_changed);
	lock_fini(&a.lock);
}
