/*
 * reassign_wait.h - stays until nothing is being reassigned, tells how far it is, and takes the
 * throttle off at the end.
 */
#ifndef KLAMM_CLI_REASSIGN_WAIT_H
#define KLAMM_CLI_REASSIGN_WAIT_H

#include "cli/assignment_file.h"
#include "cli/broker_call.h"
#include "cli/reassign_progress.h"

struct reassign_wait {
	bool json;               /* one object a line */
	bool preserve_throttles; /* leave them */
	/* What is to come of it, which is looked at in the end; NULL: whatever comes. */
	const struct assignment *expected;
	/* What there was to do for it, so that what is done at once counts too. */
	const struct move_seen *begun;
	size_t begun_count;
};

/*
 * CLI_DONE when nothing moves any longer; CLI_REFUSED when something else than expected came of it,
 * a throttle could not be taken off, or a signal ended the wait, which all is told. A cluster that
 * does not answer is told, and asked again.
 */
MUST_CHECK int reassign_wait(struct broker_calls *calls, const struct reassign_wait *wait);
/* The throttles of what is over; tells what it took off, on standard error with json. */
MUST_CHECK int reassign_end_throttles(struct broker_calls *calls, bool json);

#endif
