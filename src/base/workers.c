#include "base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lock.h"

struct job {
	struct job *next;
	mailbox_fn *fn;
	void *arg;
};

struct worker {
	struct worker *next;
	struct workers *ws;
	pthread_t thread;
	bool left; /* under the lock: it has ended, or is about to */
};

struct workers {
	struct lock lock;
	pthread_cond_t changed;
	struct job *first, **last; /* under lock */
	bool closing;              /* under lock */
	int wanted, running;       /* under lock */
	/* The resizing thread's. */
	struct worker *workers;
	int named;
	char name[12];
};

/* Under the lock: the next job; waits for one. NULL: the thread is to end. */
static struct job *
next_job(struct worker *w)
{
	struct workers *ws = w->ws;
	struct job *job;

	while (ws->first == NULL && !ws->closing && ws->running <= ws->wanted)
		lock_wait(&ws->lock, &ws->changed);
	if (!ws->closing && ws->running > ws->wanted) {
		ws->running--;
		w->left = true;
		/* It may have been woken for a job. */
		pthread_cond_signal(&ws->changed);
		return NULL;
	}
	job = ws->first;
	if (job != NULL) {
		ws->first = job->next;
		if (ws->first == NULL)
			ws->last = &ws->first;
	}
	return job;
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		struct job *job;

		lock_acquire(&w->ws->lock);
		job = next_job(w);
		lock_release(&w->ws->lock);
		if (job == NULL)
			return NULL;
		job->fn(job->arg);
		free(job);
	}
}

static int
start_one(struct workers *ws)
{
	struct worker *w = calloc(1, sizeof(*w));
	char name[32];
	int st;

	if (w == NULL)
		return -ENOMEM;
	w->ws = ws;
	st = -pthread_create(&w->thread, NULL, worker_main, w);
	if (st != 0) {
		free(w);
		return st;
	}
	w->next = ws->workers;
	ws->workers = w;
	snprintf(name, sizeof(name), "%.11s-%d", ws->name, ws->named++ % 1000);
	name[15] = '\0'; /* the kernel's limit */
	pthread_setname_np(w->thread, name);
	return 0;
}

/* Joins those that have left, or all. */
static void
join(struct workers *ws, bool all)
{
	struct worker **link = &ws->workers;

	while (*link != NULL) {
		struct worker *w = *link;
		bool left;

		lock_acquire(&ws->lock);
		left = w->left;
		lock_release(&ws->lock);
		if (!left && !all) {
			link = &w->next;
			continue;
		}
		pthread_join(w->thread, NULL);
		*link = w->next;
		free(w);
	}
}

int
workers_resize(struct workers *ws, int count)
{
	int missing, st = 0;

	join(ws, false);
	lock_acquire(&ws->lock);
	ws->wanted = count < 1 ? 1 : count;
	missing = ws->wanted - ws->running;
	if (missing > 0)
		ws->running += missing;
	pthread_cond_broadcast(&ws->changed);
	lock_release(&ws->lock);
	for (; missing > 0 && st == 0; missing--)
		st = start_one(ws);
	if (st != 0) {
		lock_acquire(&ws->lock);
		ws->running -= missing + 1;
		ws->wanted = ws->running;
		lock_release(&ws->lock);
	}
	return st;
}

int
workers_open(const char *name, int count, struct workers **ret_workers)
{
	struct workers *ws = calloc(1, sizeof(*ws));
	int st;

	if (ws == NULL)
		return -ENOMEM;
	lock_init(&ws->lock, LOCK_WORKERS);
	pthread_cond_init(&ws->changed, NULL);
	ws->last = &ws->first;
	snprintf(ws->name, sizeof(ws->name), "%s", name);
	st = workers_resize(ws, count);
	if (st != 0) {
		workers_close(ws);
		return st;
	}
	*ret_workers = ws;
	return 0;
}

void
workers_close(struct workers *ws)
{
	if (ws == NULL)
		return;
	lock_acquire(&ws->lock);
	ws->closing = true;
	pthread_cond_broadcast(&ws->changed);
	lock_release(&ws->lock);
	join(ws, true);
	pthread_cond_destroy(&ws->changed);
	lock_fini(&ws->lock);
	free(ws);
}

void
workers_submit(struct workers *ws, mailbox_fn *fn, void *arg)
{
	struct job *job = malloc(sizeof(*job));

	if (job == NULL)
		abort();
	*job = (struct job){NULL, fn, arg};
	lock_acquire(&ws->lock);
	*ws->last = job;
	ws->last = &job->next;
	pthread_cond_signal(&ws->changed);
	lock_release(&ws->lock);
}
