/*
 * Reassignments that are asked for: by AlterPartitionReassignments, and by the znode that tools of
 * old write. That znode loses each partition that is done, or that cannot be, and goes with the
 * last.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
#include "wire/generated/alter_partition_reassignments.h"
#include "wire/generated/list_partition_reassignments.h"
#include "wire/kerr.h"

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- the znode ---- */

static void
drop_requested(struct controller *c, size_t index)
{
	struct requested_partitions *rp = &c->requested;

	free(rp->items[index].topic);
	free(rp->items[index].replicas);
	memmove(&rp->items[index], &rp->items[index + 1],
		(--rp->count - index) * sizeof(*rp->items));
	c->requested_changed = true;
}

/* replicas NULL: whatever was asked for. */
static void
drop_partition(struct controller *c, const char *topic, int32_t partition, const int32_t *replicas,
	       int32_t count)
{
	for (size_t i = c->requested.count; i > 0; i--) {
		const struct requested_partition *p = &c->requested.items[i - 1];

		if (p->partition == partition && strcmp(p->topic, topic) == 0 &&
		    (replicas == NULL ||
		     (p->replica_count == count &&
		      memcmp(p->replicas, replicas, (size_t)count * sizeof(*replicas)) == 0)))
			drop_requested(c, i - 1);
	}
}

void
office_reassigned(struct controller *c, const struct effect *e)
{
	const struct controller_assignment *a = &e->assignments[0];

	diag_info(DIAG_CONTROLLER, "a partition has been reassigned", "partition=%s-%d", e->topic,
		  e->partition);
	drop_partition(c, e->topic, e->partition, a->replicas, a->replica_count);
}

int
office_write_requested(struct controller *c)
{
	struct zk_op op = {.kind = ZK_SET, .path = ZNODE_REASSIGN, .version = ZK_ANY_VERSION};
	struct buf value = {0};
	int st;

	if (!c->requested_changed)
		return 0;
	c->requested_changed = false;
	if (c->requested.count > 0) {
		znode_reassign_encode(&c->requested, &value);
		op.data = buf_slice(&value);
		st = value.failed ? -ENOMEM : office_write_fenced(c, &op);
		buf_fini(&value);
		return st == -ENOENT ? 0 : st; /* somebody took it away: that changes nothing */
	}
	return office_delete_fenced(c, ZNODE_REASSIGN); /* its watch tells, and we look once more */
}

static int
read_requested(struct controller *c)
{
	struct buf value = {0};
	int st = zk_get(c->zk, ZNODE_REASSIGN, false, &value, NULL);

	requested_partitions_fini(&c->requested);
	if (st == 0 && znode_reassign_decode(buf_slice(&value), &c->requested) != 0)
		diag_error(DIAG_CONTROLLER, "cannot read which partitions to reassign", "path=%s",
			   ZNODE_REASSIGN);
	buf_fini(&value);
	c->requested_changed = st == 0 && c->requested.count == 0; /* then it goes */
	return st;
}

int
office_reassignments_requested(struct controller *c)
{
	int st = zk_exists(c->zk, ZNODE_REASSIGN, true, NULL);
	struct effects fx;

	if (st == 0)
		st = read_requested(c);
	if (st == -ENOENT)
		return 0;
	if (st != 0)
		return st;
	for (size_t i = c->requested.count; i > 0; i--) {
		const struct requested_partition *p = &c->requested.items[i - 1];
		int refused = controller_state_reassign(c->state, p->topic, p->partition,
							p->replicas, p->replica_count, false);

		if (refused == 0)
			continue;
		diag_warn(DIAG_CONTROLLER, "cannot reassign a partition",
			  "partition=%s-%d error=%s", p->topic, p->partition,
			  kerr_name(kerr_of(refused)));
		drop_requested(c, i - 1);
	}
	effects_init(&fx);
	st = office_carry_out(c, &fx);
	effects_fini(&fx);
	return st;
}

int
office_requested_changed(struct controller *c)
{
	int st = zk_exists(c->zk, ZNODE_REASSIGN, true, NULL);

	/* Most likely our own hand; unless it went, and there is another already. */
	if (st == 0 && c->requested.count == 0)
		st = office_reassignments_requested(c);
	return st == -ENOENT ? 0 : st;
}

/* ---- AlterPartitionReassignments ---- */

static void
set_error(struct reassignable_partition_response *resp, int st)
{
	resp->error_code = kerr_of(st);
	if (resp->error_code != 0)
		resp->error_message = str_of(kerr_text(resp->error_code));
}

static void
begin(struct controller *c, const struct reassignable_topic *topic,
      struct reassignable_topic_response *resp)
{
	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const struct reassignable_partition *p = &topic->partitions[i];
		int st = controller_state_reassign(c->state, topic->name.data, p->partition_index,
						   p->replicas, p->replicas_count, true);

		resp->partitions[i].partition_index = p->partition_index;
		set_error(&resp->partitions[i], st);
		if (st == 0) /* what is asked for here is newer */
			drop_partition(c, topic->name.data, p->partition_index, NULL, 0);
	}
}

/* Whether the partition is on its way, or there. */
static bool
has_target(struct controller *c, const char *topic, const struct reassignable_partition *p)
{
	struct controller_assignment a;

	if (!controller_state_assignment(c->state, topic, p->partition_index, &a))
		return false;
	return p->replicas_count < 0 ||
	       (a.replica_count >= p->replicas_count &&
		memcmp(a.replicas, p->replicas, (size_t)p->replicas_count * sizeof(*p->replicas)) ==
		    0);
}

static void
check(struct controller *c, const struct reassignable_topic *topic,
      struct reassignable_topic_response *resp)
{
	for (int32_t i = 0; i < topic->partitions_count; i++)
		if (resp->partitions[i].error_code == 0 &&
		    !has_target(c, topic->name.data, &topic->partitions[i]))
			set_error(&resp->partitions[i], K_UNKNOWN_SERVER_ERROR);
}

void
controller_alter_reassignments(struct controller *c,
			       const struct alter_partition_reassignments_request *req,
			       struct arena *arena,
			       struct alter_partition_reassignments_response *resp)
{
	struct effects fx;
	int st;

	alter_partition_reassignments_response_init(resp);
	if (!atomic_load(&c->active)) {
		resp->error_code = K_NOT_CONTROLLER;
		return;
	}
	resp->responses = must(reassignable_topic_response_new(arena, req->topics_count));
	for (int32_t t = 0; t < req->topics_count; t++) {
		struct reassignable_topic_response *tr = &resp->responses[t];

		tr->name = req->topics[t].name;
		tr->partitions_count = req->topics[t].partitions_count;
		tr->partitions =
		    must(reassignable_partition_response_new(arena, tr->partitions_count));
		begin(c, &req->topics[t], tr);
	}
	effects_init(&fx);
	st = office_carry_out(c, &fx);
	effects_fini(&fx);
	if (st != 0) {
		controller_lost_office(c, st);
		resp->error_code = K_NOT_CONTROLLER;
		return;
	}
	resp->responses_count = req->topics_count;
	for (int32_t t = 0; t < req->topics_count; t++)
		check(c, &req->topics[t], &resp->responses[t]);
}

/* ---- ListPartitionReassignments ---- */

struct listing {
	struct controller *c;
	const struct list_partition_reassignments_request *req;
	struct arena *arena;
	struct list_partition_reassignments_response *resp;
	int32_t topic_cap, partition_cap;
};

static bool
is_asked_for(const struct listing *l, const char *topic, int32_t partition)
{
	for (int32_t t = 0; t < l->req->topics_count; t++) {
		const struct list_partition_reassignments_topics *asked = &l->req->topics[t];

		if (!str_equal(asked->name, str_of(topic)))
			continue;
		for (int32_t i = 0; i < asked->partition_indexes_count; i++)
			if (asked->partition_indexes[i] == partition)
				return true;
	}
	return l->req->topics_count < 0;
}

/* items, or a larger copy in the arena. */
static void *
grow(struct arena *arena, void *items, size_t size, int32_t count, int32_t *cap)
{
	void *grown;

	if (count < *cap)
		return items;
	*cap = *cap == 0 ? 16 : *cap * 2;
	grown = must(arena_calloc(arena, (size_t)*cap, size));
	if (count > 0)
		memcpy(grown, items, (size_t)count * size);
	return grown;
}

static int32_t *
copy_ids(struct listing *l, const int32_t *ids, int32_t count)
{
	int32_t *copy = must(arena_calloc(l->arena, (size_t)count + 1, sizeof(*copy)));

	if (count > 0)
		memcpy(copy, ids, (size_t)count * sizeof(*copy));
	return copy;
}

static struct ongoing_topic_reassignment *
listed_topic(struct listing *l, const char *topic)
{
	struct list_partition_reassignments_response *resp = l->resp;
	struct ongoing_topic_reassignment *t;

	if (resp->topics_count > 0 &&
	    str_equal(resp->topics[resp->topics_count - 1].name, str_of(topic)))
		return &resp->topics[resp->topics_count - 1];
	resp->topics =
	    grow(l->arena, resp->topics, sizeof(*resp->topics), resp->topics_count, &l->topic_cap);
	t = &resp->topics[resp->topics_count++];
	t->name = str_of(must(arena_strdup(l->arena, topic, strlen(topic))));
	l->partition_cap = 0;
	return t;
}

static void
list_one(void *arg, const char *topic, int32_t partition)
{
	struct listing *l = arg;
	struct ongoing_topic_reassignment *t;
	struct ongoing_partition_reassignment *p;
	struct controller_assignment a;

	if (!is_asked_for(l, topic, partition) ||
	    !controller_state_assignment(l->c->state, topic, partition, &a))
		return;
	t = listed_topic(l, topic);
	t->partitions = grow(l->arena, t->partitions, sizeof(*t->partitions), t->partitions_count,
			     &l->partition_cap);
	p = &t->partitions[t->partitions_count++];
	p->partition_index = partition;
	p->replicas = copy_ids(l, a.replicas, a.replica_count);
	p->replicas_count = a.replica_count;
	p->adding_replicas = copy_ids(l, a.adding, a.adding_count);
	p->adding_replicas_count = a.adding_count;
	p->removing_replicas = copy_ids(l, a.removing, a.removing_count);
	p->removing_replicas_count = a.removing_count;
}

void
controller_list_reassignments(struct controller *c,
			      const struct list_partition_reassignments_request *req,
			      struct arena *arena,
			      struct list_partition_reassignments_response *resp)
{
	struct listing listing = {c, req, arena, resp, 0, 0};

	list_partition_reassignments_response_init(resp);
	if (!atomic_load(&c->active))
		resp->error_code = K_NOT_CONTROLLER;
	else
		controller_state_each_reassignment(c->state, list_one, &listing);
}
