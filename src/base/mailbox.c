/*
 * A mutex-guarded list and an eventfd. The eventfd is written only when the list was empty, so a
 * burst costs one wake-up.
 */
#include "base/mailbox.h"

#include <errno.h>
#include <poll.h>
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

void
mailbox_post(struct mailbox *mb, mailbox_fn *fn, void *arg)
{
	struct message *m = malloc(sizeof(*m));
	uint64_t one = 1;
	bool was_empty;

	if (m == NULL)
		abort();
	*m = (struct message){NULL, fn, arg};
	lock_acquire(&mb->lock);
	was_empty = mb->first == NULL;
	*mb->last = m;
	mb->last = &m->next;
	/* Inside the lock: the receiver may free the mailbox once it has run what it sees. */
	if (was_empty && write(mb->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	lock_release(&mb->lock);
}

size_t
mailbox_run(struct mailbox *mb)
{
	struct message *first;
	uint64_t drained;
	size_t count = 0;

	lock_acquire(&mb->lock);
	first = mb->first;
	mb->first = NULL;
	mb->last = &mb->first;
	if (first != NULL && read(mb->fd, &drained, sizeof(drained)) < 0 && errno != EAGAIN)
		abort();
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

	if (poll(&pfd, 1, timeout_ms) < 0 && errno != EINTR)
		abort();
	return mailbox_run(mb);
}
