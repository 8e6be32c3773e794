#include "replica/alter_partition.h"

#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "replica/partition_state.h"
#include "wire/api_table.h"
#include "wire/generated/alter_partition.h"
#include "wire/kerr.h"

#define ALTER_PARTITION_VERSION 3
#define RETRY_MS 50

/* One partition that waits for the controller. */
struct proposal {
	struct proposal *next;
	struct partition *p; /* counted */
	struct partition_proposal what;
	bool sent, answered;
	bool again; /* something new was proposed since it was sent */
};

struct alter_partition {
	struct alter_partition_settings settings;
	struct controller_peer peer;
	struct proposal *proposals;
	bool in_flight, closing;
	struct timer retry;
};

struct submission {
	struct alter_partition *ap;
	struct partition *p;
};

static void send_proposals(struct alter_partition *ap);

static void
proposal_free(struct proposal *pr)
{
	free(pr->what.members);
	free(pr->what.epochs);
	partition_put(pr->p);
	free(pr);
}

static void
retry_later(struct alter_partition *ap)
{
	if (!ap->closing)
		reactor_arm(ap->settings.peer.reactor, &ap->retry,
			    reactor_now_ms(ap->settings.peer.reactor) + RETRY_MS);
}

/* ---- the answer ---- */

static struct proposal *
find_sent(struct alter_partition *ap, const struct uuid *topic_id, int32_t partition)
{
	for (struct proposal *pr = ap->proposals; pr != NULL; pr = pr->next)
		if (pr->sent && partition_number(pr->p) == partition &&
		    uuid_equal(&pr->what.topic_id, topic_id))
			return pr;
	return NULL;
}

static void
take_answer(struct alter_partition *ap, const struct alter_partition_response *resp)
{
	for (int32_t t = 0; t < resp->topics_count; t++)
		for (int32_t i = 0; i < resp->topics[t].partitions_count; i++) {
			const struct alter_partition_response_partition_data *d =
			    &resp->topics[t].partitions[i];
			struct proposal *pr =
			    find_sent(ap, &resp->topics[t].topic_id, d->partition_index);
			struct partition_committed committed = {
			    .leader_epoch = d->leader_epoch,
			    .partition_epoch = d->partition_epoch,
			    .isr = d->isr,
			    .isr_count = d->isr_count,
			};

			if (pr != NULL)
				pr->answered = !partition_proposal_answered(
				    pr->p, pr->what.proposal_epoch, d->error_code, &committed);
		}
}

/* Takes out what was answered. Returns true when something of what was sent is left. */
static bool
sweep(struct alter_partition *ap)
{
	struct proposal **link = &ap->proposals;
	bool left = false;

	while (*link != NULL) {
		struct proposal *pr = *link;

		if (pr->answered && !pr->again) {
			*link = pr->next;
			proposal_free(pr);
			continue;
		}
		left = left || (pr->sent && !pr->answered);
		pr->sent = pr->answered = pr->again = false;
		link = &pr->next;
	}
	return left;
}

static void
on_answer(void *arg, int status, struct slice body)
{
	struct alter_partition *ap = arg;
	struct alter_partition_response resp;
	struct arena arena;
	struct wire_in in;

	ap->in_flight = false;
	if (ap->closing)
		return;
	arena_init(&arena, body.len * 16 + (1 << 16));
	wire_in_init(&in, body, &arena);
	if (status == 0)
		status = alter_partition_response_decode(&resp, ALTER_PARTITION_VERSION, &in);
	if (status == 0 && resp.error_code == 0)
		take_answer(ap, &resp);
	else
		diag_info(DIAG_REPLICA,
			  "the controller did not answer proposals for isrs; sent "
			  "again",
			  "error=%s", status != 0 ? strerror(-status) : kerr_name(resp.error_code));
	arena_fini(&arena);
	if (sweep(ap))
		retry_later(ap);
	else
		send_proposals(ap);
}

/* ---- the request ---- */

/* Looks again at what each proposes; drops what it does no longer. Returns how many are left. */
static int32_t
refresh(struct alter_partition *ap)
{
	struct proposal **link = &ap->proposals;
	int32_t count = 0;

	while (*link != NULL) {
		struct proposal *pr = *link;

		free(pr->what.members);
		free(pr->what.epochs);
		pr->what.members = NULL;
		pr->what.epochs = NULL;
		if (partition_proposal(pr->p, &pr->what)) {
			pr->sent = true;
			count++;
			link = &pr->next;
		} else {
			*link = pr->next;
			proposal_free(pr);
		}
	}
	return count;
}

static void
fill_partition(const struct proposal *pr, struct arena *arena,
	       struct alter_partition_request_topic_data *topic)
{
	struct alter_partition_request_partition_data *d =
	    alter_partition_request_partition_data_new(arena, 1);

	if (d == NULL)
		abort();
	d->partition_index = partition_number(pr->p);
	d->leader_epoch = pr->what.leader_epoch;
	d->partition_epoch = pr->what.partition_epoch;
	d->new_isr_with_epochs = broker_state_new(arena, pr->what.member_count);
	if (d->new_isr_with_epochs == NULL)
		abort();
	for (int32_t i = 0; i < pr->what.member_count; i++) {
		d->new_isr_with_epochs[i].broker_id = pr->what.members[i];
		d->new_isr_with_epochs[i].broker_epoch = pr->what.epochs[i];
	}
	d->new_isr_with_epochs_count = pr->what.member_count;
	topic->topic_id = pr->what.topic_id;
	topic->partitions = d;
	topic->partitions_count = 1;
}

/* One topic entry for each partition: what the controller reads is the same. */
static int
encode(struct alter_partition *ap, int32_t count, struct buf *body)
{
	struct alter_partition_request req;
	struct wire_out out;
	struct arena arena;
	int st;

	arena_init(&arena, SIZE_MAX / 2);
	alter_partition_request_init(&req);
	req.broker_id = ap->settings.peer.broker_id;
	req.broker_epoch = ap->settings.broker_epoch(ap->settings.arg);
	req.topics = alter_partition_request_topic_data_new(&arena, count);
	if (req.topics == NULL)
		abort();
	for (const struct proposal *pr = ap->proposals; pr != NULL; pr = pr->next)
		if (pr->sent)
			fill_partition(pr, &arena, &req.topics[req.topics_count++]);
	wire_out_init(&out, body);
	st = alter_partition_request_encode(&req, ALTER_PARTITION_VERSION, &out);
	wire_out_fini(&out);
	arena_fini(&arena);
	return st;
}

static void
send_proposals(struct alter_partition *ap)
{
	struct buf body = {0};
	int32_t count;

	if (ap->in_flight || ap->closing)
		return;
	count = refresh(ap);
	if (count == 0)
		return;
	if (encode(ap, count, &body) != 0 || body.failed)
		abort();
	ap->in_flight = true;
	if (controller_peer_call(&ap->peer, API_ALTER_PARTITION, ALTER_PARTITION_VERSION, true,
				 &body, ap->settings.request_timeout_ms, on_answer, ap) != 0) {
		ap->in_flight = false;
		sweep(ap);
		retry_later(ap);
	}
}

static void
on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	send_proposals(arg);
}

static void
take_submission(void *arg)
{
	struct submission *submission = arg;
	struct alter_partition *ap = submission->ap;
	struct proposal *pr = ap->proposals;

	while (pr != NULL && pr->p != submission->p)
		pr = pr->next;
	if (pr == NULL && !ap->closing) {
		pr = calloc(1, sizeof(*pr));
		if (pr == NULL)
			abort();
		pr->p = partition_get(submission->p);
		pr->next = ap->proposals;
		ap->proposals = pr;
	}
	if (pr != NULL)
		pr->again = pr->sent;
	partition_put(submission->p);
	free(submission);
	send_proposals(ap);
}

void
alter_partition_submit(struct alter_partition *ap, struct partition *p)
{
	struct submission *submission = calloc(1, sizeof(*submission));

	if (submission == NULL)
		abort();
	submission->ap = ap;
	submission->p = partition_get(p);
	reactor_post(ap->settings.peer.reactor, take_submission, submission);
}

int
alter_partition_open(const struct alter_partition_settings *settings,
		     struct alter_partition **ret_manager)
{
	struct alter_partition *ap = calloc(1, sizeof(*ap));

	if (ap == NULL)
		return -ENOMEM;
	ap->settings = *settings;
	controller_peer_init(&ap->peer, &settings->peer);
	timer_init(&ap->retry, on_retry, ap);
	*ret_manager = ap;
	return 0;
}

static void
close_on_reactor(void *arg)
{
	struct alter_partition *ap = arg;

	ap->closing = true;
	reactor_cancel(ap->settings.peer.reactor, &ap->retry);
	controller_peer_fini(&ap->peer);
	while (ap->proposals != NULL) {
		struct proposal *pr = ap->proposals;

		ap->proposals = pr->next;
		proposal_free(pr);
	}
}

void
alter_partition_close(struct alter_partition *ap)
{
	if (ap == NULL)
		return;
	reactor_call(ap->settings.peer.reactor, close_on_reactor, ap);
	free(ap);
}
