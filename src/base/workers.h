/*
 * workers.h - a small pool of threads for what may block: recovery, flush, retention, cleaning,
 * cold reads. The result travels back by the submitter's mailbox.
 *
 * Threads  workers_submit() from any thread.
 */
#ifndef KLAMM_BASE_WORKERS_H
#define KLAMM_BASE_WORKERS_H

#include "base/mailbox.h"

struct workers;

/* count: how many threads; name: at most 11 characters, shown by ps. */
MUST_CHECK int workers_open(const char *name, int count, struct workers **ret_workers);
/*
 * So many threads from now on, at least one; those that are too many end with their present job.
 * One thread at a time may call it. Returns 0 or -errno: then there are fewer than was wanted.
 */
MUST_CHECK int workers_resize(struct workers *ws, int count);
/* Runs everything that was submitted, then ends the threads. Accepts NULL. */
void workers_close(struct workers *ws);
/* Never fails: a process without memory for a job aborts. */
void workers_submit(struct workers *ws, mailbox_fn *fn, void *arg);

#endif
