/*
 * index_window.h - the stretches of index files that this thread searched last.
 *
 * A consumer that reads on asks for an offset a little above its last one, so the entries around
 * it are those that were read from the file the last time, or stand right behind them. Keeping
 * them saves the system calls of a binary search for each read. What is kept is bounded:
 * INDEX_WINDOWS of one page each, and it ends with the thread.
 *
 * Threads  each has its own; no locks.
 */
#ifndef KLAMM_STORAGE_INDEX_WINDOW_H
#define KLAMM_STORAGE_INDEX_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_WINDOW_BYTES 4096
#define INDEX_WINDOWS 32

/* Whole entries that stand one behind the other in a file. */
struct index_stretch {
	uint32_t first; /* the index of the first one */
	uint32_t count;
	uint8_t entries[INDEX_WINDOW_BYTES];
};

struct index_window {
	uint64_t generation; /* which file, and as cut how often; 0: the window is empty */
	uint64_t used;       /* when, on the thread's own clock */
	struct index_stretch stretch;
};

/* A number that no index file has had before; never 0. */
uint64_t index_window_generation(void);

/*
 * The thread's windows of that generation, one after the other: after is NULL at first. NULL when
 * there are no more. Valid until the next index_window_keep().
 */
struct index_window *index_window_next(uint64_t generation, const struct index_window *after);
/* It was of use: others will be replaced before it. */
void index_window_touch(struct index_window *w);
/*
 * Copies a stretch into `replaced`, or where that is NULL into the window that was of no use for
 * longest. Without memory nothing is kept.
 */
void index_window_keep(uint64_t generation, const struct index_stretch *stretch,
		       struct index_window *replaced);

#endif
