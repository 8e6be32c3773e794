/*
 * record_format.h - how consume prints a record: kcat's format tokens, or its JSON envelope.
 *
 *	%s %S %R	value, its length (-1 for null), its length as 4 bytes big-endian
 *	%k %K		key, its length (-1 for null)
 *	%h		headers: name=value, parted by commas
 *	%t %p %o %T	topic, partition, offset, timestamp in ms
 *	%%		a percent sign
 *
 * and the escapes of text_escape.h.
 *
 * The envelope is one line: topic, partition, offset, tstype, ts, broker, headers (an array of name
 * and value in turn), key, payload. Keys and payloads that are no UTF-8 stand in key_base64 and
 * payload_base64; a header value that is none, as base64 in an object {"base64": ...}.
 */
#ifndef KLAMM_CLI_RECORD_FORMAT_H
#define KLAMM_CLI_RECORD_FORMAT_H

#include "base/bytes.h"

struct record_header {
	const char *name;
	struct slice value; /* data == NULL: null */
};

/* A record as consume sees it; all borrowed. */
struct record_view {
	const char *topic;
	struct slice key;
	struct slice value;
	const struct record_header *headers;
	size_t header_count;
	int64_t offset;
	int64_t timestamp_ms; /* -1: none */
	int32_t partition;
	int32_t broker; /* -1: unknown */
	enum { TIMESTAMP_UNKNOWN, TIMESTAMP_CREATE, TIMESTAMP_LOG_APPEND } timestamp_type;
};

struct format_item {
	char token; /* one of the letters above; 0 for text */
	struct buf text;
};

/* Zero-initialised is empty and prints nothing. */
struct record_format {
	struct format_item *items;
	size_t count;
	const char *null_text; /* for null keys and values; "" when NULL */
};

/* -EINVAL with *ret_at set to where in text something is wrong; -ENOMEM. */
MUST_CHECK int record_format_parse(const char *text, struct record_format *ret_format,
				   size_t *ret_at);
void record_format_fini(struct record_format *f);
void record_format_append(const struct record_format *f, const struct record_view *r,
			  struct buf *out);
/* One line of JSON, its newline included. */
void record_json_append(const struct record_view *r, struct buf *out);

#endif
