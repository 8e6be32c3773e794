/*
 * group_records.h - the records of __consumer_offsets: keys and values of offsets and groups.
 *
 *	key version 0, 1   an offset: group, topic, partition
 *	key version 2      a group
 *	value null         a tombstone
 *
 * Written as a Kafka 3.9 broker beside ZooKeeper writes them: offset keys in version 1, their
 *values in version 3, or 1 with a time of expiry; groups in version 3. All versions are read. Keys
 *of other versions belong to the groups of KIP-848, which such a broker passes over.
 *
 * Threads  none of these is shared.
 * Source   storage-format, section 12.2; Kafka's GroupMetadataManager.
 */
#ifndef KLAMM_GROUP_GROUP_RECORDS_H
#define KLAMM_GROUP_GROUP_RECORDS_H

#include "group/group.h"
#include "wire/generated/consumer_offsets.h"
#include "wire/record_batch_builder.h"

/* Each appends one record; what goes wrong is told by the builder's finish. */
void group_records_add_offset(struct record_batch_builder *b, int64_t now_ms, const char *group,
			      struct str topic, int32_t partition,
			      const struct committed_offset *committed);
void group_records_add_offset_tombstone(struct record_batch_builder *b, int64_t now_ms,
					const char *group, struct str topic, int32_t partition);
void group_records_add_group(struct record_batch_builder *b, int64_t now_ms, const char *group,
			     const struct group_metadata_value *value);
void group_records_add_group_tombstone(struct record_batch_builder *b, int64_t now_ms,
				       const char *group);

enum group_record_kind {
	GROUP_RECORD_OFFSET,
	GROUP_RECORD_GROUP,
	GROUP_RECORD_UNKNOWN, /* a version of the key that is not for us */
	GROUP_RECORD_CORRUPT, /* key or value do not decode */
};

struct group_record {
	enum group_record_kind kind;
	bool is_tombstone;
	int key_version; /* UNKNOWN */
	struct str group, topic;
	int32_t partition;
	struct committed_offset committed; /* OFFSET; batch_offset is not set */
	struct group_metadata_value value; /* GROUP */
};

/* Reads one record; what is read borrows from it and from arena. */
void group_record_read(const struct record *record, struct arena *arena,
		       struct group_record *ret_record);

#endif
