#include "storage/producer_snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "wire/crc32c.h"

#define HEADER_SIZE 10
#define ENTRY_SIZE 46
#define CRC_FROM 6
/* Twenty million producers. */
#define FILE_MAX_BYTES ((size_t)1 << 30)
#define PATH_MAX_BYTES (2 * NAME_MAX + 2)

void
producer_snapshot_encode(const struct producer_state *ps, struct buf *out)
{
	struct map_iter iter = {0};
	const struct producer *p;
	size_t start = out->len;
	uint32_t count = 0;

	buf_append_be16(out, 1);
	buf_append_be32(out, 0);
	buf_append_be32(out, 0);
	while ((p = producer_state_next(ps, &iter)) != NULL) {
		const struct producer_batch *newest = producer_newest_batch(p);

		buf_append_be64(out, (uint64_t)p->producer_id);
		buf_append_be16(out, (uint16_t)p->epoch);
		buf_append_be32(out, (uint32_t)(newest ? newest->last_sequence : NO_SEQUENCE));
		buf_append_be64(out, (uint64_t)(newest ? newest->last_offset : -1));
		buf_append_be32(out, (uint32_t)(newest ? newest->offset_delta : 0));
		buf_append_be64(out, (uint64_t)p->last_timestamp_ms);
		buf_append_be32(out, (uint32_t)p->coordinator_epoch);
		buf_append_be64(out, (uint64_t)p->txn_first_offset);
		count++;
	}
	if (out->failed)
		return;
	put_be32(out->data + start + CRC_FROM, count);
	put_be32(out->data + start + 2,
		 crc32c(0, out->data + start + CRC_FROM, out->len - start - CRC_FROM));
}

static void
decode_entry(const uint8_t *e, struct producer *ret_p)
{
	struct producer_batch batch = {
	    .last_sequence = (int32_t)get_be32(e + 10),
	    .last_offset = (int64_t)get_be64(e + 14),
	    .offset_delta = (int32_t)get_be32(e + 22),
	    .timestamp_ms = (int64_t)get_be64(e + 26),
	};

	*ret_p = (struct producer){
	    .producer_id = (int64_t)get_be64(e),
	    .epoch = (int16_t)get_be16(e + 8),
	    .last_timestamp_ms = batch.timestamp_ms,
	    .coordinator_epoch = (int32_t)get_be32(e + 34),
	    .txn_first_offset = (int64_t)get_be64(e + 38),
	};
	if (ret_p->txn_first_offset < 0)
		ret_p->txn_first_offset = -1;
	if (batch.last_offset >= 0) {
		ret_p->batch_count = 1;
		ret_p->batches[0] = batch;
	}
}

int
producer_snapshot_decode(struct slice content, int64_t now_ms, int64_t expiration_ms,
			 struct producer_state *ps)
{
	uint32_t count;

	if (content.len < HEADER_SIZE || get_be16(content.data) != 1)
		return -EBADMSG;
	count = get_be32(content.data + CRC_FROM);
	if ((content.len - HEADER_SIZE) / ENTRY_SIZE != count ||
	    (content.len - HEADER_SIZE) % ENTRY_SIZE != 0 ||
	    crc32c(0, content.data + CRC_FROM, content.len - CRC_FROM) !=
		get_be32(content.data + 2))
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		struct producer p;
		int st;

		decode_entry(content.data + HEADER_SIZE + (size_t)i * ENTRY_SIZE, &p);
		if (p.txn_first_offset < 0 && now_ms - p.last_timestamp_ms >= expiration_ms)
			continue;
		st = producer_state_load(ps, &p);
		if (st != 0)
			return st;
	}
	return 0;
}

static void
format_path(char *path, const char *dir, int64_t offset)
{
	snprintf(path, PATH_MAX_BYTES, "%s/%020lld" SNAPSHOT_SUFFIX, dir, (long long)offset);
}

int
producer_snapshot_write(struct env *env, int dir_fd, const char *dir, int64_t offset,
			struct slice content, bool sync)
{
	char path[PATH_MAX_BYTES];
	int fd, st;

	format_path(path, dir, offset);
	fd = env_openat(env, dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return fd;
	st = env_pwrite(env, fd, content.data, content.len, 0);
	if (st == 0 && sync)
		st = env_fsync(env, fd);
	env_close(env, fd);
	/* A part of one would only be thrown away at the next start. */
	if (st != 0)
		env_unlinkat(env, dir_fd, path, 0);
	return st;
}

int
producer_snapshot_read(struct env *env, int dir_fd, const char *dir, int64_t offset,
		       struct buf *ret_content)
{
	char path[PATH_MAX_BYTES];

	format_path(path, dir, offset);
	return env_read_file(env, dir_fd, path, FILE_MAX_BYTES, ret_content);
}

int
producer_snapshot_delete(struct env *env, int dir_fd, const char *dir, int64_t offset)
{
	char path[PATH_MAX_BYTES];
	int st;

	format_path(path, dir, offset);
	st = env_unlinkat(env, dir_fd, path, 0);
	return st == -ENOENT ? 0 : st;
}
