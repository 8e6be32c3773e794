/*
 * The requests of brokers to the active controller, from the decision to the answer: a state is in
 * the ensemble before its leader hears of it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
#include "wire/generated/alter_partition.h"
#include "wire/generated/controlled_shutdown.h"
#include "wire/kerr.h"

#define RECOVERING 1

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* Carries out, and gives the office up when that cannot be. 0 or K_NOT_CONTROLLER. */
static int
carry_out(struct controller *c, struct effects *fx)
{
	int st = office_carry_out(c, fx);

	if (st == 0)
		return 0;
	controller_lost_office(c, st);
	return K_NOT_CONTROLLER;
}

/* ---- AlterPartition ---- */

/* One partition of the request, in the form of all versions. */
struct asked {
	struct uuid topic_id;
	const struct alter_partition_request_partition_data *req;
	struct alter_partition_response_partition_data *resp;
	struct controller_leadership wanted;
};

static void
fill_wanted(struct asked *a, int version, struct arena *arena)
{
	int32_t count = version >= 3 ? a->req->new_isr_with_epochs_count : a->req->new_isr_count;
	int32_t *isr = must(arena_calloc(arena, (size_t)count + 1, sizeof(*isr)));
	int64_t *epochs = must(arena_calloc(arena, (size_t)count + 1, sizeof(*epochs)));

	for (int32_t i = 0; i < count; i++) {
		isr[i] =
		    version >= 3 ? a->req->new_isr_with_epochs[i].broker_id : a->req->new_isr[i];
		epochs[i] = version >= 3 ? a->req->new_isr_with_epochs[i].broker_epoch : -1;
	}
	a->wanted = (struct controller_leadership){
	    .leader_epoch = a->req->leader_epoch,
	    .isr = isr,
	    .isr_count = count,
	    .recovering = a->req->leader_recovery_state == RECOVERING,
	    .partition_epoch = a->req->partition_epoch,
	    .isr_epochs = epochs,
	};
}

static bool
same_isr(const struct controller_leadership *a, const struct controller_leadership *b)
{
	return a->isr_count == b->isr_count &&
	       memcmp(a->isr, b->isr, (size_t)a->isr_count * sizeof(*a->isr)) == 0;
}

/* After the writes: what holds now, if it is what was wanted. */
static void
fill_answer(struct controller *c, const struct asked *a, struct arena *arena)
{
	struct alter_partition_response_partition_data *d = a->resp;
	struct controller_leadership now;
	int32_t *isr;

	if (d->error_code != 0)
		return;
	if (!controller_state_leadership(c->state, &a->topic_id, a->req->partition_index, &now) ||
	    now.leader_epoch != a->wanted.leader_epoch || !same_isr(&now, &a->wanted)) {
		d->error_code = K_INVALID_UPDATE_VERSION;
		return;
	}
	isr = must(arena_calloc(arena, (size_t)now.isr_count + 1, sizeof(*isr)));
	memcpy(isr, now.isr, (size_t)now.isr_count * sizeof(*isr));
	d->leader_id = now.leader;
	d->leader_epoch = now.leader_epoch;
	d->isr = isr;
	d->isr_count = now.isr_count;
	d->leader_recovery_state = now.recovering ? RECOVERING : 0;
	d->partition_epoch = now.partition_epoch;
}

/* The answer's shape, and a flat list of what is asked. */
static struct asked *
lay_out(struct controller *c, const struct alter_partition_request *req, int version,
	struct arena *arena, struct alter_partition_response *resp, int32_t *ret_count)
{
	struct asked *asked;
	int32_t count = 0;

	for (int32_t t = 0; t < req->topics_count; t++)
		count += req->topics[t].partitions_count;
	asked = must(arena_calloc(arena, (size_t)count + 1, sizeof(*asked)));
	*ret_count = count;
	count = 0;
	resp->topics = must(alter_partition_response_topic_data_new(arena, req->topics_count));
	resp->topics_count = req->topics_count;
	for (int32_t t = 0; t < req->topics_count; t++) {
		const struct alter_partition_request_topic_data *topic = &req->topics[t];
		struct alter_partition_response_topic_data *tr = &resp->topics[t];
		struct uuid id = topic->topic_id;

		if (version < 2 &&
		    !controller_state_topic_id(c->state, topic->topic_name.data, &id))
			id = (struct uuid){{0}};
		tr->topic_name = topic->topic_name;
		tr->topic_id = topic->topic_id;
		tr->partitions = must(
		    alter_partition_response_partition_data_new(arena, topic->partitions_count));
		tr->partitions_count = topic->partitions_count;
		for (int32_t i = 0; i < topic->partitions_count; i++) {
			struct asked *a = &asked[count++];

			a->topic_id = id;
			a->req = &topic->partitions[i];
			a->resp = &tr->partitions[i];
			a->resp->partition_index = a->req->partition_index;
			fill_wanted(a, version, arena);
		}
	}
	return asked;
}

void
controller_alter_partition(struct controller *c, const struct alter_partition_request *req,
			   int version, struct arena *arena, struct alter_partition_response *resp)
{
	struct asked *asked;
	struct effects fx;
	int32_t count;

	alter_partition_response_init(resp);
	if (!atomic_load(&c->active)) {
		resp->error_code = K_NOT_CONTROLLER;
		return;
	}
	resp->error_code =
	    kerr_of(controller_state_check_broker(c->state, req->broker_id, req->broker_epoch));
	if (resp->error_code != 0)
		return;
	asked = lay_out(c, req, version, arena, resp, &count);
	effects_init(&fx);
	for (int32_t i = 0; i < count; i++) {
		int st = controller_state_alter_partition(
		    c->state, req->broker_id, &asked[i].topic_id, asked[i].req->partition_index,
		    &asked[i].wanted, &fx);

		if (st == K_INELIGIBLE_REPLICA && version < 2)
			st = K_OPERATION_NOT_ATTEMPTED;
		asked[i].resp->error_code = kerr_of(st);
	}
	if (carry_out(c, &fx) != 0) {
		resp->topics_count = 0;
		resp->error_code = K_NOT_CONTROLLER;
	} else {
		for (int32_t i = 0; i < count; i++)
			fill_answer(c, &asked[i], arena);
	}
	effects_fini(&fx);
}

/* ---- ControlledShutdown ---- */

struct remaining {
	struct arena *arena;
	struct controlled_shutdown_response *resp;
	int32_t cap;
};

static void
add_remaining(void *arg, const char *topic, int32_t partition)
{
	struct remaining *r = arg;
	struct controlled_shutdown_response *resp = r->resp;

	if (resp->remaining_partitions_count == r->cap) {
		struct remaining_partition *grown;

		r->cap = r->cap == 0 ? 16 : r->cap * 2;
		grown = must(remaining_partition_new(r->arena, r->cap));
		if (resp->remaining_partitions_count > 0)
			memcpy(grown, resp->remaining_partitions,
			       (size_t)resp->remaining_partitions_count * sizeof(*grown));
		resp->remaining_partitions = grown;
	}
	resp->remaining_partitions[resp->remaining_partitions_count++] =
	    (struct remaining_partition){
		.topic_name = str_of(must(arena_strdup(r->arena, topic, strlen(topic)))),
		.partition_index = partition,
	    };
}

void
controller_shut_down_broker(struct controller *c, int32_t broker_id, int64_t broker_epoch,
			    struct arena *arena, struct controlled_shutdown_response *resp)
{
	struct remaining remaining = {arena, resp, 0};
	struct effects fx;
	int st;

	controlled_shutdown_response_init(resp);
	if (!atomic_load(&c->active)) {
		resp->error_code = K_STALE_CONTROLLER_EPOCH;
		return;
	}
	effects_init(&fx);
	st = controller_state_shut_down(c->state, broker_id, broker_epoch, &fx);
	if (st == 0 && carry_out(c, &fx) != 0)
		st = K_STALE_CONTROLLER_EPOCH;
	effects_fini(&fx);
	if (st == 0)
		controller_state_each_led(c->state, broker_id, add_remaining, &remaining);
	resp->error_code = kerr_of(st);
	diag_info(DIAG_CONTROLLER, "a broker is shutting down", "broker=%d still_leads=%d error=%s",
		  broker_id, resp->remaining_partitions_count, kerr_name(resp->error_code));
}
