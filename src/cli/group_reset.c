/*
 * group_reset.c - moving groups' committed offsets.
 *
 * Where logs begin and end is asked once for the partitions of all groups together; then each row
 * is decided by reset_plan.c. Commits are those of a client outside the group, which a coordinator
 * takes only while the group has no members: so nobody's progress can be overwritten by accident.
 */
#include "cli/group_reset.h"

#include <stdlib.h>

#include "cli/admin.h"
#include "cli/log_offsets.h"

/* What the logs say, of the partitions of all groups. */
struct bounds {
	rd_kafka_topic_partition_list_t *start, *end, *at_time; /* NULL: not needed */
};

static void
refuse_members(const struct group *group)
{
	size_t members = rd_kafka_ConsumerGroupDescription_member_count(group->description);

	complain("group '%s' is %s and has %zu member%s: offsets can be reset only while nobody "
		 "consumes. Stop its consumers ('klamm group members' shows them), wait until they "
		 "have left or their sessions have ended, and try again",
		 group_shown(group->id), rd_kafka_consumer_group_state_name(group_state(group)),
		 members, members == 1 ? "" : "s");
}

/* ---- which partitions ---- */

/* named: what --topic says, the same for each group; NULL without it. */
static rd_kafka_topic_partition_list_t *
targets_of(const struct group *group, const struct reset_request *request,
	   const rd_kafka_topic_partition_list_t *named)
{
	const struct offsets_csv_row *rows;
	rd_kafka_topic_partition_list_t *list;
	size_t count;

	if (named != NULL)
		return rd_kafka_topic_partition_list_copy(named);
	if (request->file == NULL)
		return partition_scope_committed(request->partitions, group);
	rows = offsets_csv_of_group(request->file, group->id, &count);
	list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, rows[i].topic, rows[i].partition)->offset =
		    rows[i].offset;
	return list;
}

static int
begin(struct group_reset *reset, const struct group *group, const struct reset_request *request,
      const rd_kafka_topic_partition_list_t *named)
{
	rd_kafka_consumer_group_state_t state = group_state(group);

	reset->group = group;
	reset->refused = true;
	if (!group_is_usable(group, false))
		return CLI_DONE;
	if (state != RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY &&
	    state != RD_KAFKA_CONSUMER_GROUP_STATE_DEAD) {
		refuse_members(group);
		return CLI_DONE;
	}
	reset->targets = targets_of(group, request, named);
	if (reset->targets->cnt == 0) {
		complain(request->file != NULL ? "group '%s': the file has no offsets of it"
					       : "group '%s' has no committed offsets",
			 group_shown(group->id));
		return CLI_DONE;
	}
	reset->count = (size_t)reset->targets->cnt;
	reset->rows = calloc(reset->count, sizeof(*reset->rows));
	if (reset->rows == NULL)
		return no_memory();
	for (size_t i = 0; i < reset->count; i++) {
		const rd_kafka_topic_partition_t *p = &reset->targets->elems[i];

		reset->rows[i] =
		    (struct reset_row){.topic = p->topic,
				       .partition = p->partition,
				       .current = group_committed(group, p->topic, p->partition),
				       .from_file = p->offset};
	}
	reset->refused = false;
	return CLI_DONE;
}

/* ---- where to ---- */

static void
bounds_fini(struct bounds *b)
{
	if (b->start != NULL)
		rd_kafka_topic_partition_list_destroy(b->start);
	if (b->end != NULL)
		rd_kafka_topic_partition_list_destroy(b->end);
	if (b->at_time != NULL)
		rd_kafka_topic_partition_list_destroy(b->at_time);
}

static int
load_bounds(struct bounds *b, struct client *c, const struct reset_spec *spec,
	    const rd_kafka_topic_partition_list_t *partitions)
{
	bool start = spec->kind == RESET_TO_EARLIEST || spec->kind == RESET_TO_OFFSET ||
		     spec->kind == RESET_SHIFT_BY;
	int st = CLI_DONE;

	if (partitions->cnt == 0)
		return CLI_DONE;
	if (start)
		st = log_offsets_load(c, partitions, LOG_OFFSETS_START, &b->start);
	if (st == CLI_DONE && spec->kind != RESET_TO_EARLIEST)
		st = log_offsets_load(c, partitions, LOG_OFFSETS_END, &b->end);
	if (st == CLI_DONE && spec->kind == RESET_TO_TIME)
		st = log_offsets_load(c, partitions, spec->value, &b->at_time);
	return st;
}

/* ret_offset stays where nothing was asked. Tells what is wrong with the partition. */
static bool
look_up(const rd_kafka_topic_partition_list_t *list, const struct group_reset *reset,
	const struct reset_row *row, int64_t *ret_offset)
{
	const rd_kafka_topic_partition_t *p;

	if (list == NULL)
		return true;
	p = partition_list_search(list, row->topic, row->partition);
	if (p != NULL && p->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		*ret_offset = p->offset;
		return true;
	}
	if (p == NULL || p->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		complain("group '%s': there is no partition %s-%d", group_shown(reset->group->id),
			 row->topic, row->partition);
	else
		complain("group '%s': %s-%d: %s", group_shown(reset->group->id), row->topic,
			 row->partition, rd_kafka_err2str(p->err));
	return false;
}

static void
tell_note(const struct group_reset *reset, const struct reset_row *row)
{
	const char *group = group_shown(reset->group->id);

	switch (row->to.note) {
	case RESET_EXACT:
		break;
	case RESET_RAISED:
		complain("group '%s': %s-%d: offset %lld is before the log's start: %lld instead",
			 group, row->topic, row->partition, (long long)row->to.asked,
			 (long long)row->to.offset);
		break;
	case RESET_LOWERED:
		complain("group '%s': %s-%d: offset %lld is beyond the log's end: %lld instead",
			 group, row->topic, row->partition, (long long)row->to.asked,
			 (long long)row->to.offset);
		break;
	case RESET_NO_RECORD:
		complain("group '%s': %s-%d: no record is that late: the end, %lld", group,
			 row->topic, row->partition, (long long)row->to.offset);
		break;
	}
}

/* False when it has been told why not. */
static bool
decide(const struct group_reset *reset, struct reset_row *row, const struct reset_spec *asked,
       bool from_file, const struct bounds *b)
{
	struct reset_input in = {.current = row->current, .at_time = RESET_NONE};
	struct reset_spec spec = *asked;

	if (!look_up(b->start, reset, row, &in.start) || !look_up(b->end, reset, row, &in.end) ||
	    !look_up(b->at_time, reset, row, &in.at_time))
		return false;
	if (from_file)
		spec.value = row->from_file;
	if (reset_decide(&spec, &in, &row->to) != 0) {
		complain("group '%s': %s-%d has no committed offset to shift",
			 group_shown(reset->group->id), row->topic, row->partition);
		return false;
	}
	tell_note(reset, row);
	return true;
}

static int
decide_all(struct group_reset *resets, size_t count, struct client *c,
	   const struct reset_request *request)
{
	rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(16);
	struct bounds b = {0};
	int st;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; !resets[i].refused && j < resets[i].count; j++)
			rd_kafka_topic_partition_list_add(all, resets[i].rows[j].topic,
							  resets[i].rows[j].partition);
	}
	partition_list_tidy(all);
	st = load_bounds(&b, c, &request->spec, all);
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		bool refused = resets[i].refused;

		for (size_t j = 0; !resets[i].refused && j < resets[i].count; j++)
			refused |= !decide(&resets[i], &resets[i].rows[j], &request->spec,
					   request->file != NULL, &b);
		resets[i].refused = refused;
	}
	bounds_fini(&b);
	rd_kafka_topic_partition_list_destroy(all);
	return st;
}

int
group_reset_plan(const struct group_view *view, struct client *c,
		 const struct reset_request *request, struct group_reset **ret_resets)
{
	struct group_reset *resets = calloc(view->count + 1, sizeof(*resets));
	rd_kafka_topic_partition_list_t *named = NULL;
	int st = CLI_DONE;

	if (resets == NULL)
		return no_memory();
	if (request->file == NULL && !request->partitions->all)
		st = partition_scope_expand(request->partitions, c, &named);
	for (size_t i = 0; st == CLI_DONE && i < view->count; i++)
		st = begin(&resets[i], &view->groups[i], request, named);
	if (st == CLI_DONE)
		st = decide_all(resets, view->count, c, request);
	if (named != NULL)
		rd_kafka_topic_partition_list_destroy(named);
	if (st != CLI_DONE) {
		group_reset_free(resets, view->count);
		return st;
	}
	*ret_resets = resets;
	return CLI_DONE;
}

void
group_reset_free(struct group_reset *resets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(resets[i].rows);
		if (resets[i].targets != NULL)
			rd_kafka_topic_partition_list_destroy(resets[i].targets);
	}
	free(resets);
}

/* ---- carrying it out ---- */

struct execution {
	struct group_reset *resets;
	bool failed;
};

static bool
is_planned(void *arg, size_t i)
{
	struct execution *x = arg;

	return !x->resets[i].refused;
}

static int
send_commit(struct client *c, void *arg, size_t i)
{
	const struct group_reset *reset = &((struct execution *)arg)->resets[i];
	rd_kafka_AlterConsumerGroupOffsets_t *request;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_AdminOptions_t *options;

	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
	if (options == NULL)
		return CLI_REFUSED;
	rd_kafka_AdminOptions_set_opaque(options, (void *)i);
	list = rd_kafka_topic_partition_list_new((int)reset->count);
	for (size_t j = 0; j < reset->count; j++)
		rd_kafka_topic_partition_list_add(list, reset->rows[j].topic,
						  reset->rows[j].partition)
		    ->offset = reset->rows[j].to.offset;
	request = rd_kafka_AlterConsumerGroupOffsets_new(reset->group->id, list);
	rd_kafka_AlterConsumerGroupOffsets(c->rk, &request, 1, options, c->queue);
	rd_kafka_AlterConsumerGroupOffsets_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_AdminOptions_destroy(options);
	return CLI_DONE;
}

/* Each partition's answer, into its row. */
static void
note_answers(struct group_reset *reset, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	rd_kafka_topic_partition_list_t *list = NULL;
	const rd_kafka_group_result_t **results;
	const rd_kafka_topic_partition_t *p;
	size_t count;

	if (err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		results = rd_kafka_AlterConsumerGroupOffsets_result_groups(
		    rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count);
		if (count == 1) {
			list = rd_kafka_topic_partition_list_copy(
			    rd_kafka_group_result_partitions(results[0]));
			partition_list_tidy(list);
		}
		err = RD_KAFKA_RESP_ERR__BAD_MSG; /* of what it leaves out */
	}
	for (size_t i = 0; i < reset->count; i++) {
		p = partition_list_search(list, reset->rows[i].topic, reset->rows[i].partition);
		reset->rows[i].err = p != NULL ? p->err : err;
	}
	if (list != NULL)
		rd_kafka_topic_partition_list_destroy(list);
}

static bool
take_answer(void *arg, size_t i, rd_kafka_event_t *event)
{
	struct execution *x = arg;
	struct group_reset *reset = &x->resets[i];

	note_answers(reset, event);
	for (size_t j = 0; j < reset->count; j++) {
		if (group_error_is_temporary(reset->rows[j].err))
			return true;
	}
	return false;
}

static void
tell_failure(const struct group_reset *reset, bool *ret_failed)
{
	for (size_t i = 0; i < reset->count; i++) {
		const struct reset_row *row = &reset->rows[i];

		if (row->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		*ret_failed = true;
		if (row->err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
		    row->err == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS) {
			complain("group '%s' has got members since: nothing was reset. Stop its "
				 "consumers and try again",
				 group_shown(reset->group->id));
			return;
		}
		complain("group '%s': %s-%d was not reset: %s", group_shown(reset->group->id),
			 row->topic, row->partition, rd_kafka_err2str(row->err));
	}
}

int
group_reset_execute(struct client *c, struct group_reset *resets, size_t count)
{
	struct execution x = {.resets = resets};
	struct admin_pipeline pipeline = {.what = "resetting groups",
					  .count = count,
					  .is_wanted = is_planned,
					  .send = send_commit,
					  .take = take_answer,
					  .arg = &x};
	int st;

	st = admin_pipeline_run(&pipeline, c);
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		if (!resets[i].refused)
			tell_failure(&resets[i], &x.failed);
	}
	return st == CLI_DONE && x.failed ? CLI_REFUSED : st;
}
