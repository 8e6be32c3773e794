/*
 * ElectLeaders. The elections are held on the controller's thread; the answer waits until this
 * broker's metadata shows the new leaders.
 *
 * Kafka: KafkaApis.handleElectLeaders, DelayedElectLeader.
 */
#include <stdlib.h>

#include "api/api_call.h"
#include "wire/generated/elect_leaders.h"

#define PREFERRED 0
#define UNCLEAN 1

struct elect_leaders_state {
	const struct elect_leaders_request *req;
	struct controller_election *elections; /* topic by topic; may be moved by a sort */
	int32_t count;
	bool all; /* all partitions were meant */
};

static bool
is_visible(struct api_call *call, const struct controller_election *e)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_partition *p =
	    metadata_partition(metadata_read(md), e->topic, strlen(e->topic), e->partition);
	bool visible = p != NULL && p->leader == e->leader;

	metadata_done(md);
	return visible;
}

static bool
is_left_out(const struct elect_leaders_state *state, const struct controller_election *e)
{
	return state->all && e->error == K_ELECTION_NOT_NEEDED;
}

static bool
same_topic(const struct controller_election *a, const struct controller_election *b)
{
	return strcmp(a->topic, b->topic) == 0;
}

static void
fill_result(struct partition_result *p, const struct controller_election *e)
{
	p->partition_id = e->partition;
	p->error_code = kerr_of(e->error);
	if (p->error_code != 0)
		p->error_message = str_of(kerr_text(p->error_code));
}

static void
answer(struct api_call *call, int top_level)
{
	const struct elect_leaders_state *state = call->state;
	struct replica_election_result *topics =
	    replica_election_result_new(&call->arena, state->count);
	struct partition_result *results = partition_result_new(&call->arena, state->count);
	const struct controller_election *last = NULL;
	struct elect_leaders_response resp;

	if (topics == NULL || results == NULL) {
		api_out_of_memory(call);
		return;
	}
	elect_leaders_response_init(&resp);
	resp.error_code = kerr_of(top_level);
	resp.replica_election_results = topics;
	for (int32_t i = 0; i < state->count; i++) {
		const struct controller_election *e = &state->elections[i];

		if (is_left_out(state, e))
			continue;
		if (last == NULL || !same_topic(last, e)) {
			topics[resp.replica_election_results_count].topic = str_of(e->topic);
			topics[resp.replica_election_results_count++].partition_result = results;
		}
		topics[resp.replica_election_results_count - 1].partition_result_count++;
		fill_result(results++, e);
		last = e;
	}
	api_answer(call, &resp);
}

static void
resume(struct api_call *call, bool timed_out)
{
	struct elect_leaders_state *state = call->state;
	bool all = true;

	timed_out = timed_out || atomic_load(&call->api->shutting_down);
	for (int32_t i = 0; i < state->count; i++) {
		struct controller_election *e = &state->elections[i];

		if (e->error != 0 || is_visible(call, e))
			continue;
		all = false;
		if (timed_out)
			e->error = K_REQUEST_TIMED_OUT;
	}
	if (all || timed_out)
		answer(call, 0);
}

static void
elect(struct api_call *call, struct zk *zk)
{
	struct elect_leaders_state *state = call->state;

	(void)zk;
	controller_elect_leaders(call->api->settings.controller, state->elections,
				 (size_t)state->count,
				 api_version(call) >= 1 && state->req->election_type == UNCLEAN);
}

static void
elected(struct api_call *call)
{
	const struct elect_leaders_state *state = call->state;

	api_wait_for_metadata(call);
	api_park(call, state->req->timeout_ms, resume);
	resume(call, state->req->timeout_ms <= 0);
}

/* ---- which partitions ---- */

static int
compare(const void *a, const void *b)
{
	const struct controller_election *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);

	return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* Those that the request names, each once. */
static int
take_named(struct api_call *call, struct elect_leaders_state *state)
{
	const struct elect_leaders_request *req = state->req;
	int32_t total = 0, kept = 0;

	for (int32_t t = 0; t < req->topic_partitions_count; t++)
		total += req->topic_partitions[t].partitions_count;
	state->elections = arena_calloc(&call->arena, (size_t)total + 1, sizeof(*state->elections));
	if (state->elections == NULL)
		return -1;
	for (int32_t t = 0; t < req->topic_partitions_count; t++)
		for (int32_t i = 0; i < req->topic_partitions[t].partitions_count; i++)
			state->elections[state->count++] = (struct controller_election){
			    .topic = req->topic_partitions[t].topic.data,
			    .partition = req->topic_partitions[t].partitions[i],
			};
	qsort(state->elections, (size_t)total, sizeof(*state->elections), compare);
	for (int32_t i = 0; i < total; i++)
		if (kept == 0 || compare(&state->elections[kept - 1], &state->elections[i]) != 0)
			state->elections[kept++] = state->elections[i];
	state->count = kept;
	return 0;
}

static int
take_all(struct api_call *call, struct elect_leaders_state *state)
{
	struct metadata *md = call->api->settings.metadata;
	const struct metadata_image *image = metadata_read(md);
	size_t total = metadata_partition_count(image);
	struct metadata_walk walk = {0};
	const struct metadata_topic *t;
	int st = 0;

	state->all = true;
	call->arena.limit += total * sizeof(*state->elections) * 8; /* our data, not the client's */
	state->elections = arena_calloc(&call->arena, total + 1, sizeof(*state->elections));
	if (state->elections == NULL)
		st = -1;
	while (st == 0 && (t = metadata_next_topic(image, &walk)) != NULL) {
		const char *name;

		call->arena.limit += strlen(t->name) + 1;
		name = arena_strdup(&call->arena, t->name, strlen(t->name));
		if (name == NULL)
			st = -1;
		for (int32_t i = 0; name != NULL && i < t->partition_count; i++)
			if (t->partitions[i] != NULL)
				state->elections[state->count++] =
				    (struct controller_election){.topic = name, .partition = i};
	}
	metadata_done(md);
	return st;
}

void
api_elect_leaders(struct api_call *call, void *request)
{
	const struct elect_leaders_request *req = request;
	struct elect_leaders_state *state = arena_alloc(&call->arena, sizeof(*state));
	int st;

	if (state == NULL) {
		api_out_of_memory(call);
		return;
	}
	state->req = req;
	call->state = state;
	st = req->topic_partitions_count < 0 ? take_all(call, state) : take_named(call, state);
	if (st != 0) {
		api_out_of_memory(call);
	} else if (req->election_type != PREFERRED && req->election_type != UNCLEAN) {
		for (int32_t i = 0; i < state->count; i++)
			state->elections[i].error = K_UNKNOWN_SERVER_ERROR;
		answer(call, K_UNKNOWN_SERVER_ERROR);
	} else {
		api_work_on_controller(call, elect, elected);
	}
}
