/*
 * topic_elect_leaders.c - klamm topic elect-leaders: preferred ones, or unclean ones.
 *
 * A controller that has just lost its office says so for each partition; it is asked once more
 * then, and whole, since it refused the whole.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "cli/broker_metadata.h"
#include "cli/commands.h"
#include "cli/json_document.h"
#include "cli/partition_spec.h"
#include "wire/generated/elect_leaders.h"
#include "wire/kerr.h"

#define ARENA_MAX ((size_t)1 << 30)
#define RETRY_MS 100
#define PREFERRED 0
#define UNCLEAN 1

static struct {
	struct text_list topics;
	bool all;
	const char *type;
	bool json;
} opt;

static bool
is_unclean(void)
{
	return opt.type != NULL && strcmp(opt.type, "unclean") == 0;
}

/* ---- which partitions ---- */

static int
read_scope(int argc, char **argv, struct arena *arena, const char ***ret_topics, size_t *ret_count)
{
	size_t count = 0;
	const char **topics =
	    arena_calloc(arena, opt.topics.count + (size_t)argc + 1, sizeof(*topics));

	if (topics == NULL)
		return no_memory();
	for (size_t i = 0; i < opt.topics.count; i++)
		topics[count++] = opt.topics.items[i];
	for (int i = 0; i < argc; i++)
		topics[count++] = argv[i];
	if (opt.all && count > 0)
		return usage_error("--all-topic-partitions and a topic: give one of the two");
	if (!opt.all && count == 0)
		return usage_error("which partitions? Give --topic TOPIC[:P,P...] or "
				   "--all-topic-partitions");
	if (opt.type != NULL && strcmp(opt.type, "preferred") != 0 && !is_unclean())
		return usage_error("--election-type is preferred or unclean, not '%s'", opt.type);
	*ret_topics = topics;
	*ret_count = count;
	return CLI_DONE;
}

/* What one TOPIC[:P,P...] says; all of the topic where it names no partitions. */
static int
fill_topic(struct broker_calls *calls, const char *text, struct arena *arena,
	   struct elect_leaders_request_topic_partitions *to)
{
	const struct metadata_response_topic *topic;
	struct metadata_response md;
	struct partition_spec spec;
	const char *name;
	size_t count;
	int st;

	st = partition_spec_parse(&spec, text);
	if (st == -EINVAL)
		return usage_error("--topic takes TOPIC or TOPIC:0,1,2, not '%s'", text);
	name = st == 0 ? arena_strdup(arena, spec.topic, strlen(spec.topic)) : NULL;
	if (name == NULL)
		return no_memory();
	st = broker_metadata_load(calls, &name, 1, arena, &md);
	topic = st == CLI_DONE ? broker_metadata_topic(&md, name) : NULL;
	if (st == CLI_DONE && topic == NULL)
		st = CLI_REFUSED;
	if (st == CLI_DONE) {
		count = spec.count > 0 ? spec.count : (size_t)topic->partitions_count;
		to->topic = str_of(name);
		to->partitions = arena_calloc(arena, count + 1, sizeof(*to->partitions));
		st = to->partitions == NULL ? no_memory() : CLI_DONE;
		for (size_t i = 0; st == CLI_DONE && i < count; i++)
			to->partitions[to->partitions_count++] =
			    spec.count > 0 ? spec.partitions[i]
					   : topic->partitions[i].partition_index;
	}
	partition_spec_fini(&spec);
	return st;
}

static int
fill_request(struct broker_calls *calls, const char **topics, size_t count, struct arena *arena,
	     struct elect_leaders_request *req)
{
	int st = CLI_DONE;

	elect_leaders_request_init(req);
	req->election_type = is_unclean() ? UNCLEAN : PREFERRED;
	req->timeout_ms = broker_calls_timeout_ms(calls);
	req->topic_partitions_count = -1;
	if (opt.all)
		return CLI_DONE;
	req->topic_partitions = elect_leaders_request_topic_partitions_new(arena, (int32_t)count);
	if (req->topic_partitions == NULL)
		return no_memory();
	req->topic_partitions_count = (int32_t)count;
	for (size_t i = 0; st == CLI_DONE && i < count; i++)
		st = fill_topic(calls, topics[i], arena, &req->topic_partitions[i]);
	return st;
}

/* ---- the election ---- */

static bool
is_refused_by_another(const struct elect_leaders_response *resp)
{
	for (int32_t i = 0; i < resp->replica_election_results_count; i++) {
		const struct replica_election_result *r = &resp->replica_election_results[i];

		for (int32_t j = 0; j < r->partition_result_count; j++) {
			if (kerr_status(r->partition_result[j].error_code) == K_NOT_CONTROLLER)
				return true;
		}
	}
	return false;
}

static int
elect(struct broker_calls *calls, const struct elect_leaders_request *req, struct arena *arena,
      struct elect_leaders_response *resp)
{
	int64_t end_ms = env_monotonic_ms(env_system()) + broker_calls_timeout_ms(calls);
	int st;

	for (;;) {
		st = broker_ask(calls, BROKER_CONTROLLER, API_ELECT_LEADERS, req, arena, resp,
				"electing leaders");
		if (st != CLI_DONE || !is_refused_by_another(resp) ||
		    env_monotonic_ms(env_system()) >= end_ms)
			break;
		poll(NULL, 0, RETRY_MS);
		st = broker_calls_refresh(calls);
		if (st != CLI_DONE)
			break;
	}
	if (st == CLI_DONE && resp->error_code != 0) {
		complain("electing leaders: %s", kerr_text(resp->error_code));
		st = CLI_REFUSED;
	}
	return st;
}

/* ---- telling ---- */

static const char *
outcome(const struct partition_result *p)
{
	if (p->error_code == 0)
		return "elected";
	return kerr_status(p->error_code) == K_ELECTION_NOT_NEEDED ? "not_needed" : "failed";
}

static const char *
why_failed(const struct partition_result *p)
{
	switch (kerr_status(p->error_code)) {
	case 0:
	case K_ELECTION_NOT_NEEDED:
		return NULL;
	case K_PREFERRED_LEADER_NOT_AVAILABLE:
		return "the preferred replica is not there, or not in sync";
	case K_ELIGIBLE_LEADERS_NOT_AVAILABLE:
		return "no replica of it is there";
	default:
		return p->error_message.data != NULL && p->error_message.len > 0
			   ? p->error_message.data
			   : kerr_text(p->error_code);
	}
}

static void
tell(const char *topic, const struct partition_result *p)
{
	if (p->error_code == 0)
		printf("%s-%d: a leader was elected\n", topic, p->partition_id);
	else if (kerr_status(p->error_code) == K_ELECTION_NOT_NEEDED)
		printf("%s-%d: %s\n", topic, p->partition_id,
		       is_unclean() ? "it has a leader" : "the preferred replica leads");
	else
		complain("%s-%d: %s", topic, p->partition_id, why_failed(p));
}

static int
print(const struct elect_leaders_response *resp)
{
	json_t *document = opt.json ? json_array() : NULL;
	int st = CLI_DONE, printed = CLI_DONE;
	bool any = false;

	for (int32_t i = 0; i < resp->replica_election_results_count; i++) {
		const struct replica_election_result *r = &resp->replica_election_results[i];

		for (int32_t j = 0; j < r->partition_result_count; j++) {
			const struct partition_result *p = &r->partition_result[j];

			any = true;
			if (why_failed(p) != NULL)
				st = CLI_REFUSED;
			if (opt.json)
				json_array_append_new(
				    document, json_pack("{s:o, s:i, s:s, s:o}", "topic",
							json_text(r->topic.data), "partition",
							(int)p->partition_id, "outcome", outcome(p),
							"error", json_text(why_failed(p))));
			else
				tell(r->topic.data, p);
		}
	}
	if (opt.json)
		printed = json_document_print(document);
	else if (!any)
		printf("No partition needs an election.\n");
	return printed != CLI_DONE ? printed : st;
}

static int
run(int argc, char **argv)
{
	struct broker_calls *calls = NULL;
	struct elect_leaders_response resp;
	struct elect_leaders_request req;
	const char **topics = NULL;
	struct arena arena;
	size_t count = 0;
	int st;

	arena_init(&arena, ARENA_MAX);
	st = read_scope(argc, argv, &arena, &topics, &count);
	if (st == CLI_DONE)
		st = broker_calls_open(&calls);
	if (st == CLI_DONE)
		st = fill_request(calls, topics, count, &arena, &req);
	if (st == CLI_DONE)
		st = elect(calls, &req, &arena, &resp);
	if (st == CLI_DONE)
		st = print(&resp);
	broker_calls_close(calls);
	arena_fini(&arena);
	return st;
}

static const struct option_row options[] = {
    {'t', "topic", "TOPIC[:P,P...]",
     "A topic, or those partitions of it; may also be given without --topic.", OPTION_LIST,
     &opt.topics},
    {0, "all-topic-partitions", NULL,
     "All partitions that there are; those that need no election are not told.", OPTION_FLAG,
     &opt.all},
    {0, "election-type", "TYPE",
     "preferred: the first of the replicas, when it is in sync. unclean: where there is no "
     "leader, any replica that is there, even when records are lost by that. Default: preferred.",
     OPTION_TEXT, &opt.type},
    {0, "json", NULL,
     "One JSON array of objects: topic, partition, outcome (elected, not_needed, failed), error.",
     OPTION_FLAG, &opt.json},
    {0},
};

const struct command topic_elect_leaders_command = {
    .name = "topic elect-leaders",
    .summary = "Give leadership back to the preferred replicas, or to any",
    .args = "TOPIC[:P,P...]... | --all-topic-partitions [OPTION...]",
    .text = "The controller balances leaders from time to time unless auto.leader.rebalance.enable "
	    "is\n"
	    "false; this does it now. An unclean election is for a partition all of whose in-sync\n"
	    "replicas are gone for good: it is back at once, without the records that only they "
	    "had.\n\n"
	    "Examples:\n"
	    "  klamm topic elect-leaders --all-topic-partitions\n"
	    "  klamm topic elect-leaders orders:0,3\n"
	    "  klamm topic elect-leaders orders:2 --election-type unclean\n",
    .options = options,
    .connects = true,
    .run = run,
};
