#include "base/conf.h"

#include <assert.h>

void
conf_store_init(struct conf_store *store, struct broker_conf *conf)
{
	*store = (struct conf_store){0};
	lock_init(&store->lock, LOCK_CONFIG);
	atomic_init(&store->current, conf);
}

void
conf_store_fini(struct conf_store *store)
{
	struct broker_conf *conf = atomic_load(&store->current);

	while (conf != NULL) {
		struct broker_conf *older = conf->retired;

		broker_conf_free(conf);
		conf = older;
	}
	lock_fini(&store->lock);
}

const struct broker_conf *
conf_store_get(struct conf_store *store)
{
	return atomic_load_explicit(&store->current, memory_order_acquire);
}

void
conf_store_subscribe(struct conf_store *store, conf_change_fn *fn, void *arg)
{
	assert(store->subscriber_count < CONF_SUBSCRIBERS_MAX);
	store->subscribers[store->subscriber_count].fn = fn;
	store->subscribers[store->subscriber_count].arg = arg;
	store->subscriber_count++;
}

void
conf_store_replace(struct conf_store *store, struct broker_conf *conf)
{
	struct broker_conf *old;

	lock_acquire(&store->lock);
	old = atomic_load(&store->current);
	conf->retired = old;
	atomic_store_explicit(&store->current, conf, memory_order_release);
	lock_release(&store->lock);
	for (size_t i = 0; i < store->subscriber_count; i++)
		store->subscribers[i].fn(store->subscribers[i].arg, old, conf);
}
