#include "zk/znode_producer_ids.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK "/latest_producer_id_block"

/* The first id after the block in the node; 0 when there is no block yet. */
static int
next_first(struct slice value, int64_t *ret_first)
{
	json_t *object;
	const char *text;
	char *end;
	long long last = -1;
	int st;

	if (value.data == NULL || value.len == 0) {
		*ret_first = 0;
		return 0;
	}
	object = znode_parse(value);
	st = znode_get_text(object, "block_end", &text);
	if (st == 0) {
		errno = 0;
		last = strtoll(text, &end, 10);
		if (errno != 0 || end == text || *end != '\0' || last < -1)
			st = -EBADMSG;
		else if (last > INT64_MAX - PRODUCER_ID_BLOCK_SIZE)
			st = -EOVERFLOW;
	}
	json_decref(object);
	if (st == 0)
		*ret_first = last + 1;
	return st;
}

int
znode_producer_ids_claim(struct zk *zk, int32_t broker_id, int64_t *ret_first)
{
	int st;

	do {
		struct buf value = {0}, block = {0};
		char start[24], end[24];
		struct zk_stat stat;
		int64_t first;

		st = zk_get(zk, BLOCK, false, &value, &stat);
		if (st == 0)
			st = next_first(buf_slice(&value), &first);
		buf_fini(&value);
		if (st != 0)
			return st;
		snprintf(start, sizeof(start), "%lld", (long long)first);
		snprintf(end, sizeof(end), "%lld", (long long)first + PRODUCER_ID_BLOCK_SIZE - 1);
		znode_format(json_pack("{s:i,s:i,s:s,s:s}", "version", 1, "broker", broker_id,
				       "block_start", start, "block_end", end),
			     &block);
		st = block.failed ? -ENOMEM
				  : zk_set(zk, BLOCK, buf_slice(&block), stat.version, NULL);
		buf_fini(&block);
		if (st == 0)
			*ret_first = first;
	} while (st == -ESTALE); /* another was faster, or an answer was lost: a block is wasted */
	return st;
}
