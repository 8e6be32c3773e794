#include "net/reply.h"

#include <stdlib.h>

void
net_reply_init(struct net_reply *reply)
{
	*reply = (struct net_reply){0};
}

static struct net_part *
parts_of(struct net_reply *reply)
{
	return reply->parts != NULL ? reply->parts : reply->first;
}

static void
release_part(struct net_part *part)
{
	if (part->release != NULL)
		part->release(part->arg);
	else
		free(part->data);
}

void
net_reply_fini(struct net_reply *reply)
{
	struct net_part *parts = parts_of(reply);

	for (uint32_t i = 0; i < reply->count; i++)
		release_part(&parts[i]);
	free(reply->parts);
	net_reply_init(reply);
}

/* Takes over what part owns, even when there is no memory to note it. */
static void
add_part(struct net_reply *reply, struct net_part part)
{
	uint32_t cap = reply->parts == NULL ? NET_REPLY_INLINE : reply->cap;

	if (reply->count == cap) {
		struct net_part *parts = realloc(reply->parts, 2 * cap * sizeof(*parts));

		if (parts == NULL) {
			reply->failed = true;
			release_part(&part);
			return;
		}
		if (reply->parts == NULL)
			memcpy(parts, reply->first, sizeof(reply->first));
		reply->parts = parts;
		reply->cap = 2 * cap;
	}
	parts_of(reply)[reply->count++] = part;
	reply->len += part.len;
}

void
net_reply_add_buf(struct net_reply *reply, struct buf *b)
{
	if (b->failed)
		reply->failed = true;
	if (b->failed || b->len == 0)
		buf_fini(b);
	else
		add_part(reply, (struct net_part){.data = b->data, .len = b->len, .fd = -1});
	*b = (struct buf){0};
}

void
net_reply_add_bytes(struct net_reply *reply, struct slice bytes, net_release_fn *release, void *arg)
{
	if (bytes.len == 0) {
		release(arg);
		return;
	}
	add_part(reply, (struct net_part){.data = (uint8_t *)(uintptr_t)bytes.data,
					  .len = bytes.len,
					  .fd = -1,
					  .release = release,
					  .arg = arg});
}

void
net_reply_add_file(struct net_reply *reply, int fd, off_t pos, size_t len, net_release_fn *release,
		   void *arg)
{
	struct net_part part = {.len = len, .pos = pos, .fd = fd, .release = release, .arg = arg};

	if (len == 0)
		release_part(&part);
	else
		add_part(reply, part);
}
