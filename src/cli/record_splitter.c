/*
 * record_splitter.c - parts what comes from a file descriptor into records.
 */
#include "cli/record_splitter.h"

#include <errno.h>
#include <unistd.h>

#define READ_BYTES 65536

void
splitter_init(struct splitter *s, struct slice delimiter)
{
	*s = (struct splitter){.delimiter = delimiter};
}

void
splitter_fini(struct splitter *s)
{
	buf_fini(&s->data);
}

int
splitter_read(struct splitter *s, int fd)
{
	uint8_t *room;
	ssize_t n;

	if (s->taken > 0) {
		memmove(s->data.data, s->data.data + s->taken, s->data.len - s->taken);
		s->data.len -= s->taken;
		s->searched = s->searched > s->taken ? s->searched - s->taken : 0;
		s->taken = 0;
	}
	if (s->data.len > SPLITTER_RECORD_MAX)
		return -EFBIG;
	room = buf_reserve(&s->data, READ_BYTES);
	if (room == NULL)
		return -ENOMEM;
	do {
		n = read(fd, room, READ_BYTES);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->data.len += (size_t)n;
	s->ended = n == 0;
	return 0;
}

bool
splitter_next(struct splitter *s, struct slice *ret_record)
{
	size_t from = s->searched > s->taken ? s->searched : s->taken;
	size_t left = s->data.len - from;
	const uint8_t *found = NULL;

	if (left > 0)
		found = memmem(s->data.data + from, left, s->delimiter.data, s->delimiter.len);
	if (found != NULL) {
		*ret_record = (struct slice){s->data.data + s->taken,
					     (size_t)(found - s->data.data) - s->taken};
		s->taken = (size_t)(found - s->data.data) + s->delimiter.len;
		return true;
	}
	if (s->ended && s->taken < s->data.len) {
		*ret_record = (struct slice){s->data.data + s->taken, s->data.len - s->taken};
		s->taken = s->data.len;
		return true;
	}
	if (left >= s->delimiter.len)
		s->searched = s->data.len - s->delimiter.len + 1;
	return false;
}

void
record_split_key(struct slice record, struct slice delimiter, struct slice *ret_key,
		 struct slice *ret_value)
{
	const uint8_t *found = NULL;

	if (record.len > 0)
		found = memmem(record.data, record.len, delimiter.data, delimiter.len);
	if (found == NULL) {
		*ret_key = (struct slice){NULL, 0};
		*ret_value = record;
		return;
	}
	*ret_key = (struct slice){record.data, (size_t)(found - record.data)};
	*ret_value =
	    (struct slice){found + delimiter.len, record.len - ret_key->len - delimiter.len};
}
