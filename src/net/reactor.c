/*
 * A turn of the loop: wait for events (libevent), run their callbacks, run the timers that are
 * due, run the deferred tasks. Only the wait blocks, and it does not while tasks are queued.
 *
 * The heap of base/timers.h is woken by one timerfd, moved only when an earlier deadline appears;
 * it may fire early, never late. libevent's own timers go by the kernel's coarse clock, and so are
 * late by several milliseconds.
 *
 * Each event_base belongs to one thread from its first turn on, so libevent needs no locks.
 *
 * A group is a list that is only appended to, by one thread, and counted after: whoever has seen
 * the count may walk so far, without a lock and while the list grows.
 */
#include "net/reactor.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/reactor_io.h"

struct reactor {
	struct event_base *base;
	struct mailbox *mailbox;
	struct event *mail; /* messages wait */
	struct event *tick; /* the earliest timer is due */
	int tick_fd;
	int64_t tick_ms; /* when tick fires, INT64_MAX when it is not armed */
	struct timers timers;
	struct reactor_io *io;
	struct reactor_task tasks; /* head of a ring */
	uint64_t turn;
	struct env *env;
	int64_t now_ms;    /* -1: not read in this turn */
	bool mail_to_self; /* run at the end of the turn */
	bool stopping;
	char name[16];
	pthread_t thread;               /* where it belongs to a group */
	_Atomic(struct reactor *) next; /* in that group */
};

struct reactors {
	struct env *env;
	struct reactor *first; /* fixed once open */
	struct reactor *last;  /* the opening thread's */
	_Atomic int count;     /* set after the list has grown */
	_Atomic int in_use;
};

static _Thread_local struct reactor *current;

static void
on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *r = arg;

	(void)fd, (void)what;
	mailbox_run(r->mailbox);
}

/* Nothing to do here: it ends the wait, and the turn then runs the timers. */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *r = arg;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		abort();
	r->tick_ms = INT64_MAX;
}

static struct event_base *
open_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg == NULL)
		return NULL;
	if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

int
reactor_open(struct env *env, const char *name, struct reactor **ret_reactor)
{
	struct reactor *r = calloc(1, sizeof(*r));
	int st;

	if (r == NULL)
		return -ENOMEM;
	r->env = env;
	r->now_ms = -1;
	r->tick_ms = INT64_MAX;
	r->tasks.next = r->tasks.prev = &r->tasks;
	snprintf(r->name, sizeof(r->name), "%s", name);
	timers_init(&r->timers);
	r->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	st = r->tick_fd < 0 ? -errno : mailbox_open(&r->mailbox);
	if (st != 0)
		goto fail;
	st = -ENOMEM;
	r->base = open_base();
	r->io = reactor_io_open(r);
	if (r->base == NULL || r->io == NULL)
		goto fail;
	r->mail =
	    event_new(r->base, mailbox_fd(r->mailbox), EV_READ | EV_ET | EV_PERSIST, on_mail, r);
	r->tick = event_new(r->base, r->tick_fd, EV_READ | EV_PERSIST, on_tick, r);
	if (r->mail == NULL || r->tick == NULL || event_add(r->mail, NULL) != 0 ||
	    event_add(r->tick, NULL) != 0)
		goto fail;
	*ret_reactor = r;
	return 0;
fail:
	reactor_close(r);
	return st;
}

void
reactor_close(struct reactor *r)
{
	if (r == NULL)
		return;
	if (r->mail != NULL)
		event_free(r->mail);
	if (r->tick != NULL)
		event_free(r->tick);
	if (r->tick_fd >= 0)
		close(r->tick_fd);
	if (r->base != NULL)
		event_base_free(r->base);
	mailbox_close(r->mailbox);
	timers_fini(&r->timers);
	reactor_io_close(r->io);
	free(r);
}

static void
arm_tick(struct reactor *r)
{
	int64_t next_ms = timers_next_ms(&r->timers), left_us;
	struct itimerspec at = {0};

	if (next_ms >= r->tick_ms || next_ms > INT64_MAX / 1000)
		return;
	left_us = next_ms * 1000 - env_monotonic_us(r->env);
	if (left_us > 0) {
		at.it_value.tv_sec = left_us / 1000000;
		at.it_value.tv_nsec = left_us % 1000000 * 1000;
	} else {
		at.it_value.tv_nsec = 1; /* 0 would disarm it */
	}
	if (timerfd_settime(r->tick_fd, 0, &at, NULL) != 0)
		abort();
	r->tick_ms = next_ms;
}

static void
run_tasks(struct reactor *r)
{
	struct reactor_task *task;

	r->turn++;
	for (;;) {
		task = r->tasks.next;
		if (task == &r->tasks || task->turn == r->turn)
			return;
		reactor_defer_cancel(task);
		task->fn(task);
	}
}

void
reactor_run(struct reactor *r)
{
	sigset_t pipe;

	/* OpenSSL writes to sockets that the peer may have closed. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	current = r;
	while (!r->stopping) {
		int flags = EVLOOP_ONCE;

		arm_tick(r);
		if (r->mail_to_self || r->tasks.next != &r->tasks)
			flags |= EVLOOP_NONBLOCK;
		r->now_ms = -1;
		if (event_base_loop(r->base, flags) < 0)
			abort();
		timers_run(&r->timers, reactor_now_ms(r));
		run_tasks(r);
		if (r->mail_to_self) {
			r->mail_to_self = false;
			mailbox_run(r->mailbox);
		}
	}
	/* What was posted beside or after the stop, and what that left to do. */
	while (mailbox_run(r->mailbox) > 0 || r->tasks.next != &r->tasks)
		run_tasks(r);
	current = NULL;
	r->stopping = false;
	r->now_ms = -1;
}

static void
stop_here(void *arg)
{
	struct reactor *r = arg;

	r->stopping = true;
}

void
reactor_stop(struct reactor *r)
{
	reactor_post(r, stop_here, r);
}

void
reactor_post(struct reactor *r, mailbox_fn *fn, void *arg)
{
	if (current != r) {
		mailbox_post(r->mailbox, fn, arg);
	} else {
		mailbox_post_to_self(r->mailbox, fn, arg);
		r->mail_to_self = true;
	}
}

struct call {
	mailbox_fn *fn;
	void *arg;
	sem_t done;
};

static void
run_call(void *arg)
{
	struct call *call = arg;

	call->fn(call->arg);
	sem_post(&call->done);
}

void
reactor_call(struct reactor *r, mailbox_fn *fn, void *arg)
{
	struct call call = {.fn = fn, .arg = arg};

	assert(current == NULL);
	sem_init(&call.done, 0, 0);
	reactor_post(r, run_call, &call);
	while (sem_wait(&call.done) != 0)
		;
	sem_destroy(&call.done);
}

struct reactor *
reactor_current(void)
{
	return current;
}

const char *
reactor_name(const struct reactor *r)
{
	return r->name;
}

struct reactor_io *
reactor_io(struct reactor *r)
{
	return r->io;
}

struct env *
reactor_env(struct reactor *r)
{
	return r->env;
}

int64_t
reactor_now_ms(struct reactor *r)
{
	if (r->now_ms < 0)
		r->now_ms = env_monotonic_ms(r->env);
	return r->now_ms;
}

void
reactor_arm(struct reactor *r, struct timer *t, int64_t deadline_ms)
{
	timers_arm(&r->timers, t, deadline_ms);
}

void
reactor_cancel(struct reactor *r, struct timer *t)
{
	timers_cancel(&r->timers, t);
}

struct event_base *
reactor_base(struct reactor *r)
{
	return r->base;
}

void
reactor_defer(struct reactor *r, struct reactor_task *task)
{
	if (task->next != NULL)
		return;
	task->turn = r->turn;
	task->next = &r->tasks;
	task->prev = r->tasks.prev;
	task->prev->next = task;
	r->tasks.prev = task;
}

void
reactor_defer_cancel(struct reactor_task *task)
{
	if (task->next == NULL)
		return;
	task->next->prev = task->prev;
	task->prev->next = task->next;
	task->next = task->prev = NULL;
}

static void *
thread_main(void *arg)
{
	struct reactor *r = arg;

	pthread_setname_np(pthread_self(), r->name);
	reactor_run(r);
	return NULL;
}

/* The thread inherits a mask that blocks all signals: they are for the main thread. */
static int
start_thread(struct reactor *r, pthread_t *ret_thread)
{
	sigset_t all, before;
	int st;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	st = pthread_create(ret_thread, NULL, thread_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -st;
}

static int
start_one(struct env *env, int index, struct reactor **ret_reactor)
{
	struct reactor *r;
	char name[32];
	int st;

	snprintf(name, sizeof(name), "reactor-%d", index);
	st = reactor_open(env, name, &r);
	if (st != 0)
		return st;
	st = start_thread(r, &r->thread);
	if (st != 0) {
		reactor_close(r);
		return st;
	}
	*ret_reactor = r;
	return 0;
}

/* All are stopped before one is closed: they may still post to each other. */
static void
close_list(struct reactor *first)
{
	struct reactor *r, *next;

	for (r = first; r != NULL; r = atomic_load(&r->next))
		reactor_stop(r);
	for (r = first; r != NULL; r = atomic_load(&r->next))
		pthread_join(r->thread, NULL);
	for (r = first; r != NULL; r = next) {
		next = atomic_load(&r->next);
		reactor_close(r);
	}
}

int
reactors_grow(struct reactors *rs, int count)
{
	struct reactor *first = NULL, *last = NULL, *r;
	int started = atomic_load(&rs->count);

	if (count <= started)
		return 0;
	for (int i = started; i < count; i++) {
		int st = start_one(rs->env, i, &r);

		if (st != 0) {
			close_list(first);
			return st;
		}
		if (last == NULL)
			first = r;
		else
			atomic_store(&last->next, r);
		last = r;
	}
	if (rs->last == NULL)
		rs->first = first;
	else
		atomic_store(&rs->last->next, first);
	rs->last = last;
	atomic_store(&rs->count, count);
	return 0;
}

int
reactors_open(struct env *env, int count, struct reactors **ret_reactors)
{
	struct reactors *rs = calloc(1, sizeof(*rs));
	int st;

	assert(count >= 1);
	if (rs == NULL)
		return -ENOMEM;
	rs->env = env;
	st = reactors_grow(rs, count);
	if (st != 0) {
		free(rs);
		return st;
	}
	reactors_use(rs, count);
	*ret_reactors = rs;
	return 0;
}

void
reactors_close(struct reactors *rs)
{
	if (rs == NULL)
		return;
	assert(current == NULL);
	close_list(rs->first);
	free(rs);
}

void
reactors_use(struct reactors *rs, int count)
{
	assert(count >= 1 && count <= atomic_load(&rs->count));
	atomic_store(&rs->in_use, count);
}

int
reactors_in_use(struct reactors *rs)
{
	return atomic_load(&rs->in_use);
}

int
reactors_count(struct reactors *rs)
{
	return atomic_load(&rs->count);
}

struct reactor *
reactors_get(struct reactors *rs, int index)
{
	struct reactor *r = rs->first;

	assert(index >= 0 && index < atomic_load(&rs->count));
	while (index-- > 0)
		r = atomic_load(&r->next);
	return r;
}
