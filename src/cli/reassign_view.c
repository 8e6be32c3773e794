/*
 * reassign_view.c - what the controller says of partitions, and of those that are being reassigned.
 */
#include "cli/reassign_view.h"

#include <stdlib.h>

#include "wire/kerr.h"

bool
ids_equal(const int32_t *a, int32_t a_count, const int32_t *b, int32_t b_count)
{
	return a_count == b_count &&
	       (a_count == 0 || memcmp(a, b, (size_t)a_count * sizeof(*a)) == 0);
}

int32_t *
ids_without(struct arena *arena, const int32_t *a, int32_t a_count, const int32_t *b,
	    int32_t b_count, int32_t *ret_count)
{
	int32_t *rest = arena_calloc(arena, (size_t)a_count + 1, sizeof(*rest)), count = 0;

	if (rest == NULL)
		return NULL;
	for (int32_t i = 0; i < a_count; i++) {
		if (!ids_list_has(b, b_count, a[i]))
			rest[count++] = a[i];
	}
	*ret_count = count;
	return rest;
}

/* ---- what is being reassigned ---- */

static int
compare(const void *a, const void *b)
{
	const struct ongoing *x = a, *y = b;
	int32_t p = x->p->partition_index, q = y->p->partition_index;
	int order = strcmp(x->topic, y->topic);

	return order != 0 ? order : (p > q) - (p < q);
}

const struct ongoing *
reassign_view_ongoing(const struct reassign_view *view, const char *topic, int32_t partition)
{
	struct ongoing_partition_reassignment p = {.partition_index = partition};
	struct ongoing key = {topic, &p};

	if (view->ongoing_count == 0)
		return NULL;
	return bsearch(&key, view->ongoing, view->ongoing_count, sizeof(key), compare);
}

static int
take_ongoing(struct reassign_view *view, const struct list_partition_reassignments_response *resp,
	     struct arena *arena)
{
	size_t total = 0;

	for (int32_t i = 0; i < resp->topics_count; i++)
		total += (size_t)resp->topics[i].partitions_count;
	view->ongoing_count = 0;
	view->ongoing = arena_calloc(arena, total + 1, sizeof(*view->ongoing));
	if (view->ongoing == NULL)
		return no_memory();
	for (int32_t i = 0; i < resp->topics_count; i++) {
		const struct ongoing_topic_reassignment *t = &resp->topics[i];

		for (int32_t k = 0; k < t->partitions_count; k++)
			view->ongoing[view->ongoing_count++] =
			    (struct ongoing){t->name.data, &t->partitions[k]};
	}
	qsort(view->ongoing, view->ongoing_count, sizeof(*view->ongoing), compare);
	return CLI_DONE;
}

int
reassign_view_list(struct reassign_view *view, struct broker_calls *calls, struct arena *arena,
		   struct buf *why)
{
	struct list_partition_reassignments_response resp;
	struct list_partition_reassignments_request req;
	struct broker_call call = {.to = BROKER_CONTROLLER,
				   .api_key = API_LIST_PARTITION_REASSIGNMENTS,
				   .request = &req,
				   .response = &resp};

	list_partition_reassignments_request_init(&req);
	req.topics_count = -1;
	req.timeout_ms = broker_calls_timeout_ms(calls);
	broker_calls_send(calls, arena, &call, 1);
	if (call.status != 0) {
		broker_call_describe(calls, &call, why);
		return CLI_REFUSED;
	}
	if (resp.error_code != 0) {
		buf_printf(why, "%s",
			   resp.error_message.data != NULL ? resp.error_message.data
							   : kerr_text(resp.error_code));
		return CLI_REFUSED;
	}
	return take_ongoing(view, &resp, arena);
}

int
reassign_view_load(struct reassign_view *view, struct broker_calls *calls, struct arena *arena)
{
	struct buf why = {0};
	int st;

	*view = (struct reassign_view){{0}};
	st = broker_metadata_load(calls, NULL, 0, arena, &view->metadata);
	if (st != CLI_DONE)
		return st;
	st = reassign_view_list(view, calls, arena, &why);
	if (st != CLI_DONE && buf_text(&why) != NULL && why.len > 0)
		complain("asking what is being reassigned: %s", buf_text(&why));
	buf_fini(&why);
	return st;
}
