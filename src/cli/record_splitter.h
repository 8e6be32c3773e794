/*
 * record_splitter.h - parts what comes from a file descriptor into records.
 *
 * The descriptor may be a terminal or a pipe that is quiet for long: splitter_read() is called when
 * there is something to read, splitter_next() as long as it gives records.
 */
#ifndef KLAMM_CLI_RECORD_SPLITTER_H
#define KLAMM_CLI_RECORD_SPLITTER_H

#include "base/bytes.h"

/* No record is larger: a frame of the protocol could not hold it. */
#define SPLITTER_RECORD_MAX ((size_t)INT32_MAX)

struct splitter {
	struct slice delimiter; /* borrowed, not empty */
	struct buf data;
	size_t taken;    /* bytes of data that were given out */
	size_t searched; /* bytes of data in which no delimiter begins */
	bool ended;
};

void splitter_init(struct splitter *s, struct slice delimiter);
void splitter_fini(struct splitter *s);
/* Reads once. 0 (s->ended at the end of the file), -EFBIG, -ENOMEM or read()'s -errno. */
MUST_CHECK int splitter_read(struct splitter *s, int fd);
/*
 * The next whole record, without its delimiter; what follows the last delimiter is one too when the
 * file has ended and it is not empty. Valid until the next splitter_read().
 */
bool splitter_next(struct splitter *s, struct slice *ret_record);

/*
 * Parts a record at the first delimiter into key and value. Without one, the whole is the value and
 * the key is null.
 */
void record_split_key(struct slice record, struct slice delimiter, struct slice *ret_key,
		      struct slice *ret_value);

#endif
