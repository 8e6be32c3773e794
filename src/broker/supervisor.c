/*
 * The two processes share a socket pair of packets. The broker's end closes with it, however it
 * ends: that is how its death is known.
 */
#include "broker/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"

enum note_kind { NOTE_SESSION, NOTE_ALIVE, NOTE_STOPPING, NOTE_FAREWELL };

struct note {
	enum note_kind kind;
	struct zk_credentials session; /* NOTE_SESSION */
};

struct supervisor {
	int fd;
	bool watches; /* the child's: the broker has said that it lives */
	bool has_session;
	struct zk_credentials session;
};

void
supervisor_session_options(const struct broker_conf *conf, struct zk_session_options *ret_options)
{
	*ret_options = (struct zk_session_options){
	    .connect = conf->zookeeper_connect,
	    .session_timeout_ms = (int)conf->zookeeper_session_timeout_ms,
	    .connection_timeout_ms = (int)(conf->zookeeper_connection_timeout_ms == CONF_NULL
					       ? conf->zookeeper_session_timeout_ms
					       : conf->zookeeper_connection_timeout_ms),
	    .max_in_flight = (int)conf->zookeeper_max_in_flight_requests,
	    .digest = conf->klamm_zookeeper_digest,
	    .set_acl = conf->zookeeper_set_acl,
	};
}

/* ---- the child ---- */

static void
end_session(const struct broker_conf *conf, const struct supervisor *sv)
{
	struct zk_session_options options;
	int st;

	if (!sv->has_session)
		return;
	supervisor_session_options(conf, &options);
	st = zk_session_end_former(&options, &sv->session);
	if (st == 0)
		diag_info(DIAG_BROKER, "supervisor: ended the session of the broker that died",
			  "session=0x%llx", (unsigned long long)sv->session.session_id);
	else
		diag_warn(DIAG_BROKER,
			  "supervisor: cannot end the session of the broker that died; it expires",
			  "session=0x%llx error=%s", (unsigned long long)sv->session.session_id,
			  strerror(-st));
}

/* Takes one note. False: the broker said farewell. */
static bool
take_note(struct supervisor *sv, const struct note *note)
{
	switch (note->kind) {
	case NOTE_SESSION:
		sv->session = note->session;
		sv->has_session = true;
		return true;
	case NOTE_ALIVE:
		sv->watches = true;
		return true;
	case NOTE_STOPPING:
		sv->watches = false;
		return true;
	case NOTE_FAREWELL:
		break;
	}
	return false;
}

/* Until the broker is gone one way or another. */
static void
watch(const struct broker_conf *conf, struct supervisor *sv, pid_t broker)
{
	int64_t limit_ms = conf->klamm_supervisor_hang_timeout_ms;

	for (;;) {
		struct pollfd pfd = {.fd = sv->fd, .events = POLLIN};
		int n = poll(&pfd, 1, sv->watches && limit_ms > 0 ? (int)limit_ms : -1);
		struct note note;
		ssize_t got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) {
			diag_error(DIAG_BROKER,
				   "supervisor: the broker hangs and is killed; look at what it "
				   "waited for, or raise klamm.supervisor.hang.timeout.ms",
				   "pid=%d silent_ms=%lld", (int)broker, (long long)limit_ms);
			kill(broker, SIGKILL);
			sv->watches = false;
			continue; /* its end is noticed as any other */
		}
		got = recv(sv->fd, &note, sizeof(note), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got != (ssize_t)sizeof(note))
			break;
		if (!take_note(sv, &note))
			return;
	}
	end_session(conf, sv);
}

static void
be_supervisor(const struct broker_conf *conf, struct supervisor *sv, pid_t broker)
{
	sigset_t all;

	/* A service manager that stops the broker signals the whole group: the broker decides. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "klammd-superv");
	watch(conf, sv, broker);
	_exit(0);
}

/* ---- the broker ---- */

int
supervisor_start(const struct broker_conf *conf, struct supervisor **ret_supervisor)
{
	pid_t broker = getpid(), child;
	struct supervisor *sv;
	int fds[2];

	*ret_supervisor = NULL;
	if (!conf->klamm_supervisor_enable || conf->klamm_standalone)
		return 0;
	sv = calloc(1, sizeof(*sv));
	if (sv == NULL)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		free(sv);
		return -errno;
	}
	child = fork();
	if (child == 0) {
		close(fds[0]);
		sv->fd = fds[1];
		be_supervisor(conf, sv, broker);
	}
	close(fds[1]);
	sv->fd = fds[0];
	if (child < 0) {
		int st = -errno;

		close(sv->fd);
		free(sv);
		return st;
	}
	*ret_supervisor = sv;
	return 0;
}

/* A supervisor that is gone is no reason to stop: then sessions expire as they do without one. */
static void
tell(struct supervisor *sv, enum note_kind kind, const struct zk_credentials *session)
{
	struct note note;

	if (sv == NULL)
		return;
	memset(&note, 0, sizeof(note));
	note.kind = kind;
	if (session != NULL)
		note.session = *session;
	if (send(sv->fd, &note, sizeof(note), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		diag_debug(DIAG_BROKER, "cannot tell the supervisor", "error=%s", strerror(errno));
}

void
supervisor_tell_session(struct supervisor *sv, const struct zk_credentials *session)
{
	tell(sv, NOTE_SESSION, session);
}

void
supervisor_tell_alive(struct supervisor *sv)
{
	tell(sv, NOTE_ALIVE, NULL);
}

void
supervisor_tell_stopping(struct supervisor *sv)
{
	tell(sv, NOTE_STOPPING, NULL);
}

void
supervisor_end(struct supervisor *sv)
{
	if (sv == NULL)
		return;
	tell(sv, NOTE_FAREWELL, NULL);
	close(sv->fd);
	free(sv);
}
