/*
 * TLS and partial writes: OpenSSL must be given the same bytes again after -EAGAIN, or more. What
 * is put together always starts at the first byte that was not acknowledged and makes one record,
 * full where there is so much, so a second attempt begins with what the first one offered, and a
 * full socket wastes no more than one record's reading.
 */
#include "net/send_queue.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/reactor_io.h"
#include "net/transport.h"

#define IOV_COUNT 64
#define SENDFILE_MAX_BYTES ((size_t)1 << 20)
#define RECORD_BYTES 16384 /* the most that one TLS record holds */

void
send_queue_init(struct send_queue *q,
		void (*done)(struct send_queue *q, struct send_item *item, bool sent))
{
	*q = (struct send_queue){.done = done};
	q->last = &q->first;
}

static struct net_part *
parts_of(struct send_item *item)
{
	return item->reply.parts != NULL ? item->reply.parts : item->reply.first;
}

void
send_queue_add(struct send_queue *q, struct send_item *item)
{
	item->next = NULL;
	item->part = 0;
	item->part_sent = 0;
	item->size_sent = item->reply.has_size ? sizeof(item->size) : 0;
	put_be32(item->size, (uint32_t)item->reply.len);
	*q->last = item;
	q->last = &item->next;
	q->bytes += item->reply.len + sizeof(item->size) - item->size_sent;
}

static void
pop(struct send_queue *q, bool sent)
{
	struct send_item *item = q->first;

	q->first = item->next;
	if (q->first == NULL)
		q->last = &q->first;
	net_reply_fini(&item->reply);
	q->done(q, item, sent);
}

void
send_queue_fini(struct send_queue *q)
{
	while (q->first != NULL)
		pop(q, false);
	q->bytes = 0;
}

/* Notes that n more bytes went out. */
static void
advance(struct send_queue *q, size_t n)
{
	q->bytes -= n;
	while (q->first != NULL) {
		struct send_item *item = q->first;
		size_t step = sizeof(item->size) - item->size_sent;

		step = step < n ? step : n;
		item->size_sent += (uint8_t)step;
		n -= step;
		if (item->size_sent < sizeof(item->size))
			return;
		while (item->part < item->reply.count) {
			size_t left = parts_of(item)[item->part].len - item->part_sent;

			step = left < n ? left : n;
			item->part_sent += step;
			n -= step;
			if (step < left)
				return;
			item->part++;
			item->part_sent = 0;
		}
		pop(q, true);
	}
	assert(n == 0);
}

/* A place in the queue: first byte of an item's size, or of one of its parts. */
struct place {
	struct send_item *item;
	uint32_t part;
	bool at_size;
};

/*
 * The next stretch at *at: a piece of memory, or (ret_data NULL) a range of a file.
 * False at the end of the queue.
 */
static bool
next_stretch(struct place *at, const uint8_t **ret_data, const struct net_part **ret_part,
	     size_t *ret_skip, size_t *ret_len)
{
	struct send_item *item = at->item;
	const struct net_part *part;

	if (item == NULL)
		return false;
	if (at->at_size && item->size_sent < sizeof(item->size)) {
		*ret_data = item->size + item->size_sent;
		*ret_len = sizeof(item->size) - item->size_sent;
		at->at_size = false;
		return true;
	}
	at->at_size = false;
	if (at->part == item->reply.count) {
		*at = (struct place){.item = item->next, .at_size = true};
		return next_stretch(at, ret_data, ret_part, ret_skip, ret_len);
	}
	part = &parts_of(item)[at->part];
	*ret_skip = at->part == item->part ? item->part_sent : 0;
	*ret_len = part->len - *ret_skip;
	*ret_data = part->data == NULL ? NULL : part->data + *ret_skip;
	*ret_part = part;
	at->part++;
	return true;
}

static struct place
start_of(struct send_queue *q)
{
	return (struct place){.item = q->first, .part = q->first->part, .at_size = true};
}

/*
 * One sendfile. A short one means that the socket is full, and there will be an event; unless the
 * file ended, when there would be none.
 */
static ssize_t
send_file(struct transport *t, const struct net_part *part, size_t skip, size_t len, bool *ret_all)
{
	off_t pos = part->pos + (off_t)skip;
	struct stat st;
	ssize_t n;

	len = len < SENDFILE_MAX_BYTES ? len : SENDFILE_MAX_BYTES;
	n = transport_sendfile(t, part->fd, pos, len);
	*ret_all = n == (ssize_t)len;
	if (n == 0 || (n > 0 && !*ret_all && fstat(part->fd, &st) == 0 && st.st_size <= pos + n))
		return -ENODATA;
	if (n > 0 && !*ret_all)
		t->writable = false;
	return n;
}

/* One sendmsg of what lies in memory before the next file range, or one sendfile. */
static ssize_t
send_plain(struct send_queue *q, struct transport *t, bool *ret_all)
{
	struct place at = start_of(q);
	struct iovec iov[IOV_COUNT];
	const struct net_part *part = NULL;
	const uint8_t *data;
	size_t count = 0, total = 0, skip = 0, len;
	bool more = false;
	ssize_t n;

	while (count < IOV_COUNT && next_stretch(&at, &data, &part, &skip, &len)) {
		if (data == NULL) {
			more = true;
			break;
		}
		iov[count++] = (struct iovec){(void *)(uintptr_t)data, len};
		total += len;
	}
	if (count > 0) {
		n = transport_writev(t, iov, count, more);
		*ret_all = n == (ssize_t)total;
		if (n >= 0 && !*ret_all)
			t->writable = false;
		return n;
	}
	return send_file(t, part, skip, len, ret_all);
}

/* Fills data from the start of the queue. Returns how many bytes, or -errno. */
static ssize_t
put_together(struct send_queue *q, uint8_t *data, size_t cap, bool stop_at_file)
{
	struct place at = start_of(q);
	const struct net_part *part;
	const uint8_t *from;
	size_t have = 0, skip, len;

	while (have < cap && next_stretch(&at, &from, &part, &skip, &len)) {
		if (len > cap - have)
			len = cap - have;
		if (from != NULL) {
			memcpy(data + have, from, len);
		} else if (stop_at_file) {
			break;
		} else {
			ssize_t n = pread(part->fd, data + have, len, part->pos + (off_t)skip);

			if (n < 0 && errno == EINTR)
				n = 0;
			else if (n < 0)
				return -errno;
			else if (n == 0)
				return have > 0 ? (ssize_t)have : -ENODATA;
			if ((size_t)n < len)
				return (ssize_t)(have + (size_t)n);
			len = (size_t)n;
		}
		have += len;
	}
	return (ssize_t)have;
}

static ssize_t
send_tls(struct send_queue *q, struct transport *t, uint8_t *data, bool *ret_all)
{
	ssize_t have;

	have = put_together(q, data, RECORD_BYTES, t->ktls);
	if (have < 0)
		return have;
	if (have == 0) { /* kTLS, at a file range */
		struct place at = start_of(q);
		const struct net_part *part = NULL;
		size_t skip = 0, len = 0;
		const uint8_t *none;

		next_stretch(&at, &none, &part, &skip, &len);
		return send_file(t, part, skip, len, ret_all);
	}
	*ret_all = true; /* if not, the next attempt will say so */
	return transport_write(t, data, (size_t)have);
}

int
send_queue_flush(struct send_queue *q, struct transport *t, struct reactor_io *io, size_t budget,
		 size_t *ret_sent)
{
	size_t sent = 0;
	int st = 0;

	while (q->first != NULL && st == 0) {
		bool all = false;
		ssize_t n;

		if (sent >= budget) {
			st = -EINPROGRESS;
			break;
		}
		if (t->ssl == NULL) {
			n = send_plain(q, t, &all);
		} else {
			uint8_t *scratch = reactor_io_scratch(io);

			n = scratch == NULL ? -ENOMEM : send_tls(q, t, scratch, &all);
		}
		if (n < 0) {
			st = (int)n;
			break;
		}
		advance(q, (size_t)n);
		sent += (size_t)n;
		if (!all)
			st = -EAGAIN;
	}
	*ret_sent = sent;
	return st;
}
