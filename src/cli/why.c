/*
 * why.c - asks with the tag of DescribeLogDirs that is Klamm's own, and tells what it learns.
 */
#include "cli/why.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/ids.h"
#include "cli/json_document.h"
#include "cli/time_text.h"
#include "cli/topic_view.h"
#include "wire/missing_replica.h"

#define ARENA_MAX ((size_t)1 << 30)
#define KEY_MAX 272

/* ---- asking ---- */

static void
make_key(char *key, const char *topic, int32_t partition)
{
	snprintf(key, KEY_MAX, "%s %d", topic, partition);
}

/* Of two that lead, or led, the later one knows better; a controller knows who leads nobody. */
static int
take(struct why *why, const struct klamm_explained_partition *ep)
{
	const struct klamm_explained_partition *known;
	char key[KEY_MAX];

	if (ep->topic.len == 0)
		return CLI_DONE;
	make_key(key, ep->topic.data, ep->partition);
	known = map_get_text(&why->by_partition, key);
	if (known != NULL && known->leader_epoch > ep->leader_epoch)
		return CLI_DONE;
	return map_put_text(&why->by_partition, key, (void *)(uintptr_t)ep, NULL) != 0 ? no_memory()
										       : CLI_DONE;
}

static int
take_answer(struct why *why, int32_t broker_id, const struct describe_log_dirs_response *resp)
{
	int st = CLI_DONE;

	if (resp->klamm_explained_count < 0)
		return CLI_DONE;
	if (map_put(&why->tell, &broker_id, sizeof(broker_id), why, NULL) != 0)
		return no_memory();
	for (int32_t i = 0; st == CLI_DONE && i < resp->klamm_explained_count; i++)
		st = take(why, &resp->klamm_explained[i]);
	return st;
}

/* Each once; from who is there. */
struct whom {
	int32_t *ids;
	size_t count;
};

static void
add(struct whom *whom, const struct cluster_view *there, int32_t broker_id)
{
	if (cluster_view_broker(there, broker_id) == NULL)
		return;
	for (size_t i = 0; i < whom->count; i++)
		if (whom->ids[i] == broker_id)
			return;
	whom->ids[whom->count++] = broker_id;
}

static void
add_who_can_tell(struct whom *whom, const struct cluster_view *there, const struct topic_view *view)
{
	for (size_t i = 0; i < view->count; i++)
		for (int j = 0; j < view->topics[i]->partition_cnt; j++) {
			const rd_kafka_metadata_partition_t *p = &view->topics[i]->partitions[j];

			if (partition_is_offline(view->metadata, p))
				add(whom, there, there->controller);
			else if (partition_is_under_replicated(p))
				add(whom, there, p->leader);
		}
}

static int
ask(struct why *why, struct broker_calls *calls, const struct topic_view *view, const char *topic)
{
	const struct cluster_view *there = broker_calls_cluster(calls);
	struct describable_log_dir_topic none = {0};
	struct describe_log_dirs_request req;
	struct describe_log_dirs_response *answers;
	struct broker_call *list;
	struct str name = str_of(topic);
	struct whom whom = {0};
	int st = CLI_DONE;

	describe_log_dirs_request_init(&req);
	req.topics = &none; /* no sizes */
	req.klamm_explain = true;
	req.klamm_topics = &name;
	req.klamm_topics_count = topic != NULL;
	whom.ids = arena_calloc(&why->arena, there->broker_count + 1, sizeof(*whom.ids));
	list = arena_calloc(&why->arena, there->broker_count + 1, sizeof(*list));
	answers = arena_calloc(&why->arena, there->broker_count + 1, sizeof(*answers));
	if (whom.ids == NULL || list == NULL || answers == NULL)
		return no_memory();
	add_who_can_tell(&whom, there, view);
	for (size_t i = 0; i < whom.count; i++)
		list[i] = (struct broker_call){.to = whom.ids[i],
					       .api_key = API_DESCRIBE_LOG_DIRS,
					       .request = &req,
					       .response = &answers[i]};
	broker_calls_send(calls, &why->arena, list, whom.count);
	for (size_t i = 0; st == CLI_DONE && i < whom.count; i++)
		if (list[i].status == 0 && answers[i].error_code == 0)
			st = take_answer(why, list[i].to, &answers[i]);
	return st;
}

static bool
is_any_wrong(const struct topic_view *view)
{
	for (size_t i = 0; i < view->count; i++)
		for (int j = 0; j < view->topics[i]->partition_cnt; j++) {
			const rd_kafka_metadata_partition_t *p = &view->topics[i]->partitions[j];

			if (partition_is_offline(view->metadata, p) ||
			    partition_is_under_replicated(p))
				return true;
		}
	return false;
}

int
why_load(struct why *why, const struct topic_view *view, const char *topic)
{
	struct broker_calls *calls = NULL;
	int st;

	*why = (struct why){.now_ms = env_now_ms(env_system())};
	arena_init(&why->arena, ARENA_MAX);
	if (!is_any_wrong(view))
		return CLI_DONE;
	st = broker_calls_open(&calls);
	if (st == CLI_DONE)
		st = broker_calls_refresh(calls);
	if (st == CLI_DONE)
		st = ask(why, calls, view, topic);
	broker_calls_close(calls);
	return st;
}

void
why_fini(struct why *why)
{
	map_fini(&why->by_partition);
	map_fini(&why->tell);
	arena_fini(&why->arena);
	*why = (struct why){0};
}

const struct klamm_explained_partition *
why_of(const struct why *why, const char *topic, int32_t partition)
{
	char key[KEY_MAX];

	make_key(key, topic, partition);
	return map_get_text(&why->by_partition, key);
}

bool
why_tells(const struct why *why, int32_t broker_id)
{
	return map_get(&why->tell, &broker_id, sizeof(broker_id)) != NULL;
}

/* ---- telling ---- */

static const char *
reason_name(int8_t reason)
{
	switch (reason) {
	case MISSING_NOT_REGISTERED:
		return "not_registered";
	case MISSING_DIRECTORY_OFFLINE:
		return "directory_offline";
	case MISSING_NEVER_FETCHED:
		return "never_fetched";
	case MISSING_STOPPED_FETCHING:
		return "stopped_fetching";
	case MISSING_CATCHING_UP:
		return "catching_up";
	case MISSING_THROTTLED:
		return "throttled";
	case MISSING_ABOUT_TO_JOIN:
		return "about_to_join";
	case MISSING_NOT_IN_ISR:
		return "not_in_isr";
	default:
		return "unknown";
	}
}

/* "2026-11-20T12:00:00Z (3 min 5 s)" */
static void
print_since(const struct why *why, int64_t ms)
{
	char time[TIME_TEXT_LEN], ago[DURATION_TEXT_LEN];

	printf("%s (%s)", time_format(ms, time, sizeof(time)),
	       duration_format(why->now_ms - ms, ago, sizeof(ago)));
}

static void
print_lag(const struct klamm_missing_replica *m)
{
	if (m->lag >= 0)
		printf("lacks %lld records", (long long)m->lag);
}

static void
print_reason(const struct why *why, const struct klamm_missing_replica *m)
{
	switch (m->reason) {
	case MISSING_NOT_REGISTERED:
		printf("the broker is not registered");
		break;
	case MISSING_DIRECTORY_OFFLINE:
		printf("its log directory is offline");
		break;
	case MISSING_NEVER_FETCHED:
		printf("has not fetched since the leader's election");
		break;
	case MISSING_STOPPED_FETCHING:
		printf("has not fetched since ");
		print_since(why, m->last_fetch_ms);
		printf(", ");
		print_lag(m);
		break;
	case MISSING_CATCHING_UP:
		print_lag(m);
		printf(" and is catching up");
		break;
	case MISSING_THROTTLED:
		print_lag(m);
		printf(" and is throttled");
		if (m->bytes_per_second >= 0)
			printf(" to %lld bytes a second", (long long)m->bytes_per_second);
		break;
	case MISSING_ABOUT_TO_JOIN:
		printf("has caught up and is about to join");
		break;
	case MISSING_NOT_IN_ISR:
		printf("is there, but was not in the last ISR");
		break;
	default:
		printf("is there");
	}
}

static void
print_missing(const struct why *why, const struct klamm_missing_replica *m)
{
	printf("\t\tMissing: %d\t", m->broker_id);
	if (m->since_ms >= 0) {
		printf("Since: %s", m->since_before ? "before " : "");
		print_since(why, m->since_ms);
		printf("\t");
	}
	printf("Why: ");
	print_reason(why, m);
	printf("\n");
}

static bool
any_of_isr_is_there(const struct klamm_explained_partition *ep)
{
	for (int32_t i = 0; i < ep->missing_count; i++)
		if (ep->missing[i].reason == MISSING_UNKNOWN)
			return true;
	return false;
}

static void
print_leaderless(const struct why *why, const struct klamm_explained_partition *ep)
{
	printf("\t\tNo leader\tSince: ");
	print_since(why, ep->offline_since_ms);
	printf("\tWhy: ");
	if (any_of_isr_is_there(ep)) {
		printf("an election is under way\n");
		return;
	}
	printf("none of the last ISR ");
	for (int32_t i = 0; i < ep->isr_count; i++)
		printf("%s%d", i == 0 ? "" : ",", ep->isr[i]);
	printf(" is there, and %s\n", ep->unclean_election
					  ? "no other replica either"
					  : "unclean.leader.election.enable=false");
}

/* What the metadata alone tell of a replica. */
static bool
is_missing(const rd_kafka_metadata_t *metadata, const rd_kafka_metadata_partition_t *partition,
	   int32_t replica)
{
	return partition_is_offline(metadata, partition)
		   ? !broker_is_alive(metadata, replica)
		   : !ids_list_has(partition->isrs, partition->isr_cnt, replica);
}

static void
print_unexplained(const rd_kafka_metadata_t *metadata,
		  const rd_kafka_metadata_partition_t *partition)
{
	if (partition_is_offline(metadata, partition))
		printf("\t\tNo leader\tWhy: the controller does not tell\n");
	for (int i = 0; i < partition->replica_cnt; i++) {
		int32_t replica = partition->replicas[i];

		if (!is_missing(metadata, partition, replica))
			continue;
		printf("\t\tMissing: %d\tWhy: ", replica);
		if (!broker_is_alive(metadata, replica))
			printf("the broker is not registered\n");
		else
			printf("not in sync; the leader, broker %d, does not tell more\n",
			       partition->leader);
	}
}

void
why_print(const struct why *why, const rd_kafka_metadata_t *metadata, const char *topic,
	  const rd_kafka_metadata_partition_t *partition)
{
	const struct klamm_explained_partition *ep = why_of(why, topic, partition->id);

	if (ep == NULL) {
		print_unexplained(metadata, partition);
		return;
	}
	if (ep->leader < 0)
		print_leaderless(why, ep);
	for (int32_t i = 0; i < ep->missing_count; i++)
		if (ep->leader >= 0 || ep->missing[i].reason != MISSING_UNKNOWN)
			print_missing(why, &ep->missing[i]);
}

/* ---- as JSON ---- */

static json_t *
time_json(int64_t ms)
{
	char text[TIME_TEXT_LEN];

	return ms < 0 ? json_null() : json_string(time_format(ms, text, sizeof(text)));
}

static json_t *
number_json(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static json_t *
missing_json(const struct klamm_missing_replica *m)
{
	return json_pack("{s:i, s:s, s:o, s:b, s:o, s:o, s:o}", "broker", m->broker_id, "reason",
			 reason_name(m->reason), "since", time_json(m->since_ms), "since_before",
			 (int)m->since_before, "lag", number_json(m->lag), "last_fetch",
			 time_json(m->last_fetch_ms), "throttled_bytes_per_second",
			 number_json(m->bytes_per_second));
}

static json_t *
unexplained_json(const rd_kafka_metadata_t *metadata,
		 const rd_kafka_metadata_partition_t *partition)
{
	json_t *missing = json_array();

	for (int i = 0; i < partition->replica_cnt; i++) {
		struct klamm_missing_replica m = {.broker_id = partition->replicas[i],
						  .since_ms = -1,
						  .lag = -1,
						  .last_fetch_ms = -1,
						  .bytes_per_second = -1};

		if (!broker_is_alive(metadata, m.broker_id))
			m.reason = MISSING_NOT_REGISTERED;
		if (is_missing(metadata, partition, m.broker_id))
			json_array_append_new(missing, missing_json(&m));
	}
	if (json_array_size(missing) == 0 && !partition_is_offline(metadata, partition)) {
		json_decref(missing);
		return json_null();
	}
	return json_pack("{s:n, s:n, s:n, s:o}", "offline_since", "last_isr", "unclean_election",
			 "missing", missing);
}

json_t *
why_json(const struct why *why, const rd_kafka_metadata_t *metadata, const char *topic,
	 const rd_kafka_metadata_partition_t *partition)
{
	const struct klamm_explained_partition *ep = why_of(why, topic, partition->id);
	json_t *missing, *isr;

	if (ep == NULL)
		return unexplained_json(metadata, partition);
	missing = json_array();
	isr = json_array();
	for (int32_t i = 0; i < ep->missing_count; i++)
		json_array_append_new(missing, missing_json(&ep->missing[i]));
	for (int32_t i = 0; i < ep->isr_count; i++)
		json_array_append_new(isr, json_integer(ep->isr[i]));
	return json_pack("{s:o, s:o, s:b, s:o}", "offline_since", time_json(ep->offline_since_ms),
			 "last_isr", isr, "unclean_election", (int)ep->unclean_election, "missing",
			 missing);
}
