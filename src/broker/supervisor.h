/*
 * supervisor.h - a small process beside the broker, which sees to it that a broker that died, or
 * hangs, is gone from the ensemble at once and not only when its session expires.
 *
 * The broker tells it which session it has and, once a second, that it lives. When the broker dies
 * without a farewell the supervisor ends the session: the ephemeral nodes go, and leaders move
 * within moments. When the broker stops telling that it lives, the supervisor kills it first.
 *
 * The broker stays the process that was started, so a service manager restarts it as ever.
 *
 * Threads  supervisor_start() before any; the telling from any thread, without waiting.
 */
#ifndef KLAMM_BROKER_SUPERVISOR_H
#define KLAMM_BROKER_SUPERVISOR_H

#include "base/conf.h"
#include "zk/zk.h"

struct supervisor;

/* How the configuration says to speak with the ensemble; borrows its texts. */
void supervisor_session_options(const struct broker_conf *conf,
				struct zk_session_options *ret_options);

/*
 * Starts the process, unless the configuration says that there shall be none: then ret_supervisor
 * is NULL, which all others accept. 0 or -errno.
 */
MUST_CHECK int supervisor_start(const struct broker_conf *conf, struct supervisor **ret_supervisor);
/* The session that is to be ended. */
void supervisor_tell_session(struct supervisor *sv, const struct zk_credentials *session);
/* The broker lives: from the first time on it must be said again and again. */
void supervisor_tell_alive(struct supervisor *sv);
/* The broker stops in order, which may take long. */
void supervisor_tell_stopping(struct supervisor *sv);
/* Farewell: the supervisor ends and does nothing. */
void supervisor_end(struct supervisor *sv);

#endif
