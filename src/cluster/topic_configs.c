#include "cluster/topic_configs.h"

#include <errno.h>
#include <stdlib.h>

struct topic_configs {
	struct lock lock;
	struct map topics; /* under lock: name -> struct properties, owned */
};

int
topic_configs_open(struct topic_configs **ret_configs)
{
	struct topic_configs *tcs = calloc(1, sizeof(*tcs));

	if (tcs == NULL)
		return -ENOMEM;
	lock_init(&tcs->lock, LOCK_CONFIG);
	*ret_configs = tcs;
	return 0;
}

static void
properties_free(struct properties *props)
{
	if (props != NULL)
		properties_fini(props);
	free(props);
}

void
topic_configs_close(struct topic_configs *tcs)
{
	struct map_iter iter = {0};
	struct properties *props;

	if (tcs == NULL)
		return;
	while ((props = map_next(&tcs->topics, &iter)) != NULL)
		properties_free(props);
	map_fini(&tcs->topics);
	lock_fini(&tcs->lock);
	free(tcs);
}

int
topic_configs_set(struct topic_configs *tcs, const char *topic, struct properties *props)
{
	struct properties *copy;
	void *old = NULL;
	int st;

	copy = malloc(sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	*copy = *props;
	lock_acquire(&tcs->lock);
	st = map_put_text(&tcs->topics, topic, copy, &old);
	lock_release(&tcs->lock);
	if (st != 0) {
		free(copy);
		return st;
	}
	*props = (struct properties){0};
	properties_free(old);
	return 0;
}

void
topic_configs_forget(struct topic_configs *tcs, const char *topic)
{
	struct properties *props;

	lock_acquire(&tcs->lock);
	props = map_remove_text(&tcs->topics, topic);
	lock_release(&tcs->lock);
	properties_free(props);
}

bool
topic_configs_know(struct topic_configs *tcs, const char *topic)
{
	bool known;

	lock_acquire(&tcs->lock);
	known = map_get_text(&tcs->topics, topic) != NULL;
	lock_release(&tcs->lock);
	return known;
}

int
topic_configs_get(struct topic_configs *tcs, const char *topic, struct properties *props)
{
	const struct properties *own;
	int st = 0;

	lock_acquire(&tcs->lock);
	own = map_get_text(&tcs->topics, topic);
	if (own != NULL)
		st = properties_copy(own, props);
	lock_release(&tcs->lock);
	return st;
}

int
topic_configs_effective(struct topic_configs *tcs, const struct broker_conf *conf,
			const char *topic, struct topic_conf *ret_conf)
{
	struct properties props = {0};
	int st = topic_configs_get(tcs, topic, &props);

	if (st == 0)
		st = topic_conf_init(ret_conf, conf, &props, NULL);
	properties_fini(&props);
	return st;
}
