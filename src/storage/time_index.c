#include "storage/time_index.h"

#include <assert.h>

static struct timestamp_offset
decode(int64_t base_offset, const uint8_t *entry)
{
	return (struct timestamp_offset){(int64_t)get_be64(entry),
					 base_offset + (int32_t)get_be32(entry + 8)};
}

bool
time_index_is_full(const struct time_index *ix)
{
	return index_file_count(&ix->entries) + 1 >= ix->entries.capacity;
}

int
time_index_last(struct time_index *ix, struct timestamp_offset *ret_last)
{
	const uint8_t *entry;
	int st = index_file_last(&ix->entries, &entry);

	if (st != 0)
		return st;
	*ret_last = entry != NULL ? decode(ix->base_offset, entry)
				  : (struct timestamp_offset){-1, ix->base_offset};
	return 0;
}

int
time_index_maybe_append(struct time_index *ix, int64_t timestamp_ms, int64_t offset)
{
	uint8_t entry[TIME_INDEX_ENTRY_SIZE];
	struct timestamp_offset last;
	int st = time_index_last(ix, &last);

	if (st != 0)
		return st;
	if (timestamp_ms <= last.timestamp_ms || offset < last.offset)
		return 0;
	assert(offset >= ix->base_offset && offset - ix->base_offset <= INT32_MAX);
	put_be64(entry, (uint64_t)timestamp_ms);
	put_be32(entry + 8, (uint32_t)(offset - ix->base_offset));
	return index_file_append(&ix->entries, entry);
}

int
time_index_read(struct time_index *ix, uint32_t index, struct timestamp_offset *ret_entry)
{
	uint8_t entry[TIME_INDEX_ENTRY_SIZE];
	int st = index_file_read(&ix->entries, index, entry);

	if (st != 0)
		return st;
	*ret_entry = decode(ix->base_offset, entry);
	return 0;
}

int
time_index_floor(const struct index_view *v, int64_t base_offset, int64_t timestamp_ms,
		 struct timestamp_offset *ret_floor)
{
	uint8_t entry[INDEX_ENTRY_MAX];
	uint32_t index;
	bool found;
	int st = index_view_floor(v, 0, 8, timestamp_ms, &found, &index, entry);

	if (st != 0)
		return st;
	*ret_floor =
	    found ? decode(base_offset, entry) : (struct timestamp_offset){-1, base_offset};
	return 0;
}

int
time_index_truncate_to(struct time_index *ix, int64_t offset)
{
	uint8_t entry[INDEX_ENTRY_MAX];
	struct index_view v;
	uint32_t index;
	bool found = false;
	int st = 0;

	index_file_view(&ix->entries, false, &v);
	if (offset > ix->base_offset)
		st =
		    index_view_floor(&v, 8, 4, offset - ix->base_offset - 1, &found, &index, entry);
	index_view_close(&v);
	if (st != 0)
		return st;
	return index_file_truncate(&ix->entries, found ? index + 1 : 0);
}
