/*
 * An image is two arrays of BUCKETS pointers, by name and by id, to small blocks of topics. The
 * next image starts as a copy of the arrays; a block is copied when its first topic changes, a
 * topic when its first partition does. Blocks, topics and partitions count the images that hold
 * them; the counts are the writer's alone. An old image is let go after a grace period of RCU.
 */
#include "cluster/metadata.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/rcu.h"

#define BUCKETS 1024

struct block {
	int32_t references;
	uint64_t owner; /* serial of the image that made it: it may change it while it is built */
	size_t count;
	struct metadata_topic *topics[];
};

struct brokers {
	int32_t references;
	size_t count;
	struct metadata_broker *items;
};

struct metadata_image {
	uint64_t serial; /* of its commit; an address may come again, a serial does not */
	int32_t controller_id;
	struct brokers *brokers;
	size_t topic_count, partition_count;
	struct block *by_name[BUCKETS], *by_id[BUCKETS];
};

struct metadata {
	_Atomic(struct metadata_image *) current; /* RCU */
	void (*on_change)(void *arg);
	void *on_change_arg;
};

struct metadata_update {
	struct metadata_image *next;
	struct map changed; /* name -> topic that only this update holds */
};

static void *
must_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		abort();
	return p;
}

static size_t
name_bucket(const char *name, size_t len)
{
	return map_hash(name, len) % BUCKETS;
}

static size_t
id_bucket(const struct uuid *id)
{
	return map_hash(id, sizeof(*id)) % BUCKETS;
}

/* Reading */

const struct metadata_image *
metadata_read(struct metadata *md)
{
	rcu_read_begin();
	return atomic_load_explicit(&md->current, memory_order_acquire);
}

void
metadata_done(struct metadata *md)
{
	(void)md;
	rcu_read_end();
}

int32_t
metadata_controller_id(const struct metadata_image *image)
{
	return image->controller_id;
}

const struct metadata_broker *
metadata_brokers(const struct metadata_image *image, size_t *ret_count)
{
	*ret_count = image->brokers->count;
	return image->brokers->items;
}

const struct metadata_broker *
metadata_broker(const struct metadata_image *image, int32_t id)
{
	const struct brokers *b = image->brokers;
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->items[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->count && b->items[low].id == id ? &b->items[low] : NULL;
}

const struct metadata_endpoint *
metadata_endpoint(const struct metadata_broker *broker, const char *listener)
{
	for (size_t i = 0; i < broker->endpoint_count; i++)
		if (strcmp(broker->endpoints[i].listener, listener) == 0)
			return &broker->endpoints[i];
	return NULL;
}

const struct metadata_topic *
metadata_topic(const struct metadata_image *image, const char *name, size_t name_len)
{
	const struct block *block = image->by_name[name_bucket(name, name_len)];

	for (size_t i = 0; block != NULL && i < block->count; i++) {
		const char *other = block->topics[i]->name;

		if (strncmp(other, name, name_len) == 0 && other[name_len] == '\0')
			return block->topics[i];
	}
	return NULL;
}

const struct metadata_topic *
metadata_topic_by_id(const struct metadata_image *image, const struct uuid *id)
{
	const struct block *block = image->by_id[id_bucket(id)];

	for (size_t i = 0; block != NULL && i < block->count; i++)
		if (uuid_equal(&block->topics[i]->id, id))
			return block->topics[i];
	return NULL;
}

const struct metadata_partition *
metadata_partition(const struct metadata_image *image, const char *topic, size_t topic_len,
		   int32_t partition)
{
	const struct metadata_topic *t = metadata_topic(image, topic, topic_len);

	if (t == NULL || partition < 0 || partition >= t->partition_count)
		return NULL;
	return t->partitions[partition];
}

size_t
metadata_topic_count(const struct metadata_image *image)
{
	return image->topic_count;
}

size_t
metadata_partition_count(const struct metadata_image *image)
{
	return image->partition_count;
}

const struct metadata_topic *
metadata_next_topic(const struct metadata_image *image, struct metadata_walk *walk)
{
	for (; walk->bucket < BUCKETS; walk->bucket++, walk->index = 0) {
		const struct block *block = image->by_name[walk->bucket];

		if (block != NULL && walk->index < block->count)
			return block->topics[walk->index++];
	}
	return NULL;
}

/* Letting go; the writer's thread, after the grace period */

static void
partition_put(struct metadata_partition *p)
{
	if (p == NULL || --p->references > 0)
		return;
	free(p->replicas);
	free(p->isr);
	free(p->offline_replicas);
	free(p);
}

static void
topic_put(struct metadata_topic *t)
{
	if (--t->references > 0)
		return;
	for (int32_t i = 0; i < t->partition_count; i++)
		partition_put(t->partitions[i]);
	free(t->partitions);
	free(t->name);
	free(t);
}

static void
block_put(struct block *block)
{
	if (block == NULL || --block->references > 0)
		return;
	for (size_t i = 0; i < block->count; i++)
		topic_put(block->topics[i]);
	free(block);
}

static void
brokers_free(struct metadata_broker *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t e = 0; e < items[i].endpoint_count; e++) {
			free(items[i].endpoints[e].listener);
			free(items[i].endpoints[e].host);
		}
		free(items[i].endpoints);
		free(items[i].rack);
	}
	free(items);
}

static void
brokers_put(struct brokers *b)
{
	if (--b->references > 0)
		return;
	brokers_free(b->items, b->count);
	free(b);
}

static void
image_free(struct metadata_image *image)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		block_put(image->by_name[i]);
		block_put(image->by_id[i]);
	}
	brokers_put(image->brokers);
	free(image);
}

int
metadata_open(struct metadata **ret_metadata)
{
	struct metadata *md = calloc(1, sizeof(*md));
	struct metadata_image *image;

	if (md == NULL)
		return -ENOMEM;
	image = must_alloc(sizeof(*image));
	image->controller_id = -1;
	image->brokers = must_alloc(sizeof(*image->brokers));
	image->brokers->references = 1;
	atomic_init(&md->current, image);
	*ret_metadata = md;
	return 0;
}

void
metadata_close(struct metadata *md)
{
	if (md == NULL)
		return;
	image_free(md->current);
	free(md);
}

void
metadata_on_change(struct metadata *md, void (*fn)(void *arg), void *arg)
{
	md->on_change = fn;
	md->on_change_arg = arg;
}

/* Writing */

struct metadata_update *
metadata_update_begin(struct metadata *md)
{
	struct metadata_update *up = must_alloc(sizeof(*up));

	up->next = must_alloc(sizeof(*up->next));
	*up->next = *md->current;
	up->next->serial++;
	up->next->brokers->references++;
	for (size_t i = 0; i < BUCKETS; i++) {
		if (up->next->by_name[i] != NULL)
			up->next->by_name[i]->references++;
		if (up->next->by_id[i] != NULL)
			up->next->by_id[i]->references++;
	}
	return up;
}

void
metadata_update_controller(struct metadata_update *up, int32_t controller_id)
{
	up->next->controller_id = controller_id;
}

static int
compare_brokers(const void *a, const void *b)
{
	const struct metadata_broker *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

void
metadata_update_brokers(struct metadata_update *up, struct metadata_broker *brokers, size_t count)
{
	struct brokers *b = must_alloc(sizeof(*b));

	qsort(brokers, count, sizeof(*brokers), compare_brokers);
	*b = (struct brokers){1, count, brokers};
	brokers_put(up->next->brokers);
	up->next->brokers = b;
}

/* The block of a bucket, made this update's own, with room for one topic more. */
static struct block *
own_block(struct metadata_update *up, struct block **slot)
{
	struct block *old = *slot, *block;
	size_t count = old == NULL ? 0 : old->count;

	if (old != NULL && old->owner == up->next->serial) {
		block = realloc(old, sizeof(*block) + (count + 1) * sizeof(block->topics[0]));
		if (block == NULL)
			abort();
		*slot = block;
		return block;
	}
	block = must_alloc(sizeof(*block) + (count + 1) * sizeof(block->topics[0]));
	block->references = 1;
	block->owner = up->next->serial;
	block->count = count;
	for (size_t i = 0; i < count; i++) {
		block->topics[i] = old->topics[i];
		block->topics[i]->references++;
	}
	block_put(old);
	*slot = block;
	return block;
}

static void
add_to_block(struct metadata_update *up, struct block **slot, struct metadata_topic *t)
{
	struct block *block = own_block(up, slot);

	t->references++;
	block->topics[block->count++] = t;
}

static void
take_from_block(struct metadata_update *up, struct block **slot, struct metadata_topic *t)
{
	struct block *block = own_block(up, slot);

	for (size_t i = 0; i < block->count; i++) {
		if (block->topics[i] == t) {
			block->topics[i] = block->topics[--block->count];
			topic_put(t);
			return;
		}
	}
}

static void
link_topic(struct metadata_update *up, struct metadata_topic *t)
{
	add_to_block(up, &up->next->by_name[name_bucket(t->name, strlen(t->name))], t);
	if (!uuid_is_zero(&t->id))
		add_to_block(up, &up->next->by_id[id_bucket(&t->id)], t);
	up->next->topic_count++;
}

static void
unlink_topic(struct metadata_update *up, struct metadata_topic *t)
{
	up->next->topic_count--;
	if (!uuid_is_zero(&t->id))
		take_from_block(up, &up->next->by_id[id_bucket(&t->id)], t);
	take_from_block(up, &up->next->by_name[name_bucket(t->name, strlen(t->name))], t);
}

static bool
name_is_internal(const char *name)
{
	return strcmp(name, "__consumer_offsets") == 0 || strcmp(name, "__transaction_state") == 0;
}

/* The topic as this update may change it: a copy of the last image's, or a new one. */
static struct metadata_topic *
own_topic(struct metadata_update *up, const char *name, const struct uuid *id)
{
	struct metadata_topic *old, *t = map_get_text(&up->changed, name);

	if (t != NULL && (uuid_is_zero(id) || uuid_equal(id, &t->id)))
		return t;
	old = (struct metadata_topic *)(uintptr_t)metadata_topic(up->next, name, strlen(name));
	t = must_alloc(sizeof(*t));
	t->name = strdup(name);
	if (t->name == NULL)
		abort();
	t->is_internal = name_is_internal(name);
	t->id = uuid_is_zero(id) && old != NULL ? old->id : *id;
	/* Another id is another topic of the same name: nothing of the old one holds. */
	if (old != NULL && uuid_equal(&t->id, &old->id)) {
		t->partition_count = old->partition_count;
		t->partitions = must_alloc((size_t)(t->partition_count + 1) * sizeof(void *));
		for (int32_t i = 0; i < t->partition_count; i++) {
			t->partitions[i] = old->partitions[i];
			if (t->partitions[i] != NULL)
				t->partitions[i]->references++;
		}
	} else if (old != NULL) {
		for (int32_t i = 0; i < old->partition_count; i++)
			up->next->partition_count -= old->partitions[i] != NULL;
	}
	if (old != NULL)
		unlink_topic(up, old);
	link_topic(up, t);
	if (map_put_text(&up->changed, name, t, NULL) != 0)
		abort();
	return t;
}

static int32_t *
copy_ids(const int32_t *ids, int32_t count)
{
	int32_t *copy = must_alloc(((size_t)count + 1) * sizeof(*copy));

	if (count > 0)
		memcpy(copy, ids, (size_t)count * sizeof(*copy));
	return copy;
}

static struct metadata_partition *
copy_partition(const struct metadata_partition *from)
{
	struct metadata_partition *p = must_alloc(sizeof(*p));

	*p = *from;
	p->references = 1;
	p->replicas = copy_ids(from->replicas, from->replica_count);
	p->isr = copy_ids(from->isr, from->isr_count);
	p->offline_replicas = copy_ids(from->offline_replicas, from->offline_count);
	return p;
}

static void
make_room(struct metadata_topic *t, int32_t partition)
{
	struct metadata_partition **partitions;

	if (partition < t->partition_count)
		return;
	partitions = realloc(t->partitions, ((size_t)partition + 1) * sizeof(*partitions));
	if (partitions == NULL)
		abort();
	for (int32_t i = t->partition_count; i <= partition; i++)
		partitions[i] = NULL;
	t->partitions = partitions;
	t->partition_count = partition + 1;
}

static bool
topic_is_empty(const struct metadata_topic *t)
{
	for (int32_t i = 0; i < t->partition_count; i++)
		if (t->partitions[i] != NULL)
			return false;
	return true;
}

void
metadata_update_remove_topic(struct metadata_update *up, const char *topic)
{
	struct metadata_topic *t =
	    (struct metadata_topic *)(uintptr_t)metadata_topic(up->next, topic, strlen(topic));

	if (t == NULL)
		return;
	for (int32_t i = 0; i < t->partition_count; i++)
		up->next->partition_count -= t->partitions[i] != NULL;
	map_remove_text(&up->changed, topic);
	unlink_topic(up, t);
}

void
metadata_update_partition(struct metadata_update *up, const char *topic, const struct uuid *id,
			  const struct metadata_partition *partition)
{
	struct metadata_topic *t;
	struct metadata_partition **slot;

	if (partition->leader == METADATA_LEADER_DURING_DELETE &&
	    metadata_partition(up->next, topic, strlen(topic), partition->partition) == NULL)
		return;
	t = own_topic(up, topic, id);
	make_room(t, partition->partition);
	slot = &t->partitions[partition->partition];
	up->next->partition_count -= *slot != NULL;
	partition_put(*slot);
	*slot = NULL;
	if (partition->leader != METADATA_LEADER_DURING_DELETE) {
		*slot = copy_partition(partition);
		up->next->partition_count++;
	} else if (topic_is_empty(t)) {
		metadata_update_remove_topic(up, topic);
	}
}

void
metadata_update_commit(struct metadata *md, struct metadata_update *up)
{
	struct metadata_image *old = md->current;

	atomic_store_explicit(&md->current, up->next, memory_order_release);
	map_fini(&up->changed);
	free(up);
	rcu_wait_for_readers();
	image_free(old);
	if (md->on_change != NULL)
		md->on_change(md->on_change_arg);
}
