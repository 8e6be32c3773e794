#include "controller/controller.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/diag.h"
#include "controller/controller_actor.h"
#include "zk/znode_controller.h"

#define RETRY_MS 1000

/* The election */

static void stand_for_election(struct controller *c);

static void
retry_later(struct controller *c)
{
	timers_arm(&c->timers, &c->retry, env_monotonic_ms(c->settings.env) + RETRY_MS);
}

static void
resign(struct controller *c)
{
	if (!atomic_load(&c->active))
		return;
	atomic_store(&c->active, false);
	atomic_store(&c->serving, false);
	office_end(c);
	diag_info(DIAG_CONTROLLER, "resigned as controller", "epoch=%d", c->epoch);
}

void
controller_lost_office(struct controller *c, int st)
{
	int32_t id = -1;

	diag_warn(DIAG_CONTROLLER, "cannot go on as controller", "epoch=%d error=%s", c->epoch,
		  st == -ESTALE ? "another broker was elected" : strerror(-st));
	resign(c);
	if (st == -ESHUTDOWN)
		return; /* the session is gone; a new one will stand anew */
	/* The node goes, if it is ours, so that somebody stands: perhaps we do. */
	if (znode_controller_get(c->zk, true, &id) == 0 && id == c->settings.broker_id &&
	    znode_controller_resign(c->zk, c->epoch_version) == 0)
		id = -1;
	atomic_store(&c->active_id, id);
	if (id == -1)
		retry_later(c);
}

static void
take_office(struct controller *c)
{
	int st;

	atomic_store(&c->active, true);
	diag_info(DIAG_CONTROLLER, "elected as controller", "epoch=%d", c->epoch);
	st = office_begin(c);
	if (st != 0)
		controller_lost_office(c, st);
}

static void
stand_for_election(struct controller *c)
{
	int32_t id = -1;
	int st = znode_controller_get(c->zk, true, &id);

	if (st == 0 && id != -1 && id != c->settings.broker_id) {
		atomic_store(&c->active_id, id);
		resign(c);
		return;
	}
	if (st == 0 && id != -1 && atomic_load(&c->active))
		return; /* our own node */
	if (st == 0) {
		resign(c); /* our node was taken away */
		st = znode_controller_elect(c->zk, c->settings.broker_id,
					    env_now_ms(c->settings.env), &c->epoch,
					    &c->epoch_version);
	}
	if (st == 0) {
		take_office(c);
	} else if (st == -EEXIST) {
		st = znode_controller_get(c->zk, true, &id);
		atomic_store(&c->active_id, st == 0 ? id : -1);
	}
	if (st == -EBADMSG && !c->complained)
		diag_error(DIAG_CONTROLLER,
			   "cannot read who is the controller: delete /controller, or mend "
			   "/controller_epoch, which must be above all that there were; tried on",
			   "path=/controller,/controller_epoch");
	else if (st != 0 && st != -ESHUTDOWN && st != -EBADMSG)
		diag_warn(DIAG_CONTROLLER, "cannot stand for election; trying again", "error=%s",
			  strerror(-st));
	c->complained = st == -EBADMSG;
	if (st != 0 && st != -ESHUTDOWN)
		retry_later(c);
}

static void
register_and_stand(struct controller *c)
{
	if (c->must_register) {
		int st = c->settings.register_broker(c->settings.arg, c->zk);

		if (st == -ESHUTDOWN)
			return;
		if (st != 0) {
			diag_warn(DIAG_CONTROLLER, "cannot register again; trying on", "error=%s",
				  strerror(-st));
			retry_later(c);
			return;
		}
		c->must_register = false;
	}
	stand_for_election(c);
}

static void
on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	register_and_stand(arg);
}

/* Events of the session */

static void
see_to_watch(struct controller *c, enum zk_watch_type type, const char *path)
{
	int st = 0;

	if (strcmp(path, "/controller") == 0) {
		stand_for_election(c);
		return;
	}
	if (atomic_load(&c->active) && office_on_watch(c, type, path, &st)) {
		if (st != 0)
			controller_lost_office(c, st);
		return;
	}
	c->settings.on_watch(c->settings.arg, c->zk, type, path);
}

static void
on_watch(void *arg, enum zk_watch_type type, const char *path)
{
	struct controller *c = arg;

	c->event_began_us = env_monotonic_us(c->settings.env);
	controller_state_set_time(c->state, env_now_ms(c->settings.env));
	see_to_watch(c, type, path);
	c->event_began_us = 0;
}

static void
on_session(void *arg, enum zk_session_state state)
{
	struct controller *c = arg;

	if (state == ZK_DISCONNECTED)
		diag_warn(DIAG_ZK, "lost the connection to the ensemble; trying on", "");
	else if (state == ZK_CONNECTED)
		diag_info(DIAG_ZK, "connected to the ensemble again", "session=0x%llx",
			  (unsigned long long)zk_session_id(c->zk));
	else if (state == ZK_EXPIRED)
		diag_warn(DIAG_ZK, "the session has expired; opening another", "");
	if (state == ZK_EXPIRED) {
		resign(c);
		atomic_store(&c->active_id, -1);
	}
	if (c->started)
		c->settings.on_session(c->settings.arg, state);
	if (state == ZK_NEW_SESSION && c->started) {
		c->must_register = true;
		register_and_stand(c);
	}
}

/* The thread */

void
controller_begin(struct controller *c, struct zk *zk)
{
	c->zk = zk;
	c->started = true;
	stand_for_election(c);
}

void
controller_run_timers(struct controller *c)
{
	timers_run(&c->timers, env_monotonic_ms(c->settings.env));
}

static void *
controller_main(void *arg)
{
	struct controller *c = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	stand_for_election(c);
	while (!atomic_load(&c->stopping)) {
		int64_t now = env_monotonic_ms(c->settings.env);
		int64_t next = timers_next_ms(&c->timers);
		int timeout = next == INT64_MAX ? -1 : next <= now ? 0 : (int)(next - now);

		mailbox_wait(c->mailbox, timeout);
		controller_run_timers(c);
	}
	return NULL;
}

struct submission {
	struct controller *c;
	controller_fn *fn;
	void *arg;
};

static void
run_submission(void *arg)
{
	struct submission *s = arg;

	s->fn(s->arg, s->c->zk);
	free(s);
}

void
controller_submit(struct controller *c, controller_fn *fn, void *arg)
{
	struct submission *s = calloc(1, sizeof(*s));
	bool stopped;

	if (s == NULL)
		abort();
	*s = (struct submission){c, fn, arg};
	lock_acquire(&c->submit_lock);
	stopped = c->stopped;
	if (!stopped)
		mailbox_post(c->mailbox, run_submission, s);
	lock_release(&c->submit_lock);
	if (stopped)
		run_submission(s);
}

bool
controller_is_active(struct controller *c)
{
	return atomic_load(&c->serving);
}

int32_t
controller_active_id(struct controller *c)
{
	return atomic_load(&c->active_id);
}

bool
controller_topic_is_queued_for_deletion(struct controller *c, const char *topic)
{
	return controller_state_is_queued_for_deletion(c->state, topic);
}

void
controller_each_offline(struct controller *c,
			void (*fn)(void *arg, const struct controller_offline *offline), void *arg)
{
	if (atomic_load(&c->active))
		controller_state_each_offline(c->state, fn, arg);
}

struct mailbox *
controller_mailbox(struct controller *c)
{
	return c->mailbox;
}

struct zk_events
controller_zk_events(struct controller *c)
{
	return (struct zk_events){on_watch, on_session, c};
}

static void
find_metrics(struct controller_metrics *m)
{
	m->offline_partitions = metrics_get(METRIC_OFFLINE_PARTITIONS, "");
	m->preferred_imbalance = metrics_get(METRIC_PREFERRED_IMBALANCE, "");
	m->topics_to_delete = metrics_get(METRIC_TOPICS_TO_DELETE, "");
	m->elections = metrics_get(METRIC_LEADER_ELECTIONS, "");
	m->unclean_elections = metrics_get(METRIC_UNCLEAN_ELECTIONS, "");
	m->election_time = metrics_histogram(METRIC_LEADER_ELECTION_SECONDS, "");
}

int
controller_open(const struct controller_settings *settings, struct controller **ret_controller)
{
	struct controller *c = calloc(1, sizeof(*c));
	int st;

	if (c == NULL)
		return -ENOMEM;
	c->settings = *settings;
	find_metrics(&c->metrics);
	lock_init(&c->submit_lock, LOCK_SUBMIT);
	timers_init(&c->timers);
	timer_init(&c->retry, on_retry, c);
	timer_init(&c->balance, office_on_balance, c);
	atomic_init(&c->active_id, -1);
	st = mailbox_open(&c->mailbox);
	if (st == 0)
		st = controller_state_new(settings->broker_id, settings->inter_broker_listener,
					  &c->state);
	if (st != 0) {
		controller_close(c);
		return st;
	}
	*ret_controller = c;
	return 0;
}

int
controller_start(struct controller *c, struct zk *zk)
{
	int st;

	c->zk = zk;
	c->started = true;
	st = -pthread_create(&c->thread, NULL, controller_main, c);
	c->has_thread = st == 0;
	if (st != 0)
		c->started = false;
	else
		pthread_setname_np(c->thread, "controller");
	return st;
}

static void
stop(void *arg)
{
	struct controller *c = arg;

	atomic_store(&c->stopping, true);
}

void
controller_set_broker_id(struct controller *c, int32_t broker_id)
{
	c->settings.broker_id = broker_id;
	controller_state_set_broker_id(c->state, broker_id);
}

void
controller_set_tls(struct controller *c, struct client_tls *tls)
{
	c->settings.tls = tls;
}

void
controller_stop(struct controller *c)
{
	if (!c->started)
		return;
	/* What waits for the ensemble gives up; what was submitted is still run. */
	zk_interrupt(c->zk);
	mailbox_post(c->mailbox, stop, c);
	if (c->has_thread)
		pthread_join(c->thread, NULL);
	c->started = false;
	lock_acquire(&c->submit_lock);
	c->stopped = true;
	lock_release(&c->submit_lock);
	mailbox_run(c->mailbox); /* what was submitted before: the session refuses it */
	resign(c);
}

void
controller_close(struct controller *c)
{
	if (c == NULL)
		return;
	controller_stop(c);
	zk_close(c->zk);
	/* What the session and our own broker still told; what waits for a start needs a session.
	 */
	if (c->stopped)
		mailbox_run(c->mailbox);
	controller_state_free(c->state);
	timers_fini(&c->timers);
	lock_fini(&c->submit_lock);
	mailbox_close(c->mailbox);
	free(c);
}
