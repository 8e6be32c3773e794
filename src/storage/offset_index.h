/*
 * offset_index.h - .index: from an offset to a position in the segment's log file.
 *
 * Entries of 8 bytes: offset relative to the segment's base, file position, both int32. Offsets
 * rise strictly. An entry holds the last offset of a chunk as it was appended, and where the chunk
 * starts: every batch before that position holds smaller offsets only.
 *
 * Threads  as index_file.h.
 * Source   storage-format, section 8.1: Kafka's OffsetIndex.
 */
#ifndef KLAMM_STORAGE_OFFSET_INDEX_H
#define KLAMM_STORAGE_OFFSET_INDEX_H

#include "storage/index_file.h"

#define OFFSET_INDEX_ENTRY_SIZE 8

struct offset_index {
	struct index_file entries;
	int64_t base_offset;
};

struct offset_position {
	int64_t offset;
	int32_t pos;
};

bool offset_index_is_full(const struct offset_index *ix);
/* offset is above the last entry's and within INT32_MAX of the base. */
MUST_CHECK int offset_index_append(struct offset_index *ix, int64_t offset, int32_t pos);
/* {base offset, 0} when empty. */
MUST_CHECK int offset_index_last(struct offset_index *ix, struct offset_position *ret_last);
MUST_CHECK int offset_index_read(struct offset_index *ix, uint32_t index,
				 struct offset_position *ret_entry);
/* The last entry with an offset <= offset; {base_offset, 0} when there is none. */
MUST_CHECK int offset_index_floor(const struct index_view *v, int64_t base_offset, int64_t offset,
				  struct offset_position *ret_floor);
/*
 * The offset of the first entry after the one that floors `from` whose position is >= pos: an
 * upper bound of the offsets stored before pos. ret_found false when there is none.
 */
MUST_CHECK int offset_index_upper_bound(const struct index_view *v, int64_t base_offset,
					struct offset_position from, int64_t pos, bool *ret_found,
					int64_t *ret_offset);
/* Drops entries with an offset >= offset. */
MUST_CHECK int offset_index_truncate_to(struct offset_index *ix, int64_t offset);

#endif
