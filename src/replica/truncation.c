#include "replica/truncation.h"

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

bool
truncation_diverges(int32_t last_fetched_epoch, int64_t fetch_offset, struct epoch_end ours)
{
	return ours.epoch < last_fetched_epoch || ours.end_offset < fetch_offset;
}

int64_t
truncation_end(struct epoch_end theirs, struct epoch_end ours, int64_t log_end_offset)
{
	if (theirs.end_offset < 0)
		return log_end_offset;
	if (theirs.epoch < 0 || ours.epoch < 0)
		return smaller(theirs.end_offset, log_end_offset);
	if (ours.epoch == theirs.epoch)
		return smaller(smaller(theirs.end_offset, ours.end_offset), log_end_offset);
	return smaller(ours.end_offset, log_end_offset);
}
