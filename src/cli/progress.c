/*
 * progress.c - one line on the terminal that tells how far long work is.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/env.h"

#define FIRST_US 1000000
#define EVERY_US 200000

void
progress_start(struct progress *p, bool quiet)
{
	p->start_us = env_monotonic_us(env_system());
	p->next_us = p->start_us + FIRST_US;
	p->on = !quiet && isatty(STDERR_FILENO) == 1;
	p->shown = false;
}

double
progress_seconds(const struct progress *p)
{
	return (double)(env_monotonic_us(env_system()) - p->start_us) / 1e6;
}

/* Is it time for a line? */
static bool
is_due(struct progress *p)
{
	int64_t now_us;

	if (!p->on)
		return false;
	now_us = env_monotonic_us(env_system());
	if (now_us < p->next_us)
		return false;
	p->next_us = now_us + EVERY_US;
	p->shown = true;
	return true;
}

void
progress_tell_steps(struct progress *p, const char *what, size_t done, size_t total)
{
	if (!is_due(p))
		return;
	fprintf(stderr, "\r\033[K%s: %zu of %zu", what, done, total);
	fflush(stderr);
}

void
progress_tell_text(struct progress *p, const char *text)
{
	if (!is_due(p))
		return;
	fprintf(stderr, "\r\033[K%s", text);
	fflush(stderr);
}

void
progress_tell(struct progress *p, uint64_t records, uint64_t bytes, uint64_t failed)
{
	double seconds;

	if (!is_due(p))
		return;
	seconds = progress_seconds(p);
	fprintf(stderr, "\r\033[K%llu records, %.1f MB, %.0f records/s, %.1f MB/s",
		(unsigned long long)records, (double)bytes / 1e6, (double)records / seconds,
		(double)bytes / 1e6 / seconds);
	if (failed > 0)
		fprintf(stderr, ", %llu failed", (unsigned long long)failed);
	fflush(stderr);
}

void
progress_clear(struct progress *p)
{
	if (!p->shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->shown = false;
}
