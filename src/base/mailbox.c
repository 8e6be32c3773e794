/*
 * A mutex-guarded list and an eventfd. The eventfd is written only when the list was empty, so a
 * burst costs one wake-up; and not under the lock, which the receiver takes the moment it wakes.
 * So a poster may be about to write when its message has been run: closing waits for it.
 */
#include "base/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/lock.h"

struct message {
	struct message *next;
	mailbox_fn *fn;
	void *arg;
};

struct mailbox {
	struct lock lock;
	struct message *first, **last; /* under lock */
	_Atomic int posting;           /* threads in mailbox_post() */
	int fd;
};

int
mailbox_open(struct mailbox **ret_mailbox)
{
	struct mailbox *mb;
	int st;

	mb = calloc(1, sizeof(*mb));
	if (mb == NULL)
		return -ENOMEM;
	mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->fd < 0) {
		st = -errno;
		free(mb);
		return st;
	}
	lock_init(&mb->lock, LOCK_MAILBOX);
	mb->last = &mb->first;
	*ret_mailbox = mb;
	return 0;
}

void
mailbox_close(struct mailbox *mb)
{
	if (mb == NULL)
		return;
	while (atomic_load(&mb->posting) > 0)
		sched_yield();
	while (mb->first != NULL) {
		struct message *m = mb->first;

		mb->first = m->next;
		free(m);
	}
	close(mb->fd);
	lock_fini(&mb->lock);
	free(mb);
}

int
mailbox_fd(const struct mailbox *mb)
{
	return mb->fd;
}

/* Whether the list was empty. */
static bool
put(struct mailbox *mb, mailbox_fn *fn, void *arg)
{
	struct message *m = malloc(sizeof(*m));
	bool was_empty;

	if (m == NULL)
		abort();
	*m = (struct message){NULL, fn, arg};
	lock_acquire(&mb->lock);
	was_empty = mb->first == NULL;
	*mb->last = m;
	mb->last = &m->next;
	lock_release(&mb->lock);
	return was_empty;
}

void
mailbox_post(struct mailbox *mb, mailbox_fn *fn, void *arg)
{
	uint64_t one = 1;

	atomic_fetch_add(&mb->posting, 1);
	if (put(mb, fn, arg) && write(mb->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	atomic_fetch_sub(&mb->posting, 1);
}

void
mailbox_post_to_self(struct mailbox *mb, mailbox_fn *fn, void *arg)
{
	(void)put(mb, fn, arg);
}

size_t
mailbox_run(struct mailbox *mb)
{
	struct message *first;
	size_t count = 0;

	lock_acquire(&mb->lock);
	first = mb->first;
	mb->first = NULL;
	mb->last = &mb->first;
	lock_release(&mb->lock);
	while (first != NULL) {
		struct message m = *first;

		free(first);
		first = m.next;
		m.fn(m.arg);
		count++;
	}
	return count;
}

size_t
mailbox_wait(struct mailbox *mb, int timeout_ms)
{
	struct pollfd pfd = {.fd = mb->fd, .events = POLLIN};
	uint64_t drained;

	if (poll(&pfd, 1, timeout_ms) < 0 && errno != EINTR)
		abort();
	if (read(mb->fd, &drained, sizeof(drained)) < 0 && errno != EAGAIN)
		abort();
	return mailbox_run(mb);
}
