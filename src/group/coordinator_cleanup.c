/*
 * What goes: expired offsets, the offsets of deleted topics, and groups that an operator deletes.
 * Each is a tombstone in the log, without waiting for other replicas: one that gets lost is written
 * again at the next round.
 *
 * Rounds run on a worker, group by group, so that no request waits for more than one group.
 *
 * Kafka: GroupMetadataManager.cleanupGroupMetadata.
 */
#include <errno.h>

#include "base/diag.h"
#include "cluster/topic_name.h"
#include "group/coordinator_internal.h"
#include "group/group_memory.h"
#include "group/group_records.h"
#include "wire/kerr.h"

/* Tombstones of one group, as one batch. */
struct tombstones {
	struct shard_group *sg;
	struct record_batch_builder builder;
	int64_t now_ms;
	int32_t count;
};

static void
tombstones_begin(struct tombstones *t, struct shard_group *sg)
{
	*t = (struct tombstones){.sg = sg, .now_ms = env_now_ms(sg->shard->gc->settings.env)};
	shard_init_builder(sg->shard, &t->builder);
}

static void
add_tombstone(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	struct tombstones *t = arg;

	(void)view;
	group_records_add_offset_tombstone(&t->builder, t->now_ms, group_id(t->sg->group), topic,
					   partition);
	t->count++;
}

/* Appends them; remove: the group goes as well. */
static int
tombstones_end(struct tombstones *t, bool remove)
{
	struct group_shard *shard = t->sg->shard;
	int64_t batch_offset;
	int st = 0;

	if (remove && group_generation(t->sg->group) > 0) {
		group_records_add_group_tombstone(&t->builder, t->now_ms, group_id(t->sg->group));
		t->count++;
	}
	if (t->count > 0)
		st = shard_append(shard, &t->builder, NULL, &batch_offset);
	else
		record_batch_builder_fini(&t->builder);
	if (remove)
		shard_remove(t->sg);
	return st;
}

/* ---- rounds over all groups ---- */

typedef void clean_fn(struct shard_group *sg, void *arg);

/* Copies of the ids, so that the lock can be let go between two groups. */
static char **
list_groups(struct group_shard *shard, size_t *ret_count)
{
	struct map_iter iter = {0};
	struct shard_group *sg;
	size_t count = 0;
	char **ids;

	lock_acquire(&shard->lock);
	ids = must_calloc(shard->groups.count, sizeof(*ids));
	while ((sg = map_next(&shard->groups, &iter)) != NULL)
		ids[count++] = must_copy_text(str_of(group_id(sg->group)));
	lock_release(&shard->lock);
	*ret_count = count;
	return ids;
}

static void
clean_groups(struct group_coordinator *gc, clean_fn *clean, void *arg)
{
	for (int32_t i = 0; i < coordinator_shard_count(gc) && !atomic_load(&gc->shut_down); i++) {
		struct group_shard *shard = coordinator_shard(gc, i, false);
		size_t count;
		char **ids;

		if (shard == NULL)
			continue;
		ids = list_groups(shard, &count);
		for (size_t k = 0; k < count; k++) {
			struct shard_group *sg;

			lock_acquire(&shard->lock);
			sg =
			    shard->state == SHARD_ACTIVE ? shard_find(shard, str_of(ids[k])) : NULL;
			if (sg != NULL)
				clean(sg, arg);
			lock_release(&shard->lock);
			free(ids[k]);
		}
		free(ids);
	}
}

/* ---- expiry ---- */

struct expiry_round {
	int64_t retention_ms;
	int64_t offsets, groups;
};

static void
expire_group(struct shard_group *sg, void *arg)
{
	struct group_coordinator *gc = sg->shard->gc;
	struct expiry_round *round = arg;
	struct tombstones t;
	bool unused;

	tombstones_begin(&t, sg);
	unused =
	    group_expire(sg->group, round->retention_ms, coordinator_now(gc), add_tombstone, &t);
	round->offsets += t.count;
	round->groups += unused;
	metric_add(gc->expired, t.count);
	/* A failure is told by whoever appends: the records come with the next load and go again.
	 */
	tombstones_end(&t, unused);
}

static void
run_expiry(void *arg)
{
	struct group_coordinator *gc = arg;
	struct expiry_round round = {
	    .retention_ms =
		conf_store_get(gc->settings.conf)->offsets_retention_minutes * INT64_C(60000)};

	clean_groups(gc, expire_group, &round);
	if (round.offsets > 0 || round.groups > 0)
		diag_info(DIAG_GROUP, "removed what had expired", "offsets=%lld groups=%lld",
			  (long long)round.offsets, (long long)round.groups);
	atomic_store(&gc->cleanup_runs, false);
}

static void
arm_cleanup(struct group_coordinator *gc)
{
	struct reactor *r = gc->settings.reactor;

	reactor_arm(r, &gc->cleanup,
		    reactor_now_ms(r) +
			conf_store_get(gc->settings.conf)->offsets_retention_check_interval_ms);
}

static void
on_cleanup(struct timer *timer, void *arg)
{
	struct group_coordinator *gc = arg;

	(void)timer;
	if (!atomic_exchange(&gc->cleanup_runs, true))
		coordinator_submit(gc, run_expiry, gc);
	arm_cleanup(gc);
}

static void
start_cleanup(void *arg)
{
	arm_cleanup(arg);
}

void
coordinator_start_cleanup(struct group_coordinator *gc)
{
	timer_init(&gc->cleanup, on_cleanup, gc);
	reactor_post(gc->settings.reactor, start_cleanup, gc);
}

void
coordinator_stop_cleanup(struct group_coordinator *gc)
{
	reactor_cancel(gc->settings.reactor, &gc->cleanup);
}

/* ---- deleted topics ---- */

struct topic_gone {
	struct group_coordinator *gc;
	char *topic;
	int32_t *partitions;
	int32_t count;
	int64_t offsets;
};

static void
forget_topic(struct shard_group *sg, void *arg)
{
	struct topic_gone *gone = arg;
	struct tombstones t;

	tombstones_begin(&t, sg);
	for (int32_t i = 0; i < gone->count; i++)
		if (group_offsets_remove(group_offsets(sg->group), str_of(gone->topic),
					 gone->partitions[i]))
			add_tombstone(&t, str_of(gone->topic), gone->partitions[i], NULL);
	gone->offsets += t.count;
	tombstones_end(&t, false);
}

static void
run_forget_topic(void *arg)
{
	struct topic_gone *gone = arg;

	clean_groups(gone->gc, forget_topic, gone);
	if (gone->offsets > 0)
		diag_info(DIAG_GROUP, "removed the offsets of a deleted topic",
			  "topic=%s offsets=%lld", gone->topic, (long long)gone->offsets);
	free(gone->partitions);
	free(gone->topic);
	free(gone);
}

void
group_coordinator_forget_topic(struct group_coordinator *gc, struct str topic,
			       const int32_t *partitions, int32_t count)
{
	struct topic_gone *gone = must_calloc(1, sizeof(*gone));

	gone->gc = gc;
	gone->topic = must_copy_text(topic);
	gone->partitions = must_calloc((size_t)count, sizeof(*partitions));
	memcpy(gone->partitions, partitions, (size_t)count * sizeof(*partitions));
	gone->count = count;
	coordinator_submit(gc, run_forget_topic, gone);
}

/* ---- by an operator ---- */

/* The group, with its shard locked. Kafka: GroupCoordinator.handleDeleteGroups. */
static int
enter(struct group_coordinator *gc, struct str group_id, struct group_shard **ret_shard,
      struct shard_group **ret_group)
{
	int st = coordinator_enter(gc, group_id, ret_shard, ret_group);

	if (st == 0 && *ret_group == NULL) {
		lock_release(&(*ret_shard)->lock);
		st = K_GROUP_ID_NOT_FOUND;
	}
	return st;
}

int
group_coordinator_delete(struct group_coordinator *gc, struct str group_id)
{
	struct group_shard *shard;
	struct shard_group *sg;
	struct tombstones t;
	int st = enter(gc, group_id, &shard, &sg);

	if (st != 0)
		return st;
	if (group_state(sg->group) != GROUP_EMPTY) {
		st = K_NON_EMPTY_GROUP;
	} else {
		tombstones_begin(&t, sg);
		group_offsets_each(group_offsets(sg->group), add_tombstone, &t);
		st = tombstones_end(&t, true);
		if (st != 0)
			st = coordinator_store_error(st, K_UNKNOWN_SERVER_ERROR);
	}
	lock_release(&shard->lock);
	return st;
}

int
group_coordinator_delete_offsets(struct group_coordinator *gc, struct str group_id,
				 struct offset_to_delete *offsets, int32_t count)
{
	struct group_shard *shard;
	struct shard_group *sg;
	struct tombstones t;
	bool has_members;
	int st = enter(gc, group_id, &shard, &sg);

	if (st != 0)
		return st;
	has_members = group_state(sg->group) != GROUP_EMPTY;
	if (has_members &&
	    strcmp(group_protocol_type(sg->group), GROUP_PROTOCOL_TYPE_CONSUMER) != 0) {
		lock_release(&shard->lock);
		return K_NON_EMPTY_GROUP;
	}
	tombstones_begin(&t, sg);
	for (int32_t i = 0; i < count; i++) {
		struct offset_to_delete *o = &offsets[i];

		if (o->error != 0)
			continue;
		if (has_members && group_subscribes(sg->group, o->topic))
			o->error = K_GROUP_SUBSCRIBED_TO_TOPIC;
		else if (group_offsets_remove(group_offsets(sg->group), o->topic, o->partition))
			add_tombstone(&t, o->topic, o->partition, NULL);
	}
	st = tombstones_end(&t, false);
	lock_release(&shard->lock);
	return st == 0 ? 0 : coordinator_store_error(st, K_UNKNOWN_SERVER_ERROR);
}
