/*
 * group_view.c - consumer groups as their coordinators tell of them, and what they committed.
 *
 * librdkafka finds each group's coordinator and sends it one request a group; those of a batch, or
 * of a window, are on their way together, so the time that many groups take is not the number of
 * groups times a round trip.
 */
#include "cli/group_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "cli/admin.h"
#include "cli/json_document.h"
#include "cli/progress.h"
#include "cli/text_escape.h"

#define DESCRIBE_BATCH 200
#define RETRY_MS 100

bool
group_error_is_temporary(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
	       err == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
	       err == RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
}

static int64_t
deadline_us(const struct client *c)
{
	return env_monotonic_us(env_system()) + (int64_t)c->timeout_ms * 1000;
}

static bool
is_before(int64_t deadline)
{
	return env_monotonic_us(env_system()) < deadline;
}

/* ---- lists of partitions ---- */

static int
compare_partitions(const void *a, const void *b)
{
	const rd_kafka_topic_partition_t *x = a, *y = b;
	int cmp = strcmp(x->topic, y->topic);

	return cmp != 0 ? cmp : (x->partition > y->partition) - (x->partition < y->partition);
}

rd_kafka_topic_partition_t *
partition_list_search(const rd_kafka_topic_partition_list_t *list, const char *topic,
		      int32_t partition)
{
	rd_kafka_topic_partition_t key = {.topic = (char *)topic, .partition = partition};

	if (list == NULL || list->cnt == 0)
		return NULL;
	return bsearch(&key, list->elems, (size_t)list->cnt, sizeof(key), compare_partitions);
}

void
partition_list_tidy(rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_topic_partition_list_sort(list, NULL, NULL);
	for (int i = list->cnt - 1; i > 0; i--) {
		if (compare_partitions(&list->elems[i - 1], &list->elems[i]) == 0)
			rd_kafka_topic_partition_list_del_by_idx(list, i);
	}
}

int64_t
group_committed(const struct group *group, const char *topic, int32_t partition)
{
	const rd_kafka_topic_partition_t *p =
	    partition_list_search(group->committed, topic, partition);

	return p != NULL && p->offset >= 0 ? p->offset : -1;
}

/* ---- which groups ---- */

const char *
group_shown(const char *id)
{
	static struct buf text;

	text.len = 0;
	text_append_printable(&text, (struct slice){(const uint8_t *)id, strlen(id)});
	return buf_text(&text) != NULL ? buf_text(&text) : "?";
}

int
group_scope_read(struct group_scope *scope, int argc, char **argv)
{
	size_t count = scope->groups.count + (size_t)argc;
	const char **items;

	if (scope->all && count > 0)
		return usage_error("--all-groups and a group by name: give one of the two");
	if (!scope->all && count == 0)
		return usage_error("which group? Give --group NAME or --all-groups");
	if (argc > 0) {
		items = realloc(scope->groups.items, count * sizeof(*items));
		if (items == NULL)
			return no_memory();
		for (int i = 0; i < argc; i++)
			items[scope->groups.count++] = argv[i];
		scope->groups.items = items;
	}
	for (size_t i = 0; i < scope->groups.count; i++) {
		if (scope->groups.items[i][0] == '\0')
			return usage_error("a group's name cannot be empty");
	}
	return CLI_DONE;
}

/*
 * The client is given a group's name, because librdkafka 2.0 follows a null pointer when one
 * without is told that a coordinator has moved; it does not join. A log's end is the high
 * watermark, whatever transactions hold back, as in Kafka's tools.
 */
int
group_client_open(struct client *c, const struct group_scope *scope)
{
	const struct client_default defaults[] = {
	    {"group.id", scope->groups.count > 0 ? scope->groups.items[0] : "klamm"},
	    {"isolation.level", "read_uncommitted"},
	    {NULL, NULL},
	};
	rd_kafka_conf_t *conf;
	int st;

	st = client_conf(defaults, &conf);
	if (st != CLI_DONE)
		return st;
	return client_open(c, RD_KAFKA_CONSUMER, conf);
}

static int
list_all(struct client *c, const struct group_scope *scope, rd_kafka_event_t **ret_event,
	 const rd_kafka_ConsumerGroupListing_t ***ret_groups, size_t *ret_count)
{
	const rd_kafka_ListConsumerGroups_result_t *result;
	rd_kafka_AdminOptions_t *options;
	const rd_kafka_error_t **errors;
	rd_kafka_error_t *error;
	rd_kafka_event_t *event;
	size_t error_count;
	int st;

	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS);
	if (options == NULL)
		return CLI_REFUSED;
	if (scope->state_count > 0) {
		error = rd_kafka_AdminOptions_set_match_consumer_group_states(
		    options, scope->states, scope->state_count);
		if (error != NULL) {
			complain("%s", rd_kafka_error_string(error));
			rd_kafka_error_destroy(error);
			rd_kafka_AdminOptions_destroy(options);
			return CLI_REFUSED;
		}
	}
	rd_kafka_ListConsumerGroups(c->rk, options, c->queue);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, "listing groups", &event);
	if (st != CLI_DONE)
		return st;
	result = rd_kafka_event_ListConsumerGroups_result(event);
	errors = rd_kafka_ListConsumerGroups_result_errors(result, &error_count);
	if (error_count > 0) {
		complain("listing groups: %s", rd_kafka_error_string(errors[0]));
		rd_kafka_event_destroy(event);
		return CLI_REFUSED;
	}
	*ret_groups = rd_kafka_ListConsumerGroups_result_valid(result, ret_count);
	*ret_event = event;
	return CLI_DONE;
}

static int
add_group(struct group_view *view, const char *id, rd_kafka_consumer_group_state_t listed)
{
	char *copy = strdup(id);

	if (copy == NULL)
		return no_memory();
	view->groups[view->count++] = (struct group){.id = copy, .listed = listed};
	return CLI_DONE;
}

static int
compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return strcmp(x->id, y->id);
}

/* Sorted, each once. */
static void
tidy(struct group_view *view)
{
	size_t kept = 0;

	qsort(view->groups, view->count, sizeof(*view->groups), compare_groups);
	for (size_t i = 0; i < view->count; i++) {
		if (kept > 0 && strcmp(view->groups[kept - 1].id, view->groups[i].id) == 0)
			free(view->groups[i].id);
		else
			view->groups[kept++] = view->groups[i];
	}
	view->count = kept;
}

int
group_view_select(struct group_view *view, struct client *c, const struct group_scope *scope)
{
	const rd_kafka_ConsumerGroupListing_t **listings = NULL;
	size_t count = scope->groups.count;
	rd_kafka_event_t *event = NULL;
	int st = CLI_DONE;

	if (scope->all) {
		st = list_all(c, scope, &event, &listings, &count);
		if (st != CLI_DONE)
			return st;
	}
	view->groups = calloc(count + 1, sizeof(*view->groups));
	if (view->groups == NULL)
		st = no_memory();
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		if (scope->all)
			st = add_group(view, rd_kafka_ConsumerGroupListing_group_id(listings[i]),
				       rd_kafka_ConsumerGroupListing_state(listings[i]));
		else
			st = add_group(view, scope->groups.items[i],
				       RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN);
	}
	if (st == CLI_DONE)
		tidy(view);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	return st;
}

void
group_view_fini(struct group_view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		free(view->groups[i].id);
		free(view->groups[i].why);
		if (view->groups[i].committed != NULL)
			rd_kafka_topic_partition_list_destroy(view->groups[i].committed);
	}
	free(view->groups);
	for (size_t i = 0; i < view->event_count; i++)
		rd_kafka_event_destroy(view->events[i]);
	free(view->events);
	*view = (struct group_view){0};
}

/* ---- descriptions ---- */

static void
set_error(struct group *group, rd_kafka_resp_err_t err, const char *text)
{
	const char *trouble = client_last_trouble();
	struct buf why = {0};

	if (text == NULL || text[0] == '\0')
		text = rd_kafka_err2str(err);
	if (err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TRANSPORT)
		buf_printf(&why, "no answer from its coordinator: %s",
			   trouble[0] != '\0' ? trouble : text);
	else
		buf_printf(&why, "%s", text);
	free(group->why);
	group->err = err;
	group->why = buf_text(&why) != NULL ? strdup(buf_text(&why)) : NULL;
	buf_fini(&why);
}

static struct group *
find_group(const struct group_view *view, const char *id)
{
	struct group key = {.id = (char *)id};

	return bsearch(&key, view->groups, view->count, sizeof(key), compare_groups);
}

/* The event stays: the descriptions live in it. */
static int
keep_event(struct group_view *view, rd_kafka_event_t *event)
{
	rd_kafka_event_t **events =
	    realloc(view->events, (view->event_count + 1) * sizeof(rd_kafka_event_t *));

	if (events == NULL) {
		rd_kafka_event_destroy(event);
		return no_memory();
	}
	events[view->event_count++] = event;
	view->events = events;
	return CLI_DONE;
}

static void
take_descriptions(struct group_view *view, rd_kafka_event_t *event)
{
	size_t count;
	const rd_kafka_ConsumerGroupDescription_t **descriptions =
	    rd_kafka_DescribeConsumerGroups_result_groups(
		rd_kafka_event_DescribeConsumerGroups_result(event), &count);

	for (size_t i = 0; i < count; i++) {
		const rd_kafka_ConsumerGroupDescription_t *d = descriptions[i];
		const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(d);
		struct group *group =
		    find_group(view, rd_kafka_ConsumerGroupDescription_group_id(d));

		if (group == NULL)
			continue;
		if (error != NULL) {
			set_error(group, rd_kafka_error_code(error), rd_kafka_error_string(error));
			continue;
		}
		group->description = d;
		set_error(group, RD_KAFKA_RESP_ERR_NO_ERROR, NULL);
	}
}

/* Asks once for those of `groups` that have no answer yet. ret_left: how many to ask again. */
static int
describe_once(struct group_view *view, struct client *c, struct group *groups, size_t count,
	      size_t *ret_left)
{
	const char *ids[DESCRIBE_BATCH];
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event;
	size_t asked = 0;
	int st;

	for (size_t i = 0; i < count; i++) {
		if (groups[i].description == NULL &&
		    (groups[i].err == 0 || group_error_is_temporary(groups[i].err)))
			ids[asked++] = groups[i].id;
	}
	*ret_left = 0;
	if (asked == 0)
		return CLI_DONE;
	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
	if (options == NULL)
		return CLI_REFUSED;
	rd_kafka_DescribeConsumerGroups(c->rk, ids, asked, options, c->queue);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, "asking for groups", &event);
	if (st != CLI_DONE)
		return st;
	st = keep_event(view, event);
	if (st != CLI_DONE)
		return st;
	take_descriptions(view, event);
	for (size_t i = 0; i < count; i++)
		*ret_left +=
		    groups[i].description == NULL && group_error_is_temporary(groups[i].err);
	return CLI_DONE;
}

int
group_view_describe(struct group_view *view, struct client *c)
{
	struct progress progress;
	int st = CLI_DONE;

	progress_start(&progress, false);
	for (size_t first = 0; st == CLI_DONE && first < view->count; first += DESCRIBE_BATCH) {
		size_t count = view->count - first;
		int64_t deadline = deadline_us(c);
		size_t left;

		if (count > DESCRIBE_BATCH)
			count = DESCRIBE_BATCH;
		while ((st = describe_once(view, c, &view->groups[first], count, &left)) ==
			   CLI_DONE &&
		       left > 0 && is_before(deadline))
			client_poll(c, RETRY_MS);
		progress_tell_steps(&progress, "asking for groups", first + count, view->count);
	}
	progress_clear(&progress);
	return st;
}

/* ---- committed offsets ---- */

static bool
is_described(void *arg, size_t i)
{
	struct group_view *view = arg;

	return view->groups[i].description != NULL;
}

static int
ask_committed(struct client *c, void *arg, size_t i)
{
	struct group_view *view = arg;
	rd_kafka_ListConsumerGroupOffsets_t *request;
	rd_kafka_AdminOptions_t *options;

	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
	if (options == NULL)
		return CLI_REFUSED;
	rd_kafka_AdminOptions_set_opaque(options, (void *)i);
	request = rd_kafka_ListConsumerGroupOffsets_new(view->groups[i].id, NULL);
	rd_kafka_ListConsumerGroupOffsets(c->rk, &request, 1, options, c->queue);
	rd_kafka_ListConsumerGroupOffsets_destroy(request);
	rd_kafka_AdminOptions_destroy(options);
	return CLI_DONE;
}

static bool
take_committed(void *arg, size_t i, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	struct group *group = &((struct group_view *)arg)->groups[i];
	const rd_kafka_topic_partition_list_t *list;
	const rd_kafka_group_result_t **results;
	size_t count;

	set_error(group, err, rd_kafka_event_error_string(event));
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return group_error_is_temporary(err);
	results = rd_kafka_ListConsumerGroupOffsets_result_groups(
	    rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
	list = count == 1 ? rd_kafka_group_result_partitions(results[0]) : NULL;
	group->committed = list != NULL ? rd_kafka_topic_partition_list_copy(list)
					: rd_kafka_topic_partition_list_new(0);
	partition_list_tidy(group->committed);
	return false;
}

int
group_view_load_committed(struct group_view *view, struct client *c)
{
	struct admin_pipeline pipeline = {.what = "asking for committed offsets",
					  .count = view->count,
					  .is_wanted = is_described,
					  .send = ask_committed,
					  .take = take_committed,
					  .arg = view};

	return admin_pipeline_run(&pipeline, c);
}

int
group_view_load(struct group_view *view, struct client *c, const struct group_scope *scope)
{
	int st;

	st = group_view_select(view, c, scope);
	if (st == CLI_DONE)
		st = group_view_describe(view, c);
	if (st == CLI_DONE)
		st = group_view_load_committed(view, c);
	return st;
}

/* ---- what they are ---- */

rd_kafka_consumer_group_state_t
group_state(const struct group *group)
{
	return group->description != NULL
		   ? rd_kafka_ConsumerGroupDescription_state(group->description)
		   : RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN;
}

const rd_kafka_topic_partition_list_t *
member_partitions(const rd_kafka_MemberDescription_t *member)
{
	const rd_kafka_MemberAssignment_t *a = rd_kafka_MemberDescription_assignment(member);

	return a != NULL ? rd_kafka_MemberAssignment_partitions(a) : NULL;
}

bool
group_is_usable(const struct group *group, bool must_exist)
{
	if (group->err != RD_KAFKA_RESP_ERR_NO_ERROR || group->description == NULL) {
		complain("group '%s': %s", group_shown(group->id),
			 group->why != NULL ? group->why : "its coordinator did not answer");
		return false;
	}
	if (must_exist && group_state(group) == RD_KAFKA_CONSUMER_GROUP_STATE_DEAD) {
		complain("there is no group '%s'; 'klamm group list' shows those there are",
			 group_shown(group->id));
		return false;
	}
	return true;
}

void
group_warn_of_state(const struct group *group)
{
	switch (group_state(group)) {
	case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY:
		fprintf(stderr, "\nConsumer group '%s' has no active members.\n",
			group_shown(group->id));
		break;
	case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE:
	case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE:
		fprintf(stderr, "\nWarning: Consumer group '%s' is rebalancing.\n",
			group_shown(group->id));
		break;
	default:
		break;
	}
}

int
group_print_each(struct group_scope *scope, int argc, char **argv, bool json,
		 int (*print)(const struct group *group, json_t *array))
{
	json_t *array = json ? json_array() : NULL;
	struct group_view view = {0};
	struct client c = {0};
	int st;

	st = group_scope_read(scope, argc, argv);
	if (st == CLI_DONE)
		st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = group_view_select(&view, &c, scope);
	if (st == CLI_DONE)
		st = group_view_describe(&view, &c);
	if (st == CLI_DONE) {
		for (size_t i = 0; i < view.count; i++) {
			if (!group_is_usable(&view.groups[i], true) ||
			    print(&view.groups[i], array) != CLI_DONE)
				st = CLI_REFUSED;
		}
		if (array != NULL && json_document_print(json_incref(array)) != CLI_DONE)
			st = CLI_REFUSED;
	}
	json_decref(array);
	group_view_fini(&view);
	client_close(&c);
	return st;
}
