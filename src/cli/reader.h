/*
 * reader.h - reads partitions of one topic without a group, from where an offset_spec says.
 *
 * Everything here tells what went wrong before it returns anything but CLI_DONE.
 */
#ifndef KLAMM_CLI_READER_H
#define KLAMM_CLI_READER_H

#include "cli/client.h"
#include "cli/offset_spec.h"

struct reader_partition {
	int64_t start;       /* offset, or RD_KAFKA_OFFSET_BEGINNING or _END */
	int64_t stop_offset; /* the first that is not wanted; -1: unknown or none */
	int32_t id;
	bool wanted;
	bool started;
	bool at_end; /* the end was reached, and nothing came after */
	bool done;   /* no more is wanted of it */
};

struct reader {
	struct client client;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	struct reader_partition *partitions; /* by id */
	int32_t partition_count;
	int32_t wanted_count;
	int32_t done_count;
	int32_t at_end_count; /* of those that are not done */
	struct offset_spec spec;
};

/* conf: from client_conf(), with enable.partition.eof=true. */
MUST_CHECK int reader_open(struct reader *r, rd_kafka_conf_t *conf, const char *topic,
			   int32_t partition, const struct offset_spec *spec);
/* partition: -1 for all. Begins to fetch. */
MUST_CHECK int reader_start(struct reader *r);
void reader_close(struct reader *r);

/*
 * Looks at what came from the queue. True: a record that is wanted. Otherwise it was the end of a
 * partition, a record beyond the stop, or an error, then *ret_st is not CLI_DONE.
 */
bool reader_take(struct reader *r, const rd_kafka_message_t *m, int *ret_st);
/* Nothing more will come: every partition is done, or, with exit_at_end, at its end. */
bool reader_is_done(const struct reader *r, bool exit_at_end);

#endif
