/* Kafka: KafkaApis.handleApiVersionsRequest, KIP-511. */
#include <ctype.h>

#include "api/api_call.h"
#include "wire/generated/api_versions.h"

/* Letters and digits, with dots and dashes inside. */
static bool
software_name_is_valid(struct str name)
{
	if (name.len == 0)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];
		bool edge = i == 0 || i == name.len - 1;

		if (c >= 0x80 || (!isalnum(c) && (edge || (c != '.' && c != '-'))))
			return false;
	}
	return true;
}

static void
list_apis(struct api_call *call, struct api_versions_response *resp, bool only_this_one)
{
	const struct api *api = call->api;

	resp->api_keys = api_version_new(&call->arena, (int32_t)api->entry_count);
	if (resp->api_keys == NULL)
		return;
	for (size_t i = 0; i < api->entry_count; i++) {
		const struct api_entry *entry = &api->entries[i];

		if (only_this_one && entry->key != API_VERSIONS)
			continue;
		resp->api_keys[resp->api_keys_count++] =
		    (struct api_version){entry->key, entry->min, entry->max};
	}
}

void
api_api_versions(struct api_call *call, void *request)
{
	const struct api_versions_request *req = request;
	struct api_versions_response resp;

	api_versions_response_init(&resp);
	if (!wire_api_has_version(call->entry->wire, api_version(call))) {
		/* The answer is in version 0 and says which versions there are. */
		resp.error_code = kerr_of(K_UNSUPPORTED_VERSION);
		call->head.api_version = 0;
		list_apis(call, &resp, true);
	} else if (api_version(call) >= 3 &&
		   (!software_name_is_valid(req->client_software_name) ||
		    !software_name_is_valid(req->client_software_version))) {
		resp.error_code = kerr_of(K_INVALID_REQUEST);
	} else {
		if (api_version(call) >= 3 &&
		    connection_set_software(call->req->conn, req->client_software_name,
					    req->client_software_version) != 0) {
			api_out_of_memory(call);
			return;
		}
		list_apis(call, &resp, false);
	}
	api_answer(call, &resp);
}
