/*
 * Offsets by topic, and in a topic an array in order of partition: a commit or a fetch names a
 * topic once and its partitions one after the other, and a name is kept once.
 *
 * An entry lives while it is committed or pending in either way.
 */
#include "group/group_offsets.h"

#include <assert.h>

#include "group/group_memory.h"

struct offsets_entry {
	int32_t partition;
	int32_t pending;         /* plain commits on their way */
	struct txn_offset *txns; /* of producers with an open transaction */
	bool is_committed;
	struct committed_offset committed; /* metadata owned, see take_metadata() */
};

struct offsets_topic {
	struct offsets_entry *entries; /* in order of partition */
	int32_t count, cap;
};

/* One offset of an open transaction: in its producer's map and in its partition's list. */
struct txn_offset {
	struct txn_offset *next, *prev; /* prev NULL: the first of the partition's */
	struct offsets_producer *producer;
	struct str topic; /* owned */
	struct txn_key {
		const struct offsets_topic *topic;
		int64_t partition;
	} key;
	struct committed_offset committed; /* metadata owned */
};

struct offsets_producer {
	struct map offsets; /* struct txn_key -> struct txn_offset */
};

/* ---- metadata: the empty one, by far the most frequent, costs nothing ---- */

static void
free_metadata(struct committed_offset *c)
{
	if (c->metadata.len > 0)
		free((char *)(uintptr_t)c->metadata.data);
	c->metadata = str_of("");
}

static void
take_metadata(struct committed_offset *c)
{
	c->metadata = c->metadata.len == 0
			  ? str_of("")
			  : (struct str){must_copy_text(c->metadata), c->metadata.len};
}

/* ---- the table ---- */

static struct offsets_topic *
find_topic(const struct group_offsets *go, struct str topic)
{
	return map_get(&go->topics, topic.data, topic.len);
}

/* Where partition is in the array, or would be. */
static int32_t
place_of(const struct offsets_topic *t, int32_t partition)
{
	int32_t low = 0, high = t->count;

	while (low < high) {
		int32_t mid = low + (high - low) / 2;

		if (t->entries[mid].partition < partition)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct offsets_entry *
find_entry(const struct group_offsets *go, struct str topic, int32_t partition)
{
	const struct offsets_topic *t = find_topic(go, topic);
	int32_t at;

	if (t == NULL)
		return NULL;
	at = place_of(t, partition);
	return at < t->count && t->entries[at].partition == partition ? &t->entries[at] : NULL;
}

static struct offsets_entry *
find_or_make(struct group_offsets *go, struct str topic, int32_t partition)
{
	struct offsets_topic *t = find_topic(go, topic);
	int32_t at;

	if (t == NULL) {
		t = must_calloc(1, sizeof(*t));
		if (map_put(&go->topics, topic.data, topic.len, t, NULL) != 0)
			abort();
	}
	at = place_of(t, partition);
	if (at < t->count && t->entries[at].partition == partition)
		return &t->entries[at];
	if (t->count == t->cap) {
		t->cap = t->cap == 0 ? 1 : t->cap * 2;
		t->entries = realloc(t->entries, (size_t)t->cap * sizeof(*t->entries));
		if (t->entries == NULL)
			abort();
	}
	memmove(&t->entries[at + 1], &t->entries[at],
		(size_t)(t->count - at) * sizeof(*t->entries));
	t->entries[at] = (struct offsets_entry){.partition = partition};
	t->entries[at].committed.metadata = str_of("");
	t->count++;
	return &t->entries[at];
}

static void
drop_entry(struct group_offsets *go, struct str topic, struct offsets_entry *e)
{
	struct offsets_topic *t = find_topic(go, topic);
	int32_t at = (int32_t)(e - t->entries);

	if (e->is_committed)
		go->committed_count--;
	go->pending_count -= (size_t)e->pending;
	free_metadata(&e->committed);
	t->count--;
	memmove(e, e + 1, (size_t)(t->count - at) * sizeof(*t->entries));
	if (t->count == 0) {
		map_remove(&go->topics, topic.data, topic.len);
		free(t->entries);
		free(t);
	}
}

static void
drop_if_unused(struct group_offsets *go, struct str topic, struct offsets_entry *e)
{
	if (!e->is_committed && e->pending == 0 && e->txns == NULL)
		drop_entry(go, topic, e);
}

static void
put(struct group_offsets *go, struct offsets_entry *e, const struct committed_offset *committed)
{
	if (e->is_committed && e->committed.batch_offset > committed->batch_offset)
		return;
	if (!e->is_committed)
		go->committed_count++;
	free_metadata(&e->committed);
	e->is_committed = true;
	e->committed = *committed;
	take_metadata(&e->committed);
}

void
group_offsets_put(struct group_offsets *go, struct str topic, int32_t partition,
		  const struct committed_offset *committed)
{
	put(go, find_or_make(go, topic, partition), committed);
}

void
group_offsets_begin(struct group_offsets *go, struct str topic, int32_t partition)
{
	find_or_make(go, topic, partition)->pending++;
	go->pending_count++;
}

void
group_offsets_end(struct group_offsets *go, struct str topic, int32_t partition,
		  const struct committed_offset *committed)
{
	struct offsets_entry *e = find_entry(go, topic, partition);

	if (e == NULL) /* its topic was deleted meanwhile */
		return;
	if (e->pending > 0) {
		e->pending--;
		go->pending_count--;
	} else if (!e->is_committed) {
		return;
	}
	if (committed != NULL)
		put(go, e, committed);
	drop_if_unused(go, topic, e);
}

void
group_offsets_look(const struct group_offsets *go, struct str topic, int32_t partition,
		   struct offset_view *ret_view)
{
	const struct offsets_entry *e = find_entry(go, topic, partition);

	*ret_view = (struct offset_view){0};
	if (e == NULL)
		return;
	ret_view->is_committed = e->is_committed;
	ret_view->is_unstable = e->pending > 0 || e->txns != NULL;
	ret_view->committed = e->committed;
}

bool
group_offsets_any(const struct group_offsets *go)
{
	return go->committed_count > 0 || go->pending_count > 0;
}

/* ---- transactions ---- */

static struct offsets_producer *
find_producer(const struct group_offsets *go, int64_t producer_id)
{
	return map_get(&go->producers, &producer_id, sizeof(producer_id));
}

static void
free_txn_offset(struct txn_offset *o)
{
	free_metadata(&o->committed);
	free((char *)(uintptr_t)o->topic.data);
	free(o);
}

static void
link_txn_offset(struct group_offsets *go, struct offsets_entry *e, struct txn_offset *o)
{
	o->next = e->txns;
	if (o->next != NULL)
		o->next->prev = o;
	e->txns = o;
	go->pending_count++;
}

static void
unlink_txn_offset(struct group_offsets *go, struct offsets_entry *e, struct txn_offset *o)
{
	if (o->next != NULL)
		o->next->prev = o->prev;
	if (o->prev != NULL)
		o->prev->next = o->next;
	else
		e->txns = o->next;
	go->pending_count--;
}

bool
group_offsets_txn_open(const struct group_offsets *go, int64_t producer_id)
{
	return find_producer(go, producer_id) != NULL;
}

void
group_offsets_txn_put(struct group_offsets *go, int64_t producer_id, struct str topic,
		      int32_t partition, const struct committed_offset *committed)
{
	struct offsets_producer *p = find_producer(go, producer_id);
	struct offsets_entry *e = find_or_make(go, topic, partition);
	struct txn_key key = {find_topic(go, topic), partition};
	struct txn_offset *o;

	if (p == NULL) {
		p = must_calloc(1, sizeof(*p));
		if (map_put(&go->producers, &producer_id, sizeof(producer_id), p, NULL) != 0)
			abort();
	}
	o = map_get(&p->offsets, &key, sizeof(key));
	if (o == NULL) {
		o = must_calloc(1, sizeof(*o));
		o->producer = p;
		o->topic = (struct str){must_copy_text(topic), topic.len};
		o->key = key;
		if (map_put(&p->offsets, &key, sizeof(key), o, NULL) != 0)
			abort();
		link_txn_offset(go, e, o);
	} else {
		free_metadata(&o->committed);
	}
	o->committed = *committed;
	take_metadata(&o->committed);
}

void
group_offsets_txn_end(struct group_offsets *go, int64_t producer_id, bool commit)
{
	struct offsets_producer *p = map_remove(&go->producers, &producer_id, sizeof(producer_id));
	struct map_iter iter = {0};
	struct txn_offset *o;

	if (p == NULL)
		return;
	while ((o = map_next(&p->offsets, &iter)) != NULL) {
		struct offsets_entry *e = find_entry(go, o->topic, (int32_t)o->key.partition);

		assert(e != NULL); /* it lives while o is in its list */
		unlink_txn_offset(go, e, o);
		if (commit)
			put(go, e, &o->committed);
		drop_if_unused(go, o->topic, e);
		free_txn_offset(o);
	}
	map_fini(&p->offsets);
	free(p);
}

bool
group_offsets_remove(struct group_offsets *go, struct str topic, int32_t partition)
{
	struct offsets_entry *e = find_entry(go, topic, partition);
	struct txn_offset *o;
	bool was_committed;

	if (e == NULL)
		return false;
	was_committed = e->is_committed;
	while ((o = e->txns) != NULL) {
		unlink_txn_offset(go, e, o);
		map_remove(&o->producer->offsets, &o->key, sizeof(o->key));
		free_txn_offset(o);
	}
	drop_entry(go, topic, e);
	return was_committed;
}

/* ---- all of them ---- */

void
group_offsets_each(const struct group_offsets *go, group_offsets_fn *fn, void *arg)
{
	struct map_iter iter = {0};
	const struct offsets_topic *t;

	while ((t = map_next(&go->topics, &iter)) != NULL)
		for (int32_t i = 0; i < t->count; i++) {
			const struct offsets_entry *e = &t->entries[i];
			struct offset_view view = {e->is_committed,
						   e->pending > 0 || e->txns != NULL, e->committed};

			fn(arg, map_iter_key(&iter), e->partition, &view);
		}
}

/* One topic's share of group_offsets_take(). Returns true when nothing of it is left. */
static bool
take_from_topic(struct group_offsets *go, struct str topic, struct offsets_topic *t,
		group_offsets_pick *pick, void *pick_arg, group_offsets_fn *fn, void *arg)
{
	int32_t kept = 0;

	for (int32_t i = 0; i < t->count; i++) {
		struct offsets_entry *e = &t->entries[i];
		struct offset_view view = {true, false, e->committed};

		if (!e->is_committed || e->pending > 0 || e->txns != NULL ||
		    !pick(pick_arg, topic, &e->committed)) {
			t->entries[kept++] = *e;
			continue;
		}
		fn(arg, topic, e->partition, &view);
		free_metadata(&e->committed);
		go->committed_count--;
	}
	t->count = kept;
	return kept == 0;
}

void
group_offsets_take(struct group_offsets *go, group_offsets_pick *pick, void *pick_arg,
		   group_offsets_fn *fn, void *arg)
{
	struct map_iter iter = {0};
	struct offsets_topic *t;

	while ((t = map_next(&go->topics, &iter)) != NULL) {
		struct str topic = map_iter_key(&iter);

		if (!take_from_topic(go, topic, t, pick, pick_arg, fn, arg))
			continue;
		map_remove(&go->topics, topic.data, topic.len);
		free(t->entries);
		free(t);
	}
}

void
group_offsets_fini(struct group_offsets *go)
{
	struct map_iter iter = {0};
	struct offsets_producer *p;
	struct offsets_topic *t;

	while ((p = map_next(&go->producers, &iter)) != NULL) {
		struct map_iter offsets = {0};
		struct txn_offset *o;

		while ((o = map_next(&p->offsets, &offsets)) != NULL)
			free_txn_offset(o);
		map_fini(&p->offsets);
		free(p);
	}
	map_fini(&go->producers);
	iter = (struct map_iter){0};
	while ((t = map_next(&go->topics, &iter)) != NULL) {
		for (int32_t i = 0; i < t->count; i++)
			free_metadata(&t->entries[i].committed);
		free(t->entries);
		free(t);
	}
	map_fini(&go->topics);
}
