/*
 * reset_plan.c - where a reset puts a group's committed offset in one partition.
 */
#include "cli/reset_plan.h"

#include <errno.h>

static struct reset_outcome
within_log(int64_t asked, const struct reset_input *in)
{
	if (asked > in->end)
		return (struct reset_outcome){in->end, asked, RESET_LOWERED};
	if (asked < in->start)
		return (struct reset_outcome){in->start, asked, RESET_RAISED};
	return (struct reset_outcome){asked, asked, RESET_EXACT};
}

static struct reset_outcome
exactly(int64_t offset)
{
	return (struct reset_outcome){offset, offset, RESET_EXACT};
}

/* Never beyond what an offset can be: the log's bounds follow. */
static int64_t
shifted(int64_t offset, int64_t by)
{
	int64_t sum;

	if (__builtin_add_overflow(offset, by, &sum))
		return by < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

int
reset_decide(const struct reset_spec *spec, const struct reset_input *in,
	     struct reset_outcome *ret_outcome)
{
	switch (spec->kind) {
	case RESET_TO_EARLIEST:
		*ret_outcome = exactly(in->start);
		break;
	case RESET_TO_LATEST:
		*ret_outcome = exactly(in->end);
		break;
	case RESET_TO_CURRENT:
		*ret_outcome = exactly(in->current != RESET_NONE ? in->current : in->end);
		break;
	case RESET_TO_OFFSET:
		*ret_outcome = within_log(spec->value, in);
		break;
	case RESET_SHIFT_BY:
		if (in->current == RESET_NONE)
			return -ENOENT;
		*ret_outcome = within_log(shifted(in->current, spec->value), in);
		break;
	case RESET_TO_TIME:
		if (in->at_time != RESET_NONE)
			*ret_outcome = exactly(in->at_time);
		else
			*ret_outcome = (struct reset_outcome){in->end, in->end, RESET_NO_RECORD};
		break;
	}
	return 0;
}
