/* Who this broker is: its session, the cluster's id, its own, its registration. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diag.h"
#include "broker/broker_internal.h"

/* Plain files of names that Kafka does not know lie unnoticed in its log directories. */
#define SESSION_FILE ".klamm_session"
#define TREE_FILE ".klamm_tree"

/* ---- the session ---- */

static void
end_former_session(struct broker *b, const struct zk_session_options *options)
{
	struct zk_credentials former;
	struct buf file = {0};
	int st = env_read_file(b->env, b->state_dir_fd, SESSION_FILE, sizeof(former), &file);

	if (st == 0 && file.len == sizeof(former)) {
		memcpy(&former, file.data, sizeof(former));
		b->last_session_id = former.session_id;
		st = zk_session_end_former(options, &former);
		if (st == 0)
			diag_info(DIAG_ZK, "ended the session that a killed broker left behind",
				  "session=0x%llx", (unsigned long long)former.session_id);
	}
	buf_fini(&file);
	env_unlinkat(b->env, b->state_dir_fd, SESSION_FILE, 0);
}

/* Whoever can read it can end our session: the owner alone may. */
static void
keep_session(struct broker *b, struct zk *zk)
{
	struct zk_credentials now;
	int fd;

	if (zk_session_credentials(zk, &now) != 0)
		return;
	supervisor_tell_session(b->supervisor, &now);
	fd = env_openat(b->env, b->state_dir_fd, SESSION_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || env_pwrite(b->env, fd, &now, sizeof(now), 0) != 0)
		diag_warn(DIAG_ZK, "cannot note the session; after a kill -9 it must expire first",
			  "file=%s", SESSION_FILE);
	if (fd >= 0)
		env_close(b->env, fd);
}

void
broker_close_state_dir(struct broker *b, bool session_ended)
{
	if (b->state_dir_fd < 0)
		return;
	if (session_ended)
		env_unlinkat(b->env, b->state_dir_fd, SESSION_FILE, 0);
	env_close(b->env, b->state_dir_fd);
}

static int
open_tree(struct broker *b)
{
	struct zk_events events = controller_zk_events(b->controller);
	int st = zk_tree_open(b->env, b->state_dir_fd, TREE_FILE, &b->tree);

	if (st == 0)
		st = zk_tree_session_open(b->tree, controller_mailbox(b->controller), &events,
					  &b->zk);
	if (st != 0)
		diag_error(DIAG_BROKER, "cannot open the coordination tree of --standalone",
			   "file=%s error=%s", TREE_FILE, strerror(-st));
	return st;
}

int
broker_open_zk(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	struct zk_events events = controller_zk_events(b->controller);
	struct zk_session_options options;
	int st;

	if (conf->klamm_standalone)
		return open_tree(b);
	supervisor_session_options(conf, &options);
	end_former_session(b, &options);
	st = zk_session_open(&options, controller_mailbox(b->controller), &events, &b->zk);
	if (st == -ETIMEDOUT)
		diag_error(
		    DIAG_BROKER,
		    "no server of the ensemble answered within "
		    "zookeeper.connection.timeout.ms; is it up, and zookeeper.connect right?",
		    "zookeeper.connect=%s waited_ms=%d", options.connect,
		    options.connection_timeout_ms);
	else if (st != 0)
		diag_error(DIAG_BROKER, "cannot open a session with the ensemble",
			   "zookeeper.connect=%s error=%s", options.connect, strerror(-st));
	else
		keep_session(b, b->zk);
	return st;
}

/* ---- the cluster's id and ours ---- */

static int
choose_broker_id(struct broker *b, const struct log_manager_identity *stored)
{
	const struct broker_conf *conf = broker_conf_of(b);
	int st;

	if (conf->broker_id >= 0 && stored->broker_id >= 0 &&
	    conf->broker_id != stored->broker_id) {
		diag_error(DIAG_BROKER,
			   "the data directories belong to another broker: give them back their "
			   "broker.id, or another log.dirs",
			   "broker.id=%lld meta.properties=%d", (long long)conf->broker_id,
			   stored->broker_id);
		return -EINVAL;
	}
	if (conf->broker_id >= 0 || stored->broker_id >= 0) {
		b->id = (int32_t)(conf->broker_id >= 0 ? conf->broker_id : stored->broker_id);
		return 0;
	}
	st = znode_next_broker_id(b->zk, (int32_t)conf->reserved_broker_max_id, &b->id);
	if (st != 0)
		diag_error(DIAG_BROKER, "the ensemble gave no broker id", "error=%s",
			   strerror(-st));
	return st;
}

int
broker_establish_identity(struct broker *b)
{
	struct log_manager_identity stored;
	char message[512];
	int st = znode_ensure_structure(b->zk);

	if (st == 0)
		st = znode_cluster_id(b->zk, b->env, b->cluster_id);
	if (st != 0) {
		diag_error(DIAG_BROKER, "cannot prepare the cluster's znodes", "error=%s",
			   strerror(-st));
		return st;
	}
	st = log_manager_identity(b->logs, &stored, message, sizeof(message));
	if (st == 0 && stored.cluster_id[0] != '\0' &&
	    strcmp(stored.cluster_id, b->cluster_id) != 0) {
		diag_error(DIAG_BROKER,
			   "the data directories belong to another cluster: check "
			   "zookeeper.connect and log.dirs",
			   "ensemble=%s meta.properties=%s", b->cluster_id, stored.cluster_id);
		return -EINVAL;
	}
	if (st == 0)
		st = choose_broker_id(b, &stored);
	else
		diag_error(DIAG_BROKER, message, "");
	if (st != 0)
		return st;
	st = log_manager_write_identity(b->logs, b->cluster_id, b->id, message, sizeof(message));
	if (st != 0)
		diag_error(DIAG_BROKER, message, "");
	return st;
}

/* ---- the registration ---- */

static char *
must_copy(const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		abort();
	return copy;
}

/* Kafka's getCanonicalHostName(), for an endpoint without a host. */
static char *
canonical_host(void)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME}, *list = NULL;
	char name[256];
	char *host;

	if (gethostname(name, sizeof(name)) != 0)
		return must_copy("localhost");
	name[sizeof(name) - 1] = '\0';
	if (getaddrinfo(name, NULL, &hints, &list) == 0 && list->ai_canonname != NULL)
		host = must_copy(list->ai_canonname);
	else
		host = must_copy(name);
	if (list != NULL)
		freeaddrinfo(list);
	return host;
}

/* Under listeners_lock. */
static int
bound_port(const struct broker *b, const char *listener_name)
{
	for (size_t i = 0; i < b->listener_count; i++)
		if (strcmp(b->listeners[i]->endpoint.listener_name, listener_name) == 0 &&
		    b->listeners[i]->listener != NULL)
			return listener_port(b->listeners[i]->listener);
	return 0;
}

static void
make_registration(struct broker *b)
{
	const struct broker_conf *conf = broker_conf_of(b);
	const struct endpoints *advertised = &b->addresses.advertised;
	struct broker_registration *reg = &b->registration;
	int64_t epoch = reg->broker_epoch;

	broker_registration_fini(reg);
	reg->broker_id = b->id;
	reg->broker_epoch = epoch;
	reg->rack = conf->broker_rack == NULL ? NULL : must_copy(conf->broker_rack);
	lock_acquire(&b->listeners_lock);
	reg->endpoints = calloc(advertised->count + 1, sizeof(*reg->endpoints));
	if (reg->endpoints == NULL)
		abort();
	for (size_t i = 0; i < advertised->count; i++) {
		const struct endpoint *ep = &advertised->items[i];

		reg->endpoints[reg->endpoint_count++] = (struct broker_endpoint){
		    .listener = must_copy(ep->listener_name),
		    .host = must_copy(ep->host),
		    .port = ep->port != 0 ? ep->port : bound_port(b, ep->listener_name),
		    .protocol = must_copy(security_protocol_name(ep->protocol)),
		};
	}
	lock_release(&b->listeners_lock);
	for (size_t i = 0; i < reg->endpoint_count; i++) {
		if (reg->endpoints[i].host[0] != '\0')
			continue;
		free(reg->endpoints[i].host);
		reg->endpoints[i].host = canonical_host();
	}
}

/* No other broker may advertise an address of ours. */
static int
check_addresses(struct broker *b, struct zk *zk)
{
	struct broker_registration *others;
	size_t count;
	int st = znode_broker_list(zk, false, &others, &count);

	for (size_t i = 0; st == 0 && i < count; i++) {
		for (size_t e = 0; others[i].broker_id != b->id && e < others[i].endpoint_count;
		     e++) {
			const struct broker_endpoint *theirs = &others[i].endpoints[e];

			for (size_t o = 0; o < b->registration.endpoint_count; o++) {
				const struct broker_endpoint *ours = &b->registration.endpoints[o];

				if (ours->port != theirs->port ||
				    strcmp(ours->host, theirs->host) != 0)
					continue;
				diag_error(DIAG_BROKER,
					   "another broker advertises the same address: change "
					   "advertised.listeners",
					   "address=%s:%d broker=%d", ours->host, ours->port,
					   others[i].broker_id);
				st = -EADDRINUSE;
			}
		}
	}
	for (size_t i = 0; (st == 0 || st == -EADDRINUSE) && i < count; i++)
		broker_registration_fini(&others[i]);
	if (st == 0 || st == -EADDRINUSE)
		free(others);
	return st;
}

int
broker_register(struct broker *b, struct zk *zk)
{
	int st;

	make_registration(b);
	st = check_addresses(b, zk);
	if (st == -EADDRINUSE)
		return st;
	if (st == 0)
		st = znode_broker_register(zk, &b->registration, b->last_session_id,
					   env_now_ms(b->env));
	if (st == -EEXIST) {
		diag_error(DIAG_BROKER,
			   "another broker with this id is registered: give this one another "
			   "broker.id; if it is a former life of this broker, its session expires "
			   "within zookeeper.session.timeout.ms",
			   "broker=%d", b->id);
		return st;
	}
	if (st != 0) {
		diag_error(DIAG_BROKER, "cannot register with the ensemble", "broker=%d error=%s",
			   b->id, strerror(-st));
		return st;
	}
	b->last_session_id = zk_session_id(zk);
	atomic_store(&b->epoch, b->registration.broker_epoch);
	keep_session(b, zk);
	diag_info(DIAG_BROKER, "registered", "broker=%d epoch=%lld", b->id,
		  (long long)b->registration.broker_epoch);
	return 0;
}

void
broker_update_registration(void *arg, struct zk *zk)
{
	struct broker *b = arg;
	int st;

	make_registration(b);
	st = check_addresses(b, zk);
	if (st == 0)
		st = znode_broker_update(zk, &b->registration, env_now_ms(b->env));
	if (st == 0)
		diag_info(DIAG_BROKER, "registered other addresses", "broker=%d", b->id);
	else if (st != -ESHUTDOWN && st != -EADDRINUSE)
		diag_error(DIAG_BROKER,
			   "cannot register the addresses as they are now; the next session will",
			   "broker=%d error=%s", b->id, strerror(-st));
}
