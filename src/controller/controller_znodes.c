/*
 * What the office reads and writes of topics, pipelined; and its fenced writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
#include "zk/znode_config.h"
#include "zk/znode_controller.h"
#include "zk/znode_partition_state.h"
#include "zk/znode_topic.h"

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

void
office_complain_of_state(const char *path)
{
	diag_error(DIAG_CONTROLLER,
		   "left out a partition whose state cannot be read: mend or delete the znode, and "
		   "delete /controller for another look",
		   "path=%s", path);
}

/* ---- pipelined reads ---- */

struct reads {
	struct zk_op *ops;
	struct zk_request *requests;
	char (*paths)[ZNODE_PATH_MAX];
	size_t count;
};

static void
reads_init(struct reads *r, size_t count)
{
	r->count = count;
	r->ops = must(calloc(count + 1, sizeof(*r->ops)));
	r->requests = must(calloc(count + 1, sizeof(*r->requests)));
	r->paths = must(calloc(count + 1, sizeof(*r->paths)));
	for (size_t i = 0; i < count; i++) {
		r->ops[i] = (struct zk_op){.kind = ZK_GET, .path = r->paths[i]};
		r->requests[i] = (struct zk_request){.ops = &r->ops[i], .op_count = 1};
	}
}

static void
reads_fini(struct reads *r)
{
	for (size_t i = 0; i < r->count; i++)
		zk_op_fini(&r->ops[i]);
	free(r->ops);
	free(r->requests);
	free(r->paths);
}

/* ---- fenced writes ---- */

/* One write, or a few that follow one another, each with the fence in front. */
int
office_write_fenced(struct controller *c, const struct zk_op *op)
{
	struct zk_op ops[2] = {znode_controller_fence(c->epoch_version), *op};
	struct zk_request request = {.ops = ops, .op_count = 2};
	int st = zk_run(c->zk, &request, 1);

	if (st == 0 && ops[0].st == -ESTALE)
		st = -ESTALE;
	else if (st == 0)
		st = ops[1].st == -ESTALE ? -EAGAIN : ops[1].st;
	zk_op_fini(&ops[1]);
	return st;
}

int
office_delete_fenced(struct controller *c, const char *path)
{
	struct zk_op op = {.kind = ZK_DELETE, .path = path, .version = ZK_ANY_VERSION};
	int st = office_write_fenced(c, &op);

	return st == -ENOENT ? 0 : st;
}

/* Deletes a node and all below it. */
int
office_delete_tree(struct controller *c, const char *path)
{
	struct zk_names names;
	int st = zk_children(c->zk, path, false, &names);

	if (st == -ENOENT)
		return 0;
	if (st != 0)
		return st;
	for (size_t i = 0; st == 0 && i < names.count; i++) {
		char child[ZNODE_PATH_MAX];

		if (snprintf(child, sizeof(child), "%s/%s", path, names.names[i]) >=
		    (int)sizeof(child))
			st = -ENAMETOOLONG;
		else
			st = office_delete_tree(c, child);
	}
	zk_names_fini(&names);
	return st != 0 ? st : office_delete_fenced(c, path);
}

/* ---- assignments ---- */

#define ASSIGNMENT_TRIES 16

static void
replace_ids(int32_t **ids, int32_t *ids_count, const int32_t *from, int32_t count)
{
	free(*ids);
	*ids = must(calloc((size_t)count + 1, sizeof(**ids)));
	if (count > 0)
		memcpy(*ids, from, (size_t)count * sizeof(**ids));
	*ids_count = count;
}

/* What the znode says, with the assignments of the effect in the place of the former. */
static int
merge_assignments(const struct zk_op *read, const struct effect *e, struct buf *out)
{
	struct topic_assignment ta;
	int st = read->st;

	if (st == 0)
		st = znode_topic_decode(buf_slice(&read->value), &ta);
	if (st != 0)
		return st;
	for (int32_t i = 0; i < e->assignment_count; i++) {
		const struct controller_assignment *a = &e->assignments[i];
		struct partition_assignment *p = topic_assignment_find(&ta, a->partition);

		if (p == NULL)
			continue;
		replace_ids(&p->replicas, &p->replica_count, a->replicas, a->replica_count);
		replace_ids(&p->adding, &p->adding_count, a->adding, a->adding_count);
		replace_ids(&p->removing, &p->removing_count, a->removing, a->removing_count);
	}
	znode_topic_encode(&ta, out);
	topic_assignment_fini(&ta);
	return 0;
}

/* One znode of a topic that is read, changed and written. */
struct topic_write {
	const struct effect *effect;
	struct buf value;
	struct zk_op ops[2];
	int st;
};

static void
topic_write_settle(struct controller *c, struct topic_write *w, struct effects *next)
{
	if (w->st != 0 && w->st != -ENOENT)
		diag_error(DIAG_CONTROLLER, "cannot write the assignment of a topic",
			   "topic=%s error=%s", w->effect->topic, strerror(-w->st));
	controller_state_topic_written(c->state, w->effect->topic, w->st, next);
}

/* Reads all, writes all. Those that somebody else wrote in between are moved to the front. */
static int
try_topic_writes(struct controller *c, struct topic_write *writes, size_t count,
		 struct effects *next, size_t *ret_left)
{
	struct zk_request *requests = must(calloc(count + 1, sizeof(*requests)));
	size_t asked = 0, left = 0;
	struct reads r;
	int st;

	reads_init(&r, count);
	for (size_t i = 0; i < count; i++)
		znode_topic_path(writes[i].effect->topic, r.paths[i]);
	st = zk_run(c->zk, r.requests, count);
	for (size_t i = 0; st == 0 && i < count; i++) {
		struct topic_write *w = &writes[i];

		w->st = merge_assignments(&r.ops[i], w->effect, &w->value);
		w->ops[0] = znode_controller_fence(c->epoch_version);
		w->ops[1] = (struct zk_op){.kind = ZK_SET,
					   .path = r.paths[i],
					   .data = buf_slice(&w->value),
					   .version = r.ops[i].stat.version};
		if (w->st == 0)
			requests[asked++] = (struct zk_request){.ops = w->ops, .op_count = 2};
	}
	if (st == 0)
		st = zk_run(c->zk, requests, asked);
	for (size_t i = 0; i < count; i++) {
		struct topic_write *w = &writes[i];

		if (st == 0 && w->st == 0 && w->ops[0].st == -ESTALE)
			st = -ESTALE;
		else if (w->st == 0)
			w->st = w->ops[1].st;
		zk_op_fini(&w->ops[1]);
		buf_fini(&w->value);
		if (st == 0 && w->st == -ESTALE)
			writes[left++] = (struct topic_write){.effect = w->effect};
		else if (st == 0)
			topic_write_settle(c, w, next);
	}
	reads_fini(&r);
	free(requests);
	*ret_left = left;
	return st;
}

int
office_write_topics(struct controller *c, const struct effects *fx, struct effects *next)
{
	struct topic_write *writes;
	size_t count = 0, n = 0;
	int st = 0;

	for (const struct effect *e = fx->first; e != NULL; e = e->next)
		count += e->kind == EFFECT_WRITE_TOPIC;
	if (count == 0)
		return 0;
	writes = must(calloc(count, sizeof(*writes)));
	for (const struct effect *e = fx->first; e != NULL; e = e->next)
		if (e->kind == EFFECT_WRITE_TOPIC)
			writes[n++].effect = e;
	for (int try = 0; st == 0 && count > 0; try++)
		st = try < ASSIGNMENT_TRIES ? try_topic_writes(c, writes, count, next, &count)
					    : -ELOOP;
	free(writes);
	return st;
}

/* ---- topics ---- */

/* An old broker wrote a topic without an id: it gets one. */
static int
give_topic_id(struct controller *c, const char *topic, struct topic_assignment *ta)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	struct zk_op op = {.kind = ZK_SET, .path = path, .version = ZK_ANY_VERSION};
	int st;

	env_random(c->settings.env, &ta->topic_id, sizeof(ta->topic_id));
	ta->topic_id.bytes[0] &= 0x7f; /* its text does not begin with '-' */
	ta->has_topic_id = true;
	znode_topic_path(topic, path);
	znode_topic_encode(ta, &value);
	op.data = buf_slice(&value);
	st = office_write_fenced(c, &op);
	buf_fini(&value);
	return st;
}

static void
put_topic(struct controller *c, const char *topic, const struct topic_assignment *ta,
	  struct effects *fx)
{
	size_t count = (size_t)ta->partition_count;
	struct controller_assignment *list = must(calloc(count + 1, sizeof(*list)));

	for (size_t i = 0; i < count; i++) {
		const struct partition_assignment *p = &ta->partitions[i];

		list[i] = (struct controller_assignment){
		    .partition = p->partition,
		    .replicas = p->replicas,
		    .replica_count = p->replica_count,
		    .adding = p->adding,
		    .adding_count = p->adding_count,
		    .removing = p->removing,
		    .removing_count = p->removing_count,
		};
	}
	controller_state_topic(c->state, topic, &ta->topic_id, list, ta->partition_count, fx);
	free(list);
}

static int
take_topic(struct controller *c, const char *topic, const struct zk_op *op, struct effects *fx)
{
	struct topic_assignment ta;
	int st = op->st;

	if (st == -ENOENT)
		return 0;
	if (st == 0)
		st = znode_topic_decode(buf_slice(&op->value), &ta);
	if (st == -EBADMSG) {
		diag_error(DIAG_CONTROLLER,
			   "left out a topic whose znode cannot be read until it is mended",
			   "path=%s", op->path);
		return 0;
	}
	if (st != 0)
		return st;
	if (!ta.has_topic_id)
		st = give_topic_id(c, topic, &ta);
	if (st == 0)
		put_topic(c, topic, &ta, fx);
	topic_assignment_fini(&ta);
	return st;
}

/* Reads the named topics, arming their watches. fx NULL: facts only. */
int
office_read_topics(struct controller *c, const char *const *names, size_t count, struct effects *fx)
{
	struct reads r;
	int st;

	reads_init(&r, count);
	for (size_t i = 0; i < count; i++) {
		znode_topic_path(names[i], r.paths[i]);
		r.ops[i].watch = true;
	}
	st = zk_run(c->zk, r.requests, count);
	for (size_t i = 0; st == 0 && i < count; i++)
		st = take_topic(c, names[i], &r.ops[i], fx);
	reads_fini(&r);
	return st;
}

/* fx NULL: facts only. */
static int
read_topic_settings(struct controller *c, const char *const *names, size_t count,
		    struct effects *fx)
{
	const struct broker_conf *conf = conf_store_get(c->settings.conf);
	struct reads r;
	int st;

	reads_init(&r, count);
	for (size_t i = 0; i < count; i++)
		snprintf(r.paths[i], sizeof(r.paths[i]), "/config/topics/%s", names[i]);
	st = zk_run(c->zk, r.requests, count);
	for (size_t i = 0; st == 0 && i < count; i++) {
		struct properties props = {0};
		struct topic_conf tc;

		/* Without a node the broker's settings hold. */
		if ((r.ops[i].st == -ENOENT ||
		     (r.ops[i].st == 0 &&
		      znode_config_decode(buf_slice(&r.ops[i].value), &props) == 0)) &&
		    topic_conf_init(&tc, conf, &props, NULL) == 0) {
			controller_state_set_unclean(c->state, names[i],
						     tc.unclean_leader_election_enable, fx);
			topic_conf_fini(&tc);
		}
		properties_fini(&props);
	}
	reads_fini(&r);
	return st;
}

/* Reads the states of all partitions of a topic that the znodes know. */
static int
read_states(struct controller *c, const char *const *names, size_t count)
{
	int st = 0;

	for (size_t t = 0; st == 0 && t < count; t++) {
		char path[ZNODE_PATH_MAX];
		struct zk_names numbers;
		struct reads r;

		znode_partitions_path(names[t], path);
		st = zk_children(c->zk, path, false, &numbers);
		if (st == -ENOENT) {
			st = 0;
			continue;
		}
		if (st != 0)
			break;
		reads_init(&r, numbers.count);
		for (size_t i = 0; i < numbers.count; i++)
			znode_partition_state_path(names[t], atoi(numbers.names[i]), r.paths[i]);
		st = zk_run(c->zk, r.requests, numbers.count);
		for (size_t i = 0; st == 0 && i < numbers.count; i++) {
			struct partition_state ps;

			if (r.ops[i].st != 0)
				continue;
			if (znode_partition_state_decode(buf_slice(&r.ops[i].value),
							 r.ops[i].stat.version, &ps) != 0) {
				office_complain_of_state(r.paths[i]);
				continue;
			}
			controller_state_put_leadership(
			    c->state, names[t], atoi(numbers.names[i]),
			    &(struct controller_leadership){
				ps.leader, ps.leader_epoch, ps.controller_epoch, ps.isr,
				ps.isr_count, ps.recovering, ps.partition_epoch, NULL,
				r.ops[i].stat.mtime_ms});
			partition_state_fini(&ps);
		}
		reads_fini(&r);
		zk_names_fini(&numbers);
	}
	return st;
}

int
office_topics_changed(struct controller *c, struct effects *fx)
{
	struct zk_names names;
	const char **added;
	size_t count = 0;
	int st = zk_children(c->zk, "/brokers/topics", true, &names);

	if (st != 0)
		return st;
	added = must(calloc(names.count + 1, sizeof(*added)));
	for (size_t i = 0; i < names.count; i++)
		if (!controller_state_knows_topic(c->state, names.names[i]))
			added[count++] = names.names[i];
	controller_state_topic_names(c->state, (const char *const *)names.names, names.count);
	/* Its settings first: they may allow an unclean election. */
	st = office_read_topics(c, added, count, fx);
	if (st == 0)
		st = read_topic_settings(c, added, count, NULL);
	free(added);
	zk_names_fini(&names);
	return st;
}

int
office_settings_changed(struct controller *c, const char *const *names, size_t count,
			struct effects *fx)
{
	struct zk_names all;
	int st;

	if (names != NULL)
		return read_topic_settings(c, names, count, fx);
	st = zk_children(c->zk, "/brokers/topics", true, &all);
	if (st != 0)
		return st;
	st = read_topic_settings(c, (const char *const *)all.names, all.count, fx);
	zk_names_fini(&all);
	return st;
}

int
office_read_cluster(struct controller *c)
{
	struct zk_names names;
	int st = zk_children(c->zk, "/brokers/topics", true, &names);

	if (st != 0)
		return st;
	st = office_read_topics(c, (const char *const *)names.names, names.count, NULL);
	if (st == 0)
		st = read_topic_settings(c, (const char *const *)names.names, names.count, NULL);
	if (st == 0)
		st = read_states(c, (const char *const *)names.names, names.count);
	zk_names_fini(&names);
	return st;
}
