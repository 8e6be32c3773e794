/*
 * cleaned_txns.h - which transaction a batch belongs to, while a log is read from its start.
 *
 * Batches are told in the order of the log. Data of aborted transactions can go at once; a marker
 * can go once no data of its transaction is left.
 *
 * Threads  one at a time.
 * Source   storage-format, section 14.3: Kafka's CleanedTransactionMetadata.
 */
#ifndef KLAMM_STORAGE_CLEANED_TXNS_H
#define KLAMM_STORAGE_CLEANED_TXNS_H

#include "base/map.h"
#include "storage/txn_index.h"
#include "wire/record_batch.h"

struct cleaned_txns {
	const struct aborted_txn *aborted; /* by first offset; borrowed */
	size_t aborted_count;
	size_t next;               /* of those, the first not begun yet */
	struct map open_aborted;   /* producer id -> struct open_aborted */
	struct map open_committed; /* producer ids whose data was seen */
};

void cleaned_txns_init(struct cleaned_txns *t, const struct aborted_txn *aborted, size_t count);
void cleaned_txns_fini(struct cleaned_txns *t);
/* A batch without the control flag. ret_aborted: its records may go. */
MUST_CHECK int cleaned_txns_data(struct cleaned_txns *t, const struct record_batch *batch,
				 bool *ret_aborted);
/*
 * A control batch, whole. ret_discardable: nothing of its transaction is left.
 * ret_txn  filled when *ret_keep_aborted: an aborted transaction with data left, whose entry the
 * new transaction index needs
 */
MUST_CHECK int cleaned_txns_control(struct cleaned_txns *t, const struct record_batch *batch,
				    bool *ret_discardable, bool *ret_keep_aborted,
				    struct aborted_txn *ret_txn);

#endif
