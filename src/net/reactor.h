/*
 * reactor.h - event loops: one libevent base, one mailbox, one set of timers per thread.
 *
 * A `struct reactors` is the broker's group of n loops on n threads of its own; connections live
 * on these. A thread that owns its time (the controller, a fetcher) may open a single reactor and
 * run it itself: outgoing calls (rpc_client.h) work on either.
 *
 * A group may grow while it runs, and only its first loops may be in use for new connections. None
 * ends before the group does: a request that waits is ended on its loop long after its listener.
 *
 * Order of a stop: close the listeners, the RPC clients and the HTTP server, answer or give up
 * every request that still waits, then reactors_close().
 *
 * Threads  reactor_post(), reactors_get(), reactors_count() and reactors_in_use() from any thread;
 *          a group is opened, changed and closed on one, which is none of its own; the rest as said
 *          at each call.
 */
#ifndef KLAMM_NET_REACTOR_H
#define KLAMM_NET_REACTOR_H

#include "base/env.h"
#include "base/mailbox.h"
#include "base/timers.h"

struct event_base; /* libevent's */
struct reactor;
struct reactors;

/*
 * Starts count (>= 1) loops on threads named "reactor-0" and so on, all of them in use. env gives
 * the clock and is borrowed until the close. All signals are blocked on these threads.
 * Returns 0 or -errno (-ENOMEM, -EAGAIN, -EMFILE).
 */
MUST_CHECK int reactors_open(struct env *env, int count, struct reactors **ret_reactors);
/*
 * Starts more, up to count, if there are fewer; they are not in use yet. Returns as above, and then
 * none has been started.
 */
MUST_CHECK int reactors_grow(struct reactors *rs, int count);
/*
 * The first count, of those that were started, are in use from now on: a listener that is opened
 * takes these (listener_use_reactors() tells one that is open). The others go on with what they
 * have and else sleep.
 */
void reactors_use(struct reactors *rs, int count);
int reactors_in_use(struct reactors *rs);
/*
 * Runs what was posted so far, ends the threads and frees everything. Accepts NULL. A request
 * that was never answered is reported as an error line and its memory left alone.
 * Never from a reactor's own thread.
 */
void reactors_close(struct reactors *rs);
/* All that were started. */
int reactors_count(struct reactors *rs);
/* index counts from 0. The pointer lives as long as the group. */
struct reactor *reactors_get(struct reactors *rs, int index);

/* One loop that the calling thread will run itself. Returns 0 or -errno. */
MUST_CHECK int reactor_open(struct env *env, const char *name, struct reactor **ret_reactor);
/* Runs on the calling thread until reactor_stop(), and may run again; SIGPIPE stays blocked. */
void reactor_run(struct reactor *r);
/* From any thread: reactor_run() returns after the messages posted before this. */
void reactor_stop(struct reactor *r);
/* After reactor_run() has returned, or before it was ever called. Accepts NULL. */
void reactor_close(struct reactor *r);

/* Runs fn(arg) on the reactor's thread, in the order of posting. From any thread. Never fails. */
void reactor_post(struct reactor *r, mailbox_fn *fn, void *arg);
/* The same, and waits until it has run. Never from a reactor's thread, nor with a lock held. */
void reactor_call(struct reactor *r, mailbox_fn *fn, void *arg);

/* The reactor whose thread this is, or NULL. */
struct reactor *reactor_current(void);
/* "reactor-0". */
const char *reactor_name(const struct reactor *r);
struct env *reactor_env(struct reactor *r);

/* ---- on the reactor's thread only ---- */

/* Monotonic milliseconds, read once per turn of the loop: cheap, and late by at most a turn. */
int64_t reactor_now_ms(struct reactor *r);
/* timer_init() first. Deadlines are in reactor_now_ms(); runs on the reactor's thread. */
void reactor_arm(struct reactor *r, struct timer *t, int64_t deadline_ms);
void reactor_cancel(struct reactor *r, struct timer *t);
/* For what speaks libevent itself (the HTTP server). */
struct event_base *reactor_base(struct reactor *r);

/* A task waits for the end of the current turn of the loop. Owned and zeroed by its user. */
struct reactor_task {
	struct reactor_task *next, *prev;
	void (*fn)(struct reactor_task *task);
	uint64_t turn;
};

/*
 * Runs task->fn once after the events of this turn, before the loop waits again. A task that is
 * queued already stays where it is; one that is queued while tasks run waits for the next turn,
 * which then does not block.
 */
void reactor_defer(struct reactor *r, struct reactor_task *task);
void reactor_defer_cancel(struct reactor_task *task);

#endif
