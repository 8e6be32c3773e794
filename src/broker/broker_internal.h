/*
 * broker_internal.h - struct broker, for the files of this room.
 */
#ifndef KLAMM_BROKER_BROKER_INTERNAL_H
#define KLAMM_BROKER_BROKER_INTERNAL_H

#include <openssl/ssl.h>

#include "api/api.h"
#include "broker/broker.h"
#include "broker/supervisor.h"
#include "cluster/topic_name.h"
#include "controller/controller.h"
#include "group/coordinator.h"
#include "net/client_tls.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "replica/controller_peer.h"
#include "security/principal.h"
#include "security/tls_context.h"
#include "zk/zk_tree.h"
#include "zk/znode_broker.h"
#include "zk/znode_cluster.h"
#include "zk/znode_config.h"

/* One listener of clients and brokers. Its connections point to it. */
struct broker_listener {
	struct endpoint endpoint;  /* its texts are owned */
	struct listener *listener; /* NULL: it could not be opened, or is closed */
	SSL_CTX *tls;              /* NULL on plaintext */
	struct principal_rules *principal_rules;
	int network_threads; /* that take its new connections; 0: as many as the broker has in use
			      */
	bool paused;         /* makes way for another at the same port */
};

/* What the three settings of listeners say. */
struct broker_addresses {
	struct endpoints listeners, advertised;
};

struct broker {
	struct env *env;
	struct conf_store conf_store;
	bool conf_store_is_open;
	int32_t id;
	char cluster_id[CLUSTER_ID_SIZE];
	int64_t start_us;
	struct supervisor *supervisor;   /* NULL: none */
	_Atomic int32_t silent_reactors; /* asked at the last tick, and have not answered */

	struct workers *workers;
	struct reactors *reactors;
	const struct broker_conf *reactors_conf; /* by which their number was set; NULL: is to be */
	struct log_manager *logs;
	int state_dir_fd; /* the first log directory: our own small files */
	bool logs_loaded;
	_Atomic bool all_loaded;
	_Atomic bool reload_due;  /* a setting of the listeners' certificates has changed */
	_Atomic bool room_untold; /* there is room on a disk, and the controller was not told */

	struct zk_tree *tree; /* --standalone */
	struct zk *zk;        /* until the controller takes it over */
	bool controller_has_zk;
	struct broker_registration registration;
	_Atomic int64_t epoch;
	int64_t last_session_id;
	struct config_changes changes;
	struct properties dynamic_default, dynamic_broker; /* the controller's thread */

	struct metadata *metadata;
	struct topic_configs *topic_configs;
	struct lock replicas_lock; /* for the callbacks of logs, which outlive the replicas */
	struct replica_manager *replicas;
	struct controller *controller;
	bool controller_runs;
	struct group_coordinator *groups;
	struct producer_ids *producer_ids;
	struct controller_peer producer_ids_peer; /* reactor 0's, as the timer is */
	struct timer producer_ids_pause;
	_Atomic bool producer_ids_complained;
	struct api *api;

	char *inter_broker_listener; /* upper case */
	enum security_protocol inter_broker_protocol;
	struct connection_limits *limits;
	struct request_memory *memory;
	struct net_handler handler;
	/* Of the next three: the main thread changes them, and others look at them under it. */
	struct lock listeners_lock;
	struct broker_addresses addresses;  /* in effect */
	struct broker_listener **listeners; /* one for each of addresses.listeners, in its order */
	size_t listener_count;
	_Atomic bool listeners_due;    /* a setting of theirs has changed */
	struct client_tls *client_tls; /* to other brokers; NULL: they speak plaintext */
	struct http_server *http;
	SSL_CTX *http_tls;
	_Atomic bool ready;
	_Atomic bool controller_known; /* once it was */
};

/* Each logs what went wrong. */
MUST_CHECK int broker_open_zk(struct broker *b);
MUST_CHECK int broker_establish_identity(struct broker *b);
MUST_CHECK int broker_register(struct broker *b, struct zk *zk);
/* Those of the file, before the ensemble is asked for dynamic ones. */
MUST_CHECK int broker_parse_listeners(struct broker *b);
/* The dynamic ones; where they are wrong, which keeps no broker from its start, the file's hold. */
void broker_parse_dynamic_listeners(struct broker *b);
/*
 * The addresses that next asks for, which may follow those in effect; the caller frees them. 0, or
 * -errno with a sentence in err (ENDPOINT_ERR_LEN). Any thread.
 */
MUST_CHECK int broker_parse_next_addresses(struct broker *b, const struct broker_conf *next,
					   char *err, struct broker_addresses *ret_addresses);
void broker_addresses_fini(struct broker_addresses *addresses);
bool broker_same_endpoint(const struct endpoint *a, const struct endpoint *b);
/* In the same order. */
bool broker_same_endpoints(const struct endpoints *a, const struct endpoints *b);
/* How to speak with other brokers. */
MUST_CHECK int broker_make_client_tls(struct broker *b);
/* A fresh context for connections that come in by a listener. */
MUST_CHECK int broker_make_server_tls(struct broker *b, const char *listener, SSL_CTX **ret_ctx);
MUST_CHECK int broker_open_listeners(struct broker *b);
MUST_CHECK int broker_open_http(struct broker *b);
/*
 * Opens, closes and moves listeners as the settings are now, and registers anew. When one cannot
 * be opened all stay as they are. On the main thread.
 */
void broker_change_listeners(struct broker *b);
/*
 * Gives each open listener as many event loops as num.network.threads says for it, or before one is
 * open the group; starts those that are missing. Does so once for each change of settings or of
 * listeners: what cannot be had is not tried at each tick.
 */
int broker_set_network_threads(struct broker *b);
/*
 * Whether each listener can get as many as next says, by one change: 0, or 1 with a line in errors.
 * Any thread.
 */
int broker_check_network_threads(struct broker *b, const struct broker_conf *next,
				 struct buf *errors);
void broker_close_listeners(struct broker *b);
void broker_free_listeners(struct broker *b);
/*
 * Whether listeners can become, while the broker runs, what next says: 0, or 1 with a line in
 * errors. Any thread.
 */
int broker_check_listener_change(struct broker *b, const struct broker_conf *next,
				 struct buf *errors);
/* The address in the registration has changed. On the controller's thread. */
void broker_update_registration(void *arg, struct zk *zk);
/* A setting of connections for one listener: its own, or the broker's. */
int broker_listener_limit(const struct broker_conf *conf, const char *listener, const char *key);
MUST_CHECK int broker_read_configs(struct broker *b);
void broker_on_watch(void *arg, struct zk *zk, enum zk_watch_type type, const char *path);
void broker_config_changed(void *arg, struct zk *zk, const char *entity);
void broker_read_topic_config(void *arg, const char *topic);
void broker_configure_log(void *arg, const char *topic, struct log_config *config);
void broker_cleaner_settings(const struct broker_conf *conf, struct log_cleaner_settings *ret);
/* What AlterConfigs would make of a broker's settings: how many mistakes, a line each in errors. */
int broker_check_config(void *arg, const char *entity, const struct properties *props,
			struct buf *errors);
void broker_on_conf_change(void *arg, const struct broker_conf *old, const struct broker_conf *now);
void broker_ask_producer_ids(void *arg, struct producer_ids *pids);
/* Once the client's side of TLS is made. */
void broker_open_producer_ids(struct broker *b);
void broker_close_producer_ids(struct broker *b);
/* A session that we could not end lives on: the next start ends it. */
void broker_close_state_dir(struct broker *b, bool session_ended);
/* Likewise. timeout_ms: for connecting. */
void broker_controller_peer(struct broker *b, int64_t timeout_ms, struct controller_peer *ret_peer);
void broker_controlled_shutdown(struct broker *b);
struct broker_conf *broker_conf_with(struct broker *b);

static inline const struct broker_conf *
broker_conf_of(struct broker *b)
{
	return conf_store_get(&b->conf_store);
}

#endif
