/* Kafka: KafkaApis.handleDescribeGroupsRequest, GroupMetadata.summary. */
#include <errno.h>

#include "api/group_call.h"
#include "wire/generated/describe_groups.h"

struct describing {
	struct api_call *call;
	struct describe_groups_response_described_group *resp;
	int st; /* 0 or -ENOMEM */
};

static struct str
copy_str(struct describing *d, struct str text)
{
	return api_copy_text(d->call, text.data);
}

static struct slice
copy_bytes(struct describing *d, struct slice bytes)
{
	uint8_t *copy = arena_alloc(&d->call->arena, bytes.len);

	if (copy == NULL)
		d->st = -ENOMEM;
	else if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	return (struct slice){copy, copy == NULL ? 0 : bytes.len};
}

/* Metadata and assignment count only while the group is Stable. */
static void
describe_members(struct describing *d, const struct group *g)
{
	bool stable = group_state(g) == GROUP_STABLE;
	const struct group_member *m = NULL;
	struct group_member_view view;
	int32_t i = 0;

	d->resp->members = described_group_member_new(&d->call->arena, group_member_count(g));
	if (d->resp->members == NULL) {
		d->st = -ENOMEM;
		return;
	}
	while ((m = group_next_member(g, m)) != NULL) {
		group_look_at_member(g, m, &view);
		d->resp->members[i] = (struct described_group_member){
		    .member_id = copy_str(d, view.id),
		    .group_instance_id = copy_str(d, view.instance_id),
		    .client_id = copy_str(d, view.client_id),
		    .client_host = copy_str(d, view.client_host),
		};
		if (stable) {
			d->resp->members[i].member_metadata = copy_bytes(d, view.metadata);
			d->resp->members[i].member_assignment = copy_bytes(d, view.assignment);
		}
		i++;
	}
	d->resp->members_count = i;
}

static void
describe(void *arg, struct group *g)
{
	struct describing *d = arg;

	if (g == NULL) {
		d->resp->group_state = str_of(group_state_name(GROUP_DEAD));
		return;
	}
	d->resp->group_state = str_of(group_state_name(group_state(g)));
	d->resp->protocol_type = api_copy_text(d->call, group_protocol_type(g));
	if (group_state(g) == GROUP_STABLE)
		d->resp->protocol_data = api_copy_text(d->call, group_protocol_name(g));
	describe_members(d, g);
}

void
api_describe_groups(struct api_call *call, void *request)
{
	const struct describe_groups_request *req = request;
	struct describe_groups_response resp;

	describe_groups_response_init(&resp);
	resp.groups = describe_groups_response_described_group_new(&call->arena, req->groups_count);
	if (resp.groups == NULL) {
		api_out_of_memory(call);
		return;
	}
	for (int32_t i = 0; i < req->groups_count; i++) {
		struct describing d = {.call = call, .resp = &resp.groups[i]};

		d.resp->group_id = req->groups[i];
		d.resp->error_code = kerr_of(group_coordinator_look(call->api->settings.groups,
								    req->groups[i], describe, &d));
		if (req->include_authorized_operations && d.resp->error_code == 0)
			d.resp->authorized_operations = ALL_GROUP_OPERATIONS;
		if (d.st != 0) {
			api_out_of_memory(call);
			return;
		}
	}
	resp.groups_count = req->groups_count;
	api_answer(call, &resp);
}
