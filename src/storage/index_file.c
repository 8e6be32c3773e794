#include "storage/index_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "storage/index_window.h"

int
index_file_open(struct index_file *ix, struct log_file *file, uint8_t entry_size, int32_t max_bytes,
		bool created)
{
	struct stat stat;
	int st;

	assert(entry_size <= INDEX_ENTRY_MAX);
	*ix = (struct index_file){
	    .file = file, .generation = index_window_generation(), .entry_size = entry_size};
	index_file_set_capacity(ix, max_bytes);
	if (created)
		return 0;
	st = log_file_stat(file, &stat);
	if (st != 0)
		return st;
	if (stat.st_size / entry_size > UINT32_MAX)
		return -EFBIG;
	ix->disk_count = (uint32_t)(stat.st_size / entry_size);
	if (stat.st_size % entry_size != 0)
		return log_file_truncate(file, (int64_t)ix->disk_count * entry_size);
	return 0;
}

void
index_file_fini(struct index_file *ix)
{
	log_file_disown(ix->file);
	free(ix->tail);
	*ix = (struct index_file){0};
}

uint32_t
index_file_count(const struct index_file *ix)
{
	return ix->disk_count + ix->tail_count;
}

void
index_file_set_capacity(struct index_file *ix, int32_t max_bytes)
{
	ix->capacity = (uint32_t)max_bytes / ix->entry_size;
}

int
index_file_write_tail(struct index_file *ix, bool release)
{
	if (ix->tail_count > 0) {
		int st =
		    log_file_pwrite(ix->file, ix->tail, (size_t)ix->tail_count * ix->entry_size,
				    (int64_t)ix->disk_count * ix->entry_size);

		if (st != 0)
			return st;
		ix->disk_count += ix->tail_count;
		ix->tail_count = 0;
	}
	if (release) {
		free(ix->tail);
		ix->tail = NULL;
	}
	return 0;
}

int
index_file_append(struct index_file *ix, const uint8_t *entry)
{
	int st;

	if (ix->tail == NULL) {
		ix->tail = malloc((size_t)INDEX_TAIL_ENTRIES * ix->entry_size);
		if (ix->tail == NULL)
			return -ENOMEM;
	}
	if (ix->tail_count == INDEX_TAIL_ENTRIES) {
		st = index_file_write_tail(ix, false);
		if (st != 0)
			return st;
	}
	memcpy(ix->tail + (size_t)ix->tail_count * ix->entry_size, entry, ix->entry_size);
	ix->tail_count++;
	memcpy(ix->last, entry, ix->entry_size);
	ix->last_known = true;
	return 0;
}

int
index_file_read(struct index_file *ix, uint32_t index, uint8_t *ret_entry)
{
	ssize_t n;

	assert(index < index_file_count(ix));
	if (index >= ix->disk_count) {
		memcpy(ret_entry, ix->tail + (size_t)(index - ix->disk_count) * ix->entry_size,
		       ix->entry_size);
		return 0;
	}
	n = log_file_pread(ix->file, ret_entry, ix->entry_size, (int64_t)index * ix->entry_size);
	if (n < 0)
		return (int)n;
	return n == ix->entry_size ? 0 : -EIO;
}

int
index_file_last(struct index_file *ix, const uint8_t **ret_entry)
{
	uint32_t count = index_file_count(ix);
	int st;

	if (count == 0) {
		*ret_entry = NULL;
		return 0;
	}
	if (!ix->last_known) {
		st = index_file_read(ix, count - 1, ix->last);
		if (st != 0)
			return st;
		ix->last_known = true;
	}
	*ret_entry = ix->last;
	return 0;
}

int
index_file_truncate(struct index_file *ix, uint32_t count)
{
	int st;

	if (count >= index_file_count(ix))
		return 0;
	if (count < ix->disk_count) {
		ix->generation = index_window_generation();
		st = log_file_truncate(ix->file, (int64_t)count * ix->entry_size);
		if (st != 0)
			return st;
		ix->disk_count = count;
		ix->tail_count = 0;
	} else {
		ix->tail_count = (uint8_t)(count - ix->disk_count);
	}
	ix->last_known = false;
	return 0;
}

static bool
is_zero(const uint8_t *entry, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (entry[i] != 0)
			return false;
	}
	return true;
}

int
index_file_drop_zeros(struct index_file *ix)
{
	uint32_t low = 0;
	uint32_t high = index_file_count(ix);

	/* The entries that were written come first: find where the zeros begin. */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		uint8_t entry[INDEX_ENTRY_MAX];
		int st = index_file_read(ix, mid, entry);

		if (st != 0)
			return st;
		if (is_zero(entry, ix->entry_size))
			high = mid;
		else
			low = mid + 1;
	}
	return index_file_truncate(ix, low);
}

/* ---- views ---- */

void
index_file_view(struct index_file *ix, bool nowait, struct index_view *ret_view)
{
	ret_view->file = log_file_get(ix->file);
	ret_view->generation = ix->generation;
	ret_view->disk_count = ix->disk_count;
	ret_view->tail_count = ix->tail_count;
	ret_view->entry_size = ix->entry_size;
	ret_view->nowait = nowait;
	if (ix->tail_count > 0)
		memcpy(ret_view->tail, ix->tail, (size_t)ix->tail_count * ix->entry_size);
}

void
index_view_close(struct index_view *v)
{
	log_file_put(v->file);
	v->file = NULL;
}

static int
read_disk(const struct index_view *v, uint32_t index, uint32_t count, uint8_t *entries)
{
	size_t len = (size_t)count * v->entry_size;
	int64_t pos = (int64_t)index * v->entry_size;
	ssize_t n = v->nowait ? log_file_pread_nowait(v->file, entries, len, pos)
			      : log_file_pread(v->file, entries, len, pos);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

int
index_view_read(const struct index_view *v, uint32_t index, uint8_t *ret_entry)
{
	assert(index < v->disk_count + v->tail_count);
	if (index >= v->disk_count) {
		memcpy(ret_entry, v->tail + (size_t)(index - v->disk_count) * v->entry_size,
		       v->entry_size);
		return 0;
	}
	return read_disk(v, index, 1, ret_entry);
}

static int64_t
key_of(const uint8_t *entry, size_t key_pos, size_t key_size)
{
	return key_size == 4 ? (int32_t)get_be32(entry + key_pos)
			     : (int64_t)get_be64(entry + key_pos);
}

/* How many of `count` entries in memory have a key <= key. */
static uint32_t
count_up_to(const struct index_view *v, const uint8_t *entries, uint32_t count, size_t key_pos,
	    size_t key_size, int64_t key)
{
	uint32_t low = 0;

	while (low < count) {
		uint32_t mid = low + (count - low) / 2;

		if (key_of(entries + (size_t)mid * v->entry_size, key_pos, key_size) <= key)
			low = mid + 1;
		else
			count = mid;
	}
	return low;
}

/* Reads what a stretch holds of the file from entry `first` on, at most up to the end. */
static int
read_stretch(const struct index_view *v, uint32_t first, struct index_stretch *ret_stretch)
{
	uint32_t count = INDEX_WINDOW_BYTES / v->entry_size;

	if (count > v->disk_count - first)
		count = v->disk_count - first;
	ret_stretch->first = first;
	ret_stretch->count = count;
	return read_disk(v, first, count, ret_stretch->entries);
}

/* What is searched for: the last entry whose key at pos, of size bytes, is <= value. */
struct search_key {
	size_t pos;
	size_t size;
	int64_t value;
};

/* < 0: the floor of key lies before the stretch, 0: in it, > 0: in it at its end or behind. */
static int
compare_stretch(const struct index_view *v, const struct index_stretch *s,
		const struct search_key *key)
{
	const uint8_t *last = s->entries + (size_t)(s->count - 1) * v->entry_size;

	/* A view that is older than the window does not look at what came since. */
	if (s->first + s->count > v->disk_count)
		return -1;
	if (key_of(s->entries, key->pos, key->size) > key->value)
		return -1;
	if (s->first + s->count == v->disk_count || key->value < key_of(last, key->pos, key->size))
		return 0;
	return 1;
}

/*
 * The thread's window that has the floor of key; or one that was moved forward to it, when the
 * floor stands among the entries right behind. NULL when there is none.
 */
static const struct index_stretch *
find_window(const struct index_view *v, const struct search_key *key, struct index_stretch *scratch)
{
	struct index_window *w, *behind = NULL;

	for (w = index_window_next(v->generation, NULL); w != NULL;
	     w = index_window_next(v->generation, w)) {
		int order = compare_stretch(v, &w->stretch, key);

		if (order == 0) {
			index_window_touch(w);
			return &w->stretch;
		}
		if (order > 0 && (behind == NULL || behind->stretch.first < w->stretch.first))
			behind = w;
	}
	if (behind == NULL ||
	    read_stretch(v, behind->stretch.first + behind->stretch.count - 1, scratch) != 0 ||
	    compare_stretch(v, scratch, key) != 0)
		return NULL;
	index_window_keep(v->generation, scratch, behind);
	return scratch;
}

/* Reads the stretch of the file that has the floor of key; nothing of it is <= key if none has. */
static int
search_disk(const struct index_view *v, const struct search_key *key,
	    struct index_stretch *ret_stretch)
{
	uint32_t capacity = INDEX_WINDOW_BYTES / v->entry_size;
	uint32_t low = 0;
	uint32_t high = v->disk_count;
	int st;

	/* The floor is below high; at low - 1 or above, if low > 0. */
	while (high - low > capacity - 1) {
		uint32_t mid = low + (high - low) / 2;
		uint8_t entry[INDEX_ENTRY_MAX];

		st = read_disk(v, mid, 1, entry);
		if (st != 0)
			return st;
		if (key_of(entry, key->pos, key->size) <= key->value)
			low = mid + 1;
		else
			high = mid;
	}
	st = read_stretch(v, low > 0 ? low - 1 : 0, ret_stretch);
	if (st == 0 && v->nowait)
		index_window_keep(v->generation, ret_stretch, NULL);
	return st;
}

static int
disk_floor(const struct index_view *v, const struct search_key *key, bool *ret_found,
	   uint32_t *ret_index, uint8_t *ret_entry)
{
	const struct index_stretch *s = NULL;
	struct index_stretch scratch;
	uint32_t n;
	int st;

	if (v->disk_count == 0) {
		*ret_found = false;
		return 0;
	}
	if (v->nowait)
		s = find_window(v, key, &scratch);
	if (s == NULL) {
		st = search_disk(v, key, &scratch);
		if (st != 0)
			return st;
		s = &scratch;
	}
	n = count_up_to(v, s->entries, s->count, key->pos, key->size, key->value);
	*ret_found = n > 0;
	if (n > 0) {
		*ret_index = s->first + n - 1;
		memcpy(ret_entry, s->entries + (size_t)(n - 1) * v->entry_size, v->entry_size);
	}
	return 0;
}

int
index_view_floor(const struct index_view *v, size_t key_pos, size_t key_size, int64_t key,
		 bool *ret_found, uint32_t *ret_index, uint8_t *ret_entry)
{
	const struct search_key wanted = {key_pos, key_size, key};
	uint32_t n = count_up_to(v, v->tail, v->tail_count, key_pos, key_size, key);

	if (n > 0) {
		*ret_found = true;
		*ret_index = v->disk_count + n - 1;
		memcpy(ret_entry, v->tail + (size_t)(n - 1) * v->entry_size, v->entry_size);
		return 0;
	}
	return disk_floor(v, &wanted, ret_found, ret_index, ret_entry);
}
