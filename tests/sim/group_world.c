#include "tests/sim/group_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/kerr.h"

struct world w;

void __attribute__((noreturn)) world_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: seed %" PRIu64 " at %" PRId64 " ms: not true: %s\n", file, line,
		w.seed, w.now_ms, what);
	exit(1);
}

uint32_t
below(uint32_t bound)
{
	uint64_t z = w.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

bool
percent(uint32_t chance)
{
	return below(100) < chance;
}

struct group_now
now(void)
{
	return (struct group_now){w.now_ms, WALL_MS + w.now_ms};
}

struct str
topic_of(int partition)
{
	return str_of(partition < PARTITIONS / 2 ? "t" : "u");
}

/* ---- the log ---- */

void
world_log(struct record_batch_builder *b, int partition, int64_t offset)
{
	struct log_entry *e;

	if (w.log_count == w.log_cap) {
		w.log_cap = w.log_cap == 0 ? 64 : w.log_cap * 2;
		w.log = realloc(w.log, (size_t)w.log_cap * sizeof(*w.log));
		HOLDS(w.log != NULL);
	}
	e = &w.log[w.log_count];
	*e = (struct log_entry){.partition = partition, .offset = offset};
	b->base_offset = w.log_count++;
	HOLDS(record_batch_builder_finish(b, &e->batch) == 0);
	record_batch_builder_fini(b);
}

static void
send_ack(struct ack *from)
{
	struct ack *ack = malloc(sizeof(*ack));

	HOLDS(ack != NULL);
	*ack = *from;
	ack->due_ms = w.now_ms + below((uint32_t)w.late_ms + 1);
	ack->next = w.acks;
	w.acks = ack;
}

void
world_store_group(uint64_t store_id)
{
	struct ack ack = {.partition = -1, .store_id = store_id};
	struct group_metadata_value value;
	struct record_batch_builder b;
	struct arena arena;

	/* Refused: not in the log. Some that are refused get there all the same: timed out. */
	ack.refused = percent((uint32_t)w.refuse_percent);
	if (!ack.refused || percent(50)) {
		arena_init(&arena, SIZE_MAX / 2);
		group_describe(w.g, &arena, &value);
		record_batch_builder_init(&b, COMPRESSION_NONE, 0);
		group_records_add_group(&b, WALL_MS + w.now_ms, group_id(w.g), &value);
		arena_fini(&arena);
		world_log(&b, -1, 0);
	}
	send_ack(&ack);
}

static void
acknowledge(struct ack *ack)
{
	struct committed_offset committed = {.offset = ack->offset,
					     .commit_timestamp_ms = WALL_MS + w.now_ms,
					     .expire_timestamp_ms = -1,
					     .batch_offset = ack->batch_offset,
					     .metadata = str_of(""),
					     .leader_epoch = -1};
	struct group_effects fx;

	HOLDS(w.g != NULL);
	if (ack->partition >= 0) {
		group_offsets_end(group_offsets(w.g), topic_of(ack->partition), ack->partition,
				  ack->refused ? NULL : &committed);
		return;
	}
	group_effects_init(&fx);
	group_stored(w.g, ack->store_id, ack->refused ? K_COORDINATOR_NOT_AVAILABLE : 0, now(),
		     &fx);
	world_apply(&fx);
}

void
world_forget_acks(void)
{
	while (w.acks != NULL) {
		struct ack *ack = w.acks;

		w.acks = ack->next;
		free(ack);
	}
}

void
world_write_offset(int partition, int64_t offset, bool reset)
{
	struct committed_offset committed = {.offset = offset,
					     .commit_timestamp_ms = WALL_MS + w.now_ms,
					     .expire_timestamp_ms = -1,
					     .metadata = str_of(""),
					     .leader_epoch = -1};
	struct ack ack = {.partition = partition, .offset = offset};
	struct record_batch_builder b;

	HOLDS(reset || offset >= w.last_logged[partition]); /* invariant 2 */
	group_offsets_begin(group_offsets(w.g), topic_of(partition), partition);
	ack.refused = percent((uint32_t)w.refuse_percent);
	if (!ack.refused) {
		record_batch_builder_init(&b, COMPRESSION_NONE, 0);
		group_records_add_offset(&b, WALL_MS + w.now_ms, group_id(w.g), topic_of(partition),
					 partition, &committed);
		ack.batch_offset = w.log_count;
		world_log(&b, partition, offset);
		w.last_logged[partition] = offset;
	}
	send_ack(&ack);
}

void
world_run_acks(void)
{
	for (struct ack **link = &w.acks; *link != NULL;) {
		struct ack *ack = *link;

		if (ack->due_ms > w.now_ms) {
			link = &ack->next;
			continue;
		}
		*link = ack->next;
		acknowledge(ack);
		free(ack);
		link = &w.acks; /* the list may have changed */
	}
}
