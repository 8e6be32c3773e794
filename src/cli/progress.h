/*
 * progress.h - one line on the terminal that tells how far long work is.
 *
 * Nothing is written when standard error is no terminal, in the first second, or more than five
 * times a second.
 */
#ifndef KLAMM_CLI_PROGRESS_H
#define KLAMM_CLI_PROGRESS_H

#include "base/bytes.h"

struct progress {
	int64_t start_us;
	int64_t next_us;
	bool on;
	bool shown;
};

void progress_start(struct progress *p, bool quiet);
/* records and bytes so far; failed is told when it is not 0. */
void progress_tell(struct progress *p, uint64_t records, uint64_t bytes, uint64_t failed);
/* Work of a known size. what: "reading committed offsets". */
void progress_tell_steps(struct progress *p, const char *what, size_t done, size_t total);
/* Any line. */
void progress_tell_text(struct progress *p, const char *text);
/* Clears the line, so that something else may be printed. */
void progress_clear(struct progress *p);
double progress_seconds(const struct progress *p);

#endif
