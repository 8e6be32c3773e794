/*
 * The shards, their locks and timers, and the requests that need no record.
 *
 * Timers: a group knows its next deadline, a shard keeps its groups' in a heap, and the reactor has
 * one timer for each shard. Moving a deadline later, which every heartbeat does, costs a step in
 * two heaps; the reactor is told only of earlier ones, and looks once in vain for those that moved.
 */
#include "group/coordinator.h"

#include <assert.h>
#include <errno.h>

#include "base/diag.h"
#include "cluster/internal_topic.h"
#include "group/coordinator_internal.h"
#include "group/group_memory.h"
#include "group/group_records.h"
#include "wire/kerr.h"

struct group_now
coordinator_now(struct group_coordinator *gc)
{
	return (struct group_now){env_monotonic_ms(gc->settings.env), env_now_ms(gc->settings.env)};
}

/* ---- shards ---- */

int32_t
group_coordinator_partition(struct group_coordinator *gc, struct str group_id)
{
	const struct metadata_topic *topic =
	    metadata_topic(metadata_read(gc->settings.metadata), TOPIC_CONSUMER_OFFSETS,
			   strlen(TOPIC_CONSUMER_OFFSETS));
	int32_t count = topic == NULL ? 0 : topic->partition_count;

	metadata_done(gc->settings.metadata);
	if (count == 0)
		count = (int32_t)conf_store_get(gc->settings.conf)->offsets_topic_num_partitions;
	return internal_topic_partition_for(group_id, count);
}

static void on_wake(struct timer *timer, void *arg);

static struct group_shard *
shard_new(struct group_coordinator *gc, int32_t partition)
{
	struct group_shard *shard = must_calloc(1, sizeof(*shard));

	shard->gc = gc;
	shard->partition = partition;
	shard->wake_at_ms = INT64_MAX;
	lock_init(&shard->lock, LOCK_GROUPS);
	timers_init(&shard->timers);
	timer_init(&shard->wake, on_wake, shard);
	return shard;
}

struct group_shard *
coordinator_shard(struct group_coordinator *gc, int32_t partition, bool make)
{
	struct group_shard *shard = NULL;

	lock_acquire(&gc->lock);
	if (make && partition >= gc->shard_count) {
		int32_t count = partition + 1;

		gc->shards = realloc(gc->shards, (size_t)count * sizeof(struct group_shard *));
		if (gc->shards == NULL)
			abort();
		while (gc->shard_count < count)
			gc->shards[gc->shard_count++] = NULL;
	}
	if (partition < gc->shard_count) {
		if (make && gc->shards[partition] == NULL)
			gc->shards[partition] = shard_new(gc, partition);
		shard = gc->shards[partition];
	}
	lock_release(&gc->lock);
	return shard;
}

int32_t
coordinator_shard_count(struct group_coordinator *gc)
{
	int32_t count;

	lock_acquire(&gc->lock);
	count = gc->shard_count;
	lock_release(&gc->lock);
	return count;
}

/* A group of which nothing was ever stored, and nobody is left. */
static void
drop_if_unused(struct shard_group *sg)
{
	if (group_is_unused(sg->group) && group_generation(sg->group) == 0)
		shard_remove(sg);
}

static void
on_group_timer(struct timer *timer, void *arg)
{
	struct shard_group *sg = arg;
	struct group_effects fx;

	(void)timer;
	group_effects_init(&fx);
	group_tick(sg->group, coordinator_now(sg->shard->gc), &fx);
	shard_apply(sg, &fx);
	drop_if_unused(sg);
}

struct shard_group *
shard_find(struct group_shard *shard, struct str group_id)
{
	return map_get(&shard->groups, group_id.data, group_id.len);
}

struct shard_group *
shard_add(struct group_shard *shard, struct group *group)
{
	struct shard_group *sg = must_calloc(1, sizeof(*sg));

	sg->shard = shard;
	sg->group = group;
	sg->serial = ++shard->last_serial;
	timer_init(&sg->timer, on_group_timer, sg);
	if (map_put_text(&shard->groups, group_id(group), sg, NULL) != 0)
		abort();
	return sg;
}

void
shard_remove(struct shard_group *sg)
{
	timers_cancel(&sg->shard->timers, &sg->timer);
	map_remove_text(&sg->shard->groups, group_id(sg->group));
	group_free(sg->group);
	free(sg);
}

/* ---- jobs on the workers ---- */

struct job {
	struct group_coordinator *gc;
	mailbox_fn *fn;
	void *arg;
};

static void
run_job(void *arg)
{
	struct job *job = arg;
	struct group_coordinator *gc = job->gc;

	job->fn(job->arg);
	free(job);
	lock_acquire(&gc->lock);
	if (--gc->jobs == 0)
		pthread_cond_broadcast(&gc->jobs_over);
	lock_release(&gc->lock);
}

void
coordinator_submit(struct group_coordinator *gc, mailbox_fn *fn, void *arg)
{
	struct job *job = must_calloc(1, sizeof(*job));

	*job = (struct job){gc, fn, arg};
	lock_acquire(&gc->lock);
	gc->jobs++;
	lock_release(&gc->lock);
	workers_submit(gc->settings.workers, run_job, job);
}

/* ---- timers ---- */

static void
arm_wake(void *arg)
{
	struct group_shard *shard = arg;
	int64_t at_ms;

	lock_acquire(&shard->lock);
	at_ms = shard->wake_at_ms;
	lock_release(&shard->lock);
	if (at_ms != INT64_MAX)
		reactor_arm(shard->gc->settings.reactor, &shard->wake, at_ms);
}

void
shard_set_wake(struct group_shard *shard)
{
	int64_t next_ms = timers_next_ms(&shard->timers);

	if (next_ms >= shard->wake_at_ms || atomic_load(&shard->gc->shut_down))
		return;
	shard->wake_at_ms = next_ms;
	reactor_post(shard->gc->settings.reactor, arm_wake, shard);
}

static void
on_wake(struct timer *timer, void *arg)
{
	struct group_shard *shard = arg;

	(void)timer;
	lock_acquire(&shard->lock);
	shard->wake_at_ms = INT64_MAX;
	timers_run(&shard->timers, env_monotonic_ms(shard->gc->settings.env));
	shard_set_wake(shard);
	lock_release(&shard->lock);
}

/* ---- effects ---- */

void
group_wait_fini(struct group_wait *wait)
{
	struct group_memory *memory = wait->memory;

	wait->memory = NULL;
	if (memory != NULL && atomic_fetch_sub(&memory->references, 1) == 1) {
		arena_fini(&memory->arena);
		free(memory);
	}
}

void
wait_done(struct group_wait *wait)
{
	bool waits = wait->waits;

	atomic_store(&wait->done, true); /* if nobody waits yet, he is about to look */
	if (waits)
		wait->wake(wait);
}

/* Gives a waiter its answer; the answers of one event share its memory. */
static void
answer(const struct group_effect *effect, struct group_memory *memory)
{
	struct group_wait *wait = effect->waiter;

	if (effect->kind == GROUP_EFFECT_JOINED)
		wait->joined = effect->joined;
	else
		wait->synced = effect->synced;
	atomic_fetch_add(&memory->references, 1);
	wait->memory = memory;
	wait_done(wait);
}

static void
deliver_answers(struct group_effects *fx)
{
	struct group_memory *memory = NULL;
	struct group_wait last = {0};

	for (const struct group_effect *e = fx->first; e != NULL; e = e->next) {
		if (e->kind == GROUP_EFFECT_STORE)
			continue;
		if (memory == NULL) {
			memory = must_calloc(1, sizeof(*memory));
			atomic_init(&memory->references, 1);
			memory->arena = fx->arena; /* the list itself lies in it */
		}
		answer(e, memory);
	}
	if (memory == NULL) {
		group_effects_fini(fx);
		return;
	}
	last.memory = memory;
	group_wait_fini(&last);
}

void
shard_apply(struct shard_group *sg, struct group_effects *fx)
{
	struct group_shard *shard = sg->shard;
	int64_t deadline_ms;

	/* A record that is in the log at once brings further effects, at the end of the list. */
	for (const struct group_effect *e = fx->first; e != NULL; e = e->next)
		if (e->kind == GROUP_EFFECT_STORE)
			shard_store_group(sg, e->store_id, fx);
	if (fx->rebalances > 0)
		metric_add(shard->gc->rebalances, fx->rebalances);
	deadline_ms = group_deadline_ms(sg->group);
	if (deadline_ms == INT64_MAX)
		timers_cancel(&shard->timers, &sg->timer);
	else
		timers_arm(&shard->timers, &sg->timer, deadline_ms);
	shard_set_wake(shard);
	deliver_answers(fx);
}

/* ---- leading and not ---- */

void
shard_unload(struct group_shard *shard)
{
	struct map_iter iter = {0};
	struct shard_group *sg;

	shard->state = SHARD_IDLE;
	shard->load_id++;
	while ((sg = map_next(&shard->groups, &iter)) != NULL) {
		struct group_effects fx;

		group_effects_init(&fx);
		group_unload(sg->group, K_NOT_COORDINATOR, &fx);
		deliver_answers(&fx);
		shard_remove(sg);
	}
}

void
group_coordinator_lead(struct group_coordinator *gc, int32_t partition, int32_t leader_epoch)
{
	struct group_shard *shard = coordinator_shard(gc, partition, true);

	lock_acquire(&shard->lock);
	if (shard->state == SHARD_IDLE && !atomic_load(&gc->shut_down)) {
		shard->state = SHARD_LOADING;
		shard->load_id++;
		diag_info(DIAG_GROUP, "coordinates the groups of a partition",
			  "partition=%s-%d leader_epoch=%d", TOPIC_CONSUMER_OFFSETS, partition,
			  leader_epoch);
		shard_begin_load(shard);
	}
	lock_release(&shard->lock);
}

void
group_coordinator_resign(struct group_coordinator *gc, int32_t partition)
{
	struct group_shard *shard = coordinator_shard(gc, partition, false);

	if (shard == NULL)
		return;
	lock_acquire(&shard->lock);
	if (shard->state != SHARD_IDLE)
		diag_info(DIAG_GROUP, "coordinates the groups of a partition no longer",
			  "partition=%s-%d groups=%zu", TOPIC_CONSUMER_OFFSETS, partition,
			  shard->groups.count);
	shard_unload(shard);
	lock_release(&shard->lock);
}

/* ---- requests ---- */

int
coordinator_enter(struct group_coordinator *gc, struct str group_id, struct group_shard **ret_shard,
		  struct shard_group **ret_group)
{
	struct group_shard *shard;
	int st;

	if (has_nul(group_id))
		return K_INVALID_GROUP_ID;
	shard = coordinator_shard(gc, group_coordinator_partition(gc, group_id), false);
	if (shard == NULL)
		return K_NOT_COORDINATOR;
	lock_acquire(&shard->lock);
	if (shard->state == SHARD_ACTIVE) {
		*ret_shard = shard;
		*ret_group = shard_find(shard, group_id);
		return 0;
	}
	st = shard->state == SHARD_LOADING ? K_COORDINATOR_LOAD_IN_PROGRESS : K_NOT_COORDINATOR;
	lock_release(&shard->lock);
	return st;
}

static void
refuse_join(struct group_wait *wait, struct str member_id, int error)
{
	wait->joined = (struct group_joined){
	    .error = error, .generation = GROUP_NO_GENERATION, .member_id = member_id};
	wait_done(wait);
}

void
group_coordinator_join(struct group_coordinator *gc, struct str group_id, struct group_join *join,
		       struct group_wait *wait)
{
	struct group_shard *shard;
	struct group_effects fx;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st != 0) {
		refuse_join(wait, join->member_id, st);
		return;
	}
	if (sg == NULL && join->member_id.len > 0) {
		refuse_join(wait, join->member_id, K_UNKNOWN_MEMBER_ID);
		lock_release(&shard->lock);
		return;
	}
	if (sg == NULL)
		sg = shard_add(shard,
			       group_new(group_id.data, &gc->group_settings, coordinator_now(gc)));
	join->waiter = wait;
	group_effects_init(&fx);
	group_join(sg->group, join, coordinator_now(gc), &fx);
	shard_apply(sg, &fx);
	wait->waits = !atomic_load(&wait->done);
	drop_if_unused(sg);
	lock_release(&shard->lock);
}

void
group_coordinator_sync(struct group_coordinator *gc, struct str group_id, struct group_sync *sync,
		       struct group_wait *wait)
{
	struct group_shard *shard;
	struct group_effects fx;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st == 0 && sg == NULL) {
		lock_release(&shard->lock);
		st = K_UNKNOWN_MEMBER_ID;
	}
	if (st != 0) {
		/* Clients do not expect to hear here that the coordinator is loading. */
		if (st == K_COORDINATOR_LOAD_IN_PROGRESS)
			st = K_REBALANCE_IN_PROGRESS;
		wait->synced = (struct group_synced){.error = st};
		wait_done(wait);
		return;
	}
	sync->waiter = wait;
	group_effects_init(&fx);
	group_sync(sg->group, sync, coordinator_now(gc), &fx);
	shard_apply(sg, &fx);
	wait->waits = !atomic_load(&wait->done);
	lock_release(&shard->lock);
}

int
group_coordinator_heartbeat(struct group_coordinator *gc, struct str group_id,
			    const struct group_identity *from)
{
	struct group_shard *shard;
	struct group_effects fx;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st != 0) /* nor here */
		return st == K_COORDINATOR_LOAD_IN_PROGRESS ? 0 : st;
	st = K_UNKNOWN_MEMBER_ID;
	if (sg != NULL) {
		group_effects_init(&fx);
		st = group_heartbeat(sg->group, from, coordinator_now(gc), &fx);
		shard_apply(sg, &fx);
	}
	lock_release(&shard->lock);
	return st;
}

int
group_coordinator_leave(struct group_coordinator *gc, struct str group_id,
			struct group_leaving *members, int32_t count)
{
	struct group_shard *shard;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st != 0)
		return st;
	for (int32_t i = 0; i < count; i++) {
		struct group_leaving *m = &members[i];
		struct group_effects fx;

		m->error = K_UNKNOWN_MEMBER_ID;
		if (sg == NULL)
			continue;
		group_effects_init(&fx);
		m->error = group_leave(sg->group, m->member_id, m->instance_id, m->reason,
				       coordinator_now(gc), &fx);
		shard_apply(sg, &fx);
	}
	lock_release(&shard->lock);
	return 0;
}

/* ---- commits ---- */

static void
end_commit(struct shard_group *sg, struct offset_to_commit *offsets, int32_t count,
	   int64_t batch_offset, int st)
{
	for (int32_t i = 0; sg != NULL && i < count; i++) {
		struct offset_to_commit *o = &offsets[i];

		o->committed.batch_offset = batch_offset;
		group_offsets_end(group_offsets(sg->group), o->topic, o->partition,
				  st == 0 ? &o->committed : NULL);
	}
}

static void
finish_commit(struct group_coordinator *gc, struct group_wait *wait, int64_t started_us, int st)
{
	wait->error = st == 0 ? 0 : coordinator_store_error(st, K_INVALID_COMMIT_OFFSET_SIZE);
	if (st == 0)
		histogram_observe(gc->commit_time, env_monotonic_us(gc->settings.env) - started_us);
	wait_done(wait);
}

static void
commit_done(struct offsets_write *write, int st)
{
	struct group_coordinator *gc = write->shard->gc;
	struct group_wait *wait = write->wait;

	end_commit(write_group(write), write->offsets, write->offset_count, write->batch_offset,
		   st);
	finish_commit(gc, wait, write->started_us, st);
}

/* With the shard's lock; the group has agreed. */
static void
store_offsets(struct shard_group *sg, struct offset_to_commit *offsets, int32_t count,
	      struct group_wait *wait)
{
	struct group_shard *shard = sg->shard;
	struct group_coordinator *gc = shard->gc;
	struct offsets_write write = {
	    .done = commit_done,
	    .offsets = offsets,
	    .offset_count = count,
	    .wait = wait,
	    .group_id = (char *)(uintptr_t)group_id(sg->group), /* copied if it is kept */
	    .group_serial = sg->serial,
	    .started_us = env_monotonic_us(gc->settings.env),
	};
	int64_t now_ms = env_now_ms(gc->settings.env), batch_offset = -1;
	struct record_batch_builder b;
	int st;

	shard_init_builder(shard, &b);
	b.base_sequence = 0; /* as Kafka has it, without a producer */
	for (int32_t i = 0; i < count; i++) {
		group_records_add_offset(&b, now_ms, group_id(sg->group), offsets[i].topic,
					 offsets[i].partition, &offsets[i].committed);
		group_offsets_begin(group_offsets(sg->group), offsets[i].topic,
				    offsets[i].partition);
	}
	metric_add(gc->commits, count);
	st = shard_append(shard, &b, &write, &batch_offset);
	if (st == PARTITION_STILL_WAITING) {
		wait->waits = true;
		return;
	}
	end_commit(sg, offsets, count, batch_offset, st);
	finish_commit(gc, wait, write.started_us, st);
}

void
group_coordinator_commit(struct group_coordinator *gc, struct str group_id,
			 const struct group_identity *from, struct offset_to_commit *offsets,
			 int32_t count, struct group_wait *wait)
{
	struct group_shard *shard;
	struct group_effects fx;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st == 0) {
		if (sg == NULL && from->generation >= 0)
			st = K_ILLEGAL_GENERATION;
		else if (sg == NULL)
			sg = shard_add(shard, group_new(group_id.data, &gc->group_settings,
							coordinator_now(gc)));
		if (st == 0) {
			group_effects_init(&fx);
			st = group_commit(sg->group, from, coordinator_now(gc), &fx);
			shard_apply(sg, &fx);
		}
		if (st == 0)
			store_offsets(sg, offsets, count, wait);
		if (sg != NULL)
			drop_if_unused(sg);
		lock_release(&shard->lock);
		if (st == 0)
			return;
	}
	wait->error = st;
	wait_done(wait);
}

/* ---- a look ---- */

int
group_coordinator_look(struct group_coordinator *gc, struct str group_id, group_look_fn *look,
		       void *arg)
{
	struct group_shard *shard;
	struct shard_group *sg;
	int st = coordinator_enter(gc, group_id, &shard, &sg);

	if (st != 0)
		return st;
	look(arg, sg == NULL ? NULL : sg->group);
	lock_release(&shard->lock);
	return 0;
}

int
group_coordinator_each(struct group_coordinator *gc, group_look_fn *look, void *arg)
{
	int st = 0;

	for (int32_t i = 0; i < coordinator_shard_count(gc); i++) {
		struct group_shard *shard = coordinator_shard(gc, i, false);
		struct map_iter iter = {0};
		struct shard_group *sg;

		if (shard == NULL)
			continue;
		lock_acquire(&shard->lock);
		if (shard->state == SHARD_LOADING)
			st = K_COORDINATOR_LOAD_IN_PROGRESS;
		while ((sg = map_next(&shard->groups, &iter)) != NULL)
			look(arg, sg->group);
		lock_release(&shard->lock);
	}
	return st;
}

/* ---- start and stop ---- */

int
group_coordinator_open(const struct group_coordinator_settings *settings,
		       struct group_coordinator **ret_coordinator)
{
	const struct broker_conf *conf = conf_store_get(settings->conf);
	struct group_coordinator *gc = calloc(1, sizeof(*gc));

	if (gc == NULL)
		return -ENOMEM;
	gc->settings = *settings;
	gc->group_settings = (struct group_settings){
	    .initial_rebalance_delay_ms = (int32_t)conf->group_initial_rebalance_delay_ms,
	    .max_size = (int32_t)conf->group_max_size,
	};
	lock_init(&gc->lock, LOCK_GROUP_COORDINATOR);
	pthread_cond_init(&gc->jobs_over, NULL);
	coordinator_add_metrics(gc);
	coordinator_start_cleanup(gc);
	*ret_coordinator = gc;
	return 0;
}

/* On the reactor's thread, where timers and late acknowledgements are. */
static void
shut_down(void *arg)
{
	struct group_coordinator *gc = arg;

	coordinator_stop_cleanup(gc);
	for (int32_t i = 0; i < coordinator_shard_count(gc); i++) {
		struct group_shard *shard = coordinator_shard(gc, i, false);

		if (shard == NULL)
			continue;
		lock_acquire(&shard->lock);
		shard_unload(shard);
		shard_abandon_writes(shard, K_NOT_COORDINATOR);
		lock_release(&shard->lock);
		reactor_cancel(gc->settings.reactor, &shard->wake);
	}
}

void
group_coordinator_shut_down(struct group_coordinator *gc)
{
	if (gc == NULL || atomic_exchange(&gc->shut_down, true))
		return;
	reactor_call(gc->settings.reactor, shut_down, gc);
	lock_acquire(&gc->lock);
	while (gc->jobs > 0)
		lock_wait(&gc->lock, &gc->jobs_over);
	lock_release(&gc->lock);
}

void
group_coordinator_close(struct group_coordinator *gc)
{
	if (gc == NULL)
		return;
	metrics_remove_collectors(gc);
	for (int32_t i = 0; i < gc->shard_count; i++) {
		struct group_shard *shard = gc->shards[i];

		if (shard == NULL)
			continue;
		assert(shard->groups.count == 0 && shard->writes == NULL);
		map_fini(&shard->groups);
		timers_fini(&shard->timers);
		lock_fini(&shard->lock);
		free(shard);
	}
	free(gc->shards);
	pthread_cond_destroy(&gc->jobs_over);
	lock_fini(&gc->lock);
	free(gc);
}
