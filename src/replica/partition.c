#include "replica/partition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "replica/fencing.h"
#include "replica/partition_state.h"
#include "wire/kerr.h"

struct partition *
partition_new(const struct partition_context *context, const char *topic, int32_t number)
{
	struct partition *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->topic = strdup(topic);
	if (p->topic == NULL) {
		free(p);
		return NULL;
	}
	cds_lfht_node_init(&p->node);
	atomic_init(&p->references, 1);
	p->number = number;
	p->context = context;
	p->leader = -1;
	p->leader_epoch = p->partition_epoch = p->controller_epoch = -1;
	atomic_init(&p->follower_lag, -1);
	p->epoch_start_offset = -1;
	p->min_insync_replicas = 1;
	lock_init(&p->lock, LOCK_PARTITION);
	pthread_cond_init(&p->appends_over, NULL);
	return p;
}

static void
partition_free(struct rcu_head *head)
{
	struct partition *p = caa_container_of(head, struct partition, rcu);

	rcu_readers_have_ended();
	rcu_found(p);
	for (int kind = 0; kind < PARTITION_WAIT_COUNT; kind++)
		assert(p->waiters[kind] == NULL);
	assert(p->watches == NULL);
	log_put(p->log);
	pthread_cond_destroy(&p->appends_over);
	lock_fini(&p->lock);
	isr_fini(&p->isr);
	free(p->replicas);
	free(p->topic);
	free(p);
}

struct partition *
partition_get(struct partition *p)
{
	atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
	return p;
}

bool
partition_try_get(struct partition *p)
{
	int32_t n = atomic_load_explicit(&p->references, memory_order_relaxed);

	while (n > 0)
		if (atomic_compare_exchange_weak(&p->references, &n, n + 1))
			return true;
	return false;
}

void
partition_put(struct partition *p)
{
	/* Readers of the table may still look at it: free it after a grace period. */
	if (p != NULL && atomic_fetch_sub(&p->references, 1) == 1) {
		rcu_publish(p);
		urcu_bp_call_rcu(&p->rcu, partition_free);
	}
}

const char *
partition_topic(const struct partition *p)
{
	return p->topic;
}

int32_t
partition_number(const struct partition *p)
{
	return p->number;
}

struct uuid
partition_topic_id(struct partition *p)
{
	struct uuid id;

	lock_acquire(&p->lock);
	id = p->topic_id;
	lock_release(&p->lock);
	return id;
}

bool
partition_leads(const struct partition *p)
{
	return p->leader == p->context->broker_id && p->log != NULL && !p->offline && !p->deleted;
}

void
partition_look(struct partition *p, struct partition_view *ret_view)
{
	lock_acquire(&p->lock);
	*ret_view = (struct partition_view){
	    .is_leader = partition_leads(p),
	    .leader = p->leader,
	    .leader_epoch = p->leader_epoch,
	    .isr_count = partition_leads(p) ? isr_size(&p->isr) : 0,
	    .replica_count = p->replica_count,
	    .isr_suffices = partition_leads(p) && partition_isr_suffices(p),
	    .isr_just_suffices =
		partition_leads(p) && isr_size(&p->isr) == partition_effective_min_isr(p),
	    .is_offline = p->offline,
	    .follower_lag = p->leader < 0 || p->leader == p->context->broker_id
				? -1
				: atomic_load_explicit(&p->follower_lag, memory_order_relaxed),
	    .epoch_start_offset = p->epoch_start_offset,
	    .high_watermark_is_current =
		partition_leads(p) && log_high_watermark(p->log) >= p->epoch_start_offset,
	};
	lock_release(&p->lock);
}

/* Our replica is gone: with its topic, or because others have it now. */
static int
error_of_deleted(const struct partition *p)
{
	struct metadata *md = p->context->metadata;
	bool known =
	    metadata_partition(metadata_read(md), p->topic, strlen(p->topic), p->number) != NULL;

	metadata_done(md);
	return known ? K_NOT_LEADER_OR_FOLLOWER : K_UNKNOWN_TOPIC_OR_PARTITION;
}

int
partition_log(struct partition *p, int32_t current_leader_epoch, bool leader_only,
	      const struct uuid *topic_id, struct log **ret_log)
{
	int st = 0;

	lock_acquire(&p->lock);
	if (p->offline)
		st = K_KAFKA_STORAGE_ERROR;
	else if (p->deleted)
		st = error_of_deleted(p);
	else
		st = fencing_check_reader(
		    &(struct fencing_replica){p->topic_id, p->leader_epoch, false}, topic_id,
		    current_leader_epoch);
	if (st == 0 && (p->log == NULL || (leader_only && !partition_leads(p))))
		st = K_NOT_LEADER_OR_FOLLOWER;
	if (st == 0)
		*ret_log = log_get(p->log);
	lock_release(&p->lock);
	return st;
}

/* Waiting. All under the lock. */

void
partition_wake_all(struct partition *p, enum partition_wait kind, int64_t bytes)
{
	for (struct partition_waiter *w = p->waiters[kind]; w != NULL; w = w->next)
		w->wake(w, bytes);
	for (struct partition_watch *w = p->watches; w != NULL; w = w->next) {
		int64_t had_all_ms = w->stir(w, kind, bytes);

		if (had_all_ms >= 0)
			isr_had_all(&p->isr, w->follower_id, had_all_ms);
	}
}

void
partition_wake_everybody(struct partition *p)
{
	for (int kind = 0; kind < PARTITION_WAIT_COUNT; kind++)
		partition_wake_all(p, (enum partition_wait)kind, 0);
}

void
partition_wait(struct partition *p, struct partition_waiter *waiter)
{
	struct partition_waiter **head = &p->waiters[waiter->kind];

	waiter->partition = partition_get(p);
	lock_acquire(&p->lock);
	waiter->next = *head;
	waiter->prev = head;
	if (*head != NULL)
		(*head)->prev = &waiter->next;
	*head = waiter;
	lock_release(&p->lock);
}

void
partition_wait_end(struct partition_waiter *waiter)
{
	struct partition *p = waiter->partition;

	if (p == NULL)
		return;
	lock_acquire(&p->lock);
	*waiter->prev = waiter->next;
	if (waiter->next != NULL)
		waiter->next->prev = waiter->prev;
	lock_release(&p->lock);
	waiter->partition = NULL;
	partition_put(p);
}

void
partition_watch(struct partition *p, struct partition_watch *watch)
{
	watch->partition = partition_get(p);
	lock_acquire(&p->lock);
	watch->next = p->watches;
	watch->prev = &p->watches;
	if (p->watches != NULL)
		p->watches->prev = &watch->next;
	p->watches = watch;
	lock_release(&p->lock);
}

void
partition_watch_end(struct partition_watch *watch)
{
	struct partition *p = watch->partition;

	if (p == NULL)
		return;
	lock_acquire(&p->lock);
	*watch->prev = watch->next;
	if (watch->next != NULL)
		watch->next->prev = watch->prev;
	lock_release(&p->lock);
	watch->partition = NULL;
	partition_put(p);
}

int
partition_append(struct partition *p, int16_t required_acks, struct log_append *append,
		 struct arena *arena, struct log_append_result *ret_result,
		 struct log_append_refusal *ret_refusal)
{
	struct log *log = NULL;
	int st = 0;

	lock_acquire(&p->lock);
	while (p->changing)
		lock_wait(&p->lock, &p->appends_over);
	if (p->offline)
		st = K_KAFKA_STORAGE_ERROR;
	else if (!partition_leads(p))
		st = K_NOT_LEADER_OR_FOLLOWER;
	else if (required_acks == -1 && !partition_isr_suffices(p))
		st = K_NOT_ENOUGH_REPLICAS;
	else {
		log = log_get(p->log);
		append->leader_epoch = p->leader_epoch;
		p->appending++;
	}
	lock_release(&p->lock);
	if (st != 0)
		return st;
	st = log_append_as_leader(log, append, arena, ret_result, ret_refusal);
	lock_acquire(&p->lock);
	if (st == 0) {
		p->unannounced_bytes += ret_result->bytes;
		partition_wake_all(p, PARTITION_WAIT_LOG_END, ret_result->bytes);
		partition_advance_high_watermark(p);
	}
	if (--p->appending == 0)
		pthread_cond_broadcast(&p->appends_over);
	lock_release(&p->lock);
	log_put(log);
	return st;
}

int
partition_check_acks(struct partition *p, int64_t offset, int32_t leader_epoch)
{
	int st = PARTITION_STILL_WAITING;

	lock_acquire(&p->lock);
	if (p->deleted)
		st = error_of_deleted(p);
	else if (p->offline)
		st = K_KAFKA_STORAGE_ERROR;
	else if (!partition_leads(p) || leader_epoch < p->led_since_epoch)
		st = K_NOT_LEADER_OR_FOLLOWER;
	else if (log_high_watermark(p->log) >= offset)
		st = isr_maximal_size(&p->isr) < partition_effective_min_isr(p)
			 ? K_NOT_ENOUGH_REPLICAS_AFTER_APPEND
			 : 0;
	lock_release(&p->lock);
	return st;
}

int
partition_delete_records(struct partition *p, int64_t offset, int64_t *ret_offset)
{
	struct log_config config;
	struct log *log;
	int st = partition_log(p, PARTITION_NO_EPOCH, true, NULL, &log);

	if (st != 0)
		return st;
	log_config_of(log, &config);
	if (offset == -1)
		offset = log_high_watermark(log);
	if ((config.cleanup_policy & LOG_CLEANUP_DELETE) == 0)
		st = K_POLICY_VIOLATION;
	else if (offset < 0)
		st = K_OFFSET_OUT_OF_RANGE;
	else
		st = log_raise_start_offset(log, offset);
	if (st == 0) {
		*ret_offset = offset;
		lock_acquire(&p->lock);
		partition_wake_all(p, PARTITION_WAIT_DATA, 0); /* followers are to hear of it */
		lock_release(&p->lock);
	}
	log_put(log);
	return st;
}

int
partition_check_low_watermark(struct partition *p, int64_t offset, int64_t *ret_low_watermark)
{
	int st = 0;

	lock_acquire(&p->lock);
	if (p->deleted)
		st = error_of_deleted(p);
	else if (p->offline)
		st = K_KAFKA_STORAGE_ERROR;
	else if (!partition_leads(p))
		st = K_NOT_LEADER_OR_FOLLOWER;
	if (st == 0) {
		*ret_low_watermark = partition_low_watermark(p);
		st = *ret_low_watermark >= offset ? 0 : PARTITION_STILL_WAITING;
	}
	lock_release(&p->lock);
	return st;
}

/* Decisions of the controller; the manager calls them one at a time */

static int
replace_ids(int32_t **ids, int32_t *ids_count, const int32_t *from, int32_t count)
{
	int32_t *copy = calloc((size_t)count + 1, sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, from, (size_t)count * sizeof(*copy));
	free(*ids);
	*ids = copy;
	*ids_count = count;
	return 0;
}

/* Under the lock: nothing is being appended when it returns. */
static void
wait_for_appends(struct partition *p)
{
	while (p->appending > 0)
		lock_wait(&p->lock, &p->appends_over);
}

/* Under the lock: appends that waited for the new role go on. */
static void
end_change(struct partition *p)
{
	p->changing = false;
	pthread_cond_broadcast(&p->appends_over);
}

/*
 * The log's part of becoming leader. Outside the lock: it writes the epoch file. The manager makes
 * one change at a time and the partition does not lead yet, so nothing is appended meanwhile.
 */
static int
begin_epoch(struct log *log, int32_t leader_epoch, int64_t *ret_start_offset)
{
	int64_t end = log_end_offset(log);
	int st = log_assign_epoch_start_offset(log, leader_epoch, end);

	if (st == 0)
		*ret_start_offset = end;
	return st;
}

int
partition_decide(struct partition *p, const struct partition_decision *decision, struct log *log,
		 int64_t checkpointed_high_watermark)
{
	bool new_epoch, led, lead = decision->leader == p->context->broker_id;
	int64_t start_offset = -1;
	int st;

	lock_acquire(&p->lock);
	if (decision->partition_epoch < p->partition_epoch) {
		lock_release(&p->lock);
		return 0;
	}
	new_epoch = decision->leader_epoch != p->leader_epoch;
	led = partition_leads(p);
	if (!led)
		isr_resign(&p->isr);
	/*
	 * Nothing is appended until the new role holds. At a leader that stays appends wait: were
	 * one refused and the next, which its client had sent behind it, taken, that would be out
	 * of order.
	 */
	p->changing = led && lead;
	if (!p->changing)
		p->leader = -1;
	wait_for_appends(p);
	st = replace_ids(&p->replicas, &p->replica_count, decision->replicas,
			 decision->replica_count);
	if (st == 0 && lead)
		st = isr_lead(&p->isr, p->context->broker_id, decision->leader_epoch,
			      decision->replicas, decision->replica_count, decision->isr,
			      decision->isr_count, log == NULL ? 0 : log_end_offset(log),
			      env_monotonic_ms(p->context->env));
	else
		isr_resign(&p->isr);
	p->controller_epoch = decision->controller_epoch;
	p->partition_epoch = decision->partition_epoch;
	p->leader_epoch = decision->leader_epoch;
	if (lead && !led)
		p->led_since_epoch = decision->leader_epoch;
	if (!uuid_is_zero(&decision->topic_id))
		p->topic_id = decision->topic_id;
	if (st != 0) {
		p->leader = -1;
		end_change(p);
	}
	lock_release(&p->lock);
	if (st != 0)
		return st;
	if (log != NULL && p->log == NULL)
		log_set_high_watermark(log, checkpointed_high_watermark);
	if (log != NULL && lead && new_epoch)
		st = begin_epoch(log, decision->leader_epoch, &start_offset);
	lock_acquire(&p->lock);
	if (log != NULL && p->log == NULL)
		p->log = log_get(log);
	p->leader = decision->leader;
	if (new_epoch || !lead)
		p->epoch_start_offset = start_offset;
	p->offline = st != 0;
	end_change(p);
	partition_advance_high_watermark(p);
	partition_wake_everybody(p);
	lock_release(&p->lock);
	return st;
}

int
partition_set_log(struct partition *p, struct log *log, int64_t checkpointed_high_watermark)
{
	bool had_log;

	lock_acquire(&p->lock);
	had_log = p->log != NULL;
	lock_release(&p->lock);
	if (had_log)
		return 0;
	log_set_high_watermark(log, checkpointed_high_watermark);
	if (p->leader == p->context->broker_id) { /* the manager's thread alone changes it */
		int64_t start_offset;
		int st = begin_epoch(log, p->leader_epoch, &start_offset);

		if (st != 0)
			return st;
		lock_acquire(&p->lock);
		p->epoch_start_offset = start_offset;
	} else {
		lock_acquire(&p->lock);
	}
	p->log = log_get(log);
	partition_advance_high_watermark(p);
	partition_wake_everybody(p);
	lock_release(&p->lock);
	return 0;
}

void
partition_stop(struct partition *p, bool deleted)
{
	struct log *log = NULL;

	lock_acquire(&p->lock);
	p->deleted = p->deleted || deleted;
	p->leader = -1;
	wait_for_appends(p);
	if (deleted) {
		log = p->log;
		p->log = NULL;
	}
	partition_wake_everybody(p);
	lock_release(&p->lock);
	log_put(log);
}

void
partition_set_offline(struct partition *p)
{
	lock_acquire(&p->lock);
	p->offline = true;
	partition_wake_everybody(p);
	lock_release(&p->lock);
}

void
partition_set_min_insync_replicas(struct partition *p, int32_t min_insync_replicas)
{
	lock_acquire(&p->lock);
	p->min_insync_replicas = min_insync_replicas;
	partition_advance_high_watermark(p);
	lock_release(&p->lock);
}
