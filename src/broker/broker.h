/*
 * broker.h - a whole broker: start-up in order, shut-down in reverse.
 *
 * Threads  broker_start() and broker_stop() from the main thread.
 * Source   zookeeper-and-controller, section 2: Kafka's KafkaServer.
 */
#ifndef KLAMM_BROKER_BROKER_H
#define KLAMM_BROKER_BROKER_H

#include "base/conf.h"

struct broker;
struct supervisor;

/*
 * Starts a broker with a configuration that was checked; takes it over. supervisor: NULL, or
 * outlives the broker. What goes wrong is logged
 * in one line; then -errno is returned and nothing is left behind.
 */
MUST_CHECK int broker_start(struct broker_conf *conf, struct supervisor *supervisor,
			    struct broker **ret_broker);
/* About once a second: what is due on the disks, and a sign of life. */
void broker_tick(struct broker *b);
/* Reads certificates again. */
void broker_reload(struct broker *b);
/*
 * Stops serving, flushes, writes the clean-shutdown marks, leaves the ensemble. Accepts NULL and a
 * broker that is half started.
 */
void broker_stop(struct broker *b);

/* The rules about listeners (section 6.2), for --check too. Appends lines, returns how many. */
int broker_check_listeners(const struct broker_conf *conf, struct buf *errors);

#endif
