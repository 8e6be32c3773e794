/*
 * dump_index.c - .index, .timeindex and .txnindex files.
 *
 * A broker that stops uncleanly may leave an index at its full size, zeros at its end: the entries
 * end at the first that is zero, except the first of all. An offset index entry is checked against
 * the log: a batch begins at its position, and the entry's offset is not below what that batch
 * begins with. A time index entry is checked against the log's end only by its order, because an
 * entry says the largest timestamp so far, not one of its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "cli/dump.h"
#include "storage/offset_index.h"
#include "storage/time_index.h"
#include "storage/txn_index.h"
#include "wire/record_batch.h"

struct index_dump {
	struct dump *d;
	struct buf content;
	struct buf out;
	size_t entry_size;
	size_t count; /* without zeros at the end */
	int64_t base_offset;
	int log_fd; /* -1: there is no log beside it */
	int64_t log_size;
};

static bool
is_zero(const uint8_t *entry, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (entry[i] != 0)
			return false;
	}
	return true;
}

static const uint8_t *
entry_at(const struct index_dump *ix, size_t i)
{
	return ix->content.data + i * ix->entry_size;
}

static void
open_log(struct index_dump *ix)
{
	char path[PATH_MAX];
	struct stat stat;

	ix->log_fd = -1;
	if (!dump_sibling(ix->d->path, ".log", path, sizeof(path)))
		return;
	ix->log_fd = env_openat(ix->d->env, AT_FDCWD, path, O_RDONLY, 0);
	if (ix->log_fd >= 0 && env_fstat(ix->d->env, ix->log_fd, &stat) == 0)
		ix->log_size = stat.st_size;
}

static int
index_open(struct index_dump *ix, struct dump *d, size_t entry_size)
{
	int st;

	*ix = (struct index_dump){.d = d, .entry_size = entry_size, .log_fd = -1};
	st = env_read_file(d->env, AT_FDCWD, d->path, DUMP_FILE_MAX, &ix->content);
	if (st != 0) {
		dump_unreadable(d, st);
		return st;
	}
	(void)dump_base_offset(d->path, &ix->base_offset);
	if (ix->content.len % entry_size != 0)
		dump_fault(d, "its %zu bytes are no whole entries of %zu bytes", ix->content.len,
			   entry_size);
	ix->count = ix->content.len / entry_size;
	while (ix->count > 1 && is_zero(entry_at(ix, ix->count - 1), entry_size))
		ix->count--;
	open_log(ix);
	return 0;
}

static void
index_close(struct index_dump *ix)
{
	if (ix->log_fd >= 0)
		env_close(ix->d->env, ix->log_fd);
	buf_fini(&ix->content);
	buf_fini(&ix->out);
}

/* What a broker's start checks of it came out well, as faults were so many before. */
static void
tell_sane(struct index_dump *ix, uint64_t faults_before)
{
	if (ix->d->faults != faults_before)
		return;
	if (ix->d->json)
		printf("{\"type\":\"sanity\",\"entries\":%zu,\"ok\":true}\n", ix->count);
	else
		printf("%s passed sanity check.\n", ix->d->path);
}

static bool
tell_empty(struct index_dump *ix)
{
	if (ix->count > 0)
		return false;
	if (ix->d->json)
		printf("{\"type\":\"empty\"}\n");
	else
		printf("%s is empty.\n", ix->d->path);
	return true;
}

/* ---- offset index ---- */

/* Does a batch begin at pos that the entry of this offset can point at? */
static void
check_position(struct index_dump *ix, int64_t offset, int32_t pos)
{
	uint8_t head[LOG_ENTRY_PEEK];
	struct record_entry entry;
	ssize_t n;

	if (ix->log_fd < 0)
		return;
	n = env_pread(ix->d->env, ix->log_fd, head, sizeof(head), pos);
	if (n < 0) {
		dump_unreadable(ix->d, (int)n);
	} else if (record_entry_peek((struct slice){head, (size_t)n}, &entry) != 0 ||
		   entry.offset < ix->base_offset ||
		   entry.size_bytes > (size_t)(ix->log_size - pos)) {
		dump_fault(ix->d, "offset %lld: no batch begins at position %d of the log",
			   (long long)offset, pos);
	} else if (entry.offset > offset && entry.magic >= RECORD_BATCH_MAGIC) {
		dump_fault(ix->d, "offset %lld: the batch at position %d begins with offset %lld",
			   (long long)offset, pos, (long long)entry.offset);
	}
}

static void
dump_offset_entries(struct index_dump *ix)
{
	int64_t last_offset = -1;
	int32_t last_pos = -1;

	for (size_t i = 0; i < ix->count; i++) {
		const uint8_t *e = entry_at(ix, i);
		int64_t offset = ix->base_offset + (int32_t)get_be32(e);
		int32_t pos = (int32_t)get_be32(e + 4);

		if (!ix->d->verify_only && !ix->d->sanity_only)
			printf(ix->d->json
				   ? "{\"type\":\"entry\",\"offset\":%lld,\"position\":%d}\n"
				   : "offset: %lld position: %d\n",
			       (long long)offset, pos);
		if (offset < ix->base_offset || pos < 0)
			dump_fault(ix->d, "offset %lld at position %d lies before the segment",
				   (long long)offset, pos);
		else if (i > 0 && (offset <= last_offset || pos <= last_pos))
			dump_fault(ix->d,
				   "offset %lld at position %d does not follow offset %lld at "
				   "position %d",
				   (long long)offset, pos, (long long)last_offset, last_pos);
		else if (!ix->d->sanity_only)
			check_position(ix, offset, pos);
		last_offset = offset;
		last_pos = pos;
	}
}

void
dump_offset_index(struct dump *d)
{
	uint64_t before = d->faults;
	struct index_dump ix;

	if (index_open(&ix, d, OFFSET_INDEX_ENTRY_SIZE) == 0 && !tell_empty(&ix)) {
		dump_offset_entries(&ix);
		if (d->sanity_only)
			tell_sane(&ix, before);
	}
	index_close(&ix);
}

/* ---- time index ---- */

static void
dump_time_entries(struct index_dump *ix)
{
	int64_t last_timestamp = -1, last_offset = -1;

	for (size_t i = 0; i < ix->count; i++) {
		const uint8_t *e = entry_at(ix, i);
		int64_t timestamp = (int64_t)get_be64(e);
		int64_t offset = ix->base_offset + (int32_t)get_be32(e + 8);

		if (!ix->d->verify_only && !ix->d->sanity_only)
			printf(ix->d->json
				   ? "{\"type\":\"entry\",\"timestamp\":%lld,\"offset\":%lld}\n"
				   : "timestamp: %lld offset: %lld\n",
			       (long long)timestamp, (long long)offset);
		if (offset < ix->base_offset)
			dump_fault(ix->d, "timestamp %lld: offset %lld lies before the segment",
				   (long long)timestamp, (long long)offset);
		else if (i > 0 && (timestamp <= last_timestamp || offset < last_offset))
			dump_fault(ix->d,
				   "timestamp %lld at offset %lld does not follow timestamp %lld "
				   "at offset %lld",
				   (long long)timestamp, (long long)offset,
				   (long long)last_timestamp, (long long)last_offset);
		last_timestamp = timestamp;
		last_offset = offset;
	}
}

void
dump_time_index(struct dump *d)
{
	uint64_t before = d->faults;
	struct index_dump ix;

	if (index_open(&ix, d, TIME_INDEX_ENTRY_SIZE) == 0 && !tell_empty(&ix)) {
		dump_time_entries(&ix);
		if (d->sanity_only)
			tell_sane(&ix, before);
	}
	index_close(&ix);
}

/* ---- transaction index ---- */

static void
dump_txn_entries(struct index_dump *ix)
{
	int64_t last = -1;

	for (size_t i = 0; i < ix->content.len / ix->entry_size; i++) {
		const uint8_t *e = entry_at(ix, i);
		int version = (int16_t)get_be16(e);
		int64_t first_offset = (int64_t)get_be64(e + 10);
		int64_t last_offset = (int64_t)get_be64(e + 18);

		if (!ix->d->verify_only && !ix->d->sanity_only)
			printf(
			    ix->d->json
				? "{\"type\":\"aborted_txn\",\"version\":%d,\"producer_id\":%lld,"
				  "\"first_offset\":%lld,\"last_offset\":%lld,"
				  "\"last_stable_offset\":%lld}\n"
				: "version: %d producerId: %lld firstOffset: %lld lastOffset: "
				  "%lld lastStableOffset: %lld\n",
			    version, (long long)get_be64(e + 2), (long long)first_offset,
			    (long long)last_offset, (long long)get_be64(e + 26));
		if (version != 0)
			dump_fault(ix->d, "entry %zu has version %d, which is none", i, version);
		else if (last_offset < ix->base_offset || first_offset > last_offset)
			dump_fault(ix->d, "entry %zu: offsets %lld to %lld are none of the segment",
				   i, (long long)first_offset, (long long)last_offset);
		else if (last_offset <= last)
			dump_fault(ix->d, "entry %zu: offset %lld does not follow %lld", i,
				   (long long)last_offset, (long long)last);
		last = last_offset;
	}
}

void
dump_txn_index(struct dump *d)
{
	uint64_t before = d->faults;
	struct index_dump ix;

	if (index_open(&ix, d, TXN_INDEX_ENTRY_SIZE) == 0) {
		dump_txn_entries(&ix);
		if (d->sanity_only)
			tell_sane(&ix, before);
	}
	index_close(&ix);
}
