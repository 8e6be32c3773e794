/*
 * frame.c - headers and sizes.
 */
#include "wire/frame.h"

#include <errno.h>

#include "wire/generated/header.h"

int
frame_peek(struct slice frame, struct frame_head *ret_head)
{
	struct frame_head head = {0};

	if (frame.len < FRAME_PEEK_BYTES)
		return -EBADMSG;
	head.api_key = (int16_t)get_be16(frame.data);
	head.api_version = (int16_t)get_be16(frame.data + 2);
	head.correlation_id = (int32_t)get_be32(frame.data + 4);
	head.api = wire_api(head.api_key);
	*ret_head = head;
	return 0;
}

int
frame_decode_request_header(struct wire_in *in, struct frame_head *ret_head)
{
	struct request_header header;
	int version;
	int st;

	st = frame_peek((struct slice){in->next, wire_in_left(in)}, ret_head);
	if (st != 0) {
		in->failed_field = "RequestHeader";
		in->failed_why = "cut off";
		return st;
	}
	if (ret_head->api == NULL)
		return -ENOENT;
	version = ret_head->api_version;
	if (!wire_api_has_version(ret_head->api, version))
		version = ret_head->api->until;
	st =
	    request_header_decode(&header, wire_request_header_version(ret_head->api, version), in);
	if (st == 0)
		ret_head->client_id = header.client_id;
	return st;
}

/* Room for the size, to be filled by frame_end(). */
static void
begin(struct wire_out *out, size_t *ret_start)
{
	*ret_start = out->buf->len;
	buf_append_be32(out->buf, 0);
}

void
frame_begin_response(struct wire_out *out, const struct wire_api *api, int version,
		     int32_t correlation_id, size_t *ret_start)
{
	begin(out, ret_start);
	buf_append_be32(out->buf, (uint32_t)correlation_id);
	if (wire_response_header_version(api, version) >= 1)
		buf_append_u8(out->buf, 0); /* no tagged fields */
}

void
frame_begin_request(struct wire_out *out, const struct wire_api *api, int version,
		    int32_t correlation_id, struct str client_id, size_t *ret_start)
{
	struct request_header header = {
	    .request_api_key = api->key,
	    .request_api_version = (int16_t)version,
	    .correlation_id = correlation_id,
	    .client_id = client_id,
	};

	begin(out, ret_start);
	/* What can fail here is memory, and that stays in buf->failed. */
	if (request_header_encode(&header, wire_request_header_version(api, version), out) != 0)
		out->buf->failed = true;
}

int
frame_end(struct wire_out *out, size_t start, size_t insertions_before)
{
	size_t size;

	if (out->buf->failed)
		return -ENOMEM;
	size = out->buf->len - start - FRAME_SIZE_BYTES + out->inserted_bytes - insertions_before;
	if (size > INT32_MAX)
		return -EINVAL;
	put_be32(out->buf->data + start, (uint32_t)size);
	return 0;
}

int
frame_decode_response_header(struct wire_in *in, const struct wire_api *api, int version,
			     int32_t *ret_correlation_id)
{
	struct response_header header;
	int st;

	st = response_header_decode(&header, wire_response_header_version(api, version), in);
	if (st == 0)
		*ret_correlation_id = header.correlation_id;
	return st;
}
