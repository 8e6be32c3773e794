/*
 * offsets_csv.h - offsets in a file, as kafka-consumer-groups.sh --export prints them and
 * --from-file takes them.
 *
 *	topic,partition,offset		when there is one group
 *	group,topic,partition,offset	when there are several
 *
 * No heading. A field may stand in double quotes, in which two stand for one.
 */
#ifndef KLAMM_CLI_OFFSETS_CSV_H
#define KLAMM_CLI_OFFSETS_CSV_H

#include "base/bytes.h"

struct offsets_csv_row {
	const char *group; /* NULL: the file names none */
	const char *topic;
	int32_t partition;
	int64_t offset;
	int line; /* where it stands, from 1 */
};

/* Zero-initialised is empty. The rows' texts live in it. */
struct offsets_csv {
	struct offsets_csv_row *rows; /* by group, topic and partition */
	size_t count;
	bool with_group;
	char *text;
};

/*
 * 0, -EINVAL with the line and the mistake in why, or -ENOMEM. Empty lines are passed over; a file
 * without a row, one that mixes the two shapes, and one that names a partition twice are mistakes.
 */
MUST_CHECK int offsets_csv_parse(struct offsets_csv *csv, struct slice bytes, struct buf *why);
void offsets_csv_fini(struct offsets_csv *csv);
/* The rows of a group, which are all where the file names none. ret_count may be 0. */
const struct offsets_csv_row *offsets_csv_of_group(const struct offsets_csv *csv, const char *group,
						   size_t *ret_count);

/* Appends one line. group: NULL for the shape without. */
void offsets_csv_append(struct buf *out, const char *group, const char *topic, int32_t partition,
			int64_t offset);

#endif
