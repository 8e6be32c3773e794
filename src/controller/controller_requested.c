/*
 * Elections that are asked for, carried out: by ElectLeaders, by the znode that tools of old write,
 * and by the clock.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
#include "wire/kerr.h"
#include "zk/znode_admin.h"

#define FIRST_BALANCE_MS 5000

/* ---- leaders ---- */

static int
elect(struct controller *c, struct controller_election *elections, size_t count, bool unclean)
{
	struct effects fx;
	int st;

	effects_init(&fx);
	for (size_t i = 0; i < count; i++) {
		struct controller_election *e = &elections[i];

		e->leader = controller_state_leader(c->state, e->topic, e->partition);
		e->error = controller_state_elect(c->state, e->topic, e->partition, unclean, &fx);
	}
	st = office_carry_out(c, &fx);
	effects_fini(&fx);
	for (size_t i = 0; i < count; i++) {
		struct controller_election *e = &elections[i];
		int32_t before = e->leader;

		if (st != 0)
			e->error = K_NOT_CONTROLLER;
		if (e->error != 0)
			continue;
		e->leader = controller_state_leader(c->state, e->topic, e->partition);
		if (e->leader < 0 || e->leader == before) /* somebody came in between */
			e->error = unclean ? K_ELIGIBLE_LEADERS_NOT_AVAILABLE
					   : K_PREFERRED_LEADER_NOT_AVAILABLE;
	}
	return st;
}

void
controller_elect_leaders(struct controller *c, struct controller_election *elections, size_t count,
			 bool unclean)
{
	int st;

	if (!atomic_load(&c->active)) {
		for (size_t i = 0; i < count; i++)
			elections[i].error = K_NOT_CONTROLLER;
		return;
	}
	st = elect(c, elections, count, unclean);
	if (st != 0)
		controller_lost_office(c, st);
}

static int
elect_requested(struct controller *c, const struct requested_partitions *rp)
{
	struct controller_election *elections = calloc(rp->count + 1, sizeof(*elections));
	int st;

	if (elections == NULL)
		abort();
	for (size_t i = 0; i < rp->count; i++) {
		elections[i].topic = rp->items[i].topic;
		elections[i].partition = rp->items[i].partition;
	}
	st = elect(c, elections, rp->count, false);
	for (size_t i = 0; i < rp->count; i++)
		if (elections[i].error != 0 && elections[i].error != K_ELECTION_NOT_NEEDED)
			diag_warn(DIAG_CONTROLLER, "the preferred leader was not elected",
				  "partition=%s-%d error=%s", elections[i].topic,
				  elections[i].partition, kerr_name(kerr_of(elections[i].error)));
	free(elections);
	return st;
}

int
office_elections_requested(struct controller *c)
{
	int st = zk_exists(c->zk, ZNODE_PREFERRED_ELECTION, true, NULL);

	/* Once more after each, which arms the watch for the next. */
	while (st == 0) {
		struct requested_partitions rp = {0};
		struct buf value = {0};

		st = zk_get(c->zk, ZNODE_PREFERRED_ELECTION, false, &value, NULL);
		if (st == 0 && znode_preferred_election_decode(buf_slice(&value), &rp) != 0)
			diag_error(DIAG_CONTROLLER, "cannot read which leaders to elect", "path=%s",
				   ZNODE_PREFERRED_ELECTION);
		buf_fini(&value);
		if (st == 0)
			st = elect_requested(c, &rp);
		requested_partitions_fini(&rp);
		if (st == 0)
			st = office_delete_fenced(c, ZNODE_PREFERRED_ELECTION);
		if (st == 0)
			st = zk_exists(c->zk, ZNODE_PREFERRED_ELECTION, true, NULL);
	}
	return st == -ENOENT ? 0 : st;
}

/* ---- the balance of leaders ---- */

static void
balance_after(struct controller *c, int64_t delay_ms)
{
	timers_arm(&c->timers, &c->balance, env_monotonic_ms(c->settings.env) + delay_ms);
}

void
office_on_balance(struct timer *timer, void *arg)
{
	struct controller *c = arg;
	const struct broker_conf *conf = conf_store_get(c->settings.conf);
	int64_t interval_s = conf->leader_imbalance_check_interval_seconds;
	struct effects fx;
	size_t moved;
	int st;

	(void)timer;
	effects_init(&fx);
	moved =
	    controller_state_balance(c->state, conf->leader_imbalance_per_broker_percentage, &fx);
	if (moved > 0)
		diag_info(DIAG_CONTROLLER, "balancing leaders", "partitions=%zu", moved);
	st = office_carry_out(c, &fx);
	effects_fini(&fx);
	if (st != 0)
		controller_lost_office(c, st);
	else
		balance_after(c, interval_s > INT64_MAX / 2000 ? INT64_MAX / 2 : interval_s * 1000);
}

void
office_begin_balance(struct controller *c)
{
	if (conf_store_get(c->settings.conf)->auto_leader_rebalance_enable)
		balance_after(c, FIRST_BALANCE_MS);
}

/* ---- settings ---- */

void
controller_settings_changed(struct controller *c, const char *topic)
{
	bool unclean = conf_store_get(c->settings.conf)->unclean_leader_election_enable;
	struct effects fx;
	int st;

	if (!atomic_load(&c->active) || (topic == NULL && unclean == c->unclean))
		return;
	if (topic == NULL)
		c->unclean = unclean;
	effects_init(&fx);
	st = office_settings_changed(c, topic == NULL ? NULL : &topic, 1, &fx);
	if (st == 0)
		st = office_carry_out(c, &fx);
	effects_fini(&fx);
	if (st != 0)
		controller_lost_office(c, st);
}
