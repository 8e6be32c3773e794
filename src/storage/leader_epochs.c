#include "storage/leader_epochs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/checkpoint.h"

#define FILE_MAX_BYTES ((size_t)64 << 20)

void
leader_epochs_fini(struct leader_epochs *le)
{
	free(le->entries);
	*le = (struct leader_epochs){0};
}

int
leader_epochs_assign(struct leader_epochs *le, int32_t epoch, int64_t start_offset)
{
	uint32_t keep = le->count;

	if (epoch < 0 || start_offset < 0)
		return 0;
	if (keep > 0 && le->entries[keep - 1].epoch == epoch &&
	    start_offset >= le->entries[keep - 1].start_offset)
		return 0;
	while (keep > 0 && (le->entries[keep - 1].epoch >= epoch ||
			    le->entries[keep - 1].start_offset >= start_offset))
		keep--;
	if (keep == le->cap) {
		uint32_t cap = le->cap == 0 ? 1 : le->cap * 2;
		struct leader_epoch_entry *grown = realloc(le->entries, cap * sizeof(*le->entries));

		if (grown == NULL)
			return -ENOMEM;
		le->entries = grown;
		le->cap = cap;
	}
	le->entries[keep] = (struct leader_epoch_entry){start_offset, epoch};
	le->count = keep + 1;
	le->changed = true;
	return 0;
}

int32_t
leader_epochs_latest(const struct leader_epochs *le)
{
	return le->count > 0 ? le->entries[le->count - 1].epoch : -1;
}

/* How many entries start at or below offset. */
static uint32_t
count_up_to(const struct leader_epochs *le, int64_t offset)
{
	uint32_t low = 0;
	uint32_t high = le->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (le->entries[mid].start_offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int32_t
leader_epochs_of_offset(const struct leader_epochs *le, int64_t offset)
{
	uint32_t n = count_up_to(le, offset);

	return n > 0 ? le->entries[n - 1].epoch : -1;
}

void
leader_epochs_end_offset(const struct leader_epochs *le, int32_t epoch, int64_t log_end_offset,
			 int32_t *ret_epoch, int64_t *ret_offset)
{
	uint32_t higher = 0;

	*ret_epoch = -1;
	*ret_offset = -1;
	if (epoch < 0)
		return;
	while (higher < le->count && le->entries[higher].epoch <= epoch)
		higher++;
	if (higher < le->count) {
		*ret_epoch = higher > 0 ? le->entries[higher - 1].epoch : epoch;
		*ret_offset = le->entries[higher].start_offset;
	} else if (leader_epochs_latest(le) == epoch) {
		*ret_epoch = epoch;
		*ret_offset = log_end_offset;
	}
}

void
leader_epochs_truncate_from_end(struct leader_epochs *le, int64_t end_offset)
{
	while (le->count > 0 && le->entries[le->count - 1].start_offset >= end_offset) {
		le->count--;
		le->changed = true;
	}
}

void
leader_epochs_truncate_from_start(struct leader_epochs *le, int64_t start_offset)
{
	uint32_t n = count_up_to(le, start_offset);

	if (n == 0 || (n == 1 && le->entries[0].start_offset == start_offset))
		return;
	memmove(le->entries, le->entries + n - 1, (le->count - (n - 1)) * sizeof(*le->entries));
	le->count -= n - 1;
	le->entries[0].start_offset = start_offset;
	le->changed = true;
}

void
leader_epochs_clear(struct leader_epochs *le)
{
	if (le->count > 0)
		le->changed = true;
	le->count = 0;
}

static int
take_line(void *arg, const char *line)
{
	struct leader_epochs *le = arg;
	int64_t start_offset;
	int32_t epoch;
	int end = -1;

	if (sscanf(line, "%" SCNd32 " %" SCNd64 " %n", &epoch, &start_offset, &end) != 2 ||
	    end < 0 || line[end] != '\0' || epoch < 0 || start_offset < 0)
		return -EINVAL;
	return leader_epochs_assign(le, epoch, start_offset);
}

int
leader_epochs_parse(struct slice text, struct leader_epochs *ret_epochs)
{
	struct leader_epochs le = {0};
	int st = checkpoint_parse(text, take_line, &le);

	if (st != 0) {
		leader_epochs_fini(&le);
		return st;
	}
	le.changed = false;
	*ret_epochs = le;
	return 0;
}

int
leader_epochs_read(struct env *env, int dir_fd, const char *path, struct leader_epochs *ret_epochs)
{
	struct buf text = {0};
	int st = env_read_file(env, dir_fd, path, FILE_MAX_BYTES, &text);

	if (st == -ENOENT)
		*ret_epochs = (struct leader_epochs){0};
	else if (st == 0)
		st = leader_epochs_parse(buf_slice(&text), ret_epochs);
	buf_fini(&text);
	return st == -ENOENT ? 0 : st;
}

int
leader_epochs_write(struct leader_epochs *le, struct env *env, int dir_fd, const char *path)
{
	struct buf lines = {0};
	int st;

	for (uint32_t i = 0; i < le->count; i++)
		buf_printf(&lines, "%" PRId32 " %" PRId64 "\n", le->entries[i].epoch,
			   le->entries[i].start_offset);
	st = checkpoint_write(env, dir_fd, path, le->count, &lines, false);
	buf_fini(&lines);
	if (st == 0)
		le->changed = false;
	return st;
}
