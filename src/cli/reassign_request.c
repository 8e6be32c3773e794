/*
 * reassign_request.c - AlterPartitionReassignments, in batches.
 */
#include "cli/reassign_request.h"

#include "wire/generated/alter_partition_reassignments.h"
#include "wire/kerr.h"

#define ARENA_MAX ((size_t)1 << 30)
#define BATCH 500 /* partitions: a controller writes them together */

static int
fill(const struct assigned_partition *items, size_t count, bool cancel, struct arena *arena,
     struct alter_partition_reassignments_request *req)
{
	struct reassignable_partition *p = reassignable_partition_new(arena, (int32_t)count);
	struct reassignable_topic *t = NULL;

	req->topics = reassignable_topic_new(arena, (int32_t)count);
	if (p == NULL || req->topics == NULL)
		return no_memory();
	for (size_t i = 0; i < count; i++, p++) {
		if (t == NULL || strcmp(t->name.data, items[i].topic) != 0) {
			t = &req->topics[req->topics_count++];
			t->name = str_of(items[i].topic);
			t->partitions = p;
		}
		t->partitions_count++;
		p->partition_index = items[i].partition;
		p->replicas = cancel ? NULL : (int32_t *)(uintptr_t)items[i].replicas;
		p->replicas_count = cancel ? -1 : items[i].replica_count;
	}
	return CLI_DONE;
}

/* Marks it as refused. */
static void
mark(struct assignment *assignment, const char *topic, int32_t partition)
{
	const struct assigned_partition *found = assignment_find(assignment, topic, partition);

	if (found != NULL)
		assignment->items[found - assignment->items].replica_count = -1;
}

static void
take_refusals(const struct alter_partition_reassignments_response *resp, bool cancel,
	      struct assignment *assignment)
{
	for (int32_t i = 0; i < resp->responses_count; i++) {
		const struct reassignable_topic_response *t = &resp->responses[i];

		for (int32_t k = 0; k < t->partitions_count; k++) {
			const struct reassignable_partition_response *p = &t->partitions[k];
			const char *text = p->error_message.data;
			int st = kerr_status(p->error_code);

			if (st == 0 || (cancel && st == K_NO_REASSIGNMENT_IN_PROGRESS))
				continue;
			complain("%s-%d was refused: %s", t->name.data, p->partition_index,
				 text != NULL && text[0] != '\0' ? text : kerr_text(p->error_code));
			mark(assignment, t->name.data, p->partition_index);
		}
	}
}

static size_t
drop_marked(struct assignment *assignment)
{
	size_t kept = 0, count = assignment->count;

	for (size_t i = 0; i < count; i++) {
		if (assignment->items[i].replica_count >= 0)
			assignment->items[kept++] = assignment->items[i];
	}
	assignment->count = kept;
	return count - kept;
}

static int
request_batch(struct broker_calls *calls, struct assignment *assignment, size_t first, size_t count,
	      bool cancel)
{
	struct alter_partition_reassignments_response resp;
	struct alter_partition_reassignments_request req;
	struct arena arena;
	int st;

	arena_init(&arena, ARENA_MAX);
	alter_partition_reassignments_request_init(&req);
	req.timeout_ms = broker_calls_timeout_ms(calls);
	st = fill(&assignment->items[first], count, cancel, &arena, &req);
	if (st == CLI_DONE)
		st = broker_ask(calls, BROKER_CONTROLLER, API_ALTER_PARTITION_REASSIGNMENTS, &req,
				&arena, &resp,
				cancel ? "cancelling reassignments" : "starting reassignments");
	if (st == CLI_DONE && resp.error_code != 0) {
		complain("%s: %s", cancel ? "cancelling reassignments" : "starting reassignments",
			 resp.error_message.data != NULL ? resp.error_message.data
							 : kerr_text(resp.error_code));
		st = CLI_REFUSED;
	}
	if (st == CLI_DONE)
		take_refusals(&resp, cancel, assignment);
	arena_fini(&arena);
	return st;
}

int
reassign_request(struct broker_calls *calls, struct assignment *assignment, bool cancel,
		 size_t *ret_refused)
{
	int st = CLI_DONE;

	for (size_t i = 0; st == CLI_DONE && i < assignment->count; i += BATCH)
		st = request_batch(calls, assignment, i,
				   assignment->count - i < BATCH ? assignment->count - i : BATCH,
				   cancel);
	*ret_refused = drop_marked(assignment);
	return st;
}
