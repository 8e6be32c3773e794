/*
 * reassign_progress.h - how far reassignments are: what was copied, how fast, and how long it will
 * take.
 *
 * Time goes in, and what is seen of each partition that moves. A partition that is not seen any
 * longer is done. Bytes count as far as they are known: a size that is not known adds nothing.
 */
#ifndef KLAMM_CLI_REASSIGN_PROGRESS_H
#define KLAMM_CLI_REASSIGN_PROGRESS_H

#include "base/map.h"

/* What is seen of a partition. */
struct move_seen {
	const char *topic;
	int32_t partition;
	int64_t total_bytes;  /* to be copied in all, to all that get it; -1: not known */
	int64_t copied_bytes; /* -1: not known */
};

struct rate_sample {
	int64_t ms;
	int64_t bytes;
};

#define RATE_SAMPLES 32

/* Zero-initialised is a start. */
struct reassign_progress {
	struct map moves; /* "topic-partition" -> struct tracked_move *, owned */
	uint64_t round;
	struct rate_sample samples[RATE_SAMPLES]; /* a ring */
	size_t sample_count;
	int64_t started_ms;
};

struct reassign_status {
	size_t partitions, done;
	int64_t total_bytes, copied_bytes;
	int64_t rate;    /* bytes a second over the last seconds; -1: not known yet */
	int64_t left_ms; /* -1: not known */
	int64_t spent_ms;
};

/* seen: all that move now. 0 or -ENOMEM. */
MUST_CHECK int reassign_progress_see(struct reassign_progress *p, int64_t now_ms,
				     const struct move_seen *seen, size_t count);
void reassign_progress_status(const struct reassign_progress *p, int64_t now_ms,
			      struct reassign_status *ret_status);
void reassign_progress_fini(struct reassign_progress *p);

/* "3 of 12 partitions, 1.5 GB of 4.0 GB, 52.1 MB/s, 48 s left". Appends. */
void reassign_status_format(const struct reassign_status *status, struct buf *out);
/* "1.5 GB"; units of 1000. Appends. */
void bytes_format(int64_t bytes, struct buf *out);
/* "48 s", "3 min 20 s", "2 h 5 min". Appends. */
void time_left_format(int64_t ms, struct buf *out);

#endif
