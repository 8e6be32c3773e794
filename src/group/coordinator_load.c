/*
 * Loading a partition of __consumer_offsets: from its log start offset to its log end offset, in
 * chunks of offsets.load.buffer.size, on a worker. Nobody else sees what is being built; it takes
 * its place in the shard only if the shard still wants this very load.
 *
 * The last record of a key counts. Offsets go into their groups at once; of a group's own record
 * only the last bytes are kept until the end. Records that cannot be read are counted and passed
 * over: what comes after them is loaded all the same.
 *
 * Kafka: GroupMetadataManager.doLoadGroupsAndOffsets.
 */
#include <errno.h>

#include "base/diag.h"
#include "cluster/topic_name.h"
#include "group/coordinator_internal.h"
#include "group/group_memory.h"
#include "group/group_records.h"
#include "storage/file_cache.h"
#include "wire/kerr.h"
#include "wire/legacy_message.h"

#define RECORD_ARENA_BYTES ((size_t)256 << 20)
/* What one batch may hold once it is unpacked. */
#define BATCH_BYTES_MAX ((size_t)1 << 30)
#define PROGRESS_INTERVAL_MS 3000

struct loading_group {
	struct group *group;
	struct slice value; /* owned: the group's last record, null for none */
};

/* The groups in which a producer has a transaction open. */
struct loading_producer {
	struct map groups; /* id -> struct loading_group */
};

struct load {
	struct group_shard *shard;
	uint64_t load_id;
	struct map groups;    /* id -> struct loading_group */
	struct map producers; /* producer id -> struct loading_producer */
	struct arena arena;
	struct buf chunk, payload, converted;
	int64_t records, skipped, unknown;
	int64_t start_us, next_progress_ms;
};

/* ---- what the records say ---- */

static struct loading_group *
find_or_make(struct load *load, struct str id)
{
	struct loading_group *lg = map_get(&load->groups, id.data, id.len);
	struct group_coordinator *gc = load->shard->gc;

	if (lg != NULL)
		return lg;
	lg = must_calloc(1, sizeof(*lg));
	lg->group = group_new(id.data, &gc->group_settings, coordinator_now(gc));
	if (map_put(&load->groups, id.data, id.len, lg, NULL) != 0)
		abort();
	return lg;
}

static void
note_transaction(struct load *load, int64_t producer_id, struct loading_group *lg)
{
	struct loading_producer *p = map_get(&load->producers, &producer_id, sizeof(producer_id));

	if (p == NULL) {
		p = must_calloc(1, sizeof(*p));
		if (map_put(&load->producers, &producer_id, sizeof(producer_id), p, NULL) != 0)
			abort();
	}
	if (map_put_text(&p->groups, group_id(lg->group), lg, NULL) != 0)
		abort();
}

static void
end_transaction(struct load *load, int64_t producer_id, bool commit)
{
	struct loading_producer *p =
	    map_remove(&load->producers, &producer_id, sizeof(producer_id));
	struct map_iter iter = {0};
	struct loading_group *lg;

	if (p == NULL)
		return;
	while ((lg = map_next(&p->groups, &iter)) != NULL)
		group_offsets_txn_end(group_offsets(lg->group), producer_id, commit);
	map_fini(&p->groups);
	free(p);
}

static void
take_offset(struct load *load, const struct record_batch *batch, struct group_record *r)
{
	struct loading_group *lg = find_or_make(load, r->group);

	r->committed.batch_offset = batch->base_offset;
	if (record_batch_is_transactional(batch)) {
		if (r->is_tombstone)
			return; /* no transaction deletes an offset */
		group_offsets_txn_put(group_offsets(lg->group), batch->producer_id, r->topic,
				      r->partition, &r->committed);
		note_transaction(load, batch->producer_id, lg);
	} else if (r->is_tombstone) {
		group_offsets_remove(group_offsets(lg->group), r->topic, r->partition);
	} else {
		group_offsets_put(group_offsets(lg->group), r->topic, r->partition, &r->committed);
	}
}

static void
take_record(struct load *load, const struct record_batch *batch, const struct record *record)
{
	struct loading_group *lg;
	struct group_record r;

	load->records++;
	group_record_read(record, &load->arena, &r);
	switch (r.kind) {
	case GROUP_RECORD_OFFSET:
		take_offset(load, batch, &r);
		break;
	case GROUP_RECORD_GROUP:
		lg = find_or_make(load, r.group);
		free_bytes(&lg->value);
		if (!r.is_tombstone)
			lg->value = must_copy_bytes(record->value);
		break;
	case GROUP_RECORD_UNKNOWN:
		load->unknown++;
		break;
	case GROUP_RECORD_CORRUPT:
		load->skipped++;
		break;
	}
	arena_reset(&load->arena);
}

/* ---- reading ---- */

static int
take_batch(struct load *load, const struct record_batch *batch)
{
	struct end_txn_marker marker;
	struct record_iter iter;
	struct record record;
	struct slice payload;
	int st = record_batch_check_crc(batch);

	if (st != 0)
		return st;
	if (record_batch_is_control(batch)) {
		if (end_txn_marker_read(batch, &marker) == 0)
			end_transaction(load, batch->producer_id, marker.type == CONTROL_COMMIT);
		return 0;
	}
	st = record_batch_payload(batch, BATCH_BYTES_MAX, &load->payload, &payload);
	if (st != 0)
		return st;
	record_iter_init(&iter, payload, batch->record_count);
	while (record_iter_next(&iter, &record))
		take_record(load, batch, &record);
	return iter.status;
}

/* A message of an old segment, as the batch it would be today. */
static int
take_legacy(struct load *load, struct slice message, int64_t offset)
{
	struct record_batch_builder b;
	struct record_batch batch;
	int st;

	load->converted.len = 0;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	b.base_offset = offset;
	st = legacy_up_convert(message, BATCH_BYTES_MAX, &b, &load->converted);
	record_batch_builder_fini(&b);
	if (st == 0)
		st = record_batch_parse(buf_slice(&load->converted), &batch);
	return st == 0 ? take_batch(load, &batch) : st;
}

/* Takes the batches of a chunk; ret_next is the offset after the last whole one. */
static int
take_chunk(struct load *load, struct slice data, int64_t *ret_next)
{
	struct record_entry entry;

	while (record_entry_peek(data, &entry) == 0 && entry.size_bytes <= data.len) {
		struct slice whole = {data.data, entry.size_bytes};
		struct record_batch batch;
		int64_t last = entry.offset;
		int st;

		if (entry.magic < RECORD_BATCH_MAGIC) {
			st = take_legacy(load, whole, entry.offset);
		} else {
			st = record_batch_parse(whole, &batch);
			if (st == 0) {
				last = record_batch_last_offset(&batch);
				st = take_batch(load, &batch);
			}
		}
		if (st < 0)
			return st;
		if (st != 0)
			load->skipped++;
		*ret_next = last + 1;
		data.data += entry.size_bytes;
		data.len -= entry.size_bytes;
	}
	return 0;
}

static void
tell_progress(struct load *load, int64_t start, int64_t next, int64_t end)
{
	int64_t now_ms = env_monotonic_ms(load->shard->gc->settings.env);

	if (now_ms < load->next_progress_ms)
		return;
	load->next_progress_ms = now_ms + PROGRESS_INTERVAL_MS;
	diag_info(DIAG_GROUP, "loading groups",
		  "partition=%s-%d done=%lld total=%lld records=%lld groups=%zu",
		  TOPIC_CONSUMER_OFFSETS, load->shard->partition, (long long)(next - start),
		  (long long)(end - start), (long long)load->records, load->groups.count);
}

static bool
is_wanted(struct load *load)
{
	struct group_shard *shard = load->shard;
	bool wanted;

	lock_acquire(&shard->lock);
	wanted = shard->load_id == load->load_id && !atomic_load(&shard->gc->shut_down);
	lock_release(&shard->lock);
	return wanted;
}

/* One chunk from `offset`. */
static int
read_chunk(struct load *load, struct log *log, int64_t offset, int64_t *ret_next)
{
	int32_t max_bytes =
	    (int32_t)conf_store_get(load->shard->gc->settings.conf)->offsets_load_buffer_size;
	struct log_read read;
	uint8_t *room;
	ssize_t n;
	int st = log_read(log, offset, max_bytes, true, LOG_READ_LOG_END, false, &read);

	if (st != 0 || read.len == 0)
		return st;
	load->chunk.len = 0;
	room = buf_extend(&load->chunk, (size_t)read.len);
	n = room == NULL ? -ENOMEM : log_file_pread(read.file, room, (size_t)read.len, read.pos);
	log_file_put(read.file);
	if (n < 0)
		return (int)n;
	return take_chunk(load, (struct slice){room, (size_t)n}, ret_next);
}

static int
read_log(struct load *load, struct log *log)
{
	int64_t start = log_start_offset(log), offset = start;
	int st = 0;

	while (st == 0 && offset < log_end_offset(log) && is_wanted(load)) {
		int64_t next = offset;

		st = read_chunk(load, log, offset, &next);
		/* Nothing whole where something must be: there is no way past it. */
		if (st == 0 && next <= offset)
			st = K_CORRUPT_MESSAGE;
		offset = next;
		tell_progress(load, start, offset, log_end_offset(log));
	}
	return st;
}

static int
read_partition(struct load *load)
{
	struct group_coordinator *gc = load->shard->gc;
	struct partition *p;
	struct log *log;
	int st = replica_manager_get(gc->settings.replicas, str_of(TOPIC_CONSUMER_OFFSETS),
				     load->shard->partition, &p);

	if (st != 0)
		return st;
	st = partition_log(p, PARTITION_NO_EPOCH, true, NULL, &log);
	if (st == 0) {
		st = read_log(load, log);
		log_put(log);
	}
	partition_put(p);
	return st;
}

/* ---- the result ---- */

/* The group as its last record has it. */
static void
restore(struct load *load, struct loading_group *lg)
{
	struct group_metadata_value value;
	int version;

	if (lg->value.data != NULL &&
	    group_metadata_value_read(&value, lg->value, &load->arena, &version) == 0)
		group_restore(lg->group, &value);
	arena_reset(&load->arena);
}

/* With the shard's lock. */
static void
install(struct load *load)
{
	struct group_shard *shard = load->shard;
	struct map_iter iter = {0};
	struct loading_group *lg;

	shard->state = SHARD_ACTIVE;
	while ((lg = map_next(&load->groups, &iter)) != NULL) {
		struct shard_group *sg;
		struct group_effects fx;

		if (lg->value.data == NULL && group_is_unused(lg->group))
			continue; /* its tombstones are all there is */
		restore(load, lg);
		sg = shard_add(shard, lg->group);
		lg->group = NULL;
		group_effects_init(&fx);
		group_loaded(sg->group, coordinator_now(shard->gc), &fx);
		shard_apply(sg, &fx);
	}
}

static void
load_free(struct load *load)
{
	struct map_iter iter = {0};
	struct loading_producer *p;
	struct loading_group *lg;

	while ((lg = map_next(&load->groups, &iter)) != NULL) {
		group_free(lg->group);
		free_bytes(&lg->value);
		free(lg);
	}
	iter = (struct map_iter){0};
	while ((p = map_next(&load->producers, &iter)) != NULL) {
		map_fini(&p->groups);
		free(p);
	}
	map_fini(&load->groups);
	map_fini(&load->producers);
	arena_fini(&load->arena);
	buf_fini(&load->chunk);
	buf_fini(&load->payload);
	buf_fini(&load->converted);
	free(load);
}

static void
tell_result(struct load *load, int st, int64_t took_us)
{
	struct group_shard *shard = load->shard;

	metric_add(shard->gc->skipped_records, load->skipped + load->unknown);
	histogram_observe(shard->gc->load_time, took_us);
	if (st != 0)
		diag_error(DIAG_GROUP,
			   "the partition of groups cannot be read to its end: what comes after "
			   "this is not known",
			   "partition=%s-%d records=%lld error=%s", TOPIC_CONSUMER_OFFSETS,
			   shard->partition, (long long)load->records, kerr_name(kerr_of(st)));
	if (load->skipped > 0)
		diag_warn(DIAG_GROUP, "passed over records that cannot be read",
			  "partition=%s-%d records=%lld", TOPIC_CONSUMER_OFFSETS, shard->partition,
			  (long long)load->skipped);
	if (load->unknown > 0)
		diag_warn(DIAG_GROUP, "passed over records of kinds that are not for this broker",
			  "partition=%s-%d records=%lld", TOPIC_CONSUMER_OFFSETS, shard->partition,
			  (long long)load->unknown);
	diag_info(DIAG_GROUP, "groups are loaded",
		  "partition=%s-%d groups=%zu records=%lld took_ms=%lld", TOPIC_CONSUMER_OFFSETS,
		  shard->partition, shard->groups.count, (long long)load->records,
		  (long long)took_us / 1000);
}

static void
run_load(void *arg)
{
	struct load *load = arg;
	struct group_shard *shard = load->shard;
	struct env *env = shard->gc->settings.env;
	int st = read_partition(load);

	lock_acquire(&shard->lock);
	/* Led no longer, or anew: then another load is on its way. */
	if (shard->load_id == load->load_id && shard->state == SHARD_LOADING &&
	    st != K_NOT_LEADER_OR_FOLLOWER && !atomic_load(&shard->gc->shut_down)) {
		install(load);
		tell_result(load, st, env_monotonic_us(env) - load->start_us);
	}
	lock_release(&shard->lock);
	load_free(load);
}

void
shard_begin_load(struct group_shard *shard)
{
	struct load *load = must_calloc(1, sizeof(*load));

	load->shard = shard;
	load->load_id = shard->load_id;
	load->start_us = env_monotonic_us(shard->gc->settings.env);
	load->next_progress_ms = load->start_us / 1000 + PROGRESS_INTERVAL_MS;
	arena_init(&load->arena, RECORD_ARENA_BYTES);
	coordinator_submit(shard->gc, run_load, load);
}
