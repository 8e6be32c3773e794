/*
 * lock.h - mutexes with a rank.
 *
 * locks.def ranks every lock of the program; a thread takes them in rising rank only. A debug
 * build (--enable-debug, and all sanitizer builds) aborts on a wrong order, naming both.
 */
#ifndef KLAMM_BASE_LOCK_H
#define KLAMM_BASE_LOCK_H

#include <pthread.h>

enum lock_rank {
#define LOCK(name, text) name,
#include "base/locks.def"
#undef LOCK
	LOCK_RANK_COUNT
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);
void lock_acquire(struct lock *lock);
void lock_release(struct lock *lock);
/* Waits for cond with the lock, which must be the newest this thread holds. */
void lock_wait(struct lock *lock, pthread_cond_t *cond);

#endif
