/*
 * zk.h - a ZooKeeper session, and what may be asked of it.
 *
 * There are two kinds behind one interface: the real client (zk_session.c, libzookeeper_mt) and
 * the in-process tree (zk_tree.c), which unit and simulation tests and `klammd --standalone` run
 * on.
 *
 * Requests are made in batches by one thread, the owner, which waits for all answers; the real
 * client sends a batch pipelined, at most max_in_flight at once. A lost connection is not an
 * answer: the request waits for the next connection and is sent again, so a write may have been
 * applied twice, and a conditional write may report a conflict with itself. The callers that must
 * know read back (see znode_controller.h, znode_broker.h).
 *
 * Watches are one-shot: a read with `watch` set arms one for its path; when it fires, the owner
 * reads again. Watches and session changes arrive in the owner's mailbox.
 *
 * Threads  zk_run() from the owner's thread only. zk_interrupt() from any.
 * Errors   of one operation: 0, -ENOENT (no node), -EEXIST (node exists), -ESTALE (other version),
 *          -ENOTEMPTY, -EACCES (no permission), -EPROTO (anything else), -ECANCELED (not tried,
 *          because an earlier operation of its multi failed), -ESHUTDOWN (session gone).
 * Source   zookeeper-and-controller, sections 1.1 and 1.2: Kafka's ZooKeeperClient.
 */
#ifndef KLAMM_ZK_ZK_H
#define KLAMM_ZK_ZK_H

#include "base/bytes.h"
#include "base/env.h"
#include "base/mailbox.h"

#define ZK_ANY_VERSION (-1)

struct zk_stat {
	int64_t czxid, mzxid;
	int64_t ctime_ms, mtime_ms;
	int32_t version;
	int32_t cversion;
	int64_t ephemeral_owner; /* session id, 0 for a persistent node */
	int32_t num_children;
};

enum zk_kind { ZK_GET, ZK_EXISTS, ZK_CHILDREN, ZK_CREATE, ZK_SET, ZK_DELETE, ZK_CHECK };

enum zk_create_mode {
	ZK_PERSISTENT = 0,
	ZK_EPHEMERAL = 1,
	ZK_PERSISTENT_SEQUENTIAL = 2,
};

/* Names of children, sorted. */
struct zk_names {
	char **names;
	size_t count;
};

/* One operation: the first part goes in, the second comes out and is freed by zk_op_fini(). */
struct zk_op {
	enum zk_kind kind;
	const char *path;         /* borrowed; absolute, below the chroot */
	struct slice data;        /* CREATE, SET; data NULL is null data; borrowed */
	int32_t version;          /* SET, DELETE, CHECK: expected, or ZK_ANY_VERSION */
	enum zk_create_mode mode; /* CREATE */
	bool watch;               /* GET, EXISTS, CHILDREN */

	int st;
	struct zk_stat stat;   /* GET, EXISTS, CHILDREN, SET */
	struct buf value;      /* GET; data NULL when the node has none */
	char *created_path;    /* CREATE, with the sequence number */
	struct zk_names names; /* CHILDREN */
};

/* Operations that succeed or fail as one; a read stands alone. */
struct zk_request {
	struct zk_op *ops;
	size_t op_count;
	int st; /* of the first operation that failed, or 0 */
};

enum zk_watch_type { ZK_NODE_CREATED, ZK_NODE_DELETED, ZK_NODE_CHANGED, ZK_NODE_CHILDREN };

enum zk_session_state {
	ZK_CONNECTED,    /* connected again, the same session */
	ZK_DISCONNECTED, /* trying to connect; the session may still live */
	ZK_EXPIRED,      /* the session is gone, with its ephemeral nodes and watches */
	ZK_NEW_SESSION,  /* a new session took its place */
};

/* Called in the owner's mailbox. */
struct zk_events {
	void (*on_watch)(void *arg, enum zk_watch_type type, const char *path);
	void (*on_session)(void *arg, enum zk_session_state state);
	void *arg;
};

struct zk;

struct zk_session_options {
	const char *connect;       /* host:port[,host:port...][/chroot] */
	int session_timeout_ms;    /* asked for; the ensemble has the last word */
	int connection_timeout_ms; /* how long zk_session_open() waits */
	int max_in_flight;
	const char *digest; /* "user:password" for the digest scheme, or NULL */
	bool set_acl;       /* create nodes that only our identity may change */
};

/*
 * Opens a session with an ensemble and waits for it; makes the chroot node if it is missing.
 *
 * mailbox  the owner's
 * events   copied
 *
 * Returns 0, -ETIMEDOUT when no server answered in time, -EINVAL for a connect string that is not
 * one, -EACCES, or -ENOMEM.
 */
MUST_CHECK int zk_session_open(const struct zk_session_options *options, struct mailbox *mailbox,
			       const struct zk_events *events, struct zk **ret_zk);

/*
 * What it takes to come back to a session: kept in a file of the data directory, so that a broker
 * that was killed can end its former session at its next start instead of waiting for its expiry.
 */
struct zk_credentials {
	int64_t session_id;
	uint8_t password[16];
};

/* Of a session with an ensemble; -ENOTSUP of the in-process tree. */
MUST_CHECK int zk_session_credentials(struct zk *zk, struct zk_credentials *ret_credentials);
/*
 * Ends a former session of this broker, if it still lives: its ephemeral nodes go at once.
 * Returns 0 when it is over, or -ETIMEDOUT when no server answered in time.
 */
MUST_CHECK int zk_session_end_former(const struct zk_session_options *options,
				     const struct zk_credentials *credentials);

/*
 * Ends the session: its ephemeral nodes go at once. Accepts NULL. Events that were posted and not
 * run yet are not delivered any more.
 */
void zk_close(struct zk *zk);

/*
 * Sends all requests and waits for all answers, through reconnections.
 * Returns 0 when each was answered (look at their st), or -ESHUTDOWN when the session expired or
 * zk_interrupt() was called: what was not answered has st -ESHUTDOWN.
 */
MUST_CHECK int zk_run(struct zk *zk, struct zk_request *requests, size_t count);

/* Makes the zk_run() that waits, and all later ones, return -ESHUTDOWN. For shutdown. */
void zk_interrupt(struct zk *zk);

int64_t zk_session_id(struct zk *zk);
/* Whether a server serves the session now. Any thread. */
bool zk_connected(struct zk *zk);

void zk_op_fini(struct zk_op *op);
void zk_names_fini(struct zk_names *names);

/* Shorthands for one operation each; st as for an operation. */

/* ret_value may be NULL; the caller frees it. */
MUST_CHECK int zk_get(struct zk *zk, const char *path, bool watch, struct buf *ret_value,
		      struct zk_stat *ret_stat);
MUST_CHECK int zk_exists(struct zk *zk, const char *path, bool watch, struct zk_stat *ret_stat);
MUST_CHECK int zk_children(struct zk *zk, const char *path, bool watch, struct zk_names *ret_names);
/* ret_path may be NULL; the caller frees it. */
MUST_CHECK int zk_create(struct zk *zk, const char *path, struct slice data,
			 enum zk_create_mode mode, char **ret_path);
/* Creates missing parents too, with null data. */
MUST_CHECK int zk_create_recursive(struct zk *zk, const char *path, struct slice data);
/* Makes sure a persistent node and its parents are there: -EEXIST counts as done. */
MUST_CHECK int zk_ensure_path(struct zk *zk, const char *path);
MUST_CHECK int zk_set(struct zk *zk, const char *path, struct slice data, int32_t version,
		      struct zk_stat *ret_stat);
MUST_CHECK int zk_delete(struct zk *zk, const char *path, int32_t version);

/* What the two kinds implement. */
struct zk_ops {
	int (*run)(struct zk *zk, struct zk_request *requests, size_t count);
	void (*interrupt)(struct zk *zk);
	int64_t (*session_id)(struct zk *zk);
	bool (*connected)(struct zk *zk);
	void (*close)(struct zk *zk);
};

struct zk {
	const struct zk_ops *ops;
};

#endif
