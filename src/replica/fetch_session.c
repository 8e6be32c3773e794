/*
 * Sessions are found by id in a map and stand in a list in the order of their last use. A session
 * keeps its partitions in a list in the order of reading and in a map by topic and number.
 */
#include "replica/fetch_session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/map.h"
#include "wire/generated/fetch.h"
#include "wire/kerr.h"

/* A session that was not used for so long may be evicted by anyone. */
#define EVICTION_MS 120000
#define FINAL_EPOCH (-1)
#define INITIAL_EPOCH 0
#define NOTHING_ANSWERED (-1)

struct cached_partition {
	struct cached_partition *next, *prev;     /* in the order of reading */
	struct fetch_target target;               /* its topic is owned */
	int64_t high_watermark, log_start_offset; /* as last answered */
};

struct session {
	struct session *next, *prev; /* by last use, oldest first */
	int32_t id, epoch;
	bool uses_topic_ids, is_follower;
	int64_t last_used_ms;
	struct map partitions; /* key -> struct cached_partition */
	struct cached_partition *first, *last;
};

struct fetch_sessions {
	struct env *env;
	size_t slots;
	struct lock lock;
	struct map by_id; /* all under lock */
	struct session *oldest, *newest;
};

int
fetch_sessions_open(struct env *env, size_t slots, struct fetch_sessions **ret_sessions)
{
	struct fetch_sessions *fs = calloc(1, sizeof(*fs));

	if (fs == NULL)
		return -ENOMEM;
	fs->env = env;
	fs->slots = slots;
	lock_init(&fs->lock, LOCK_SESSIONS);
	*ret_sessions = fs;
	return 0;
}

static void
partition_unlink(struct session *s, struct cached_partition *cp)
{
	*(cp->prev == NULL ? &s->first : &cp->prev->next) = cp->next;
	*(cp->next == NULL ? &s->last : &cp->next->prev) = cp->prev;
}

static void
partition_link_last(struct session *s, struct cached_partition *cp)
{
	cp->next = NULL;
	cp->prev = s->last;
	*(s->last == NULL ? &s->first : &s->last->next) = cp;
	s->last = cp;
}

static void
partition_free(struct cached_partition *cp)
{
	free((char *)(uintptr_t)cp->target.topic.data);
	free(cp);
}

static void
session_unlink(struct fetch_sessions *fs, struct session *s)
{
	*(s->prev == NULL ? &fs->oldest : &s->prev->next) = s->next;
	*(s->next == NULL ? &fs->newest : &s->next->prev) = s->prev;
}

static void
session_link_newest(struct fetch_sessions *fs, struct session *s)
{
	s->next = NULL;
	s->prev = fs->newest;
	*(fs->newest == NULL ? &fs->oldest : &fs->newest->next) = s;
	fs->newest = s;
}

static void
session_close(struct fetch_sessions *fs, struct session *s)
{
	map_remove(&fs->by_id, &s->id, sizeof(s->id));
	session_unlink(fs, s);
	while (s->first != NULL) {
		struct cached_partition *cp = s->first;

		s->first = cp->next;
		partition_free(cp);
	}
	map_fini(&s->partitions);
	free(s);
}

void
fetch_sessions_close(struct fetch_sessions *fs)
{
	if (fs == NULL)
		return;
	while (fs->oldest != NULL)
		session_close(fs, fs->oldest);
	map_fini(&fs->by_id);
	lock_fini(&fs->lock);
	free(fs);
}

size_t
fetch_sessions_count(struct fetch_sessions *fs)
{
	size_t count;

	lock_acquire(&fs->lock);
	count = fs->by_id.count;
	lock_release(&fs->lock);
	return count;
}

static struct session *
find_session(struct fetch_sessions *fs, int32_t id)
{
	return map_get(&fs->by_id, &id, sizeof(id));
}

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

static int
put_partition(struct session *s, const struct fetch_target *t)
{
	uint8_t key[KEY_MAX];
	size_t len = make_key(t, s->uses_topic_ids, key);
	struct cached_partition *cp = map_get(&s->partitions, key, len);
	struct str topic;

	if (cp != NULL) {
		topic = cp->target.topic;
		cp->target = *t;
		cp->target.topic = topic;
		return 0;
	}
	cp = calloc(1, sizeof(*cp));
	if (cp == NULL)
		return -ENOMEM;
	cp->target = *t;
	cp->high_watermark = cp->log_start_offset = NOTHING_ANSWERED;
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
	partition_link_last(s, cp);
	return 0;
}

static void
drop_partition(struct session *s, const struct fetch_target *t)
{
	uint8_t key[KEY_MAX];
	size_t len = make_key(t, s->uses_topic_ids, key);
	struct cached_partition *cp = map_remove(&s->partitions, key, len);

	if (cp == NULL)
		return;
	partition_unlink(s, cp);
	partition_free(cp);
}

/* Calls fn for each partition that the request lists. Stops at an error. */
static int
each_listed(const struct fetch_request *req, int (*fn)(void *arg, const struct fetch_target *t),
	    void *arg)
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

static int
put_listed(void *arg, const struct fetch_target *t)
{
	return put_partition(arg, t);
}

static int
append_target(void *arg, const struct fetch_target *t)
{
	struct fetch_context *context = arg;

	context->targets[context->target_count++] = *t;
	return 0;
}

static int
list_request(const struct fetch_request *req, struct arena *arena, struct fetch_context *context)
{
	size_t count = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		count += (size_t)req->topics[t].partitions_count;
	context->targets = arena_calloc(arena, count, sizeof(*context->targets));
	if (context->targets == NULL)
		return -ENOMEM;
	return each_listed(req, append_target, context);
}

/* Copies out what the session holds: another request may change it meanwhile. */
static int
list_session(const struct session *s, struct arena *arena, struct fetch_context *context)
{
	context->targets = arena_calloc(arena, s->partitions.count, sizeof(*context->targets));
	if (context->targets == NULL)
		return -ENOMEM;
	for (const struct cached_partition *cp = s->first; cp != NULL; cp = cp->next) {
		struct fetch_target *t = &context->targets[context->target_count++];

		*t = cp->target;
		if (t->topic.data != NULL) {
			t->topic.data = arena_strdup(arena, t->topic.data, t->topic.len);
			if (t->topic.data == NULL)
				return -ENOMEM;
		}
	}
	return 0;
}

static void
forget_listed(struct session *s, const struct fetch_request *req)
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

static int32_t
epoch_after(int32_t epoch)
{
	return epoch == INT32_MAX ? 1 : epoch + 1;
}

/* Under the lock. */
static int
begin_incremental(struct fetch_sessions *fs, const struct fetch_request *req, struct arena *arena,
		  struct fetch_context *context)
{
	struct session *s = find_session(fs, req->session_id);
	int st;

	if (s == NULL)
		return K_FETCH_SESSION_ID_NOT_FOUND;
	if (s->epoch != req->session_epoch)
		return K_INVALID_FETCH_SESSION_EPOCH;
	if (s->uses_topic_ids != context->uses_topic_ids)
		return K_FETCH_SESSION_TOPIC_ID_ERROR;
	st = each_listed(req, put_listed, s);
	if (st != 0)
		return st;
	forget_listed(s, req);
	s->epoch = epoch_after(s->epoch);
	s->last_used_ms = env_monotonic_ms(fs->env);
	session_unlink(fs, s);
	session_link_newest(fs, s);
	if (s->partitions.count == 0) {
		session_close(fs, s);
		return 0;
	}
	context->incremental = true;
	context->session_id = s->id;
	context->epoch = s->epoch;
	return list_session(s, arena, context);
}

int
fetch_session_begin(struct fetch_sessions *fs, const struct fetch_request *req, int version,
		    bool is_follower, struct arena *arena, struct fetch_context *ret_context)
{
	struct fetch_context context = {.uses_topic_ids = version >= 13,
					.is_follower = is_follower};
	int st = 0;

	if (version < 7 || req->session_epoch == FINAL_EPOCH ||
	    req->session_epoch == INITIAL_EPOCH) {
		if (version >= 7 && req->session_id != 0) {
			struct session *s;

			lock_acquire(&fs->lock);
			s = find_session(fs, req->session_id);
			if (s != NULL)
				session_close(fs, s);
			lock_release(&fs->lock);
		}
		context.create = version >= 7 && req->session_epoch == INITIAL_EPOCH;
		st = list_request(req, arena, &context);
	} else {
		lock_acquire(&fs->lock);
		st = begin_incremental(fs, req, arena, &context);
		lock_release(&fs->lock);
	}
	if (st == 0)
		*ret_context = context;
	return st;
}

/* Under the lock: room for a session of so many partitions, if need be by evicting one. */
static bool
make_room(struct fetch_sessions *fs, const struct fetch_context *context, int64_t now_ms)
{
	struct session *victim = NULL;

	if (fs->by_id.count < fs->slots)
		return true;
	if (fs->oldest == NULL)
		return false;
	if (now_ms - fs->oldest->last_used_ms > EVICTION_MS) {
		session_close(fs, fs->oldest);
		return true;
	}
	for (struct session *s = fs->oldest; s != NULL && context->is_follower; s = s->next)
		if (!s->is_follower &&
		    (victim == NULL || s->partitions.count < victim->partitions.count))
			victim = s;
	if (victim == NULL)
		return false;
	session_close(fs, victim);
	return true;
}

static void
remember_answer(struct cached_partition *cp, const struct fetch_target *t)
{
	/* After an error the client must be told everything again. */
	cp->high_watermark = t->failed ? NOTHING_ANSWERED : t->high_watermark;
	cp->log_start_offset = t->failed ? NOTHING_ANSWERED : t->answered_log_start_offset;
}

/* Under the lock. The id of the new session, or 0 when there is no room for it. */
static int32_t
create_session(struct fetch_sessions *fs, const struct fetch_context *context)
{
	int64_t now_ms = env_monotonic_ms(fs->env);
	struct session *s;

	if (context->target_count == 0 || !make_room(fs, context, now_ms))
		return 0;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return 0;
	do
		s->id = 1 + (int32_t)env_random_below(fs->env, INT32_MAX);
	while (find_session(fs, s->id) != NULL);
	s->epoch = 1;
	s->uses_topic_ids = context->uses_topic_ids;
	s->is_follower = context->is_follower;
	s->last_used_ms = now_ms;
	session_link_newest(fs, s);
	if (map_put(&fs->by_id, &s->id, sizeof(s->id), s, NULL) != 0) {
		session_close(fs, s);
		return 0;
	}
	for (size_t i = 0; i < context->target_count; i++) {
		uint8_t key[KEY_MAX];
		size_t len = make_key(&context->targets[i], s->uses_topic_ids, key);

		if (put_partition(s, &context->targets[i]) != 0) {
			session_close(fs, s);
			return 0;
		}
		remember_answer(map_get(&s->partitions, key, len), &context->targets[i]);
	}
	return s->id;
}

/* Under the lock: marks what is new, and moves what had records to the end. */
static void
mark_news(struct session *s, struct fetch_context *context)
{
	for (size_t i = 0; i < context->target_count; i++) {
		struct fetch_target *t = &context->targets[i];
		uint8_t key[KEY_MAX];
		struct cached_partition *cp =
		    map_get(&s->partitions, key, make_key(t, s->uses_topic_ids, key));

		t->include = t->has_records || t->failed || t->must_answer;
		if (cp == NULL)
			continue;
		t->include = t->include || cp->high_watermark != t->high_watermark ||
			     cp->log_start_offset != t->answered_log_start_offset;
		if (t->include)
			remember_answer(cp, t);
		if (t->has_records) {
			partition_unlink(s, cp);
			partition_link_last(s, cp);
		}
	}
}

int
fetch_session_end(struct fetch_sessions *fs, struct fetch_context *context, int32_t *ret_session_id)
{
	struct session *s;
	int st = 0;

	if (!context->incremental) {
		for (size_t i = 0; i < context->target_count; i++)
			context->targets[i].include = true;
		*ret_session_id = 0;
		if (context->create) {
			lock_acquire(&fs->lock);
			*ret_session_id = create_session(fs, context);
			lock_release(&fs->lock);
		}
		return 0;
	}
	lock_acquire(&fs->lock);
	s = find_session(fs, context->session_id);
	if (s == NULL || s->epoch != context->epoch)
		st = K_INVALID_FETCH_SESSION_EPOCH;
	else
		mark_news(s, context);
	lock_release(&fs->lock);
	if (st == 0)
		*ret_session_id = context->session_id;
	return st;
}
