/*
 * fetch_convert.h - records for clients that do not know their format.
 *
 * Threads  any; conversion reads the log and blocks.
 * Source   wire-protocol, section 11.8: Kafka's LazyDownConversionRecords.
 */
#ifndef KLAMM_API_FETCH_CONVERT_H
#define KLAMM_API_FETCH_CONVERT_H

#include "cluster/topic_configs.h"
#include "storage/log.h"

/*
 * 0 when this version of Fetch may have what the log holds; K_UNSUPPORTED_VERSION when it would
 * need a conversion that the topic does not allow; K_UNSUPPORTED_COMPRESSION_TYPE for a topic whose
 * codec is zstd.
 */
MUST_CHECK int fetch_refuse_old_client(int version, struct topic_configs *configs,
				       const struct broker_conf *conf, struct log *log);

/*
 * Converts what was read for a client of Fetch 0 to 3. Records below fetch_offset and control
 * batches are left out. K_UNSUPPORTED_COMPRESSION_TYPE for zstd; -errno.
 */
MUST_CHECK int fetch_convert(int version, int64_t fetch_offset, const struct log_read *read,
			     struct buf *ret_records);

#endif
