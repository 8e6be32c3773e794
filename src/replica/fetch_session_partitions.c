/*
 * One session: its partitions in a map by topic and number, and in one of two lists, the awake and
 * the quiet. A quiet partition that stirs is noted under news_lock alone, since its own lock is
 * held then, and moved to the awake by the next who lists.
 */
#include <errno.h>
#include <stdlib.h>

#include "replica/fetch_session_internal.h"
#include "wire/generated/fetch.h"

#define NOTHING_ANSWERED (-1)

/* ---- lists ---- */

static struct partition_list *
list_of(struct cached_partition *cp)
{
	return cp->in_quiet_list ? &cp->session->quiet : &cp->session->awake;
}

static void
list_remove(struct cached_partition *cp)
{
	struct partition_list *list = list_of(cp);

	*(cp->prev == NULL ? &list->first : &cp->prev->next) = cp->next;
	*(cp->next == NULL ? &list->last : &cp->next->prev) = cp->prev;
}

static void
list_append(struct cached_partition *cp, bool quiet)
{
	struct partition_list *list;

	cp->in_quiet_list = quiet;
	list = list_of(cp);
	cp->next = NULL;
	cp->prev = list->last;
	*(list->last == NULL ? &list->first : &list->last->next) = cp;
	list->last = cp;
}

/* ---- news ---- */

/* Under the partition's lock. */
static int64_t
on_stir(struct partition_watch *watch, enum partition_wait what, int64_t bytes)
{
	struct cached_partition *cp = CONTAINER_OF(watch, struct cached_partition, watch);
	struct fetch_session *s = cp->session;
	int64_t had_all_ms = -1;

	if (what != PARTITION_WAIT_DATA && (what != PARTITION_WAIT_LOG_END || s->follower_id < 0))
		return -1;
	lock_acquire(&s->news_lock);
	if (cp->quiet && s->follower_id >= 0)
		had_all_ms = s->last_fetch_ms;
	cp->quiet = false;
	if (!cp->stirred) {
		cp->stirred = true;
		cp->next_stirred = s->stirred;
		s->stirred = cp;
	}
	/* A follower hears of a high watermark in passing, without being woken. */
	if (s->follower_id < 0 || what == PARTITION_WAIT_LOG_END) {
		s->urgent = true;
		if (s->sleeper != NULL)
			s->sleeper->wake(s->sleeper, bytes);
	}
	lock_release(&s->news_lock);
	return had_all_ms;
}

/* Under the session's lock: what has stirred is awake from now on. Returns how many had stirred. */
static int
wake_stirred(struct fetch_session *s)
{
	int count = 0;

	lock_acquire(&s->news_lock);
	for (struct cached_partition *cp = s->stirred; cp != NULL; cp = cp->next_stirred, count++) {
		cp->stirred = false;
		if (cp->in_quiet_list) {
			list_remove(cp);
			list_append(cp, false);
		}
	}
	s->stirred = NULL;
	s->urgent = false;
	lock_release(&s->news_lock);
	return count;
}

/* Nobody reports it any more. */
static void
forget_stirred(struct cached_partition *cp)
{
	struct fetch_session *s = cp->session;

	lock_acquire(&s->news_lock);
	for (struct cached_partition **at = &s->stirred; cp->stirred; at = &(*at)->next_stirred)
		if (*at == cp) {
			*at = cp->next_stirred;
			break;
		}
	lock_release(&s->news_lock);
}

/* ---- a session ---- */

struct fetch_session *
fetch_session_new(bool uses_topic_ids, int32_t follower_id)
{
	struct fetch_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->uses_topic_ids = uses_topic_ids;
	s->follower_id = follower_id;
	atomic_init(&s->references, 1);
	lock_init(&s->lock, LOCK_SESSION);
	lock_init(&s->news_lock, LOCK_SESSION_NEWS);
	return s;
}

static void
partition_free(struct cached_partition *cp)
{
	partition_watch_end(&cp->watch);
	free((char *)(uintptr_t)cp->target.topic.data);
	free(cp);
}

static void
free_list(struct partition_list *list)
{
	while (list->first != NULL) {
		struct cached_partition *cp = list->first;

		list->first = cp->next;
		partition_free(cp);
	}
}

void
fetch_session_put(struct fetch_session *s)
{
	if (s == NULL || atomic_fetch_sub(&s->references, 1) != 1)
		return;
	free_list(&s->awake);
	free_list(&s->quiet);
	map_fini(&s->partitions);
	lock_fini(&s->news_lock);
	lock_fini(&s->lock);
	free(s);
}

/* ---- what it holds, under its lock ---- */

/* The key of a partition: its topic's id or name, then its number. */
#define KEY_MAX (16 + 4 + 256)
static size_t
make_key(const struct fetch_target *t, bool by_id, uint8_t key[KEY_MAX])
{
	size_t len;

	put_be32(key, (uint32_t)t->partition);
	if (by_id) {
		memcpy(key + 4, t->topic_id.bytes, 16);
		return 20;
	}
	len = t->topic.len < 256 ? t->topic.len : 256;
	if (len > 0)
		memcpy(key + 4, t->topic.data, len);
	return 4 + len;
}

static struct cached_partition *
find_partition(const struct fetch_session *s, const struct fetch_target *t)
{
	uint8_t key[KEY_MAX];

	return map_get(&s->partitions, key, make_key(t, s->uses_topic_ids, key));
}

/* It is to be looked at, whatever was known of it. */
static void
wake_partition(struct cached_partition *cp)
{
	lock_acquire(&cp->session->news_lock);
	cp->quiet = false;
	lock_release(&cp->session->news_lock);
	if (!cp->in_quiet_list)
		return;
	list_remove(cp);
	list_append(cp, false);
}

static int
add_partition(struct fetch_session *s, const struct fetch_target *t)
{
	struct cached_partition *cp = calloc(1, sizeof(*cp));
	uint8_t key[KEY_MAX];
	size_t len = make_key(t, s->uses_topic_ids, key);

	if (cp == NULL)
		return -ENOMEM;
	cp->session = s;
	cp->target = *t;
	cp->target.watched = NULL;
	cp->high_watermark = cp->log_start_offset = NOTHING_ANSWERED;
	cp->watch.follower_id = s->follower_id;
	cp->watch.stir = on_stir;
	if (t->topic.data != NULL) {
		cp->target.topic.data = strndup(t->topic.data, t->topic.len);
		if (cp->target.topic.data == NULL) {
			free(cp);
			return -ENOMEM;
		}
	}
	if (map_put(&s->partitions, key, len, cp, NULL) != 0) {
		partition_free(cp);
		return -ENOMEM;
	}
	list_append(cp, false);
	return 0;
}

static int
put_partition(void *arg, const struct fetch_target *t)
{
	struct fetch_session *s = arg;
	struct cached_partition *cp = find_partition(s, t);
	struct fetch_target target = *t;

	if (cp == NULL)
		return add_partition(s, t);
	target.topic = cp->target.topic;
	target.watched = cp->target.watched;
	cp->target = target;
	wake_partition(cp);
	return 0;
}

static void
drop_partition(struct fetch_session *s, const struct fetch_target *t)
{
	uint8_t key[KEY_MAX];
	size_t len = make_key(t, s->uses_topic_ids, key);
	struct cached_partition *cp = map_remove(&s->partitions, key, len);

	if (cp == NULL)
		return;
	list_remove(cp);
	partition_watch_end(&cp->watch);
	forget_stirred(cp);
	partition_free(cp);
}

static void
forget_listed(struct fetch_session *s, const struct fetch_request *req)
{
	for (int32_t t = 0; t < req->forgotten_topics_data_count; t++) {
		const struct forgotten_topic *topic = &req->forgotten_topics_data[t];

		for (int32_t i = 0; i < topic->partitions_count; i++) {
			struct fetch_target target = {.topic = topic->topic,
						      .topic_id = topic->topic_id,
						      .partition = topic->partitions[i]};

			drop_partition(s, &target);
		}
	}
}

int
fetch_request_each(const struct fetch_request *req,
		   int (*fn)(void *arg, const struct fetch_target *t), void *arg)
{
	int st = 0;

	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct fetch_topic *topic = &req->topics[t];

		for (int32_t i = 0; st == 0 && i < topic->partitions_count; i++) {
			const struct fetch_partition *p = &topic->partitions[i];
			struct fetch_target target = {
			    .topic = topic->topic,
			    .topic_id = topic->topic_id,
			    .partition = p->partition,
			    .fetch_offset = p->fetch_offset,
			    .log_start_offset = p->log_start_offset,
			    .max_bytes = p->partition_max_bytes,
			    .current_leader_epoch = p->current_leader_epoch,
			    .last_fetched_epoch = p->last_fetched_epoch,
			};

			st = fn(arg, &target);
		}
	}
	return st;
}

int
fetch_session_change(struct fetch_session *s, const struct fetch_request *req, size_t *ret_size)
{
	int st;

	lock_acquire(&s->lock);
	st = fetch_request_each(req, put_partition, s);
	if (st == 0)
		forget_listed(s, req);
	*ret_size = s->partitions.count;
	lock_release(&s->lock);
	return st;
}

/* ---- listing: copies, since another request may change the session meanwhile ---- */

static int
reserve_targets(struct fetch_context *context, size_t count, struct arena *arena)
{
	struct fetch_target *grown;

	if (count <= context->target_capacity)
		return 0;
	grown = arena_calloc(arena, count, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	if (context->target_count > 0)
		memcpy(grown, context->targets, context->target_count * sizeof(*grown));
	context->targets = grown;
	context->target_capacity = count;
	return 0;
}

static int
append_target(const struct cached_partition *cp, struct arena *arena, struct fetch_context *context)
{
	struct fetch_target *t;
	size_t capacity = context->target_capacity;

	if (context->target_count == capacity &&
	    reserve_targets(context, capacity < 8 ? 8 : capacity * 2, arena) != 0)
		return -ENOMEM;
	t = &context->targets[context->target_count];
	*t = cp->target;
	if (t->topic.data != NULL) {
		t->topic.data = arena_strdup(arena, t->topic.data, t->topic.len);
		if (t->topic.data == NULL)
			return -ENOMEM;
	}
	context->target_count++;
	return 0;
}

int
fetch_session_list(struct fetch_session *s, int64_t now_ms, struct arena *arena,
		   struct fetch_context *context)
{
	int st = 0;

	lock_acquire(&s->lock);
	wake_stirred(s);
	lock_acquire(&s->news_lock);
	s->last_fetch_ms = now_ms;
	lock_release(&s->news_lock);
	for (int i = 0; i < FETCH_SESSION_ROUND && s->quiet.first != NULL; i++)
		wake_partition(s->quiet.first);
	for (const struct cached_partition *cp = s->awake.first; cp != NULL && st == 0;
	     cp = cp->next)
		st = append_target(cp, arena, context);
	lock_release(&s->lock);
	return st;
}

int
fetch_session_add_stirred(struct fetch_context *context, struct arena *arena)
{
	struct fetch_session *s = context->session;
	struct cached_partition *last;
	int count, st = 0;

	if (s == NULL)
		return 0;
	lock_acquire(&s->lock);
	last = s->awake.last;
	count = wake_stirred(s);
	for (const struct cached_partition *cp = last == NULL ? s->awake.first : last->next;
	     cp != NULL && st == 0; cp = cp->next)
		st = append_target(cp, arena, context);
	lock_release(&s->lock);
	return st != 0 ? st : count;
}

/* ---- one fetch ---- */

void
fetch_session_watch(struct fetch_context *context, const struct fetch_target *target,
		    struct partition *p)
{
	struct fetch_session *s = context->session;
	struct cached_partition *cp;

	if (s == NULL || target->watched == p)
		return;
	lock_acquire(&s->lock);
	cp = find_partition(s, target);
	if (cp != NULL && cp->watch.partition != p) {
		partition_watch_end(&cp->watch);
		partition_watch(p, &cp->watch);
		cp->target.watched = p;
	}
	lock_release(&s->lock);
}

bool
fetch_session_sleep(struct fetch_context *context, struct fetch_sleeper *sleeper)
{
	struct fetch_session *s = context->session;
	bool urgent;

	lock_acquire(&s->news_lock);
	s->sleeper = context->sleeper = sleeper;
	urgent = s->urgent;
	lock_release(&s->news_lock);
	return urgent;
}

void
fetch_session_leave(struct fetch_context *context)
{
	struct fetch_session *s = context->session;

	if (s == NULL)
		return;
	lock_acquire(&s->news_lock);
	if (s->sleeper == context->sleeper)
		s->sleeper = NULL;
	lock_release(&s->news_lock);
	context->session = NULL;
	fetch_session_put(s);
}

static void
remember_answer(struct cached_partition *cp, const struct fetch_target *t)
{
	/* After an error the client must be told everything again. */
	cp->high_watermark = t->failed ? NOTHING_ANSWERED : t->high_watermark;
	cp->log_start_offset = t->failed ? NOTHING_ANSWERED : t->answered_log_start_offset;
}

int
fetch_session_fill(struct fetch_session *s, const struct fetch_context *context)
{
	int st = 0;

	lock_acquire(&s->lock);
	for (size_t i = 0; i < context->target_count && st == 0; i++) {
		st = put_partition(s, &context->targets[i]);
		if (st == 0)
			remember_answer(find_partition(s, &context->targets[i]),
					&context->targets[i]);
	}
	lock_release(&s->lock);
	return st;
}

/* Everything is said, and it has not stirred since it was read. */
static bool
may_rest(struct cached_partition *cp, const struct fetch_target *t)
{
	bool rests;

	if (!t->quiet || t->has_records || t->failed || t->must_answer ||
	    cp->watch.partition == NULL || cp->target.fetch_offset != t->fetch_offset)
		return false;
	lock_acquire(&cp->session->news_lock);
	rests = cp->quiet = !cp->stirred;
	lock_release(&cp->session->news_lock);
	return rests;
}

void
fetch_session_settle(struct fetch_session *s, struct fetch_context *context)
{
	lock_acquire(&s->lock);
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetch_target *t = &context->targets[i];
		struct cached_partition *cp = find_partition(s, t);
		bool rests;

		t->include = t->has_records || t->failed || t->must_answer;
		if (cp == NULL)
			continue;
		t->include = t->include || cp->high_watermark != t->high_watermark ||
			     cp->log_start_offset != t->answered_log_start_offset;
		if (t->include)
			remember_answer(cp, t);
		rests = may_rest(cp, t);
		if (t->has_records || rests != cp->in_quiet_list) {
			list_remove(cp);
			list_append(cp, rests);
		}
	}
	lock_release(&s->lock);
}
