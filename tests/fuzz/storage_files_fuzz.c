/*
 * The small files of the storage room: what is read either ends in a status or is written back as
 * the same content. The first byte says which kind of file the rest is.
 */
#include <errno.h>

#include "storage/checkpoint.h"
#include "storage/leader_epochs.h"
#include "storage/partition_metadata.h"
#include "storage/producer_snapshot.h"
#include "tests/fuzz/fuzz.h"

static void
checkpoint(struct slice text)
{
	struct offset_table t, again;
	struct buf lines = {0}, whole = {0};
	size_t count;
	int st = offset_table_parse(text, &t);

	FUZZ_CHECK(st == 0 || st == -EINVAL || st == -ENOMEM);
	if (st != 0)
		return;
	offset_table_format(&t, &lines, &count);
	FUZZ_CHECK(count == t.offsets.count);
	buf_printf(&whole, "0\n%zu\n", count);
	buf_append(&whole, lines.data, lines.len);
	FUZZ_CHECK(offset_table_parse(buf_slice(&whole), &again) == 0);
	FUZZ_CHECK(again.offsets.count == count);
	offset_table_fini(&again);
	offset_table_fini(&t);
	buf_fini(&lines);
	buf_fini(&whole);
}

static void
epochs(struct slice text)
{
	struct leader_epochs le;
	int st = leader_epochs_parse(text, &le);

	FUZZ_CHECK(st == 0 || st == -EINVAL || st == -ENOMEM);
	if (st != 0)
		return;
	for (uint32_t i = 1; i < le.count; i++) {
		FUZZ_CHECK(le.entries[i].epoch > le.entries[i - 1].epoch);
		FUZZ_CHECK(le.entries[i].start_offset > le.entries[i - 1].start_offset);
	}
	leader_epochs_truncate_from_start(&le, 1000);
	leader_epochs_truncate_from_end(&le, 5000);
	for (uint32_t i = 0; i < le.count; i++)
		FUZZ_CHECK(le.entries[i].start_offset >= 1000 && le.entries[i].start_offset < 5000);
	leader_epochs_fini(&le);
}

static void
snapshot(struct slice content)
{
	struct producer_state ps = {0};
	struct buf out = {0};
	int st = producer_snapshot_decode(content, 0, INT64_MAX, &ps);

	FUZZ_CHECK(st == 0 || st == -EBADMSG || st == -ENOMEM);
	if (st == 0) {
		struct producer_state again = {0};

		producer_snapshot_encode(&ps, &out);
		FUZZ_CHECK(producer_snapshot_decode(buf_slice(&out), 0, INT64_MAX, &again) == 0);
		FUZZ_CHECK(producer_state_count(&again) == producer_state_count(&ps));
		producer_state_expire(&ps, INT64_MAX / 2, 1);
		producer_state_fini(&again);
	}
	buf_fini(&out);
	producer_state_fini(&ps);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = {data + 1, size - 1};
	struct uuid id;

	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		checkpoint(rest);
		break;
	case 1:
		epochs(rest);
		break;
	case 2:
		snapshot(rest);
		break;
	default:
		if (partition_metadata_parse(rest, &id) == 0)
			FUZZ_CHECK(!uuid_is_zero(&id));
		break;
	}
	return 0;
}
