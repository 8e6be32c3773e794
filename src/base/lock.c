#include "base/lock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef KLAMM_LOCK_ORDER
#define HELD_MAX 16

static const char *const rank_names[] = {
#define LOCK(name, text) #name,
#include "base/locks.def"
#undef LOCK
};

static _Thread_local enum lock_rank held[HELD_MAX];
static _Thread_local int held_count;

static void
note_acquire(enum lock_rank rank)
{
	assert(held_count < HELD_MAX);
	for (int i = 0; i < held_count; i++) {
		if (held[i] >= rank) {
			fprintf(stderr, "lock order: %s taken while %s is held\n", rank_names[rank],
				rank_names[held[i]]);
			abort();
		}
	}
	held[held_count++] = rank;
}

static void
note_release(enum lock_rank rank)
{
	for (int i = held_count - 1; i >= 0; i--) {
		if (held[i] == rank) {
			for (; i < held_count - 1; i++)
				held[i] = held[i + 1];
			held_count--;
			return;
		}
	}
	assert(!"a lock released that is not held");
}
#else
static void
note_acquire(enum lock_rank rank)
{
	(void)rank;
}

static void
note_release(enum lock_rank rank)
{
	(void)rank;
}
#endif

void
lock_init(struct lock *lock, enum lock_rank rank)
{
	int st = pthread_mutex_init(&lock->mutex, NULL);

	assert(st == 0);
	lock->rank = rank;
}

void
lock_fini(struct lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

void
lock_acquire(struct lock *lock)
{
	int st;

	note_acquire(lock->rank);
	st = pthread_mutex_lock(&lock->mutex);
	assert(st == 0);
}

void
lock_release(struct lock *lock)
{
	int st;

	/* Once it is free, whoever waited may have freed its memory. */
	note_release(lock->rank);
	st = pthread_mutex_unlock(&lock->mutex);
	assert(st == 0);
}

void
lock_wait(struct lock *lock, pthread_cond_t *cond)
{
	int st;

	note_release(lock->rank);
	st = pthread_cond_wait(cond, &lock->mutex);
	assert(st == 0);
	note_acquire(lock->rank);
}
