/*
 * fetcher.h - follows the leaders of partitions: fetches what they have and appends it.
 *
 * num.replica.fetchers threads, each with one connection and one fetch session for every leader
 * that it follows; a partition belongs to one of them by its name. One Fetch is under way per
 * session: it names the partitions that changed since the last, waits at the leader until there is
 * more, and its answer is appended before the next one goes. Whatever blocks (truncation, a slow
 * disk) blocks a fetcher's thread and no client.
 *
 * Threads  orders (follow, forget, resize) come from one thread, the replica manager's; their
 *          effects come later, in order.
 * Source   zookeeper-and-controller, section 5.5; wire-protocol, section 24: Kafka's
 *          ReplicaFetcherThread, AbstractFetcherThread, AbstractFetcherManager,
 *          FetchSessionHandler.
 */
#ifndef KLAMM_REPLICA_FETCHER_H
#define KLAMM_REPLICA_FETCHER_H

#include "base/conf.h"
#include "base/workers.h"
#include "cluster/metadata.h"
#include "replica/partition.h"

struct fetchers;
struct throttle;
struct client_tls;

struct fetcher_settings {
	struct env *env;
	struct conf_store *conf;
	struct metadata *metadata;
	struct workers *workers; /* looks names up */
	int32_t broker_id;
	const char *listener;      /* inter-broker, upper case; borrowed */
	struct client_tls *tls;    /* NULL: plaintext */
	struct throttle *throttle; /* of what followers take; outlives them */
	int64_t (*broker_epoch)(void *arg);
	void *arg;
};

/* Starts the threads. */
MUST_CHECK int fetchers_open(const struct fetcher_settings *settings,
			     struct fetchers **ret_fetchers);
/* Ends them; nothing is appended afterwards. Accepts NULL. */
void fetchers_close(struct fetchers *fs);

/* The partition follows this leader at this epoch; whom it followed before is forgotten. */
void fetchers_follow(struct fetchers *fs, struct partition *p, int32_t leader,
		     int32_t leader_epoch);
/* It follows nobody. */
void fetchers_forget(struct fetchers *fs, struct partition *p);

/*
 * So many threads from now on, at least one. Partitions whose thread is another by the new count
 * are given up by the one, wherever a Fetch for them may be, and then taken over by the other, from
 * the same offset: none is followed by two. Where a Fetch of the other waits at the leader, the
 * next one names them, replica.fetch.wait.max.ms later at most, as in Kafka. This call waits for
 * what each thread is just appending, and for the end of those that are too many. Where not all can
 * be started there are as many as could be, and an error in the log.
 */
void fetchers_resize(struct fetchers *fs, int64_t count);

#endif
