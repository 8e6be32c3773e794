/*
 * The ensemble is the in-process tree (zk/zk_tree.c). A session of it that a process has stands
 * behind one of our own, by which the process's controller runs its requests: here befalls it what
 * befalls sessions, and what was written is looked at.
 *
 * A lost connection is no answer (see zk.h): the requests wait for the next connection, while the
 * world goes on, and are sent again, although they may have been done. So a controller may find out
 * in the middle of its work that its session has ended and another was elected, and a conditional
 * write may conflict with itself.
 */
#include "tests/sim/replication_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "zk/znode_admin.h"
#include "zk/znode_broker.h"
#include "zk/znode_controller.h"
#include "zk/znode_partition_state.h"
#include "zk/znode_topic.h"

#define WAIT_TURNS 200
#define WAITING_MAX 2      /* controllers at one time: one is the former one */
#define READS_PER_WRITE 10 /* as likely to be befallen as one write */

/* ---- what is written, as it is looked at ---- */

static void
look_at_controller(void)
{
	int32_t id = -1, epoch, version;

	HOLDS(znode_controller_get(w.zk.eye, false, &id) == 0);
	w.zk.controller = id;
	if (znode_controller_epoch(w.zk.eye, &epoch, &version) != 0 ||
	    epoch == w.zk.controller_epoch)
		return;
	HOLDS(epoch > w.zk.controller_epoch);
	w.zk.controller_epoch = epoch;
	world_note_strays(-1); /* nobody listens to the former one any more */
	w.sums.offices++;
	world_trace("broker %d is elected: controller epoch %d", id, epoch);
}

static void
look_at_broker(int id)
{
	char path[ZNODE_PATH_MAX];
	struct zk_stat stat;

	znode_broker_path(id, path);
	w.zk.broker_epochs[id] = zk_exists(w.zk.eye, path, false, &stat) == 0 ? stat.czxid : 0;
}

static void
look_at_state(int partition, const char *path)
{
	struct state_znode *znode = &w.zk.states[partition], next = {0};
	struct partition_state ps;
	struct buf value = {0};
	struct zk_stat stat;

	if (zk_get(w.zk.eye, path, false, &value, &stat) == 0) {
		HOLDS(znode_partition_state_decode(buf_slice(&value), stat.version, &ps) == 0);
		next = (struct state_znode){
		    .exists = true,
		    .version = stat.version,
		    .leader = ps.leader,
		    .leader_epoch = ps.leader_epoch,
		    .controller_epoch = ps.controller_epoch,
		    .isr = members_of(ps.isr, ps.isr_count),
		    .recovering = ps.recovering,
		};
		partition_state_fini(&ps);
		HOLDS(next.controller_epoch == w.zk.controller_epoch);
		world_trace("state of p%d: leader %d epoch %d version %d isr %s", partition,
			    next.leader, next.leader_epoch, next.version, members_text(&next.isr));
		world_check_state(partition, znode, &next);
		w.sums.elections += znode->leader != next.leader;
	}
	buf_fini(&value);
	*znode = next;
}

/* A broker that holds it no longer is to hear of that, if it is there. */
static void
note_dropped(int controller, int partition, const struct assignment *before)
{
	const struct assignment *after = &w.zk.assignments[partition];

	for (int32_t i = 0; i < before->replicas.count; i++) {
		int id = before->replicas.ids[i];
		const struct broker *b = &w.brokers[id];

		if (!members_have(&after->replicas, id) &&
		    (!b->runs || w.zk.broker_epochs[id] != b->epoch ||
		     office_knows(controller, id) != b->epoch))
			world_note_stray(id, partition);
	}
}

static void
look_at_assignment(int controller, int partition, const struct partition_assignment *pa)
{
	struct assignment *znode = &w.zk.assignments[partition], before = *znode;

	*znode = (struct assignment){.replicas = members_of(pa->replicas, pa->replica_count),
				     .adding = members_of(pa->adding, pa->adding_count),
				     .removing = members_of(pa->removing, pa->removing_count)};
	if (members_equal(&before.replicas, &znode->replicas) &&
	    members_equal(&before.adding, &znode->adding) &&
	    members_equal(&before.removing, &znode->removing))
		return;
	world_trace("p%d belongs to %s", partition, members_text(&znode->replicas));
	world_trace("  adding %s", members_text(&znode->adding));
	world_trace("  removing %s", members_text(&znode->removing));
	world_check_assignment(controller, partition, &before, znode);
	note_dropped(controller, partition, &before);
}

static void
look_at_topic(int controller, int topic)
{
	struct topic_znode *znode = &w.zk.topics[topic];
	struct topic_assignment ta;
	struct uuid id = topic_id(topic, znode->incarnation);
	int st = znode_topic_get(w.zk.eye, topic_name(topic), false, &ta);

	if (st == -ENOENT) {
		world_trace("topic %s goes", topic_name(topic));
		world_check_deletion(topic);
		znode->exists = false;
		w.sums.topics_deleted++;
		return;
	}
	HOLDS(st == 0 && znode->exists && uuid_equal(&ta.topic_id, &id));
	for (int32_t i = 0; i < ta.partition_count; i++)
		look_at_assignment(controller, partition_of(topic, ta.partitions[i].partition),
				   &ta.partitions[i]);
	topic_assignment_fini(&ta);
}

static const char *
after(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(path, prefix, len) == 0 ? path + len : NULL;
}

/* The name of a topic, and what stands below it. */
static void
look_below_topics(int writer, const char *path, const char *rest)
{
	char name[2] = {rest[0], '\0'};
	int topic = topic_named(name), number;
	char end;

	if (rest[1] == '\0')
		look_at_topic(writer, topic);
	else if (sscanf(rest + 1, "/partitions/%d/stat%c", &number, &end) == 2)
		look_at_state(partition_of(topic, number), path);
}

static void
look_at(int writer, const char *path)
{
	const char *rest;

	if (strcmp(path, "/controller") == 0 || strcmp(path, "/controller_epoch") == 0)
		look_at_controller();
	else if ((rest = after(path, "/brokers/ids/")) != NULL)
		look_at_broker(atoi(rest));
	else if ((rest = after(path, "/brokers/topics/")) != NULL)
		look_below_topics(writer, path, rest);
	else if (strcmp(path, ZNODE_REASSIGN) == 0)
		w.zk.moves_asked = zk_exists(w.zk.eye, path, false, NULL) == 0;
	else if (strcmp(path, ZNODE_PREFERRED_ELECTION) == 0)
		w.zk.elections_asked = zk_exists(w.zk.eye, path, false, NULL) == 0;
	else if ((rest = after(path, "/admin/delete_topics/")) != NULL)
		w.zk.topics[topic_named(rest)].to_be_deleted =
		    zk_exists(w.zk.eye, path, false, NULL) == 0;
}

/* ---- what befalls who asks ---- */

static bool
is_write(const struct zk_request *r)
{
	enum zk_kind kind = r->ops[r->op_count - 1].kind;

	return kind == ZK_CREATE || kind == ZK_SET || kind == ZK_DELETE;
}

static bool
strikes(const struct zk_request *r, int per_mille)
{
	return !w.calm && w.without_power < 0 &&
	       (int)below(is_write(r) ? 1000 : 1000 * READS_PER_WRITE) < per_mille;
}

/* Its process ends, or its session. */
static int
mishap(const struct process *p, const struct zk_request *r)
{
	if (p->dead)
		return -ESHUTDOWN;
	if (!p->began || !strikes(r, w.crash_per_mille))
		return 0;
	if (percent(60)) {
		w.sums.crashes++;
		broker_end(p->id, percent(50));
	} else {
		broker_expire(p->id);
	}
	return -ESHUTDOWN;
}

/*
 * The connection is lost: the world goes on until there is another. What the thread was about is
 * not over; its broker may be.
 */
static int
wait_for_connection(const struct process *p)
{
	struct broker *b = &w.brokers[p->id];

	world_trace("broker %d waits for the ensemble", p->id);
	w.sums.waits++;
	w.waiting++;
	b->cut_from_ensemble = true;
	for (int turns = 0; turns < WAIT_TURNS && !p->dead && b->cut_from_ensemble; turns++)
		world_go_on();
	w.waiting--;
	if (p->dead)
		return -ESHUTDOWN;
	world_trace("broker %d has waited", p->id);
	b->cut_from_ensemble = false;
	return 0;
}

static void
forget_answer(struct zk_request *r, int st)
{
	r->st = st;
	for (size_t i = 0; i < r->op_count; i++) {
		zk_op_fini(&r->ops[i]);
		r->ops[i].st = st;
	}
}

static int
carry_out(struct process *p, struct zk_request *r)
{
	int st = p->dead ? -ESHUTDOWN : zk_run(p->session.zk, r, 1);

	if (st != 0)
		return st;
	w.sums.conflicts += r->op_count > 1 && r->st == -ESTALE && r->ops[0].st == 0;
	w.sums.fenced += r->op_count > 1 && r->ops[0].kind == ZK_CHECK && r->ops[0].st == -ESTALE;
	for (size_t i = 0; r->st == 0 && is_write(r) && i < r->op_count; i++)
		if (r->ops[i].kind != ZK_CHECK)
			look_at(p->id, r->ops[i].path);
	return 0;
}

/* A lost connection takes requests with it, or their answers. */
static int
lose_connection(struct process *p, struct zk_request *requests, size_t count)
{
	size_t done;

	if (!p->began || w.waiting == WAITING_MAX || !strikes(requests, w.wait_per_mille))
		return 0;
	done = percent(50) ? 1 + below((uint32_t)count) : 0;
	for (size_t i = 0; i < done; i++) {
		(void)carry_out(p, &requests[i]);
		forget_answer(&requests[i], 0);
	}
	return wait_for_connection(p);
}

static int
session_run(struct zk *zk, struct zk_request *requests, size_t count)
{
	struct process *p = CONTAINER_OF(zk, struct process, zk);
	int st = 0;

	for (size_t i = 0; i < count; i++) {
		if (st == 0)
			st = mishap(p, &requests[i]);
		if (st == 0)
			st = lose_connection(p, &requests[i], count - i);
		if (st == 0)
			st = carry_out(p, &requests[i]);
		if (st == 0)
			st = mishap(p, &requests[i]);
		if (st != 0)
			forget_answer(&requests[i], st);
	}
	return st;
}

static void
session_interrupt(struct zk *zk)
{
	CONTAINER_OF(zk, struct process, zk)->dead = true;
}

static int64_t
session_id(struct zk *zk)
{
	const struct process *p = CONTAINER_OF(zk, struct process, zk);

	return p->dead ? 0 : zk_session_id(p->session.zk);
}

static bool
session_connected(struct zk *zk)
{
	return !CONTAINER_OF(zk, struct process, zk)->dead;
}

/* The ensemble ends it, when it notices. */
static void
session_close(struct zk *zk)
{
	(void)zk;
}

const struct zk_ops ensemble_session_ops = {
    .run = session_run,
    .interrupt = session_interrupt,
    .session_id = session_id,
    .connected = session_connected,
    .close = session_close,
};

/* ---- sessions ---- */

void
session_open(struct session *s, const struct zk_events *events)
{
	HOLDS(mailbox_open(&s->news) == 0);
	HOLDS(zk_tree_session_open(w.zk.tree, s->news, events, &s->zk) == 0);
}

void
session_end(struct session *s)
{
	if (s->zk == NULL)
		return;
	zk_close(s->zk);
	mailbox_run(s->news); /* what was not heard is freed */
	mailbox_close(s->news);
	*s = (struct session){0};
}

void
ensemble_expire(int id)
{
	struct broker *b = &w.brokers[id];
	char path[ZNODE_PATH_MAX];

	if (b->process != NULL)
		zk_tree_session_expire(b->process->session.zk);
	session_end(&b->ghost);
	znode_broker_path(id, path);
	look_at(id, path);
	look_at_controller();
}

static void
hear_nothing(void *arg, enum zk_watch_type type, const char *path)
{
	(void)arg;
	(void)type;
	(void)path;
}

static void
keep_session(void *arg, enum zk_session_state state)
{
	(void)arg;
	(void)state;
}

void
ensemble_open(struct env *env)
{
	struct zk_events events = {hear_nothing, keep_session, NULL};

	HOLDS(zk_tree_open(env, -1, NULL, &w.zk.tree) == 0);
	session_open(&w.zk.session, &events);
	w.zk.eye = w.zk.session.zk;
	HOLDS(znode_ensure_structure(w.zk.eye) == 0);
}

void
ensemble_close(void)
{
	session_end(&w.zk.session);
	zk_tree_close(w.zk.tree);
}

/* ---- what anybody may write ---- */

void
ensemble_vacate(void)
{
	int st = zk_delete(w.zk.eye, "/controller", ZK_ANY_VERSION);

	HOLDS(st == 0 || st == -ENOENT);
	look_at_controller();
}

static void
write_topic(int topic, bool unclean)
{
	struct partition_assignment partitions[PARTITIONS] = {0};
	struct topic_assignment ta = {.has_topic_id = true,
				      .topic_id = topic_id(topic, w.zk.topics[topic].incarnation),
				      .partitions = partitions};
	struct properties settings = {0};

	for (int p = 0; p < PARTITIONS; p++)
		if (topic_of(p) == topic)
			partitions[ta.partition_count++] = (struct partition_assignment){
			    .partition = number_of(p),
			    .replicas = w.zk.assignments[p].replicas.ids,
			    .replica_count = w.zk.assignments[p].replicas.count};
	if (unclean)
		HOLDS(properties_set(&settings, "unclean.leader.election.enable", "true") == 0);
	HOLDS(znode_topic_create(w.zk.eye, topic_name(topic), &ta, &settings) == 0);
	properties_fini(&settings);
}

void
ensemble_create_topic(int topic)
{
	struct topic_znode *znode = &w.zk.topics[topic];

	znode->exists = true;
	znode->incarnation++;
	znode->unclean = percent(w.unclean_percent);
	for (int p = 0; p < PARTITIONS; p++)
		if (topic_of(p) == topic) {
			w.zk.assignments[p] = (struct assignment){.replicas = operator_places()};
			w.zk.states[p] = (struct state_znode){0};
		}
	world_begin_topic(topic);
	world_note_strays(-1);
	w.sums.topics_created++;
	world_trace("topic %s comes for the %d. time, unclean %d", topic_name(topic),
		    znode->incarnation, znode->unclean);
	write_topic(topic, znode->unclean);
}

/* The znodes by which tools of old ask something; the one before may still be there. */
static void
ask(const char *path, struct slice value)
{
	int st = zk_create(w.zk.eye, path, value, ZK_PERSISTENT, NULL);

	HOLDS(st == 0 || st == -EEXIST);
	look_at(-1, path);
}

void
ensemble_ask_to_delete(int topic)
{
	char path[ZNODE_PATH_MAX];

	world_trace("topic %s is to go", topic_name(topic));
	snprintf(path, sizeof(path), "/admin/delete_topics/%s", topic_name(topic));
	ask(path, (struct slice){0});
}

void
ensemble_ask_to_move(const struct members targets[PARTITIONS])
{
	struct requested_partition items[PARTITIONS];
	struct requested_partitions rp = {.items = items};
	char names[TOPICS][2];
	struct buf value = {0};

	for (int p = 0; p < PARTITIONS; p++) {
		char *name = names[topic_of(p)];

		if (targets[p].count == 0)
			continue;
		strcpy(name, topic_name(topic_of(p)));
		world_trace("p%d shall go to %s, says a znode", p, members_text(&targets[p]));
		items[rp.count++] = (struct requested_partition){
		    name, number_of(p), (int32_t *)(uintptr_t)targets[p].ids, targets[p].count};
		w.sums.moves_asked_by_znode++;
	}
	znode_reassign_encode(&rp, &value);
	ask(ZNODE_REASSIGN, buf_slice(&value));
	buf_fini(&value);
}

void
ensemble_stop_asking_to_move(void)
{
	int st = zk_delete(w.zk.eye, ZNODE_REASSIGN, ZK_ANY_VERSION);

	HOLDS(st == 0 || st == -ENOENT);
	look_at(-1, ZNODE_REASSIGN);
}

/* Of all partitions, their preferred replicas. */
void
ensemble_ask_to_elect(void)
{
	json_t *list = json_array();
	struct buf value = {0};

	for (int p = 0; p < PARTITIONS; p++)
		json_array_append_new(list, json_pack("{s:s,s:i}", "topic", topic_name(topic_of(p)),
						      "partition", number_of(p)));
	znode_format(json_pack("{s:i,s:o}", "version", 1, "partitions", list), &value);
	ask(ZNODE_PREFERRED_ELECTION, buf_slice(&value));
	buf_fini(&value);
}

void
ensemble_tell_of_directory(int id)
{
	char value[64];
	int st;

	snprintf(value, sizeof(value), "{\"version\":1,\"broker\":%d,\"event\":1}", id);
	st = zk_create(
	    w.brokers[id].process->session.zk, "/log_dir_event_notification/log_dir_event_",
	    (struct slice){(const uint8_t *)value, strlen(value)}, ZK_PERSISTENT_SEQUENTIAL, NULL);
	HOLDS(st == 0 || st == -ESHUTDOWN);
}
