/*
 * Which sessions there are: found by id in a map, in a list in the order of their last use, and
 * counted, since a fetch may still run in one that was closed meanwhile.
 */
#include "replica/fetch_session.h"

#include <errno.h>
#include <stdlib.h>

#include "replica/fetch_session_internal.h"
#include "wire/generated/fetch.h"
#include "wire/kerr.h"

/* A session that was not used for so long may be evicted by anyone. */
#define EVICTION_MS 120000
#define FINAL_EPOCH (-1)
#define INITIAL_EPOCH 0

struct fetch_sessions {
	struct env *env;
	size_t slots;
	struct lock lock;
	struct map by_id; /* all under lock */
	struct fetch_session *oldest, *newest;
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

/* ---- under the lock ---- */

static void
unlink_session(struct fetch_sessions *fs, struct fetch_session *s)
{
	*(s->prev == NULL ? &fs->oldest : &s->prev->next) = s->next;
	*(s->next == NULL ? &fs->newest : &s->next->prev) = s->prev;
}

static void
link_newest(struct fetch_sessions *fs, struct fetch_session *s)
{
	s->next = NULL;
	s->prev = fs->newest;
	*(fs->newest == NULL ? &fs->oldest : &fs->newest->next) = s;
	fs->newest = s;
}

static struct fetch_session *
find_session(struct fetch_sessions *fs, int32_t id)
{
	return map_get(&fs->by_id, &id, sizeof(id));
}

/* Takes it out. The table's reference becomes the caller's, to be put without the lock. */
static struct fetch_session *
take_out(struct fetch_sessions *fs, struct fetch_session *s)
{
	map_remove(&fs->by_id, &s->id, sizeof(s->id));
	unlink_session(fs, s);
	return s;
}

/* ---- */

void
fetch_sessions_close(struct fetch_sessions *fs)
{
	if (fs == NULL)
		return;
	while (fs->oldest != NULL)
		fetch_session_put(take_out(fs, fs->oldest));
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

static void
close_session(struct fetch_sessions *fs, int32_t id)
{
	struct fetch_session *s;

	lock_acquire(&fs->lock);
	s = find_session(fs, id);
	if (s != NULL)
		take_out(fs, s);
	lock_release(&fs->lock);
	fetch_session_put(s);
}

/* Targets and what is made of them, in arrays that may have to grow once. */
static void
allow_targets(struct arena *arena, size_t count, size_t target_bytes)
{
	arena_allow(arena, count, 2 * (sizeof(struct fetch_target) + target_bytes));
}

static int
append_target(void *arg, const struct fetch_target *t)
{
	struct fetch_context *context = arg;

	context->targets[context->target_count++] = *t;
	return 0;
}

static int
list_request(const struct fetch_request *req, struct arena *arena, size_t target_bytes,
	     struct fetch_context *context)
{
	size_t count = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		count += (size_t)req->topics[t].partitions_count;
	allow_targets(arena, count, target_bytes);
	context->targets = arena_calloc(arena, count, sizeof(*context->targets));
	if (context->targets == NULL)
		return -ENOMEM;
	context->target_capacity = count;
	return fetch_request_each(req, append_target, context);
}

static int32_t
epoch_after(int32_t epoch)
{
	return epoch == INT32_MAX ? 1 : epoch + 1;
}

/* Counted for the caller. */
static int
enter_session(struct fetch_sessions *fs, const struct fetch_request *req,
	      struct fetch_context *context)
{
	struct fetch_session *s;
	int st = 0;

	lock_acquire(&fs->lock);
	s = find_session(fs, req->session_id);
	if (s == NULL)
		st = K_FETCH_SESSION_ID_NOT_FOUND;
	else if (s->epoch != req->session_epoch)
		st = K_INVALID_FETCH_SESSION_EPOCH;
	else if (s->uses_topic_ids != context->uses_topic_ids)
		st = K_FETCH_SESSION_TOPIC_ID_ERROR;
	if (st == 0) {
		s->epoch = context->epoch = epoch_after(s->epoch);
		s->last_used_ms = env_monotonic_ms(fs->env);
		unlink_session(fs, s);
		link_newest(fs, s);
		atomic_fetch_add(&s->references, 1);
		context->session = s;
	}
	lock_release(&fs->lock);
	return st;
}

static int
begin_incremental(struct fetch_sessions *fs, const struct fetch_request *req, struct arena *arena,
		  size_t target_bytes, struct fetch_context *context)
{
	int st = enter_session(fs, req, context);
	size_t size;

	if (st != 0)
		return st;
	st = fetch_session_change(context->session, req, &size);
	if (st == 0 && size == 0) {
		close_session(fs, req->session_id);
		fetch_session_leave(context);
		return 0;
	}
	if (st == 0) {
		lock_acquire(&fs->lock);
		context->session->size = size;
		lock_release(&fs->lock);
		context->incremental = true;
		allow_targets(arena, size, target_bytes);
		st =
		    fetch_session_list(context->session, env_monotonic_ms(fs->env), arena, context);
	}
	if (st != 0)
		fetch_session_leave(context);
	return st;
}

int
fetch_session_begin(struct fetch_sessions *fs, const struct fetch_request *req, int version,
		    int32_t follower_id, struct arena *arena, size_t target_bytes,
		    struct fetch_context *ret_context)
{
	struct fetch_context context = {.uses_topic_ids = version >= 13,
					.follower_id = follower_id};
	int st;

	if (version < 7 || req->session_epoch == FINAL_EPOCH ||
	    req->session_epoch == INITIAL_EPOCH) {
		if (version >= 7 && req->session_id != 0)
			close_session(fs, req->session_id);
		context.create = version >= 7 && req->session_epoch == INITIAL_EPOCH;
		st = list_request(req, arena, target_bytes, &context);
	} else {
		st = begin_incremental(fs, req, arena, target_bytes, &context);
	}
	if (st == 0)
		*ret_context = context;
	return st;
}

/* Under the lock. Who has to go for a new session; NULL: there is no room. */
static struct fetch_session *
find_victim(struct fetch_sessions *fs, bool for_follower, int64_t now_ms)
{
	struct fetch_session *victim = NULL;

	if (fs->oldest != NULL && now_ms - fs->oldest->last_used_ms > EVICTION_MS)
		return fs->oldest;
	for (struct fetch_session *s = fs->oldest; s != NULL && for_follower; s = s->next)
		if (s->follower_id < 0 && (victim == NULL || s->size < victim->size))
			victim = s;
	return victim;
}

/*
 * Takes a session in, whose id is chosen here, if need be in place of another, which is the
 * caller's to put. Returns the id; 0: there is no room.
 */
static int32_t
take_in(struct fetch_sessions *fs, struct fetch_session *s, struct fetch_session **ret_victim)
{
	int64_t now_ms = env_monotonic_ms(fs->env);
	int32_t id = 0;

	lock_acquire(&fs->lock);
	if (fs->by_id.count >= fs->slots) {
		*ret_victim = find_victim(fs, s->follower_id >= 0, now_ms);
		if (*ret_victim != NULL)
			take_out(fs, *ret_victim);
	}
	if (fs->by_id.count < fs->slots) {
		do
			id = 1 + (int32_t)env_random_below(fs->env, INT32_MAX);
		while (find_session(fs, id) != NULL);
		s->id = id;
		s->epoch = 1;
		s->last_used_ms = now_ms;
		if (map_put(&fs->by_id, &s->id, sizeof(s->id), s, NULL) == 0)
			link_newest(fs, s);
		else
			id = 0;
	}
	lock_release(&fs->lock);
	return id;
}

/* The id of the new session, or 0 when there is no room for it. */
static int32_t
create_session(struct fetch_sessions *fs, const struct fetch_context *context)
{
	struct fetch_session *s, *victim = NULL;
	int32_t id = 0;

	if (context->target_count == 0)
		return 0;
	s = fetch_session_new(context->uses_topic_ids, context->follower_id);
	if (s == NULL)
		return 0;
	s->size = context->target_count;
	if (fetch_session_fill(s, context) == 0)
		id = take_in(fs, s, &victim);
	if (id == 0)
		fetch_session_put(s);
	fetch_session_put(victim);
	return id;
}

int
fetch_session_end(struct fetch_sessions *fs, struct fetch_context *context, int32_t *ret_session_id)
{
	struct fetch_session *s = context->session;
	bool overtaken;

	if (!context->incremental) {
		for (size_t i = 0; i < context->target_count; i++)
			context->targets[i].include = true;
		*ret_session_id = context->create ? create_session(fs, context) : 0;
		return 0;
	}
	lock_acquire(&fs->lock);
	overtaken = find_session(fs, s->id) != s || s->epoch != context->epoch;
	lock_release(&fs->lock);
	if (overtaken)
		return K_INVALID_FETCH_SESSION_EPOCH;
	fetch_session_settle(s, context);
	*ret_session_id = s->id;
	return 0;
}
