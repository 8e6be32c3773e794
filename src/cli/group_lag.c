/*
 * group_lag.c - how far a group is behind in each partition, and who owns it.
 *
 * Rows of all groups are made first, so that each partition's end is asked for once, together with
 * all others.
 */
#include "cli/group_lag.h"

#include <stdlib.h>

#include "cli/log_offsets.h"

static int
compare_rows(const void *a, const void *b)
{
	const struct lag_row *x = a, *y = b;
	int cmp = strcmp(x->topic, y->topic);

	if (cmp == 0)
		cmp = (x->partition > y->partition) - (x->partition < y->partition);
	return cmp;
}

static size_t
rows_at_most(const struct group *group)
{
	size_t members = rd_kafka_ConsumerGroupDescription_member_count(group->description);
	size_t count = group->committed != NULL ? (size_t)group->committed->cnt : 0;

	for (size_t i = 0; i < members; i++) {
		const rd_kafka_topic_partition_list_t *list = member_partitions(
		    rd_kafka_ConsumerGroupDescription_member(group->description, i));

		count += list != NULL ? (size_t)list->cnt : 0;
	}
	return count;
}

static void
add_assigned(struct group_lag *lag, const struct group *group,
	     const rd_kafka_MemberDescription_t *member)
{
	const rd_kafka_topic_partition_list_t *list = member_partitions(member);

	for (int i = 0; list != NULL && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];

		lag->rows[lag->count++] =
		    (struct lag_row){p->topic, p->partition,
				     group_committed(group, p->topic, p->partition), -1, member};
	}
}

/* Committed, and owned by nobody. rows up to owned are sorted. */
static void
add_committed(struct group_lag *lag, const struct group *group)
{
	size_t owned = lag->count;

	for (int i = 0; group->committed != NULL && i < group->committed->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &group->committed->elems[i];
		struct lag_row row = {p->topic, p->partition, p->offset, -1, NULL};

		if (p->offset >= 0 &&
		    bsearch(&row, lag->rows, owned, sizeof(row), compare_rows) == NULL)
			lag->rows[lag->count++] = row;
	}
}

static int
make_rows(struct group_lag *lag, const struct group *group)
{
	size_t members;

	if (group->description == NULL)
		return CLI_DONE;
	lag->rows = calloc(rows_at_most(group) + 1, sizeof(*lag->rows));
	if (lag->rows == NULL)
		return no_memory();
	members = rd_kafka_ConsumerGroupDescription_member_count(group->description);
	for (size_t i = 0; i < members; i++)
		add_assigned(lag, group,
			     rd_kafka_ConsumerGroupDescription_member(group->description, i));
	qsort(lag->rows, lag->count, sizeof(*lag->rows), compare_rows);
	add_committed(lag, group);
	qsort(lag->rows, lag->count, sizeof(*lag->rows), compare_rows);
	return CLI_DONE;
}

static int
load_ends(struct group_lag *lags, size_t count, struct client *c)
{
	rd_kafka_topic_partition_list_t *wanted = rd_kafka_topic_partition_list_new(16), *ends;
	int st;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < lags[i].count; j++)
			rd_kafka_topic_partition_list_add(wanted, lags[i].rows[j].topic,
							  lags[i].rows[j].partition);
	}
	partition_list_tidy(wanted);
	st = wanted->cnt == 0 ? CLI_DONE : log_offsets_load(c, wanted, LOG_OFFSETS_END, &ends);
	if (st == CLI_DONE && wanted->cnt > 0) {
		for (size_t i = 0; i < count; i++) {
			for (size_t j = 0; j < lags[i].count; j++) {
				struct lag_row *row = &lags[i].rows[j];
				const rd_kafka_topic_partition_t *p =
				    partition_list_search(ends, row->topic, row->partition);

				if (p != NULL && p->err == RD_KAFKA_RESP_ERR_NO_ERROR)
					row->end = p->offset;
			}
		}
		rd_kafka_topic_partition_list_destroy(ends);
	}
	rd_kafka_topic_partition_list_destroy(wanted);
	return st;
}

int
group_lag_load(const struct group_view *view, struct client *c, struct group_lag **ret_lags)
{
	struct group_lag *lags = calloc(view->count + 1, sizeof(*lags));
	int st = CLI_DONE;

	if (lags == NULL)
		return no_memory();
	for (size_t i = 0; st == CLI_DONE && i < view->count; i++)
		st = make_rows(&lags[i], &view->groups[i]);
	if (st == CLI_DONE)
		st = load_ends(lags, view->count, c);
	if (st != CLI_DONE) {
		group_lag_free(lags, view->count);
		return st;
	}
	*ret_lags = lags;
	return CLI_DONE;
}

void
group_lag_free(struct group_lag *lags, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(lags[i].rows);
	free(lags);
}

bool
lag_row_lag(const struct lag_row *row, int64_t *ret_lag)
{
	if (row->current < 0 || row->end < 0)
		return false;
	*ret_lag = row->end - row->current;
	return true;
}
