#include "storage/offset_index.h"

#include <assert.h>

static struct offset_position
decode(int64_t base_offset, const uint8_t *entry)
{
	return (struct offset_position){base_offset + (int32_t)get_be32(entry),
					(int32_t)get_be32(entry + 4)};
}

/* What to search for: beyond int32 every entry is on one side. */
static int64_t
relative(int64_t base_offset, int64_t offset)
{
	return offset < base_offset ? -1 : offset - base_offset;
}

bool
offset_index_is_full(const struct offset_index *ix)
{
	return index_file_count(&ix->entries) >= ix->entries.capacity;
}

int
offset_index_append(struct offset_index *ix, int64_t offset, int32_t pos)
{
	uint8_t entry[OFFSET_INDEX_ENTRY_SIZE];

	assert(offset >= ix->base_offset && offset - ix->base_offset <= INT32_MAX);
	put_be32(entry, (uint32_t)(offset - ix->base_offset));
	put_be32(entry + 4, (uint32_t)pos);
	return index_file_append(&ix->entries, entry);
}

int
offset_index_last(struct offset_index *ix, struct offset_position *ret_last)
{
	const uint8_t *entry;
	int st = index_file_last(&ix->entries, &entry);

	if (st != 0)
		return st;
	*ret_last = entry != NULL ? decode(ix->base_offset, entry)
				  : (struct offset_position){ix->base_offset, 0};
	return 0;
}

int
offset_index_read(struct offset_index *ix, uint32_t index, struct offset_position *ret_entry)
{
	uint8_t entry[OFFSET_INDEX_ENTRY_SIZE];
	int st = index_file_read(&ix->entries, index, entry);

	if (st != 0)
		return st;
	*ret_entry = decode(ix->base_offset, entry);
	return 0;
}

int
offset_index_floor(const struct index_view *v, int64_t base_offset, int64_t offset,
		   struct offset_position *ret_floor)
{
	uint8_t entry[INDEX_ENTRY_MAX];
	uint32_t index;
	bool found;
	int st = index_view_floor(v, 0, 4, relative(base_offset, offset), &found, &index, entry);

	if (st != 0)
		return st;
	*ret_floor = found ? decode(base_offset, entry) : (struct offset_position){base_offset, 0};
	return 0;
}

int
offset_index_upper_bound(const struct index_view *v, int64_t base_offset,
			 struct offset_position from, int64_t pos, bool *ret_found,
			 int64_t *ret_offset)
{
	uint8_t entry[INDEX_ENTRY_MAX];
	uint32_t index = 0;
	bool below = false;
	int st;

	/* Positions rise as offsets do: the entry after the last one below pos. */
	if (pos > from.pos) {
		st = index_view_floor(v, 4, 4, pos - 1, &below, &index, entry);
		if (st != 0)
			return st;
	}
	index = below ? index + 1 : 0;
	*ret_found = false;
	if (index >= v->disk_count + v->tail_count)
		return 0;
	st = index_view_read(v, index, entry);
	if (st != 0)
		return st;
	*ret_found = true;
	*ret_offset = decode(base_offset, entry).offset;
	return 0;
}

int
offset_index_truncate_to(struct offset_index *ix, int64_t offset)
{
	uint8_t entry[INDEX_ENTRY_MAX];
	struct index_view v;
	uint32_t index;
	bool found = false;
	int st = 0;

	index_file_view(&ix->entries, false, &v);
	if (offset > ix->base_offset)
		st = index_view_floor(&v, 0, 4, relative(ix->base_offset, offset) - 1, &found,
				      &index, entry);
	index_view_close(&v);
	if (st != 0)
		return st;
	return index_file_truncate(&ix->entries, found ? index + 1 : 0);
}
