/*
 * Records of __consumer_offsets: a key of as many bytes as the first one says, then the value. What
 * can be read makes a group or an offset, and that is written and read again as the same.
 */
#include "group/group_records.h"
#include "tests/fuzz/fuzz.h"

#define ARENA_LIMIT (8 * 1024 * 1024)

/* Reads what the builder holds, as one record. */
static void
read_back(struct record_batch_builder *b, struct buf *out, struct arena *arena,
	  struct group_record *ret_record)
{
	struct record_batch batch;
	struct record_iter it;
	struct record record;
	struct slice payload;

	FUZZ_CHECK(record_batch_builder_finish(b, out) == 0);
	FUZZ_CHECK(record_batch_parse(buf_slice(out), &batch) == 0);
	FUZZ_CHECK(record_batch_payload(&batch, SIZE_MAX, NULL, &payload) == 0);
	record_iter_init(&it, payload, batch.record_count);
	FUZZ_CHECK(record_iter_next(&it, &record));
	group_record_read(&record, arena, ret_record);
	record_batch_builder_fini(b);
}

static void
check_offset(const struct group_record *r, struct arena *arena)
{
	struct record_batch_builder b;
	struct group_offsets go = {0};
	struct offset_view view;
	struct group_record again;
	struct buf out = {0};

	group_offsets_put(&go, r->topic, r->partition, &r->committed);
	group_offsets_txn_put(&go, 1, r->topic, r->partition, &r->committed);
	group_offsets_txn_end(&go, 1, true);
	group_offsets_look(&go, r->topic, r->partition, &view);
	FUZZ_CHECK(view.is_committed && !view.is_unstable);
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_offset(&b, 0, r->group.data, r->topic, r->partition, &view.committed);
	read_back(&b, &out, arena, &again);
	FUZZ_CHECK(again.kind == GROUP_RECORD_OFFSET && !again.is_tombstone);
	FUZZ_CHECK(str_equal(again.group, r->group) && str_equal(again.topic, r->topic));
	FUZZ_CHECK(again.committed.offset == r->committed.offset);
	FUZZ_CHECK(str_equal(again.committed.metadata, r->committed.metadata));
	group_offsets_fini(&go);
	buf_fini(&out);
}

static void
check_group(const struct group_record *r, struct arena *arena)
{
	static const struct group_settings settings = {3000, 100};
	struct group_now now = {1, 1};
	struct group *g = group_new(r->group.data, &settings, now);
	struct group_metadata_value value;
	struct record_batch_builder b;
	struct group_effects fx;
	struct group_record again;
	struct buf out = {0};

	group_effects_init(&fx);
	group_restore(g, &r->value);
	group_describe(g, arena, &value);
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	group_records_add_group(&b, 0, group_id(g), &value);
	read_back(&b, &out, arena, &again);
	FUZZ_CHECK(again.kind == GROUP_RECORD_GROUP && !again.is_tombstone);
	FUZZ_CHECK(again.value.members_count == group_member_count(g));
	FUZZ_CHECK(again.value.generation == group_generation(g));
	group_loaded(g, now, &fx);
	for (int i = 0; i < 1000 && group_deadline_ms(g) != INT64_MAX; i++) {
		now.monotonic_ms = group_deadline_ms(g);
		group_tick(g, now, &fx);
		FUZZ_CHECK(group_deadline_ms(g) > now.monotonic_ms);
	}
	group_unload(g, 1, &fx);
	group_effects_fini(&fx);
	group_free(g);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record record = {{NULL, 0}};
	struct group_record r;
	struct arena arena;
	size_t key_len;

	if (size == 0)
		return 0;
	key_len = data[0] < size ? data[0] : size - 1;
	record.key = (struct slice){data + 1, key_len};
	if (size - 1 > key_len)
		record.value = (struct slice){data + 1 + key_len, size - 1 - key_len};
	arena_init(&arena, ARENA_LIMIT);
	group_record_read(&record, &arena, &r);
	if (r.kind == GROUP_RECORD_OFFSET && !r.is_tombstone)
		check_offset(&r, &arena);
	else if (r.kind == GROUP_RECORD_GROUP && !r.is_tombstone)
		check_group(&r, &arena);
	arena_fini(&arena);
	return 0;
}
