#include "storage/cleaned_txns.h"

#include <errno.h>
#include <stdlib.h>

#include "wire/record_batch_builder.h"

struct open_aborted {
	struct aborted_txn txn;
	bool seen; /* a batch of it */
};

void
cleaned_txns_init(struct cleaned_txns *t, const struct aborted_txn *aborted, size_t count)
{
	*t = (struct cleaned_txns){.aborted = aborted, .aborted_count = count};
}

void
cleaned_txns_fini(struct cleaned_txns *t)
{
	struct map_iter iter = {0};
	void *value;

	while ((value = map_next(&t->open_aborted, &iter)) != NULL)
		free(value);
	map_fini(&t->open_aborted);
	map_fini(&t->open_committed);
}

/* Aborted transactions that begin at or below offset are open from here on. */
static int
begin_aborted(struct cleaned_txns *t, int64_t offset)
{
	for (; t->next < t->aborted_count && t->aborted[t->next].first_offset <= offset;
	     t->next++) {
		const struct aborted_txn *txn = &t->aborted[t->next];
		struct open_aborted *open;

		if (map_get(&t->open_aborted, &txn->producer_id, sizeof(int64_t)) != NULL)
			continue;
		open = malloc(sizeof(*open));
		if (open == NULL)
			return -ENOMEM;
		*open = (struct open_aborted){.txn = *txn};
		if (map_put(&t->open_aborted, &txn->producer_id, sizeof(int64_t), open, NULL) !=
		    0) {
			free(open);
			return -ENOMEM;
		}
	}
	return 0;
}

int
cleaned_txns_data(struct cleaned_txns *t, const struct record_batch *batch, bool *ret_aborted)
{
	struct open_aborted *open;
	int st = begin_aborted(t, record_batch_last_offset(batch));

	*ret_aborted = false;
	if (st != 0 || !record_batch_is_transactional(batch))
		return st;
	open = map_get(&t->open_aborted, &batch->producer_id, sizeof(int64_t));
	if (open != NULL) {
		open->seen = true;
		*ret_aborted = true;
		return 0;
	}
	return map_put(&t->open_committed, &batch->producer_id, sizeof(int64_t), t, NULL);
}

int
cleaned_txns_control(struct cleaned_txns *t, const struct record_batch *batch,
		     bool *ret_discardable, bool *ret_keep_aborted, struct aborted_txn *ret_txn)
{
	struct end_txn_marker marker;
	struct open_aborted *open;
	int st = begin_aborted(t, record_batch_last_offset(batch));

	*ret_keep_aborted = false;
	*ret_discardable = false;
	if (st != 0)
		return st;
	if (batch->record_count == 0) {
		*ret_discardable = true;
		return 0;
	}
	if (end_txn_marker_read(batch, &marker) != 0)
		return 0; /* a kind that is not ours to judge */
	if (marker.type == CONTROL_COMMIT) {
		*ret_discardable =
		    map_remove(&t->open_committed, &batch->producer_id, sizeof(int64_t)) == NULL;
		return 0;
	}
	open = map_remove(&t->open_aborted, &batch->producer_id, sizeof(int64_t));
	*ret_keep_aborted = open != NULL && open->seen;
	*ret_discardable = !*ret_keep_aborted;
	if (*ret_keep_aborted)
		*ret_txn = open->txn;
	free(open);
	return 0;
}
