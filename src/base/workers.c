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

struct workers {
	struct lock lock;
	pthread_cond_t changed;
	struct job *first, **last; /* under lock */
	bool closing;              /* under lock */
	int count;
	pthread_t threads[];
};

static void *
worker_main(void *arg)
{
	struct workers *ws = arg;

	for (;;) {
		struct job *job;

		lock_acquire(&ws->lock);
		while (ws->first == NULL && !ws->closing)
			lock_wait(&ws->lock, &ws->changed);
		job = ws->first;
		if (job != NULL) {
			ws->first = job->next;
			if (ws->first == NULL)
				ws->last = &ws->first;
		}
		lock_release(&ws->lock);
		if (job == NULL)
			return NULL;
		job->fn(job->arg);
		free(job);
	}
}

int
workers_open(const char *name, int count, struct workers **ret_workers)
{
	struct workers *ws;
	int st;

	ws = calloc(1, sizeof(*ws) + (size_t)count * sizeof(pthread_t));
	if (ws == NULL)
		return -ENOMEM;
	lock_init(&ws->lock, LOCK_WORKERS);
	pthread_cond_init(&ws->changed, NULL);
	ws->last = &ws->first;
	for (ws->count = 0; ws->count < count; ws->count++) {
		char thread_name[32];

		st = -pthread_create(&ws->threads[ws->count], NULL, worker_main, ws);
		if (st != 0) {
			workers_close(ws);
			return st;
		}
		snprintf(thread_name, sizeof(thread_name), "%.11s-%d", name, ws->count % 1000);
		thread_name[15] = '\0'; /* the kernel's limit */
		pthread_setname_np(ws->threads[ws->count], thread_name);
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
	for (int i = 0; i < ws->count; i++)
		pthread_join(ws->threads[i], NULL);
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
