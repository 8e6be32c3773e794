/*
 * api_table.c - looking up the generated table.
 */
#include "wire/api_table.h"

const struct wire_api *
wire_api(int key)
{
	size_t low = 0;
	size_t high = wire_api_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (wire_apis[mid].key == key)
			return &wire_apis[mid];
		if (wire_apis[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int
wire_request_header_version(const struct wire_api *api, int version)
{
	if (api->key == API_CONTROLLED_SHUTDOWN && version == 0)
		return 0;
	return version >= api->flexible_since ? 2 : 1;
}

int
wire_response_header_version(const struct wire_api *api, int version)
{
	if (api->key == API_VERSIONS)
		return 0;
	return version >= api->flexible_since ? 1 : 0;
}
