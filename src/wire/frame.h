/*
 * frame.h - what is around the messages: sizes and headers of requests and responses.
 *
 *	int32 size, then size bytes: the header, then the body
 *
 * A frame here is those bytes without the size. The server side peeks, decodes the header and then
 * the body with the generated functions; the client side begins, encodes and ends a request.
 *
 * Threads  any.
 * Source   wire-protocol, sections 1.1 and 3.
 */
#ifndef KLAMM_WIRE_FRAME_H
#define KLAMM_WIRE_FRAME_H

#include "wire/api_table.h"
#include "wire/codec.h"

/* Bytes of the size before each frame. */
#define FRAME_SIZE_BYTES 4

struct frame_head {
	int16_t api_key;
	int16_t api_version;
	int32_t correlation_id;
	struct str client_id; /* null if not sent; a copy in the arena, ended by a NUL */
	/* NULL for an unknown key. Whether it has the version is for the caller to look at. */
	const struct wire_api *api;
};

/* The first bytes of a request: key, version and correlation id, whatever follows. */
#define FRAME_PEEK_BYTES 8
/* Returns 0, or -EBADMSG when the frame is too short. client_id stays null. */
MUST_CHECK int frame_peek(struct slice frame, struct frame_head *ret_head);

/*
 * Reads the request's header; in then stands at the body. The client id is a copy in the arena.
 *
 * A version that the API does not have is read as the newest it has, which is what ApiVersions
 * needs to answer an unknown version; all other APIs refuse it afterwards.
 *
 * Returns 0, -EBADMSG (ret_head has what frame_peek() finds if there was so much), -ENOMEM, or
 * -ENOENT for an unknown key (the same).
 */
MUST_CHECK int frame_decode_request_header(struct wire_in *in, struct frame_head *ret_head);

/*
 * Begins a response: leaves room for the size and writes the header. ret_start is for
 * frame_end(). The body follows with X_encode(), in the request's version.
 */
void frame_begin_response(struct wire_out *out, const struct wire_api *api, int version,
			  int32_t correlation_id, size_t *ret_start);
/* The same for a request that we send. client_id may be null. */
void frame_begin_request(struct wire_out *out, const struct wire_api *api, int version,
			 int32_t correlation_id, struct str client_id, size_t *ret_start);
/*
 * Fills in the size, insertions since the start included. insertions_before is out's
 * inserted_bytes when the frame began (0 for a fresh wire_out).
 *
 * Returns 0, -ENOMEM when the buffer failed, or -EINVAL for more than INT32_MAX bytes.
 */
MUST_CHECK int frame_end(struct wire_out *out, size_t start, size_t insertions_before);

/* Reads a response's header; in then stands at the body. 0 or -EBADMSG. */
MUST_CHECK int frame_decode_response_header(struct wire_in *in, const struct wire_api *api,
					    int version, int32_t *ret_correlation_id);

#endif
