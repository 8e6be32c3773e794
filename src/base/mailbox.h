/*
 * mailbox.h - how threads talk: a queue of messages and a wake-up of the receiver's loop.
 *
 * A message is a function and its argument, run on the receiver's thread in the order of
 * posting. The poster hands over whatever the argument owns.
 *
 * Threads  mailbox_post() from any thread; everything else from the receiver's.
 */
#ifndef KLAMM_BASE_MAILBOX_H
#define KLAMM_BASE_MAILBOX_H

#include "base/bytes.h"

struct mailbox;

typedef void mailbox_fn(void *arg);

MUST_CHECK int mailbox_open(struct mailbox **ret_mailbox);
/* Messages that were never run are dropped; close only when no one posts any more. */
void mailbox_close(struct mailbox *mb);
/*
 * For a loop of the receiver's own: each time it becomes readable again, edge-triggered, messages
 * may wait, and mailbox_run() is to be called. Nobody reads it.
 */
int mailbox_fd(const struct mailbox *mb);
/* Never fails: a process without memory for a message aborts. */
void mailbox_post(struct mailbox *mb, mailbox_fn *fn, void *arg);
/* The same on the receiver's thread, which will call mailbox_run() before it waits: wakes nobody.
 */
void mailbox_post_to_self(struct mailbox *mb, mailbox_fn *fn, void *arg);
/* Runs what had been posted when it was called. Returns how many messages. */
size_t mailbox_run(struct mailbox *mb);
/* Blocks until a message waits or timeout_ms passed (-1: for ever), then runs them. */
size_t mailbox_wait(struct mailbox *mb, int timeout_ms);

#endif
