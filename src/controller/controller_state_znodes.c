/*
 * The state znodes of partitions: creating them, writing what was decided, and reading again what
 * somebody else had written meanwhile.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
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

/* The three creates of a new partition, or the one write of a known one. */
struct state_write {
	const struct effect *effect;
	struct buf value;
	char partitions[ZNODE_PATH_MAX], partition[ZNODE_PATH_MAX], state[ZNODE_PATH_MAX];
	struct zk_op ops[3][2];
	struct zk_request requests[3];
	size_t request_count;
	bool done; /* as part of a batch */
};

/*
 * Writes of known partitions that are one transaction: an ensemble pays for transactions, hardly
 * for what is in them. When it fails that says nothing of the others, and each is done by itself.
 */
#define STATES_PER_BATCH 64
struct state_batch {
	struct state_write *writes[STATES_PER_BATCH];
	struct zk_op ops[1 + STATES_PER_BATCH]; /* the fence first */
	size_t count;
};

static void
encode_state(const struct effect *e, struct buf *out)
{
	struct partition_state ps = {
	    .leader = e->state.leader,
	    .leader_epoch = e->state.leader_epoch,
	    .controller_epoch = e->state.controller_epoch,
	    .isr = (int32_t *)(uintptr_t)e->state.isr,
	    .isr_count = e->state.isr_count,
	    .recovering = e->state.recovering,
	};

	znode_partition_state_encode(&ps, out);
	if (out->failed)
		abort();
}

static void
state_write_init(struct controller *c, struct state_write *w, const struct effect *e)
{
	struct zk_op fence = znode_controller_fence(c->epoch_version);

	w->effect = e;
	encode_state(e, &w->value);
	znode_partitions_path(e->topic, w->partitions);
	znode_partition_path(e->topic, e->partition, w->partition);
	znode_partition_state_path(e->topic, e->partition, w->state);
	if (e->create) {
		const char *paths[3] = {w->partitions, w->partition, w->state};

		for (w->request_count = 0; w->request_count < 3; w->request_count++) {
			struct zk_op *ops = w->ops[w->request_count];

			ops[0] = fence;
			ops[1] = (struct zk_op){.kind = ZK_CREATE, .path = paths[w->request_count]};
		}
		w->ops[2][1].data = buf_slice(&w->value);
	} else {
		w->ops[0][0] = fence;
		w->ops[0][1] = (struct zk_op){.kind = ZK_SET,
					      .path = w->state,
					      .data = buf_slice(&w->value),
					      .version = e->state.partition_epoch};
		w->request_count = 1;
	}
	for (size_t i = 0; i < w->request_count; i++)
		w->requests[i] = (struct zk_request){.ops = w->ops[i], .op_count = 2};
}

static void
state_write_fini(struct state_write *w)
{
	for (size_t i = 0; i < w->request_count; i++)
		for (int k = 0; k < 2; k++)
			zk_op_fini(&w->ops[i][k]);
	buf_fini(&w->value);
}

/* 0, -ESTALE (another controller), -EAGAIN (the state is not what we knew), other -errno. */
static int
state_write_result(const struct state_write *w, int32_t *ret_version)
{
	const struct zk_op *last = &w->ops[w->request_count - 1][1];

	for (size_t i = 0; i < w->request_count; i++)
		if (w->ops[i][0].st == -ESTALE)
			return -ESTALE;
	if (last->st == -ESTALE || last->st == -EEXIST || last->st == -ENOENT)
		return -EAGAIN;
	*ret_version = w->effect->create ? 0 : last->stat.version;
	return last->st;
}

int
office_reread_state(struct controller *c, const char *topic, int32_t partition)
{
	char path[ZNODE_PATH_MAX];
	struct buf value = {0};
	struct zk_stat stat;
	struct partition_state ps;
	int st;

	znode_partition_state_path(topic, partition, path);
	st = zk_get(c->zk, path, false, &value, &stat);
	if (st == 0)
		st = znode_partition_state_decode(buf_slice(&value), stat.version, &ps);
	buf_fini(&value);
	if (st != 0)
		return st;
	controller_state_put_leadership(
	    c->state, topic, partition,
	    &(struct controller_leadership){ps.leader, ps.leader_epoch, ps.controller_epoch, ps.isr,
					    ps.isr_count, ps.recovering, ps.partition_epoch, NULL,
					    stat.mtime_ms});
	if (ps.controller_epoch > c->epoch)
		st = -ESTALE;
	partition_state_fini(&ps);
	return st;
}

/* Takes in what became of one write; conflicts are read again and decided anew, into fx. */
static int
settle(struct controller *c, const struct state_write *w, struct effects *fx)
{
	const struct effect *e = w->effect;
	int32_t version = 0;
	int st = state_write_result(w, &version);

	controller_state_written(c->state, e->topic, e->partition, st, version);
	if (st == -EAGAIN) {
		st = office_reread_state(c, e->topic, e->partition);
		if (st == 0)
			controller_state_decide_again(c->state, e->topic, e->partition, fx);
		else if (st == -ENOENT) /* the topic was deleted meanwhile */
			st = 0;
		else if (st == -EBADMSG) { /* one partition's node; the office goes on */
			office_complain_of_state(w->state);
			st = 0;
		}
	} else if (st != 0 && st != -ESTALE && st != -ESHUTDOWN) {
		diag_error(DIAG_CONTROLLER, "cannot write the state of a partition",
			   "partition=%s-%d error=%s", e->topic, e->partition, strerror(-st));
		st = 0;
	}
	return st;
}

static void
batch_add(struct controller *c, struct state_batch *b, struct state_write *w)
{
	if (b->count == 0)
		b->ops[0] = znode_controller_fence(c->epoch_version);
	b->writes[b->count++] = w;
	b->ops[b->count] = w->ops[0][1];
}

/* Gives each write its outcome, where the batch's is that of each. */
static void
batch_settle(struct state_batch *b, const struct zk_request *request)
{
	bool conclusive = request->st == 0 || b->ops[0].st == -ESTALE || b->count == 1;

	for (size_t i = 0; i < b->count; i++) {
		struct state_write *w = b->writes[i];

		w->done = conclusive;
		w->ops[0][0].st = b->ops[0].st;
		w->ops[0][1].st = b->ops[1 + i].st;
		w->ops[0][1].stat = b->ops[1 + i].stat;
	}
	for (size_t i = 0; i <= b->count; i++)
		zk_op_fini(&b->ops[i]);
}

/* The writes of known partitions, in batches, pipelined. */
static int
write_batches(struct controller *c, struct state_write *writes, size_t count)
{
	size_t batch_count = 0, n = 0;
	struct state_batch *batches;
	struct zk_request *requests;
	int st;

	for (size_t i = 0; i < count; i++)
		n += !writes[i].effect->create;
	batches = must(calloc(n / STATES_PER_BATCH + 1, sizeof(*batches)));
	requests = must(calloc(n / STATES_PER_BATCH + 1, sizeof(*requests)));
	for (size_t i = 0; i < count; i++) {
		if (writes[i].effect->create)
			continue;
		if (batches[batch_count].count == STATES_PER_BATCH)
			batch_count++;
		batch_add(c, &batches[batch_count], &writes[i]);
	}
	if (n > 0)
		batch_count++;
	for (size_t i = 0; i < batch_count; i++)
		requests[i] =
		    (struct zk_request){.ops = batches[i].ops, .op_count = 1 + batches[i].count};
	st = zk_run(c->zk, requests, batch_count);
	for (size_t i = 0; i < batch_count; i++)
		batch_settle(&batches[i], &requests[i]);
	free(requests);
	free(batches);
	return st;
}

/* What was not done in a batch, each by itself, pipelined. */
static int
write_singly(struct controller *c, struct state_write *writes, size_t count)
{
	struct zk_request *requests = must(calloc(count * 3, sizeof(*requests)));
	size_t request_count = 0;
	int st;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < writes[i].request_count && !writes[i].done; k++)
			requests[request_count++] = writes[i].requests[k];
	st = request_count == 0 ? 0 : zk_run(c->zk, requests, request_count);
	free(requests);
	return st;
}

int
office_write_states(struct controller *c, const struct effects *fx, struct effects *again)
{
	struct state_write *writes;
	size_t count = 0, n = 0;
	int st;

	for (const struct effect *e = fx->first; e != NULL; e = e->next)
		count += e->kind == EFFECT_WRITE_STATE;
	if (count == 0)
		return 0;
	writes = must(calloc(count, sizeof(*writes)));
	for (const struct effect *e = fx->first; e != NULL; e = e->next)
		if (e->kind == EFFECT_WRITE_STATE)
			state_write_init(c, &writes[n++], e);
	st = write_batches(c, writes, count);
	if (st == 0)
		st = write_singly(c, writes, count);
	for (size_t i = 0; i < count; i++) {
		int settled = st == 0 ? settle(c, &writes[i], again) : 0;

		if (st != 0)
			controller_state_written(c->state, writes[i].effect->topic,
						 writes[i].effect->partition, st, 0);
		if (st == 0)
			st = settled;
		state_write_fini(&writes[i]);
	}
	free(writes);
	return st;
}
