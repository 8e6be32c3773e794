/* Kafka: KafkaApis.handleListGroupsRequest. */
#include <errno.h>
#include <strings.h>

#include "api/group_call.h"
#include "wire/generated/list_groups.h"

#define TYPE_CLASSIC "classic"

struct listing {
	struct api_call *call;
	const struct list_groups_request *req;
	struct listed_group *groups; /* grows by doubling, in the arena */
	int32_t count, cap;
	int st; /* 0 or -ENOMEM */
};

static bool
names(const struct str *filter, int32_t count, const char *name)
{
	for (int32_t i = 0; i < count; i++)
		if (filter[i].len == strlen(name) && strcasecmp(filter[i].data, name) == 0)
			return true;
	return count == 0;
}

static void
list(void *arg, struct group *g)
{
	struct listing *l = arg;
	const char *state = group_state_name(group_state(g));

	if (l->st != 0 || !names(l->req->states_filter, l->req->states_filter_count, state))
		return;
	l->groups = group_call_grow(l->call, &listed_group_struct, l->groups, l->count, &l->cap);
	if (l->groups == NULL) {
		l->st = -ENOMEM;
		return;
	}
	l->groups[l->count++] = (struct listed_group){
	    .group_id = api_copy_text(l->call, group_id(g)),
	    .protocol_type = api_copy_text(l->call, group_protocol_type(g)),
	    .group_state = str_of(state),
	    .group_type = str_of(TYPE_CLASSIC),
	};
}

void
api_list_groups(struct api_call *call, void *request)
{
	const struct list_groups_request *req = request;
	struct listing l = {.call = call, .req = req};
	struct list_groups_response resp;

	/* The answer is as large as the groups are many, whatever the request's size. */
	call->arena.limit = SIZE_MAX / 2;
	list_groups_response_init(&resp);
	if (names(req->types_filter, req->types_filter_count, TYPE_CLASSIC))
		resp.error_code =
		    kerr_of(group_coordinator_each(call->api->settings.groups, list, &l));
	if (l.st != 0) {
		api_out_of_memory(call);
		return;
	}
	resp.groups = l.groups;
	resp.groups_count = l.count;
	api_answer(call, &resp);
}
