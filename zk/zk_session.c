/*
 * A session with a real ensemble, through libzookeeper_mt.
 *
 * The library has two threads of its own. Its completions fill in the request, count down what is
 * under way and wake the owner, which waits in session_run(). Its watcher posts to the owner's
 * mailbox. A session that expired cannot be closed from the library's threads, so the owner does
 * it, in its mailbox, and opens the next.
 *
 * Invariants
 *  1. `pending` counts the completions that will still run; session_run() returns only at 0, so
 *     requests on the caller's stack outlive their completions.
 *  2. After expiry the library completes everything under way before zookeeper_close() returns.
 *  3. Messages to the mailbox carry the generation of their session and are dropped when it is
 *     over; after zk_close() the shared `life` drops them.
 *  4. The library knows no chroot, it is put before paths here: where there is one, zoo_amulti()
 *     frees its copy of a path twice when the session turns out to be over.
 */
#include "zk/zk.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#include "base/diag.h"
#include "base/lock.h"

/* ZOO_PERM_ALL and ZOO_PERM_READ are variables of the library. */
#define PERMISSIONS_ALL 0x1f
#define PERMISSION_READ 0x01
#define CREATED_PATH_MAX 1024

struct session;

/* What posted messages share with the session: it outlives whichever of them lives longer. */
struct life {
	_Atomic int references;
	struct session *session; /* NULL once closed; the owner's thread only */
};

struct session {
	struct zk zk;
	struct zk_session_options options;
	char *connect, *digest; /* connect: without the chroot */
	char *chroot;           /* "/kafka"; "" while it is made, or where there is none */
	struct mailbox *mailbox;
	struct zk_events events;
	struct life *life;
	zhandle_t *handle;   /* the owner's thread; the library's own locks guard the rest */
	uint64_t generation; /* counts sessions; the owner's thread */

	struct lock lock;
	pthread_cond_t changed;
	bool connected;     /* under lock */
	bool expired;       /* under lock */
	bool interrupted;   /* under lock */
	bool refused;       /* under lock: authentication failed */
	bool opening;       /* under lock: nothing is told before zk_session_open() returns */
	size_t pending;     /* under lock */
	int64_t session_id; /* under lock */
};

/* One request under way: what the library needs until its completion. */
struct flight {
	struct session *session;
	struct zk_request *request;
	bool done;
	bool lost; /* the connection broke: to be sent again */
	zoo_op_t *ops;
	zoo_op_result_t *results;
	struct Stat *stats;
	char (*created)[CREATED_PATH_MAX];
	char **paths; /* with the chroot; NULL where there is none */
};

static int
st_of(int rc)
{
	switch (rc) {
	case ZOK:
		return 0;
	case ZNONODE:
		return -ENOENT;
	case ZNODEEXISTS:
		return -EEXIST;
	case ZBADVERSION:
		return -ESTALE;
	case ZNOTEMPTY:
		return -ENOTEMPTY;
	case ZNOAUTH:
	case ZAUTHFAILED:
	case ZINVALIDACL:
		return -EACCES;
	case ZRUNTIMEINCONSISTENCY:
		return -ECANCELED;
	case ZSESSIONEXPIRED:
	case ZCLOSING:
	case ZINVALIDSTATE:
		return -ESHUTDOWN;
	default:
		return -EPROTO;
	}
}

static void
take_stat(struct zk_stat *to, const struct Stat *from)
{
	if (from == NULL)
		return;
	to->czxid = from->czxid;
	to->mzxid = from->mzxid;
	to->ctime_ms = from->ctime;
	to->mtime_ms = from->mtime;
	to->version = from->version;
	to->cversion = from->cversion;
	to->ephemeral_owner = from->ephemeralOwner;
	to->num_children = from->numChildren;
}

/* The library's thread: an answer has been taken over, or the connection was lost. */
static void
land(struct flight *f, int rc)
{
	struct session *s = f->session;

	lock_acquire(&s->lock);
	if (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT || rc == ZSESSIONMOVED)
		f->lost = true;
	else
		f->request->st = st_of(rc);
	f->done = true;
	s->pending--;
	pthread_cond_broadcast(&s->changed);
	lock_release(&s->lock);
}

static void
on_data(int rc, const char *value, int value_len, const struct Stat *stat, const void *data)
{
	struct flight *f = (struct flight *)(uintptr_t)data;
	struct zk_op *op = f->request->ops;

	if (rc == ZOK) {
		take_stat(&op->stat, stat);
		if (value_len >= 0 && value != NULL)
			buf_append(&op->value, value, (size_t)value_len);
	}
	op->st = st_of(rc);
	land(f, rc);
}

static void
on_stat(int rc, const struct Stat *stat, const void *data)
{
	struct flight *f = (struct flight *)(uintptr_t)data;
	struct zk_op *op = f->request->ops;

	if (rc == ZOK)
		take_stat(&op->stat, stat);
	op->st = st_of(rc);
	land(f, rc);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
take_names(struct zk_names *to, const struct String_vector *from)
{
	size_t count = from == NULL || from->count < 0 ? 0 : (size_t)from->count;

	to->names = calloc(count + 1, sizeof(char *));
	if (to->names == NULL)
		return -ENOMEM;
	for (to->count = 0; to->count < count; to->count++) {
		to->names[to->count] = strdup(from->data[to->count]);
		if (to->names[to->count] == NULL)
			return -ENOMEM;
	}
	qsort(to->names, count, sizeof(char *), compare_names);
	return 0;
}

static void
on_children(int rc, const struct String_vector *names, const struct Stat *stat, const void *data)
{
	struct flight *f = (struct flight *)(uintptr_t)data;
	struct zk_op *op = f->request->ops;

	op->st = st_of(rc);
	if (rc == ZOK) {
		take_stat(&op->stat, stat);
		op->st = take_names(&op->names, names);
	}
	land(f, rc);
}

/* A path of the ensemble's as its owner knows it. */
static const char *
below_chroot(const struct session *s, const char *path)
{
	size_t len = strlen(s->chroot);

	if (strncmp(path, s->chroot, len) == 0 && (path[len] == '/' || path[len] == '\0'))
		path += len;
	return path[0] == '\0' ? "/" : path;
}

static void
on_multi(int rc, const void *data)
{
	struct flight *f = (struct flight *)(uintptr_t)data;
	struct zk_request *r = f->request;

	for (size_t i = 0; i < r->op_count; i++) {
		struct zk_op *op = &r->ops[i];

		op->st = rc == ZOK ? 0 : st_of(f->results[i].err);
		if (rc == ZOK && op->kind == ZK_SET)
			take_stat(&op->stat, &f->stats[i]);
		if (rc == ZOK && op->kind == ZK_CREATE)
			op->created_path = strdup(below_chroot(f->session, f->created[i]));
	}
	/* A failure before any operation was looked at leaves no results. */
	if (rc != ZOK && st_of(rc) == -ESHUTDOWN)
		for (size_t i = 0; i < r->op_count; i++)
			r->ops[i].st = -ESHUTDOWN;
	land(f, rc);
}

/* With zookeeper.set.acl: everyone reads but these, and only the creator changes. */
static const struct ACL_vector *
acl_of(const struct session *s, const char *path)
{
	static char auth[] = "auth", nobody[] = "", world[] = "world", anyone[] = "anyone";
	static struct ACL open_to_read[] = {{PERMISSIONS_ALL, {auth, nobody}},
					    {PERMISSION_READ, {world, anyone}}};
	static const struct ACL_vector creator_all_world_read = {2, open_to_read};
	static const char *const secret[] = {"/config/users", "/config/brokers",
					     "/delegation_token/tokens"};

	if (!s->options.set_acl || strncmp(path, "/consumers", 10) == 0)
		return &ZOO_OPEN_ACL_UNSAFE;
	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		if (strncmp(path, secret[i], strlen(secret[i])) == 0)
			return &ZOO_CREATOR_ALL_ACL;
	return &creator_all_world_read;
}

static int
create_flags(enum zk_create_mode mode)
{
	return mode == ZK_EPHEMERAL               ? ZOO_EPHEMERAL
	       : mode == ZK_PERSISTENT_SEQUENTIAL ? ZOO_SEQUENCE
						  : 0;
}

/* Puts the chroot before the paths of a request, once. */
static int
make_paths(const struct session *s, struct flight *f)
{
	const struct zk_request *r = f->request;

	if (s->chroot[0] == '\0' || f->paths != NULL)
		return ZOK;
	f->paths = calloc(r->op_count, sizeof(char *));
	for (size_t i = 0; f->paths != NULL && i < r->op_count; i++) {
		const char *path = strcmp(r->ops[i].path, "/") == 0 ? "" : r->ops[i].path;

		if (asprintf(&f->paths[i], "%s%s", s->chroot, path) < 0) {
			f->paths[i] = NULL;
			return ZSYSTEMERROR;
		}
	}
	return f->paths == NULL ? ZSYSTEMERROR : ZOK;
}

static const char *
path_of(const struct flight *f, size_t i)
{
	return f->paths != NULL ? f->paths[i] : f->request->ops[i].path;
}

/* Sends the writes of a request as one multi. Returns the library's code. */
static int
send_multi(struct session *s, struct flight *f)
{
	struct zk_request *r = f->request;
	size_t n = r->op_count;

	if (f->ops == NULL) {
		f->ops = calloc(n, sizeof(*f->ops));
		f->results = calloc(n, sizeof(*f->results));
		f->stats = calloc(n, sizeof(*f->stats));
		f->created = calloc(n, sizeof(*f->created));
		if (f->ops == NULL || f->results == NULL || f->stats == NULL || f->created == NULL)
			return ZSYSTEMERROR;
	}
	for (size_t i = 0; i < n; i++) {
		const struct zk_op *op = &r->ops[i];
		const char *data = (const char *)op->data.data;
		int len = data == NULL ? -1 : (int)op->data.len;

		if (op->kind == ZK_CREATE)
			zoo_create_op_init(&f->ops[i], path_of(f, i), data, len,
					   acl_of(s, op->path), create_flags(op->mode),
					   f->created[i], sizeof(f->created[i]));
		else if (op->kind == ZK_SET)
			zoo_set_op_init(&f->ops[i], path_of(f, i), data, len, op->version,
					&f->stats[i]);
		else if (op->kind == ZK_DELETE)
			zoo_delete_op_init(&f->ops[i], path_of(f, i), op->version);
		else
			zoo_check_op_init(&f->ops[i], path_of(f, i), op->version);
	}
	return zoo_amulti(s->handle, (int)n, f->ops, f->results, on_multi, f);
}

static int
send_flight(struct session *s, struct flight *f)
{
	struct zk_op *op = f->request->ops;
	int rc = make_paths(s, f);

	if (rc != ZOK)
		return rc;
	if (f->request->op_count > 1)
		rc = send_multi(s, f);
	else if (op->kind == ZK_GET)
		rc = zoo_aget(s->handle, path_of(f, 0), op->watch, on_data, f);
	else if (op->kind == ZK_EXISTS)
		rc = zoo_aexists(s->handle, path_of(f, 0), op->watch, on_stat, f);
	else if (op->kind == ZK_CHILDREN)
		rc = zoo_aget_children2(s->handle, path_of(f, 0), op->watch, on_children, f);
	else
		rc = send_multi(s, f);
	/* Of a session that is over some calls tell something else. */
	return rc != ZOK && is_unrecoverable(s->handle) ? ZSESSIONEXPIRED : rc;
}

static void
flight_fini(struct flight *f)
{
	free(f->ops);
	free(f->results);
	free(f->stats);
	free(f->created);
	for (size_t i = 0; f->paths != NULL && i < f->request->op_count; i++)
		free(f->paths[i]);
	free(f->paths);
}

static void
fail_request(struct zk_request *r, int st)
{
	r->st = st;
	for (size_t i = 0; i < r->op_count; i++)
		r->ops[i].st = st;
}

/* Forgets what a lost attempt may have filled in. */
static void
forget_results(struct zk_request *r)
{
	for (size_t i = 0; i < r->op_count; i++) {
		zk_op_fini(&r->ops[i]);
		r->ops[i].st = 0;
	}
}

/* Under the lock. Waits until requests may be sent. False: the session is over. */
static bool
wait_until_usable(struct session *s)
{
	while (!s->connected && !s->expired && !s->interrupted)
		lock_wait(&s->lock, &s->changed);
	return !s->expired && !s->interrupted;
}

/*
 * Sends what of the window was not answered and waits for it. Returns false when the session is
 * over; every completion has run by then.
 */
static bool
run_window(struct session *s, struct flight *flights, size_t count)
{
	bool again = true, usable = true;

	while (again && usable) {
		again = false;
		lock_acquire(&s->lock);
		usable = wait_until_usable(s);
		lock_release(&s->lock);
		for (size_t i = 0; usable && i < count; i++) {
			struct flight *f = &flights[i];
			int rc;

			if (f->done && !f->lost)
				continue;
			forget_results(f->request);
			f->done = f->lost = false;
			lock_acquire(&s->lock);
			s->pending++;
			lock_release(&s->lock);
			rc = send_flight(s, f);
			if (rc != ZOK) {
				fail_request(f->request, st_of(rc));
				land(f, rc);
			}
		}
		lock_acquire(&s->lock);
		while (s->pending > 0)
			lock_wait(&s->lock, &s->changed);
		usable = usable && !s->expired && !s->interrupted;
		lock_release(&s->lock);
		for (size_t i = 0; i < count; i++)
			again = again || flights[i].lost || !flights[i].done;
	}
	for (size_t i = 0; i < count; i++)
		if (!flights[i].done || flights[i].lost)
			fail_request(flights[i].request, -ESHUTDOWN);
	return usable;
}

static int
session_run(struct zk *zk, struct zk_request *requests, size_t count)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);
	size_t window = (size_t)s->options.max_in_flight;
	struct flight *flights = calloc(window, sizeof(*flights));
	bool usable = flights != NULL;
	int st = flights == NULL ? -ENOMEM : 0;

	for (size_t first = 0; first < count; first += window) {
		size_t n = count - first < window ? count - first : window;

		for (size_t i = 0; i < n; i++) {
			if (!usable)
				fail_request(&requests[first + i], -ESHUTDOWN);
			else
				flights[i] =
				    (struct flight){s, &requests[first + i], .done = false};
		}
		if (usable) {
			usable = run_window(s, flights, n);
			for (size_t i = 0; i < n; i++)
				flight_fini(&flights[i]);
		}
	}
	free(flights);
	if (st != 0)
		return st;
	for (size_t i = 0; i < count; i++)
		if (requests[i].st == -ESHUTDOWN)
			return -ESHUTDOWN;
	return 0;
}

/* Events */

enum message_kind { MESSAGE_WATCH, MESSAGE_SESSION };

struct message {
	struct life *life;
	uint64_t generation;
	enum message_kind kind;
	enum zk_watch_type watch;
	enum zk_session_state state;
	char path[];
};

static void
life_put(struct life *life)
{
	if (atomic_fetch_sub(&life->references, 1) == 1)
		free(life);
}

static int reopen(struct session *s);

static void
run_message(void *arg)
{
	struct message *m = arg;
	struct session *s = m->life->session;

	if (s != NULL && m->generation == s->generation) {
		if (m->kind == MESSAGE_WATCH)
			s->events.on_watch(s->events.arg, m->watch, m->path);
		else
			s->events.on_session(s->events.arg, m->state);
		/* The callback may have closed the session. */
		if (m->life->session != NULL && m->kind == MESSAGE_SESSION &&
		    m->state == ZK_EXPIRED && reopen(s) != 0)
			diag_error(DIAG_ZK, "cannot open another session", "connect=%s",
				   s->connect);
	}
	life_put(m->life);
	free(m);
}

static void
post(struct session *s, uint64_t generation, enum message_kind kind, enum zk_watch_type watch,
     enum zk_session_state state, const char *path)
{
	size_t len = strlen(path) + 1;
	struct message *m = malloc(sizeof(*m) + len);

	if (m == NULL)
		abort();
	*m = (struct message){s->life, generation, kind, watch, state};
	memcpy(m->path, path, len);
	atomic_fetch_add(&s->life->references, 1);
	mailbox_post(s->mailbox, run_message, m);
}

/* The library's thread. */
static void
note_session_event(struct session *s, zhandle_t *handle, int state)
{
	enum zk_session_state told;
	bool was_connected, first, opening;

	lock_acquire(&s->lock);
	was_connected = s->connected;
	first = s->session_id == 0;
	opening = s->opening;
	s->connected = state == ZOO_CONNECTED_STATE;
	if (s->connected)
		s->session_id = zoo_client_id(handle)->client_id;
	s->expired = s->expired || state == ZOO_EXPIRED_SESSION_STATE;
	s->refused = s->refused || state == ZOO_AUTH_FAILED_STATE;
	pthread_cond_broadcast(&s->changed);
	lock_release(&s->lock);
	if (opening)
		return;
	if (state == ZOO_CONNECTED_STATE)
		told = first ? ZK_NEW_SESSION : ZK_CONNECTED;
	else if (state == ZOO_EXPIRED_SESSION_STATE)
		told = ZK_EXPIRED;
	else if (was_connected)
		told = ZK_DISCONNECTED;
	else
		return;
	post(s, s->generation, MESSAGE_SESSION, 0, told, "");
}

static void
watcher(zhandle_t *handle, int type, int state, const char *path, void *context)
{
	struct session *s = context;
	enum zk_watch_type watch;

	if (type == ZOO_SESSION_EVENT) {
		note_session_event(s, handle, state);
		return;
	}
	if (type == ZOO_CREATED_EVENT)
		watch = ZK_NODE_CREATED;
	else if (type == ZOO_DELETED_EVENT)
		watch = ZK_NODE_DELETED;
	else if (type == ZOO_CHANGED_EVENT)
		watch = ZK_NODE_CHANGED;
	else if (type == ZOO_CHILD_EVENT)
		watch = ZK_NODE_CHILDREN;
	else
		return; /* a watch that was removed */
	post(s, s->generation, MESSAGE_WATCH, watch, 0, below_chroot(s, path));
}

static void
library_log(const char *message)
{
	diag_debug(DIAG_ZK, "client library", "message=%s", message);
}

/* former: NULL, or a session to come back to. */
static zhandle_t *
open_handle(struct session *s, const char *connect, const clientid_t *former)
{
	zhandle_t *handle;

	zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
	handle = zookeeper_init2(connect, watcher, s->options.session_timeout_ms, former, s, 0,
				 library_log);
	if (handle != NULL && s->digest != NULL &&
	    zoo_add_auth(handle, "digest", s->digest, (int)strlen(s->digest), NULL, NULL) != ZOK) {
		zookeeper_close(handle);
		return NULL;
	}
	return handle;
}

/* The owner's thread, in its mailbox: closes the session that is gone and opens the next. */
static int
reopen(struct session *s)
{
	zookeeper_close(s->handle);
	s->generation++;
	lock_acquire(&s->lock);
	s->connected = s->expired = false;
	s->session_id = 0;
	lock_release(&s->lock);
	s->handle = open_handle(s, s->connect, NULL);
	return s->handle == NULL ? -EINVAL : 0;
}

static void
session_interrupt(struct zk *zk)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);

	lock_acquire(&s->lock);
	s->interrupted = true;
	pthread_cond_broadcast(&s->changed);
	lock_release(&s->lock);
}

static int64_t
session_session_id(struct zk *zk)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);
	int64_t id;

	lock_acquire(&s->lock);
	id = s->session_id;
	lock_release(&s->lock);
	return id;
}

static bool
session_connected(struct zk *zk)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);
	bool connected;

	lock_acquire(&s->lock);
	connected = s->connected;
	lock_release(&s->lock);
	return connected;
}

static void
session_close(struct zk *zk)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);

	if (s->handle != NULL)
		zookeeper_close(s->handle);
	if (s->life != NULL) {
		s->life->session = NULL;
		life_put(s->life);
	}
	pthread_cond_destroy(&s->changed);
	lock_fini(&s->lock);
	free(s->connect);
	free(s->chroot);
	if (s->digest != NULL)
		explicit_bzero(s->digest, strlen(s->digest));
	free(s->digest);
	free(s);
}

static const struct zk_ops session_ops = {
    .run = session_run,
    .interrupt = session_interrupt,
    .session_id = session_session_id,
    .connected = session_connected,
    .close = session_close,
};

/* Waits for the first connection. */
static int
wait_connected(struct session *s)
{
	struct timespec deadline;
	int st = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += s->options.connection_timeout_ms / 1000;
	deadline.tv_nsec += s->options.connection_timeout_ms % 1000 * 1000000L;
	if (deadline.tv_nsec >= 1000000000L) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000L;
	}
	lock_acquire(&s->lock);
	while (!s->connected && !s->refused && !s->expired && st == 0)
		st = -pthread_cond_timedwait(&s->changed, &s->lock.mutex, &deadline);
	if (s->refused)
		st = -EACCES;
	else if (s->connected || s->expired)
		st = 0;
	lock_release(&s->lock);
	return st;
}

/* Makes the node that all our paths are below, and from then on they are. */
static int
enter_chroot(struct session *s)
{
	const char *chroot = strchr(s->options.connect, '/');
	size_t len = chroot == NULL ? 0 : strlen(chroot);
	char *path;
	int st;

	while (len > 0 && chroot[len - 1] == '/')
		len--;
	if (len == 0)
		return 0;
	path = strndup(chroot, len);
	if (path == NULL)
		return -ENOMEM;
	st = zk_ensure_path(&s->zk, path);
	if (st != 0) {
		free(path);
		return st;
	}
	free(s->chroot);
	s->chroot = path;
	return 0;
}

/* A session that is not opened yet. NULL without memory. */
static struct session *
session_new(const struct zk_session_options *options, struct mailbox *mailbox,
	    const struct zk_events *events)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->zk.ops = &session_ops;
	lock_init(&s->lock, LOCK_ZK_TREE);
	pthread_cond_init(&s->changed, NULL);
	s->options = *options;
	s->opening = true;
	s->mailbox = mailbox;
	if (events != NULL)
		s->events = *events;
	s->life = calloc(1, sizeof(*s->life));
	s->connect = strndup(options->connect, strcspn(options->connect, "/"));
	s->chroot = strdup("");
	s->digest = options->digest == NULL ? NULL : strdup(options->digest);
	if (s->life != NULL) {
		atomic_init(&s->life->references, 1);
		s->life->session = s;
	}
	if (s->life == NULL || s->connect == NULL || s->chroot == NULL ||
	    (options->digest != NULL && s->digest == NULL)) {
		zk_close(&s->zk);
		return NULL;
	}
	return s;
}

int
zk_session_open(const struct zk_session_options *options, struct mailbox *mailbox,
		const struct zk_events *events, struct zk **ret_zk)
{
	struct session *s = session_new(options, mailbox, events);
	int st;

	if (s == NULL)
		return -ENOMEM;
	s->handle = open_handle(s, s->connect, NULL);
	st = s->handle == NULL ? -EINVAL : wait_connected(s);
	if (st == 0)
		st = enter_chroot(s);
	if (st != 0) {
		zk_close(&s->zk);
		return st;
	}
	lock_acquire(&s->lock);
	s->opening = false;
	lock_release(&s->lock);
	*ret_zk = &s->zk;
	return 0;
}

int
zk_session_credentials(struct zk *zk, struct zk_credentials *ret_credentials)
{
	struct session *s = CONTAINER_OF(zk, struct session, zk);
	const clientid_t *id;

	if (zk->ops != &session_ops)
		return -ENOTSUP;
	id = zoo_client_id(s->handle);
	ret_credentials->session_id = id->client_id;
	memcpy(ret_credentials->password, id->passwd, sizeof(ret_credentials->password));
	return 0;
}

int
zk_session_end_former(const struct zk_session_options *options,
		      const struct zk_credentials *credentials)
{
	struct session *s = session_new(options, NULL, NULL);
	clientid_t former = {.client_id = credentials->session_id};
	int st;

	if (s == NULL)
		return -ENOMEM;
	memcpy(former.passwd, credentials->password, sizeof(former.passwd));
	s->handle = open_handle(s, s->connect, &former);
	st = s->handle == NULL ? -EINVAL : wait_connected(s);
	zk_close(&s->zk); /* closing it ends it */
	return st;
}
