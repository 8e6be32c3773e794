/* Kafka: KafkaApis.handleJoinGroupRequest, GroupCoordinatorAdapter.joinGroup. */
#include <errno.h>

#include "api/group_call.h"
#include "wire/generated/join_group.h"

static void
answer(struct api_call *call, struct group_wait *wait)
{
	const struct group_joined *joined = &wait->joined;
	struct join_group_response resp;

	join_group_response_init(&resp);
	resp.error_code = kerr_of(joined->error);
	resp.generation_id = joined->generation;
	resp.protocol_type = joined->protocol_type;
	resp.protocol_name = joined->protocol_name;
	resp.leader = joined->leader.data == NULL ? str_of("") : joined->leader;
	resp.skip_assignment = joined->skip_assignment;
	resp.member_id = joined->member_id;
	resp.members = join_group_response_member_new(&call->arena, joined->member_count);
	if (resp.members == NULL) {
		api_out_of_memory(call);
		return;
	}
	resp.members_count = joined->member_count;
	for (int32_t i = 0; i < joined->member_count; i++)
		resp.members[i] = (struct join_group_response_member){
		    .member_id = joined->members[i].id,
		    .group_instance_id = joined->members[i].instance_id,
		    .metadata = joined->members[i].metadata,
		};
	api_answer(call, &resp);
}

static void
refuse(struct api_call *call, struct group_call *gc, struct str member_id, int error)
{
	gc->wait.joined = (struct group_joined){
	    .error = error, .generation = GROUP_NO_GENERATION, .member_id = member_id};
	answer(call, &gc->wait);
}

/* "<client id or instance id>-<random UUID>". */
static struct str
new_member_id(struct api_call *call, struct str instance_id)
{
	struct str name = instance_id.data != NULL ? instance_id : call->head.client_id;
	const char *text;
	uint8_t r[16];

	env_random(call->api->settings.env, r, sizeof(r));
	r[6] = (r[6] & 0x0f) | 0x40;
	r[8] = (r[8] & 0x3f) | 0x80;
	text = arena_printf(&call->arena,
			    "%.*s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x"
			    "%02x",
			    (int)name.len, name.data == NULL ? "" : name.data, r[0], r[1], r[2],
			    r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
			    r[14], r[15]);
	return str_of(text);
}

void
api_join_group(struct api_call *call, void *request)
{
	const struct join_group_request *req = request;
	const struct broker_conf *conf = api_conf(call);
	struct group_call *gc = arena_alloc(&call->arena, sizeof(*gc));
	struct group_protocol *protocols =
	    arena_calloc(&call->arena, (size_t)req->protocols_count, sizeof(*protocols));
	struct group_join join = {
	    .member_id = req->member_id,
	    .instance_id = req->group_instance_id,
	    .new_member_id = new_member_id(call, req->group_instance_id),
	    .client_id = call->head.client_id.data == NULL ? str_of("") : call->head.client_id,
	    .client_host = str_of(connection_client_host(call->req->conn)),
	    .protocol_type = req->protocol_type,
	    .reason = req->reason,
	    .session_timeout_ms = req->session_timeout_ms,
	    .rebalance_timeout_ms =
		api_version(call) == 0 ? req->session_timeout_ms : req->rebalance_timeout_ms,
	    .require_known_member_id = api_version(call) >= 4,
	    .support_skipping_assignment = api_version(call) >= 9,
	    .protocols = protocols,
	    .protocol_count = req->protocols_count,
	};

	if (gc == NULL || protocols == NULL || join.new_member_id.data == NULL) {
		api_out_of_memory(call);
		return;
	}
	for (int32_t i = 0; i < req->protocols_count; i++)
		protocols[i] =
		    (struct group_protocol){req->protocols[i].name, req->protocols[i].metadata};
	group_call_begin(call, gc, answer);
	if (req->group_id.len == 0) {
		refuse(call, gc, req->member_id, K_INVALID_GROUP_ID);
	} else if (req->session_timeout_ms < conf->group_min_session_timeout_ms ||
		   req->session_timeout_ms > conf->group_max_session_timeout_ms) {
		refuse(call, gc, req->member_id, K_INVALID_SESSION_TIMEOUT);
	} else {
		group_coordinator_join(call->api->settings.groups, req->group_id, &join, &gc->wait);
		group_call_wait(call);
	}
}
