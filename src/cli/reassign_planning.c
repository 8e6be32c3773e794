/*
 * reassign_planning.c - a plan, made from options or read from a file.
 */
#include "cli/reassign_planning.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/replica_plan.h"
#include "cli/replica_sizes.h"

/* ---- options ---- */

bool
planning_is_asked(const struct planning *p)
{
	return p->drain.count > 0 || p->add.count > 0 || p->replication_factor > 0;
}

/* Reads "1,2" into the arena, or (arena NULL) only looks whether it can be read. */
static int
read_ids(const char *option, const struct text_list *list, struct arena *arena, int32_t **ret_ids,
	 size_t *ret_count)
{
	size_t room = 0, count = 0;
	int32_t *ids = NULL;

	for (size_t i = 0; i < list->count; i++)
		room += strlen(list->items[i]) + 1;
	if (arena != NULL && (ids = arena_calloc(arena, room + 1, sizeof(*ids))) == NULL)
		return no_memory();
	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i];

		for (;;) {
			size_t len = strcspn(text, ",");
			char number[12] = "";
			int64_t id;

			if (len < sizeof(number))
				memcpy(number, text, len);
			if (parse_int(number, 0, INT32_MAX, &id) != 0)
				return usage_error("--%s takes brokers' ids, as in 1,2, not '%s'",
						   option, list->items[i]);
			if (ids != NULL && !ids_list_has(ids, (int32_t)count, (int32_t)id))
				ids[count++] = (int32_t)id;
			text += len;
			if (*text++ == '\0')
				break;
		}
	}
	if (ret_ids != NULL) {
		*ret_ids = ids;
		*ret_count = count;
	}
	return CLI_DONE;
}

int
planning_check(const struct planning *p)
{
	int st;

	if (!planning_is_asked(p))
		return usage_error("what is to change? Give --drain BROKER, --add BROKER or "
				   "--replication-factor N");
	if (p->all_topics && p->topics.count > 0)
		return usage_error("--all-topics and --topic: give one of the two");
	if (p->replication_factor > 0 && !p->all_topics && p->topics.count == 0)
		return usage_error("--replication-factor of which topics? Give --topic TOPIC or "
				   "--all-topics");
	st = read_ids("drain", &p->drain, NULL, NULL, NULL);
	if (st == CLI_DONE)
		st = read_ids("add", &p->add, NULL, NULL, NULL);
	return st == CLI_DONE ? read_ids("brokers", &p->brokers, NULL, NULL, NULL) : st;
}

/* ---- making one ---- */

static int
fill_plan_request(const struct planning *p, const struct cluster_view *cluster, struct arena *arena,
		  struct plan_request *req)
{
	struct plan_broker *brokers =
	    arena_calloc(arena, cluster->broker_count + 1, sizeof(*brokers));
	int32_t *drained, *added, *allowed;
	int st;

	if (brokers == NULL)
		return no_memory();
	for (size_t i = 0; i < cluster->broker_count; i++)
		brokers[i] = (struct plan_broker){cluster->brokers[i].id, cluster->brokers[i].rack};
	*req = (struct plan_request){.brokers = brokers,
				     .broker_count = cluster->broker_count,
				     .replication_factor = (int32_t)p->replication_factor};
	st = read_ids("drain", &p->drain, arena, &drained, &req->drained_count);
	if (st == CLI_DONE)
		st = read_ids("add", &p->add, arena, &added, &req->added_count);
	if (st == CLI_DONE)
		st = read_ids("brokers", &p->brokers, arena, &allowed, &req->allowed_count);
	if (st != CLI_DONE)
		return st;
	req->drained = drained;
	req->added = added;
	req->allowed = p->brokers.count > 0 ? allowed : NULL;
	return CLI_DONE;
}

static bool
is_in_scope(const struct planning *p, const char *topic)
{
	for (size_t i = 0; i < p->topics.count; i++) {
		if (strcmp(p->topics.items[i], topic) == 0)
			return true;
	}
	return p->topics.count == 0;
}

static int
check_topics(const struct planning *p, const struct reassign_view *view)
{
	for (size_t i = 0; i < p->topics.count; i++) {
		if (broker_metadata_topic(&view->metadata, p->topics.items[i]) != NULL)
			continue;
		complain("there is no topic '%s'; 'klamm topic list' shows those there are",
			 p->topics.items[i]);
		return CLI_REFUSED;
	}
	return CLI_DONE;
}

/* ret_busy: how many in the scope are being reassigned already. */
static int
take_partitions(const struct planning *p, const struct reassign_view *view, struct arena *arena,
		struct plan_partition **ret_partitions, size_t *ret_count, size_t *ret_busy)
{
	const struct metadata_response *md = &view->metadata;
	struct plan_partition *partitions;
	size_t total = 0;

	for (int32_t t = 0; t < md->topics_count; t++)
		total += (size_t)md->topics[t].partitions_count;
	partitions = arena_calloc(arena, total + 1, sizeof(*partitions));
	if (partitions == NULL)
		return no_memory();
	*ret_partitions = partitions;
	*ret_count = total;
	*ret_busy = 0;
	for (int32_t t = 0; t < md->topics_count; t++) {
		const struct metadata_response_topic *topic = &md->topics[t];

		for (int32_t i = 0; i < topic->partitions_count; i++) {
			const struct metadata_response_partition *m = &topic->partitions[i];
			bool wanted = is_in_scope(p, topic->name.data);
			bool busy = reassign_view_ongoing(view, topic->name.data,
							  m->partition_index) != NULL;

			*partitions++ =
			    (struct plan_partition){.topic = topic->name.data,
						    .partition = m->partition_index,
						    .replicas = m->replica_nodes,
						    .replica_count = m->replica_nodes_count,
						    .isr = m->isr_nodes,
						    .isr_count = m->isr_nodes_count,
						    .fixed = !wanted || busy};
			*ret_busy += wanted && busy;
		}
	}
	return CLI_DONE;
}

/* Room for so many partitions. */
static int
plan_begin(struct reassign_plan *plan, size_t room, struct arena *arena)
{
	*plan = (struct reassign_plan){.bytes = -1};
	plan->target.items = arena_calloc(arena, room + 1, sizeof(*plan->target.items));
	plan->former.items = arena_calloc(arena, room + 1, sizeof(*plan->former.items));
	return plan->target.items == NULL || plan->former.items == NULL ? no_memory() : CLI_DONE;
}

static int
take_plan(const struct plan_partition *partitions, size_t count, struct arena *arena,
	  struct reassign_plan *plan)
{
	int st;

	st = plan_begin(plan, count, arena);
	for (size_t i = 0; st == CLI_DONE && i < count; i++) {
		const struct plan_partition *p = &partitions[i];

		if (!replica_plan_changes(p))
			continue;
		plan->target.items[plan->target.count++] =
		    (struct assigned_partition){p->topic, p->partition, p->target, p->target_count};
		plan->former.items[plan->former.count++] = (struct assigned_partition){
		    p->topic, p->partition, p->replicas, p->replica_count};
	}
	return st;
}

int
reassign_plan_make(const struct planning *p, const struct reassign_view *view,
		   const struct cluster_view *cluster, struct arena *arena,
		   struct reassign_plan *ret_plan)
{
	struct plan_partition *partitions = NULL;
	struct plan_request req;
	struct buf why = {0};
	size_t count = 0, busy = 0;
	int st;

	st = check_topics(p, view);
	if (st == CLI_DONE)
		st = fill_plan_request(p, cluster, arena, &req);
	if (st == CLI_DONE)
		st = take_partitions(p, view, arena, &partitions, &count, &busy);
	if (st != CLI_DONE)
		return st;
	st = replica_plan_make(&req, partitions, count, arena, &why);
	if (st == -EINVAL && buf_text(&why) != NULL)
		complain("%s", buf_text(&why));
	buf_fini(&why);
	if (st != 0)
		return st == -ENOMEM ? no_memory() : CLI_REFUSED;
	if (busy > 0)
		complain("%zu partition%s being reassigned already and left as they are: plan "
			 "again when 'klamm reassign watch' has ended",
			 busy, busy == 1 ? " is" : "s are");
	return take_plan(partitions, count, arena, ret_plan);
}

/* ---- holding one against the cluster ---- */

static int
refuse_broker(const struct assigned_partition *p, int32_t id, const struct cluster_view *cluster)
{
	struct buf list = {0};

	for (size_t i = 0; i < cluster->broker_count; i++)
		buf_printf(&list, "%s%d", i == 0 ? "" : ", ", cluster->brokers[i].id);
	if (buf_text(&list) != NULL)
		complain("%s-%d is to go to broker %d, which is not there; there are: %s", p->topic,
			 p->partition, id, buf_text(&list));
	buf_fini(&list);
	return CLI_REFUSED;
}

/* Those of the target that do not hold it yet have to be there. */
static int
check_brokers(const struct assigned_partition *p, const struct metadata_response_partition *now,
	      const struct cluster_view *cluster)
{
	for (int32_t i = 0; i < p->replica_count; i++) {
		if (!ids_list_has(now->replica_nodes, now->replica_nodes_count, p->replicas[i]) &&
		    cluster_view_broker(cluster, p->replicas[i]) == NULL)
			return refuse_broker(p, p->replicas[i], cluster);
	}
	return CLI_DONE;
}

/* What a partition goes back to: during a reassignment, what it came from. */
static int
former_of(const struct reassign_view *view, const struct metadata_response_partition *now,
	  const char *topic, struct arena *arena, struct assigned_partition *to)
{
	const struct ongoing *o = reassign_view_ongoing(view, topic, now->partition_index);

	*to = (struct assigned_partition){topic, now->partition_index, now->replica_nodes,
					  now->replica_nodes_count};
	if (o == NULL)
		return CLI_DONE;
	to->replicas =
	    ids_without(arena, o->p->replicas, o->p->replicas_count, o->p->adding_replicas,
			o->p->adding_replicas_count, &to->replica_count);
	return to->replicas == NULL ? no_memory() : CLI_DONE;
}

int
reassign_plan_of(const struct assignment *wanted, const struct reassign_view *view,
		 const struct cluster_view *cluster, struct arena *arena,
		 struct reassign_plan *ret_plan)
{
	int st;

	st = plan_begin(ret_plan, wanted->count, arena);
	for (size_t i = 0; st == CLI_DONE && i < wanted->count; i++) {
		const struct assigned_partition *p = &wanted->items[i];
		const struct metadata_response_partition *now =
		    broker_metadata_partition(&view->metadata, p->topic, p->partition);

		if (now == NULL) {
			complain("there is no partition %s-%d", p->topic, p->partition);
			return CLI_REFUSED;
		}
		st = check_brokers(p, now, cluster);
		if (ids_equal(p->replicas, p->replica_count, now->replica_nodes,
			      now->replica_nodes_count) &&
		    reassign_view_ongoing(view, p->topic, p->partition) == NULL)
			continue;
		ret_plan->target.items[ret_plan->target.count++] = *p;
		if (st == CLI_DONE)
			st = former_of(view, now, p->topic, arena,
				       &ret_plan->former.items[ret_plan->former.count++]);
	}
	return st;
}

/* ---- what it costs ---- */

static int64_t
largest(const struct replica_sizes *sizes, const struct assigned_partition *former)
{
	int64_t size = -1;

	for (int32_t i = 0; i < former->replica_count; i++) {
		int64_t one =
		    replica_size(sizes, former->replicas[i], former->topic, former->partition);

		if (one > size)
			size = one;
	}
	return size;
}

static int32_t
copies_of(const struct assigned_partition *target, const struct assigned_partition *former)
{
	int32_t copies = 0;

	for (int32_t i = 0; i < target->replica_count; i++)
		copies +=
		    !ids_list_has(former->replicas, former->replica_count, target->replicas[i]);
	return copies;
}

int
reassign_plan_weigh(struct reassign_plan *plan, struct broker_calls *calls, struct arena *arena)
{
	struct replica_sizes sizes = {{0}};
	struct buf why = {0};
	int st;

	st = replica_sizes_load(&sizes, calls, &plan->former, arena, &why);
	if (st != CLI_DONE)
		return st;
	plan->moves = arena_calloc(arena, plan->target.count + 1, sizeof(*plan->moves));
	if (plan->moves == NULL)
		st = no_memory();
	if (sizes.failed > 0 && buf_text(&why) != NULL)
		complain("how much there is to copy is not quite known: %s", buf_text(&why));
	plan->copies = 0;
	plan->bytes = 0;
	for (size_t i = 0; st == CLI_DONE && i < plan->target.count; i++) {
		int32_t copies = copies_of(&plan->target.items[i], &plan->former.items[i]);
		int64_t size = largest(&sizes, &plan->former.items[i]);

		plan->moves[i] =
		    (struct move_seen){plan->target.items[i].topic, plan->target.items[i].partition,
				       size < 0 ? -1 : size * copies, 0};
		plan->copies += (size_t)copies;
		if (copies > 0 && size < 0)
			plan->bytes = -1;
		if (plan->bytes >= 0)
			plan->bytes += copies * (size < 0 ? 0 : size);
	}
	replica_sizes_fini(&sizes);
	buf_fini(&why);
	return st;
}

/* ---- telling ---- */

struct broker_counts {
	int32_t id;
	int64_t replicas, preferred;         /* now */
	int64_t new_replicas, new_preferred; /* by the plan */
};

struct counts {
	struct broker_counts *items; /* by id */
	size_t count;
};

static struct broker_counts *
counts_of(struct counts *c, int32_t id)
{
	size_t at = 0;
	struct broker_counts *items;

	while (at < c->count && c->items[at].id < id)
		at++;
	if (at < c->count && c->items[at].id == id)
		return &c->items[at];
	items = realloc(c->items, (c->count + 1) * sizeof(*items));
	if (items == NULL)
		return NULL;
	c->items = items;
	memmove(&items[at + 1], &items[at], (c->count++ - at) * sizeof(*items));
	items[at] = (struct broker_counts){.id = id};
	return &items[at];
}

static void
count_ids(struct counts *c, const int32_t *ids, int32_t count, int now, int planned)
{
	for (int32_t i = 0; i < count; i++) {
		struct broker_counts *b = counts_of(c, ids[i]);

		if (b == NULL)
			return;
		b->replicas += now;
		b->new_replicas += planned;
		b->preferred += i == 0 ? now : 0;
		b->new_preferred += i == 0 ? planned : 0;
	}
}

static void
tell_brokers(const struct reassign_plan *plan, const struct reassign_view *view, FILE *out)
{
	const struct metadata_response *md = &view->metadata;
	struct counts c = {0};

	for (int32_t t = 0; t < md->topics_count; t++) {
		for (int32_t i = 0; i < md->topics[t].partitions_count; i++) {
			const struct metadata_response_partition *p = &md->topics[t].partitions[i];

			count_ids(&c, p->replica_nodes, p->replica_nodes_count, 1, 1);
		}
	}
	for (size_t i = 0; i < plan->target.count; i++) {
		const struct assigned_partition *from = &plan->former.items[i];
		const struct assigned_partition *to = &plan->target.items[i];

		count_ids(&c, from->replicas, from->replica_count, 0, -1);
		count_ids(&c, to->replicas, to->replica_count, 0, 1);
	}
	for (size_t i = 0; i < c.count; i++) {
		const struct broker_counts *b = &c.items[i];

		if (b->replicas == b->new_replicas && b->preferred == b->new_preferred)
			continue;
		fprintf(out, "  broker %d: %lld -> %lld replicas, first of %lld -> %lld\n", b->id,
			(long long)b->replicas, (long long)b->new_replicas, (long long)b->preferred,
			(long long)b->new_preferred);
	}
	free(c.items);
}

void
reassign_plan_tell(const struct reassign_plan *plan, const struct reassign_view *view, FILE *out)
{
	struct buf size = {0};

	if (plan->target.count == 0) {
		fprintf(out, "Nothing has to move.\n");
		return;
	}
	if (plan->bytes >= 0)
		bytes_format(plan->bytes, &size);
	else
		buf_printf(&size, "a size not known");
	fprintf(out, "Changes %zu partition%s, copies %zu replica%s: %s.\n", plan->target.count,
		plan->target.count == 1 ? "" : "s", plan->copies, plan->copies == 1 ? "" : "s",
		buf_text(&size) != NULL ? buf_text(&size) : "");
	buf_fini(&size);
	tell_brokers(plan, view, out);
}
