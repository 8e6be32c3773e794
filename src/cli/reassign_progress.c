/*
 * reassign_progress.c - how far reassignments are.
 *
 * The rate is that of the samples in the ring: of the last half minute, when there is one a second.
 * Bytes that a partition still lacks when it is done were copied by then; what had been copied when
 * it was seen first counts as copied too, but not into the rate.
 */
#include "cli/reassign_progress.h"

#include <errno.h>
#include <stdlib.h>

#define RATE_MIN_MS 500 /* less says nothing */

struct tracked_move {
	uint64_t round; /* that saw it last */
	int64_t total_bytes, copied_bytes;
};

static struct tracked_move *
track(struct reassign_progress *p, const struct move_seen *seen)
{
	struct buf key = {0};
	struct tracked_move *move = NULL;

	buf_printf(&key, "%s-%d", seen->topic, seen->partition);
	if (key.failed)
		goto out;
	move = map_get(&p->moves, key.data, key.len);
	if (move != NULL)
		goto out;
	move = calloc(1, sizeof(*move));
	if (move != NULL && map_put(&p->moves, key.data, key.len, move, NULL) != 0) {
		free(move);
		move = NULL;
	}
out:
	buf_fini(&key);
	return move;
}

/* A log that shrinks meanwhile, by retention, shall not take back what was copied. */
static void
update(struct tracked_move *move, const struct move_seen *seen, uint64_t round)
{
	move->round = round;
	if (seen->total_bytes >= 0)
		move->total_bytes = seen->total_bytes;
	if (seen->copied_bytes > move->copied_bytes)
		move->copied_bytes = seen->copied_bytes;
	if (move->copied_bytes > move->total_bytes)
		move->copied_bytes = move->total_bytes;
}

static void
sum(const struct reassign_progress *p, struct reassign_status *status)
{
	struct map_iter it = {0};
	const struct tracked_move *move;

	while ((move = map_next(&p->moves, &it)) != NULL) {
		bool done = move->round != p->round;

		status->partitions++;
		status->done += done;
		status->total_bytes += move->total_bytes;
		status->copied_bytes += done ? move->total_bytes : move->copied_bytes;
	}
}

int
reassign_progress_see(struct reassign_progress *p, int64_t now_ms, const struct move_seen *seen,
		      size_t count)
{
	struct reassign_status status = {0};

	if (p->round++ == 0)
		p->started_ms = now_ms;
	for (size_t i = 0; i < count; i++) {
		struct tracked_move *move = track(p, &seen[i]);

		if (move == NULL)
			return -ENOMEM;
		update(move, &seen[i], p->round);
	}
	sum(p, &status);
	p->samples[p->sample_count++ % RATE_SAMPLES] =
	    (struct rate_sample){now_ms, status.copied_bytes};
	return 0;
}

/* Bytes a second, or -1. */
static int64_t
rate_of(const struct reassign_progress *p)
{
	const struct rate_sample *first, *last;

	if (p->sample_count < 2)
		return -1;
	last = &p->samples[(p->sample_count - 1) % RATE_SAMPLES];
	first = &p->samples[p->sample_count < RATE_SAMPLES ? 0 : p->sample_count % RATE_SAMPLES];
	if (last->ms - first->ms < RATE_MIN_MS)
		return -1;
	return (int64_t)((double)(last->bytes - first->bytes) * 1000 /
			 (double)(last->ms - first->ms));
}

void
reassign_progress_status(const struct reassign_progress *p, int64_t now_ms,
			 struct reassign_status *ret_status)
{
	struct reassign_status s = {.rate = rate_of(p), .left_ms = -1};

	sum(p, &s);
	s.spent_ms = p->round == 0 ? 0 : now_ms - p->started_ms;
	if (s.done == s.partitions)
		s.left_ms = 0;
	else if (s.rate > 0)
		s.left_ms =
		    (int64_t)((double)(s.total_bytes - s.copied_bytes) * 1000 / (double)s.rate);
	*ret_status = s;
}

void
reassign_progress_fini(struct reassign_progress *p)
{
	struct map_iter it = {0};
	struct tracked_move *move;

	while ((move = map_next(&p->moves, &it)) != NULL)
		free(move);
	map_fini(&p->moves);
	*p = (struct reassign_progress){{0}};
}

/* ---- text ---- */

static const struct unit {
	const char *name;
	double bytes;
} units[] = {{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}};

static const struct unit *
unit_of(int64_t bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		/* 999,950 would be rounded to 1000.0 of the lesser unit. */
		if ((double)bytes >= 0.99995 * units[i].bytes)
			return &units[i];
	}
	return NULL;
}

void
bytes_format(int64_t bytes, struct buf *out)
{
	const struct unit *unit = unit_of(bytes);

	if (unit == NULL)
		buf_printf(out, "%lld bytes", (long long)bytes);
	else
		buf_printf(out, "%.1f %s", (double)bytes / unit->bytes, unit->name);
}

void
time_left_format(int64_t ms, struct buf *out)
{
	long long s = (ms + 999) / 1000;

	if (s < 60)
		buf_printf(out, "%lld s", s);
	else if (s < 3600)
		buf_printf(out, "%lld min %lld s", s / 60, s % 60);
	else
		buf_printf(out, "%lld h %lld min", s / 3600, s % 3600 / 60);
}

void
reassign_status_format(const struct reassign_status *status, struct buf *out)
{
	buf_printf(out, "%zu of %zu partition%s", status->done, status->partitions,
		   status->partitions == 1 ? "" : "s");
	if (status->total_bytes > 0) {
		buf_printf(out, ", ");
		bytes_format(status->copied_bytes, out);
		buf_printf(out, " of ");
		bytes_format(status->total_bytes, out);
	}
	if (status->done == status->partitions)
		return;
	if (status->total_bytes > 0 && status->rate >= 0) {
		buf_printf(out, ", ");
		bytes_format(status->rate, out);
		buf_printf(out, "/s");
	}
	if (status->left_ms > 0) {
		buf_printf(out, ", ");
		time_left_format(status->left_ms, out);
		buf_printf(out, " left");
	}
}
