/*
 * api_table.h - every API whose messages we know, by key.
 *
 * The table is made of src/wire/schema. It says what can be decoded; what is served, and in which
 * versions, is for the api room to say.
 *
 * Source  wire-protocol, sections 3 and 9.
 */
#ifndef KLAMM_WIRE_API_TABLE_H
#define KLAMM_WIRE_API_TABLE_H

#include "wire/codec.h"

/* Keys that code outside a handler has to know. */
enum {
	API_PRODUCE = 0,
	API_FETCH = 1,
	API_LIST_OFFSETS = 2,
	API_METADATA = 3,
	API_LEADER_AND_ISR = 4,
	API_STOP_REPLICA = 5,
	API_UPDATE_METADATA = 6,
	API_CONTROLLED_SHUTDOWN = 7,
	API_SASL_HANDSHAKE = 17,
	API_VERSIONS = 18,
	API_DESCRIBE_CONFIGS = 32,
	API_DESCRIBE_LOG_DIRS = 35,
	API_SASL_AUTHENTICATE = 36,
	API_ELECT_LEADERS = 43,
	API_INCREMENTAL_ALTER_CONFIGS = 44,
	API_ALTER_PARTITION_REASSIGNMENTS = 45,
	API_LIST_PARTITION_REASSIGNMENTS = 46,
	API_ALTER_PARTITION = 56
};

struct wire_api {
	const char *name; /* Kafka's, for example "Produce" */
	const struct wire_schema *request;
	const struct wire_schema *response;
	int16_t key;
	int8_t since, until;   /* versions */
	int8_t flexible_since; /* INT8_MAX for never */
};

extern const struct wire_api wire_apis[]; /* in order of key */
extern const size_t wire_api_count;

/* Records of internal topics, headers and other messages without a key: for tests. */
extern const struct wire_schema *const wire_data_schemas[];
extern const size_t wire_data_schema_count;

/* NULL for a key that is none of ours. */
const struct wire_api *wire_api(int key);

static inline bool
wire_api_has_version(const struct wire_api *api, int version)
{
	return version >= api->since && version <= api->until;
}

/* Version of the request's header: 1, 2 in flexible versions, 0 for ControlledShutdown 0. */
int wire_request_header_version(const struct wire_api *api, int version);
/* Version of the response's header: 0, 1 in flexible versions other than those of ApiVersions. */
int wire_response_header_version(const struct wire_api *api, int version);

#endif
