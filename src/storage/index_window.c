#include "storage/index_window.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * A generation belongs to one index file between two cuts of its end. Entries that are in the file
 * do not change in that time, so a window needs no invalidation: after a cut, and for another
 * segment's file, readers come with another number, and what is kept under the old one goes when
 * its place is wanted.
 */

struct index_windows {
	uint64_t clock;
	struct index_window windows[INDEX_WINDOWS];
};

static _Atomic uint64_t last_generation;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_key;

static void
make_key(void)
{
	have_key = pthread_key_create(&key, free) == 0;
}

/* The main thread runs no key destructors when the process exits. */
__attribute__((destructor)) static void
end_last_thread(void)
{
	if (have_key) {
		free(pthread_getspecific(key));
		pthread_setspecific(key, NULL);
	}
}

static struct index_windows *
windows_of_thread(void)
{
	struct index_windows *all;

	pthread_once(&once, make_key);
	if (!have_key)
		return NULL;
	all = pthread_getspecific(key);
	if (all != NULL)
		return all;
	all = calloc(1, sizeof(*all));
	if (all != NULL && pthread_setspecific(key, all) != 0) {
		free(all);
		all = NULL;
	}
	return all;
}

uint64_t
index_window_generation(void)
{
	return atomic_fetch_add(&last_generation, 1) + 1;
}

struct index_window *
index_window_next(uint64_t generation, const struct index_window *after)
{
	struct index_windows *all = windows_of_thread();

	if (all == NULL)
		return NULL;
	for (size_t i = after == NULL ? 0 : (size_t)(after - all->windows) + 1; i < INDEX_WINDOWS;
	     i++) {
		if (all->windows[i].generation == generation)
			return &all->windows[i];
	}
	return NULL;
}

void
index_window_touch(struct index_window *w)
{
	struct index_windows *all = windows_of_thread();

	if (all != NULL)
		w->used = ++all->clock;
}

void
index_window_keep(uint64_t generation, const struct index_stretch *stretch,
		  struct index_window *replaced)
{
	struct index_windows *all = windows_of_thread();

	assert(generation != 0);
	if (all == NULL)
		return;
	if (replaced == NULL) {
		replaced = &all->windows[0];
		for (size_t i = 1; i < INDEX_WINDOWS; i++) {
			if (all->windows[i].used < replaced->used)
				replaced = &all->windows[i];
		}
	}
	replaced->generation = generation;
	replaced->used = ++all->clock;
	memcpy(&replaced->stretch, stretch, sizeof(*stretch));
}
