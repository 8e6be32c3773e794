/*
 * reassign_request.h - AlterPartitionReassignments, in batches.
 */
#ifndef KLAMM_CLI_REASSIGN_REQUEST_H
#define KLAMM_CLI_REASSIGN_REQUEST_H

#include "cli/assignment_file.h"
#include "cli/broker_call.h"

/*
 * Starts what the assignment says, or (cancel) takes its partitions back. Each partition that is
 * refused is told, counted, and taken out of the assignment; others go on. One whose reassignment
 * has ended meanwhile cannot be taken back, and is no failure.
 *
 * CLI_DONE, also when all were refused; CLI_REFUSED when the cluster did not answer, told. Then
 * those of earlier batches have been started all the same.
 */
MUST_CHECK int reassign_request(struct broker_calls *calls, struct assignment *assignment,
				bool cancel, size_t *ret_refused);

#endif
