/*
 * controller_channel.h - the way of the controller's requests to one other broker.
 *
 * Requests go one at a time, in order. One that fails is sent again after a pause, for as long as
 * the channel is open: a broker that is slow or gone for a moment misses nothing. Answers arrive
 * in the controller's mailbox.
 *
 * Threads  the controller's; the connection lives on a reactor.
 * Source   zookeeper-and-controller, section 4.2: Kafka's ControllerChannelManager.
 */
#ifndef KLAMM_CONTROLLER_CONTROLLER_CHANNEL_H
#define KLAMM_CONTROLLER_CONTROLLER_CHANNEL_H

#include "controller/controller.h"

struct controller_channel;

/* Called in the controller's mailbox, in order; not after controller_channel_close(). */
typedef void controller_channel_fn(void *arg, int32_t broker_id, int16_t api_key,
				   int16_t api_version, struct slice body);

MUST_CHECK int controller_channel_open(const struct controller_settings *settings,
				       struct mailbox *mailbox, int32_t broker_id, const char *host,
				       int32_t port, controller_channel_fn *fn, void *arg,
				       struct controller_channel **ret_channel);
/* The broker listens there now: what was not answered is sent again, to there. */
void controller_channel_move(struct controller_channel *ch, const char *host, int32_t port);
/* Drops what was not sent. Accepts NULL. */
void controller_channel_close(struct controller_channel *ch);
/* body: encoded; taken over. */
void controller_channel_send(struct controller_channel *ch, int16_t api_key, int16_t api_version,
			     struct buf *body);

#endif
