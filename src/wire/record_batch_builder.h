/*
 * record_batch_builder.h - builds record batches of magic 2, record by record.
 *
 * For recompression, for the coordinators' own records, for markers and for tests.
 *
 *	record_batch_builder_init(&b, COMPRESSION_LZ4, COMPRESSION_LZ4_LEVEL_DEFAULT);
 *	b.base_offset = 100;
 *	record_batch_builder_append(&b, now_ms, key, value, NULL, 0);
 *	st = record_batch_builder_finish(&b, out);
 *	record_batch_builder_fini(&b);
 *
 * Appending never fails visibly: what went wrong is told by the finish.
 *
 * Threads  one at a time.
 * Source   storage-format, sections 2 and 3; Kafka's MemoryRecordsBuilder.
 */
#ifndef KLAMM_WIRE_RECORD_BATCH_BUILDER_H
#define KLAMM_WIRE_RECORD_BATCH_BUILDER_H

#include "wire/record_batch.h"

struct record_header {
	struct str key;
	struct slice value; /* may be null */
};

struct record_batch_builder {
	/* Set between init and finish; init gives the values in brackets. */
	int64_t base_offset;                /* (0) */
	int32_t leader_epoch;               /* (-1) */
	int64_t producer_id;                /* (-1) */
	int16_t producer_epoch;             /* (-1) */
	int32_t base_sequence;              /* (-1) */
	enum timestamp_type timestamp_type; /* (CREATE_TIME) */
	int64_t log_append_time_ms;         /* max timestamp under LOG_APPEND_TIME (-1) */
	int64_t delete_horizon_ms;          /* written as the base timestamp when >= 0 (-1) */
	bool transactional;                 /* (false) */
	bool control;                       /* (false) */
	/*
	 * (-1) Of what was appended; may be raised before the finish, for a batch that keeps the
	 * range of removed records.
	 */
	int32_t last_offset_delta;

	/* What the builder keeps for itself. */
	struct buf records;
	enum compression codec;
	int level;
	int32_t record_count;
	int64_t base_timestamp;
	int64_t max_timestamp;
	int status;
};

void record_batch_builder_init(struct record_batch_builder *b, enum compression codec, int level);
void record_batch_builder_fini(struct record_batch_builder *b);

/*
 * The next record: its offset delta is the last one's plus one, its timestamp in ms (or -1). Key
 * and value are copied; null ones have data == NULL. headers may be NULL when there are none.
 */
void record_batch_builder_append(struct record_batch_builder *b, int64_t timestamp_ms,
				 struct slice key, struct slice value,
				 const struct record_header *headers, int32_t header_count);

/* The same for a record read from elsewhere, with its offset delta and its undecoded headers. */
void record_batch_builder_append_record(struct record_batch_builder *b, int64_t timestamp_ms,
					int32_t offset_delta, const struct record *record);

/* How large the batch would be now if it were not compressed, header included. */
size_t record_batch_builder_size(const struct record_batch_builder *b);

/*
 * Appends the batch to out. The builder is empty then and may be used again with the same settings;
 * base_offset goes on after the batch.
 *
 * Returns 0, -ENOMEM, or K_MESSAGE_TOO_LARGE when a record or the batch passes INT32_MAX bytes or
 * its deltas do not fit.
 */
MUST_CHECK int record_batch_builder_finish(struct record_batch_builder *b, struct buf *out);

/*
 * Appends what a compaction leaves of a batch that lost all its records: the header alone, with the
 * offsets, the producer and the max timestamp of the old one. 0 or -ENOMEM.
 */
MUST_CHECK int record_batch_build_empty(const struct record_batch *of, struct buf *out);

/* Types of control records. Unknown ones are skipped by readers. */
enum control_type { CONTROL_ABORT = 0, CONTROL_COMMIT = 1, CONTROL_LEADER_CHANGE = 2 };

/* The marker that ends a transaction in one partition: a control batch of one record. */
struct end_txn_marker {
	enum control_type type; /* CONTROL_ABORT or CONTROL_COMMIT */
	int32_t coordinator_epoch;
};

/* Appends the marker's batch to out; timestamp_ms is the broker's time. 0 or -ENOMEM. */
MUST_CHECK int end_txn_marker_build(const struct end_txn_marker *marker, int64_t base_offset,
				    int32_t leader_epoch, int64_t timestamp_ms, int64_t producer_id,
				    int16_t producer_epoch, struct buf *out);

/* The type in a control record's key. 0, or K_INVALID_RECORD for a key that is none. */
MUST_CHECK int control_record_type(const struct record *record, int *ret_type);
/* Reads the marker of a control record. 0, or K_INVALID_RECORD when it is no marker. */
MUST_CHECK int end_txn_marker_parse(const struct record *record, struct end_txn_marker *ret_marker);
/*
 * The same from a control batch. The marker is the batch's first record, markers are never
 * compressed.
 */
MUST_CHECK int end_txn_marker_read(const struct record_batch *batch,
				   struct end_txn_marker *ret_marker);

#endif
