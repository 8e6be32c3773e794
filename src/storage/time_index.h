/*
 * time_index.h - .timeindex: from a timestamp to an offset.
 *
 * Entries of 12 bytes: int64 timestamp, int32 offset relative to the segment's base. An entry says:
 * up to and including this offset, the largest timestamp is this one. Timestamps rise strictly,
 * offsets do not fall.
 *
 * Threads  as index_file.h.
 * Source   storage-format, section 8.2: Kafka's TimeIndex.
 */
#ifndef KLAMM_STORAGE_TIME_INDEX_H
#define KLAMM_STORAGE_TIME_INDEX_H

#include "storage/index_file.h"

#define TIME_INDEX_ENTRY_SIZE 12

struct time_index {
	struct index_file entries;
	int64_t base_offset;
};

struct timestamp_offset {
	int64_t timestamp_ms;
	int64_t offset;
};

/* One entry is kept in reserve for the last one, written when the segment becomes inactive. */
bool time_index_is_full(const struct time_index *ix);
/*
 * Appends if the timestamp is above the last entry's; otherwise, and when the offset is below the
 * last entry's, does nothing.
 */
MUST_CHECK int time_index_maybe_append(struct time_index *ix, int64_t timestamp_ms, int64_t offset);
/* {-1, base offset} when empty. */
MUST_CHECK int time_index_last(struct time_index *ix, struct timestamp_offset *ret_last);
MUST_CHECK int time_index_read(struct time_index *ix, uint32_t index,
			       struct timestamp_offset *ret_entry);
/* The last entry with a timestamp <= timestamp_ms; {-1, base_offset} when there is none. */
MUST_CHECK int time_index_floor(const struct index_view *v, int64_t base_offset,
				int64_t timestamp_ms, struct timestamp_offset *ret_floor);
/* Drops entries with an offset >= offset. */
MUST_CHECK int time_index_truncate_to(struct time_index *ix, int64_t offset);

#endif
