#include "group/group_records.h"

#include <errno.h>

#include "group/group_memory.h"

#define OFFSET_KEY_VERSION 1
#define OFFSET_VALUE_VERSION 3
#define OFFSET_VALUE_VERSION_WITH_EXPIRY 1
#define GROUP_KEY_VERSION 2
#define GROUP_VALUE_VERSION 3

/* Appends what is encoded in b's two halves: a key, and a value or null. */
static void
add(struct record_batch_builder *b, int64_t now_ms, struct buf *key, struct buf *value, int st)
{
	struct slice none = {NULL, 0};

	if (st == 0 && !key->failed && (value == NULL || !value->failed))
		record_batch_builder_append(b, now_ms, buf_slice(key),
					    value == NULL ? none : buf_slice(value), NULL, 0);
	else if (b->status == 0)
		b->status = st != 0 ? st : -ENOMEM;
	buf_fini(key);
	if (value != NULL)
		buf_fini(value);
}

static int
write_offset_key(const char *group, struct str topic, int32_t partition, struct buf *key)
{
	struct offset_commit_key k = {
	    .group = str_of(group), .topic = topic, .partition = partition};

	return offset_commit_key_write(&k, OFFSET_KEY_VERSION, key);
}

void
group_records_add_offset(struct record_batch_builder *b, int64_t now_ms, const char *group,
			 struct str topic, int32_t partition,
			 const struct committed_offset *committed)
{
	struct offset_commit_value v = {
	    .offset = committed->offset,
	    .leader_epoch = committed->leader_epoch,
	    .metadata = committed->metadata,
	    .commit_timestamp = committed->commit_timestamp_ms,
	    .expire_timestamp = committed->expire_timestamp_ms,
	};
	struct buf key = {0}, value = {0};
	int st = write_offset_key(group, topic, partition, &key);

	if (st == 0)
		st = offset_commit_value_write(&v,
					       v.expire_timestamp >= 0
						   ? OFFSET_VALUE_VERSION_WITH_EXPIRY
						   : OFFSET_VALUE_VERSION,
					       &value);
	add(b, now_ms, &key, &value, st);
}

void
group_records_add_offset_tombstone(struct record_batch_builder *b, int64_t now_ms,
				   const char *group, struct str topic, int32_t partition)
{
	struct buf key = {0};
	int st = write_offset_key(group, topic, partition, &key);

	add(b, now_ms, &key, NULL, st);
}

static int
write_group_key(const char *group, struct buf *key)
{
	struct group_metadata_key k = {.group = str_of(group)};

	return group_metadata_key_write(&k, GROUP_KEY_VERSION, key);
}

void
group_records_add_group(struct record_batch_builder *b, int64_t now_ms, const char *group,
			const struct group_metadata_value *value)
{
	struct buf key = {0}, encoded = {0};
	int st = write_group_key(group, &key);

	if (st == 0)
		st = group_metadata_value_write(value, GROUP_VALUE_VERSION, &encoded);
	add(b, now_ms, &key, &encoded, st);
}

void
group_records_add_group_tombstone(struct record_batch_builder *b, int64_t now_ms, const char *group)
{
	struct buf key = {0};
	int st = write_group_key(group, &key);

	add(b, now_ms, &key, NULL, st);
}

/* ---- reading ---- */

static bool
read_offset(const struct record *record, struct arena *arena, struct group_record *r)
{
	struct offset_commit_value v;
	struct offset_commit_key k;
	int version;

	if (offset_commit_key_read(&k, record->key, arena, &version) != 0)
		return false;
	if (has_nul(k.group))
		return false;
	r->kind = GROUP_RECORD_OFFSET;
	r->group = k.group;
	r->topic = k.topic;
	r->partition = k.partition;
	if (r->is_tombstone)
		return true;
	if (offset_commit_value_read(&v, record->value, arena, &version) != 0)
		return false;
	r->committed = (struct committed_offset){
	    .offset = v.offset,
	    .leader_epoch = v.leader_epoch,
	    .metadata = v.metadata,
	    .commit_timestamp_ms = v.commit_timestamp,
	    .expire_timestamp_ms = v.expire_timestamp,
	};
	return true;
}

static bool
read_group(const struct record *record, struct arena *arena, struct group_record *r)
{
	struct group_metadata_key k;
	int version;

	if (group_metadata_key_read(&k, record->key, arena, &version) != 0)
		return false;
	if (has_nul(k.group))
		return false;
	r->kind = GROUP_RECORD_GROUP;
	r->group = k.group;
	return r->is_tombstone ||
	       group_metadata_value_read(&r->value, record->value, arena, &version) == 0;
}

void
group_record_read(const struct record *record, struct arena *arena, struct group_record *ret_record)
{
	struct group_record r = {.is_tombstone = record->value.data == NULL};
	bool ok;

	if (record->key.data == NULL || record->key.len < 2) {
		ret_record->kind = GROUP_RECORD_CORRUPT;
		return;
	}
	r.key_version = (int16_t)get_be16(record->key.data);
	if (r.key_version == 0 || r.key_version == 1) {
		ok = read_offset(record, arena, &r);
	} else if (r.key_version == GROUP_KEY_VERSION) {
		ok = read_group(record, arena, &r);
	} else {
		r.kind = GROUP_RECORD_UNKNOWN;
		ok = true;
	}
	if (!ok)
		r.kind = GROUP_RECORD_CORRUPT;
	*ret_record = r;
}
