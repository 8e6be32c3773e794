/*
 * dump_small.c - snapshots, checkpoints and the other small files of a log directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/properties.h"
#include "cli/dump.h"
#include "cli/text_escape.h"
#include "storage/checkpoint.h"
#include "storage/leader_epochs.h"
#include "storage/partition_metadata.h"
#include "wire/crc32c.h"

static int
read_file(struct dump *d, struct buf *content)
{
	int st = env_read_file(d->env, AT_FDCWD, d->path, DUMP_FILE_MAX, content);

	if (st != 0)
		dump_unreadable(d, st);
	return st;
}

/* ---- <offset>.snapshot: header 10 bytes, entries of 46; see producer_snapshot.h ---- */

#define SNAPSHOT_HEADER 10
#define SNAPSHOT_ENTRY 46
#define SNAPSHOT_CRC_FROM 6

static void
print_producer(const struct dump *d, const uint8_t *e)
{
	int64_t id = (int64_t)get_be64(e), last_offset = (int64_t)get_be64(e + 14);
	int64_t timestamp = (int64_t)get_be64(e + 26), txn_first = (int64_t)get_be64(e + 38);
	int epoch = (int16_t)get_be16(e + 8), coordinator_epoch = (int32_t)get_be32(e + 34);
	int32_t last_sequence = (int32_t)get_be32(e + 10), delta = (int32_t)get_be32(e + 22);
	int64_t first_sequence = (int64_t)last_sequence - delta;

	if (first_sequence < 0)
		first_sequence += (int64_t)INT32_MAX + 1;
	if (d->json) {
		printf("{\"type\":\"producer\",\"producer_id\":%lld,\"producer_epoch\":%d,"
		       "\"coordinator_epoch\":%d,\"current_txn_first_offset\":%lld,"
		       "\"first_sequence\":%lld,\"last_sequence\":%d,\"last_offset\":%lld,"
		       "\"offset_delta\":%d,\"timestamp\":%lld}\n",
		       (long long)id, epoch, coordinator_epoch, (long long)txn_first,
		       (long long)first_sequence, last_sequence, (long long)last_offset, delta,
		       (long long)timestamp);
		return;
	}
	printf("producerId: %lld producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: ",
	       (long long)id, epoch, coordinator_epoch);
	if (txn_first >= 0)
		printf("OptionalLong[%lld]", (long long)txn_first);
	else
		printf("OptionalLong.empty");
	printf(" lastTimestamp: %lld ", (long long)timestamp);
	if (last_offset >= 0)
		printf("firstSequence: %lld lastSequence: %d lastOffset: %lld offsetDelta: %d "
		       "timestamp: %lld",
		       (long long)first_sequence, last_sequence, (long long)last_offset, delta,
		       (long long)timestamp);
	putchar('\n');
}

void
dump_snapshot(struct dump *d)
{
	struct buf content = {0};
	const uint8_t *p;
	uint32_t count;

	if (read_file(d, &content) != 0)
		goto out;
	p = content.data;
	if (content.len < SNAPSHOT_HEADER || get_be16(p) != 1) {
		dump_fault(d, "it is no snapshot of version 1");
		goto out;
	}
	count = get_be32(p + SNAPSHOT_CRC_FROM);
	if (crc32c(0, p + SNAPSHOT_CRC_FROM, content.len - SNAPSHOT_CRC_FROM) != get_be32(p + 2)) {
		dump_fault(d, "its CRC is wrong");
		goto out;
	}
	if ((content.len - SNAPSHOT_HEADER) / SNAPSHOT_ENTRY != count ||
	    (content.len - SNAPSHOT_HEADER) % SNAPSHOT_ENTRY != 0) {
		dump_fault(d, "%zu bytes are not what %u producers take", content.len, count);
		goto out;
	}
	for (uint32_t i = 0; i < count; i++)
		print_producer(d, p + SNAPSHOT_HEADER + (size_t)i * SNAPSHOT_ENTRY);
out:
	buf_fini(&content);
}

/* ---- checkpoints ---- */

static int
print_offset_line(void *arg, const char *line)
{
	struct dump *d = arg;
	struct buf out = {0};
	long long offset;
	int end = 0, topic_end = 0, partition;

	if (sscanf(line, "%*s%n %d %lld%n", &topic_end, &partition, &offset, &end) != 2 ||
	    line[end] != '\0' || partition < 0) {
		dump_fault(d, "'%s' is no topic, partition and offset", line);
		return 0;
	}
	if (d->json) {
		buf_printf(&out, "{\"type\":\"checkpoint\",\"topic\":");
		json_append_string(&out, (struct slice){(const uint8_t *)line, (size_t)topic_end});
		buf_printf(&out, ",\"partition\":%d,\"offset\":%lld}", partition, offset);
	} else {
		buf_printf(&out, "topic: %.*s partition: %d offset: %lld", topic_end, line,
			   partition, offset);
	}
	dump_line(&out);
	buf_fini(&out);
	return 0;
}

void
dump_offset_checkpoint(struct dump *d)
{
	struct buf content = {0};

	if (read_file(d, &content) == 0 &&
	    checkpoint_parse(buf_slice(&content), print_offset_line, d) != 0)
		dump_fault(d, "it is no checkpoint of version 0, or its line count is wrong");
	buf_fini(&content);
}

void
dump_leader_epochs(struct dump *d)
{
	struct leader_epochs epochs = {0};
	struct buf content = {0};

	if (read_file(d, &content) == 0) {
		if (leader_epochs_parse(buf_slice(&content), &epochs) != 0)
			dump_fault(d,
				   "it is no leader epoch checkpoint, or its line count is wrong");
		for (uint32_t i = 0; i < epochs.count; i++)
			printf(
			    d->json
				? "{\"type\":\"leader_epoch\",\"epoch\":%d,\"start_offset\":%lld}\n"
				: "leaderEpoch: %d startOffset: %lld\n",
			    epochs.entries[i].epoch, (long long)epochs.entries[i].start_offset);
	}
	leader_epochs_fini(&epochs);
	buf_fini(&content);
}

void
dump_partition_metadata(struct dump *d)
{
	char text[UUID_TEXT_LEN + 1];
	struct buf content = {0};
	struct uuid id;

	if (read_file(d, &content) == 0) {
		if (partition_metadata_parse(buf_slice(&content), &id) != 0) {
			dump_fault(d, "it is no partition.metadata of version 0");
		} else {
			uuid_format(&id, text);
			printf(d->json ? "{\"type\":\"partition_metadata\",\"topic_id\":\"%s\"}\n"
				       : "topicId: %s\n",
			       text);
		}
	}
	buf_fini(&content);
}

void
dump_properties(struct dump *d)
{
	struct buf content = {0}, out = {0};
	struct properties props = {{0}};
	struct map_iter it = {0};
	const char *value;
	int line, st;

	if (read_file(d, &content) != 0)
		goto end;
	st = properties_parse(&props, buf_slice(&content), &line);
	if (st != 0) {
		dump_fault(d, "line %d has a malformed escape", st == -EINVAL ? line : 0);
		goto end;
	}
	while ((value = map_next(&props.texts, &it)) != NULL) {
		struct slice key = {(const uint8_t *)map_iter_key(&it).data, map_iter_key(&it).len};
		struct slice bytes = {(const uint8_t *)value, strlen(value)};

		if (d->json && text_is_utf8(key) && text_is_utf8(bytes)) {
			buf_printf(&out, "{\"type\":\"property\",\"name\":");
			json_append_string(&out, key);
			buf_printf(&out, ",\"value\":");
			json_append_string(&out, bytes);
			buf_append_u8(&out, '}');
		} else {
			text_append_printable(&out, key);
			buf_append_u8(&out, '=');
			text_append_printable(&out, bytes);
		}
		dump_line(&out);
	}
end:
	properties_fini(&props);
	buf_fini(&content);
	buf_fini(&out);
}
