/*
 * log_config.h - the settings of one partition's log, as plain numbers.
 *
 * The upper layers fill it from the topic's configuration (topic overrides over the broker's
 * values) and hand it over with log_configure(), which replaces it under the log's lock.
 *
 * Source  storage-format, section 18: Kafka's LogConfig. A value's bounds were checked by whoever
 *         read it; here they are trusted.
 */
#ifndef KLAMM_STORAGE_LOG_CONFIG_H
#define KLAMM_STORAGE_LOG_CONFIG_H

#include "wire/compression.h"
#include "wire/record_batch.h"

/* compression: keep what the producer chose; otherwise an enum compression. */
#define LOG_COMPRESSION_PRODUCER (-1)

/* Bits of cleanup_policy. */
#define LOG_CLEANUP_DELETE 1u
#define LOG_CLEANUP_COMPACT 2u

struct log_config {
	int64_t segment_ms;
	int64_t segment_jitter_ms;
	int64_t retention_ms;    /* -1: no limit */
	int64_t retention_bytes; /* -1: no limit */
	int64_t timestamp_before_max_ms;
	int64_t timestamp_after_max_ms;
	int64_t min_compaction_lag_ms;
	int64_t max_compaction_lag_ms;
	int64_t delete_retention_ms;
	int64_t file_delete_delay_ms;
	int64_t flush_messages; /* INT64_MAX: never by count */
	int64_t flush_ms;       /* INT64_MAX: never by time */
	/*
	 * Broker-wide, here because the producers' state lives with the log:
	 * producer.id.expiration.ms and transaction.partition.verification.enable.
	 */
	int64_t producer_id_expiration_ms;
	double min_cleanable_dirty_ratio;
	int32_t segment_bytes;
	int32_t segment_index_bytes;
	int32_t index_interval_bytes;
	int32_t max_message_bytes;
	int32_t gzip_level; /* -1: the codec's default */
	int32_t lz4_level;
	int32_t zstd_level;
	int8_t compression;     /* LOG_COMPRESSION_PRODUCER or an enum compression */
	uint8_t timestamp_type; /* enum timestamp_type */
	uint8_t cleanup_policy; /* LOG_CLEANUP_* */
	bool preallocate;
	bool transaction_verification;
};

/* Kafka's defaults. */
extern const struct log_config log_config_default;

#endif
