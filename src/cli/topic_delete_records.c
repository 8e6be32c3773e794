/*
 * topic_delete_records.c - klamm topic delete-records: moves the start of a partition's log.
 */
#include <stdio.h>

#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/topic_view.h"

static struct {
	const char *topic;
	int64_t partition;
	int64_t offset;
	bool all;
	bool json;
} opt = {.partition = -1, .offset = -1};

static int
add_partitions(struct client *c, const char *topic, rd_kafka_topic_partition_list_t *list)
{
	struct topic_view view = {0};
	int st;

	st = topic_view_load(&view, c, topic, false);
	for (int i = 0; st == CLI_DONE && i < view.topics[0]->partition_cnt; i++) {
		int32_t id = view.topics[0]->partitions[i].id;

		if (opt.partition == -1 || opt.partition == id)
			rd_kafka_topic_partition_list_add(list, topic, id)->offset =
			    opt.all ? RD_KAFKA_OFFSET_END : opt.offset;
	}
	if (st == CLI_DONE && list->cnt == 0) {
		complain("topic '%s' has no partition %lld", topic, (long long)opt.partition);
		st = CLI_REFUSED;
	}
	topic_view_fini(&view);
	return st;
}

static int
tell(const rd_kafka_topic_partition_list_t *list)
{
	json_t *array = json_array();
	int st = CLI_DONE;

	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];

		if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
			complain("%s-%d: %s", p->topic, p->partition, rd_kafka_err2str(p->err));
			st = CLI_REFUSED;
		} else if (opt.json) {
			json_array_append_new(
			    array, json_pack("{s:s, s:i, s:I}", "topic", p->topic, "partition",
					     p->partition, "low_watermark", (json_int_t)p->offset));
		} else {
			printf("partition: %s-%d\tlow_watermark: %lld\n", p->topic, p->partition,
			       (long long)p->offset);
		}
	}
	if (opt.json && json_document_print(json_incref(array)) != CLI_DONE)
		st = CLI_REFUSED;
	json_decref(array);
	return st;
}

static int
delete_records(struct client *c, const char *topic)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event;
	int st;

	st = add_partitions(c, topic, list);
	if (st != CLI_DONE)
		goto out;
	options = client_admin_options(c, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	if (options == NULL) {
		st = CLI_REFUSED;
		goto out;
	}
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(c->rk, &request, 1, options, c->queue);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_AdminOptions_destroy(options);
	st = client_admin_wait(c, "deleting records", &event);
	if (st != CLI_DONE)
		goto out;
	st =
	    tell(rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event)));
	rd_kafka_event_destroy(event);
out:
	rd_kafka_topic_partition_list_destroy(list);
	return st;
}

static int
run(int argc, char **argv)
{
	struct client c = {0};
	const char *name;
	int st;

	st = one_topic(opt.topic, argc, argv, &name);
	if (st != CLI_DONE)
		return st;
	if (opt.all == (opt.offset >= 0))
		return usage_error("up to where? Give --offset N or --all");
	if (!opt.all && opt.partition < 0)
		return usage_error("of which partition? Give --partition N");
	st = client_open(&c, RD_KAFKA_CONSUMER, NULL);
	if (st == CLI_DONE)
		st = delete_records(&c, name);
	client_close(&c);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "NAME", "The topic; may also be given without --topic.", OPTION_TEXT,
     &opt.topic},
    {'p', "partition", "N", "The partition. With --all, all of them unless this is given.",
     OPTION_INT, &opt.partition, 0, INT32_MAX},
    {'o', "offset", "N", "The first offset that stays.", OPTION_INT, &opt.offset, 0, INT64_MAX},
    {0, "all", NULL, "All records that are there now.", OPTION_FLAG, &opt.all},
    {0, "json", NULL, "One JSON array of objects: topic, partition, low_watermark.", OPTION_FLAG,
     &opt.json},
    {0},
};

const struct command topic_delete_records_command = {
    .name = "topic delete-records",
    .summary = "Delete the records of a partition below an offset",
    .args = "NAME --partition N --offset N | NAME --all",
    .text = "Examples:\n"
	    "  klamm topic delete-records orders --partition 3 --offset 120000\n"
	    "  klamm topic delete-records orders --all\n",
    .options = options,
    .connects = true,
    .run = run,
};
