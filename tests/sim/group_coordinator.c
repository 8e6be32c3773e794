#include "tests/sim/group_world.h"

#include <stdlib.h>

#include "wire/kerr.h"

#define RETENTION_MS 120000

static struct client *
client_of(const struct waiter *waiter)
{
	struct client *c = &w.clients[waiter->client];

	return c->process == waiter->process && c->state != GONE ? c : NULL;
}

void
world_apply(struct group_effects *fx)
{
	for (struct group_effect *e = fx->first; e != NULL; e = e->next) {
		struct waiter *waiter = e->waiter;
		struct client *c;

		if (e->kind == GROUP_EFFECT_STORE) {
			world_store_group(e->store_id);
			continue;
		}
		HOLDS(waiter != NULL && !waiter->answered); /* invariant 3 */
		HOLDS(waiter->is_join == (e->kind == GROUP_EFFECT_JOINED));
		waiter->answered = true;
		w.waiting--;
		c = client_of(waiter);
		if (c != NULL && e->kind == GROUP_EFFECT_JOINED)
			client_joined(c, &e->joined);
		else if (c != NULL)
			client_synced(c, &e->synced);
	}
	group_effects_fini(fx);
}

struct waiter *
world_wait(const struct client *c, bool is_join)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	HOLDS(waiter != NULL);
	waiter->client = (int)(c - w.clients);
	waiter->process = c->process;
	waiter->is_join = is_join;
	waiter->next = w.waiters;
	w.waiters = waiter;
	w.waiting++;
	return waiter;
}

void
world_forget_group(void)
{
	struct group_effects fx;

	group_effects_init(&fx);
	group_unload(w.g, K_NOT_COORDINATOR, &fx);
	HOLDS(group_deadline_ms(w.g) == INT64_MAX);
	world_apply(&fx);
	HOLDS(w.waiting == 0);
	world_forget_acks();
	group_free(w.g);
	w.g = NULL;
	w.last_generation = 0;
}

void
world_move_away(void)
{
	if (w.away)
		return;
	if (w.g != NULL)
		world_forget_group();
	w.away = true;
	w.back_ms = w.now_ms + 1 + below(5000);
	w.moves++;
}

void
world_make_group(void)
{
	w.g = group_new("g", &w.settings, now());
	w.last_generation = 0;
}

/* The last value of the group's record, in arena; false when there is none. */
static bool
read_log(struct group_metadata_value *value, struct arena *arena)
{
	bool found = false;

	for (int64_t i = 0; i < w.log_count; i++) {
		struct record_batch batch;
		struct group_record r;
		struct record_iter it;
		struct record record;
		struct slice payload;

		HOLDS(record_batch_parse(buf_slice(&w.log[i].batch), &batch) == 0);
		HOLDS(record_batch_payload(&batch, SIZE_MAX, NULL, &payload) == 0);
		record_iter_init(&it, payload, batch.record_count);
		while (record_iter_next(&it, &record)) {
			group_record_read(&record, arena, &r);
			HOLDS(r.kind == GROUP_RECORD_OFFSET || r.kind == GROUP_RECORD_GROUP);
			if (r.kind == GROUP_RECORD_GROUP) {
				found = !r.is_tombstone;
				*value = r.value;
			} else if (r.is_tombstone) {
				group_offsets_remove(group_offsets(w.g), r.topic, r.partition);
			} else {
				r.committed.batch_offset = i;
				group_offsets_put(group_offsets(w.g), r.topic, r.partition,
						  &r.committed);
			}
		}
		HOLDS(it.status == 0);
	}
	return found;
}

void
world_come_back(void)
{
	struct group_metadata_value value;
	struct group_effects fx;
	struct arena arena;

	w.away = false;
	world_make_group();
	arena_init(&arena, SIZE_MAX / 2);
	if (read_log(&value, &arena))
		group_restore(w.g, &value);
	arena_fini(&arena);
	for (int p = 0; p < PARTITIONS; p++) { /* invariant 4 */
		struct offset_view view;

		group_offsets_look(group_offsets(w.g), topic_of(p), p, &view);
		HOLDS((view.is_committed ? view.committed.offset : -1) == w.last_logged[p]);
		w.last_batch[p] = view.is_committed ? view.committed.batch_offset : -1;
	}
	w.last_generation = group_generation(w.g);
	group_effects_init(&fx);
	group_loaded(w.g, now(), &fx);
	world_apply(&fx);
}

static void
bury_offset(void *arg, struct str topic, int32_t partition, const struct offset_view *view)
{
	struct record_batch_builder *b = arg;

	HOLDS(view->is_committed && !view->is_unstable);
	group_records_add_offset_tombstone(b, WALL_MS + w.now_ms, group_id(w.g), topic, partition);
	w.last_logged[partition] = -1;
	w.last_batch[partition] = -1;
}

void
world_expire(void)
{
	struct record_batch_builder b;
	bool unused;

	if (w.g == NULL)
		return;
	record_batch_builder_init(&b, COMPRESSION_NONE, 0);
	unused = group_expire(w.g, RETENTION_MS, now(), bury_offset, &b);
	if (unused)
		group_records_add_group_tombstone(&b, WALL_MS + w.now_ms, group_id(w.g));
	if (b.record_count > 0)
		world_log(&b, -1, 0);
	else
		record_batch_builder_fini(&b);
	if (unused) {
		world_forget_group();
		memset(w.owner, 0, sizeof(w.owner)); /* another group of that name begins at 1 */
	}
}
