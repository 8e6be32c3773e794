/*
 * api.h - what the broker answers: from a frame to a reply.
 *
 * api_open() connects the rooms below; api_handler() is what listeners are opened with. Each
 * family of requests has a file of its own, with an entry in api.def.
 *
 * Threads  requests run on the reactor of their connection; what may block runs on the workers and
 *          comes back.
 */
#ifndef KLAMM_API_API_H
#define KLAMM_API_API_H

#include "base/conf.h"
#include "base/workers.h"
#include "cluster/metadata.h"
#include "cluster/topic_configs.h"
#include "controller/controller.h"
#include "group/coordinator.h"
#include "net/request.h"
#include "replica/replica_manager.h"
#include "txn/producer_ids.h"

struct api;

struct api_settings {
	struct env *env;
	struct conf_store *conf;
	struct metadata *metadata;
	struct topic_configs *topic_configs;
	struct replica_manager *replicas;
	struct log_manager *logs;
	struct controller *controller;
	struct group_coordinator *groups;
	struct producer_ids *producer_ids;
	struct workers *workers;
	int32_t broker_id;
	const char *cluster_id; /* borrowed */
	/*
	 * What the broker would say if a broker's settings became these: how many mistakes, a line
	 * of errors each. On the controller's thread.
	 */
	int (*check_config)(void *arg, const char *entity, const struct properties *props,
			    struct buf *errors);
	/*
	 * /config/<entity> was written by us: read it again now, not when the notification comes.
	 * On the controller's thread.
	 */
	void (*config_changed)(void *arg, struct zk *zk, const char *entity);
	int64_t (*broker_epoch)(void *arg);
	void *arg;
};

/* Everything in settings outlives it. */
MUST_CHECK int api_open(const struct api_settings *settings, struct api **ret_api);
/* After the listeners are closed and the reactors idle. Accepts NULL. */
void api_close(struct api *api);
const struct net_handler *api_handler(struct api *api);

/* metadata_on_change()'s callback: whoever waits for topics to come or go looks again. */
void api_metadata_changed(struct api *api);

/*
 * Carries out a controller's request to this very broker (controller_settings.local_request): body
 * is taken over; done is called once, from any thread.
 */
void api_local_request(struct api *api, int16_t api_key, int16_t api_version, struct buf *body,
		       controller_response_fn *done, void *done_arg);

/* Ends whatever waits, with the answers it would get at its timeout: before the reactors stop. */
void api_shut_down(struct api *api);

#endif
