/*
 * zk_tree.h - a coordination tree inside this process: nodes, versions, multi, ephemeral and
 * sequential nodes, watches and sessions, with ZooKeeper's rules.
 *
 * Unit and simulation tests run on it, and `klammd --standalone`. Any number of sessions may be
 * open on one tree. Kept in a file, it survives a restart without its ephemeral nodes.
 *
 * Threads  a tree may be used from any thread (LOCK_ZK_TREE); a session from its owner's.
 */
#ifndef KLAMM_ZK_ZK_TREE_H
#define KLAMM_ZK_ZK_TREE_H

#include "zk/zk.h"

struct zk_tree;

/*
 * env      gives the time of ctime and mtime
 * dir_fd   where the file is, borrowed until zk_tree_close()
 * name     the file, made when it is missing; NULL keeps the tree in memory only
 *
 * Returns 0, -EILSEQ when the file is not one of ours, -ENOMEM, or another -errno. A torn end of
 * the file, left by a crash, is cut off.
 */
MUST_CHECK int zk_tree_open(struct env *env, int dir_fd, const char *name,
			    struct zk_tree **ret_tree);
/* All sessions must be closed. Accepts NULL. */
void zk_tree_close(struct zk_tree *tree);

/* Opens a session. Closed by zk_close(). */
MUST_CHECK int zk_tree_session_open(struct zk_tree *tree, struct mailbox *mailbox,
				    const struct zk_events *events, struct zk **ret_zk);

/*
 * Lets a session expire, for tests: the ephemeral nodes go, ZK_EXPIRED and then ZK_NEW_SESSION
 * arrive, and until the owner has seen the first its calls answer -ESHUTDOWN.
 */
void zk_tree_session_expire(struct zk *zk);

#endif
