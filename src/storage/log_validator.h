/*
 * log_validator.h - what a leader checks of records before it appends them, and the form in which
 * they go into the log.
 *
 * All of it needs neither the log nor its lock: the offsets, which only the log knows, lie outside
 * the CRC and are stamped later.
 *
 * Threads  any.
 * Source   storage-format, sections 6.1 and 6.4: Kafka's LogValidator and
 *          UnifiedLog.analyzeAndValidateRecords.
 */
#ifndef KLAMM_STORAGE_LOG_VALIDATOR_H
#define KLAMM_STORAGE_LOG_VALIDATOR_H

#include "storage/log.h"

struct validated_batch {
	uint8_t *bytes; /* one magic-2 batch: the caller's own records, or in `rebuilt` */
	size_t len;     /* 0: there was no whole batch, nothing is to be done */
	struct record_batch header; /* of bytes, with payload; base offset and epoch not stamped */
	int64_t max_timestamp_ms;
	int64_t log_append_time_ms; /* -1 under CreateTime */
	struct buf rebuilt;         /* owns bytes when they were built anew */
};

/*
 * Checks append->records and brings them into the form for the log: in place, recompressed, or up-
 * converted from an old format. The leader epoch is set.
 *
 * now_ms       the broker's time
 * ret_batch    to be given to validated_batch_fini(), also after a failure
 * ret_refusal  filled when records were refused; the texts are in arena
 *
 * Errors as of log_append_as_leader(), those about a record's content.
 */
MUST_CHECK int log_validate(const struct log_append *append, const struct log_config *config,
			    int64_t now_ms, struct arena *arena, struct validated_batch *ret_batch,
			    struct log_append_refusal *ret_refusal);
void validated_batch_fini(struct validated_batch *batch);

#endif
