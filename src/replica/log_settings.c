/* From a topic's configuration to the settings of its logs. */
#include <limits.h>

#include "replica/replica_manager.h"
#include "wire/compression.h"
#include "wire/record_batch.h"

static int8_t
compression_of(const char *type)
{
	static const char *const names[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(type, names[i]) == 0)
			return (int8_t)i;
	return LOG_COMPRESSION_PRODUCER;
}

void
replica_log_config(const struct topic_conf *tc, const struct broker_conf *conf,
		   struct log_config *ret_config)
{
	*ret_config = (struct log_config){
	    .segment_ms = tc->segment_ms,
	    .segment_jitter_ms = tc->segment_jitter_ms,
	    .retention_ms = tc->retention_ms,
	    .retention_bytes = tc->retention_bytes,
	    .timestamp_before_max_ms = tc->message_timestamp_before_max_ms,
	    .timestamp_after_max_ms = tc->message_timestamp_after_max_ms,
	    .min_compaction_lag_ms = tc->min_compaction_lag_ms,
	    .max_compaction_lag_ms = tc->max_compaction_lag_ms,
	    .delete_retention_ms = tc->delete_retention_ms,
	    .file_delete_delay_ms = tc->file_delete_delay_ms,
	    .flush_messages = tc->flush_messages,
	    .flush_ms = tc->flush_ms,
	    .producer_id_expiration_ms = conf->producer_id_expiration_ms,
	    .min_cleanable_dirty_ratio = tc->min_cleanable_dirty_ratio,
	    .segment_bytes = (int32_t)tc->segment_bytes,
	    .segment_index_bytes = (int32_t)tc->segment_index_bytes,
	    .index_interval_bytes = (int32_t)tc->index_interval_bytes,
	    .max_message_bytes = (int32_t)tc->max_message_bytes,
	    .gzip_level = (int32_t)tc->compression_gzip_level,
	    .lz4_level = (int32_t)tc->compression_lz4_level,
	    .zstd_level = (int32_t)tc->compression_zstd_level,
	    .compression = compression_of(tc->compression_type),
	    .timestamp_type = strcmp(tc->message_timestamp_type, "LogAppendTime") == 0
				  ? LOG_APPEND_TIME
				  : CREATE_TIME,
	    .cleanup_policy =
		(uint8_t)((conf_list_has(tc->cleanup_policy, "delete") ? LOG_CLEANUP_DELETE : 0) |
			  (conf_list_has(tc->cleanup_policy, "compact") ? LOG_CLEANUP_COMPACT : 0)),
	    .preallocate = tc->preallocate,
	    .transaction_verification = conf->transaction_partition_verification_enable,
	};
}
